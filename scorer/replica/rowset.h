/* scorer/replica/rowset - slot -> row, for one field: one updater, any number of readers, no lock.
 *
 * Rows live in chunks; the directory of chunks grows by copying and swapping. A chunk holds its rows
 * as bf16 (2 bytes a value) until a row comes that has a value which is no bf16; then it is replaced
 * by one of floats. So what is read is what was published, whatever the learner's row format is.
 * A chunk whose last row has gone is freed.
 *
 * Each row is under a sequence lock: a reader gets all of a row's values and the head that came with
 * them, or reads again.
 */
#ifndef AA_SCORER_REPLICA_ROWSET_H
#define AA_SCORER_REPLICA_ROWSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/wire_topic.h"
#include "scorer/replica/reclaim.h"
#include "scorer/replica/runtags.h"

/* Slots are given out lowest first, so a number beyond this is damage, not growth. */
#define ROWSET_MAX_SLOTS ((size_t)1 << 30)

typedef struct rowset rowset;

/** Rows of `width` values. rl and rt are kept (borrowed). NULL: out of memory. */
rowset *rowset_new(size_t width, reclaim *rl, const runtags *rt);
void    rowset_free(rowset **rs_p);

/**
 * Apply one record: only if (run_id, version) is not below what is held for the slot.
 * @param w        (width) read
 * @param applied  written: false when the record is an old one
 * @errors AA_EPARSE slot out of range; AA_ENOMEM. Nothing changed
 * @thread updater
 */
aa_status rowset_put(rowset *rs, uint32_t slot, const aa_row_head *rh, const float *w,
                     bool *applied, aa_err *err) __attribute__((warn_unused_result));
/** False: there was no such row. @thread updater */
bool rowset_delete(rowset *rs, uint32_t slot);
/** What has this tag is of an older run from now on. @thread updater */
void   rowset_retag(rowset *rs, uint32_t tag);
size_t rowset_count(const rowset *rs); /* @thread updater */
size_t rowset_bytes(const rowset *rs); /* @thread updater */

/** The row will be asked for soon: fetch it from memory. @thread as rowset_get */
void rowset_prefetch(const rowset *rs, uint32_t slot);
/** True, and *rh and w (width) written, if the row is there; else w is unspecified. rh->run_id is
 *  the run's tag, rh->born is modulo 2^32 (idcode_born).
 *  @thread a reader between reclaim_enter and _exit; updater */
bool rowset_get(const rowset *rs, uint32_t slot, aa_row_head *rh, float *w);

/** Fold field, slot and values of all rows with this tag into d, by ascending slot.
 *  @thread updater */
uint64_t rowset_digest(const rowset *rs, uint32_t tag, uint32_t field, uint64_t d);

#endif
