/* assigner/field/idtable - a field's IDs: 64-bit key (never 0) to what is known of it, in 18 bytes
 * at a load of 0.83 to 0.90.
 *
 * One array of cells (idpack) in the order of the keys' hashes: linear probing that keeps runs
 * sorted (Robin Hood with an order-preserving hash; Celis 1986, Amble and Knuth 1974). A look-up
 * begins at the cell home = hash * size / 2^64 and ends at the first greater hash, some cells on.
 * The upper 12 bits of a hash are not kept: fence[t] parts the cells whose hash begins with less
 * than t from the others. The hash is one to one, so cell and fences are the key.
 *
 * The array grows by a twelfth where it is (common/state/reserve): cells move to their homes of
 * the larger size from the last one on, some at each insertion. Hashes up to `limit` have the
 * smaller size, those above it the larger; both parts are sorted and the first ends before the
 * second. There is never a second array, and no insertion is long. Keys that were chosen to share a
 * home (a hostile choice of IDs) make one long run: slow, never wrong.
 *
 * A place is where a cell is now: insertions and removals move cells. What stays is the hash, which
 * is the cursor of walks and the order of digests and checkpoints; neither depends on the order in
 * which IDs came, nor on how the array grew.
 *
 * The number of an ID's last event is kept in 24 bits, in a unit of events that is 1 up to event
 * 2^23 and doubles with the stream's length, up to 256. A walk (idtable_age) brings all cells to
 * the next unit; at 256 it goes on for ever, and an ID that has been silent for more than 2^31
 * events is made silent for just that.
 *
 * Each cell may have extra bytes (the paper's window of losses), zeroed at insertion.
 */
#ifndef AA_ASSIGNER_FIELD_IDTABLE_H
#define AA_ASSIGNER_FIELD_IDTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assigner/field/idpack.h"
#include "assigner/field/slots.h"
#include "common/base/status.h"
#include "common/state/checkpoint.h"
#include "common/state/reserve.h"

#define IDTABLE_NONE   UINT64_MAX
#define IDTABLE_FENCES 4096u

#define IDTABLE_LAST_MASK  ((UINT64_C(1) << IDPACK_LAST_BITS) - 1)
#define IDTABLE_SHIFT_MOST 8u

/* The unit of `last`: saved and digested as it stands. */
typedef struct {
    uint64_t walk;              /* hashes whose upper half is below it are in the next unit */
    uint32_t shift, next_shift; /* units are 2^shift events; the same if no walk is under way */
} idtable_clock;

typedef struct {
    aa_reserve     memory; /* of cells */
    unsigned char *cell;   /* (ready) of stride bytes */
    size_t         stride, extra_bytes;
    uint8_t        own;    /* position of IDs with a row of their own */
    slots         *sl;     /* borrowed: where b and c of those are */
    uint64_t       size;   /* cells that are homes of hashes up to limit */
    uint64_t       next;   /* the same of the others */
    uint64_t       limit;  /* all of them if no growth is under way: then next is size */
    uint64_t       from;   /* cells of hashes up to limit lie before it, in a growth */
    uint64_t       end;    /* all cells in use lie before it */
    uint64_t       ready;  /* cells that may be written */
    uint64_t       count;  /* IDs */
    uint64_t       puts;   /* insertions, for the pace of growth */
    uint64_t      *fence;  /* (IDTABLE_FENCES + 1) */
    unsigned char *moving; /* room for the cells that are being moved */
    idtable_clock  ck;
} idtable;

/** @param own  position of IDs with a row of their own; others have 1..15 @param sl  borrowed */
aa_status idtable_init(idtable *tbl, size_t extra_bytes, uint8_t own, slots *sl, aa_err *err)
    __attribute__((warn_unused_result));
void idtable_fini(idtable *tbl); /* also on zeroed memory */

/** Key to hash and back. */
static inline uint64_t
idtable_hash(uint64_t key)
{
    return key * UINT64_C(0x9E3779B97F4A7C15);
}
static inline uint64_t
idtable_key(uint64_t hash)
{
    return hash * UINT64_C(0xF1DE83E19937733D); /* the product of both constants is 1 */
}

