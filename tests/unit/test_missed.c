#include "scorer/missed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { HOUR_MS = 3600000, BEGIN_MS = 1000000 };

/* Has read all of the topics, at BEGIN_MS + 1000. */
static missed
up_to_date(int64_t retention_ms)
{
    missed mi;
    missed_begin(&mi, retention_ms, BEGIN_MS);
    missed_reached(&mi, BEGIN_MS + 1000, 7);
    assert_false(mi.some);
    assert_false(mi.slow);
    return mi;
}

/* A question at a time that is answered, and read up to `took` later. */
static void
asked_and_reached(missed *mi, int64_t at_ms, int64_t took_ms)
{
    missed_asked(mi, at_ms, true, false, 7);
    missed_reached(mi, at_ms + took_ms, 7);
}

static void
reader_that_keeps_up_misses_nothing_however_long_it_runs(void **state)
{
    (void)state;
    missed  mi = up_to_date(HOUR_MS);
    int64_t now_ms = BEGIN_MS + 1000;
    int     questions = 0;
    while (now_ms < BEGIN_MS + (int64_t)100 * HOUR_MS) {
        now_ms += 10000;
        if (!missed_asks(&mi, now_ms)) continue;
        questions++;
        asked_and_reached(&mi, now_ms, 200);
        assert_false(mi.some);
    }
    assert_true(questions > 100);
}

static void
stopped_for_longer_than_tombstones_are_kept_misses_some(void **state)
{
    (void)state;
    missed        mi = up_to_date(HOUR_MS);
    const int64_t back_ms =
        BEGIN_MS + HOUR_MS + 1; /* the last complete reading is as of BEGIN_MS */
    assert_true(missed_asks(&mi, back_ms));
    missed_asked(&mi, back_ms, true, false, 7);
    assert_true(mi.some);
}

static void
stopped_for_as_long_as_they_are_kept_misses_nothing(void **state)
{
    (void)state;
    missed mi = up_to_date(HOUR_MS);
    missed_asked(&mi, BEGIN_MS + HOUR_MS - 100, true, false, 7);
    assert_false(mi.some);
    missed_reached(&mi, BEGIN_MS + HOUR_MS, 7);
    assert_false(mi.some);
}

static void
stop_between_question_and_end_counts_too(void **state)
{
    (void)state;
    missed mi = up_to_date(HOUR_MS);
    missed_asked(&mi, BEGIN_MS + 60000, true, false, 7);
    assert_false(mi.some);
    missed_reached(&mi, BEGIN_MS + HOUR_MS + 1, 7);
    assert_true(mi.some);
}

/* No offset was given out meanwhile, so there was no tombstone either. */
static void
nothing_is_missed_where_nothing_was_written(void **state)
{
    (void)state;
    missed mi = up_to_date(HOUR_MS);
    missed_asked(&mi, BEGIN_MS + (int64_t)10 * HOUR_MS, true, true, 7);
    assert_false(mi.some);
    asked_and_reached(&mi, BEGIN_MS + (int64_t)10 * HOUR_MS + 60000, 10);
    assert_false(mi.some);
}

/* Continued after a stop, it may read everything before it comes to ask. */
static void
what_was_read_before_the_question_came_late_all_the_same(void **state)
{
    (void)state;
    missed mi = up_to_date(HOUR_MS);
    missed_asked(&mi, BEGIN_MS + (int64_t)10 * HOUR_MS, true, true, 8);
    assert_true(mi.some);
}

static void
broker_that_does_not_answer_is_asked_again_and_the_gap_goes_on(void **state)
{
    (void)state;
    missed  mi = up_to_date(HOUR_MS);
    int64_t now_ms = BEGIN_MS + 1000;
    for (; now_ms < BEGIN_MS + (int64_t)2 * HOUR_MS; now_ms += 1000) {
        if (missed_asks(&mi, now_ms)) missed_asked(&mi, now_ms, false, false, 7);
        assert_false(mi.some);
    }
    missed_asked(&mi, now_ms, true, false, 7);
    assert_true(mi.some);
}

/* Reading all of it once more would take as long again. */
static void
first_reading_that_takes_too_long_is_slow_and_not_begun_again(void **state)
{
    (void)state;
    missed mi;
    missed_begin(&mi, HOUR_MS, BEGIN_MS);
    assert_false(missed_asks(&mi, BEGIN_MS + HOUR_MS)); /* would only move the ends */
    missed_reached(&mi, BEGIN_MS + (int64_t)2 * HOUR_MS, 7);
    assert_true(mi.slow);
    assert_false(mi.some);
}

