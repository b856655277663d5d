/* common/kafka/kafka - librdkafka as the pipeline uses it; only common/kafka_*.c include rdkafka.h.
 *
 * Every client starts from the user's `kafka:` properties: what the pipeline would choose gives way
 * to them, what it depends on (commits, the rebalance protocol) may not be set otherwise. Log lines
 * of librdkafka go to common/base/log. A client belongs to the thread that opened it.
 */
#ifndef AA_COMMON_KAFKA_KAFKA_H
#define AA_COMMON_KAFKA_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

/** The user's value of a property, or NULL. */
const char *aa_kafka_property_of(const aa_conf *cfg, const char *key);

/** Does the client know the user's properties, and take their values?
 *  @errors AA_ECONFIG file:line: kafka.<key>: why */
aa_status aa_kafka_check(const aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result));

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

/* ---- topics ---- */
/** Create the topic unless it exists. compacted: cleanup.policy=compact. partitions <= 0: broker's
 * default. */
aa_status aa_topic_ensure(const aa_conf *cfg, const char *topic, int partitions, bool compacted,
                          aa_err *err) __attribute__((warn_unused_result));
/** The same with topic settings as pairs: {"retention.ms", "-1", ...}; they are not applied to a
 * topic that is there already. @param existing  partitions it has had before, 0: it was made (may
 * be NULL) */
aa_status aa_topic_create(const aa_conf *cfg, const char *topic, int partitions,
                          const char *const *settings, size_t setting_count, int *existing,
                          aa_err *err) __attribute__((warn_unused_result));

typedef struct {
    const char        *name;
    int                partitions, replication; /* <= 0: the broker's default */
    const char *const *settings;                /* as for aa_topic_create; may be NULL */
    size_t             setting_count;
} aa_topic_spec;
/** As aa_topic_create. */
aa_status aa_topic_make(const aa_conf *cfg, const aa_topic_spec *sp, int *existing, aa_err *err)
    __attribute__((warn_unused_result));
/** Settings of a compacted topic: what processes and tools make them with. */
extern const char *const aa_topic_compacted[];
extern const size_t      aa_topic_compacted_count;

typedef struct {
    int     partitions, replication; /* partitions 0: there is no such topic */
    bool    settings_known;          /* else asking for them was not allowed: those below are 0 */
    bool    compacted;
    int64_t retention_ms, max_message_bytes;
} aa_topic_facts;
/** What is known of a topic. @errors AA_EIO no broker, or asking is not allowed */
aa_status aa_topic_describe(const aa_conf *cfg, const char *topic, aa_topic_facts *out, aa_err *err)
    __attribute__((warn_unused_result));
