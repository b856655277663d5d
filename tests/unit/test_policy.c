/* What each mode does with IDs, seen through the assigner. */
#include "assigner/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/check.h"
#include "tests/world.h"

static uint32_t
first_unique(const world *wo)
{
    return aa_shared_rows(&wo->cfg);
}

static void
rule_gives_a_row_at_exactly_the_threshold_of_earlier_events(void **state)
{
    (void)state;
    const enum aa_agent_mode mode[] = {AA_MODE_RULE, AA_MODE_THRESHOLD};
    for (size_t i = 0; i < 2; i++) {
        world wo;
        world_conf(&wo, mode[i]);
        wo.cfg.fields[0].threshold = 5;
        wo.cfg.fields[1].threshold = 9;
        world_open(&wo);
        for (size_t n = 0; n < 12; n++) {
            world_one(&wo, 1, 2, 1.0f);
            assert_int_equal(wo.out.slot[0] >= first_unique(&wo), n >= 5);
            assert_int_equal(wo.out.slot[1] >= first_unique(&wo), n >= 9);
            assert_int_equal(wo.out.seen[0], n);
        }
        assert_int_equal(wo.ops[AA_OP_PROMOTE], 2);
        assert_int_equal(world_stats(&wo, 0).promotions, 1);
        world_close(&wo);
    }
}

static void
a_threshold_of_nothing_gives_a_row_at_the_first_event(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].threshold = 0;
    world_open(&wo);
    world_one(&wo, 1, 2, 1.0f);
    assert_int_equal(wo.out.slot[0], first_unique(&wo));
    world_close(&wo);
}

static void
shared_positions_follow_the_doublings_of_what_was_seen(void **state)
{
    (void)state;
    const uint32_t want[] = {1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    world          wo;
    world_conf(&wo, AA_MODE_SHARED_ONLY);
    world_open(&wo);
    for (size_t n = 0; n < sizeof want / sizeof *want; n++) {
        world_one(&wo, 1, 1000 + n, 0.5f); /* the label is the first mean: no lean */
        assert_int_equal(wo.out.slot[0], (want[n] - 1) * 3 + 1);
        check_close((double)wo.out.mix[0], 0.0, 1e-6, 0.0, n);
        assert_int_equal(wo.out.slot[1], 1);
        assert_int_equal(wo.out.state[0], AA_NO_STATE);
    }
    assert_int_equal(wo.ops[AA_OP_PROMOTE], 0);
    world_close(&wo);
}

static void
threshold_has_one_shared_row(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_THRESHOLD);
    world_open(&wo);
    assert_int_equal(first_unique(&wo), 1);
    world_random(&wo, 1, 5, 100, 1000, 1);
    for (size_t j = 0; j < 200; j++)
        assert_true(wo.out.slot[j] >= 1 || wo.out.mix[j] == 0.0f);
    assert_int_equal(world_stats(&wo, 0).rows_shared, 1);
    world_close(&wo);
}

static void
promotion_copies_the_shared_row_that_the_id_would_have_read(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].threshold = 3;
    wo.cfg.fields[1].threshold = 1000;
    world_open(&wo);
    float lean = 0.0f, mean_sum = 0.5f;
    for (size_t n = 0; n < 3; n++) { /* each item is new: no lean of its own */
        world_one(&wo, 1, 100 + n, 1.0f);
        lean += 1.0f - mean_sum / (1.0f + (float)n);
        mean_sum += 1.0f;
    }
    float c = 1.0f + 3.0f * lean / (3.0f + 4.0f);
    world_one(&wo, 1, 200, 1.0f);
    assert_int_equal(wo.out.op_count, 1);
    const aa_op *op = &wo.out.op[0];
    assert_int_equal(op->kind, AA_OP_PROMOTE);
    assert_int_equal(op->event_idx, 0);
    assert_int_equal(op->source / 3, 2); /* position 3: three earlier events */
    check_close((double)(op->source % 3) + (double)op->source_mix, (double)c, 1e-3, 0.0, 0);
    assert_int_equal(wo.out.slot[0], op->slot);
    assert_int_equal(wo.out.alt_slot[0], op->source); /* a residual row: it is read beside it */
    check_close((double)wo.out.alt_mix[0], (double)op->source_mix, 0.0, 0.0, 0);
    world_close(&wo);
}