/* Stopped within the first reading, or without a broker: reading anew does help. */
static void
first_reading_that_halted_is_begun_again(void **state)
{
    (void)state;
    missed mi;
    missed_begin(&mi, HOUR_MS, BEGIN_MS);
    missed_came(&mi, BEGIN_MS + 1000);
    missed_came(&mi, BEGIN_MS + (int64_t)2 * HOUR_MS);
    missed_reached(&mi, BEGIN_MS + (int64_t)2 * HOUR_MS + 1000, 7);
    assert_true(mi.some);
    assert_false(mi.slow);
}

static void
first_reading_that_takes_long_without_a_halt_is_slow(void **state)
{
    (void)state;
    missed mi;
    missed_begin(&mi, HOUR_MS, BEGIN_MS);
    for (int64_t ms = 0; ms <= (int64_t)2 * HOUR_MS; ms += HOUR_MS / 2)
        missed_came(&mi, BEGIN_MS + ms);
    missed_reached(&mi, BEGIN_MS + (int64_t)2 * HOUR_MS, 7);
    assert_true(mi.slow);
    assert_false(mi.some);
}

/* Else the ends would move on before they are reached, for ever. */
static void
reader_behind_by_more_than_a_question_reaches_an_end_all_the_same(void **state)
{
    (void)state;
    enum { BEHIND_MS = 100000 };
    missed  mi = up_to_date(HOUR_MS);
    int64_t now_ms = BEGIN_MS + 1000;
    for (; now_ms < BEGIN_MS + (int64_t)30 * HOUR_MS; now_ms += 1000) {
        if (missed_asks(&mi, now_ms)) missed_asked(&mi, now_ms, true, false, 7);
        if (mi.asked_ms >= 0 && now_ms - mi.asked_ms >= BEHIND_MS) missed_reached(&mi, now_ms, 7);
        assert_false(mi.some);
    }
}

static void
retention_of_nothing_counts_as_the_least(void **state)
{
    (void)state;
    missed mi = up_to_date(0);
    assert_int_equal(mi.retention_ms, MISSED_LEAST_MS);
    asked_and_reached(&mi, BEGIN_MS + 1200, 700);
    assert_false(mi.some);
    asked_and_reached(&mi, BEGIN_MS + 1200 + MISSED_LEAST_MS + 1, 0);
    assert_true(mi.some);
}

/* The topics' own is known only after a while. */
static void
retention_that_is_told_later_brings_the_next_question_forward(void **state)
{
    (void)state;
    missed mi = up_to_date((int64_t)24 * HOUR_MS);
    assert_false(missed_asks(&mi, BEGIN_MS + 5000));
    missed_set_retention(&mi, 8000);
    assert_true(missed_asks(&mi, BEGIN_MS + 5000));
    missed_asked(&mi, BEGIN_MS + 9000, true, false, 7);
    assert_true(mi.some);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_that_keeps_up_misses_nothing_however_long_it_runs),
        cmocka_unit_test(stopped_for_longer_than_tombstones_are_kept_misses_some),
        cmocka_unit_test(stopped_for_as_long_as_they_are_kept_misses_nothing),
        cmocka_unit_test(stop_between_question_and_end_counts_too),
        cmocka_unit_test(nothing_is_missed_where_nothing_was_written),
        cmocka_unit_test(what_was_read_before_the_question_came_late_all_the_same),
        cmocka_unit_test(broker_that_does_not_answer_is_asked_again_and_the_gap_goes_on),
        cmocka_unit_test(first_reading_that_takes_too_long_is_slow_and_not_begun_again),
        cmocka_unit_test(first_reading_that_halted_is_begun_again),
        cmocka_unit_test(first_reading_that_takes_long_without_a_halt_is_slow),
        cmocka_unit_test(reader_behind_by_more_than_a_question_reaches_an_end_all_the_same),
        cmocka_unit_test(retention_that_is_told_later_brings_the_next_question_forward),
        cmocka_unit_test(retention_of_nothing_counts_as_the_least),
    };
    return cmocka_run_group_tests_name("scorer/missed", tests, NULL, NULL);
}
