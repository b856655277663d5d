# shellcheck shell=bash
# Two lanes of one group: the pipeline of lib.bash, and beside it a second one, lane 1. Sourced after lib.bash, with
# SESSION_MS set, after which the group gives up a member that went away; PART_EVENTS and PARTS are the stream's.
declare -A PID1=() # the second lane's processes

# lanes_init SEED: PARTS parts of a stream in WORK/part-0N, and the settings of both lanes.
lanes_init() {
    "$PIPELINE_BIN/generate" --events $((PART_EVENTS * PARTS)) --seed "$1" >"$WORK/stream.csv"
    tail -n +2 "$WORK/stream.csv" | split -l "$PART_EVENTS" -d - "$WORK/part-"
    init_run lanes event.label=as-is ingest.run=live ingest.batch_events=64 checkpoint.every_ms=300 \
        kafka.session.timeout.ms="$SESSION_MS" kafka.heartbeat.interval.ms=500
    mkdir "$PIPELINE_DIR/lane1"
    LANE1=("${PIPELINE_ARGS[@]}" -o pipeline.lane=1 -o pipeline.summary_dir=lane1 -o links.events=ipc://events-1.ipc
        -o links.assigned=ipc://assigned-1.ipc -o links.rewards=ipc://rewards-1.ipc)
}
lane1_start() { # lane1_start NAME...
    local name
    for name in "$@"; do
        (cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/$name" "${LANE1[@]}") \
            >>"$PIPELINE_DIR/$name-1.log" 2>&1 </dev/null &
        PID1[$name]=$!
    done
}
lane1_stop() {
    local name
    for name in ingest assigner learner; do
        [[ -z ${PID1[$name]:-} ]] || stop_pid "${PID1[$name]}" 30
        unset "PID1[$name]"
    done
}
# learned learner|learner-1
learned() { pipeline_http "$1" /metrics | metric autoassign_events_total | grep . || echo 0; }
more_learned() { at_least "$(learned "$1")" $(($2 + 1)) >/dev/null 2>&1; }
