/* learner/rows/rows_internal - what a table of rows holds; for the files rows*.c only. */
#ifndef AA_LEARNER_ROWS_ROWS_INTERNAL_H
#define AA_LEARNER_ROWS_ROWS_INTERNAL_H

#include "common/model/row.h"
#include "common/state/arena.h"
#include "learner/rows/collect.h"
#include "learner/rows/rowform.h"
#include "learner/rows/rows.h"

#define CHUNK      AA_ROW_CHUNK
#define WORDS      AA_ROW_CHUNK_WORDS
#define CHUNK_ENDS (ROWS_SLOT_END / CHUNK)

typedef struct {
    uint64_t      live[WORDS], plan[WORDS], dirty[WORDS]; /* one bit per row */
    uint64_t      born[CHUNK]; /* seq of the batch that made it; 0: shared */
    unsigned char row[];       /* (CHUNK) rows of rowform.bytes */
} chunk;

struct rows {
    uint32_t  field, shared, bins;
    bool      residual, one_by_one; /* own rows begin at 0; steps are of one event */
    size_t    W;
    float     l2;
    adagrad   own, shared_row, base_row;
    rowform   rf; /* of own rows, and of shared ones if it is plain */
    double    init_sd;
    uint64_t  seed;
    aa_arena *memory; /* of the chunks */
    chunk   **chunks; /* (chunk_count) NULL: nothing there yet */
    size_t    chunk_count, chunks_made;
    uint64_t  live;
    uint16_t *dirty_in;            /* (chunk_count) rows of the chunk whose dirty bit is set */
    uint64_t  dirty;               /* all of them */
    uint32_t  told_to;             /* the next call of rows_changes begins at this slot */
    collect   gradients;           /* of the step; base row b has the key ROWS_SLOT_END + b */
    uint64_t  round_start, stores; /* own rows are rounded by (seed, batch, slot, stores in it) */
    float    *shared_rows; /* (shared,2,W) NULL: own rows are plain, and these are among them */
    float    *scratch;     /* (2,W) a row's weights and its gradient; NULL as well */
    float    *told;        /* (told_cap,W) weights that changes point at; NULL as well */
    size_t    told_cap;
    float    *base;         /* (bins,2,W) NULL: shared rows stand for themselves */
    float    *composed;     /* (shared,W) what scorers get of shared rows, made when asked for */
    bool     *base_changed; /* (bins) */
};

static inline bool
bit_get(const uint64_t *bits, uint32_t slot)
{
    return bits[slot % CHUNK / 64] >> slot % 64 & 1;
}

static inline void
bit_put(uint64_t *bits, uint32_t slot, bool on)
{
    const uint64_t bit = (uint64_t)1 << slot % 64;
    if (on)
        bits[slot % CHUNK / 64] |= bit;
    else
        bits[slot % CHUNK / 64] &= ~bit;
}

static inline chunk *
chunk_at(const rows *ro, uint32_t slot)
{
    return slot / CHUNK < ro->chunk_count ? ro->chunks[slot / CHUNK] : NULL;
}

/* A row in its own form. */
static inline unsigned char *
row_at(const rows *ro, uint32_t slot)
{
    return ro->chunks[slot / CHUNK]->row + (slot % CHUNK) * ro->rf.bytes;
}

/* Is it stored as two arrays of floats? Shared rows always are: they are few, and all read them. */
static inline bool
is_plain(const rows *ro, uint32_t slot)
{
    return !ro->shared_rows || slot < ro->shared;
}

/* (2,W) of a plain row: of a shared one what it adds to its base row, if there are base rows. */
static inline float *
plain_at(const rows *ro, uint32_t slot)
{
    if (ro->shared_rows) return ro->shared_rows + slot * aa_row_floats(ro->W);
    return (float *)(void *)row_at(ro, slot);
}

static inline float *
base_at(const rows *ro, uint32_t bin)
{
    return ro->base + bin * aa_row_floats(ro->W);
}

static inline size_t
base_bytes(const rows *ro)
{
    return ro->base ? ro->bins * aa_row_plain_bytes(ro->W) : 0;
}

/* Of shared rows that are not among the own ones. */
static inline size_t
shared_bytes(const rows *ro)
{
    return ro->shared_rows ? ro->shared * aa_row_plain_bytes(ro->W) : 0;
}

static inline size_t
chunk_bytes(const rows *ro)
{
    return sizeof(chunk) + CHUNK * ro->rf.bytes;
}

/* The chunk with this index, made if it is not there. */
aa_status rows_make_chunk(rows *ro, size_t idx, aa_err *err) __attribute__((warn_unused_result));
/* Where rows_served may put weights (W): a composed row has a place of its own, others get `other`,
 * which may be NULL if own rows are plain. */
static inline float *
rows_place(const rows *ro, uint32_t slot, float *other)
{
    return ro->base && slot < ro->shared ? ro->composed + (size_t)slot * ro->W : other;
}
/* Weights (W) that scorers get of a live row: the row's, or buf filled. */
const float *rows_served(const rows *ro, uint32_t slot, float *buf);

#endif
