/* common/kafka/kafka_consumer - reads in a group, partition by partition (ingest).
 * A consumer belongs to the thread that opened it. */
#ifndef AA_COMMON_KAFKA_KAFKA_CONSUMER_H
#define AA_COMMON_KAFKA_KAFKA_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_record.h"

typedef struct aa_consumer aa_consumer;

#define AA_KAFKA_METADATA  3072 /* brokers take 4096 unless told otherwise */
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
/** Partitions that the topic had when that was asked last (when opened, at first). */
size_t aa_consumer_partition_count(const aa_consumer *cs);
/** Ask the broker again: partitions may be added while it runs.
 *  @errors AA_EIO no broker; AA_ECONFIG no such topic any more */
aa_status aa_consumer_count_partitions(aa_consumer *cs, aa_err *err)
    __attribute__((warn_unused_result));
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
/** Commit offsets and metadata without waiting; one commit at a time: the one before is forgotten.
 *  The answer wakes aa_consumer_fd. @errors as aa_consumer_commit */
aa_status aa_consumer_commit_send(aa_consumer *cs, const aa_kafka_offset *po, size_t n, aa_err *err)
    __attribute__((warn_unused_result));
/** What the broker says to that; *answered false: nothing yet, after timeout_ms. None under way:
 *  AA_OK. @errors as aa_consumer_commit */
aa_status aa_consumer_commit_answer(aa_consumer *cs, int timeout_ms, bool *answered, aa_err *err)
    __attribute__((warn_unused_result));
/** Commit offsets and metadata, and wait some seconds for the answer.
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
 * @errors AA_EIO; AA_ECONFIG the offset asked for is gone (retention); AA_EPARSE what comes next
 * could not be unpacked in some tries (some seconds): aa_consumer_skip goes on behind it
 */
aa_status aa_consumer_batch(aa_consumer *cs, size_t idx, aa_kafka_record *rec, size_t max,
                            size_t *count, int64_t *end, aa_err *err)
    __attribute__((warn_unused_result));
/** Go on behind what cannot be unpacked: *from, *to are its offsets. Takes a second or two.
 *  @pre aa_consumer_batch has answered AA_EPARSE for idx  @errors AA_EIO try again */
aa_status aa_consumer_skip(aa_consumer *cs, const aa_conf *cfg, size_t idx, int64_t *from,
                           int64_t *to, aa_err *err) __attribute__((warn_unused_result));
/** A partition of which the next messages cannot be unpacked, in words; NULL: none. */
const char *aa_consumer_trouble(const aa_consumer *cs);
/** Readable when there may be something to poll or batch; aa_consumer_clear_fd before looking. */
int  aa_consumer_fd(const aa_consumer *cs);
void aa_consumer_clear_fd(aa_consumer *cs);
/** Messages from offset to the partition's end as last heard of; -1 unknown. */
int64_t aa_consumer_lag(const aa_consumer *cs, int32_t partition, int64_t offset);
void    aa_consumer_free(aa_consumer **cs_p);

#endif
