#include "common/model/model.h"

#include <math.h>
#include <string.h>

#include "common/base/elementary.h"
#include "common/model/model_parts.h"

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
    *sh = (aa_model_shape){
        .F = cfg->field_count, .K = (size_t)cfg->model.dim, .H = cfg->hidden_count};
    memcpy(sh->hidden, cfg->hidden, sizeof sh->hidden);
}

float
aa_sigmoid(float z)
{
    return 1.0f / (1.0f + aa_expf(-z));
}

/* -y ln p - (1-y) ln(1-p) = max(z,0) - z y + ln(1 + e^-|z|): finite for every finite z */
float
aa_logloss(float logit, float label)
{
    float top = logit > 0.0f ? logit : 0.0f;
    return top - logit * label + aa_log1pf(aa_expf(-fabsf(logit)));
}

float
aa_logloss_grad(float logit, float label)
{
    return aa_sigmoid(logit) - label;
}

float
aa_mse(float logit, float label)
{
    float d = aa_sigmoid(logit) - label;
    return d * d;
}

float
aa_mse_grad(float logit, float label)
{
    float p = aa_sigmoid(logit);
    return 2.0f * (p - label) * p * (1.0f - p);
}
