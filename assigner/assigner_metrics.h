/* assigner/assigner_metrics - the assigner as operators see it: /metrics, the FINAL record, the
 * summary. */
#ifndef AA_ASSIGNER_ASSIGNER_METRICS_H
#define AA_ASSIGNER_ASSIGNER_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "assigner/assigner.h"
#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/service/metrics.h"

typedef struct assigner_metrics assigner_metrics;

/** Registers everything with ms, which must outlive it. */
aa_status assigner_metrics_new(assigner_metrics **out, aa_metrics *ms, const aa_conf *cfg,
                               aa_err *err) __attribute__((warn_unused_result));
void      assigner_metrics_free(assigner_metrics **am_p);

void assigner_metrics_step(assigner_metrics *am, const aa_event_batch *in, int64_t duration_us);
void assigner_metrics_learned(assigner_metrics *am, int64_t duration_us);
void assigner_metrics_published(assigner_metrics *am, uint64_t assignments_total);
/** Rows, IDs and actions: read from the assigner now and then. as may be NULL. */
void assigner_metrics_refresh(assigner_metrics *am, const assigner *as);

/** A run begins with as as it was after so many events: the series of IDs and actions
 *  (assigner_series.csv by field,
 *  assigner_frequency.csv by field and frequency) go on from there. */
aa_status assigner_metrics_begin(assigner_metrics *am, const assigner *as, aa_err *err)
    __attribute__((warn_unused_result));
/** Their rows if they are due, or if it is the stream's last event. */
aa_status assigner_metrics_series(assigner_metrics *am, const assigner *as, bool last, aa_err *err)
    __attribute__((warn_unused_result));

/** The FINAL record on stderr and assigner.json. */
aa_status assigner_metrics_final(const assigner *as, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));

#endif
