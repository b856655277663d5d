/* ingest/decode/decode_internal - what decode.c, the formats and decode_values.c share. */
#ifndef AA_INGEST_DECODE_DECODE_INTERNAL_H
#define AA_INGEST_DECODE_DECODE_INTERNAL_H

#include <stdbool.h>

#include "ingest/decode/decode.h"
#include "ingest/decode/decode_schema.h"
#include "ingest/decode/json_reader.h"
#include "ingest/decode/path.h"

/* An ID as it stands in the message. */
typedef struct {
    enum { DECODE_NO_ID, DECODE_TEXT_ID, DECODE_NUMBER_ID } kind;
    int64_t       number;
    const void   *text; /* the message's, or the JSON reader's */
    size_t        len;
    const picked *from; /* NULL: not from a picked value */
} decode_id;

/* A message with the right shape, not validated yet. */
typedef struct {
    decode_id id[AA_MAX_FIELDS];
    double    label;
    int64_t   time_ms;
    bool      kafka_time; /* the time is Kafka's */
} decode_raw;

struct decode {
    const aa_conf  *cfg;
    json_reader    *jr;        /* owned; values: the F fields', the label, the time */
    uint32_t        waits_for; /* the schema of the last DECODE_WAIT */
    path_tree      *pt;        /* owned; the same paths, for messages with a schema */
    decode_schemas *ds;        /* owned; NULL: no message has one */
    picked          value[AA_MAX_FIELDS + 2]; /* of a message with a schema */
    decode_raw      raw;                      /* the last message's */
    char            why[160];
};

/** The path of field f. */
static inline const char *
decode_path(const decode *dc, size_t f)
{
    const aa_conf_field *field = &dc->cfg->fields[f];
    return field->path[0] ? field->path : field->name;
}

/** Set the words, return the reason. */
decode_reason decode_fail(decode *dc, decode_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Nothing stands at path; va: what was found instead, NULL: nobody looked. */
decode_reason decode_missing(decode *dc, decode_reason reason, const char *path, const char *what,
                             const picked *va);

/** A message without a time has Kafka's. @return with the words set */
decode_reason decode_kafka_time(decode *dc, const char *name, int64_t kafka_ms, decode_raw *raw);

/** va (F+2): what stands at the paths of the fields, the label and the time. */
decode_reason decode_values(decode *dc, const picked *va, int64_t kafka_ms, decode_raw *raw);

/* raw's texts live as long as the message, and no longer than until the next one. */
decode_reason decode_json(decode *dc, const void *buf, size_t len, int64_t kafka_ms,
                          decode_raw *raw);
decode_reason decode_protobuf(decode *dc, const void *buf, size_t len, int64_t kafka_ms,
                              decode_raw *raw);

#endif
