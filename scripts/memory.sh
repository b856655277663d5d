#!/usr/bin/env bash
# `make memory`: what the whole pipeline holds in memory, and what each further ID costs.
#   make memory                                        all modes, 20 k and 2.2 M IDs, real Kafka, a scorer too
#   make memory MODES=default SIZES="2000 20000" LEAST_EVENTS=60000      a quick look
#   make memory SETTINGS="model.row_format=float"      other settings; GENERATE="--one-time 0.3" another stream
# A size is a number of users alive; items are a tenth of it, events three times as many (LEAST_EVENTS,
# 2000000, at least, so that buffers whose size does not depend on IDs are full at both sizes).
# Bytes per ID are slopes between the two sizes: what a process needs without any ID does not count.
# Prints a table and writes build/memory/summary.json. Peak: the most that was ever resident (VmHWM).
# Final: resident (VmRSS) when the replay has ended and the scorer has caught up, before anything is freed.
source "$(dirname "$0")/pipeline.sh"

SIZES=${SIZES:-20000 2000000}
MODES=${MODES:-default unique rule}
LEAST_EVENTS=${LEAST_EVENTS:-2000000}
SEED=${SEED:-1}
SETTINGS=${SETTINGS:-}
GENERATE=${GENERATE:-}
OUT=$ROOT/build/memory
RUN=$OUT/run-$$
REPLAY_SECONDS=3600 SCORER_SECONDS=900

usage() { sed -n '2,/^source/{/^#/s/^# \{0,1\}//p}' "$0"; }

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    progress_end
    pipeline_stop
    [[ ! -d $RUN/kafka ]] || "$ROOT/scripts/local-kafka.sh" stop "$RUN/kafka" || true
    rm -rf "$RUN/kafka" "$RUN"/*/checkpoints "$RUN"/*.csv "$RUN"/*/*.ipc
    rm -rf "$OUT/last"
    mv -T "$RUN" "$OUT/last" 2>/dev/null || rm -rf "$RUN"
    exit "$code"
}

check_arguments() {
    local word
    read -r SMALL LARGE word <<<"$SIZES"
    [[ $SMALL =~ ^[1-9][0-9]{1,9}$ && $LARGE =~ ^[1-9][0-9]{1,9}$ && -z $word ]] ||
        die -2 "SIZES='$SIZES': two numbers of users are needed, of 10 or more"
    ((SMALL < LARGE)) || die -2 "SIZES='$SIZES': the second has to be larger"
    [[ $LEAST_EVENTS =~ ^[1-9][0-9]*$ ]] || die -2 "LEAST_EVENTS=$LEAST_EVENTS: a number of events is needed"
    for word in $MODES; do
        [[ $word =~ ^[a-z-]+$ ]] || die -2 "MODES='$MODES': names of modes are needed"
    done
}

# make_stream SIZE: its file and its topic. Where the events are topped up to LEAST_EVENTS nobody arrives
# later, or there would be more IDs than the size says.
make_stream() {
    local size=$1 events=$((3 * $1)) options=()
    if ((events < LEAST_EVENTS)); then
        events=$LEAST_EVENTS
        options=(--arrivals 0 --one-time 0)
    fi
    # shellcheck disable=SC2206 # words on purpose
    options+=($GENERATE)
    say "a stream of $events events, $size users alive (seed $SEED)"
    "$PIPELINE_BIN/generate" --users "$size" --items $((size / 10)) --events "$events" --seed "$SEED" \
        "${options[@]}" >"$RUN/stream.csv"
    pipeline_init "$RUN/record" "$BROKER" topics.interactions="events-$size"
    pipeline_tool record --partitions 4 "$RUN/stream.csv" >"$RUN/record.log" 2>&1 ||
        { cat "$RUN/record.log" >&2; die "record failed"; }
    rm -f "$RUN/stream.csv"
}

# One record's bytes in the broker's log, of all partitions; index files are left out.
log_bytes() { find "$RUN/kafka/data" -path "*/$1-[0-9]*/*.log" -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }
checkpoint_bytes() { # checkpoint_bytes PROCESS: of its newest
    find "$PIPELINE_DIR/checkpoints" -path "*/$1/*.ckpt" -printf '%T@ %s\n' | sort -n | tail -n 1 | cut -d' ' -f2
}
status_bytes() { # status_bytes PID NAME: VmHWM or VmRSS
    awk -v name="$2:" '$1 == name { printf "%.0f", $2 * 1024 }' "/proc/$1/status"
}
show_progress() {
    local n
    n=$(pipeline_http learner /metrics | metric autoassign_events_total) || return 0
    [[ -z $n ]] || progress "$MODE, $SIZE users: $n events"
}

