#include "assigner/policy/actor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

enum { K = 5, DEPTH = 3 };

static void
start(actor *ac)
{
    assert_int_equal(actor_init(ac, K, DEPTH, 3, 0, NULL), AA_OK);
    aa_rng_normal(ac->nn.w, ac->nn.count, 0.5, 3, AA_RNG_TEST, 0);
    ac->rate = 0.01;
    ac->ratio_clip = 2.0;
    actor_refresh(ac);
}

static void
probabilities_sum_to_one_and_illegal_actions_have_none(void **state)
{
    (void)state;
    actor ac;
    start(&ac);
    for (uint32_t s = 0; s < ac.S; s++) {
        const float *p = ac.pi + s * AA_ACTIONS;
        uint32_t     position = s % (K + 1) + 1;
        check_close((double)p[0] + (double)p[1] + (double)p[2], 1.0, 1e-6, 0.0, s);
        assert_true((position == 1) == (p[AA_DESCEND] == 0.0f));
        assert_true((position == K + 1) == (p[AA_ASCEND] == 0.0f));
        assert_true(p[AA_UNCHANGED] > 0.0f);
    }
    actor_fini(&ac);
}

static void
sampling_follows_the_probabilities_and_never_takes_an_illegal_action(void **state)
{
    (void)state;
    enum { N = 200000 };
    actor ac;
    start(&ac);
    uint32_t state_of[3] = {aa_state_idx(7, 1, K), aa_state_idx(7, 3, K),
                            aa_state_idx(7, K + 1, K)};
    for (size_t i = 0; i < 3; i++) {
        size_t       n[AA_ACTIONS] = {0};
        const float *p = ac.pi + state_of[i] * AA_ACTIONS;
        for (uint64_t t = 0; t < N; t++)
            n[actor_sample(&ac, state_of[i], aa_rng_uniform(9, AA_RNG_TEST, t, i))]++;
        for (size_t a = 0; a < AA_ACTIONS; a++)
            check_close((double)n[a] / N, (double)p[a], 0.005, 0.0, i * AA_ACTIONS + a);
        assert_int_not_equal(actor_sample(&ac, state_of[0], 0.0), AA_DESCEND);
        assert_int_not_equal(actor_sample(&ac, state_of[2], 0x1.fffffffffffffp-1), AA_ASCEND);
    }
    actor_fini(&ac);
}

/* Decisions of one batch: (state, action, advantage). */
static const struct {
    uint32_t state, action;
    float    advantage;
} decision[] = {
    {2, AA_ASCEND, 0.7f},    {2, AA_UNCHANGED, -0.2f}, {2, AA_ASCEND, 0.1f},
    {13, AA_DESCEND, -0.5f}, {40, AA_UNCHANGED, 0.3f}, {40, AA_DESCEND, 0.9f},
    {K, AA_DESCEND, 0.4f},   {K, AA_UNCHANGED, 1.1f},  {100, AA_ASCEND, -1.3f},
};
enum { N = sizeof decision / sizeof *decision };

static void
note_all(actor *ac)
{
    for (size_t i = 0; i < N; i++)
        actor_reward(ac, decision[i].state, decision[i].action, decision[i].advantage);
}

/* L of the decisions at the weights as they are; ratios are those of the given tables, fixed. */
static double
loss_ref(actor *ac, const double *ratio)
{
    double L = 0.0;
    actor_refresh(ac);
    for (size_t i = 0; i < N; i++) {
        const float *p = ac->pi + decision[i].state * AA_ACTIONS;
        double       H = 0.0;
        for (size_t a = 0; a < AA_ACTIONS; a++)
            if (p[a] > 0.0f) H -= (double)p[a] * log((double)p[a]);
        L -= ratio[i] * (double)decision[i].advantage * log((double)p[decision[i].action]);
        L -= ac->entropy * H;
    }
    return L / N;
}

