/* scorer/meters - the scorer's metrics: what was asked, what is held, how fresh it is. */
#ifndef AA_SCORER_METERS_H
#define AA_SCORER_METERS_H

#include <stdint.h>

#include "common/config/conf.h"
#include "common/service/metrics.h"
#include "scorer/replica/replica.h"
#include "scorer/scorer.h"

typedef enum { METERS_ZMQ, METERS_HTTP, METERS_DOORS } meters_door;
enum { METERS_STATUSES = 10 };

typedef struct {
    aa_counter   *requests[METERS_DOORS][METERS_STATUSES];
    aa_histogram *duration[METERS_DOORS];
    aa_histogram *freshness;
    aa_gauge     *waiting, *names;
    aa_counter   *items, *unknown, *fallbacks, *rows_missing;
    aa_counter   *applied, *old, *other_lane, *bad; /* records of the topics */
    aa_gauge     *lag, *staleness, *version, *behind, *events, *bytes;
    aa_gauge     *assignments[AA_MAX_FIELDS], *rows[AA_MAX_FIELDS];
} meters;

/** Register. The handles are ms's. */
void meters_init(meters *me, aa_metrics *ms, const aa_conf *cfg);
/** @thread any */
void meters_request(meters *me, meters_door door, const scorer_tally *tally, int64_t duration_us);
/** What the replica holds. @thread updater */
void meters_replica(meters *me, const replica_stats *rs, size_t F, int64_t wall_ms);
/** Requests of one door, all statuses. */
uint64_t meters_requests(const meters *me, meters_door door);

#endif
