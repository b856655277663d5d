/* learner/learner_metrics - the learner as operators see it: /metrics, the FINAL record, the
 * summary. */
#ifndef AA_LEARNER_LEARNER_METRICS_H
#define AA_LEARNER_LEARNER_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/service/metrics.h"
#include "learner/learner.h"

typedef struct learner_metrics learner_metrics;

/** Registers everything with ms, which must outlive it. */
aa_status learner_metrics_new(learner_metrics **out, aa_metrics *ms, const aa_conf *cfg,
                              aa_err *err) __attribute__((warn_unused_result));
void      learner_metrics_free(learner_metrics **lm_p);

void learner_metrics_step(learner_metrics *lm, const aa_assigned_batch *in, int64_t duration_us);
void learner_metrics_published(learner_metrics *lm, uint64_t rows_total, int64_t duration_us);
/** Quality, rows and rewards: read from the learner now and then, not per batch. le may be NULL. */
void learner_metrics_refresh(learner_metrics *lm, const learner *le);

/** why: "" or a reason to hold back publication (hold_why). */
void learner_metrics_held(learner_metrics *lm, const char *why);

/** A run begins with le as it was after so many events: learner_series.csv goes on from there. */
aa_status learner_metrics_begin(learner_metrics *lm, const learner *le, aa_err *err)
    __attribute__((warn_unused_result));
/** A row of learner_series.csv if one is due, or if it is the stream's last. */
aa_status learner_metrics_series(learner_metrics *lm, learner *le, bool last, aa_err *err)
    __attribute__((warn_unused_result));

/** The FINAL record on stderr and learner.json. events, seconds: of this run. held: why the last
 *  state is not published, "": it is */
aa_status learner_metrics_final(const learner *le, const aa_conf *cfg, uint64_t events,
                                double seconds, const char *held, aa_err *err)
    __attribute__((warn_unused_result));

#endif
