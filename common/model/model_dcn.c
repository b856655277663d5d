/* DCN-v2, parallel structure. Wang et al. 2021, eq. 1, full-rank W:
 *
 *   x_0 = embeddings and signals side by side (D),  x_{l+1} = x_0 * (x_l W_l + b_l) + x_l,   l = 0 .. CROSS-1
 *   logit = [x_CROSS, h] . w + bias,    h the tower's last layer
 *
 * Weights: for each cross layer W (D,D) row-major, b (D); the tower's; head w (D), w (H); bias.
 */
#include <math.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/model/dense.h"
#include "common/model/kernel.h"
#include "common/model/model_parts.h"

enum { CROSS = 2 };

/* scratch: wt, as w with W of each layer transposed, x_0 .. x_CROSS (B,D) each, u_l = x_l W_l + b_l (B,D) each, acts, dh (B,H),
 * dcat, dcur, du, dlow (B,D) each, tmp */
typedef struct {
    aa_tower tw;
    size_t   D, last, count;
    float   *wt, *x, *u, *acts, *dh, *dcat, *dcur, *du, *dlow, *tmp;
} plan;

static plan
plan_of(const aa_model_shape *sh, size_t B, float *scratch)
{
    plan pl = {.tw = aa_tower_of(sh)};
    pl.D = pl.tw.width[0];
    pl.last = pl.tw.width[pl.tw.count];
    const size_t BD = B * pl.D;
    const size_t weights = CROSS * (pl.D + 1) * pl.D + aa_tower_weight_count(&pl.tw);
    const size_t sizes[] = {weights,     (CROSS + 1) * BD,
                            CROSS * BD,  aa_tower_act_count(&pl.tw, B),
                            B * pl.last, BD,
                            BD,          BD,
                            BD,          aa_tower_tmp_count(&pl.tw, B)};
    float      **parts[] = {&pl.wt,   &pl.x,    &pl.u,  &pl.acts, &pl.dh,
                            &pl.dcat, &pl.dcur, &pl.du, &pl.dlow, &pl.tmp};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (scratch) *parts[i] = scratch + pl.count;
        pl.count += sizes[i];
    }
    return pl;
}

static size_t
cross_count(const plan *pl)
{
    return CROSS * (pl->D + 1) * pl->D;
}

static size_t
dcn_weight_count(const aa_model_shape *sh)
{
    plan pl = plan_of(sh, 1, NULL);
    return cross_count(&pl) + aa_tower_weight_count(&pl.tw) + pl.D + pl.last + 1;
}

static size_t
dcn_scratch_count(const aa_model_shape *sh, size_t B)
{
    return plan_of(sh, B, NULL).count;
}

static void
dcn_init_weights(const aa_model_shape *sh, float *w, uint64_t seed)
{
    plan pl = plan_of(sh, 1, NULL);
    for (uint64_t l = 0; l < CROSS; l++) { /* Xavier */
        aa_rng_normal(w, pl.D * pl.D, sqrt(1.0 / (double)pl.D), seed, AA_RNG_DENSE, l);
        memset(w + pl.D * pl.D, 0, pl.D * sizeof *w);
        w += (pl.D + 1) * pl.D;
    }
    aa_tower_init(&pl.tw, w, seed, CROSS);
    w += aa_tower_weight_count(&pl.tw);
    const size_t n = pl.D + pl.last;
    aa_rng_normal(w, n, sqrt(1.0 / (double)n), seed, AA_RNG_DENSE, CROSS + pl.tw.count);
    w[n] = 0.0f;
}

/* next = x0 * u + cur */
AA_KERNEL static void
cross_forward(const float *restrict x0, const float *restrict u, const float *restrict cur,
              float *restrict next, size_t n)
{
    for (size_t i = 0; i < n; i++)
        next[i] = x0[i] * u[i] + cur[i];
}

/* from dcur, the gradient towards x_{l+1}: du = x0 * dcur, and dx0 += u * dcur */
AA_KERNEL static void
cross_backward(const float *restrict x0, const float *restrict u, const float *restrict dcur,
               float *restrict du, float *restrict dx0, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        du[i] = x0[i] * dcur[i];
        dx0[i] += u[i] * dcur[i];
    }
}

AA_KERNEL static void
add(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void
dcn_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
            float *logit, float *scratch)
{
    plan         pl = plan_of(sh, B, scratch);
    const size_t D = pl.D, BD = B * D;
    const float *tower = w + cross_count(&pl), *head = tower + aa_tower_weight_count(&pl.tw);
    memset(logit, 0, B * sizeof *logit);
    aa_parts_concat(sh, x, s, B, pl.x);
    for (size_t l = 0; l < CROSS; l++) {
        const float *w_l = w + l * (D + 1) * D;
        float       *cur = pl.x + l * BD, *u = pl.u + l * BD;
        aa_dense_forward(cur, w_l, w_l + D * D, u, B, D, D, false);
        cross_forward(pl.x, u, cur, cur + BD, BD);
    }
    const float *h = aa_tower_forward(&pl.tw, tower, pl.x, B, pl.acts);
    aa_dense_head_forward(pl.x + CROSS * BD, head, 0.0f, logit, B, D);
    aa_dense_head_forward(h, head + D, head[D + pl.last], logit, B, pl.last);
}

static void
dcn_prepare(const aa_model_shape *sh, const float *w, float *scratch)
{
    plan         pl = plan_of(sh, 1, scratch);
    const size_t D = pl.D, cross = cross_count(&pl);
    for (size_t l = 0; l < CROSS; l++)
        aa_dense_transpose(w + l * (D + 1) * D, pl.wt + l * (D + 1) * D, D, D);
    aa_tower_transpose(&pl.tw, w + cross, pl.wt + cross);
}

static void
dcn_backward(const aa_model_shape *sh, const float *w, const float *x, const float *s, size_t B,
             const float *dlogit, float *scratch, float *dx, float *dw)
{
    (void)x;
    (void)s;
    plan         pl = plan_of(sh, B, scratch);
    const size_t D = pl.D, BD = B * D, cross = cross_count(&pl);
    const size_t head = cross + aa_tower_weight_count(&pl.tw);
    const float *h = pl.tw.count ? pl.dh - B * pl.last : pl.x;
    float       *dbias = dw + head + D + pl.last, counted = 0.0f; /* once is enough */
    aa_dense_head_backward(h, w + head + D, dlogit, pl.dh, dw + head + D, dbias, B, pl.last);
    aa_tower_backward(&pl.tw, pl.wt + cross, pl.x, B, pl.acts, pl.dh, pl.dcat, dw + cross, pl.tmp);
    aa_dense_head_backward(pl.x + CROSS * BD, w + head, dlogit, pl.dcur, dw + head, &counted, B, D);
    for (size_t l = CROSS; l-- > 0;) {
        const float *wt_l = pl.wt + l * (D + 1) * D;
        float       *dw_l = dw + l * (D + 1) * D;
        cross_backward(pl.x, pl.u + l * BD, pl.dcur, pl.du, pl.dcat, BD);
        aa_dense_backward(pl.x + l * BD, wt_l, pl.du, pl.dlow, dw_l, dw_l + D * D, B, D, D);
        add(pl.dcur, pl.dlow, BD);
    }
    add(pl.dcat, pl.dcur, BD);
    memset(dx, 0, B * sh->F * (sh->K + 1) * sizeof *dx);
    aa_parts_concat_backward(sh, pl.dcat, B, dx);
}

const aa_model_kind aa_model_dcn = {
    "dcn",       dcn_weight_count, dcn_scratch_count, dcn_init_weights,
    dcn_forward, dcn_prepare,      dcn_backward};
