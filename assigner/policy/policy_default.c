/* The agent: an ID that is worth more than the price of a row gets one.
 *
 * Among the shared positions an ID stands where the number of its events puts it (the ladder). What
 * the actor decides is when a row of its own pays: at an event of an ID without a row it draws
 * ascend or unchanged, by how the worth of a row per event of the stream
 * (assigner/policy/row_actor) compares with the price (assigner/policy/price). Rows are given back
 * in the rounds of the price (assigner/policy/price_round), by the same comparison, and never at an
 * event: that would throw away a trained row at the moment it is read.
 *
 * The worth begins as a prior that rises with the frequency: with nothing learned the policy is the
 * rule that a row is for the frequent, with a threshold that the price moves.
 */
#include "assigner/field/gap.h"
#include "assigner/policy/policy.h"
#include "common/base/rng.h"

#define CERTAIN    100.0f /* times the price: no need to draw */
#define LEAST_ODDS 1e-6f  /* choices more certain than that teach nothing */

policy_move
policy_default_event(const policy_env *env, const policy_view *v)
{
    if (policy_holds_row(v->e)) return policy_stay(env, v);
    const float ask = price_ask(env->pr, env->f);
    if (!(ask > 0.0f)) return policy_up(env, v);
    const uint32_t bucket = aa_freq_bucket(v->frequency);
    const float    x = row_actor_index(env->ra, bucket, gap_with(v->e, v->now)) / ask;
    if (x > CERTAIN) return policy_up(env, v);

    const float p = row_actor_chance(x);
    const bool  up = aa_rng_uniform((uint64_t)env->cfg->pipeline.seed, AA_RNG_ACTION, v->draw,
                                    env->f) < (double)p;
    policy_move mv = up ? policy_up(env, v) : policy_stay(env, v);
    mv.chosen = p > LEAST_ODDS && p < 1.0f - LEAST_ODDS;
    mv.drawn = mv.action;
    mv.odds = (row_actor_odds){.rate = x / env->ra->exp_theta[bucket], .chance = up ? p : 1.0f - p};
    return mv;
}
