#include "assigner/field.h"

#include <math.h>
#include <string.h>

#include "assigner/lean.h"
#include "common/rng.h"

/* The paper's window of an ID's losses, beside its entry: loss[count % T] is the oldest. */
typedef struct {
    uint32_t count;
    float    loss[]; /* (T) */
} loss_window;

/* Gaps are a mean over the first, then a moving one, so that they follow an ID whose pace changes.
 */
#define GAP_MEMORY 64.0f

static aa_status
check_settings(const aa_conf *cfg, uint32_t f, const policy_kind *pk, aa_err *err)
{
    const aa_conf_field *cf = &cfg->fields[f];
    bool                 fixed = pk == &policy_unique || pk == &policy_hash;
    if (fixed && cf->budget_rows > 0)
        return aa_fail(err, AA_ECONFIG, "fields.%s.budget_rows: mode %s keeps no budget", cf->name,
                       pk->name);
    if (pk == &policy_hash && cf->hash_rows == 0)
        return aa_fail(err, AA_ECONFIG, "fields.%s.hash_rows: mode hash needs it", cf->name);
    return AA_OK;
}

static aa_status
init_actor(field *fd, const aa_conf *cfg, uint32_t f, aa_err *err)
{
    aa_status st = actor_init(&fd->ac, fd->env.k, (size_t)cfg->pipeline.depth,
                              (uint64_t)cfg->pipeline.seed, f, err);
    if (st != AA_OK) return st;
    fd->ac.rate = cfg->agent.actor_rate;
    fd->ac.ratio_clip = cfg->agent.ratio_clip;
    fd->ac.entropy = cfg->agent.entropy;
    if (fd->pk->prior) fd->pk->prior(&fd->env);
    actor_refresh(&fd->ac);
    return AA_OK;
}

aa_status
field_init(field *fd, const aa_conf *cfg, uint32_t f, aa_err *err)
{
    *fd = (field){.pk = policy_find(cfg->agent.mode),
                  .p = aa_lean_bins(cfg),
                  .residual = aa_residual_rows(cfg)};
    if (!fd->pk) return aa_fail(err, AA_ECONFIG, "agent.mode: unknown mode %s", cfg->agent.mode);
    aa_status st = check_settings(cfg, f, fd->pk, err);
    if (st != AA_OK) return st;
    fd->env = (policy_env){.cfg = cfg,
                           .f = f,
                           .k = (uint32_t)cfg->agent.positions,
                           .top = aa_shared_positions(cfg),
                           .threshold = (float)cfg->fields[f].threshold,
                           .ac = &fd->ac};
    bool hash = fd->pk == &policy_hash;
    fd->rows = hash ? (uint32_t)cfg->fields[f].hash_rows : 0;
    fd->window = fd->pk->loss_window ? (size_t)cfg->agent.reward_window : 0;
    slots_init(&fd->sl, aa_shared_rows(cfg), (uint32_t)cfg->fields[f].budget_rows);
    size_t extra = fd->window > 0 ? sizeof(loss_window) + fd->window * sizeof(float) : 0;
    st = idtable_init(&fd->tbl, extra, err);
    if (st == AA_OK && fd->pk->use_actor) st = init_actor(fd, cfg, f, err);
    /* under hash every ID reads what its key says, seen or not: there is nothing to publish */
    publish_init(&fd->pb, cfg->publish.enabled && !hash);
    aa_assignment unseen;
    field_unseen(fd, &unseen);
    fd->pb.unseen = publish_code(unseen.slot, unseen.mix);
    return st;
}

void
field_fini(field *fd)
{
    idtable_fini(&fd->tbl);
    slots_fini(&fd->sl);
    actor_fini(&fd->ac);
    publish_fini(&fd->pb);
}

/* ---- readings ---- */

void
field_unseen(const field *fd, aa_assignment *out)
{
    *out = (aa_assignment){.slot = AA_NO_SLOT, .alt_slot = AA_NO_SLOT, .position = 1};
    if (fd->rows > 0) {
        out->slot = 0;
        out->modulo = fd->rows;
    } else if (fd->pk != &policy_unique) {
        lean_reading(1, 0.0f, fd->p, &out->slot, &out->mix);
    }
}

/* What an ID with a row of its own reads beside it, or would without: the ladder goes on rising. */
static void
fallback_reading(const field *fd, const id_entry *e, uint32_t *slot, float *mix)
{
    uint32_t position = fd->pk->ladder ? policy_ladder(&fd->env, e->seen) : fd->env.top;
    lean_reading(position, lean_of(e), fd->p, slot, mix);
}

