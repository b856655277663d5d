#!/usr/bin/env bash
# What `make fuzz` and `make fuzz-corpus` do with the targets that they have built.
#   fuzz.sh run BUILD TARGET...    each target for FUZZ_SECONDS, FUZZ_JOBS at a time
#   fuzz.sh merge BUILD TARGET...  the smallest corpus that covers what all inputs so far do
# A target begins with its corpus and regressions in tests/fuzz; what it finds new goes to
# BUILD/<target>, its log to BUILD/<target>.log. A finding ends all, and its input lies in BUILD.
set -euo pipefail

WHAT=$1 BUILD=$2
shift 2
HERE=$(dirname "$0")
MAX_BYTES=131072 CORPUS_BYTES=16384 INPUT_SECONDS=10 MEMORY_MB=3072
JOBS=${FUZZ_JOBS:-1}
declare -A RUNNING=() # target by pid
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=16}

seeds_of() { # seeds_of NAME: folders with its inputs, those there are
    local folder
    for folder in "$HERE/corpus/$1" "$HERE/regressions/$1"; do
        [[ ! -d $folder ]] || echo "$folder"
    done
}

run_one() { # run_one TARGET
    local target=$1 name=${1##*/} seeds dict=()
    name=${name#fuzz_}
    mapfile -t seeds < <(seeds_of "$name")
    mkdir -p "$BUILD/fuzz_$name"
    [[ ! -f $HERE/$name.dict ]] || dict=(-dict="$HERE/$name.dict")
    exec "$target" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=$MAX_BYTES \
        -timeout=$INPUT_SECONDS -rss_limit_mb=$MEMORY_MB -verbosity=0 -print_funcs=0 \
        -print_final_stats=1 -artifact_prefix="$BUILD/fuzz_$name-" "${dict[@]}" \
        "$BUILD/fuzz_$name" "${seeds[@]}" >"$BUILD/fuzz_$name.log" 2>&1
}

stop_all() {
    trap - EXIT
    ((${#RUNNING[@]} == 0)) || kill "${!RUNNING[@]}" 2>/dev/null || true
    wait
}

reap_one() {
    local pid code=0 name
    wait -n -p pid "${!RUNNING[@]}" || code=$?
    name=${RUNNING[$pid]}
    unset "RUNNING[$pid]"
    if ((code)); then
        cat "$BUILD/$name.log"
        echo "$name: a finding; its input belongs into $HERE/regressions/${name#fuzz_}" >&2
        exit 1
    fi
    echo "$name: $(sed -n 's/stat::number_of_executed_units: *//p' "$BUILD/$name.log") inputs, no finding"
}

# Edges only, no counts of them: a few dozen files say as much as hundreds.
merge_one() { # merge_one TARGET
    local name=${1##*/} seeds new
    name=${name#fuzz_}
    new=$BUILD/corpus-$name
    rm -rf "$new"
    mkdir -p "$new" "$BUILD/fuzz_$name"
    mapfile -t seeds < <(seeds_of "$name")
    "$1" -merge=1 -use_counters=0 -max_len=$CORPUS_BYTES "$new" "${seeds[@]}" "$BUILD/fuzz_$name" \
        >"$BUILD/merge-$name.log" 2>&1
    rm -rf "$HERE/corpus/$name"
    mkdir -p "$HERE/corpus"
    mv "$new" "$HERE/corpus/$name"
    echo "$name: $(find "$HERE/corpus/$name" -type f | wc -l) files," \
        "$(du -sb "$HERE/corpus/$name" | cut -f1) bytes"
}

if [[ $WHAT == merge ]]; then
    for target in "$@"; do merge_one "$target"; done
    exit
fi
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for target in "$@"; do
    ((${#RUNNING[@]} < JOBS)) || reap_one
    run_one "$target" &
    RUNNING[$!]=${target##*/}
done
while ((${#RUNNING[@]})); do reap_one; done
