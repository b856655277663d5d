#!/usr/bin/env bash
# `make check`: everything from nothing. Installs what is missing, builds, runs the unit tests, starts
# a real Kafka for the integration and end-to-end tests, stops it, and closes with one line:
#   N passed, N failed, N skipped
# SANITIZE=1    the same with AddressSanitizer and UndefinedBehaviorSanitizer builds;
#               SANITIZE=thread: with ThreadSanitizer
# CC=clang      built by clang
# GATES=1       the gates of scripts/gates as well, each counted as a test
# ONLY=pattern  only test programs and scripts whose path matches (a grep -E pattern)
# Logs of all tests, at the end: build/check/logs. Two may run side by side.
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

SAN=${SANITIZE:+address,undefined}
[[ ${SANITIZE:-} != thread ]] || SAN=thread
KIND=${SAN:-release}
KIND=${KIND//,/-}
[[ ${CC:-} != *clang* ]] || KIND+=-clang
BUILD=build/$KIND
WORK=build/check/run-$$
LOGS=$WORK/logs LAST_LOGS=build/check/logs
JOBS=$(nproc)
GATE_SECONDS=900 UNIT_SECONDS=300 INTEGRATION_SECONDS=300 E2E_SECONDS=600
passed=0 failed=0 skipped=0 failures=()
declare -A RUNNING=() STARTED_MS=() # by the job's pid: its test, when it began

export AUTOASSIGN_BIN=$ROOT/$BUILD/bin
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$ROOT/tests/tsan.supp}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

finish() {
    local code=$? pid
    trap - INT TERM HUP EXIT
    for pid in "${!RUNNING[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${!RUNNING[@]}"; do wait "$pid" 2>/dev/null || true; done
    if [[ -d $WORK/kafka ]]; then scripts/local-kafka.sh stop "$WORK/kafka" || true; fi
    rm -rf "$LAST_LOGS"
    mv "$LOGS" "$LAST_LOGS" 2>/dev/null || true # whoever ends last
    rm -rf "$WORK"
    if ((code == 130 || code == 143)); then warn "interrupted: everything stopped"; fi
    exit "$code"
}

step() { # step "words" COMMAND...
    local t=$SECONDS words=$1
    shift
    say "$words ..."
    "$@" || die "$words: failed"
    say "$words: done in $((SECONDS - t)) s"
}

# What a finished test said: cmocka's closing lines, or a script's `ok`, `not ok` and `skip` lines.
# A program that ended badly without naming a failed test counts as one.
count_results() { # count_results TEST LOG EXIT_CODE SECONDS
    local test=$1 log=$2 code=$3 seconds=$4 p f s
    if [[ $test == *.sh ]]; then
        p=$(grep -cE '^ok ' "$log" || true)
        f=$(grep -cE '^not ok ' "$log" || true)
        s=$(grep -cE '^skip ' "$log" || true)
    else
        p=$(sum_of PASSED "$log") f=$(sum_of FAILED "$log") s=$(sum_of SKIPPED "$log")
    fi
    ((code == 0 || f > 0)) || f=1
    ((p + f + s > 0)) || f=1 # it ran no test at all
    ((code != 124)) || echo "not finished within its time" >>"$log"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if ((f)); then
        failures+=("$test")
        say "FAILED $test ($seconds s, exit code $code; log, in the end: $LAST_LOGS/$(basename "$log"))"
        tail -n 60 "$log" | sed 's/^/    /'
    else
        say "  ok   $test: $p passed$(and_skipped "$s") ($seconds s)"
        grep -hE '^(skip|note|seed) |\bSKIP' "$log" | sort -u | sed 's/^/    /' || true
    fi
}
and_skipped() { (($1 == 0)) || echo ", $1 skipped"; }
sum_of() {
    sed -nE "s/^\[ +$1 +\] ([0-9]+) test\(s\).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

run_tests() { # run_tests PARALLEL SECONDS TEST...
    local parallel=$1 limit=$2 test log
    shift 2
    for test in "$@"; do
        ((${#RUNNING[@]} < parallel)) || reap_one
        log=$LOGS/$(basename "$test").log
        # timeout passes a signal on to the test and its children
        timeout -k 20 "$limit" "$test" >"$log" 2>&1 </dev/null &
        STARTED_MS[$!]=$(now_ms)
        RUNNING[$!]=$test
    done
    while ((${#RUNNING[@]})); do reap_one; done
}
reap_one() {
    local pid test code=0
    wait -n -p pid "${!RUNNING[@]}" || code=$?
    test=${RUNNING[$pid]}
    unset "RUNNING[$pid]"
    count_results "$test" "$LOGS/$(basename "$test").log" "$code" \
        $((($(now_ms) - STARTED_MS[$pid] + 500) / 1000))
}

# tests FOLDER: its programs and scripts, those that ONLY chooses
tests() {
    local file
    for file in "tests/$1"/test_*.c; do echo "$BUILD/${file%.c}"; done | grep -E -- "${ONLY:-}" || true
    for file in "tests/$1"/*.sh; do echo "$file"; done | grep -E -- "${ONLY:-}" || true
}

start_kafka() {
    AUTOASSIGN_TEST_BROKER=$(scripts/local-kafka.sh start "$WORK/kafka")
    export AUTOASSIGN_TEST_BROKER
}

shopt -s nullglob
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
remove_stale build/check
mkdir -p "$LOGS"

gates=()
[[ -z ${GATES:-} ]] || mapfile -t gates < <(printf '%s\n' scripts/gates/*.sh | grep -E -- "${ONLY:-}" || true)
mapfile -t unit < <(tests unit)
mapfile -t replays < <(for file in tests/fuzz/fuzz_*.c; do
    echo "$BUILD/tests/fuzz_replay/replay_$(basename "${file#*/fuzz_}" .c)"
done | grep -E -- "${ONLY:-}" || true)
mapfile -t integration < <(tests integration)
mapfile -t e2e < <(tests e2e)
needed=()
((${#gates[@]} == 0)) || needed+=(gates)
((${#integration[@]} + ${#e2e[@]} == 0)) || needed+=(kafka prometheus nginx)
step "installing what is missing" scripts/deps.sh packages "${needed[@]}"
[[ -z $SAN ]] || say "sanitizers: $SAN"
((${#gates[@]} == 0)) || step "gates" run_tests 1 "$GATE_SECONDS" "${gates[@]}"
if ((${#unit[@]} + ${#replays[@]} + ${#integration[@]} + ${#e2e[@]})); then
    step "building programs and tests" build SAN="$SAN" all build-tests
    step "unit tests" run_tests "$JOBS" "$UNIT_SECONDS" "${unit[@]}"
    step "inputs of the fuzz targets" run_tests "$JOBS" "$UNIT_SECONDS" "${replays[@]}"
fi
if ((${#integration[@]} + ${#e2e[@]})); then
    step "starting Kafka" start_kafka
    step "integration tests" run_tests "$JOBS" "$INTEGRATION_SECONDS" "${integration[@]}"
    step "end-to-end tests" run_tests 1 "$E2E_SECONDS" "${e2e[@]}"
    step "stopping Kafka" scripts/local-kafka.sh stop "$WORK/kafka"
fi

((${#failures[@]} == 0)) || printf 'failed: %s\n' "${failures[@]}"
((passed + failed > 0)) || die "no test ran"
echo "$passed passed, $failed failed$(and_skipped "$skipped")"
((failed == 0))
