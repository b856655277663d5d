/* assigner/field/slots - the unique rows of one field: who holds which, and which are free.
 *
 * Slots base .. are handed out lowest free first, so that the learner's tables stay compact.
 */
#ifndef AA_ASSIGNER_FIELD_SLOTS_H
#define AA_ASSIGNER_FIELD_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/state/checkpoint.h"

typedef struct {
    uint32_t  base;   /* first unique slot: the number of shared rows */
    uint32_t  limit;  /* most rows held at a time, from the budget */
    uint32_t *holder; /* (end) handle of the ID that holds slot base+i, or IDTABLE_NONE */
    uint64_t *born;   /* (end) sequence number of the batch that gave it the row */
    size_t    end, cap;
    uint32_t *heap; /* (heap_count) free indices below end; a binary min-heap */
    size_t    heap_count, heap_cap;
    size_t    used, peak;
} slots;

/** @param limit  0: none but that of the slot's type */
void slots_init(slots *sl, uint32_t base, uint32_t limit);
void slots_fini(slots *sl); /* also on zeroed memory */

static inline int
slots_full(const slots *sl)
{
    return sl->used >= sl->limit;
}

/** Would another holder take the place of one that gave its row back? */
static inline bool
slots_have_place(const slots *sl)
{
    return sl->heap_count > 0;
}

/** Lowest free slot to holder. @pre not full */
aa_status slots_take(slots *sl, uint32_t holder, uint64_t born, uint32_t *slot, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre the slot is held */
void slots_give_back(slots *sl, uint32_t slot);

/** Handle that holds the slot, or IDTABLE_NONE. Any slot. */
uint32_t slots_holder(const slots *sl, uint32_t slot);
uint64_t slots_born(const slots *sl, uint32_t slot);
size_t   slots_bytes(const slots *sl);
/** The most that it takes if there were never more holders at once than this. */
uint64_t slots_most_bytes(uint64_t rows);

uint64_t  slots_digest(const slots *sl, uint64_t d);
aa_status slots_save(const slots *sl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** Checks limit and counts; that holders are in use is the caller's to check.
 *  @pre sl is initialised and empty */
aa_status slots_restore(slots *sl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
