/* assigner/field/lean - which way an ID leans: what its labels say beyond the stream's mean and the
 * other sides' leans, shrunk towards 0 while there are few.
 *
 *   lean = sum over the ID's events of (label - mean - sum of the other fields' leans) / (n + 4)
 *
 * mean and leans as they were before each event, so a prediction never sees its own label. A lean
 * chooses the row within a shared position: c = (p-1)/2 + p*lean, clipped to [0, p-1], is a place
 * between the position's p rows, and the row read is (1-mix)*row[floor c] + mix*row[floor c + 1].
 */
#ifndef AA_ASSIGNER_FIELD_LEAN_H
#define AA_ASSIGNER_FIELD_LEAN_H

#include <stdint.h>

#include "assigner/field/idpack.h"

/* Running mean of the label; begins as one event of 1/2. */
typedef struct {
    double   sum;
    uint64_t count;
} lean_mean;

static inline double
lean_mean_get(const lean_mean *lm)
{
    return (0.5 + lm->sum) / (1.0 + (double)lm->count);
}

/* Events of no lean that every ID begins with. */
#define LEAN_SHRINK 4.0f

/** Place c in [0, p-1] between the p rows of a position. */
static inline float
lean_place(float lean, uint32_t p)
{
    float top = (float)(p - 1), c = 0.5f * top + (float)p * lean;
    return !(c > 0.0f) ? 0.0f : c < top ? c : top; /* a lean that is no number reads bin 0 */
}

/** Reading of a shared position 1..k. mix is in [0,1), and 0 at the last bin. */
static inline void
lean_reading(uint32_t position, float lean, uint32_t p, uint32_t *slot, float *mix)
{
    float    c = lean_place(lean, p);
    uint32_t bin = (uint32_t)c;
    *slot = (position - 1) * p + bin;
    *mix = c - (float)bin;
}

/** After an event, before it is counted: fold its label into the ID's lean. others: sum of the other
 *  fields' leans before the event; mean: likewise. */
static inline void
lean_update(id_entry *e, float label, double mean, float others)
{
    e->lean += (label - (float)mean - others - e->lean) / ((float)e->seen + 1.0f + LEAN_SHRINK);
}

#endif
