#!/usr/bin/env bash
# `make bench`: how fast the pipeline is on this machine, and each of its stages alone, in one run.
#   make bench [EVENTS=2000000] [SEED=1]
# Prints a table and writes build/bench/summary.json. Nothing else should run meanwhile.
# The stream is generated and recorded once: build/bench keeps it, and Kafka's data, between runs.
source "$(dirname "$0")/pipeline.sh"

EVENTS=${EVENTS:-2000000}
SEED=${SEED:-1}
OUT=$ROOT/build/bench
STREAM=$OUT/stream-$EVENTS-$SEED.csv
TOPIC=bench-$EVENTS-$SEED
BENCH_BIN=$ROOT/build/release/tests/bench
TOPIC_TOOL=$ROOT/build/release/tests/tools/topic

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    progress_end
    pipeline_stop
    "$ROOT/scripts/local-kafka.sh" stop "$OUT/kafka" || true
    rm -rf "$OUT"/run-*
    exit "$code"
}

record_once() {
    if [[ ! -r $STREAM ]]; then
        say "generating $EVENTS events (seed $SEED)"
        "$PIPELINE_BIN/generate" --events "$EVENTS" --seed "$SEED" >"$STREAM.part"
        mv "$STREAM.part" "$STREAM"
    fi
    [[ $("$TOPIC_TOOL" count "$BROKER" "$TOPIC" 2>/dev/null) != "$EVENTS" ]] || return 0
    say "recording them into topic $TOPIC, 4 partitions"
    pipeline_init "$OUT/run-record" "$BROKER" topics.interactions="$TOPIC"
    pipeline_tool record --partitions 4 "$STREAM" >"$OUT/record.log" 2>&1 ||
        { cat "$OUT/record.log" >&2; die "record failed"; }
    [[ $("$TOPIC_TOOL" count "$BROKER" "$TOPIC") == "$EVENTS" ]] ||
        die "topic $TOPIC holds another number of events: remove build/bench and run again"
}

show_progress() {
    local n
    n=$(pipeline_http learner /metrics | metric autoassign_events_total) || return 0
    [[ -z $n ]] || progress "$n of $EVENTS events"
}

# pipeline STEP: Kafka to the last update; no scorer, everything else as in production.
pipeline() {
    say "the pipeline, training step of $1 event(s)"
    local dir=$OUT/run-step$1
    rm -rf "$dir"
    pipeline_init "$dir" "$BROKER" ingest.run=replay event.label=as-is pipeline.name="bench-$$-$1" \
        topics.interactions="$TOPIC" topics.assignments="bench-assignments-$$-$1" \
        topics.model="bench-model-$$-$1" model.step="$1"
    pipeline_start assigner learner ingest
    pipeline_wait_end 1800 show_progress || { progress_end; die "the pipeline failed"; }
    progress_end
    jq --argjson i "${PIPELINE_CPU_TICKS[ingest]}" --argjson a "${PIPELINE_CPU_TICKS[assigner]}" \
        --argjson l "${PIPELINE_CPU_TICKS[learner]}" \
        '. + {cpu_us_per_event: ({ingest: $i, assigner: $a, learner: $l} | map_values(. * 10000 / '"$EVENTS"' * 100 | round / 100))}' \
        "$dir/learner.json" >"$OUT/learner-step$1.json"
}

limit() {
    say "librdkafka alone on the same topic (best of 3)"
    for _ in 1 2 3; do "$BENCH_BIN/bench_kafka" "$BROKER" "$TOPIC"; done |
        jq -s 'max_by(.messages_per_s)' >"$OUT/limit.json"
}

