/* The averages of an ID's last labels, and the codes that the model's inputs come from. */
#include "assigner/field/fastlean.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

/* Against the definition in double: what rounding adds is within the steps' width. */
static void
averages_follow_what_labels_say_beyond_the_leans(void **state)
{
    (void)state;
    id_entry e = {.seen = 0};
    double   fast = 0.0, recent = 0.0, lean_sum = 0.0;
    for (uint32_t n = 0; n < 2000; n++) {
        const bool   up = aa_rng_uniform(1, AA_RNG_TEST, n, 0) < (n / 200 % 2 ? 0.9 : 0.2);
        const double others = 0.2 * aa_rng_uniform(1, AA_RNG_TEST, n, 1) - 0.1;
        const double d = (up ? 1.0 : 0.0) - 0.5 - others - lean_sum / (n + 4.0);
        fast += 0.3 * (d - fast);
        recent += 0.05 * (d - recent);
        lean_sum += (up ? 1.0 : 0.0) - 0.5 - others;
        fastlean_update(&e, up ? 1.0f : 0.0f, 0.5, (float)others);
        lean_update(&e, up ? 1.0f : 0.0f, 0.5, (float)others);
        e.seen++;
        check_close((double)e.fast / 64.0, fast, 0.5 / 64 / 0.3, 0.0, n);
        check_close((double)e.recent / 64.0, recent, 0.5 / 64 / 0.05, 0.0, n);
    }
}

static void
labels_out_of_any_range_saturate(void **state)
{
    (void)state;
    id_entry e = {.seen = 0};
    for (int i = 0; i < 200; i++)
        fastlean_update(&e, 1e30f, 0.5, 0.0f);
    assert_in_range(e.fast, 120, 127);
    for (int i = 0; i < 200; i++)
        fastlean_update(&e, -1e30f, 0.5, 0.0f);
    assert_true(e.fast < -120 && e.recent < -100);
    assert_true(fastlean_signal(&e) <= AA_SIGNAL_CODE);
}

static void
code_0_is_an_unseen_ids_and_reads_as_zeros(void **state)
{
    (void)state;
    const id_entry e = {.seen = 0};
    float          x[AA_SIGNALS] = {9.0f, 9.0f, 9.0f};
    assert_int_equal(fastlean_signal(&e), 0);
    aa_signal_read(0, x);
    for (size_t i = 0; i < AA_SIGNALS; i++)
        assert_true(x[i] == 0.0f);
}

static void
every_code_reads_as_what_makes_it_again(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= AA_SIGNAL_CODE; code++) {
        float x[AA_SIGNALS];
        aa_signal_read(code, x);
        const bool within = x[0] >= -1.0f && x[1] >= -1.0f && x[2] >= -1.0f;
        if (within) assert_int_equal(aa_signal_code(x[0], x[1], x[2]), code);
        for (size_t i = 0; i < AA_SIGNALS; i++)
            assert_true(x[i] <= 1.0f && x[i] >= -1.1f);
    }
}

static void
codes_are_the_nearest_steps_and_saturate(void **state)
{
    (void)state;
    for (int i = -300; i <= 300; i++) {
        const float v = (float)i / 200.0f, in = v > 1.0f ? 1.0f : v < -1.0f ? -1.0f : v;
        float       x[AA_SIGNALS];
        aa_signal_read(aa_signal_code(v, -v, v), x);
        check_close((double)x[0], (double)in, 0.5 / 31 + 1e-6, 0.0, (size_t)(i + 300));
        check_close((double)x[1], (double)-in, 0.5 / 15 + 1e-6, 0.0, (size_t)(i + 300));
        check_close((double)x[2], (double)in, 0.5 / 15 + 1e-6, 0.0, (size_t)(i + 300));
    }
    assert_int_equal(aa_signal_code(NAN, NAN, NAN), 0);
    assert_int_equal(aa_signal_code(INFINITY, 0.0f, 0.0f), 31);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_follow_what_labels_say_beyond_the_leans),
        cmocka_unit_test(labels_out_of_any_range_saturate),
        cmocka_unit_test(code_0_is_an_unseen_ids_and_reads_as_zeros),
        cmocka_unit_test(every_code_reads_as_what_makes_it_again),
        cmocka_unit_test(codes_are_the_nearest_steps_and_saturate),
    };
    return cmocka_run_group_tests_name("assigner/field/fastlean", tests, NULL, NULL);
}
