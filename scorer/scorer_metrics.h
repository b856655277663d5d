/* scorer/scorer_metrics - the scorer's metrics: what was asked, what is held, how fresh it is. */
#ifndef AA_SCORER_SCORER_METRICS_H
#define AA_SCORER_SCORER_METRICS_H

#include <stdint.h>

#include "common/config/conf.h"
#include "common/service/metrics.h"
#include "scorer/replica/replica.h"
#include "scorer/scorer.h"

typedef enum { SCORER_ZMQ, SCORER_HTTP, SCORER_ENDPOINTS } scorer_endpoint;
enum { SCORER_STATUSES = 10 };

typedef struct {
    aa_counter   *requests[SCORER_ENDPOINTS][SCORER_STATUSES];
    aa_histogram *duration[SCORER_ENDPOINTS];
    aa_histogram *freshness;
    aa_gauge     *waiting, *names;
    aa_counter   *items, *unknown, *fallbacks, *rows_missing;
    aa_counter *applied, *old, *older_run, *other_lane, *foreign, *bad; /* records of the topics */
    aa_gauge   *lane, *older_only, *reading_anew;
    aa_counter *read_anew;
    aa_gauge   *lag, *staleness, *version, *behind, *events, *bytes;
    aa_gauge   *assignments[AA_MAX_FIELDS], *rows[AA_MAX_FIELDS];
} scorer_metrics;

/** Register. The handles are ms's. */
void scorer_metrics_init(scorer_metrics *sm, aa_metrics *ms, const aa_conf *cfg);
/** @thread any */
void scorer_metrics_request(scorer_metrics *sm, scorer_endpoint endpoint, const scorer_tally *tally,
                            int64_t duration_us);
/** What the replica holds. @thread updater */
void scorer_metrics_replica(scorer_metrics *sm, const replica_stats *rs, size_t F, int64_t wall_ms);
/** Requests of one endpoint, all statuses. */
uint64_t scorer_metrics_requests(const scorer_metrics *sm, scorer_endpoint endpoint);

#endif
