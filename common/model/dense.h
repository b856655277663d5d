/* common/model/dense - fully connected layers: the dense maths of all models.
 *
 *   y = x W + b,   W (I,O) row-major: the weights of one input are adjacent; a vector holds outputs
 *
 * Batches below AA_DENSE_SMALL go event by event through matrix-vector loops (the default: one
 * event per optimizer step); larger ones through OpenBLAS (blas.h). The small path has one order of
 * summation on every CPU: over inputs from first to last in the forward pass, in 16 strided partial
 * sums and then a tree in the backward pass. dense_ref.c holds the definitions in double.
 */
#ifndef AA_COMMON_MODEL_DENSE_H
#define AA_COMMON_MODEL_DENSE_H

#include <stdbool.h>
#include <stddef.h>

#define AA_DENSE_SMALL 8

/**
 * y = x W + b, then max(0, y) if relu.
 * @param x (B,I) @param w (I,O) @param b (O) @param y (B,O) written, overlaps nothing
 */
void aa_dense_forward(const float *x, const float *w, const float *b, float *y, size_t B, size_t I,
                      size_t O, bool relu);

/**
 * dw = x' dy,  db = sum_b dy,  dx = dy W'. All written.
 * @param dy (B,O) gradient towards x W + b @param dx (B,I) @param dw (I,O) @param db (O)
 */
void aa_dense_backward(const float *x, const float *w, const float *dy, float *dx, float *dw,
                       float *db, size_t B, size_t I, size_t O);

/** dy = 0 where the unit was off: y (n) is the output of the ReLU. */
void aa_dense_relu_backward(const float *y, float *dy, size_t n);

/** logit_b += bias + h_b . w: a layer of one output. h (B,H), w (H) */
void aa_dense_head_forward(const float *h, const float *w, float bias, float *logit, size_t B,
                           size_t H);
/** dh (B,H), dw (H), dbias written, from dlogit (B). */
void aa_dense_head_backward(const float *h, const float *w, const float *dlogit, float *dh,
                            float *dw, float *dbias, size_t B, size_t H);

/* Definitions, in double. */
void aa_dense_forward_ref(const double *x, const double *w, const double *b, double *y, size_t B,
                          size_t I, size_t O, bool relu);
void aa_dense_backward_ref(const double *x, const double *w, const double *dy, double *dx,
                           double *dw, double *db, size_t B, size_t I, size_t O);

#endif
