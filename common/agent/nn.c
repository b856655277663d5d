#include "common/agent/nn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/elementary.h"
#include "common/base/rng.h"

enum { H = AA_NN_HIDDEN };

size_t
aa_nn_count(size_t I, size_t O)
{
    return I * H + H + O * H + O;
}

aa_status
aa_nn_init(aa_nn *nn, size_t I, size_t O, uint64_t seed, uint32_t stream, uint64_t a, aa_err *err)
{
    *nn = (aa_nn){.I = I, .O = O, .count = aa_nn_count(I, O)};
    nn->w = calloc(3 * nn->count, sizeof *nn->w);
    if (!nn->w) return aa_fail(err, AA_ENOMEM, "network of %zu weights", nn->count);
    nn->m = nn->w + nn->count;
    nn->v = nn->m + nn->count;
    float *w1 = nn->w, *b1 = w1 + I * H, *w2 = b1 + H;
    aa_rng_normal(w1, I * H, 1.0 / sqrt((double)I), seed, stream, 2 * a);
    aa_rng_normal(w2, O * H, 0.1 / sqrt((double)H), seed, stream, 2 * a + 1);
    return AA_OK;
}

void
aa_nn_fini(aa_nn *nn)
{
    if (!nn) return;
    free(nn->w);
    *nn = (aa_nn){0};
}

/* Rational minimax approximation on [-7.9, 7.9], beyond which float tanh is 1; coefficients as in
 * Eigen's generic_fast_tanh_float. No branches, so that loops over it vectorise. */
static inline float
tanh_of(float x)
{
    float c = x > 7.9f ? 7.9f : x;
    c = c < -7.9f ? -7.9f : c;
    float s = c * c;
    float p = -2.76076847742355e-16f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    float q = 1.19825839466702e-06f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return c * p / q;
}

float
aa_nn_tanh(float x)
{
    return tanh_of(x);
}

void
aa_nn_forward(const aa_nn *nn, const float *x, size_t B, float *h, float *y)
{
    const size_t I = nn->I, O = nn->O;
    const float *w1 = nn->w, *b1 = w1 + I * H, *w2 = b1 + H, *b2 = w2 + O * H;
    for (size_t b = 0; b < B; b++) {
        float z[H];
        memcpy(z, b1, sizeof z);
        for (size_t i = 0; i < I; i++)
            for (size_t j = 0; j < H; j++)
                z[j] += x[b * I + i] * w1[i * H + j];
        float *h_b = h + b * H;
        for (size_t j = 0; j < H; j++)
            h_b[j] = tanh_of(z[j]);
        for (size_t o = 0; o < O; o++) {
            float sum = b2[o];
            for (size_t j = 0; j < H; j++)
                sum += w2[o * H + j] * h_b[j];
            y[b * O + o] = sum;
        }
    }
}

static int
all_zero(const float *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != 0.0f) return 0;
    return 1;
}

void
aa_nn_backward(const aa_nn *nn, const float *x, const float *h, const float *dy, size_t B,
               float *dw)
{
    const size_t I = nn->I, O = nn->O;
    const float *w2 = nn->w + I * H + H;
    float       *dw1 = dw, *db1 = dw1 + I * H, *dw2 = db1 + H, *db2 = dw2 + O * H;
    for (size_t b = 0; b < B; b++) {
        const float *h_b = h + b * H, *dy_b = dy + b * O;
        if (all_zero(dy_b, O)) continue;
        float dz[H] = {0};
        for (size_t o = 0; o < O; o++) {
            db2[o] += dy_b[o];
            for (size_t j = 0; j < H; j++) {
                dw2[o * H + j] += dy_b[o] * h_b[j];
                dz[j] += dy_b[o] * w2[o * H + j];
            }
        }
        for (size_t j = 0; j < H; j++) { /* tanh' = 1 - tanh^2 */
            dz[j] *= 1.0f - h_b[j] * h_b[j];
            db1[j] += dz[j];
        }
        for (size_t i = 0; i < I; i++)
            for (size_t j = 0; j < H; j++)
                dw1[i * H + j] += x[b * I + i] * dz[j];
    }
}

void
aa_nn_adam(aa_nn *nn, const float *dw, double rate)
{
    const float b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
    nn->steps++;
    double c1 = 1.0 - aa_power((double)b1, nn->steps);
    double c2 = 1.0 - aa_power((double)b2, nn->steps);
    float  step = (float)(rate / c1), scale = (float)(1.0 / sqrt(c2));
    for (size_t i = 0; i < nn->count; i++) {
        nn->m[i] = b1 * nn->m[i] + (1.0f - b1) * dw[i];
        nn->v[i] = b2 * nn->v[i] + (1.0f - b2) * dw[i] * dw[i];
        nn->w[i] -= step * nn->m[i] / (sqrtf(nn->v[i]) * scale + eps);
    }
}
