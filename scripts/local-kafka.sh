#!/usr/bin/env bash
# A real single-node Apache Kafka (KRaft) on free ports of this machine, for the demo and the tests:
#   scripts/local-kafka.sh start DIR     prints the bootstrap address once the broker answers
#   scripts/local-kafka.sh status DIR    prints it too; exit 1 when it does not answer
#   scripts/local-kafka.sh stop DIR      ends it, waits for the end; the data stay in DIR
# All it writes is in DIR (data, settings, pid, broker.log), so several can run side by side.
# `start` on a running broker only prints its address; on old data it continues with them, at the
# same address if nobody has taken its ports: clients of a broker that was killed find it again.
# KAFKA_LIBS: another folder of jars, of another version.
# KAFKA_SETTINGS: more lines of server.properties for a new broker.
# KAFKA_SASL_PORT: it also listens there, with SASL_PLAINTEXT (users and mechanisms: KAFKA_SETTINGS).
# KAFKA_SECURE=1: clients of a new broker connect by TLS and SASL/SCRAM only; DIR/client.yaml has
# the `kafka:` section that they need (user autoassign, a random password, the authority's certificate).
source "$(dirname "$0")/lib.sh"
source "$ROOT/scripts/kafka/node.bash"

START_SECONDS=60
STOP_SECONDS=30

