/* agent.budget_bytes: never exceeded, and what is worth least goes first. */
#include "assigner/policy/byte_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/model/row.h"
#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"
#include "tests/world.h"

/* The least budget that is taken, and so many bytes more. */
static void
set_budget(aa_conf *cfg, int64_t more)
{
    byte_budget bb;
    int64_t     low = 1, high = (int64_t)1 << 40;
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        cfg->agent.budget_bytes = mid;
        if (byte_budget_init(&bb, cfg, NULL) == AA_OK)
            high = mid;
        else
            low = mid + 1;
    }
    cfg->agent.budget_bytes = low + more;
}

static void
small_world(world *wo, enum aa_agent_mode mode, int64_t more)
{
    world_conf(wo, mode);
    wo->cfg.ingest.batch_events = 64;
    wo->cfg.fields[0].threshold = wo->cfg.fields[1].threshold = 3;
    wo->cfg.agent.half_life_events = 5000;
    wo->cfg.agent.rows_share = 0.6;
    wo->cfg.agent.rows_least = 10000;
    wo->cfg.agent.random_ascend = 0.3;
    wo->cfg.agent.quiet_events = 500;
    set_budget(&wo->cfg, more);
}

/* What the tables hold, and the learner's for the slots that were ever used. */
static uint64_t
held_bytes(const world *wo, uint32_t slots_end[AA_MAX_FIELDS])
{
    uint64_t bytes = 0;
    for (uint32_t f = 0; f < wo->cfg.field_count; f++) {
        const assigner_stats st = world_stats(wo, f);
        bytes += st.table_bytes + st.agent_bytes;
        for (uint32_t s = slots_end[f]; s < WORLD_ROWS; s++)
            if (wo->live[f][s]) slots_end[f] = s + 1;
        bytes += aa_rows_chunks_bytes(&wo->cfg, slots_end[f]);
    }
    return bytes;
}

static void
check_held(const world *wo, uint32_t slots_end[AA_MAX_FIELDS])
{
    const assigner_stats st = world_stats(wo, 0);
    assert_true(held_bytes(wo, slots_end) <= st.bytes_used);
    assert_true(st.bytes_used <= st.bytes_budget);
    assert_int_equal(st.bytes_budget, wo->cfg.agent.budget_bytes);
}

/* Regulars, 20 times each in turn, among a flood of IDs that come once; n: number of the event. */
static void
flood_event(world *wo, uint64_t n, uint64_t regulars)
{
    const bool     regular = n % 4 == 0;
    const uint64_t key[2] = {regular ? 1 + n / 4 % regulars : 1000000 + n,
                             regular ? 1 + n / 4 % regulars : 2000000 + n / 2};
    world_event(wo, key, n % 3 == 0 ? 1.0f : 0.0f);
}

static void
the_budget_is_never_exceeded_under_a_flood_in_any_mode(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        world    wo;
        uint32_t end[AA_MAX_FIELDS] = {0};
        small_world(&wo, mode, 250000);
        world_open(&wo);
        for (uint64_t n = 0; n < 60000; n++) {
            flood_event(&wo, n, 200);
            if (n % 64 != 63) continue;
            world_step(&wo);
            check_held(&wo, end);
        }
        assert_true(world_stats(&wo, 0).forgotten > 10000); /* it was a flood */
        assert_true(world_stats(&wo, 0).ids > 2000);
        world_close(&wo);
    }
}

static void
regulars_stay_while_ids_that_come_once_go(void **state)
{
    (void)state;
    const enum aa_agent_mode mode[] = {AA_MODE_DEFAULT, AA_MODE_RULE, AA_MODE_UNIQUE,
                                       AA_MODE_SHARED_ONLY};
    for (size_t i = 0; i < 4; i++) {
        world wo;
        small_world(&wo, mode[i], 150000);
        world_open(&wo);
        const uint64_t regulars = 200;
        for (uint64_t n = 0; n < 40000; n++) {
            flood_event(&wo, n, regulars);
            if (n % 64 == 63) world_step(&wo);
        }
        const uint64_t before = world_stats(&wo, 0).ids_seen;
        for (uint64_t n = 0; n < 4 * regulars; n += 4) /* each of them once more: none is new */
            flood_event(&wo, n, regulars);
        world_step(&wo);
        assert_int_equal(world_stats(&wo, 0).ids_seen, before);
        world_close(&wo);
    }
}

