#!/usr/bin/env bash
# An ingest stands still for longer than its session (SIGSTOP, a suspended machine) while another takes its place,
# and goes on then: another lane that is still there, one that has left again, and another ingest of the same lane.
# Every event is learned once, by one of them.
source "$(dirname "$0")/lib.bash"
PART_EVENTS=6000 PARTS=4 RATE=3000
SESSION_MS=6000 # the shortest that the broker allows
source "$(dirname "$0")/lanes.bash"
RECORD=0 STOPPED=0

go_on() { ((STOPPED == 0)) || kill -CONT "$STOPPED" 2>/dev/null || true; }
trap 'go_on; ((RECORD == 0)) || kill -TERM "$RECORD" 2>/dev/null || true; lane1_stop; cleanup' EXIT

lanes_init 21
part=0
produce() { # the next part of the stream, slowly, beside us
    { echo user,item,label,timestamp; cat "$WORK/part-0$part"; } >"$WORK/part.csv"
    pipeline_tool record --partitions 4 --rate $RATE "$WORK/part.csv" >"$WORK/record.log" 2>&1 &
    RECORD=$!
    part=$((part + 1))
}
produced() { wait "$RECORD" || { cat "$WORK/record.log" >&2; die "record failed"; }; RECORD=0; }
all_read_by() { pipeline_ready "$1" && [[ $(pipeline_http "$1" /metrics | metric autoassign_consumer_lag) == 0 ]]; }
opened() { grep -c 'id=RUN-OPENED ' "$PIPELINE_DIR/$1.log" || true; }
opened_since() { (($(opened "$1") > $2)); }
stand_still() { # in the midst of the stream
    local before
    before=$(learned learner)
    produce
    wait_until 30 more_learned learner "$before" || die "nothing is learned"
    kill -STOP "$STOPPED"
}

topic_is_there() { "$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC" >/dev/null 2>&1; }
produce
wait_until 30 topic_is_there || die "record made no topic"
pipeline_start assigner learner ingest
STOPPED=${PIPELINE_PID[ingest]}
must first_lane_learns wait_until 60 more_learned learner 0
produced

lane1_start assigner learner
stand_still
lane1_start ingest
must another_lane_takes_its_place wait_until 30 opened_since ingest-1 0
produced
must and_reads_to_the_end wait_until 60 all_read_by ingest-1
before=$(opened ingest)
go_on
must first_lane_comes_back wait_until 30 opened_since ingest "$before"
must second_lane_is_ready_again wait_until 30 all_read_by ingest-1

# Now the other one leaves while it stands still, and its session ends: nobody is in the group.
stand_still
before=$(opened ingest-1)
must another_lane_takes_its_place_again wait_until 30 opened_since ingest-1 "$before"
produced
must and_reads_to_the_end_again wait_until 60 all_read_by ingest-1
kill -TERM "${PID1[ingest]}"
wait_until 30 gone "${PID1[ingest]}"
sleep $((SESSION_MS / 1000 + 2)) # static members leave by their session's end
before=$(opened ingest)
go_on
must first_lane_comes_back_again wait_until 40 opened_since ingest "$before"

# Another ingest of the same lane.
stand_still
first=$STOPPED
STOPPED=0
before=$(opened ingest)
pipeline_start ingest
must another_ingest_of_the_lane_takes_its_place wait_until 30 opened_since ingest "$before"
produced
must and_reads_it_all wait_until 60 all_read_by ingest
kill -CONT "$first"
must the_first_one_ends wait_until 30 gone "$first"
check because_another_took_over grep -q 'another ingest of this pipeline and lane' "$PIPELINE_DIR/ingest.log"
sleep 1
check the_other_goes_on all_read_by ingest
lane1_stop
for name in ingest assigner learner; do stop_pid "${PIPELINE_PID[$name]}" 30; done
check every_event_is_learned_once equal \
    $(($(figure learner events) + $(jq .events "$PIPELINE_DIR/lane1/learner.json"))) $((PART_EVENTS * PARTS))
