/* learner/publish_model - rows and dense weights that changed, to the compacted model topic. */
#ifndef AA_LEARNER_PUBLISH_MODEL_H
#define AA_LEARNER_PUBLISH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/status.h"
#include "learner/learner.h"

typedef struct publish_model publish_model;

/** Opens a producer and creates the topic if need be. cfg is kept.
 *  @errors AA_ENOMEM, AA_ECONFIG, AA_EIO */
aa_status publish_model_open(publish_model **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));

/**
 * Send what changed since the last call, then the dense weights. all: every row there is.
 * @param newest_kafka_ms  arrival in Kafka of the newest event learned from, 0: unknown
 * @errors AA_EIO, AA_EFULL, AA_ENOMEM
 */
aa_status publish_model_send(publish_model *pm, learner *le, uint64_t run_id,
                             int64_t newest_kafka_ms, bool all, aa_err *err)
    __attribute__((warn_unused_result));

/** Wait until the broker has everything. */
aa_status publish_model_flush(publish_model *pm, aa_err *err) __attribute__((warn_unused_result));
uint64_t  publish_model_sent(const publish_model *pm); /* rows */
void      publish_model_close(publish_model **pm_p);

#endif
