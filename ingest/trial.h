/* ingest/trial - `ingest --try N`: what the first messages of the topic become by a configuration.
 *
 * Reads without a group and commits nothing; no other process is needed. */
#ifndef AA_INGEST_TRIAL_H
#define AA_INGEST_TRIAL_H

#include <stddef.h>
#include <stdio.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_record.h"
#include "ingest/decode/decode.h"

/** Read `messages` of topics.interactions from its beginning (ingest.replay_from: time:MS: from
 *  there), print each and then what became of all. Stops early where the topic ends.
 *  @errors AA_ECONFIG properties, or no such topic; AA_EIO no broker, or none of the messages is an
 *  event; AA_ENOMEM */
aa_status trial_run(const aa_conf *cfg, size_t messages, FILE *out, aa_err *err)
    __attribute__((warn_unused_result));

/** One message, as trial_run prints it. @return what it is */
decode_reason trial_print(decode *dc, const aa_conf *cfg, const aa_kafka_record *rec,
                          const aa_columns *ev, FILE *out);

#endif
