#!/usr/bin/env bash
# Two lanes of one group share a topic's partitions. One joins, leaves, comes back, is killed: the partitions
# move to and fro, and every event is learned by exactly one of the two.
source "$(dirname "$0")/lib.bash"
PART_EVENTS=12000 PARTS=6
SESSION_MS=6000 # after which the group gives up a member that went away
source "$(dirname "$0")/lanes.bash"

trap 'lane1_stop; cleanup' EXIT

lanes_init 15
part=0
produce() { # the next part of the stream
    { echo user,item,label,timestamp; cat "$WORK/part-0$part"; } >"$WORK/part.csv"
    record_file "$WORK/part.csv"
    part=$((part + 1))
}
lag_of() { pipeline_http "$1" /metrics 2>/dev/null | metric autoassign_consumer_lag | grep . || echo 1; }
all_read_by() { pipeline_ready "$1" && [[ $(lag_of "$1") == 0 ]]; }
opened() { grep -c 'id=RUN-OPEN ' "$PIPELINE_DIR/$1.log" || true; }
opened_again() { # opened_again LOG BEFORE PARTITIONS: a run since then, the newest with that many partitions
    (($(opened "$1") > $2)) && [[ $(grep 'id=RUN-OPEN ' "$PIPELINE_DIR/$1.log" | tail -n 1) == *"partitions=$3 "* ]]
}

produce
pipeline_start assigner learner ingest
must first_lane_learns wait_until 60 more_learned learner 0

before=$(opened ingest)
lane1_start assigner learner ingest
must second_lane_gets_half_of_the_partitions wait_until 60 opened_again ingest-1 0 2
must first_lane_keeps_the_other_half wait_until 60 opened_again ingest "$before" 2
produce
check second_lane_learns wait_until 60 more_learned learner-1 0

before=$(opened ingest)
kill -TERM "${PID1[ingest]}"
must leaving_lane_drains wait_until 30 gone "${PID1[ingest]}"
left=$(learned learner-1)
produce
must first_lane_takes_over wait_until 60 opened_again ingest "$before" 4
wait_until 60 all_read_by ingest

before=$(opened ingest-1)
lane1_start ingest
must second_lane_comes_back wait_until 60 opened_again ingest-1 "$before" 2
check second_lane_goes_on_from_its_own_epoch grep -q 'id=RUN-OPEN .*epoch=[1-9].*from the last commit' "$PIPELINE_DIR/ingest-1.log"
produce
check second_lane_learns_on wait_until 60 more_learned learner-1 "$left"

# Killed in the midst of events that it has not committed.
left=$(learned learner-1) before=$(opened ingest)
produce
check second_lane_is_at_work wait_until 60 more_learned learner-1 "$left"
kill -KILL "${PID1[ingest]}"
must first_lane_takes_over_from_a_killed_one wait_until 60 opened_again ingest "$before" 4
before=$(opened ingest-1)
lane1_start ingest
must killed_lane_comes_back wait_until 60 opened_again ingest-1 "$before" 2
kill -KILL "${PIPELINE_PID[ingest]}"
pipeline_exit_code ingest || true
produce
pipeline_start ingest
both_done() { all_read_by ingest && all_read_by ingest-1; }
must everything_is_read wait_until 90 both_done
pipeline_stop
lane1_stop
one=$(figure learner events) two=$(jq .events "$PIPELINE_DIR/lane1/learner.json")
check every_event_is_learned_by_exactly_one_lane equal $((one + two)) $((PART_EVENTS * PARTS))
check both_lanes_learned at_least "$two" 1000
echo "note lanes learned $one and $two events; runs opened: $(opened ingest) and $(opened ingest-1)"
