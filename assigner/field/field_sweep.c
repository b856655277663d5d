/* assigner/field/field, third part: what happens to IDs between events. */
#include <math.h>

#include "assigner/field/field.h"
#include "assigner/field/gap.h"

/* Carries out a move of the sweep; decides: it is one that critic or actor learn from. */
static aa_status
move(field *fd, const field_step *sp, uint32_t handle, float frequency, policy_move mv,
     bool decides, aa_err *err)
{
    aa_status st = field_apply(fd, sp, handle, frequency, &mv, err);
    fd->fs.swept += mv.action != AA_UNCHANGED;
    if (st == AA_OK) st = field_note(fd, handle, err);
    if (st != AA_OK || !decides) return st;
    uint32_t k = fd->env.k, bucket = aa_freq_bucket(frequency);
    uint32_t word = AA_STATE_WORD(aa_state_idx(bucket, mv.from, k), mv.action);
    st = aa_assigned_batch_sweep(sp->out, fd->env.f, word, aa_state_idx(bucket, mv.to, k), err);
    if (st != AA_OK) return st;
    return inflight_sweep(sp->fl, sp->ib, fd->env.f, mv.chosen ? word : INFLIGHT_NONE, err);
}

static aa_status
visit(field *fd, const field_step *sp, uint32_t handle, aa_err *err)
{
    id_entry   *e = idtable_at(&fd->tbl, handle);
    policy_view v = {.e = e,
                     .frequency = policy_frequency(fd->env.cfg, e, sp->now),
                     .now = sp->now,
                     .draw = fd->fs.visits++};
    policy_move mv = fd->policy.visit(&fd->env, &v);
    if (!mv.chosen && mv.from == mv.to) return AA_OK;
    return move(fd, sp, handle, v.frequency, mv, mv.chosen, err);
}

float
field_index(const field *fd, uint32_t handle, uint64_t now)
{
    const id_entry *e = idtable_at(&fd->tbl, handle);
    return row_actor_index(&fd->ra, aa_freq_bucket(e->frequency), gap_of_holder(e, now));
}

aa_status
field_release(field *fd, const field_step *sp, uint32_t handle, aa_err *err)
{
    const id_entry   *e = idtable_at(&fd->tbl, handle);
    const policy_view v = {.e = e, .frequency = e->frequency, .now = sp->now};
    return move(fd, sp, handle, v.frequency, policy_down(&fd->env, &v), true, err);
}

#define AHEAD 8u

/* The next `visits` holders of rows, by slot, round and round; at most once round. */
static aa_status
visit_holders(field *fd, const field_step *sp, uint64_t visits, aa_err *err)
{
    const slots *sl = &fd->sl;
    aa_status    st = AA_OK;
    if (visits > sl->end) visits = sl->end;
    for (; st == AA_OK && visits > 0; visits--) {
        if (fd->fs.next_slot >= sl->end) fd->fs.next_slot = 0;
        size_t ahead = fd->fs.next_slot + AHEAD;
        if (ahead < sl->end && sl->holder[ahead] != IDTABLE_NONE)
            __builtin_prefetch(idtable_at(&fd->tbl, sl->holder[ahead]));
        uint32_t handle = sl->holder[fd->fs.next_slot++];
        if (handle != IDTABLE_NONE) st = visit(fd, sp, handle, err);
    }
    return st;
}

/* The next `visits` IDs, by handle. */
static aa_status
visit_ids(field *fd, const field_step *sp, uint64_t visits, aa_err *err)
{
    aa_status st = AA_OK;
    if (visits > fd->tbl.end) visits = fd->tbl.end;
    for (; st == AA_OK && visits > 0; visits--) {
        if (fd->fs.next_id >= fd->tbl.end) fd->fs.next_id = 0;
        uint32_t handle = fd->fs.next_id++;
        if (idtable_at(&fd->tbl, handle)->key != 0) st = visit(fd, sp, handle, err);
    }
    return st;
}

aa_status
field_forget(field *fd, uint32_t handle, aa_err *err)
{
    const id_entry *e = idtable_at(&fd->tbl, handle);
    aa_status       st = publish_forget(&fd->pb, e, err);
    if (st != AA_OK) return st;
    if (fd->env.pr && e->seen > 1) price_returned(fd->env.pr, -1);
    fd->ids_at[e->position]--;
    fd->fs.forgotten++;
    idtable_remove(&fd->tbl, handle);
    return AA_OK;
}

/* Drops IDs without a row that have been silent for long. */
static aa_status
forget(field *fd, const field_step *sp, uint64_t visits, aa_err *err)
{
    uint64_t limit = (uint64_t)fd->env.cfg->agent.forget_events;
    if (visits > fd->tbl.end) visits = fd->tbl.end;
    for (; visits > 0; visits--) {
        if (fd->fs.next_forget >= fd->tbl.end) fd->fs.next_forget = 0;
        uint32_t        handle = fd->fs.next_forget++;
        const id_entry *e = idtable_at(&fd->tbl, handle);
        if (e->key == 0 || policy_holds_row(e) || sp->now - e->last < limit) continue;
        aa_status st = field_forget(fd, handle, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

aa_status
field_sweep(field *fd, const field_step *sp, aa_err *err)
{
    const aa_conf *cfg = fd->env.cfg;
    uint64_t  visits = (uint64_t)ceil(cfg->agent.sweep_visits * (double)cfg->agent.sweep_every);
    aa_status st = AA_OK;
    if (sp->now > (uint64_t)cfg->agent.warm_up_events) {
        switch (fd->mode->visits) {
        case AA_VISIT_NOBODY: break;
        case AA_VISIT_HOLDERS: st = visit_holders(fd, sp, visits, err); break;
        case AA_VISIT_ALL: st = visit_ids(fd, sp, visits, err); break;
        }
    }
    if (st == AA_OK && cfg->agent.forget_events > 0) st = forget(fd, sp, visits, err);
    return st;
}
