/* learner/rows/rowform - how a row of an ID's own and its optimizer state are stored.
 *
 *   model.row_format      float: W floats. bf16: W upper halves of floats (1 sign, 8 exponent, 7
 *                         mantissa bits), rounded stochastically: up with the probability of what
 *                         is cut off, so that the mean of the rounded values is the value. Rounded
 *                         to the nearest, steps below 1/256 of a weight would be lost.
 *   model.row_optimizer   adagrad: W float accumulators. rowwise: 2, one for the K factors and one
 *                         for the linear weight (the factors of one row grow alike;
 *                         RowWiseAdagrad of PyTorch's torchrec has one per row).
 *
 * Weights come first, then the accumulators, without alignment. Arithmetic is in float: a row is
 * loaded, learns, and is stored. What is stored is exact in float, so that scorers and exports,
 * which get the weights as floats, read what the learner reads.
 */
#ifndef AA_LEARNER_ROWS_ROWFORM_H
#define AA_LEARNER_ROWS_ROWFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/conf.h"
#include "learner/rows/adagrad.h"

typedef struct {
    enum aa_row_format    format;
    enum aa_row_optimizer optimizer;
    size_t                W;         /* weights: K factors and the linear one */
    size_t                acc_count; /* accumulators */
    size_t                w_bytes;   /* of the weights */
    size_t                bytes;     /* of a row: aa_row_bytes */
} rowform;

rowform rowform_of(const aa_conf *cfg);

/** Is a row two arrays of W floats, as rows are in memory by default? */
static inline bool
rowform_plain(const rowform *rf)
{
    return rf->format == AA_ROW_FLOAT && rf->optimizer == AA_ROW_ADAGRAD;
}

/** w (W) = weights of the row. */
void rowform_read(const rowform *rf, const void *row, float *w);
/** x (W) = shared (W) + weights of the row. */
void rowform_read_own(const rowform *rf, const void *row, const float *shared, float *x);
/** The row's weights become w (W); bits choose how they are rounded (rowform_bits). */
void rowform_write(const rowform *rf, void *row, const float *w, uint64_t bits);
/** The same rounded to the nearest, ties to even: for weights from outside. */
void rowform_write_nearest(const rowform *rf, void *row, const float *w);
/** Accumulators of a new row. */
void rowform_fresh(const rowform *rf, void *row, const adagrad *ad);

/**
 * One step of Adagrad down the gradient g (W):
 *   adagrad   acc_i = acc_i' + g_i^2,                    w_i -= rate g_i / sqrt(acc_i)
 *   rowwise   acc_0 = acc_0' + mean of g_i^2, i < K,     w_i -= rate g_i / sqrt(acc_0),   i < K
 *             acc_1 += g_K^2,                            w_K -= rate g_K / sqrt(acc_1)
 * Accumulators of factors decay first: acc' is adagrad_decayed.
 * @param w  (W) the row's weights (rowform_read), overwritten
 */
void rowform_learn(const rowform *rf, void *row, float *w, const float *g, const adagrad *ad,
                   uint64_t bits);

/** The definition in double, without rounding; acc (acc_count). */
void rowform_learn_ref(const rowform *rf, double *w, double *acc, const double *g,
                       const adagrad *ad);
/** The 16 random bits that weight i is rounded with. */
uint32_t rowform_bits_ref(uint64_t bits, size_t i);
/** x rounded to bf16: up in magnitude if what is cut off, as a share of 2^16, and random16 add up
 *  to 2^16 or more. */
float rowform_round_ref(float x, uint32_t random16);

#endif
