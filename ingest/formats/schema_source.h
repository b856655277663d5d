/* ingest/formats/schema_source - where a decoder asks for the schema that a message names by number. */
#ifndef AA_INGEST_FORMATS_SCHEMA_SOURCE_H
#define AA_INGEST_FORMATS_SCHEMA_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define SCHEMA_TEXTS 256 /* a schema and those that it refers to */

typedef enum { SCHEMA_AVRO, SCHEMA_PROTOBUF, SCHEMA_JSON } schema_kind;

typedef struct {
    char  *bytes; /* (len): Avro, JSON: text; protobuf: a FileDescriptorProto */
    size_t len;
} schema_text;

/* Each text is before those that refer to it; the last is the schema itself. */
typedef struct {
    schema_kind kind;
    schema_text text[SCHEMA_TEXTS];
    size_t      count;
} schema_texts;

typedef enum {
    SCHEMA_FOUND,
    SCHEMA_UNKNOWN, /* nobody knows this number */
    SCHEMA_UNFIT,   /* there is one, but it cannot be used: see err */
    SCHEMA_LATER    /* it cannot be asked for now: see err; ask again */
} schema_answer;

typedef struct schema_source {
    /** @param out  valid until the next call. Does not wait long. */
    schema_answer (*get)(void *arg, uint32_t id, const schema_texts **out, aa_err *err);
    void *arg;
} schema_source;

#endif
