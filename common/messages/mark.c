#include "common/messages/mark.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/messages/wire_scan.h"

enum { FIELD = 15, MARK_BYTES = 5 };

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
    value->data[value->len] = FIELD << 3 | WIRE_FIXED32;
    aa_mark_to_header(value->data + value->len + 1, mark);
    value->len += MARK_BYTES;
    return AA_OK;
}

uint32_t
aa_mark_get(const void *value, size_t len)
{
    if (!value) return 0;
    wire_scan        sc = {.at = value, .end = (const uint8_t *)value + len};
    wire_field       fi;
    wire_scan_status found;
    uint32_t         mark = 0;
    while ((found = wire_scan_next(&sc, &fi)) == WIRE_SCAN_FIELD)
        if (fi.number == FIELD && fi.type == WIRE_FIXED32) mark = (uint32_t)fi.value;
    return found == WIRE_SCAN_END ? mark : 0;
}
