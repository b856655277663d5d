/* learner/rows/adagrad - Adagrad's step: Duchi, Hazan & Singer 2011, diagonal, without projection.
 *
 *   acc += g^2,  w -= rate g / sqrt(acc)
 *
 * The accumulators of a row's factors may forget (model.row_forget): what they gathered decays
 * towards their start, so that the steps of a frequent row do not shrink for ever:
 *
 *   acc = (1 - forget) acc + forget start + g^2
 *
 * The linear weight's accumulator never forgets: tests/bench/bench_stages showed a loss from it.
 * With forget 0 the bits are those of Adagrad.
 */
#ifndef AA_LEARNER_ROWS_ADAGRAD_H
#define AA_LEARNER_ROWS_ADAGRAD_H

#include <stddef.h>

/* How rows of one kind learn. */
typedef struct {
    float rate;
    float start, linear_start; /* of the accumulators: the factors', the linear weight's */
    float forget;
} adagrad;

/** A factor's accumulator before g^2 is added. */
static inline float
adagrad_decayed(const adagrad *ad, float acc)
{
    return (1.0f - ad->forget) * acc + ad->forget * ad->start;
}

/** Adagrad without forgetting; w, acc (n) read and written, g (n) the gradient of the step; none overlap. @pre acc + g^2 > 0 */
void adagrad_step(float *restrict w, float *restrict acc, const float *restrict g, size_t n,
                  float rate);

#endif
