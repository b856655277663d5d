#include "assigner/assigner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/field/field.h"
#include "assigner/field/lean.h"
#include "assigner/inflight.h"
#include "assigner/leakage.h"
#include "assigner/policy/price_round.h"
#include "assigner/sections.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

/* Counters of the whole: saved and digested as they stand. */
typedef struct {
    uint64_t  events; /* assigned so far: the number of the last one */
    uint64_t  next_batch, next_reward;
    lean_mean mean; /* of the label */
} whole;

struct assigner {
    const aa_conf *cfg;
    size_t         F;
    field         *fd; /* (F) */
    leakage       *lk; /* (F) */
    price         *pr; /* shared by the fields; NULL: rows have no price in this mode */
    byte_budget    bb; /* same; without a limit it admits everything */
    inflight       fl;
    whole          wh;
    uint64_t      *guess; /* (n,F) where IDs of the batch were, when they were prefetched */
    size_t         guess_cap;
    size_t         tidy_field;    /* whose memory is made ready next: table, then slots, of each */
    uint32_t       publish_field; /* whose changes are handed out first next time */
};

static aa_status
open_price(assigner *as, aa_err *err)
{
    uint64_t limit[AA_MAX_FIELDS];
    if (aa_mode_of(as->cfg)->actor != AA_ACTOR_ROW) return AA_OK;
    for (uint32_t f = 0; f < as->F; f++) {
        aa_status st = field_row_limit(as->cfg, f, &limit[f], err);
        if (st != AA_OK) return st;
    }
    as->pr = calloc(1, sizeof *as->pr);
    return as->pr ? price_init(as->pr, as->cfg, limit, err) : aa_fail(err, AA_ENOMEM, "prices");
}

aa_status
assigner_new(assigner **out, const aa_conf *cfg, aa_err *err)
{
    *out = NULL;
    assigner *as = calloc(1, sizeof *as);
    if (!as) return aa_fail(err, AA_ENOMEM, "assigner");
    as->cfg = cfg;
    as->F = cfg->field_count;
    as->wh.next_batch = as->wh.next_reward = 1;
    AA_REQUIRE(as->F >= 1 && as->F <= AA_MAX_FIELDS);
    as->fd = calloc(as->F, sizeof *as->fd);
    as->lk = calloc(as->F, sizeof *as->lk);
    if (!as->fd || !as->lk) {
        assigner_free(&as);
        return aa_fail(err, AA_ENOMEM, "%zu fields", cfg->field_count);
    }
    aa_status st = byte_budget_init(&as->bb, cfg, err);
    if (st == AA_OK) st = open_price(as, err);
    for (uint32_t f = 0; st == AA_OK && f < as->F; f++)
        st = field_init(&as->fd[f], cfg, f, as->pr, &as->bb, err);
    if (st == AA_OK)
        st = inflight_init(&as->fl, as->F, (size_t)cfg->pipeline.depth, as->fd[0].window > 0,
                           as->pr != NULL, err);
    if (st != AA_OK) assigner_free(&as);
    *out = as;
    return st;
}

void
assigner_free(assigner **as_p)
{
    assigner *as = *as_p;
    if (!as) return;
    for (size_t f = 0; as->fd && f < as->F; f++)
        field_fini(&as->fd[f]);
    free(as->fd);
    free(as->lk);
    if (as->pr) price_fini(as->pr);
    free(as->pr);
    inflight_fini(&as->fl);
    free(as->guess);
    free(as);
    *as_p = NULL;
}

uint64_t
assigner_next_reward(const assigner *as)
{
    return as->wh.next_reward;
}

uint64_t
assigner_next_batch(const assigner *as)
{
    return as->wh.next_batch;
}

uint64_t
assigner_events(const assigner *as)
{
    return as->wh.events;
}

/* ---- assigning ---- */

static aa_status
check_batch(const assigner *as, const aa_event_batch *in, aa_err *err)
{
    unsigned long long seq = in->hd.seq, next = as->wh.next_batch, reward = as->wh.next_reward;
    if (in->F != as->F)
        return aa_fail(err, AA_EPARSE, "batch %llu: %zu fields, want %zu", seq, in->F, as->F);
    if (seq != next) return aa_fail(err, AA_EPARSE, "batch %llu, want %llu", seq, next);
    if (reward + (uint64_t)as->cfg->pipeline.depth <= seq)
        return aa_fail(err, AA_EPARSE, "batch %llu: rewards of %llu are missing", seq, reward);
    return AA_OK;
}

