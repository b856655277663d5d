#!/usr/bin/env bash
# Too few threads or too little address space at the start: each process ends at once with an error that says so,
# instead of aborting, or waiting for ever, in a library. With a little more than too little it runs, and ends at SIGTERM.
# (A second SIGTERM ends any process at once: tests/unit/test_program.c.)
source "$(dirname "$0")/lib.bash"
NOBODY=65534
declare -A TOO_SMALL_MB=([ingest]='100 160' [assigner]='80 110' [learner]='80 160' [scorer]='80 160')
# where the stacks of some threads and the heaps of others once got in each other's way
declare -A JUST_ENOUGH_MB=([assigner]='200 260' [learner]='300 340' [scorer]='440 500')

# A limit of processes counts all that a user has, and none for root: so nobody runs them.
[[ $(id -u) == 0 ]] || { skip "all: only root can run processes as nobody"; exit 0; }
case ${AUTOASSIGN_BIN:-} in
*address* | *thread*) skip "all: sanitizers have threads and address space of their own"; exit 0 ;;
esac
chmod 755 "$WORK"
mkdir -m 777 "$WORK/run"
cp "$PIPELINE_BIN"/{ingest,assigner,learner,scorer} "$WORK/run"

start() { # start PROCESS LIMIT...: its exit code, 124 after 2 s of running, 137 if it does not end then; its last words in $WORK/out
    local process=$1
    (cd "$WORK/run" && exec timeout -k 5 -s TERM 2 setpriv --reuid $NOBODY --regid $NOBODY --clear-groups \
        prlimit "${@:2}" "./$process" -o kafka.bootstrap.servers="$AUTOASSIGN_TEST_BROKER" \
        -o topics.interactions="$UNIQUE" -o topics.assignments="$UNIQUE-a" -o topics.model="$UNIQUE-m" \
        -o scorer.listen=ipc://s.ipc -o links.events=ipc://e.ipc -o links.assigned=ipc://a.ipc \
        -o links.rewards=ipc://r.ipc -o checkpoint.dir=checkpoints) >"$WORK/out" 2>&1 </dev/null
}
ends_by_the_error() { # ends_by_the_error WORDS CODE PROCESS LIMIT
    local code=0
    start "$3" "$4" || code=$?
    equal "$code" "$2" || { tail -n 2 "$WORK/out"; return 1; }
    grep -q "id=FAILED.*$1" "$WORK/out" || { tail -n 2 "$WORK/out"; return 1; }
}
runs_until_sigterm() { # runs_until_sigterm PROCESS LIMIT
    local code=0
    start "$1" "$2" || code=$?
    equal "$code" 124 || { tail -n 2 "$WORK/out"; return 1; }
}
for process in ingest assigner learner scorer; do
    for threads in 1 2 3 5 7; do
        check "${process}_says_that_${threads}_threads_are_too_few" \
            ends_by_the_error 'threads are needed' 1 $process --nproc=$threads
    done
    for mb in ${TOO_SMALL_MB[$process]}; do
        check "${process}_says_that_${mb}_mb_of_address_space_are_too_little" \
            ends_by_the_error 'out of memory' 3 $process --as=$((mb << 20))
    done
    for mb in ${JUST_ENOUGH_MB[$process]:-}; do
        check "${process}_runs_with_${mb}_mb_of_address_space" runs_until_sigterm $process --as=$((mb << 20))
    done
done
