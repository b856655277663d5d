#!/usr/bin/env bash
# Makes docs/images/live-page.png: the scorer's live page while a generated stream flows.
#   scripts/picture.sh           PER_S=n (20000) events per second for SECONDS_OF=n (45), SEED=n (1)
# Needs chromium (apt-get install chromium) beside what scripts/deps.sh installs.
source "$(dirname "$0")/pipeline.sh"
PER_S=${PER_S:-20000} SECONDS_OF=${SECONDS_OF:-45} SEED=${SEED:-1}
RUN=$ROOT/build/picture
PICTURE=$ROOT/docs/images/live-page.png
PAGE_WIDTH=1180 PAGE_HEIGHT=890

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    [[ -z ${SENDER:-} ]] || stop_pid "$SENDER" 5 || true
    pipeline_stop
    [[ ! -d $RUN/kafka ]] || "$ROOT/scripts/local-kafka.sh" stop "$RUN/kafka" || true
    rm -rf "$RUN/kafka" "$RUN/chromium" "$RUN/checkpoints" "$RUN"/part-*
    exit "$code"
}

# Twenty requests over one connection: the page shows their rate and latency.
ask_scorer() {
    curl -s -d "{\"user\": \"$user\", \"items\": [\"${items[0]}\", \"${items[1]}\", \"${items[2]}\"]}" \
        "http://127.0.0.1:$(pipeline_port scorer)/v1/score#[1-20]" >/dev/null || true
}
# A second's events at a time, as producers would send them.
send_stream() {
    local part next_ms
    next_ms=$(now_ms)
    for part in "$RUN"/part-*; do
        pipeline_tool record "$part" >"$RUN/record.log" 2>&1 || return 1
        ask_scorer
        next_ms=$((next_ms + 1000))
        while (($(now_ms) < next_ms)); do sleep 0.02; done
    done
}
far_enough() { # while events still come
    local done_events
    done_events=$(pipeline_http learner /metrics | metric autoassign_events_total)
    awk -v n="${done_events:-0}" -v all=$((PER_S * SECONDS_OF)) 'BEGIN { exit !(n >= 0.8 * all) }'
}
all_ready() {
    local name
    for name in ingest assigner learner; do pipeline_ready "$name" || return 1; done
}

take_picture() { # take_picture URL
    HOME=$RUN timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --hide-scrollbars --user-data-dir="$RUN/chromium" --window-size=$PAGE_WIDTH,$PAGE_HEIGHT \
        --virtual-time-budget=3000 --screenshot="$PICTURE" "$1" >"$RUN/chromium.log" 2>&1 ||
        { tail -n 5 "$RUN/chromium.log" >&2; die "chromium made no picture"; }
}

command -v chromium >/dev/null || die "chromium is not installed (apt-get install chromium)"
"$ROOT/scripts/deps.sh"
build all >/dev/null
rm -rf "$RUN"
mkdir -p "$RUN" "${PICTURE%/*}"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "generating $((PER_S * SECONDS_OF)) events and starting Kafka"
"$PIPELINE_BIN/generate" --events $((PER_S * SECONDS_OF)) --seed "$SEED" |
    tail -n +2 | split -l "$PER_S" -a 4 - "$RUN/part-"
BROKER=$("$ROOT/scripts/local-kafka.sh" start "$RUN/kafka")
pipeline_init "$RUN" "$BROKER" pipeline.name=picture ingest.run=live \
    "http.ingest_port=$(free_port)" "http.assigner_port=$(free_port)" \
    "http.learner_port=$(free_port)" "http.scorer_port=$(free_port)"
pipeline_tool topics --create --partitions 4 >"$RUN/topics.log" 2>&1 || die "no topics (see $RUN/topics.log)"
pipeline_start assigner learner scorer ingest
wait_until 60 all_ready || die "the pipeline did not start (see $RUN/*.log)"
say "sending $PER_S events per second for $SECONDS_OF s"
last=$(find "$RUN" -name 'part-*' | sort | tail -n 1)
mapfile -t items < <(cut -d, -f2 "$last" | awk '!seen[$0]++' | head -n 4)
user=$(tail -n 1 "$last" | cut -d, -f1)
send_stream &
SENDER=$!
wait_until $((SECONDS_OF * 3)) far_enough || die "the events did not get through (see $RUN/*.log)"
take_picture "http://127.0.0.1:$(pipeline_port scorer)/?user=$user&items=$(IFS=,; echo "${items[*]}")"
say "$PICTURE: $(stat -c %s "$PICTURE") bytes"