static void
rows_have_their_reserve_when_a_flood_came_first(void **state)
{
    (void)state;
    const enum aa_agent_mode mode[] = {AA_MODE_DEFAULT, AA_MODE_RULE};
    for (size_t i = 0; i < 2; i++) {
        world wo;
        small_world(&wo, mode[i], 700000);
        world_open(&wo);
        for (uint64_t n = 0; n < 60000; n++) { /* IDs that come once, and no row */
            const uint64_t key[2] = {1000000 + n, 2000000 + n};
            world_event(&wo, key, 0.0f);
            if (n % 64 == 63) world_step(&wo);
        }
        assert_true(world_stats(&wo, 0).forgotten > 0);
        for (uint64_t n = 0; n < 60000; n++) {
            const uint64_t key[2] = {1 + n % 900, 1 + n % 900};
            world_event(&wo, key, n % 3 == 0 ? 1.0f : 0.0f);
            if (n % 64 == 63) world_step(&wo);
        }
        assert_true(wo.most[0] > 500);
        world_close(&wo);
    }
}

static void
a_restored_assigner_goes_on_as_if_it_had_not_stopped(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        const uint64_t run_regulars = 3000; /* more than rows fit */
        uint64_t       digest[2];
        for (size_t run = 0; run < 2; run++) {
            world wo;
            small_world(&wo, mode, 100000);
            ckpt_folder_make(&wo.cfg);
            world_open(&wo);
            for (uint64_t n = 0; n < 40000; n++) {
                flood_event(&wo, n, run_regulars);
                if (n % 64 == 63) world_step(&wo);
                if (run == 1 && n == 64 * 250 - 1) {
                    aa_err err = AA_ERR_INIT;
                    world_save(&wo);
                    assigner_free(&wo.as);
                    if (world_restore(&wo.cfg, &wo.as, &err) != AA_OK) fail_msg("%s", err.text);
                }
            }
            digest[run] = assigner_digest(wo.as);
            world_close(&wo);
            ckpt_folder_remove(&wo.cfg);
        }
        assert_true(digest[0] == digest[1]);
    }
}

static void
a_budget_that_the_restored_state_exceeds_is_refused(void **state)
{
    (void)state;
    world  wo;
    aa_err err = AA_ERR_INIT;
    small_world(&wo, AA_MODE_DEFAULT, 3000000);
    ckpt_folder_make(&wo.cfg);
    world_open(&wo);
    world_random(&wo, 1, 100, 500, 1e6, 1);
    world_save(&wo);
    assigner_free(&wo.as);
    set_budget(&wo.cfg, 0);
    assert_int_equal(world_restore(&wo.cfg, &wo.as, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "agent.budget_bytes: "));
    assert_non_null(strstr(err.text, "restored"));
    world_close(&wo);
    ckpt_folder_remove(&wo.cfg);
}

static void
a_budget_below_the_fixed_parts_is_refused_with_what_they_take(void **state)
{
    (void)state;
    byte_budget bb;
    aa_conf     cfg;
    aa_err      err = AA_ERR_INIT;
    aa_conf_defaults(&cfg);
    set_budget(&cfg, -1);
    assert_int_equal(byte_budget_init(&bb, &cfg, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "agent.budget_bytes: "));
    set_budget(&cfg, 0);
    assert_int_equal(byte_budget_init(&bb, &cfg, &err), AA_OK);
    assert_true(byte_budget_used(&bb) < bb.bytes);
    const int64_t narrow = cfg.agent.budget_bytes;
    cfg.model.dim = 512;
    set_budget(&cfg, 0);
    assert_true(cfg.agent.budget_bytes > 2 * narrow);
}

static void
without_a_budget_nothing_is_bounded(void **state)
{
    (void)state;
    byte_budget bb;
    aa_conf     cfg;
    aa_conf_defaults(&cfg);
    assert_int_equal(byte_budget_init(&bb, &cfg, NULL), AA_OK);
    assert_true(byte_budget_admits(&bb, 1, UINT32_MAX, UINT32_MAX));
    assert_int_equal(byte_budget_waiting(&cfg), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_is_never_exceeded_under_a_flood_in_any_mode),
        cmocka_unit_test(regulars_stay_while_ids_that_come_once_go),
        cmocka_unit_test(rows_have_their_reserve_when_a_flood_came_first),
        cmocka_unit_test(a_restored_assigner_goes_on_as_if_it_had_not_stopped),
        cmocka_unit_test(a_budget_that_the_restored_state_exceeds_is_refused),
        cmocka_unit_test(a_budget_below_the_fixed_parts_is_refused_with_what_they_take),
        cmocka_unit_test(without_a_budget_nothing_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
