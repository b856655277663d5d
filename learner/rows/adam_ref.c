#include <math.h>

#include "learner/rows/adam.h"

void
adam_step_ref(double *w, double *m, double *v, const double *g, size_t count, uint64_t t,
              uint64_t events, double rate)
{
    const double n = (double)events, b1 = pow(ADAM_B1, n), b2 = pow(ADAM_B2, n);
    for (size_t i = 0; i < count; i++) {
        m[i] = b1 * m[i] + (1.0 - b1) * g[i];
        v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
        double m_hat = m[i] / (1.0 - pow(ADAM_B1, (double)t));
        double v_hat = v[i] / (1.0 - pow(ADAM_B2, (double)t));
        w[i] -= rate * sqrt(n) * m_hat / (sqrt(v_hat) + ADAM_EPS);
    }
}
