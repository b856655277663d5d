/* ingest/decode/arrived - what becomes of a message that was read from Kafka, be it by the
 * sequencer (ingest/source) or by a fetcher (ingest/fetchers/fetcher). */
#ifndef AA_INGEST_DECODE_ARRIVED_H
#define AA_INGEST_DECODE_ARRIVED_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/kafka/kafka_record.h"
#include "ingest/decode/announce.h"
#include "ingest/decode/deadletter.h"
#include "ingest/decode/decode.h"

/** When did it come into Kafka? The broker's time where the topic has that
 *  (message.timestamp.type=LogAppendTime). A producer's may be any: that of a recorded topic is the
 *  event's, long ago. Then the time we got it, now_ms, stands for it. */
int64_t arrived_ms(const aa_kafka_record *rec, int64_t now_ms);
/** It is no event: say so (EVENT-BAD); its letter is the caller's. dc: what has just refused it.
 *  @errors AA_ENOMEM */
aa_status arrived_bad(deadletter **out, const aa_kafka_record *rec, decode_reason reason,
                      const decode *dc, aa_err *err) __attribute__((warn_unused_result));
/** It is an event of key (F), which dc has just made of a message that is still there: its item has a
 *  name.
 *  an: NULL, nobody asks. */
void arrived_item(announce *an, const decode *dc, const uint64_t *key, size_t F);

#endif
