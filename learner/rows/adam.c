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

typedef struct {
    float b1, b2, c1, c2; /* decays of both moments, and 1 - decay */
    float scale, rate, eps;
} step_of;

AA_KERNEL static void
update(float *restrict w, float *restrict m, float *restrict v, float *restrict grad, size_t n,
       const step_of *so)
{
    const step_of s = *so;
    for (size_t i = 0; i < n; i++) {
        float g = s.scale * grad[i];
        float m_i = s.b1 * m[i] + s.c1 * g;
        float v_i = s.b2 * v[i] + s.c2 * (g * g);
        grad[i] = 0.0f;
        m_i = fabsf(m_i) < LEAST_M ? 0.0f : m_i;
        v_i = v_i < LEAST_V ? 0.0f : v_i;
        m[i] = m_i;
        v[i] = v_i;
        w[i] -= s.rate * m_i / (sqrtf(v_i) + s.eps);
    }
}

void
adam_step(adam *ad, float *grad, float scale, uint64_t events, double rate)
{
    const double b1 = aa_power(ADAM_B1, events), b2 = aa_power(ADAM_B2, events);
    double       c1 = 1.0, c2 = sqrt((double)events);
    ad->events += events;
    if (ad->events < SETTLED) {
        c1 = 1.0 - aa_power(ADAM_B1, ad->events);
        c2 *= sqrt(1.0 - aa_power(ADAM_B2, ad->events));
    }
    const step_of so = {.b1 = (float)b1,
                        .b2 = (float)b2,
                        .c1 = (float)(1.0 - b1),
                        .c2 = (float)(1.0 - b2),
                        .scale = scale,
                        .rate = (float)(rate * c2 / c1),
                        .eps = (float)(ADAM_EPS * c2 / sqrt((double)events))};
    update(ad->w, ad->m, ad->v, grad, ad->count, &so);
}
