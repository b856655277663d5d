#!/usr/bin/env bash
# The evaluation on a small stream: its figures over time are the same in every replay, and an
# interrupted evaluation goes on where it was and comes to the same results.
source "$(dirname "$0")/lib.bash"
EVENTS=6000
STREAM=$WORK/small-stream.csv

awk -v n=$EVENTS 'BEGIN {
    srand(11); print "user,item,label,timestamp"
    for (i = 0; i < n; i++) {
        u = int(400 * rand() ^ 3); v = int(200 * rand() ^ 3)
        print "u" u ",i" v "," (rand() < 0.2 + 0.6 * ((u * 7 + v * 3) % 10) / 10 ? 5 : 2) "," 1000000 + i
    }
}' >"$STREAM"

command_for() { # command_for OUT MODES SEEDS: into COMMAND
    local modes
    read -ra modes <<<"$2"
    COMMAND=(python3 -B "$ROOT/tests/eval/evaluate.py" --broker "$AUTOASSIGN_TEST_BROKER"
        --programs "$PIPELINE_BIN" --topic-tool "$TOPIC_TOOL" --out "$1" --streams "$STREAM:3"
        --modes "${modes[@]}" --seeds "$3")
}
evaluate() { command_for "$@"; "${COMMAND[@]}"; }
finished() { find "$1/runs" -name run.json 2>/dev/null | wc -l; }
some_finished() { (($(finished "$WORK/cut") >= 1)); }
# results without the columns that the clock and the machine decide
steady() { awk -F, -v OFS=, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^(events_per_s|resident_bytes)$/) drop[i] = 1 }
    { for (i in drop) $i = ""; print }' "$1/results.csv"; }
series() { # one line per series file of an evaluation's runs
    find "$1/runs" -name '*.csv' -printf '%P\n' | sort | (cd "$1/runs" && xargs cksum)
}

must evaluation_ends evaluate "$WORK/whole" "default unique" 2
check every_mode_and_seed_has_a_row equal "$(tail -n +2 "$WORK/whole/results.csv" | cut -d, -f2-4 | tr '\n' ' ')" \
    "deepfm,default,1 deepfm,default,2 deepfm,unique,1 deepfm,unique,2 "
check every_event_counts_in_every_run equal "$(jq -r .events "$WORK"/whole/runs/*/learner.json | sort -u)" $EVENTS
check report_holds_its_charts at_least "$(grep -o '<svg' "$WORK/whole/report.html" | wc -l)" 10
check a_full_table_has_a_row_for_every_id equal "$(awk -F, '$3 == "unique" { print $10 }' "$WORK/whole/results.csv" | sort -u)" 1

command_for "$WORK/cut" "default unique" 2
"${COMMAND[@]}" >"$WORK/cut.log" 2>&1 &
worker=$!
wait_until 60 some_finished
kill -TERM $worker 2>/dev/null || true
code=0
wait $worker || code=$?
check interrupted_evaluation_says_so equal "$code" 1
must it_goes_on evaluate "$WORK/cut" "default unique" 2
check the_results_are_those_of_an_evaluation_that_nobody_touched equal "$(steady "$WORK/cut")" "$(steady "$WORK/whole")"
check figures_over_time_agree_byte_for_byte equal "$(series "$WORK/cut")" "$(series "$WORK/whole")"
check a_second_time_nothing_is_run_again equal \
    "$(evaluate "$WORK/cut" "default unique" 2 | grep -c '(kept)')" 4
