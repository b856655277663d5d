#include "assigner/field/field.h"

#include <math.h>
#include <string.h>

#include "assigner/field/fastlean.h"
#include "assigner/field/gap.h"
#include "assigner/field/lean.h"
#include "common/base/rng.h"
#include "common/model/row.h"

/* The paper's window of an ID's losses, in its extra bytes (at any address): how many there were,
 * and (T) of them, of which number count % T is the oldest. */
#define LOSS_AT(i)      (sizeof(uint32_t) + (i) * sizeof(float))
#define WINDOW_BYTES(T) LOSS_AT(T)

static uint32_t
count_of_losses(const unsigned char *at)
{
    uint32_t count;
    memcpy(&count, at, sizeof count);
    return count;
}

/* Gaps are a mean over the first, then a moving one,
 * so that they follow an ID whose pace changes. */
#define GAP_MEMORY 64.0f

static aa_status
check_settings(const aa_conf *cfg, uint32_t f, const aa_mode *mode, aa_err *err)
{
    const aa_conf_field *cf = &cfg->fields[f];
    if (mode->shared == AA_SHARED_NONE && (cf->budget_rows > 0 || cf->budget_bytes > 0))
        return aa_fail(err, AA_ECONFIG, "fields.%s.budget_%s: mode %s keeps no budget", cf->name,
                       cf->budget_rows > 0 ? "rows" : "bytes", aa_agent_mode_text(cfg->agent.mode));
    if (mode->own == AA_OWN_BY_KEY && cf->hash_rows == 0)
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
    return AA_OK;
}

aa_status
field_row_limit(const aa_conf *cfg, uint32_t f, uint64_t *limit, aa_err *err)
{
    const aa_conf_field *cf = &cfg->fields[f];
    const uint64_t       row_bytes = aa_row_bytes(cfg);
    uint64_t             by_bytes = (uint64_t)cf->budget_bytes / row_bytes;
    *limit = (uint64_t)cf->budget_rows;
    if (cf->budget_bytes == 0) return AA_OK;
    if (by_bytes == 0)
        return aa_fail(err, AA_ECONFIG, "fields.%s.budget_bytes: less than one row, %llu bytes",
                       cf->name, (unsigned long long)row_bytes);
    if (by_bytes > UINT32_MAX) by_bytes = UINT32_MAX;
    if (*limit == 0 || by_bytes < *limit) *limit = by_bytes;
    return AA_OK;
}

size_t
field_extra_bytes(const aa_conf *cfg)
{
    if (aa_mode_of(cfg)->reward != AA_REWARD_LOSS_DROP) return 0;
    return WINDOW_BYTES((size_t)cfg->agent.reward_window);
}

