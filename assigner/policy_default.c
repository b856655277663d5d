/* The agent: an actor that starts from the rule.
 *
 * Among the shared positions an ID stands where its frequency puts it (the ladder). What the actor
 * decides is when a row of its own pays: at an event, ascend to k+1 or stay; at a visit of the
 * sweep to an ID that went quiet, descend or stay. An ID is never moved off its row at an event:
 * that would throw away a trained row at the moment it is read.
 *
 * Prior: the fixed rule as logits of strength agent.prior_strength (ascend once the threshold is
 * reached, descend when quiet), so the policy begins as the rule with a little exploration, and the
 * network learns what to add to it.
 */
#include "assigner/policy.h"

#include <math.h>

#include "common/rng.h"

static uint32_t
draw(const policy_env *env, const policy_view *v, uint32_t position, uint32_t stream)
{
    uint32_t state = aa_state_idx(aa_freq_bucket(v->frequency), position, env->k);
    double   u = aa_rng_uniform((uint64_t)env->cfg->pipeline.seed, stream, v->draw, env->f);
    return actor_sample(env->ac, state, u);
}

static policy_move
event(const policy_env *env, const policy_view *v)
{
    policy_move mv = policy_stay(env, v);
    if (policy_holds_row(v->e)) return mv;
    mv.chosen = true;
    if (draw(env, v, mv.from, AA_RNG_ACTION) == AA_ASCEND) {
        mv.action = AA_ASCEND;
        mv.to = env->k + 1;
    }
    return mv;
}

static policy_move
visit(const policy_env *env, const policy_view *v)
{
    policy_move mv = policy_stay(env, v);
    if (!policy_holds_row(v->e) || !policy_quiet(env, v)) return mv;
    if (draw(env, v, env->k + 1, AA_RNG_SWEEP) == AA_DESCEND) mv = policy_down(env, v);
    mv.chosen = true;
    return mv;
}

static void
prior(const policy_env *env)
{
    float    strength = (float)env->cfg->agent.prior_strength;
    uint32_t enough = aa_freq_bucket(env->threshold);
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        for (uint32_t position = 1; position <= env->k + 1; position++) {
            float *logit = env->ac->prior + (size_t)aa_state_idx(b, position, env->k) * AA_ACTIONS;
            if (position == env->k + 1) { /* only asked when quiet */
                logit[AA_DESCEND] += strength;
                continue;
            }
            logit[AA_DESCEND] = -INFINITY; /* the ladder moves IDs down */
            logit[AA_ASCEND] += b >= enough ? strength : -strength;
        }
}

const policy_kind policy_default = {.name = "default",
                                    .use_actor = true,
                                    .ladder = true,
                                    .event = event,
                                    .visit = visit,
                                    .prior = prior};
