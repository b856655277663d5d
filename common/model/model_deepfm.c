/* DeepFM: factorisation machine + MLP over the same embeddings. Guo et al. 2017, eq. 1.
 * Weights: the MLP's, then the signals'. scratch: the MLP's, then pair sums (B,K). */
#include <string.h>

#include "common/model/model_parts.h"

static size_t
deepfm_scratch_count(const aa_model_shape *sh, size_t B)
{
    return B * sh->K + aa_parts_mlp_scratch_count(sh, B);
}

static void
deepfm_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
               float *logit, float *scratch)
{
    memset(logit, 0, B * sizeof *logit);
    aa_parts_linear_forward(sh, x, B, logit);
    aa_parts_pair_forward(sh, x, B, logit, scratch + aa_parts_mlp_scratch_count(sh, B));
    aa_parts_signals_forward(sh, w + aa_parts_mlp_weight_count(sh), s, B, logit);
    aa_parts_mlp_forward(sh, w, x, s, B, logit, scratch);
}

static void
deepfm_backward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
                const float *dlogit, float *scratch, float *dx, float *dw)
{
    memset(dx, 0, B * sh->F * (sh->K + 1) * sizeof *dx);
    aa_parts_linear_backward(sh, B, dlogit, dx);
    aa_parts_pair_backward(sh, x, B, dlogit, scratch + aa_parts_mlp_scratch_count(sh, B), dx);
    aa_parts_mlp_backward(sh, w, B, dlogit, scratch, dx, dw);
    aa_parts_signals_backward(sh, s, B, dlogit, dw + aa_parts_mlp_weight_count(sh));
}

const aa_model_kind aa_model_deepfm = {
    "deepfm",       aa_parts_wide_weight_count, deepfm_scratch_count, aa_parts_wide_init,
    deepfm_forward, aa_parts_mlp_prepare,       deepfm_backward};
