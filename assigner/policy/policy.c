#include "assigner/policy/policy.h"

#include <math.h>

#include "common/base/elementary.h"

#define FUNCTIONS_OF(mode, event, visit, ...) [mode] = {event, visit},
static const policy policies[] = {AA_MODES(FUNCTIONS_OF)};

policy
policy_of(const aa_conf *cfg)
{
    return policies[cfg->agent.mode];
}

uint32_t
policy_ladder(const policy_env *env, uint32_t seen)
{
    uint32_t position = seen == 0 ? 1 : 33u - (uint32_t)__builtin_clz(seen);
    return position < env->top ? position : env->top;
}

policy_move
policy_stay(const policy_env *env, const policy_view *v)
{
    uint32_t at = policy_holds_row(v->e) ? env->k + 1 : policy_ladder(env, v->e->seen);
    return (policy_move){.from = at, .to = at, .action = AA_UNCHANGED};
}

policy_move
policy_up(const policy_env *env, const policy_view *v)
{
    uint32_t from = policy_ladder(env, v->e->seen);
    return (policy_move){.from = from, .to = env->k + 1, .action = AA_ASCEND};
}

policy_move
policy_down(const policy_env *env, const policy_view *v)
{
    uint32_t to = policy_ladder(env, v->e->seen);
    return (policy_move){.from = env->k + 1, .to = to, .action = AA_DESCEND};
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
    return aa_exp2f(-(float)((double)silence / cfg->agent.half_life_events));
}
