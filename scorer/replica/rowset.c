#include "scorer/replica/rowset.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bits.h"
#include "common/base/hash.h"
#include "scorer/replica/idcode.h"
#include "scorer/replica/seqlock.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a replica per input */
enum { CHUNK_ROWS = 8 };
#else
enum { CHUNK_ROWS = 1024 };
#endif
enum { CACHE_LINE_BYTES = 64, FIRST_CHUNKS = 16 };

/* rowset_row.state: the run's tag, whether there is a row, and a sequence lock, which is odd during a
 * write. It has few bits, so a reader compares the version too, which differs where the values do. */
enum { ROW_TAG = 3, ROW_LIVE = 4, ROW_WHAT = 7, ROW_SEQUENCE = 8 };

typedef struct {
    _Atomic uint32_t born, version; /* modulo 2^32 */
    _Atomic uint16_t state;
    _Atomic uint16_t half[]; /* (width) bf16; in a chunk of floats: values_of */
} rowset_row;

typedef struct {
    reclaim_node node;
    uint32_t     live;  /* updater's */
    uint32_t     row[]; /* CHUNK_ROWS rows */
} rowset_chunk;

/* A chunk, and in the lowest bit whether its rows are floats: a row is found without a look at what
 * comes before it. 0: none. */
typedef uintptr_t rowset_place;

typedef struct {
    reclaim_node         node;
    size_t               count;
    _Atomic rowset_place chunk[]; /* (count) */
} rowset_directory;

struct rowset {
    reclaim                    *rl; /* borrowed, as is the next */
    const runtags              *rt;
    size_t                      width, stride[2]; /* bf16, floats */
    _Atomic(rowset_directory *) directory;
    _Atomic uint64_t            version;     /* of the newest record: what 32 bits stand for */
    size_t                      live, bytes; /* updater's */
    float                      *scratch;     /* (width) for the digest */
};

/* ---- chunks ---- */

static rowset_directory *
directory_new(size_t count)
{
    rowset_directory *dir = calloc(1, sizeof *dir + count * sizeof dir->chunk[0]);
    if (dir) dir->count = count;
    return dir;
}

static rowset_chunk *
chunk_at(rowset_place place)
{
    return (rowset_chunk *)(place & ~(rowset_place)1);
}

static bool
has_floats(rowset_place place)
{
    return place & 1;
}

static size_t
chunk_bytes(const rowset *rs, bool floats)
{
    return sizeof(rowset_chunk) + CHUNK_ROWS * rs->stride[floats];
}

/* 0: out of memory. */
static rowset_place
chunk_new(rowset *rs, bool floats)
{
    const rowset_chunk *ch = calloc(1, chunk_bytes(rs, floats));
    if (!ch) return 0;
    rs->bytes += chunk_bytes(rs, floats);
    return (rowset_place)ch | floats;
}

static void
retire_chunk(rowset *rs, rowset_place place)
{
    rs->bytes -= chunk_bytes(rs, has_floats(place));
    reclaim_retire(rs->rl, &chunk_at(place)->node, reclaim_free_node);
}

static rowset_place
place_of(const rowset *rs, uint32_t slot)
{
    const rowset_directory *dir = atomic_load(&rs->directory);
    return slot / CHUNK_ROWS < dir->count ? atomic_load(&dir->chunk[slot / CHUNK_ROWS]) : 0;
}

static rowset_row *
row_of(const rowset *rs, rowset_place place, uint32_t slot)
{
    char *rows = (char *)chunk_at(place)->row;
    return (rowset_row *)(void *)(rows + (slot % CHUNK_ROWS) * rs->stride[has_floats(place)]);
}

