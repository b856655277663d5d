#include "tools/synthetic/generator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "tests/check.h"

static generator_event *
generate(const generator_options *go)
{
    aa_err           err = AA_ERR_INIT;
    generator       *gn = NULL;
    generator_event *ev = calloc(go->events + 1, sizeof *ev);
    uint64_t         n = 0;
    assert_non_null(ev);
    assert_int_equal(generator_new(&gn, go, &err), AA_OK);
    while (generator_next(gn, &ev[n]))
        n++;
    assert_int_equal(n, go->events);
    generator_free(&gn);
    return ev;
}

static uint64_t
digest(const generator_options *go)
{
    generator_event *ev = generate(go);
    uint64_t         d = 0;
    for (uint64_t i = 0; i < go->events; i++) {
        uint64_t words[4] = {ev[i].user, ev[i].item, (uint64_t)ev[i].time_ms, ev[i].label};
        d = aa_digest(d, words, sizeof words);
    }
    free(ev);
    return d;
}

static void
same_options_same_stream_other_seed_another(void **state)
{
    (void)state;
    generator_options go;
    generator_defaults(&go);
    go.events = 20000;
    go.jump_every = 3000;
    go.burst_every = 5000;
    uint64_t first = digest(&go);
    assert_true(digest(&go) == first);
    go.seed = 2;
    assert_true(digest(&go) != first);
}

static int
by_signal(const void *a, const void *b)
{
    const generator_event *x = a, *y = b;
    return x->signal < y->signal ? -1 : x->signal > y->signal;
}

/* of who knows the signal; ties are rare enough not to matter */
static double
best_auc(generator_event *ev, uint64_t n, double *positive_rate)
{
    double positives = 0, rank_sum = 0;
    qsort(ev, n, sizeof *ev, by_signal);
    for (uint64_t i = 0; i < n; i++) {
        positives += ev[i].label;
        rank_sum += ev[i].label * ((double)i + 1);
    }
    *positive_rate = positives / (double)n;
    return (rank_sum - positives * (positives + 1) / 2) / (positives * ((double)n - positives));
}

static void
best_possible_auc_is_about_0_80_and_positives_are_as_asked(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        generator_options go;
        double            rate = 0;
        generator_defaults(&go);
        go.events = 300000;
        go.seed = seed;
        go.positive_rate = 0.25 + 0.05 * (double)seed;
        generator_event *ev = generate(&go);
        double           auc = best_auc(ev, go.events, &rate);
        print_message("seed %d: AUC %.4f, positive %.4f\n", (int)seed, auc, rate);
        check_close(auc, 0.80, 0.03, 0, seed);
        check_close(rate, go.positive_rate, 0.01, 0, seed);
        free(ev);
    }
}

static uint64_t
largest_id(const generator_event *ev, uint64_t n)
{
    uint64_t most = 0;
    for (uint64_t i = 0; i < n; i++)
        if (ev[i].item > most) most = ev[i].item;
    return most;
}

static void
ids_arrive_as_often_as_asked(void **state)
{
    (void)state;
    generator_options go;
    generator_defaults(&go);
    go.events = 100000;
    go.items = 500;
    go.arrivals = 0;
    generator_event *ev = generate(&go);
    assert_int_equal(largest_id(ev, go.events), 500);
    free(ev);
    go.arrivals = 0.05;
    ev = generate(&go);
    check_close((double)largest_id(ev, go.events), 500 + 5000, 300, 0, 0);
    free(ev);
}

static void
one_time_users_come_once(void **state)
{
    (void)state;
    generator_options go;
    generator_defaults(&go);
    go.events = 50000;
    go.users = 100;
    go.arrivals = 0;
    go.one_time = 0.3;
    generator_event *ev = generate(&go);
    uint8_t         *seen = calloc(go.events + 200, 1);
    uint64_t         once = 0;
    for (uint64_t i = 0; i < go.events; i++) {
        if (ev[i].user <= 100) continue;
        assert_int_equal(seen[ev[i].user]++, 0);
        once++;
    }
    check_close((double)once, 15000, 500, 0, 0);
    free(seen);
    free(ev);
}

