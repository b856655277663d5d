/* The controls: what the agent must beat. None of them learns. shared-only, where nobody ever gets
 * a row, is policy_stay. */
#include "assigner/policy/policy.h"

#include "common/base/rng.h"

/* rule (the default's shared rows), threshold (a single one): own row once the ID was seen
 * field.threshold times. */
policy_move
policy_rule_event(const policy_env *env, const policy_view *v)
{
    if (policy_holds_row(v->e) || (float)v->e->seen < env->threshold) return policy_stay(env, v);
    return policy_up(env, v);
}

/* rule, threshold: the row is given back once the ID is quiet. */
policy_move
policy_rule_visit(const policy_env *env, const policy_view *v)
{
    if (policy_holds_row(v->e) && policy_quiet(env, v)) return policy_down(env, v);
    return policy_stay(env, v);
}

/* unique: the full table. Every ID has a row at once and for ever. */
policy_move
policy_unique_event(const policy_env *env, const policy_view *v)
{
    return policy_holds_row(v->e) ? policy_stay(env, v) : policy_up(env, v);
}

/* hash: row = key mod field.hash_rows; nothing ever moves. The rows are made before the first event
 * (field.c), and every ID stays at position 1. */
policy_move
policy_hash_event(const policy_env *env, const policy_view *v)
{
    (void)env, (void)v;
    return (policy_move){.from = 1, .to = 1, .action = AA_UNCHANGED};
}

/* random: rows come and go at given rates, whatever the ID. */
policy_move
policy_random_event(const policy_env *env, const policy_view *v)
{
    const aa_conf *cfg = env->cfg;
    if (policy_holds_row(v->e) || aa_rng_uniform((uint64_t)cfg->pipeline.seed, AA_RNG_ACTION,
                                                 v->draw, env->f) >= cfg->agent.random_ascend)
        return policy_stay(env, v);
    return policy_up(env, v);
}

policy_move
policy_random_visit(const policy_env *env, const policy_view *v)
{
    const aa_conf *cfg = env->cfg;
    if (!policy_holds_row(v->e) || aa_rng_uniform((uint64_t)cfg->pipeline.seed, AA_RNG_SWEEP,
                                                  v->draw, env->f) >= cfg->agent.random_descend)
        return policy_stay(env, v);
    return policy_down(env, v);
}
