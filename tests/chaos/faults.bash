# shellcheck shell=bash
# The faults of the chaos test, and the supervisor that puts things up again. Sourced after
# scripts/pipeline.sh; one pipeline per shell.
#
#   plan COUNT SEED           PLAN[i]: "KIND TARGET MS", GAP[i]: ms to the next one
#   supervise_begin           start the four processes
#   supervise                 start what has ended and is due, wake what was stopped and is due
#   fault_next                do the next of the plan; DONE counts those that found their moment
#   replay_ended              ingest, assigner and learner have all come to the stream's end
#   faults_calm               wake everything, put everything up
#
# kill        kill -9, up again after MS               kill-begun    ... while a checkpoint is being written
# term        SIGTERM, up again after MS               kill-durable  ... between the file and the commit
# stop        SIGSTOP for MS                           kill-writer   kill -9 of the forked snapshot child
# kill-all    kill -9 of all four processes at once    stop-writer   SIGSTOP of it for MS: a slow disk

declare -a PLAN=() GAP=()
declare -A DUE=() WAKE=() FINISHED=() TERMED=() # by name: start again at; by pid: continue at; ended; asked to
DONE=0 NEXT=0 RESTARTS=0 OWN_EXITS=0
BROKER_JOB=0

plan() {
    local i kind target targets r
    RANDOM=$(($2 % 32768))
    for ((i = 0; i < $1; i++)); do
        r=$((RANDOM % 100))
        if ((r < 28)); then kind=kill target=any
        elif ((r < 34)); then kind=kill target=broker
        elif ((r < 37)); then kind=stop target=broker
        elif ((r < 39)); then kind=term target=broker
        elif ((r < 53)); then kind=stop target=any
        elif ((r < 63)); then kind=term target=any
        elif ((r < 72)); then kind=kill-begun target=saves
        elif ((r < 83)); then kind=kill-durable target=saves
        elif ((r < 90)); then kind=kill-writer target=forks
        elif ((r < 96)); then kind=stop-writer target=forks
        else kind=kill-all target=all; fi
        case $target in
        any) targets=(ingest assigner learner scorer) ;;
        saves) targets=(ingest assigner learner) ;;
        forks) targets=(assigner learner) ;;
        *) targets=("$target") ;;
        esac
        PLAN[i]="$kind ${targets[RANDOM % ${#targets[@]}]} $((RANDOM % 1200))"
        [[ $kind != stop* ]] || PLAN[i]="${PLAN[i]% *} $((300 + RANDOM % 3700))"
        # shellcheck disable=SC2034 # chaos.sh waits so long
        GAP[i]=$((50 + RANDOM % 900))
    done
}

# ---- putting up ----

broker_pid() { cat "$WORK/kafka/pid"; }
broker_up() { "$ROOT/scripts/local-kafka.sh" start "$WORK/kafka" >>"$WORK/broker-restarts.log" 2>&1; }

supervise_begin() {
    DUE=() WAKE=() FINISHED=() TERMED=()
    pipeline_start assigner learner scorer ingest
}

# A process that ended: as it should, because it was told to, or of its own. All but the first are put up again.
note_end() { # note_end NAME
    local name=$1 code=0
    pipeline_exit_code "$name" || code=$?
    if ((code == 0)) && [[ -z ${TERMED[$name]:-} && $name != scorer ]]; then
        FINISHED[$name]=1
        return
    fi
    if ((code != 137 && code != 0)); then
        OWN_EXITS=$((OWN_EXITS + 1))
        echo "$name exit code $code: $(tail -n 1 "$PIPELINE_DIR/$name.log")" >>"$WORK/own-exits.log"
        DUE[$name]=$(($(now_ms) + 200))
    fi
    unset "TERMED[$name]"
    DUE[$name]=${DUE[$name]:-$(now_ms)}
}

