#include "common/agent/mode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static aa_conf cfg;

/* Checkpoints and topics hold slots and readings that were made with these numbers. */
static void
slots_and_readings_of_each_mode_stay_what_they_are(void **state)
{
    (void)state;
    static const struct {
        enum aa_agent_mode mode;
        uint32_t           positions, bins, rows;
        bool               residual;
    } want[] = {
        {AA_MODE_DEFAULT, 8, 3, 24, true},   {AA_MODE_PAPER, 8, 1, 8, false},
        {AA_MODE_UNIQUE, 8, 3, 0, false},    {AA_MODE_HASH, 8, 3, 0, false},
        {AA_MODE_THRESHOLD, 1, 1, 1, false}, {AA_MODE_RULE, 8, 3, 24, true},
        {AA_MODE_RANDOM, 8, 3, 24, true},    {AA_MODE_SHARED_ONLY, 8, 3, 24, false},
    };
    aa_conf_defaults(&cfg);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        cfg.agent.mode = want[i].mode;
        assert_int_equal(aa_shared_positions(&cfg), want[i].positions);
        assert_int_equal(aa_lean_bins(&cfg), want[i].bins);
        assert_int_equal(aa_shared_rows(&cfg), want[i].rows);
        assert_int_equal(aa_residual_rows(&cfg), want[i].residual);
    }
}

/* What a row says has to fit together, or assigner and learner would not. */
static void
the_columns_of_each_row_fit_together(void **state)
{
    (void)state;
    aa_conf_defaults(&cfg);
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        cfg.agent.mode = mode;
        const aa_mode *row = aa_mode_of(&cfg);
        const bool     shared = row->shared != AA_SHARED_NONE;
        /* a row begins as a copy of shared rows, or adds to them, only where there are some */
        if (row->own == AA_OWN_ADDS || row->own == AA_OWN_COPIES || row->own == AA_OWN_NEVER)
            assert_true(shared);
        if (row->own == AA_OWN_BY_KEY) assert_false(shared);
        /* the row actor learns from the worth of a row, the network from advantages of actions */
        assert_int_equal(row->actor == AA_ACTOR_ROW, row->critic == AA_CRITIC_WORTH);
        /* the network moves IDs among the shared positions, so nothing else may */
        if (row->actor == AA_ACTOR_NETWORK) assert_false(row->ladder);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_and_readings_of_each_mode_stay_what_they_are),
        cmocka_unit_test(the_columns_of_each_row_fit_together),
    };
    return cmocka_run_group_tests_name("common/agent/mode", tests, NULL, NULL);
}
