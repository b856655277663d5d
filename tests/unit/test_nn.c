#include "common/agent/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

enum { B = 7, I = 4, O = 3, H = AA_NN_HIDDEN };

/* the definition, in double, from the same flat weights */
static double
loss_ref(const float *w, const float *x, const float *coef)
{
    const float *b1 = w + I * H, *w2 = b1 + H, *b2 = w2 + O * H;
    double       loss = 0.0;
    for (size_t b = 0; b < B; b++)
        for (size_t o = 0; o < O; o++) {
            double y = (double)b2[o];
            for (size_t j = 0; j < H; j++) {
                double z = (double)b1[j];
                for (size_t i = 0; i < I; i++)
                    z += (double)x[b * I + i] * (double)w[i * H + j];
                y += (double)w2[o * H + j] * tanh(z);
            }
            loss += (double)coef[b * O + o] * y;
        }
    return loss;
}

static void
tanh_is_close_to_the_real_one(void **state)
{
    (void)state;
    for (int i = -2000; i <= 2000; i++) {
        float x = (float)i * 0.01f;
        check_close((double)aa_nn_tanh(x), tanh((double)x), 1e-6, 0.0, i + 2000);
    }
}

static void
forward_and_backward_match_the_definition_and_its_finite_differences(void **state)
{
    (void)state;
    aa_nn nn;
    float x[B * I], coef[B * O], h[B * H], y[B * O];
    assert_int_equal(aa_nn_init(&nn, I, O, 7, AA_RNG_TEST, 0, NULL), AA_OK);
    aa_rng_normal(nn.w, nn.count, 0.5, 7, AA_RNG_TEST, 100);
    aa_rng_normal(x, B * I, 1.0, 7, AA_RNG_TEST, 101);
    aa_rng_normal(coef, B * O, 1.0, 7, AA_RNG_TEST, 102);
    memset(coef + O, 0, O * sizeof *coef); /* a row that is skipped */

    aa_nn_forward(&nn, x, B, h, y);
    double loss = 0.0;
    for (size_t i = 0; i < B * O; i++)
        loss += (double)coef[i] * (double)y[i];
    check_close(loss, loss_ref(nn.w, x, coef), 2e-5, 1e-5, 0);

    float *dw = calloc(nn.count, sizeof *dw);
    assert_non_null(dw);
    aa_nn_backward(&nn, x, h, coef, B, dw);
    for (size_t i = 0; i < nn.count; i++) {
        float keep = nn.w[i], up, down;
        up = nn.w[i] = keep + 1e-3f;
        double l_up = loss_ref(nn.w, x, coef);
        down = nn.w[i] = keep - 1e-3f;
        double l_down = loss_ref(nn.w, x, coef);
        nn.w[i] = keep;
        check_close((double)dw[i], (l_up - l_down) / (double)(up - down), 1e-4, 1e-4, i);
    }
    free(dw);
    aa_nn_fini(&nn);
}

static void
backward_adds_to_the_gradient(void **state)
{
    (void)state;
    aa_nn nn;
    float x[I] = {0.1f, -0.2f, 0.3f, 0.4f}, dy[O] = {1.0f, -1.0f, 0.5f}, h[H], y[O];
    assert_int_equal(aa_nn_init(&nn, I, O, 7, AA_RNG_TEST, 0, NULL), AA_OK);
    float *dw = calloc(2 * nn.count, sizeof *dw), *once = dw + nn.count;
    assert_non_null(dw);
    aa_nn_forward(&nn, x, 1, h, y);
    aa_nn_backward(&nn, x, h, dy, 1, once);
    aa_nn_backward(&nn, x, h, dy, 1, dw);
    aa_nn_backward(&nn, x, h, dy, 1, dw);
    for (size_t i = 0; i < nn.count; i++)
        check_close((double)dw[i], 2.0 * (double)once[i], 1e-9, 1e-6, i);
    free(dw);
    aa_nn_fini(&nn);
}

/* Adam's first step moves each weight by rate * sign(gradient), whatever the gradient's size. */
static void
first_adam_step_has_the_size_of_the_rate(void **state)
{
    (void)state;
    aa_nn nn;
    assert_int_equal(aa_nn_init(&nn, I, O, 7, AA_RNG_TEST, 0, NULL), AA_OK);
    float *dw = malloc(2 * nn.count * sizeof *dw), *was = dw + nn.count;
    assert_non_null(dw);
    memcpy(was, nn.w, nn.count * sizeof *was);
    aa_rng_normal(dw, nn.count, 3.0, 7, AA_RNG_TEST, 9);
    aa_nn_adam(&nn, dw, 0.01);
    for (size_t i = 0; i < nn.count; i++)
        check_close((double)nn.w[i] - (double)was[i], dw[i] > 0.0f ? -0.01 : 0.01, 1e-6, 1e-4, i);
    free(dw);
    aa_nn_fini(&nn);
}

static void
adam_fits_a_small_table(void **state)
{
    (void)state;
    aa_nn nn;
    float x[B * I], want[B * O], h[B * H], y[B * O], dy[B * O], loss = 0.0f;
    assert_int_equal(aa_nn_init(&nn, I, O, 7, AA_RNG_TEST, 0, NULL), AA_OK);
    float *dw = calloc(nn.count, sizeof *dw);
    assert_non_null(dw);
    aa_rng_normal(x, B * I, 1.0, 7, AA_RNG_TEST, 11);
    aa_rng_normal(want, B * O, 0.5, 7, AA_RNG_TEST, 12);
    for (size_t t = 0; t < 3000; t++) {
        aa_nn_forward(&nn, x, B, h, y);
        loss = 0.0f;
        for (size_t i = 0; i < B * O; i++) {
            dy[i] = y[i] - want[i];
            loss += 0.5f * dy[i] * dy[i];
        }
        memset(dw, 0, nn.count * sizeof *dw);
        aa_nn_backward(&nn, x, h, dy, B, dw);
        aa_nn_adam(&nn, dw, 0.01);
    }
    assert_true(loss < 1e-3f);
    free(dw);
    aa_nn_fini(&nn);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tanh_is_close_to_the_real_one),
        cmocka_unit_test(forward_and_backward_match_the_definition_and_its_finite_differences),
        cmocka_unit_test(backward_adds_to_the_gradient),
        cmocka_unit_test(first_adam_step_has_the_size_of_the_rate),
        cmocka_unit_test(adam_fits_a_small_table),
    };
    return cmocka_run_group_tests_name("common/agent/nn", tests, NULL, NULL);
}
