/* The budget of the default mode and the price that clears it, alone and in the assigner. */
#include "assigner/policy/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"
#include "tests/world.h"

static aa_conf cfg;

static price
fresh(double share, int64_t least, uint64_t limit0)
{
    price          pr;
    const uint64_t limit[AA_MAX_FIELDS] = {limit0};
    aa_conf_defaults(&cfg);
    cfg.agent.rows_share = share;
    cfg.agent.rows_least = least;
    cfg.agent.price = 0;
    assert_int_equal(price_init(&pr, &cfg, limit, NULL), AA_OK);
    return pr;
}

static int
by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void
the_budget_is_a_share_of_the_ids_that_came_back(void **state)
{
    (void)state;
    price pr = fresh(0.48, 256, 0);
    for (int n = 1; n <= 2000; n++) {
        assert_int_equal(pr.budget, n <= 534 ? 256 : (uint64_t)(0.48 * (n - 1)));
        price_returned(&pr, 1);
    }
    price_returned(&pr, -1);
    assert_int_equal(pr.budget, 959);
    price_fini(&pr);
}

static void
rows_are_given_out_up_to_the_budget_and_the_limit_of_the_field(void **state)
{
    (void)state;
    price pr = fresh(0, 10, 4);
    for (uint64_t n = 0; n < 4; n++) {
        assert_true(price_admits(&pr, 0));
        price_took(&pr, 0);
    }
    assert_false(price_admits(&pr, 0));
    for (uint64_t n = 0; n < 6; n++) {
        assert_true(price_admits(&pr, 1));
        price_took(&pr, 1);
    }
    assert_false(price_admits(&pr, 1));
    price_gave(&pr, 0);
    assert_true(price_admits(&pr, 0) && price_admits(&pr, 1));
    price_fini(&pr);
}

/* Counts n indices of each field, clears; the price is what a sort says, within a bin. */
static void
the_price_is_the_index_of_the_last_holder_within_the_target(void **state)
{
    (void)state;
    enum { N = 4000, BUDGET = 6000 };
    static float all[2 * N];
    price        pr = fresh(0, BUDGET, 0);
    price_begin(&pr, 1);
    for (uint32_t i = 0; i < 2 * N; i++) {
        all[i] = (float)exp(-20 + 12 * aa_rng_uniform(1, AA_RNG_TEST, i, 0));
        price_took(&pr, i / N);
        assert_int_equal(price_count(&pr, i / N, all[i], NULL), AA_OK);
        if (i % 7 == 0) assert_int_equal(price_count(&pr, i / N, INFINITY, NULL), AA_OK);
    }
    for (uint32_t i = 0; i < 200; i++) /* demand: room for 125 = 1.25 * half of it */
        price_admits(&pr, 0);
    price_clear(&pr);
    qsort(all, 2 * N, sizeof *all, by_value);
    const double want = (double)all[2 * N - (BUDGET - 125)];
    for (uint32_t f = 0; f < 2; f++) {
        check_close(price_of(&pr, f), want, 0.0, 1.0 / 128, f);
        check_close((double)pr.ps.cut[f], want, 0.0, 1.0 / 128, f);
        check_close((double)price_ask(&pr, f), 2 * price_of(&pr, f), 0.0, 1e-6, f);
    }
    price_fini(&pr);
}

static void
a_field_with_a_limit_has_a_price_of_its_own(void **state)
{
    (void)state;
    price pr = fresh(0, 100000, 50);
    price_begin(&pr, 1);
    for (uint32_t i = 0; i < 200; i++) {
        price_took(&pr, i % 2);
        assert_int_equal(price_count(&pr, i % 2, (float)(i / 2 + 1), NULL), AA_OK);
    }
    price_clear(&pr);
    check_close(price_of(&pr, 0), 51.0, 0.0, 1.0 / 64, 0); /* 50 of 1..100 are below */
    assert_true(price_of(&pr, 1) == 0.0 && pr.ps.cut[1] == 0.0f);
    price_fini(&pr);
}

static void
the_price_falls_when_there_is_room_but_not_below_the_cost_of_a_row(void **state)
{
    (void)state;
    price pr = fresh(0, 1000, 0);
    cfg.agent.row_cost = 1e-6;
    pr.ps.all.price = 1e-5;
    for (int n = 1; n <= 40; n++) {
        price_begin(&pr, (uint64_t)n);
        price_clear(&pr);
        check_close(price_of(&pr, 0), fmax(1e-5 * pow(0.9, n), 1e-6), 0.0, 1e-9, (size_t)n);
        check_close((double)pr.ps.cut[0], 1e-6, 0.0, 1e-6, 0); /* what is not worth that goes */
    }
    price_fini(&pr);
}

