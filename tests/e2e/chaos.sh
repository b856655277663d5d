#!/usr/bin/env bash
# Ten faults at random moments, the broker's among them perhaps: the state that the pipeline reaches is
# that of an undisturbed run. `make chaos` has a hundred. A broker of its own: it may be killed.
source "$(dirname "$0")/lib.bash"
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}

echo "seed $SEED"
chaos() { READY=1 FAULTS=10 EVENTS=60000 SEED=$SEED OUT=$WORK "$ROOT/tests/chaos/chaos.sh"; }
if chaos; then
    ok ten_faults_change_nothing
    echo "note $(jq -c '{faults, rounds, restarts, exits_of_their_own, seed}' "$WORK/summary.json")"
else
    not_ok "ten_faults_change_nothing: SEED=$SEED"
fi
