#include "learner/rows/adagrad.h"

#include <math.h>

#include "common/model/kernel.h"

AA_KERNEL void
adagrad_step(float *restrict w, float *restrict acc, const float *restrict g, size_t n, float rate)
{
    for (size_t i = 0; i < n; i++) {
        float a = acc[i] + g[i] * g[i];
        acc[i] = a;
        w[i] -= rate * g[i] / sqrtf(a);
    }
}
