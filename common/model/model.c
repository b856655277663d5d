#include "common/model/model.h"

#include <math.h>
#include <string.h>

#include "common/base/elementary.h"
#include "common/model/model_parts.h"
#include "common/model/signal.h"

const aa_model_kind *
aa_model_find(enum aa_model_id id)
{
    switch (id) {
    case AA_MODEL_FM: return &aa_model_fm;
    case AA_MODEL_MLP: return &aa_model_mlp;
    case AA_MODEL_WIDEDEEP: return &aa_model_widedeep;
    case AA_MODEL_DEEPFM: return &aa_model_deepfm;
    case AA_MODEL_DCN: return &aa_model_dcn;
    }
    aa_bug("a kind of model", __FILE__, __LINE__);
}

void
aa_model_shape_of(aa_model_shape *sh, const aa_conf *cfg)
{
    *sh = (aa_model_shape){.F = cfg->field_count,
                           .K = (size_t)cfg->model.dim,
                           .H = cfg->hidden_count,
                           .S = cfg->model.signals ? AA_SIGNALS * cfg->field_count : 0};
    memcpy(sh->hidden, cfg->hidden, sizeof sh->hidden);
}

/* e^-|z|, and from it the sigmoid: no exponential is ever large. */
static inline float
small_exp(float z)
{
    return aa_expf(-fabsf(z));
}

static inline float
sigmoid_from(float z, float e)
{
    return (z < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* -y ln p - (1-y) ln(1-p) = max(z,0) - z y + ln(1 + e^-|z|): finite for every finite z */
static inline float
logloss_from(float z, float e, float label)
{
    return (z > 0.0f ? z : 0.0f) - z * label + aa_log1p_unit((double)e);
}

float
aa_sigmoid(float z)
{
    return sigmoid_from(z, small_exp(z));
}

float
aa_logloss(float logit, float label)
{
    return logloss_from(logit, small_exp(logit), label);
}

float
aa_mse(float logit, float label)
{
    const float d = aa_sigmoid(logit) - label;
    return d * d;
}

aa_loss
aa_logloss_all(float logit, float label)
{
    const float e = small_exp(logit), p = sigmoid_from(logit, e);
    return (aa_loss){.p = p, .loss = logloss_from(logit, e, label), .gradient = p - label};
}

aa_loss
aa_mse_all(float logit, float label)
{
    const float p = aa_sigmoid(logit), d = p - label;
    return (aa_loss){.p = p, .loss = d * d, .gradient = 2.0f * d * p * (1.0f - p)};
}