# Ingest as it is in the pipeline, with a sink behind it.
ingest_alone() {
    say "ingest alone on the same topic"
    local sink
    pipeline_init "$OUT/run-ingest" "$BROKER" ingest.run=replay event.label=as-is \
        pipeline.name="bench-$$-ingest" topics.interactions="$TOPIC"
    (cd "$PIPELINE_DIR" && exec "$BENCH_BIN/bench_sink" ipc://events.ipc) >"$OUT/ingest.json" &
    sink=$!
    pipeline_start ingest
    wait "$sink" || { pipeline_show_log ingest; die "ingest failed"; }
    pipeline_stop
}

stages() { # stages STEP
    say "each stage alone, training step of $1 event(s)"
    "$BENCH_BIN/bench_stages" model.step="$1" <"$STREAM" >"$OUT/stages-step$1.json"
}

scorer_alone() {
    say "a score request alone, and beside updates"
    "$BENCH_BIN/bench_scorer" >"$OUT/scorer.json"
    say "score requests over loopback HTTP, beside updates"
    "$BENCH_BIN/bench_http" >"$OUT/http.json" || die "not every request was answered"
}

# A live pipeline at its default settings; TRIALS events, each until a score reflects it.
freshness() {
    local trials=${TRIALS:-100} dir=$OUT/run-fresh
    say "freshness: from Kafka to the score, $trials events"
    rm -rf "$dir"
    pipeline_init "$dir" "$BROKER" event.label=as-is pipeline.name="bench-$$-fresh" \
        topics.interactions="bench-fresh-$$" topics.assignments="bench-assignments-$$-fresh" \
        topics.model="bench-model-$$-fresh"
    pipeline_tool record --partitions 1 --limit 100 "$STREAM" >"$OUT/record.log" 2>&1 ||
        { cat "$OUT/record.log" >&2; die "record failed"; }
    pipeline_start assigner learner scorer ingest
    (cd "$PIPELINE_DIR" && "$BENCH_BIN/bench_freshness" "$trials" kafka.bootstrap.servers="$BROKER" \
        topics.interactions="bench-fresh-$$" scorer.listen=ipc://score.ipc) >"$OUT/freshness.json" ||
        { pipeline_show_log scorer; die "freshness could not be measured"; }
    pipeline_http scorer /metrics | freshness_in_metrics >"$OUT/freshness-metrics.json" ||
        die "the scorer's metrics could not be read"
    pipeline_stop
}

# The same as /metrics has it, for comparison: quantiles within the histogram's buckets.
freshness_in_metrics() {
    awk -F'[{}"]' '
        $1 == "autoassign_scorer_freshness_seconds_bucket" { le[n] = $3; c[n++] = $NF + 0 }
        function quantile(q,  i, below, low) {
            for (i = 0; i < n - 1; i++) if (c[i] >= q * c[n - 1]) break
            below = i ? c[i - 1] : 0; low = i ? le[i - 1] : 0
            return low + (le[i] - low) * (q * c[n - 1] - below) / (c[i] - below)
        }
        END { if (!n || !c[n - 1]) exit 1
              for (i = 0; i < n; i++) if (le[i] == 1) within = c[i] / c[n - 1]
              printf "{\"freshness_metrics_p50_ms\": %.0f, \"freshness_metrics_p99_ms\": %.0f, " \
                     "\"freshness_metrics_within_1s\": %.4f, \"freshness_metrics_count\": %d}\n",
                     quantile(.5) * 1000, quantile(.99) * 1000, within, c[n - 1] }'
}

write_summary() {
    jq -n --slurpfile k "$OUT/limit.json" \
        --slurpfile p1 "$OUT/learner-step1.json" --slurpfile p64 "$OUT/learner-step64.json" \
        --slurpfile s1 "$OUT/stages-step1.json" --slurpfile s64 "$OUT/stages-step64.json" \
        --slurpfile i "$OUT/ingest.json" --slurpfile sc "$OUT/scorer.json" \
        --slurpfile h "$OUT/http.json" --slurpfile f "$OUT/freshness.json" \
        --slurpfile fm "$OUT/freshness-metrics.json" --arg cpu "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
        --argjson cores "$(nproc)" '
        $k[0].messages_per_s as $limit |
        {machine: $cpu, cores: $cores, events: $p1[0].events,
         kafka_limit_events_per_s: $limit,
         pipeline_events_per_s_step1: ($p1[0].events_per_s | round),
         pipeline_events_per_s_step64: ($p64[0].events_per_s | round),
         pipeline_cpu_us_per_event_step1: $p1[0].cpu_us_per_event,
         pipeline_cpu_us_per_event_step64: $p64[0].cpu_us_per_event,
         pipeline_auc_step1: $p1[0].auc, pipeline_auc_step64: $p64[0].auc,
         ingest_events_per_s: $i[0].events_per_s,
         assigner_ids_per_s: $s64[0].assigner_ids_per_s,
         learner_events_per_s_step1: $s1[0].learner_events_per_s,
         learner_events_per_s_step64: $s64[0].learner_events_per_s,
         wire_pack_events_per_s: $s64[0].wire_pack_events_per_s,
         wire_unpack_events_per_s: $s64[0].wire_unpack_events_per_s,
         wire_bytes_per_event: $s64[0].wire_bytes_per_event} |
        . + {ratio_step1_to_limit: (.pipeline_events_per_s_step1 / $limit),
             ratio_step64_to_limit: (.pipeline_events_per_s_step64 / $limit)} + $sc[0] + $h[0] + $f[0] + $fm[0]' >"$OUT/summary.json"
}

show_summary() {
    jq -r '
        def group: tostring | [while(length > 0; .[:-3]) | .[-3:]] | reverse | join(",");
        def row(name; v; unit): "\(name)\t\(v | round | group)\t\(unit)";
        def cpu: "ingest \(.ingest), assigner \(.assigner), learner \(.learner)";
        .kafka_limit_events_per_s as $limit |
        row("Kafka alone (librdkafka)"; $limit; "events/s"),
        row("pipeline, step 1"; .pipeline_events_per_s_step1; "events/s, \(.ratio_step1_to_limit * 1000 | round / 10) % of the limit, AUC \(.pipeline_auc_step1 * 10000 | round / 10000)"),
        row("pipeline, step 64"; .pipeline_events_per_s_step64; "events/s, \(.ratio_step64_to_limit * 1000 | round / 10) % of the limit, AUC \(.pipeline_auc_step64 * 10000 | round / 10000)"),
        row("  CPU time, step 1"; [.pipeline_cpu_us_per_event_step1[]] | add * 1000; "ns/event; in us: \(.pipeline_cpu_us_per_event_step1 | cpu)"),
        row("  CPU time, step 64"; [.pipeline_cpu_us_per_event_step64[]] | add * 1000; "ns/event; in us: \(.pipeline_cpu_us_per_event_step64 | cpu)"),
        row("ingest alone"; .ingest_events_per_s; "events/s"),
        row("assigner alone"; .assigner_ids_per_s; "IDs/s"),
        row("learner alone, step 1"; .learner_events_per_s_step1; "events/s"),
        row("learner alone, step 64"; .learner_events_per_s_step64; "events/s"),
        row("score request, p50"; .score_step_p50_us; "us for \(.score_candidates) items: \(.score_forward_us) forward, \(.score_lookup_us) look-ups; p99 \(.score_step_p99_us)"),
        row("  beside updates, p50"; .score_step_beside_updates_p50_us; "us, p99 \(.score_step_beside_updates_p99_us), at \(.score_updates_per_s | group) updates/s"),
        row("  over HTTP, p50"; .score_http_p50_ms * 1000; "us, p99 \(.score_http_p99_ms * 1000 | round) (best of 8 seconds: \(.score_http_best_round_p99_ms * 1000 | round)), at \(.score_http_requests_per_s | group) requests/s beside \(.score_http_updates_per_s | round | group) updates/s; look-ups are \(.score_lookup_us / .score_http_p50_ms / 10 | round) % of it"),
        row("  /healthz alone, p50"; .score_http_healthz_p50_ms * 1000; "us, p99 \(.score_http_healthz_p99_ms * 1000 | round): /healthz, the same client"),
        row("  forward pass alone"; .score_http_forward_us; "us for the same \(.score_candidates) items"),
        row("  on the machine"; .score_http_cores * 100; "% of a core for all of it, \(.score_http_client_cores * 100 | round) % its client; other processes had \(.score_http_others_cores * 100 | round) %"),
        row("  beside rankings, p50"; .score_http_beside_ranking_p50_ms * 1000; "us, p99 \(.score_http_beside_ranking_p99_ms * 1000 | round), while all \(.rank_all_items | group) items are ranked in \(.rank_all_ms) ms each"),
        row("freshness, p99"; .freshness_p99_ms; "ms from Kafka to the score, p50 \(.freshness_p50_ms)"),
        row("  in /metrics, p99"; .freshness_metrics_p99_ms; "ms, p50 \(.freshness_metrics_p50_ms); \(.freshness_metrics_within_1s * 1000 | round / 10) % within 1 s"),
        row("links: packing"; .wire_pack_events_per_s; "events/s, all three messages, \(.wire_bytes_per_event) bytes/event"),
        row("links: unpacking"; .wire_unpack_events_per_s; "events/s, all three messages")' "$OUT/summary.json" |
        awk -F'\t' '{ printf "  %-26s %12s  %s\n", $1, $2, $3 }'
    say "summary: build/bench/summary.json"
}

[[ $EVENTS =~ ^[1-9][0-9]*$ ]] || die -2 "EVENTS=$EVENTS: a number of events is needed"
mkdir -p "$OUT"
exec 7>"$OUT/.lock"
flock -n 7 || die "another bench runs here"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$ROOT/scripts/deps.sh"
say "building"
build all build-bench build-tests >"$OUT/build.log" || die "the build failed"
say "starting Kafka"
BROKER=$("$ROOT/scripts/local-kafka.sh" start "$OUT/kafka")
record_once
limit
ingest_alone
pipeline 1
pipeline 64
stages 1
stages 64
scorer_alone
freshness
write_summary
show_summary
