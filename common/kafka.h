/* common/kafka - librdkafka as the pipeline uses it; the only file that includes rdkafka.h.
 *
 * Every client starts from the user's `kafka:` properties. Log lines of librdkafka go to common/log.
 */
#ifndef AA_COMMON_KAFKA_H
#define AA_COMMON_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/status.h"

/* ---- producing ---- */
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
void      aa_producer_poll(aa_producer *pr);
uint64_t  aa_producer_failed(const aa_producer *pr);
/** Wait until all is delivered. @errors AA_EIO something failed or timeout_ms passed */
aa_status aa_producer_flush(aa_producer *pr, int timeout_ms, aa_err *err)
    __attribute__((warn_unused_result));
void aa_producer_free(aa_producer **pr_p, int timeout_ms); /* flushes */

/* ---- topics ---- */
/** Create the topic unless it exists. compacted: cleanup.policy=compact. partitions <= 0: broker's default. */
aa_status aa_topic_ensure(const aa_conf *cfg, const char *topic, int partitions, bool compacted,
                          aa_err *err) __attribute__((warn_unused_result));

/* ---- reading a whole topic without a group (scorer, tests) ---- */
typedef struct aa_reader aa_reader;
typedef struct {
    int32_t     partition;
    int64_t     offset, timestamp_ms;
    const void *key, *value; /* value NULL: tombstone */
    size_t      key_len, len;
    void       *opaque; /* the library's message */
} aa_kafka_record;
/** All partitions of the topics from the beginning. */
aa_status aa_reader_open(aa_reader **out, const aa_conf *cfg, const char *const *topics,
                         size_t topic_count, aa_err *err) __attribute__((warn_unused_result));
/** Up to max records; *count may be 0 after timeout_ms. Records are valid until the next poll. */
aa_status aa_reader_poll(aa_reader *rd, aa_kafka_record *rec, size_t max, int timeout_ms,
                         size_t *count, aa_err *err) __attribute__((warn_unused_result));
/** True once everything that was there when it was opened has been returned. */
bool      aa_reader_caught_up(const aa_reader *rd);
/** Topic of a record's index in `topics`, by the library's message. */
size_t    aa_reader_topic(const aa_reader *rd, const aa_kafka_record *rec);
/** Messages between here and the end, all partitions. */
int64_t   aa_reader_lag(aa_reader *rd);
void      aa_reader_free(aa_reader **rd_p);

#endif
