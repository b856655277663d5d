#include "learner/rows/adam.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/elementary.h"
#include "common/model/kernel.h"

#define LEAST_M 1e-20f
#define LEAST_V 1e-30f
#define SETTLED 40000u /* 1 - b2^t is 1 in double from here on */

aa_status
adam_init(adam *ad, size_t count, aa_err *err)
{
    *ad = (adam){.count = count};
    ad->w = calloc(3 * count, sizeof *ad->w);
    if (!ad->w) return aa_fail(err, AA_ENOMEM, "optimizer of %zu weights", count);
    ad->m = ad->w + count;
    ad->v = ad->m + count;
    return AA_OK;
}

void
adam_fini(adam *ad)
{
    if (!ad) return;
    free(ad->w);
    *ad = (adam){0};
}

AA_KERNEL static void
update(float *restrict w, float *restrict m, float *restrict v, float *restrict grad, size_t n,
       float scale, float rate, float eps)
{
    const float b1 = (float)ADAM_B1, b2 = (float)ADAM_B2;
    const float c1 = (float)(1.0 - ADAM_B1), c2 = (float)(1.0 - ADAM_B2);
    for (size_t i = 0; i < n; i++) {
        float g = scale * grad[i];
        grad[i] = 0.0f;
        float m_i = b1 * m[i] + c1 * g;
        float v_i = b2 * v[i] + c2 * (g * g);
        m_i = fabsf(m_i) < LEAST_M ? 0.0f : m_i;
        v_i = v_i < LEAST_V ? 0.0f : v_i;
        m[i] = m_i;
        v[i] = v_i;
        w[i] -= rate * m_i / (sqrtf(v_i) + eps);
    }
}

void
adam_step(adam *ad, float *grad, float scale, double rate)
{
    ad->steps++;
    double c1 = 1.0, c2 = 1.0;
    if (ad->steps < SETTLED) {
        c1 = 1.0 - aa_power(ADAM_B1, ad->steps);
        c2 = sqrt(1.0 - aa_power(ADAM_B2, ad->steps));
    }
    update(ad->w, ad->m, ad->v, grad, ad->count, scale, (float)(rate * c2 / c1),
           (float)(ADAM_EPS * c2));
}
