#include "scorer/replica/rowset.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "scorer/replica/seqlock.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a replica per input */
#define CHUNK_ROWS 8
#else
#define CHUNK_ROWS 1024
#endif
#define CACHE_LINE_BYTES 64

enum { ROW_NEVER = 0, ROW_LIVE = 1, ROW_DELETED = 2 };

typedef struct {
    seqlock          lock;
    _Atomic uint32_t state;
    _Atomic uint64_t run_id, version, born;
    _Atomic uint32_t w[]; /* (width) bits of the floats */
} rowset_row;

typedef struct {
    reclaim_node  node;
    size_t        count;
    void *_Atomic chunk[]; /* (count) CHUNK_ROWS rows of `stride` bytes, or NULL */
} rowset_directory;

struct rowset {
    reclaim                    *rl; /* borrowed */
    size_t                      width, stride;
    _Atomic(rowset_directory *) directory;
    size_t                      live, chunks; /* updater's */
    float                      *scratch;      /* (width) for the digest */
};

static rowset_directory *
directory_new(size_t count)
{
    rowset_directory *dir = calloc(1, sizeof *dir + count * sizeof dir->chunk[0]);
    if (dir) dir->count = count;
    return dir;
}

static void
directory_destroy(reclaim_node *node)
{
    free(node);
}

/* The row of a slot whose chunk exists, else NULL. */
static rowset_row *
row_at(const rowset *rs, uint32_t slot)
{
    const rowset_directory *dir = atomic_load(&rs->directory);
    size_t                  chunk_idx = slot / CHUNK_ROWS;
    if (chunk_idx >= dir->count) return NULL;
    void *chunk = atomic_load(&dir->chunk[chunk_idx]);
    if (!chunk) return NULL;
    return (rowset_row *)(void *)((char *)chunk + (slot % CHUNK_ROWS) * rs->stride);
}

static aa_status
make_slot_room(rowset *rs, uint32_t slot, aa_err *err)
{
    rowset_directory *dir = atomic_load(&rs->directory);
    size_t            chunk_idx = slot / CHUNK_ROWS;
    if (chunk_idx >= dir->count) {
        size_t count = dir->count;
        while (count <= chunk_idx)
            count *= 2;
        rowset_directory *grown = directory_new(count);
        if (!grown) return aa_fail(err, AA_ENOMEM, "directory of %zu chunks of rows", count);
        for (size_t i = 0; i < dir->count; i++)
            atomic_init(&grown->chunk[i], atomic_load(&dir->chunk[i]));
        atomic_store(&rs->directory, grown);
        reclaim_retire(rs->rl, &dir->node, directory_destroy);
        dir = grown;
    }
    if (!atomic_load(&dir->chunk[chunk_idx])) {
        void *chunk = calloc(CHUNK_ROWS, rs->stride);
        if (!chunk) return aa_fail(err, AA_ENOMEM, "chunk of %d rows", CHUNK_ROWS);
        rs->chunks++;
        atomic_store(&dir->chunk[chunk_idx], chunk);
    }
    return AA_OK;
}

rowset *
rowset_new(size_t width, reclaim *rl)
{
    rowset *rs = calloc(1, sizeof *rs);
    if (!rs) return NULL;
    rs->rl = rl;
    rs->width = width;
    rs->stride = (sizeof(rowset_row) + width * sizeof(float) + 7) / 8 * 8;
    rs->scratch = calloc(width, sizeof *rs->scratch);
    atomic_init(&rs->directory, directory_new(16));
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
        free(atomic_load(&dir->chunk[i]));
    free(dir);
    free(rs->scratch);
    free(rs);
    *rs_p = NULL;
}

/* Does a record change this row? Read by the updater, who alone writes. */
static bool
is_news(const rowset_row *row, const aa_row_head *rh)
{
    uint32_t state = atomic_load(&row->state);
    uint64_t run_id = atomic_load(&row->run_id), version = atomic_load(&row->version);
    if (state == ROW_NEVER || rh->run_id > run_id) return true;
    if (rh->run_id < run_id || rh->version < version) return false;
    return rh->version > version || state == ROW_LIVE;
}

