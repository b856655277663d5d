/* The default mode's actor, against plain double and against the objective that it climbs. */
#include "assigner/policy/row_actor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "assigner/field/gap.h"
#include "common/base/rng.h"
#include "common/messages/batch.h"
#include "tests/check.h"

static aa_conf cfg;

static row_actor
fresh(void)
{
    row_actor ra;
    aa_conf_defaults(&cfg);
    row_actor_init(&ra, &cfg);
    return ra;
}

static double
chance(double x)
{
    return 1 / (1 + pow(x, -4));
}

static void
an_index_is_the_worth_per_event_of_the_stream_and_at_least_the_least(void **state)
{
    (void)state;
    row_actor ra = fresh();
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        const double n = (double)aa_freq_bucket_floor(b), worth = 0.02 * (n + 0.5) / (n + 10);
        check_close((double)row_actor_index(&ra, b, 37.5f), worth / 38.5, 0.0, 1e-6, b);
    }
    ra.theta[3] = log(1e-5);
    row_actor_refresh(&ra);
    check_close((double)row_actor_index(&ra, 3, 9.0f), 0.001 / 10, 0.0, 1e-6, 3);
    check_close((double)ra.exp_theta[3], 1e-5, 0.0, 1e-6, 3);
}

static void
the_chance_is_a_sigmoid_of_four_times_the_logarithm(void **state)
{
    (void)state;
    for (double x = 1e-6; x < 100; x *= 1.3)
        check_close((double)row_actor_chance((float)x), 1 / (1 + exp(-4 * log(x))), 1e-9, 1e-5, 0);
}

static void
a_step_is_what_the_formula_says_in_plain_double(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        row_actor      ra = fresh();
        const uint32_t b = (uint32_t)(aa_rng_bits(1, AA_RNG_TEST, i, 0) % AA_FREQ_BUCKETS);
        const uint32_t action = i % 2 ? AA_ASCEND : AA_UNCHANGED;
        const double   was = ra.theta[b];
        const float    rate = (float)(exp(4 * aa_rng_uniform(1, AA_RNG_TEST, i, 1) - 2) / exp(was));
        const float    then = (float)(0.01 + 0.99 * aa_rng_uniform(1, AA_RNG_TEST, i, 2));
        const float    V = (float)(0.06 * aa_rng_uniform(1, AA_RNG_TEST, i, 3) - 0.01);
        row_actor_learn(&ra, b, action, (row_actor_odds){rate, then}, V);
        const double p = chance((double)rate * exp(was)), pi = i % 2 ? p : 1 - p;
        const double q = fmin(2, (double)rate * fmax((double)V, 0.001) - 1);
        const double A = (i % 2 ? q : 0) - p * q, slope = 4 * ((i % 2 ? 1 : 0) - p);
        const double step = 0.02 * fmin(2, pi / (double)then) * A * slope;
        check_close(ra.theta[b] - was, step, 1e-9, 1e-4, i);
    }
}

/* E_pi of the step on the policy = rate * d/dtheta of the expected advantage E_pi q, by finite
 * differences, where no clip is at work. */
static void
the_expected_step_climbs_the_expected_gain(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        double       sum = 0.0, was = 0.0, up = 0.0;
        const double x = 0.3 + 2.5 * aa_rng_uniform(2, AA_RNG_TEST, i, 0);
        const float  V = (float)(0.005 + 0.02 * aa_rng_uniform(2, AA_RNG_TEST, i, 1));
        for (uint32_t action = AA_UNCHANGED; action <= AA_ASCEND; action++) {
            row_actor ra = fresh();
            ra.theta[5] = was = log(0.01);
            row_actor_refresh(&ra);
            up = chance(x);
            const double         pi = action == AA_ASCEND ? up : 1 - up;
            const row_actor_odds odds = {.rate = (float)(x / 0.01), .chance = (float)pi};
            row_actor_learn(&ra, 5, action, odds, V);
            sum += pi * (ra.theta[5] - was) / 0.02;
        }
        const double r = x / 0.01, q = r * (double)V - 1;
        if (q > 2) continue;
        const double h = 1e-5, right = chance(r * exp(was + h)), left = chance(r * exp(was - h));
        check_close(sum, (right - left) / (2 * h) * q, 1e-5, 1e-3, i);
    }
}

static void
it_comes_to_rest_where_the_worth_is_the_critics_value(void **state)
{
    (void)state;
    const float value[] = {0.004f, 0.03f};
    for (size_t v = 0; v < 2; v++) {
        row_actor ra = fresh();
        cfg.agent.policy_rate = 0.02;
        for (uint64_t i = 0; i < 200000; i++) { /* prices of all kinds around the value */
            const double price =
                (double)value[v] * exp(2 * aa_rng_uniform(3, AA_RNG_TEST, i, v) - 1);
            const float rate = (float)(1 / price), p = row_actor_chance(rate * ra.exp_theta[10]);
            const bool  up = aa_rng_uniform(4, AA_RNG_TEST, i, v) < (double)p;
            row_actor_learn(&ra, 10, up ? AA_ASCEND : AA_UNCHANGED,
                            (row_actor_odds){rate, up ? p : 1 - p}, value[v]);
            if (i % 100 == 0) row_actor_refresh(&ra);
        }
        check_close(exp(ra.theta[10]), (double)value[v], 0.0, 0.35, v);
    }
}

static void
gaps_begin_as_the_fields_and_follow_the_id(void **state)
{
    (void)state;
    id_entry e = {.gap = 50.0f, .seen = 0, .last = 0};
    double   want = 50.0;
    assert_true(gap_mean(0.0, 0) == GAP_UNKNOWN && gap_mean(30.0, 4) == 7.5f);
    assert_true(gap_with(&e, 100) == 50.0f);
    e.last = 100;
    for (e.seen = 1; e.seen < 40; e.seen++) {
        const uint64_t now = e.last + 3 + e.seen % 5;
        want += fmax(1.0 / (e.seen + 1.0), 0.1) * ((double)(now - e.last) - want);
        e.gap = gap_with(&e, now);
        e.last = now;
        check_close((double)e.gap, want, 1e-4, 1e-5, e.seen);
    }
    check_close((double)gap_of_holder(&e, e.last), (double)e.gap, 0.0, 0.0, 0);
    check_close((double)gap_of_holder(&e, e.last + 99), 50.0, 0.0, 1e-6, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_is_the_worth_per_event_of_the_stream_and_at_least_the_least),
        cmocka_unit_test(the_chance_is_a_sigmoid_of_four_times_the_logarithm),
        cmocka_unit_test(a_step_is_what_the_formula_says_in_plain_double),
        cmocka_unit_test(the_expected_step_climbs_the_expected_gain),
        cmocka_unit_test(it_comes_to_rest_where_the_worth_is_the_critics_value),
        cmocka_unit_test(gaps_begin_as_the_fields_and_follow_the_id),
    };
    return cmocka_run_group_tests_name("assigner/policy/row_actor", tests, NULL, NULL);
}
