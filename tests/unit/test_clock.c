#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static void
monotonic_time_never_goes_back(void **state)
{
    (void)state;
    int64_t last_us = aa_now_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now_us = aa_now_us();
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    assert_true(aa_now_ms() >= last_us / 1000);
}

static void
time_since_boot_is_never_behind_the_monotonic_one(void **state)
{
    (void)state;
    const int64_t monotonic_ms = aa_now_ms(), boot_ms = aa_boot_ms();
    assert_true(boot_ms >= monotonic_ms);
    assert_true(aa_boot_ms() >= boot_ms);
}

static void
wall_time_is_milliseconds_since_1970(void **state)
{
    (void)state;
    int64_t before_s = (int64_t)time(NULL);
    int64_t wall_ms = aa_wall_ms();
    int64_t after_s = (int64_t)time(NULL);
    /* time() may read a coarse clock that lags by one tick */
    assert_true(wall_ms / 1000 >= before_s - 1 && wall_ms / 1000 <= after_s + 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(time_since_boot_is_never_behind_the_monotonic_one),
        cmocka_unit_test(wall_time_is_milliseconds_since_1970),
    };
    return cmocka_run_group_tests_name("common/base/clock", tests, NULL, NULL);
}
