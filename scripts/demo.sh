#!/usr/bin/env bash
# `make demo`: the whole pipeline once, on this machine, from nothing to a summary.
#   make demo                                a generated stream of a million events
#   make demo EVENTS=200000                  a shorter one
#   make demo DATA=ratings.csv POSITIVE=3    a file that `record` reads (user,item,label,timestamp CSV, .gz too,
#                                            MovieLens' files, JSON lines, ...); labels above POSITIVE are 1
#   make demo DATA=ratings.csv RECORD='--label rating --skip-bad'    with options of `record`, which names
#                                            those that decide what could be read in two ways
# Installs what is missing, builds, starts a real Kafka, loads the stream, runs the four processes to the
# recorded end, asks the scorer, writes build/demo/summary.json and stops everything it started.
# Logs and per-process summaries of the last run stay in build/demo/last.
source "$(dirname "$0")/pipeline.sh"

DATA=${DATA:-}
POSITIVE=${POSITIVE:-}
read -ra RECORD <<<"${RECORD:-}"
EVENTS=${EVENTS:-1000000}
SEED=${SEED:-1}
PARTITIONS=4
OUT=$ROOT/build/demo
RUN=$OUT/run-$$ # of this run alone: demos side by side do not meet
REPLAY_SECONDS=1800