void
field_reading(const field *fd, const id_entry *e, aa_assignment *out)
{
    field_unseen(fd, out);
    out->position = e->position;
    out->modulo = 0;
    if (fd->rows > 0) {
        out->slot = (uint32_t)(e->key % fd->rows);
    } else if (!policy_holds_row(e)) {
        lean_reading(e->position, lean_of(e), fd->p, &out->slot, &out->mix);
    } else {
        if (fd->pk != &policy_unique) fallback_reading(fd, e, &out->alt_slot, &out->alt_mix);
        out->slot = e->slot;
        out->mix = 0.0f;
        out->born = slots_born(&fd->sl, e->slot);
    }
}

/* Tell publication that the ID's reading may have changed. */
static aa_status
note(field *fd, uint32_t handle, id_entry *e, aa_err *err)
{
    if (!fd->pb.enabled) return AA_OK;
    uint32_t slot = AA_NO_SLOT;
    float    mix = 0.0f;
    if (!policy_holds_row(e))
        lean_reading(e->position, lean_of(e), fd->p, &slot, &mix);
    else if (fd->residual)
        fallback_reading(fd, e, &slot, &mix);
    return publish_note(&fd->pb, handle, e, publish_code(slot, mix), err);
}

/* ---- moves ---- */

static void
set_position(field *fd, id_entry *e, uint32_t position)
{
    fd->ids_at[e->position]--;
    fd->ids_at[position]++;
    e->position = (uint8_t)position;
}

/* The ID gives its row back and goes to a shared position. */
static aa_status
demote(field *fd, const field_step *sp, uint32_t handle, id_entry *e, uint32_t to, aa_err *err)
{
    aa_op op = {.event_idx = (uint32_t)sp->i,
                .kind = AA_OP_FREE,
                .field = (uint8_t)fd->env.f,
                .slot = e->slot,
                .source = AA_NO_SLOT};
    slots_give_back(&fd->sl, e->slot);
    e->slot = AA_NO_SLOT;
    set_position(fd, e, to);
    fd->fs.demotions++;
    aa_status st = aa_assigned_batch_op(sp->out, op, err);
    return st == AA_OK ? note(fd, handle, e, err) : st;
}

/* Makes room for an ID when the budget is used up: *done is false if nobody is worth less. */
static aa_status
make_room(field *fd, const field_step *sp, const id_entry *e, float frequency, bool *done,
          aa_err *err)
{
    *done = !slots_full(&fd->sl);
    if (*done) return AA_OK;
    id_entry now = *e; /* the candidate is here now */
    now.last = sp->now;
    const aa_conf *cfg = fd->env.cfg;
    float          worth = victims_worth(cfg, &now, frequency + 1.0f, sp->now);
    uint32_t       slot = victims_find(&fd->fs.vi, cfg, &fd->tbl, &fd->sl, worth, sp->now);
    if (slot == AA_NO_SLOT) return AA_OK;
    *done = true;
    uint32_t  victim = slots_holder(&fd->sl, slot);
    id_entry *loser = idtable_at(&fd->tbl, victim);
    uint32_t  to = fd->pk->ladder ? policy_ladder(&fd->env, loser->seen) : fd->env.top;
    return demote(fd, sp, victim, loser, to, err);
}

/* The ID at shared position `from` gets a row, if there is one to be had. */
static aa_status
promote(field *fd, const field_step *sp, uint32_t handle, uint32_t from, float frequency,
        bool *done, aa_err *err)
{
    id_entry *e = idtable_at(&fd->tbl, handle);
    aa_status st = make_room(fd, sp, e, frequency, done, err);
    if (st != AA_OK || !*done) return st;
    aa_op op = {.event_idx = (uint32_t)sp->i,
                .kind = fd->pk->new_rows ? AA_OP_INIT : AA_OP_PROMOTE,
                .field = (uint8_t)fd->env.f,
                .source = AA_NO_SLOT};
    if (!fd->pk->new_rows) lean_reading(from, lean_of(e), fd->p, &op.source, &op.source_mix);
    st = slots_take(&fd->sl, handle, sp->seq, &e->slot, err);
    if (st != AA_OK) return st;
    op.slot = e->slot;
    set_position(fd, e, fd->env.k + 1);
    fd->fs.promotions++;
    return aa_assigned_batch_op(sp->out, op, err);
}

