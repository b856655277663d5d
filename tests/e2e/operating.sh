#!/usr/bin/env bash
# What operators use: the topics tool, dashboards and alerts against the processes' real metrics,
# rollback to a checkpoint, units and compose file.
source "$(dirname "$0")/lib.bash"
EVENTS=40000
CHECKS=$(dirname "$0")/operating.py

# ---- topics ----
"$PIPELINE_BIN/generate" --events $EVENTS --users 500 --items 200 --seed 23 >"$WORK/stream.csv"
init_run one ingest.run=live checkpoint.every_events=10000 checkpoint.every_ms=300 checkpoint.keep=50
topics() { pipeline_tool topics "$@"; }
code_of() { local c=0; "$@" >"$WORK/said" 2>&1 || c=$?; echo $c; }
check missing_topics_are_bad equal "$(code_of topics --check)" 1
check each_missing_topic_is_named equal "$(grep -c 'no such topic' "$WORK/said")" 4
check topics_are_made equal "$(code_of topics --create --partitions 4)" 0
check then_all_is_well equal "$(code_of topics --check --write)" 0
check made_with_the_partitions_asked_for grep -q "topic $TOPIC: 4 partitions" "$WORK/said"
check compacted_where_scorers_read equal "$(grep -c ', compacted' "$WORK/said")" 2
check making_again_changes_nothing equal "$(code_of topics --create --partitions 5)" 0
not_compacted() { equal "$(code_of pipeline_tool topics -o "topics.interactions=$UNIQUE-other" -o "topics.model=$TOPIC")" 1 && grep -q 'is not compacted' "$WORK/said"; }
check a_topic_that_is_not_compacted_is_bad not_compacted
check acls_of_one_process equal "$(topics --acls --role ingest | wc -l)" 4
check a_wrong_flag_is_a_usage_error equal "$(code_of topics --role nobody)" 2
check a_broker_that_does_not_answer_is_bad equal "$(code_of pipeline_tool topics -o kafka.bootstrap.servers=127.0.0.1:1 -o kafka.socket.timeout.ms=500 -o log.level=error)" 1