/* ID 1 gets a row, then falls silent while others go on.
 * Returns the event at which it was freed. */
static size_t
silence_until_freed(world *wo, size_t events)
{
    for (size_t n = 0; n < events; n++) {
        world_one(wo, 1000 + n, 2000 + n, 0.0f);
        for (size_t j = 0; j < wo->out.op_count; j++)
            if (wo->out.op[j].kind == AA_OP_FREE) return n + 1;
    }
    return 0;
}

static void
a_silent_id_gives_its_row_back_and_stands_where_the_ladder_puts_it(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].threshold = 4;
    wo.cfg.agent.quiet_events = 50;
    wo.cfg.agent.quiet_gaps = 10;
    world_open(&wo);
    for (size_t n = 0; n < 5; n++)
        world_one(&wo, 1, 100 + n, 1.0f);
    assert_int_equal(world_stats(&wo, 0).rows_unique, 1);
    size_t at = silence_until_freed(&wo, 200);
    assert_in_range(at, 50, 60); /* sweep_every is 10 */
    assert_int_equal(world_stats(&wo, 0).rows_unique, 0);
    assert_int_equal(world_stats(&wo, 0).ids_at[4], 1); /* seen five times */
    assert_int_equal(world_stats(&wo, 0).demotions, 1);
    assert_int_equal(world_stats(&wo, 0).swept, 1);
    world_one(&wo, 1, 5000, 1.0f); /* frequent enough still: at once a row again, the lowest */
    assert_int_equal(wo.out.slot[0], first_unique(&wo));
    world_close(&wo);
}

static void
a_slow_id_is_given_the_silence_of_its_own_gaps(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].threshold = 4;
    wo.cfg.agent.quiet_events = 50;
    wo.cfg.agent.quiet_gaps = 10;
    world_open(&wo);
    for (size_t n = 0; n < 100; n++) /* ID 1 comes every 20 events */
        world_one(&wo, n % 20 == 0 ? 1 : 100 + n, 7000 + n, 1.0f);
    assert_int_equal(world_stats(&wo, 0).rows_unique, 1);
    size_t at = silence_until_freed(&wo, 400);
    assert_in_range(at, 200 - 20, 200); /* 19 of the 200 events passed before */
    world_close(&wo);
}

static void
unique_gives_every_id_a_fresh_row_for_ever(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_UNIQUE);
    world_open(&wo);
    world_random(&wo, 3, 20, 50, 500, 1);
    assert_int_equal(world_stats(&wo, 0).rows_unique, world_stats(&wo, 0).ids_seen);
    assert_int_equal(wo.ops[AA_OP_INIT],
                     world_stats(&wo, 0).ids_seen + world_stats(&wo, 1).ids_seen);
    assert_int_equal(wo.ops[AA_OP_FREE] + wo.ops[AA_OP_PROMOTE], 0);
    assert_int_equal(world_stats(&wo, 0).rows_shared, 0);
    aa_assignment a;
    assigner_new_id(wo.as, 0, &a);
    assert_int_equal(a.slot, AA_NO_SLOT);
    world_close(&wo);
}

static void
hash_reads_the_key_modulo_the_rows_which_are_there_from_the_start(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_HASH);
    world_open(&wo);
    world_one(&wo, 100, 37, 1.0f);
    assert_int_equal(wo.ops[AA_OP_INIT], 32);
    assert_int_equal(wo.out.slot[0], 100 % 16);
    assert_int_equal(wo.out.slot[1], 37 % 16);
    world_random(&wo, 3, 20, 50, 500, 1);
    assert_int_equal(wo.ops[AA_OP_INIT], 32);
    assert_int_equal(world_stats(&wo, 0).rows_unique, 16);
    aa_assignment a;
    assigner_new_id(wo.as, 0, &a);
    assert_int_equal(a.modulo, 16);
    world_close(&wo);
}

static void
random_acts_at_the_given_rates(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RANDOM);
    wo.cfg.agent.random_ascend = 0.1;
    wo.cfg.agent.random_descend = 0.25;
    world_open(&wo);
    for (uint64_t n = 1; n <= 20000; n++) { /* every ID comes once */
        uint64_t key[2] = {n, n};
        world_event(&wo, key, 1.0f);
        if (n % 100 == 0) world_step(&wo);
    }
    assigner_stats st = world_stats(&wo, 0);
    check_close((double)st.promotions / 20000.0, 0.1, 0.01, 0.0, 0);
    /* 2 visits an event: a row lives 1/0.25 rounds of half as many events as there are slots */
    assert_true(st.demotions > st.promotions / 2 && st.demotions < st.promotions);
    assert_int_equal(st.actions[AA_ASCEND], st.promotions);
    assert_int_equal(st.actions[AA_DESCEND], st.demotions);
    world_close(&wo);
}