/* Rows for all IDs cost agent.price per event: one costs a share, and no limit need be used up. */
static void
a_row_costs_its_share_of_the_price(void **state)
{
    (void)state;
    price pr = fresh(1, 1 << 20, 0);
    cfg.agent.price = 0.01;
    for (int n = 1; n <= 5000; n++) {
        price_ids(&pr, 1);
        check_close(price_of(&pr, 1), 0.01 / n, 0.0, 1e-12, (size_t)n);
        check_close((double)price_ask(&pr, 1), 2 * 0.01 / n, 0.0, 1e-6, (size_t)n);
    }
    for (int n = 0; n < 1000; n++)
        price_ids(&pr, -1);
    price_begin(&pr, 1);
    price_clear(&pr);
    check_close(price_of(&pr, 0), 0.01 / 4000, 0.0, 1e-12, 0);
    check_close((double)pr.ps.cut[0], 0.01 / 4000, 0.0, 1e-6, 1);
    cfg.agent.row_cost = 1e-4; /* the least price of one row */
    check_close(price_of(&pr, 0), 1e-4, 0.0, 1e-12, 2);
    price_fini(&pr);
}

/* ---- in the assigner ---- */

static double
price_now(const world *wo)
{
    assigner_stats st;
    assigner_stats_get(wo->as, 0, &st);
    return st.price;
}

static size_t
rows_now(const world *wo)
{
    return wo->rows[0] + wo->rows[1];
}

static void
a_flood_never_exceeds_the_budget_and_drives_the_price_up(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 40;
    wo.cfg.agent.rows_share = 0.02;
    world_open(&wo);
    world_random(&wo, 5, 30, 50, 60, 1); /* 120 IDs that come and come */
    double before = price_now(&wo), top = 0.0;
    for (uint64_t n = 0; n < 6000; n++) { /* new IDs, three events each, and no more */
        uint64_t key[2] = {100000 + n / 3, 200000 + n / 3};
        world_event(&wo, key, 0.0f);
        if (n % 10 != 9) continue;
        world_step(&wo);
        assigner_stats st;
        assigner_stats_get(wo.as, 0, &st);
        assert_true(rows_now(&wo) <= st.budget);
        top = fmax(top, price_now(&wo));
    }
    assert_true(before > 0.0 && top > before);
    world_close(&wo);
}

static void
without_pressure_the_price_falls_to_nothing(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 40;
    wo.cfg.agent.rows_share = 0;
    world_open(&wo);
    world_random(&wo, 5, 30, 50, 300, 1);
    const double under = price_now(&wo);
    for (size_t n = 0; n < 2000; n++) /* only a few are left, for whom there is room */
        world_one(&wo, 1 + n % 5, 1 + n % 3, 1.0f);
    assert_true(under > 1e-8);
    assert_true(price_now(&wo) < under);
    assert_true(rows_now(&wo) <= 40);
    assert_true(wo.out.slot[0] >= aa_shared_rows(&wo.cfg)); /* and those that are left have rows */
    world_close(&wo);
}

/* Who is hot changes: the rows follow, although the budget is always used up. */
static void
rows_go_to_whoever_is_worth_them_now(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 24;
    wo.cfg.agent.rows_share = 0;
    wo.cfg.agent.policy_rate = 0;
    world_open(&wo);
    for (uint64_t phase = 0; phase < 4; phase++) {
        size_t own = 0, reads = 0;
        for (uint64_t n = 0; n < 4000; n++) { /* 8 hot users among a stream of visitors */
            uint64_t key[2] = {n % 3 ? phase * 1000 + 1 + n % 8 : 1000000 + phase * 10000 + n,
                               phase * 1000 + 1 + n % 5};
            world_event(&wo, key, 1.0f);
            if (n % 50 != 49) continue;
            world_step(&wo);
            for (size_t i = 0; n >= 2000 && i < 50; i++) {
                reads++;
                own += wo.out.slot[2 * i + 1] >= aa_shared_rows(&wo.cfg);
            }
        }
        assert_true(own * 10 > reads * 9);
    }
    world_close(&wo);
}

static assigner *
saved_and_restored(const world *wo)
{
    assigner *as = NULL;
    aa_err    err = AA_ERR_INIT;
    world_save(wo);
    if (world_restore(&wo->cfg, &as, &err) != AA_OK) fail_msg("%s", err.text);
    assert_true(assigner_digest(as) == assigner_digest(wo->as));
    return as;
}

static size_t
section_bytes(const world *wo, const char *name)
{
    aa_ckpt_reader *r;
    aa_err          err = AA_ERR_INIT;
    const void     *data;
    size_t          len = 0;
    if (aa_ckpt_open(&r, &wo->cfg, "assigner", 1, &err) != AA_OK ||
        aa_ckpt_get(r, name, &data, &len, &err) != AA_OK)
        fail_msg("%s", err.text);
    aa_ckpt_close(&r);
    return len;
}

