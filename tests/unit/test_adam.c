#include "learner/rows/adam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 31, 33, 127, 4226};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

/* Both walk the same gradients;
 * some weights get none for long stretches, like units that are off. */
static void
check_walk(size_t n, uint64_t steps, float scale, uint64_t events, double rate)
{
    adam    ad;
    aa_err  err = AA_ERR_INIT;
    double *w = calloc(4 * n, sizeof *w), *m = w + n, *v = m + n, *g = v + n;
    float  *grad = malloc(n * sizeof *grad);
    assert_int_equal(adam_init(&ad, n, &err), AA_OK);
    assert_true(w && grad);
    for (uint64_t t = 1; t <= steps; t++) {
        aa_rng_normal(grad, n, 0.3, 1, AA_RNG_TEST, t);
        for (size_t i = 0; i < n; i++) {
            if ((i + t / 50) % 3 == 0) grad[i] = 0.0f;
            g[i] = (double)scale * (double)grad[i];
        }
        adam_step(&ad, grad, scale, events, rate);
        adam_step_ref(w, m, v, g, n, t * events, events, rate);
    }
    /* each step moves a weight by about `rate`; float keeps 6 digits of that */
    const double atol = 1e-5 * rate * (double)steps + 1e-7;
    for (size_t i = 0; i < n; i++)
        check_close((double)ad.w[i], w[i], atol, 1e-5, i);
    adam_fini(&ad);
    free(w);
    free(grad);
}

static void
steps_equal_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE_COUNT; i++)
        check_walk(sizes[i], 300, i % 2 ? 1.0f : 0.25f, 1, 1e-3);
}

static void
steps_of_several_events_equal_the_definition(void **state)
{
    (void)state;
    static const uint64_t events[] = {2, 8, 64, 512};
    for (size_t i = 0; i < 4; i++)
        check_walk(33, 300, 1.0f, events[i], 1e-3);
}

static void
bias_correction_ends_without_a_jump(void **state)
{
    (void)state;
    check_walk(17, 41000, 1.0f, 1, 1e-3);
    check_walk(17, 6000, 0.125f, 8, 1e-3);
}

static void
moments_of_a_silent_weight_become_zero_not_subnormal(void **state)
{
    (void)state;
    adam   ad;
    aa_err err = AA_ERR_INIT;
    float  grad[3] = {1e-3f, -1.0f, 0.0f};
    assert_int_equal(adam_init(&ad, 3, &err), AA_OK);
    adam_step(&ad, grad, 1.0f, 1, 1e-3);
    for (size_t i = 0; i < 3; i++)
        assert_true(grad[i] == 0.0f); /* emptied, for the next gradients to be added */
    for (size_t t = 0; t < 100000; t++) {
        adam_step(&ad, grad, 1.0f, 1, 1e-3);
        for (size_t i = 0; i < 3; i++)
            assert_true(ad.m[i] == 0.0f || fabsf(ad.m[i]) >= 1e-20f);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(ad.m[i] == 0.0f);
        assert_true(ad.v[i] == 0.0f);
        assert_true(isfinite(ad.w[i]));
    }
    adam_fini(&ad);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_equal_the_definition),
        cmocka_unit_test(steps_of_several_events_equal_the_definition),
        cmocka_unit_test(bias_correction_ends_without_a_jump),
        cmocka_unit_test(moments_of_a_silent_weight_become_zero_not_subnormal),
    };
    return cmocka_run_group_tests_name("learner/rows/adam", tests, NULL, NULL);
}
