#!/usr/bin/env bash
# Scorers come and go under load: events stream in, questions are asked all the time, and scorers are
# started, drained and killed. A ready scorer always answers; each new one rebuilds itself from the
# topics; and when the stream pauses, all of them give the same answers.
source "$(dirname "$0")/lib.bash"
EVENTS=60000

"$PIPELINE_BIN/generate" --events $EVENTS --users 600 --items 200 --seed 29 >"$WORK/stream.csv"
init_run one ingest.run=live checkpoint.every_ms=1000 publish.every_ms=200
pipeline_tool record --partitions 4 --rate 3000 "$WORK/stream.csv" >"$WORK/record.log" 2>&1 &
RECORD=$!
topic_is_there() { "$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC" >/dev/null 2>&1; }
wait_until 30 topic_is_there || die "record made no topic"
pipeline_start assigner learner ingest

# Scorers are processes of their own here: scorer-1, scorer-2, ... each with a socket and a log.
declare -A SCORER=()
start_scorer() {
    (cd "$PIPELINE_DIR" && exec setpriv --pdeathsig TERM "$PIPELINE_BIN/scorer" "${PIPELINE_ARGS[@]}" \
        -o "scorer.listen=ipc://score-$1.ipc" -o pipeline.summary_dir=) >"$PIPELINE_DIR/scorer-$1.log" 2>&1 </dev/null &
    SCORER[$1]=$!
}
scorer_ready() { pipeline_ready "scorer-$1"; }
drain_scorer() { # exit code 0
    kill -TERM "${SCORER[$1]}"
    local code=0
    wait "${SCORER[$1]}" || code=$?
    unset "SCORER[$1]"
    return $code
}
kill_scorer() {
    kill -KILL "${SCORER[$1]}"
    wait "${SCORER[$1]}" 2>/dev/null || true
    unset "SCORER[$1]"
}
ask() { # ask SCORER USER: scores of 30 items, with every digit there is
    pipeline_tool score --endpoint "ipc://score-$1.ipc" --timeout 3000 "$2" $(seq 1 30)
}
stop_all() {
    local n
    touch "$WORK/enough"
    for n in "${!SCORER[@]}"; do kill_scorer "$n"; done
    kill -TERM $RECORD 2>/dev/null || true
}
trap 'stop_all; cleanup' EXIT

start_scorer 1
start_scorer 2
must first_scorer_is_ready wait_until 60 scorer_ready 1
must second_scorer_is_ready wait_until 60 scorer_ready 2

# The load: scorer 1 is asked all the time, whatever happens to the others.
(
    asked=0 failed=0
    while [[ ! -e $WORK/enough ]]; do
        if ask 1 $((RANDOM % 600)) >/dev/null 2>>"$WORK/load.log"; then asked=$((asked + 1)); else failed=$((failed + 1)); fi
        echo "$asked $failed" >"$WORK/load.part"
        mv "$WORK/load.part" "$WORK/load"
    done
) &
LOAD=$!

start_scorer 3
must a_third_one_rebuilds_itself_under_load wait_until 60 scorer_ready 3
check it_answers_at_once ask 3 17 >/dev/null
kill_scorer 2
start_scorer 4
must after_a_kill_another_takes_its_place wait_until 60 scorer_ready 4
check a_scorer_drains_under_load drain_scorer 3
start_scorer 2
must the_killed_one_comes_back wait_until 60 scorer_ready 2
for round in 5 6 7; do
    start_scorer $round
    wait_until 60 scorer_ready $round || { not_ok "scorer $round is not ready"; break; }
    ask $round $round >/dev/null || not_ok "scorer $round does not answer"
    kill_scorer $round
done
wait $RECORD || { cat "$WORK/record.log"; die "record failed"; }
no_lag() { pipeline_ready ingest && [[ $(pipeline_http ingest /metrics | metric autoassign_consumer_lag) == 0 ]]; }
must all_events_are_read wait_until 60 no_lag
touch "$WORK/enough"
wait $LOAD || true
read -r asked failed <"$WORK/load"
echo "asked under load: $asked, failed: $failed"
check the_first_scorer_answered_all_along at_least "$asked" 10
check the_first_scorer_never_failed equal "$failed" 0

# The stream has paused: all that live answer alike, to the last digit, one that starts now too.
start_scorer 8
must a_last_one_is_ready wait_until 60 scorer_ready 8
users=(1 2 3 17 99 nobody)
answers() { local u; for u in "${users[@]}"; do ask "$1" "$u" || return 1; done; }
alike() {
    local n
    answers 1 >"$WORK/answers.1" || return 1
    for n in 2 4 8; do
        answers $n >"$WORK/answers.$n" && cmp -s "$WORK/answers.1" "$WORK/answers.$n" || return 1
    done
}
must every_scorer_gives_the_same_answers wait_until 30 alike
check they_are_answers equal "$(wc -l <"$WORK/answers.1")" 180
for n in 1 2 4 8; do check "scorer_${n}_drains" drain_scorer $n; done
pipeline_stop
digests=$(sed -n 's/.*id=FINAL .*[ ]served_digest=\([0-9a-f]*\).*/\1/p' "$PIPELINE_DIR"/scorer-[1248].log | sort -u)
echo "served digests: $digests"
check and_served_the_same_bits equal "$(wc -l <<<"$digests")" 1
