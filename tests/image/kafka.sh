#!/bin/bash
# In the stand-in for apache/kafka: KAFKA_A_B=c becomes a.b=c of server.properties, as that image has it.
# Called as kafka-broker-api-versions.sh --bootstrap-server HOST:PORT, the health check, it only sees whether
# the broker listens: that program is in a jar which Kafka does not need to run.
set -euo pipefail
if [[ ${0##*/} == kafka-broker-api-versions.sh ]]; then
    exec 3<>"/dev/tcp/${2%:*}/${2#*:}"
    exit
fi
properties=/tmp/server.properties
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
    name=${name#KAFKA_}
    name=${name//_/.}
    echo "${name,,}=$value"
done >$properties
run=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*')
"${run[@]}" kafka.tools.StorageTool format --ignore-formatted --cluster-id AAAAAAAAAAAAAAAAAAAAAA --config $properties
read -ra heap <<<"$KAFKA_HEAP_OPTS"
exec "${run[@]}" "${heap[@]}" kafka.Kafka $properties
