/* common/kafka/owners - which pipelines' records stand in the two compacted topics.
 *
 * A pipeline that publishes where another one does overwrites its records. Marks (see
 * common/messages/mark) tell them apart.
 */
#ifndef AA_COMMON_KAFKA_OWNERS_H
#define AA_COMMON_KAFKA_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_record.h"

/** The mark of a record, value or tombstone; 0: none. */
uint32_t aa_owners_mark(const aa_kafka_record *rec);

#define AA_OWNERS_MAX 4
/* A pipeline that is not this one. */
typedef struct {
    uint32_t mark;
    int64_t  newest_ms;     /* of its records */
    uint64_t records;       /* that were seen */
    char     pipeline[128]; /* from its dense weights; "": not seen */
} aa_owner;
typedef struct {
    aa_owner owner[AA_OWNERS_MAX]; /* (count) */
    size_t   count;                /* the first ones met */
    uint64_t own, unmarked;        /* records of this pipeline, and of versions without marks */
    bool     live;                 /* another pipeline's came while it was watched */
} aa_owners;

/** Note a record. Returns whether it is another pipeline's. */
bool aa_owners_note(aa_owners *ow, uint32_t own_mark, const aa_kafka_record *rec);
/** "pipeline 'trial'", or "a pipeline with the mark 1234abcd". */
void aa_owners_name(const aa_owner *who, char *out, size_t size);

/** Whose records there are in a topic, not older than since_ms (0: all), as far as budget_ms
 *  suffices. If there are another pipeline's, watch for more of them for watch_ms: live.
 *  @errors AA_EIO the topic is not there or may not be read */
aa_status aa_owners_read(aa_owners *out, const aa_conf *cfg, const char *topic, int64_t since_ms,
                         int64_t budget_ms, int64_t watch_ms, aa_err *err)
    __attribute__((warn_unused_result));

/** Before publishing: does another pipeline publish to the compacted topics now? A topic that this
 *  process may not read is passed over. @errors AA_ECONFIG it does; AA_ENOMEM */
aa_status aa_owners_check(const aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result));

#endif
