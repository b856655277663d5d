/* assigner/field/idtable - a field's IDs: 64-bit key (never 0) to a compact entry.
 *
 * Two parts. Entries lie in segments and never move: a handle stays valid until its ID is removed,
 * is handed out in a fixed order, and so serves as the sweep's cursor and as the order of digests
 * and checkpoints. The index is open addressing with linear probing over 8-byte cells (32 hash
 * bits, handle): a look-up touches one cell's line and one entry's line, and both can be
 * prefetched.
 *
 * The index grows by making the next one ready and then moving a few cells of the old one at every
 * insertion, so that no insertion is long. During a move a key is in one of the two indexes. Keys
 * that share a cell (a hostile choice of IDs) are found by probing on: slow, never wrong.
 *
 * Each entry may have extra bytes beside it (the paper's window of losses), zeroed at insertion.
 */
#ifndef AA_ASSIGNER_FIELD_IDTABLE_H
#define AA_ASSIGNER_FIELD_IDTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/state/arena.h"
#include "common/state/checkpoint.h"

/* One ID of one field. */
typedef struct {
    uint64_t key;       /* 0: the handle is free */
    uint64_t last;      /* number of its last event, from 1 */
    float    frequency; /* events, decayed by half-life, as of `last` */
    float    gap;       /* mean events between two of its events; 0 before the second */
    float    lean_sum;  /* see lean.h */
    uint32_t seen;      /* events, not decayed */
    uint32_t slot;      /* its own row, or AA_NO_SLOT */
    uint8_t  position;  /* 1..k shared, k+1 own row */
    uint8_t  flags;     /* publication only, not part of the state: publish.h */
    uint16_t published; /* same */
} id_entry;

#define IDTABLE_NONE         UINT32_MAX
#define IDTABLE_SEGMENT_BITS 10u
#define IDTABLE_SEGMENT      (1u << IDTABLE_SEGMENT_BITS)

typedef struct {
    uint64_t *cell; /* hash bits << 32 | handle + 1; 0: empty */
    unsigned  bits; /* 2^bits cells */
} idtable_index;

typedef struct {
    aa_arena       *memory;  /* of segments and extras */
    id_entry      **segment; /* (segment_count) of IDTABLE_SEGMENT entries */
    unsigned char **extra;   /* (segment_count) of IDTABLE_SEGMENT * extra_bytes, or NULL */
    size_t          segment_count, extra_bytes;
    uint32_t        end;       /* handles handed out so far: 0 .. end-1 */
    uint32_t        free_head; /* handles of removed IDs, linked through slot; last removed first */
    size_t          count;     /* IDs */
    idtable_index   now, old;  /* old.cell is NULL when no move is under way */
    size_t          old_next, old_count; /* next cell to move; IDs still in old */
    idtable_index   next; /* being made ready for the next doubling; cell is NULL before */
    size_t          next_touched;
} idtable;

aa_status idtable_init(idtable *tbl, size_t extra_bytes, aa_err *err)
    __attribute__((warn_unused_result));
void idtable_fini(idtable *tbl); /* also on zeroed memory */

/** Handle of a key, or IDTABLE_NONE. @pre key != 0 */
uint32_t idtable_find(const idtable *tbl, uint64_t key);
/** New entry: zeroed but for key, slot (AA_NO_SLOT) and position (1). @pre key is not there */
aa_status idtable_insert(idtable *tbl, uint64_t key, uint32_t *handle, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre the handle is in use */
void idtable_remove(idtable *tbl, uint32_t handle);
/** What idtable_find may return, without a look at entries: for prefetching them. */
uint32_t idtable_guess(const idtable *tbl, uint64_t key);
/** Ask the CPU for the cell that a look-up of key begins at. */
void idtable_prefetch(const idtable *tbl, uint64_t key);

static inline id_entry *
idtable_at(const idtable *tbl, uint32_t handle)
{
    return &tbl->segment[handle >> IDTABLE_SEGMENT_BITS][handle & (IDTABLE_SEGMENT - 1)];
}
/** The entry's extra bytes. @pre extra_bytes > 0 */
void *idtable_extra(const idtable *tbl, uint32_t handle);

/** After a snapshot: make the next piece of memory ready for another (common/state/arena).
 *  False: done. */
bool idtable_tidy(idtable *tbl);
/** Memory held, index and entries. */
size_t idtable_bytes(const idtable *tbl);
/** The most that a table holds in which there were never more IDs at once than this. */
uint64_t idtable_most_bytes(uint64_t ids, size_t extra_bytes);
/** Would another ID take the place of one that was removed? */
static inline bool
idtable_has_place(const idtable *tbl)
{
    return tbl->free_head != IDTABLE_NONE;
}
/** The 32 hash bits that place a key (for tests that want collisions). */
uint32_t idtable_hash(uint64_t key);

/** Fold all entries into d in handle order, without what only publication uses. */
uint64_t idtable_digest(const idtable *tbl, uint64_t d);
/** Sections <prefix>.ids, .free and .extra. Entries are checked for what the table itself needs;
 *  position, slot and the numbers are the caller's to check. @pre of restore: tbl is empty */
aa_status idtable_save(const idtable *tbl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
aa_status idtable_restore(idtable *tbl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
