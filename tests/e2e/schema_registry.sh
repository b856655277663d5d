#!/usr/bin/env bash
# Messages framed by a schema registry, from a real topic: Avro, protobuf and JSON as Confluent's client writes them
# (tests/formats). While the registry is away, partitions wait, those of a fetcher too, and nothing is dead-lettered;
# a restart needs no registry.
source "$(dirname "$0")/lib.bash"
FIXTURES=$ROOT/tests/formats/fixtures
FETCHER=0 REGISTRY=0
stop_others() {
    ((FETCHER == 0)) || stop_pid "$FETCHER" 30
    ((REGISTRY == 0)) || stop_pid "$REGISTRY" 5
}
trap 'stop_others; cleanup' EXIT

hex() { od -An -v -tx1 "$1" | tr -d ' \n'; echo; } # hex FILE
send() { # send PARTITION FILE...
    local file
    for file in "${@:2}"; do hex "$FIXTURES/$file"; done |
        "$TOPIC_TOOL" write-hex "$AUTOASSIGN_TEST_BROKER" "$TOPIC" "$1" || die "the topic was not written"
}
start_registry() { # start_registry PORT
    setsid setpriv --pdeathsig TERM python3 "$ROOT/tests/formats/registry.py" "$1" >"$WORK/port" 2>"$WORK/registry.log" </dev/null &
    REGISTRY=$!
    wait_until 10 test -s "$WORK/port" || { cat "$WORK/registry.log"; die "the registry's stand-in does not start"; }
}
stop_registry() { stop_pid "$REGISTRY" 5; REGISTRY=0; }
value() { pipeline_http "$1" /metrics 2>/dev/null | metric "$2" | grep . || echo -1; }
value_is() { [[ $(value "$1" "$2") == "$3" ]]; }

start_registry 0
PORT=$(cat "$WORK/port")
stop_registry
settings=("event.schema_registry=http://127.0.0.1:$PORT" event.label=as-is)
avro=(event.format=avro fields.user.path=user.id)

init_run live "${settings[@]}" "${avro[@]}" ingest.run=live checkpoint.every_ms=300 ingest.batch_wait_ms=20 \
    links.fetchers=ipc://fetchers.ipc kafka.session.timeout.ms=6000 kafka.heartbeat.interval.ms=500
pipeline_tool topics --create --partitions 2 >/dev/null || die "no topics"
send 0 avro_reference.bin avro_reference.bin
send 1 avro_reference.bin avro_reference.bin
printf '00000003e802\n' | "$TOPIC_TOOL" write-hex "$AUTOASSIGN_TEST_BROKER" "$TOPIC" 1 || die "the topic was not written"

# ---- the registry is away ----
pipeline_start assigner learner ingest
(cd "$PIPELINE_DIR" && exec setsid setpriv --pdeathsig TERM "$PIPELINE_BIN/ingest" "${PIPELINE_ARGS[@]}" \
    -o ingest.role=fetcher) >>"$PIPELINE_DIR/fetcher.log" 2>&1 </dev/null &
FETCHER=$!
fetcher_works() { value_is ingest autoassign_fetchers_working 1; }
must a_fetcher_has_a_partition wait_until 40 fetcher_works
away() { value_is ingest autoassign_schema_registry_away 1 && grep -q 'id=SCHEMA-WAIT' "$PIPELINE_DIR/fetcher.log"; }
must the_registry_is_missed wait_until 40 away
readyz() { curl -s "http://127.0.0.1:$(pipeline_port ingest)/readyz"; }
says_why() { [[ $(readyz) == *"the schema registry does not answer"* ]]; }
check readyz_says_why wait_until 20 says_why
check nothing_is_learned_meanwhile equal "$(value learner autoassign_events_total)" 0
no_letter() { ! "$TOPIC_TOOL" read "$AUTOASSIGN_TEST_BROKER" "$TOPIC.dlq" 2>/dev/null | grep -q .; }
check nothing_is_dead_lettered_meanwhile no_letter

# ---- it comes ----
start_registry "$PORT"
check partitions_continue wait_until 60 value_is learner autoassign_events_total 4
letter() { "$TOPIC_TOOL" read "$AUTOASSIGN_TEST_BROKER" "$TOPIC.dlq" 2>/dev/null | jq -r '.headers["autoassign.reason"]' | grep -qx schema-unknown; }
check an_unknown_number_is_a_dead_letter wait_until 60 letter
ready() { pipeline_ready ingest; }
check ingest_is_ready_again wait_until 30 ready
stop_pid "$FETCHER" 30
FETCHER=0
pipeline_stop
stop_registry

# ---- a restart, and another pipeline of the same folder, need no registry ----
cached=("${settings[@]}" "${avro[@]}" "checkpoint.dir=$WORK/live/checkpoints")
TOPIC=$UNIQUE-cached
init_run cached "${cached[@]}"
pipeline_tool topics --create --partitions 1 >/dev/null || die "no topics"
send 0 avro_reference.bin avro_reference.bin avro_reference.bin
must a_replay_without_a_registry_ends replay 60
check schemas_come_from_the_disk equal "$(figure learner events)" 3

# ---- the other formats, each from a topic of its own ----
start_registry "$PORT"
format() { # format NAME FILE SETTING...
    TOPIC=$UNIQUE-$1
    init_run "$1" "${settings[@]}" "${@:3}"
    pipeline_tool topics --create --partitions 1 >/dev/null || die "no topics"
    send 0 "$2" "$2"
    try() { pipeline_tool ingest --try 10 >"$WORK/$TOPIC.txt"; }
    check "$1_can_be_tried" try
    check "$1_is_printed" grep -qF '2 messages: 2 events' "$WORK/$TOPIC.txt"
    must "$1_replay_ends" replay 60
    check "$1_is_learned" equal "$(figure learner events)" 2
}
format protobuf protobuf_framed.bin event.format=protobuf event.message=shop.Click fields.user.path=user.id event.time_field=at
format json json_framed.bin event.format=json
format avro avro_framed.bin event.format=avro event.label_field=kind event.label_map=VIEW=0,CLICK=1,PURCHASE=1 \
    event.time_field=at fields.user.path=user.id fields.user.missing=unknown fields.item.path=id
