#include <math.h>

#include "learner/rows/rowform.h"

void
rowform_learn_ref(const rowform *rf, double *w, double *acc, const double *g, const adagrad *ad)
{
    const size_t K = rf->W - 1;
    const double rate = (double)ad->rate, forget = (double)ad->forget;
    double       mean = 0.0;
    for (size_t i = 0; i < K; i++)
        mean += g[i] * g[i] / (double)K;
    for (size_t a = 0; a + 1 < rf->acc_count; a++)
        acc[a] += forget * ((double)ad->start - acc[a]);
    for (size_t i = 0; i < rf->W; i++) {
        const size_t a = rf->optimizer == AA_ROW_ROWWISE ? i == K : i;
        if (rf->optimizer != AA_ROW_ROWWISE || i == K)
            acc[a] += g[i] * g[i];
        else if (i == 0)
            acc[a] += mean;
        w[i] -= rate * g[i] / sqrt(acc[a]);
    }
}

uint32_t
rowform_bits_ref(uint64_t bits, size_t i)
{
    uint64_t x = ((bits & 0xFFFFFFFF) + i * 0x9E3779B9) & 0xFFFFFFFF;
    x = (x ^ x >> 16) * 0x21F0AAAD & 0xFFFFFFFF;
    x ^= bits >> 32;
    x = (x ^ x >> 15) * 0xD35A2D97 & 0xFFFFFFFF;
    return (uint32_t)((x ^ x >> 15) >> 16);
}

/* By the neighbours themselves: what is below |x| in 8 bits of mantissa, and the next above. */
float
rowform_round_ref(float x, uint32_t random16)
{
    int exponent;
    if (x == 0.0f || !isfinite(x)) return x;
    (void)frexp(fabs((double)x), &exponent);
    if (exponent < -125) exponent = -125; /* denormal: no hidden bit */
    const double unit = ldexp(1.0, exponent - 8);
    const double below = floor(fabs((double)x) / unit) * unit;
    const double cut = (fabs((double)x) - below) / unit * 65536.0;
    const double y = cut + (double)random16 >= 65536.0 ? below + unit : below;
    return (float)copysign(y, (double)x);
}
