/* common/messages/wire_scan - field after field of a protobuf message, without memory.
 *
 * For the small records that come by the million, where protobuf-c's allocations and tables would
 * be most of the work. What is accepted is what protobuf-c accepts (tests/unit/test_wire.c compares
 * them). Private to common/messages. */
#ifndef AA_COMMON_MESSAGES_WIRE_SCAN_H
#define AA_COMMON_MESSAGES_WIRE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } wire_type;

typedef struct {
    const uint8_t *at, *end;
} wire_scan;

typedef struct {
    uint32_t       number;
    wire_type      type;
    uint64_t       value; /* a number, or the length of what follows */
    const uint8_t *bytes; /* (value) */
} wire_field;

typedef enum { WIRE_SCAN_FIELD, WIRE_SCAN_END, WIRE_SCAN_DAMAGED } wire_scan_status;

static inline bool
wire_scan_varint(wire_scan *sc, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; sc->at < sc->end && shift < 70; shift += 7) {
        const uint8_t byte = *sc->at++;
        if (shift < 64) *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* A little-endian number of 4 or 8 bytes. */
static inline uint64_t
wire_scan_little(const uint8_t *at, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline wire_scan_status
wire_scan_next(wire_scan *sc, wire_field *fi)
{
    enum { TAG_BYTES_MOST = 5 };
    const uint8_t *begin = sc->at;
    uint64_t       tag;
    size_t         len = 0;
    if (sc->at == sc->end) return WIRE_SCAN_END;
    if (!wire_scan_varint(sc, &tag) || sc->at - begin > TAG_BYTES_MOST) return WIRE_SCAN_DAMAGED;
    *fi = (wire_field){.number = (uint32_t)tag >> 3, .type = (wire_type)(tag & 7)};
    if (fi->number == 0) return WIRE_SCAN_DAMAGED;
    switch (fi->type) {
    case WIRE_VARINT: return wire_scan_varint(sc, &fi->value) ? WIRE_SCAN_FIELD : WIRE_SCAN_DAMAGED;
    case WIRE_BYTES:
        if (!wire_scan_varint(sc, &fi->value) || fi->value > (size_t)(sc->end - sc->at))
            return WIRE_SCAN_DAMAGED;
        fi->bytes = sc->at;
        sc->at += fi->value;
        return WIRE_SCAN_FIELD;
    case WIRE_FIXED64: len = 8; break;
    case WIRE_FIXED32: len = 4; break;
    default: return WIRE_SCAN_DAMAGED;
    }
    if (len > (size_t)(sc->end - sc->at)) return WIRE_SCAN_DAMAGED;
    fi->value = wire_scan_little(sc->at, len);
    sc->at += len;
    return WIRE_SCAN_FIELD;
}

#endif
