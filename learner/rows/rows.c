#include "learner/rows/rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/mode.h"
#include "common/base/rng.h"
#include "common/model/kernel.h"
#include "learner/rows/adagrad.h"
#include "learner/rows/rows_internal.h"

static_assert(sizeof(chunk) == AA_ROW_CHUNK_HEAD, "budgets in bytes count on it");

/* Room for chunk idx in the list of chunks. */
static aa_status
grow_list(rows *ro, size_t idx, aa_err *err)
{
    size_t count = ro->chunk_count ? ro->chunk_count : 8;
    while (count <= idx)
        count *= 2;
    if (count == ro->chunk_count) return AA_OK;
    chunk   **chunks = realloc(ro->chunks, count * sizeof(chunk *));
    uint16_t *dirty_in = realloc(ro->dirty_in, count * sizeof *dirty_in);
    if (chunks) ro->chunks = chunks;
    if (dirty_in) ro->dirty_in = dirty_in;
    if (!chunks || !dirty_in)
        return aa_fail(err, AA_ENOMEM, "field %u: %zu chunks of rows", ro->field, count);
    for (size_t i = ro->chunk_count; i < count; i++) {
        chunks[i] = NULL;
        dirty_in[i] = 0;
    }
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
    return AA_OK;
}

static void
mark_changed(rows *ro, uint32_t slot)
{
    chunk *ch = ro->chunks[slot / CHUNK];
    if (bit_get(ch->dirty, slot)) return;
    bit_put(ch->dirty, slot, true);
    ro->dirty_in[slot / CHUNK]++;
    ro->dirty++;
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

/* Accumulators of a new plain row (2,W). */
static void
fresh_optimizer(const rows *ro, float *row, const adagrad *ad)
{
    for (size_t i = 0; i < ro->W; i++)
        row[ro->W + i] = ad->start;
    row[aa_row_floats(ro->W) - 1] = ad->linear_start;
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
    ro->rf = rowform_of(cfg);
    ro->l2 = (float)cfg->model.row_l2;
    ro->init_sd = cfg->model.row_init;
    ro->seed = (uint64_t)cfg->pipeline.seed;
    ro->own = ro->shared_row = ro->base_row = (adagrad){rate, start, start, 0.0f};
    if (ro->residual)
        ro->own = (adagrad){rate, own, (float)cfg->model.own_linear_accumulator, 0.0f};
    ro->own.forget = (float)cfg->model.row_forget;
    if (rows_composed(cfg))
        ro->shared_row = (adagrad){(float)cfg->model.position_rate, added, added, 0.0f};
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

/* What only tables need whose own rows are not plain. */
static aa_status
make_room_for_forms(rows *ro, aa_err *err)
{
    if (rowform_plain(&ro->rf)) return AA_OK;
    const size_t shared = ro->shared ? ro->shared : 1; /* never NULL: that says plain */
    ro->shared_rows = calloc(shared * aa_row_floats(ro->W), sizeof *ro->shared_rows);
    ro->scratch = calloc(2 * ro->W, sizeof *ro->scratch);
    if (!ro->shared_rows || !ro->scratch)
        return aa_fail(err, AA_ENOMEM, "shared rows of field %u", ro->field);
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
    rows_begin(ro, 0);
    aa_status st = make_room_for_forms(ro, err);
    if (st == AA_OK && rows_composed(cfg)) st = make_base(ro, err);
    for (uint32_t slot = 0; st == AA_OK && slot < ro->shared; slot++) {
        st = rows_make_chunk(ro, slot / CHUNK, err);
        if (st != AA_OK) break;
        if (!ro->base) add_noise(ro, plain_at(ro, slot), slot, 0, 0);
        fresh_optimizer(ro, plain_at(ro, slot), &ro->shared_row);
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
    free(ro->dirty_in);
    free(ro->base);
    free(ro->composed);
    free(ro->base_changed);
    free(ro->shared_rows);
    free(ro->scratch);
    free(ro->told);
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
rows_begin(rows *ro, uint64_t seq)
{
    const uint64_t where = (uint64_t)ro->field << 56 | seq; /* batches are fewer than 2^56 */
    ro->round_start = aa_rng_start(ro->seed, AA_RNG_ROUND, where);
    ro->stores = 0;
}

/* Bits that a row is rounded with when it is stored: no two stores of a table share them. A batch
 * has fewer than 2^32 of them. */
static uint64_t
bits_of_store(rows *ro, uint32_t slot)
{
    if (ro->rf.format == AA_ROW_FLOAT) return 0;
    return aa_rng_at(ro->round_start, (uint64_t)slot << 32 | ro->stores++);
}

void
rows_apply(rows *ro, const aa_op *op, uint64_t seq, uint64_t op_idx)
{
    if (op->kind == AA_OP_FREE) {
        set_live(ro, op->slot, false, 0);
        return;
    }
    float *row = ro->scratch ? ro->scratch : plain_at(ro, op->slot);
    if (op->kind == AA_OP_PROMOTE && !ro->residual)
        rows_read(ro, op->source, op->source_mix, row);
    else
        memset(row, 0, ro->W * sizeof *row);
    if (!ro->residual) add_noise(ro, row, op->slot, seq, op_idx);
    if (ro->scratch) rowform_write(&ro->rf, row_at(ro, op->slot), row, bits_of_store(ro, op->slot));
    rowform_fresh(&ro->rf, row_at(ro, op->slot), &ro->own);
    set_live(ro, op->slot, true, seq);
}

/* ---- reading ---- */

void
rows_prefetch(const rows *ro, uint32_t slot)
{
    enum { LINE = 64 };
    if (slot < ro->shared || !chunk_at(ro, slot)) return; /* shared rows are read all the time */
    const unsigned char *row = row_at(ro, slot);
    for (size_t at = 0; at < ro->rf.bytes; at += LINE)
        __builtin_prefetch(row + at, 1);
    __builtin_prefetch(row + ro->rf.bytes - 1, 1);
}

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
    if (!is_plain(ro, slot)) {
        rowform_read(&ro->rf, row_at(ro, slot), x);
        return;
    }
    const float *low = plain_at(ro, slot), *high = mix != 0.0f ? plain_at(ro, slot + 1) : NULL;
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
    if (is_plain(ro, slot))
        add(x, shared, plain_at(ro, slot), ro->W);
    else
        rowform_read_own(&ro->rf, row_at(ro, slot), shared, x);
}

/* ---- learning ---- */

AA_KERNEL static void
add_gradient(float *restrict g, const float *restrict w, const float *restrict dx, size_t n,
             float share, float l2)
{
    for (size_t i = 0; i < n; i++)
        g[i] += share * (dx[i] + l2 * w[i]);
}

/* Both at once, where the step is one event. The accumulators decay before this. */
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

/* What the factors' accumulators of a plain row (2,W) forget. */
static void
decay(const rows *ro, float *row, const adagrad *ad)
{
    if (ad->forget == 0.0f) return;
    for (size_t i = 0; i + 1 < ro->W; i++)
        row[ro->W + i] = adagrad_decayed(ad, row[ro->W + i]);
}

aa_status
rows_reserve(rows *ro, size_t readings, aa_err *err)
{
    return collect_reserve(&ro->gradients, ro->W, 5 * readings, err);
}

/* The same for an own row that is not plain: loaded, learned, stored. */
static void
learn_formed(rows *ro, uint32_t slot, float share, const float *dx)
{
    float *w = ro->scratch, *g = w + ro->W;
    rowform_read(&ro->rf, row_at(ro, slot), w);
    if (!ro->one_by_one) {
        add_gradient(collect_at(&ro->gradients, slot), w, dx, ro->W, share, ro->l2);
        return;
    }
    memset(g, 0, ro->W * sizeof *g);
    add_gradient(g, w, dx, ro->W, share, ro->l2);
    rowform_learn(&ro->rf, row_at(ro, slot), w, g, &ro->own, bits_of_store(ro, slot));
    mark_changed(ro, slot);
}

static void
learn_row(rows *ro, uint32_t slot, float share, const float *dx)
{
    if (!is_plain(ro, slot)) {
        learn_formed(ro, slot, share, dx);
        return;
    }
    float *row = plain_at(ro, slot);
    if (!ro->one_by_one) {
        add_gradient(collect_at(&ro->gradients, slot), row, dx, ro->W, share, ro->l2);
        return;
    }
    const adagrad *ad = slot < ro->shared ? &ro->shared_row : &ro->own;
    decay(ro, row, ad);
    learn_at_once(row, row + ro->W, dx, ro->W, share, ro->l2, ad->rate);
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

static void
update_row(rows *ro, uint32_t slot, const float *g)
{
    const adagrad *ad = slot < ro->shared ? &ro->shared_row : &ro->own;
    if (is_plain(ro, slot)) {
        float *row = plain_at(ro, slot);
        decay(ro, row, ad);
        adagrad_step(row, row + ro->W, g, ro->W, ad->rate);
        return;
    }
    rowform_read(&ro->rf, row_at(ro, slot), ro->scratch);
    rowform_learn(&ro->rf, row_at(ro, slot), ro->scratch, g, ad, bits_of_store(ro, slot));
}

void
rows_update(rows *ro)
{
    for (size_t i = 0; i < ro->gradients.count; i++) {
        const uint32_t slot = ro->gradients.slot[i];
        const float   *g = ro->gradients.g + i * ro->W;
        if (slot >= ROWS_SLOT_END) {
            float *row = base_at(ro, slot - ROWS_SLOT_END);
            adagrad_step(row, row + ro->W, g, ro->W, ro->base_row.rate);
            ro->base_changed[slot - ROWS_SLOT_END] = true;
            continue;
        }
        update_row(ro, slot, g);
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
                        .row_bytes = ro->rf.bytes,
                        .base_bytes = base_bytes(ro)};
    if (ro->shared_rows) out->base_bytes += shared_bytes(ro) - ro->shared * ro->rf.bytes;
    out->held_bytes = ro->chunks_made * chunk_bytes(ro) + base_bytes(ro) + shared_bytes(ro) +
                      (ro->base ? ro->shared * ro->W * sizeof *ro->composed : 0) +
                      ro->told_cap * ro->W * sizeof *ro->told;
    out->optimizer_bytes =
        out->allocated * ro->rf.acc_count * sizeof(float) + (base_bytes(ro) + shared_bytes(ro)) / 2;
}

const float *
rows_served(const rows *ro, uint32_t slot, float *buf)
{
    if (!is_plain(ro, slot)) {
        rowform_read(&ro->rf, row_at(ro, slot), buf);
        return buf;
    }
    if (!is_composed(ro, slot)) return plain_at(ro, slot);
    add(buf, base_at(ro, slot % ro->bins), plain_at(ro, slot), ro->W);
    return buf;
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

aa_status
rows_reserve_changes(rows *ro, size_t max, aa_err *err)
{
    if (!ro->shared_rows || max <= ro->told_cap) return AA_OK;
    free(ro->told);
    ro->told_cap = 0;
    ro->told = malloc(max * ro->W * sizeof *ro->told);
    if (!ro->told) return aa_fail(err, AA_ENOMEM, "field %u: %zu changed rows", ro->field, max);
    ro->told_cap = max;
    return AA_OK;
}

/* The first slot from `slot` on, and around, that is dirty. @pre there is one */
static uint32_t
next_dirty(const rows *ro, uint32_t slot)
{
    for (size_t c = slot / CHUNK % ro->chunk_count;; c = (c + 1) % ro->chunk_count, slot = 0) {
        if (ro->dirty_in[c] == 0) continue;
        for (uint32_t i = slot % CHUNK / 64; i < WORDS; i++) {
            uint64_t word = ro->chunks[c]->dirty[i];
            if (i == slot % CHUNK / 64) word &= ~UINT64_C(0) << slot % 64;
            if (word)
                return (uint32_t)(c * CHUNK + (size_t)i * 64) + (uint32_t)__builtin_ctzll(word);
        }
    }
}

size_t
rows_changes(rows *ro, learner_change *out, size_t max)
{
    size_t n = 0;
    AA_REQUIRE(!ro->shared_rows || max <= ro->told_cap);
    mark_composed(ro);
    for (; n < max && ro->dirty > 0; n++) {
        const uint32_t slot = next_dirty(ro, ro->told_to);
        chunk         *ch = ro->chunks[slot / CHUNK];
        const bool     live = bit_get(ch->live, slot);
        float         *told = ro->told ? ro->told + n * ro->W : NULL;
        bit_put(ch->dirty, slot, false);
        ro->dirty_in[slot / CHUNK]--;
        ro->dirty--;
        ro->told_to = slot + 1;
        out[n] = (learner_change){.field = ro->field,
                                  .slot = slot,
                                  .deleted = !live,
                                  .born = ch->born[slot % CHUNK],
                                  .w = rows_served(ro, slot, rows_place(ro, slot, told))};
    }
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
