#include "learner/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/kernel.h"
#include "common/rng.h"
#include "common/state.h"
#include "learner/collect.h"

#define CHUNK      1024u /* rows */
#define WORDS      (CHUNK / 64)
#define CHUNK_ENDS (ROWS_SLOT_END / CHUNK)

typedef struct {
    uint64_t live[WORDS], plan[WORDS], dirty[WORDS]; /* one bit per row */
    uint64_t born[CHUNK];                            /* seq of the batch that made it; 0: shared */
    float    w[];                                    /* (CHUNK,2,W): weights, accumulators */
} chunk;

struct rows {
    uint32_t  field, shared;
    size_t    W;
    float     rate, l2, accumulator;
    double    init_sd;
    uint64_t  seed;
    chunk   **chunks; /* (chunk_count) NULL: nothing there yet */
    size_t    chunk_count, chunks_made;
    uint64_t  live;
    uint32_t *changed; /* slots whose dirty bit is set: a queue from head to count */
    size_t    changed_head, changed_count, changed_cap;
    collect   gradients; /* of the step */
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

static inline float *
row_at(const rows *ro, uint32_t slot)
{
    return ro->chunks[slot / CHUNK]->w + (size_t)(slot % CHUNK) * 2 * ro->W;
}

static inline size_t
chunk_bytes(const rows *ro)
{
    return sizeof(chunk) + (size_t)CHUNK * 2 * ro->W * sizeof(float);
}

/* Room for chunk idx in the list of chunks. */
static aa_status
grow_list(rows *ro, size_t idx, aa_err *err)
{
    size_t count = ro->chunk_count ? ro->chunk_count : 8;
    while (count <= idx)
        count *= 2;
    if (count == ro->chunk_count) return AA_OK;
    chunk **chunks = realloc(ro->chunks, count * sizeof(chunk *));
    if (!chunks) return aa_fail(err, AA_ENOMEM, "field %u: %zu chunks of rows", ro->field, count);
    for (size_t i = ro->chunk_count; i < count; i++)
        chunks[i] = NULL;
    ro->chunks = chunks;
    ro->chunk_count = count;
    return AA_OK;
}

static aa_status
make_chunk(rows *ro, size_t idx, aa_err *err)
{
    aa_status st = grow_list(ro, idx, err);
    if (st || ro->chunks[idx]) return st;
    chunk *ch = calloc(1, chunk_bytes(ro));
    if (!ch) return aa_fail(err, AA_ENOMEM, "field %u: chunk %zu of rows", ro->field, idx);
    ro->chunks[idx] = ch;
    ro->chunks_made++;
    /* every row can be dirty at once: with room for that, marking one cannot fail */
    const size_t cap = ro->chunks_made * CHUNK * 2;
    uint32_t    *changed = realloc(ro->changed, cap * sizeof *changed);
    if (!changed) return aa_fail(err, AA_ENOMEM, "field %u: list of changed rows", ro->field);
    ro->changed = changed;
    ro->changed_cap = cap;
    return AA_OK;
}

static void
mark_changed(rows *ro, uint32_t slot)
{
    chunk *ch = ro->chunks[slot / CHUNK];
    if (bit_get(ch->dirty, slot)) return;
    bit_put(ch->dirty, slot, true);
    if (ro->changed_count == ro->changed_cap) { /* at most half is in use */
        ro->changed_count -= ro->changed_head;
        memmove(ro->changed, ro->changed + ro->changed_head,
                ro->changed_count * sizeof *ro->changed);
        ro->changed_head = 0;
    }
    ro->changed[ro->changed_count++] = slot;
}

/* ---- making and freeing rows ---- */

/* row (2,W) += N(0, sd^2), accumulators as new. Each (field, slot, seq, op_idx) has its own noise.
 */
static void
add_noise(rows *ro, uint32_t slot, uint64_t seq, uint64_t op_idx)
{
    float          noise[256], *row = row_at(ro, slot);
    const uint64_t place = (uint64_t)ro->field << 32 | slot;
    uint64_t       a = aa_rng_bits(ro->seed, AA_RNG_ROW, place, seq << 20 ^ op_idx);
    for (size_t at = 0; at < ro->W; at += 256, a++) {
        const size_t n = ro->W - at < 256 ? ro->W - at : 256;
        aa_rng_normal(noise, n, ro->init_sd, ro->seed, AA_RNG_ROW, a);
        for (size_t i = 0; i < n; i++)
            row[at + i] += noise[i];
    }
    for (size_t i = 0; i < ro->W; i++)
        row[ro->W + i] = ro->accumulator;
}

static void
set_live(rows *ro, uint32_t slot, bool on, uint64_t born)
{
    chunk *ch = ro->chunks[slot / CHUNK];
    bit_put(ch->live, slot, on);
    ch->born[slot % CHUNK] = born;
    ro->live += on ? 1 : UINT64_MAX;
    mark_changed(ro, slot);
}

aa_status
rows_new(rows **out, uint32_t field, const aa_conf *cfg, aa_err *err)
{
    rows *ro = calloc(1, sizeof *ro);
    if (!ro) return aa_fail(err, AA_ENOMEM, "table of field %u", field);
    ro->field = field;
    ro->shared = aa_shared_rows(cfg);
    ro->W = (size_t)cfg->model.dim + 1;
    ro->rate = (float)cfg->model.row_rate;
    ro->l2 = (float)cfg->model.row_l2;
    ro->accumulator = (float)cfg->model.row_accumulator;
    ro->init_sd = cfg->model.row_init;
    ro->seed = (uint64_t)cfg->pipeline.seed;
    for (uint32_t slot = 0; slot < ro->shared; slot++) {
        aa_status st = make_chunk(ro, slot / CHUNK, err);
        if (st) {
            rows_free(&ro);
            return st;
        }
        add_noise(ro, slot, 0, 0);
        bit_put(ro->chunks[slot / CHUNK]->plan, slot, true);
        set_live(ro, slot, true, 0);
    }
    *out = ro;
    return AA_OK;
}

void
rows_free(rows **ro_p)
{
    if (!ro_p || !*ro_p) return;
    rows *ro = *ro_p;
    for (size_t i = 0; i < ro->chunk_count; i++)
        free(ro->chunks[i]);
    free(ro->chunks);
    free(ro->changed);
    collect_fini(&ro->gradients);
    free(ro);
    *ro_p = NULL;
}

/* ---- plan and apply ---- */

static bool
planned_one(const rows *ro, uint32_t slot)
{
    const chunk *ch = chunk_at(ro, slot);
    return ch && bit_get(ch->plan, slot);
}

bool
rows_planned(const rows *ro, uint32_t slot, float mix)
{
    if (!(mix >= 0.0f && mix < 1.0f)) return false;
    if (slot == AA_NO_SLOT) return mix == 0.0f;
    return planned_one(ro, slot) && (mix == 0.0f || slot + 1 < ro->shared); /* or not a neighbour */
}

static aa_status
check_op(const rows *ro, const aa_op *op, aa_err *err)
{
    const bool live = planned_one(ro, op->slot);
    switch (op->kind) {
    case AA_OP_PROMOTE:
        if (op->source >= ro->shared || !rows_planned(ro, op->source, op->source_mix))
            return aa_fail(err, AA_EPARSE, "op: field %u slot %u from %u + %g: no such shared row",
                           ro->field, op->slot, op->source, (double)op->source_mix);
        break;
    case AA_OP_INIT: break;
    case AA_OP_FREE:
        if (live && op->slot >= ro->shared) return AA_OK;
        return aa_fail(err, AA_EPARSE, "op: free field %u slot %u: %s", ro->field, op->slot,
                       live ? "a shared row" : "not live");
    default: return aa_fail(err, AA_EPARSE, "op: kind %u", op->kind);
    }
    if (op->slot >= ROWS_SLOT_END || live)
        return aa_fail(err, AA_EPARSE, "op: new field %u slot %u: %s", ro->field, op->slot,
                       live ? "already live" : "out of range");
    return AA_OK;
}

aa_status
rows_plan(rows *ro, const aa_op *op, aa_err *err)
{
    aa_status st = check_op(ro, op, err);
    if (!st && op->kind != AA_OP_FREE) st = make_chunk(ro, op->slot / CHUNK, err);
    if (!st) bit_put(ro->chunks[op->slot / CHUNK]->plan, op->slot, op->kind != AA_OP_FREE);
    return st;
}

void
rows_unplan(rows *ro, const aa_op *op)
{
    bit_put(ro->chunks[op->slot / CHUNK]->plan, op->slot, op->kind == AA_OP_FREE);
}

void
rows_apply(rows *ro, const aa_op *op, uint64_t seq, uint64_t op_idx)
{
    if (op->kind == AA_OP_FREE) {
        set_live(ro, op->slot, false, 0);
        return;
    }
    float *row = row_at(ro, op->slot);
    if (op->kind == AA_OP_PROMOTE)
        rows_read(ro, op->source, op->source_mix, row);
    else
        memset(row, 0, ro->W * sizeof *row);
    add_noise(ro, op->slot, seq, op_idx);
    set_live(ro, op->slot, true, seq);
}

/* ---- reading and learning ---- */

void
rows_read(const rows *ro, uint32_t slot, float mix, float *x)
{
    if (slot == AA_NO_SLOT) {
        memset(x, 0, ro->W * sizeof *x);
        return;
    }
    const float *low = row_at(ro, slot);
    memcpy(x, low, ro->W * sizeof *x);
    if (mix == 0.0f) return;
    const float *high = row_at(ro, slot + 1);
    for (size_t i = 0; i < ro->W; i++)
        x[i] = (1.0f - mix) * low[i] + mix * high[i];
}

AA_KERNEL static void
adagrad(float *restrict w, float *restrict acc, const float *restrict g, size_t n, float rate)
{
    for (size_t i = 0; i < n; i++) {
        float a = acc[i] + g[i] * g[i];
        acc[i] = a;
        w[i] -= rate * g[i] / sqrtf(a);
    }
}

AA_KERNEL static void
add_gradient(float *restrict g, const float *restrict x, const float *restrict dx, size_t n,
             float share, float l2)
{
    for (size_t i = 0; i < n; i++)
        g[i] += share * (dx[i] + l2 * x[i]);
}

aa_status
rows_reserve(rows *ro, size_t readings, aa_err *err)
{
    return collect_reserve(&ro->gradients, ro->W, 2 * readings, err);
}

void
rows_learn(rows *ro, uint32_t slot, float mix, const float *x, const float *dx)
{
    if (slot == AA_NO_SLOT) return;
    add_gradient(collect_at(&ro->gradients, slot), x, dx, ro->W, 1.0f - mix, ro->l2);
    if (mix != 0.0f) add_gradient(collect_at(&ro->gradients, slot + 1), x, dx, ro->W, mix, ro->l2);
}

void
rows_update(rows *ro)
{
    for (size_t i = 0; i < ro->gradients.count; i++) {
        float *row = row_at(ro, ro->gradients.slot[i]);
        adagrad(row, row + ro->W, ro->gradients.g + i * ro->W, ro->W, ro->rate);
        mark_changed(ro, ro->gradients.slot[i]);
    }
    collect_clear(&ro->gradients);
}

/* ---- what there is ---- */

void
rows_stats_get(const rows *ro, rows_stats *out)
{
    *out = (rows_stats){.live = ro->live,
                        .allocated = ro->chunks_made * CHUNK,
                        .row_bytes = 2 * ro->W * sizeof(float)};
}

size_t
rows_changes(rows *ro, learner_change *out, size_t max)
{
    size_t n = 0;
    while (n < max && ro->changed_head < ro->changed_count) {
        const uint32_t slot = ro->changed[ro->changed_head++];
        chunk         *ch = ro->chunks[slot / CHUNK];
        const bool     live = bit_get(ch->live, slot);
        bit_put(ch->dirty, slot, false);
        out[n++] = (learner_change){.field = ro->field,
                                    .slot = slot,
                                    .deleted = !live,
                                    .born = ch->born[slot % CHUNK],
                                    .w = row_at(ro, slot)};
    }
    if (ro->changed_head == ro->changed_count) ro->changed_head = ro->changed_count = 0;
    return n;
}

void
rows_touch_all(rows *ro)
{
    for (size_t c = 0; c < ro->chunk_count; c++)
        for (uint32_t i = 0; ro->chunks[c] && i < CHUNK; i++)
            if (bit_get(ro->chunks[c]->live, i)) mark_changed(ro, (uint32_t)c * CHUNK + i);
}

uint64_t
rows_digest(const rows *ro, uint64_t d)
{
    for (size_t c = 0; c < ro->chunk_count; c++)
        for (uint32_t i = 0; ro->chunks[c] && i < CHUNK; i++) {
            if (!bit_get(ro->chunks[c]->live, i)) continue;
            const uint32_t slot = (uint32_t)c * CHUNK + i;
            const uint64_t head[3] = {ro->field, slot, ro->chunks[c]->born[i]};
            d = aa_digest(d, head, sizeof head);
            d = aa_digest(d, row_at(ro, slot), 2 * ro->W * sizeof(float));
        }
    return d;
}

uint64_t
rows_served_digest(const rows *ro, uint64_t d)
{
    for (size_t c = 0; c < ro->chunk_count; c++)
        for (uint32_t i = 0; ro->chunks[c] && i < CHUNK; i++) {
            if (!bit_get(ro->chunks[c]->live, i)) continue;
            const uint32_t head[2] = {ro->field, (uint32_t)c * CHUNK + i};
            d = aa_digest(d, head, sizeof head);
            d = aa_digest(d, row_at(ro, head[1]), ro->W * sizeof(float));
        }
    return d;
}

/* ---- checkpoint: section rows.<field> = head, then for each chunk its index and its bytes ---- */

typedef struct {
    uint64_t width, shared, chunks, live;
} saved_head;

static void
section_name(const rows *ro, char name[AA_CKPT_NAME_BYTES])
{
    snprintf(name, AA_CKPT_NAME_BYTES, "rows.%u", ro->field);
}

aa_status
rows_save(const rows *ro, aa_ckpt_writer *w, aa_err *err)
{
    char             name[AA_CKPT_NAME_BYTES];
    const saved_head head = {ro->W, ro->shared, ro->chunks_made, ro->live};
    const size_t     bytes = sizeof head + ro->chunks_made * (8 + chunk_bytes(ro));
    section_name(ro, name);
    aa_status st = aa_ckpt_begin(w, name, bytes, err);
    if (!st) st = aa_ckpt_append(w, &head, sizeof head, err);
    for (uint64_t c = 0; !st && c < ro->chunk_count; c++) {
        if (!ro->chunks[c]) continue;
        st = aa_ckpt_append(w, &c, sizeof c, err);
        if (!st) st = aa_ckpt_append(w, ro->chunks[c], chunk_bytes(ro), err);
    }
    return st;
}

static uint64_t
count_bits(const uint64_t *bits)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < CHUNK; i++)
        n += bit_get(bits, i);
    return n;
}

