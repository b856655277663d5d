#!/usr/bin/env bash
# Everything locked at once: Kafka by TLS and SASL/SCRAM, links with CURVE keys, the scorer's endpoints with a token
# and limits, processes of a normal user. It works with the right keys and not with wrong ones, and no secret
# shows in logs, metrics or files of others. A broker of the test's own.
source "$(dirname "$0")/lib.bash"
EVENTS=20000
STRANGER=nobody

command -v openssl >/dev/null || { skip security: openssl is not here; exit 0; }
# deps.sh says why an old librdkafka meets an old Kafka here.
if [[ $(printf '%s\n' 2.6.1 "$(pkg-config --modversion rdkafka)" | sort -V | head -n 1) != 2.6.1 ]]; then
    "$ROOT/scripts/deps.sh" kafka3 || { skip "security: the jars of Kafka 3 cannot be fetched"; exit 0; }
    export KAFKA_LIBS=$ROOT/build/kafka3/libs
fi
kafka() { KAFKA_SECURE=1 "$ROOT/scripts/local-kafka.sh" "$1" "$WORK/kafka" 2>>"$WORK/kafka.log"; }
finish() { local code=$?; kafka stop >/dev/null || true; set +e; (exit $code); cleanup; }
trap finish EXIT

BUILD=${PIPELINE_BIN%/bin}
AUTOASSIGN_TEST_BROKER=$(kafka start) || die "no broker: $WORK/kafka.log"
TOKEN=token-$RANDOM$RANDOM
"$PIPELINE_BIN/keys" >"$WORK/keys.yaml"
cat "$WORK/kafka/client.yaml" "$WORK/keys.yaml" - >"$WORK/secure.yaml" <<EOF
scorer:
  token: "$TOKEN"
  max_request_bytes: 4096
  max_per_s: 20
EOF
PASSWORD=$(cat "$WORK/kafka/password")
SECRET_KEY=$(sed -n "s/.*curve_secret_key: '\(.*\)'/\1/p" "$WORK/keys.yaml")
PIPELINE_CONFIG=$WORK/secure.yaml
SETTINGS=(event.label=as-is checkpoint.every_events=4096 scorer.peers= log.level=debug kafka.debug=security)

# As root: the processes are a stranger's, who owns the run's folder and may read the configuration.
as_normal_user() {
    ((EUID == 0)) || return 0
    PIPELINE_USER=(--reuid "$STRANGER" --regid "$(id -g "$STRANGER")" --clear-groups)
    local bin=$WORK/bin
    [[ -d $bin ]] || cp -r "$PIPELINE_BIN" "$bin"
    PIPELINE_BIN=$bin
    chmod 711 "$WORK" "$WORK/kafka" "$WORK/kafka/tls"
    chmod 644 "$WORK/kafka/tls/ca.pem"
    chown -R "$STRANGER" "$PIPELINE_DIR" "$WORK/secure.yaml" "$bin"
}
owner_of() { stat -c %U "/proc/${PIPELINE_PID[$1]}"; }

"$PIPELINE_BIN/generate" --events $EVENTS --seed 14 >"$WORK/stream.csv"
init_run locked "${SETTINGS[@]}"
chmod 600 "$WORK/secure.yaml"
record_file "$WORK/stream.csv"
as_normal_user
pipeline_start assigner learner scorer ingest
got_metrics() { pipeline_http "$1" /metrics >"$WORK/$1.metrics"; }
for name in assigner learner scorer ingest; do wait_until 30 got_metrics $name; done
must replay_by_tls_and_scram_ends pipeline_wait_end 120
check every_event_counts equal "$(figure learner events)" $EVENTS
must scorer_catches_up wait_until 60 pipeline_scorer_caught_up
if ((EUID == 0)); then check processes_run_as_a_normal_user equal "$(owner_of scorer)" "$STRANGER"; else ok processes_run_as_a_normal_user; fi

