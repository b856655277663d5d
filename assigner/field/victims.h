/* assigner/field/victims - under a budget: whose row goes when another ID is worth more.
 *
 *   worth = frequency (decayed) * 2^(-silence / (quiet_gaps * mean gap))
 *
 * that is, how often the ID comes, halved with every quiet_gaps of its own mean gaps that it has
 * been silent. The least of all holders is not searched for: a small pool keeps the least that a
 * clock hand over the slots has come by, a few slots per request, and what the pool remembers is
 * looked up again before it is used. The candidate must be worth swap_margin times as much, or
 * equals would take the row from each other for ever.
 */
#ifndef AA_ASSIGNER_FIELD_VICTIMS_H
#define AA_ASSIGNER_FIELD_VICTIMS_H

#include <stddef.h>
#include <stdint.h>

#include "assigner/field/idtable.h"
#include "assigner/field/slots.h"
#include "common/config/conf.h"

#define VICTIMS_POOL 16u

/* All of it is state: saved and digested as it stands. */
typedef struct {
    uint32_t hand;  /* next slot to come by, relative to the first unique one */
    uint32_t count; /* in the pool */
    uint32_t slot[VICTIMS_POOL];
    float    worth[VICTIMS_POOL]; /* when last looked at */
} victims;

/** @param frequency  decayed to now */
float victims_worth(const aa_conf *cfg, const id_entry *e, float frequency, uint64_t now);

/** Come by the next few slots. */
void victims_advance(victims *vi, const aa_conf *cfg, const idtable *tbl, const slots *sl,
                     uint64_t now);
/** Slot of a holder worth less than candidate / swap_margin, or AA_NO_SLOT. */
uint32_t victims_find(victims *vi, const aa_conf *cfg, const idtable *tbl, const slots *sl,
                      float candidate, uint64_t now);

#endif