static aa_status
begin_batch(assigner *as, const aa_event_batch *in, field_step *sp, aa_err *err)
{
    aa_assigned_batch *out = sp->out;
    size_t             m = in->n * as->F;
    aa_status          st = aa_assigned_batch_reserve(out, in->n, as->F, err);
    if (st == AA_OK && m > as->guess_cap) {
        uint64_t *guess = realloc(as->guess, m * sizeof *guess);
        if (!guess) return aa_fail(err, AA_ENOMEM, "batch of %zu events", in->n);
        as->guess = guess;
        as->guess_cap = m;
    }
    out->hd = in->hd;
    out->n = in->n;
    out->op_count = out->sweep_count = 0;
    out->oldest_kafka_ms = in->oldest_kafka_ms;
    if (st == AA_OK) aa_assigned_batch_pass(out, in);
    if (st == AA_OK) st = inflight_begin(&as->fl, in->hd.seq, in->n, &sp->ib, err);
    for (size_t f = 0; st == AA_OK && f < as->F; f++) {
        if (as->fd[f].mode->actor == AA_ACTOR_NETWORK) actor_keep(&as->fd[f].ac, in->hd.seq);
        if (in->hd.seq == 1) st = field_open(&as->fd[f], sp, err);
    }
    return st;
}

/* Two stages ahead of the event that is assigned: first the cells, then what is beside a slot. */
#define CELL_AHEAD 16u
#define SLOT_AHEAD 8u

static void
prefetch(assigner *as, const aa_event_batch *in, size_t i)
{
    for (size_t f = 0; f < as->F; f++) {
        const idtable *tbl = &as->fd[f].tbl;
        if (i + CELL_AHEAD < in->n)
            idtable_prefetch(tbl, idtable_hash(in->key[(i + CELL_AHEAD) * as->F + f]));
        if (i + SLOT_AHEAD >= in->n) continue;
        const size_t   at = (i + SLOT_AHEAD) * as->F + f;
        const uint64_t place = idtable_find(tbl, idtable_hash(in->key[at]));
        as->guess[at] = place;
        if (place == IDTABLE_NONE) {
            idtable_prefetch_run(tbl, idtable_hash(in->key[at]));
            continue;
        }
        const id_packed p = idpack_load(idtable_at(tbl, place));
        if (idpack_holds(&p)) __builtin_prefetch(slots_at(&as->fd[f].sl, idpack_slot(&p)), 1);
    }
}

/* Prefetching of the first events, which nobody prefetched ahead of. */
static void
prefetch_first(assigner *as, const aa_event_batch *in)
{
    for (size_t i = 0; i < in->n && i < CELL_AHEAD; i++)
        for (size_t f = 0; f < as->F; f++) {
            idtable_prefetch(&as->fd[f].tbl, idtable_hash(in->key[i * as->F + f]));
            if (i < SLOT_AHEAD) as->guess[i * as->F + f] = IDTABLE_NONE;
        }
}

/* All fields move before any of them takes the event in: a lean is read as it was before. */
static aa_status
assign_event(assigner *as, const aa_event_batch *in, field_step *sp, aa_err *err)
{
    uint32_t *seen = &sp->out->seen[sp->i];
    field_id  id[AA_MAX_FIELDS];
    float     lean[AA_MAX_FIELDS], sum = 0.0f, label = in->label[sp->i];
    aa_status st = AA_OK;
    *seen = UINT32_MAX;
    for (size_t f = 0; st == AA_OK && f < as->F; f++) {
        field *fd = &as->fd[f];
        size_t at = sp->i * as->F + f;
        st = field_find(fd, sp, in->key[at], as->guess[at], &id[f], err);
        if (st != AA_OK) break;
        *seen = id[f].e.seen < *seen ? id[f].e.seen : *seen;
        sum += lean[f] = id[f].e.lean;
        leakage_add(&as->lk[f], lean[f], label);
        st = field_assign(fd, sp, &id[f], err);
    }
    double mean = lean_mean_get(&as->wh.mean);
    for (size_t f = 0; st == AA_OK && f < as->F; f++)
        st = field_observe(&as->fd[f], sp, &id[f], label, mean, sum - lean[f], err);
    as->wh.mean.sum += (double)label;
    as->wh.mean.count++;
    return st;
}

