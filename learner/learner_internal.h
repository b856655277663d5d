/* learner/learner_internal - what a learner holds; for the files learner*.c only. */
#ifndef AA_LEARNER_LEARNER_INTERNAL_H
#define AA_LEARNER_LEARNER_INTERNAL_H

#include "common/model/model.h"
#include "learner/critic/critic.h"
#include "learner/critic/reward.h"
#include "learner/critic/worth.h"
#include "learner/learner.h"
#include "learner/rows/adam.h"
#include "learner/rows/rows.h"

/* Events with another reading of one field, forwarded together at most this many at a time. */
#define LEARNER_ALT_MAX 64

/* Scratch of one optimizer step of up to `cap` events. */
typedef struct {
    size_t    cap;
    float    *x, *dx;                          /* (cap,F,W) */
    float    *shared_x;                        /* (cap,F,W) shared readings beside own rows */
    float    *signal, *alt_signal;             /* (cap,S), and of LEARNER_ALT_MAX events */
    float    *logit, *dlogit, *p;              /* (cap) */
    float    *scratch;                         /* the model's, of cap events */
    uint32_t *slot;                            /* (cap,F) as read; AA_NO_SLOT when freed since */
    float    *shared_loss;                     /* (cap,F) NaN: not compared */
    float    *alt_x, *alt_logit, *alt_scratch; /* of LEARNER_ALT_MAX events */
    size_t    alt_of[LEARNER_ALT_MAX];         /* index into (cap,F) */
} learner_work;

struct learner {
    const aa_conf       *cfg;
    aa_model_shape       sh;
    const aa_model_kind *kind;
    size_t               F, W, step, dense_step;
    uint32_t             shared; /* shared rows of each field */
    uint32_t             states; /* of the agent */
    bool                 residual;
    float (*loss)(float logit, float label);
    aa_loss (*loss_all)(float logit, float label);
    rows            *tables[AA_MAX_FIELDS]; /* (F) */
    adam             dense;
    float           *dw;       /* (P) gradients since the last step of the dense weights */
    size_t           gathered; /* events that they are of; 0 between batches */
    quality         *qu;
    critic          *cr; /* NULL in the default mode, whose critic is wo */
    worth            wo;
    reward           rw;
    aa_reward_batch *ring; /* (ring_count) batch seq at seq % ring_count */
    size_t           ring_count;
    uint64_t         next_seq, events, live_peak;
    learner_work     wk;
    size_t           tidy_field;    /* whose memory is made ready next */
    size_t           publish_field; /* whose changes are handed out first next time */
};

/** Refuse a batch that does not fit, changing nothing; or plan its ops (rows_plan). */
aa_status learner_check(learner *le, const aa_assigned_batch *in, aa_err *err)
    __attribute__((warn_unused_result));

#endif
