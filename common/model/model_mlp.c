/* Multilayer perceptron over concatenated embeddings and signals; the linear weights of IDs are not used. */
#include <string.h>

#include "common/model/model_parts.h"

static void
mlp_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
            float *logit, float *scratch)
{
    memset(logit, 0, B * sizeof *logit);
    aa_parts_mlp_forward(sh, w, x, s, B, logit, scratch);
}

static void
mlp_backward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
             const float *dlogit, float *scratch, float *dx, float *dw)
{
    (void)x;
    (void)s;
    memset(dx, 0, B * sh->F * (sh->K + 1) * sizeof *dx);
    aa_parts_mlp_backward(sh, w, B, dlogit, scratch, dx, dw);
}

const aa_model_kind aa_model_mlp = {"mlp",
                                    aa_parts_mlp_weight_count,
                                    aa_parts_mlp_scratch_count,
                                    aa_parts_mlp_init,
                                    mlp_forward,
                                    aa_parts_mlp_prepare,
                                    mlp_backward};
