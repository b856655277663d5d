# shellcheck shell=bash
# The four processes as one thing: start, watch, wait for the end of a replay, stop. Sourced by
# run.sh, demo.sh, bench.sh and the end-to-end tests; one pipeline per shell.
#
#   pipeline_init DIR BROKER [section.key=value]...
#   pipeline_start ingest assigner learner scorer
#   pipeline_wait_end SECONDS [COMMAND]     until the three that end with the replay have ended
#   pipeline_stop                           everything that still runs, by its pid
#
# Everything a run writes is in DIR: <process>.log, <process>.json, checkpoints, the ipc sockets
# (by relative names, since a socket's path may be no longer than 107 bytes; the processes' working
# directory is DIR).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PIPELINE_BIN=${AUTOASSIGN_BIN:-$ROOT/build/release/bin}
PIPELINE_CONFIG=${AUTOASSIGN_CONFIG:-$ROOT/compose/autoassign.yaml}
declare -A PIPELINE_PID=()
PIPELINE_DIR='' PIPELINE_ARGS=()
PIPELINE_USER=() # setpriv's words for another user: --reuid nobody --regid nogroup --clear-groups
declare -A PIPELINE_MORE=() # by process: settings of its own, section.key=value with blanks between them
DRAIN_SECONDS=30

pipeline_init() {
    mkdir -p "$1"
    PIPELINE_DIR=$(cd "$1" && pwd)
    PIPELINE_ARGS=()
    [[ ! -r $PIPELINE_CONFIG ]] || PIPELINE_ARGS+=(-c "$PIPELINE_CONFIG")
    local setting
    for setting in kafka.bootstrap.servers="$2" \
        links.events=ipc://events.ipc links.assigned=ipc://assigned.ipc \
        links.rewards=ipc://rewards.ipc scorer.listen=ipc://score.ipc \
        checkpoint.dir=checkpoints pipeline.summary_dir=. scorer.linger_ms=0 "${@:3}"; do
        PIPELINE_ARGS+=(-o "$setting")
    done
}

# tool NAME ARGS...: one of our programs with the pipeline's settings, in the pipeline's folder.
pipeline_tool() {
    local name=$1
    shift
    (cd "$PIPELINE_DIR" && "$PIPELINE_BIN/$name" "${PIPELINE_ARGS[@]}" "$@")
}

# A session of its own keeps the terminal's Ctrl-C away (pipeline_stop drains instead); the
# death signal ends the process when this shell is killed without a chance to stop it.
pipeline_start() {
    local name more
    for name in "$@"; do
        read -ra more <<<"${PIPELINE_MORE[$name]:-}"
        (cd "$PIPELINE_DIR" &&
            exec setsid setpriv --pdeathsig TERM "${PIPELINE_USER[@]}" \
                "$PIPELINE_BIN/$name" "${PIPELINE_ARGS[@]}" "${more[@]/#/-o}") >>"$PIPELINE_DIR/$name.log" 2>&1 </dev/null &
        PIPELINE_PID[$name]=$!
        echo $! >"$PIPELINE_DIR/$name.pid"
    done
}

pipeline_alive() { [[ -n ${PIPELINE_PID[$1]:-} ]] && alive "${PIPELINE_PID[$1]}"; }

# The exit code of a process that ended (waits for it if it has not). Remembered: a shell gives it once.
declare -A PIPELINE_EXIT=()
pipeline_exit_code() {
    local name=$1 code=0
    if [[ -n ${PIPELINE_PID[$name]:-} ]]; then
        wait "${PIPELINE_PID[$name]}" || code=$?
        PIPELINE_EXIT[$name]=$code
        unset "PIPELINE_PID[$name]"
        rm -f "$PIPELINE_DIR/$name.pid"
    fi
    return "${PIPELINE_EXIT[$name]:-127}"
}

pipeline_show_log() { # the last lines of a process, as a picture of what went wrong
    printf -- '---- %s: last lines of %s\n' "$1" "$PIPELINE_DIR/$1.log" >&2
    tail -n "${2:-25}" "$PIPELINE_DIR/$1.log" >&2 || true
}

# What a process has used so far, in ticks of 10 ms (fields 14 and 15 of its stat); none if it is gone.
declare -A PIPELINE_CPU_TICKS=()
pipeline_sample_cpu() {
    local stat fields
    { read -r stat <"/proc/${PIPELINE_PID[$1]:-none}/stat"; } 2>/dev/null || return 0
    read -r -a fields <<<"${stat##*) }"
    # shellcheck disable=SC2034 # read by the script that sources this
    PIPELINE_CPU_TICKS[$1]=$((fields[11] + fields[12]))
}

# Wait until ingest, assigner and learner have ended with 0. COMMAND is called every half second.
# Returns 1, with the log of whatever failed, when one fails, the scorer dies or time is up. The loop
# itself starts as few processes as it can: it shares two cores with what it watches.
pipeline_wait_end() {
    local deadline=$((SECONDS + $1)) look=${2:-:} name open=1 failed=0 tick=0
    while ((open && !failed)); do
        open=0
        for name in ingest assigner learner; do
            if pipeline_alive "$name"; then
                open=1
                pipeline_sample_cpu "$name"
            elif ! pipeline_exit_code "$name"; then
                warn "$name ended with exit code ${PIPELINE_EXIT[$name]:-?}"
                pipeline_show_log "$name"
                failed=1
            fi
        done
        if [[ -n ${PIPELINE_PID[scorer]:-} ]] && ! pipeline_alive scorer; then
            warn "the scorer ended"
            pipeline_show_log scorer
            failed=1
        fi
        if ((open && SECONDS > deadline)); then
            warn "the pipeline did not reach the end within $1 s"
            for name in ingest assigner learner; do pipeline_show_log "$name" 8; done
            failed=1
        fi
        ((failed || !open)) || { ((tick++ % 5)) || "$look"; sleep 0.1; }
    done
    return "$failed"
}

# Ingest first: its drain needs the others. Exit codes are kept for pipeline_exit_code.
pipeline_stop() {
    local name
    for name in ingest scorer assigner learner; do
        [[ -n ${PIPELINE_PID[$name]:-} ]] || continue
        stop_pid "${PIPELINE_PID[$name]}" "$DRAIN_SECONDS" || true
        pipeline_exit_code "$name" || true
    done
}

# pipeline_http NAME PATH: from a process's HTTP server, wherever it listens (its log has the port).
pipeline_port() {
    grep -oE 'id=HTTP-LISTEN .*port=[0-9]+' "$PIPELINE_DIR/$1.log" 2>/dev/null |
        tail -n 1 | grep -oE '[0-9]+$' # the last: a log continues over restarts
}
pipeline_http() {
    local port
    port=$(pipeline_port "$1") || return 1
    curl -sf --max-time 2 "http://127.0.0.1:$port$2"
}
pipeline_ready() { pipeline_http "$1" /readyz >/dev/null; }

# metric NAME < text: a metric's value; without labels in NAME, the sum over all of them. Empty: none.
metric() {
    awk -v name="$1" '
        { m = $1; if (name !~ /{/) sub(/\{.*/, "", m) }
        m == name { sum += $NF; n++ }
        END { if (n) printf "%.10g", sum }'
}

# The scorer has applied all that a replay which has ended published.
pipeline_scorer_caught_up() {
    local text
    pipeline_ready scorer && text=$(pipeline_http scorer /metrics) || return 1
    [[ $(metric autoassign_scorer_lag <<<"$text") == 0 ]] &&
        [[ $(metric autoassign_scorer_model_events <<<"$text") == "$(jq .events "$PIPELINE_DIR/learner.json")" ]]
}
