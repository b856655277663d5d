#include "assigner/field/idtable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/sections.h"
#include "common/base/hash.h"
#include "common/messages/batch.h"

#define FIRST_BITS      10u
#define MAX_BITS        32u
#define MOVED           UINT64_C(0xffffffff) /* cell of old whose ID went to now, or was removed */
#define MOVE_PER_INSERT 16u

static_assert(sizeof(id_entry) == 40, "an ID costs 40 bytes and its cells");

uint32_t
idtable_hash(uint64_t key)
{
    return (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

static size_t
home(const idtable_index *ix, uint32_t hash)
{
    return (size_t)(hash >> (32u - ix->bits));
}

static size_t
after(const idtable_index *ix, size_t i)
{
    return (i + 1) & (((size_t)1 << ix->bits) - 1);
}

static uint32_t
cell_hash(uint64_t cell)
{
    return (uint32_t)(cell >> 32);
}

static uint32_t
cell_handle(uint64_t cell)
{
    return (uint32_t)cell - 1;
}

static aa_status
index_init(idtable_index *ix, unsigned bits, aa_err *err)
{
    ix->cell = calloc((size_t)1 << bits, sizeof *ix->cell);
    if (!ix->cell) return aa_fail(err, AA_ENOMEM, "index of 2^%u cells", bits);
    ix->bits = bits;
    return AA_OK;
}

aa_status
idtable_init(idtable *tbl, size_t extra_bytes, aa_err *err)
{
    *tbl =
        (idtable){.memory = aa_arena_new(), .extra_bytes = extra_bytes, .free_head = IDTABLE_NONE};
    if (!tbl->memory) return aa_fail(err, AA_ENOMEM, "table of IDs");
    return index_init(&tbl->now, FIRST_BITS, err);
}

void
idtable_fini(idtable *tbl)
{
    aa_arena_free(&tbl->memory);
    free(tbl->segment);
    free(tbl->extra);
    free(tbl->now.cell);
    free(tbl->old.cell);
    free(tbl->next.cell);
    *tbl = (idtable){0};
}

void *
idtable_extra(const idtable *tbl, uint32_t handle)
{
    return tbl->extra[handle >> IDTABLE_SEGMENT_BITS] +
           (size_t)(handle & (IDTABLE_SEGMENT - 1)) * tbl->extra_bytes;
}

/* Cell index that holds key, or SIZE_MAX. */
static size_t
probe_index(const idtable *tbl, const idtable_index *ix, uint64_t key)
{
    uint32_t hash = idtable_hash(key);
    for (size_t i = home(ix, hash);; i = after(ix, i)) {
        uint64_t cell = ix->cell[i];
        if (cell == 0) return SIZE_MAX;
        if (cell_hash(cell) == hash && (uint32_t)cell != (uint32_t)MOVED &&
            idtable_at(tbl, cell_handle(cell))->key == key)
            return i;
    }
}

uint32_t
idtable_find(const idtable *tbl, uint64_t key)
{
    size_t i = probe_index(tbl, &tbl->now, key);
    if (i != SIZE_MAX) return cell_handle(tbl->now.cell[i]);
    if (tbl->old_count > 0) {
        i = probe_index(tbl, &tbl->old, key);
        if (i != SIZE_MAX) return cell_handle(tbl->old.cell[i]);
    }
    return IDTABLE_NONE;
}

static uint32_t
guess_in(const idtable_index *ix, uint32_t hash)
{
    for (size_t i = home(ix, hash);; i = after(ix, i)) {
        uint64_t cell = ix->cell[i];
        if (cell == 0) return IDTABLE_NONE;
        if (cell_hash(cell) == hash && (uint32_t)cell != (uint32_t)MOVED) return cell_handle(cell);
    }
}

uint32_t
idtable_guess(const idtable *tbl, uint64_t key)
{
    uint32_t handle = guess_in(&tbl->now, idtable_hash(key));
    if (handle == IDTABLE_NONE && tbl->old_count > 0)
        handle = guess_in(&tbl->old, idtable_hash(key));
    return handle;
}

void
idtable_prefetch(const idtable *tbl, uint64_t key)
{
    uint32_t hash = idtable_hash(key);
    __builtin_prefetch(&tbl->now.cell[home(&tbl->now, hash)]);
    if (tbl->old_count > 0) __builtin_prefetch(&tbl->old.cell[home(&tbl->old, hash)]);
}

static void
index_put(idtable_index *ix, uint64_t cell)
{
    size_t i = home(ix, cell_hash(cell));
    while (ix->cell[i] != 0)
        i = after(ix, i);
    ix->cell[i] = cell;
}

/* Emptied cells of old are marked MOVED, so that probing goes on past them. */
static void
move_some(idtable *tbl)
{
    if (!tbl->old.cell) return;
    size_t cells = (size_t)1 << tbl->old.bits;
    for (size_t n = 0; n < MOVE_PER_INSERT && tbl->old_next < cells; n++, tbl->old_next++) {
        uint64_t *cell = &tbl->old.cell[tbl->old_next];
        if (*cell == 0 || (uint32_t)*cell == (uint32_t)MOVED) continue;
        index_put(&tbl->now, *cell);
        *cell = MOVED;
        tbl->old_count--;
    }
    if (tbl->old_next == cells) {
        AA_REQUIRE(tbl->old_count == 0);
        free(tbl->old.cell);
        tbl->old = (idtable_index){0};
    }
}

#define CELLS_PER_PAGE 512u

/* The next index is allocated early and touched page by page, or the first insertions after the
 * switch would wait for the kernel to clear a page each, with huge pages a long time. */
static aa_status
prepare_next(idtable *tbl, aa_err *err)
{
    size_t cells = (size_t)1 << tbl->now.bits;
    if (tbl->count < cells - cells / 4 - cells / 8) return AA_OK;
    if (!tbl->next.cell) {
        if (tbl->now.bits == MAX_BITS)
            return aa_fail(err, AA_ENOMEM, "%zu IDs in one field", tbl->count);
        tbl->next_touched = 0;
        aa_status st = index_init(&tbl->next, tbl->now.bits + 1, err);
        if (st != AA_OK) return st;
    }
    if (tbl->next_touched < 2 * cells) {
        *(volatile uint64_t *)&tbl->next.cell[tbl->next_touched] = 0;
        tbl->next_touched += CELLS_PER_PAGE;
    }
    return AA_OK;
}

/* Keeps the load at most 3/4. An index that doubles at 3/4 of 2^b cells has been emptied long
 * before the new one is that full, as each insertion moves MOVE_PER_INSERT cells. */
static aa_status
grow_index(idtable *tbl, aa_err *err)
{
    aa_status st = prepare_next(tbl, err);
    size_t    cells = (size_t)1 << tbl->now.bits;
    if (st != AA_OK || tbl->count < cells - cells / 4) return st;
    AA_REQUIRE(!tbl->old.cell && tbl->next.cell);
    tbl->old = tbl->now;
    tbl->old_next = 0;
    tbl->old_count = tbl->count;
    tbl->now = tbl->next;
    tbl->next = (idtable_index){0};
    return AA_OK;
}

static aa_status
add_segment(idtable *tbl, aa_err *err)
{
    size_t     n = tbl->segment_count;
    id_entry **segment = realloc(tbl->segment, (n + 1) * sizeof(id_entry *));
    if (!segment) return aa_fail(err, AA_ENOMEM, "%zu segments of IDs", n + 1);
    tbl->segment = segment;
    unsigned char **extra = NULL;
    if (tbl->extra_bytes > 0) {
        extra = realloc(tbl->extra, (n + 1) * sizeof *extra);
        if (!extra) return aa_fail(err, AA_ENOMEM, "%zu segments of IDs", n + 1);
        tbl->extra = extra;
        extra[n] = aa_arena_alloc(tbl->memory, IDTABLE_SEGMENT * tbl->extra_bytes);
        if (!extra[n]) return aa_fail(err, AA_ENOMEM, "segment of %u IDs", IDTABLE_SEGMENT);
    }
    segment[n] = aa_arena_alloc(tbl->memory, IDTABLE_SEGMENT * sizeof **segment);
    if (!segment[n]) return aa_fail(err, AA_ENOMEM, "segment of %u IDs", IDTABLE_SEGMENT);
    tbl->segment_count = n + 1;
    return AA_OK;
}

static aa_status
take_handle(idtable *tbl, uint32_t *handle, aa_err *err)
{
    if (tbl->free_head != IDTABLE_NONE) {
        *handle = tbl->free_head;
        tbl->free_head = idtable_at(tbl, *handle)->slot;
        return AA_OK;
    }
    if (tbl->end == IDTABLE_NONE - 1)
        return aa_fail(err, AA_ENOMEM, "%zu IDs in one field", tbl->count);
    if (tbl->end == tbl->segment_count * IDTABLE_SEGMENT) {
        aa_status st = add_segment(tbl, err);
        if (st != AA_OK) return st;
    }
    *handle = tbl->end++;
    return AA_OK;
}

aa_status
idtable_insert(idtable *tbl, uint64_t key, uint32_t *handle, aa_err *err)
{
    AA_REQUIRE(key != 0);
    aa_status st = grow_index(tbl, err);
    if (st != AA_OK) return st;
    st = take_handle(tbl, handle, err);
    if (st != AA_OK) return st;
    move_some(tbl);
    *idtable_at(tbl, *handle) = (id_entry){.key = key, .slot = AA_NO_SLOT, .position = 1};
    if (tbl->extra_bytes > 0) memset(idtable_extra(tbl, *handle), 0, tbl->extra_bytes);
    index_put(&tbl->now, (uint64_t)idtable_hash(key) << 32 | (*handle + 1));
    tbl->count++;
    return AA_OK;
}

/* Closes the gap at i: every later cell of the run that may lie there moves back (Knuth 6.4 R). */
static void
index_remove(idtable_index *ix, size_t i)
{
    size_t mask = ((size_t)1 << ix->bits) - 1;
    for (size_t j = after(ix, i); ix->cell[j] != 0; j = after(ix, j)) {
        size_t want = home(ix, cell_hash(ix->cell[j]));
        if (((j - want) & mask) >= ((j - i) & mask)) {
            ix->cell[i] = ix->cell[j];
            i = j;
        }
    }
    ix->cell[i] = 0;
}

void
idtable_remove(idtable *tbl, uint32_t handle)
{
    id_entry *e = idtable_at(tbl, handle);
    AA_REQUIRE(handle < tbl->end && e->key != 0);
    size_t i = probe_index(tbl, &tbl->now, e->key);
    if (i != SIZE_MAX) {
        index_remove(&tbl->now, i);
    } else {
        AA_REQUIRE(tbl->old_count > 0);
        i = probe_index(tbl, &tbl->old, e->key);
        AA_REQUIRE(i != SIZE_MAX);
        tbl->old.cell[i] = MOVED;
        tbl->old_count--;
    }
    *e = (id_entry){.slot = tbl->free_head};
    if (tbl->extra_bytes > 0) memset(idtable_extra(tbl, handle), 0, tbl->extra_bytes);
    tbl->free_head = handle;
    tbl->count--;
}

size_t
idtable_bytes(const idtable *tbl)
{
    size_t cells = (size_t)1 << tbl->now.bits;
    if (tbl->old.cell) cells += (size_t)1 << tbl->old.bits;
    if (tbl->next.cell) cells += (size_t)1 << tbl->next.bits;
    return sizeof *tbl + cells * sizeof *tbl->now.cell +
           tbl->segment_count * IDTABLE_SEGMENT * (sizeof(id_entry) + tbl->extra_bytes);
}

/* While an index is doubled there are two; the next one is made ready at 5/8 of the cells. */
uint64_t
idtable_most_bytes(uint64_t ids, size_t extra_bytes)
{
    const uint64_t segments = (ids + IDTABLE_SEGMENT - 1) / IDTABLE_SEGMENT;
    const uint64_t list = segments * (sizeof(id_entry *) + sizeof(unsigned char *));
    uint64_t       cells = (uint64_t)1 << FIRST_BITS, made_ready = 0;
    for (; ids >= cells - cells / 4 - cells / 8; cells *= 2)
        made_ready = 2 * cells;
    const uint64_t now = made_ready > 0 ? made_ready / 2 + made_ready : cells;
    return sizeof(idtable) + list + now * sizeof(uint64_t) +
           segments * IDTABLE_SEGMENT * (sizeof(id_entry) + extra_bytes);
}

/* ---- digest and checkpoint: entries in handle order, segment by segment ---- */

static size_t
entries_in(const idtable *tbl, size_t segment)
{
    size_t left = tbl->end - segment * IDTABLE_SEGMENT;
    return left < IDTABLE_SEGMENT ? left : IDTABLE_SEGMENT;
}

static size_t
segments_in_use(const idtable *tbl)
{
    return ((size_t)tbl->end + IDTABLE_SEGMENT - 1) / IDTABLE_SEGMENT;
}

/* Copy of n entries without what publication left in them: when it ran is not part of the state. */
static void
copy_state(id_entry *out, const id_entry *in, size_t n)
{
    memcpy(out, in, n * sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i].flags = 0, out[i].published = 0;
}

#define CHUNK 256u

uint64_t
idtable_digest(const idtable *tbl, uint64_t d)
{
    uint64_t head[3] = {tbl->end, tbl->count, tbl->free_head};
    id_entry chunk[CHUNK];
    d = aa_digest(d, head, sizeof head);
    for (size_t s = 0; s < segments_in_use(tbl); s++) {
        size_t n = entries_in(tbl, s);
        for (size_t i = 0; i < n; i += CHUNK) {
            size_t m = n - i < CHUNK ? n - i : CHUNK;
            copy_state(chunk, tbl->segment[s] + i, m);
            d = aa_digest(d, chunk, m * sizeof *chunk);
        }
        if (tbl->extra_bytes > 0) d = aa_digest(d, tbl->extra[s], n * tbl->extra_bytes);
    }
    return d;
}

aa_status
idtable_save(const idtable *tbl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    id_entry  chunk[CHUNK];
    aa_status st = sections_put(w, prefix, "free", &tbl->free_head, sizeof tbl->free_head, err);
    if (st == AA_OK) st = sections_begin(w, prefix, "ids", (size_t)tbl->end * sizeof *chunk, err);
    for (size_t s = 0; st == AA_OK && s < segments_in_use(tbl); s++) {
        size_t n = entries_in(tbl, s);
        for (size_t i = 0; st == AA_OK && i < n; i += CHUNK) {
            size_t m = n - i < CHUNK ? n - i : CHUNK;
            copy_state(chunk, tbl->segment[s] + i, m);
            st = aa_ckpt_append(w, chunk, m * sizeof *chunk, err);
        }
    }
    if (st != AA_OK || tbl->extra_bytes == 0) return st;
    st = sections_begin(w, prefix, "extra", (size_t)tbl->end * tbl->extra_bytes, err);
    for (size_t s = 0; st == AA_OK && s < segments_in_use(tbl); s++)
        st = aa_ckpt_append(w, tbl->extra[s], entries_in(tbl, s) * tbl->extra_bytes, err);
    return st;
}

/* The list of free handles must go through every free handle, once. */
static aa_status
check_free_list(const idtable *tbl, aa_err *err)
{
    size_t   left = (size_t)tbl->end - tbl->count;
    uint32_t h = tbl->free_head;
    for (; h != IDTABLE_NONE && left > 0; left--) {
        if (h >= tbl->end || idtable_at(tbl, h)->key != 0)
            return aa_fail(err, AA_EPARSE, "free handle %u of %u is not free", h, tbl->end);
        h = idtable_at(tbl, h)->slot;
    }
    if (left > 0 || h != IDTABLE_NONE)
        return aa_fail(err, AA_EPARSE, "list of free handles is damaged");
    return AA_OK;
}

static aa_status
restore_entry(idtable *tbl, const id_entry *e, aa_err *err)
{
    if (e->flags != 0 || e->published != 0)
        return aa_fail(err, AA_EPARSE, "ID %u: unknown flags", tbl->end);
    if (e->key != 0 && idtable_find(tbl, e->key) != IDTABLE_NONE)
        return aa_fail(err, AA_EPARSE, "ID %u: key is there twice", tbl->end);
    uint32_t  handle;
    aa_status st = grow_index(tbl, err);
    if (st == AA_OK) st = take_handle(tbl, &handle, err);
    if (st != AA_OK) return st;
    *idtable_at(tbl, handle) = *e;
    if (e->key == 0) return AA_OK;
    move_some(tbl);
    index_put(&tbl->now, (uint64_t)idtable_hash(e->key) << 32 | (handle + 1));
    tbl->count++;
    return AA_OK;
}

static aa_status
restore_extra(idtable *tbl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    aa_status   st = sections_get(r, prefix, "extra", tbl->extra_bytes, &data, &len, err);
    if (st != AA_OK) return st;
    if (len != (size_t)tbl->end * tbl->extra_bytes)
        return aa_fail(err, AA_EPARSE, "%s: %zu bytes beside %u IDs", prefix, len, tbl->end);
    for (size_t s = 0; s < segments_in_use(tbl); s++)
        memcpy(tbl->extra[s], (const unsigned char *)data + s * IDTABLE_SEGMENT * tbl->extra_bytes,
               entries_in(tbl, s) * tbl->extra_bytes);
    return AA_OK;
}

aa_status
idtable_restore(idtable *tbl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    uint32_t    free_head;
    AA_REQUIRE(tbl->end == 0);
    aa_status st = sections_copy(r, prefix, "free", &free_head, sizeof free_head, err);
    if (st == AA_OK) st = sections_get(r, prefix, "ids", sizeof(id_entry), &data, &len, err);
    if (st != AA_OK) return st;
    for (size_t at = 0; st == AA_OK && at < len; at += sizeof(id_entry)) {
        id_entry e;
        memcpy(&e, (const unsigned char *)data + at, sizeof e);
        st = restore_entry(tbl, &e, err);
    }
    if (st != AA_OK) return st;
    tbl->free_head = free_head;
    st = check_free_list(tbl, err);
    if (st == AA_OK && tbl->extra_bytes > 0) st = restore_extra(tbl, prefix, r, err);
    return st;
}

bool
idtable_tidy(idtable *tbl)
{
    return aa_arena_tidy(tbl->memory);
}
