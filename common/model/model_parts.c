#include "common/model/model_parts.h"

#include <math.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/model/dense.h"

void
aa_parts_linear_forward(const aa_model_shape *sh, const float *x, size_t B, float *logit)
{
    const size_t F = sh->F, W = sh->K + 1;
    for (size_t b = 0; b < B; b++)
        for (size_t f = 0; f < F; f++)
            logit[b] += x[(b * F + f) * W + sh->K];
}

void
aa_parts_linear_backward(const aa_model_shape *sh, size_t B, const float *dlogit, float *dx)
{
    const size_t F = sh->F, W = sh->K + 1;
    for (size_t b = 0; b < B; b++)
        for (size_t f = 0; f < F; f++)
            dx[(b * F + f) * W + sh->K] += dlogit[b];
}

void
aa_parts_signals_forward(const aa_model_shape *sh, const float *w, const float *s, size_t B,
                         float *logit)
{
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < sh->S; i++)
            logit[b] += w[i] * s[b * sh->S + i];
}

void
aa_parts_signals_backward(const aa_model_shape *sh, const float *s, size_t B, const float *dlogit,
                          float *dw)
{
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < sh->S; i++)
            dw[i] += dlogit[b] * s[b * sh->S + i];
}

void
aa_parts_concat(const aa_model_shape *sh, const float *x, const float *s, size_t B, float *cat)
{
    const size_t K = sh->K, D = aa_parts_inputs(sh);
    for (size_t b = 0; b < B; b++) {
        float *cat_b = cat + b * D;
        for (size_t f = 0; f < sh->F; f++)
            memcpy(cat_b + f * K, x + (b * sh->F + f) * (K + 1), K * sizeof *cat);
        if (sh->S > 0) memcpy(cat_b + sh->F * K, s + b * sh->S, sh->S * sizeof *cat);
    }
}

void
aa_parts_concat_backward(const aa_model_shape *sh, const float *dcat, size_t B, float *dx)
{
    const size_t K = sh->K, D = aa_parts_inputs(sh);
    for (size_t b = 0; b < B; b++)
        for (size_t f = 0; f < sh->F; f++)
            for (size_t k = 0; k < K; k++)
                dx[(b * sh->F + f) * (K + 1) + k] += dcat[b * D + f * K + k];
}

aa_tower
aa_tower_of(const aa_model_shape *sh)
{
    aa_tower tw = {.count = sh->H};
    tw.width[0] = aa_parts_inputs(sh);
    for (size_t l = 0; l < sh->H; l++)
        tw.width[l + 1] = sh->hidden[l];
    return tw;
}

size_t
aa_tower_weight_count(const aa_tower *tw)
{
    size_t n = 0;
    for (size_t l = 0; l < tw->count; l++)
        n += (tw->width[l] + 1) * tw->width[l + 1];
    return n;
}

size_t
aa_tower_act_count(const aa_tower *tw, size_t B)
{
    size_t n = 0;
    for (size_t l = 0; l < tw->count; l++)
        n += B * tw->width[l + 1];
    return n;
}

size_t
aa_tower_tmp_count(const aa_tower *tw, size_t B)
{
    size_t widest = 0;
    for (size_t l = 0; l <= tw->count; l++)
        widest = tw->width[l] > widest ? tw->width[l] : widest;
    return 2 * B * widest;
}

void
aa_tower_init(const aa_tower *tw, float *w, uint64_t seed, uint64_t a)
{
    for (size_t l = 0; l < tw->count; l++) {
        const size_t I = tw->width[l], O = tw->width[l + 1];
        aa_rng_normal(w, I * O, sqrt(2.0 / (double)I), seed, AA_RNG_DENSE, a + l);
        memset(w + I * O, 0, O * sizeof *w);
        w += (I + 1) * O;
    }
}

const float *
aa_tower_forward(const aa_tower *tw, const float *w, const float *x, size_t B, float *acts)
{
    for (size_t l = 0; l < tw->count; l++) {
        const size_t I = tw->width[l], O = tw->width[l + 1];
        aa_dense_forward(x, w, w + I * O, acts, B, I, O, true);
        x = acts;
        w += (I + 1) * O;
        acts += B * O;
    }
    return x;
}

void
aa_tower_transpose(const aa_tower *tw, const float *w, float *wt)
{
    for (size_t l = 0; l < tw->count; l++) {
        const size_t I = tw->width[l], O = tw->width[l + 1];
        aa_dense_transpose(w, wt, I, O);
        w += (I + 1) * O;
        wt += (I + 1) * O;
    }
}

