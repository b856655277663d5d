/* ingest/formats/avro_schema - an Avro schema (1.12) as a graph of types.
 *
 * Types are numbered, so that a type may hold itself. Texts are those of the parsed JSON, which the
 * schema keeps. Whatever the text is, memory is bounded by the limits below.
 */
#ifndef AA_INGEST_FORMATS_AVRO_SCHEMA_H
#define AA_INGEST_FORMATS_AVRO_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define AVRO_SCHEMA_BYTES (1 << 20) /* of a schema's text */
#define AVRO_SCHEMA_TYPES 4096      /* types of a schema and of those that it refers to */
#define AVRO_SCHEMA_DEPTH 64        /* types within each other in the text */
#define AVRO_NO_TYPE      UINT32_MAX

typedef enum {
    AVRO_NULL,
    AVRO_BOOLEAN,
    AVRO_INT,
    AVRO_LONG,
    AVRO_FLOAT,
    AVRO_DOUBLE,
    AVRO_BYTES,
    AVRO_STRING,
    AVRO_RECORD,
    AVRO_ENUM,
    AVRO_ARRAY,
    AVRO_MAP,
    AVRO_UNION,
    AVRO_FIXED
} avro_kind;

/* What a type's values mean; AVRO_AS_IS for those that make no difference here. */
typedef enum { AVRO_AS_IS, AVRO_DECIMAL, AVRO_UUID, AVRO_TIME } avro_logical;

/* A record's field, an enum's symbol (name), or a union's branch (type). */
typedef struct {
    const char   *name;
    uint32_t      type;
    const json_t *aliases, *fallback; /* of a field; NULL: none */
} avro_part;

typedef struct {
    avro_kind    kind;
    avro_logical logical;
    int          scale;   /* DECIMAL */
    int64_t      unit_ns; /* TIME */
    char        *name;    /* owned; the full name of a record, an enum, a fixed */
    avro_part   *part;    /* (count) owned */
    size_t       count;
    size_t       size;  /* FIXED */
    uint32_t     item;  /* ARRAY, MAP */
    bool         empty; /* its values have no bytes */
} avro_type;

typedef struct {
    avro_type *type; /* (count) owned */
    size_t     count;
    json_t   **text; /* (text_count) owned: the parsed texts */
    size_t     text_count;
    uint32_t   root;
} avro_schema;

typedef struct {
    const char *text; /* (len) */
    size_t      len;
} avro_text;

/** @param texts  (count) schemas that are referred to, each before the one that refers to it; the
 *                last is the schema itself
 *  @errors AA_EPARSE no Avro schema, or beyond a limit; AA_ENOMEM */
aa_status avro_schema_new(avro_schema **out, const avro_text *texts, size_t count, aa_err *err)
    __attribute__((warn_unused_result));
void avro_schema_free(avro_schema **as_p);

#endif
