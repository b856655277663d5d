#include "common/service/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { S = 1000000 };

static int
passed(aa_rate *ra, int tries, int64_t now_us)
{
    int n = 0;
    for (int i = 0; i < tries; i++)
        n += aa_rate_take(ra, now_us);
    return n;
}

static void
no_limit_lets_everything_pass(void **state)
{
    (void)state;
    aa_rate ra;
    aa_rate_init(&ra, 0, 0);
    assert_int_equal(passed(&ra, 1000, 0), 1000);
}

static void
a_second_s_worth_at_once_and_then_the_rate(void **state)
{
    (void)state;
    aa_rate ra;
    aa_rate_init(&ra, 10, 5 * S);
    assert_int_equal(passed(&ra, 100, 5 * S), 10);
    assert_int_equal(passed(&ra, 100, 5 * S + S / 10), 1);
    assert_int_equal(passed(&ra, 100, 5 * S + S / 2), 4);
    assert_int_equal(passed(&ra, 100, 500 * S), 10); /* silence saves up no more than that */
}

static void
many_small_steps_give_the_same_rate(void **state)
{
    (void)state;
    aa_rate ra;
    int     n = 0;
    aa_rate_init(&ra, 1000, 0);
    for (int64_t us = 0; us < 10 * S; us += 77)
        n += aa_rate_take(&ra, us);
    assert_in_range(n, 10990, 11000); /* 1,000 at once, 1,000 in each of ten seconds */
}

static void
clock_that_steps_back_gives_nothing_away(void **state)
{
    (void)state;
    aa_rate ra;
    aa_rate_init(&ra, 0.5, 100 * S);
    assert_int_equal(passed(&ra, 5, 100 * S), 1);
    assert_int_equal(passed(&ra, 5, 50 * S), 0);
    assert_int_equal(passed(&ra, 5, 101 * S), 0);
    assert_int_equal(passed(&ra, 5, 102 * S), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit_lets_everything_pass),
        cmocka_unit_test(a_second_s_worth_at_once_and_then_the_rate),
        cmocka_unit_test(many_small_steps_give_the_same_rate),
        cmocka_unit_test(clock_that_steps_back_gives_nothing_away),
    };
    return cmocka_run_group_tests_name("common/service/rate", tests, NULL, NULL);
}
