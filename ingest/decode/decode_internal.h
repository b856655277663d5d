/* ingest/decode/decode_internal - what decode.c and the two formats share. */
#ifndef AA_INGEST_DECODE_DECODE_INTERNAL_H
#define AA_INGEST_DECODE_DECODE_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "ingest/decode/decode.h"

/* An ID as it stands in the message. */
typedef struct {
    enum { DECODE_NO_ID, DECODE_TEXT_ID, DECODE_NUMBER_ID } kind;
    int64_t     number;
    const void *text; /* the message's, or the parsed object's */
    size_t      len;
} decode_id;

/* A message with the right shape, not validated yet. */
typedef struct {
    decode_id id[AA_MAX_FIELDS];
    double    label;
    int64_t   time_ms;
} decode_raw;

/* Memory of one message, taken back as a whole. */
typedef struct {
    unsigned char *mem; /* (cap) owned */
    size_t         cap, used;
    bool           exhausted;
} decode_arena;

struct decode {
    const aa_conf *cfg;
    decode_arena   arena;
    char          *item; /* (item_len of id_max_bytes) owned; the last item ID as text */
    size_t         item_len;
    char           why[160];
};

/** Set the words, return the reason. */
decode_reason decode_fail(decode *dc, decode_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** raw's texts live in *root, which the caller releases in any case (json_decref). */
decode_reason decode_json(decode *dc, const void *buf, size_t len, int64_t kafka_ms,
                          decode_raw *raw, json_t **root);
/** raw's texts live in dc->arena until the next message. */
decode_reason decode_protobuf(decode *dc, const void *buf, size_t len, decode_raw *raw);

#endif