static void
paper_moves_one_position_at_a_time_from_one_to_k_plus_one(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_PAPER);
    wo.cfg.agent.quiet_events = 20;
    wo.cfg.agent.reward_window = 3;
    world_open(&wo);
    assert_int_equal(first_unique(&wo), 5);
    uint32_t at = 1;
    size_t   moved[AA_ACTIONS] = {0};
    for (size_t n = 0; n < 400; n++) {
        world_one(&wo, 1, 100 + n, n % 2 ? 1.0f : 0.0f);
        uint32_t action = AA_STATE_ACTION(wo.out.state[0]);
        uint32_t s = AA_STATE_IDX(wo.out.state[0]);
        assert_int_equal(s % 6 + 1, at);
        if (n <= 128) assert_int_equal(s / 6, aa_freq_bucket((float)n)); /* exact until then */
        assert_in_range(s / 6, aa_freq_bucket(0.9f * (float)n), aa_freq_bucket(1.1f * (float)n));
        at += action - AA_UNCHANGED;
        assert_in_range(at, 1, 6);
        assert_int_equal(wo.out.next_state[0] % 6 + 1, at);
        assert_int_equal(at == 6, wo.out.slot[0] >= 5);
        if (at <= 5) assert_int_equal(wo.out.slot[0], at - 1);
        moved[action]++;
    }
    for (size_t a = 0; a < AA_ACTIONS; a++)
        assert_true(moved[a] > 50);
    assert_true(wo.ops[AA_OP_PROMOTE] > 5 && wo.ops[AA_OP_FREE] > 5);
    world_close(&wo);
}

static void
paper_warms_its_shared_rows_at_random_before_anyone_moves(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_PAPER);
    wo.cfg.agent.warm_up_events = 500;
    world_open(&wo);
    size_t read[5] = {0};
    for (size_t b = 0; b < 10; b++) {
        world_random(&wo, 8, 1, 50, 100, 1);
        for (size_t j = 0; j < 100; j++)
            read[wo.out.slot[j]]++;
    }
    for (size_t i = 0; i < 5; i++)
        assert_in_range(read[i], 140, 260);
    assert_int_equal(world_stats(&wo, 0).ids_at[1], world_stats(&wo, 0).ids);
    world_random(&wo, 8, 20, 50, 100, 1);
    assert_true(world_stats(&wo, 0).ids_at[1] < world_stats(&wo, 0).ids);
    world_close(&wo);
}

static void
paper_compares_with_the_mean_of_the_last_losses(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_PAPER);
    wo.cfg.agent.reward_window = 3;
    wo.cfg.pipeline.depth = 2;
    world_open(&wo);
    for (uint64_t seq = 1; seq <= 12; seq++) {
        world_one(&wo, 1, 100 + seq, 1.0f);
        double   sum = 0.0;
        uint64_t n = 0; /* losses of batches up to seq-2 are known, the last three count */
        for (uint64_t s = seq > 2 ? seq - 2 : 0; s >= 1 && n < 3; s--, n++)
            sum += (double)(float)aa_rng_uniform(5, AA_RNG_TEST, s, 0);
        if (n == 0)
            assert_true(isnan(wo.out.baseline[0]));
        else
            check_close((double)wo.out.baseline[0], sum / (double)n, 1e-6, 1e-6, seq);
        assert_true(isnan(wo.out.baseline[1])); /* each item comes once */
    }
    world_close(&wo);
}