/* Carries out a move of the policy. A promotion for which there is no row turns into staying. */
static aa_status
apply(field *fd, const field_step *sp, uint32_t handle, float frequency, policy_move *mv,
      aa_err *err)
{
    id_entry *e = idtable_at(&fd->tbl, handle);
    aa_status st = AA_OK;
    bool      done = true;
    if (mv->to > fd->env.k && !policy_holds_row(e)) {
        st = promote(fd, sp, handle, mv->from, frequency, &done, err);
        if (!done) *mv = (policy_move){.from = mv->from, .to = mv->from, .action = AA_UNCHANGED};
    } else if (mv->to <= fd->env.k && policy_holds_row(e)) {
        st = demote(fd, sp, handle, e, mv->to, err);
    }
    if (e->position != mv->to) set_position(fd, e, mv->to);
    fd->fs.actions[aa_freq_bucket(frequency)][mv->action]++;
    return st;
}

/* ---- an event ---- */

aa_status
field_open(field *fd, const field_step *sp, aa_err *err)
{
    aa_status st = AA_OK;
    for (uint32_t i = 0; st == AA_OK && i < fd->rows; i++) {
        aa_op op = {.event_idx = (uint32_t)sp->i,
                    .kind = AA_OP_INIT,
                    .field = (uint8_t)fd->env.f,
                    .source = AA_NO_SLOT};
        st = slots_take(&fd->sl, 0, sp->seq, &op.slot, err);
        if (st == AA_OK) st = aa_assigned_batch_op(sp->out, op, err);
    }
    return st;
}

aa_status
field_find(field *fd, uint64_t key, uint32_t hint, uint32_t *handle, aa_err *err)
{
    *handle = hint;
    if (hint < fd->tbl.end && idtable_at(&fd->tbl, hint)->key == key) return AA_OK;
    *handle = idtable_find(&fd->tbl, key);
    if (*handle != IDTABLE_NONE) return AA_OK;
    fd->fs.ids_seen++;
    fd->ids_at[1]++;
    return idtable_insert(&fd->tbl, key, handle, err);
}

/* Mean of the ID's last T losses, NaN before the first. */
static float
baseline_of(const field *fd, uint32_t handle)
{
    if (fd->window == 0) return NAN;
    const loss_window *lw = idtable_extra(&fd->tbl, handle);
    size_t             n = lw->count < fd->window ? lw->count : fd->window;
    double             sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)lw->loss[i];
    return n > 0 ? (float)(sum / (double)n) : NAN;
}

void
field_loss(field *fd, uint64_t key, float loss)
{
    uint32_t handle = idtable_find(&fd->tbl, key);
    if (handle == IDTABLE_NONE) return;
    loss_window *lw = idtable_extra(&fd->tbl, handle);
    lw->loss[lw->count % fd->window] = loss;
    lw->count = lw->count == UINT32_MAX ? (uint32_t)fd->window : lw->count + 1;
}

/* The row of its own, or the shared one; to a residual row belongs the shared reading beside it. */
static void
write_reading(field *fd, const field_step *sp, const id_entry *e, uint32_t position)
{
    aa_assigned_batch *out = sp->out;
    size_t             at = sp->i * out->F + fd->env.f;
    out->alt_slot[at] = AA_NO_SLOT;
    out->alt_mix[at] = 0.0f;
    out->mix[at] = 0.0f;
    if (fd->rows > 0) {
        out->slot[at] = (uint32_t)(e->key % fd->rows);
    } else if (!policy_holds_row(e)) {
        lean_reading(position, lean_of(e), fd->p, &out->slot[at], &out->mix[at]);
    } else {
        out->slot[at] = e->slot;
        fd->fs.own_reads++;
        if (fd->residual) fallback_reading(fd, e, &out->alt_slot[at], &out->alt_mix[at]);
    }
}

static void
write_decision(const field *fd, const field_step *sp, float frequency, const policy_move *mv)
{
    size_t at = sp->i * sp->out->F + fd->env.f;
    sp->out->state[at] = sp->out->next_state[at] = AA_NO_STATE;
    sp->ib->word[at] = INFLIGHT_NONE;
    if (!fd->pk->use_actor) return;
    uint32_t k = fd->env.k;
    uint32_t word = AA_STATE_WORD(aa_state_idx(aa_freq_bucket(frequency), mv->from, k), mv->action);
    sp->out->state[at] = word;
    sp->out->next_state[at] = aa_state_idx(aa_freq_bucket(frequency + 1.0f), mv->to, k);
    if (mv->chosen) sp->ib->word[at] = word;
}