/* Checkpoints of up to 8 fields are as they were when 8 was the most. */
static void
as_many_fields_as_are_allowed_are_assigned_and_restored(void **state)
{
    (void)state;
    static const size_t counts[] = {2, 8, 9, AA_MAX_FIELDS};
    for (size_t i = 0; i < 4; i++) {
        world wo;
        world_conf(&wo, AA_MODE_DEFAULT);
        wo.cfg.field_count = counts[i];
        for (size_t f = 2; f < counts[i]; f++) {
            wo.cfg.fields[f] = wo.cfg.fields[1];
            snprintf(wo.cfg.fields[f].name, sizeof wo.cfg.fields[f].name, "f%zu", f);
        }
        wo.cfg.agent.rows_least = 64;
        ckpt_folder_make(&wo.cfg);
        world_open(&wo);
        world_random(&wo, 3, 40, 30, 60, 1);
        assert_true(wo.rows[counts[i] - 1] > 0);
        assigner *as = saved_and_restored(&wo);
        assert_int_equal(section_bytes(&wo, "price.state"), counts[i] <= 8 ? 328 : 1096);
        assigner_free(&as);
        world_close(&wo);
        ckpt_folder_remove(&wo.cfg);
    }
}

/* The batch that the world has just assigned, by another assigner. */
static void
step_too(world *wo, assigner *as, size_t n)
{
    aa_assigned_batch out = {0};
    assert_int_equal(assigner_learn(as, &wo->rw, NULL), AA_OK);
    wo->in.n = n;
    assert_int_equal(assigner_step(as, &wo->in, &out, NULL), AA_OK);
    wo->in.n = 0;
    aa_assigned_batch_fini(&out);
    assert_true(assigner_digest(as) == assigner_digest(wo->as));
}

/* A round of many holders takes several steps, none of them long; a checkpoint in its middle keeps
 * how far it got. */
static void
a_long_round_is_done_in_steps_and_goes_on_after_a_checkpoint(void **state)
{
    (void)state;
    enum { ROWS = 40000, BATCH = 1000 };
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = ROWS;
    wo.cfg.agent.rows_share = 0;
    wo.cfg.agent.sweep_every = BATCH;
    ckpt_folder_make(&wo.cfg);
    world_open(&wo);
    assigner *twin = NULL;
    uint64_t  most = 0, before = 0;
    for (uint64_t b = 1; b <= 90; b++) {
        for (uint64_t n = (b - 1) * BATCH; n < b * BATCH; n++) {
            uint64_t key[2] = {1 + n % 45000, 1 + n % 30000};
            world_event(&wo, key, 1.0f);
        }
        world_step(&wo);
        if (twin) step_too(&wo, twin, BATCH);
        assigner_stats st[2];
        for (uint32_t f = 0; f < 2; f++)
            assigner_stats_get(wo.as, f, &st[f]);
        const uint64_t visits = st[0].visits + st[1].visits;
        most = visits - before > most ? visits - before : most;
        before = visits;
        assert_true(rows_now(&wo) <= ROWS);
        if (b < 80) continue;
        assigner_free(&twin);
        twin = saved_and_restored(&wo);
    }
    assigner_free(&twin);
    assert_int_equal(most, 16384);
    assert_true(before > 8 * ROWS);
    assert_true(wo.ops[AA_OP_FREE] > 1000);
    world_close(&wo);
    ckpt_folder_remove(&wo.cfg);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_is_a_share_of_the_ids_that_came_back),
        cmocka_unit_test(rows_are_given_out_up_to_the_budget_and_the_limit_of_the_field),
        cmocka_unit_test(the_price_is_the_index_of_the_last_holder_within_the_target),
        cmocka_unit_test(a_field_with_a_limit_has_a_price_of_its_own),
        cmocka_unit_test(a_row_costs_its_share_of_the_price),
        cmocka_unit_test(the_price_falls_when_there_is_room_but_not_below_the_cost_of_a_row),
        cmocka_unit_test(a_flood_never_exceeds_the_budget_and_drives_the_price_up),
        cmocka_unit_test(without_pressure_the_price_falls_to_nothing),
        cmocka_unit_test(rows_go_to_whoever_is_worth_them_now),
        cmocka_unit_test(a_long_round_is_done_in_steps_and_goes_on_after_a_checkpoint),
        cmocka_unit_test(as_many_fields_as_are_allowed_are_assigned_and_restored),
    };
    return cmocka_run_group_tests_name("assigner/policy/price", tests, NULL, NULL);
}
