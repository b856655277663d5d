#include "learner/quality.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

typedef struct {
    float    score, label;
    uint32_t seen;
} event;

static int
by_score(const void *a, const void *b)
{
    float x = ((const event *)a)->score, y = ((const event *)b)->score;
    return (x > y) - (x < y);
}

/* Exact AUC, the second way: sorted, average ranks over ties, Mann-Whitney U. Sorts ev. */
static double
rank_auc(event *ev, size_t n)
{
    qsort(ev, n, sizeof *ev, by_score);
    double rank_sum = 0.0, positives = 0.0;
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && ev[end].score <= ev[i].score)
            end++;
        double rank = 0.5 * (double)(i + 1 + end); /* mean of i+1 .. end */
        for (; i < end; i++)
            if (ev[i].label > 0.5f) rank_sum += rank, positives += 1.0;
    }
    double negatives = (double)n - positives;
    return (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives);
}

/* Scores concentrated around `middle` that tell the labels a little. */
static event *
draw(size_t n, double middle, double spread, uint64_t a)
{
    event *ev = malloc(n * sizeof *ev);
    float *z = malloc(n * sizeof *z);
    assert_non_null(ev);
    assert_non_null(z);
    aa_rng_normal(z, n, spread, 1, AA_RNG_TEST, a);
    for (size_t i = 0; i < n; i++) {
        double logit = log(middle / (1.0 - middle)) + (double)z[i];
        double p = 1.0 / (1.0 + exp(-logit));
        ev[i].score = (float)p;
        ev[i].label = aa_rng_uniform(1, AA_RNG_TEST, a + 1, i) < p ? 1.0f : 0.0f;
        ev[i].seen = (uint32_t)(aa_rng_bits(1, AA_RNG_TEST, a + 2, i) % 40);
    }
    free(z);
    return ev;
}

static void
auc_is_within_1e_4_of_the_exact_rank_statistic(void **state)
{
    (void)state;
    const double middles[] = {0.5, 0.05, 0.003, 0.9}, spreads[] = {1.0, 0.1};
    for (size_t m = 0; m < 4; m++)
        for (size_t s = 0; s < 2; s++) {
            const size_t n = 30000;
            event       *ev = draw(n, middles[m], spreads[s], 10 * m + 5 * s);
            quality     *qu = quality_new(0);
            assert_non_null(qu);
            for (size_t i = 0; i < n; i++)
                quality_add(qu, ev[i].score, ev[i].label, ev[i].seen);
            quality_summary ms;
            quality_get(qu, &ms);
            check_close(ms.slice[QUALITY_ALL].auc, rank_auc(ev, n), 1e-4, 0.0, m);
            quality_free(&qu);
            free(ev);
        }
}

static size_t
keep_seen_below(event *out, const event *ev, size_t n, uint32_t bound)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (ev[i].seen < bound) out[kept++] = ev[i];
    return kept;
}

static void
check_values(const quality_values *got, event *ev, size_t n, size_t which)
{
    double squared = 0.0, logloss = 0.0, correct = 0.0, label = 0.0, score = 0.0;
    for (size_t i = 0; i < n; i++) {
        double p = (double)ev[i].score, y = (double)ev[i].label;
        squared += (p - y) * (p - y);
        logloss -= y > 0.5 ? log(p) : log(1.0 - p);
        correct += (p >= 0.5) == (y > 0.5);
        label += y;
        score += p;
    }
    const double d = (double)n;
    assert_int_equal(got->events, n);
    check_close(got->mse, squared / d, 1e-12, 1e-12, which);
    check_close(got->logloss, logloss / d, 1e-12, 1e-12, which);
    check_close(got->accuracy, correct / d, 1e-12, 1e-12, which);
    check_close(got->label_mean, label / d, 1e-12, 1e-12, which);
    check_close(got->prediction_mean, score / d, 1e-12, 1e-12, which);
    check_close(got->auc, rank_auc(ev, n), 2e-4, 0.0, which);
}

