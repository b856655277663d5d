#!/usr/bin/env bash
# SIGTERM drains: in live operation every process ends with 0, ingest after its last commit; what
# was committed is not read again.
source "$(dirname "$0")/lib.bash"
EVENTS=60000

"$PIPELINE_BIN/generate" --events $EVENTS --seed 11 >"$WORK/stream.csv"
init_run one event.label=as-is ingest.run=live checkpoint.every_ms=500
# Events keep coming while processes are drained and started again: 6 seconds of them.
pipeline_tool record --partitions 4 --rate 10000 "$WORK/stream.csv" >"$WORK/record.log" 2>&1 &
RECORD=$!
topic_is_there() { "$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC" >/dev/null 2>&1; }
wait_until 30 topic_is_there || die "record made no topic"

learned() { pipeline_http learner /metrics | metric autoassign_events_total; }
some_learned() { at_least "$(learned)" "$1" >/dev/null 2>&1; }
drained() { # drained NAME: SIGTERM, then exit code 0 within the time
    kill -TERM "${PIPELINE_PID[$1]}"
    wait_until 30 gone "${PIPELINE_PID[$1]}" && pipeline_exit_code "$1" && return 0
    pipeline_show_log "$1"
    return 1
}

pipeline_start assigner learner scorer ingest
must live_pipeline_learns wait_until 60 some_learned 1000
for name in ingest scorer assigner learner; do
    check "sigterm_drains_$name" drained "$name"
done
before=$(figure learner events)
check something_was_learned_before_the_drain at_least "$before" 1000

# Again, to the end: the restored learner counts on from where it was.
pipeline_start assigner learner scorer ingest
must events_still_come_after_the_restart wait_until 60 some_learned 1
wait $RECORD || { cat "$WORK/record.log"; die "record failed"; }
no_lag() { pipeline_ready ingest && [[ $(pipeline_http ingest /metrics | metric autoassign_consumer_lag) == 0 ]]; }
must the_rest_is_read wait_until 60 no_lag
# The scorer last: what the others publish as they end is for it too.
for name in ingest assigner learner scorer; do
    check "sigterm_drains_${name}_again" drained "$name"
done
check every_event_counts_once_across_the_restart equal "$(figure learner events)" $EVENTS
check scorer_serves_what_the_learner_has equal \
    "$(figure scorer served_digest)" "$(figure learner served_digest)"
