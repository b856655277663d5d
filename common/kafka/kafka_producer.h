/* common/kafka/kafka_producer - produces messages.
 * A producer belongs to the thread that opened it. */
#ifndef AA_COMMON_KAFKA_KAFKA_PRODUCER_H
#define AA_COMMON_KAFKA_KAFKA_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_record.h"

typedef struct aa_producer aa_producer;

aa_status aa_producer_open(aa_producer **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** For a topic that takes no more than so many bytes at once: batches are kept as small. */
aa_status aa_producer_open_small(aa_producer **out, const aa_conf *cfg, int64_t batch_bytes,
                                 aa_err *err) __attribute__((warn_unused_result));
/** For messages of up to so many bytes: the client's own limits are raised to take them, unless the
 *  user has set them. */
aa_status aa_producer_open_large(aa_producer **out, const aa_conf *cfg, int64_t message_bytes,
                                 aa_err *err) __attribute__((warn_unused_result));
/** message.max.bytes: key, value and headers of one message. */
int64_t aa_producer_max_bytes(const aa_producer *pr);
#define AA_KAFKA_HEADERS_MAX 96 /* of a message that is sent */
/** Queue one message; everything is copied. value NULL: a tombstone. partition -1: by key.
 *  timestamp_ms 0: now. Waits for room (serving deliveries) up to 60 s when the queue is full.
 *  @errors AA_EFULL still no room; AA_EIO */
aa_status aa_producer_send(aa_producer *pr, const char *topic, int32_t partition, const void *key,
                           size_t key_len, const void *value, size_t len, int64_t timestamp_ms,
                           const aa_kafka_header *headers, size_t header_count, aa_err *err)
    __attribute__((warn_unused_result));

/* How a marked message ended. */
typedef enum {
    AA_DELIVERY_DONE,
    AA_DELIVERY_TOO_LARGE, /* for the topic */
    AA_DELIVERY_FAILED,    /* for good: the producer tries again by itself what may yet succeed */
    AA_DELIVERY_UNUSABLE   /* as everything else that this producer sends from now on */
} aa_delivery_end;
typedef struct {
    aa_delivery_end how;
    void           *mark;
    const void     *key, *value;
    size_t          key_len, len;
    int64_t         timestamp_ms; /* of a message that is sent; 0: now */
    const char     *why;
} aa_delivery;
/** Told of each marked message that ended, from within poll, flush, send and free; may send. */
typedef void (*aa_producer_told)(void *arg, const aa_delivery *de);
void aa_producer_tell(aa_producer *pr, aa_producer_told told, void *arg);
/** As aa_producer_send; mark (not NULL) comes back when it has ended, and then it is not counted as
 *  failed. Does not wait for room. @errors also AA_EPARSE larger than aa_producer_max_bytes; on
 *  error the mark does not come back */
aa_status aa_producer_send_marked(aa_producer *pr, const char *topic, const aa_delivery *de,
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
