/* ingest/decode/deadletter - what could not become an event, kept whole: its bytes and key as they came,
 * and where they came from. The letter waits in the stream's order, so that the committed offset
 * tells which letters have been sent; after a crash those since the last commit are sent twice. */
#ifndef AA_INGEST_DECODE_DEADLETTER_H
#define AA_INGEST_DECODE_DEADLETTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_record.h"
#include "ingest/decode/decode.h"

typedef struct deadletter deadletter;
struct deadletter {
    deadletter   *next; /* for whoever keeps a list */
    int32_t       partition;
    int64_t       offset;
    decode_reason reason;
    char          why[160];
    bool          has_key, has_value;
    size_t        key_len, len, full_len; /* len < full_len: cut, it would not fit a message */
    unsigned char bytes[];                /* (key_len + len) */
};

/* Key and value of a letter; brokers take about 1 MB with the headers. */
#define DEADLETTER_MAX_BYTES 960000

/** Copies the record. @return NULL: out of memory */
deadletter *deadletter_new(const aa_kafka_record *rec, decode_reason reason, const char *why);
void        deadletter_free(deadletter **dl_p);
/** Memory that a letter holds. */
size_t deadletter_bytes(const deadletter *dl);

/** topics.dead_letters, or <interactions>.dlq. */
void deadletter_topic(char out[AA_CONF_STR + 8], const aa_conf *cfg);
/** Queue the letter with headers
 * autoassign.{reason,detail,topic,partition,offset,error_time_ms,pipeline}. */
aa_status deadletter_send(aa_producer *pr, const aa_conf *cfg, const deadletter *dl,
                          int64_t now_wall_ms, aa_err *err) __attribute__((warn_unused_result));

#endif
