/* learner/critic/reward - what a decision of the Identity Agent was worth. All of it is here.
 *
 * AA_REWARD_LOSS_DROP (mode paper): the drop of the ID's loss,
 *     R = mean of its last T losses - loss - lambda [holds a row]
 *   The mean comes with the event; until the ID has history it is the running mean loss. Source:
 *   ESAPN (Liu et al., Automated Embedding Size Search in Deep Recommender Systems, SIGIR 2020),
 *   eq. 2. That AutoAssign+ (arXiv 2308.06965, of which we know the abstract and summaries) takes
 *   this reward is our reading; lambda is ours.
 * AA_REWARD_COMPARED (the others): what the row of its own saves, measured. The same event is
 *   also predicted with the shared reading that the ID would have without its row, everything else
 *   equal:
 *     R = loss with the shared reading - loss - lambda,    0 when the comparison was not asked for
 *   The mean of R over the events of an ID is the value of its row; the paper's R is mostly noise
 *   of the labels, which is the same with and without a row.
 * A decision between events (sweep, price round) has none: R = -lambda [holds a row afterwards].
 */
#ifndef AA_LEARNER_CRITIC_REWARD_H
#define AA_LEARNER_CRITIC_REWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/conf.h"

/* Plain bytes without padding, for checkpoints. */
typedef struct {
    uint64_t events;
    double   mean_loss;   /* of about the last 1,000 events */
    double   mean_reward; /* of about the last 1,000 decisions that had one */
} reward_state;

typedef struct {
    bool         loss_drop; /* AA_REWARD_LOSS_DROP */
    float        row_cost;  /* lambda */
    reward_state st;
} reward;

/* One ID in one event. */
typedef struct {
    float loss;
    float baseline;    /* mean of its last losses; NaN: none yet */
    float shared_loss; /* with the shared reading instead; NaN: not compared */
    bool  own_row;     /* read a row of its own */
} reward_case;

void  reward_init(reward *rw, const aa_conf *cfg);
float reward_of(reward *rw, const reward_case *rc);
float reward_between(const reward *rw, bool own_row);
/** The event is over: its loss joins the running mean. */
void reward_event(reward *rw, float loss);

#endif
