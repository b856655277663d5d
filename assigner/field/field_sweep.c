/* assigner/field/field, third part: what happens to IDs between events. */
#include <math.h>

#include "assigner/field/field.h"
#include "assigner/field/gap.h"

/* Carries out a move of the sweep; decides: it is one that critic or actor learn from. */
static aa_status
move(field *fd, const field_step *sp, field_id *id, float frequency, policy_move mv, bool decides,
     aa_err *err)
{
    aa_status st = field_apply(fd, sp, id, frequency, &mv, err);
    fd->fs.swept += mv.action != AA_UNCHANGED;
    if (st == AA_OK) st = field_note(fd, id, err);
    field_store(fd, id, 0);
    if (st != AA_OK || !decides) return st;
    uint32_t k = fd->env.k, bucket = aa_freq_bucket(frequency);
    uint32_t word = AA_STATE_WORD(aa_state_idx(bucket, mv.from, k), mv.action);
    st = aa_assigned_batch_sweep(sp->out, fd->env.f, word, aa_state_idx(bucket, mv.to, k), err);
    if (st != AA_OK) return st;
    return inflight_sweep(sp->fl, sp->ib, fd->env.f, mv.chosen ? word : INFLIGHT_NONE, err);
}

/* A holder of a row may come without its place: most visits change nothing. */
static aa_status
visit(field *fd, const field_step *sp, field_id *id, aa_err *err)
{
    policy_view v = {.e = &id->e,
                     .frequency = policy_frequency(fd->env.cfg, &id->e, sp->now),
                     .now = sp->now,
                     .draw = fd->fs.visits++};
    policy_move mv = fd->policy.visit(&fd->env, &v);
    if (!mv.chosen && mv.from == mv.to) return AA_OK;
    if (id->place == IDTABLE_NONE) field_holder(fd, id->e.slot, sp->now, id);
    return move(fd, sp, id, v.frequency, mv, mv.chosen, err);
}

float
field_index(const field *fd, uint32_t slot, uint64_t now)
{
    id_entry e;
    idtable_get_holder(&fd->tbl, slot, now, &e);
    return row_actor_index(&fd->ra, aa_freq_bucket(e.frequency), gap_of_holder(&e, now));
}

aa_status
field_release(field *fd, const field_step *sp, uint32_t slot, aa_err *err)
{
    field_id id;
    field_holder(fd, slot, sp->now, &id);
    const policy_view v = {.e = &id.e, .frequency = id.e.frequency, .now = sp->now};
    return move(fd, sp, &id, v.frequency, policy_down(&fd->env, &v), true, err);
}

/* The next `visits` holders of rows, by slot, round and round; at most once round. */
static aa_status
visit_holders(field *fd, const field_step *sp, uint64_t visits, aa_err *err)
{
    const slots *sl = &fd->sl;
    aa_status    st = AA_OK;
    if (visits > sl->end) visits = sl->end;
    for (; st == AA_OK && visits > 0; visits--) {
        if (fd->fs.next_slot >= sl->end) fd->fs.next_slot = 0;
        const uint32_t slot = sl->base + fd->fs.next_slot++;
        if (!slots_held(sl, slot)) continue;
        field_id id = {.place = IDTABLE_NONE};
        idtable_get_holder(&fd->tbl, slot, sp->now, &id.e);
        st = visit(fd, sp, &id, err);
    }
    return st;
}

field_id
field_walk_round(const field *fd, uint64_t *cursor)
{
    idtable_walk wk;
    if (!idtable_walk_from(&fd->tbl, *cursor, &wk)) AA_REQUIRE(idtable_walk_from(&fd->tbl, 0, &wk));
    *cursor = wk.hash + 1; /* 0 behind the last there can be */
    return (field_id){.hash = wk.hash, .place = wk.place};
}

/* The next `visits` IDs, by hash. */
static aa_status
visit_ids(field *fd, const field_step *sp, uint64_t visits, aa_err *err)
{
    aa_status st = AA_OK;
    if (visits > fd->tbl.count) visits = fd->tbl.count;
    for (; st == AA_OK && visits > 0; visits--) {
        field_id id = field_walk_round(fd, &fd->fs.next_id);
        field_load(fd, sp->now, &id);
        st = visit(fd, sp, &id, err);
    }
    return st;
}

aa_status
field_forget(field *fd, const field_id *id, aa_err *err)
{
    aa_status st = publish_forget(&fd->pb, &id->e, err);
    if (st != AA_OK) return st;
    if (fd->env.pr) price_ids(fd->env.pr, -1);
    if (fd->env.pr && id->e.seen > 1) price_returned(fd->env.pr, -1);
    fd->ids_at[id->e.position]--;
    fd->fs.forgotten++;
    idtable_remove(&fd->tbl, id->hash, id->place);
    return AA_OK;
}

/* Drops IDs without a row that have been silent for long. */
static aa_status
forget(field *fd, const field_step *sp, uint64_t visits, aa_err *err)
{
    const uint64_t limit = (uint64_t)fd->env.cfg->agent.forget_events;
    if (visits > fd->tbl.count) visits = fd->tbl.count;
    for (; visits > 0 && fd->tbl.count > 0; visits--) {
        field_id id = field_walk_round(fd, &fd->fs.next_forget);
        idtable_get(&fd->tbl, id.hash, id.place, sp->now, &id.e);
        if (policy_holds_row(&id.e) || sp->now - id.e.last < limit) continue;
        aa_status st = field_forget(fd, &id, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* Per event: all IDs are visited in a quarter of the events that idtable_age has for it, as no event
 * brings more than one. */
#define AGE_VISITS 4u

aa_status
field_sweep(field *fd, const field_step *sp, aa_err *err)
{
    const aa_conf *cfg = fd->env.cfg;
    uint64_t  visits = (uint64_t)ceil(cfg->agent.sweep_visits * (double)cfg->agent.sweep_every);
    aa_status st = AA_OK;
    idtable_age(&fd->tbl, sp->now, AGE_VISITS * (uint64_t)cfg->agent.sweep_every);
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
