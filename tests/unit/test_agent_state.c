#include "common/agent/agent_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/check.h"

static void
bucket_floors_rise_and_are_their_own_bucket(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        float lo = aa_freq_bucket_floor(b);
        assert_int_equal(aa_freq_bucket(lo), b);
        if (b > 0) {
            assert_true(lo > aa_freq_bucket_floor(b - 1));
            assert_int_equal(aa_freq_bucket(nextafterf(lo, 0.0f)), b - 1);
        }
    }
}

static void
small_counts_have_buckets_of_their_own_and_the_last_is_open(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= 8; n++)
        assert_int_equal(aa_freq_bucket((float)n), n);
    assert_int_equal(aa_freq_bucket(9.0f), 8);
    assert_int_equal(aa_freq_bucket(10.0f), 9);
    assert_int_equal(aa_freq_bucket(1e30f), AA_FREQ_BUCKETS - 1);
    assert_int_equal(aa_freq_bucket(INFINITY), AA_FREQ_BUCKETS - 1);
    assert_int_equal(aa_freq_bucket(-1.0f), 0);
    assert_int_equal(aa_freq_bucket(NAN), 0);
}

static void
only_the_ends_of_the_ladder_forbid_an_action(void **state)
{
    (void)state;
    for (uint32_t k = 1; k <= 15; k++)
        for (uint32_t pos = 1; pos <= k + 1; pos++)
            for (uint32_t a = 0; a < AA_ACTIONS; a++)
                assert_int_equal(!aa_action_is_legal(a, pos, k),
                                 (pos == 1 && a == AA_DESCEND) || (pos == k + 1 && a == AA_ASCEND));
}

static void
states_are_distinct_say_what_they_are_of_and_their_inputs_stay_within_one(void **state)
{
    (void)state;
    for (uint32_t k = 1; k <= 15; k++) {
        uint32_t next = 0;
        for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
            for (uint32_t pos = 1; pos <= k + 1; pos++) {
                uint32_t s = aa_state_idx(b, pos, k);
                assert_int_equal(s, next++);
                assert_int_equal(aa_state_bucket(s, k), b);
                assert_int_equal(aa_state_position(s, k), pos);
                float x[AA_STATE_INPUTS];
                aa_state_input(s, k, x);
                for (size_t i = 0; i < AA_STATE_INPUTS; i++)
                    assert_true(x[i] >= -1.0f && x[i] <= 1.0f);
                check_close((double)x[2], pos > k ? 1.0 : -1.0, 0.0, 0.0, s);
            }
        assert_int_equal(next, aa_state_count(k));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_floors_rise_and_are_their_own_bucket),
        cmocka_unit_test(small_counts_have_buckets_of_their_own_and_the_last_is_open),
        cmocka_unit_test(only_the_ends_of_the_ladder_forbid_an_action),
        cmocka_unit_test(states_are_distinct_say_what_they_are_of_and_their_inputs_stay_within_one),
    };
    return cmocka_run_group_tests_name("common/agent/agent_state", tests, NULL, NULL);
}
