/* ingest/decode/decode_internal - what decode.c and the two formats share. */
#ifndef AA_INGEST_DECODE_DECODE_INTERNAL_H
#define AA_INGEST_DECODE_DECODE_INTERNAL_H

#include <stdbool.h>

#include "ingest/decode/decode.h"
#include "ingest/decode/json_reader.h"

/* An ID as it stands in the message. */
typedef struct {
    enum { DECODE_NO_ID, DECODE_TEXT_ID, DECODE_NUMBER_ID } kind;
    int64_t     number;
    const void *text; /* the message's, or the JSON reader's */
    size_t      len;
} decode_id;

/* A message with the right shape, not validated yet. */
typedef struct {
    decode_id id[AA_MAX_FIELDS];
    double    label;
    int64_t   time_ms;
} decode_raw;

struct decode {
    const aa_conf *cfg;
    json_reader   *jr;   /* owned; members: the F fields', the label, the time */
    char          *item; /* (item_len of id_max_bytes) owned; the last item ID as text */
    size_t         item_len;
    char           why[160];
};

/** The JSON name of field f. */
static inline const char *
decode_json_name(const decode *dc, size_t f)
{
    const aa_conf_field *field = &dc->cfg->fields[f];
    return field->json[0] ? field->json : field->name;
}

/** Set the words, return the reason. */
decode_reason decode_fail(decode *dc, decode_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** A message without a time has Kafka's. @return with the words set */
decode_reason decode_kafka_time(decode *dc, const char *name, int64_t kafka_ms, decode_raw *raw);

/* raw's texts live as long as the message, and no longer than until the next one. */
decode_reason decode_json(decode *dc, const void *buf, size_t len, int64_t kafka_ms,
                          decode_raw *raw);
decode_reason decode_protobuf(decode *dc, const void *buf, size_t len, int64_t kafka_ms,
                              decode_raw *raw);

#endif
