#include "common/model/dense.h"

#include <string.h>

#include "common/model/blas.h"
#include "common/model/kernel.h"

#define VECTOR ((size_t)16)

/* 16 floats as one value; GCC splits it into what the target has. Passed by address only, so that
 * no calling convention depends on the instruction set. */
typedef float v16 __attribute__((vector_size(VECTOR * sizeof(float))));
typedef float v4 __attribute__((vector_size(4 * sizeof(float))));

static inline void
load(v16 *v, const float *p)
{
    memcpy(v, p, sizeof *v);
}

static inline void
store(float *p, const v16 *v)
{
    memcpy(p, v, sizeof *v);
}

/* Tree: element j with element j+8, then 4, 2, 1. */
static inline float
sum_lanes(const v16 *v)
{
    float t[VECTOR];
    v4    a, b, c, d;
    store(t, v);
    memcpy(&a, t, sizeof a), memcpy(&b, t + 4, sizeof b);
    memcpy(&c, t + 8, sizeof c), memcpy(&d, t + 12, sizeof d);
    a = (a + c) + (b + d);
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* The last n < 16 floats of a row, and zeros. */
static inline void
load_rest(v16 *v, const float *p, size_t n)
{
    float t[VECTOR] = {0};
    for (size_t j = 0; j < n; j++)
        t[j] = p[j];
    load(v, t);
}

/* sum_o a[o]*b[o]: partial sum j over o = j, j+16, ..., then the tree. */
static inline float
dot(const float *a, const float *b, size_t n)
{
    v16    sum = {0}, u, v;
    size_t o = 0;
    for (; o + VECTOR <= n; o += VECTOR) {
        load(&u, a + o), load(&v, b + o);
        sum += u * v;
    }
    if (o < n) {
        load_rest(&u, a + o, n - o), load_rest(&v, b + o, n - o);
        sum += u * v;
    }
    return sum_lanes(&sum);
}

/* y[0..rest) of a row of outputs, rest < 16. */
static inline void
forward_rest(const float *x, const float *w, const float *b, float *y, size_t I, size_t O,
             size_t rest)
{
    float sum[VECTOR];
    for (size_t j = 0; j < rest; j++)
        sum[j] = b[j];
    for (size_t i = 0; i < I; i++)
        for (size_t j = 0; j < rest; j++)
            sum[j] += x[i] * w[i * O + j];
    for (size_t j = 0; j < rest; j++)
        y[j] = sum[j];
}

/* y (O) = x (I) W + b, as many outputs at a time as registers hold. */
AA_KERNEL static void
forward_one(const float *restrict x, const float *restrict w, const float *restrict b,
            float *restrict y, size_t I, size_t O, bool relu)
{
    size_t o = 0;
    for (; o + 4 * VECTOR <= O; o += 4 * VECTOR) {
        v16 s0, s1, s2, s3, u;
        load(&s0, b + o), load(&s1, b + o + 16), load(&s2, b + o + 32), load(&s3, b + o + 48);
        for (size_t i = 0; i < I; i++) {
            const float *w_i = w + i * O + o;
            load(&u, w_i), s0 += x[i] * u;
            load(&u, w_i + 16), s1 += x[i] * u;
            load(&u, w_i + 32), s2 += x[i] * u;
            load(&u, w_i + 48), s3 += x[i] * u;
        }
        store(y + o, &s0), store(y + o + 16, &s1), store(y + o + 32, &s2), store(y + o + 48, &s3);
    }
    for (; o + 2 * VECTOR <= O; o += 2 * VECTOR) {
        v16 s0, s1, u;
        load(&s0, b + o), load(&s1, b + o + 16);
        for (size_t i = 0; i < I; i++) {
            const float *w_i = w + i * O + o;
            load(&u, w_i), s0 += x[i] * u;
            load(&u, w_i + 16), s1 += x[i] * u;
        }
        store(y + o, &s0), store(y + o + 16, &s1);
    }
    for (; o + VECTOR <= O; o += VECTOR) {
        v16 s0, u;
        load(&s0, b + o);
        for (size_t i = 0; i < I; i++)
            load(&u, w + i * O + o), s0 += x[i] * u;
        store(y + o, &s0);
    }
    forward_rest(x, w + o, b + o, y + o, I, O, O - o);
    if (relu)
        for (size_t j = 0; j < O; j++)
            y[j] = y[j] > 0.0f ? y[j] : 0.0f;
}

static void
forward_blas(const float *x, const float *w, const float *b, float *y, size_t B, size_t I, size_t O)
{
    for (size_t n = 0; n < B; n++)
        memcpy(y + n * O, b, O * sizeof *y);
    const blasint rows = (blasint)B, i = (blasint)I, o = (blasint)O;
    aa_blas_get()->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, o, i, 1.0f, x, i, w, o,
                         1.0f, y, o);
}

