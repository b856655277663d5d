/* ingest/fetchers/fetcher - ingest in the role of a fetcher: it reads, decodes and announces for a
 * sequencer.
 *
 * A member of the lane's consumer group that owns no order and commits nothing. It joins when the
 * sequencer has answered it (so one with a wrong key or configuration takes no partitions that
 * nobody would then read), offers what the group deals to it, sends what it is asked for, and gives
 * partitions back when the sequencer has committed what it has of them. Not heard for long, it
 * leaves the group, so that others get its partitions.
 */
#ifndef AA_INGEST_FETCHERS_FETCHER_H
#define AA_INGEST_FETCHERS_FETCHER_H

#include "common/base/status.h"
#include "common/service/metrics.h"
#include "common/service/program.h"

typedef struct {
    aa_counter *records, *bad, *lost, *gaps, *passed_over;
    aa_gauge   *partitions, *in_flight;
} fetcher_metrics;

/** Register. The handles are ms's. */
void fetcher_metrics_init(fetcher_metrics *fm, aa_metrics *ms);
/** Runs until SIGTERM. @errors AA_ECONFIG the sequencer refuses it, or no such topic; AA_EIO the
 *  consumer is of no more use; AA_ENOMEM */
aa_status fetcher_run(aa_context *ctx, aa_err *err) __attribute__((warn_unused_result));

#endif
