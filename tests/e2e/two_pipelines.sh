#!/usr/bin/env bash
# Two pipelines in the same two compacted topics, which is a mistake in the configuration: the second
# refuses to publish while the first one does; what it published while the first was away is passed
# over by the first one's scorers, and export and `topics --check` refuse it by name.
source "$(dirname "$0")/lib.bash"
EVENTS=20000

"$PIPELINE_BIN/generate" --events $EVENTS --users 300 --items 100 --seed 37 >"$WORK/stream.csv"
SHARED=("topics.assignments=$UNIQUE-assignments" "topics.model=$UNIQUE-model")
init_run production ingest.run=live checkpoint.every_ms=500 "${SHARED[@]}"
record_file "$WORK/stream.csv"
pipeline_start assigner learner scorer ingest
learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" $EVENTS >/dev/null 2>&1; }
must production_learns wait_until 60 learned
must production_serves wait_until 30 pipeline_ready scorer
no_lag() { [[ $(pipeline_http scorer /metrics | metric autoassign_scorer_lag) == 0 ]]; }
wait_until 20 no_lag
ask() { pipeline_tool score 1 1 2 3 4 5; }

# The same in another folder, under another name.
# shellcheck disable=SC2030,SC2031 # a pipeline of its own: production's is to stay as it is
trial() (
    PIPELINE_PID=()
    init_run trial "${SHARED[@]}" "topics.interactions=$TOPIC"
    pipeline_start assigner learner
    ended() { ! pipeline_alive assigner && ! pipeline_alive learner; }
    wait_until 30 ended || pipeline_stop
    code=0
    pipeline_exit_code assigner || code=$?
    learner=0
    pipeline_exit_code learner || learner=$?
    echo "$code $learner"
)
codes=$(trial)
check a_second_pipeline_ends_with_a_configuration_error equal "$codes" "2 2"
check and_says_whose_topics_they_are grep -q "pipeline '$UNIQUE-production' publishes there" "$WORK/trial/learner.log"
check topics_of_one_pipeline_are_good pipeline_tool topics --check

# While production's assigner and learner are away, the trial runs to its end.
for name in ingest assigner learner; do
    stop_pid "${PIPELINE_PID[$name]}" 30
    pipeline_exit_code $name
done
wait_until 20 no_lag
before=$(ask)
# shellcheck disable=SC2030,SC2031 # as above
(
    PIPELINE_PID=()
    init_run trial "${SHARED[@]}" "topics.interactions=$TOPIC" model.row_rate=0.3
    pipeline_start assigner learner ingest
    pipeline_wait_end 90
) || not_ok the_trial_ends
met() { at_least "$(pipeline_http scorer /metrics | metric 'autoassign_scorer_records_total{effect="other_pipeline"}')" 100 >/dev/null 2>&1; }
check the_scorer_counts_the_trials_records wait_until 30 met
wait_until 20 no_lag
check it_serves_what_it_served_before equal "$(ask)" "$before"
check it_stays_ready pipeline_ready scorer
says_whose() { grep -q "id=OTHER-PIPELINE.*records of .*$UNIQUE-trial" "$PIPELINE_DIR/scorer.log"; }
check it_says_whose_records_it_passes_over wait_until 30 says_whose
few_lines() { at_least 5 "$(grep -c OTHER-PIPELINE "$PIPELINE_DIR/scorer.log")"; }
check and_says_so_now_and_then_not_per_record few_lines
refused() { ! pipeline_tool "$@" >"$WORK/refused" 2>&1 && grep -q "pipeline '$UNIQUE-trial'" "$WORK/refused"; }
check export_refuses_and_says_whose refused export "$WORK/export"
check the_check_of_topics_refuses_and_says_whose refused topics --check

# A scorer that finds nothing of its own says so rather than serve another pipeline's model.
stop_pid "${PIPELINE_PID[scorer]}" 30
pipeline_exit_code scorer
third=(-o "pipeline.name=$UNIQUE-third")
others_only() { curl -s "http://127.0.0.1:$(pipeline_port scorer)/readyz" | grep -q 'another pipeline'; }
(
    PIPELINE_PID=()
    PIPELINE_ARGS+=("${third[@]}")
    pipeline_start scorer
    check a_scorer_without_records_of_its_own_is_not_ready_and_says_why wait_until 30 others_only
    pipeline_stop
)
pipeline_start assigner learner scorer ingest
check production_comes_back wait_until 60 pipeline_ready scorer
pipeline_stop
