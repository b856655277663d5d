#include "learner/rows/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/mode.h"
#include "common/base/rng.h"
#include "common/model/kernel.h"
#include "learner/rows/rows_internal.h"

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

aa_status
rows_make_chunk(rows *ro, size_t idx, aa_err *err)
{
    aa_status st = grow_list(ro, idx, err);
    if (st != AA_OK || ro->chunks[idx]) return st;
    chunk *ch = aa_arena_alloc(ro->memory, chunk_bytes(ro));
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

/* row (W) += N(0, sd^2). Each (field, place, seq, op_idx) has its own noise. */
static void
add_noise(const rows *ro, float *row, uint32_t place, uint64_t seq, uint64_t op_idx)
{
    float          noise[256];
    const uint64_t where = (uint64_t)ro->field << 32 | place;
    uint64_t       a = aa_rng_bits(ro->seed, AA_RNG_ROW, where, seq << 20 ^ op_idx);
    for (size_t at = 0; at < ro->W; at += 256, a++) {
        const size_t n = ro->W - at < 256 ? ro->W - at : 256;
        aa_rng_normal(noise, n, ro->init_sd, ro->seed, AA_RNG_ROW, a);
        for (size_t i = 0; i < n; i++)
            row[at + i] += noise[i];
    }
}

/* Accumulators of a new row (2,W). */
static void
fresh_optimizer(const rows *ro, float *row, const row_kind *rk)
{
    for (size_t i = 0; i < ro->W; i++)
        row[ro->W + i] = rk->accumulator;
    row[aa_row_floats(ro->W) - 1] = rk->linear_accumulator;
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

static void
configure(rows *ro, uint32_t field, const aa_conf *cfg)
{
    const float rate = (float)cfg->model.row_rate, start = (float)cfg->model.row_accumulator;
    const float own = (float)cfg->model.own_accumulator,
                added = (float)cfg->model.position_accumulator;
    ro->field = field;
    ro->shared = aa_shared_rows(cfg);
    ro->bins = aa_lean_bins(cfg);
    ro->residual = aa_residual_rows(cfg);
    ro->one_by_one = cfg->model.step == 1;
    ro->W = aa_row_width((size_t)cfg->model.dim);
    ro->l2 = (float)cfg->model.row_l2;
    ro->init_sd = cfg->model.row_init;
    ro->seed = (uint64_t)cfg->pipeline.seed;
    ro->own = ro->shared_row = ro->base_row = (row_kind){rate, start, start};
    if (ro->residual) ro->own = (row_kind){rate, own, (float)cfg->model.own_linear_accumulator};
    if (rows_composed(cfg))
        ro->shared_row = (row_kind){(float)cfg->model.position_rate, added, added};
}

/* Base rows are drawn, what positions add to them is 0. */
static aa_status
make_base(rows *ro, aa_err *err)
{
    ro->base = calloc(ro->bins * aa_row_floats(ro->W), sizeof *ro->base);
    ro->composed = calloc((size_t)ro->shared * ro->W, sizeof *ro->composed);
    ro->base_changed = calloc(ro->bins, sizeof *ro->base_changed);
    if (!ro->base || !ro->composed || !ro->base_changed)
        return aa_fail(err, AA_ENOMEM, "shared rows of field %u", ro->field);
    for (uint32_t bin = 0; bin < ro->bins; bin++) {
        add_noise(ro, base_at(ro, bin), ROWS_SLOT_END + bin, 0, 0);
        fresh_optimizer(ro, base_at(ro, bin), &ro->base_row);
    }
    return AA_OK;
}

aa_status
rows_new(rows **out, uint32_t field, const aa_conf *cfg, aa_err *err)
{
    rows *ro = calloc(1, sizeof *ro);
    if (!ro) return aa_fail(err, AA_ENOMEM, "table of field %u", field);
    configure(ro, field, cfg);
    ro->memory = aa_arena_new();
    if (!ro->memory) {
        rows_free(&ro);
        return aa_fail(err, AA_ENOMEM, "table of field %u", field);
    }
    aa_status st = rows_composed(cfg) ? make_base(ro, err) : AA_OK;
    for (uint32_t slot = 0; st == AA_OK && slot < ro->shared; slot++) {
        st = rows_make_chunk(ro, slot / CHUNK, err);
        if (st != AA_OK) break;
        if (!ro->base) add_noise(ro, row_at(ro, slot), slot, 0, 0);
        fresh_optimizer(ro, row_at(ro, slot), &ro->shared_row);
        bit_put(ro->chunks[slot / CHUNK]->plan, slot, true);
        set_live(ro, slot, true, 0);
    }
    if (st != AA_OK)
        rows_free(&ro);
    else
        *out = ro;
    return st;
}

void
rows_free(rows **ro_p)
{
    if (!ro_p || !*ro_p) return;
    rows *ro = *ro_p;
    aa_arena_free(&ro->memory);
    free(ro->chunks);
    free(ro->changed);
    free(ro->base);
    free(ro->composed);
    free(ro->base_changed);
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
    if (st == AA_OK && op->kind != AA_OP_FREE) st = rows_make_chunk(ro, op->slot / CHUNK, err);
    if (st == AA_OK) bit_put(ro->chunks[op->slot / CHUNK]->plan, op->slot, op->kind != AA_OP_FREE);
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
    if (op->kind == AA_OP_PROMOTE && !ro->residual)
        rows_read(ro, op->source, op->source_mix, row);
    else
        memset(row, 0, ro->W * sizeof *row);
    if (!ro->residual) add_noise(ro, row, op->slot, seq, op_idx);
    fresh_optimizer(ro, row, &ro->own);
    set_live(ro, op->slot, true, seq);
}

/* ---- reading ---- */

AA_KERNEL static void
add(float *restrict x, const float *restrict a, const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = a[i] + b[i];
}

AA_KERNEL static void
mix_two(float *restrict x, const float *restrict low, const float *restrict high, float mix,
        size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (1.0f - mix) * low[i] + mix * high[i];
}

/* The two composed rows, then their mixture: rounded as scorers do it, who get composed rows. */
AA_KERNEL static void
mix_composed(float *restrict x, const float *restrict base, const float *restrict next_base,
             const float *restrict low, const float *restrict high, float mix, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (1.0f - mix) * (base[i] + low[i]) + mix * (next_base[i] + high[i]);
}

static inline bool
is_composed(const rows *ro, uint32_t slot)
{
    return ro->base && slot < ro->shared;
}

void
rows_read(const rows *ro, uint32_t slot, float mix, float *x)
{
    if (slot == AA_NO_SLOT) {
        memset(x, 0, ro->W * sizeof *x);
        return;
    }
    const float *low = row_at(ro, slot), *high = mix != 0.0f ? row_at(ro, slot + 1) : NULL;
    if (is_composed(ro, slot)) {
        const float *base = base_at(ro, slot % ro->bins);
        if (high)
            mix_composed(x, base, base_at(ro, (slot + 1) % ro->bins), low, high, mix, ro->W);
        else
            add(x, base, low, ro->W);
    } else if (high) {
        mix_two(x, low, high, mix, ro->W);
    } else {
        memcpy(x, low, ro->W * sizeof *x);
    }
}

void
rows_read_own(const rows *ro, uint32_t slot, const float *shared, float *x)
{
    add(x, shared, row_at(ro, slot), ro->W);
}

/* ---- learning ---- */

/* g is the gradient of the step. */
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
add_gradient(float *restrict g, const float *restrict w, const float *restrict dx, size_t n,
             float share, float l2)
{
    for (size_t i = 0; i < n; i++)
        g[i] += share * (dx[i] + l2 * w[i]);
}

/* Both at once, where the step is one event. */
AA_KERNEL static void
learn_at_once(float *restrict w, float *restrict acc, const float *restrict dx, size_t n,
              float share, float l2, float rate)
{
    for (size_t i = 0; i < n; i++) {
        const float g = share * (dx[i] + l2 * w[i]);
        const float a = acc[i] + g * g;
        acc[i] = a;
        w[i] -= rate * g / sqrtf(a);
    }
}

aa_status
rows_reserve(rows *ro, size_t readings, aa_err *err)
{
    return collect_reserve(&ro->gradients, ro->W, 5 * readings, err);
}

static void
learn_row(rows *ro, uint32_t slot, float share, const float *dx)
{
    float *row = row_at(ro, slot);
    if (!ro->one_by_one) {
        add_gradient(collect_at(&ro->gradients, slot), row, dx, ro->W, share, ro->l2);
        return;
    }
    const row_kind *rk = slot < ro->shared ? &ro->shared_row : &ro->own;
    learn_at_once(row, row + ro->W, dx, ro->W, share, ro->l2, rk->rate);
    mark_changed(ro, slot);
}

static void
learn_base(rows *ro, uint32_t bin, float share, const float *dx)
{
    float *row = base_at(ro, bin);
    if (!ro->one_by_one) {
        float *g = collect_at(&ro->gradients, ROWS_SLOT_END + bin);
        add_gradient(g, row, dx, ro->W, share, ro->l2);
        return;
    }
    learn_at_once(row, row + ro->W, dx, ro->W, share, ro->l2, ro->base_row.rate);
    ro->base_changed[bin] = true;
}

void
rows_learn(rows *ro, uint32_t slot, float mix, float share, const float *dx)
{
    if (slot == AA_NO_SLOT || share == 0.0f) return;
    const float shares[2] = {share * (1.0f - mix), share * mix};
    for (uint32_t i = 0; i < 2 && shares[i] != 0.0f; i++) {
        learn_row(ro, slot + i, shares[i], dx);
        if (is_composed(ro, slot)) learn_base(ro, (slot + i) % ro->bins, shares[i], dx);
    }
}

void
rows_update(rows *ro)
{
    for (size_t i = 0; i < ro->gradients.count; i++) {
        const uint32_t slot = ro->gradients.slot[i];
        const float   *g = ro->gradients.g + i * ro->W;
        if (slot >= ROWS_SLOT_END) {
            float *row = base_at(ro, slot - ROWS_SLOT_END);
            adagrad(row, row + ro->W, g, ro->W, ro->base_row.rate);
            ro->base_changed[slot - ROWS_SLOT_END] = true;
            continue;
        }
        const row_kind *rk = slot < ro->shared ? &ro->shared_row : &ro->own;
        float          *row = row_at(ro, slot);
        adagrad(row, row + ro->W, g, ro->W, rk->rate);
        mark_changed(ro, slot);
    }
    collect_clear(&ro->gradients);
}

/* ---- what there is ---- */

void
rows_stats_get(const rows *ro, rows_stats *out)
{
    *out = (rows_stats){.live = ro->live,
                        .allocated = ro->chunks_made * CHUNK,
                        .row_bytes = aa_row_bytes(ro->W),
                        .base_bytes = base_bytes(ro)};
}

const float *
rows_served(const rows *ro, uint32_t slot)
{
    if (!is_composed(ro, slot)) return row_at(ro, slot);
    float *x = ro->composed + (size_t)slot * ro->W;
    add(x, base_at(ro, slot % ro->bins), row_at(ro, slot), ro->W);
    return x;
}

/* A base row is part of its bin's row at every position. */
static void
mark_composed(rows *ro)
{
    for (uint32_t slot = 0; ro->base && slot < ro->shared; slot++)
        if (ro->base_changed[slot % ro->bins]) mark_changed(ro, slot);
    for (uint32_t bin = 0; ro->base && bin < ro->bins; bin++)
        ro->base_changed[bin] = false;
}

size_t
rows_changes(rows *ro, learner_change *out, size_t max)
{
    size_t n = 0;
    mark_composed(ro);
    while (n < max && ro->changed_head < ro->changed_count) {
        const uint32_t slot = ro->changed[ro->changed_head++];
        chunk         *ch = ro->chunks[slot / CHUNK];
        const bool     live = bit_get(ch->live, slot);
        bit_put(ch->dirty, slot, false);
        out[n++] = (learner_change){.field = ro->field,
                                    .slot = slot,
                                    .deleted = !live,
                                    .born = ch->born[slot % CHUNK],
                                    .w = rows_served(ro, slot)};
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

bool
rows_tidy(rows *ro)
{
    return aa_arena_tidy(ro->memory);
}
