/* Prometheus' text read back: what the live page shows of the other processes. */
#include "scorer/api/metrics_history.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/service/metrics.h"
#include "tests/check.h"

static const char text[] = "# HELP a some\n# TYPE a gauge\n"
                           "a{f=\"x y\",q=\"\\\"}\"} 1.5\n"
                           "a{f=\"z\"} 2\n"
                           "ab 100\n"
                           "no_value\n"
                           "b +Inf\n"
                           "c 4 1700000000\n"
                           "d 5"; /* cut off */

static void
samples_are_found_with_their_labels(void **state)
{
    const char *name, *at = text;
    size_t      len, count = 0;
    double      value;
    (void)state;
    while ((at = metrics_history_next(at, &name, &len, &value)))
        if (++count == 1) {
            assert_int_equal(len, strlen("a{f=\"x y\",q=\"\\\"}\"}"));
            check_close(value, 1.5, 0, 0, 0);
        }
    assert_int_equal(count, 6);
}

static void
sums_are_over_the_labels_that_are_not_asked_for(void **state)
{
    (void)state;
    check_close(metrics_history_sum(text, "a", ""), 3.5, 0, 0, 0);
    check_close(metrics_history_sum(text, "a", "f=\"z\""), 2, 0, 0, 0);
    check_close(metrics_history_sum(text, "c", ""), 4, 0, 0, 0);
    check_close(metrics_history_sum(text, "d", ""), 5, 0, 0, 0);
    assert_true(isinf(metrics_history_sum(text, "b", "")));
    assert_true(isnan(metrics_history_sum(text, "nowhere", "")));
    assert_true(isnan(metrics_history_sum("", "a", "")));
    assert_true(isnan(metrics_history_sum(NULL, "a", "")));
}

static void
what_our_own_metrics_say_comes_back(void **state)
{
    aa_metrics *ms = aa_metrics_new();
    size_t      len;
    (void)state;
    aa_gauge_set(aa_metrics_gauge(ms, "autoassign_x", "field=\"user\"", "X."), 0.1);
    aa_gauge_set(aa_metrics_gauge(ms, "autoassign_x", "field=\"item\"", "X."), 0.2);
    aa_counter_add(aa_metrics_counter(ms, "autoassign_y_total", "", "Y."), 12345678901);
    char *own = aa_metrics_render(ms, &len);
    check_close(metrics_history_sum(own, "autoassign_x", ""), 0.3, 1e-15, 0, 0);
    check_close(metrics_history_sum(own, "autoassign_y_total", ""), 12345678901, 0, 0, 0);
    free(own);
    aa_metrics_free(&ms);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_found_with_their_labels),
        cmocka_unit_test(sums_are_over_the_labels_that_are_not_asked_for),
        cmocka_unit_test(what_our_own_metrics_say_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