AA_KERNEL static void
relu_forward(float *y, size_t n)
{
    for (size_t j = 0; j < n; j++)
        y[j] = y[j] > 0.0f ? y[j] : 0.0f;
}

void
aa_dense_forward(const float *x, const float *w, const float *b, float *y, size_t B, size_t I,
                 size_t O, bool relu)
{
    if (B < AA_DENSE_SMALL) {
        for (size_t n = 0; n < B; n++)
            forward_one(x + n * I, w, b, y + n * O, I, O, relu);
        return;
    }
    forward_blas(x, w, b, y, B, I, O);
    if (relu) relu_forward(y, B * O);
}

/* One event: each row of W is read once, for dx, while the same row of dw is written. */
AA_KERNEL static void
backward_one(const float *restrict x, const float *restrict w, const float *restrict dy,
             float *restrict dx, float *restrict dw, size_t I, size_t O)
{
    for (size_t i = 0; i < I; i++, w += O, dw += O) {
        v16    sum = {0}, u, d;
        size_t o = 0;
        for (; o + VECTOR <= O; o += VECTOR) {
            load(&u, w + o), load(&d, dy + o);
            sum += u * d;
            d *= x[i];
            store(dw + o, &d);
        }
        if (o < O) {
            load_rest(&u, w + o, O - o), load_rest(&d, dy + o, O - o);
            sum += u * d;
        }
        for (; o < O; o++)
            dw[o] = x[i] * dy[o];
        dx[i] = sum_lanes(&sum);
    }
}

/* The same, adding to dw: the second and later events of a small batch. */
AA_KERNEL static void
backward_more(const float *restrict x, const float *restrict w, const float *restrict dy,
              float *restrict dx, float *restrict dw, size_t I, size_t O)
{
    for (size_t i = 0; i < I; i++, w += O, dw += O) {
        for (size_t o = 0; o < O; o++)
            dw[o] += x[i] * dy[o];
        dx[i] = dot(w, dy, O);
    }
}

static void
backward_blas(const float *x, const float *w, const float *dy, float *dx, float *dw, size_t B,
              size_t I, size_t O)
{
    const blasint  b = (blasint)B, i = (blasint)I, o = (blasint)O;
    const aa_blas *blas = aa_blas_get();
    blas->sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, i, o, b, 1.0f, x, i, dy, o, 0.0f, dw, o);
    blas->sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, b, i, o, 1.0f, dy, o, w, o, 0.0f, dx, i);
}

AA_KERNEL static void
sum_rows(const float *restrict dy, float *restrict db, size_t B, size_t O)
{
    memcpy(db, dy, O * sizeof *db);
    for (size_t n = 1; n < B; n++)
        for (size_t o = 0; o < O; o++)
            db[o] += dy[n * O + o];
}

void
aa_dense_backward(const float *x, const float *w, const float *dy, float *dx, float *dw, float *db,
                  size_t B, size_t I, size_t O)
{
    sum_rows(dy, db, B, O);
    if (B >= AA_DENSE_SMALL) {
        backward_blas(x, w, dy, dx, dw, B, I, O);
        return;
    }
    backward_one(x, w, dy, dx, dw, I, O);
    for (size_t n = 1; n < B; n++)
        backward_more(x + n * I, w, dy + n * O, dx + n * I, dw, I, O);
}

AA_KERNEL void
aa_dense_relu_backward(const float *restrict y, float *restrict dy, size_t n)
{
    for (size_t j = 0; j < n; j++)
        dy[j] = y[j] > 0.0f ? dy[j] : 0.0f;
}

AA_KERNEL void
aa_dense_head_forward(const float *h, const float *w, float bias, float *logit, size_t B, size_t H)
{
    for (size_t n = 0; n < B; n++)
        logit[n] += bias + dot(h + n * H, w, H);
}

AA_KERNEL void
aa_dense_head_backward(const float *restrict h, const float *restrict w,
                       const float *restrict dlogit, float *restrict dh, float *restrict dw,
                       float *restrict dbias, size_t B, size_t H)
{
    *dbias = 0.0f;
    memset(dw, 0, H * sizeof *dw);
    for (size_t n = 0; n < B; n++) {
        const float d = dlogit[n];
        *dbias += d;
        for (size_t j = 0; j < H; j++) {
            dh[n * H + j] = d * w[j];
            dw[j] += d * h[n * H + j];
        }
    }
}
