#!/usr/bin/env bash
# Measures what docs/SIZING.md is computed from, and writes the page:
#   tests/bench/sizing.sh            measure (a Kafka of its own, a generated stream) and write it
#   tests/bench/sizing.py FILE       only compute, from a build/sizing/measured.json that is there
# EVENTS=n (1000000), SEED=n
source "$(dirname "$0")/../../scripts/pipeline.sh"
EVENTS=${EVENTS:-1000000} SEED=${SEED:-1}
OUT=$ROOT/build/sizing
KAFKA=$OUT/kafka

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    pipeline_stop
    [[ ! -d $KAFKA ]] || "$ROOT/scripts/local-kafka.sh" stop "$KAFKA" || true
    rm -rf "$KAFKA"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

build all
rm -rf "$OUT"
mkdir -p "$OUT"
say "Kafka and a stream of $EVENTS events"
BROKER=$("$ROOT/scripts/local-kafka.sh" start "$KAFKA")
"$PIPELINE_BIN/generate" --events "$EVENTS" --users 50000 --items 20000 --arrivals 0.05 --seed "$SEED" >"$OUT/stream.csv"
# One record's bytes in the broker's log; index files are left out.
log_bytes() { find "$KAFKA"/data/"$1"-[0-9]* -name '*.log' -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }

run() { # run NAME STEP: a replay without a scorer
    pipeline_init "$OUT/$1" "$BROKER" "pipeline.name=sizing-$1" topics.interactions=sizing \
        "topics.assignments=sizing-$1-a" "topics.model=sizing-$1-m" ingest.run=replay \
        "model.step=$2" checkpoint.keep=3
}
run step1 1
pipeline_tool record --partitions 4 "$OUT/stream.csv" >"$OUT/record.log" 2>&1 || { cat "$OUT/record.log"; exit 1; }
for step in 1 64; do
    say "the pipeline, training step of $step event(s)"
    run step$step $step
    pipeline_start assigner learner ingest
    pipeline_wait_end 1800 || exit 1
    declare -p PIPELINE_CPU_TICKS >"$OUT/cpu-$step"
done
say "a scorer that builds itself from the topics"
run step1 1
start_ms=$(now_ms)
pipeline_start scorer
wait_until 300 pipeline_scorer_caught_up || { pipeline_show_log scorer; exit 1; }
rebuild_ms=$(($(now_ms) - start_ms))
scorer_text=$(pipeline_http scorer /metrics)
pipeline_sample_cpu scorer
declare -p PIPELINE_CPU_TICKS >"$OUT/cpu-scorer"
pipeline_stop

ticks() { (source /dev/stdin <"$OUT/cpu-$1"; echo "${PIPELINE_CPU_TICKS[$2]}"); }
ckpt() { find "$OUT/step1/checkpoints" -path "*/$1/*.ckpt" -printf '%s\n' | sort -n | tail -n 1; }
jq -n --slurpfile a "$OUT/step1/assigner.json" --slurpfile l "$OUT/step1/learner.json" \
    --slurpfile i "$OUT/step1/ingest.json" --slurpfile i64 "$OUT/step64/ingest.json" \
    --slurpfile s "$OUT/step1/scorer.json" \
    --arg machine "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
    --argjson cores "$(nproc)" --argjson events "$EVENTS" \
    --argjson t1 "[$(ticks 1 ingest),$(ticks 1 assigner),$(ticks 1 learner)]" \
    --argjson t64 "[$(ticks 64 ingest),$(ticks 64 assigner),$(ticks 64 learner)]" \
    --argjson tscorer "$(ticks scorer scorer)" --argjson rebuild_ms "$rebuild_ms" \
    --argjson interactions "$(log_bytes sizing)" --argjson a_bytes "$(log_bytes sizing-step1-a)" \
    --argjson m_bytes "$(log_bytes sizing-step1-m)" \
    --argjson ck_a "$(ckpt assigner)" --argjson ck_l "$(ckpt learner)" \
    --argjson records "$(metric autoassign_scorer_records_total <<<"$scorer_text")" \
    --argjson replica "$(metric autoassign_scorer_replica_bytes <<<"$scorer_text")" \
    '{machine: $machine, cores: $cores, events: $events,
      cpu_us: {step1: [$t1[] * 10000 / $events], step64: [$t64[] * 10000 / $events]},
      events_per_s: {step1: $i[0].events_per_s, step64: $i64[0].events_per_s},
      ids: $a[0].ids_seen, own_rows: $a[0].rows_unique, table_bytes: $a[0].table_bytes,
      row_bytes: $l[0].row_bytes, rows: $l[0].rows_live, checkpoint_assigner: $ck_a, checkpoint_learner: $ck_l,
      resident: {ingest: $i[0].peak_resident_bytes, assigner: $a[0].peak_resident_bytes, learner: $l[0].peak_resident_bytes, scorer: $s[0].peak_resident_bytes},
      topic_bytes: {interactions: $interactions, assignments: $a_bytes, model: $m_bytes},
      scorer: {records: $records, replica_bytes: $replica, rebuild_ms: $rebuild_ms, cpu_us_per_record: ($tscorer * 10000 / $records)}}' \
    >"$OUT/measured.json"
"$ROOT/tests/bench/sizing.py" "$OUT/measured.json" >"$ROOT/docs/SIZING.md"
say "docs/SIZING.md written from build/sizing/measured.json"