aa_status
rowset_put(rowset *rs, uint32_t slot, const aa_row_head *rh, const float *w, bool *applied,
           aa_err *err)
{
    *applied = false;
    if (slot >= ROWSET_MAX_SLOTS) return aa_fail(err, AA_EPARSE, "slot %u out of range", slot);
    aa_status st = make_slot_room(rs, slot, err);
    if (st != AA_OK) return st;
    rowset_row *row = row_at(rs, slot);
    if (!is_news(row, rh)) return AA_OK;
    if (atomic_load(&row->state) != ROW_LIVE) rs->live++;

    seqlock_write_begin(&row->lock);
    atomic_store_explicit(&row->state, ROW_LIVE, memory_order_release);
    atomic_store_explicit(&row->run_id, rh->run_id, memory_order_release);
    atomic_store_explicit(&row->version, rh->version, memory_order_release);
    atomic_store_explicit(&row->born, rh->born, memory_order_release);
    for (size_t k = 0; k < rs->width; k++) {
        uint32_t bits;
        memcpy(&bits, &w[k], sizeof bits);
        atomic_store_explicit(&row->w[k], bits, memory_order_release);
    }
    seqlock_write_end(&row->lock);
    *applied = true;
    return AA_OK;
}

bool
rowset_delete(rowset *rs, uint32_t slot)
{
    rowset_row *row = row_at(rs, slot);
    if (!row || atomic_load(&row->state) != ROW_LIVE) return false;
    seqlock_write_begin(&row->lock);
    atomic_store_explicit(&row->state, ROW_DELETED, memory_order_release);
    seqlock_write_end(&row->lock);
    rs->live--;
    return true;
}

size_t
rowset_count(const rowset *rs)
{
    return rs->live;
}

size_t
rowset_bytes(const rowset *rs)
{
    return rs->chunks * CHUNK_ROWS * rs->stride;
}

void
rowset_prefetch(const rowset *rs, uint32_t slot)
{
    const char *row = (const char *)row_at(rs, slot);
    for (size_t at = 0; row && at < rs->stride; at += CACHE_LINE_BYTES)
        __builtin_prefetch(row + at);
    if (row) __builtin_prefetch(row + rs->stride - 1);
}

bool
rowset_get(const rowset *rs, uint32_t slot, aa_row_head *rh, float *w)
{
    const rowset_row *row = row_at(rs, slot);
    if (!row) return false;
    uint32_t seq, state;
    unsigned tries = 0;
    do {
        seq = seqlock_read_begin(&row->lock, &tries);
        state = atomic_load_explicit(&row->state, memory_order_acquire);
        rh->run_id = atomic_load_explicit(&row->run_id, memory_order_acquire);
        rh->version = atomic_load_explicit(&row->version, memory_order_acquire);
        rh->born = atomic_load_explicit(&row->born, memory_order_acquire);
        for (size_t k = 0; k < rs->width; k++) {
            uint32_t bits = atomic_load_explicit(&row->w[k], memory_order_acquire);
            memcpy(&w[k], &bits, sizeof bits);
        }
    } while (seqlock_read_again(&row->lock, seq));
    return state == ROW_LIVE;
}

uint64_t
rowset_digest(const rowset *rs, uint64_t run_id, uint32_t field, uint64_t d)
{
    const rowset_directory *dir = atomic_load(&rs->directory);
    for (size_t chunk = 0; chunk < dir->count; chunk++) {
        if (!atomic_load(&dir->chunk[chunk])) continue;
        for (size_t i = 0; i < CHUNK_ROWS; i++) {
            const uint32_t head[2] = {field, (uint32_t)(chunk * CHUNK_ROWS + i)};
            aa_row_head    rh;
            if (!rowset_get(rs, head[1], &rh, rs->scratch) || rh.run_id != run_id) continue;
            d = aa_digest(d, head, sizeof head);
            d = aa_digest(d, rs->scratch, rs->width * sizeof *rs->scratch);
        }
    }
    return d;
}
