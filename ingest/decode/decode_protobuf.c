/* Interaction messages (schemas/event.proto), read as they stand: nothing is copied, and a member
 * that is not ours is passed over, whatever its size. By protobuf's rules: of a member that comes
 * twice the last one holds, of a oneof too, and a member of another wire type than ours is not
 * ours.
 */
#include <string.h>

#include "ingest/decode/decode_internal.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { USER_ID = 1, USER_NUMBER, ITEM_ID, ITEM_NUMBER, LABEL, TIMESTAMP_MS, CONTEXT };

typedef struct {
    const unsigned char *at, *end;
} cursor;

/* One member. */
typedef struct {
    uint32_t             number, wire; /* tag */
    uint64_t             value;        /* VARINT, FIXED64 */
    const unsigned char *bytes;        /* BYTES: (len) */
    size_t               len;
} part;

static bool
take_varint(cursor *cu, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && cu->at < cu->end; shift += 7) {
        const unsigned char c = *cu->at++;
        *out |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) return true;
    }
    return false;
}

static bool
take_fixed(cursor *cu, size_t len, uint64_t *out)
{
    if ((size_t)(cu->end - cu->at) < len) return false;
    *out = 0;
    for (size_t i = 0; i < len; i++)
        *out |= (uint64_t)cu->at[i] << 8 * i;
    cu->at += len;
    return true;
}

static bool
take_part(cursor *cu, part *pa)
{
    uint64_t tag;
    if (!take_varint(cu, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) return false;
    pa->number = (uint32_t)(tag >> 3);
    pa->wire = (uint32_t)tag & 7;
    switch (pa->wire) {
    case VARINT: return take_varint(cu, &pa->value);
    case FIXED64: return take_fixed(cu, 8, &pa->value);
    case FIXED32: return take_fixed(cu, 4, &pa->value);
    case BYTES:
        if (!take_varint(cu, &pa->value) || pa->value > (uint64_t)(cu->end - cu->at)) return false;
        pa->len = (size_t)pa->value;
        pa->bytes = cu->at;
        cu->at += pa->len;
        return true;
    default: return false; /* groups: nobody has used them since proto2 */
    }
}

static void
set_id(decode_id *id, const part *pa)
{
    if (pa->wire == BYTES)
        *id = (decode_id){.kind = DECODE_TEXT_ID, .text = pa->bytes, .len = pa->len};
    else
        *id = (decode_id){.kind = DECODE_NUMBER_ID, .number = (int64_t)pa->value};
}

/* What a message has of its single members, and how many of the repeated one. */
typedef struct {
    bool   label, time;
    size_t context;
} found;

static void
take_member(decode_raw *raw, const part *pa, size_t F, found *fo)
{
    switch (pa->number << 3 | pa->wire) {
    case USER_ID << 3 | BYTES:
    case USER_NUMBER << 3 | VARINT: set_id(&raw->id[0], pa); break;
    case ITEM_ID << 3 | BYTES:
    case ITEM_NUMBER << 3 | VARINT:
        if (F > 1) set_id(&raw->id[1], pa);
        break;
    case LABEL << 3 | FIXED64:
        memcpy(&raw->label, &pa->value, sizeof raw->label);
        fo->label = true;
        break;
    case TIMESTAMP_MS << 3 | VARINT:
        raw->time_ms = (int64_t)pa->value;
        fo->time = true;
        break;
    case CONTEXT << 3 | BYTES:
        if (2 + fo->context < F) set_id(&raw->id[2 + fo->context], pa);
        fo->context++;
        break;
    default: break;
    }
}

decode_reason
decode_protobuf(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    const size_t F = dc->cfg->field_count;
    cursor       cu = {.at = buf, .end = (const unsigned char *)buf + len};
    found        fo = {0};

    for (size_t f = 0; f < F; f++)
        raw->id[f] = (decode_id){.kind = DECODE_NO_ID};
    while (cu.at < cu.end) {
        part pa;
        if (!take_part(&cu, &pa))
            return decode_fail(dc, DECODE_MALFORMED, "not an Interaction (%zu bytes)", len);
        take_member(raw, &pa, F, &fo);
    }
    if (!fo.label)
        return decode_fail(dc, DECODE_LABEL_MISSING,
                           "label: not in the message; producers whose schema lacks `optional` "
                           "leave out 0 (schemas/event.proto)");
    return fo.time ? DECODE_OK : decode_kafka_time(dc, "timestamp_ms", kafka_ms, raw);
}
