#!/usr/bin/env bash
# The permissions that `topics --acls` lists are enough, and no process works without its own: a broker
# with an authorizer and a user per process, who may do what the list says and nothing else.
source "$(dirname "$0")/lib.bash"
ACL_TOOL=${PIPELINE_BIN%/bin}/tests/tools/acl
EVENTS=20000

users=(ingest assigner learner scorer)
sasl_port=$(free_port)
jaas="org.apache.kafka.common.security.plain.PlainLoginModule required"
for user in "${users[@]}"; do jaas+=" user_autoassign-$user=\"word\""; done
broker_stop() { "$ROOT/scripts/local-kafka.sh" stop "$WORK/kafka" || true; }
trap 'broker_stop; cleanup' EXIT
BROKER=$(KAFKA_SASL_PORT=$sasl_port KAFKA_SETTINGS="authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=$jaas;" \
    "$ROOT/scripts/local-kafka.sh" start "$WORK/kafka") || die "no broker with an authorizer"
AUTOASSIGN_TEST_BROKER=$BROKER

"$PIPELINE_BIN/generate" --events $EVENTS --users 500 --items 200 --seed 31 >"$WORK/stream.csv"
init_run one ingest.run=live checkpoint.every_ms=500
pipeline_tool topics --create --partitions 4 >/dev/null || die "no topics"
record_file "$WORK/stream.csv"
{ echo '{broken'; } | "$TOPIC_TOOL" write "$BROKER" "$TOPIC" 0 || die "no bad event"
ADMIN=("${PIPELINE_ARGS[@]}")

as_user() { # the pipeline's settings with a process's credentials
    PIPELINE_ARGS=("${ADMIN[@]}" -o "kafka.bootstrap.servers=127.0.0.1:$sasl_port" -o kafka.security.protocol=SASL_PLAINTEXT
        -o kafka.sasl.mechanism=PLAIN -o "kafka.sasl.username=autoassign-$1" -o kafka.sasl.password=word)
}
start_as() { as_user "$1"; pipeline_start "$1"; }
role_check() { as_user "$1"; pipeline_tool topics --check --write --role "$1" >"$WORK/check-$1" 2>&1; }
refused() { ! role_check "$1"; }

for user in ingest scorer assigner; do check "without_permission_the_check_of_${user}_fails" refused "$user"; done
PIPELINE_ARGS=("${ADMIN[@]}")
pipeline_tool topics --acls >"$WORK/acls"
must the_listed_permissions_are_given "$ACL_TOOL" "$BROKER" <"$WORK/acls"
for user in "${users[@]}"; do check "with_them_the_check_of_${user}_is_good" wait_until 20 role_check "$user"; done

for user in assigner learner scorer ingest; do start_as "$user"; done
learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" $EVENTS >/dev/null 2>&1; }
must the_pipeline_runs_with_these_permissions wait_until 60 learned
committed() { at_least "$(pipeline_http ingest /metrics | metric autoassign_commits_total)" 1 >/dev/null 2>&1; }
check offsets_are_committed wait_until 30 committed
check scores_are_served wait_until 30 pipeline_ready scorer
letters() { equal "$("$TOPIC_TOOL" count "$BROKER" "$TOPIC.dlq")" 1 >/dev/null; }
check dead_letters_are_written wait_until 20 letters
as_user scorer
check export_needs_no_more_than_a_scorer pipeline_tool export "$WORK/export"
check items_have_names at_least "$(grep -c '^[0-9]' "$WORK/export/item.ids")" 1
pipeline_stop
denied() { grep -h 'AUTHORIZATION_FAILED\|not authorized\|authorization failed' "$PIPELINE_DIR"/*.log; }
check nobody_was_refused_anything bash -c '[[ -z $1 ]] || { echo "$1"; exit 1; }' - "$(denied | head -n 3)"

# A model that needs more than the topic takes, which its learner may not find out.
PIPELINE_ARGS=("${ADMIN[@]}")
init_run two ingest.run=live checkpoint.every_ms=500 model.dim=64 model.hidden=1024-512 "topics.model=$UNIQUE-one-model" \
    "topics.assignments=$UNIQUE-one-assignments" "pipeline.name=$UNIQUE-one" checkpoint.on_damage=fresh
ADMIN=("${PIPELINE_ARGS[@]}")
start_as learner
said() { grep -q "$1" "$PIPELINE_DIR/learner.log"; }
check a_learner_that_may_not_see_the_topics_limit_says_so wait_until 20 said 'lvl=warn.*id=TOPIC-UNCHECKED.*max.message.bytes'
for user in assigner ingest; do start_as "$user"; done
check and_names_the_keys_when_the_topic_refuses_the_weights wait_until 40 said \
    'lvl=error.*id=KAFKA-DELIVERY.*max.message.bytes of the topic.*kafka.message.max.bytes'
check but_runs_on pipeline_alive learner
check it_says_only_once_that_it_could_not_check equal "$(grep -c id=TOPIC-UNCHECKED "$PIPELINE_DIR/learner.log")" 1
pipeline_stop
