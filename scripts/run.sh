#!/usr/bin/env bash
# Runs the four processes on this machine with one configuration:
#   scripts/run.sh [-c FILE] [-d DIR] [-b BROKER] [-o section.key=value]...
#   -c FILE    configuration (default compose/autoassign.yaml)
#   -d DIR     work folder: logs, checkpoints, sockets, summaries (default build/run)
#   -b BROKER  bootstrap address (default 127.0.0.1:9092)
#   -o ...     overrides, as the processes take them
# Ends when a replay ends (ingest.run=replay), or with Ctrl-C or SIGTERM: then the processes drain
# and write a checkpoint first. The next run with the same DIR and topic continues from there.
source "$(dirname "$0")/pipeline.sh"

dir=$ROOT/build/run broker=127.0.0.1:9092 overrides=()
while getopts c:d:b:o:h flag; do
    case $flag in
    c) PIPELINE_CONFIG=$(readlink -f "$OPTARG") ;;
    d) dir=$OPTARG ;;
    b) broker=$OPTARG ;;
    o) overrides+=("$OPTARG") ;;
    h) sed -n '2,/^source/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
(($# == 0)) || die -2 "unexpected: $* (see -h)"
[[ -x $PIPELINE_BIN/ingest ]] || die "nothing built yet: run make first"

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    say "stopping the processes"
    pipeline_stop
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

pipeline_init "$dir" "$broker" "${overrides[@]}"
exec 7>"$PIPELINE_DIR/.lock"
flock -n 7 || die "another run uses $PIPELINE_DIR"
pipeline_tool ingest --check-config || exit 2
say "starting ingest, assigner, learner, scorer; logs in $PIPELINE_DIR"
pipeline_start assigner learner scorer ingest
# Live, there is no end to wait for: ten years.
pipeline_wait_end 315360000
say "the replay has ended; summaries in $PIPELINE_DIR/*.json"
