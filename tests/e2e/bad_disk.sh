#!/usr/bin/env bash
# A disk that is full, read-only, too small or slow: a checkpoint that cannot be written is given up, said
# and counted; the stream goes on and the next one tries again. After checkpoint.max_failures in a row ingest
# ends. Nothing is damaged: once there is room, the end is that of an undisturbed run.
source "$(dirname "$0")/lib.bash"
EVENTS=40000
SETTINGS=(event.label=as-is ingest.batch_events=64 checkpoint.every_events=4096)
MOUNTED=''

unmount() { [[ -z $MOUNTED ]] || { pipeline_stop; umount "$MOUNTED"; MOUNTED=''; }; }
trap 'unmount; cleanup' EXIT

outcome() {
    local name
    for name in ingest assigner learner scorer; do echo "$name $(figure "$name" digest)"; done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}
folder() { echo "$PIPELINE_DIR/checkpoints/$UNIQUE-$NAME/0/$1"; } # folder PROCESS
failures_of() { pipeline_http "$1" /metrics | metric "autoassign_checkpoints_$2_total"; }
counted() { at_least "$(failures_of "$@")" 2 >/dev/null 2>&1; }
epochs() { find "$(folder "$1")" -name 'epoch-*' | wc -l; }
begin() { # begin RUN_NAME [setting]...
    NAME=$1
    init_run "$1" "${SETTINGS[@]}" "${@:2}"
    mkdir -p "$(folder '')"
}
start() { pipeline_start assigner learner scorer ingest; }
ends() { # the replay that is under way comes to its end, and is what it should be
    pipeline_wait_end 120 && wait_until 30 pipeline_scorer_caught_up && pipeline_stop || return 1
    equal "$(outcome)" "$want"
}
# trouble TEST PROCESS METRIC MEND: PROCESS cannot write; MEND is the command that changes that.
trouble() {
    local test=$1 process=$2
    start
    check "${test}_is_counted" wait_until 60 counted "$process" "$3"
    check "${test}_is_said" grep -q 'id=CHECKPOINT-FAILED' "$PIPELINE_DIR/$process.log"
    check "${test}_commits_nothing" equal "$(pipeline_http ingest /metrics | metric autoassign_commits_total)" "$5"
    $4
    check "${test}_is_over_and_nothing_is_damaged" ends
}

"$PIPELINE_BIN/generate" --events $EVENTS --seed 6 >"$WORK/stream.csv"
init_run undisturbed "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must undisturbed_replay_ends replay 120
want=$(outcome)
modes=$(find "$PIPELINE_DIR/checkpoints" -type f -printf '%m\n' | sort -u)
check checkpoints_are_readable_by_their_owner_only equal "$modes" 600

# A folder that cannot be made: a plain file is in its place.
remove_obstacle() { rm "$(folder "$1")"; }
for process in learner assigner ingest; do
    begin "blocked-$process"
    touch "$(folder "$process")"
    metric=failed
    [[ $process != ingest ]] || metric=given_up
    trouble "${process}_without_a_folder" "$process" $metric "remove_obstacle $process" 0
done

# Files may be no larger than 20 kB, as by a quota; the limit goes.
begin limited
limit() { wait_until 20 pipeline_http learner /healthz >/dev/null && prlimit --pid "${PIPELINE_PID[learner]}" --fsize="$1"; }
pipeline_start learner
limit 20000: # the soft limit only: it may go up again
lift() { prlimit --pid "${PIPELINE_PID[learner]}" --fsize=unlimited: ; }
start() { pipeline_start assigner scorer ingest; }
trouble learner_over_its_quota learner failed lift 0
start() { pipeline_start assigner learner scorer ingest; }

# A full disk, then a read-only one: a small file system of the test's own.
begin full
mkdir -p "$(folder learner)"
if mount -t tmpfs -o size=64k tmpfs "$(folder learner)" 2>/dev/null; then
    MOUNTED=$(folder learner)
    trouble full_disk learner failed "mount -o remount,size=64m $MOUNTED" 0
    check full_disk_leaves_no_unfinished_file equal "$(find "$MOUNTED" -name '.tmp*' | wc -l)" 0
    unmount
    begin read-only
    mkdir -p "$(folder assigner)"
    mount -t tmpfs -o size=64m,ro tmpfs "$(folder assigner)"
    MOUNTED=$(folder assigner)
    trouble read_only_disk assigner failed "mount -o remount,rw $MOUNTED" 0
    unmount
else
    skip full_disk: no file system can be mounted here
    skip read_only_disk: no file system can be mounted here
fi

# In vain too often: ingest ends with an error; put up again on a disk with room, it goes on.
begin hopeless checkpoint.max_failures=3
touch "$(folder learner)"
start
check hopeless_ends_ingest wait_until 60 gone "${PIPELINE_PID[ingest]}"
code=0
pipeline_exit_code ingest || code=$?
check hopeless_is_exit_code_1 equal "$code" 1
check hopeless_says_why grep -q 'checkpoints in a row could not be written (checkpoint.max_failures)' "$PIPELINE_DIR/ingest.log"
remove_obstacle learner
pipeline_start ingest
check hopeless_goes_on_when_there_is_room ends

# Epochs that the learner gives up are written by the assigner: however many, the committed one stays, and
# all go back to it when they are killed.
some_epochs() { at_least "$(epochs ingest 2>/dev/null)" 2 >/dev/null; }
goes_no_further_back() { ! grep -q 'id=CHECKPOINT-\(REFUSED\|FALLBACK\) ' "$PIPELINE_DIR/ingest.log"; }
given_up() { at_least "$(failures_of ingest given_up)" 4 >/dev/null 2>&1; }
begin one-sided
start
must one_sided_begins_well wait_until 60 some_epochs
pipeline_stop
committed=$(find "$(folder ingest)" -name 'epoch-*' -printf '%f\n' | sort | tail -n 1)
pipeline_start learner
limit 20000: # it can read what there is, and write no more of it
pipeline_start assigner scorer ingest
check one_sided_is_given_up_again_and_again wait_until 60 given_up
for process in ingest assigner learner scorer; do
    kill -KILL "${PIPELINE_PID[$process]}"
    pipeline_exit_code "$process" || true
done
check one_sided_keeps_the_committed_epoch test -e "$(folder assigner)/$committed"
start
check one_sided_changes_nothing ends
check one_sided_goes_back_to_the_commit_and_no_further goes_no_further_back

# A slow disk: the writer stands still for 3 s, the stream does not, up to where the next checkpoint is due.
begin slow
start
wait_until 60 test -d "$(folder learner)"
strike=$(dirname "$TOPIC_TOOL")/strike
if writer=$("$strike" "$(folder learner)" begun 10000 19 writer); then
    writer=${writer#.tmp-} epoch=${writer#*-}
    next=$(((10#$epoch + 1) * 4096))
    learned() { at_least "$(pipeline_http learner /metrics | metric autoassign_events_total)" "$next" >/dev/null 2>&1; }
    check slow_disk_does_not_stop_the_stream wait_until 10 learned
    sleep 3
    check slow_disk_commits_nothing equal "$(epochs ingest)" $((10#$epoch > 3 ? 3 : 10#$epoch - 1))
    kill -CONT "${writer%%-*}"
    check slow_disk_changes_nothing ends
else
    not_ok slow_disk: no checkpoint was seen
fi
