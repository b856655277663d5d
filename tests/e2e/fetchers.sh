#!/usr/bin/env bash
# Several ingests for one assigner and learner: under load fetchers join the sequencer's group, leave, are killed
# and come back, and the sequencer itself is killed. The partitions move, and every event is learned exactly once;
# bad ones are all in the dead-letter topic. A fetcher that does not belong here does no harm.
source "$(dirname "$0")/lib.bash"
MOST_EVENTS=1600000 RATE=12000 PARTS=6 BAD=150 # the load ends when the test has done with it
SESSION_MS=6000 # after which the group gives up a member that was killed
RECORD=0

stop_record() { ((RECORD == 0)) || kill -TERM "$RECORD" 2>/dev/null || true; }

# start_as NAME PROGRAM [SETTING]...: another of our programs beside the four, its log is NAME.log
start_as() {
    local name=$1 program=$2 setting args=()
    shift 2
    for setting in "$@"; do args+=(-o "$setting"); done
    (cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/$program" \
        "${PIPELINE_ARGS[@]}" "${args[@]}") >>"$PIPELINE_DIR/$name.log" 2>&1 </dev/null &
    PIPELINE_PID[$name]=$!
}
start_fetcher() { start_as "$1" ingest ingest.role=fetcher "${@:2}"; }
stop_fetchers() {
    local name
    for name in "${!PIPELINE_PID[@]}"; do
        case $name in
        fetcher* | stranger | intruder) stop_pid "${PIPELINE_PID[$name]}" 30 || true ;;
        esac
    done
}
trap 'stop_record; stop_fetchers; cleanup' EXIT

value() { pipeline_http "$1" /metrics 2>/dev/null | metric "$2" | grep . || echo 0; } # value PROCESS METRIC
value_is() { [[ $(value "$1" "$2") == "$3" ]]; }
value_above() { at_least "$(value "$1" "$2")" $(($3 + 1)) >/dev/null 2>&1; }
works() { value_above "$1" autoassign_fetcher_records_total "${2:-0}"; } # works FETCHER [SO MANY RECORDS ALREADY]
working_are() { value_is ingest autoassign_fetchers_working "$1"; }
opened() { grep -c 'id=RUN-OPENED ' "$PIPELINE_DIR/ingest.log" || true; }
kill_now() { # kill_now NAME
    kill -KILL "${PIPELINE_PID[$1]}"
    pipeline_exit_code "$1" || true
}

# A user of its own in each event: what is lost is missing among the IDs, what comes twice is an event too many.
awk -v n=$MOST_EVENTS 'BEGIN { print "user,item,label,timestamp"; for (i = 0; i < n; i++) print "u" i ",i" i % 1000 "," i % 2 "," 1700000000 + int(i / 1000) }' >"$WORK/stream.csv"
own_keys() { # for the links of all processes started from here on
    set -a
    eval "$("$PIPELINE_BIN/keys" --env)"
    set +a
}
own_keys
init_run lane event.label=as-is ingest.run=live ingest.batch_events=128 checkpoint.every_ms=300 \
    links.fetchers=ipc://fetchers.ipc \
    ingest.partition_queue_events=2000 kafka.session.timeout.ms=$SESSION_MS kafka.heartbeat.interval.ms=500 ingest.fetcher_silence_ms=1500

