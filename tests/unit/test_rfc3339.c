#include "ingest/decode/rfc3339.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void
times_are_milliseconds_since_1970(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t     ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1969-12-31 23:59:59.999Z", -1},
        {"2000-02-29T12:00:00Z", 951825600000},
        {"2026-03-01T12:34:56.25+01:00", 1772364896250},
        {"2026-03-01T12:34:56.2509999-00:30", 1772370296250},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"0000-03-01T00:00:00Z", -62162035200000 + 0},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ms = 1;
        if (!rfc3339_ms(good[i].text, strlen(good[i].text), &ms)) fail_msg("%s", good[i].text);
        if (ms != good[i].ms)
            fail_msg("%s: %lld, not %lld", good[i].text, (long long)ms, (long long)good[i].ms);
    }
}

static void
what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-03-01",
        "2026-03-01T12:34:56",  /* no zone */
        "2026-03-01T12:34Z",    /* no seconds */
        "2026-02-29T00:00:00Z", /* no leap year */
        "1900-02-29T00:00:00Z", /* nor this */
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:61Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00+0100",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00Z ",
        "+026-03-01T12:00:00Z",
        "26-03-01T12:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms;
        if (rfc3339_ms(bad[i], strlen(bad[i]), &ms)) fail_msg("%s was taken", bad[i]);
    }
}

/* The same day by another rule: counting. */
static void
every_day_of_four_centuries_follows_the_last(void **state)
{
    (void)state;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t          want = 0, ms;
    assert_true(rfc3339_ms("1800-01-01T00:00:00Z", 20, &want));
    for (int y = 1800; y < 2200; y++)
        for (int m = 1; m <= 12; m++) {
            const int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            for (int d = 1; d <= days[m - 1] + (m == 2 && leap); d++, want += 86400000) {
                char text[40];
                snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00Z", y, m, d);
                assert_true(rfc3339_ms(text, 20, &ms));
                if (ms != want) fail_msg("%s", text);
            }
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_milliseconds_since_1970),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(every_day_of_four_centuries_follows_the_last),
    };
    return cmocka_run_group_tests_name("ingest/decode/rfc3339", tests, NULL, NULL);
}
