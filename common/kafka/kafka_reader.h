/* common/kafka/kafka_reader - reads whole topics without a group (scorer, tools,
 * tests).
 * A reader belongs to the thread that opened it. */
#ifndef AA_COMMON_KAFKA_KAFKA_READER_H
#define AA_COMMON_KAFKA_KAFKA_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_record.h"

typedef struct aa_reader aa_reader;
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
/** True once everything that was there when it was opened has been returned. */
bool aa_reader_caught_up(const aa_reader *rd);
/** Ask where the topics end now: from here on, caught up means up to there. @errors AA_EIO no answer
 *  within timeout_ms */
aa_status aa_reader_refresh(aa_reader *rd, int timeout_ms, aa_err *err)
    __attribute__((warn_unused_result));
/** Sum of the offsets that are read next: it stays as long as nothing is written. */
int64_t aa_reader_position(const aa_reader *rd);
/** NULL, or what shows that a topic does not hold any more what was read, or what was to be read
 *  next: a partition ends before the place that was read to, begins behind it, or was gone back in.
 *  A partition that was cut and has grown beyond that place again shows nothing. */
const char *aa_reader_lost(const aa_reader *rd);
/** The least delete.retention.ms of the topics; -1: not known, see aa_kafka_delete_retention_ms. */
int64_t aa_reader_delete_retention_ms(aa_reader *rd, int timeout_ms);
/** Topic of a record's index in `topics`, by the library's message. */
size_t aa_reader_topic(const aa_reader *rd, const aa_kafka_record *rec);
/** Messages between here and the end, all partitions. */
int64_t aa_reader_lag(aa_reader *rd);
void    aa_reader_free(aa_reader **rd_p);

#endif
