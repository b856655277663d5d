#!/usr/bin/env bash
# What a topic holds and gets while the pipeline runs: transactions of which the markers and the aborted events
# are no events, their retention, and partitions that are added. Nothing is lost and nothing counts as lost; a
# fetcher tells the sequencer as much. auto.offset.reset=latest is where the pipeline begins, not new partitions.
source "$(dirname "$0")/lib.bash"
FETCHER=0
stop_fetcher() { ((FETCHER == 0)) || stop_pid "$FETCHER" 30; }
trap 'stop_fetcher; cleanup' EXIT

events() { # events COUNT
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"user\":\"u%d\",\"item\":\"i%d\",\"label\":%d}\n", i % 50, i % 70, i % 2 }'
}
topic() { "$TOPIC_TOOL" "$1" "$AUTOASSIGN_TEST_BROKER" "$TOPIC" "${@:2}"; }
value() { pipeline_http "$1" /metrics 2>/dev/null | metric "$2" | grep . || echo -1; }
value_is() { [[ $(value "$1" "$2") == "$3" ]]; }
opened() { grep -c 'id=RUN-OPENED ' "$PIPELINE_DIR/ingest.log" || true; }
opened_after() { (($(opened) > $1)); }
caught_up() { pipeline_ready ingest && value_is ingest autoassign_consumer_lag 0; }
learned_at_least() { at_least "$(value learner autoassign_events_total)" "$1" >/dev/null 2>&1; }
some_commit() { at_least "$(value ingest autoassign_commits_total)" 1 >/dev/null 2>&1; }
fetcher_works() { value_is ingest autoassign_fetchers_working 1; }
run_begins_again() { # the assigner is killed
    local before
    before=$(opened)
    kill -KILL "${PIPELINE_PID[assigner]}"
    pipeline_exit_code assigner || true
    pipeline_start assigner
    wait_until 30 opened_after "$before" && pipeline_alive ingest
}

init_run live event.label=as-is event.format=json ingest.run=live checkpoint.every_ms=300 ingest.batch_wait_ms=20 \
    links.fetchers=ipc://fetchers.ipc kafka.auto.offset.reset=latest \
    kafka.topic.metadata.refresh.interval.ms=1000 kafka.session.timeout.ms=6000 kafka.heartbeat.interval.ms=500
printf 'user,item,label,timestamp\nold,old,1,1\nold,old,1,2\n' >"$WORK/old.csv"
pipeline_tool record --partitions 2 "$WORK/old.csv" >"$WORK/record.log" 2>&1 || die "record failed"
pipeline_start assigner learner ingest
must the_place_to_begin_is_committed_though_nothing_comes wait_until 30 some_commit
(cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/ingest" "${PIPELINE_ARGS[@]}" \
    -o ingest.role=fetcher) >>"$PIPELINE_DIR/fetcher.log" 2>&1 </dev/null &
FETCHER=$!
must a_fetcher_works wait_until 30 fetcher_works

for partition in 0 1; do
    events 50 | topic transact "$partition" commit
    events 20 | topic transact "$partition" abort
done
must committed_transactions_are_learned wait_until 30 value_is learner autoassign_events_total 100
check lag_is_0_behind_aborted_events_and_markers wait_until 10 caught_up
sleep 1 # three times the interval of commits: nothing is left to be committed after it, and nothing is
commits=$(value ingest autoassign_commits_total)
sleep 1
check an_idle_topic_is_not_committed_again value_is ingest autoassign_commits_total "$commits"
for partition in 0 1; do topic forget "$partition" -1; done
check retention_of_what_holds_no_event_is_no_loss run_begins_again

topic grow 4
for partition in 2 3; do events 50 | topic write "$partition"; done
check new_partitions_are_read_from_their_beginning wait_until 30 value_is learner autoassign_events_total 200
check a_run_that_begins_again_knows_them run_begins_again
events 50 | topic write 3
check and_goes_on_with_them wait_until 30 learned_at_least 250
check lag_is_0_in_the_end wait_until 30 caught_up
stop_fetcher
pipeline_stop
check every_event_is_learned_once equal "$(figure learner events)" 250
check nothing_counts_as_lost equal "$(grep -c 'id=OFFSET-LOST' "$PIPELINE_DIR/ingest.log")" 0
