#!/usr/bin/env bash
# `make chaos`: faults in random order, at random moments, while topics are replayed; the state that
# the pipeline reaches must be that of an undisturbed run, bit for bit.
#   make chaos [FAULTS=100] [SEED=n] [EVENTS=n]
# One undisturbed run, then rounds of the same stream under faults until FAULTS are done. Each round
# must end with the same digests of all four processes, the same figures and the same counts, a prediction
# of every event, and no checkpoint of a commit may have been missing.
# SEED chooses the faults, their order and their delays; the moments also depend on the machine.
# Writes OUT/summary.json (default build/chaos); exit code 1 when a round ends differently.
# DATA=file.csv: a stream of yours (user,item,label,timestamp; labels 0 and 1) instead of a generated one.
# READY=1: everything is installed and built (make check calls it so).
source "$(dirname "$0")/../../scripts/pipeline.sh"
source "$(dirname "$0")/faults.bash"

FAULTS=${FAULTS:-100}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
EVENTS=${EVENTS:-100000}
OUT=${OUT:-$ROOT/build/chaos}
TOOLS=${PIPELINE_BIN%/bin}/tests/tools
WORK=$OUT/run-$$
ROUND_SECONDS=900
# Small batches and checkpoints: many moments to strike at. A slow link keeps a round long enough.
SETTINGS=(event.label=as-is ingest.run=replay ingest.batch_events=64 checkpoint.every_events=2048
    publish.every_ms=100 log.level=info)
export KAFKA_SETTINGS=$'broker.session.timeout.ms=2500\nbroker.heartbeat.interval.ms=500'

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    faults_calm
    pipeline_stop
    "$ROOT/scripts/local-kafka.sh" stop "$WORK/kafka" || true
    cp "$WORK/faults.log" "$WORK/own-exits.log" "$OUT" 2>/dev/null || true
    ((code == 0)) && rm -rf "$WORK" || { rm -rf "$WORK/kafka/data"; warn "logs kept: $WORK"; }
    exit "$code"
}

build_all() {
    [[ -z ${READY:-} ]] || return 0
    "$ROOT/scripts/deps.sh"
    build all build-tests >"$WORK/build.log" || die "the build failed: $WORK/build.log"
}
prepare() {
    BROKER=$("$ROOT/scripts/local-kafka.sh" start "$WORK/kafka")
    if [[ -n ${DATA:-} ]]; then
        cp "$DATA" "$WORK/stream.csv"
    else
        "$PIPELINE_BIN/generate" --events "$EVENTS" --seed "$SEED" >"$WORK/stream.csv"
    fi
    begin_round record
    pipeline_tool record --partitions 4 "$WORK/stream.csv" >"$WORK/record.log" 2>&1 ||
        { cat "$WORK/record.log" >&2; die "record failed"; }
    EXPECTED=$("$TOOLS/topic" count "$BROKER" chaos)
}

begin_round() { # begin_round NAME: a pipeline of its own, from the stream's beginning
    pipeline_init "$WORK/$1" "$BROKER" "${SETTINGS[@]}" pipeline.name="chaos-$1" topics.interactions=chaos \
        topics.assignments="chaos-$1-assignments" topics.model="chaos-$1-model" \
        topics.predictions="chaos-$1-predictions"
    CHECKPOINTS=$PIPELINE_DIR/checkpoints/chaos-$1/0
}

# All four have come to the stream's end; what they say then, without what time decides, and without
# the memory that is held: a table that was restored is not as large as one that has grown.
outcome() {
    local name
    for name in ingest assigner learner scorer; do
        jq -S --arg name "$name" '{($name): del(.seconds, .events_per_s, .commits, .resets, .from, .epoch, .records, .bad_records,
            .requests, .rows_unique_peak, .version)
            | with_entries(select((.key | test("_bytes(_peak)?$") | not) or (.key | startswith("budget_"))))}' "$PIPELINE_DIR/$name.json"
    done
}
stop_scorer() {
    wait_until 120 scorer_is_there || { pipeline_show_log scorer; die "the scorer did not catch up (SEED=$SEED)"; }
    kill -TERM "${PIPELINE_PID[scorer]}"
    pipeline_exit_code scorer || { pipeline_show_log scorer; die "the scorer failed (SEED=$SEED)"; }
}
scorer_is_there() {
    supervise
    pipeline_alive scorer && pipeline_scorer_caught_up
}