# ---- metrics ----
record_file "$WORK/stream.csv"
pipeline_start assigner learner scorer ingest
all_learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" $EVENTS >/dev/null 2>&1; }
must the_pipeline_learns wait_until 120 all_learned
must scorer_is_ready wait_until 30 pipeline_ready scorer
must ingest_knows_its_lag wait_until 30 pipeline_ready ingest
pipeline_tool score 1 2 3 >/dev/null || die "no score"
for name in ingest assigner learner scorer; do pipeline_http "$name" /metrics >"$WORK/$name.metrics"; done
check what_the_check_wrote_is_no_bad_record equal "$(metric 'autoassign_scorer_records_total{effect="bad"}' <"$WORK/scorer.metrics")" 0
check dashboards_and_alerts_name_real_metrics python3 "$CHECKS" metrics "$WORK"/*.metrics
age() { awk -v now="$(date +%s)" -v then="$(metric autoassign_last_commit_timestamp_seconds <"$WORK/ingest.metrics")" 'BEGIN { print now - then }'; }
check the_last_commit_was_just_now at_least 60 "$(age)"
# Prometheus and promtool: Debian's, installed or unpacked by scripts/deps.sh
PATH=$PATH:$ROOT/build/prometheus/usr/bin
prometheus_start() { # a real one with the alerts of compose/, scraping this pipeline
    PROMETHEUS=http://127.0.0.1:$(free_port)
    {
        echo "global: {scrape_interval: 1s, evaluation_interval: 1s}"
        echo "rule_files: ['$ROOT/compose/prometheus/alerts.yml']"
        echo "scrape_configs: [{job_name: autoassign, static_configs: ["
        for name in ingest assigner learner scorer; do
            echo "{labels: {process: $name}, targets: ['127.0.0.1:$(pipeline_port "$name")']},"
        done
        echo "]}]"
    } >"$WORK/prometheus.yml"
    setpriv --pdeathsig TERM prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" \
        --web.listen-address="${PROMETHEUS#http://}" >"$WORK/prometheus.log" 2>&1 </dev/null &
    PROMETHEUS_PID=$!
}
all_answered() { python3 "$CHECKS" prometheus "$PROMETHEUS" >"$WORK/said" 2>&1; }
answered_live() { wait_until 30 all_answered || { cat "$WORK/said"; return 1; }; }
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    check prometheus_takes_the_configuration promtool check config "$ROOT/compose/prometheus/prometheus.yml"
    check alerts_fire_with_a_reason_and_only_then promtool test rules "$ROOT/tests/e2e/alerts_test.yml"
    for name in ingest assigner learner scorer; do
        check "promtool_reads_the_metrics_of_$name" bash -c 'promtool check metrics <"$0" >"$0.lint" 2>&1; [[ $? != 1 ]]' "$WORK/$name.metrics"
    done
    prometheus_start
    check a_live_prometheus_answers_every_panel_and_alert answered_live
    stop_pid $PROMETHEUS_PID 10
    wait $PROMETHEUS_PID || true
else
    skip "alerts_and_metrics_by_prometheus: no prometheus (scripts/deps.sh prometheus)"
fi

# ---- rollback ----
check rollback_is_refused_while_ingest_runs equal "$(code_of pipeline_tool rollback --to 1)" 1
check and_says_why grep -q 'is ingest still running' "$WORK/said"
pipeline_stop
learned=$(figure learner events)
check everything_was_learned equal "$learned" $EVENTS
check epochs_are_listed equal "$(code_of pipeline_tool rollback)" 0
check the_committed_one_is_marked equal "$(grep -c '(committed)' "$WORK/said")" 1
cp "$WORK/said" "$WORK/epochs"
to=$(awk -F'[ :]+' '$3 < 30000 && $3 > 0 { e = $2 } END { print e }' "$WORK/epochs")
events_then=$(awk -F'[ :]+' -v e="$to" '$2 == e { print $3 }' "$WORK/epochs")
echo "rolling back to epoch $to, after $events_then events"
# A static member that left by SIGTERM is gone at once; a broker that is slow to notice gets some time.
roll() { pipeline_tool rollback --to "$to" >"$WORK/said" 2>&1; }
must the_group_takes_the_earlier_epoch wait_until 90 roll
check an_epoch_that_is_not_there_is_refused equal "$(code_of pipeline_tool rollback --to 99999)" 1
check and_those_that_are_there_are_named grep -q '^rollback: no epoch 99999; there are [0-9]*, ' "$WORK/said"
check and_no_commit_was_tried equal "$(grep -c 'commit' "$WORK/said")" 0
rm -f "$PIPELINE_DIR"/*.log
pipeline_start assigner learner ingest
opened_there() { grep -q "id=RUN-OPEN .*epoch=$to " "$PIPELINE_DIR/ingest.log"; }
must ingest_goes_on_from_that_epoch wait_until 90 opened_there
no_lag() { pipeline_ready ingest && [[ $(pipeline_http ingest /metrics | metric autoassign_consumer_lag) == 0 ]]; }
must the_rest_is_read_again wait_until 90 no_lag
pipeline_stop
check every_event_counts_once_after_the_rollback equal "$(figure learner events)" $EVENTS

# ---- between machines: tcp, CURVE, settings from the environment, as in docker-compose.yaml ----
over_tcp() {
    local events assigned rewards keys
    events=$(free_port) assigned=$(free_port) rewards=$(free_port)
    keys=$("$PIPELINE_BIN/keys" --env) || return 1
    init_run two checkpoint.every_events=10000 "links.events=tcp://127.0.0.1:$events" \
        "links.assigned=tcp://127.0.0.1:$assigned" "links.rewards=tcp://127.0.0.1:$rewards"
    eval "export $(tr '\n' ' ' <<<"$keys")"
    replay 120
}
must a_replay_over_tcp_with_curve over_tcp
check every_event_is_learned_over_tcp equal "$(figure learner events)" $EVENTS
# A learner with another pair is not heard; with the right one the same run opens.
opened() { grep -q 'id=RUN-OPENED' "$PIPELINE_DIR/ingest.log"; }
tried() { grep -q 'id=RUN-OPEN ' "$PIPELINE_DIR/ingest.log"; }
not_opened() { ! wait_until 5 opened; }
PIPELINE_ARGS+=(-o "pipeline.name=$UNIQUE-three" -o checkpoint.dir=other)
rm -f "$PIPELINE_DIR"/*.log
(
    eval "export $("$PIPELINE_BIN/keys" --env | tr '\n' ' ')"
    cd "$PIPELINE_DIR" && exec setpriv --pdeathsig TERM "$PIPELINE_BIN/learner" "${PIPELINE_ARGS[@]}"
) >"$WORK/stranger.log" 2>&1 </dev/null &
STRANGER=$!
pipeline_start assigner ingest
must ingest_tries_to_open wait_until 30 tried
check who_has_another_key_is_not_heard not_opened
silence_is_said() { grep -q 'id=SILENCE .*no message comes from links.events (tcp://' "$PIPELINE_DIR/ingest.log"; }
check and_ingest_says_that_nobody_answers wait_until 10 silence_is_said
stop_pid $STRANGER 10
wait $STRANGER || true
pipeline_start learner
check with_the_right_one_the_run_opens wait_until 30 opened
pipeline_stop
unset AUTOASSIGN_LINKS_CURVE_PUBLIC_KEY AUTOASSIGN_LINKS_CURVE_SECRET_KEY

# ---- files ----
check log_ids_and_alerts_are_documented python3 "$CHECKS" logs
if python3 -c 'import yaml' 2>/dev/null; then
    check compose_file_is_complete python3 "$CHECKS" compose
else
    skip "compose_file_is_complete: no python3-yaml"
fi
# Every compose that is there, docker's plugin and docker-compose, without a word of warning.
takes_the_compose_file() {
    "$@" -f "$ROOT/compose/docker-compose.yaml" config --quiet >"$WORK/said" 2>&1 && [[ ! -s $WORK/said ]] ||
        { cat "$WORK/said"; return 1; }
}
composes=0
if docker compose version >/dev/null 2>&1; then
    check docker_compose_takes_the_file_as_it_is takes_the_compose_file docker compose
    composes=1
fi
if command -v docker-compose >/dev/null; then
    check docker-compose_takes_the_file_as_it_is takes_the_compose_file docker-compose
    composes=1
fi
((composes)) || skip "docker_compose_takes_the_file_as_it_is: no docker compose"

# Installed from nothing but what the image's build is given (.dockerignore), without building again.
install_from_context() {
    mkdir "$WORK/context"
    (cd "$ROOT" && sed -n 's/^!//p' .dockerignore | tar -c -T - | tar -x -C "$WORK/context") &&
        env -u MAKEFLAGS -u MAKELEVEL make -C "$WORK/context" -o all install BUILD="${PIPELINE_BIN%/bin}" \
            PREFIX="$WORK/installed" >"$WORK/said" 2>&1 || { tail -n 5 "$WORK/said"; return 1; }
}
must the_image_has_all_that_is_installed install_from_context
if command -v systemd-analyze >/dev/null; then
    units_are_good() { systemd-analyze verify "$WORK"/installed/lib/systemd/system/* >"$WORK/said" 2>&1 && ! grep -i autoassign "$WORK/said"; }
    check systemd_takes_the_installed_units units_are_good
    units_are_hardened() { # exposure at most 2.0 of 10
        local unit
        for unit in "$WORK"/installed/lib/systemd/system/*.service; do
            systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >"$WORK/said" 2>&1 || { tail -n 3 "$WORK/said"; return 1; }
        done
    }
    check and_finds_them_hardened units_are_hardened
    documents_are_there() { sed -n 's/^Documentation=file://p' "$WORK"/installed/lib/systemd/system/*.service | xargs ls >/dev/null; }
    check the_units_documents_are_installed documents_are_there
else
    skip "systemd_takes_the_installed_units: no systemd-analyze"
fi
