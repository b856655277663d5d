#include "common/model/dense.h"

void
aa_dense_forward_ref(const double *x, const double *w, const double *b, double *y, size_t B,
                     size_t I, size_t O, bool relu)
{
    for (size_t n = 0; n < B; n++)
        for (size_t o = 0; o < O; o++) {
            double sum = b[o];
            for (size_t i = 0; i < I; i++)
                sum += x[n * I + i] * w[i * O + o];
            y[n * O + o] = relu && sum < 0.0 ? 0.0 : sum;
        }
}

void
aa_dense_backward_ref(const double *x, const double *w, const double *dy, double *dx, double *dw,
                      double *db, size_t B, size_t I, size_t O)
{
    for (size_t o = 0; o < O; o++) {
        db[o] = 0.0;
        for (size_t n = 0; n < B; n++)
            db[o] += dy[n * O + o];
    }
    for (size_t i = 0; i < I; i++)
        for (size_t o = 0; o < O; o++) {
            double sum = 0.0;
            for (size_t n = 0; n < B; n++)
                sum += x[n * I + i] * dy[n * O + o];
            dw[i * O + o] = sum;
        }
    for (size_t n = 0; n < B; n++)
        for (size_t i = 0; i < I; i++) {
            double sum = 0.0;
            for (size_t o = 0; o < O; o++)
                sum += dy[n * O + o] * w[i * O + o];
            dx[n * I + i] = sum;
        }
}
