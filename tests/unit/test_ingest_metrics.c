#include "ingest/ingest_metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
check_metric(aa_metrics *ms, const char *name, double want)
{
    char   line[100];
    size_t len;
    char  *text = aa_metrics_render(ms, &len);
    assert_non_null(text);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    if (!at) fail_msg("no %s", name);
    const double got = strtod(at + strlen(line), NULL);
    if (got < want - 1e-6 || got > want + 1e-6) fail_msg("%s: %g, not %g", name, got, want);
    free(text);
}

static void
event_time_and_lateness_are_those_of_the_batches(void **state)
{
    (void)state;
    aa_err          err = AA_ERR_INIT;
    static aa_conf  cfg;
    ingest_metrics *im = NULL;
    aa_metrics     *ms = aa_metrics_new();
    aa_conf_defaults(&cfg);
    assert_int_equal(ingest_metrics_new(&im, &cfg, ms, &err), AA_OK);
    const int64_t first[] = {-5000, -4000}, late[] = {1000, -9000, 2500, 2000}, none[] = {2500};
    ingest_metrics_batch(im, first, 2, 0, 1);
    check_metric(ms, "autoassign_event_time_watermark_seconds", -4);
    check_metric(ms, "autoassign_event_lateness_seconds", 0);
    ingest_metrics_batch(im, late, 4, 0, 2);
    check_metric(ms, "autoassign_event_time_watermark_seconds", 2.5);
    check_metric(ms, "autoassign_event_lateness_seconds", 10);
    ingest_metrics_batch(im, none, 1, 0, 3);
    check_metric(ms, "autoassign_event_lateness_seconds", 0);
    check_metric(ms, "autoassign_event_lateness_max_seconds", 10);
    ingest_metrics_free(&im);
    aa_metrics_free(&ms);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_time_and_lateness_are_those_of_the_batches),
    };
    return cmocka_run_group_tests_name("ingest/ingest_metrics", tests, NULL, NULL);
}
