/* learner/learner_stage - the learner as a stage of the pipeline: what common/stage asks of it.
 *
 * Decodes batches, steps the learner, sends rewards (and again, when asked), and publishes rows,
 * weights and predictions. Opens and closes nothing.
 */
#ifndef AA_LEARNER_LEARNER_STAGE_H
#define AA_LEARNER_LEARNER_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/links/link.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"
#include "common/stage/stage_run.h"
#include "learner/hold.h"
#include "learner/learner.h"
#include "learner/learner_metrics.h"
#include "learner/publish_model.h"
#include "learner/publish_predictions.h"

typedef struct {
    const aa_conf       *cfg;
    aa_link             *up;      /* borrowed: the assigner's; rewards that it asks for go there */
    aa_link             *rewards; /* borrowed: to all subscribers */
    publish_model       *pm;      /* borrowed; NULL: publish.enabled is off */
    publish_predictions *pp;      /* borrowed; NULL: no topic */
    learner_metrics     *lm;      /* borrowed */
    hold                *ho;      /* borrowed; NULL: publication is never held back */
    learner             *le;      /* owned; NULL: no run has begun */

    uint64_t          run_id; /* 0: none under way */
    aa_assigned_batch in;
    aa_reward_batch   out;
    aa_bytes          bytes;
    float            *prediction; /* (prediction_cap) */
    size_t            prediction_cap;
    bool              ending;      /* the end's state is being published */
    bool              publish_all; /* scorers may hold rows of an abandoned run */
    int64_t           newest_kafka_ms, oldest_kafka_ms, published_ms;
    int64_t           run_start_us, last_update_us;
    uint64_t          run_events;
    uint64_t          lost_predictions; /* as of the run's beginning */
} learner_stage;

/** The rest is set by the caller. */
void learner_stage_init(learner_stage *sg, const aa_conf *cfg);
void learner_stage_fini(learner_stage *sg);

/** Of a learner_stage. */
extern const aa_stage_ops learner_stage_ops;

/** Publish what is left, print the summary. ended: the stream has, and the last commit has settled
 *  all there was; if not, a stop was asked for. */
aa_status learner_stage_finish(learner_stage *sg, bool ended, aa_err *err)
    __attribute__((warn_unused_result));

#endif
