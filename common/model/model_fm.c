/* Factorisation machine: bias + linear + pairwise + signals. Dense weights: the bias, then the
 * signals'. Rendle 2010, eq. 1. */
#include <string.h>

#include "common/model/kernel.h"
#include "common/model/lanes.h"
#include "common/model/model_parts.h"

/* sum_f v_k (sum_k - v_k), twice each pair, of the first n <= 16 of K dimensions: without a difference
 * of squares. sum_k written. */
static inline void
pair_block(const float *x, size_t F, size_t W, size_t n, float *sum, lanes *twice)
{
    lanes all = {0}, v;
    for (size_t f = 0; f < F; f++) {
        lanes_load_first(&v, x + f * W, n);
        all += v;
    }
    for (size_t f = 0; f < F; f++) {
        lanes_load_first(&v, x + f * W, n);
        *twice += v * (all - v);
    }
    lanes_store_first(sum, &all, n);
}

AA_KERNEL void
aa_parts_pair_forward(const aa_model_shape *sh, const float *x, size_t B, float *logit, float *sum)
{
    const size_t F = sh->F, K = sh->K, W = K + 1;
    for (size_t b = 0; b < B; b++, x += F * W, sum += K) {
        lanes  twice = {0};
        size_t k = 0;
        for (; k + LANES <= K; k += LANES)
            pair_block(x + k, F, W, LANES, sum + k, &twice);
        if (k < K) pair_block(x + k, F, W, K - k, sum + k, &twice);
        logit[b] += 0.5f * lanes_sum(&twice);
    }
}

AA_KERNEL void
aa_parts_pair_backward(const aa_model_shape *sh, const float *restrict x, size_t B,
                       const float *restrict dlogit, const float *restrict sum, float *restrict dx)
{
    const size_t F = sh->F, K = sh->K, W = K + 1;
    for (size_t b = 0; b < B; b++)
        for (size_t f = 0; f < F; f++) {
            const float *v = x + (b * F + f) * W;
            float       *dv = dx + (b * F + f) * W;
            for (size_t k = 0; k < K; k++)
                dv[k] += dlogit[b] * (sum[b * K + k] - v[k]);
        }
}

static size_t
fm_weight_count(const aa_model_shape *sh)
{
    return 1 + sh->S;
}

static size_t
fm_scratch_count(const aa_model_shape *sh, size_t B)
{
    return B * sh->K;
}

static void
fm_init_weights(const aa_model_shape *sh, float *w, uint64_t seed)
{
    (void)seed;
    for (size_t i = 0; i < 1 + sh->S; i++)
        w[i] = 0.0f;
}

static void
fm_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
           float *logit, float *scratch)
{
    for (size_t b = 0; b < B; b++)
        logit[b] = w[0];
    aa_parts_linear_forward(sh, x, B, logit);
    aa_parts_pair_forward(sh, x, B, logit, scratch);
    aa_parts_signals_forward(sh, w + 1, s, B, logit);
}

static void
fm_prepare(const aa_model_shape *sh, const float *w, float *scratch)
{
    (void)sh, (void)w, (void)scratch;
}

static void
fm_backward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
            const float *dlogit, float *scratch, float *dx, float *dw)
{
    (void)w;
    memset(dx, 0, B * sh->F * (sh->K + 1) * sizeof *dx);
    aa_parts_linear_backward(sh, B, dlogit, dx);
    aa_parts_pair_backward(sh, x, B, dlogit, scratch, dx);
    for (size_t b = 0; b < B; b++)
        dw[0] += dlogit[b];
    aa_parts_signals_backward(sh, s, B, dlogit, dw + 1);
}

const aa_model_kind aa_model_fm = {"fm",       fm_weight_count, fm_scratch_count, fm_init_weights,
                                   fm_forward, fm_prepare,      fm_backward};
