#!/usr/bin/env bash
# `make opponents`: what a team would use instead, and our pipeline, on the same stream in the same run.
#   make opponents [STREAM=file.csv.gz] [POSITIVE=3] [EVENTS=100000] [TORCH=0|1]
# Vowpal Wabbit, River and PyTorch come from PyPI into build/opponents/venv (once). PyTorch is large (its
# wheel brings GPU libraries, some GB): without TORCH=1 it is used only if it is there already.
# Every opponent predicts each event before it learns from it. Prints a table, writes build/opponents/summary.json.
source "$(dirname "$0")/../../scripts/pipeline.sh"

OUT=$ROOT/build/opponents
HERE=$ROOT/tests/opponents
VENV=$OUT/venv
EVENTS=${EVENTS:-100000}
TORCH=${TORCH:-0}
RUN_SECONDS=1800
[[ $EVENTS =~ ^[1-9][0-9]*$ ]] || die -2 "EVENTS=$EVENTS: a number of events is needed"
if [[ -z ${STREAM:-} ]]; then
    STREAM=${AUTOASSIGN_DATA:-$ROOT/../shared/data}/ml-100k.csv.gz
    POSITIVE=${POSITIVE:-3}
    [[ -r $STREAM ]] || STREAM='' POSITIVE=''
fi
POSITIVE=${POSITIVE:-}

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    pipeline_stop
    "$ROOT/scripts/local-kafka.sh" stop "$OUT/kafka" || true
    rm -rf "$OUT/kafka" "$OUT/run"
    exit "$code"
}

# A venv with what requirements.txt names; torch by itself, since it may be left out.
prepare_venv() {
    if ! [[ -x $VENV/bin/pip ]]; then
        python3 -m venv "$VENV" >"$OUT/pip.log" 2>&1 || {
            rm -rf "$VENV"
            "$ROOT/scripts/deps.sh" venv
            python3 -m venv "$VENV" >"$OUT/pip.log" 2>&1 || { cat "$OUT/pip.log" >&2; die "python3 -m venv failed"; }
        }
    fi
    install_python vowpalwabbit river numpy
    if [[ $TORCH == 1 ]]; then install_python torch; fi
}
install_python() { # those that cannot be imported yet
    local name missing=()
    for name in "$@"; do
        "$VENV/bin/python" -c "import $name" 2>/dev/null || missing+=("$(grep "^$name" "$HERE/requirements.txt")")
    done
    ((${#missing[@]})) || return 0
    say "installing from PyPI: ${missing[*]}"
    "$VENV/bin/pip" install "${missing[@]}" >>"$OUT/pip.log" 2>&1 ||
        { tail -n 15 "$OUT/pip.log" >&2; die "pip failed (its output: $OUT/pip.log)"; }
}

opponent() { # opponent NAME
    say "$1, event by event"
    "$VENV/bin/python" "$HERE/prequential.py" "$1" "$STREAM" ${POSITIVE:+--positive "$POSITIVE"} \
        --events "$EVENTS" >"$OUT/$1.json"
}

# ours NAME setting...: the whole pipeline, publishing included; memory is that of its three processes.
ours() {
    say "our pipeline, $1"
    rm -rf "$OUT/run"
    pipeline_init "$OUT/run" "$BROKER" ingest.run=replay "pipeline.name=opponents-$1" topics.interactions=opponents \
        "topics.assignments=opponents-$1-assignments" "topics.model=opponents-$1-model" "${LABELS[@]}" "${@:2}"
    pipeline_start assigner learner ingest
    pipeline_wait_end "$RUN_SECONDS" || die "the pipeline failed"
    jq -s --arg opponent "$1" '{opponent: $opponent, events: .[0].events, auc: .[0].auc, mse: .[0].mse, logloss: .[0].logloss,
        events_per_s: .[0].events_per_s, peak_bytes: (map(.peak_resident_bytes) | add),
        rows: .[0].rows_live}' "$OUT"/run/{learner,assigner,ingest}.json >"$OUT/$1.json"
}

show() {
    jq -r 'def dec: . * 10000 | round / 10000;
        ["", "AUC", "MSE", "log-loss", "events/s", "peak memory"],
        (.opponents[] | [.opponent, (.auc | dec), (.mse | dec), (.logloss | dec), (.events_per_s | round),
                     "\(.peak_bytes / 1048576 | round) MB"]) | map(tostring) | @tsv' "$OUT/summary.json" |
        awk -F'\t' '{ printf "  %-22s %8s %8s %9s %10s %12s\n", $1, $2, $3, $4, $5, $6 }'
}

mkdir -p "$OUT"
exec 7>"$OUT/.lock"
flock -n 7 || die "another comparison runs here"
"$ROOT/scripts/deps.sh"
say "building"
build all >"$OUT/build.log" || die "the build failed"
prepare_venv
opponents=(vw river)
if "$VENV/bin/python" -c 'import torch' 2>/dev/null; then
    opponents+=(torch)
else
    say "PyTorch is not installed here: left out (TORCH=1 installs it)"
fi
if [[ -z $STREAM ]]; then
    STREAM=$OUT/stream.csv
    say "no data at hand: generating $EVENTS events"
    "$PIPELINE_BIN/generate" --events "$EVENTS" --seed 1 >"$STREAM"
fi
LABELS=(event.label=as-is)
[[ -z $POSITIVE ]] || LABELS=(event.label=threshold "event.positive_above=$POSITIVE")
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
BROKER=$("$ROOT/scripts/local-kafka.sh" start "$OUT/kafka")
pipeline_init "$OUT/run" "$BROKER" topics.interactions=opponents
pipeline_tool record --partitions 4 --limit "$EVENTS" "$STREAM" >"$OUT/record.log" 2>&1 ||
    { cat "$OUT/record.log" >&2; die "record failed"; }
ours autoassign-default agent.mode=default
ours autoassign-full-table agent.mode=unique model.row_l2=0.008 model.dense_rate=0.0002
for name in "${opponents[@]}"; do opponent "$name"; done
(cd "$OUT" && jq -s --arg stream "$(basename "$STREAM")" '{stream: $stream, events: .[0].events, opponents: .}' \
    autoassign-default.json autoassign-full-table.json "${opponents[@]/%/.json}") >"$OUT/summary.json"
say "$(jq -r '"\(.events) events of \(.stream), each predicted before it is learned from:"' "$OUT/summary.json")"
show
say "summary: build/opponents/summary.json"
