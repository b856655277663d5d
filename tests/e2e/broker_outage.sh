#!/usr/bin/env bash
# The broker is not there at the start, and dies on the way: no process ends because of it, nothing is lost,
# and the end is that of an undisturbed run. A broker of the test's own.
source "$(dirname "$0")/lib.bash"
EVENTS=60000
OUTAGE_SECONDS=10
SETTINGS=(event.label=as-is ingest.batch_events=64 checkpoint.every_events=2048 publish.every_ms=100)
export KAFKA_SETTINGS=$'broker.session.timeout.ms=2500\nbroker.heartbeat.interval.ms=500'

kafka() { "$ROOT/scripts/local-kafka.sh" "$1" "$WORK/kafka" >>"$WORK/kafka.log" 2>&1; }
finish() { local code=$?; kafka stop || true; set +e; (exit $code); cleanup; }
trap finish EXIT
kill_broker() { kill -KILL "$(cat "$WORK/kafka/pid")"; }
outcome() {
    local name
    for name in ingest assigner learner scorer; do echo "$name $(figure "$name" digest)"; done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}
all_alive() {
    local name
    for name in ingest assigner learner scorer; do
        pipeline_alive "$name" || { echo "$name has ended"; pipeline_show_log "$name" 5; return 1; }
    done
}

kafka start || die "no broker"
AUTOASSIGN_TEST_BROKER=$("$ROOT/scripts/local-kafka.sh" status "$WORK/kafka")
"$PIPELINE_BIN/generate" --events $EVENTS --seed 13 >"$WORK/stream.csv"
init_run undisturbed "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must undisturbed_replay_ends replay 120
want=$(outcome)

kill_broker
init_run disturbed "${SETTINGS[@]}"
pipeline_start assigner learner scorer ingest
sleep 5
must processes_wait_for_a_broker_that_is_not_there all_alive
kafka start
some_learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" 5000 >/dev/null 2>&1; }
must they_begin_when_it_is_there wait_until 90 some_learned
kill_broker
sleep $OUTAGE_SECONDS
must processes_outlive_an_outage all_alive
kafka start
must replay_ends pipeline_wait_end 180
check scorer_catches_up wait_until 60 pipeline_scorer_caught_up
pipeline_stop
check nothing_is_lost_or_counted_twice equal "$(outcome)" "$want"
