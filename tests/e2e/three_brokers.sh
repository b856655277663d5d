#!/usr/bin/env bash
# Three brokers, replication 3, min.insync.replicas 2: leaders are killed in turn. A replay meanwhile ends in the
# state of an undisturbed run; a live run meanwhile learns every event once, and the scorer has all of it.
#   TURNS=n    leaders killed in each of the two (1; `make chaos`: 6)
#   EVENTS=n   of the replay (60000; `make chaos`: 400000)
AUTOASSIGN_TEST_BROKER=three-of-its-own
source "$(dirname "$0")/lib.bash"
source "$ROOT/tests/chaos/cluster.bash"
TURNS=${TURNS:-1}
EVENTS=${EVENTS:-60000}
LIVE_PARTS=$((10 + 10 * TURNS)) LIVE_PART_EVENTS=500
SETTINGS=(event.label=as-is ingest.batch_events=64 checkpoint.every_events=4096 publish.every_ms=100)
KILLER=0

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    stop_pid "$KILLER" 5
    cluster_stop
    set +e
    (exit $code)
    cleanup
}
trap finish EXIT
exec 2> >(grep --line-buffered -v " Killed  " >&2) # the remarks of the shell on what we killed

outcome() {
    local name
    for name in ingest assigner learner scorer; do echo "$name $(figure "$name" digest)"; done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}
# kill_in_turn TOPIC: the leader of one partition after the other; each is there again, in sync, before the next
kill_in_turn() {
    local turn leader
    for ((turn = 0; turn < TURNS; turn++)); do
        leader=$(leaders "$1" | sed -nE "s/^$((turn % 4)) ([1-3]) .*/\\1/p")
        [[ -n $leader ]] || { echo "partition $((turn % 4)) has no leader" >>"$WORK/turns"; return 1; }
        cluster_kill "$leader"
        echo "killed $leader" >>"$WORK/turns"
        sleep 1
        cluster_up "$leader"
        wait_until 60 in_sync "$1" || { echo "broker $leader did not come back in sync" >>"$WORK/turns"; return 1; }
    done
}
begin_killing() {
    wait_until 30 some_learned || return 1
    kill_in_turn "$TOPIC" &
    KILLER=$!
}
some_learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" "${1:-2000}" >/dev/null 2>&1; }
killed() { wait "$KILLER"; }

# ---- a replay ----
must three_brokers_start cluster_start
AUTOASSIGN_TEST_BROKER=$BROKERS
"$PIPELINE_BIN/generate" --events "$EVENTS" --seed 23 >"$WORK/stream.csv"
init_run undisturbed "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must topics_have_three_replicas in_sync "$TOPIC"
must undisturbed_replay_ends replay 120
want=$(outcome)
init_run disturbed "${SETTINGS[@]}"
must replay_ends_though_leaders_are_killed replay $((60 + 60 * TURNS)) begin_killing 40
during=$(grep -c killed "$WORK/turns" || true)
check each_came_back_in_sync killed
check the_state_is_that_of_an_undisturbed_run equal "$(outcome)" "$want"

# ---- live ----
TOPIC=$UNIQUE-live
init_run live "${SETTINGS[@]}" ingest.run=live checkpoint.every_ms=500
head -n 1001 "$WORK/stream.csv" >"$WORK/part.csv"
record_file "$WORK/part.csv"
pipeline_start assigner learner scorer ingest
must a_live_run_begins wait_until 60 some_learned 1000
kill_in_turn "$TOPIC" &
KILLER=$!
for ((part = 0; part < LIVE_PARTS; part++)); do # the load, which goes on while leaders are killed
    { head -n 1 "$WORK/stream.csv"; sed -n "$((1002 + part * LIVE_PART_EVENTS)),$((1001 + (part + 1) * LIVE_PART_EVENTS))p" \
        "$WORK/stream.csv"; } >"$WORK/part.csv"
    record_file "$WORK/part.csv"
done
check each_came_back_in_sync_again killed
SENT=$((1000 + LIVE_PARTS * LIVE_PART_EVENTS))
check the_topic_has_every_event_once equal "$("$TOPIC_TOOL" count "$BROKERS" "$TOPIC")" $SENT
check every_event_is_learned wait_until 60 some_learned $SENT
serves_all() { [[ $(pipeline_http scorer /metrics | metric autoassign_scorer_model_events) == "$SENT" ]]; }
check the_scorer_has_it_all wait_until 60 serves_all
pipeline_stop
check and_none_twice equal "$(figure learner events)" $SENT
check the_scorer_serves_what_the_learner_has equal "$(figure scorer served_digest)" "$(figure learner served_digest)"
check leaders_were_killed_in_the_replay at_least "$during" 1
echo "note $(grep -c killed "$WORK/turns") leaders killed, $during of them during the replay"
