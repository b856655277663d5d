/* learner/rows/adam - the optimizer of dense weights. Kingma & Ba 2015, algorithm 1, in the form at
 * the end of its section 2 that needs no bias-corrected copies, for a step of n events at event t:
 *
 *   m = b1^n m + (1-b1^n) g        v = b2^n v + (1-b2^n) g^2        g the mean of n gradients
 *   w = w - rate_t m / (sqrt v + eps_t)
 *   rate_t = rate sqrt(n) sqrt(1-b2^t) / (1-b1^t),  eps_t = eps sqrt(1-b2^t)
 *
 * with b1 = 0.9, b2 = 0.999, eps = 1e-8. With n = 1 that is Adam. How rate and decays follow n is
 * the square root scaling rule of Malladi et al. 2022 (arXiv 2205.10287): steps of several events
 * then go the way of single ones. One deviation: |m| < 1e-20 and v < 1e-30 become 0. A unit
 * that is off decays its moments for ever, and numbers below 1e-38 are slow; neither changes w by
 * as much as 1e-12. Lanes are weights, so every CPU computes the same bits.
 */
#ifndef AA_LEARNER_ROWS_ADAM_H
#define AA_LEARNER_ROWS_ADAM_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define ADAM_B1  0.9
#define ADAM_B2  0.999
#define ADAM_EPS 1e-8

typedef struct {
    size_t   count;     /* P */
    uint64_t events;    /* t so far */
    float   *w, *m, *v; /* (P) each, one allocation that w points at */
} adam;

/** All zero. */
aa_status adam_init(adam *ad, size_t count, aa_err *err) __attribute__((warn_unused_result));
void      adam_fini(adam *ad); /* NULL-safe, also on zeroed memory */

/** One step of `events` events down g = scale * grad (P), which is 0 afterwards. */
void adam_step(adam *ad, float *grad, float scale, uint64_t events, double rate);

/** The definition, in double and with bias correction spelt out; t events, the step's included. */
void adam_step_ref(double *w, double *m, double *v, const double *g, size_t count, uint64_t t,
                   uint64_t events, double rate);

/** w, m and v as one array of 3*P floats, for checkpoints and digests. */
static inline size_t
adam_bytes(const adam *ad)
{
    return 3 * ad->count * sizeof(float);
}

#endif
