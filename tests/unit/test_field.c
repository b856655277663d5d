/* Budget, slots and what is counted, in the modes that give rows. */
#include "assigner/field/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/check.h"
#include "tests/world.h"

/* world_check asserts the budget at every op */
static void
the_budget_holds_under_a_flood_in_every_mode_that_gives_rows(void **state)
{
    (void)state;
    const enum aa_agent_mode mode[] = {AA_MODE_DEFAULT, AA_MODE_PAPER, AA_MODE_THRESHOLD,
                                       AA_MODE_RULE, AA_MODE_RANDOM};
    for (size_t i = 0; i < 5; i++) {
        world wo;
        world_conf(&wo, mode[i]);
        wo.cfg.fields[0].budget_rows = 8;
        wo.cfg.fields[1].budget_rows = 1;
        wo.cfg.fields[0].threshold = wo.cfg.fields[1].threshold = 2;
        wo.cfg.agent.random_ascend = 0.5;
        wo.cfg.agent.quiet_events = 50;
        world_open(&wo);
        world_random(&wo, 5, 30, 50, 60, 1);
        for (uint64_t n = 0; n < 3000; n++) { /* new IDs, three events each, and no more */
            uint64_t key[2] = {100000 + n / 3, 200000 + n / 3};
            world_event(&wo, key, 0.0f);
            if (n % 50 == 49) world_step(&wo);
        }
        assert_int_equal(wo.most[0], 8);
        assert_int_equal(wo.most[1], 1);
        for (size_t s = aa_shared_rows(&wo.cfg) + 8; s < WORLD_ROWS; s++)
            assert_int_equal(wo.live[0][s], 0); /* slots stay compact */
        world_close(&wo);
    }
}

/* Two IDs hold the two rows there are; then others want them. */
static void
two_holders(world *wo)
{
    world_conf(wo, AA_MODE_RULE);
    wo->cfg.fields[0].budget_rows = 2;
    wo->cfg.fields[0].threshold = 4;
    wo->cfg.fields[1].threshold = 1 << 30;
    wo->cfg.agent.quiet_events = 1 << 30; /* no sweep: the budget alone */
    world_open(wo);
    for (size_t n = 0; n < 40; n++)
        world_one(wo, 1 + n % 2, 500 + n, 1.0f);
    assert_int_equal(world_stats(wo, 0).rows_unique, 2);
}

static void
one_time_visitors_and_slow_ids_do_not_take_a_busy_ids_row(void **state)
{
    (void)state;
    world wo;
    two_holders(&wo);
    for (size_t n = 0; n < 300; n++)
        world_one(&wo, n % 2 ? 1 + n / 2 % 2 : 10 + n / 12, 1000 + n, 1.0f);
    assert_int_equal(wo.ops[AA_OP_FREE], 0);
    world_one(&wo, 1, 9000, 1.0f);
    assert_int_equal(wo.out.slot[0], 15);
    world_close(&wo);
}

static void
a_hot_id_takes_the_row_of_the_one_that_went_quiet(void **state)
{
    (void)state;
    world wo;
    two_holders(&wo);
    size_t freed_at = 0;
    for (size_t n = 0; n < 300 && freed_at == 0; n++) { /* 1 goes on, 2 is gone, 3 is new and hot */
        world_one(&wo, n % 2 ? 1 : 3, 1000 + n, 1.0f);
        if (wo.out.op_count > 0) freed_at = n + 1;
    }
    assert_true(freed_at > 8); /* at once would be without reason: 2 was as busy until now */
    assert_int_equal(wo.out.op_count, 2);
    assert_int_equal(wo.out.op[0].kind, AA_OP_FREE);
    assert_int_equal(wo.out.op[1].kind, AA_OP_PROMOTE);
    assert_int_equal(wo.out.op[0].slot, 16);
    assert_int_equal(wo.out.op[1].slot, 16);
    assert_int_equal(wo.out.op[1].event_idx, 0);
    assert_int_equal(wo.out.slot[0], 16);
    assert_int_equal(world_stats(&wo, 0).demotions, 1);
    assert_int_equal(world_stats(&wo, 0).swept, 0);
    world_one(&wo, 2, 9000, 1.0f); /* 2 is back, on a shared row again */
    assert_true(wo.out.slot[0] < 15);
    world_close(&wo);
}

