/* common/kafka/kafka_internal - what the kafka_*.c files share; only they include it
 * and rdkafka.h. */
#ifndef AA_COMMON_KAFKA_KAFKA_INTERNAL_H
#define AA_COMMON_KAFKA_KAFKA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_record.h"

/* How long a question to the broker may take. */
enum { AA_KAFKA_ASK_MS = 15000 };

/* A property that a kind of client starts from. */
typedef struct {
    const char *key, *value;
    bool        fixed; /* the user may not set it to anything else */
} aa_kafka_property;

/** The client's defaults, then the user's properties. @errors AA_ECONFIG file:line: kafka.<key>:
 * why */
aa_status aa_kafka_conf_new(rd_kafka_conf_t **out, const aa_conf *cfg,
                            const aa_kafka_property *defaults, size_t count, aa_err *err)
    __attribute__((warn_unused_result));
/** Make the client; conf is taken. @errors AA_ECONFIG properties that contradict each other */
aa_status aa_kafka_client_new(rd_kafka_t **out, rd_kafka_type_t type, rd_kafka_conf_t **conf_p,
                              aa_err *err) __attribute__((warn_unused_result));
/** Number of a topic's partitions; 0: it does not exist. @errors AA_EIO no broker answers */
aa_status aa_kafka_partition_count(rd_kafka_t *rk, const char *topic, int timeout_ms, size_t *count,
                                   aa_err *err) __attribute__((warn_unused_result));

/* What a partition holds: offsets from low to before high. */
typedef struct {
    const char *topic;
    int32_t     partition;
    int64_t     low, high;
} aa_kafka_extent;
/** Fill in low and high of n partitions. A leader that does not answer is looked up again, as long
 *  as timeout_ms lasts. @errors AA_EIO one of them is not known; the others may be */
aa_status aa_kafka_ask_extents(rd_kafka_t *rk, aa_kafka_extent *ex, size_t n, int timeout_ms,
                               aa_err *err) __attribute__((warn_unused_result));

/** delete.retention.ms of a topic; -1: not known within timeout_ms, or asking is not allowed. */
int64_t aa_kafka_delete_retention_ms(rd_kafka_t *rk, const char *topic, int timeout_ms);

/* What each kind of client starts from; *out is the caller's, on error too. */
aa_status aa_kafka_consumer_conf(rd_kafka_conf_t **out, const aa_conf *cfg, bool subscribe,
                                 aa_err *err) __attribute__((warn_unused_result));
aa_status aa_kafka_reader_conf(rd_kafka_conf_t **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_kafka_producer_conf(rd_kafka_conf_t **out, const aa_conf *cfg, int64_t batch_bytes,
                                 int64_t message_bytes, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_kafka_admin_conf(rd_kafka_conf_t **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));

/* A consumer of chosen partitions, as reader and consumer share it. */
extern const aa_kafka_property aa_kafka_consumer_defaults[];
extern const size_t            aa_kafka_consumer_default_count;

/** Does the error say that a batch cannot be unpacked? Then that lasts. */
bool aa_kafka_is_unreadable(rd_kafka_resp_err_t ke);
/** A batch holds `bad` and cannot be unpacked: *end is the offset behind it, found by reading from
 *  ever closer offsets. @errors AA_EIO not found in some seconds; AA_ECONFIG properties */
aa_status aa_kafka_batch_end(const aa_conf *cfg, const char *topic, int32_t partition, int64_t bad,
                             int64_t *end, aa_err *err) __attribute__((warn_unused_result));

/* The messages of one batch; records point into them until the next batch. */
typedef struct {
    rd_kafka_message_t **km; /* (count of cap) owned, as are the messages */
    size_t               count, cap;
} aa_kafka_batch;
/** Let go of the last batch, take the next: at most max, after at most timeout_ms. Messages with
 * err set are among them. @errors AA_EIO, AA_ENOMEM */
aa_status aa_kafka_batch_take(aa_kafka_batch *ba, rd_kafka_queue_t *queue, size_t max,
                              int timeout_ms, aa_err *err) __attribute__((warn_unused_result));
void      aa_kafka_batch_release(aa_kafka_batch *ba);
void      aa_kafka_batch_fini(aa_kafka_batch *ba);
/** Fill a record from the library's message. */
void aa_kafka_record_of(aa_kafka_record *rec, rd_kafka_message_t *km);

#endif
