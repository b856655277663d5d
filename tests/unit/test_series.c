#include "common/service/series.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    aa_conf cfg;
    char    dir[64], path[128];
} place;

static void
place_make(place *pl, int64_t every)
{
    aa_conf_defaults(&pl->cfg);
    strcpy(pl->dir, "/tmp/test-series-XXXXXX");
    assert_non_null(mkdtemp(pl->dir));
    snprintf(pl->path, sizeof pl->path, "%s/figures.csv", pl->dir);
    snprintf(pl->cfg.pipeline.summary_dir, sizeof pl->cfg.pipeline.summary_dir, "%s", pl->dir);
    pl->cfg.pipeline.series_events = every;
}

static void
place_remove(place *pl)
{
    unlink(pl->path);
    assert_int_equal(rmdir(pl->dir), 0); /* no other file was left */
}

static aa_series *
open_at(const place *pl, uint64_t events)
{
    aa_err     err = AA_ERR_INIT;
    aa_series *se;
    assert_int_equal(aa_series_open(&se, &pl->cfg, "figures", "value,name", &err), AA_OK);
    assert_non_null(se);
    assert_int_equal(aa_series_rewind(se, events, &err), AA_OK);
    return se;
}

/* Rows that are due at multiples of step, from `from` on. */
static void
run(aa_series *se, uint64_t from, uint64_t to, uint64_t step)
{
    aa_err err = AA_ERR_INIT;
    for (uint64_t at = from; at <= to; at += step) {
        if (!aa_series_due(se, at, false)) continue;
        aa_series_num(se, (double)at / 3.0);
        aa_series_str(se, "x");
        assert_int_equal(aa_series_row(se, at, &err), AA_OK);
        aa_series_done(se, at);
    }
}

static void
check_text(const place *pl, const char *want)
{
    char  got[4096];
    FILE *in = fopen(pl->path, "r");
    assert_non_null(in);
    got[fread(got, 1, sizeof got - 1, in)] = '\0';
    fclose(in);
    assert_string_equal(got, want);
}

static void
a_row_is_due_at_the_first_count_past_each_multiple(void **state)
{
    (void)state;
    place pl;
    place_make(&pl, 100);
    aa_series *se = open_at(&pl, 0);
    assert_false(aa_series_due(se, 99, false));
    run(se, 64, 320, 64);
    assert_false(aa_series_due(se, 320, true)); /* the last event has its row already */
    assert_true(aa_series_due(se, 321, true));
    check_text(&pl, "events,value,name\n128,42.6666667,x\n256,85.3333333,x\n320,106.666667,x\n");
    aa_series_close(&se);
    place_remove(&pl);
}

static void
values_that_are_not_finite_are_empty(void **state)
{
    (void)state;
    place  pl;
    aa_err err = AA_ERR_INIT;
    place_make(&pl, 10);
    aa_series *se = open_at(&pl, 0);
    aa_series_num(se, (double)NAN);
    aa_series_int(se, UINT64_MAX);
    assert_int_equal(aa_series_row(se, 10, &err), AA_OK);
    check_text(&pl, "events,value,name\n10,,18446744073709551615\n");
    aa_series_close(&se);
    place_remove(&pl);
}

static void
a_run_from_a_checkpoint_ends_with_the_file_of_an_untouched_run(void **state)
{
    (void)state;
    place pl;
    char  whole[4096];
    place_make(&pl, 100);
    aa_series *se = open_at(&pl, 0);
    run(se, 64, 1024, 64);
    aa_series_close(&se);
    FILE *in = fopen(pl.path, "r");
    assert_non_null(in);
    whole[fread(whole, 1, sizeof whole - 1, in)] = '\0';
    fclose(in);

    FILE *out = fopen(pl.path, "a"); /* killed in the middle of a row */
    assert_non_null(out);
    fputs("64,0.0", out);
    fclose(out);
    se = open_at(&pl, 512);
    run(se, 576, 1024, 64);
    aa_series_close(&se);
    check_text(&pl, whole);
    place_remove(&pl);
}

static void
a_fresh_run_replaces_the_file_of_another(void **state)
{
    (void)state;
    place pl;
    place_make(&pl, 100);
    aa_series *se = open_at(&pl, 0);
    run(se, 64, 1024, 64);
    aa_series_close(&se);
    se = open_at(&pl, 0);
    check_text(&pl, "events,value,name\n");
    aa_series_close(&se);
    place_remove(&pl);
}

static void
without_series_nothing_is_due_and_nothing_written(void **state)
{
    (void)state;
    place  pl;
    aa_err err = AA_ERR_INIT;
    place_make(&pl, 0);
    aa_series *se;
    assert_int_equal(aa_series_open(&se, &pl.cfg, "figures", "value", &err), AA_OK);
    assert_null(se);
    assert_int_equal(aa_series_rewind(se, 0, &err), AA_OK);
    assert_false(aa_series_due(se, 1000000, true));
    aa_series_close(&se);
    place_remove(&pl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_due_at_the_first_count_past_each_multiple),
        cmocka_unit_test(values_that_are_not_finite_are_empty),
        cmocka_unit_test(a_run_from_a_checkpoint_ends_with_the_file_of_an_untouched_run),
        cmocka_unit_test(a_fresh_run_replaces_the_file_of_another),
        cmocka_unit_test(without_series_nothing_is_due_and_nothing_written),
    };
    return cmocka_run_group_tests_name("common/service/series", tests, NULL, NULL);
}
