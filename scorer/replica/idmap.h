/* scorer/replica/idmap - ID key -> assignment, for one field: one updater, any number of readers,
 * no lock.
 *
 * Extendible hashing: a directory of segments by the lower bits of the key's hash, each of a few
 * hundred IDs (scorer/replica/idsegment: 12 bytes for an ID with a shared reading, 20 for one with
 * a row of its own). A full segment is replaced by a slightly larger copy, and from SPLIT entries on
 * by two, so the map grows a segment at a time. What was replaced is freed when no reader can hold
 * it (scorer/replica/reclaim). A forgotten ID leaves nothing behind.
 *
 * Which record of a key is the newer one: that of the newer run, and within a run the one that came
 * later. All records of a key are in one partition, which keeps their order.
 *
 * The key is kept whole (idsegment), so that no ID reads what is another's.
 */
#ifndef AA_SCORER_REPLICA_IDMAP_H
#define AA_SCORER_REPLICA_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/wire_topic.h"
#include "scorer/replica/reclaim.h"
#include "scorer/replica/runtags.h"

typedef struct idmap idmap;

/** rl and rt are kept (borrowed). NULL: out of memory. */
idmap *idmap_new(const aa_conf *cfg, reclaim *rl, const runtags *rt);
void   idmap_free(idmap **im_p);

/**
 * Apply one record, unless what is held for the key is of a newer run. a->version and a->modulo are
 * not kept.
 * @param applied  written: false when the record is of an older run
 * @pre key != 0
 * @errors AA_ENOMEM: nothing changed
 * @thread updater
 */
aa_status idmap_put(idmap *im, uint64_t key, const aa_assignment *a, bool *applied, aa_err *err)
    __attribute__((warn_unused_result));
/** Forget a key. False: it was not there. @thread updater */
bool idmap_delete(idmap *im, uint64_t key);
/** What has this tag is of an older run from now on. @thread updater */
void idmap_retag(idmap *im, uint32_t tag);
/** Keys that are not deleted. @thread updater */
size_t idmap_count(const idmap *im);
size_t idmap_bytes(const idmap *im);

/** The key will be asked for soon: fetch its place from memory, in two steps, of which the second
 *  needs what the first has fetched. @thread as idmap_get */
void idmap_prefetch(const idmap *im, uint64_t key);
void idmap_prefetch_bin(const idmap *im, uint64_t key);
/** True and *out if the key is there. out->run_id is the run's tag, born modulo 2^32 (idcode_born).
 *  @thread a reader between reclaim_enter and _exit; updater */
bool idmap_get(const idmap *im, uint64_t key, aa_assignment *out);

/** All entries of this tag, folded in no particular order: equal contents, equal value.
 * @param shared  with the shared readings of IDs that have rows of their own: where rows add to
 * them they are exact in the end, elsewhere hints, as old as the assignment
 * @thread updater */
uint64_t idmap_digest(const idmap *im, uint32_t tag, bool shared);

#endif
