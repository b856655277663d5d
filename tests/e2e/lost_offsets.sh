#!/usr/bin/env bash
# Kafka no more has the events to go on from: retention was faster, or the topic was made anew with fewer
# partitions. An error unless ingest.on_lost_offset=skip, and then said and counted to the event.
source "$(dirname "$0")/lib.bash"
EVENTS=40000
SETTINGS=(event.label=as-is ingest.batch_events=64 checkpoint.every_events=2048)

committed() { # a replay that is stopped on its way, everything committed
    pipeline_start assigner learner scorer ingest
    wait_until 60 some_epochs && pipeline_stop
}
some_epochs() { [[ $(find "$PIPELINE_DIR/checkpoints" -path '*/ingest/epoch-*' 2>/dev/null | wc -l) -ge 3 ]]; }
refused() { # refused WORDS: ingest ends with 2 and says so
    local code=0
    pipeline_start assigner learner ingest
    wait_until 60 gone "${PIPELINE_PID[ingest]}" || return 1
    pipeline_exit_code ingest || code=$?
    pipeline_stop
    equal "$code" 2 && grep -q "$1" "$PIPELINE_DIR/ingest.log"
}

"$PIPELINE_BIN/generate" --events $EVENTS --seed 8 >"$WORK/stream.csv"
init_run truncated "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must replay_is_stopped_on_its_way committed
held() { "$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC"; }
# All four partitions lose what is before these offsets; the commit is far before them in two.
for partition in 0 1; do "$TOPIC_TOOL" forget "$AUTOASSIGN_TEST_BROKER" "$TOPIC" "$partition" 8000; done
check records_are_gone at_least $((EVENTS - $(held))) 16000
check going_on_is_refused refused 'events are lost'
check it_is_refused_again refused 'partition [01]: to go on from offset'

read_before=$(jq .events "$PIPELINE_DIR/ingest.json")
PIPELINE_ARGS+=(-o ingest.on_lost_offset=skip)
must with_skip_the_replay_ends replay 120
lost=$(figure ingest events_lost)
check skipped_events_are_counted at_least "$lost" 1
check two_gaps_are_counted equal "$(figure ingest gaps)" 2
check every_event_is_learned_or_counted_as_lost equal $(($(figure learner events) + lost)) $EVENTS
check gaps_are_in_the_log equal "$(grep -c 'id=OFFSET-LOST' "$PIPELINE_DIR/ingest.log")" 2
check what_was_learned_before_is_kept at_least "$(figure learner events)" "$read_before"

# The topic is deleted and made anew with two of its four partitions.
TOPIC=$UNIQUE-anew
init_run anew "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must second_replay_is_stopped_on_its_way committed
"$TOPIC_TOOL" remove "$AUTOASSIGN_TEST_BROKER" "$TOPIC"
check missing_topic_is_refused refused 'does not exist'
pipeline_tool record --partitions 2 "$WORK/stream.csv" >"$WORK/record.log" 2>&1 || die "record failed"
check lost_commit_is_refused refused 'the group has no commit any more'
PIPELINE_ARGS+=(-o ingest.on_lost_offset=skip)
check with_skip_it_goes_on replay 120
check lost_partitions_are_in_the_log equal "$(grep -c 'id=OFFSET-LOST.*has no partition' "$PIPELINE_DIR/ingest.log")" 2
