/* Rows whose weights come from outside (the tool `import`). */
#include <string.h>

#include "learner/rows/rows.h"
#include "learner/rows/rows_internal.h"

/* Shared rows that are sums: the base row of a bin is the mean of its rows over the positions, what
 * a position adds is the rest. */
static void
split_shared(rows *ro, const float *w)
{
    const uint32_t positions = ro->shared / ro->bins;
    for (uint32_t bin = 0; bin < ro->bins; bin++) {
        float *base = base_at(ro, bin);
        for (size_t k = 0; k < ro->W; k++) {
            double sum = 0.0;
            for (uint32_t p = 0; p < positions; p++)
                sum += (double)w[((size_t)p * ro->bins + bin) * ro->W + k];
            base[k] = (float)(sum / positions);
        }
    }
}

void
rows_import_shared(rows *ro, const float *w)
{
    if (ro->base) split_shared(ro, w);
    for (uint32_t slot = 0; slot < ro->shared; slot++) {
        const float *from = w + (size_t)slot * ro->W;
        const float *base = ro->base ? base_at(ro, slot % ro->bins) : NULL;
        float       *row = plain_at(ro, slot);
        for (size_t k = 0; k < ro->W; k++)
            row[k] = base ? from[k] - base[k] : from[k];
    }
    rows_touch_all(ro);
}

void
rows_import_own(rows *ro, uint32_t slot, const float *x, const float *beside)
{
    float *row = ro->scratch ? ro->scratch : plain_at(ro, slot);
    for (size_t k = 0; k < ro->W; k++)
        row[k] = ro->residual ? x[k] - beside[k] : x[k];
    if (ro->scratch) rowform_write_nearest(&ro->rf, row_at(ro, slot), row);
}