static void
buckets_of_frequency_account_for_every_id_and_action(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    world_open(&wo);
    world_random(&wo, 8, 20, 100, 300, 1);
    for (uint32_t f = 0; f < 2; f++) {
        assigner_bucket b[AA_FREQ_BUCKETS];
        assigner_stats  st = world_stats(&wo, f);
        uint64_t        ids[17] = {0}, actions[AA_ACTIONS] = {0}, rare = 0;
        assigner_buckets_get(wo.as, f, b);
        for (size_t i = 0; i < AA_FREQ_BUCKETS; i++) {
            for (size_t p = 0; p < 17; p++)
                ids[p] += b[i].ids_at[p];
            for (size_t a = 0; a < AA_ACTIONS; a++)
                actions[a] += b[i].actions[a];
        }
        assert_memory_equal(ids, st.ids_at, sizeof ids);
        assert_memory_equal(actions, st.actions, sizeof actions);
        for (size_t p = 1; p < 17; p++)
            rare += b[1].ids_at[p];
        assert_true(rare > 0 && b[0].ids_at[1] == 0);        /* an ID in the table had an event */
        assert_true(b[1].ascend > 0.0 && b[1].ascend < 0.2); /* below the threshold: the prior */
        assert_true(isnan(b[0].ascend));
        assert_true(st.own_reads > 0 && st.own_reads < 2000 && st.visits > 0);
    }
    world_close(&wo);
}

static void
settings_that_do_not_fit_the_mode_are_refused(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_HASH);
    wo.cfg.fields[1].hash_rows = 0;
    aa_err err = AA_ERR_INIT;
    assert_int_equal(assigner_new(&wo.as, &wo.cfg, &err), AA_ECONFIG);
    assert_null(wo.as);
    assert_non_null(strstr(err.text, "hash_rows"));
    world_conf(&wo, AA_MODE_UNIQUE);
    wo.cfg.fields[0].budget_rows = 7;
    assert_int_equal(assigner_new(&wo.as, &wo.cfg, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "budget_rows"));
}

/* ---- default ---- */

/* Without a price every ID has a row from its first event, as far as the budget goes. */
static void
default_gives_rows_to_whoever_comes_while_they_cost_nothing(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 30;
    wo.cfg.agent.rows_share = 0;
    wo.cfg.agent.sweep_every = 1000;
    world_open(&wo);
    for (uint64_t n = 0; n < 40; n++) { /* every event has two new IDs */
        world_one(&wo, 1 + n, 1 + n, 1.0f);
        for (size_t f = 0; f < 2; f++) {
            assert_int_equal(wo.out.slot[f] >= first_unique(&wo), n < 15);
            assert_int_equal(AA_STATE_ACTION(wo.out.state[f]), n < 15 ? AA_ASCEND : AA_UNCHANGED);
            assert_int_equal(wo.out.next_state[f] % 6, n < 15 ? 5 : 0);
        }
    }
    assert_int_equal(world_stats(&wo, 0).budget, 30);
    assert_true(world_stats(&wo, 0).price == 0.0);
    world_close(&wo);
}

static void
default_frees_rows_in_the_sweep_only_and_reads_the_shared_row_beside_its_own(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 40;
    wo.cfg.agent.rows_share = 0.1;
    wo.cfg.agent.sweep_every = 50;
    world_open(&wo);
    size_t own = 0, swept = 0;
    for (size_t b = 0; b < 100; b++) {
        world_random(&wo, 7, 1, 50, 600, 1);
        for (size_t j = 0; j < wo.out.op_count; j++)
            if (wo.out.op[j].kind == AA_OP_FREE) assert_int_equal(wo.out.op[j].event_idx, 50);
        for (size_t j = 0; j < 100; j++) {
            bool unique = wo.out.slot[j] >= first_unique(&wo);
            own += unique;
            assert_int_equal(unique, wo.out.alt_slot[j] != AA_NO_SLOT);
            assert_int_not_equal(wo.out.state[j], AA_NO_STATE);
            assert_int_equal(unique, wo.out.next_state[j] % 6 == 5);
        }
        for (size_t j = 0; j < wo.out.sweep_count; j++) {
            assert_int_equal(aa_state_position(AA_STATE_IDX(wo.out.sweep_state[j]), 5), 6);
            assert_int_equal(AA_STATE_ACTION(wo.out.sweep_state[j]), AA_DESCEND);
        }
        swept += wo.out.sweep_count;
    }
    assert_true(own > 500);
    assert_in_range(swept, 20, 2000);
    assert_int_equal(swept, wo.ops[AA_OP_FREE]);
    assert_int_equal(swept, world_stats(&wo, 0).swept + world_stats(&wo, 1).swept);
    world_close(&wo);
}

/* What an ID without a row does, against the choice as assigner/policy/row_actor.h has it, from
 * outside. */
