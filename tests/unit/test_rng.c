#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/check.h"

static void
same_counters_give_the_same_bits(void **state)
{
    (void)state;
    uint64_t x = aa_rng_bits(7, AA_RNG_ROW, 3, 4);
    assert_true(x == aa_rng_bits(7, AA_RNG_ROW, 3, 4));
    assert_true(x != aa_rng_bits(8, AA_RNG_ROW, 3, 4));
    assert_true(x != aa_rng_bits(7, AA_RNG_DENSE, 3, 4));
    assert_true(x != aa_rng_bits(7, AA_RNG_ROW, 4, 4));
    assert_true(x != aa_rng_bits(7, AA_RNG_ROW, 3, 5));
    assert_true(x != aa_rng_bits(7, AA_RNG_ROW, 4, 3));
    for (uint64_t b = 0; b < 100; b++) /* in two parts */
        assert_true(aa_rng_at(aa_rng_start(3, AA_RNG_ROW, 9), b) ==
                    aa_rng_bits(3, AA_RNG_ROW, 9, b));
}

/* Runs are compared across builds by their numbers, so the generator may never change. */
static void
values_are_those_of_the_first_release(void **state)
{
    (void)state;
    assert_true(aa_rng_bits(0, 0, 0, 0) == UINT64_C(0x2130748aaac80268));
    assert_true(aa_rng_bits(1, AA_RNG_ACTION, 2, 3) == UINT64_C(0xa8b355d935c60854));
}

static void
every_argument_flips_half_of_the_bits(void **state)
{
    (void)state;
    double flips[4] = {0};
    size_t n = 2000;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = aa_rng_bits(i, AA_RNG_TEST, i, i);
        uint64_t bit = UINT64_C(1) << (i % 31);
        flips[0] += __builtin_popcountll(x ^ aa_rng_bits(i ^ bit, AA_RNG_TEST, i, i));
        flips[1] += __builtin_popcountll(x ^ aa_rng_bits(i, AA_RNG_TEST ^ (uint32_t)bit, i, i));
        flips[2] += __builtin_popcountll(x ^ aa_rng_bits(i, AA_RNG_TEST, i ^ bit, i));
        flips[3] += __builtin_popcountll(x ^ aa_rng_bits(i, AA_RNG_TEST, i, i ^ bit));
    }
    /* sd of the mean is 4/sqrt(2000) = 0.09 */
    for (size_t k = 0; k < 4; k++)
        check_close(flips[k] / (double)n, 32.0, 0.5, 0, k);
}

static void
uniform_is_in_range_with_the_right_moments(void **state)
{
    (void)state;
    double sum = 0, sum2 = 0;
    size_t n = 100000;
    for (size_t i = 0; i < n; i++) {
        double u = aa_rng_uniform(5, AA_RNG_TEST, i / 100, i % 100);
        assert_true(u >= 0 && u < 1);
        sum += u;
        sum2 += u * u;
    }
    check_close(sum / (double)n, 0.5, 0.005, 0, 0);
    check_close(sum2 / (double)n, 1.0 / 3, 0.005, 0, 1);
}

static void
normals_have_mean_deviation_and_kurtosis_of_a_normal(void **state)
{
    (void)state;
    enum { n = 100000 };
    double m1 = 0, m2 = 0, m4 = 0;
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    aa_rng_normal(x, n, 2.0, 11, AA_RNG_TEST, 1);
    for (size_t i = 0; i < n; i++) {
        double z = (double)x[i] / 2.0;
        m1 += z / n;
        m2 += z * z / n;
        m4 += z * z * z * z / n;
    }
    check_close(m1, 0, 0.02, 0, 0);
    check_close(m2, 1, 0.03, 0, 1);
    check_close(m4, 3, 0.2, 0, 2);
    free(x);
}

static void
normals_do_not_depend_on_how_many_are_drawn(void **state)
{
    (void)state;
    float whole[17], part[17];
    aa_rng_normal(whole, 17, 1.0, 3, AA_RNG_ROW, 9);
    for (uint64_t n = 0; n <= 17; n++) {
        part[n < 17 ? n : 16] = 123.0F;
        aa_rng_normal(part, n, 1.0, 3, AA_RNG_ROW, 9);
        for (size_t i = 0; i < n; i++)
            assert_true(part[i] == whole[i]);
        if (n < 17) assert_true(part[n] == 123.0F); /* not one more was written */
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_counters_give_the_same_bits),
        cmocka_unit_test(values_are_those_of_the_first_release),
        cmocka_unit_test(every_argument_flips_half_of_the_bits),
        cmocka_unit_test(uniform_is_in_range_with_the_right_moments),
        cmocka_unit_test(normals_have_mean_deviation_and_kurtosis_of_a_normal),
        cmocka_unit_test(normals_do_not_depend_on_how_many_are_drawn),
    };
    return cmocka_run_group_tests_name("common/base/rng", tests, NULL, NULL);
}
