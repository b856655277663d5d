#include "learner/critic/worth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"

static aa_conf cfg;

static worth
fresh(void)
{
    worth wo;
    aa_conf_defaults(&cfg);
    worth_init(&wo, &cfg);
    return wo;
}

/* Event t of a made-up history: field, buckets, gain. */
typedef struct {
    size_t   f;
    uint32_t bucket, next;
    float    gain;
} event;

static event
event_at(uint64_t t)
{
    const uint64_t bits = aa_rng_bits(7, AA_RNG_TEST, 1, t);
    event          ev = {.f = bits % 2, .bucket = (uint32_t)(bits >> 8) % AA_FREQ_BUCKETS};
    ev.next = ev.bucket + (ev.bucket + 1 < AA_FREQ_BUCKETS && bits >> 32 & 1);
    aa_rng_normal(&ev.gain, 1, 0.3, 7, AA_RNG_TEST, t);
    return ev;
}

static void
it_begins_with_half_the_worth_of_a_busy_id_at_the_half_frequency(void **state)
{
    (void)state;
    worth wo = fresh();
    check_close((double)worth_of(&wo, 0, 0), 0.02 * 0.5 / 10.0, 1e-8, 0.0, 0);
    uint32_t half = aa_freq_bucket(10.0f);
    check_close((double)worth_of(&wo, 1, half), 0.02 * 10.5 / 20.0, 1e-8, 0.0, 1);
    for (uint32_t b = 1; b < AA_FREQ_BUCKETS; b++)
        assert_true(worth_of(&wo, 0, b) > worth_of(&wo, 0, b - 1));
}

/* The formula of the header once more, the rate as a plain expression. */
static void
learning_is_td_zero_with_a_rate_that_falls_to_a_floor(void **state)
{
    (void)state;
    enum { EVENTS = 60000 };
    worth  wo = fresh();
    double v[2][AA_FREQ_BUCKETS], count[2][AA_FREQ_BUCKETS] = {{0}};
    for (size_t f = 0; f < 2; f++)
        for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
            double n = (double)aa_freq_bucket_floor(b);
            v[f][b] = 0.02 * (n + 0.5) / (n + 10.0);
        }
    for (uint64_t t = 0; t < EVENTS; t++) {
        const event ev = event_at(t);
        worth_event(&wo, ev.f, ev.bucket, ev.next, ev.gain);
        const double a = fmax(1.0 / (count[ev.f][ev.bucket]++ + 200.0), 0.002);
        v[ev.f][ev.bucket] +=
            a * (0.1 * (double)ev.gain + 0.9 * v[ev.f][ev.next] - v[ev.f][ev.bucket]);
    }
    assert_true(count[0][5] > 500.0); /* beyond the floor */
    for (size_t f = 0; f < 2; f++)
        for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
            check_close((double)worth_of(&wo, f, b), v[f][b], 1e-7, 1e-6, b);
}

static void
a_constant_gain_is_what_a_row_is_worth_in_the_end(void **state)
{
    (void)state;
    worth wo = fresh();
    for (uint64_t t = 0; t < 200000; t++)
        worth_event(&wo, 0, 3 + (uint32_t)(t % 2), 4, 0.05f);
    check_close((double)worth_of(&wo, 0, 3), 0.05, 1e-6, 0.0, 3);
    check_close((double)worth_of(&wo, 0, 4), 0.05, 1e-6, 0.0, 4);
    assert_true(wo.t.error_mean < 1e-3);
}

static void
what_comes_later_counts_by_gamma(void **state)
{
    (void)state;
    worth wo = fresh();
    for (uint64_t t = 0; t < 300000; t++) {
        worth_event(&wo, 0, 1, 2, 0.0f); /* nothing now, but bucket 2 is where it leads */
        worth_event(&wo, 0, 2, 2, 0.2f);
    }
    check_close((double)worth_of(&wo, 0, 2), 0.2, 1e-5, 0.0, 2);
    check_close((double)worth_of(&wo, 0, 1), 0.9 * 0.2, 1e-4, 0.0, 1);
}

static void
fields_do_not_teach_each_other(void **state)
{
    (void)state;
    worth       wo = fresh();
    const worth was = wo;
    worth_event(&wo, 1, 3, 4, 1.0f);
    assert_memory_equal(wo.t.v[0], was.t.v[0], sizeof was.t.v[0]);
    assert_true(worth_of(&wo, 1, 3) > worth_of(&was, 1, 3));
}

static void
it_comes_back_from_a_checkpoint_and_refuses_what_no_table_has(void **state)
{
    (void)state;
    worth           a = fresh(), b = fresh();
    aa_ckpt_writer *w = NULL;
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    ckpt_folder_make(&cfg);
    for (uint64_t t = 0; t < 1000; t++) {
        const event ev = event_at(t);
        worth_event(&a, ev.f, ev.bucket, ev.next, ev.gain);
    }
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        worth spoilt = a;
        if (epoch == 2) spoilt.t.v[1][5] = (double)NAN;
        if (epoch == 3) spoilt.t.count[1][5] = -1.0;
        assert_int_equal(aa_ckpt_create(&w, &cfg, "learner", epoch, &err), AA_OK);
        assert_int_equal(worth_save(&spoilt, w, &err), AA_OK);
        assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
        assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", epoch, &err), AA_OK);
        assert_int_equal(worth_restore(&b, r, &err), epoch == 1 ? AA_OK : AA_EPARSE);
        assert_true(worth_digest(&a, 0) == worth_digest(&b, 0)); /* of the first, all along */
        aa_ckpt_close(&r);
    }
    ckpt_folder_remove(&cfg);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_with_half_the_worth_of_a_busy_id_at_the_half_frequency),
        cmocka_unit_test(learning_is_td_zero_with_a_rate_that_falls_to_a_floor),
        cmocka_unit_test(a_constant_gain_is_what_a_row_is_worth_in_the_end),
        cmocka_unit_test(what_comes_later_counts_by_gamma),
        cmocka_unit_test(fields_do_not_teach_each_other),
        cmocka_unit_test(it_comes_back_from_a_checkpoint_and_refuses_what_no_table_has),
    };
    return cmocka_run_group_tests_name("learner/critic/worth", tests, NULL, NULL);
}