aa_status
assigner_step(assigner *as, const aa_event_batch *in, aa_assigned_batch *out, aa_err *err)
{
    field_step sp = {.out = out, .fl = &as->fl, .seq = in->hd.seq, .now = as->wh.events};
    aa_status  st = check_batch(as, in, err);
    if (st == AA_OK) st = begin_batch(as, in, &sp, err);
    if (st != AA_OK) return st;
    const uint64_t every = (uint64_t)as->cfg->agent.sweep_every;
    prefetch_first(as, in);
    for (size_t i = 0; st == AA_OK && i < in->n; i++) {
        prefetch(as, in, i);
        sp.now = ++as->wh.events;
        sp.draw = aa_rng_start((uint64_t)as->cfg->pipeline.seed, AA_RNG_ID, sp.now);
        sp.i = i;
        st = assign_event(as, in, &sp, err);
        sp.i = i + 1;
        if (as->pr && st == AA_OK) st = price_round_step(as->pr, as->fd, &sp, err);
        if (sp.now % every != 0) continue;
        for (size_t f = 0; st == AA_OK && f < as->F; f++)
            st = field_sweep(&as->fd[f], &sp, err);
    }
    as->wh.next_batch++;
    return st;
}

double
assigner_lean_auc(const assigner *as, uint32_t f)
{
    AA_REQUIRE(f < as->F);
    return leakage_auc(&as->lk[f]);
}

/* ---- learning ---- */

static void
return_losses(assigner *as, const inflight_batch *ib, const float *loss)
{
    for (size_t j = 0; j < ib->n * as->F; j++)
        field_loss(&as->fd[j % as->F], ib->key[j], loss[j / as->F]);
}

static void
learn_worth(assigner *as, const inflight_batch *ib, const float *advantage)
{
    for (size_t j = 0; j < ib->n * as->F; j++) {
        const uint32_t word = ib->word[j];
        if (word == INFLIGHT_NONE || !isfinite(advantage[j])) continue;
        const uint32_t bucket = aa_state_bucket(AA_STATE_IDX(word), as->fd[0].env.k);
        row_actor_learn(&as->fd[j % as->F].ra, bucket, AA_STATE_ACTION(word), ib->odds[j],
                        advantage[j]);
    }
    for (size_t f = 0; f < as->F; f++)
        row_actor_refresh(&as->fd[f].ra);
}

static void
note_rewards(assigner *as, const inflight_batch *ib, const float *advantage)
{
    const size_t m = ib->n * as->F;
    for (size_t j = 0; j < m + ib->s; j++) {
        uint32_t word = ib->word[j];
        if (word == INFLIGHT_NONE || !isfinite(advantage[j])) continue;
        size_t f = j < m ? j % as->F : ib->field[j - m];
        actor_reward(&as->fd[f].ac, AA_STATE_IDX(word), AA_STATE_ACTION(word), advantage[j]);
    }
}

aa_status
assigner_learn(assigner *as, const aa_reward_batch *rw, aa_err *err)
{
    unsigned long long seq = rw->hd.seq, next = as->wh.next_reward;
    if (seq != next || seq >= as->wh.next_batch)
        return aa_fail(err, AA_EPARSE, "rewards of batch %llu, want %llu", seq, next);
    const inflight_batch *ib = inflight_at(&as->fl, seq);
    if (rw->n != ib->n || rw->m != ib->n * as->F + ib->s)
        return aa_fail(err, AA_EPARSE,
                       "rewards of batch %llu: %zu events, %zu decisions; want %zu, %zu", seq,
                       rw->n, rw->m, ib->n, ib->n * as->F + ib->s);
    if (as->fl.with_keys) return_losses(as, ib, rw->loss);
    if (as->fd[0].mode->actor == AA_ACTOR_NETWORK) {
        note_rewards(as, ib, rw->advantage);
        for (size_t f = 0; f < as->F; f++)
            actor_learn(&as->fd[f].ac, seq);
    }
    if (as->pr) learn_worth(as, ib, rw->advantage);
    as->wh.next_reward++;
    return AA_OK;
}

/* ---- publication ---- */

static void
send_change(assigner *as, uint32_t f, const idtable_walk *wk, assigner_change *out)
{
    field   *fd = &as->fd[f];
    field_id id = {.hash = wk->hash, .place = wk->place};
    field_load(fd, as->wh.events, &id);
    *out = (assigner_change){.field = f, .key = id.e.key};
    field_reading(fd, &id.e, &out->a);
    out->a.version = as->wh.next_batch - 1;
    field_sent(fd, &id);
}