static bool
grow_directory(rowset *rs, size_t least)
{
    rowset_directory *dir = atomic_load(&rs->directory);
    size_t            count = dir->count;
    while (count < least)
        count *= 2;
    rowset_directory *grown = directory_new(count);
    if (!grown) return false;
    for (size_t i = 0; i < dir->count; i++)
        atomic_init(&grown->chunk[i], atomic_load(&dir->chunk[i]));
    rs->bytes += (count - dir->count) * sizeof dir->chunk[0];
    atomic_store(&rs->directory, grown);
    reclaim_retire(rs->rl, &dir->node, reclaim_free_node);
    return true;
}

/* ---- values ---- */

static bool
fits_bf16(const float *w, size_t n)
{
    uint32_t lower = 0;
    for (size_t i = 0; i < n; i++)
        lower |= aa_float_bits(w[i]) & 0xFFFF;
    return lower == 0;
}

/* Bits of the floats (width) of a row in a chunk of floats. */
static _Atomic uint32_t *
values_of(rowset_row *row)
{
    void *at = row->half + 1; /* a multiple of 4 bytes from the row's beginning */
    return at;
}
_Static_assert((offsetof(rowset_row, half) + sizeof(uint16_t)) % 4 == 0, "aligned");

static void
write_values(rowset_row *row, bool floats, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = aa_float_bits(w[i]);
        if (floats)
            atomic_store_explicit(&values_of(row)[i], bits, memory_order_release);
        else
            atomic_store_explicit(&row->half[i], (uint16_t)(bits >> 16), memory_order_release);
    }
}

static void
read_values(rowset_row *row, bool floats, float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits =
            floats ? atomic_load_explicit(&values_of(row)[i], memory_order_acquire)
                   : (uint32_t)atomic_load_explicit(&row->half[i], memory_order_acquire) << 16;
        w[i] = aa_float_of(bits);
    }
}

/* The version that ends in these bits and is nearest to the newest record's. */
static uint64_t
version_of(const rowset *rs, uint32_t bits)
{
    const uint64_t newest = atomic_load_explicit(&rs->version, memory_order_relaxed);
    const int32_t  ahead = (int32_t)(bits - (uint32_t)newest);
    return ahead < 0 && newest < (uint64_t) - (int64_t)ahead ? bits
                                                             : newest + (uint64_t)(int64_t)ahead;
}

/* ---- updater ---- */

rowset *
rowset_new(size_t width, reclaim *rl, const runtags *rt)
{
    rowset *rs = calloc(1, sizeof *rs);
    if (!rs) return NULL;
    rs->rl = rl;
    rs->rt = rt;
    rs->width = width;
    const size_t head = offsetof(rowset_row, half);
    rs->stride[false] = (head + width * sizeof(uint16_t) + 3) / 4 * 4;
    rs->stride[true] = head + sizeof(uint16_t) + width * sizeof(uint32_t);
    rs->scratch = calloc(width, sizeof *rs->scratch);
    rs->bytes = sizeof *rs + FIRST_CHUNKS * sizeof(void *);
    atomic_init(&rs->directory, directory_new(FIRST_CHUNKS));
    if (!rs->scratch || !atomic_load(&rs->directory)) rowset_free(&rs);
    return rs;
}

void
rowset_free(rowset **rs_p)
{
    rowset *rs = *rs_p;
    if (!rs) return;
    rowset_directory *dir = atomic_load(&rs->directory);
    for (size_t i = 0; dir && i < dir->count; i++)
        free(chunk_at(atomic_load(&dir->chunk[i])));
    free(dir);
    free(rs->scratch);
    free(rs);
    *rs_p = NULL;
}

/* A chunk with room for floats in the place of one of bf16. */
static void
widen_chunk(const rowset *rs, rowset_place from, rowset_place to)
{
    chunk_at(to)->live = chunk_at(from)->live;
    for (uint32_t slot = 0; slot < CHUNK_ROWS; slot++) {
        rowset_row *held = row_of(rs, from, slot), *row = row_of(rs, to, slot);
        atomic_init(&row->born, atomic_load(&held->born));
        atomic_init(&row->version, atomic_load(&held->version));
        atomic_init(&row->state, atomic_load(&held->state));
        for (size_t k = 0; k < rs->width; k++)
            atomic_init(&values_of(row)[k], (uint32_t)atomic_load(&held->half[k]) << 16);
    }
}

