#include "assigner/policy.h"

#include <math.h>
#include <string.h>

const policy_kind *
policy_find(const char *name)
{
    static const policy_kind *const kinds[] = {
        &policy_default, &policy_paper,     &policy_unique,      &policy_hash, &policy_rule,
        &policy_random,  &policy_threshold, &policy_shared_only, NULL};
    const policy_kind *const *pk = kinds;
    while (*pk && strcmp((*pk)->name, name) != 0)
        pk++;
    return *pk;
}

uint32_t
policy_ladder(const policy_env *env, float frequency)
{
    uint32_t position = 1;
    uint32_t doublings = frequency < 4e9f ? (uint32_t)frequency : UINT32_MAX;
    for (; doublings > 0 && position < env->top; doublings /= 2)
        position++;
    return position;
}

policy_move
policy_stay(const policy_env *env, const policy_view *v)
{
    uint32_t at = policy_holds_row(v->e) ? env->k + 1 : policy_ladder(env, v->frequency);
    return (policy_move){.from = at, .to = at, .action = AA_UNCHANGED};
}

policy_move
policy_up(const policy_env *env, const policy_view *v)
{
    uint32_t from = policy_ladder(env, v->frequency);
    return (policy_move){.from = from, .to = env->k + 1, .action = AA_ASCEND};
}

policy_move
policy_down(const policy_env *env, const policy_view *v)
{
    (void)v;
    return (policy_move){.from = env->k + 1, .to = env->top, .action = AA_DESCEND};
}

bool
policy_quiet(const policy_env *env, const policy_view *v)
{
    uint64_t silence = v->now - v->e->last;
    return silence >= (uint64_t)env->cfg->agent.quiet_events &&
           (double)silence > env->cfg->agent.quiet_gaps * (double)v->e->gap;
}

float
policy_decay(const aa_conf *cfg, uint64_t silence)
{
    return exp2f(-(float)((double)silence / cfg->agent.half_life_events));
}
