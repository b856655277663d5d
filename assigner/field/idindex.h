/* assigner/field/idindex - from 64-bit keys to handles, in 8-byte cells at a load of 0.76 to 0.85.
 *
 * A cell is the upper half of the key's hash (its tag) and a handle. Its home is the beginning of a
 * cache line, tag * lines / 2^32, so that cells lie in order of their tags: linear probing that
 * keeps runs sorted (Robin Hood with an order-preserving hash; Celis 1986, Amble and Knuth 1974). A
 * look-up ends at the first greater tag, most often in the line that it began with. The layout
 * depends on what an index holds, not on the order in which it came.
 * Used by idcompact only, which is not wired yet.
 *
 * It grows by an eighth where it is: the array gets longer (its addresses are reserved beforehand),
 * and cells move to their homes of the larger size from the last one on, MOVE_PER_PUT at each put.
 * Tags from `frontier` on have the larger size, those below it the smaller; both parts are sorted
 * and the first ends before the second, so all of it is one sorted array at any time. There is
 * never a second array, and no put is long (keys that a hostile client chose to share a tag make
 * one run: slow, never wrong).
 *
 * The lower half of the hash is the caller's to keep (idcompact: in the entry). The hash is one to
 * one, so both halves are the key.
 */
#ifndef AA_ASSIGNER_FIELD_IDINDEX_H
#define AA_ASSIGNER_FIELD_IDINDEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define IDINDEX_NONE UINT32_MAX

typedef struct {
    uint64_t *cell;     /* tag << 32 | handle + 1; 0: empty */
    uint64_t  size;     /* cells, whole lines, that are homes of tags below frontier */
    uint64_t  next;     /* the same of the others */
    uint64_t  frontier; /* 2^32 if no growth is under way: then next is size */
    uint64_t  from;     /* cells of tags below frontier lie before it, in a growth */
    uint64_t  end;      /* all cells lie before it */
    uint64_t  count;
    uint64_t  ready;    /* cells that may be written */
    size_t    reserved; /* bytes of addresses from cell on */
    void     *map;      /* owned; cell is in it, where a huge page begins */
} idindex;

aa_status idindex_init(idindex *ix, aa_err *err) __attribute__((warn_unused_result));
void      idindex_fini(idindex *ix); /* also on zeroed memory */

/** Key to hash and back. */
static inline uint64_t
idindex_hash(uint64_t key)
{
    return key * UINT64_C(0x9E3779B97F4A7C15);
}
static inline uint64_t
idindex_key(uint64_t hash)
{
    return hash * UINT64_C(0xF1DE83E19937733D); /* the product of both constants is 1 */
}

static inline uint32_t
idindex_tag(uint64_t cell)
{
    return (uint32_t)(cell >> 32);
}
static inline uint32_t
idindex_handle(uint64_t cell)
{
    return (uint32_t)cell - 1;
}

#define IDINDEX_LINE 8u /* cells of a cache line */

static inline uint64_t
idindex_home(const idindex *ix, uint32_t tag)
{
    const uint64_t size = tag < ix->frontier ? ix->size : ix->next;
    return (tag * (size / IDINDEX_LINE) >> 32) * IDINDEX_LINE;
}
/** The first cell with this tag, or greater, or none, from its home on. Cells are sorted, so it is as
 *  many cells on as have lesser tags; those of a line are counted without branches. */
static inline uint64_t
idindex_seek(const idindex *ix, uint32_t tag)
{
    const uint64_t least = (uint64_t)tag << 32;
    uint64_t       i = idindex_home(ix, tag);
    unsigned       lesser;
    do {
        lesser = 0;
#pragma GCC unroll 8
        for (unsigned j = 0; j < IDINDEX_LINE; j++)
            lesser += ix->cell[i + j] - 1 < least; /* an empty cell, less 1, is greater than all */
        i += lesser;
    } while (lesser == IDINDEX_LINE);
    return i;
}
/** Ask the CPU for the line that a look-up begins at. always_inline: gcc 12 takes a function that
 *  only prefetches for one without effects. */
__attribute__((always_inline)) static inline void
idindex_prefetch(const idindex *ix, uint32_t tag)
{
    __builtin_prefetch(&ix->cell[idindex_home(ix, tag)]);
}

/** @pre the key has no cell */
aa_status idindex_put(idindex *ix, uint32_t tag, uint32_t handle, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre the cell is there */
void idindex_remove(idindex *ix, uint32_t tag, uint32_t handle);
/** Memory that may be written. */
size_t idindex_bytes(const idindex *ix);
/** Aborts unless cells are sorted, and no look-up ends before its cell. For tests. */
void idindex_check(const idindex *ix);

#endif
