/* scorer/replica/runtags - runs by two bits, so that an ID or a row need not hold a 64-bit number.
 *
 * The three newest runs have the tags 1 to 3; everything older has tag 0. When a fourth run begins,
 * its tag is taken from the oldest, whose entries become 0 (replica.c: admit_run).
 */
#ifndef AA_SCORER_REPLICA_RUNTAGS_H
#define AA_SCORER_REPLICA_RUNTAGS_H

#include <stdbool.h>
#include <stdint.h>

enum { RUNTAGS_OLDER = 0, RUNTAGS = 4 };

/* run[RUNTAGS_OLDER] stays 0; so are tags that are not in use. */
typedef struct {
    uint64_t run[RUNTAGS];
} runtags;

static inline uint32_t
runtags_find(const runtags *rt, uint64_t run_id)
{
    for (uint32_t tag = 1; run_id && tag < RUNTAGS; tag++)
        if (rt->run[tag] == run_id) return tag;
    return RUNTAGS_OLDER;
}

/** The tag that a new run would take: a free one, or that of the oldest run. */
static inline uint32_t
runtags_oldest(const runtags *rt)
{
    uint32_t oldest = 1;
    for (uint32_t tag = 2; tag < RUNTAGS; tag++)
        if (rt->run[tag] < rt->run[oldest]) oldest = tag;
    return oldest;
}

/** Is a record of run_id older than what is held under the tag? */
static inline bool
runtags_is_older(const runtags *rt, uint64_t run_id, uint32_t held_tag)
{
    return run_id < rt->run[held_tag];
}

#endif