static void
slices_hold_the_events_seen_fewer_times(void **state)
{
    (void)state;
    const size_t n = 8000;
    event       *ev = draw(n, 0.4, 1.0, 77), *part = malloc(n * sizeof *part);
    quality     *qu = quality_new(0);
    assert_non_null(part);
    assert_non_null(qu);
    for (size_t i = 0; i < n; i++)
        quality_add(qu, ev[i].score, ev[i].label, ev[i].seen);
    quality_summary ms;
    quality_get(qu, &ms);
    const uint32_t bounds[QUALITY_SLICES] = {UINT32_MAX, 5, 10, 20};
    for (size_t s = 0; s < QUALITY_SLICES; s++)
        check_values(&ms.slice[s], part, keep_seen_below(part, ev, n, bounds[s]), s);
    quality_free(&qu);
    free(ev);
    free(part);
}

static void
recent_covers_the_last_tenth_to_fifth(void **state)
{
    (void)state;
    quality *qu = quality_new(0);
    assert_non_null(qu);
    for (size_t i = 0; i < 50000; i++) { /* wrong for 40,000 events, then right */
        float label = (float)(i % 2);
        quality_add(qu, i < 40000 ? 1.0f - label : label, label, 0);
    }
    quality_summary ms;
    quality_get(qu, &ms);
    assert_in_range(ms.recent.events, 5000, 10000);
    check_close(ms.recent.auc, 1.0, 0.0, 0.0, 0);
    check_close(ms.recent.mse, 0.0, 0.0, 0.0, 0);
    check_close(ms.slice[QUALITY_ALL].accuracy, 0.2, 1e-12, 0.0, 0);
    quality_free(&qu);
}

static void
late_figures_are_of_the_events_after_the_bound(void **state)
{
    (void)state;
    const size_t n = 9001, from = 4500;
    event       *ev = draw(n, 0.4, 1.0, 123);
    quality     *qu = quality_new(from);
    assert_non_null(qu);
    for (size_t i = 0; i < n; i++)
        quality_add(qu, ev[i].score, ev[i].label, ev[i].seen);
    quality_summary ms;
    quality_get(qu, &ms);
    check_values(&ms.late, ev + from, n - from, 0);
    quality_free(&qu);
    free(ev);
}

static void
a_window_holds_the_events_since_the_last_one(void **state)
{
    (void)state;
    const size_t n = 6000;
    event       *ev = draw(n, 0.4, 1.0, 321);
    quality     *qu = quality_new(0), *other = quality_new(n);
    assert_non_null(qu);
    assert_non_null(other);
    for (size_t i = 0; i < n; i++) {
        quality_add(qu, ev[i].score, ev[i].label, ev[i].seen);
        quality_add(other, ev[i].score, ev[i].label, ev[i].seen);
        if (i + 1 != 2000 && i + 1 != n) continue;
        quality_values v;
        const size_t   start = i + 1 == n ? 2000 : 0;
        quality_window(qu, &v);
        assert_int_equal(v.events, i + 1 - start);
        if (i + 1 == n) check_values(&v, ev + start, n - start, start);
    }
    assert_int_equal(quality_digest(qu), quality_digest(other));
    quality_free(&qu);
    quality_free(&other);
    free(ev);
}

static void
calibration_bins_hold_their_predictions_and_labels(void **state)
{
    (void)state;
    quality *qu = quality_new(0);
    assert_non_null(qu);
    quality_add(qu, 0.51f, 1.0f, 0);
    quality_add(qu, 0.53f, 0.0f, 0);
    quality_add(qu, 0.0f, 0.0f, 0);
    quality_add(qu, 1.0f, 1.0f, 0);
    quality_summary ms;
    quality_get(qu, &ms);
    const size_t middle = QUALITY_BINS / 2, last = QUALITY_BINS - 1;
    assert_int_equal(ms.calibration[middle].events, 2);
    check_close(ms.calibration[middle].prediction_mean, 0.52, 1e-7, 0.0, 0);
    check_close(ms.calibration[middle].label_mean, 0.5, 0.0, 0.0, 0);
    assert_int_equal(ms.calibration[0].events, 1);
    check_close(ms.calibration[last].label_mean, 1.0, 0.0, 0.0, 0);
    assert_int_equal(ms.calibration[1].events, 0);
    assert_true(isnan(ms.calibration[1].label_mean));
    quality_free(&qu);
}

