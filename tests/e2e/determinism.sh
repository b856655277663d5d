#!/usr/bin/env bash
# The same topic, the same seed: the same bits, however fast or slow the processes ran.
source "$(dirname "$0")/lib.bash"
EVENTS=40000
SEED=${SEED:-$((RANDOM + 1))}

digests() { # every process's digest and the learner's figures, but nothing that time decides
    local name
    for name in ingest assigner learner scorer; do
        echo "$name $(figure "$name" digest)"
    done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}
slow() { slow_at_random "$SEED"; }

"$PIPELINE_BIN/generate" --events $EVENTS --seed 3 >"$WORK/stream.csv"
init_run first event.label=as-is
record_file "$WORK/stream.csv"
must first_replay_ends replay 120
first=$(digests)
echo "$first"

init_run second event.label=as-is
must second_replay_ends replay 120
check two_replays_agree_bit_for_bit equal "$(digests)" "$first"

init_run slowed event.label=as-is
must slowed_replay_ends replay 300 slow
calm
check processes_were_stopped_often_enough at_least "$(stops)" 5
check a_replay_slowed_at_random_agrees_bit_for_bit equal "$(digests)" "$first"

init_run other event.label=as-is pipeline.seed=2
must replay_with_another_seed_ends replay 120
differ() { [[ $1 != "$2" ]]; }
check another_seed_gives_another_digest differ "$(digests)" "$first"