static void
default_ascends_as_often_as_its_index_over_the_price_says(void **state)
{
    (void)state;
    enum { N = 4000 };
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 1 << 20;
    wo.cfg.agent.policy_rate = 0;
    wo.cfg.agent.swap_margin = 1;
    wo.cfg.agent.sweep_every = 1 << 30;
    /* nobody came twice: the gap is taken to be 1000; the worth of a row to a new ID is 0.02 * 0.5 / 10 */
    const double index = 0.001 / 1001.0;
    wo.cfg.agent.row_cost = index * 1.2;
    world_open(&wo);
    for (uint64_t n = 1; n <= N; n++) {
        uint64_t key[2] = {n, n};
        world_event(&wo, key, 1.0f);
        if (n % 100 == 0) world_step(&wo);
    }
    const double x = 1 / 1.2, p = pow(x, 4) / (1 + pow(x, 4)), sd = sqrt(p * (1 - p) / N);
    for (uint32_t f = 0; f < 2; f++) {
        check_close((double)world_stats(&wo, f).promotions / N, p, 4 * sd, 0.0, f);
        check_close(world_stats(&wo, f).price, index * 1.2, 1e-12, 1e-6, f);
    }
    world_close(&wo);
}

static void
default_begins_at_the_prior_and_learns_from_there(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.agent.rows_least = 10;
    wo.cfg.agent.rows_share = 0.05;
    wo.cfg.agent.policy_rate = 0.5;
    world_open(&wo);
    size_t       moved = 0, states;
    const float *worth = assigner_worth(wo.as, 0);
    assert_null(assigner_policy(wo.as, 0, &states));
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        const double n = (double)aa_freq_bucket_floor(b);
        check_close((double)worth[b], 0.02 * (n + 0.5) / (n + 10), 1e-6, 1e-5, b);
    }
    world_random(&wo, 2, 60, 50, 500, 1);
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        moved += fabs((double)assigner_worth(wo.as, 0)[b] / aa_worth_prior(&wo.cfg, b) - 1) > 1e-3;
    assert_true(moved > 2);
    world_close(&wo);
    world_conf(&wo, AA_MODE_RULE);
    world_open(&wo);
    assert_null(assigner_worth(wo.as, 0));
    assert_null(assigner_policy(wo.as, 0, &states));
    world_close(&wo);
    world_conf(&wo, AA_MODE_PAPER);
    world_open(&wo);
    assert_non_null(assigner_policy(wo.as, 0, &states));
    assert_int_equal(states, aa_state_count(5));
    world_close(&wo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_gives_a_row_at_exactly_the_threshold_of_earlier_events),
        cmocka_unit_test(a_threshold_of_nothing_gives_a_row_at_the_first_event),
        cmocka_unit_test(shared_positions_follow_the_doublings_of_what_was_seen),
        cmocka_unit_test(threshold_has_one_shared_row),
        cmocka_unit_test(promotion_copies_the_shared_row_that_the_id_would_have_read),
        cmocka_unit_test(a_silent_id_gives_its_row_back_and_stands_where_the_ladder_puts_it),
        cmocka_unit_test(a_slow_id_is_given_the_silence_of_its_own_gaps),
        cmocka_unit_test(unique_gives_every_id_a_fresh_row_for_ever),
        cmocka_unit_test(hash_reads_the_key_modulo_the_rows_which_are_there_from_the_start),
        cmocka_unit_test(random_acts_at_the_given_rates),
        cmocka_unit_test(paper_moves_one_position_at_a_time_from_one_to_k_plus_one),
        cmocka_unit_test(paper_warms_its_shared_rows_at_random_before_anyone_moves),
        cmocka_unit_test(paper_compares_with_the_mean_of_the_last_losses),
        cmocka_unit_test(buckets_of_frequency_account_for_every_id_and_action),
        cmocka_unit_test(settings_that_do_not_fit_the_mode_are_refused),
        cmocka_unit_test(default_gives_rows_to_whoever_comes_while_they_cost_nothing),
        cmocka_unit_test(
            default_frees_rows_in_the_sweep_only_and_reads_the_shared_row_beside_its_own),
        cmocka_unit_test(default_ascends_as_often_as_its_index_over_the_price_says),
        cmocka_unit_test(default_begins_at_the_prior_and_learns_from_there),
    };
    return cmocka_run_group_tests_name("assigner/policy/policy", tests, NULL, NULL);
}
