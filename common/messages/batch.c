/* common/messages/batch - storage of the batches. All arrays of a batch grow together and
 * geometrically; when one of them cannot grow, the batch stays as it was (some arrays may have
 * become larger than they need be). */
#include "common/messages/batch.h"

#include <stdlib.h>

#include "common/base/hash.h"

#define X(...) AA_COLUMN(aa_event_batch, __VA_ARGS__)
static const aa_column event_columns[] = {AA_EVENT_COLUMNS(X, X)};
#undef X
const aa_column_table aa_event_columns = {event_columns,
                                          sizeof event_columns / sizeof *event_columns};

#define X(...) AA_COLUMN(aa_assigned_batch, __VA_ARGS__)
static const aa_column assigned_columns[] = {AA_ASSIGNED_COLUMNS(X)
                                                 AA_EVENT_COLUMNS(AA_COLUMN_SKIP, X)};
#undef X
const aa_column_table aa_assigned_columns = {assigned_columns,
                                             sizeof assigned_columns / sizeof *assigned_columns};

/* Capacity to allocate when `need` elements are wanted and `cap` are there. */
static size_t
next_cap(size_t cap, size_t need)
{
    size_t doubled = cap > AA_ARRAY_MAX_BYTES / 2 ? need : cap * 2;
    size_t wanted = doubled > need ? doubled : need;
    return wanted < 16 ? 16 : wanted;
}

/* Columns of n events of F fields: *cap counts elements, and every array has room for as many. */
static aa_status
reserve_columns(void *batch, const aa_column_table *ct, size_t *cap, size_t n, size_t F,
                aa_err *err)
{
    AA_REQUIRE(F > 0);
    if (n > AA_ARRAY_MAX_BYTES / F)
        return aa_fail(err, AA_ENOMEM, "batch of %zu x %zu is too large", n, F);
    if (n * F <= *cap && *cap > 0) return AA_OK;
    size_t    wanted = next_cap(*cap, n * F);
    aa_status st = aa_columns_grow(batch, ct, wanted, 1, err);
    if (st == AA_OK) *cap = wanted;
    return st;
}

aa_status
aa_event_batch_reserve(aa_event_batch *b, size_t n, size_t F, aa_err *err)
{
    aa_status st = reserve_columns(b, &aa_event_columns, &b->cap, n, F, err);
    if (st == AA_OK) b->F = F;
    return st;
}

void
aa_event_batch_fini(aa_event_batch *b)
{
    aa_columns_fini(b, &aa_event_columns);
    *b = (aa_event_batch){0};
}

uint64_t
aa_event_batch_digest(const aa_event_batch *b, uint64_t d)
{
    for (size_t i = 0; i < aa_event_columns.count; i++) {
        const aa_column *c = &aa_event_columns.column[i];
        const void      *x = aa_column_array(c, b);
        size_t           values = aa_column_values(c, b->n, b->F);
        if (c->presence == AA_OPTIONAL && aa_column_is_default(c, x, values)) continue;
        d = aa_digest(d, x, values * c->element_bytes);
    }
    return d;
}

aa_status
aa_assigned_batch_reserve(aa_assigned_batch *b, size_t n, size_t F, aa_err *err)
{
    aa_status st = reserve_columns(b, &aa_assigned_columns, &b->cap, n, F, err);
    if (st == AA_OK) b->F = F;
    return st;
}

void
aa_assigned_batch_pass(aa_assigned_batch *out, const aa_event_batch *in)
{
    if (in->n == 0) return;
#define P(name, type, per, ...) memcpy(out->name, in->name, in->n *per(in->F) * sizeof(type));
    AA_EVENT_COLUMNS(AA_COLUMN_SKIP, P)
#undef P
}

aa_status
aa_assigned_batch_reserve_ops(aa_assigned_batch *b, size_t count, aa_err *err)
{
    if (count <= b->op_cap) return AA_OK;
    size_t    cap = next_cap(b->op_cap, count);
    aa_status st = aa_array_grow(&b->op, cap, sizeof *b->op, err);
    if (st == AA_OK) b->op_cap = cap;
    return st;
}

aa_status
aa_assigned_batch_reserve_sweep(aa_assigned_batch *b, size_t count, aa_err *err)
{
    if (count <= b->sweep_cap) return AA_OK;
    size_t    cap = next_cap(b->sweep_cap, count);
    aa_status st = aa_array_grow(&b->sweep_state, cap, sizeof *b->sweep_state, err);
    if (st == AA_OK)
        st = aa_array_grow(&b->sweep_next_state, cap, sizeof *b->sweep_next_state, err);
    if (st == AA_OK) st = aa_array_grow(&b->sweep_field, cap, sizeof *b->sweep_field, err);
    if (st == AA_OK) b->sweep_cap = cap;
    return st;
}

aa_status
aa_assigned_batch_op(aa_assigned_batch *b, aa_op op, aa_err *err)
{
    aa_status st = aa_assigned_batch_reserve_ops(b, b->op_count + 1, err);
    if (st == AA_OK) b->op[b->op_count++] = op;
    return st;
}

aa_status
aa_assigned_batch_sweep(aa_assigned_batch *b, uint32_t field, uint32_t state, uint32_t next_state,
                        aa_err *err)
{
    aa_status st = aa_assigned_batch_reserve_sweep(b, b->sweep_count + 1, err);
    if (st != AA_OK) return st;
    b->sweep_field[b->sweep_count] = field;
    b->sweep_state[b->sweep_count] = state;
    b->sweep_next_state[b->sweep_count] = next_state;
    b->sweep_count++;
    return AA_OK;
}

void
aa_assigned_batch_fini(aa_assigned_batch *b)
{
    aa_columns_fini(b, &aa_assigned_columns);
    free(b->op);
    free(b->sweep_state);
    free(b->sweep_next_state);
    free(b->sweep_field);
    *b = (aa_assigned_batch){0};
}

aa_status
aa_reward_batch_reserve(aa_reward_batch *b, size_t n, size_t m, aa_err *err)
{
    aa_status st = AA_OK;
    if (n > b->cap_n || !b->loss) {
        size_t cap = next_cap(b->cap_n, n);
        st = aa_array_grow(&b->loss, cap, sizeof *b->loss, err);
        if (st != AA_OK) return st;
        b->cap_n = cap;
    }
    if (m > b->cap_m || !b->reward || !b->advantage) {
        size_t cap = next_cap(b->cap_m, m);
        st = aa_array_grow(&b->reward, cap, sizeof *b->reward, err);
        if (st == AA_OK) st = aa_array_grow(&b->advantage, cap, sizeof *b->advantage, err);
        if (st == AA_OK) b->cap_m = cap;
    }
    return st;
}

void
aa_reward_batch_fini(aa_reward_batch *b)
{
    free(b->loss);
    free(b->reward);
    free(b->advantage);
    *b = (aa_reward_batch){0};
}
