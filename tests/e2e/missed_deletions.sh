#!/usr/bin/env bash
# A scorer that was stopped for longer than its compacted topics keep deletions, while they were compacted for real:
# it says so, reads the topics anew, answers all the while, and ends with what a fresh scorer has.
# A broker of the test's own, which compacts at once and keeps deletions for two seconds, the least that is promised.
source "$(dirname "$0")/lib.bash"
EVENTS=120000 RATE=8000 STOPPED_SECONDS=8
export KAFKA_SETTINGS=$'log.cleaner.backoff.ms=200\nlog.roll.ms=400\nlog.cleaner.max.compaction.lag.ms=1000
log.cleaner.min.cleanable.ratio=0.01\nlog.cleaner.delete.retention.ms=2000'

kafka() { "$ROOT/scripts/local-kafka.sh" "$1" "$WORK/kafka" >>"$WORK/kafka.log" 2>&1; }
declare -A SCORER=()
RECORD=0
finish() {
    local code=$? name
    trap - INT TERM HUP EXIT
    for name in "${!SCORER[@]}"; do kill -KILL "${SCORER[$name]}" 2>/dev/null || true; done
    stop_pid "$RECORD" 5
    pipeline_stop
    kafka stop || true
    set +e
    (exit $code)
    cleanup
}
trap finish EXIT
exec 2> >(grep --line-buffered -v " Killed  " >&2)

start_scorer() { # start_scorer NAME
    mkdir -p "$PIPELINE_DIR/$1"
    (cd "$PIPELINE_DIR" && exec setpriv --pdeathsig TERM "$PIPELINE_BIN/scorer" "${PIPELINE_ARGS[@]}" \
        -o "scorer.listen=ipc://$1.ipc" -o "pipeline.summary_dir=$PIPELINE_DIR/$1") >"$PIPELINE_DIR/$1.log" 2>&1 </dev/null &
    SCORER[$1]=$!
}
drain_scorer() { # drain_scorer NAME: exit code 0
    local code=0
    kill -TERM "${SCORER[$1]}"
    wait "${SCORER[$1]}" || code=$?
    unset "SCORER[$1]"
    return $code
}
said() { grep -q "$2" "$PIPELINE_DIR/$1.log"; } # said NAME WORDS
answers() { pipeline_tool score --endpoint "ipc://$1.ipc" --timeout 5000 7 $(seq 1 30) >/dev/null; }
held() { jq -c '{ids, rows, assignments_digest, served_digest}' "$PIPELINE_DIR/$1/scorer.json"; }
no_lag() { [[ $(pipeline_http ingest /metrics | metric autoassign_consumer_lag) == 0 ]]; }
lagless() { # it has read all, and neither reads anew nor is about to
    local metrics
    metrics=$(pipeline_http "$1" /metrics)
    [[ $(metric autoassign_scorer_lag <<<"$metrics") == 0 && $(metric autoassign_scorer_reading_anew <<<"$metrics") == 0 ]]
}

kafka start || die "no broker"
AUTOASSIGN_TEST_BROKER=$("$ROOT/scripts/local-kafka.sh" status "$WORK/kafka")
"$PIPELINE_BIN/generate" --events $EVENTS --users 1500 --items 400 --arrivals 0.02 --seed 11 >"$WORK/stream.csv"
head -n 2001 "$WORK/stream.csv" >"$WORK/first.csv"
{ head -n 1 "$WORK/stream.csv"; tail -n +2002 "$WORK/stream.csv"; } >"$WORK/rest.csv"
init_run one ingest.run=live publish.every_ms=50 checkpoint.every_ms=2000 \
    agent.forget_events=3000 agent.quiet_events=200 agent.quiet_gaps=2 agent.rows_least=64
record_file "$WORK/first.csv"
pipeline_start assigner learner ingest
start_scorer steady
start_scorer stopped
must steady_is_ready wait_until 60 pipeline_ready steady
must stopped_is_ready wait_until 60 pipeline_ready stopped
check the_topics_tell_how_long wait_until 30 said stopped 'id=DELETE-RETENTION.*kept for 2 s (delete.retention.ms)'
pipeline_tool record --rate $RATE "$WORK/rest.csv" >"$WORK/record.log" 2>&1 &
RECORD=$!
sleep 5
kill -STOP "${SCORER[stopped]}"
sleep $STOPPED_SECONDS # IDs are forgotten meanwhile, and that they were
kill -CONT "${SCORER[stopped]}"
while ! said stopped 'id=READ-ANEW .*done' && alive "${SCORER[stopped]}" && alive "$RECORD"; do
    answers stopped || { not_ok "no answer while reading anew"; break; }
done
check it_says_that_it_may_have_missed_some said stopped 'id=READ-ANEW .*longer than deletions are kept'
check the_new_copy_serves wait_until 60 said stopped 'id=READ-ANEW .*done'
check it_is_counted at_least "$(pipeline_http stopped /metrics | metric autoassign_scorer_read_anew_total)" 1
wait "$RECORD" || { cat "$WORK/record.log"; die "record failed"; }
must all_events_are_read wait_until 60 no_lag
pipeline_stop # everything is published
start_scorer fresh
must a_fresh_scorer_is_ready wait_until 60 pipeline_ready fresh
for name in steady stopped fresh; do check "${name}_has_read_all" wait_until 90 lagless $name; done
for name in steady stopped fresh; do check "${name}_drains" drain_scorer $name; done
fresh=$(held fresh)
echo "note $fresh"
check it_holds_what_a_fresh_one_holds equal "$(held stopped)" "$fresh"
check so_does_one_that_was_never_stopped equal "$(held steady)" "$fresh"