# run MODE SIZE: a replay to its end, a scorer beside it that then catches up; $RUN/MODE-SIZE.json
run() {
    local name=$1-$2 extra
    MODE=$1 SIZE=$2
    read -r -a extra <<<"$SETTINGS"
    say "mode $MODE, $SIZE users"
    pipeline_init "$RUN/$name" "$BROKER" "pipeline.name=$name" "agent.mode=$MODE" ingest.run=replay \
        event.label=as-is topics.interactions="events-$SIZE" topics.assignments="$name-assignments" \
        topics.model="$name-model" "${extra[@]}"
    pipeline_start assigner learner scorer ingest
    pipeline_wait_end "$REPLAY_SECONDS" show_progress || { progress_end; die "the pipeline failed"; }
    progress_end
    wait_until "$SCORER_SECONDS" pipeline_scorer_caught_up ||
        { pipeline_show_log scorer; die "the scorer did not catch up within $SCORER_SECONDS s"; }
    local peak final
    peak=$(status_bytes "${PIPELINE_PID[scorer]}" VmHWM) # its summary's has the digests' memory in it
    final=$(status_bytes "${PIPELINE_PID[scorer]}" VmRSS)
    pipeline_stop
    (cd "$PIPELINE_DIR" && jq -n --slurpfile i ingest.json --slurpfile a assigner.json \
        --slurpfile l learner.json --slurpfile s scorer.json \
        --argjson peak "$peak" --argjson final "$final" \
        --argjson ck_a "$(checkpoint_bytes assigner)" --argjson ck_l "$(checkpoint_bytes learner)" \
        --argjson interactions "$(log_bytes "events-$SIZE")" \
        --argjson assignments "$(log_bytes "$name-assignments")" --argjson model "$(log_bytes "$name-model")" '
        def resident: {peak_resident_bytes, resident_bytes};
        {users: '"$SIZE"', events: $l[0].events, ids: $a[0].ids_seen, rows: $l[0].rows_live, auc: $l[0].auc,
         ingest: ($i[0] | resident), assigner: ($a[0] | resident), learner: ($l[0] | resident),
         scorer: {peak_resident_bytes: $peak, resident_bytes: $final},
         checkpoint_bytes: {assigner: $ck_a, learner: $ck_l},
         kafka_bytes: {interactions: $interactions, assignments: $assignments, model: $model},
         in_tables: {id_table_bytes: $a[0].table_bytes, agent_bytes: $a[0].agent_bytes,
                     row_bytes: $l[0].row_bytes, replica_bytes: $s[0].replica_bytes},
         dim: $l[0].dim, mode: $l[0].mode}') >"$RUN/$name.json"
    # the next run needs neither; the broker deletes a topic's files in its own time
    rm -rf "$PIPELINE_DIR/checkpoints"
}

# A plain full table, as one would write it: a float row per ID and an index from key to row.
write_summary() {
    # shellcheck disable=SC2086 # words on purpose
    (cd "$RUN" && for mode in $MODES; do jq -n --slurpfile s "$mode-$SMALL.json" --slurpfile l "$mode-$LARGE.json" '
        def per_id(f): (($l[0] | f) - ($s[0] | f)) / ($l[0].ids - $s[0].ids) * 100 | round / 100;
        def peaks: .assigner.peak_resident_bytes + .learner.peak_resident_bytes + .scorer.peak_resident_bytes;
        def finals: .assigner.resident_bytes + .learner.resident_bytes + .scorer.resident_bytes;
        {($l[0].mode): {
            assigner_bytes_per_id: per_id(.assigner.resident_bytes),
            learner_bytes_per_id: per_id(.learner.resident_bytes),
            scorer_bytes_per_id: per_id(.scorer.resident_bytes),
            system_bytes_per_id: per_id(finals),
            ingest_bytes_per_id: per_id(.ingest.resident_bytes),
            assigner_peak_bytes_per_id: per_id(.assigner.peak_resident_bytes),
            learner_peak_bytes_per_id: per_id(.learner.peak_resident_bytes),
            scorer_peak_bytes_per_id: per_id(.scorer.peak_resident_bytes),
            system_peak_bytes_per_id: per_id(peaks),
            peak_to_final: ($l[0] | with_entries(select(.key | IN("ingest", "assigner", "learner", "scorer"))) |
                            map_values(.peak_resident_bytes / .resident_bytes * 1000 | round / 1000)),
            checkpoint_bytes_per_id: per_id(.checkpoint_bytes | add),
            kafka_bytes_per_event: ($l[0] | (.kafka_bytes | add) / .events * 10 | round / 10),
            kafka_model_bytes_per_event: ($l[0] | .kafka_bytes.model / .events * 10 | round / 10),
            auc: $l[0].auc, rows_per_id: ($l[0] | .rows / .ids * 10000 | round / 10000),
            small: $s[0], large: $l[0]}}'; done) |
        jq -s --arg machine "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" --argjson cores "$(nproc)" \
            --argjson seed "$SEED" --arg settings "$SETTINGS" '
        add | ([.[]][0].large.dim) as $dim | {machine: $machine, cores: $cores, seed: $seed, settings: $settings,
        plain_full_table: {
            formula: "train: 2 floats per weight, dim + 1 weights; serve: 1 float per weight; each with an index of 12 B (key 8, row 4) at load 0.8",
            train_bytes_per_id: (8 * ($dim + 1) + 15), serve_bytes_per_id: (4 * ($dim + 1) + 15),
            system_bytes_per_id: (12 * ($dim + 1) + 30)}} + .' >"$OUT/.summary.$$"
    mv "$OUT/.summary.$$" "$OUT/summary.json"
}

show_summary() {
    echo
    jq -r '
        def mb: . / 104857.6 | round / 10;
        .plain_full_table as $plain |
        (["mode", "IDs", "process", "peak MB", "final MB", "B per ID", "at peak"] | @tsv),
        (to_entries[] | select(.value | objects | has("large")) | .key as $mode | .value as $v |
            (("ingest", "assigner", "learner", "scorer") as $p |
                [$mode, $v.large.ids, $p, ($v.large[$p].peak_resident_bytes | mb), ($v.large[$p].resident_bytes | mb),
                 $v["\($p)_bytes_per_id"], ($v["\($p)_peak_bytes_per_id"] // "-")]),
            [$mode, $v.large.ids, "system",
             ($v.large | .assigner.peak_resident_bytes + .learner.peak_resident_bytes + .scorer.peak_resident_bytes | mb),
             ($v.large | .assigner.resident_bytes + .learner.resident_bytes + .scorer.resident_bytes | mb),
             $v.system_bytes_per_id, $v.system_peak_bytes_per_id] | @tsv),
        (["plain", "on paper", "train", "-", "-", $plain.train_bytes_per_id, "-"],
         ["plain", "on paper", "serve", "-", "-", $plain.serve_bytes_per_id, "-"],
         ["plain", "on paper", "system", "-", "-", $plain.system_bytes_per_id, "-"] | @tsv)' "$OUT/summary.json" |
        awk -F'\t' '{ printf "  %-10s %10s  %-9s %9s %9s %9s %9s\n", $1, $2, $3, $4, $5, $6, $7 }'
    echo
    jq -r 'to_entries[] | select(.value | objects | has("large")) | .value as $v |
        "  \(.key): AUC \($v.auc * 10000 | round / 10000), rows for \($v.rows_per_id * 1000 | round / 10) % of the IDs, " +
        "checkpoint \($v.checkpoint_bytes_per_id) B per ID, Kafka \($v.kafka_bytes_per_event) B per event"' "$OUT/summary.json"
    echo "  system: assigner + learner + scorer. Ingest reads ahead by a fixed number of events (ingest.partition_queue_events)."
    jq -r '"  plain: \(.plain_full_table.formula)"' "$OUT/summary.json"
    say "summary: build/memory/summary.json; logs: build/memory/last"
}

[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
check_arguments
mkdir -p "$OUT"
exec 7>"$OUT/.lock"
flock -n 7 || die "the same is under way here already"
remove_stale "$OUT"
mkdir -p "$RUN"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$ROOT/scripts/deps.sh"
say "building"
build all >"$RUN/build.log" || die "the build failed"
say "starting Kafka"
BROKER=$("$ROOT/scripts/local-kafka.sh" start "$RUN/kafka")
for size in $SMALL $LARGE; do
    make_stream "$size"
    for mode in $MODES; do run "$mode" "$size"; done
done
write_summary
show_summary
