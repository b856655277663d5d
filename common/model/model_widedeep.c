/* Wide & Deep: linear weights of IDs and signals (wide) + MLP (deep), one bias. Cheng et al. 2016, eq. 3,
 * without crossed features, which the events do not have. */
#include <string.h>

#include "common/model/model_parts.h"

static void
widedeep_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
                 float *logit, float *scratch)
{
    memset(logit, 0, B * sizeof *logit);
    aa_parts_linear_forward(sh, x, B, logit);
    aa_parts_signals_forward(sh, w + aa_parts_mlp_weight_count(sh), s, B, logit);
    aa_parts_mlp_forward(sh, w, x, s, B, logit, scratch);
}

static void
widedeep_backward(const aa_model_shape *sh, const float *w, const float *x, const float *s,
                  size_t B, const float *dlogit, float *scratch, float *dx, float *dw)
{
    (void)x;
    memset(dx, 0, B * sh->F * (sh->K + 1) * sizeof *dx);
    aa_parts_linear_backward(sh, B, dlogit, dx);
    aa_parts_mlp_backward(sh, w, B, dlogit, scratch, dx, dw);
    aa_parts_signals_backward(sh, s, B, dlogit, dw + aa_parts_mlp_weight_count(sh));
}

const aa_model_kind aa_model_widedeep = {
    "widedeep",       aa_parts_wide_weight_count, aa_parts_mlp_scratch_count, aa_parts_wide_init,
    widedeep_forward, aa_parts_mlp_prepare,       widedeep_backward};
