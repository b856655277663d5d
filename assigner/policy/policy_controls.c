/* The controls: what the agent must beat. None of them learns. */
#include "assigner/policy/policy.h"

#include "common/base/rng.h"

/* rule: the default's shared rows; own row once the ID was seen field.threshold times. */
static policy_move
rule_event(const policy_env *env, const policy_view *v)
{
    if (policy_holds_row(v->e) || (float)v->e->seen < env->threshold) return policy_stay(env, v);
    return policy_up(env, v);
}

/* rule, threshold: the row is given back once the ID is quiet. */
static policy_move
rule_visit(const policy_env *env, const policy_view *v)
{
    if (policy_holds_row(v->e) && policy_quiet(env, v)) return policy_down(env, v);
    return policy_stay(env, v);
}

const policy_kind policy_rule = {
    .name = "rule", .ladder = true, .event = rule_event, .visit = rule_visit};

/* threshold: the rule over a single shared row (env->top is 1, one lean bin). */
const policy_kind policy_threshold = {
    .name = "threshold", .ladder = true, .event = rule_event, .visit = rule_visit};

/* unique: the full table. Every ID has a row at once and for ever. */
static policy_move
unique_event(const policy_env *env, const policy_view *v)
{
    return policy_holds_row(v->e) ? policy_stay(env, v) : policy_up(env, v);
}

const policy_kind policy_unique = {.name = "unique", .new_rows = true, .event = unique_event};

/* hash: row = key mod field.hash_rows; nothing ever moves. The rows are made before the first event
 * (field.c), and every ID stays at position 1. */
static policy_move
hash_event(const policy_env *env, const policy_view *v)
{
    (void)env, (void)v;
    return (policy_move){.from = 1, .to = 1, .action = AA_UNCHANGED};
}

const policy_kind policy_hash = {.name = "hash", .new_rows = true, .event = hash_event};

/* random: rows come and go at given rates, whoever the ID is. */
static policy_move
random_event(const policy_env *env, const policy_view *v)
{
    const aa_conf *cfg = env->cfg;
    if (policy_holds_row(v->e) || aa_rng_uniform((uint64_t)cfg->pipeline.seed, AA_RNG_ACTION,
                                                 v->draw, env->f) >= cfg->agent.random_ascend)
        return policy_stay(env, v);
    return policy_up(env, v);
}

static policy_move
random_visit(const policy_env *env, const policy_view *v)
{
    const aa_conf *cfg = env->cfg;
    if (!policy_holds_row(v->e) || aa_rng_uniform((uint64_t)cfg->pipeline.seed, AA_RNG_SWEEP,
                                                  v->draw, env->f) >= cfg->agent.random_descend)
        return policy_stay(env, v);
    return policy_down(env, v);
}

const policy_kind policy_random = {
    .name = "random", .ladder = true, .event = random_event, .visit = random_visit};

/* shared-only: nobody ever gets a row. */
const policy_kind policy_shared_only = {
    .name = "shared-only", .ladder = true, .event = policy_stay};
