#include "learner/critic/reward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/check.h"

static reward
reward_in_mode(enum aa_agent_mode mode, double row_cost)
{
    static aa_conf cfg;
    reward         rw;
    aa_conf_defaults(&cfg);
    cfg.agent.mode = mode;
    cfg.agent.row_cost = row_cost;
    reward_init(&rw, &cfg);
    return rw;
}

static void
paper_rewards_the_drop_of_the_loss(void **state)
{
    (void)state;
    reward      rw = reward_in_mode(AA_MODE_PAPER, 0.1);
    reward_case rc = {.loss = 0.5f, .baseline = 0.8f, .shared_loss = NAN, .own_row = false};
    check_close((double)reward_of(&rw, &rc), 0.3, 1e-6, 0.0, 0);
    rc.own_row = true;
    check_close((double)reward_of(&rw, &rc), 0.2, 1e-6, 0.0, 0);
    rc.shared_loss = 9.0f; /* not part of it */
    check_close((double)reward_of(&rw, &rc), 0.2, 1e-6, 0.0, 0);
}

static void
paper_takes_the_running_mean_for_an_id_without_history(void **state)
{
    (void)state;
    reward      rw = reward_in_mode(AA_MODE_PAPER, 0.0);
    reward_case rc = {.loss = 0.5f, .baseline = NAN, .shared_loss = NAN};
    check_close((double)reward_of(&rw, &rc), 0.0, 0.0, 0.0, 0); /* nothing to compare with */
    reward_event(&rw, 0.9f);
    reward_event(&rw, 0.5f);
    check_close((double)reward_of(&rw, &rc), 0.2, 1e-6, 0.0, 0);
}

static void
other_modes_reward_what_the_own_row_saves(void **state)
{
    (void)state;
    reward      rw = reward_in_mode(AA_MODE_DEFAULT, 0.05);
    reward_case rc = {.loss = 0.5f, .baseline = 0.9f, .shared_loss = 0.7f, .own_row = true};
    check_close((double)reward_of(&rw, &rc), 0.15, 1e-6, 0.0, 0);
    rc.shared_loss = NAN; /* not compared: no reward, and no price either */
    check_close((double)reward_of(&rw, &rc), 0.0, 0.0, 0.0, 0);
}

static void
sweep_pays_for_the_row_only(void **state)
{
    (void)state;
    reward rw = reward_in_mode(AA_MODE_DEFAULT, 0.05);
    check_close((double)reward_between(&rw, true), -0.05, 1e-7, 0.0, 0);
    check_close((double)reward_between(&rw, false), 0.0, 0.0, 0.0, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paper_rewards_the_drop_of_the_loss),
        cmocka_unit_test(paper_takes_the_running_mean_for_an_id_without_history),
        cmocka_unit_test(other_modes_reward_what_the_own_row_saves),
        cmocka_unit_test(sweep_pays_for_the_row_only),
    };
    return cmocka_run_group_tests_name("learner/critic/reward", tests, NULL, NULL);
}