/** May this client read the topic; see the group's commits? @errors AA_EIO no, and why */
aa_status aa_topic_try_read(const aa_conf *cfg, const char *topic, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_topic_try_group(const aa_conf *cfg, const char *topic, aa_err *err)
    __attribute__((warn_unused_result));
/** Sends a tombstone with this key. */
aa_status aa_topic_try_write(const aa_conf *cfg, const char *topic, const void *key, size_t key_len,
                             aa_err *err) __attribute__((warn_unused_result));

/* ---- reading a whole topic without a group (scorer, tests) ---- */
typedef struct aa_reader aa_reader;
typedef struct {
    int32_t     partition;
    int64_t     offset, timestamp_ms;
    bool        appended;    /* timestamp_ms is when the broker got it, not the producer's */
    const void *key, *value; /* value NULL: tombstone */
    size_t      key_len, len;
    void       *opaque; /* the library's message */
} aa_kafka_record;
/** All partitions of the topics from the beginning. */
aa_status aa_reader_open(aa_reader **out, const aa_conf *cfg, const char *const *topics,
                         size_t topic_count, aa_err *err) __attribute__((warn_unused_result));
/** The same from the first message of each partition that is not older than since_ms (0: all). */
aa_status aa_reader_open_since(aa_reader **out, const aa_conf *cfg, const char *const *topics,
                               size_t topic_count, int64_t since_ms, aa_err *err)
    __attribute__((warn_unused_result));
/** Up to max records; *count may be 0 after timeout_ms. Records are valid until the next poll. */
aa_status aa_reader_poll(aa_reader *rd, aa_kafka_record *rec, size_t max, int timeout_ms,
                         size_t *count, aa_err *err) __attribute__((warn_unused_result));
/** The value of a record's header (*len), which is the record's; NULL: it has none of that name. */
const void *aa_kafka_record_header(const aa_kafka_record *rec, const char *name, size_t *len);
/** True once everything that was there when it was opened has been returned. */
bool aa_reader_caught_up(const aa_reader *rd);
/** Ask where the topics end now: from here on, caught up means up to there. @errors AA_EIO */
aa_status aa_reader_refresh(aa_reader *rd, aa_err *err) __attribute__((warn_unused_result));
/** Topic of a record's index in `topics`, by the library's message. */
size_t aa_reader_topic(const aa_reader *rd, const aa_kafka_record *rec);
/** Messages between here and the end, all partitions. */
int64_t aa_reader_lag(aa_reader *rd);
void    aa_reader_free(aa_reader **rd_p);

/* ---- reading in a group, partition by partition (ingest) ---- */
typedef struct aa_consumer aa_consumer;

#define AA_KAFKA_METADATA  2048 /* brokers take 4096 unless told otherwise */
#define AA_KAFKA_NO_OFFSET (-1)
/* A place in a partition, and what was committed with it. */
typedef struct {
    int32_t partition;
    int64_t offset; /* of the next message, or AA_KAFKA_NO_OFFSET */
    char    metadata[AA_KAFKA_METADATA];
} aa_kafka_offset;

typedef enum {
    AA_CONSUMER_NOTHING,
    AA_CONSUMER_ASSIGNED, /* the group gave partitions: look up offsets, then aa_consumer_assign */
    AA_CONSUMER_REVOKED, /* the group wants all back: finish and commit, then aa_consumer_release */
    AA_CONSUMER_LOST     /* as REVOKED, but too late to commit */
} aa_consumer_event;

/**
 * A member of the group kafka.group.id (autoassign-<pipeline.name> unless the user sets it). With
 * `subscribe` the group deals out the partitions and aa_consumer_poll reports it; without, the
 * caller assigns what it wants. Members are static (group.instance.id ingest-<lane>): a restarted
 * ingest gets its partitions back at once, and a second ingest of one lane ends the first. Fetchers
 * (ingest.role) are dynamic ones: who leaves gives its partitions up at once.
 * @errors AA_ECONFIG properties, or no such topic; AA_EIO no broker
 */
aa_status aa_consumer_open(aa_consumer **out, const aa_conf *cfg, const char *topic, bool subscribe,
                           aa_err *err) __attribute__((warn_unused_result));
/** Partitions that the topic has. */
size_t aa_consumer_partition_count(const aa_consumer *cs);
/** First and next-to-come offset of a partition, asked from the broker. */
aa_status aa_consumer_watermarks(aa_consumer *cs, int32_t partition, int64_t *low, int64_t *high,
                                 aa_err *err) __attribute__((warn_unused_result));
/** For each of n partitions: the first offset whose Kafka timestamp is >= time_ms, or the end. */
aa_status aa_consumer_offsets_at(aa_consumer *cs, int64_t time_ms, aa_kafka_offset *po, size_t n,
                                 aa_err *err) __attribute__((warn_unused_result));
/** The group's commit for each of n partitions; AA_KAFKA_NO_OFFSET and "" where there is none. */
aa_status aa_consumer_committed(aa_consumer *cs, aa_kafka_offset *po, size_t n, aa_err *err)
    __attribute__((warn_unused_result));
/** Read these partitions from these offsets, instead of whatever was read before. */
aa_status aa_consumer_assign(aa_consumer *cs, const aa_kafka_offset *po, size_t n, aa_err *err)
    __attribute__((warn_unused_result));
/** Read nothing any more; answers REVOKED and LOST. */
aa_status aa_consumer_release(aa_consumer *cs, aa_err *err) __attribute__((warn_unused_result));
/** Commit offsets and metadata, and wait for the answer.
 *  @errors AA_EAGAIN broker trouble, try again; AA_EIO refused: not this member's any more */
aa_status aa_consumer_commit(aa_consumer *cs, const aa_kafka_offset *po, size_t n, aa_err *err)
    __attribute__((warn_unused_result));

/** Serve the group; must be called at least every few seconds. On ASSIGNED, *po and *n are the
 *  partitions (offsets not set), valid until the next poll. @errors AA_EIO the client is of no more
 * use */
aa_status aa_consumer_poll(aa_consumer *cs, aa_consumer_event *event, const aa_kafka_offset **po,
                           size_t *n, aa_err *err) __attribute__((warn_unused_result));
/**
 * What has arrived of the idx-th assigned partition, without waiting: at most max records, valid
 * until the next call for any partition. *end: the offset at which the partition's end was met
 * after these records, or AA_KAFKA_NO_OFFSET (ends move when more is written).
 * @errors AA_EIO; AA_ECONFIG the offset asked for is gone (retention)
 */
aa_status aa_consumer_batch(aa_consumer *cs, size_t idx, aa_kafka_record *rec, size_t max,
                            size_t *count, int64_t *end, aa_err *err)
    __attribute__((warn_unused_result));
/** Readable when there may be something to poll or batch; aa_consumer_clear_fd before looking. */
int  aa_consumer_fd(const aa_consumer *cs);
void aa_consumer_clear_fd(aa_consumer *cs);
/** Messages from offset to the partition's end as last heard of; -1 unknown. */
int64_t aa_consumer_lag(const aa_consumer *cs, int32_t partition, int64_t offset);
void    aa_consumer_free(aa_consumer **cs_p);

#endif
