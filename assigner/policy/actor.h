/* assigner/policy/actor - the policy pi(a|s) of one field, as a table over all states.
 *
 *   logits(s) = prior(s) + network(s),  pi = softmax over the legal actions
 *
 * States are few, so the table is computed once per update and an event only reads it. Rewards come
 * some batches after the actions, so the table that a batch was assigned with is kept until then
 * (a ring by sequence number), and the update weighs by the clipped ratio of the two:
 *
 *   L = -1/N [ sum min(pi_now/pi_then, clip) A log pi_now(a|s) + entropy sum_s n_s H(pi_now(s)) ]
 *
 * with the ratio held constant (a truncated importance weight). One step of Adam per batch.
 */
#ifndef AA_ASSIGNER_POLICY_ACTOR_H
#define AA_ASSIGNER_POLICY_ACTOR_H

#include <stddef.h>
#include <stdint.h>

#include "common/agent/agent_state.h"
#include "common/agent/nn.h"
#include "common/base/status.h"
#include "common/messages/batch.h"
#include "common/state/checkpoint.h"

typedef struct {
    uint32_t k;
    size_t   S; /* states */
    size_t   R; /* tables in the ring */
    double   rate, ratio_clip, entropy;
    aa_nn    nn;
    float   *x, *h, *y; /* (S,AA_STATE_INPUTS), (S,AA_NN_HIDDEN), (S,3) network in and out */
    float   *prior;     /* (S,3) added to the logits; -INFINITY: the action is illegal there */
    float   *pi;        /* (S,3) probabilities now */
    float   *then;      /* (R,S,3) of batch seq at seq % R */
    float   *dy, *dw;   /* (S,3), (P) */
    double  *gain;      /* (S,3) sum of the advantages of a batch's decisions */
    float   *taken;     /* (S,3) how many decisions */
} actor;

/** Zero prior but for the masks that always hold: no descend at 1, no ascend at k+1. The caller
 *  may change `prior` until actor_refresh. @param depth  batches in flight at most */
aa_status actor_init(actor *ac, uint32_t k, size_t depth, uint64_t seed, uint32_t field,
                     aa_err *err) __attribute__((warn_unused_result));
void      actor_fini(actor *ac); /* also on zeroed memory */

/** Recompute pi. */
void actor_refresh(actor *ac);
/** Keep pi as what batch seq is assigned with. */
void actor_keep(actor *ac, uint64_t seq);

/** Action at a state for u in [0,1). Never an illegal one. */
static inline uint32_t
actor_sample(const actor *ac, uint32_t state, double u)
{
    const float *p = ac->pi + (size_t)state * AA_ACTIONS;
    if (u < (double)p[AA_DESCEND]) return AA_DESCEND;
    if (p[AA_ASCEND] == 0.0f || u < (double)p[AA_DESCEND] + (double)p[AA_UNCHANGED])
        return AA_UNCHANGED;
    return AA_ASCEND;
}

/** Note one decision of the batch whose rewards are being learned. */
static inline void
actor_reward(actor *ac, uint32_t state, uint32_t action, float advantage)
{
    size_t i = (size_t)state * AA_ACTIONS + action;
    ac->gain[i] += (double)advantage;
    ac->taken[i] += 1.0f;
}

/** dw (P) = gradient of L for the noted decisions of batch seq; 0 if it had none: returns their
 *  number N. */
double actor_gradient(actor *ac, uint64_t seq, float *dw);
/** One update from the noted decisions, which are then forgotten; pi is recomputed. */
void actor_learn(actor *ac, uint64_t seq);

size_t actor_bytes(const actor *ac);
/** Tables of batches first .. last-1 are in flight. */
uint64_t  actor_digest(const actor *ac, uint64_t d, uint64_t first, uint64_t last);
aa_status actor_save(const actor *ac, const char *prefix, uint64_t first, uint64_t last,
                     aa_ckpt_writer *w, aa_err *err) __attribute__((warn_unused_result));
aa_status actor_restore(actor *ac, const char *prefix, uint64_t first, uint64_t last,
                        aa_ckpt_reader *r, aa_err *err) __attribute__((warn_unused_result));

#endif
