/* learner/publish_predictions - one message per event to the predictions topic, for audit. */
#ifndef AA_LEARNER_PUBLISH_PREDICTIONS_H
#define AA_LEARNER_PUBLISH_PREDICTIONS_H

#include "common/batch.h"
#include "common/conf.h"
#include "common/status.h"

typedef struct publish_predictions publish_predictions;

/** Opens a producer and creates the topic if need be. cfg is kept. */
aa_status publish_predictions_open(publish_predictions **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** prediction (n): of the batch's events, as made before training. Keyed by (seq, index). */
aa_status publish_predictions_send(publish_predictions *pp, const aa_assigned_batch *in,
                                   const float *prediction, aa_err *err)
    __attribute__((warn_unused_result));
aa_status publish_predictions_flush(publish_predictions *pp, aa_err *err)
    __attribute__((warn_unused_result));
void publish_predictions_close(publish_predictions **pp_p);

#endif
