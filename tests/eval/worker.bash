# shellcheck shell=bash
# What eval.sh and scaling.sh share: build, a real Kafka whose data are kept in OUT, and one Python
# program that does the work; whatever ends this script ends both.
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

finish() {
    local code=$?
    trap - INT TERM HUP EXIT
    if [[ -n ${WORKER:-} ]] && alive "$WORKER"; then
        kill -TERM "$WORKER"
        wait "$WORKER" || true
    fi
    "$ROOT/scripts/local-kafka.sh" stop "$OUT/kafka" || true
    exit "$code"
}

# work OUT PROGRAM TARGET...: builds the targets, runs the program with the broker's address
work() {
    OUT=$1
    mkdir -p "$OUT"
    exec 7>"$OUT/.lock"
    flock -n 7 || die "the same is under way here already"
    "$ROOT/scripts/deps.sh"
    say "building"
    build "${@:3}" >"$OUT/build.log" || die "the build failed"
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    say "starting Kafka"
    local broker
    broker=$("$ROOT/scripts/local-kafka.sh" start "$OUT/kafka")
    python3 -B "$ROOT/tests/eval/$2" --broker "$broker" 7>&- &
    WORKER=$!
    wait "$WORKER"
}
