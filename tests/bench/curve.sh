#!/usr/bin/env bash
# `make curve`: AUC against the learner's speed, by model.step and model.dense_step, as a Markdown table.
#   make curve STREAMS="ratings.csv:3 clicks.csv.gz" [SEEDS=5]
# STREAMS   FILE:POSITIVE-ABOVE of user,item,label,timestamp CSV files with a header, or FILE when labels are 0 and 1
# AUC is the mean over the seeds. Events/s are those of the learner alone on one core, CPU time, the median of all runs;
# settings take turns, so that a machine that slows down slows all of them.
source "$(dirname "$0")/../../scripts/lib.sh"
STREAMS=${STREAMS:-}
SEEDS=${SEEDS:-5}
SETTINGS=("model.dense_step=1" "model.dense_step=4" "" "model.dense_step=16" "model.step=8" "model.step=64" "model.step=512")
BENCH=$ROOT/build/release/tests/bench/bench_stages
[[ -n $STREAMS ]] || die -2 "STREAMS: one file or several are needed, as FILE:POSITIVE-ABOVE"
build build-bench >/dev/null || die "the build failed"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

read -ra streams <<<"$STREAMS"
for i in "${!streams[@]}"; do
    file=${streams[i]%:*} above=0
    [[ ${streams[i]} != *:* ]] || above=${streams[i]##*:}
    [[ -r $file ]] || die -2 "$file: cannot be read"
    if [[ $file == *.gz ]]; then zcat "$file"; else cat "$file"; fi |
        awk -F, -v OFS=, -v above="$above" 'NR > 1 { $3 = ($3 > above) } 1' >"$WORK/$i.csv"
    for seed in $(seq "$SEEDS"); do
        for s in "${!SETTINGS[@]}"; do
            read -ra words <<<"${SETTINGS[s]}"
            "$BENCH" "pipeline.seed=$seed" "${words[@]}" <"$WORK/$i.csv" |
                jq -c --argjson i "$i" --argjson s "$s" '{i: $i, s: $s, auc, rate: .learner_events_per_s}' >>"$WORK/runs"
        done
    done
done

names=() dashes=
for stream in "${streams[@]}"; do
    name=${stream##*/}
    names+=("${name%%.csv*}")
    dashes+='---|'
done
printf '| setting | %sevents/s |\n|---|%s---|\n' "$(printf '%s | ' "${names[@]}")" "$dashes"
for s in "${!SETTINGS[@]}"; do
    jq -rs --argjson s "$s" --arg name "${SETTINGS[s]:-default}" '
        map(select(.s == $s)) | (map(.rate) | sort | .[length / 2 | floor]) as $rate |
        (group_by(.i) | map(map(.auc) | add / length * 1e5 | round / 1e5)) as $auc |
        "| `\($name)` | \($auc | map(tostring) | join(" | ")) | \($rate / 1000 | round),000 |"' "$WORK/runs"
done
