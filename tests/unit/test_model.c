#include "common/model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

/* A model with numbers in it: weights, rows, and a gradient towards the logits. */
typedef struct {
    const aa_model_kind *kind;
    aa_model_shape       sh;
    size_t               B, P, N; /* events, dense weights, floats of x */
    float               *w, *x, *s, *logit, *scratch, *dlogit, *dx, *dw;
} subject;

static float *
floats(size_t n)
{
    float *v = calloc(n ? n : 1, sizeof *v);
    assert_non_null(v);
    return v;
}

static subject
subject_new(enum aa_model_id id, aa_model_shape sh, size_t B)
{
    subject su = {.kind = aa_model_find(id), .sh = sh, .B = B};
    assert_non_null(su.kind);
    su.P = su.kind->weight_count(&sh);
    su.N = B * sh.F * (sh.K + 1);
    su.w = floats(su.P);
    su.x = floats(su.N);
    su.s = floats(B * sh.S);
    su.logit = floats(B);
    su.dlogit = floats(B);
    su.dx = floats(su.N);
    su.dw = floats(su.P);
    su.scratch = floats(su.kind->scratch_count(&sh, B));
    su.kind->init(&sh, su.w, 7);
    for (size_t i = 0; i < su.P; i++) /* biases too: a test must not see zeros */
        su.w[i] += (float)(0.2 * aa_rng_uniform(1, AA_RNG_TEST, 1, i) - 0.1);
    aa_rng_normal(su.x, su.N, 0.7, 1, AA_RNG_TEST, 2);
    aa_rng_normal(su.s, B * sh.S, 0.5, 1, AA_RNG_TEST, 4);
    aa_rng_normal(su.dlogit, B, 1.0, 1, AA_RNG_TEST, 3);
    return su;
}

