#!/usr/bin/env bash
# A learner that stands still for 10 s: ingest stops at a bounded number of batches in flight, memory stays
# where it is, and nothing is dropped on the way: the end is that of an undisturbed run.
source "$(dirname "$0")/lib.bash"
EVENTS=300000
IN_FLIGHT=6
DEPTH=4
GROWTH_KB=8192 # of a process in 8 s of standstill: far less than the stream that waits
SETTINGS=(event.label=as-is "links.in_flight=$IN_FLIGHT" "pipeline.depth=$DEPTH" ingest.batch_events=128
    ingest.partition_queue_events=2000 kafka.queued.max.messages.kbytes=1024 kafka.queued.min.messages=1000)

outcome() {
    local name
    for name in ingest assigner learner scorer; do echo "$name $(figure "$name" digest)"; done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/${PIPELINE_PID[$1]}/status"; }
gauge() { pipeline_http "$1" /metrics | metric "$2" | grep .; }
between() { at_least "$1" "$2" && at_least "$3" "$1"; } # between GOT LEAST MOST

"$PIPELINE_BIN/generate" --events $EVENTS --seed 9 >"$WORK/stream.csv"
init_run undisturbed "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must undisturbed_replay_ends replay 180
want=$(outcome)

init_run stalled "${SETTINGS[@]}"
pipeline_start assigner learner scorer ingest
some_learned() { at_least "$(gauge learner autoassign_events_total)" 20000 >/dev/null 2>&1; }
must events_flow wait_until 60 some_learned
kill -STOP "${PIPELINE_PID[learner]}"
sleep 2 # what can still move has moved
sent=$(gauge ingest autoassign_events_total)
declare -A before=() after=()
for name in ingest assigner; do before[$name]=$(rss_kb $name); done
sleep 8
for name in ingest assigner; do after[$name]=$(rss_kb $name); done
check ingest_stands_still equal "$(gauge ingest autoassign_events_total)" "$sent"
check most_of_the_stream_still_waits at_least $((EVENTS / 2)) "$sent"
check batches_in_flight_are_bounded between "$(gauge ingest autoassign_in_flight_batches)" 1 $IN_FLIGHT
check batches_assigned_but_not_learned_are_bounded between "$(gauge assigner autoassign_batches_in_flight)" 1 $DEPTH
for name in ingest assigner; do
    check "memory_of_${name}_stays_where_it_is" at_least $GROWTH_KB $((after[$name] - before[$name]))
done
echo "note standstill: ingest ${before[ingest]} -> ${after[ingest]} kB, assigner ${before[assigner]} -> ${after[assigner]} kB, $sent of $EVENTS events sent"
kill -CONT "${PIPELINE_PID[learner]}"
must it_goes_on_to_the_end pipeline_wait_end 180
check scorer_catches_up wait_until 60 pipeline_scorer_caught_up
pipeline_stop
check nothing_was_dropped equal "$(outcome)" "$want"
check no_run_had_to_begin_again equal "$(figure ingest resets)" 0
