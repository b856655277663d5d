/* common/agent/nn - the agent's network: one hidden layer of tanh, Adam; for actor and critic
 * alike.
 *
 *   h = tanh(W1' x + b1),  y = W2 h + b2
 *
 * It runs over a whole table of states at once, since states are few (common/agent/agent_state.h).
 * Sums are in a fixed order, and tanh is a rational function of this file's own, so the same build
 * gives the same bits on any CPU. Weights, gradients and Adam's two moments share one layout:
 *
 *   w1 (I,H), b1 (H), w2 (O,H), b2 (O)       H = AA_NN_HIDDEN, a constant so that loops vectorise
 */
#ifndef AA_COMMON_AGENT_NN_H
#define AA_COMMON_AGENT_NN_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define AA_NN_HIDDEN 16

typedef struct {
    size_t   I, O;
    size_t   count;     /* P weights */
    uint64_t steps;     /* Adam steps so far */
    float   *w, *m, *v; /* (P) each; one allocation of 3*P floats that w points at */
} aa_nn;

/** Number of weights of a network of I inputs and O outputs. */
size_t aa_nn_count(size_t I, size_t O);

/** w1 ~ N(0, 1/I), w2 ~ N(0, 0.1^2/H): the output starts near 0. Biases 0.
 *  @param stream  AA_RNG_ACTOR or AA_RNG_CRITIC; a: which of them (the field) */
aa_status aa_nn_init(aa_nn *nn, size_t I, size_t O, uint64_t seed, uint32_t stream, uint64_t a,
                     aa_err *err) __attribute__((warn_unused_result));
void      aa_nn_fini(aa_nn *nn); /* NULL-safe, also on zeroed memory */

/** h (B,H) and y (B,O) written, of x (B,I). */
void aa_nn_forward(const aa_nn *nn, const float *x, size_t B, float *h, float *y);

/** Gradient of a loss towards the weights, from dy (B,O) and the h of the same forward; dw (P) is
 *  added to. Rows of dy that are all 0 cost nothing. */
void aa_nn_backward(const aa_nn *nn, const float *x, const float *h, const float *dy, size_t B,
                    float *dw);

/** One step of Adam (beta 0.9, 0.999, eps 1e-8) down the gradient dw (P). Kingma & Ba 2015. */
void aa_nn_adam(aa_nn *nn, const float *dw, double rate);

/** w, m and v as one array of 3*P floats, for checkpoints and digests. */
static inline size_t
aa_nn_bytes(const aa_nn *nn)
{
    return 3 * nn->count * sizeof(float);
}

/** tanh by a rational function, within 1e-6 of the real one. */
float aa_nn_tanh(float x);

#endif