[[ $# == 2 && $1 =~ ^(start|stop|status)$ ]] || die -2 "usage: scripts/local-kafka.sh start|stop|status DIR"
COMMAND=$1
[[ $COMMAND != start ]] || mkdir -p "$2"
[[ -d $2 ]] || die "$2: no such folder"
DIR=$(cd "$2" && pwd)
PROPERTIES=$DIR/server.properties # names this broker in its command line

pid() { cat "$DIR/pid" 2>/dev/null || echo 0; }
running() { alive "$(pid)" "$PROPERTIES"; }
port() { sed -n 's|^listeners=[A-Z_]*://127.0.0.1:\([0-9]*\),.*|\1|p' "$PROPERTIES"; }
plain_port() { sed -n 's|^listeners=\(.*,\)\?PLAINTEXT://127.0.0.1:\([0-9]*\),.*|\2|p' "$PROPERTIES"; }
controller_port() { sed -n 's|^controller.quorum.voters=1@127.0.0.1:||p' "$PROPERTIES"; }
ports_are_free() { port_free "$(port)" && port_free "$(controller_port)"; }
ports_kept() { # the ports of the last time, if they can be had again: a broker just killed holds them for a moment
    [[ -e $DIR/data/meta.properties && -r $PROPERTIES ]] && wait_until 10 ports_are_free
}

# A broker that accepts connections may not be able to serve yet: ask it for its API versions
# (length 10, API key 18, version 0, correlation 1, no client name) and wait for a reply.
answers() {
    local n
    n=$(timeout 2 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" &&
        printf "\0\0\0\012\0\022\0\0\0\0\0\1\377\377" >&3 && head -c 8 <&3 | wc -c' "$1" 2>/dev/null) || return 1
    ((n == 8))
}
started() { grep -qs 'Kafka Server started' "$DIR/broker.log" && answers "$(plain_port)"; }
# By its pid alone: for a moment after the fork it still has our command line.
started_or_gone() { started || ! alive "$(pid)"; }

write_properties() {
    local broker=$1 controller=$2
    local sasl=${KAFKA_SASL_PORT:+,SASL_PLAINTEXT://127.0.0.1:$KAFKA_SASL_PORT}
    kafka_properties 1 "$broker" "$controller" | sed -E "s|^(advertised\\.)?listeners=.*|&$sasl|" >"$PROPERTIES"
    cat >>"$PROPERTIES" <<EOF
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$DIR/data
num.partitions=4
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.min.isr=1
num.replica.fetchers=1
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
${KAFKA_SETTINGS:-}
EOF
}

# Clients by TLS and SCRAM; the broker speaks to itself on a second, plain listener of its own.
write_secure() { # write_secure BROKER PLAIN CONTROLLER
    umask 077
    local tls=$DIR/tls password=$DIR/password
    mkdir -p "$tls"
    [[ -r $password ]] || head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$password"
    if [[ ! -r $tls/server.pem ]]; then
        {
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=autoassign test authority' \
                -keyout "$tls/ca.key" -out "$tls/ca.pem"
            openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout "$tls/server.key" -out "$tls/server.csr"
            openssl x509 -req -days 2 -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial \
                -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$tls/server.crt"
        } >"$tls/openssl.log" 2>&1 || { cat "$tls/openssl.log" >&2; die "no certificates"; }
        cat "$tls/server.key" "$tls/server.crt" "$tls/ca.pem" >"$tls/server.pem"
    fi
    sed -i -e "s|^listeners=.*|listeners=SASL_SSL://127.0.0.1:$1,PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3|" \
        -e "s|^advertised.listeners=.*|advertised.listeners=SASL_SSL://127.0.0.1:$1,PLAINTEXT://127.0.0.1:$2|" \
        -e 's|^listener.security.protocol.map=|&SASL_SSL:SASL_SSL,|' "$PROPERTIES"
    cat >>"$PROPERTIES" <<EOF
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=$tls/server.pem
EOF
    cat >"$DIR/client.yaml" <<EOF
kafka:
  bootstrap.servers: "127.0.0.1:$1"
  security.protocol: sasl_ssl
  ssl.ca.location: "$tls/ca.pem"
  sasl.mechanism: SCRAM-SHA-512
  sasl.username: autoassign
  sasl.password: "$(cat "$password")"
EOF
    FORMAT_ARGS=(--add-scram "SCRAM-SHA-512=[name=autoassign,password=$(cat "$password")]")
}

FORMAT_ARGS=()
start_once() {
    if ! ports_kept; then
        local broker controller
        broker=$(free_port) controller=$(free_port)
        write_properties "$broker" "$controller"
        [[ -z ${KAFKA_SECURE:-} ]] || write_secure "$broker" "$(free_port)" "$controller"
    fi
    if [[ ! -e $DIR/data/meta.properties ]]; then
        kafka_format "$PROPERTIES" "${FORMAT_ARGS[@]}" >"$DIR/format.log" 2>&1 ||
            { cat "$DIR/format.log" >&2; die "formatting $DIR/data failed"; }
    fi
    : >"$DIR/broker.log"
    # A session of its own: Ctrl-C in the terminal must not end the broker before its clients.
    setsid "${KAFKA_JAVA[@]}" kafka.Kafka "$PROPERTIES" \
        >"$DIR/broker.log" 2>&1 </dev/null 7>&- 8>&- 9>&- &
    echo $! >"$DIR/pid"
    wait_until "$START_SECONDS" started_or_gone && started
}

start() {
    if ! running; then
        local try
        for try in 1 2 3; do # another program may take a port between our look and the broker's bind
            start_once && break
            running && stop
            if ((try == 3)) || ! grep -qi 'address already in use' "$DIR/broker.log"; then
                tail -n 20 "$DIR/broker.log" >&2
                die "Kafka did not start (log: $DIR/broker.log)"
            fi
        done
        echo "127.0.0.1:$(port)" # it has just answered
        return
    fi
    status
}

status() {
    running && answers "$(plain_port)" || { warn "no broker answers in $DIR"; return 1; }
    echo "127.0.0.1:$(port)"
}

stop() {
    stop_pid "$(pid)" "$STOP_SECONDS" "$PROPERTIES" && rm -f "$DIR/pid"
}

[[ -r $KAFKA_LIBS/.complete || $COMMAND != start ]] || die "Kafka's jars are missing: run scripts/deps.sh"
"$COMMAND"
