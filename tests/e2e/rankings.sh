#!/usr/bin/env bash
# `make rankings` on a small stream: the pipeline learns the first part, and its figures for the rest are possible ones,
# better than those of a model that knows nothing, and the same in a second run.
source "$(dirname "$0")/lib.bash"
"$PIPELINE_BIN/generate" --events 20000 --users 300 --items 150 --seed 8 >"$WORK/stream.csv"
rank() { STREAM=$WORK/stream.csv USERS=100 "$ROOT/tests/eval/rankings.sh" >"$WORK/$1.json"; }
of() { jq -r ".$1" "$WORK/once.json"; }
must rankings_are_measured rank once
check users_are_as_many_as_asked_for equal "$(of users)" 100
check the_first_part_is_what_was_learned equal "$(of first_events)" 16000
check scores_tell_a_users_events_apart at_least "$(of auc_per_user)" 0.55
check scores_beat_the_mean_label at_least 0.98 "$(of ne)"
check longer_rankings_find_more at_least "$(of '"recall@50"')" "$(of '"recall@10"')"
check shares_are_shares equal "$(jq -c '[to_entries[] | select(.key | test("@|auc_per|items_new")) | .value | . >= 0 and . <= 1] | unique' "$WORK/once.json")" '[true]'
check a_second_run_agrees equal "$(rank again && cat "$WORK/again.json")" "$(cat "$WORK/once.json")"