aa_status
assigner_changes(assigner *as, bool all, assigner_change *out, size_t max, size_t *count,
                 aa_err *err)
{
    (void)err;
    size_t         n = 0;
    const uint32_t F = (uint32_t)as->F, first = as->publish_field;
    for (uint32_t f = 0; all && f < F; f++)
        publish_all(&as->fd[f].pb);
    for (uint32_t i = 0; i < F && n < max; i++) {
        const uint32_t f = (first + i) % F;
        field         *fd = &as->fd[f];
        as->publish_field = (f + 1) % F; /* where max is reached, the others come first next time */
        while (n < max) {
            uint64_t gone = publish_next_gone(&fd->pb);
            if (gone != 0) {
                out[n++] = (assigner_change){.field = f,
                                             .key = gone,
                                             .deleted = true,
                                             .a = {.version = as->wh.next_batch - 1}};
                continue;
            }
            idtable_walk wk;
            if (!publish_next(&fd->pb, &fd->tbl, &wk)) break;
            send_change(as, f, &wk, &out[n++]);
        }
    }
    *count = n;
    return AA_OK;
}

bool
assigner_crowded(const assigner *as)
{
    bool crowded = false;
    for (size_t f = 0; f < as->F; f++)
        crowded = crowded || publish_crowded(&as->fd[f].pb);
    return crowded;
}

void
assigner_tell_new(assigner *as, bool on)
{
    for (size_t f = 0; f < as->F; f++)
        as->fd[f].pb.tell_new = on;
}

void
assigner_changes_exact(assigner *as)
{
    for (size_t f = 0; f < as->F; f++)
        publish_exact(&as->fd[f].pb);
}

void
assigner_new_id(const assigner *as, uint32_t f, aa_assignment *out)
{
    AA_REQUIRE(f < as->F);
    field_unseen(&as->fd[f], out);
    out->version = as->wh.next_batch - 1;
}

/* ---- IDs from outside ---- */

aa_status
assigner_import(assigner *as, uint32_t f, const aa_import_id *id, aa_assignment *out, aa_err *err)
{
    AA_REQUIRE(f < as->F && as->wh.next_batch == 1);
    return field_import(&as->fd[f], id, 1, 1, out, err);
}

void
assigner_import_end(assigner *as, double label_mean)
{
    AA_REQUIRE(as->wh.next_batch == 1);
    as->wh.events = 1;
    as->wh.next_batch = as->wh.next_reward = 2;
    as->wh.mean = (lean_mean){.sum = label_mean, .count = 1};
}

/* ---- counts, digest, checkpoint ---- */

void
assigner_stats_get(const assigner *as, uint32_t f, assigner_stats *out)
{
    AA_REQUIRE(f < as->F);
    field_stats(&as->fd[f], out);
    out->lean_auc = leakage_auc(&as->lk[f]);
    if (as->pr) {
        out->price = price_of(as->pr, f);
        out->budget = as->pr->budget;
    }
    if (f != 0) return; /* shared by all fields; counted once */
    out->in_flight_bytes = inflight_bytes(&as->fl) + as->guess_cap * sizeof *as->guess;
    out->agent_bytes += out->in_flight_bytes;
    out->bytes_budget = as->bb.bytes;
    out->bytes_used = as->bb.bytes > 0 ? byte_budget_used(&as->bb) : 0;
    if (as->pr) out->agent_bytes += price_bytes(as->pr);
}

void
assigner_buckets_get(const assigner *as, uint32_t f, assigner_bucket *out)
{
    AA_REQUIRE(f < as->F);
    field_buckets(&as->fd[f], as->wh.events, out);
}

const float *
assigner_policy(const assigner *as, uint32_t f, size_t *states)
{
    AA_REQUIRE(f < as->F);
    *states = as->fd[f].ac.S;
    return as->fd[f].ac.pi;
}

const float *
assigner_worth(const assigner *as, uint32_t f)
{
    AA_REQUIRE(f < as->F);
    return as->pr ? as->fd[f].ra.exp_theta : NULL;
}

uint64_t
assigner_digest(const assigner *as)
{
    const whole *wh = &as->wh;
    uint64_t     d = aa_digest(0, wh, sizeof *wh);
    for (size_t f = 0; f < as->F; f++)
        d = field_digest(&as->fd[f], d, wh->next_reward, wh->next_batch);
    if (as->pr) d = price_digest(as->pr, d);
    return inflight_digest(&as->fl, d, wh->next_reward, wh->next_batch);
}

