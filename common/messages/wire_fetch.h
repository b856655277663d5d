/* common/messages/wire_fetch - what a lane's sequencer and its fetchers tell each other
 * (schemas/fetch.proto).
 *
 * As in common/messages/wire: decoding validates everything, a message that fails is AA_EPARSE and
 * changes nothing, and encoding checks the same.
 */
#ifndef AA_COMMON_MESSAGES_WIRE_FETCH_H
#define AA_COMMON_MESSAGES_WIRE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"

#define AA_FETCH_MAX_PARTITIONS ((size_t)65536)   /* of a topic */
#define AA_FETCH_LETTER_BYTES   ((size_t)1 << 20) /* key, value and headers of one, each */

/* A list of partitions and where each stands. All arrays (n), owned. */
typedef struct {
    size_t    n, cap;
    int32_t  *partition; /* ascending */
    uint32_t *attempt;   /* 0 in an offer: not asked in that run */
    int64_t  *offset;    /* offer: high watermark, -1 not known; fetch: where to begin */
    uint64_t *messages;  /* offer: sent; fetch: taken */
    uint64_t *records;   /* offer: sent; fetch: that may be sent. All in this attempt. */
} aa_portions;

/** Room for n partitions; contents kept, n unchanged. @errors AA_ENOMEM */
aa_status aa_portions_reserve(aa_portions *po, size_t n, aa_err *err)
    __attribute__((warn_unused_result));
void aa_portions_fini(aa_portions *po);

typedef struct {
    aa_header   hd; /* run_id: the newest it was asked in; seq: how often the group has dealt */
    char        name[128], pipeline[128];
    uint64_t    decoding_digest;
    bool        withdrawing;
    uint64_t    lost_run; /* in which an offset asked for was gone, 0: none */
    aa_portions po;
} aa_offer;

typedef struct {
    aa_header   hd; /* run_id 0: no run is open; seq: of the offer that it answers */
    aa_portions po;
} aa_fetch;

typedef struct {
    int64_t  offset;
    uint32_t reason; /* a decode_reason */
    bool     has_key, has_value;
    int64_t  time_ms;          /* of the message in Kafka, -1: none */
    size_t   at, key_len, len; /* in the bytes of aa_fetched: key, value, headers */
    size_t   headers_len;
    size_t   full_len; /* of the value before it was cut */
    char     why[160];
} aa_fetched_letter;

/* What a fetcher says of an event beside its columns. As AA_EVENT_COLUMNS. */
#define AA_FETCHED_COLUMNS(X)                                                                      \
    /* in Kafka */                                                                                 \
    X(arrival_ms, int64_t, AA_PER_EVENT, AA_CHECK_ANY, AA_NEEDED, 0)                               \
    /* ascending */                                                                                \
    X(offset, int64_t, AA_PER_EVENT, AA_CHECK_ANY, AA_NEEDED, 0)

/* Events and letters that followed in one partition, each ascending by offset. */
typedef struct {
    aa_header hd; /* seq: 1, 2, ... within (run, partition, attempt) */
    int32_t   partition;
    uint32_t  attempt;
    size_t    n, F, cap;
    AA_EVENT_COLUMN_MEMBERS;
    AA_FETCHED_COLUMNS(AA_COLUMN_MEMBER)
    aa_fetched_letter *letter; /* (letter_count) */
    size_t             letter_count, letter_cap;
    aa_bytes           bytes; /* of the letters */
    int64_t next; /* behind what was read and holds no event; 0: behind the last record */
} aa_fetched;
extern const aa_column_table aa_fetched_columns;

/** Room for n events of F fields; contents kept; sets F. @errors AA_ENOMEM */
aa_status aa_fetched_reserve(aa_fetched *fe, size_t n, size_t F, aa_err *err)
    __attribute__((warn_unused_result));
/** Append a letter like `head` (its `at` is set) and copy its bytes. @errors AA_ENOMEM */
aa_status aa_fetched_add_letter(aa_fetched *fe, const aa_fetched_letter *head, const void *key,
                                const void *value, const void *headers, aa_err *err)
    __attribute__((warn_unused_result));
/** No events and no letters; memory is kept. */
void aa_fetched_clear(aa_fetched *fe);
void aa_fetched_fini(aa_fetched *fe);
/** Offset of the first record, and the one behind it all. @pre it holds a record, or `next` */
int64_t aa_fetched_first(const aa_fetched *fe);
int64_t aa_fetched_next(const aa_fetched *fe);

aa_status aa_wire_pack_offer(aa_bytes *out, const aa_offer *of, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_offer(aa_offer *of, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_pack_fetch(aa_bytes *out, const aa_fetch *ft, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_fetch(aa_fetch *ft, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_pack_fetched(aa_bytes *out, const aa_fetched *fe, aa_err *err)
    __attribute__((warn_unused_result));
/** fe: zero, or unpacked before (its memory is used again) */
aa_status aa_wire_unpack_fetched(aa_fetched *fe, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

#endif
