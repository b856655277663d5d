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
 * Of an ID with a row of its own, lean and fast_lean are beside its slot (idcompact), and the
 * entry has the slot in their place.
 */
#ifndef AA_ASSIGNER_FIELD_IDPACK_H
#define AA_ASSIGNER_FIELD_IDPACK_H

#include <stdbool.h>
#include <stdint.h>

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

/** v of everything but slot, lean and fast_lean. @pre now is not before the last event, and not
 *  IDPACK_WINDOW after it */
void idpack_get(const id_packed *e, uint64_t now, id_view *v);
/** The same back; bits: 64 random ones. */
void idpack_put(id_packed *e, const id_view *v, uint64_t bits);
/** lean and fast_lean as they are stored, and back. */
uint32_t idpack_leans(const id_view *v, uint64_t bits);
void     idpack_get_leans(uint32_t leans, id_view *v);
/** An entry that has been silent for more than half of the window is made silent for just that. */
void idpack_age(id_packed *e, uint64_t now);

/** Counts as they are stored: seen of a code, and the code of one event more. */
uint32_t idpack_seen(uint32_t code);
uint32_t idpack_seen_next(uint32_t code, uint32_t random);

#endif
