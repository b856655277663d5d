#!/usr/bin/env bash
# A checkpoint that is damaged, cut short or gone gives way to the one before, with the offsets that belong
# to it: the end is that of an undisturbed run, bit for bit. One that is somebody else's is refused.
source "$(dirname "$0")/lib.bash"
EVENTS=60000
SETTINGS=(event.label=as-is ingest.batch_events=64 checkpoint.every_events=2048)

outcome() {
    local name
    for name in ingest assigner learner scorer; do echo "$name $(figure "$name" digest)"; done
    jq -c '{events, mse, accuracy, auc, logloss}' "$PIPELINE_DIR/learner.json"
}
files() { ls "$PIPELINE_DIR/checkpoints/$NAME/0/$1"/epoch-*.ckpt; } # files PROCESS: oldest first
newest() { files "$1" | tail -n 1; }
some_epochs() { (($(files ingest 2>/dev/null | wc -l) >= 3)); }

# Replay until some epochs are committed, then stop in an orderly way: the newest file of each is the commit's.
begin() { # begin RUN_NAME [setting]...
    NAME=$UNIQUE-$1
    init_run "$1" "${SETTINGS[@]}" "${@:2}"
    pipeline_start assigner learner scorer ingest
    wait_until 60 some_epochs || return 1
    pipeline_stop
    [[ $(basename "$(newest ingest)") == "$(basename "$(newest learner)")" ]]
}
flip() { # the byte in the middle
    local at=$(($(stat -c %s "$1") / 2)) byte
    byte=$(od -An -tu1 -j "$at" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
halve() { truncate -s $(($(stat -c %s "$1") / 2)) "$1"; }
said() { grep -q "id=$2 " "$PIPELINE_DIR/$1.log"; } # said PROCESS LOG_ID
ends_with() { # ends_with NAME CODE: the process ends by itself
    local code=0
    wait_until 60 gone "${PIPELINE_PID[$1]}" || return 1
    pipeline_exit_code "$1" || code=$?
    equal "$code" "$2"
}

"$PIPELINE_BIN/generate" --events $EVENTS --seed 5 >"$WORK/stream.csv"
init_run undisturbed "${SETTINGS[@]}"
record_file "$WORK/stream.csv"
must undisturbed_replay_ends replay 120
want=$(outcome)

damaged() { # damaged TEST PROCESS COMMAND: COMMAND spoils the process's newest file
    must "${1}_replay_is_stopped" begin "$1"
    "$3" "$(newest "$2")"
    must "${1}_replay_ends" replay 120
    check "${1}_goes_back_one_epoch" said ingest CHECKPOINT-FALLBACK
    check "${1}_ends_as_if_undisturbed" equal "$(outcome)" "$want"
}
damaged flipped_byte_of_learner learner flip
damaged cut_file_of_assigner assigner halve
damaged missing_file_of_ingest ingest rm
damaged missing_file_of_learner learner rm

# Whole files are shown by inspect, with what each process says of its state.
must shown_replay_is_stopped begin shown
shows() { # shows PROCESS WORDS...: the newest file is verified, and these lines are printed
    local text line
    text=$("$PIPELINE_BIN/inspect" "$(newest "$1")") || return 1
    for line in "process *$1" 'verified *yes' '  batch [1-9]' '  events [1-9]' "${@:2}"; do
        grep -q "^$line" <<<"$text" || { echo "no line '$line'"; return 1; }
    done
}
check inspect_shows_where_ingest_is shows ingest '  partition 3 next offset [0-9]* of [0-9]*'
check inspect_shows_what_the_assigner_holds shows assigner '  field item ids [1-9]'
check inspect_shows_what_the_learner_holds shows learner '  rows [1-9]' '  auc 0\.'

# Files of another format version, newer or older than the build: refused by its number, never misread.
set_version() { printf "%b" "\\x$2" | dd of="$1" bs=1 seek=8 conv=notrunc status=none; } # set_version FILE HEX
shows_version() { ! "$PIPELINE_BIN/inspect" "$1" 2>&1 | grep -v "format version $2, this build reads"; }
other_version() { # other_version PROCESS HEX NUMBER
    local file
    must "version_$3_of_$1_replay_is_stopped" begin "version-$1"
    for file in $(files "$1"); do set_version "$file" "$2"; done
    check "inspect_refuses_version_$3_of_$1" shows_version "$(newest "$1")" "$3"
    pipeline_start assigner learner ingest
    check "version_$3_of_$1_is_an_error" ends_with ingest 1
    check "version_$3_of_$1_is_named" grep -q "id=CHECKPOINT-REFUSED .*format version $3, this build reads" \
        "$PIPELINE_DIR/$1.log" "$PIPELINE_DIR/ingest.log"
    pipeline_stop
}
other_version ingest 00 0
other_version assigner fe 254
other_version learner 63 99

# Two epochs of different processes: two steps back.
must two_damaged_replay_is_stopped begin two
flip "$(newest learner)"
halve "$(files assigner | tail -n 2 | head -n 1)"
must two_damaged_replay_ends replay 120
check two_damaged_end_as_if_undisturbed equal "$(outcome)" "$want"

# All of them: no silent new beginning.
must all_damaged_replay_is_stopped begin all
for file in $(files learner); do flip "$file"; done
pipeline_start assigner learner ingest
check all_damaged_is_an_error ends_with ingest 1
says() { tail -n 3 "$PIPELINE_DIR/$1.log" | grep -q "$2"; } # says PROCESS WORDS
check all_damaged_asks_for_the_folder_first says ingest 'is checkpoint.dir (checkpoints) right, and mounted?'
check all_damaged_says_what_to_do says ingest 'on_damage=fresh begins from the stream.s beginning'
pipeline_stop
PIPELINE_ARGS+=(-o checkpoint.on_damage=fresh)
must begin_again_when_told_to replay 120
check begun_again_ends_as_if_undisturbed equal "$(outcome)" "$want"

# Somebody else's: another pipeline's file, another configuration.
mine=$(newest learner)
must foreign_replay_is_stopped begin foreign
cp "$mine" "$(newest learner)"
pipeline_start assigner learner ingest
check file_of_another_pipeline_is_refused ends_with learner 2
check file_of_another_pipeline_is_named says learner 'of pipeline '
pipeline_stop
init_run foreign "${SETTINGS[@]}" agent.reward_window=4
pipeline_start assigner learner ingest
check other_configuration_is_refused ends_with ingest 2
check other_configuration_is_named says ingest 'made with other settings, agent.reward_window (5, now 4)'
pipeline_stop
