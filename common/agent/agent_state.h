/* common/agent/agent_state - the agent's state s = (frequency, position), as actor and critic share
 * it.
 *
 * The frequency is log-bucketed, so states are few: whatever depends on the state only (policy,
 * values) is a table that is recomputed when the network behind it changes, not per event.
 */
#ifndef AA_COMMON_AGENT_AGENT_STATE_H
#define AA_COMMON_AGENT_AGENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/conf.h"

#define AA_FREQ_BUCKETS 32

/** Bucket of a decayed frequency: 0,1,2,3,4 for 0..4, then 4 per doubling, the last one open. */
uint32_t aa_freq_bucket(float frequency);
/** Smallest frequency of a bucket. */
float aa_freq_bucket_floor(uint32_t bucket);

/** State index of (bucket, position 1..k+1) for k shared positions; count = aa_state_count(k). */
static inline uint32_t
aa_state_idx(uint32_t bucket, uint32_t position, uint32_t k)
{
    return bucket * (k + 1) + (position - 1);
}
static inline uint32_t
aa_state_count(uint32_t k)
{
    return AA_FREQ_BUCKETS * (k + 1);
}
/** The inverse. */
static inline uint32_t
aa_state_bucket(uint32_t state, uint32_t k)
{
    return state / (k + 1);
}
static inline uint32_t
aa_state_position(uint32_t state, uint32_t k)
{
    return state % (k + 1) + 1;
}

/* What the agent may do with an ID at an event or a visit. */
enum { AA_DESCEND = 0, AA_UNCHANGED = 1, AA_ASCEND = 2, AA_ACTIONS = 3 };

/** Can an ID at this position, 1..k+1, take the action? AA_UNCHANGED: always. */
static inline bool
aa_action_is_legal(uint32_t action, uint32_t position, uint32_t k)
{
    return !(action == AA_DESCEND && position == 1) && !(action == AA_ASCEND && position == k + 1);
}

/* A decision as one word: the index of the state, and in the top byte the action that the actor
 * took there. */
#define AA_STATE_IDX(w)            ((w)&0xffffffu)
#define AA_STATE_ACTION(w)         ((w) >> 24)
#define AA_STATE_WORD(idx, action) ((uint32_t)(idx) | (uint32_t)(action) << 24)
#define AA_NO_STATE                UINT32_MAX /* this decision does not take part in learning */

/** Input of the actor's and the critic's networks: x (AA_STATE_INPUTS), each about -1..1. */
#define AA_STATE_INPUTS 4
void aa_state_input(uint32_t state, uint32_t k, float x[AA_STATE_INPUTS]);

/** Worth of a row of its own, in loss per event of the ID, before anything is learned: where the
 *  critic of the default mode begins, and its actor. */
static inline double
aa_worth_prior(const aa_conf *cfg, uint32_t bucket)
{
    const double n = (double)aa_freq_bucket_floor(bucket);
    return cfg->agent.worth_prior * (n + 0.5) / (n + cfg->agent.worth_prior_half);
}

#endif