aa_status
field_init(field *fd, const aa_conf *cfg, uint32_t f, price *pr, byte_budget *bb, aa_err *err)
{
    *fd = (field){.mode = aa_mode_of(cfg),
                  .policy = policy_of(cfg),
                  .p = aa_lean_bins(cfg),
                  .residual = aa_residual_rows(cfg),
                  .signals = cfg->model.signals};
    uint64_t  limit;
    aa_status st = check_settings(cfg, f, fd->mode, err);
    if (st == AA_OK) st = field_row_limit(cfg, f, &limit, err);
    if (st != AA_OK) return st;
    fd->env = (policy_env){.cfg = cfg,
                           .f = f,
                           .k = (uint32_t)cfg->agent.positions,
                           .top = aa_shared_positions(cfg),
                           .threshold = (float)cfg->fields[f].threshold,
                           .ac = &fd->ac,
                           .ra = &fd->ra,
                           .pr = pr,
                           .bb = bb};
    const bool by_key = fd->mode->own == AA_OWN_BY_KEY;
    fd->rows = by_key ? (uint32_t)cfg->fields[f].hash_rows : 0;
    if (fd->mode->reward == AA_REWARD_LOSS_DROP) fd->window = (size_t)cfg->agent.reward_window;
    st = slots_init(&fd->sl, aa_shared_rows(cfg), (uint32_t)limit, err);
    if (st == AA_OK)
        st = idtable_init(&fd->tbl, field_extra_bytes(cfg), (uint8_t)(fd->env.k + 1), &fd->sl, err);
    if (st == AA_OK && fd->mode->actor == AA_ACTOR_NETWORK) st = init_actor(fd, cfg, f, err);
    row_actor_init(&fd->ra, cfg);
    /* where an ID reads what its key says, seen or not, there are only signals to publish */
    publish_init(&fd->pb, cfg->publish.enabled && (!by_key || fd->signals));
    fd->pb.limit = byte_budget_waiting(cfg);
    fd->pb.named = cfg->publish.item_names && f == AA_RANKED_FIELD;
    aa_assignment unseen;
    field_unseen(fd, &unseen);
    fd->pb.unseen = publish_reads(unseen.slot, unseen.mix, false, 0);
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

bool
field_has_shared_rows(const field *fd)
{
    return fd->mode->shared != AA_SHARED_NONE;
}

void
field_unseen(const field *fd, aa_assignment *out)
{
    *out = (aa_assignment){.slot = AA_NO_SLOT, .alt_slot = AA_NO_SLOT, .position = 1};
    if (fd->rows > 0) {
        out->slot = 0;
        out->modulo = fd->rows;
    } else if (field_has_shared_rows(fd)) {
        lean_reading(1, 0.0f, fd->p, &out->slot, &out->mix);
    }
}

/* Of an ID with a row of its own, if it had none: the ladder goes on rising. 0: none is shared. */
static uint32_t
fallback_position(const field *fd, const id_entry *e)
{
    return fd->mode->ladder ? policy_ladder(&fd->env, e->seen) : fd->env.top;
}

/* What it reads there, beside its row or without it. */
static void
fallback_reading(const field *fd, const id_entry *e, uint32_t *slot, float *mix)
{
    lean_reading(fallback_position(fd, e), e->lean, fd->p, slot, mix);
}

void
field_reading(const field *fd, const id_entry *e, aa_assignment *out)
{
    field_unseen(fd, out);
    out->position = e->position;
    out->signal = fd->signals ? fastlean_signal(e) : 0;
    out->modulo = 0;
    if (fd->rows > 0) {
        out->slot = (uint32_t)(e->key % fd->rows);
    } else if (!policy_holds_row(e)) {
        lean_reading(e->position, e->lean, fd->p, &out->slot, &out->mix);
    } else {
        if (field_has_shared_rows(fd)) fallback_reading(fd, e, &out->alt_slot, &out->alt_mix);
        out->slot = e->slot;
        out->mix = 0.0f;
        out->born = e->born;
    }
}

/* ---- loading and storing ---- */

static publish_reading
published_reading(const field *fd, const id_entry *e)
{
    const bool row = policy_holds_row(e);
    uint32_t   slot = AA_NO_SLOT;
    float      mix = 0.0f;
    if (fd->rows > 0)
        slot = 0; /* by the key, as before the first event */
    else if (!row)
        lean_reading(e->position, e->lean, fd->p, &slot, &mix);
    else if (fd->residual)
        fallback_reading(fd, e, &slot, &mix);
    return publish_reads(slot, mix, row, fd->signals ? fastlean_signal(e) : 0);
}

void
field_load(const field *fd, uint64_t now, field_id *id)
{
    idtable_get(&fd->tbl, id->hash, id->place, now, &id->e);
    if (fd->pb.enabled && !publish_queued(id->e.flags)) id->was = published_reading(fd, &id->e);
}

void
field_store(field *fd, const field_id *id, uint64_t bits)
{
    idtable_put(&fd->tbl, id->hash, id->place, &id->e, bits);
}

void
field_holder(const field *fd, uint32_t slot, uint64_t now, field_id *id)
{
    idtable_walk wk;
    idtable_holder(&fd->tbl, slot, &wk);
    id->hash = wk.hash;
    id->place = wk.place;
    field_load(fd, now, id);
}

void
field_sent(field *fd, field_id *id)
{
    publish_sent(&id->e, published_reading(fd, &id->e));
    field_store(fd, id, 0);
}

aa_status
field_note(field *fd, field_id *id, aa_err *err)
{
    if (!fd->pb.enabled || publish_queued(id->e.flags)) return AA_OK;
    return publish_note(&fd->pb, &id->e, id->was, published_reading(fd, &id->e), err);
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
demote(field *fd, const field_step *sp, field_id *id, uint32_t to, aa_err *err)
{
    id_entry *e = &id->e;
    aa_op     op = {.event_idx = (uint32_t)sp->i,
                    .kind = AA_OP_FREE,
                    .field = (uint8_t)fd->env.f,
                    .slot = e->slot,
                    .source = AA_NO_SLOT};
    slots_give_back(&fd->sl, e->slot);
    if (fd->env.pr) price_gave(fd->env.pr, fd->env.f);
    e->slot = AA_NO_SLOT;
    set_position(fd, e, to);
    fd->fs.demotions++;
    aa_status st = aa_assigned_batch_op(sp->out, op, err);
    return st == AA_OK ? field_note(fd, id, err) : st;
}

aa_status
field_take_row(field *fd, const field_step *sp, field_id *id, aa_err *err)
{
    const uint32_t to = fallback_position(fd, &id->e);
    aa_status      st = demote(fd, sp, id, to > 0 ? to : 1, err);
    field_store(fd, id, 0);
    return st;
}

/* Makes room for an ID when the budget is used up: *done is false if nobody is worth less. */
static aa_status
make_room(field *fd, const field_step *sp, const id_entry *e, float frequency, bool *done,
          aa_err *err)
{
    *done = fd->env.pr ? price_admits(fd->env.pr, fd->env.f) : !slots_full(&fd->sl);
    *done = *done && field_row_fits(fd);
    if (*done || fd->env.pr) return AA_OK; /* where rows have a price, its rounds make room */
    id_entry now = *e;                     /* the candidate is here now */
    now.last = sp->now;
    const aa_conf *cfg = fd->env.cfg;
    float          worth = victims_worth(cfg, &now, frequency + 1.0f, sp->now);
    uint32_t       slot = victims_find(&fd->fs.vi, cfg, &fd->tbl, &fd->sl, worth, sp->now);
    if (slot == AA_NO_SLOT) return AA_OK;
    *done = true;
    field_id loser;
    field_holder(fd, slot, sp->now, &loser);
    return field_take_row(fd, sp, &loser, err);
}

/* The ID at shared position `from` gets a row, if there is one to be had. */
static aa_status
promote(field *fd, const field_step *sp, field_id *id, uint32_t from, float frequency, bool *done,
        aa_err *err)
{
    id_entry *e = &id->e;
    aa_status st = make_room(fd, sp, e, frequency, done, err);
    if (st != AA_OK || !*done) return st;
    aa_op op = {.event_idx = (uint32_t)sp->i,
                .kind = fd->mode->own == AA_OWN_RANDOM ? AA_OP_INIT : AA_OP_PROMOTE,
                .field = (uint8_t)fd->env.f,
                .source = AA_NO_SLOT};
    if (op.kind == AA_OP_PROMOTE) lean_reading(from, e->lean, fd->p, &op.source, &op.source_mix);
    st = slots_take(&fd->sl, field_tag(id), &e->slot, err);
    if (st != AA_OK) return st;
    e->born = sp->seq;
    op.slot = e->slot;
    if (fd->env.pr) price_took(fd->env.pr, fd->env.f);
    set_position(fd, e, fd->env.k + 1);
    fd->fs.promotions++;
    return aa_assigned_batch_op(sp->out, op, err);
}

aa_status
field_apply(field *fd, const field_step *sp, field_id *id, float frequency, policy_move *mv,
            aa_err *err)
{
    id_entry *e = &id->e;
    aa_status st = AA_OK;
    bool      done = true;
    if (mv->to > fd->env.k && !policy_holds_row(e)) {
        st = promote(fd, sp, id, mv->from, frequency, &done, err);
        if (!done) { /* there is no row to be had; a choice with odds is one all the same */
            mv->to = mv->from;
            mv->action = AA_UNCHANGED;
            mv->chosen = fd->env.pr && mv->chosen;
        }
    } else if (mv->to <= fd->env.k && policy_holds_row(e)) {
        st = demote(fd, sp, id, mv->to, err);
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
        st = slots_take(&fd->sl, 0, &op.slot, err);
        if (st == AA_OK) st = aa_assigned_batch_op(sp->out, op, err);
    }
    return st;
}

aa_status
field_insert(field *fd, uint64_t now, field_id *id, aa_err *err)
{
    aa_status st = idtable_insert(&fd->tbl, id->hash, &id->place, err);
    if (st != AA_OK) return st;
    fd->fs.ids_seen++;
    fd->ids_at[1]++;
    if (fd->tbl.count > fd->fs.ids_peak) fd->fs.ids_peak = fd->tbl.count;
    field_load(fd, now, id);
    if (!fd->env.pr) return AA_OK;
    id->e.gap = gap_mean(fd->fs.gap_sum, fd->fs.gap_count);
    price_ids(fd->env.pr, 1);
    return AA_OK;
}

aa_status
field_find(field *fd, const field_step *sp, uint64_t key, uint64_t hint, field_id *id, aa_err *err)
{
    id->hash = idtable_hash(key);
    id->place = hint;
    if (!idtable_is_at(&fd->tbl, id->hash, hint)) id->place = idtable_find(&fd->tbl, id->hash);
    if (id->place == IDTABLE_NONE) {
        aa_status st = field_make_place(fd, sp, err);
        return st == AA_OK ? field_insert(fd, sp->now, id, err) : st;
    }
    field_load(fd, sp->now, id);
    return AA_OK;
}

/* Mean of the ID's last T losses, NaN before the first. */
static float
baseline_of(const field *fd, uint64_t place)
{
    if (fd->window == 0) return NAN;
    const unsigned char *at = idtable_extra(&fd->tbl, place);
    const uint32_t       count = count_of_losses(at);
    size_t               n = count < fd->window ? count : fd->window;
    double               sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        float loss;
        memcpy(&loss, at + LOSS_AT(i), sizeof loss);
        sum += (double)loss;
    }
    return n > 0 ? (float)(sum / (double)n) : NAN;
}

void
field_loss(field *fd, uint64_t key, float loss)
{
    const uint64_t place = idtable_find(&fd->tbl, idtable_hash(key));
    if (place == IDTABLE_NONE) return;
    unsigned char *at = idtable_extra(&fd->tbl, place);
    uint32_t       count = count_of_losses(at);
    memcpy(at + LOSS_AT(count % fd->window), &loss, sizeof loss);
    count = count == UINT32_MAX ? (uint32_t)fd->window : count + 1;
    memcpy(at, &count, sizeof count);
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
        lean_reading(position, e->lean, fd->p, &out->slot[at], &out->mix[at]);
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
    if (fd->env.pr) sp->ib->odds[at] = mv->odds;
    if (fd->mode->actor != AA_ACTOR_NETWORK && !fd->env.pr) return;
    uint32_t k = fd->env.k;
    uint32_t word = AA_STATE_WORD(aa_state_idx(aa_freq_bucket(frequency), mv->from, k), mv->action);
    sp->out->state[at] = word;
    sp->out->next_state[at] = aa_state_idx(aa_freq_bucket(frequency + 1.0f), mv->to, k);
    if (!mv->chosen) return;
    if (fd->env.pr) /* what it chose, even if there was no row to be had */
        word = AA_STATE_WORD(AA_STATE_IDX(word), mv->drawn);
    sp->ib->word[at] = word;
}

/* Head of the stream: each event reads a random shared row, which warms the rows up; no ID moves. */
static uint32_t
warm_position(const field *fd, const field_step *sp)
{
    uint64_t seed = (uint64_t)fd->env.cfg->pipeline.seed;
    return 1 + (uint32_t)(aa_rng_bits(seed, AA_RNG_WARM, sp->now, fd->env.f) % fd->env.top);
}

aa_status
field_assign(field *fd, const field_step *sp, field_id *id, aa_err *err)
{
    id_entry *e = &id->e;
    id->frequency = policy_frequency(fd->env.cfg, e, sp->now);
    policy_view v = {.e = e, .frequency = id->frequency, .now = sp->now, .draw = sp->now};
    policy_move mv;
    aa_status   st = AA_OK;
    uint32_t    reads;
    if (fd->sl.base > 0 && sp->now <= (uint64_t)fd->env.cfg->agent.warm_up_events) {
        mv = (policy_move){.from = 1, .to = 1, .action = AA_UNCHANGED};
        reads = warm_position(fd, sp);
    } else {
        mv = fd->policy.event(&fd->env, &v);
        st = field_apply(fd, sp, id, v.frequency, &mv, err);
        reads = mv.to;
    }
    write_reading(fd, sp, e, reads);
    sp->out->signal[sp->i * sp->out->F + fd->env.f] = fd->signals ? fastlean_signal(e) : 0;
    write_decision(fd, sp, v.frequency, &mv);
    sp->out->baseline[sp->i * sp->out->F + fd->env.f] = baseline_of(fd, id->place);
    if (fd->window > 0) sp->ib->key[sp->i * sp->out->F + fd->env.f] = e->key;
    return st;
}

static void
take_gap(field *fd, id_entry *e, uint64_t now)
{
    if (e->seen == 0) return;
    const uint64_t gap = now - e->last;
    const float    n = (float)e->seen;
    if (!fd->env.pr) {
        e->gap += ((float)gap - e->gap) / (n < GAP_MEMORY ? n : GAP_MEMORY);
        return;
    }
    e->gap = gap_with(e, now);
    fd->fs.gap_sum += (double)gap;
    fd->fs.gap_count++;
    if (e->seen == 1) price_returned(fd->env.pr, 1);
}

aa_status
field_observe(field *fd, const field_step *sp, field_id *id, float label, double mean, float others,
              aa_err *err)
{
    id_entry *e = &id->e;
    e->frequency = id->frequency + 1.0f;
    take_gap(fd, e, sp->now);
    if (fd->signals) fastlean_update(e, label, mean, others);
    lean_update(e, label, mean, others);
    e->last = sp->now;
    e->seen++;
    /* the reading that the ID's next event begins from, and that scorers are told */
    if (fd->mode->ladder && !policy_holds_row(e)) {
        uint32_t position = policy_ladder(&fd->env, e->seen);
        if (position != e->position) set_position(fd, e, position);
    }
    aa_status st = field_note(fd, id, err);
    field_store(fd, id, aa_rng_at(sp->draw, fd->env.f));
    return st;
}
