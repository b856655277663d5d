/* ingest/formats/protobuf_wire - the wire format of protobuf, member by member. Nothing is copied. */
#ifndef AA_INGEST_FORMATS_PROTOBUF_WIRE_H
#define AA_INGEST_FORMATS_PROTOBUF_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2,
    PROTOBUF_GROUP = 3,
    PROTOBUF_GROUP_END = 4,
    PROTOBUF_FIXED32 = 5
};

typedef struct {
    const unsigned char *at, *end;
} protobuf_cursor;

/* One member. */
typedef struct {
    uint32_t             number, wire; /* tag */
    uint64_t             value;        /* VARINT, FIXED64, FIXED32; BYTES: len */
    const unsigned char *bytes;        /* BYTES: (len) */
    size_t               len;
} protobuf_part;

static inline bool
protobuf_take_varint(protobuf_cursor *cu, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && cu->at < cu->end; shift += 7) {
        const unsigned char c = *cu->at++;
        *out |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) return true;
    }
    return false;
}

static inline bool
protobuf_take_fixed(protobuf_cursor *cu, size_t len, uint64_t *out)
{
    if ((size_t)(cu->end - cu->at) < len) return false;
    *out = 0;
    for (size_t i = 0; i < len; i++)
        *out |= (uint64_t)cu->at[i] << 8 * i;
    cu->at += len;
    return true;
}

/** false: the bytes are no member. A group's begin and end are members without a value. */
static inline bool
protobuf_take_part(protobuf_cursor *cu, protobuf_part *pa)
{
    uint64_t tag;
    if (!protobuf_take_varint(cu, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) return false;
    pa->number = (uint32_t)(tag >> 3);
    pa->wire = (uint32_t)tag & 7;
    switch (pa->wire) {
    case PROTOBUF_VARINT: return protobuf_take_varint(cu, &pa->value);
    case PROTOBUF_FIXED64: return protobuf_take_fixed(cu, 8, &pa->value);
    case PROTOBUF_FIXED32: return protobuf_take_fixed(cu, 4, &pa->value);
    case PROTOBUF_BYTES:
        if (!protobuf_take_varint(cu, &pa->value) || pa->value > (uint64_t)(cu->end - cu->at))
            return false;
        pa->len = (size_t)pa->value;
        pa->bytes = cu->at;
        cu->at += pa->len;
        return true;
    case PROTOBUF_GROUP:
    case PROTOBUF_GROUP_END: pa->value = 0; return true;
    default: return false;
    }
}

#endif
