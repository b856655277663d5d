#!/usr/bin/env bash
# agent.budget_bytes under an attack: a flood of IDs that are never seen again. Assigner and learner
# together stay within the budget; what their code, libraries and clients hold comes on top.
source "$(dirname "$0")/lib.bash"
EVENTS=600000 FLOOD=550000
BUDGET=9000000
BESIDE=$((96 * 1048576)) # docs/OPERATING.md: code, libraries, Kafka's clients, huge pages that are not full

"$PIPELINE_BIN/generate" --events $EVENTS --users 5000 --items 1000 --flood 50000,$FLOOD --seed 7 >"$WORK/stream.csv"
resident() { echo $(($(figure assigner "$1") + $(figure learner "$1"))); }

# run NAME SETTING...: a replay of the stream
run() {
    init_run "$1" event.label=as-is pipeline.seed=1 publish.every_ms=200 "${@:2}"
    [[ $1 != free ]] || record_file "$WORK/stream.csv" # once: the runs share the topic
    must "replay_$1_reaches_the_end" replay 240
}

run free
free=$(resident resident_bytes) free_ids=$(figure assigner ids_bytes)
run bounded agent.budget_bytes=$BUDGET
bounded=$(resident resident_bytes)
used=$(figure assigner budget_used_bytes)
echo "note resident without a budget $free, with $BUDGET: $bounded; $used of it used; AUC $(figure learner auc)"
echo "note IDs seen $(figure assigner ids_seen), forgotten $(figure assigner forgotten), rows $(figure assigner rows_unique)"
check the_flood_would_not_have_fitted at_least "$free_ids" $BUDGET
check the_budget_is_not_exceeded at_least $BUDGET "$used"
parts=$(($(figure assigner table_bytes) + $(figure assigner agent_bytes) + $(figure learner rows_held_bytes)))
parts=$((parts + $(figure learner dense_bytes) + $(figure learner critic_bytes) + $(figure learner in_flight_bytes)))
check the_parts_are_within_what_counts_as_used at_least "$used" "$parts"
check most_of_the_budget_is_of_use at_least "$used" $((BUDGET / 2))
check resident_memory_is_within_the_budget_and_a_constant at_least $((BUDGET + BESIDE)) "$(resident peak_resident_bytes)"
check the_flood_was_forgotten at_least "$(figure assigner forgotten)" $((FLOOD / 2))
check it_still_learns at_least "$(figure learner auc)" 0.6
check scorer_serves_what_the_learner_has equal \
    "$(figure scorer served_digest)" "$(figure learner served_digest)"
digest=$(figure assigner digest)
run again agent.budget_bytes=$BUDGET
check the_same_ids_are_kept_again equal "$(figure assigner digest)" "$digest"
