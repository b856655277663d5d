/* assigner/policy/row_actor - the default mode's actor: does an ID of one field take a row of its
 * own? A table over frequency buckets.
 *
 *   worth(b)  = max(exp(theta_b), 0.001)       loss saved per event of an ID in frequency bucket b
 *   index     = worth(b) / (gap + 1)           ... per event of the stream: what a row is rated by
 *   pi(ascend | ID) = x^4 / (1 + x^4),  x = index / asked
 *
 * asked is agent.swap_margin times the price of a row (assigner/policy/price). Above the floor the
 * logit is 4 (theta_b - ln(gap + 1) - ln asked). theta begins as the critic's prior and learns by
 * policy gradient: the learner sends V(b), the critic's value of holding a row per event, and with
 * r = x / exp(theta_b)
 *
 *   q = min(2, r max(V, 0.001) - 1)            gain of ascending in units of what is asked
 *   A = q - E_pi q
 *   theta_b += rate min(pi_now/pi_then, clip) A dlog pi(action)/dtheta
 *
 * The expected step vanishes where exp(theta) = V: a row is then taken when it is worth its price.
 */
#ifndef AA_ASSIGNER_POLICY_ROW_ACTOR_H
#define AA_ASSIGNER_POLICY_ROW_ACTOR_H

#include <stdint.h>

#include "common/agent/agent_state.h"
#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/state/checkpoint.h"

#define ROW_ACTOR_LEAST 0.001f

typedef struct {
    double rate, ratio_clip;
    double theta[AA_FREQ_BUCKETS];
    float  exp_theta[AA_FREQ_BUCKETS]; /* as of the last refresh */
    float  worth[AA_FREQ_BUCKETS];     /* the same, at least ROW_ACTOR_LEAST */
} row_actor;

/* A choice as the actor remembers it until its reward comes. */
typedef struct {
    float rate;   /* r: x over exp(theta) */
    float chance; /* probability of the action that was taken */
} row_actor_odds;

void row_actor_init(row_actor *ra, const aa_conf *cfg);
/** What choices go by follows theta: once per batch. */
void row_actor_refresh(row_actor *ra);

static inline float
row_actor_index(const row_actor *ra, uint32_t bucket, float gap)
{
    return ra->worth[bucket] / (gap + 1.0f);
}

/** To ascend, at an index that is x times the price. */
static inline float
row_actor_chance(float x)
{
    float x2 = x * x;
    return x2 * x2 / (1.0f + x2 * x2);
}

/** One choice and the critic's value of a row at its bucket. exp_theta stays until the refresh. */
void row_actor_learn(row_actor *ra, uint32_t bucket, uint32_t action, row_actor_odds odds,
                     float value);

uint64_t  row_actor_digest(const row_actor *ra, uint64_t d);
aa_status row_actor_save(const row_actor *ra, const char *prefix, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
aa_status row_actor_restore(row_actor *ra, const char *prefix, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
