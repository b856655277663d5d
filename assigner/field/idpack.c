#include "assigner/field/idpack.h"

#include <assert.h>
#include <string.h>

#include "common/messages/batch.h"

enum { SEEN_EXACT = 128, FREQUENCY_FROM = -12, GAP_FROM = 0, FLOAT12_MOST = 0xFFF };

#define LAST_MASK      ((UINT32_C(1) << IDPACK_LAST_BITS) - 1)
#define POSITION_SHIFT 26u
#define HOLDS          (UINT32_C(1) << 30)
#define QUEUED         (UINT32_C(1) << 31)

static_assert(sizeof(id_packed) == 16, "an ID costs 16 bytes and its cells");

/* ---- numbers ---- */

/* Upper half of a float, rounded up with the probability of what is cut off. */
static uint32_t
half_of(float x, uint32_t random16)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + random16) >> 16;
}

static float
of_half(uint32_t half)
{
    const uint32_t bits = half << 16;
    float          x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x >= 0 in 12 bits, from 2^from on; what is less is 0, what is more the most there is. */
static uint32_t
float12_of(float x, int from, uint32_t random16)
{
    const int32_t first = (127 + from) * 128, code = (int32_t)half_of(x, random16) - first + 128;
    if (!(x > 0.0f) || code < 128) return 0;
    return code > FLOAT12_MOST ? FLOAT12_MOST : (uint32_t)code;
}

static float
of_float12(uint32_t code, int from)
{
    return code < 128 ? 0.0f : of_half((uint32_t)((127 + from) * 128 - 128) + code);
}

uint32_t
idpack_seen(uint32_t code)
{
    if (code < SEEN_EXACT) return code;
    const uint32_t octave = (code - SEEN_EXACT) / 8, eighth = code % 8;
    return (8 + eighth) << (octave + 4);
}

uint32_t
idpack_seen_next(uint32_t code, uint32_t random)
{
    if (code < SEEN_EXACT) return code + 1;
    if (code == UINT8_MAX) return code;
    const uint32_t step = UINT32_C(1) << ((code - SEEN_EXACT) / 8 + 4);
    return code + ((random & (step - 1)) == 0);
}

/* The code of a count, which is one that a code stands for or one event more than that. */
static uint32_t
seen_code(uint32_t seen, uint32_t random)
{
    uint32_t code = 0;
    if (seen <= SEEN_EXACT) return seen;
    if (seen >= IDPACK_SEEN_MOST) return UINT8_MAX;
    const uint32_t octave = 31u - (uint32_t)__builtin_clz(seen) - 7u;
    code = SEEN_EXACT + octave * 8 + (seen >> (octave + 4)) % 8;
    return idpack_seen(code) == seen ? code : idpack_seen_next(code, random);
}

/* ---- entries ---- */

void
idpack_get(const id_packed *e, uint64_t now, id_view *v)
{
    const uint64_t step = now / IDPACK_STEP;
    const uint64_t ago = (step - (e->when & LAST_MASK)) & LAST_MASK;
    v->last = (step - ago) * IDPACK_STEP;
    v->position = (uint8_t)(e->when >> POSITION_SHIFT & 15);
    v->queued = e->when & QUEUED;
    v->frequency = of_float12(e->pace & 0xFFF, FREQUENCY_FROM);
    v->gap = of_float12(e->pace >> 12 & 0xFFF, GAP_FROM);
    v->seen = idpack_seen(e->pace >> 24);
}

void
idpack_put(id_packed *e, const id_view *v, uint64_t bits)
{
    const uint32_t last = (uint32_t)(v->last / IDPACK_STEP) & LAST_MASK;
    e->when = last | (uint32_t)v->position << POSITION_SHIFT | (v->slot != AA_NO_SLOT ? HOLDS : 0) |
              (v->queued ? QUEUED : 0);
    e->pace = float12_of(v->frequency, FREQUENCY_FROM, bits & 0xFFFF) |
              float12_of(v->gap, GAP_FROM, bits >> 16 & 0xFFFF) << 12 |
              seen_code(v->seen, (uint32_t)(bits >> 32)) << 24;
}

uint32_t
idpack_leans(const id_view *v, uint64_t bits)
{
    return half_of(v->lean, bits & 0xFFFF) | half_of(v->fast_lean, bits >> 16 & 0xFFFF) << 16;
}

void
idpack_get_leans(uint32_t leans, id_view *v)
{
    v->lean = of_half(leans & 0xFFFF);
    v->fast_lean = of_half(leans >> 16);
}

void
idpack_age(id_packed *e, uint64_t now)
{
    const uint32_t step = (uint32_t)(now / IDPACK_STEP), half = (LAST_MASK >> 1) + 1;
    if (((step - e->when) & LAST_MASK) <= half) return;
    e->when = (e->when & ~LAST_MASK) | ((step - half) & LAST_MASK);
}
