#include "common/messages/mark.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

enum { FIELD = 15, VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5, MARK_BYTES = 5 };

uint32_t
aa_mark_of(const char *pipeline)
{
    const uint32_t mark = (uint32_t)aa_id_key(pipeline, strlen(pipeline));
    return mark ? mark : 1;
}

void
aa_mark_to_header(uint8_t out[AA_MARK_HEADER_BYTES], uint32_t mark)
{
    for (int i = 0; i < AA_MARK_HEADER_BYTES; i++)
        out[i] = (uint8_t)(mark >> (8 * i));
}

uint32_t
aa_mark_from_header(const void *value, size_t len)
{
    const uint8_t *at = value;
    uint32_t       mark = 0;
    if (!at || len != AA_MARK_HEADER_BYTES) return 0;
    for (int i = 0; i < AA_MARK_HEADER_BYTES; i++)
        mark |= (uint32_t)at[i] << (8 * i);
    return mark;
}

/* Protobuf fields may stand in any order, so one more may follow a packed message. */
aa_status
aa_mark_put(aa_bytes *value, uint32_t mark, aa_err *err)
{
    if (value->len + MARK_BYTES > value->cap) {
        const size_t cap = value->len + MARK_BYTES + 64;
        uint8_t     *grown = realloc(value->data, cap);
        if (!grown) return aa_fail(err, AA_ENOMEM, "out of memory: record of %zu bytes", cap);
        value->data = grown;
        value->cap = cap;
    }
    value->data[value->len] = FIELD << 3 | FIXED32;
    aa_mark_to_header(value->data + value->len + 1, mark);
    value->len += MARK_BYTES;
    return AA_OK;
}

/* False: the bytes end before the number does, or it is too long. */
static bool
take_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        const uint8_t byte = *(*at)++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

uint32_t
aa_mark_get(const void *value, size_t len)
{
    const uint8_t *at = value, *end = at + len;
    uint32_t       mark = 0;
    if (!value) return 0;
    while (at < end) {
        uint64_t tag, skip = 0;
        if (!take_varint(&at, end, &tag)) return 0;
        switch (tag & 7) {
        case VARINT:
            if (!take_varint(&at, end, &skip)) return 0;
            skip = 0;
            break;
        case FIXED64: skip = 8; break;
        case BYTES:
            if (!take_varint(&at, end, &skip)) return 0;
            break;
        case FIXED32: skip = 4; break;
        default: return 0;
        }
        if (skip > (size_t)(end - at)) return 0;
        if (tag == (FIELD << 3 | FIXED32)) mark = aa_mark_from_header(at, AA_MARK_HEADER_BYTES);
        at += skip;
    }
    return mark;
}
