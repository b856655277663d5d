#include "learner/hold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/state/checkpoint.h"
#include "common/state/holdfile.h"
#include "tests/fakes/ckpt_folder.h"

enum { WINDOW = 1000 };

static aa_conf cfg;
static aa_err  err;

static int
setup(void **state)
{
    (void)state;
    aa_conf_defaults(&cfg);
    cfg.publish.hold = true;
    cfg.publish.hold_window_events = cfg.publish.hold_resume_events = WINDOW;
    ckpt_folder_make(&cfg);
    return aa_ckpt_lock(&cfg, "learner", &err) == AA_OK ? 0 : -1; /* makes the folder */
}

static int
teardown(void **state)
{
    (void)state;
    ckpt_folder_remove(&cfg);
    return 0;
}

static hold *
open_hold(void)
{
    hold *ho;
    assert_int_equal(hold_open(&ho, &cfg, &err), AA_OK);
    return ho;
}

static void
say(hold *ho, aa_hold_word word)
{
    assert_int_equal(aa_hold_word_write(&cfg, word, &err), AA_OK);
    hold_look(ho);
}

/* good: in the right order; else in the wrong one */
static void
feed(hold *ho, size_t n, bool good)
{
    const float p[2] = {0.4f, 0.6f}, y[2] = {good ? 0.0f : 1.0f, good ? 1.0f : 0.0f};
    for (size_t i = 0; i < n / 2; i++)
        hold_add(ho, p, y, 2);
}

static void
without_a_word_the_guard_decides(void **state)
{
    (void)state;
    hold *ho = open_hold();
    assert_false(hold_on(ho));
    feed(ho, WINDOW, false);
    assert_true(hold_on(ho));
    assert_string_equal(hold_why(ho), "auc");
    feed(ho, 2 * WINDOW, true);
    assert_false(hold_on(ho));
    assert_string_equal(hold_why(ho), "");
    hold_close(&ho);
}

static void
a_word_stands_above_the_guard_until_another(void **state)
{
    (void)state;
    hold *ho = open_hold();
    say(ho, AA_HOLD_HOLD);
    feed(ho, 3 * WINDOW, true);
    assert_true(hold_on(ho));
    assert_string_equal(hold_why(ho), "operator");
    say(ho, AA_HOLD_RESUME);
    feed(ho, WINDOW, false);
    assert_false(hold_on(ho));
    say(ho, AA_HOLD_AUTO);
    assert_true(hold_on(ho));
    assert_string_equal(hold_why(ho), "auc");
    hold_close(&ho);
}

static void
word_and_verdict_outlive_a_restart(void **state)
{
    (void)state;
    hold *ho = open_hold();
    feed(ho, WINDOW, false);
    hold_close(&ho);
    ho = open_hold();
    assert_true(hold_on(ho));
    assert_string_equal(hold_why(ho), "restart");
    say(ho, AA_HOLD_RESUME);
    assert_false(hold_on(ho));
    hold_close(&ho);
    ho = open_hold();
    assert_false(hold_on(ho));
    say(ho, AA_HOLD_AUTO);
    assert_true(hold_on(ho)); /* no good window since */
    feed(ho, 2 * WINDOW, true);
    assert_false(hold_on(ho));
    hold_close(&ho);
}

static void
the_state_on_disk_is_what_the_learner_does(void **state)
{
    (void)state;
    aa_hold_state hs;
    bool          known;
    assert_int_equal(aa_hold_state_read(&cfg, &hs, &known, &err), AA_OK);
    assert_false(known);
    hold *ho = open_hold();
    assert_int_equal(aa_hold_state_read(&cfg, &hs, &known, &err), AA_OK);
    assert_true(known);
    assert_false(hs.held || hs.bad);
    feed(ho, WINDOW, false);
    assert_int_equal(aa_hold_state_read(&cfg, &hs, &known, &err), AA_OK);
    assert_true(hs.held && hs.bad);
    assert_string_equal(hs.why, "auc");
    hold_close(&ho);
}

static void
a_damaged_word_changes_nothing(void **state)
{
    (void)state;
    char  path[1024];
    hold *ho = open_hold();
    say(ho, AA_HOLD_HOLD);
    assert_int_equal(aa_ckpt_path(path, sizeof path, &cfg, "learner", 1, &err), AA_OK);
    strcpy(strrchr(path, '/') + 1, "publish-word");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs("perhaps\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    hold_look(ho);
    assert_true(hold_on(ho));
    hold_close(&ho);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(without_a_word_the_guard_decides),   T(a_word_stands_above_the_guard_until_another),
        T(word_and_verdict_outlive_a_restart), T(the_state_on_disk_is_what_the_learner_does),
        T(a_damaged_word_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