/* *out: the slot's chunk, in which a row of floats or of bf16 can be. */
static aa_status
make_slot_room(rowset *rs, uint32_t slot, bool floats, rowset_place *out, aa_err *err)
{
    const size_t       idx = slot / CHUNK_ROWS;
    const rowset_place held = place_of(rs, slot);
    *out = held;
    if (held && (has_floats(held) || !floats)) return AA_OK;
    if (idx >= atomic_load(&rs->directory)->count && !grow_directory(rs, idx + 1))
        return aa_fail(err, AA_ENOMEM, "directory of %zu chunks of rows", idx + 1);
    *out = chunk_new(rs, floats);
    if (!*out) return aa_fail(err, AA_ENOMEM, "chunk of %d rows", CHUNK_ROWS);
    if (held) widen_chunk(rs, held, *out);
    atomic_store(&atomic_load(&rs->directory)->chunk[idx], *out);
    if (held) retire_chunk(rs, held);
    return AA_OK;
}

/* The row is odd until its state is written again. */
static void
begin_write(rowset_row *row)
{
    const uint32_t state = atomic_load_explicit(&row->state, memory_order_relaxed);
    atomic_store_explicit(&row->state, (uint16_t)(state + ROW_SEQUENCE), memory_order_relaxed);
}

static void
end_write(rowset_row *row, uint32_t what)
{
    const uint32_t state = atomic_load_explicit(&row->state, memory_order_relaxed);
    atomic_store_explicit(&row->state,
                          (uint16_t)(((state + ROW_SEQUENCE) & ~(uint32_t)ROW_WHAT) | what),
                          memory_order_release);
}

/* Does a record change this row? Read by the updater, who alone writes. */
static bool
is_news(const rowset *rs, const rowset_row *row, const aa_row_head *rh)
{
    const uint32_t what = atomic_load(&row->state) & ROW_WHAT, tag = what & ROW_TAG;
    const int32_t  ahead = (int32_t)((uint32_t)rh->version - atomic_load(&row->version));
    if (what == 0 || tag == RUNTAGS_OLDER || rh->run_id > rs->rt->run[tag]) return true;
    return rh->run_id == rs->rt->run[tag] && ahead >= 0;
}

aa_status
rowset_put(rowset *rs, uint32_t slot, const aa_row_head *rh, const float *w, bool *applied,
           aa_err *err)
{
    *applied = false;
    if (slot >= ROWSET_MAX_SLOTS) return aa_fail(err, AA_EPARSE, "slot %u out of range", slot);
    rowset_place place = place_of(rs, slot);
    if (place && !is_news(rs, row_of(rs, place, slot), rh)) return AA_OK;
    aa_status st = make_slot_room(rs, slot, !fits_bf16(w, rs->width), &place, err);
    if (st != AA_OK) return st;
    rowset_row *row = row_of(rs, place, slot);
    const bool  was_live = atomic_load(&row->state) & ROW_LIVE;
    chunk_at(place)->live += !was_live;
    rs->live += !was_live;
    atomic_store_explicit(&rs->version, rh->version, memory_order_relaxed);

    begin_write(row);
    atomic_store_explicit(&row->version, (uint32_t)rh->version, memory_order_release);
    atomic_store_explicit(&row->born, idcode_born(rh->born), memory_order_release);
    write_values(row, has_floats(place), w, rs->width);
    end_write(row, ROW_LIVE | runtags_find(rs->rt, rh->run_id));
    *applied = true;
    return AA_OK;
}

