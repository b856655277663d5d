/* assigner/field/idpack - what is known of an ID, in 16 bytes.
 *
 *   rest        32 bits  lower half of the key's hash; the index has the upper (idindex)
 *   last        26       number of its last event in steps of 64, of the last 2^32 events
 *   position     4       1..k shared, k+1 own row; 0: the entry is free
 *   holds        1       has a row of its own
 *   queued       1       publication only, not part of the state
 *   frequency   12       5 bits exponent, 7 mantissa: 2^-12 .. 2^19, and 0
 *   gap         12       the same, 2^0 .. 2^31
 *   seen         8       exact to 128, then in steps of 1/8 of the power of two below it, to 2^23
 *   lean        16       upper half of a float
 *   fast_lean   16       the same
 *
 * All but last, position and seen up to 128 are rounded stochastically: steps that 7 bits of
 * mantissa would swallow count in the mean. The caller gives the random bits, a function of what is
 * stored when, so that a replay has the same.
 *
 * Used by idcompact only, which is not wired yet.
 *
 * Of an ID with a row of its own, lean and fast_lean are beside its slot (idcompact), and the
 * entry has the slot in their place.
 */
#ifndef AA_ASSIGNER_FIELD_IDPACK_H
#define AA_ASSIGNER_FIELD_IDPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/messages/batch.h"

typedef struct {
    uint32_t rest;
    uint32_t when;  /* last:26 position:4 holds:1 queued:1, from the lowest bit */
    uint32_t pace;  /* frequency:12 gap:12 seen:8 */
    uint32_t leans; /* lean:16 fast_lean:16; or the slot */
} id_packed;

/* The same unpacked. */
typedef struct {
    uint64_t last; /* number of its last event, from 1; a multiple of IDPACK_STEP */
    float    frequency, gap, lean, fast_lean;
    uint32_t seen, slot; /* slot: or AA_NO_SLOT */
    uint8_t  position;
    bool     queued;
} id_view;

#define IDPACK_STEP      64u
#define IDPACK_LAST_BITS 26u
#define IDPACK_WINDOW    ((uint64_t)IDPACK_STEP << IDPACK_LAST_BITS) /* of `last` */
#define IDPACK_SEEN_MOST (15u << 19)

/** An entry that has been silent for more than half of the window is made silent for just that. */
void idpack_age(id_packed *e, uint64_t now);
/** The code of a count, which is one that a code stands for or one event more than that. */
uint32_t idpack_seen_code(uint32_t seen, uint32_t random);

enum {
    IDPACK_EXACT = 128, /* counts up to it are their codes */
    IDPACK_FREQUENCY_FROM = -12,
    IDPACK_GAP_FROM = 0,
    IDPACK_LAST_MASK = (1 << IDPACK_LAST_BITS) - 1,
    IDPACK_HOLDS = 1 << 30
};

/** What a code of `seen` stands for. */
static inline uint32_t
idpack_seen(uint32_t code)
{
    if (code < IDPACK_EXACT) return code;
    return (8 + code % 8) << ((code - IDPACK_EXACT) / 8 + 4);
}

/* Upper half of a float, rounded up with the probability of what is cut off. */
static inline uint32_t
idpack_half(float x, uint32_t random16)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + random16) >> 16;
}

static inline float
idpack_of_half(uint32_t half)
{
    const uint32_t bits = half << 16;
    float          x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x >= 0 in 12 bits, from 2^from on; what is less is 0, what is more the most there is. */
static inline uint32_t
idpack_float12(float x, int32_t from, uint32_t random16)
{
    int32_t code = (int32_t)idpack_half(x, random16) - (126 + from) * 128;
    code = code < 128 ? 0 : code;
    return (uint32_t)(code > 0xFFF ? 0xFFF : code);
}

static inline float
idpack_of_float12(uint32_t code, int32_t from)
{
    const float x = idpack_of_half((uint32_t)((126 + from) * 128) + code);
    return code < 128 ? 0.0f : x;
}

static inline bool
idpack_holds(const id_packed *e)
{
    return e->when & IDPACK_HOLDS;
}

/** v of everything but slot, lean and fast_lean. @pre now is not before the last event, and not
 *  IDPACK_WINDOW after it */
static inline void
idpack_get(const id_packed *e, uint64_t now, id_view *v)
{
    const uint64_t step = now / IDPACK_STEP;
    const uint64_t ago = (step - (e->when & IDPACK_LAST_MASK)) & IDPACK_LAST_MASK;
    v->last = (step - ago) * IDPACK_STEP;
    v->position = (uint8_t)(e->when >> IDPACK_LAST_BITS & 15);
    v->queued = e->when >> 31;
    v->frequency = idpack_of_float12(e->pace & 0xFFF, IDPACK_FREQUENCY_FROM);
    v->gap = idpack_of_float12(e->pace >> 12 & 0xFFF, IDPACK_GAP_FROM);
    v->seen = idpack_seen(e->pace >> 24);
}

/** The same back; bits: 64 random ones. @pre frequency and gap are not below 0 */
static inline void
idpack_put(id_packed *e, const id_view *v, uint64_t bits)
{
    const uint32_t last = (uint32_t)(v->last / IDPACK_STEP) & IDPACK_LAST_MASK;
    const uint32_t seen =
        v->seen <= IDPACK_EXACT ? v->seen : idpack_seen_code(v->seen, (uint32_t)(bits >> 32));
    e->when = last | (uint32_t)v->position << IDPACK_LAST_BITS |
              (v->slot != AA_NO_SLOT ? IDPACK_HOLDS : 0u) | (uint32_t)v->queued << 31;
    e->pace = idpack_float12(v->frequency, IDPACK_FREQUENCY_FROM, bits & 0xFFFF) |
              idpack_float12(v->gap, IDPACK_GAP_FROM, bits >> 16 & 0xFFFF) << 12 | seen << 24;
}

/** lean and fast_lean as they are stored, and back. */
static inline uint32_t
idpack_leans(const id_view *v, uint64_t bits)
{
    return idpack_half(v->lean, bits & 0xFFFF) | idpack_half(v->fast_lean, bits >> 16 & 0xFFFF)
                                                     << 16;
}

static inline void
idpack_get_leans(uint32_t leans, id_view *v)
{
    v->lean = idpack_of_half(leans & 0xFFFF);
    v->fast_lean = idpack_of_half(leans >> 16);
}

#endif