static aa_status
restore_chunk(rows *ro, uint64_t idx, const unsigned char *bytes, aa_err *err)
{
    if (idx >= CHUNK_ENDS)
        return aa_fail(err, AA_EPARSE, "rows of field %u: chunk %llu", ro->field,
                       (unsigned long long)idx);
    aa_status st = make_chunk(ro, idx, err);
    if (st) return st;
    chunk *ch = ro->chunks[idx];
    memcpy(ch, bytes, chunk_bytes(ro));
    memcpy(ch->plan, ch->live, sizeof ch->plan);
    memset(ch->dirty, 0, sizeof ch->dirty);
    ro->live += count_bits(ch->live);
    return AA_OK;
}

aa_status
rows_restore(rows *ro, aa_ckpt_reader *r, aa_err *err)
{
    char        name[AA_CKPT_NAME_BYTES];
    const void *data;
    size_t      len;
    saved_head  head;
    section_name(ro, name);
    aa_status st = aa_ckpt_get(r, name, &data, &len, err);
    if (st) return st;
    const unsigned char *at = data;
    const size_t         each = 8 + chunk_bytes(ro);
    if (len < sizeof head) return aa_fail(err, AA_EPARSE, "%s: %zu bytes", name, len);
    memcpy(&head, at, sizeof head);
    if (head.width != ro->W || head.shared != ro->shared || (len - sizeof head) % each != 0 ||
        head.chunks != (len - sizeof head) / each)
        return aa_fail(err, AA_EPARSE, "%s: another shape, or cut off", name);
    ro->live = 0;
    ro->changed_head = ro->changed_count = 0;
    at += sizeof head;
    for (uint64_t c = 0; !st && c < head.chunks; c++, at += each) {
        uint64_t idx;
        memcpy(&idx, at, sizeof idx);
        st = restore_chunk(ro, idx, at + sizeof idx, err);
    }
    if (!st && (ro->live != head.live || ro->chunks_made != head.chunks))
        return aa_fail(err, AA_EPARSE, "%s: %llu live rows, not %llu", name,
                       (unsigned long long)ro->live, (unsigned long long)head.live);
    for (uint32_t slot = 0; !st && slot < ro->shared; slot++)
        if (!planned_one(ro, slot))
            return aa_fail(err, AA_EPARSE, "%s: shared row %u is missing", name, slot);
    if (!st) rows_touch_all(ro);
    return st;
}
