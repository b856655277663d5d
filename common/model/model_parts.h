/* common/model/model_parts - what the models are put together from.
 *
 * x (B,F,W) are gathered rows, W = K+1; s (B,S) signals. Parts of the forward pass add to logit (B); parts of the
 * backward pass add to dx, so a model zeroes dx once and calls the parts it has.
 */
#ifndef AA_COMMON_MODEL_MODEL_PARTS_H
#define AA_COMMON_MODEL_MODEL_PARTS_H

#include "common/model/model.h"

/* ---- linear weight of each ID: sum_f x[f,K] ---- */
void aa_parts_linear_forward(const aa_model_shape *sh, const float *x, size_t B, float *logit);
void aa_parts_linear_backward(const aa_model_shape *sh, size_t B, const float *dlogit, float *dx);

/* ---- pairwise interactions: 1/2 sum_k ((sum_f v_fk)^2 - sum_f v_fk^2), Rendle 2010, lemma 3.1 */
/** sum (B,K) written: sum_f v_fk, for the backward pass. */
void aa_parts_pair_forward(const aa_model_shape *sh, const float *x, size_t B, float *logit,
                           float *sum);
void aa_parts_pair_backward(const aa_model_shape *sh, const float *x, size_t B, const float *dlogit,
                            const float *sum, float *dx);

/* ---- signals: sum_i w_i s_i. Weights: w (S), which begin at 0 ---- */
void aa_parts_signals_forward(const aa_model_shape *sh, const float *w, const float *s, size_t B,
                              float *logit);
/** dw (S) is added to. */
void aa_parts_signals_backward(const aa_model_shape *sh, const float *s, size_t B,
                               const float *dlogit, float *dw);

/* ---- embeddings side by side, without the linear weights, then the signals: cat (B, F*K+S) ---- */
static inline size_t
aa_parts_inputs(const aa_model_shape *sh)
{
    return sh->F * sh->K + sh->S;
}
void aa_parts_concat(const aa_model_shape *sh, const float *x, const float *s, size_t B,
                     float *cat);
void aa_parts_concat_backward(const aa_model_shape *sh, const float *dcat, size_t B, float *dx);

/* ---- tower: hidden layers with ReLU, from width[0] to width[count] ----
 * Weights: for each layer W (I,O) row-major, then b (O). Activations:
 * (B,width[1]), (B,width[2])... */
typedef struct {
    size_t count; /* layers, may be 0 */
    size_t width[AA_MAX_HIDDEN + 1];
} aa_tower;

/** The tower over concatenated embeddings and signals. */
aa_tower aa_tower_of(const aa_model_shape *sh);
size_t   aa_tower_weight_count(const aa_tower *tw);
size_t   aa_tower_act_count(const aa_tower *tw, size_t B);
/** Floats of `tmp` in the backward pass. */
size_t aa_tower_tmp_count(const aa_tower *tw, size_t B);
/** W ~ N(0, 2/I) (He 2015), b = 0; drawn at counters a, a+1, ... */
void aa_tower_init(const aa_tower *tw, float *w, uint64_t seed, uint64_t a);
/** acts written; returns the last layer's, or x if there is none. */
const float *aa_tower_forward(const aa_tower *tw, const float *w, const float *x, size_t B,
                              float *acts);
/** wt = the layers' W transposed, each at the place where w has it. */
void aa_tower_transpose(const aa_tower *tw, const float *w, float *wt);
/** dout (B,width[count]) is overwritten if there is a layer; dx (B,width[0]) written, dw added to. */
void aa_tower_backward(const aa_tower *tw, const float *wt, const float *x, size_t B,
                       const float *acts, float *dout, float *dx, float *dw, float *tmp);

/* ---- "mlp head": tower over the concatenation, then one output and a bias ----
 * Weights: the tower's, then the head's w (H), then the bias. Shared by mlp, widedeep and deepfm.
 * The head is linear and begins at N(0, 1/H), half of what a layer before a ReLU begins with. */
size_t aa_parts_mlp_weight_count(const aa_model_shape *sh);
size_t aa_parts_mlp_scratch_count(const aa_model_shape *sh, size_t B);
void   aa_parts_mlp_init(const aa_model_shape *sh, float *w, uint64_t seed);
void aa_parts_mlp_forward(const aa_model_shape *sh, const float *w, const float *x, const float *s,
                          size_t B, float *logit, float *scratch);
void aa_parts_mlp_prepare(const aa_model_shape *sh, const float *w, float *scratch);
/** dx and dw are added to. */
void aa_parts_mlp_backward(const aa_model_shape *sh, const float *w, size_t B, const float *dlogit,
                           float *scratch, float *dx, float *dw);

/* ---- the same, then the signals' weights. Shared by widedeep and deepfm ---- */
size_t aa_parts_wide_weight_count(const aa_model_shape *sh);
void   aa_parts_wide_init(const aa_model_shape *sh, float *w, uint64_t seed);

/* the kinds; the list of them is in model.c */
extern const aa_model_kind aa_model_fm, aa_model_mlp, aa_model_widedeep, aa_model_deepfm,
    aa_model_dcn;

#endif
