/* common/kafka/kafka_producer - produces messages.
 * A producer belongs to the thread that opened it. */
#ifndef AA_COMMON_KAFKA_KAFKA_PRODUCER_H
#define AA_COMMON_KAFKA_KAFKA_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct aa_producer aa_producer;

aa_status aa_producer_open(aa_producer **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
typedef struct {
    const char *name;
    const void *value;
    size_t      len;
} aa_kafka_header;
/** Queue one message; everything is copied. value NULL: a tombstone. partition -1: by key.
 *  timestamp_ms 0: now. Waits for room (serving deliveries) up to 60 s when the queue is full.
 *  @errors AA_EFULL still no room; AA_EIO */
aa_status aa_producer_send(aa_producer *pr, const char *topic, int32_t partition, const void *key,
                           size_t key_len, const void *value, size_t len, int64_t timestamp_ms,
                           const aa_kafka_header *headers, size_t header_count, aa_err *err)
    __attribute__((warn_unused_result));
/** Serve deliveries. Failed ones are counted. */
void     aa_producer_poll(aa_producer *pr);
uint64_t aa_producer_failed(const aa_producer *pr);
/** So much is queued (a broker that is away, or slow) that what can wait should: a quarter of what
 *  the queue holds. Serves deliveries. */
bool aa_producer_behind(aa_producer *pr);
/** Wait until all is delivered. @errors AA_EIO timeout_ms passed, or a message since the last flush
 *  can never be delivered */
aa_status aa_producer_flush(aa_producer *pr, int timeout_ms, aa_err *err)
    __attribute__((warn_unused_result));
void aa_producer_free(aa_producer **pr_p, int timeout_ms); /* flushes */

#endif
