#include "common/config/conf_kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FREE = 26 }; /* settings that may change with a state */

typedef struct {
    aa_conf           cfg;
    char             *text; /* of the defaults */
    aa_conf_kept_diff diff;
} fixture;

static int
setup(void **state)
{
    aa_err   err = AA_ERR_INIT;
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    aa_conf_defaults(&fx->cfg);
    fx->cfg.model.row_format = AA_ROW_FLOAT; /* as builds before these settings */
    fx->cfg.model.row_optimizer = AA_ROW_ADAGRAD;
    fx->cfg.model.row_forget = 0.0;
    if (aa_conf_kept_text(&fx->cfg, &fx->text, &err) != AA_OK) return -1;
    *state = fx;
    return 0;
}

static int
teardown(void **state)
{
    fixture *fx = *state;
    free(fx->text);
    free(fx);
    return 0;
}

static void
compare(fixture *fx, const char *text)
{
    aa_conf_kept_compare(&fx->cfg, text, strlen(text), &fx->diff);
}

static void
same_settings_differ_in_nothing(void **state)
{
    fixture *fx = *state;
    assert_non_null(strstr(fx->text, "fields=user,item\npipeline.seed=1\n"));
    assert_non_null(strstr(fx->text, "\nfields.item.hash_rows="));
    compare(fx, fx->text);
    assert_string_equal(fx->diff.shaping, "");
    assert_string_equal(fx->diff.free, "");
}

static void
what_differs_is_named_with_both_values(void **state)
{
    fixture *fx = *state;
    fx->cfg.model.dim = 8;
    fx->cfg.agent.mode = AA_MODE_PAPER;
    fx->cfg.agent.gamma = 0.5;
    compare(fx, fx->text);
    assert_string_equal(fx->diff.shaping, "agent.mode (default, now paper), model.dim (16, now 8)");
    assert_string_equal(fx->diff.free, "agent.gamma (0.9, now 0.5)");
    fx->cfg.field_count = 1;
    compare(fx, fx->text);
    assert_non_null(strstr(fx->diff.shaping, "fields (user,item, now user)"));
}

/* Each line changed by itself: it is one or the other, and as many are free as are meant to be. */
static void
every_setting_shapes_the_state_or_is_free(void **state)
{
    fixture *fx = *state;
    int      free_count = 0;
    for (char *at = fx->text; *at; at = strchr(at, '\n') + 1) {
        char *changed = strdup(fx->text);
        assert_non_null(changed);
        *strchr(changed + (at - fx->text), '\n') = '~'; /* a value of two lines */
        compare(fx, changed);
        assert_true((fx->diff.shaping[0] != '\0') || (fx->diff.free[0] != '\0'));
        free_count += fx->diff.free[0] != '\0';
        free(changed);
    }
    assert_int_equal(free_count, FREE);
}

static void
setting_that_the_state_does_not_name_counts_as_its_default(void **state)
{
    fixture *fx = *state;
    compare(fx, "fields=user,item\nagent.of_another_program=7\n");
    assert_string_equal(fx->diff.shaping, "");
    assert_string_equal(fx->diff.free, "");
    fx->cfg.agent.positions = 4;
    compare(fx, "fields=user,item\n");
    assert_string_equal(fx->diff.shaping, "agent.positions (8, now 4)");
}

/* The defaults of some settings are not what builds before them did: their states have floats. */
static void
setting_of_a_state_from_before_it_counts_as_what_builds_did_then(void **state)
{
    fixture *fx = *state;
    aa_conf_defaults(&fx->cfg);
    compare(fx, "fields=user,item\n");
    assert_string_equal(fx->diff.shaping, "model.row_format (float, now bf16), "
                                          "model.row_optimizer (adagrad, now rowwise)");
    assert_string_equal(fx->diff.free, "model.row_forget (0, now 0.003)");
}

static void
too_many_to_name_end_with_dots(void **state)
{
    fixture          *fx = *state;
    static const char zeros[] =
        "fields=\npipeline.seed=9\npipeline.depth=9\nagent.positions=9\n"
        "agent.lean_bins=9\nagent.half_life_events=9\nagent.reward_window=9\n"
        "agent.worth_prior=9\nagent.worth_weight=9\nmodel.dim=9\n";
    compare(fx, zeros);
    assert_true(strlen(fx->diff.shaping) < sizeof fx->diff.shaping);
    assert_string_equal(fx->diff.shaping + strlen(fx->diff.shaping) - 5, ", ...");
}

static void
marks_tell_which_settings_differ_without_their_values(void **state)
{
    fixture *fx = *state;
    uint32_t mark[AA_CONF_KEPT_MAX];
    char     words[36];
    size_t   count = aa_conf_kept_marks(&fx->cfg, mark);
    assert_in_range(count, 30, AA_CONF_KEPT_MAX);
    aa_conf_kept_differ(&fx->cfg, mark, count, words, sizeof words);
    assert_string_equal(words, "");
    fx->cfg.model.dim = 8;
    fx->cfg.pipeline.seed = 7;
    aa_conf_kept_differ(&fx->cfg, mark, count, words, sizeof words);
    assert_string_equal(words, "pipeline.seed, model.dim");
    fx->cfg.agent.mode = AA_MODE_PAPER;
    aa_conf_kept_differ(&fx->cfg, mark, count, words, sizeof words);
    assert_string_equal(words, "pipeline.seed, agent.mode, ...");
    aa_conf_kept_differ(&fx->cfg, mark, count - 1, words, sizeof words); /* of another program */
    assert_string_equal(words, "");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(same_settings_differ_in_nothing),
        T(what_differs_is_named_with_both_values),
        T(every_setting_shapes_the_state_or_is_free),
        T(setting_that_the_state_does_not_name_counts_as_its_default),
        T(marks_tell_which_settings_differ_without_their_values),
        T(setting_of_a_state_from_before_it_counts_as_what_builds_did_then),
        T(too_many_to_name_end_with_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
