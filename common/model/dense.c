#include "common/model/dense.h"

#include <string.h>

#include "common/model/kernel.h"
#include "common/model/lanes.h"

#define UNROLL _Pragma("GCC unroll 4")
#define INLINE static inline __attribute__((always_inline))

enum { ROWS = 4, VECTORS = 4 }; /* most that one block holds in registers, not both at once */

/* ---- y = x W + b ---- */

/* Outputs of E events, V vectors wide. Even and odd inputs are two sums, so that one addition need
 * not wait for the last. */
INLINE void
forward_block(const float *restrict x, const float *restrict w, const float *restrict b,
              float *restrict y, size_t I, size_t O, size_t E, size_t V, bool relu)
{
    lanes even[ROWS][VECTORS], odd[ROWS][VECTORS], u;
    UNROLL for (size_t e = 0; e < E; e++) UNROLL for (size_t v = 0; v < V; v++)
    {
        even[e][v] = odd[e][v] = (lanes){0};
        if (b) lanes_load(&even[e][v], b + v * LANES);
    }
    size_t i = 0;
    for (; i + 2 <= I; i += 2)
        UNROLL for (size_t v = 0; v < V; v++)
        {
            lanes_load(&u, w + i * O + v * LANES);
            UNROLL for (size_t e = 0; e < E; e++) even[e][v] += x[e * I + i] * u;
            lanes_load(&u, w + (i + 1) * O + v * LANES);
            UNROLL for (size_t e = 0; e < E; e++) odd[e][v] += x[e * I + i + 1] * u;
        }
    UNROLL for (size_t e = 0; e < E; e++) UNROLL for (size_t v = 0; v < V; v++)
    {
        if (i < I) {
            lanes_load(&u, w + i * O + v * LANES);
            even[e][v] += x[e * I + i] * u;
        }
        even[e][v] += odd[e][v];
        if (relu) lanes_relu(&even[e][v]);
        lanes_store(y + e * O + v * LANES, &even[e][v]);
    }
}

/* The last outputs of E events, fewer than a vector. */
INLINE void
forward_rest(const float *restrict x, const float *restrict w, const float *restrict b,
             float *restrict y, size_t I, size_t O, size_t E, size_t rest, bool relu)
{
    for (size_t e = 0; e < E; e++) {
        float sum[2][LANES] = {{0}};
        for (size_t j = 0; b && j < rest; j++)
            sum[0][j] = b[j];
        for (size_t i = 0; i < I; i++)
            for (size_t j = 0; j < rest; j++)
                sum[i % 2][j] += x[e * I + i] * w[i * O + j];
        for (size_t j = 0; j < rest; j++) {
            const float z = sum[0][j] + sum[1][j];
            y[e * O + j] = relu && !(z > 0.0f) ? 0.0f : z;
        }
    }
}

INLINE void
forward_events(const float *restrict x, const float *restrict w, const float *restrict b,
               float *restrict y, size_t I, size_t O, size_t E, size_t V, bool relu)
{
    size_t o = 0;
    for (; o + V * LANES <= O; o += V * LANES)
        forward_block(x, w + o, b ? b + o : b, y + o, I, O, E, V, relu);
    for (; V > 2 && o + 2 * LANES <= O; o += 2 * LANES)
        forward_block(x, w + o, b ? b + o : b, y + o, I, O, E, 2, relu);
    for (; o + LANES <= O; o += LANES)
        forward_block(x, w + o, b ? b + o : b, y + o, I, O, E, 1, relu);
    if (o < O) forward_rest(x, w + o, b ? b + o : b, y + o, I, O, E, O - o, relu);
}

AA_KERNEL static void
forward_layer(const float *restrict x, const float *restrict w, const float *restrict b,
              float *restrict y, size_t B, size_t I, size_t O, bool relu)
{
    for (; B >= 4; B -= 4, x += 4 * I, y += 4 * O)
        forward_events(x, w, b, y, I, O, 4, 2, relu);
    for (; B >= 2; B -= 2, x += 2 * I, y += 2 * O)
        forward_events(x, w, b, y, I, O, 2, 4, relu);
    if (B > 0) forward_events(x, w, b, y, I, O, 1, 4, relu);
}

void
aa_dense_forward(const float *x, const float *w, const float *b, float *y, size_t B, size_t I,
                 size_t O, bool relu)
{
    forward_layer(x, w, b, y, B, I, O, relu);
}

/* ---- gradients ---- */

