/* learner/publish_predictions - one message per event to the predictions topic, for audit. */
#ifndef AA_LEARNER_PUBLISH_PREDICTIONS_H
#define AA_LEARNER_PUBLISH_PREDICTIONS_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"

typedef struct publish_predictions publish_predictions;

/** Opens a producer and creates the topic if need be. cfg is kept. */
aa_status publish_predictions_open(publish_predictions **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** prediction (n): of the batch's events, as made before training. Keyed by (seq, index). */
aa_status publish_predictions_send(publish_predictions *pp, const aa_assigned_batch *in,
                                   const float *prediction, aa_err *err)
    __attribute__((warn_unused_result));
/** Wait for at most timeout_ms until the broker has all of them. @errors AA_EIO it has not */
aa_status publish_predictions_flush(publish_predictions *pp, int timeout_ms, aa_err *err)
    __attribute__((warn_unused_result));
/** Predictions that were not and will not be delivered, since it was opened. */
uint64_t publish_predictions_lost(const publish_predictions *pp);
void     publish_predictions_close(publish_predictions **pp_p);

#endif
