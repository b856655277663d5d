#include "assigner/leakage.h"

void
leakage_end_block(leakage *lk)
{
    uint64_t below = 0, positives = 0;
    double   area = 0.0;
    if (lk->events % LEAKAGE_LEAST != 0) return; /* a rare class: look now and then */
    for (size_t b = 0; b < LEAKAGE_BINS; b++) {
        const uint32_t *n = lk->bin[b];
        area += (double)n[1] * ((double)below + 0.5 * (double)n[0]);
        below += n[0];
        positives += n[1];
    }
    if (below < LEAKAGE_LEAST || positives < LEAKAGE_LEAST) {
        if (lk->events > UINT32_MAX / 2) *lk = (leakage){0}; /* as good as one class */
        return;
    }
    const double auc = area / (double)below / (double)positives;
    *lk = (leakage){.auc = {lk->auc[1], auc}, .blocks = lk->blocks + 1};
}

double
leakage_auc(const leakage *lk)
{
    if (lk->blocks < 2) return (double)NAN;
    return lk->auc[0] < lk->auc[1] ? lk->auc[0] : lk->auc[1];
}