usage() { sed -n '2,/^source/{/^#/s/^# \{0,1\}//p}' "$0"; }

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    progress_end
    pipeline_stop
    [[ ! -d $RUN/kafka ]] || "$ROOT/scripts/local-kafka.sh" stop "$RUN/kafka" || true
    if ((code == 0)); then say "all processes stopped"; else warn "stopped everything that was started"; fi
    keep_logs
    exit "$code"
}
keep_logs() { # of this run, as build/demo/last; the data are not kept
    rm -rf "$RUN/kafka/data" "$RUN/checkpoints" "$RUN/stream.csv" "$RUN"/*.ipc "$RUN"/*.pid
    rm -rf "$OUT/last"
    mv -T "$RUN" "$OUT/last" 2>/dev/null || rm -rf "$RUN"
}

check_arguments() {
    if [[ -n $DATA ]]; then
        [[ -r $DATA ]] || die -2 "DATA=$DATA: no such file"
        DATA=$(readlink -f "$DATA")
    fi
    [[ $EVENTS =~ ^[1-9][0-9]*$ ]] || die -2 "EVENTS=$EVENTS: a number of events is needed"
    [[ -z $POSITIVE || $POSITIVE =~ ^-?[0-9]+([.][0-9]+)?$ ]] ||
        die -2 "POSITIVE=$POSITIVE: a number is needed (labels above it are positive)"
}

# What `record` finds in the stream: how many events, which labels, IDs to ask for. It names the columns.
describe_stream() {
    FACTS=$RUN/describe.json
    "$PIPELINE_BIN/record" --describe --sample 5 "${RECORD[@]}" "$STREAM" >"$FACTS" ||
        die -2 "$STREAM: cannot be read as a stream of interactions"
    TOTAL=$(jq .events "$FACTS")
    ((TOTAL > 0)) || die -2 "$STREAM: there is no event in it"
}

# Labels that are all 0 or 1 are taken as they are; ratings need to be told what is positive.
decide_labels() {
    local least most
    read -r least most < <(jq -r '"\(.label_min) \(.label_max)"' "$FACTS")
    if [[ -n $POSITIVE ]]; then
        LABELS=(event.label=threshold "event.positive_above=$POSITIVE")
        awk -v p="$POSITIVE" -v a="$least" -v b="$most" 'BEGIN { exit !(a <= p && p < b) }' ||
            die -2 "POSITIVE=$POSITIVE: the labels of $STREAM go from $least to $most, so all would be of one class, and nothing could be learned"
        say "labels: above $POSITIVE is positive"
    elif [[ $least == "$most" ]]; then
        die -2 "$STREAM: every label is $least: with one class nothing can be learned"
    elif [[ $(jq -r .binary "$FACTS") == true ]]; then
        LABELS=(event.label=as-is)
        say "labels: 0 and 1, taken as they are"
    else
        die -2 "$(printf '%s holds ratings from %s to %s, and it is not stated which are positive.
Say it with POSITIVE: make demo DATA=%s POSITIVE=%s makes every label above it positive.' "$DATA" \
            "$least" "$most" "$DATA" "$(jq -r '(.label_min + .label_max) / 2 | floor' "$FACTS")")"
    fi
}

show_progress() {
    local text done_events rate auc so_far
    text=$(pipeline_http learner /metrics) || return 0
    done_events=$(metric autoassign_events_total <<<"$text")
    auc=$(metric 'autoassign_auc{window="all"}' <<<"$text")
    [[ -n $done_events ]] || return 0
    rate=$(awk -v n="$done_events" -v ms=$(($(now_ms) - REPLAY_START_MS)) 'BEGIN { printf "%.0f", n * 1000 / (ms + 1) }')
    so_far=''
    [[ $auc != [0-9]* ]] || printf -v so_far ', AUC so far %.4f' "$auc" # nan before there is one
    progress "$done_events of $TOTAL events ($((done_events * 100 / TOTAL)) %), $rate events/s$so_far"
}

prepare_stream() {
    if [[ -n $DATA ]]; then
        STREAM=$DATA
        say "stream: $DATA"
    else
        STREAM=$RUN/stream.csv
        say "generating $EVENTS events (seed $SEED): Zipf popularity, arrivals and departures, drift"
        "$PIPELINE_BIN/generate" --events "$EVENTS" --seed "$SEED" >"$STREAM"
    fi
}

run_pipeline() {
    say "starting ingest, assigner, learner and scorer"
    REPLAY_START_MS=$(now_ms)
    pipeline_start assigner learner scorer ingest
    pipeline_wait_end "$REPLAY_SECONDS" show_progress || { progress_end; die "the pipeline failed"; }
    progress_end
    say "the replay has ended"
}

# Events that ingest refused are in the dead-letter topic; a run that refused all has learned nothing.
check_learned() {
    local letters why
    letters=$(jq .dead_letters "$RUN/ingest.json")
    why=$(grep -m 1 'id=EVENT-BAD' "$RUN/ingest.log" || true)
    ((letters == 0)) || warn "$letters of $TOTAL events became dead letters${why:+, the first: $why}"
    (($(jq .events "$RUN/learner.json") > 0)) || die "nothing was learned: no event of $STREAM is valid"
}

# A few users and items of the stream's end, and an item that nobody has ever seen.
query_scorer() {
    local users items user
    wait_until 30 pipeline_scorer_caught_up ||
        { pipeline_show_log scorer; die "the scorer did not catch up within 30 s"; }
    mapfile -t users < <(jq -r '.sample_users[:3][]' "$FACTS")
    mapfile -t items < <(jq -r '.sample_items[]' "$FACTS")
    say "asking the scorer: items of the stream's end, and one that nobody has seen, for ${#users[@]} users"
    printf '  %-16s' 'user \ item' "${items[@]}" never-seen
    echo
    for user in "${users[@]}"; do
        pipeline_tool score -- "$user" "${items[@]}" never-seen |
            user=$user awk 'BEGIN { printf "  %-16s", ENVIRON["user"] } { printf "  %-16.4f", $NF } END { print "" }'
    done
}

# From what each process wrote at its end. A full table has a row for every ID ever seen, with the same
# optimizer state; ours has the live rows, and pays for the ID table and the agent.
write_summary() {
    (cd "$RUN" && jq -n --slurpfile i ingest.json --slurpfile a assigner.json \
        --slurpfile l learner.json --slurpfile s scorer.json '
        ($i[0]) as $i | ($a[0]) as $a | ($l[0]) as $l | ($s[0]) as $s |
        {events: $l.events, dead_letters: $i.dead_letters, events_per_s: $l.events_per_s, mse: $l.mse, accuracy: $l.accuracy,
         auc: $l.auc, logloss: $l.logloss,
         rows_shared: $a.rows_shared, rows_unique: $a.rows_unique, ids_seen: $a.ids_seen,
         table_bytes: $l.row_bytes,
         full_table_bytes: ($a.ids_seen * $l.row_bytes / ([$l.rows_live, 1] | max) | round),
         digest: ([$i, $a, $l, $s] | map(.digest) | join("-"))}') >"$OUT/.summary.$$"
    mv "$OUT/.summary.$$" "$OUT/summary.json"
}

show_summary() {
    jq -r --slurpfile a "$RUN/assigner.json" --slurpfile l "$RUN/learner.json" '
        def group: tostring | [while(length > 0; .[:-3])| .[-3:]] | reverse | join(",");
        def mb: if . < 1048576 then (. / 1024 | round | tostring + " KB") else (. / 104857.6 | round / 10 | tostring + " MB") end;
        def dec(n): if . == null then "not defined: only one class of labels" else . as $x | pow(10; n) as $p | ($x * $p | round) / $p | tostring end;
        "events              \(.events | group)",
        (if .dead_letters > 0 then "dead letters        \(.dead_letters | group)" else empty end),
        "events per second   \(.events_per_s | round | group)",
        "MSE                 \(.mse | dec(4))",
        "accuracy            \(.accuracy | dec(4))",
        "AUC                 \(.auc | dec(4))",
        "log-loss            \(.logloss | dec(4))",
        "IDs seen            \(.ids_seen | group)",
        "rows                \(.rows_shared | group) shared, \(.rows_unique | group) unique",
        "embedding tables    \(.table_bytes | mb), of \(.full_table_bytes | mb) with a row for every ID seen; optimizer state included",
        "beside them         ID table \($a[0].table_bytes | mb), agent \($a[0].agent_bytes | mb)",
        "digest              \(.digest)"' "$OUT/summary.json" | sed 's/^/  /'
    say "summary: build/demo/summary.json; logs: build/demo/last"
}

check_arguments
remove_stale "$OUT"
mkdir -p "$RUN"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "looking for what is missing"
"$ROOT/scripts/deps.sh"
say "building"
build all >"$RUN/build.log" || die "the build failed"
prepare_stream
describe_stream
decide_labels
say "starting Kafka"
BROKER=$("$ROOT/scripts/local-kafka.sh" start "$RUN/kafka")
pipeline_init "$RUN" "$BROKER" pipeline.name=demo ingest.run=replay "${LABELS[@]}"
say "recording the stream into topic interactions, $PARTITIONS partitions, at $BROKER"
pipeline_tool record --partitions "$PARTITIONS" "${RECORD[@]}" "$STREAM"
run_pipeline
check_learned
query_scorer
pipeline_stop
write_summary
show_summary
