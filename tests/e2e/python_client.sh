#!/usr/bin/env bash
# The Python client and the pipeline: its events, as JSON and as protobuf, are learned; it gets the scores and
# rankings that autoassign-score gets; refusals and a busy scorer are what it says they are; its README's examples run.
source "$(dirname "$0")/lib.bash"
RECORDED=6000 WRITTEN=400 TOKEN=secret
PYTHON=python3
$PYTHON -c 'import confluent_kafka' 2>/dev/null || PYTHON=/usr/bin/python3
export PYTHONPATH=$ROOT/clients/python/src PYTHONDONTWRITEBYTECODE=1
client() { "$PYTHON" "$ROOT/tests/e2e/python_client.py" "$@"; }
example() { # example NUMBER: of the README, at our addresses
    awk -v want="$1" '/^```python$/ { n++; inside = 1; next } /^```$/ { inside = 0 } inside && n == want' "$ROOT/clients/python/README.md" |
        sed "s|http://localhost:8080|$URL|; s|localhost:9092|$AUTOASSIGN_TEST_BROKER|; s|\"interactions\"|\"$TOPIC\"|"
}

"$PIPELINE_BIN/generate" --events $RECORDED --users 200 --items 80 --seed 3 >"$WORK/stream.csv"
init_run one event.label=as-is checkpoint.every_events=2000 scorer.token=$TOKEN
record_file "$WORK/stream.csv"
write() { "$TOPIC_TOOL" "$1" "$AUTOASSIGN_TEST_BROKER" "$TOPIC" "$2"; }
client events json $WRITTEN | write write 1 || die "no JSON events"
client events protobuf $WRITTEN | write write-hex 2 || die "no protobuf events"
produced=0
if "$PYTHON" -c 'import confluent_kafka' 2>/dev/null; then
    URL='' check the_example_of_the_producer_runs "$PYTHON" - < <(URL='' example 2)
    check events_are_produced client produce "$AUTOASSIGN_TEST_BROKER" "$TOPIC" $WRITTEN
    produced=$((WRITTEN + 1))
else
    skip "events_are_produced: confluent-kafka is not installed"
    check the_producer_says_what_is_missing client no_producer
fi
pipeline_start assigner learner scorer ingest
must replay_ends pipeline_wait_end 120
must scorer_catches_up wait_until 30 pipeline_scorer_caught_up
check every_event_is_learned equal "$(figure learner events)" $((RECORDED + 2 * WRITTEN + produced))
check none_is_a_dead_letter equal "$(figure ingest dead_letters)" 0

URL=http://127.0.0.1:$(pipeline_port scorer)
pipeline_tool score --json --explain 5 1 2 "nie gesehen: München" >"$WORK/score.json"
pipeline_tool score --json --top 30 --exclude 1 5 >"$WORK/rank.json"
client ask "$URL" $TOKEN "$WORK/score.json" "$WORK/rank.json" >"$WORK/asked" 2>&1 || true
cat "$WORK/asked"
failures=$((failures + $(grep -c "^not ok" "$WORK/asked" || true)))
check every_question_was_asked equal "$(grep -c '^ok ' "$WORK/asked")" 5
said() { example 1 | "$PYTHON" - >"$WORK/said" && equal "$(tail -n 1 "$WORK/said")" "400 user: empty ID" && equal "$(wc -l <"$WORK/said")" 5; }
check the_example_of_the_scorer_runs said

# One that takes a request per second: a client that tries again gets its answers, one that does not is refused.
(cd "$PIPELINE_DIR" && exec setpriv --pdeathsig TERM "$PIPELINE_BIN/scorer" "${PIPELINE_ARGS[@]}" -o scorer.max_per_s=1 \
    -o scorer.listen=ipc://score-2.ipc -o pipeline.summary_dir=) >"$PIPELINE_DIR/busy.log" 2>&1 </dev/null &
BUSY=$!
if wait_until 30 pipeline_ready busy; then
    check a_busy_scorer_is_asked_again client busy "http://127.0.0.1:$(pipeline_port busy)" $TOKEN
else
    not_ok "a_busy_scorer_is_asked_again: it is not ready"
fi
kill -TERM $BUSY
wait $BUSY || true
check nobody_there_is_not_ready client gone "http://127.0.0.1:$(free_port)"
