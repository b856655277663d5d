/* A batch is checked as a whole before anything of it is applied: its ops are planned in order, and
 * every reading is looked up in the plan of its moment. What a check touches stays in the cache for
 * the step. */
#include <math.h>

#include "learner/learner_internal.h"

/* Is word a state word and next a state index (or word AA_NO_STATE)? */
static bool
knows_state(const learner *le, uint32_t word, uint32_t next)
{
    if (word == AA_NO_STATE) return true;
    return AA_STATE_IDX(word) < le->states && AA_STATE_ACTION(word) < AA_ACTIONS &&
           next < le->states;
}

static aa_status
check_shape(const learner *le, const aa_assigned_batch *in, aa_err *err)
{
    if (in->hd.seq != le->next_seq)
        return aa_fail(err, AA_EPARSE, "batch %llu, but %llu is next",
                       (unsigned long long)in->hd.seq, (unsigned long long)le->next_seq);
    if (in->F != le->F)
        return aa_fail(err, AA_EPARSE, "batch of %zu fields, not %zu", in->F, le->F);
    for (size_t o = 0; o < in->op_count; o++) {
        const aa_op *op = &in->op[o];
        if (op->event_idx > in->n || (o > 0 && op->event_idx < op[-1].event_idx))
            return aa_fail(err, AA_EPARSE, "op %zu at event %u: out of order", o, op->event_idx);
        if (op->field >= le->F)
            return aa_fail(err, AA_EPARSE, "op %zu: field %u of %zu", o, op->field, le->F);
    }
    for (size_t s = 0; s < in->sweep_count; s++) {
        if (in->sweep_field[s] >= le->F)
            return aa_fail(err, AA_EPARSE, "sweep: field %u of %zu", in->sweep_field[s], le->F);
        if (!knows_state(le, in->sweep_state[s], in->sweep_next_state[s]))
            return aa_fail(err, AA_EPARSE, "sweep: state %#x, then %u", in->sweep_state[s],
                           in->sweep_next_state[s]);
    }
    return AA_OK;
}

/* The shared reading of an ID that holds its own row. */
static bool
is_shared(const learner *le, uint32_t slot, float mix)
{
    return mix >= 0.0f && mix < 1.0f && slot < le->shared && (mix == 0.0f || slot + 1 < le->shared);
}

/* Own rows and shared readings beside them: with residual rows neither comes without the other. */
static aa_status
check_alt(const learner *le, const aa_assigned_batch *in, size_t at, aa_err *err)
{
    const bool beside = in->alt_slot[at] != AA_NO_SLOT;
    const bool own = in->slot[at] != AA_NO_SLOT && in->slot[at] >= le->shared;
    if (beside && !is_shared(le, in->alt_slot[at], in->alt_mix[at]))
        return aa_fail(err, AA_EPARSE, "event %zu: field %zu has no shared row %u + %g", at / le->F,
                       at % le->F, in->alt_slot[at], (double)in->alt_mix[at]);
    if (le->residual && beside != own)
        return aa_fail(err, AA_EPARSE, "event %zu: field %zu: slot %u %s a shared reading",
                       at / le->F, at % le->F, in->slot[at], own ? "without" : "beside");
    return AA_OK;
}

static aa_status
check_event(const learner *le, const aa_assigned_batch *in, size_t e, aa_err *err)
{
    if (!isfinite(in->label[e])) return aa_fail(err, AA_EPARSE, "event %zu: label", e);
    for (size_t f = 0; f < le->F; f++) {
        const size_t at = e * le->F + f;
        if (!rows_planned(le->tables[f], in->slot[at], in->mix[at]))
            return aa_fail(err, AA_EPARSE, "event %zu: field %zu has no row %u + %g", e, f,
                           in->slot[at], (double)in->mix[at]);
        aa_status st = check_alt(le, in, at, err);
        if (st != AA_OK) return st;
        if (!knows_state(le, in->state[at], in->next_state[at]))
            return aa_fail(err, AA_EPARSE, "event %zu: field %zu: state %#x, then %u", e, f,
                           in->state[at], in->next_state[at]);
        if (isinf(in->baseline[at]))
            return aa_fail(err, AA_EPARSE, "event %zu: field %zu: baseline", e, f);
    }
    return AA_OK;
}

/* Plans ops up to event e; *planned counts them. */
static aa_status
plan_until(learner *le, const aa_assigned_batch *in, size_t e, size_t *planned, aa_err *err)
{
    while (*planned < in->op_count && in->op[*planned].event_idx <= e) {
        const aa_op *op = &in->op[*planned];
        aa_status    st = rows_plan(le->tables[op->field], op, err);
        if (st != AA_OK) return st;
        ++*planned;
    }
    return AA_OK;
}

aa_status
learner_check(learner *le, const aa_assigned_batch *in, aa_err *err)
{
    size_t    planned = 0;
    aa_status st = check_shape(le, in, err);
    for (size_t e = 0; st == AA_OK && e < in->n; e++) {
        st = plan_until(le, in, e, &planned, err);
        if (st == AA_OK) st = check_event(le, in, e, err);
    }
    if (st == AA_OK) st = plan_until(le, in, in->n, &planned, err);
    while (st != AA_OK && planned > 0) {
        const aa_op *op = &in->op[--planned];
        rows_unplan(le->tables[op->field], op);
    }
    return st;
}
