/* learner/critic/critic - Q(s,a), the value of the Identity Agent's actions, by temporal
 * differences: for every mode but default, whose critic is learner/critic/worth.
 *
 * States are few (common/agent/agent_state.h), so Q is a network evaluated into a table after each
 * update:
 *
 *   V(s)   = sum_a p(a|s) Q(s,a)          p: how often the actor chose a in s, with one imagined
 *                                         choice of each legal action
 *   y      = r + gamma V'(s')             V': the same of the target network
 *   A(s,a) = y - V(s)                     advantage that goes back to the actor
 *   loss   = mean over the batch's decisions of 1/2 (Q(s,a) - y)^2, one Adam step per batch
 *   target network = 0.95 target + 0.05 network, per batch
 *
 * That is expected SARSA (Sutton & Barto 2018, section 6.6) with the policy estimated from its own
 * choices: the learner never sees the actor. Of AutoAssign+ (arXiv 2308.06965) we know the abstract
 * and summaries: an actor guided by a critic network. What the critic computes is our reading.
 * Decisions are added up per (state, action) in their order, so the result does not depend on
 * anything else.
 */
#ifndef AA_LEARNER_CRITIC_CRITIC_H
#define AA_LEARNER_CRITIC_CRITIC_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/state/checkpoint.h"

typedef struct critic critic;

aa_status critic_new(critic **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void critic_free(critic **cr_p);

/** Is word a state word, next a state index (or both AA_NO_STATE)? */
int critic_knows(const critic *cr, uint32_t word, uint32_t next);

/** Note a decision and its reward; returns its advantage, 0 for AA_NO_STATE. @pre critic_knows */
float critic_decision(critic *cr, uint32_t word, uint32_t next, float reward);
/** End of the batch: learn from its decisions. Nothing happens if there were none. */
void critic_learn(critic *cr);

/** Q (states, AA_ACTIONS) and V (states), the critic's. */
const float *critic_q(const critic *cr);
const float *critic_v(const critic *cr);
size_t       critic_bytes(const critic *cr);
double       critic_td_error(const critic *cr); /* mean |Q - y| of about the last 100 batches */

uint64_t  critic_digest(const critic *cr, uint64_t d);
aa_status critic_save(const critic *cr, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** On error the critic is not to be used. */
aa_status critic_restore(critic *cr, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
