/* learner/rows/rows_internal - what a table of rows holds; for the files rows*.c only. */
#ifndef AA_LEARNER_ROWS_ROWS_INTERNAL_H
#define AA_LEARNER_ROWS_ROWS_INTERNAL_H

#include "common/model/row.h"
#include "common/state/arena.h"
#include "learner/rows/collect.h"
#include "learner/rows/rows.h"

#define CHUNK      1024u /* rows */
#define WORDS      (CHUNK / 64)
#define CHUNK_ENDS (ROWS_SLOT_END / CHUNK)

typedef struct {
    uint64_t live[WORDS], plan[WORDS], dirty[WORDS]; /* one bit per row */
    uint64_t born[CHUNK];                            /* seq of the batch that made it; 0: shared */
    float    w[];                                    /* (CHUNK,2,W): weights, accumulators */
} chunk;

/* How rows of one kind learn. */
typedef struct {
    float rate, accumulator, linear_accumulator; /* of Adagrad; where accumulators start */
} row_kind;

struct rows {
    uint32_t  field, shared, bins;
    bool      residual, one_by_one; /* own rows begin at 0; steps are of one event */
    size_t    W;
    float     l2;
    row_kind  own, shared_row, base_row;
    double    init_sd;
    uint64_t  seed;
    aa_arena *memory; /* of the chunks */
    chunk   **chunks; /* (chunk_count) NULL: nothing there yet */
    size_t    chunk_count, chunks_made;
    uint64_t  live;
    uint32_t *changed; /* slots whose dirty bit is set: a queue from head to count */
    size_t    changed_head, changed_count, changed_cap;
    collect   gradients;    /* of the step; base row b has the key ROWS_SLOT_END + b */
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

/* (2,W) of a slot: of a shared one what it adds to its base row, if there are base rows. */
static inline float *
row_at(const rows *ro, uint32_t slot)
{
    return ro->chunks[slot / CHUNK]->w + (slot % CHUNK) * aa_row_floats(ro->W);
}

static inline float *
base_at(const rows *ro, uint32_t bin)
{
    return ro->base + bin * aa_row_floats(ro->W);
}

static inline size_t
base_bytes(const rows *ro)
{
    return ro->base ? ro->bins * aa_row_bytes(ro->W) : 0;
}

static inline size_t
chunk_bytes(const rows *ro)
{
    return sizeof(chunk) + CHUNK * aa_row_bytes(ro->W);
}

/* The chunk with this index, made if it is not there. */
aa_status rows_make_chunk(rows *ro, size_t idx, aa_err *err) __attribute__((warn_unused_result));
/* Weights (W) that scorers get of a live row; of a composed one until the next call for it. */
const float *rows_served(const rows *ro, uint32_t slot);

#endif
