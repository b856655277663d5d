# What the end-to-end tests share. Each test is a script of its own against the real broker in
# AUTOASSIGN_TEST_BROKER (`make check` starts one; by hand: scripts/local-kafka.sh start DIR), with
# topics, consumer group and work folder of its own. It prints one line per test:
#   ok NAME | not ok NAME: why | skip NAME: why
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/pipeline.sh"

[[ -n ${AUTOASSIGN_TEST_BROKER:-} ]] || die "AUTOASSIGN_TEST_BROKER is not set"
TEST=$(basename "$0" .sh)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/autoassign-$TEST.XXXXXX")
UNIQUE=$TEST-$$-$RANDOM # names topics and groups
# shellcheck disable=SC2034 # the tests use it
SHARED_DATA=${AUTOASSIGN_DATA:-$ROOT/../shared/data}
failures=0
# shellcheck disable=SC2034 # the tests use it
TOPIC_TOOL=${PIPELINE_BIN%/bin}/tests/tools/topic
SLOWER=0 # pid of the process that stops and continues others

cleanup() { # cleanup [EXIT_CODE]
    local code=${1:-$?}
    trap - INT TERM HUP EXIT
    calm
    pipeline_stop
    ((code == 0 && failures == 0)) && rm -rf "$WORK" || warn "work folder kept: $WORK"
    ((code != 0)) || code=$((failures > 0))
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

ok() { echo "ok $*"; }
not_ok() { echo "not ok $*"; failures=$((failures + 1)); }
skip() { echo "skip $*"; }
# check NAME COMMAND...: one test. must: one without which the rest makes no sense.
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name: $*"; fi
}
must() {
    check "$@"
    ((failures == 0)) || exit 1
}
equal() { [[ $1 == "$2" ]] || { echo "got '$1', want '$2'"; return 1; }; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a ~ /^[-+.0-9e]+$/ && a >= b) }' || { echo "got $1, want at least $2"; return 1; }; }

figure() { jq -r ".$2" "$PIPELINE_DIR/$1.json"; } # figure PROCESS KEY

# init_run RUN_NAME [section.key=value]...: a fresh pipeline that replays TOPIC
TOPIC=$UNIQUE
init_run() {
    local name=$1
    shift
    pipeline_init "$WORK/$name" "$AUTOASSIGN_TEST_BROKER" \
        "pipeline.name=$UNIQUE-$name" "topics.interactions=$TOPIC" \
        "topics.assignments=$UNIQUE-$name-assignments" "topics.model=$UNIQUE-$name-model" \
        ingest.run=replay "$@"
}
# record_file FILE: into TOPIC, 4 partitions; after init_run
record_file() {
    pipeline_tool record --partitions 4 "$1" >"$WORK/record.log" 2>&1 ||
        { cat "$WORK/record.log" >&2; die "record failed"; }
}
# replay SECONDS [COMMAND [SCORER_SECONDS]]: all four processes to the end of the topic, the scorer caught up (within
# 30 s), all stopped. COMMAND is run once they are started.
replay() {
    pipeline_start assigner learner scorer ingest
    ${2:-:}
    pipeline_wait_end "$1" || return 1
    wait_until "${3:-30}" pipeline_scorer_caught_up || { echo "the scorer did not catch up"; pipeline_show_log scorer; return 1; }
    pipeline_stop
}

# Stop and continue the processes at random moments until `calm`. The seed is printed.
slow_at_random() { # slow_at_random SEED
    echo "seed $1, if this must be seen again: processes are stopped and continued at random"
    (
        RANDOM=$1 stops=0
        pids=("${PIPELINE_PID[ingest]}" "${PIPELINE_PID[assigner]}" "${PIPELINE_PID[learner]}")
        trap 'kill -CONT "${pids[@]}" 2>/dev/null; exit 0' TERM
        while alive "${pids[0]}" || alive "${pids[1]}" || alive "${pids[2]}"; do
            pid=${pids[RANDOM % 3]}
            kill -STOP "$pid" 2>/dev/null || true
            sleep "0.$(printf '%03d' $((RANDOM % 300)))"
            kill -CONT "$pid" 2>/dev/null || true
            sleep "0.$(printf '%03d' $((RANDOM % 60)))"
            echo $((++stops)) >"$WORK/stops"
        done
    ) &
    SLOWER=$!
}
calm() {
    ((SLOWER)) || return 0
    kill -TERM "$SLOWER" 2>/dev/null || true
    wait "$SLOWER" 2>/dev/null || true
    SLOWER=0
}
stops() { cat "$WORK/stops" 2>/dev/null || echo 0; } # how often slow_at_random stopped one
