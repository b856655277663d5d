/* assigner/field/idcompact - IDs in 26 to 33 bytes each: a prototype of a smaller idtable.
 *
 * An index (idindex: 8-byte cells at 0.76 to 0.85) from keys to handles, and entries of 16 bytes
 * (idpack) in segments that never move; the key is a cell's half of its hash and the entry's. IDs
 * that hold a row have 4 bytes more, by slot. Handles are given out in a fixed order and stay valid
 * until their ID is removed, so they serve as cursors of a sweep that needs no keys; walks that
 * need keys go by the order of hashes (idcompact_after), which does not change as the index grows.
 *
 * Not wired yet: no process uses it. It needs 0.36 to 0.58 of idtable's memory, but its
 * visits run at 0.77 to 0.84 of idtable's speed and its inserts at 0.26 to 0.65
 * (tests/bench/bench_idtable.c). Policies, publication and checkpoints use idtable. To change that:
 * keys of holders beside their slots (the sweep's releases publish), a queue of keys in
 * publication, and counts of what was published in place of a code per ID.
 */
#ifndef AA_ASSIGNER_FIELD_IDCOMPACT_H
#define AA_ASSIGNER_FIELD_IDCOMPACT_H

#include "assigner/field/idindex.h"
#include "assigner/field/idpack.h"
#include "common/state/arena.h"

#define IDCOMPACT_SEGMENT_BITS 10u
#define IDCOMPACT_SEGMENT      (1u << IDCOMPACT_SEGMENT_BITS)

typedef struct {
    idindex     ix;
    aa_arena   *memory;  /* of segments */
    id_packed **segment; /* (segment_count) of IDCOMPACT_SEGMENT entries */
    uint32_t  **beside;  /* (beside_count) the same of slots: leans of their holders */
    size_t      segment_count, beside_count;
    uint32_t    end;       /* handles handed out so far: 0 .. end-1 */
    uint32_t    free_head; /* handles of removed IDs, linked through rest; last removed first */
    uint32_t    age_next;  /* cursor of idcompact_age */
} idcompact;

aa_status idcompact_init(idcompact *tbl, aa_err *err) __attribute__((warn_unused_result));
void      idcompact_fini(idcompact *tbl); /* also on zeroed memory */

/** Handle of a key, or IDINDEX_NONE. @pre key != 0 */
uint32_t idcompact_find(const idcompact *tbl, uint64_t key);
/** New entry: all 0 but position 1; no slot. @pre key is not there */
aa_status idcompact_insert(idcompact *tbl, uint64_t key, uint32_t *handle, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre the key has this handle, and no slot */
void idcompact_remove(idcompact *tbl, uint64_t key, uint32_t handle);
/** What idcompact_find may return, without a look at entries: for prefetching them. */
uint32_t idcompact_guess(const idcompact *tbl, uint64_t key);
void     idcompact_prefetch(const idcompact *tbl, uint64_t key);

static inline id_packed *
idcompact_at(const idcompact *tbl, uint32_t handle)
{
    return &tbl->segment[handle >> IDCOMPACT_SEGMENT_BITS][handle & (IDCOMPACT_SEGMENT - 1)];
}

/** An entry unpacked; now: number of the event under way. */
void idcompact_get(const idcompact *tbl, uint32_t handle, uint64_t now, id_view *v);
/** And packed, with its slot; bits: 64 random ones, a function of the event.
 *  @errors AA_ENOMEM the slot is new, and has no room: nothing changed */
aa_status idcompact_put(idcompact *tbl, uint32_t handle, const id_view *v, uint64_t bits,
                        aa_err *err) __attribute__((warn_unused_result));

/** The first ID whose hash is greater than *hash (0: of all, for no key hashes to it); false: none.
 *  @param hash  in and out @param key, handle  out */
bool idcompact_after(const idcompact *tbl, uint64_t *hash, uint64_t *key, uint32_t *handle);
/** A step of the walk that keeps `last` within its window: n entries, by handle, round and round.
 *  All have to be visited in less than half of IDPACK_WINDOW events. */
void idcompact_age(idcompact *tbl, uint64_t now, uint32_t n);

/** Memory held: index, entries, and what is beside slots. */
size_t idcompact_bytes(const idcompact *tbl);

#endif
