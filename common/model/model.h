/* common/model/model - the recommenders, behind one interface, for the learner (train) and the
 * scorer.
 *
 * A model sees gathered rows: x_bfw (B,F,W), W = K+1: K embedding values, then the linear weight
 * of the ID; and signals s_bs (B,S): numbers about each ID (common/model/signal), field by field,
 * which get no gradient. It knows nothing of slots, tables or optimizers. Dense weights are one flat array.
 * Adding a model: one file model_<name>.c with one `const aa_model_kind`, one line in model.c, its
 * name in settings.h.
 *
 * The same inputs give the same bits on every CPU, and an event the same alone and in any batch
 * (common/model/dense.h): a vector holds outputs, sums run in a fixed order.
 */
#ifndef AA_COMMON_MODEL_MODEL_H
#define AA_COMMON_MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct {
    size_t F, K;                  /* fields, embedding width; W = K+1 */
    size_t S;                     /* signals: AA_SIGNALS of each field, or 0 */
    size_t hidden[AA_MAX_HIDDEN]; /* (H) */
    size_t H;
} aa_model_shape;

typedef struct {
    const char *name;
    /** Number of dense weights. */
    size_t (*weight_count)(const aa_model_shape *sh);
    /** Floats of scratch that forward and backward need for a batch of B. */
    size_t (*scratch_count)(const aa_model_shape *sh, size_t B);
    /** Initial dense weights (hidden layers N(0, 2/inputs), the output N(0, 1/inputs), biases 0),
     * from seed. */
    void (*init)(const aa_model_shape *sh, float *w, uint64_t seed);
    /** logit_b (B) of x (B,F,W) and s (B,S); s is not read where S is 0. Fills scratch for
     * backward. */
    void (*forward)(const aa_model_shape *sh, const float *w, const float *x, const float *s,
                    size_t B, float *logit, float *scratch);
    /** Readies scratch for backward, again after every change of w. */
    void (*prepare)(const aa_model_shape *sh, const float *w, float *scratch);
    /** From dlogit (B) and the scratch of the same forward: dx (B,F,W) written, and the sum over the
     *  batch added to dw. */
    void (*backward)(const aa_model_shape *sh, const float *w, const float *x, const float *s,
                     size_t B, const float *dlogit, float *scratch, float *dx, float *dw);
} aa_model_kind;

const aa_model_kind *aa_model_find(enum aa_model_id id);
void                 aa_model_shape_of(aa_model_shape *sh, const aa_conf *cfg);

/** 1/(1+e^-z), and the two losses with their gradient towards the logit.
 *  logloss: L = -y ln p - (1-y) ln(1-p), dL/dz = p-y (y in [0,1]).
 *  mse:     L = (p-y)^2 with p = sigmoid(z), dL/dz = 2(p-y)p(1-p). */
float aa_sigmoid(float z);
float aa_logloss(float logit, float label);
float aa_mse(float logit, float label);

/** All of it at once: p, L, dL/dz. */
typedef struct {
    float p, loss, gradient;
} aa_loss;
aa_loss aa_logloss_all(float logit, float label);
aa_loss aa_mse_all(float logit, float label);

#endif