static void
subject_free(subject *su)
{
    float *all[] = {su->w, su->x, su->s, su->logit, su->scratch, su->dlogit, su->dx, su->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* sum_b dlogit_b logit_b: its gradient is what backward computes. */
static double
objective(subject *su)
{
    su->kind->forward(&su->sh, su->w, su->x, su->s, su->B, su->logit, su->scratch);
    double sum = 0.0;
    for (size_t b = 0; b < su->B; b++)
        sum += (double)su->dlogit[b] * (double)su->logit[b];
    return sum;
}

/* Central difference along one coordinate, h = 2^-9: exact in float; rounding of the logits (1e-6
 * of about 10, 64 of them) over 2h stays below the tolerance. Across a ReLU's corner the two
 * one-sided slopes differ: then the coordinate is left out, and 0 returned. */
static int
slope(subject *su, float *coordinate, double at, double *out)
{
    const float was = *coordinate, step = 0x1p-9f;
    *coordinate = was + step;
    double up = objective(su);
    *coordinate = was - step;
    double down = objective(su);
    *coordinate = was;
    double h = (double)step, left = (at - down) / h, right = (up - at) / h;
    *out = 0.5 * (left + right);
    return fabs(left - right) <= 1e-2 + 1e-2 * fabs(*out);
}

static void
check_slopes(subject *su, float *coordinates, const float *gradient, size_t n, size_t *checked,
             size_t *skipped)
{
    const double at = objective(su);
    const size_t stride = n > 60 ? n / 60 : 1;
    for (size_t i = 0; i < n; i += stride) {
        double want;
        if (!slope(su, &coordinates[i], at, &want)) {
            ++*skipped;
            continue;
        }
        check_close((double)gradient[i], want, 1e-2, 1e-2, i);
        ++*checked;
    }
}

static void
check_gradient(enum aa_model_id id, aa_model_shape sh, size_t B, size_t *checked, size_t *skipped)
{
    subject su = subject_new(id, sh, B);
    for (size_t i = 0; i < su.P; i++) /* added to */
        su.dw[i] = 2.0f;
    for (size_t i = 0; i < su.N; i++) /* written */
        su.dx[i] = 1e3f;
    su.kind->prepare(&sh, su.w, su.scratch);
    su.kind->forward(&sh, su.w, su.x, su.s, B, su.logit, su.scratch);
    su.kind->backward(&sh, su.w, su.x, su.s, B, su.dlogit, su.scratch, su.dx, su.dw);
    for (size_t i = 0; i < su.P; i++)
        su.dw[i] -= 2.0f;
    check_slopes(&su, su.w, su.dw, su.P, checked, skipped);
    check_slopes(&su, su.x, su.dx, su.N, checked, skipped);
    subject_free(&su);
}

static void
gradients_equal_finite_differences(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 3, 16, 17}, batches[] = {1, 7, 64};
    size_t              checked = 0, skipped = 0;
    for (unsigned id = 0; id < aa_model_id_count; id++)
        for (size_t F = 1; F <= 3; F++)
            for (size_t k = 0; k < 4; k++)
                for (size_t b = 0; b < 3; b++) {
                    aa_model_shape sh = {.F = F, .K = widths[k], .hidden = {17, 5}, .H = 2};
                    sh.S = b == 0 ? 0 : 3 * F; /* with and without signals */
                    if (k == 2) sh.hidden[0] = 64, sh.hidden[1] = 32;
                    check_gradient(id, sh, batches[b], &checked, &skipped);
                }
    assert_true(checked > 5 * skipped);
}

static void
towers_of_no_and_of_three_layers_have_right_gradients(void **state)
{
    (void)state;
    size_t checked = 0, skipped = 0;
    for (unsigned id = 0; id < aa_model_id_count; id++) {
        aa_model_shape none = {.F = 2, .K = 5, .S = 3},
                       three = {.F = 2, .K = 5, .S = 3, .hidden = {9, 8, 3}, .H = 3};
        for (size_t B = 1; B <= 9; B += 8) {
            check_gradient(id, none, B, &checked, &skipped);
            check_gradient(id, three, B, &checked, &skipped);
        }
    }
    assert_true(checked > 5 * skipped);
}

/* Plain loops in double over the layout that model.h and the files of the models document. */
static double
pair_and_linear_ref(const subject *su, size_t b)
{
    const size_t F = su->sh.F, K = su->sh.K, W = K + 1;
    const float *x = su->x + b * F * W;
    double       sum = 0.0;
    for (size_t f = 0; f < F; f++) {
        sum += (double)x[f * W + K];
        for (size_t g = f + 1; g < F; g++)
            for (size_t k = 0; k < K; k++)
                sum += (double)x[f * W + k] * (double)x[g * W + k];
    }
    return sum;
}

static double
mlp_ref(const subject *su, size_t b)
{
    const size_t F = su->sh.F, K = su->sh.K, W = K + 1, S = su->sh.S;
    const float *w = su->w;
    double       a[256], z[256];
    size_t       I = F * K + S;
    for (size_t f = 0; f < F; f++)
        for (size_t k = 0; k < K; k++)
            a[f * K + k] = (double)su->x[(b * F + f) * W + k];
    for (size_t i = 0; i < S; i++)
        a[F * K + i] = (double)su->s[b * S + i];
    for (size_t l = 0; l < su->sh.H; l++) {
        const size_t O = su->sh.hidden[l];
        for (size_t o = 0; o < O; o++) {
            z[o] = (double)w[I * O + o];
            for (size_t i = 0; i < I; i++)
                z[o] += a[i] * (double)w[i * O + o];
        }
        for (size_t o = 0; o < O; o++)
            a[o] = z[o] > 0.0 ? z[o] : 0.0;
        w += (I + 1) * O;
        I = O;
    }
    double sum = (double)w[I];
    for (size_t i = 0; i < I; i++)
        sum += a[i] * (double)w[i];
    w += I + 1; /* the signals' own weights */
    for (size_t i = 0; i < S; i++)
        sum += (double)su->s[b * S + i] * (double)w[i];
    return sum;
}

static void
deepfm_is_pairs_plus_linear_plus_mlp_plus_signals(void **state)
{
    (void)state;
    static const size_t batches[] = {1, 7, 64};
    for (size_t i = 0; i < 3; i++) {
        aa_model_shape sh = {.F = 3, .K = 17, .S = 9, .hidden = {33, 20}, .H = 2};
        subject        su = subject_new(AA_MODEL_DEEPFM, sh, batches[i]);
        su.kind->forward(&sh, su.w, su.x, su.s, su.B, su.logit, su.scratch);
        for (size_t b = 0; b < su.B; b++)
            check_close((double)su.logit[b], pair_and_linear_ref(&su, b) + mlp_ref(&su, b), 1e-5,
                        1e-5, b);
        subject_free(&su);
    }
}

static void
same_input_gives_same_bits(void **state)
{
    (void)state;
    for (unsigned id = 0; id < aa_model_id_count; id++) {
        aa_model_shape sh = {.F = 2, .K = 16, .S = 6, .hidden = {64, 32}, .H = 2};
        subject        a = subject_new(id, sh, 64), b = subject_new(id, sh, 64);
        subject       *both[] = {&a, &b};
        for (size_t i = 0; i < 2; i++) {
            subject *su = both[i];
            su->kind->forward(&sh, su->w, su->x, su->s, 64, su->logit, su->scratch);
            su->kind->prepare(&sh, su->w, su->scratch);
            su->kind->backward(&sh, su->w, su->x, su->s, 64, su->dlogit, su->scratch, su->dx,
                               su->dw);
        }
        assert_memory_equal(a.logit, b.logit, 64 * sizeof *a.logit);
        assert_memory_equal(a.dx, b.dx, a.N * sizeof *a.dx);
        assert_memory_equal(a.dw, b.dw, a.P * sizeof *a.dw);
        subject_free(&a);
        subject_free(&b);
    }
}

static void
every_model_of_the_settings_is_there_under_its_name(void **state)
{
    (void)state;
    for (unsigned id = 0; id < aa_model_id_count; id++)
        assert_string_equal(aa_model_find(id)->name, aa_model_id_text(id));
}

static void
losses_and_their_gradients(void **state)
{
    (void)state;
    const float zs[] = {-30.0f, -3.0f, -0.1f, 0.0f, 0.7f, 4.0f, 30.0f}, ys[] = {0.0f, 0.3f, 1.0f};
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 3; j++) {
            double z = (double)zs[i], y = (double)ys[j], p = 1.0 / (1.0 + exp(-z));
            double q = 1.0 / (1.0 + exp(z)); /* 1-p without cancellation */
            check_close((double)aa_sigmoid(zs[i]), p, 1e-7, 1e-6, i);
            check_close((double)aa_logloss(zs[i], ys[j]), -y * log(p) - (1.0 - y) * log(q), 1e-6,
                        1e-6, i);
            const aa_loss ll = aa_logloss_all(zs[i], ys[j]), mse = aa_mse_all(zs[i], ys[j]);
            assert_true(ll.loss == aa_logloss(zs[i], ys[j]) && mse.loss == aa_mse(zs[i], ys[j]));
            assert_true(ll.p == aa_sigmoid(zs[i]) && mse.p == ll.p);
            check_close((double)ll.gradient, p - y, 1e-6, 1e-6, i);
            check_close((double)aa_mse(zs[i], ys[j]), (p - y) * (p - y), 1e-6, 1e-6, i);
            check_close((double)mse.gradient, 2.0 * (p - y) * p * q, 1e-6, 1e-6, i);
        }
    assert_true(isfinite(aa_logloss(-1e30f, 1.0f)));
    assert_true(isfinite(aa_logloss(1e30f, 0.0f)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(towers_of_no_and_of_three_layers_have_right_gradients),
        cmocka_unit_test(deepfm_is_pairs_plus_linear_plus_mlp_plus_signals),
        cmocka_unit_test(same_input_gives_same_bits),
        cmocka_unit_test(every_model_of_the_settings_is_there_under_its_name),
        cmocka_unit_test(losses_and_their_gradients),
    };
    return cmocka_run_group_tests_name("common/model/model", tests, NULL, NULL);
}
