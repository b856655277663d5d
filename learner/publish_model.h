/* learner/publish_model - rows and dense weights that changed, to the compacted model topic. */
#ifndef AA_LEARNER_PUBLISH_MODEL_H
#define AA_LEARNER_PUBLISH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "learner/learner.h"

typedef struct publish_model publish_model;

/** Opens a producer and creates the topic if need be. cfg is kept.
 *  @errors AA_ENOMEM; AA_ECONFIG also when client or topic do not take the dense weights; AA_EIO */
aa_status publish_model_open(publish_model **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));

/**
 * Send what changed since the last call, then the dense weights. all: every row there is (so also
 * after messages were lost). While the broker is away, what is not sent waits for a later call.
 * @param oldest_kafka_ms  arrival in Kafka of the oldest event learned from since the last call
 * @param newest_kafka_ms  of the newest batch's first event; 0: unknown, or none
 * @errors AA_EAGAIN the broker is behind: nothing was sent; AA_EIO; AA_EFULL; AA_ENOMEM
 */
aa_status publish_model_send(publish_model *pm, learner *le, uint64_t run_id,
                             int64_t oldest_kafka_ms, int64_t newest_kafka_ms, bool all,
                             aa_err *err) __attribute__((warn_unused_result));

/** The last call left something for the next one: the broker is behind. */
bool publish_model_pending(const publish_model *pm);
/** Wait for at most timeout_ms until the broker has everything. @errors AA_EIO it has not */
aa_status publish_model_flush(publish_model *pm, int timeout_ms, aa_err *err)
    __attribute__((warn_unused_result));
uint64_t publish_model_sent(const publish_model *pm); /* rows */
void     publish_model_close(publish_model **pm_p);

#endif
