#!/usr/bin/env bash
# `make rankings`: one stream, learned up to a point by the real pipeline; then its rankings of all known items against
# what the users took next. Prints one JSON line; rankings.py says what the figures mean.
#   make rankings STREAM=ratings.csv:3 [SHARE=0.8] [USERS=1000] [SETTINGS="agent.mode=unique ..."]
# STREAM   FILE:POSITIVE-ABOVE, a user,item,label,timestamp CSV (or .gz); FILE alone: 0.5
# AUTOASSIGN_TEST_BROKER: a broker that runs already; otherwise one is started
source "$(dirname "$0")/../../scripts/pipeline.sh"
STREAM=${STREAM:?FILE:POSITIVE-ABOVE} SHARE=${SHARE:-0.8}
FILE=${STREAM%:*} POSITIVE=0.5
[[ $STREAM != *:* ]] || POSITIVE=${STREAM##*:}
read -ra SETTINGS <<<"${SETTINGS:-}"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/autoassign-rankings.XXXXXX")
NAME=rankings-$$-$RANDOM OWN_KAFKA=''
HERE=$(cd "$(dirname "$0")" && pwd)
finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    pipeline_stop
    [[ -z $OWN_KAFKA ]] || "$ROOT/scripts/local-kafka.sh" stop "$WORK/kafka" || true
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

BROKER=${AUTOASSIGN_TEST_BROKER:-}
if [[ -z $BROKER ]]; then
    OWN_KAFKA=1
    "$ROOT/scripts/deps.sh" >&2
    BROKER=$("$ROOT/scripts/local-kafka.sh" start "$WORK/kafka")
fi
python3 -B "$HERE/rankings.py" first "$FILE" "$POSITIVE" "$SHARE" >"$WORK/first.csv"
pipeline_init "$WORK/run" "$BROKER" pipeline.name="$NAME" topics.interactions="$NAME" topics.assignments="$NAME-assignments" \
    topics.model="$NAME-model" ingest.run=replay event.label=as-is log.stats_ms=0 "${SETTINGS[@]}"
pipeline_tool record --partitions 4 "$WORK/first.csv" >"$WORK/record.log" 2>&1 || { cat "$WORK/record.log" >&2; die "record failed"; }
pipeline_start assigner learner scorer ingest
pipeline_wait_end $((60 + $(wc -l <"$WORK/first.csv") / 2000))
wait_until 60 pipeline_scorer_caught_up || die "the scorer did not catch up"
python3 -B "$HERE/rankings.py" ask "http://127.0.0.1:$(pipeline_port scorer)" "$FILE" "$POSITIVE" "$SHARE" --users "${USERS:-1000}"
