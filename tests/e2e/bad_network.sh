#!/usr/bin/env bash
# A bad network between the processes and to the broker: delays, standstills, cut links that heal, at random while
# a stream is replayed. The end is that of an undisturbed run. Each link goes through a proxy of its own
# (tests/tools/proxy.c). The seed is printed.
#   FAULTS=n   at most so many, while the replay lasts (10; `make chaos`: 100)
#   EVENTS=n   60000
#   SEED=n     which faults
AUTOASSIGN_TEST_BROKER=its-own
source "$(dirname "$0")/lib.bash"
FAULTS=${FAULTS:-10}
EVENTS=${EVENTS:-60000}
SEED=${SEED:-$((RANDOM + 1))}
LINKS=(events assigned rewards broker)
SETTINGS=(event.label=as-is ingest.batch_events=64 checkpoint.every_events=2048 publish.every_ms=100)
declare -A PROXY=() LISTEN=() CONTROL=() # by link: the proxy's pid, port, and what its words are written to
SPOILER=0

finish() {
    local code=$? link
    trap - INT TERM HUP EXIT
    stop_pid "$SPOILER" 5
    for link in "${!PROXY[@]}"; do stop_pid "${PROXY[$link]}" 5; done
    "$ROOT/scripts/local-kafka.sh" stop "$WORK/kafka" || true
    set +e
    (exit $code)
    cleanup
}
trap finish EXIT

begin_proxy() { # begin_proxy LINK LISTEN_PORT TARGET_PORT
    local fd
    mkfifo "$WORK/$1.control"
    "${PIPELINE_BIN%/bin}/tests/tools/proxy" "$2" "$3" <"$WORK/$1.control" 2>"$WORK/$1.proxy" &
    PROXY[$1]=$!
    exec {fd}>"$WORK/$1.control"
    CONTROL[$1]=$fd
}
say_to() { echo "$2" >&"${CONTROL[$1]}"; } # say_to LINK WORDS

# One fault after the other: which link, what, how long.
spoil() {
    local i link word ms
    RANDOM=$SEED
    trap 'for link in "${LINKS[@]}"; do say_to "$link" heal; done; exit 0' TERM
    for ((i = 0; i < FAULTS; i++)); do
        link=${LINKS[RANDOM % 4]} ms=$((100 + RANDOM % 2000))
        case $((RANDOM % 3)) in
        0) word="delay $((1 + RANDOM % 150))" ;;
        1) word="stall" ;;
        2) word="cut" ;;
        esac
        say_to "$link" "$word"
        sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
        say_to "$link" heal
        echo "$link $word, $ms ms" >>"$WORK/spoilt"
        sleep "0.$(printf %03d $((RANDOM % 300)))"
    done
}
some_learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" 1000 >/dev/null 2>&1; }
begin_spoiling() {
    wait_until 30 some_learned || return 1
    spoil &
    SPOILER=$!
}
# The scorer's end of the broker's link is healed once the others have come to the end.
replay_in_it() {
    pipeline_start assigner learner scorer ingest
    begin_spoiling && pipeline_wait_end $((60 + 10 * FAULTS)) || return 1
    stop_pid "$SPOILER" 10
    wait_until 60 pipeline_scorer_caught_up || { pipeline_show_log scorer; return 1; }
    pipeline_stop
}
outcome() {
    local name
    for name in ingest assigner learner scorer; do echo "$name $(figure "$name" digest)"; done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}

echo "seed $SEED"
for link in "${LINKS[@]}"; do LISTEN[$link]=$(free_port); done
# Whoever asks the broker where it is hears the proxy's port.
direct=$(KAFKA_SETTINGS="advertised.listeners=PLAINTEXT://127.0.0.1:${LISTEN[broker]}" \
    "$ROOT/scripts/local-kafka.sh" start "$WORK/kafka") || die "no broker"
begin_proxy broker "${LISTEN[broker]}" "${direct#*:}"
AUTOASSIGN_TEST_BROKER=127.0.0.1:${LISTEN[broker]}
binds=() # who binds a link listens at a port of its own; who connects goes through the proxy
for link in events assigned rewards; do
    port=$(free_port)
    begin_proxy "$link" "${LISTEN[$link]}" "$port"
    binds+=("links.$link=tcp://127.0.0.1:$port")
    SETTINGS+=("links.$link=tcp://127.0.0.1:${LISTEN[$link]}")
done
PIPELINE_MORE[assigner]=${binds[0]}
PIPELINE_MORE[learner]="${binds[1]} ${binds[2]}"

"$PIPELINE_BIN/generate" --events "$EVENTS" --seed "$SEED" >"$WORK/stream.csv"
init_run undisturbed "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must undisturbed_replay_ends replay 120
want=$(outcome)
init_run disturbed "${SETTINGS[@]}"
must replay_ends_in_a_bad_network replay_in_it
check the_state_is_that_of_an_undisturbed_run equal "$(outcome)" "$want"
check faults_were_met at_least "$(wc -l <"$WORK/spoilt")" 1
echo "note $(wc -l <"$WORK/spoilt") faults: $(sed 's/[ ,].*//' "$WORK/spoilt" | sort | uniq -c | tr -s ' \n' ' ')"
