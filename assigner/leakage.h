/* assigner/leakage - does one field alone tell the label? A field that is the label under another
 * name, or is made from it, gives an AUC near 1 that no request for scores will ever have.
 *
 * Each event's lean of one field, as it was before the event, is a score of the label. An ID that
 * was never seen scores 0, so that an order number that only buyers have tells as well. Scores are
 * counted per label in blocks of events; AUC is computed where a block ends. Only an AUC that two
 * blocks in a row reach counts: within one, two users who like and dislike everything can do it.
 * Not part of the state: no digest, no checkpoint, no decision depends on it.
 */
#ifndef AA_ASSIGNER_LEAKAGE_H
#define AA_ASSIGNER_LEAKAGE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/bits.h"

enum {
    LEAKAGE_BLOCK = 1000, /* events of a block, at least */
    LEAKAGE_LEAST = 50,   /* of each class in it */
    /* Bins in steps of a quarter of a power of two: rare labels have leans near 0. */
    LEAKAGE_STEP_BITS = 21,
    LEAKAGE_LOWEST = (127 - 20) << 2, /* below 2^-20 a lean is 0 */
    LEAKAGE_SIDE = 84,                /* up to 2, which no lean reaches */
    LEAKAGE_BINS = 2 * LEAKAGE_SIDE + 1
};
/* Shared streams of ratings, votes and purchases stay below .981 in every single block. */
#define LEAKAGE_AUC 0.99

typedef struct {
    uint32_t bin[LEAKAGE_BINS][2]; /* of the block under way: negative, positive */
    uint32_t events;
    double   auc[2]; /* of the last two whole blocks */
    uint64_t blocks; /* whole ones so far */
} leakage;

static inline uint32_t
leakage_bin(float lean)
{
    const uint32_t bits = aa_float_bits(lean);
    const int32_t  above = (int32_t)((bits & 0x7fffffffu) >> LEAKAGE_STEP_BITS) - LEAKAGE_LOWEST;
    const int32_t  size = above < 0 ? 0 : above < LEAKAGE_SIDE ? above : LEAKAGE_SIDE;
    return (uint32_t)(LEAKAGE_SIDE + (bits >> 31 ? -size : size));
}

/** Ends the block if it has enough of each class. */
void leakage_end_block(leakage *lk);

/** lean: of the event's ID, before the event. */
static inline void
leakage_add(leakage *lk, float lean, float label)
{
    lk->bin[leakage_bin(lean)][label > 0.5f]++;
    if (++lk->events >= LEAKAGE_BLOCK) leakage_end_block(lk);
}

/** AUC of the field alone: the lesser one of the last two blocks; NaN before there were two. */
double leakage_auc(const leakage *lk);

#endif