/* dw of R inputs, V vectors wide, += x' dy. */
INLINE void
gradient_block(const float *restrict x, const float *restrict dy, float *restrict dw, size_t B,
               size_t I, size_t O, size_t R, size_t V)
{
    lanes s[ROWS][VECTORS], u[VECTORS];
    UNROLL for (size_t r = 0; r < R; r++) UNROLL for (size_t v = 0; v < V; v++)
        lanes_load(&s[r][v], dw + r * O + v * LANES);
    for (size_t n = 0; n < B; n++) {
        UNROLL for (size_t v = 0; v < V; v++) lanes_load(&u[v], dy + n * O + v * LANES);
        UNROLL for (size_t r = 0; r < R; r++) UNROLL for (size_t v = 0; v < V; v++) s[r][v] +=
            x[n * I + r] * u[v];
    }
    UNROLL for (size_t r = 0; r < R; r++) UNROLL for (size_t v = 0; v < V; v++)
        lanes_store(dw + r * O + v * LANES, &s[r][v]);
}

/* dw of R inputs. */
INLINE void
gradient_rows(const float *restrict x, const float *restrict dy, float *restrict dw, size_t B,
              size_t I, size_t O, size_t R)
{
    size_t o = 0;
    for (; o + 2 * LANES <= O; o += 2 * LANES)
        gradient_block(x, dy + o, dw + o, B, I, O, R, 2);
    for (; o + LANES <= O; o += LANES)
        gradient_block(x, dy + o, dw + o, B, I, O, R, 1);
    for (size_t n = 0; o < O && n < B; n++)
        for (size_t r = 0; r < R; r++)
            for (size_t j = o; j < O; j++)
                dw[r * O + j] += x[n * I + r] * dy[n * O + j];
}

AA_KERNEL static void
add_gradients(const float *restrict x, const float *restrict dy, float *restrict dw,
              float *restrict db, size_t B, size_t I, size_t O)
{
    size_t i = 0;
    for (; i + 4 <= I; i += 4)
        gradient_rows(x + i, dy, dw + i * O, B, I, O, 4);
    for (; i < I; i++)
        gradient_rows(x + i, dy, dw + i * O, B, I, O, 1);
    for (size_t n = 0; n < B; n++)
        for (size_t o = 0; o < O; o++)
            db[o] += dy[n * O + o];
}

void
aa_dense_backward(const float *x, const float *wt, const float *dy, float *dx, float *dw, float *db,
                  size_t B, size_t I, size_t O)
{
    add_gradients(x, dy, dw, db, B, I, O);
    forward_layer(dy, wt, NULL, dx, B, O, I, false);
}

typedef float quad __attribute__((vector_size(4 * sizeof(float))));

/* Four rows of four floats, from lines `from` apart to lines `to` apart. */
INLINE void
transpose_square(const float *restrict a, size_t from, float *restrict out, size_t to)
{
    quad r[4];
    UNROLL for (size_t i = 0; i < 4; i++) memcpy(&r[i], a + i * from, sizeof r[i]);
    const quad low = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    const quad high = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    const quad low2 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    const quad high2 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    const quad c[4] = {__builtin_shufflevector(low, low2, 0, 1, 4, 5),
                       __builtin_shufflevector(low, low2, 2, 3, 6, 7),
                       __builtin_shufflevector(high, high2, 0, 1, 4, 5),
                       __builtin_shufflevector(high, high2, 2, 3, 6, 7)};
    UNROLL for (size_t i = 0; i < 4; i++) memcpy(out + i * to, &c[i], sizeof c[i]);
}

void
aa_dense_transpose(const float *restrict w, float *restrict wt, size_t I, size_t O)
{
    const size_t I4 = I - I % 4, O4 = O - O % 4;
    for (size_t o = 0; o < O4; o += 4)
        for (size_t i = 0; i < I4; i += 4)
            transpose_square(w + i * O + o, O, wt + o * I + i, I);
    for (size_t i = 0; i < I; i++)
        for (size_t o = i < I4 ? O4 : 0; o < O; o++)
            wt[o * I + i] = w[i * O + o];
}

AA_KERNEL void
aa_dense_relu_backward(const float *restrict y, float *restrict dy, size_t n)
{
    for (size_t j = 0; j < n; j++)
        dy[j] = y[j] > 0.0f ? dy[j] : 0.0f;
}

/* sum_o a[o]*b[o]: partial sum j over o = j, j+16, ..., then the tree. */
static inline float
dot(const float *a, const float *b, size_t n)
{
    lanes  sum = {0}, u, v;
    size_t o = 0;
    for (; o + LANES <= n; o += LANES) {
        lanes_load(&u, a + o), lanes_load(&v, b + o);
        sum += u * v;
    }
    if (o < n) {
        lanes_load_first(&u, a + o, n - o), lanes_load_first(&v, b + o, n - o);
        sum += u * v;
    }
    return lanes_sum(&sum);
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
    for (size_t n = 0; n < B; n++) {
        const float d = dlogit[n];
        *dbias += d;
        for (size_t j = 0; j < H; j++) {
            dh[n * H + j] = d * w[j];
            dw[j] += d * h[n * H + j];
        }
    }
}