undisturbed() {
    begin_round undisturbed
    supervise_begin
    until replay_ended; do supervise; sleep 0.05; done
    stop_scorer
    outcome >"$WORK/expected.json"
}

round() { # round NUMBER: faults until the stream has ended
    local deadline=$(($(now_ms) + ROUND_SECONDS * 1000)) next_ms
    begin_round "$1"
    supervise_begin
    next_ms=$(($(now_ms) + 300))
    until replay_ended; do
        supervise
        (($(now_ms) < deadline)) || { show_logs; die "round $1 does not end (SEED=$SEED)"; }
        if ((DONE < FAULTS && $(now_ms) >= next_ms)); then
            fault_next
            next_ms=$(($(now_ms) + GAP[(NEXT - 1) % ${#PLAN[@]}]))
        fi
        sleep 0.02
    done
    faults_calm
    stop_scorer
    outcome >"$PIPELINE_DIR/outcome.json"
    COUNTED=$(jq .events "$PIPELINE_DIR/learner.json")
}
show_logs() { local name; for name in ingest assigner learner scorer; do pipeline_show_log "$name" 12; done; }

write_summary() { # write_summary EQUAL
    jq -n --argjson faults "$DONE" --argjson equal "$1" --argjson expected "$EXPECTED" --argjson counted "$COUNTED" \
        --argjson seed "$SEED" --argjson rounds "$ROUND" --argjson restarts "$RESTARTS" --argjson failures "$OWN_EXITS" \
        --argjson kinds "$(awk '{ print $2 " " $3 }' "$WORK/faults.log" | sort | uniq -c |
            jq -Rn '[inputs | capture("^ *(?<n>[0-9]+) (?<k>.*)$") | {(.k): (.n | tonumber)}] | add // {}')" \
        --argjson digests "$(jq -s 'add | map_values(.digest)' "$WORK/expected.json")" \
        '{faults: $faults, digest_equal: $equal, events_expected: $expected, events_counted: $counted, seed: $seed,
          rounds: $rounds, restarts: $restarts, exits_of_their_own: $failures, kinds: $kinds, digests: $digests}' \
        >"$OUT/summary.json"
}

[[ $FAULTS =~ ^[0-9]+$ && $SEED =~ ^[0-9]+$ && $EVENTS =~ ^[1-9][0-9]*$ ]] ||
    die -2 "FAULTS=$FAULTS SEED=$SEED EVENTS=$EVENTS: numbers are needed"
rm -rf "$WORK"
mkdir -p "$WORK"
touch "$WORK/faults.log" "$WORK/own-exits.log"
exec 2> >(grep --line-buffered -v ' Killed  ' >&2) # the shell's remarks on what we killed
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
echo "seed $SEED"
build_all
plan $((FAULTS + 100)) "$SEED"
prepare
say "$EXPECTED events; an undisturbed run"
undisturbed
COUNTED=$(jq .events "$PIPELINE_DIR/learner.json")
ROUND=0 equal=true
while ((DONE < FAULTS)) && $equal; do
    ROUND=$((ROUND + 1))
    round "$ROUND"
    say "round $ROUND: $DONE of $FAULTS faults, $RESTARTS restarts, $OWN_EXITS exits of their own"
    diff "$WORK/expected.json" "$PIPELINE_DIR/outcome.json" >"$WORK/difference" || equal=false
    [[ $COUNTED == "$EXPECTED" ]] || equal=false
    # Predictions are at least once: one for every event, some more often.
    predicted=$("$TOOLS/topic" read "$BROKER" "chaos-$ROUND-predictions" | jq -c .key | sort -u | wc -l)
    [[ $predicted == "$EXPECTED" ]] || { echo "$predicted events have a prediction" >>"$WORK/difference"; equal=false; }
    # Going back to an older checkpoint would hide a commit that came before its checkpoints were durable.
    if grep -h 'id=CHECKPOINT-\(REFUSED\|FALLBACK\)' "$PIPELINE_DIR"/*.log >>"$WORK/difference"; then equal=false; fi
done
write_summary "$equal"
if ! $equal; then
    cat "$WORK/difference"
    die "round $ROUND ended differently from the undisturbed run (SEED=$SEED); $COUNTED events counted, $EXPECTED expected"
fi
say "$DONE faults in $ROUND rounds: the same digests, figures and counts as the undisturbed run; summary: $OUT/summary.json"
