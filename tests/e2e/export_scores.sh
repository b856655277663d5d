#!/usr/bin/env bash
# The example in docs/SERVING.md, run on what a trained pipeline exports: it computes the scores that the scorer
# gives, of IDs with a row of their own, with a shared one, and of IDs that were never seen, for every shape tried.
source "$(dirname "$0")/lib.bash"
sed -n '/^```python$/,/^```$/{/^```/d;p}' "$ROOT/docs/SERVING.md" >"$WORK/example.py"
PYTHON=python3 # the first in PATH may be another than Debian's, without the packages
$PYTHON -c 'import numpy, xxhash' 2>/dev/null || PYTHON=/usr/bin/python3
$PYTHON -c 'import numpy, xxhash' 2>/dev/null || { skip "example: no python3-numpy or no python3-xxhash"; exit 0; }
must the_example_is_in_the_document grep -q '^import .*numpy' "$WORK/example.py"

"$PIPELINE_BIN/generate" --events 6000 --users 200 --items 80 --seed 11 >"$WORK/stream.csv"
sample() { tail -n +2 "$WORK/stream.csv" | cut -d, -f"$1" | sort -u | shuf -n "$2" --random-source=<(yes); } # sample COLUMN COUNT
mapfile -t users < <(sample 1 5; echo "never seen")
mapfile -t items < <(sample 2 5; echo "nie gesehen: München")

compare() { # compare FOLDER: scores by the scorer and by the example, side by side
    local user item
    for user in "${users[@]}"; do
        pipeline_tool score "$user" "${items[@]}" >"$WORK/given" || return 1
        for item in "${items[@]}"; do "$PYTHON" "$WORK/example.py" "$1" "$user" "$item" || return 1; done >"$WORK/computed"
        paste "$WORK/given" "$WORK/computed" || return 1
    done >"$WORK/compared"
    awk -F'\t' '{ d = $2 - $3; if (d < 0) d = -d; if (d > most) most = d; seen[$2]++; n++ }
        END { for (s in seen) different++
            print "scores compared: " n ", different ones " different ", largest difference " most; exit !(n == 36 && different > 20 && most < 2e-6) }' "$WORK/compared"
}
try() { # try NAME SETTING...
    init_run "$@" checkpoint.every_events=2000
    [[ -e $WORK/record.log ]] || record_file "$WORK/stream.csv"
    pipeline_start assigner learner scorer ingest
    must "${1}_learns" pipeline_wait_end 120
    must "${1}_is_served" wait_until 30 pipeline_scorer_caught_up
    check "${1}_is_exported" pipeline_tool export "$WORK/$1.export"
    check "${1}_scores_are_computed_from_the_files" compare "$WORK/$1.export"
    pipeline_stop
}
try usual model.hidden=32-16
check meta_names_pipeline_and_lane equal "$(jq -r '"\(.pipeline) \(.lane)"' "$WORK/usual.export/meta.json")" "$UNIQUE-usual 0"
check some_ids_have_rows_of_their_own at_least "$(jq '[.fields[].own] | add' "$WORK/usual.export/meta.json")" 5
try copies agent.mode=paper model.dim=5 model.hidden=7