static void
equals_do_not_take_the_row_from_each_other_for_ever(void **state)
{
    (void)state;
    world wo;
    two_holders(&wo);
    for (size_t n = 0; n < 2000; n++) /* four equally busy IDs, two rows */
        world_one(&wo, 1 + n % 4, 1000 + n, 1.0f);
    assert_true(wo.ops[AA_OP_FREE] <= 2);
    world_close(&wo);
}

static void
rows_follow_when_popularity_jumps(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].budget_rows = 10;
    wo.cfg.fields[0].threshold = 3;
    world_open(&wo);
    for (uint64_t phase = 0; phase < 4; phase++) {
        for (uint64_t n = 0; n < 1500; n++) {
            uint64_t key[2] = {phase * 100 + 1 + n % 10, 1 + n % 5};
            world_event(&wo, key, 1.0f);
            if (n % 30 == 29) world_step(&wo);
        }
        for (size_t i = 0; i < 60; i += 2) /* the hot ones of the phase hold all the rows */
            assert_true(wo.out.slot[i] >= 15);
    }
    world_close(&wo);
}

static void
a_refused_promotion_is_no_decision_of_the_actors(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT); /* as long as rows cost nothing it always asks */
    wo.cfg.fields[0].budget_rows = 1;
    wo.cfg.agent.sweep_every = 1000;
    world_open(&wo);
    world_one(&wo, 1, 500, 1.0f);
    assert_int_equal(AA_STATE_ACTION(wo.out.state[0]), AA_ASCEND);
    for (uint64_t n = 0; n < 20; n++) {
        world_one(&wo, 2 + n, 501, 1.0f);
        assert_int_equal(AA_STATE_ACTION(wo.out.state[0]), AA_UNCHANGED);
        assert_int_equal(wo.out.next_state[0] % 6, 0);
    }
    assert_int_equal(world_stats(&wo, 0).actions[AA_ASCEND], 1);
    world_close(&wo);
}

static void
a_budget_in_bytes_is_one_of_rows(void **state)
{
    (void)state;
    static const struct {
        enum aa_agent_mode    mode;
        enum aa_row_format    format;
        enum aa_row_optimizer optimizer;
        int64_t               row_bytes; /* 16 weights: as many accumulators, or two */
    } cases[] = {{AA_MODE_DEFAULT, AA_ROW_FLOAT, AA_ROW_ADAGRAD, 128},
                 {AA_MODE_RULE, AA_ROW_FLOAT, AA_ROW_ADAGRAD, 128},
                 {AA_MODE_DEFAULT, AA_ROW_BF16, AA_ROW_ADAGRAD, 96},
                 {AA_MODE_DEFAULT, AA_ROW_FLOAT, AA_ROW_ROWWISE, 72},
                 {AA_MODE_DEFAULT, AA_ROW_BF16, AA_ROW_ROWWISE, 40}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t row_bytes = cases[i].row_bytes;
        world         wo;
        world_conf(&wo, cases[i].mode);
        wo.cfg.model.row_format = cases[i].format;
        wo.cfg.model.row_optimizer = cases[i].optimizer;
        wo.cfg.model.dim = 15;
        wo.cfg.fields[0].budget_bytes = 7 * row_bytes + row_bytes - 1;
        wo.cfg.fields[1].budget_bytes = 7 * row_bytes;
        wo.cfg.fields[1].budget_rows = 5;
        wo.cfg.fields[0].threshold = wo.cfg.fields[1].threshold = 1;
        world_open(&wo);
        world_random(&wo, 5, 30, 50, 60, 1);
        assert_int_equal(wo.most[0], 7);
        assert_int_equal(wo.most[1], 5);
        world_close(&wo);
        aa_err err = AA_ERR_INIT;
        wo.cfg.fields[0].budget_bytes = row_bytes - 1;
        assert_int_equal(assigner_new(&wo.as, &wo.cfg, &err), AA_ECONFIG);
        assert_non_null(strstr(err.text, "budget_bytes"));
    }
}