# The load, all the time: events as JSON, and in every partition some that are none.
(cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/record" "${PIPELINE_ARGS[@]}" \
    --partitions $PARTS --json --rate $RATE "$WORK/stream.csv") >"$WORK/record.log" 2>&1 </dev/null &
RECORD=$!
topic_is_there() { "$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC" >/dev/null 2>&1; }
wait_until 30 topic_is_there || die "record made no topic"
bad=0
write_bad() {
    local part
    for part in $(seq 0 $((PARTS - 1))); do
        for _ in $(seq $((BAD / PARTS / 5))); do
            echo "bad $((++bad)) {" >>"$WORK/bad"
            echo "bad $bad {"
        done | "$TOPIC_TOOL" write "$AUTOASSIGN_TEST_BROKER" "$TOPIC" "$part"
        bad=$(wc -l <"$WORK/bad")
    done
}
# Far more bytes of letters than may be under way, in partitions of at least one fetcher.
LARGE=24 LARGE_BYTES=900000
write_large_bad() {
    local part filler
    filler=$(head -c $LARGE_BYTES /dev/zero | tr '\0' x)
    for part in 0 2 4; do
        for _ in $(seq $LARGE); do
            echo "bad $((++bad)) {" >>"$WORK/bad"
            echo "bad $bad $filler"
        done | "$TOPIC_TOOL" write "$AUTOASSIGN_TEST_BROKER" "$TOPIC" "$part"
        bad=$(wc -l <"$WORK/bad")
    done
}

write_bad
pipeline_start assigner learner ingest
must sequencer_alone_learns wait_until 60 value_above learner autoassign_events_total 0
start_fetcher fetcher1
start_fetcher fetcher2
check both_fetchers_get_partitions wait_until 30 working_are 2
must first_fetcher_reads wait_until 30 works fetcher1
must second_fetcher_reads wait_until 30 works fetcher2
check a_fetcher_is_ready wait_until 10 pipeline_ready fetcher1
write_bad
before=$(value ingest autoassign_fetched_letters_total)
write_large_bad
check large_bad_ones_come_through_fetchers wait_until 30 value_above ingest autoassign_fetched_letters_total $((before + LARGE - 1))
echo "note gaps by then: $(value ingest autoassign_fetch_gaps_total)"

# What fetchers may have under way is bounded: a learner that stands still stops them, though more is there.
standing_still() {
    local before
    before=$(value ingest autoassign_fetched_events_total)
    sleep 0.7
    value_is ingest autoassign_fetched_events_total "$before" && value_above ingest autoassign_consumer_lag 0
}
kill -STOP "${PIPELINE_PID[learner]}"
check a_stalled_learner_stops_fetchers wait_until 15 standing_still
kill -CONT "${PIPELINE_PID[learner]}"
before=$(value fetcher1 autoassign_fetcher_records_total)
check and_they_go_on_with_it wait_until 15 works fetcher1 "$before"

kill -TERM "${PIPELINE_PID[fetcher1]}"
must fetcher_drains_on_sigterm wait_until 30 gone "${PIPELINE_PID[fetcher1]}"
check and_ends_with_0 pipeline_exit_code fetcher1
check the_other_one_goes_on wait_until 30 works fetcher2 "$(value fetcher2 autoassign_fetcher_records_total)"
start_fetcher fetcher3
must another_one_joins wait_until 30 works fetcher3
write_bad
runs=$(opened)

# Two that do not belong here: one of another pipeline, one with other keys.
start_fetcher stranger pipeline.name=another
must fetcher_of_another_pipeline_ends wait_until 30 gone "${PIPELINE_PID[stranger]}"
pipeline_exit_code stranger || true
check with_an_error_of_the_configuration equal "${PIPELINE_EXIT[stranger]}" 2
check that_says_why grep -q 'FAILED.*refuses.*another' "$PIPELINE_DIR/stranger.log"
(own_keys; cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/ingest" "${PIPELINE_ARGS[@]}" \
    -o ingest.role=fetcher) >>"$PIPELINE_DIR/intruder.log" 2>&1 </dev/null &
PIPELINE_PID[intruder]=$!
check fetcher_with_other_keys_gets_no_answer wait_until 10 grep -q 'id=FETCHER-WAIT' "$PIPELINE_DIR/intruder.log"
check and_does_not_join_the_group equal "$(grep -c 'joining' "$PIPELINE_DIR/intruder.log" || true)" 0
stop_pid "${PIPELINE_PID[intruder]}" 10
check and_can_be_stopped pipeline_exit_code intruder
check the_others_were_left_alone equal "$(opened)" "$runs"

kill_now fetcher2
start_fetcher fetcher4
must one_comes_for_a_killed_one wait_until 30 works fetcher4
write_bad
before=$(value fetcher4 autoassign_fetcher_records_total)
kill_now assigner
pipeline_start assigner
must they_read_on_after_the_assigner_was_killed wait_until 30 works fetcher4 "$before"
before=$(value fetcher4 autoassign_fetcher_records_total)
kill_now ingest
pipeline_start ingest
must sequencer_comes_back_and_fetchers_read_for_it wait_until 30 works fetcher4 "$before"
write_bad

alive "$RECORD" || echo "note the load had ended by then: a slow machine"
stop_record
wait "$RECORD" || true # its exit code says that it was stopped
RECORD=0
learned_all() { at_least "$(value learner autoassign_events_total)" 1 >/dev/null && value_is ingest autoassign_consumer_lag 0; }
letters() { "$TOPIC_TOOL" read "$AUTOASSIGN_TEST_BROKER" "$TOPIC.dlq" | jq -r .value | sort -u; }
bad_are_letters() { [[ $(letters | wc -l) == "$bad" ]]; }
must everything_is_read wait_until 60 learned_all
check bad_ones_are_all_dead_letters wait_until 20 bad_are_letters
stop_fetchers
pipeline_stop
EVENTS=$(($("$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC") - bad))
check no_event_is_learned_twice equal "$(figure learner events)" $EVENTS
check no_event_is_lost equal "$(figure assigner ids_seen)" $((EVENTS + 1000))
rest=$(awk -F 'records=' '/id=FINAL/ { sum += $2 } END { print sum + 0 }' "$PIPELINE_DIR"/fetcher[34].log)
check fetchers_read_a_good_share at_least "$rest" $((EVENTS / 4))
echo "note fetchers had read $rest at the end; runs opened: $(opened)"
