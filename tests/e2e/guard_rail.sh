#!/usr/bin/env bash
# Labels are flipped for a while. With publish.hold the AUC that scorers serve does not follow, and neither
# topic grows; once labels are right again publication resumes by itself. An operator's word stands above it.
source "$(dirname "$0")/lib.bash"
CLEAN=60000 FLIPPED=8000 MORE=4000 AGAIN=40000 RATE=6000
command -v python3 >/dev/null || { skip "guard_rail: no python3"; exit 0; }

"$PIPELINE_BIN/generate" --events 125000 --users 500 --items 200 --drift 0 --arrivals 0.002 --seed 41 >"$WORK/all.csv"
part() { # part FROM COUNT NAME [AWK]: some of the stream as a file of its own
    awk -F, -v OFS=, -v from="$1" -v count="$2" "NR == 1 { print; next } NR > from + 1 && NR <= from + count + 1 { ${4:-} print }" "$WORK/all.csv" >"$WORK/$3.csv"
}
flip='$3 = 1 - $3;'
part 0 $CLEAN clean
part $CLEAN $FLIPPED flipped "$flip"
part $((CLEAN + FLIPPED)) $MORE more "$flip"
part $((CLEAN + FLIPPED + MORE)) $AGAIN again
part $((CLEAN + FLIPPED + MORE + AGAIN)) 3000 last
part $CLEAN 5000 held_out # clean labels, of the time when the topic has flipped ones

init_run one ingest.run=live checkpoint.every_ms=1000 publish.every_ms=100 publish.hold=true publish.item_names=false \
    publish.hold_window_events=2000 publish.hold_resume_events=15000 publish.hold_auc_min=0.6
pipeline_tool topics --create --partitions 2 >"$WORK/topics.log" 2>&1 || { cat "$WORK/topics.log"; die "no topics"; }
pipeline_start assigner learner scorer ingest

sent=0
learned() { # all that was sent, by the learner that runs
    [[ $(pipeline_http learner /metrics | metric autoassign_batch_seq) -gt 0 ]] || return 1
    local lag
    lag=$(pipeline_http ingest /metrics | metric autoassign_consumer_lag) || return 1
    [[ $lag == 0 && $(pipeline_http learner /metrics | metric autoassign_events_total) -ge $((sent - before)) ]]
}
before=0 # events that the learner before this one has had
feed() { # feed NAME: into the topic, and wait until the learner has had it
    pipeline_tool record --rate $RATE "$WORK/$1.csv" >"$WORK/record.log" 2>&1 || { cat "$WORK/record.log"; return 1; }
    sent=$((sent + $(wc -l <"$WORK/$1.csv") - 1))
    wait_until 60 learned
}
held() { [[ $(pipeline_http learner /metrics | metric "autoassign_publish_held${1:-}") == 1 ]]; }
not_held() { [[ $(pipeline_http learner /metrics | metric autoassign_publish_held) == 0 ]]; }
served() { pipeline_http scorer /metrics | metric autoassign_scorer_model_events; }
serves_all() { pipeline_ready scorer && [[ $(served) == "$sent" ]]; }
auc() { python3 -B "$ROOT/tests/e2e/guard_rail.py" "$(pipeline_port scorer)" "$WORK/held_out.csv"; }
records() { # of both compacted topics
    echo "$("$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$UNIQUE-one-assignments") $("$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$UNIQUE-one-model")"
}
below() { at_least "$2" "$1"; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN { print a - b }'; }
says() { pipeline_tool publish --status | grep -E "^$1 +$2\$" >/dev/null; }

must the_clean_part_is_learned feed clean
must and_served wait_until 30 serves_all
check nothing_is_held not_held
good=$(auc)
check what_is_served_tells_labels_apart at_least "$good" 0.65

must flipped_labels_are_learned feed flipped
must publication_is_held wait_until 10 held
check the_log_names_the_measure grep -q 'id=PUBLISH-HELD reason=auc .*value=' "$PIPELINE_DIR/learner.log"
check the_tool_says_so says learner "holds back"
then=$(records) at=$(served)
must more_of_them_are_learned feed more
check neither_topic_grew equal "$(records)" "$then"
check the_scorer_stands_where_it_was equal "$(served)" "$at"
safe=$(auc)
echo "AUC served: $good before the labels were flipped, $safe while publication is held"
check the_served_auc_does_not_follow at_least "$safe" "$(minus "$good" 0.03)"

# What would have been served: an operator publishes it all the same, on a quiet stream.
check an_operator_resumes pipeline_tool publish --resume
must the_bad_model_is_published wait_until 20 serves_all
check against_the_guards_verdict says guard "out of the band"
bad=$(auc)
echo "AUC served: $bad without the guard"
check without_the_guard_it_would_have_followed below "$bad" "$(minus "$good" 0.1)"
check the_guard_decides_again pipeline_tool publish --auto
must it_holds_at_once wait_until 10 held

must clean_labels_are_learned_again feed again
must publication_resumes_by_itself wait_until 10 not_held
must and_all_of_it_is_served wait_until 30 serves_all
check the_log_says_so grep -q 'id=PUBLISH-RESUMED' "$PIPELINE_DIR/learner.log"
again=$(auc)
echo "AUC served: $again after the labels were right again"
check the_served_auc_is_good_again at_least "$again" "$(minus "$good" 0.05)"

check an_operator_holds pipeline_tool publish --hold
must it_is_held_for_the_operator wait_until 10 held '{reason="operator"}'
before=$sent then=$(records)
pipeline_stop
pipeline_start assigner learner scorer ingest
must all_are_back wait_until 60 pipeline_ready ingest
must the_word_outlives_a_restart wait_until 10 held '{reason="operator"}'
must events_are_learned_meanwhile feed last
check and_neither_topic_grew equal "$(records)" "$then"
check the_operator_lets_go pipeline_tool publish --auto
must everything_is_served wait_until 30 serves_all
pipeline_tool publish --hold >/dev/null
must held_to_the_end wait_until 10 held
pipeline_stop
check the_end_warns grep -q 'id=PUBLISH-HELD.*the last state is not published' "$PIPELINE_DIR/learner.log"
check the_summary_says_so equal "$(figure learner publish_held)" operator
check exit_codes_are_0 equal "${PIPELINE_EXIT[assigner]} ${PIPELINE_EXIT[learner]} ${PIPELINE_EXIT[ingest]}" "0 0 0"