static inline unsigned char *
idtable_at(const idtable *tbl, uint64_t place)
{
    return tbl->cell + place * tbl->stride;
}

__extension__ typedef unsigned __int128 idtable_wide; /* gcc and clang, on 64 bits */

static inline uint64_t
idtable_home(const idtable *tbl, uint64_t hash)
{
    const uint64_t size = hash <= tbl->limit ? tbl->size : tbl->next;
    return (uint64_t)((idtable_wide)hash * size >> 64);
}

/** Place of a hash, or IDTABLE_NONE. */
uint64_t idtable_find(const idtable *tbl, uint64_t hash);
/** New ID: all 0 but position 1. @pre the hash is not there, and not 0 */
aa_status idtable_insert(idtable *tbl, uint64_t hash, uint64_t *place, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre the hash is at this place */
void idtable_remove(idtable *tbl, uint64_t hash, uint64_t place);

/** Ask the CPU for the lines that a look-up begins at. always_inline: gcc 12 takes a function that
 *  only prefetches for one without effects. */
__attribute__((always_inline)) static inline void
idtable_prefetch(const idtable *tbl, uint64_t hash)
{
    const unsigned char *at = idtable_at(tbl, idtable_home(tbl, hash));
    __builtin_prefetch(at, 1);
    __builtin_prefetch(at + 64, 1);
    __builtin_prefetch(&tbl->fence[hash >> IDPACK_REST_BITS]);
}
/** The same before an insertion, which goes to the end of a run. */
__attribute__((always_inline)) static inline void
idtable_prefetch_run(const idtable *tbl, uint64_t hash)
{
    const unsigned char *at = idtable_at(tbl, idtable_home(tbl, hash));
#pragma GCC unroll 5
    for (unsigned i = 2; i < 7; i++)
        __builtin_prefetch(at + (size_t)i * 64, 1);
}
/** Is the hash at the place where it was found a moment ago? Any place. */
static inline bool
idtable_is_at(const idtable *tbl, uint64_t hash, uint64_t place)
{
    const uint64_t top = hash >> IDPACK_REST_BITS;
    if (place < tbl->fence[top] || place >= tbl->fence[top + 1] || place >= tbl->end) return false;
    const uint64_t a = idpack_a(idtable_at(tbl, place));
    return (a & IDPACK_USED) && a >> 12 == (hash & ((UINT64_C(1) << IDPACK_REST_BITS) - 1));
}

static inline unsigned
idtable_shift(const idtable *tbl, uint32_t tag)
{
    return tag < tbl->ck.walk ? tbl->ck.next_shift : tbl->ck.shift;
}

/* The middle of the unit that it was in, so that silences are right in the mean. */
static inline uint64_t
idtable_last(uint64_t code, unsigned shift, uint64_t now)
{
    const uint64_t step = now >> shift, ago = (step - code) & IDTABLE_LAST_MASK;
    const uint64_t last = ((step - ago) << shift) + (UINT64_C(1) << shift) / 2;
    return last < now ? last : now;
}

/** What is kept there. now: number of the event under way. */
static inline void
idtable_get(const idtable *tbl, uint64_t hash, uint64_t place, uint64_t now, id_entry *e)
{
    id_packed p = idpack_load(idtable_at(tbl, place));
    e->key = idtable_key(hash);
    e->flags = (uint8_t)((p.a & IDPACK_FLAGS) >> 5);
    e->position = (uint8_t)((p.a >> 1 & 15) + 1);
    e->slot = AA_NO_SLOT;
    e->born = 0;
    if (idpack_holds(&p)) {
        e->position = tbl->own;
        e->slot = idpack_slot(&p);
        e->born = idpack_born(&p);
        const slots_record *rec = slots_at(tbl->sl, e->slot);
        p.b = rec->b;
        p.c = rec->c;
    }
    e->last = idtable_last(idpack_last(p.b), idtable_shift(tbl, (uint32_t)(hash >> 32)), now);
    idpack_get(p.b, p.c, e);
    idpack_get_recent(p.a, e);
}

/** What is kept of the holder of a slot: all but key, born, flags and half of recent. */
static inline void
idtable_get_holder(const idtable *tbl, uint32_t slot, uint64_t now, id_entry *e)
{
    const slots_record *rec = slots_at(tbl->sl, slot);
    e->key = e->born = 0;
    e->flags = 0;
    e->position = tbl->own;
    e->slot = slot;
    e->last = idtable_last(idpack_last(rec->b), idtable_shift(tbl, rec->tag), now);
    idpack_get(rec->b, rec->c, e);
}

/** And back. bits: 64 random ones, a function of the event. */
static inline void
idtable_put(idtable *tbl, uint64_t hash, uint64_t place, const id_entry *e, uint64_t bits)
{
    const uint64_t last = e->last >> idtable_shift(tbl, (uint32_t)(hash >> 32)) & IDTABLE_LAST_MASK;
    id_packed p = {.a = hash << 12 | idpack_a_recent(e) | (uint64_t)e->flags << 5 | IDPACK_USED,
                   .b = idpack_b(e, last, bits),
                   .c = idpack_c(e, bits)};
    if (e->slot == AA_NO_SLOT) {
        p.a |= (uint64_t)(e->position - 1) << 1;
    } else {
        slots_record *rec = slots_at(tbl->sl, e->slot);
        rec->b = p.b;
        rec->c = p.c;
        p.a |= IDPACK_OWN << 1;
        p.b = e->slot | e->born << 32;
        p.c = (uint16_t)(e->born >> 32);
    }
    idpack_store(idtable_at(tbl, place), &p);
}
/** id_entry.flags of the ID there. */
static inline unsigned
idtable_flags(const idtable *tbl, uint64_t place)
{
    return (idpack_a(idtable_at(tbl, place)) & IDPACK_FLAGS) >> 5;
}
/** The ID's extra bytes. @pre extra_bytes > 0 */
void *idtable_extra(const idtable *tbl, uint64_t place);

/* A walk in the order of hashes. Changes what is kept, but neither inserts nor removes. */
typedef struct {
    uint64_t hash, place; /* of the ID that it has come to */
    uint64_t top;
} idtable_walk;
/** The first ID whose hash is at least `from`; false: none. */
bool idtable_walk_from(const idtable *tbl, uint64_t from, idtable_walk *wk);
/** The next one; false: none. */
bool idtable_walk_on(const idtable *tbl, idtable_walk *wk);
/** The ID that holds a slot. @pre the slot is held */
void idtable_holder(const idtable *tbl, uint32_t slot, idtable_walk *wk);

/** Keep `last` within its bits: look at n IDs, if there is a reason to. Until all have been visited
 *  there may be no more than 2^23 units' events. */
void idtable_age(idtable *tbl, uint64_t now, uint64_t n);

/** After a snapshot: make the next piece of memory ready for another (common/state/arena).
 *  False: done. */
bool idtable_tidy(idtable *tbl);
/** Memory held, up to the last cell in use. */
size_t idtable_bytes(const idtable *tbl);
/** The most that a table holds in which there were never more IDs at once than this. */
uint64_t idtable_most_bytes(uint64_t ids, size_t extra_bytes);
/** Aborts unless cells are sorted, fences part them and no look-up ends early. For tests. */
void idtable_check(const idtable *tbl);

/** Fold all IDs into d in the order of their hashes, without what only publication uses. */
uint64_t idtable_digest(const idtable *tbl, uint64_t d);
/** Sections <prefix>.ids (cells, then extra bytes, of each ID), .tops (IDs by the upper 12 bits of
 *  the hash) and .clock. Cells are checked for what the table itself needs; position, slot and the
 *  numbers are the caller's to check. @pre of restore: tbl is empty */
aa_status idtable_save(const idtable *tbl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
aa_status idtable_restore(idtable *tbl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