supervise() {
    local name pid now
    now=$(now_ms)
    for name in "${!WAKE[@]}"; do
        ((WAKE[$name] <= now)) || continue
        kill -CONT "$name" 2>/dev/null || true
        unset "WAKE[$name]"
    done
    for name in assigner learner scorer ingest; do
        if [[ -n ${PIPELINE_PID[$name]:-} ]] && ! pipeline_alive "$name"; then note_end "$name"; fi
        if [[ -z ${PIPELINE_PID[$name]:-} && -n ${DUE[$name]:-} ]] && ((DUE[$name] <= now)); then start_again "$name"; fi
    done
    # Ended is ended only when all three are: a final commit that ingest did not live to see is made again with all.
    if ((${#FINISHED[@]} > 0)) && ! replay_ended; then
        for name in assigner learner ingest; do
            if [[ -n ${FINISHED[$name]:-} && -z ${PIPELINE_PID[$name]:-} ]] && others_go_on "$name"; then
                unset "FINISHED[$name]"
                start_again "$name"
            fi
        done
    fi
}
start_again() {
    unset "DUE[$1]"
    RESTARTS=$((RESTARTS + 1))
    pipeline_start "$1"
}
# Another process has begun anew after this one had ended: it waits for this one.
others_go_on() {
    local other
    for other in assigner learner ingest; do
        [[ $other == "$1" || -n ${FINISHED[$other]:-} ]] && continue
        [[ $PIPELINE_DIR/$other.pid -nt $PIPELINE_DIR/$1.json ]] && return 0
    done
    return 1
}
replay_ended() { ((${#FINISHED[@]} == 3)); }

faults_calm() {
    local pid
    for pid in "${!WAKE[@]}"; do kill -CONT "$pid" 2>/dev/null || true; done
    WAKE=()
    ((!BROKER_JOB)) || wait "$BROKER_JOB" || true
    BROKER_JOB=0
}

# ---- the faults ----

fault_next() {
    local kind target ms
    read -r kind target ms <<<"${PLAN[NEXT % ${#PLAN[@]}]}"
    NEXT=$((NEXT + 1))
    [[ $target == broker || $target == all ]] || target=$(alive_one "$target") || return 0
    fault "$kind" "$target" "$ms" || return 0
    echo "$(now_ms) $kind $target $ms" >>"$WORK/faults.log"
    DONE=$((DONE + 1))
}
fault() { # fault KIND TARGET MS
    local kind=$1 target=$2 ms=$3
    case "$kind $target" in
    *" broker") fault_broker "$kind" "$ms" ;;
    kill-all*) fault_all "$ms" ;;
    kill*) fault_kill "$kind" "$target" "$ms" ;;
    stop-writer*) fault_stop_writer "$target" "$ms" ;;
    stop*)
        kill -STOP "${PIPELINE_PID[$target]}" 2>/dev/null || return
        WAKE[${PIPELINE_PID[$target]}]=$(($(now_ms) + ms))
        ;;
    term*)
        TERMED[$target]=1
        DUE[$target]=$(($(now_ms) + ms))
        kill -TERM "${PIPELINE_PID[$target]}" 2>/dev/null || true
        ;;
    esac
}

# The target if it is there, else another that is.
alive_one() {
    local name
    for name in "$1" learner assigner ingest scorer; do
        if pipeline_alive "$name"; then echo "$name"; return 0; fi
    done
    return 1
}

# At a moment of a checkpoint, or, when none comes within 3 s, just so.
fault_kill() { # fault_kill KIND NAME MS
    local pid=${PIPELINE_PID[$2]} when=${1#kill-}
    if [[ $when == writer ]]; then
        "$TOOLS/strike" "$CHECKPOINTS/$2" begun 3000 9 writer >>"$WORK/strikes.log"
        return
    fi
    DUE[$2]=$(($(now_ms) + $3))
    unset "TERMED[$2]"
    if [[ $when == kill ]] || ! "$TOOLS/strike" "$CHECKPOINTS/$2" "$when" 3000 9 "$pid" >>"$WORK/strikes.log"; then
        kill -KILL "$pid" 2>/dev/null || true
    fi
}
fault_all() {
    local name
    for name in ingest assigner learner scorer; do
        pipeline_alive "$name" || continue
        DUE[$name]=$(($(now_ms) + $1))
        kill -KILL "${PIPELINE_PID[$name]}" 2>/dev/null || true
    done
}
fault_stop_writer() { # fault_stop_writer NAME MS
    local file pid
    file=$("$TOOLS/strike" "$CHECKPOINTS/$1" begun 3000 19 writer) || return
    pid=${file#.tmp-}
    WAKE[${pid%%-*}]=$(($(now_ms) + $2))
}
fault_broker() { # fault_broker KIND MS
    faults_calm
    case $1 in
    stop)
        kill -STOP "$(broker_pid)"
        WAKE[$(broker_pid)]=$(($(now_ms) + $2))
        ;;
    term)
        "$ROOT/scripts/local-kafka.sh" stop "$WORK/kafka"
        broker_up &
        BROKER_JOB=$!
        ;;
    kill)
        kill -KILL "$(broker_pid)"
        broker_up &
        BROKER_JOB=$!
        ;;
    esac
}
