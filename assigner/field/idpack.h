/* assigner/field/idpack - what is known of an ID, as it is worked with and in the 18 bytes it is
 * kept in.
 *
 *   a  rest       52 bits  of the key's hash; the table knows the upper 12 (idtable)
 *      recent      4       upper half
 *      flags       3       publication only, not part of the state: publish.h
 *      position    4       1..15 less 1, or OWN: has a row of its own
 *      used        1
 *   b  recent      4       lower half
 *      fast        8       as it is, like recent: fastlean.h
 *      seen        8       exact to 128, then in steps of 1/8 of the power of two below it, to 2^23
 *      gap        10       5 bits exponent, 5 mantissa: 2^0 .. 2^31, and 0
 *      frequency  10       4 and 6: 1 .. 2^16, after an event it is never less; 0 before the first
 *      last       24       number of its last event, in a unit of the table's: idtable.h
 *   c  lean       16       fixed point, -2 .. 2
 *
 * Of an ID with a row of its own, b and c are beside the row's slot (slots.h); in their place are the
 * slot and, in 48 bits, the batch that gave it the row.
 *
 * All but last, position, fast, recent and seen up to 128 are rounded stochastically: steps that the
 * few bits would swallow count in the mean. The caller gives the random bits, a function of what is
 * stored when, so that a replay has the same. What comes out of a pack goes back in unchanged,
 * whatever the bits.
 */
#ifndef AA_ASSIGNER_FIELD_IDPACK_H
#define AA_ASSIGNER_FIELD_IDPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/bits.h"
#include "common/messages/batch.h"

/* One ID of one field. */
typedef struct {
    uint64_t key;
    uint64_t last;      /* number of its last event, from 1 */
    float    frequency; /* events, decayed by half-life, as of `last` */
    float    gap;       /* mean events between two of its events; 0 before the second */
    float    lean;      /* see lean.h */
    uint64_t born;      /* sequence number of the batch that gave it its own row, if it has one */
    uint32_t seen;      /* events, not decayed; saturates */
    uint32_t slot;      /* its own row, or AA_NO_SLOT */
    uint8_t  position;  /* 1..k shared, k+1 own row */
    uint8_t  flags;     /* publication only, not part of the state: publish.h */
    int8_t   fast;      /* see fastlean.h */
    int8_t   recent;
} id_entry;

#define IDPACK_BYTES     18u
#define IDPACK_REST_BITS 52u
#define IDPACK_LAST_BITS 24u
#define IDPACK_SEEN_MOST (15u << 19)

/* The same in memory, at any address. */
typedef struct {
    uint64_t a, b;
    uint16_t c;
} id_packed;

enum { IDPACK_USED = 1, IDPACK_OWN = 15, IDPACK_FLAGS = 7 << 5, IDPACK_EXACT = 128 };

static inline uint64_t
idpack_a(const unsigned char *cell)
{
    uint64_t a;
    memcpy(&a, cell, sizeof a);
    return a;
}
static inline id_packed
idpack_load(const unsigned char *cell)
{
    id_packed p;
    memcpy(&p.a, cell, sizeof p.a);
    memcpy(&p.b, cell + 8, sizeof p.b);
    memcpy(&p.c, cell + 16, sizeof p.c);
    return p;
}
static inline void
idpack_store(unsigned char *cell, const id_packed *p)
{
    memcpy(cell, &p->a, sizeof p->a);
    memcpy(cell + 8, &p->b, sizeof p->b);
    memcpy(cell + 16, &p->c, sizeof p->c);
}

static inline uint32_t
idpack_last(uint64_t b)
{
    return (uint32_t)(b >> 40);
}
static inline uint64_t
idpack_with_last(uint64_t b, uint64_t last)
{
    return (b & ((UINT64_C(1) << 40) - 1)) | last << 40;
}

/** Has it a row of its own? Then slot and batch. */
static inline bool
idpack_holds(const id_packed *p)
{
    return (p->a >> 1 & 15) == IDPACK_OWN;
}
static inline uint32_t
idpack_slot(const id_packed *p)
{
    return (uint32_t)p->b;
}
static inline uint64_t
idpack_born(const id_packed *p)
{
    return p->b >> 32 | (uint64_t)p->c << 32;
}

