# shellcheck shell=bash
# What a Kafka node of ours has, be it alone (scripts/local-kafka.sh) or one of three (tests/chaos/cluster.bash).
# Sourced after scripts/lib.sh.
#
#   KAFKA_LIBS                                  folder of the jars; another one is another version
#   KAFKA_HEAP                                  of the JVM, 512m unless set before
#   KAFKA_JAVA                                  the command, without the class; a node is the class kafka.Kafka
#   kafka_format PROPERTIES [ARGUMENT]...       makes the folder of the data
#   kafka_properties REPLICAS BROKER CONTROLLER prints the settings that all have; BROKER, CONTROLLER: ports

KAFKA_LIBS=${KAFKA_LIBS:-$ROOT/build/kafka/libs}
# The class path is a pattern that java itself expands: it must stay quoted.
KAFKA_JAVA=(java "-Xmx${KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1
    -Dlog4j2.configurationFile="$ROOT/scripts/kafka/log4j2.xml" -cp "$KAFKA_LIBS/*")

# A cluster's name is 16 bytes in URL-safe base64; brokers that meet no others need no unique one.
kafka_format() { "${KAFKA_JAVA[@]}" kafka.tools.StorageTool format -t AutoAssignLocalKafka01 -c "$@"; }

kafka_properties() {
    cat <<END
process.roles=broker,controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
log.retention.ms=-1
auto.create.topics.enable=false
offsets.topic.replication.factor=$1
transaction.state.log.replication.factor=$1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=$1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=16777216
END
}