/* For `inspect`. */
static aa_status
save_about(const assigner *as, aa_ckpt_writer *w, aa_err *err)
{
    char   text[2048];
    size_t len = (size_t)snprintf(text, sizeof text, "batch %llu\nevents %llu\n",
                                  (unsigned long long)as->wh.next_batch - 1,
                                  (unsigned long long)as->wh.events);
    for (uint32_t f = 0; f < as->F && len < sizeof text; f++) {
        assigner_stats st;
        assigner_stats_get(as, f, &st);
        len += (size_t)snprintf(
            text + len, sizeof text - len, "field %s ids %llu rows_unique %llu rows_shared %llu\n",
            as->cfg->fields[f].name, (unsigned long long)st.ids, (unsigned long long)st.rows_unique,
            (unsigned long long)st.rows_shared);
    }
    return aa_ckpt_about(w, text, err);
}

aa_status
assigner_save(const assigner *as, aa_ckpt_writer *w, aa_err *err)
{
    const whole *wh = &as->wh;
    aa_status    st = sections_put(w, "assigner", "whole", wh, sizeof *wh, err);
    for (size_t f = 0; st == AA_OK && f < as->F; f++)
        st = field_save(&as->fd[f], wh->next_reward, wh->next_batch, w, err);
    if (st == AA_OK && as->pr) st = price_save(as->pr, w, err);
    if (st == AA_OK) st = inflight_save(&as->fl, wh->next_reward, wh->next_batch, w, err);
    if (st == AA_OK) st = save_about(as, w, err);
    return st;
}

static aa_status
restore_price(assigner *as, aa_ckpt_reader *r, aa_err *err)
{
    size_t   end[AA_MAX_FIELDS], used[AA_MAX_FIELDS];
    uint64_t ids = 0;
    for (size_t f = 0; f < as->F; f++) {
        end[f] = as->fd[f].sl.end;
        used[f] = as->fd[f].sl.used;
        ids += as->fd[f].tbl.count;
    }
    price_round_bind(as->pr, as->fd);
    return price_restore(as->pr, end, used, ids, as->wh.events, r, err);
}

static aa_status
claim_restored(assigner *as, aa_err *err)
{
    for (uint32_t f = 0; f < as->F; f++)
        byte_budget_claim(&as->bb, f, as->fd[f].fs.ids_peak, as->fd[f].sl.end);
    if (byte_budget_used(&as->bb) <= as->bb.bytes || as->bb.bytes == 0) return AA_OK;
    return aa_fail(err, AA_ECONFIG,
                   "agent.budget_bytes: %llu, but what is restored takes %llu: a table that has "
                   "grown keeps its memory",
                   (unsigned long long)as->bb.bytes, (unsigned long long)byte_budget_used(&as->bb));
}

aa_status
assigner_restore(assigner *as, aa_ckpt_reader *r, aa_err *err)
{
    whole *wh = &as->wh;
    AA_REQUIRE(wh->events == 0 && wh->next_batch == 1);
    aa_status st = sections_copy(r, "assigner", "whole", wh, sizeof *wh, err);
    if (st != AA_OK) return st;
    if (wh->next_reward < 1 || wh->next_reward > wh->next_batch ||
        wh->next_batch - wh->next_reward > (uint64_t)as->cfg->pipeline.depth ||
        wh->mean.count != wh->events || !isfinite(wh->mean.sum))
        return aa_fail(err, AA_EPARSE, "section assigner.whole: a number is out of range");
    for (size_t f = 0; st == AA_OK && f < as->F; f++)
        st = field_restore(&as->fd[f], wh->next_reward, wh->next_batch, wh->events, r, err);
    if (st == AA_OK) st = claim_restored(as, err);
    if (st == AA_OK && as->pr) st = restore_price(as, r, err);
    if (st == AA_OK)
        st = inflight_restore(&as->fl, wh->next_reward, wh->next_batch,
                              aa_state_count((uint32_t)as->cfg->agent.positions), r, err);
    return st;
}

bool
assigner_tidy(assigner *as)
{
    field *fd = &as->fd[as->tidy_field / 2];
    if (as->tidy_field % 2 == 0 ? idtable_tidy(&fd->tbl) : slots_tidy(&fd->sl)) return true;
    if (++as->tidy_field < 2 * as->F) return true;
    as->tidy_field = 0;
    return false;
}
