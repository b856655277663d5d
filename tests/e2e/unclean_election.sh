#!/usr/bin/env bash
# An unclean leader election cuts off events that were read, learned and committed: three brokers, of which two hold
# each topic. It is said, and ingest.on_lost_offset decides: fail ends ingest with 2; skip goes on at the topic's end,
# learns nothing twice, and counts the gap. The pipeline's own topics are cut as well: its producers end, as a
# supervisor is there to start them again, and the scorer has in the end what the learner has.
AUTOASSIGN_TEST_BROKER=three-of-its-own
# shellcheck disable=SC2034 # cluster.bash uses it
CLUSTER_SETTINGS=$'unclean.leader.election.enable=true\nmin.insync.replicas=1\ndefault.replication.factor=2'
source "$(dirname "$0")/lib.bash"
source "$ROOT/tests/chaos/cluster.bash"

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    pipeline_stop
    cluster_stop
    set +e
    (exit $code)
    cleanup
}
trap finish EXIT
exec 2> >(grep --line-buffered -v " Killed  " >&2)

revive() { # as a supervisor would
    local name
    for name in assigner learner; do
        pipeline_alive "$name" && continue
        pipeline_exit_code "$name" || true
        pipeline_start "$name"
    done
}
learned() { revive; [[ $(pipeline_http scorer /metrics | metric autoassign_scorer_model_events) == "$1" ]]; } # and served
leader() { leaders "$TOPIC" | cut -d' ' -f2; }
follower() { leaders "$TOPIC" | awk '{ n = split($4, at, ","); for (i = 1; i <= n; i++) if (at[i] != $2) print at[i] }'; }
leads() { [[ $(leader) == "$1" ]]; }
replicas_in_sync() { [[ $(leaders "$TOPIC" | cut -d' ' -f3) == "$1" ]]; }
commits() { pipeline_http ingest /metrics | metric autoassign_commits_total; }
committed() { local before; before=$(commits); sleep 1; [[ $(commits) == "$before" ]]; } # one is due every 300 ms
send() { # send COUNT: the next so many events
    { head -n 1 "$WORK/stream.csv"; sed -n "$((SENT + 2)),$((SENT + 1 + $1))p" "$WORK/stream.csv"; } >"$WORK/part.csv"
    SENT=$((SENT + $1))
    pipeline_tool record --partitions 1 "$WORK/part.csv" >"$WORK/record.log" 2>&1 || { cat "$WORK/record.log" >&2; die "record failed"; }
}
# cut_off COUNT: the follower is down while COUNT events are written, read and committed; then the leader dies, and
# the follower, which has not got them, takes over.
cut_off() {
    local old new
    old=$(leader) new=$(follower)
    cluster_kill "$new"
    wait_until 30 replicas_in_sync 1 || return 1
    send "$1"
    wait_until 60 learned "$((LEARNED + $1))" || return 1
    LEARNED=$((LEARNED + $1))
    wait_until 30 committed || return 1
    cluster_kill "$old"
    cluster_up "$new"
    wait_until 60 leads "$new" || return 1
    KILLED=$old
}
SENT=0 LEARNED=0 KILLED=0

must three_brokers_start cluster_start
AUTOASSIGN_TEST_BROKER=$BROKERS
"$PIPELINE_BIN/generate" --events 20000 --seed 31 >"$WORK/stream.csv"
init_run one event.label=as-is ingest.run=live checkpoint.every_ms=300 publish.every_ms=100
send 3000
pipeline_start assigner learner scorer ingest
LEARNED=3000
must a_live_run_begins wait_until 60 learned $LEARNED
must the_topic_has_two_replicas replicas_in_sync 2

# ---- fail ----
must what_was_learned_is_cut_off cut_off 1000
must ingest_ends wait_until 60 gone "${PIPELINE_PID[ingest]}"
code=0
pipeline_exit_code ingest || code=$?
check with_2 equal "$code" 2
pipeline_start ingest
wait_until 60 gone "${PIPELINE_PID[ingest]}" || not_ok "the next ingest goes on"
code=0
pipeline_exit_code ingest || code=$?
check so_does_the_next equal "$code" 2
check and_says_what_happened grep -q 'to go on from offset 4000, but it holds 0 to 3000: events are lost, it was cut' \
    "$PIPELINE_DIR/ingest.log"

# ---- skip ----
PIPELINE_ARGS+=(-o ingest.on_lost_offset=skip)
pipeline_start ingest
gap_is_counted() { [[ $(pipeline_http ingest /metrics | metric autoassign_offset_gaps_total) == "$1" ]]; }
check with_skip_the_gap_is_counted wait_until 60 gap_is_counted 1
send 500
LEARNED=$((LEARNED + 500))
check what_comes_next_is_learned wait_until 60 learned $LEARNED
cluster_up "$KILLED"
must the_old_leader_follows wait_until 60 replicas_in_sync 2
must it_happens_again cut_off 800
check the_running_ingest_says_it wait_until 60 gap_is_counted 2
cluster_up "$KILLED"
send 700
LEARNED=$((LEARNED + 700))
check and_goes_on wait_until 60 learned $LEARNED
check gaps_are_in_the_log at_least "$(grep -c 'id=OFFSET-LOST.*cut (unclean leader election)' "$PIPELINE_DIR/ingest.log")" 2
pipeline_stop
check the_scorer_serves_what_the_learner_has equal "$(figure scorer served_digest)" "$(figure learner served_digest)"
check nothing_is_learned_twice equal "$(figure learner events)" $SENT
