#include "common/base/elementary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/rng.h"
#include "tests/check.h"

/* Every 4099th float: 1 M of them, of all exponents and both signs. */
#define STRIDE 4099u

static float
float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Distance of got from want in units of got's last place. */
static double
ulps(float got, long double want)
{
    const float  at = fabsf(got) < 0x1p-126f ? 0x1p-126f : fabsf(got);
    const double unit = (double)(nextafterf(at, INFINITY) - at);
    return (double)fabsl((long double)got - want) / unit;
}

static double
ulps_of_double(double got, long double want)
{
    const double at = fabs(got) < 0x1p-1022 ? 0x1p-1022 : fabs(got);
    return (double)(fabsl((long double)got - want) / (long double)(nextafter(at, HUGE_VAL) - at));
}

/* Against the function in double, all special values included. */
static void
check_function(const char *name, float (*own)(float), double (*exact)(double))
{
    double worst = 0.0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
        const float  x = float_of((uint32_t)bits), got = own(x);
        const double want = exact((double)x);
        if (isnan(want)) {
            if (!isnan(got)) fail_msg("%s(%a) is %a, not NaN", name, (double)x, (double)got);
        } else if (isinf((float)want) || isinf(got)) {
            if (got != (float)want) fail_msg("%s(%a) is %a", name, (double)x, (double)got);
        } else if (ulps(got, (long double)want) > worst) {
            worst = ulps(got, (long double)want);
            if (worst > 0.51)
                fail_msg("%s(%a) is %a, %.3f ulp off", name, (double)x, (double)got, worst);
        }
    }
}

static void
floats_are_within_half_a_unit_and_a_hundredth(void **state)
{
    (void)state;
    check_function("expf", aa_expf, exp);
    check_function("exp2f", aa_exp2f, exp2);
    check_function("log1pf", aa_log1pf, log1p);
}

static void
softplus_is_exact_down_to_the_smallest_exponential(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000000; i++) {
        const float  x = -100.0f * (float)i / 1e6f;
        const double e = (double)aa_expf(x);
        if (!(ulps(aa_log1p_unit(e), (long double)log1p(e)) <= 0.51)) fail_msg("ln(1 + %a)", e);
    }
    assert_true(aa_log1p_unit(0.0) == 0.0f && isnan(aa_log1p_unit((double)NAN)));
}

static void
special_values_are_those_of_c(void **state)
{
    (void)state;
    assert_true(aa_expf(0.0f) == 1.0f && aa_expf(-INFINITY) == 0.0f);
    assert_true(aa_expf(INFINITY) == INFINITY && isnan(aa_expf(NAN)));
    assert_true(aa_expf(88.8f) == INFINITY && aa_expf(-103.0f) == 0x1p-149f);
    assert_true(aa_exp2f(-149.0f) == 0x1p-149f && aa_exp2f(127.0f) == 0x1p127f);
    assert_true(aa_exp2f(128.0f) == INFINITY && aa_exp2f(-0.0f) == 1.0f);
    assert_true(aa_log(1.0) == 0.0 && aa_log(0.0) == -HUGE_VAL && aa_log(-0.0) == -HUGE_VAL);
    assert_true(aa_log(HUGE_VAL) == HUGE_VAL && isnan(aa_log(-1.0)) && isnan(aa_log((double)NAN)));
    assert_true(aa_log1pf(-1.0f) == -INFINITY && isnan(aa_log1pf(-1.5f)) &&
                aa_log1pf(0.0f) == 0.0f);
    assert_true(aa_log1pf(1e-30f) == 1e-30f && isnan(aa_log1pf(NAN)));
    assert_true(aa_exp(0.0) == 1.0 && aa_exp(1e308) == HUGE_VAL && aa_exp(-1e308) == 0.0);
    assert_true(isnan(aa_exp((double)NAN)) && aa_exp(-745.0) == 0x1p-1074);
}