bool
rowset_delete(rowset *rs, uint32_t slot)
{
    const rowset_place place = place_of(rs, slot);
    if (!place) return false;
    rowset_row    *row = row_of(rs, place, slot);
    const uint32_t what = atomic_load(&row->state) & ROW_WHAT;
    if (!(what & ROW_LIVE)) return false;
    begin_write(row);
    end_write(row, 0);
    rs->live--;
    if (--chunk_at(place)->live > 0) return true;
    atomic_store(&atomic_load(&rs->directory)->chunk[slot / CHUNK_ROWS], 0);
    retire_chunk(rs, place);
    return true;
}

static void
retag_row(rowset_row *row, uint32_t tag)
{
    const uint32_t what = atomic_load(&row->state) & ROW_WHAT;
    if ((what & ROW_TAG) != tag) return;
    begin_write(row);
    end_write(row, what & ~(uint32_t)ROW_TAG);
}

void
rowset_retag(rowset *rs, uint32_t tag)
{
    const rowset_directory *dir = atomic_load(&rs->directory);
    for (size_t i = 0; i < dir->count; i++) {
        const rowset_place place = atomic_load(&dir->chunk[i]);
        for (uint32_t slot = 0; place && slot < CHUNK_ROWS; slot++)
            retag_row(row_of(rs, place, slot), tag);
    }
}

size_t
rowset_count(const rowset *rs)
{
    return rs->live;
}

size_t
rowset_bytes(const rowset *rs)
{
    return rs->bytes;
}

/* ---- readers ---- */

void
rowset_prefetch(const rowset *rs, uint32_t slot)
{
    const rowset_place place = place_of(rs, slot);
    if (!place) return;
    const size_t stride = rs->stride[has_floats(place)];
    const char  *row = (const char *)row_of(rs, place, slot);
    for (size_t at = 0; at < stride; at += CACHE_LINE_BYTES)
        __builtin_prefetch(row + at);
    __builtin_prefetch(row + stride - 1);
}

/* The state of a row that is not being written. */
static uint32_t
wait_for_row(const rowset_row *row, unsigned *tries)
{
    for (;;) {
        const uint32_t state = atomic_load_explicit(&row->state, memory_order_acquire);
        if (!(state & ROW_SEQUENCE)) return state;
        seqlock_wait((*tries)++);
    }
}

bool
rowset_get(const rowset *rs, uint32_t slot, aa_row_head *rh, float *w)
{
    const rowset_place place = place_of(rs, slot);
    if (!place) return false;
    rowset_row *row = row_of(rs, place, slot);
    uint32_t    state, version;
    unsigned    tries = 0;
    bool        again;
    do {
        state = wait_for_row(row, &tries);
        version = atomic_load_explicit(&row->version, memory_order_acquire);
        rh->born = atomic_load_explicit(&row->born, memory_order_acquire);
        read_values(row, has_floats(place), w, rs->width);
        again = atomic_load_explicit(&row->state, memory_order_relaxed) != state ||
                atomic_load_explicit(&row->version, memory_order_relaxed) != version;
    } while (again);
    rh->run_id = state & ROW_TAG;
    rh->version = version_of(rs, version);
    rh->bf16 = !has_floats(place);
    return state & ROW_LIVE;
}

uint64_t
rowset_digest(const rowset *rs, uint32_t tag, uint32_t field, uint64_t d)
{
    const rowset_directory *dir = atomic_load(&rs->directory);
    for (size_t chunk = 0; chunk < dir->count; chunk++) {
        if (!atomic_load(&dir->chunk[chunk])) continue;
        for (size_t i = 0; i < CHUNK_ROWS; i++) {
            const uint32_t head[2] = {field, (uint32_t)(chunk * CHUNK_ROWS + i)};
            aa_row_head    rh;
            if (!rowset_get(rs, head[1], &rh, rs->scratch) || rh.run_id != tag) continue;
            d = aa_digest(d, head, sizeof head);
            d = aa_digest(d, rs->scratch, rs->width * sizeof *rs->scratch);
        }
    }
    return d;
}
