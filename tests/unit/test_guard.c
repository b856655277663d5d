#include "learner/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

enum { WINDOW = 8000, PART = WINDOW / 8 };

static aa_conf cfg;
static guard  *gd;
static size_t  drawn; /* events so far: no two are alike */

static int
setup(void **state)
{
    (void)state;
    aa_conf_defaults(&cfg);
    cfg.publish.hold_window_events = WINDOW;
    cfg.publish.hold_resume_events = WINDOW;
    cfg.publish.hold_logloss_max = 0.69;
    gd = guard_new(&cfg, false);
    drawn = 0;
    return gd ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    guard_free(&gd);
    return 0;
}

/* Predictions of .2 and .6 at random; labels that are so often positive, times `share`. flip: the
 * other label */
static void
stream(size_t n, double share, bool flip)
{
    for (size_t i = 0; i < n; i++, drawn++) {
        const float p = aa_rng_uniform(1, AA_RNG_TEST, 1, drawn) < 0.5 ? 0.2f : 0.6f;
        const bool  positive = aa_rng_uniform(1, AA_RNG_TEST, 2, drawn) < share * (double)p;
        const float y = positive != flip ? 1.0f : 0.0f;
        guard_add(gd, &p, &y, 1);
    }
}

static void
a_good_model_is_not_held(void **state)
{
    (void)state;
    stream(10 * WINDOW, 1.0, false);
    assert_false(guard_holds(gd));
    assert_int_equal(guard_last(gd)->events, 10 * WINDOW);
    check_close(guard_last(gd)->calibration, 1.0, 0.06, 0.0, 0);
    /* positives .2 and .6 of two halves: .75 above, .25 below; negatives 2/3 below, 1/3 above */
    check_close(guard_last(gd)->auc, 0.5 + 0.5 * (0.75 * 2 / 3 - 0.25 / 3), 0.02, 0.0, 0);
    check_close(guard_last(gd)->logloss, 0.5 * (0.5004 + 0.6730), 0.02, 0.0, 0);
    check_close(guard_last(gd)->bad_gradients, 0.0, 1e-12, 0.0, 0);
}

static void
nothing_is_judged_before_the_window_is_full(void **state)
{
    (void)state;
    stream(WINDOW - 1, 1.0, true);
    assert_false(guard_holds(gd));
    stream(1, 1.0, true);
    assert_true(guard_holds(gd));
}

static void
flipped_labels_are_held_after_an_eighth_of_the_window(void **state)
{
    (void)state;
    stream(2 * WINDOW, 1.0, false);
    stream(PART, 1.0, true);
    assert_true(guard_holds(gd));
    assert_true(guard_last(gd)->verdict != GUARD_GOOD);
    assert_true(guard_last(gd)->value != guard_last(gd)->limit);
    stream(WINDOW, 1.0, false); /* good by now, but only just */
    assert_int_equal(guard_last(gd)->verdict, GUARD_GOOD);
    assert_true(guard_holds(gd));
    stream(WINDOW, 1.0, false);
    assert_false(guard_holds(gd));
}

/* Until the window is good, one part at a time. */
static void
stream_until_good(void)
{
    size_t parts = 0;
    do {
        stream(PART, 1.0, false);
        assert_true(++parts <= 8);
    } while (guard_last(gd)->verdict != GUARD_GOOD);
}

static void
one_bad_judgement_begins_the_wait_again(void **state)
{
    (void)state;
    stream(WINDOW, 1.0, true);
    stream_until_good();
    stream(6 * PART, 1.0, false);
    assert_true(guard_holds(gd));
    stream(6 * PART, 1.0, true);
    assert_true(guard_last(gd)->verdict != GUARD_GOOD);
    stream_until_good();
    stream(6 * PART, 1.0, false);
    assert_true(guard_holds(gd));
    stream(PART, 1.0, false);
    assert_false(guard_holds(gd));
}

/* The model has learned the flipped labels: good for a while, bad once more when they end. */
static void
trouble_that_looks_good_for_less_than_the_wait_is_held_to_its_end(void **state)
{
    (void)state;
    cfg.publish.hold_resume_events = 4 * WINDOW;
    guard_free(&gd);
    gd = guard_new(&cfg, false);
    stream(WINDOW, 1.0, true);
    stream(3 * WINDOW, 1.0, false);
    assert_true(guard_holds(gd));
    stream(6 * PART, 1.0, true);
    stream(4 * WINDOW, 1.0, false);
    assert_true(guard_holds(gd));
    stream(WINDOW, 1.0, false);
    assert_false(guard_holds(gd));
}

