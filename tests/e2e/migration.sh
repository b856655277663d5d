#!/usr/bin/env bash
# People come and go: the table that a pipeline serves is exported, a new pipeline begins with it,
# and its scorers answer as the old ones did; so again from CSV; and with a table of strangers.
source "$(dirname "$0")/lib.bash"
EVENTS=30000

"$PIPELINE_BIN/generate" --events $EVENTS --users 800 --items 300 --seed 17 >"$WORK/stream.csv"
init_run one checkpoint.every_events=10000
record_file "$WORK/stream.csv"
OLD=("${PIPELINE_ARGS[@]}")

sample() { tail -n +2 "$WORK/stream.csv" | cut -d, -f"$1" | sort -u | shuf -n "$2" --random-source=<(yes); } # sample COLUMN COUNT
mapfile -t users < <(sample 1 12; echo new-user)
mapfile -t items < <(sample 2 60; echo new-item)
ask() { # every user with every item, at the running scorer
    local user
    for user in "${users[@]}"; do pipeline_tool score "$user" "${items[@]}" || return 1; done
}
# Scores of the scorer that serves what a replay has left
pipeline_start assigner learner scorer ingest
must the_pipeline_learns pipeline_wait_end 120
must its_scorer_catches_up wait_until 30 pipeline_scorer_caught_up
ask >"$WORK/before" || die "no scores"
pipeline_stop

same_scores() { # same_scores FILE: within rounding
    paste "$WORK/before" "$1" | awk -F'\t' '
        $1 != $3 { print "other item in line " NR; exit 1 }
        { d = $2 - $4; if (d < 0) d = -d; if (d > most) most = d; n++ }
        END { print "scores compared: " n ", largest difference " most; exit !(n > 700 && most < 2e-5) }'
}
folders_equal() { # the same IDs, standing where they stood
    local field
    for field in user item; do
        cmp "$1/$field.ids" "$2/$field.ids" || return 1
    done
    python3 - "$1" "$2" <<'PY'
import struct, sys, ast
def load(path):
    b = open(path, "rb").read()
    n = struct.unpack("<H", b[8:10])[0]
    shape = ast.literal_eval(b[10:10 + n].decode())["shape"]
    v = struct.unpack("<%df" % ((len(b) - 10 - n) // 4), b[10 + n:])
    return shape, v
for name in ("user.npy", "item.npy", "user.reads.npy", "item.reads.npy", "user.shared.npy", "item.shared.npy", "dense.npy"):
    (sa, a), (sb, b) = (load(f"{d}/{name}") for d in sys.argv[1:3])
    assert sa == sb, f"{name}: {sa} and {sb}"
    assert len(a) > 0
    worst = max(abs(x - y) for x, y in zip(a, b))
    assert worst < 2e-5, f"{name}: differs by {worst}"
PY
}

check export_writes_the_table pipeline_tool export "$WORK/npy"
check export_writes_csv pipeline_tool export --format csv "$WORK/csv"
check some_ids_have_rows_of_their_own at_least "$(jq '[.fields[].own] | add' "$WORK/npy/meta.json")" 20
check items_are_exported_by_name equal "$(grep -c '^[0-9]' "$WORK/npy/item.ids")" "$(wc -l <"$WORK/npy/item.ids")"
check an_import_needs_a_fresh_pipeline bash -c '! "$@" 2>"$0"' "$WORK/refused" "$PIPELINE_BIN/import" "${OLD[@]}" "$WORK/npy"
check and_says_so grep -q 'needs a new name' "$WORK/refused"

# begin NAME DIR: a pipeline that begins with the files, at the end of the topic: it learns nothing more
begin() {
    init_run "$1" checkpoint.every_events=10000
    pipeline_tool import --from end "$2" || return 1
    pipeline_start assigner learner scorer ingest
    pipeline_wait_end 60 || return 1
    caught_up() { pipeline_ready scorer && [[ $(pipeline_http scorer /metrics | metric autoassign_scorer_lag) == 0 ]]; }
    wait_until 30 caught_up || return 1
    ask >"$WORK/$1.scores"
}
must import_of_npy begin two "$WORK/npy"
pipeline_stop
check scores_are_the_same_after_the_import same_scores "$WORK/two.scores"
check export_again pipeline_tool export "$WORK/again"
check export_import_export_is_a_round_trip folders_equal "$WORK/npy" "$WORK/again"

must import_of_csv begin three "$WORK/csv"
pipeline_stop
check scores_are_the_same_from_csv same_scores "$WORK/three.scores"

# Goes on learning from there: the whole topic
init_run four checkpoint.every_events=10000
must import_for_learning pipeline_tool import --from beginning "$WORK/npy"
must it_learns_on replay 120
check every_event_was_learned equal "$(figure learner events)" $EVENTS
auc_first=$(jq -r .auc "$WORK/one/learner.json")
check it_knows_what_it_learned_before at_least "$(figure learner auc)" "$auc_first"
check scorer_serves_what_the_learner_has equal "$(figure scorer served_digest)" "$(figure learner served_digest)"

# A table of strangers: IDs and rows, nothing else; fewer columns (no linear weight)
mkdir "$WORK/strangers"
awk 'BEGIN { printf "id"; for (k = 0; k < 16; k++) printf ",w%d", k; print ""
    for (i = 0; i < 50; i++) { printf "\"u,%d\"", i; for (k = 0; k < 16; k++) printf ",%g", sin(i + k) / 10; print "" } }' >"$WORK/strangers/user.csv"
sed 's/u,/i/' "$WORK/strangers/user.csv" >"$WORK/strangers/item.csv"
init_run five
check a_strangers_table_fits pipeline_tool import --check "$WORK/strangers"
must a_strangers_table_is_a_start begin five "$WORK/strangers"
pipeline_tool score --explain "u,7" i9 i10 >"$WORK/explained" || die "no score"
check its_ids_read_rows_of_their_own bash -c '[[ $(grep -c " unique " "$0") -ge 2 ]]' "$WORK/explained"
pipeline_stop
sed -i '3s/,[^,]*$/,x/' "$WORK/strangers/user.csv"
check a_bad_number_is_named bash -c '! "$@" 2>"$0"' "$WORK/refused" "$PIPELINE_BIN/import" "${PIPELINE_ARGS[@]}" --check "$WORK/strangers"
check with_file_and_line grep -q 'user.csv:3: column 17' "$WORK/refused"
