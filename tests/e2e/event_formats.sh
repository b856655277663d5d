#!/usr/bin/env bash
# Events as teams have them, from a real topic: nested names, labels as text, missing IDs, times as text; what --try
# prints is what the pipeline then learns from.
source "$(dirname "$0")/lib.bash"

settings=(event.label_field=type 'event.label_map=click=1,view=0' event.label_other=skip event.time_field=time
    event.time_unit=auto fields.user.path=data.user.id 'fields.item.path=data.items[0].sku'
    fields.page.path=data.page fields.page.missing=unknown event.label=as-is)
init_run one "${settings[@]}"
pipeline_tool topics --create --partitions 1 >/dev/null || die "no topics"

messages=('{"type":"click","time":"2026-03-01T12:00:00Z","data":{"user":{"id":42},"items":[{"sku":"a-1"}],"page":"home"}}'
    '{"type":"view","time":1772366401000,"data":{"user":{"id":"42"},"items":[{"sku":"a-2"}]}}'
    '{"type":"scroll","time":1772366402000,"data":{"user":{"id":"42"},"items":[{"sku":"a-2"}]}}'
    '{"type":"view","time":1772366403000,"data":{"user":"ann","items":[{"sku":"a-2"}]}}'
    '{"type":"view","time":"noon","data":{"user":{"id":1},"items":[{"sku":"a-2"}]}}')
printf '%s\n' "${messages[@]}" | "$TOPIC_TOOL" write "$AUTOASSIGN_TEST_BROKER" "$TOPIC" 0 ||
    die "the topic was not written"

trial=$WORK/trial.txt
try_all() { pipeline_tool ingest --try 100 >"$trial"; }
must a_trial_ends_well try_all
has() { grep -qF -- "$1" "$trial" || { cat "$trial"; return 1; }; }
check a_trial_prints_ids has '"42" from data.user.id'
check a_trial_prints_paths_with_indexes has '"a-1" from data.items[0].sku'
check a_trial_prints_the_unknown_id has '"(unknown)" from data.page'
check a_trial_prints_the_label has '1 from type'
check a_trial_prints_the_time has '2026-03-01T12:00:00.000Z from time'
check a_trial_says_what_is_passed_over has 'passed over'
check a_trial_says_why_a_message_is_none has 'id-missing: data.user.id: no ID: data.user is text'
check a_trial_counts has '5 messages: 2 events, 2 dead letters (id-missing 1, time-type 1), 1 passed over.'
check a_trial_commits_nothing test ! -e "$PIPELINE_DIR/checkpoints"
none() { ! pipeline_tool ingest -o fields.user.path=nothing --try 2 >"$WORK/none.txt" 2>&1; }
check a_trial_without_an_event_fails none

must replay_ends replay 60
check events_are_learned equal "$(figure learner events)" 2
check skipped_messages_are_counted equal "$(figure ingest events_skipped)" 1
check dead_letters_are_the_trials equal \
    "$("$TOPIC_TOOL" read "$AUTOASSIGN_TEST_BROKER" "$TOPIC.dlq" | jq -r '.headers["autoassign.reason"]' | sort | xargs)" \
    'id-missing time-type'
