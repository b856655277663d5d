/* ingest/formats/protobuf_schema - messages and enums of compiled .proto files.
 *
 * A file comes as a FileDescriptorProto: from a descriptor set (protoc --descriptor_set_out), or from
 * a schema registry. Names point into a copy of the files. Of google.protobuf, Timestamp and the
 * wrappers (StringValue and the like) are known without their files.
 */
#ifndef AA_INGEST_FORMATS_PROTOBUF_SCHEMA_H
#define AA_INGEST_FORMATS_PROTOBUF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define PROTOBUF_SCHEMA_BYTES (16 << 20) /* of all files */
#define PROTOBUF_SCHEMA_TYPES 16384      /* messages and enums */
#define PROTOBUF_SCHEMA_DEPTH 32         /* messages defined within each other */
#define PROTOBUF_NO_TYPE      UINT32_MAX

/* The numbers of FieldDescriptorProto.Type. */
typedef enum {
    PROTOBUF_DOUBLE = 1,
    PROTOBUF_FLOAT,
    PROTOBUF_INT64,
    PROTOBUF_UINT64,
    PROTOBUF_INT32,
    PROTOBUF_TYPE_FIXED64,
    PROTOBUF_TYPE_FIXED32,
    PROTOBUF_BOOL,
    PROTOBUF_STRING,
    PROTOBUF_TYPE_GROUP,
    PROTOBUF_MESSAGE,
    PROTOBUF_TYPE_BYTES,
    PROTOBUF_UINT32,
    PROTOBUF_ENUM,
    PROTOBUF_SFIXED32,
    PROTOBUF_SFIXED64,
    PROTOBUF_SINT32,
    PROTOBUF_SINT64
} protobuf_type;

/* A text within the files. */
typedef struct {
    const char *text;
    size_t      len;
} protobuf_name;

typedef struct {
    protobuf_name name, type_name, fallback; /* fallback: proto2's default; text NULL: none */
    uint32_t      number, type;              /* a protobuf_type */
    uint32_t      of;    /* MESSAGE, ENUM: its type; PROTOBUF_NO_TYPE: unknown */
    int           oneof; /* -1: of none */
    bool          repeated;
    bool          implicit; /* one that is not in the message has its type's zero */
} protobuf_field;

/* A message, or an enum: then its values are the fields. */
typedef struct {
    char           *name;   /* owned; the full name, without a dot before it */
    protobuf_field *field;  /* (count) owned */
    uint32_t       *nested; /* (nested_count) owned: messages that are defined in it */
    size_t          count, nested_count;
    bool            is_enum, is_map_entry;
    bool            is_timestamp, is_wrapper; /* of google.protobuf */
} protobuf_message;

typedef struct {
    unsigned char    *bytes;   /* owned: the files */
    protobuf_message *message; /* (count) owned */
    size_t            count;
    uint32_t         *top; /* (top_count) owned: messages of the last file, in its order */
    size_t            top_count;
} protobuf_schema;

typedef struct {
    const void *bytes; /* (len): a FileDescriptorProto */
    size_t      len;
} protobuf_file;

/** @param files  (count), each before the one that imports it
 *  @errors AA_EPARSE no such files, or beyond a limit; AA_ENOMEM */
aa_status protobuf_schema_new(protobuf_schema **out, const protobuf_file *files, size_t count,
                              aa_err *err) __attribute__((warn_unused_result));
/** Of a FileDescriptorSet. @errors the same */
aa_status protobuf_schema_of_set(protobuf_schema **out, const void *bytes, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
void protobuf_schema_free(protobuf_schema **ps_p);

/** The message of that full name, or its last part if only one has it. PROTOBUF_NO_TYPE: none. */
uint32_t protobuf_schema_find(const protobuf_schema *ps, const char *name);
/** By the place in the last file: index[0] at the top, index[1] within that. PROTOBUF_NO_TYPE: none */
uint32_t protobuf_schema_at(const protobuf_schema *ps, const uint32_t *index, size_t count);
/** NULL: none. */
const protobuf_field *protobuf_schema_field(const protobuf_message *pm, const char *name,
                                            size_t len);

#endif
