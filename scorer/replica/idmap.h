/* scorer/replica/idmap - ID key -> assignment, for one field: one updater, any number of readers,
 * no lock.
 *
 * Open addressing, linear probing, one cache line per entry. A key is written after its entry's
 * contents and never taken out, so a reader that finds it finds contents. Contents change under a
 * sequence lock per entry: a reader that met a write reads again. A forgotten ID stays as a dead
 * entry that keeps its version (a late duplicate must not bring it back) until the table is
 * rebuilt, larger, beside the old one, and swapped in.
 */
#ifndef AA_SCORER_REPLICA_IDMAP_H
#define AA_SCORER_REPLICA_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/wire_topic.h"
#include "scorer/replica/reclaim.h"

typedef struct idmap idmap;

/** rl is kept (borrowed). NULL: out of memory. */
idmap *idmap_new(reclaim *rl);
void   idmap_free(idmap **im_p);

/**
 * Apply one record: only if (run_id, version) is not below what is held for the key, and above what
 * a deleted key had. a->modulo is not kept.
 * @param applied  written: false when the record is an old one
 * @pre key != 0
 * @errors AA_ENOMEM: nothing changed
 * @thread updater
 */
aa_status idmap_put(idmap *im, uint64_t key, const aa_assignment *a, bool *applied, aa_err *err)
    __attribute__((warn_unused_result));
/** Forget a key. False: it was not there. @thread updater */
bool idmap_delete(idmap *im, uint64_t key);
/** Keys that are not deleted. @thread updater */
size_t idmap_count(const idmap *im);
size_t idmap_bytes(const idmap *im);

/** The key will be asked for soon: fetch its place from memory. @thread as idmap_get */
void idmap_prefetch(const idmap *im, uint64_t key);
/** True and *out if the key is there. @thread a reader between reclaim_enter and _exit; updater */
bool idmap_get(const idmap *im, uint64_t key, aa_assignment *out);

/** All live entries with this run_id, folded in no particular order: equal contents, equal value.
 * @param shared  with the shared readings of IDs that have rows of their own: where rows add to
 * them they are exact in the end, elsewhere hints, as old as the assignment
 * @thread updater */
uint64_t idmap_digest(const idmap *im, uint64_t run_id, bool shared);

#endif