static void
auc_is_nan_until_both_classes_were_seen(void **state)
{
    (void)state;
    quality *qu = quality_new(0);
    assert_non_null(qu);
    quality_summary ms;
    quality_get(qu, &ms);
    assert_int_equal(ms.slice[QUALITY_ALL].events, 0);
    assert_true(isnan(ms.slice[QUALITY_ALL].auc) && isnan(ms.slice[QUALITY_ALL].mse));
    assert_true(isnan(ms.recent.auc));
    quality_add(qu, 0.3f, 1.0f, 3);
    quality_add(qu, 0.9f, 0.7f, 3); /* labels above 0.5 are positive */
    quality_get(qu, &ms);
    assert_true(isnan(ms.slice[QUALITY_ALL].auc) && isnan(ms.recent.auc));
    check_close(ms.slice[QUALITY_ALL].mse, (0.49 + 0.04) / 2.0, 1e-7, 0.0, 0);
    quality_add(qu, 0.5f, 0.5f, 12); /* and those not above are negative */
    quality_get(qu, &ms);
    check_close(ms.slice[QUALITY_ALL].auc, 0.5, 0.0, 0.0, 0);
    assert_true(isnan(ms.slice[QUALITY_LT10].auc));
    quality_free(&qu);
}

static void
extreme_predictions_are_counted_and_cost_a_finite_logloss(void **state)
{
    (void)state;
    quality *qu = quality_new(0);
    assert_non_null(qu);
    quality_add(qu, 0.0f, 1.0f, 0);
    quality_add(qu, 1.0f, 0.0f, 0);
    quality_summary ms;
    quality_get(qu, &ms);
    check_close(ms.slice[QUALITY_ALL].logloss, log(1e7), 1e-6, 0.0, 0);
    check_close(ms.slice[QUALITY_ALL].auc, 0.0, 0.0, 0.0, 0);
    quality_free(&qu);
}

static void
saved_bytes_restore_the_same_state(void **state)
{
    (void)state;
    event   *ev = draw(5000, 0.4, 1.0, 99);
    quality *a = quality_new(0), *b = quality_new(0);
    assert_non_null(a);
    assert_non_null(b);
    for (size_t i = 0; i < 3000; i++)
        quality_add(a, ev[i].score, ev[i].label, ev[i].seen);
    const void *data;
    size_t      len = quality_bytes(a, &data);
    assert_int_equal(quality_set_bytes(b, data, len - 1), -1);
    assert_int_not_equal(quality_digest(a), quality_digest(b));
    assert_int_equal(quality_set_bytes(b, data, len), 0);
    for (size_t i = 3000; i < 5000; i++) {
        quality_add(a, ev[i].score, ev[i].label, ev[i].seen);
        quality_add(b, ev[i].score, ev[i].label, ev[i].seen);
    }
    assert_int_equal(quality_digest(a), quality_digest(b));
    quality_free(&a);
    quality_free(&b);
    free(ev);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_is_within_1e_4_of_the_exact_rank_statistic),
        cmocka_unit_test(slices_hold_the_events_seen_fewer_times),
        cmocka_unit_test(recent_covers_the_last_tenth_to_fifth),
        cmocka_unit_test(late_figures_are_of_the_events_after_the_bound),
        cmocka_unit_test(a_window_holds_the_events_since_the_last_one),
        cmocka_unit_test(calibration_bins_hold_their_predictions_and_labels),
        cmocka_unit_test(auc_is_nan_until_both_classes_were_seen),
        cmocka_unit_test(extreme_predictions_are_counted_and_cost_a_finite_logloss),
        cmocka_unit_test(saved_bytes_restore_the_same_state),
    };
    return cmocka_run_group_tests_name("learner/quality", tests, NULL, NULL);
}