void
aa_tower_backward(const aa_tower *tw, const float *wt, const float *x, size_t B, const float *acts,
                  float *dout, float *dx, float *dw, float *tmp)
{
    if (tw->count == 0) {
        memcpy(dx, dout, B * tw->width[0] * sizeof *dx);
        return;
    }
    wt += aa_tower_weight_count(tw);
    dw += aa_tower_weight_count(tw);
    acts += aa_tower_act_count(tw, B);
    float *spare[2] = {tmp, tmp + aa_tower_tmp_count(tw, B) / 2};
    float *dy = dout;
    for (size_t l = tw->count; l-- > 0;) {
        const size_t I = tw->width[l], O = tw->width[l + 1];
        wt -= (I + 1) * O;
        dw -= (I + 1) * O;
        acts -= B * O;
        float *below = l == 0 ? dx : spare[l % 2];
        aa_dense_relu_backward(acts, dy, B * O);
        aa_dense_backward(l == 0 ? x : acts - B * I, wt, dy, below, dw, dw + I * O, B, I, O);
        dy = below;
    }
}

/* scratch: wt, cat (B,D), acts, dout (B,last), dcat (B,D), tmp */
typedef struct {
    aa_tower tw;
    size_t   D, last; /* widths at both ends */
    size_t   weights; /* of the tower */
    float   *wt, *cat, *acts, *dout, *dcat, *tmp;
} mlp_scratch;

static mlp_scratch
mlp_scratch_of(const aa_model_shape *sh, size_t B, float *scratch)
{
    mlp_scratch ms = {.tw = aa_tower_of(sh), .wt = scratch};
    ms.weights = aa_tower_weight_count(&ms.tw);
    ms.cat = scratch + ms.weights;
    ms.D = ms.tw.width[0];
    ms.last = ms.tw.width[ms.tw.count];
    ms.acts = ms.cat + B * ms.D;
    ms.dout = ms.acts + aa_tower_act_count(&ms.tw, B);
    ms.dcat = ms.dout + B * ms.last;
    ms.tmp = ms.dcat + B * ms.D;
    return ms;
}

size_t
aa_parts_mlp_scratch_count(const aa_model_shape *sh, size_t B)
{
    const aa_tower tw = aa_tower_of(sh);
    return aa_tower_weight_count(&tw) + B * (2 * tw.width[0] + tw.width[tw.count]) +
           aa_tower_act_count(&tw, B) + aa_tower_tmp_count(&tw, B);
}

size_t
aa_parts_mlp_weight_count(const aa_model_shape *sh)
{
    aa_tower tw = aa_tower_of(sh);
    return aa_tower_weight_count(&tw) + tw.width[tw.count] + 1;
}

void
aa_parts_mlp_init(const aa_model_shape *sh, float *w, uint64_t seed)
{
    aa_tower     tw = aa_tower_of(sh);
    const size_t last = tw.width[tw.count];
    float       *head = w + aa_tower_weight_count(&tw);
    aa_tower_init(&tw, w, seed, 0);
    aa_rng_normal(head, last, sqrt(1.0 / (double)last), seed, AA_RNG_DENSE, tw.count);
    head[last] = 0.0f;
}

void
aa_parts_mlp_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s,
                     size_t B, float *logit, float *scratch)
{
    mlp_scratch  ms = mlp_scratch_of(sh, B, scratch);
    const float *head = w + ms.weights;
    aa_parts_concat(sh, x, s, B, ms.cat);
    const float *h = aa_tower_forward(&ms.tw, w, ms.cat, B, ms.acts);
    aa_dense_head_forward(h, head, head[ms.last], logit, B, ms.last);
}

void
aa_parts_mlp_prepare(const aa_model_shape *sh, const float *w, float *scratch)
{
    aa_tower tw = aa_tower_of(sh);
    aa_tower_transpose(&tw, w, scratch);
}

void
aa_parts_mlp_backward(const aa_model_shape *sh, const float *w, size_t B, const float *dlogit,
                      float *scratch, float *dx, float *dw)
{
    mlp_scratch  ms = mlp_scratch_of(sh, B, scratch);
    const size_t tower = ms.weights;
    const float *h = ms.tw.count ? ms.dout - B * ms.last : ms.cat;
    aa_dense_head_backward(h, w + tower, dlogit, ms.dout, dw + tower, dw + tower + ms.last, B,
                           ms.last);
    aa_tower_backward(&ms.tw, ms.wt, ms.cat, B, ms.acts, ms.dout, ms.dcat, dw, ms.tmp);
    aa_parts_concat_backward(sh, ms.dcat, B, dx);
}

size_t
aa_parts_wide_weight_count(const aa_model_shape *sh)
{
    return aa_parts_mlp_weight_count(sh) + sh->S;
}

void
aa_parts_wide_init(const aa_model_shape *sh, float *w, uint64_t seed)
{
    aa_parts_mlp_init(sh, w, seed);
    w += aa_parts_mlp_weight_count(sh);
    for (size_t i = 0; i < sh->S; i++)
        w[i] = 0.0f;
}
