#!/usr/bin/env bash
# One replay of a recorded topic, for evaluate.py: ingest, assigner and learner to the end, no scorer
# and nothing published.
#   run_pipeline.sh DIR BROKER SECONDS section.key=value...       exit 0: the summaries are in DIR
#   run_pipeline.sh record DIR BROKER FILE section.key=value...   load a file into the topic
source "$(dirname "$0")/../../scripts/pipeline.sh"

trap pipeline_stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [[ $1 == record ]]; then
    pipeline_init "$2" "$3" "${@:5}"
    pipeline_tool record --partitions 4 "$4"
    exit
fi
pipeline_init "$1" "$2" ingest.run=replay publish.enabled=false http.enabled=false log.stats_ms=0 "${@:4}"
pipeline_start assigner learner ingest
pipeline_wait_end "$3"
