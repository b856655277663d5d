#!/usr/bin/env bash
# More bad messages than good ones: the stream goes on, every bad one is counted and becomes a dead letter,
# and the log says so in a handful of lines instead of thousands.
source "$(dirname "$0")/lib.bash"
EVENTS=20000
BAD=50000
LINES=500 # of the log about them, at most

"$PIPELINE_BIN/generate" --events $EVENTS --seed 12 >"$WORK/stream.csv"
init_run one event.label=as-is checkpoint.every_events=5000
record_file "$WORK/stream.csv"
head -n $BAD < <(yes '{"user":"u1","item":"i1","label":') | "$TOPIC_TOOL" write "$AUTOASSIGN_TEST_BROKER" "$TOPIC" 1
must every_message_is_there equal "$("$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC")" $((EVENTS + BAD))

must replay_ends replay 180
check every_good_event_counts equal "$(figure learner events)" $EVENTS
check every_bad_one_is_counted equal "$(figure ingest dead_letters)" $BAD
check every_bad_one_is_a_dead_letter equal "$("$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC.dlq")" $BAD
lines=$(grep -c 'id=EVENT-BAD' "$PIPELINE_DIR/ingest.log")
check the_log_says_so at_least "$lines" 1
check the_log_is_not_flooded at_least $LINES "$lines"
check what_is_held_back_is_summarised grep -qE 'id=EVENT-BAD .*repeats held back' "$PIPELINE_DIR/ingest.log"
echo "note $BAD bad messages: $lines lines of log, $(stat -c %s "$PIPELINE_DIR/ingest.log") bytes"
