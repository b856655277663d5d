#include <math.h>

#include "learner/rows/adam.h"

void
adam_step_ref(double *w, double *m, double *v, const double *g, size_t count, uint64_t t,
              double rate)
{
    for (size_t i = 0; i < count; i++) {
        m[i] = ADAM_B1 * m[i] + (1.0 - ADAM_B1) * g[i];
        v[i] = ADAM_B2 * v[i] + (1.0 - ADAM_B2) * g[i] * g[i];
        double m_hat = m[i] / (1.0 - pow(ADAM_B1, (double)t));
        double v_hat = v[i] / (1.0 - pow(ADAM_B2, (double)t));
        w[i] -= rate * m_hat / (sqrt(v_hat) + ADAM_EPS);
    }
}