/* x in units of a power of two, rounded up with the probability of what is cut off. */
static inline uint32_t
idpack_float(float x, unsigned mantissa, uint32_t random)
{
    const uint32_t bits = aa_float_bits(x) + (random & ((1u << (23 - mantissa)) - 1));
    return (bits >> (23 - mantissa)) - (127u << mantissa);
}
static inline float
idpack_of_float(uint32_t code, unsigned mantissa)
{
    return aa_float_of((code + (127u << mantissa)) << (23 - mantissa));
}

static inline uint32_t
idpack_frequency(float x, uint32_t random)
{
    if (!(x > 1.0f)) return 0;
    const uint32_t code = idpack_float(x, 6, random);
    return x < 65536.0f && code < 1023 ? code : 1023;
}

/* 0 is 0; 1 and so on: 1 and more. */
static inline uint32_t
idpack_gap(float x, uint32_t random)
{
    if (!(x > 0.0f)) return 0;
    if (!(x > 1.0f)) return 1;
    const uint32_t code = x < 4294967296.0f ? idpack_float(x, 5, random) + 1 : 1023;
    return code < 1023 ? code : 1023;
}

#define IDPACK_LEAN_ONE 16384.0f

static inline uint16_t
idpack_lean(float lean, uint32_t random)
{
    const float code = lean * IDPACK_LEAN_ONE + 32768.0f + (float)(random & 0xFF) * (1.0f / 256.0f);
    return (uint16_t)(!(code > 0.0f) ? 0.0f : code < 65535.0f ? code : 65535.0f);
}
static inline float
idpack_of_lean(uint16_t code)
{
    return ((float)code - 32768.0f) / IDPACK_LEAN_ONE;
}

/** What a code of `seen` stands for. */
static inline uint32_t
idpack_seen(uint32_t code)
{
    if (code < IDPACK_EXACT) return code;
    return (8 + code % 8) << ((code - IDPACK_EXACT) / 8 + 4);
}
/** The code of a count, which is one that a code stands for or one event more than that. */
static inline uint32_t
idpack_seen_code(uint32_t seen, uint32_t random)
{
    if (seen <= IDPACK_EXACT) return seen;
    if (seen >= IDPACK_SEEN_MOST) return 255;
    const unsigned shift = 28u - (unsigned)__builtin_clz(seen);
    const uint32_t code = IDPACK_EXACT + (shift - 4) * 8 + (seen >> shift) - 8;
    const uint32_t left = seen & ((1u << shift) - 1);
    return left > 0 && (random & ((1u << shift) - 1)) < left ? code + 1 : code;
}

/** What b and c have, but for last; of recent the lower half. */
static inline void
idpack_get(uint64_t b, uint16_t c, id_entry *e)
{
    const uint32_t gap = (uint32_t)(b >> 20 & 0x3FF);
    e->seen = idpack_seen((uint32_t)(b >> 12 & 0xFF));
    e->gap = gap > 0 ? idpack_of_float(gap - 1, 5) : 0.0f;
    e->frequency = e->seen > 0 ? idpack_of_float((uint32_t)(b >> 30 & 0x3FF), 6) : 0.0f;
    e->lean = idpack_of_lean(c);
    e->fast = (int8_t)(uint8_t)(b >> 4);
    e->recent = (int8_t)(b & 0xF);
}

/** What a has of `recent`, which b does not. */
static inline void
idpack_get_recent(uint64_t a, id_entry *e)
{
    e->recent = (int8_t)(uint8_t)((a >> 8 & 0xF) << 4 | (uint8_t)e->recent);
}
static inline uint64_t
idpack_a_recent(const id_entry *e)
{
    return (uint64_t)((uint8_t)e->recent >> 4) << 8;
}

/** The same back. @param bits  64 random ones */
static inline uint64_t
idpack_b(const id_entry *e, uint64_t last, uint64_t bits)
{
    return last << 40 | (uint64_t)idpack_frequency(e->frequency, (uint32_t)(bits & 0x1FFFF)) << 30 |
           (uint64_t)idpack_gap(e->gap, (uint32_t)(bits >> 17 & 0x3FFFF)) << 20 |
           (uint64_t)idpack_seen_code(e->seen, (uint32_t)(bits >> 44)) << 12 |
           (uint64_t)(uint8_t)e->fast << 4 | ((uint8_t)e->recent & 0xF);
}
/* As bits: a lean is rounded to the nearest. */
#define IDPACK_NEAREST (UINT64_C(0x80) << 36)

static inline uint16_t
idpack_c(const id_entry *e, uint64_t bits)
{
    return idpack_lean(e->lean, (uint32_t)(bits >> 36 & 0xFF));
}

#endif
