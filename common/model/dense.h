/* common/model/dense - fully connected layers: the dense maths of all models.
 *
 *   y = x W + b,   W (I,O) row-major: the weights of one input are adjacent; a vector holds outputs
 *
 * Whatever the CPU and the size of the batch, sums have one order. Outputs: the bias and the even
 * inputs from the first to the last, then, added to that, the sum of the odd ones. Gradients of
 * inputs: likewise over outputs. Gradients of weights: from the first event to the last. So an
 * event has the same bits alone and in any batch, and gradients that are gathered over several
 * calls those of one call. dense_ref.c holds the definitions in double.
 */
#ifndef AA_COMMON_MODEL_DENSE_H
#define AA_COMMON_MODEL_DENSE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * y = x W + b, then max(0, y) if relu.
 * @param x (B,I) @param w (I,O) @param b (O) @param y (B,O) written, overlaps nothing
 */
void aa_dense_forward(const float *x, const float *w, const float *b, float *y, size_t B, size_t I,
                      size_t O, bool relu);

/**
 * dw += x' dy,  db += sum_b dy,  dx = dy W'.
 * @param wt (O,I) W transposed, by aa_dense_transpose
 * @param dy (B,O) gradient towards x W + b @param dx (B,I) written
 * @param dw (I,O) and @param db (O) added to
 */
void aa_dense_backward(const float *x, const float *wt, const float *dy, float *dx, float *dw,
                       float *db, size_t B, size_t I, size_t O);

/** wt (O,I) = w (I,O) transposed. */
void aa_dense_transpose(const float *w, float *wt, size_t I, size_t O);

/** dy = 0 where the unit was off: y (n) is the output of the ReLU. */
void aa_dense_relu_backward(const float *y, float *dy, size_t n);

/** logit_b += bias + h_b . w: a layer of one output. h (B,H), w (H) */
void aa_dense_head_forward(const float *h, const float *w, float bias, float *logit, size_t B,
                           size_t H);
/** From dlogit (B): dh (B,H) written, dw (H) and dbias added to. */
void aa_dense_head_backward(const float *h, const float *w, const float *dlogit, float *dh,
                            float *dw, float *dbias, size_t B, size_t H);

/* Definitions, in double. */
void aa_dense_forward_ref(const double *x, const double *w, const double *b, double *y, size_t B,
                          size_t I, size_t O, bool relu);
void aa_dense_backward_ref(const double *x, const double *w, const double *dy, double *dx,
                           double *dw, double *db, size_t B, size_t I, size_t O);

#endif
