/* common/messages/batch - storage of the batches. Sizes come from messages, so every product and every sum
 * is checked before it is used. All arrays of a batch grow together and geometrically; when one of
 * them cannot grow, the batch stays as it was (some arrays may have become larger than they need
 * be). */
#include "common/messages/batch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* No array of ours may be larger than this: far above any message, far below any overflow. */
#define BATCH_MAX_BYTES (SIZE_MAX / 4)

aa_status
aa_batch_grow(void *array_p, size_t count, size_t element_bytes, aa_err *err)
{
    void *old;
    memcpy(&old, array_p, sizeof old);
    if (count > BATCH_MAX_BYTES / element_bytes)
        return aa_fail(err, AA_ENOMEM, "batch of %zu elements is too large", count);
    void *grown = realloc(old, count * element_bytes);
    if (!grown)
        return aa_fail(err, AA_ENOMEM, "out of memory: %zu bytes for a batch",
                       count * element_bytes);
    memcpy(array_p, &grown, sizeof grown);
    return AA_OK;
}

/* Capacity to allocate when `need` elements are wanted and `cap` are there. */
static size_t
next_cap(size_t cap, size_t need)
{
    size_t doubled = cap > BATCH_MAX_BYTES / 2 ? need : cap * 2;
    size_t wanted = doubled > need ? doubled : need;
    return wanted < 16 ? 16 : wanted;
}

static aa_status
product(size_t n, size_t F, size_t *out, aa_err *err)
{
    AA_REQUIRE(F > 0);
    if (n > BATCH_MAX_BYTES / F)
        return aa_fail(err, AA_ENOMEM, "batch of %zu x %zu is too large", n, F);
    *out = n * F;
    return AA_OK;
}

aa_status
aa_event_batch_reserve(aa_event_batch *b, size_t n, size_t F, aa_err *err)
{
    size_t    need = 0;
    aa_status st = product(n, F, &need, err);
    if (st) return st;
    if (need > b->cap || !b->key) {
        size_t cap = next_cap(b->cap, need);
        if ((st = aa_batch_grow(&b->key, cap, sizeof *b->key, err))) return st;
        if ((st = aa_batch_grow(&b->label, cap, sizeof *b->label, err))) return st;
        if ((st = aa_batch_grow(&b->time_ms, cap, sizeof *b->time_ms, err))) return st;
        b->cap = cap;
    }
    b->F = F;
    return AA_OK;
}

void
aa_event_batch_fini(aa_event_batch *b)
{
    free(b->key);
    free(b->label);
    free(b->time_ms);
    *b = (aa_event_batch){0};
}

aa_status
aa_assigned_batch_reserve(aa_assigned_batch *b, size_t n, size_t F, aa_err *err)
{
    size_t    need = 0;
    aa_status st = product(n, F, &need, err);
    if (st) return st;
    if (need > b->cap || !b->slot) {
        size_t cap = next_cap(b->cap, need);
        if ((st = aa_batch_grow(&b->slot, cap, sizeof *b->slot, err))) return st;
        if ((st = aa_batch_grow(&b->mix, cap, sizeof *b->mix, err))) return st;
        if ((st = aa_batch_grow(&b->alt_slot, cap, sizeof *b->alt_slot, err))) return st;
        if ((st = aa_batch_grow(&b->alt_mix, cap, sizeof *b->alt_mix, err))) return st;
        if ((st = aa_batch_grow(&b->state, cap, sizeof *b->state, err))) return st;
        if ((st = aa_batch_grow(&b->next_state, cap, sizeof *b->next_state, err))) return st;
        if ((st = aa_batch_grow(&b->baseline, cap, sizeof *b->baseline, err))) return st;
        if ((st = aa_batch_grow(&b->label, cap, sizeof *b->label, err))) return st;
        if ((st = aa_batch_grow(&b->seen, cap, sizeof *b->seen, err))) return st;
        b->cap = cap;
    }
    b->F = F;
    return AA_OK;
}

aa_status
aa_assigned_batch_reserve_ops(aa_assigned_batch *b, size_t count, aa_err *err)
{
    if (count <= b->op_cap) return AA_OK;
    size_t    cap = next_cap(b->op_cap, count);
    aa_status st = aa_batch_grow(&b->op, cap, sizeof *b->op, err);
    if (!st) b->op_cap = cap;
    return st;
}

aa_status
aa_assigned_batch_reserve_sweep(aa_assigned_batch *b, size_t count, aa_err *err)
{
    aa_status st;
    if (count <= b->sweep_cap) return AA_OK;
    size_t cap = next_cap(b->sweep_cap, count);
    if ((st = aa_batch_grow(&b->sweep_state, cap, sizeof *b->sweep_state, err))) return st;
    if ((st = aa_batch_grow(&b->sweep_next_state, cap, sizeof *b->sweep_next_state, err)))
        return st;
    if ((st = aa_batch_grow(&b->sweep_field, cap, sizeof *b->sweep_field, err))) return st;
    b->sweep_cap = cap;
    return AA_OK;
}

aa_status
aa_assigned_batch_op(aa_assigned_batch *b, aa_op op, aa_err *err)
{
    aa_status st = aa_assigned_batch_reserve_ops(b, b->op_count + 1, err);
    if (!st) b->op[b->op_count++] = op;
    return st;
}

aa_status
aa_assigned_batch_sweep(aa_assigned_batch *b, uint32_t field, uint32_t state, uint32_t next_state,
                        aa_err *err)
{
    aa_status st = aa_assigned_batch_reserve_sweep(b, b->sweep_count + 1, err);
    if (st) return st;
    b->sweep_field[b->sweep_count] = field;
    b->sweep_state[b->sweep_count] = state;
    b->sweep_next_state[b->sweep_count] = next_state;
    b->sweep_count++;
    return AA_OK;
}

void
aa_assigned_batch_fini(aa_assigned_batch *b)
{
    free(b->slot);
    free(b->mix);
    free(b->alt_slot);
    free(b->alt_mix);
    free(b->state);
    free(b->next_state);
    free(b->baseline);
    free(b->label);
    free(b->seen);
    free(b->op);
    free(b->sweep_state);
    free(b->sweep_next_state);
    free(b->sweep_field);
    *b = (aa_assigned_batch){0};
}

aa_status
aa_reward_batch_reserve(aa_reward_batch *b, size_t n, size_t m, aa_err *err)
{
    aa_status st;
    if (n > b->cap_n || !b->loss) {
        size_t cap = next_cap(b->cap_n, n);
        if ((st = aa_batch_grow(&b->loss, cap, sizeof *b->loss, err))) return st;
        b->cap_n = cap;
    }
    if (m > b->cap_m || !b->reward || !b->advantage) {
        size_t cap = next_cap(b->cap_m, m);
        if ((st = aa_batch_grow(&b->reward, cap, sizeof *b->reward, err))) return st;
        if ((st = aa_batch_grow(&b->advantage, cap, sizeof *b->advantage, err))) return st;
        b->cap_m = cap;
    }
    return AA_OK;
}

void
aa_reward_batch_fini(aa_reward_batch *b)
{
    free(b->loss);
    free(b->reward);
    free(b->advantage);
    *b = (aa_reward_batch){0};
}
