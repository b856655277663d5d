#include "learner/critic/critic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent/agent_state.h"
#include "common/base/rng.h"
#include "common/messages/batch.h"
#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"

static aa_conf cfg;

static critic *
critic_with(double gamma, double rate)
{
    critic *cr = NULL;
    aa_err  err = AA_ERR_INIT;
    aa_conf_defaults(&cfg);
    cfg.agent.gamma = gamma;
    cfg.agent.critic_rate = rate;
    if (critic_new(&cr, &cfg, &err)) fail_msg("%s", err.text);
    return cr;
}

static uint32_t
state_of(uint32_t bucket, uint32_t position)
{
    return aa_state_idx(bucket, position, (uint32_t)cfg.agent.positions);
}

static float
q_of(const critic *cr, uint32_t s, uint32_t action)
{
    return critic_q(cr)[s * AA_ACTIONS + action];
}

static void
only_words_of_states_and_actions_that_exist_are_known(void **state)
{
    (void)state;
    critic        *cr = critic_with(0.9, 0.001);
    const uint32_t S = aa_state_count((uint32_t)cfg.agent.positions);
    assert_true(critic_knows(cr, AA_STATE_WORD(S - 1, AA_ASCEND), S - 1));
    assert_false(critic_knows(cr, AA_STATE_WORD(S, AA_ASCEND), 0));
    assert_false(critic_knows(cr, AA_STATE_WORD(0, AA_ACTIONS), 0));
    assert_false(critic_knows(cr, AA_STATE_WORD(0, AA_ASCEND), S));
    assert_true(critic_knows(cr, AA_NO_STATE, AA_NO_STATE));
    critic_free(&cr);
}

/* gamma 0: Q is the mean reward of (s,a), A what is above the mean over the actor's choices. */
static void
without_discount_values_become_mean_rewards(void **state)
{
    (void)state;
    critic        *cr = critic_with(0.0, 0.01);
    const uint32_t s = state_of(3, 2), other = state_of(20, 6);
    float          up = 0.0f, stay = 0.0f;
    for (int batch = 0; batch < 3000; batch++) {
        for (int i = 0; i < 2; i++) /* mean 0.4 */
            up = critic_decision(cr, AA_STATE_WORD(s, AA_ASCEND), other, i ? 0.6f : 0.2f);
        for (int i = 0; i < 6; i++)
            stay = critic_decision(cr, AA_STATE_WORD(s, AA_UNCHANGED), s, -0.2f);
        critic_decision(cr, AA_STATE_WORD(other, AA_UNCHANGED), other, 0.1f);
        critic_learn(cr);
    }
    check_close((double)q_of(cr, s, AA_ASCEND), 0.4, 0.01, 0.0, 0);
    check_close((double)q_of(cr, s, AA_UNCHANGED), -0.2, 0.01, 0.0, 1);
    check_close((double)q_of(cr, other, AA_UNCHANGED), 0.1, 0.01, 0.0, 2);
    const double v = (2.0 * 0.4 + 6.0 * -0.2) / 8.0; /* as often as chosen */
    check_close((double)critic_v(cr)[s], v, 0.01, 0.0, 3);
    check_close((double)up, 0.6 - v, 0.02, 0.0, 4); /* the last decision's reward was 0.6 */
    check_close((double)stay, -0.2 - v, 0.02, 0.0, 5);
    critic_free(&cr);
}

/* a pays nothing but leads to b, where each stay pays 1:
 * V(b) = 1/(1-gamma), Q(a,up) = gamma V(b) */
static void
discounted_values_reach_the_fixed_point(void **state)
{
    (void)state;
    critic        *cr = critic_with(0.5, 0.01);
    const uint32_t a = state_of(2, 1), b = state_of(12, 6);
    for (int batch = 0; batch < 6000; batch++) {
        for (int i = 0; i < 4; i++) {
            critic_decision(cr, AA_STATE_WORD(a, AA_ASCEND), b, 0.0f);
            critic_decision(cr, AA_STATE_WORD(b, AA_UNCHANGED), b, 1.0f);
        }
        critic_learn(cr);
    }
    check_close((double)q_of(cr, b, AA_UNCHANGED), 2.0, 0.02, 0.0, 0);
    check_close((double)q_of(cr, a, AA_ASCEND), 1.0, 0.02, 0.0, 1);
    assert_true(critic_td_error(cr) < 0.02);
    critic_free(&cr);
}

static void
decisions_outside_learning_change_nothing(void **state)
{
    (void)state;
    critic        *cr = critic_with(0.9, 0.01);
    const uint64_t before = critic_digest(cr, 0);
    check_close((double)critic_decision(cr, AA_NO_STATE, 7, 5.0f), 0.0, 0.0, 0.0, 0);
    critic_learn(cr);
    assert_true(critic_digest(cr, 0) == before);
    critic_decision(cr, AA_STATE_WORD(0, AA_UNCHANGED), 0, 5.0f);
    critic_learn(cr);
    assert_false(critic_digest(cr, 0) == before);
    critic_free(&cr);
}

static void
random_batches(critic *cr, uint64_t from, uint64_t to)
{
    const uint64_t S = aa_state_count((uint32_t)cfg.agent.positions);
    for (uint64_t batch = from; batch < to; batch++) {
        for (uint64_t i = 0; i < 50; i++) {
            const uint64_t bits = aa_rng_bits(1, AA_RNG_TEST, batch, i);
            critic_decision(cr, AA_STATE_WORD(bits % S, bits >> 32 & 1), (uint32_t)(bits / S % S),
                            (float)(bits >> 50 & 7));
        }
        critic_learn(cr);
    }
}

static void
a_critic_comes_back_from_a_checkpoint_bit_by_bit(void **state)
{
    (void)state;
    critic         *a = critic_with(0.9, 0.01), *b = critic_with(0.9, 0.01);
    aa_ckpt_writer *w = NULL;
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    ckpt_folder_make(&cfg);
    random_batches(a, 0, 20);
    if (aa_ckpt_create(&w, &cfg, "learner", 1, &err) || critic_save(a, w, &err) ||
        aa_ckpt_commit(&w, 0, &err) || aa_ckpt_open(&r, &cfg, "learner", 1, &err) ||
        critic_restore(b, r, &err))
        fail_msg("%s", err.text);
    assert_true(critic_digest(a, 0) == critic_digest(b, 0));
    random_batches(a, 20, 40);
    random_batches(b, 20, 40);
    assert_true(critic_digest(a, 0) == critic_digest(b, 0));
    assert_memory_equal(critic_v(a), critic_v(b), sizeof(float) * 32);
    aa_ckpt_close(&r);
    ckpt_folder_remove(&cfg);
    critic_free(&a);
    critic_free(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_words_of_states_and_actions_that_exist_are_known),
        cmocka_unit_test(without_discount_values_become_mean_rewards),
        cmocka_unit_test(discounted_values_reach_the_fixed_point),
        cmocka_unit_test(decisions_outside_learning_change_nothing),
        cmocka_unit_test(a_critic_comes_back_from_a_checkpoint_bit_by_bit),
    };
    return cmocka_run_group_tests_name("learner/critic/critic", tests, NULL, NULL);
}
