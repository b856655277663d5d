/* ingest/decode/deadletter - a message that is no valid event, kept whole: its bytes, key, time and
 * headers as they came, and where they came from. Once the cause is removed, the letter can be sent
 * again as it stands. It waits in the stream's order, so that the committed offset tells which
 * letters have been sent; after a crash those since the last commit are sent twice. */
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
    deadletter   *next; /* for the owner's list */
    int32_t       partition;
    int64_t       offset;
    decode_reason reason;
    char          why[160];
    bool          has_key, has_value;
    int64_t       time_ms;                 /* the message's, -1: none */
    size_t        key_len, len;            /* what is left of key and value: */
    size_t        full_key_len, full_len;  /* less than these when cut, to fit a message */
    size_t        headers_at, headers_len; /* in bytes: the message's headers, packed */
    unsigned char bytes[];                 /* key, value, headers */
};

/* Key, value and the message's headers of a letter; brokers take about 1 MB with ours. */
#define DEADLETTER_MAX_BYTES 960000
/* Of the message's headers: those beyond are left out. */
#define DEADLETTER_HEADERS      64
#define DEADLETTER_HEADER_BYTES 65536

/** Copies the record, with rec->headers but those that an earlier letter of it had from us.
 *  @return NULL: out of memory */
deadletter *deadletter_new(const aa_kafka_record *rec, decode_reason reason, const char *why);
void        deadletter_free(deadletter **dl_p);
/** Memory that a letter holds. */
size_t deadletter_bytes(const deadletter *dl);

/** topics.dead_letters, or <interactions>.dlq. */
void deadletter_topic(char out[AA_CONF_STR + 8], const aa_conf *cfg);
/** Cut the value, then the key, so that both together have at most max_bytes. */
void deadletter_cut(deadletter *dl, size_t max_bytes);
/** What a message takes in a batch besides key and value: headers and frame, or somewhat less. */
size_t deadletter_frame_bytes(const aa_conf *cfg, const deadletter *dl);
/** The headers in packed bytes (len), which have to stay; how many. Of bytes that are no headers
 *  those before the flaw. */
size_t deadletter_headers(const void *packed, size_t len, aa_kafka_header out[DEADLETTER_HEADERS]);
/** Queue the letter, marked, with the message's time, its headers,
 *  autoassign.{reason,detail,topic,partition,offset,error_time_ms,pipeline}, and
 *  autoassign.{full_bytes,full_key_bytes} of what was cut. @errors as aa_producer_send_marked */
aa_status deadletter_send(aa_producer *pr, const aa_conf *cfg, const deadletter *dl,
                          int64_t now_wall_ms, void *mark, aa_err *err)
    __attribute__((warn_unused_result));

#endif
