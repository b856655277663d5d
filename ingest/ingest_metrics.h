/* ingest/ingest_metrics - what ingest shows of itself: metrics, the STATS line, the summary at the
 * end. */
#ifndef AA_INGEST_INGEST_METRICS_H
#define AA_INGEST_INGEST_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/service/metrics.h"
#include "ingest/decode/decode.h"
#include "ingest/ingest.h"
#include "ingest/source.h"

typedef struct ingest_metrics ingest_metrics;

/** @errors AA_ENOMEM */
aa_status ingest_metrics_new(ingest_metrics **out, const aa_conf *cfg, aa_metrics *ms, aa_err *err)
    __attribute__((warn_unused_result));
void ingest_metrics_free(ingest_metrics **im_p);

/** The run began from this epoch (0: the configured start). */
void ingest_metrics_opened(ingest_metrics *im, uint64_t epoch, int64_t now_us);
/** time_ms (events): the event times of a batch that was sent. */
void ingest_metrics_batch(ingest_metrics *im, const int64_t *time_ms, size_t events,
                          int64_t waited_us, int64_t now_us);
void ingest_metrics_letter(ingest_metrics *im, decode_reason reason);

/** The gauge of a partition's lag, made when it is first asked for; NULL: no memory for it. */
aa_gauge *ingest_metrics_partition_lag(ingest_metrics *im, int32_t partition);

/** Set gauges and counters; write the STATS line when it is due. Cheap enough for once a second.
 *  @return the lag of every partition is known */
bool ingest_metrics_update(ingest_metrics *im, const ingest *in, const order *od, const source *so,
                           uint64_t letters_lost, int64_t now_us);

/** FINAL line and summary file; whole: everything that was sent is committed.
 *  @errors AA_EIO the file */
aa_status ingest_metrics_finish(ingest_metrics *im, const ingest *in, const source *so,
                                uint64_t letters_lost, bool whole, aa_err *err)
    __attribute__((warn_unused_result));

#endif