/* Head of the stream: shared rows are warmed by whoever comes, at random; nobody moves. */
static uint32_t
warm_position(const field *fd, const field_step *sp)
{
    uint64_t seed = (uint64_t)fd->env.cfg->pipeline.seed;
    return 1 + (uint32_t)(aa_rng_bits(seed, AA_RNG_WARM, sp->now, fd->env.f) % fd->env.top);
}

aa_status
field_assign(field *fd, const field_step *sp, uint32_t handle, aa_err *err)
{
    id_entry   *e = idtable_at(&fd->tbl, handle);
    policy_view v = {.e = e,
                     .frequency = policy_frequency(fd->env.cfg, e, sp->now),
                     .now = sp->now,
                     .draw = sp->now};
    policy_move mv;
    aa_status   st = AA_OK;
    uint32_t    reads;
    if (fd->sl.base > 0 && sp->now <= (uint64_t)fd->env.cfg->agent.warm_up_events) {
        mv = (policy_move){.from = 1, .to = 1, .action = AA_UNCHANGED};
        reads = warm_position(fd, sp);
    } else {
        mv = fd->pk->event(&fd->env, &v);
        st = apply(fd, sp, handle, v.frequency, &mv, err);
        reads = mv.to;
    }
    write_reading(fd, sp, e, reads);
    write_decision(fd, sp, v.frequency, &mv);
    sp->out->baseline[sp->i * sp->out->F + fd->env.f] = baseline_of(fd, handle);
    if (fd->window > 0) sp->ib->key[sp->i * sp->out->F + fd->env.f] = e->key;
    return st;
}

aa_status
field_observe(field *fd, uint64_t now, uint32_t handle, float label, double mean, float others,
              aa_err *err)
{
    id_entry *e = idtable_at(&fd->tbl, handle);
    e->frequency = policy_frequency(fd->env.cfg, e, now) + 1.0f;
    if (e->seen > 0) {
        float n = (float)e->seen;
        e->gap += ((float)(now - e->last) - e->gap) / (n < GAP_MEMORY ? n : GAP_MEMORY);
    }
    lean_update(e, label, mean, others);
    e->last = now;
    if (e->seen < UINT32_MAX) e->seen++;
    /* the reading that the ID's next event begins from, and that scorers are told */
    if (fd->pk->ladder && !policy_holds_row(e)) {
        uint32_t position = policy_ladder(&fd->env, e->seen);
        if (position != e->position) set_position(fd, e, position);
    }
    return note(fd, handle, e, err);
}

/* ---- the sweep ---- */

static aa_status
visit(field *fd, const field_step *sp, uint32_t handle, aa_err *err)
{
    id_entry   *e = idtable_at(&fd->tbl, handle);
    policy_view v = {.e = e,
                     .frequency = policy_frequency(fd->env.cfg, e, sp->now),
                     .now = sp->now,
                     .draw = fd->fs.visits++};
    policy_move mv = fd->pk->visit(&fd->env, &v);
    if (!mv.chosen && mv.from == mv.to) return AA_OK;
    aa_status st = apply(fd, sp, handle, v.frequency, &mv, err);
    fd->fs.swept += mv.action != AA_UNCHANGED;
    if (st == AA_OK) st = note(fd, handle, e, err);
    if (st != AA_OK || !mv.chosen) return st;
    uint32_t k = fd->env.k, bucket = aa_freq_bucket(v.frequency);
    uint32_t word = AA_STATE_WORD(aa_state_idx(bucket, mv.from, k), mv.action);
    st = aa_assigned_batch_sweep(sp->out, fd->env.f, word, aa_state_idx(bucket, mv.to, k), err);
    return st == AA_OK ? inflight_sweep(sp->fl, sp->ib, fd->env.f, word, err) : st;
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
        aa_status st = publish_forget(&fd->pb, e, err);
        if (st != AA_OK) return st;
        fd->ids_at[e->position]--;
        fd->fs.forgotten++;
        idtable_remove(&fd->tbl, handle);
    }
    return AA_OK;
}

aa_status
field_sweep(field *fd, const field_step *sp, aa_err *err)
{
    const aa_conf *cfg = fd->env.cfg;
    uint64_t  visits = (uint64_t)ceil(cfg->agent.sweep_visits * (double)cfg->agent.sweep_every);
    aa_status st = AA_OK;
    if (fd->pk->visit && sp->now > (uint64_t)cfg->agent.warm_up_events)
        st =
            fd->pk->visit_all ? visit_ids(fd, sp, visits, err) : visit_holders(fd, sp, visits, err);
    if (st == AA_OK && cfg->agent.forget_events > 0) st = forget(fd, sp, visits, err);
    return st;
}
