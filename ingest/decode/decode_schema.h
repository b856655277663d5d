/* ingest/decode/decode_schema - messages that have a schema: which one, and the plan for it.
 *
 * A schema comes from a file of the configuration, or by the number in a message's frame (Confluent:
 * a byte 0, four bytes of number, in protobuf the place of the message in its file). A plan is made
 * once per schema and message type.
 */
#ifndef AA_INGEST_DECODE_DECODE_SCHEMA_H
#define AA_INGEST_DECODE_DECODE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "ingest/decode/decode.h"
#include "ingest/decode/path.h"
#include "ingest/decode/picked.h"
#include "ingest/formats/schema_source.h"

#define DECODE_SCHEMAS     256 /* schemas whose plans are kept; one more, and all are made again */
#define DECODE_MESSAGES    64  /* message types of a protobuf schema whose plans are kept */
#define DECODE_FRAME_BYTES 5
#define DECODE_INDEX_STEPS 16        /* of a protobuf message's place */
#define DECODE_FILE_BYTES  (8 << 20) /* of a file with a schema */

typedef struct decode_schemas decode_schemas;

/** Files of cfg (event.schema_file, reader_schema, descriptor) are read here. cfg and pt are kept
 *  (borrowed). @errors AA_ECONFIG a file, with the key's name; AA_ENOMEM */
aa_status decode_schemas_new(decode_schemas **out, const aa_conf *cfg, const path_tree *pt,
                             aa_err *err) __attribute__((warn_unused_result));
void      decode_schemas_free(decode_schemas **ds_p);
/** Numbers are asked for there; NULL (at first): messages with a number are refused. */
void decode_schemas_source(decode_schemas *ds, const schema_source *source);

/** A message of this schema would not have to wait. */
bool decode_schemas_there(decode_schemas *ds, uint32_t id);

/** Is it to be read by a schema, in this configuration? Otherwise it is plain JSON, or an
 *  Interaction. */
bool decode_schemas_claims(const decode_schemas *ds, const void *buf, size_t len);

typedef struct {
    decode_reason reason; /* DECODE_OK: value is filled, or json is set */
    char          why[120];
    uint32_t      id;   /* DECODE_WAIT: the schema's number */
    const void   *json; /* (json_len): a framed JSON object, which is for json_reader */
    size_t        json_len;
} decode_schema_result;

/** @param value (pt->value_count) written */
void decode_schemas_read(decode_schemas *ds, const void *buf, size_t len, picked *value,
                         decode_schema_result *out);

#endif
