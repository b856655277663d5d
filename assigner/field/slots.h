/* assigner/field/slots - the unique rows of one field: who holds which, and which are free.
 *
 * Slots base .. are handed out lowest free first, so that the learner's tables stay compact. What
 * is known of a holder is beside its slot, in 14 bytes, so that rounds over the holders read one
 * array from end to end. Which slots are free is a bit each, in words of 64 whose own bits are kept
 * likewise: the lowest is found in a few steps.
 */
#ifndef AA_ASSIGNER_FIELD_SLOTS_H
#define AA_ASSIGNER_FIELD_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/state/checkpoint.h"
#include "common/state/reserve.h"

#define SLOTS_LEVELS 6u /* 64^6 > 2^32 */

/* Saved and digested as it stands; of a free slot all is 0. */
typedef struct __attribute__((packed)) {
    uint32_t tag; /* upper half of the hash of the ID that holds it (idtable_holder) */
    uint64_t b;   /* as in idpack.h; never 0 */
    uint16_t c;
} slots_record;

typedef struct {
    uint32_t      base;   /* first unique slot: the number of shared rows */
    uint32_t      limit;  /* most rows held at a time, from the budget */
    aa_reserve    memory; /* of records */
    slots_record *record; /* (end) of slot base+i */
    size_t        end;
    uint64_t *free[SLOTS_LEVELS]; /* bit i of level 0: slot base+i below end is free; bit i of the
                                         next level: word i has a bit set */
    size_t    free_cap;           /* slots that they have bits for */
    size_t    used, peak;
} slots;

/** @param limit  0: none but that of the slot's type */
aa_status slots_init(slots *sl, uint32_t base, uint32_t limit, aa_err *err)
    __attribute__((warn_unused_result));
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
    return sl->used < sl->end;
}

/** Lowest free slot to the ID of this tag. @pre not full */
aa_status slots_take(slots *sl, uint32_t tag, uint32_t *slot, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre the slot is held */
void slots_give_back(slots *sl, uint32_t slot);

static inline slots_record *
slots_at(const slots *sl, uint32_t slot)
{
    return &sl->record[slot - sl->base];
}
/** Does anyone hold the slot? Any slot. */
static inline bool
slots_held(const slots *sl, uint32_t slot)
{
    const uint32_t i = slot - sl->base;
    return slot >= sl->base && i < sl->end && !(sl->free[0][i / 64] >> i % 64 & 1);
}

/** As idtable_tidy. */
bool   slots_tidy(slots *sl);
size_t slots_bytes(const slots *sl);
/** The most that it takes if there were never more holders at once than this. */
uint64_t slots_most_bytes(uint64_t rows);

uint64_t  slots_digest(const slots *sl, uint64_t d);
aa_status slots_save(const slots *sl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** Checks limit and counts; that holders are there is the caller's to check.
 *  @pre sl is initialised and empty */
aa_status slots_restore(slots *sl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