static uint64_t
most_frequent_item(const generator_event *ev, uint64_t from, uint64_t to, double *share)
{
    static uint32_t count[1000000];
    uint64_t        best = 0;
    memset(count, 0, sizeof count);
    for (uint64_t i = from; i < to; i++) {
        assert_true(ev[i].item < 1000000);
        if (++count[ev[i].item] > count[best]) best = ev[i].item;
    }
    *share = (double)count[best] / (double)(to - from);
    return best;
}

static void
popularity_is_zipfs_and_jumps_make_the_hot_cold(void **state)
{
    (void)state;
    generator_options go;
    double            before = 0, after = 0;
    generator_defaults(&go);
    go.events = 100000;
    go.items = 1000;
    go.arrivals = 0;
    go.jump_every = 50000;
    generator_event *ev = generate(&go);
    uint64_t         hot = most_frequent_item(ev, 0, 50000, &before);
    uint64_t         next = most_frequent_item(ev, 50000, 100000, &after);
    assert_true(hot != next);
    check_close(before, 1 / 7.485, 0.01, 0, 0); /* 1 / sum of 1/r for 1000 ranks */
    check_close(after, 1 / 7.485, 0.01, 0, 1);
    uint64_t cold = 0;
    for (uint64_t i = 50000; i < 100000; i++)
        cold += ev[i].item == hot;
    assert_true(cold < 500);
    free(ev);
}

static void
burst_gives_a_new_item_a_third_of_the_traffic(void **state)
{
    (void)state;
    generator_options go;
    double            share = 0;
    generator_defaults(&go);
    go.events = 100000;
    go.burst_every = 50000;
    generator_event *ev = generate(&go);
    assert_true(most_frequent_item(ev, 50000, 55000, &share) > go.items);
    check_close(share, 1.0 / 3, 0.03, 0, 0);
    most_frequent_item(ev, 56000, 100000, &share);
    assert_true(share < 0.15);
    free(ev);
}

static void
flood_brings_ids_never_seen_before_or_after(void **state)
{
    (void)state;
    generator_options go;
    generator_defaults(&go);
    go.events = 10000;
    go.users = 100;
    go.items = 100;
    go.arrivals = go.one_time = 0;
    go.flood_at = 2000;
    go.flood_count = 1500;
    generator_event *ev = generate(&go);
    uint64_t         flooded = 0;
    for (uint64_t i = 0; i < go.events; i++) {
        bool attack = i >= 2000 && i < 5000 && (i - 2000) % 2 == 1;
        assert_int_equal(ev[i].user > 100, attack);
        assert_int_equal(ev[i].item > 100, attack);
        if (attack) {
            flooded++;
            assert_int_equal(ev[i].user, 100 + flooded);
        }
    }
    assert_int_equal(flooded, 1500);
    free(ev);
}

static void
time_goes_on_at_the_rate_asked_for(void **state)
{
    (void)state;
    generator_options go;
    generator_defaults(&go);
    go.events = 1001;
    go.rate = 4;
    go.start_s = 1000;
    generator_event *ev = generate(&go);
    assert_int_equal(ev[0].time_ms, 1000000);
    assert_int_equal(ev[1].time_ms, 1000250);
    assert_int_equal(ev[1000].time_ms, 1250000);
    free(ev);
}

static void
options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    aa_err            err = AA_ERR_INIT;
    generator        *gn = NULL;
    generator_options go;
    generator_defaults(&go);
    go.items = 0;
    assert_int_equal(generator_new(&gn, &go, &err), AA_ECONFIG);
    generator_defaults(&go);
    go.positive_rate = (double)NAN;
    assert_int_equal(generator_new(&gn, &go, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "positive-rate"));
    generator_defaults(&go);
    go.users = go.items = 1; /* the least there can be */
    go.events = 1000;
    go.jump_every = 10;
    go.burst_every = 7;
    free(generate(&go));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_options_same_stream_other_seed_another),
        cmocka_unit_test(best_possible_auc_is_about_0_80_and_positives_are_as_asked),
        cmocka_unit_test(ids_arrive_as_often_as_asked),
        cmocka_unit_test(one_time_users_come_once),
        cmocka_unit_test(popularity_is_zipfs_and_jumps_make_the_hot_cold),
        cmocka_unit_test(burst_gives_a_new_item_a_third_of_the_traffic),
        cmocka_unit_test(flood_brings_ids_never_seen_before_or_after),
        cmocka_unit_test(time_goes_on_at_the_rate_asked_for),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests_name("tools/synthetic/generator", tests, NULL, NULL);
}