static void
without_a_wait_only_an_operator_resumes(void **state)
{
    (void)state;
    cfg.publish.hold_resume_events = 0;
    guard_free(&gd);
    gd = guard_new(&cfg, false);
    stream(WINDOW, 1.0, true);
    stream(20 * WINDOW, 1.0, false);
    assert_true(guard_holds(gd));
}

static void
each_measure_is_named(void **state)
{
    (void)state;
    cfg.publish.hold_logloss_max = 0.0;
    guard_free(&gd);
    gd = guard_new(&cfg, false);
    stream(WINDOW, 0.4, false); /* predictions 2.5 times too high, in the right order */
    assert_int_equal(guard_last(gd)->verdict, GUARD_CALIBRATION);
    check_close(guard_last(gd)->value, 2.5, 0.5, 0.0, 0);
    check_close(guard_last(gd)->limit, 2.0, 0.0, 0.0, 0);
    assert_string_equal(guard_text(guard_last(gd)->verdict), "calibration");

    const float sure[2] = {0.999f, 0.001f}, wrong[2] = {0.0f, 1.0f};
    for (size_t i = 0; i < WINDOW / 2; i++)
        guard_add(gd, sure, wrong, 2);
    assert_int_equal(guard_last(gd)->verdict, GUARD_GRADIENTS);
    check_close(guard_last(gd)->value, 1.0, 1e-12, 0.0, 0);

    cfg.publish.hold_logloss_max = 0.5;
    guard_free(&gd);
    gd = guard_new(&cfg, false);
    stream(WINDOW, 1.0, false);
    assert_int_equal(guard_last(gd)->verdict, GUARD_LOGLOSS);

    cfg.publish.hold_logloss_max = 0.0;
    guard_free(&gd);
    gd = guard_new(&cfg, false);
    const float level[2] = {0.4f, 0.6f}, order[2] = {1.0f, 0.0f};
    for (size_t i = 0; i < WINDOW / 2; i++)
        guard_add(gd, level, order, 2);
    assert_int_equal(guard_last(gd)->verdict, GUARD_AUC);
    check_close(guard_last(gd)->value, 0.0, 1e-12, 0.0, 0);
}

static void
what_is_not_finite_is_a_bad_gradient_and_spoils_no_mean(void **state)
{
    (void)state;
    const float p[2] = {NAN, 0.5f}, y[2] = {1.0f, 1.0f};
    for (size_t i = 0; i < WINDOW / 2; i++)
        guard_add(gd, p, y, 2);
    assert_int_equal(guard_last(gd)->verdict, GUARD_GRADIENTS);
    check_close(guard_last(gd)->bad_gradients, 0.5, 1e-12, 0.0, 0);
    check_close(guard_last(gd)->calibration, 0.5, 1e-12, 0.0, 0);
}

static void
measures_that_are_off_or_cannot_tell_hold_nothing(void **state)
{
    (void)state;
    const float p = 0.001f, y = 0.0f; /* no positive: neither calibration nor AUC */
    for (size_t i = 0; i < 2 * WINDOW; i++)
        guard_add(gd, &p, &y, 1);
    assert_true(isnan(guard_last(gd)->auc));
    assert_true(isnan(guard_last(gd)->calibration));
    assert_false(guard_holds(gd));

    cfg.publish.hold_logloss_max = cfg.publish.hold_auc_min = 0.0;
    cfg.publish.hold_calibration_min = cfg.publish.hold_calibration_max = 0.0;
    cfg.publish.hold_bad_gradients_max = 0.0;
    guard_free(&gd);
    gd = guard_new(&cfg, false);
    stream(3 * WINDOW, 1.0, true);
    assert_false(guard_holds(gd));
}

static void
a_hold_from_before_a_restart_ends_after_a_good_window(void **state)
{
    (void)state;
    guard_free(&gd);
    gd = guard_new(&cfg, true);
    stream(WINDOW + 6 * PART, 1.0, false);
    assert_true(guard_holds(gd));
    stream(PART, 1.0, false);
    assert_false(guard_holds(gd));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_good_model_is_not_held),
        T(nothing_is_judged_before_the_window_is_full),
        T(flipped_labels_are_held_after_an_eighth_of_the_window),
        T(one_bad_judgement_begins_the_wait_again),
        T(trouble_that_looks_good_for_less_than_the_wait_is_held_to_its_end),
        T(without_a_wait_only_an_operator_resumes),
        T(each_measure_is_named),
        T(what_is_not_finite_is_a_bad_gradient_and_spoils_no_mean),
        T(measures_that_are_off_or_cannot_tell_hold_nothing),
        T(a_hold_from_before_a_restart_ends_after_a_good_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
