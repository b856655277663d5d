/* assigner/assigner_stage - the assigner as a stage of the pipeline: what common/stage asks of it.
 *
 * Decodes batches and rewards, keeps the rewards that are not learned from yet, steps the assigner,
 * sends what it assigned, and publishes what changed. Opens and closes nothing.
 */
#ifndef AA_ASSIGNER_ASSIGNER_STAGE_H
#define AA_ASSIGNER_ASSIGNER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "assigner/assigner.h"
#include "assigner/assigner_metrics.h"
#include "assigner/publish_assignments.h"
#include "common/base/status.h"
#include "common/links/link.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"
#include "common/stage/stage_run.h"

typedef struct {
    const aa_conf       *cfg;
    aa_link             *down; /* borrowed, to the learner */
    publish_assignments *pa;   /* borrowed; NULL: publish.enabled is off */
    assigner_metrics    *am;   /* borrowed */
    assigner            *as;   /* owned; NULL: no run has begun */

    uint64_t          run_id;      /* 0: none under way */
    int64_t           run_wall_ms; /* when it began */
    aa_event_batch    in;
    aa_assigned_batch out;
    aa_reward_batch   rw;      /* as it arrives */
    aa_reward_batch  *waiting; /* (depth) not learned from yet: that of seq is at seq % depth */
    aa_bytes          bytes;
    bool              ending;               /* the end's state is being published */
    bool              tell_new;             /* events may be some that an abandoned run has had */
    bool              publish_all;          /* scorers may hold assignments of an abandoned run */
    bool              held;                 /* the learner holds back publication */
    bool              leaks[AA_MAX_FIELDS]; /* fields that were warned of */
    int64_t           published_ms;
} assigner_stage;

/** The rest is set by the caller. @errors AA_ENOMEM */
aa_status assigner_stage_init(assigner_stage *sg, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void assigner_stage_fini(assigner_stage *sg);

/** Of an assigner_stage. */
extern const aa_stage_ops assigner_stage_ops;

/** Publish what is left, print the summary. ended: the stream has, and the last commit has settled
 *  all there was; if not, a stop was asked for. */
aa_status assigner_stage_finish(assigner_stage *sg, bool ended, aa_err *err)
    __attribute__((warn_unused_result));

#endif
