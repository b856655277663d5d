/* learner/critic/worth - the critic of the default mode: what a row of its own is worth to an ID,
 * in loss per event of the ID, by how often the ID is seen. One table V[field][bucket]
 * (aa_freq_bucket).
 *
 *   gain   = loss with the shared reading alone - loss, at an event whose ID holds a row
 *   V[b]  += a ((1-gamma) gain + gamma V[b'] - V[b])          TD(0)
 *   a      = max(1 / (count[b] + agent.worth_weight), agent.worth_rate),  count[b] += 1
 *
 * b is the bucket before the event, b' the one after it, so V[b] is the mean gain of about the next
 * 1/(1-gamma) events: a row is taken for what comes, not for what it saves today. V begins at
 * aa_worth_prior. The price of a row (agent.row_cost) is not in it: the assigner compares with
 * that.
 */
#ifndef AA_LEARNER_CRITIC_WORTH_H
#define AA_LEARNER_CRITIC_WORTH_H

#include <stdint.h>

#include "common/agent/agent_state.h"
#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/state/checkpoint.h"

typedef struct {
    double v[AA_MAX_FIELDS][AA_FREQ_BUCKETS], count[AA_MAX_FIELDS][AA_FREQ_BUCKETS];
    double error_mean; /* mean |TD error| of about the last 10,000 events */
} worth_table;

typedef struct {
    double      gamma, weight, least_rate;
    size_t      F;
    worth_table t;
} worth;

void worth_init(worth *wo, const aa_conf *cfg);
/** An event of an ID that holds a row. @pre buckets below AA_FREQ_BUCKETS */
void worth_event(worth *wo, size_t f, uint32_t bucket, uint32_t next_bucket, float gain);
static inline float
worth_of(const worth *wo, size_t f, uint32_t bucket)
{
    return (float)wo->t.v[f][bucket];
}

uint64_t  worth_digest(const worth *wo, uint64_t d);
aa_status worth_save(const worth *wo, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** On error wo is as it was. */
aa_status worth_restore(worth *wo, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
