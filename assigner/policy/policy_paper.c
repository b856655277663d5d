/* AutoAssign+ (Liu et al., arXiv 2308.06965) as we read it. Its abstract: an Identity Agent, an
 * actor network guided by a critic network, represents rare IDs of a field by a few shared
 * embeddings and decides which IDs keep an embedding of their own. Our reading, after summaries of
 * the paper: k positions of one row each; at every event the actor draws ascend, unchanged or
 * descend for every ID; from k one ascends to a row of one's own, from there one descends to k and
 * the row is freed. The sweep draws for quiet IDs in the same way. No prior: the network decides
 * alone. The head of the stream warms the shared rows (field.c).
 */
#include "assigner/policy/policy.h"

#include "common/base/rng.h"

static policy_move
step(const policy_env *env, const policy_view *v, uint32_t stream)
{
    uint32_t at = v->e->position;
    uint32_t state = aa_state_idx(aa_freq_bucket(v->frequency), at, env->k);
    double   u = aa_rng_uniform((uint64_t)env->cfg->pipeline.seed, stream, v->draw, env->f);
    uint32_t action = actor_sample(env->ac, state, u);
    return (policy_move){
        .from = at, .to = at + action - AA_UNCHANGED, .action = action, .chosen = true};
}

policy_move
policy_paper_event(const policy_env *env, const policy_view *v)
{
    return step(env, v, AA_RNG_ACTION);
}

policy_move
policy_paper_visit(const policy_env *env, const policy_view *v)
{
    if (policy_quiet(env, v)) return step(env, v, AA_RNG_SWEEP);
    uint32_t at = v->e->position;
    return (policy_move){.from = at, .to = at, .action = AA_UNCHANGED};
}
