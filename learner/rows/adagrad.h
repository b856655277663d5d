/* learner/rows/adagrad - Adagrad's step: Duchi, Hazan & Singer 2011, diagonal, without projection.
 *
 *   acc += g^2,  w -= rate g / sqrt(acc)
 */
#ifndef AA_LEARNER_ROWS_ADAGRAD_H
#define AA_LEARNER_ROWS_ADAGRAD_H

#include <stddef.h>

/** w, acc (n) read and written, g (n) the gradient of the step; none overlap. @pre acc + g^2 > 0 */
void adagrad_step(float *restrict w, float *restrict acc, const float *restrict g, size_t n,
                  float rate);

#endif
