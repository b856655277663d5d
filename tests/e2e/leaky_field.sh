#!/usr/bin/env bash
# A field that is the label under another name is warned of by its name; fields that are not are let be.
source "$(dirname "$0")/lib.bash"
EVENTS=6000

# write_events OUTCOME: JSON of a generated stream; OUTCOME (awk) is a third field, made from user $1, item $2, label $3
write_events() {
    "$PIPELINE_BIN/generate" --events $EVENTS --seed 7 | tail -n +2 | awk -F, "{
        outcome = $1
        printf \"{\\\"user\\\":\\\"%s\\\",\\\"item\\\":\\\"%s\\\",\\\"label\\\":%s,\\\"timestamp\\\":%s,\\\"outcome\\\":\\\"%s\\\"}\\n\",
            \$1, \$2, \$3, \$4, outcome }" | "$TOPIC_TOOL" write "$AUTOASSIGN_TEST_BROKER" "$TOPIC" 0
}
replay_with() { # replay_with NAME OUTCOME
    TOPIC=$UNIQUE-$1
    init_run "$1" event.label=as-is fields.outcome.json=outcome
    pipeline_tool topics --create --partitions 1 >"$WORK/topics.log" 2>&1 || { cat "$WORK/topics.log"; return 1; }
    write_events "$2"
    replay 60
}
warned() { grep 'id=FIELD-LEAKS' "$PIPELINE_DIR/assigner.log" | grep -o 'field=[a-z]*'; }

must the_stream_with_a_leak_is_learned replay_with leak '($3 > 0.5 ? "purchased" : "viewed")'
check a_field_that_is_the_label_is_warned_of_once_by_name equal "$(warned)" field=outcome
must the_stream_without_one_is_learned replay_with none '"place" NR % 7'
check a_field_that_is_not_is_let_be equal "$(warned)" ""
