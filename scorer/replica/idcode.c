#include "scorer/replica/idcode.h"

#include "common/agent/mode.h"
#include "common/messages/batch.h"

enum { PLACE_BITS = 30 };
#define PLACE_MASK ((1u << PLACE_BITS) - 1)

/* The upper two bits of an own row's second word. */
enum { ALT_PLACE = 0, ALT_NONE = 1, ALT_POINTER = 2 };

idcode
idcode_of(const aa_conf *cfg)
{
    uint32_t slot_bits = 0;
    while (1u << slot_bits < aa_shared_rows(cfg))
        slot_bits++;
    return (idcode){.fraction_bits = PLACE_BITS - slot_bits,
                    .bins = aa_lean_bins(cfg),
                    .own_position = (uint32_t)cfg->agent.positions + 1};
}

uint32_t
idcode_born(uint64_t born)
{
    const uint32_t low = (uint32_t)born;
    return born && !low ? 1 : low;
}

uint32_t
idcode_tag(uint32_t word0)
{
    return word0 >> PLACE_BITS;
}

uint32_t
idcode_with_tag(uint32_t word0, uint32_t tag)
{
    return (word0 & PLACE_MASK) | tag << PLACE_BITS;
}

static bool
pack_place(const idcode *ic, uint32_t slot, float mix, uint32_t *place)
{
    const float    scaled = mix * (float)(1u << ic->fraction_bits);
    const uint32_t fraction = (uint32_t)scaled; /* mix is in [0,1): unpacking checks it */
    if ((float)fraction < scaled || (uint64_t)slot << ic->fraction_bits > PLACE_MASK) return false;
    *place = slot << ic->fraction_bits | fraction;
    return true;
}

static void
unpack_place(const idcode *ic, uint32_t place, uint32_t *slot, float *mix)
{
    const uint32_t one = 1u << ic->fraction_bits;
    *slot = place >> ic->fraction_bits;
    *mix = (float)(place & (one - 1)) / (float)one;
}

bool
idcode_pack_shared(const idcode *ic, const aa_assignment *a, uint32_t tag, uint32_t *word)
{
    uint32_t place;
    if (a->alt_slot != AA_NO_SLOT || a->alt_mix > 0) return false;
    if (!pack_place(ic, a->slot, a->mix, &place) || a->position != a->slot / ic->bins + 1)
        return false;
    word[0] = tag << PLACE_BITS | place;
    return true;
}

void
idcode_unpack_shared(const idcode *ic, const uint32_t *word, aa_assignment *a)
{
    *a = (aa_assignment){.run_id = idcode_tag(word[0]), .alt_slot = AA_NO_SLOT};
    unpack_place(ic, word[0] & PLACE_MASK, &a->slot, &a->mix);
    a->position = a->slot / ic->bins + 1;
}

bool
idcode_pack_own(const idcode *ic, const aa_assignment *a, uint32_t tag, uint32_t *word)
{
    uint32_t   place = 0;
    const bool none = a->alt_slot == AA_NO_SLOT && !(a->alt_mix > 0);
    if (a->mix > 0 || a->slot > PLACE_MASK || a->position != ic->own_position) return false;
    if (!none && !pack_place(ic, a->alt_slot, a->alt_mix, &place)) return false;
    word[0] = tag << PLACE_BITS | a->slot;
    word[1] = (none ? (uint32_t)ALT_NONE : (uint32_t)ALT_PLACE) << PLACE_BITS | place;
    word[2] = idcode_born(a->born);
    return true;
}

void
idcode_unpack_own(const idcode *ic, const uint32_t *word, aa_assignment *a)
{
    *a = (aa_assignment){.run_id = idcode_tag(word[0]),
                         .slot = word[0] & PLACE_MASK,
                         .born = word[2],
                         .alt_slot = AA_NO_SLOT,
                         .position = ic->own_position};
    if (word[1] >> PLACE_BITS == ALT_PLACE)
        unpack_place(ic, word[1] & PLACE_MASK, &a->alt_slot, &a->alt_mix);
}

void
idcode_pack_pointer(void *at, uint32_t tag, uint32_t *word)
{
    const uint64_t address = (uint64_t)(uintptr_t)at;
    AA_REQUIRE(address >> 32 <= PLACE_MASK);
    word[0] = tag << PLACE_BITS;
    word[1] = (uint32_t)ALT_POINTER << PLACE_BITS | (uint32_t)(address >> 32);
    word[2] = (uint32_t)address;
}

void *
idcode_pointer(const uint32_t *word)
{
    if (word[1] >> PLACE_BITS != ALT_POINTER) return NULL;
    return (void *)(uintptr_t)((uint64_t)(word[1] & PLACE_MASK) << 32 | word[2]);
}
