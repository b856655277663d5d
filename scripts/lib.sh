# shellcheck shell=bash
# What the scripts in this folder share. Sourced, not run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Steps are numbered lines with a clock, so that a reader sees what takes the time.
say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }
warn() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
die() { # die [-CODE] words...
    local code=1
    if [[ $1 =~ ^-([0-9]+)$ ]]; then code=${BASH_REMATCH[1]}; shift; fi
    printf 'error: %s\n' "$*" >&2
    exit "$code"
}

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }

# wait_until SECONDS COMMAND...: run it every 50 ms until it succeeds; 1 when time is up.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= deadline)) || return 1
        sleep 0.05
    done
}

# alive PID [WORDS]: the process exists and is not a zombie; its command line holds WORDS. Called often:
# starts no process.
alive() {
    local stat args
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    [[ $stat != Z* ]] || return 1
    [[ -n ${2:-} ]] || return 0
    mapfile -d '' -t args 2>/dev/null <"/proc/$1/cmdline" || return 1
    [[ "${args[*]}" == *"$2"* ]]
}
gone() { ! alive "$@"; }

# stop_pid PID SECONDS [WORDS]: SIGTERM, wait, SIGKILL only when SECONDS were not enough.
stop_pid() {
    local pid=$1 seconds=$2 words=${3:-}
    alive "$pid" "$words" || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    kill -CONT "$pid" 2>/dev/null || true # a stopped process must wake up to end
    wait_until "$seconds" gone "$pid" "$words" && return 0
    warn "process $pid did not end within $seconds s: killed"
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 5 gone "$pid" "$words"
}

# A TCP port of this machine that nobody listens on, below the ports given out for connecting.
free_port() {
    local port
    for _ in {1..200}; do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
        port_free "$port" && { echo "$port"; return 0; }
    done
    die "no free TCP port found"
}
port_free() { # listening sockets are in state 0A
    ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        grep -qiE "^ *[0-9]+: [0-9A-F]+:$(printf '%04X' "$1") [0-9A-F]+:[0-9A-F]+ 0A "
}

# Text on a terminal, in place; nothing much elsewhere (a line every 5 s).
progress() {
    if [[ -t 1 ]]; then
        printf '\r\033[K%s' "$*"
    elif ((SECONDS >= ${PROGRESS_NEXT:-0})); then
        PROGRESS_NEXT=$((SECONDS + 5))
        say "$*"
    fi
}
progress_end() { if [[ -t 1 ]]; then printf '\r\033[K'; fi; }

# build [VARIABLE=value] TARGET...: make, one at a time in this checkout, without the flags of the
# make that may have called us (its job slots are not ours).
build() {
    mkdir -p "$ROOT/build"
    (
        flock 8
        env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
            make -C "$ROOT" --no-print-directory -j"$(nproc)" "$@"
    ) 8>"$ROOT/build/.build.lock"
}

# gate COMMAND...: the one test of a script in scripts/gates, named as the script is. What is wrong stands above.
gate() {
    local name
    name=$(basename "$0" .sh)
    if "$@"; then echo "ok $name"; else echo "not ok $name"; exit 1; fi
}

# Work folders run-PID under a folder belong to a script with that pid. One that was killed (kill -9) could not
# clear up: its broker is stopped and its folder removed by the next run.
remove_stale() {
    local dir pid
    for dir in "$1"/run-*; do
        pid=${dir##*-}
        [[ -d $dir && $pid =~ ^[0-9]+$ ]] || continue
        alive "$pid" "${0##*/}" && continue
        warn "clearing up after a run that was killed: ${dir#"$ROOT"/}"
        [[ ! -d $dir/kafka ]] || "$ROOT/scripts/local-kafka.sh" stop "$dir/kafka" || true
        rm -rf "$dir"
    done
}