# ---- the scorer's endpoints ----
port=$(grep -oE 'id=HTTP-LISTEN .*port=[0-9]+' "$PIPELINE_DIR/scorer.log" | grep -oE '[0-9]+$')
ask() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 -H "Authorization: Bearer $1" --data-binary "$2" "http://127.0.0.1:$port/v1/score"; }
question='{"user":"u1","items":["i1","i2"]}'
check right_token_is_answered equal "$(ask "$TOKEN" "$question")" 200
check wrong_token_is_refused equal "$(ask "${TOKEN}x" "$question")" 401
check no_token_is_refused equal "$(ask '' "$question")" 401
check too_long_a_request_is_refused equal "$(ask "$TOKEN" "$(head -c 5000 < <(yes ' '))$question")" 413
check zmq_door_wants_the_token_too equal "$(pipeline_tool score --token wrong u1 i1 >/dev/null 2>&1; echo $?)" 1
check zmq_door_answers_with_it pipeline_tool score u1 i1
codes() { # of 600 requests as fast as curl can, one connection
    curl -s --max-time 20 -H "Authorization: Bearer $TOKEN" --data-binary "$question" -o /dev/null -w '%{http_code}\n' \
        "http://127.0.0.1:$port/v1/score?[1-600]" 2>/dev/null | sort | uniq -c | awk '{ print $2 }' | tr '\n' ' '
}
check too_many_a_second_are_refused equal "$(codes)" '200 429 '

# ---- no secret shows ----
got_metrics scorer # again: it has answered and refused since
for name in ingest assigner learner scorer; do
    pipeline_tool "$name" --print-config >"$WORK/$name.config"
    pipeline_tool "$name" --check-config >>"$WORK/$name.config" 2>&1
done
check every_configuration_is_good equal "$(grep -l 'configuration is good' "$WORK"/*.config | wc -l)" 4
curl -s "http://127.0.0.1:$port/v1/status" >"$WORK/page.metrics" # what the live page shows
leaks() { grep -rlF -e "$PASSWORD" -e "$TOKEN" -e "$SECRET_KEY" "$PIPELINE_DIR" "$WORK"/*.metrics "$WORK"/*.config || true; }
check secrets_are_there_to_be_found equal "$(grep -c -F -e "$PASSWORD" -e "$TOKEN" -e "$SECRET_KEY" "$WORK/secure.yaml")" 3
check metrics_were_looked_at equal "$(grep -l autoassign_ "$WORK"/*.metrics | wc -l)" 5
check no_secret_in_logs_metrics_checkpoints_or_printed_configuration equal "$(leaks)" ''
pipeline_stop
open_files() { find "$PIPELINE_DIR" -type f ! -name '*.log' ! -name '*.pid' -perm /077 -printf '%P '; } # logs are the shell's
check files_are_for_their_owner_only equal "$(open_files)" ''
check folders_are_for_their_owner_only equal "$(find "$PIPELINE_DIR/checkpoints" -type d -perm /077 -printf '%P ')" ''

# ---- keys ----
make_keys() { make -s -C "$ROOT" keys BUILD="$1" KEYS="$WORK/made.env" >/dev/null 2>&1; }
check make_keys_makes_a_pair make_keys "$BUILD"
check made_keys_are_for_their_owner_only equal "$(stat -c %a "$WORK/made.env")" 600
check made_keys_are_of_40_characters equal "$(grep -cE "^AUTOASSIGN_LINKS_CURVE_(PUBLIC|SECRET)_KEY='?.{40}'?$" "$WORK/made.env")" 2
check made_keys_are_never_overwritten eval '! make_keys "$BUILD"'

# ---- wrong keys ----
check plain_client_is_refused eval '! "$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC" >/dev/null 2>&1'
sed "s|sasl.password: .*|sasl.password: \"wrong\"|" "$WORK/secure.yaml" >"$WORK/wrong-password.yaml"
says() { grep -q "$2" "$PIPELINE_DIR/$1.log"; }
PIPELINE_USER=() PIPELINE_CONFIG=$WORK/wrong-password.yaml
init_run wrong-password "${SETTINGS[@]}"
pipeline_start ingest
check wrong_password_is_said wait_until 30 says ingest 'SASL.*[Aa]uthentication'
check wrong_password_opens_nothing eval '! says ingest RUN-OPEN'
pipeline_stop

# ingest with another pair of keys: the assigner does not take it.
cat "$WORK/kafka/client.yaml" >"$WORK/other-keys.yaml"
"$PIPELINE_BIN/keys" >>"$WORK/other-keys.yaml"
PIPELINE_CONFIG=$WORK/secure.yaml
init_run other-keys "${SETTINGS[@]}"
pipeline_start assigner learner
PIPELINE_ARGS[1]=$WORK/other-keys.yaml
pipeline_start ingest
check stranger_at_the_links_tries wait_until 30 says ingest 'id=RUN-OPEN '
sleep 3
check stranger_at_the_links_is_refused eval '! says ingest "id=RUN-OPENED" && ! says assigner "id=RUN-OPEN"'
pipeline_stop
PIPELINE_ARGS[1]=$WORK/secure.yaml
pipeline_start assigner learner ingest
check with_the_right_keys_it_opens wait_until 30 says ingest 'id=RUN-OPENED'
pipeline_stop
