#!/usr/bin/env bash
# What fetchers take off the ingest that they work for: CPU time per JSON event of ingest alone, and of ingest and
# a fetcher that reads the topic's one partition for it. EVENTS=1500000; AUTOASSIGN_TEST_BROKER names the broker
# (scripts/local-kafka.sh start DIR).
source "$(dirname "$0")/../e2e/lib.bash"
EVENTS=${EVENTS:-1500000}

start_fetcher() {
    (cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/ingest" "${PIPELINE_ARGS[@]}" \
        -o ingest.role=fetcher) >>"$PIPELINE_DIR/fetcher.log" 2>&1 </dev/null &
    PIPELINE_PID[fetcher]=$!
}
all_learned() { [[ $(pipeline_http learner /metrics | metric autoassign_events_total) == "$EVENTS" ]]; }
per_event() { awk -v ticks="$1" -v n="$EVENTS" 'BEGIN { printf "%.2f", ticks * 1e4 / n }'; }

# A fetcher's partitions come before ingest's when the group deals (by member ID): it gets the only one.
measure() { # measure NAME ENDPOINT PROCESS...
    local name=$1 process
    init_run "$name" event.label=as-is ingest.run=live links.fetchers="$2" model.step=64 ingest.batch_events=4096 \
        publish.enabled=false
    [[ -e $WORK/record.log ]] ||
        pipeline_tool record --partitions 1 --json "$WORK/stream.csv" >"$WORK/record.log" 2>&1 || die "record failed"
    pipeline_start learner assigner
    [[ -z $2 ]] || start_fetcher
    pipeline_start ingest
    wait_until 120 all_learned || die "not everything was learned within 120 s: $PIPELINE_DIR"
    for process in "${@:3}"; do
        pipeline_sample_cpu "$process"
        echo "$name: $process $(per_event "${PIPELINE_CPU_TICKS[$process]}") us per event"
    done
    [[ -z $2 ]] || stop_pid "${PIPELINE_PID[fetcher]}" 30
    pipeline_stop
}

"$PIPELINE_BIN/generate" --events "$EVENTS" --seed 3 >"$WORK/stream.csv"
measure alone "" ingest
measure fetched ipc://fetchers.ipc ingest fetcher
