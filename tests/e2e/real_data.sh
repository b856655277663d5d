#!/usr/bin/env bash
# Recorded interactions of real people: whole files through the pipeline, with a floor for the AUC.
source "$(dirname "$0")/lib.bash"

replay_file() { # replay_file NAME POSITIVE EVENTS AUC_FLOOR
    local name=$1 positive=$2 events=$3 floor=$4 file=$SHARED_DATA/$1.csv.gz
    if [[ ! -r $file ]]; then
        skip "$name: $file is not here"
        return
    fi
    TOPIC=$UNIQUE-$name
    init_run "$name" event.label=threshold "event.positive_above=$positive"
    record_file "$file"
    must "${name}_reaches_the_end" replay 240
    check "${name}_every_event_once" equal "$(figure learner events)" "$events"
    check "${name}_auc" at_least "$(figure learner auc)" "$floor"
    check "${name}_has_no_field_that_tells_the_label" equal "$(grep -c id=FIELD-LEAKS "$PIPELINE_DIR/assigner.log")" 0
    check "${name}_scorer_serves_what_the_learner_has" equal \
        "$(figure scorer served_digest)" "$(figure learner served_digest)"
    echo "note $name: AUC $(figure learner auc), $(figure assigner rows_unique) unique rows for" \
        "$(figure assigner ids_seen) IDs, $(figure learner events_per_s) events/s"
}

replay_file movietweetings-100k 7 100000 0.75
replay_file ml-100k 3 100000 0.74
