#include "assigner/field/lean.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

/* Two fields, few IDs, a random stream; leans against sums in double over the whole history. */
static void
lean_is_the_shrunk_mean_of_what_mean_and_other_side_leave(void **state)
{
    (void)state;
    enum { IDS = 5, N = 400 };
    const uint64_t seed = 11;
    print_message("seed %llu\n", (unsigned long long)seed);
    id_entry  e[2][IDS] = {0};
    lean_mean lm = {0};
    double    sum[2][IDS] = {0}, label_sum = 0.5;
    size_t    n[2][IDS] = {0};
    for (size_t t = 0; t < N; t++) {
        size_t id[2] = {aa_rng_bits(seed, AA_RNG_TEST, t, 0) % IDS,
                        aa_rng_bits(seed, AA_RNG_TEST, t, 1) % IDS};
        float  label = aa_rng_uniform(seed, AA_RNG_TEST, t, 2) < 0.3 ? 1.0f : 0.0f;
        double want[2], mean = label_sum / (1.0 + (double)t);
        float  got[2];
        for (size_t f = 0; f < 2; f++) {
            want[f] = sum[f][id[f]] / ((double)n[f][id[f]] + 4.0);
            got[f] = e[f][id[f]].lean;
            check_close((double)got[f], want[f], 1e-5, 1e-5, t);
        }
        check_close(lean_mean_get(&lm), mean, 1e-12, 1e-12, t);
        for (size_t f = 0; f < 2; f++) {
            sum[f][id[f]] += (double)label - mean - want[1 - f];
            n[f][id[f]]++;
            lean_update(&e[f][id[f]], label, lean_mean_get(&lm), got[1 - f]);
            e[f][id[f]].seen++;
        }
        label_sum += (double)label;
        lm.sum += (double)label;
        lm.count++;
    }
}

static void
a_reading_interpolates_between_the_bins_around_its_place(void **state)
{
    (void)state;
    uint32_t slot;
    float    mix;
    lean_reading(1, 0.0f, 3, &slot, &mix); /* no lean: the middle bin */
    assert_int_equal(slot, 1);
    check_close((double)mix, 0.0, 0.0, 0.0, 0);
    lean_reading(4, 0.1f, 3, &slot, &mix); /* c = 1 + 0.3 */
    assert_int_equal(slot, 3 * 3 + 1);
    check_close((double)mix, 0.3, 1e-6, 0.0, 0);
    lean_reading(2, -0.25f, 3, &slot, &mix); /* c = 1 - 0.75 */
    assert_int_equal(slot, 3 + 0);
    check_close((double)mix, 0.25, 1e-6, 0.0, 0);
    lean_reading(1, 0.0f, 4, &slot, &mix); /* an even number of bins: half way */
    assert_int_equal(slot, 1);
    check_close((double)mix, 0.5, 1e-6, 0.0, 0);
}

static void
a_reading_never_leaves_its_position(void **state)
{
    (void)state;
    const float lean[] = {-INFINITY,   -9.0f, -0.34f, -0.33333334f, 0.0f,
                          0.33333334f, 0.34f, 9.0f,   INFINITY,     NAN};
    for (uint32_t p = 1; p <= 15; p++)
        for (uint32_t position = 1; position <= 15; position++)
            for (size_t i = 0; i < sizeof lean / sizeof *lean; i++) {
                uint32_t slot;
                float    mix;
                lean_reading(position, lean[i], p, &slot, &mix);
                assert_true(mix >= 0.0f && mix < 1.0f);
                assert_true(slot >= (position - 1) * p && slot < position * p);
                if (slot == position * p - 1) assert_true(mix == 0.0f);
            }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lean_is_the_shrunk_mean_of_what_mean_and_other_side_leave),
        cmocka_unit_test(a_reading_interpolates_between_the_bins_around_its_place),
        cmocka_unit_test(a_reading_never_leaves_its_position),
    };
    return cmocka_run_group_tests_name("assigner/field/lean", tests, NULL, NULL);
}
