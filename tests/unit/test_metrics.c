#include "common/service/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/check.h"

static int
new_metrics(void **state)
{
    *state = aa_metrics_new();
    return *state ? 0 : -1;
}

static int
free_metrics(void **state)
{
    aa_metrics *ms = *state;
    aa_metrics_free(&ms);
    assert_null(ms);
    aa_metrics_free(&ms); /* of NULL: nothing */
    return 0;
}

static char *
render(aa_metrics *ms)
{
    size_t len = 0;
    char  *text = aa_metrics_render(ms, &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    return text;
}

static void
check_has(const char *text, const char *want)
{
    if (!strstr(text, want)) fail_msg("want:\n%s\nin:\n%s", want, text);
}

static void
a_family_has_a_gauge_for_each_value_of_its_label(void **state)
{
    static const char *const part[] = {"rows", "in \"flight\""};
    aa_metrics              *ms = *state;
    aa_gauge                *gauge[2];
    aa_metrics_gauges(ms, "x_bytes", "part", part, 2, "Bytes, by part.", gauge);
    aa_gauge_set(gauge[0], 3);
    aa_gauge_set(gauge[1], 4);
    char *text = render(ms);
    check_has(text, "# HELP x_bytes Bytes, by part.\n"
                    "# TYPE x_bytes gauge\n"
                    "x_bytes{part=\"rows\"} 3\n"
                    "x_bytes{part=\"in \\\"flight\\\"\"} 4\n");
    free(text);
}

static void
families_are_rendered_whole_with_one_head(void **state)
{
    aa_metrics *ms = *state;
    aa_counter *a =
        aa_metrics_counter(ms, "x_events_total", "field=\"user\"", "Events\\seen.\nAll.");
    aa_gauge   *g = aa_metrics_gauge(ms, "x_rows", "", "Rows.");
    aa_counter *b = aa_metrics_counter(ms, "x_events_total", "field=\"item\"", "Events.");
    aa_counter_add(a, 3);
    aa_counter_add(a, 4);
    aa_counter_add(b, UINT64_C(1) << 60);
    aa_gauge_set(g, -0.1);
    char *text = render(ms);
    check_has(text, "# HELP x_events_total Events\\\\seen.\\nAll.\n"
                    "# TYPE x_events_total counter\n"
                    "x_events_total{field=\"user\"} 7\n"
                    "x_events_total{field=\"item\"} 1152921504606846976\n"
                    "# HELP x_rows Rows.\n"
                    "# TYPE x_rows gauge\n"
                    "x_rows -0.10000000000000001\n");
    check_has(text, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes ");
    check_has(text, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total ");
    assert_int_equal(aa_counter_get(a), 7);
    check_close(aa_gauge_get(g), -0.1, 0, 0, 0);
    free(text);
}

static void
gauges_that_are_not_finite_are_spelled_as_prometheus_does(void **state)
{
    aa_metrics *ms = *state;
    aa_gauge_set(aa_metrics_gauge(ms, "x_nan", "", "h"), (double)NAN);
    aa_gauge_set(aa_metrics_gauge(ms, "x_up", "", "h"), (double)INFINITY);
    aa_gauge_set(aa_metrics_gauge(ms, "x_down", "", "h"), -(double)INFINITY);
    char *text = render(ms);
    check_has(text, "\nx_nan NaN\n");
    check_has(text, "\nx_up +Inf\n");
    check_has(text, "\nx_down -Inf\n");
    free(text);
}

static void
histogram_buckets_are_cumulative(void **state)
{
    aa_metrics   *ms = *state;
    aa_histogram *h = aa_metrics_histogram(ms, "x_seconds", "op=\"get\"", "Time.");
    aa_histogram_observe(h, 50e-6); /* on a bound: inside */
    aa_histogram_observe(h, 0.0015);
    aa_histogram_observe(h, 0.002);
    aa_histogram_observe(h, 100);
    aa_histogram_observe(h, -1);          /* a clock that went back */
    aa_histogram_observe(h, (double)NAN); /* not counted */
    char *text = render(ms);
    check_has(text, "# TYPE x_seconds histogram\n"
                    "x_seconds_bucket{op=\"get\",le=\"5e-05\"} 2\n"
                    "x_seconds_bucket{op=\"get\",le=\"0.0001\"} 2\n");
    check_has(text, "x_seconds_bucket{op=\"get\",le=\"0.001\"} 2\n"
                    "x_seconds_bucket{op=\"get\",le=\"0.002\"} 4\n"
                    "x_seconds_bucket{op=\"get\",le=\"0.005\"} 4\n");
    check_has(text, "x_seconds_bucket{op=\"get\",le=\"60\"} 4\n"
                    "x_seconds_bucket{op=\"get\",le=\"+Inf\"} 5\n"
                    "x_seconds_sum{op=\"get\"} 100.0035");
    check_has(text, "\nx_seconds_count{op=\"get\"} 5\n");
    free(text);
}

static void
quantiles_are_interpolated_in_their_bucket(void **state)
{
    aa_histogram *h = aa_metrics_histogram(*state, "x_seconds", "", "Time.");
    assert_true(isnan(aa_histogram_quantile(h, 0.5)));
    for (int i = 0; i < 90; i++)
        aa_histogram_observe(h, 0.002); /* in (1 ms, 2 ms] */
    for (int i = 0; i < 10; i++)
        aa_histogram_observe(h, 0.3); /* in (250 ms, 500 ms] */
    check_close(aa_histogram_quantile(h, 0.45), 0.0015, 1e-9, 0, 0);
    check_close(aa_histogram_quantile(h, 0.95), 0.375, 1e-9, 0, 1);
    check_close(aa_histogram_quantile(h, 1), 0.5, 1e-9, 0, 2);
    check_close(aa_histogram_quantile(h, 0), 0.001, 1e-9, 0, 3);
    aa_histogram_observe(h, 1000);
    check_close(aa_histogram_quantile(h, 1), 60, 1e-9, 0, 4);
}

static void
label_values_are_escaped(void **state)
{
    char labels[64] = "";
    aa_metrics_label(labels, sizeof labels, "a", "x\"y\\z\n");
    aa_metrics_label(labels, sizeof labels, "b", "");
    assert_string_equal(labels, "a=\"x\\\"y\\\\z\\n\",b=\"\"");
    aa_metrics_counter(*state, "x_total", labels, "h");
    char *text = render(*state);
    check_has(text, "\nx_total{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0\n");
    free(text);
}

/* Does the text obey the format? Every sample below the head of its family, no head twice. */
static void
rendered_text_is_valid_line_by_line(void **state)
{
    aa_metrics *ms = *state;
    aa_metrics_histogram(ms, "y_seconds", "", "h");
    aa_metrics_counter(ms, "y_total", "a=\"1\"", "h");
    aa_metrics_gauge(ms, "y_rows", "", "h");
    aa_metrics_counter(ms, "y_total", "a=\"2\"", "h");
    char   family[64] = "", *save = NULL, *text = render(ms);
    size_t types = 0;
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *ln = strtok_r(text, "\n", &save); ln; ln = strtok_r(NULL, "\n", &save)) {
        if (strncmp(ln, "# TYPE ", 7) == 0) {
            size_t n = strcspn(ln + 7, " ");
            assert_int_equal(strncmp(ln + 7, family, n), 0); /* HELP came just before */
            types++;
        } else if (strncmp(ln, "# HELP ", 7) == 0) {
            snprintf(family, sizeof family, "%.*s", (int)strcspn(ln + 7, " "), ln + 7);
        } else {
            char *end, *value = strrchr(ln, ' ');
            assert_int_equal(strncmp(ln, family, strlen(family)), 0);
            assert_non_null(value);
            strtod(value + 1, &end);
            assert_true(end > value + 1 && *end == '\0');
        }
    }
    assert_int_equal(types, 5);
    free(text);
}

enum { THREADS = 4, ROUNDS = 20000 };

typedef struct {
    aa_counter   *c;
    aa_histogram *h;
} handles;

static void *
update_many(void *arg)
{
    const handles *hs = arg;
    for (int i = 0; i < ROUNDS; i++) {
        aa_counter_add(hs->c, 1);
        aa_histogram_observe(hs->h, 0.001);
    }
    return NULL;
}

static void
updates_from_threads_are_not_lost(void **state)
{
    handles   hs = {aa_metrics_counter(*state, "x_total", "", "h"),
                    aa_metrics_histogram(*state, "x_seconds", "", "h")};
    pthread_t th[THREADS];
    char      want[64];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&th[i], NULL, update_many, &hs), 0);
    for (int i = 0; i < 20; i++)
        free(render(*state));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(th[i], NULL), 0);
    assert_int_equal(aa_counter_get(hs.c), THREADS * ROUNDS);
    char *text = render(*state);
    snprintf(want, sizeof want, "\nx_seconds_count %d\n", THREADS * ROUNDS);
    check_has(text, want);
    check_has(text, "\nx_seconds_sum 80\n");
    free(text);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, new_metrics, free_metrics)
    const struct CMUnitTest tests[] = {
        T(families_are_rendered_whole_with_one_head),
        T(a_family_has_a_gauge_for_each_value_of_its_label),
        T(gauges_that_are_not_finite_are_spelled_as_prometheus_does),
        T(histogram_buckets_are_cumulative),
        T(quantiles_are_interpolated_in_their_bucket),
        T(label_values_are_escaped),
        T(rendered_text_is_valid_line_by_line),
        T(updates_from_threads_are_not_lost),
    };
    return cmocka_run_group_tests_name("common/service/metrics", tests, NULL, NULL);
}
