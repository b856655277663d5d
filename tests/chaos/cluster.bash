# shellcheck shell=bash
# Three Kafka nodes on this machine, each broker and controller: replication 3, min.insync.replicas 2. Sourced
# after tests/e2e/lib.bash; all that they write is in CLUSTER.
#
#   cluster_start             all three, from nothing; BROKERS: their addresses
#   cluster_kill N            kill -9
#   cluster_up N              started again; does not wait
#   cluster_stop
#   leaders TOPIC             a line per partition: its number, its leader (-1: none), replicas in sync, replicas
#   in_sync TOPIC             every partition has a leader and three replicas in sync
# CLUSTER_SETTINGS: more lines of server.properties.

CLUSTER=$WORK/cluster
BROKERS=''
KAFKA_HEAP=384m
source "$ROOT/scripts/kafka/node.bash"

cluster_start() {
    local try
    for try in 1 2 3; do # another program may take a port between our look and the broker's bind
        cluster_start_once && return 0
        cluster_stop
        if ((try == 3)) || ! grep -qi 'address already in use' "$CLUSTER"/[123].log; then
            tail -n 8 "$CLUSTER"/[123].log
            return 1
        fi
        rm -rf "$CLUSTER"
    done
}
cluster_start_once() {
    local n port=() controller=() voters=()
    for n in 1 2 3; do
        port[n]=$(free_port) controller[n]=$(free_port)
        voters+=("$n@127.0.0.1:${controller[n]}")
    done
    mkdir -p "$CLUSTER"
    for n in 1 2 3; do
        {
            kafka_properties 3 "${port[n]}" "${controller[n]}"
            cat <<END
node.id=$n
controller.quorum.voters=$(IFS=,; echo "${voters[*]}")
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
log.dirs=$CLUSTER/data$n
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.num.partitions=2
transaction.state.log.num.partitions=2
transaction.state.log.min.isr=2
broker.session.timeout.ms=2500
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=3000
${CLUSTER_SETTINGS:-}
END
        } >"$CLUSTER/$n.properties"
        kafka_format "$CLUSTER/$n.properties" >"$CLUSTER/format$n.log" 2>&1 ||
            { cat "$CLUSTER/format$n.log"; return 1; }
        cluster_up $n
    done
    BROKERS=127.0.0.1:${port[1]},127.0.0.1:${port[2]},127.0.0.1:${port[3]}
    for n in 1 2 3; do wait_until 60 cluster_is_up_or_gone $n && cluster_is_up $n || return 1; done
}
cluster_is_up_or_gone() { cluster_is_up "$1" || ! alive "$(cat "$CLUSTER/$1.pid")"; }
cluster_is_up() { grep -qs 'Kafka Server started' "$CLUSTER/$1.log"; }
cluster_up() {
    setsid "${KAFKA_JAVA[@]}" kafka.Kafka "$CLUSTER/$1.properties" \
        >"$CLUSTER/$1.log" 2>&1 </dev/null 7>&- 8>&- 9>&- &
    echo $! >"$CLUSTER/$1.pid"
}
cluster_kill() { kill -KILL "$(cat "$CLUSTER/$1.pid")"; }
cluster_stop() {
    local n
    for n in 1 2 3; do [[ ! -e $CLUSTER/$n.pid ]] || kill -TERM "$(cat "$CLUSTER/$n.pid")" 2>/dev/null || true; done
    for n in 1 2 3; do [[ ! -e $CLUSTER/$n.pid ]] || stop_pid "$(cat "$CLUSTER/$n.pid")" 20 "$CLUSTER/$n.properties" || true; done
}
leaders() { "$TOPIC_TOOL" leaders "$BROKERS" "$1" 2>/dev/null; }
in_sync() { leaders "$1" | awk '$2 < 0 || $3 < 3 { bad = 1 } END { exit bad || !NR }'; }
