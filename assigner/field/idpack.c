#include "assigner/field/idpack.h"

#include <assert.h>

static_assert(sizeof(id_packed) == 16, "an ID costs 16 bytes and its cells");

uint32_t
idpack_seen_code(uint32_t seen, uint32_t random)
{
    if (seen <= IDPACK_EXACT) return seen;
    if (seen >= IDPACK_SEEN_MOST) return UINT8_MAX;
    const uint32_t octave = 31u - (uint32_t)__builtin_clz(seen) - 7u;
    const uint32_t code = IDPACK_EXACT + octave * 8 + (seen >> (octave + 4)) % 8;
    if (idpack_seen(code) == seen) return code;
    /* one event more: on to the next code with the probability 1 / (events between the two) */
    const uint32_t events = UINT32_C(1) << (octave + 4);
    return code + ((random & (events - 1)) == 0);
}

void
idpack_age(id_packed *e, uint64_t now)
{
    const uint32_t step = (uint32_t)(now / IDPACK_STEP), half = (IDPACK_LAST_MASK >> 1) + 1;
    if (((step - e->when) & IDPACK_LAST_MASK) <= half) return;
    e->when = (e->when & ~(uint32_t)IDPACK_LAST_MASK) | ((step - half) & IDPACK_LAST_MASK);
}