static void
forgetting_bounds_the_table_and_spares_ids_with_rows(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.agent.forget_events = 500;
    wo.cfg.fields[0].threshold = wo.cfg.fields[1].threshold = 5;
    wo.cfg.agent.quiet_events = 1 << 30;
    world_open(&wo);
    for (size_t n = 0; n < 10; n++)
        world_one(&wo, 1, 2, 1.0f);
    for (uint64_t n = 0; n < 20000; n++) {
        uint64_t key[2] = {100 + n, 100 + n};
        world_event(&wo, key, 1.0f);
        if (n % 50 == 49) world_step(&wo);
    }
    assigner_stats st = world_stats(&wo, 0);
    assert_in_range(st.ids, 500, 1200);
    assert_int_equal(st.ids_seen, 20001);
    assert_int_equal(st.forgotten, st.ids_seen - st.ids);
    assert_int_equal(st.ids_at[6], 1);
    world_one(&wo, 1, 2, 1.0f);
    assert_int_equal(wo.out.seen[0], 10);
    world_close(&wo);
}

static void
one_field_and_eight_fields_work_as_two_do(void **state)
{
    (void)state;
    const size_t count[] = {1, 3, 8};
    for (size_t i = 0; i < 3; i++) {
        world wo;
        world_conf(&wo, AA_MODE_DEFAULT);
        for (size_t f = wo.cfg.field_count; f < count[i]; f++) {
            wo.cfg.fields[f] = wo.cfg.fields[0];
            snprintf(wo.cfg.fields[f].name, sizeof wo.cfg.fields[f].name, "field%zu", f);
        }
        wo.cfg.field_count = count[i];
        wo.cfg.agent.quiet_events = 100;
        world_open(&wo);
        world_random(&wo, 2, 40, 30, 200, 1);
        for (uint32_t f = 0; f < count[i]; f++)
            assert_true(world_stats(&wo, f).promotions > 0);
        world_close(&wo);
    }
}

static void
an_event_batch_of_other_fields_is_refused(void **state)
{
    (void)state;
    world  wo;
    aa_err err = AA_ERR_INIT;
    world_conf(&wo, AA_MODE_RULE);
    world_open(&wo);
    assert_int_equal(aa_event_batch_reserve(&wo.in, 1, 3, NULL), AA_OK);
    wo.in.hd.seq = 1;
    assert_int_equal(assigner_step(wo.as, &wo.in, &wo.out, &err), AA_EPARSE);
    assert_int_equal(assigner_next_batch(wo.as), 1);
    world_close(&wo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_holds_under_a_flood_in_every_mode_that_gives_rows),
        cmocka_unit_test(one_time_visitors_and_slow_ids_do_not_take_a_busy_ids_row),
        cmocka_unit_test(a_hot_id_takes_the_row_of_the_one_that_went_quiet),
        cmocka_unit_test(equals_do_not_take_the_row_from_each_other_for_ever),
        cmocka_unit_test(rows_follow_when_popularity_jumps),
        cmocka_unit_test(a_refused_promotion_is_no_decision_of_the_actors),
        cmocka_unit_test(a_budget_in_bytes_is_one_of_rows),
        cmocka_unit_test(forgetting_bounds_the_table_and_spares_ids_with_rows),
        cmocka_unit_test(one_field_and_eight_fields_work_as_two_do),
        cmocka_unit_test(an_event_batch_of_other_fields_is_refused),
    };
    return cmocka_run_group_tests_name("assigner/field/field", tests, NULL, NULL);
}
