/* Interaction messages (schemas/event.proto), read as they stand: nothing is copied, and a member
 * that is not ours is passed over, whatever its size. By protobuf's rules: of a member that comes
 * twice the last one holds, of a oneof too, and a member of another wire type than ours is not
 * ours.
 */
#include <string.h>

#include "ingest/decode/decode_internal.h"
#include "ingest/formats/protobuf_wire.h"

enum { USER_ID = 1, USER_NUMBER, ITEM_ID, ITEM_NUMBER, LABEL, TIMESTAMP_MS, CONTEXT };

static void
set_id(decode_id *id, const protobuf_part *pa)
{
    if (pa->wire == PROTOBUF_BYTES)
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
take_member(decode_raw *raw, const protobuf_part *pa, size_t F, found *fo)
{
    switch (pa->number << 3 | pa->wire) {
    case USER_ID << 3 | PROTOBUF_BYTES:
    case USER_NUMBER << 3 | PROTOBUF_VARINT: set_id(&raw->id[0], pa); break;
    case ITEM_ID << 3 | PROTOBUF_BYTES:
    case ITEM_NUMBER << 3 | PROTOBUF_VARINT:
        if (F > 1) set_id(&raw->id[1], pa);
        break;
    case LABEL << 3 | PROTOBUF_FIXED64:
        memcpy(&raw->label, &pa->value, sizeof raw->label);
        fo->label = true;
        break;
    case TIMESTAMP_MS << 3 | PROTOBUF_VARINT:
        raw->time_ms = (int64_t)pa->value;
        fo->time = true;
        break;
    case CONTEXT << 3 | PROTOBUF_BYTES:
        if (2 + fo->context < F) set_id(&raw->id[2 + fo->context], pa);
        fo->context++;
        break;
    default: break;
    }
}

decode_reason
decode_protobuf(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    const size_t    F = dc->cfg->field_count;
    protobuf_cursor cu = {.at = buf, .end = (const unsigned char *)buf + len};
    found           fo = {0};
    protobuf_part   pa = {0};

    for (size_t f = 0; f < F; f++)
        raw->id[f] = (decode_id){.kind = DECODE_NO_ID};
    while (cu.at < cu.end) {
        if (!protobuf_take_part(&cu, &pa) || pa.wire == PROTOBUF_GROUP ||
            pa.wire == PROTOBUF_GROUP_END) /* groups: nobody has used them since proto2 */
            return decode_fail(dc, DECODE_MALFORMED, "not an Interaction (%zu bytes)", len);
        take_member(raw, &pa, F, &fo);
    }
    if (!fo.label)
        return decode_fail(dc, DECODE_LABEL_MISSING,
                           "label: not in the message; producers whose schema lacks `optional` "
                           "leave out 0 (schemas/event.proto)");
    return fo.time ? DECODE_OK : decode_kafka_time(dc, "timestamp_ms", kafka_ms, raw);
}
