/* Factorisation machine: bias + linear + pairwise. Dense weights: the bias. Rendle 2010, eq. 1. */
#include <string.h>

#include "common/model/kernel.h"
#include "common/model/model_parts.h"

AA_KERNEL void
aa_parts_pair_forward(const aa_model_shape *sh, const float *x, size_t B, float *logit, float *sum)
{
    const size_t F = sh->F, K = sh->K, W = K + 1;
    for (size_t b = 0; b < B; b++) {
        const float *x_b = x + b * F * W; /* (F,W) */
        float       *sum_b = sum + b * K;
        memcpy(sum_b, x_b, K * sizeof *sum_b);
        for (size_t f = 1; f < F; f++)
            for (size_t k = 0; k < K; k++)
                sum_b[k] += x_b[f * W + k];
        float twice =
            0.0f; /* sum_f v (sum - v): twice each pair, without a difference of squares */
        for (size_t f = 0; f < F; f++)
            for (size_t k = 0; k < K; k++)
                twice += x_b[f * W + k] * (sum_b[k] - x_b[f * W + k]);
        logit[b] += 0.5f * twice;
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
    (void)sh;
    return 1;
}

static size_t
fm_scratch_count(const aa_model_shape *sh, size_t B)
{
    return B * sh->K;
}

static void
fm_init_weights(const aa_model_shape *sh, float *w, uint64_t seed)
{
    (void)sh;
    (void)seed;
    w[0] = 0.0f;
}

static void
fm_forward(const aa_model_shape *sh, const float *w, const float *x, size_t B, float *logit,
           float *scratch)
{
    for (size_t b = 0; b < B; b++)
        logit[b] = w[0];
    aa_parts_linear_forward(sh, x, B, logit);
    aa_parts_pair_forward(sh, x, B, logit, scratch);
}

static void
fm_prepare(const aa_model_shape *sh, const float *w, float *scratch)
{
    (void)sh, (void)w, (void)scratch;
}

static void
fm_backward(const aa_model_shape *sh, const float *w, const float *x, size_t B, const float *dlogit,
            float *scratch, float *dx, float *dw)
{
    (void)w;
    memset(dx, 0, B * sh->F * (sh->K + 1) * sizeof *dx);
    aa_parts_linear_backward(sh, B, dlogit, dx);
    aa_parts_pair_backward(sh, x, B, dlogit, scratch, dx);
    for (size_t b = 0; b < B; b++)
        dw[0] += dlogit[b];
}

const aa_model_kind aa_model_fm = {"fm",       fm_weight_count, fm_scratch_count, fm_init_weights,
                                   fm_forward, fm_prepare,      fm_backward};
