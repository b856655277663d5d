#!/usr/bin/env bash
# A generated stream through the whole pipeline: nothing lost, nothing twice, and it learns.
source "$(dirname "$0")/lib.bash"
EVENTS=60000
AUC_FLOOR=0.60

"$PIPELINE_BIN/generate" --events $EVENTS --seed 7 >"$WORK/stream.csv"
init_run one event.label=as-is
record_file "$WORK/stream.csv"
must every_line_became_a_message equal "$("$TOPIC_TOOL" count "$AUTOASSIGN_TEST_BROKER" "$TOPIC")" $EVENTS
must pipeline_reaches_the_end replay 120

ids() { cut -d, -f"$1" "$WORK/stream.csv" | tail -n +2 | sort -u | wc -l; }
check learner_saw_every_event_once equal "$(figure learner events)" $EVENTS
check assigner_saw_every_id_once equal "$(figure assigner ids_seen)" $(($(ids 1) + $(ids 2)))
check predictions_beat_chance at_least "$(figure learner auc)" $AUC_FLOOR
check fewer_rows_than_ids at_least "$(figure assigner ids_seen)" "$(figure assigner rows_unique)"
echo "note AUC $(figure learner auc)"
# make platforms compares this line across compilers and releases
echo "note digests: ingest $(figure ingest digest), assigner $(figure assigner digest), learner $(figure learner digest), scorer $(figure scorer served_digest)"
check scorer_serves_what_the_learner_has equal \
    "$(figure scorer served_digest)" "$(figure learner served_digest)"
for process in ingest assigner learner scorer; do
    check "${process}_says_what_it_holds_in_memory" at_least "$(figure $process resident_bytes)" 1000000
    check "${process}_never_held_less_than_at_its_end" at_least \
        "$(figure $process peak_resident_bytes)" "$(figure $process resident_bytes)"
done