static void
gradient_matches_finite_differences_with_clipped_ratios(void **state)
{
    (void)state;
    actor  ac;
    double ratio[N];
    size_t clipped = 0;
    start(&ac);
    ac.ratio_clip = 1.05;
    ac.entropy = 0.3;
    actor_keep(&ac, 8);
    float *then = malloc(ac.S * AA_ACTIONS * sizeof *then);
    assert_non_null(then);
    memcpy(then, ac.pi, ac.S * AA_ACTIONS * sizeof *then);
    for (size_t i = 0; i < ac.nn.count; i++) /* the policy moved on since */
        ac.nn.w[i] *= i % 2 ? 1.15f : 0.9f;
    actor_refresh(&ac);
    for (size_t i = 0; i < N; i++) {
        size_t at = decision[i].state * AA_ACTIONS + decision[i].action;
        ratio[i] = (double)ac.pi[at] / (double)then[at];
        if (ratio[i] > ac.ratio_clip) ratio[i] = ac.ratio_clip, clipped++;
    }
    assert_true(clipped > 0 && clipped < N);

    note_all(&ac);
    float *dw = malloc(ac.nn.count * sizeof *dw);
    assert_non_null(dw);
    check_close(actor_gradient(&ac, 8, dw), N, 0.0, 0.0, 0);
    for (size_t i = 0; i < ac.nn.count; i++) {
        float keep = ac.nn.w[i], up, down;
        up = ac.nn.w[i] = keep + 1e-2f;
        double l_up = loss_ref(&ac, ratio);
        down = ac.nn.w[i] = keep - 1e-2f;
        double l_down = loss_ref(&ac, ratio);
        ac.nn.w[i] = keep;
        check_close((double)dw[i], (l_up - l_down) / (double)(up - down), 1e-4, 2e-3, i);
    }
    free(dw);
    free(then);
    actor_fini(&ac);
}

static void
a_gain_makes_its_action_likelier_and_a_loss_less_likely(void **state)
{
    (void)state;
    actor ac;
    start(&ac);
    uint32_t s = aa_state_idx(4, 2, K);
    float    was[AA_ACTIONS];
    memcpy(was, ac.pi + s * AA_ACTIONS, sizeof was);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        actor_keep(&ac, seq);
        actor_reward(&ac, s, AA_ASCEND, 1.0f);
        actor_reward(&ac, s, AA_DESCEND, -1.0f);
        actor_learn(&ac, seq);
    }
    assert_true(ac.pi[s * AA_ACTIONS + AA_ASCEND] > was[AA_ASCEND]);
    assert_true(ac.pi[s * AA_ACTIONS + AA_DESCEND] < was[AA_DESCEND]);
    actor_fini(&ac);
}

static void
entropy_alone_drives_the_policy_towards_uniform(void **state)
{
    (void)state;
    actor ac;
    start(&ac);
    ac.entropy = 1.0;
    ac.rate = 0.02;
    uint32_t s = aa_state_idx(10, 3, K);
    for (uint64_t seq = 1; seq <= 2000; seq++) {
        actor_keep(&ac, seq);
        actor_reward(&ac, s, AA_UNCHANGED, 0.0f);
        actor_learn(&ac, seq);
    }
    for (size_t a = 0; a < AA_ACTIONS; a++)
        check_close((double)ac.pi[s * AA_ACTIONS + a], 1.0 / 3.0, 0.01, 0.0, a);
    actor_fini(&ac);
}

static void
a_batch_without_decisions_changes_nothing(void **state)
{
    (void)state;
    actor ac;
    start(&ac);
    actor_keep(&ac, 1);
    uint64_t d = actor_digest(&ac, 0, 1, 2);
    actor_learn(&ac, 1);
    assert_true(actor_digest(&ac, 0, 1, 2) == d);
    assert_int_equal(ac.nn.steps, 0);
    actor_fini(&ac);
}

static void
a_prior_masks_and_shifts_the_policy(void **state)
{
    (void)state;
    actor ac;
    start(&ac);
    memset(ac.nn.w, 0, ac.nn.count * sizeof *ac.nn.w);
    float *z = ac.prior + aa_state_idx(3, 2, K) * AA_ACTIONS;
    z[AA_DESCEND] = -INFINITY;
    z[AA_ASCEND] = 4.0f;
    actor_refresh(&ac);
    const float *p = ac.pi + aa_state_idx(3, 2, K) * AA_ACTIONS;
    assert_true(p[AA_DESCEND] == 0.0f);
    check_close((double)p[AA_ASCEND], exp(4.0) / (1.0 + exp(4.0)), 1e-6, 0.0, 0);
    actor_fini(&ac);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_sum_to_one_and_illegal_actions_have_none),
        cmocka_unit_test(sampling_follows_the_probabilities_and_never_takes_an_illegal_action),
        cmocka_unit_test(gradient_matches_finite_differences_with_clipped_ratios),
        cmocka_unit_test(a_gain_makes_its_action_likelier_and_a_loss_less_likely),
        cmocka_unit_test(entropy_alone_drives_the_policy_towards_uniform),
        cmocka_unit_test(a_batch_without_decisions_changes_nothing),
        cmocka_unit_test(a_prior_masks_and_shifts_the_policy),
    };
    return cmocka_run_group_tests_name("assigner/policy/actor", tests, NULL, NULL);
}
