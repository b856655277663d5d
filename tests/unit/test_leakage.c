#include "assigner/leakage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"
#include "tests/world.h"

enum { USER, ITEM, THIRD, FIELDS };

/* The keys of a third field, by the event's label and number. */
typedef uint64_t (*third_field)(float label, uint64_t e);

static uint64_t
same_as_label(float label, uint64_t e)
{
    (void)e;
    return label > 0.5f ? 100 : 200;
}

static uint64_t
number_that_only_positives_have(float label, uint64_t e)
{
    return label > 0.5f ? 1000 + e : 200;
}

static uint64_t
any_of_ten(float label, uint64_t e)
{
    (void)label;
    return 1 + aa_rng_bits(3, AA_RNG_TEST, e, 7) % 10;
}

static uint64_t
label_in_nine_of_ten_events(float label, uint64_t e)
{
    return same_as_label(aa_rng_bits(3, AA_RNG_TEST, e, 7) % 10 == 0 ? 1.0f - label : label, e);
}

/* Users and items at random, n events; `rate` of them positive. */
static void
stream(world *wo, third_field third, double rate, uint64_t n)
{
    for (uint64_t e = 1; e <= n; e++) {
        const float label = aa_rng_uniform(5, AA_RNG_TEST, e, 9) < rate ? 1.0f : 0.0f;
        uint64_t    key[FIELDS] = {1 + aa_rng_bits(5, AA_RNG_TEST, e, 1) % 50,
                                   1 + aa_rng_bits(5, AA_RNG_TEST, e, 2) % 80, third(label, e)};
        world_event(wo, key, label);
        if (e % 50 == 0 || e == n) world_step(wo);
    }
}

/* AUC of each field alone at the end of such a stream. */
static void
lean_aucs(enum aa_agent_mode mode, third_field third, double rate, uint64_t n, double auc[FIELDS])
{
    world wo;
    world_conf(&wo, mode);
    wo.cfg.field_count = FIELDS;
    wo.cfg.fields[THIRD] = wo.cfg.fields[ITEM];
    snprintf(wo.cfg.fields[THIRD].name, sizeof wo.cfg.fields[THIRD].name, "third");
    world_open(&wo);
    stream(&wo, third, rate, n);
    for (uint32_t f = 0; f < FIELDS; f++)
        auc[f] = assigner_lean_auc(wo.as, f);
    world_close(&wo);
}

static void
a_field_that_is_the_label_is_found_in_every_mode(void **state)
{
    (void)state;
    double auc[FIELDS];
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        lean_aucs(mode, same_as_label, 0.4, 2500, auc);
        assert_true(auc[THIRD] >= LEAKAGE_AUC);
        assert_true(auc[USER] < 0.7 && auc[ITEM] < 0.7);
    }
}

static void
a_number_that_only_positives_have_is_found(void **state)
{
    (void)state;
    double auc[FIELDS];
    lean_aucs(AA_MODE_DEFAULT, number_that_only_positives_have, 0.3, 2500, auc);
    assert_true(auc[THIRD] >= LEAKAGE_AUC);
    lean_aucs(AA_MODE_DEFAULT, number_that_only_positives_have, 0.01, 15000, auc);
    assert_true(auc[THIRD] >= LEAKAGE_AUC); /* rare ones: leans near 0 */
}

static void
a_field_that_helps_is_not_taken_for_the_label(void **state)
{
    (void)state;
    double auc[FIELDS];
    lean_aucs(AA_MODE_DEFAULT, label_in_nine_of_ten_events, 0.4, 4000, auc);
    assert_true(auc[THIRD] > 0.85 && auc[THIRD] < 0.95);
    lean_aucs(AA_MODE_DEFAULT, any_of_ten, 0.4, 4000, auc);
    assert_true(auc[THIRD] < 0.6);
}

static void
nothing_is_said_before_two_blocks_with_both_classes(void **state)
{
    (void)state;
    double auc[FIELDS];
    lean_aucs(AA_MODE_DEFAULT, same_as_label, 0.4, 2 * LEAKAGE_BLOCK - 1, auc);
    assert_true(isnan(auc[THIRD]));
    lean_aucs(AA_MODE_DEFAULT, same_as_label, 0.0, 5000, auc);
    assert_true(isnan(auc[THIRD]));
    lean_aucs(AA_MODE_DEFAULT, same_as_label, 1.0, 5000, auc);
    assert_true(isnan(auc[THIRD]));
}

static void
one_block_that_two_users_fill_is_no_leak(void **state)
{
    (void)state;
    leakage lk = {0};
    for (size_t block = 0; block < 3; block++)
        for (size_t i = 0; i < LEAKAGE_BLOCK; i++) {
            const bool positive = i % 2 == 0, likes = block == 1 ? positive : i % 3 == 0;
            leakage_add(&lk, likes ? 0.5f : -0.5f, positive ? 1.0f : 0.0f);
        }
    assert_true(leakage_auc(&lk) > 0.4 && leakage_auc(&lk) < 0.6);
    for (size_t i = 0; i < 2 * LEAKAGE_BLOCK; i++)
        leakage_add(&lk, i % 2 == 0 ? 0.5f : -0.5f, i % 2 == 0 ? 1.0f : 0.0f);
    check_close(leakage_auc(&lk), 1.0, 0.0, 0.0, 0);
}

static void
bins_are_in_the_order_of_leans(void **state)
{
    (void)state;
    const float lean[] = {-INFINITY, -2.0f,   -0.9f, -0.5f, -1e-3f, -1e-5f, 0.0f,
                          1e-5f,     0.0015f, 0.1f,  0.7f,  1.0f,   2.0f,   INFINITY};
    for (size_t i = 0; i < sizeof lean / sizeof *lean; i++) {
        assert_true(leakage_bin(lean[i]) < LEAKAGE_BINS);
        if (i > 0) assert_true(leakage_bin(lean[i - 1]) <= leakage_bin(lean[i]));
    }
    assert_true(leakage_bin(-1e-5f) < leakage_bin(0.0f) && leakage_bin(0.0f) < leakage_bin(1e-5f));
    assert_true(leakage_bin(NAN) < LEAKAGE_BINS && leakage_bin(-NAN) < LEAKAGE_BINS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_that_is_the_label_is_found_in_every_mode),
        cmocka_unit_test(a_number_that_only_positives_have_is_found),
        cmocka_unit_test(a_field_that_helps_is_not_taken_for_the_label),
        cmocka_unit_test(nothing_is_said_before_two_blocks_with_both_classes),
        cmocka_unit_test(one_block_that_two_users_fill_is_no_leak),
        cmocka_unit_test(bins_are_in_the_order_of_leans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