static void
doubles_are_within_two_units(void **state)
{
    (void)state;
    double worst_exp = 0.0, worst_log = 0.0;
    for (uint64_t i = 0; i < 300000; i++) {
        const double   x = 1400.0 * aa_rng_uniform(1, AA_RNG_TEST, 1, i) - 700.0;
        const uint64_t bits = aa_rng_bits(1, AA_RNG_TEST, 2, i) % UINT64_C(0x7FF0000000000000);
        const double   near_one = 1.0 + 0.2 * (aa_rng_uniform(1, AA_RNG_TEST, 3, i) - 0.5);
        worst_exp = fmax(worst_exp, ulps_of_double(aa_exp(x), expl((long double)x)));
        worst_log = fmax(worst_log, ulps_of_double(aa_log(aa_double_of(bits)),
                                                   logl((long double)aa_double_of(bits))));
        worst_log = fmax(worst_log, ulps_of_double(aa_log(near_one), logl((long double)near_one)));
    }
    assert_true(worst_exp <= 2.0);
    assert_true(worst_log <= 2.0);
}

static void
powers_of_a_decay_are_those_of_the_c_library(void **state)
{
    (void)state;
    const double bases[] = {0.9, 0.999, 1.0, 0.0, -0.5, 1.5};
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++)
        for (uint64_t n = 0; n < 1000; n++)
            check_close(aa_power(bases[b], n), pow(bases[b], (double)n), 0.0, 3e-13, n);
    assert_true(aa_power(0.999, UINT64_C(1) << 60) == 0.0);
}

static void
turns_are_cosine_and_sine(void **state)
{
    (void)state;
    const long double two_pi = 6.283185307179586476925286766559L;
    double            c, s;
    for (int quarter = -8; quarter <= 8; quarter++) { /* exact */
        aa_turn(0.25 * quarter, &c, &s);
        assert_true(c == (double)(quarter % 2 ? 0 : quarter % 4 ? -1 : 1));
        assert_true(s == (double)(quarter % 2 ? ((quarter & 3) == 1 ? 1 : -1) : 0));
    }
    for (uint64_t i = 0; i < 100000; i++) {
        const double v = aa_rng_uniform(1, AA_RNG_TEST, 4, i);
        aa_turn(v, &c, &s);
        assert_true(fabsl((long double)c - cosl(two_pi * (long double)v)) <= 0x1p-52L);
        assert_true(fabsl((long double)s - sinl(two_pi * (long double)v)) <= 0x1p-52L);
    }
}

/* The functions' own bits, as computed by gcc 12 on Debian 12: another compiler, C library or CPU
 * has to have them too. */
static void
bits_are_the_same_everywhere(void **state)
{
    (void)state;
    uint64_t d = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        const double u = aa_rng_uniform(1, AA_RNG_TEST, 5, i), x = 200.0 * u - 100.0;
        double       v[8] = {aa_exp(x), aa_log(u), aa_power(u, i % 100)};
        aa_turn(u, &v[3], &v[4]);
        v[5] = (double)aa_expf((float)x);
        v[6] = (double)aa_exp2f((float)x);
        v[7] = (double)aa_log1pf((float)u);
        d = aa_digest(d, v, sizeof v);
    }
    if (d != UINT64_C(0x0a577d7374ad2ee6)) fail_msg("digest %#llx", (unsigned long long)d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_within_half_a_unit_and_a_hundredth),
        cmocka_unit_test(softplus_is_exact_down_to_the_smallest_exponential),
        cmocka_unit_test(special_values_are_those_of_c),
        cmocka_unit_test(doubles_are_within_two_units),
        cmocka_unit_test(powers_of_a_decay_are_those_of_the_c_library),
        cmocka_unit_test(turns_are_cosine_and_sine),
        cmocka_unit_test(bits_are_the_same_everywhere),
    };
    return cmocka_run_group_tests_name("common/base/elementary", tests, NULL, NULL);
}
