#!/usr/bin/env bash
# Dense weights that are larger than Kafka's and its client's usual limits. The topic that the pipeline makes and its
# clients take them, whoever makes the topic; a topic or a setting that does not is refused before anything is
# learned, by the check and at the start, with the names of both keys.
source "$(dirname "$0")/lib.bash"
LARGE=(model.dim=64 model.hidden=1024-512) # 2.6 MB
topics() { pipeline_tool topics "$@"; }
code_of() { "$@" >"$WORK/said" 2>&1 && echo 0 || echo $?; }
says() { grep -q -- "$1" "$WORK/said" || { cat "$WORK/said"; return 1; }; }
learner_ends_with() { # learner_ends_with CODE: within 20 s
    pipeline_start learner
    local code=0
    wait_until 20 gone "${PIPELINE_PID[learner]}" || { pipeline_stop; return 1; }
    pipeline_exit_code learner || code=$?
    cp "$PIPELINE_DIR/learner.log" "$WORK/said"
    equal "$code" "$1"
}

"$PIPELINE_BIN/generate" --events 3000 --users 100 --items 50 --seed 5 >"$WORK/stream.csv"

init_run made "${LARGE[@]}" checkpoint.every_events=1000
record_file "$WORK/stream.csv"
must the_topics_tool_makes_a_topic_for_them equal "$(code_of topics --create --partitions 1)" 0
check and_finds_it_good equal "$(code_of topics --check --write --role learner)" 0
must large_weights_are_published_and_served replay 120
check every_event_was_learned equal "$(figure learner events)" 3000
check scorer_serves_what_the_learner_has equal "$(figure scorer served_digest)" "$(figure learner served_digest)"
check export_reads_them pipeline_tool export "$WORK/export"

init_run by-learner "${LARGE[@]}" checkpoint.every_events=1000
must the_learner_makes_a_topic_for_them replay 120
check and_its_scorer_serves_them equal "$(figure scorer served_digest)" "$(figure learner served_digest)"

# A topic that was made for a small model
init_run small
must a_topic_for_a_small_model equal "$(code_of topics --create --partitions 1)" 0
PIPELINE_ARGS+=(-o model.dim=64 -o model.hidden=1024-512)
check the_check_refuses_it equal "$(code_of topics --check --role learner)" 1
check with_the_topics_key says "^BAD .*max.message.bytes is 1048588, the dense weights .* need 26[0-9]*"
check and_the_clients says 'kafka.message.max.bytes'
check the_learner_refuses_it learner_ends_with 2
check and_names_both_keys says 'id=FAILED .*max.message.bytes is 1048588.*kafka.message.max.bytes'

# A client that was told to take less
PIPELINE_ARGS+=(-o kafka.message.max.bytes=2000000)
for program in ingest learner scorer; do
    check "a_client_limit_below_is_a_configuration_error_of_$program" equal "$(code_of pipeline_tool $program --check-config)" 2
    check "and_${program}_names_both_keys" says 'kafka.message.max.bytes: 2000000 is too small.*max.message.bytes of topic'
done
check the_topics_tool_refuses_it_too equal "$(code_of topics --check)" 2
check and_so_does_the_learners_start learner_ends_with 2
check by_the_same_words says 'kafka.message.max.bytes: 2000000 is too small.*max.message.bytes of topic'
