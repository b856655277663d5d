#include "scorer/replica/replica.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/messages/batch.h"
#include "common/model/dense.h"
#include "common/model/model.h"
#include "common/model/row.h"
#include "common/model/signal.h"
#include "scorer/replica/idmap.h"
#include "scorer/replica/reclaim.h"
#include "scorer/replica/rowset.h"
#include "scorer/replica/runtags.h"

/* Scored at once. */
#define BLOCK_ITEMS 8

/* Looked up at once: memory is slow, and so is asked for all of them before the first is waited
 * for. */
#define LOOKUP_ITEMS ((size_t)8 * BLOCK_ITEMS)

/* Immutable once published. */
typedef struct {
    reclaim_node  node;
    aa_assignment a;
} replica_new_id;

typedef struct {
    reclaim_node node;
    uint64_t     run_id, version, events;
    int64_t      newest_kafka_ms, oldest_kafka_ms;
    bool         residual_rows;
    size_t       count;
    float        w[]; /* (count) */
} replica_dense;

typedef struct {
    idmap                    *ids;
    rowset                   *rows;
    _Atomic(replica_new_id *) new_id; /* NULL: none yet */
} replica_field;

struct replica {
    const aa_conf           *cfg; /* borrowed */
    aa_model_shape           shape;
    const aa_model_kind     *kind;
    size_t                   W; /* K+1 */
    reclaim                 *rl;
    replica_field            field[AA_MAX_FIELDS];       /* (F) */
    _Atomic(replica_dense *) dense;                      /* NULL: none yet */
    runtags                  rt;                         /* updater's */
    uint64_t                 assignments_run, model_run; /* updater's: newest seen in each topic */
    uint64_t                 seen_run, seen_version;     /* updater's: newest of any record */
    float                   *row;                        /* (W) updater's scratch */
    aa_bytes                 name;                       /* the same, of a name */
    names                   *items;                      /* known items */
};

/* What the ID table says of a key. */
typedef struct {
    bool          known;
    aa_assignment a;
} replica_found;

struct replica_reader {
    replica             *rp; /* borrowed */
    int                  place;
    bool                 pinned;
    const replica_dense *dense;        /* while it is */
    float               *fixed;        /* (F,W) rows of the user and the context */
    float               *fixed_signal; /* (S) their signals */
    float               *x;            /* (BLOCK_ITEMS,F,W) */
    float               *signal;       /* (BLOCK_ITEMS,S) */
    float               *second;       /* (W) second row of an interpolation */
    float               *own;          /* (W) a row that is added to a shared reading */
    float               *logit;        /* (BLOCK_ITEMS) */
    float               *scratch;      /* the model's */
    replica_found        found[LOOKUP_ITEMS];
};

aa_status
replica_check(const aa_conf *cfg, aa_err *err)
{
    if (cfg->field_count >= 2) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "fields: a scorer needs two (user, item), there are %zu",
                   cfg->field_count);
}

aa_status
replica_new(replica **out, const aa_conf *cfg, aa_err *err)
{
    aa_status checked = replica_check(cfg, err);
    if (checked != AA_OK) return checked;
    const aa_model_kind *kind = aa_model_find(cfg->model.kind);
    replica             *rp = calloc(1, sizeof *rp);
    if (!rp) return aa_fail(err, AA_ENOMEM, "replica");
    rp->cfg = cfg;
    rp->kind = kind;
    aa_model_shape_of(&rp->shape, cfg);
    rp->W = aa_row_width(rp->shape.K);
    rp->rl = reclaim_new();
    rp->row = calloc(rp->W, sizeof *rp->row);
    rp->items = rp->rl ? names_new(rp->rl) : NULL;
    bool complete = rp->rl && rp->row && rp->items;
    for (size_t f = 0; complete && f < rp->shape.F; f++) {
        rp->field[f].ids = idmap_new(cfg, rp->rl, &rp->rt);
        rp->field[f].rows = rowset_new(rp->W, rp->rl, &rp->rt);
        complete = rp->field[f].ids && rp->field[f].rows;
    }
    if (!complete) {
        replica_free(&rp);
        return aa_fail(err, AA_ENOMEM, "replica");
    }
    *out = rp;
    return AA_OK;
}

void
replica_free(replica **rp_p)
{
    replica *rp = *rp_p;
    if (!rp) return;
    for (size_t f = 0; f < rp->shape.F; f++) {
        idmap_free(&rp->field[f].ids);
        rowset_free(&rp->field[f].rows);
        free(atomic_load(&rp->field[f].new_id));
    }
    free(atomic_load(&rp->dense));
    names_free(&rp->items);
    reclaim_free(&rp->rl);
    free(rp->row);
    aa_bytes_fini(&rp->name);
    free(rp);
    *rp_p = NULL;
}

/* ---- applying ---- */

/* NULL, and err says so: no such field. */
static replica_field *
field_of(replica *rp, const aa_topic_key *k, aa_err *err)
{
    if (k->field < rp->shape.F) return &rp->field[k->field];
    aa_fail(err, AA_EPARSE, "field %u of %zu", k->field, rp->shape.F);
    return NULL;
}

static bool
is_older(uint64_t run_id, uint64_t version, uint64_t held_run_id, uint64_t held_version)
{
    return run_id < held_run_id || (run_id == held_run_id && version < held_version);
}

/* What the newest record that came reflects. */
static void
note_version(replica *rp, uint64_t run_id, uint64_t version)
{
    if (is_older(run_id, version, rp->seen_run, rp->seen_version)) return;
    rp->seen_run = run_id;
    rp->seen_version = version;
}

/* A record of this run has come: the run gets a tag, if it is among the newest. */
static void
admit_run(replica *rp, uint64_t run_id)
{
    const uint32_t tag = runtags_oldest(&rp->rt);
    if (run_id <= rp->rt.run[tag] || runtags_find(&rp->rt, run_id) != RUNTAGS_OLDER) return;
    for (size_t f = 0; rp->rt.run[tag] && f < rp->shape.F; f++) {
        idmap_retag(rp->field[f].ids, tag);
        rowset_retag(rp->field[f].rows, tag);
    }
    rp->rt.run[tag] = run_id;
}

static aa_status
apply_new_id(replica *rp, replica_field *fi, const aa_assignment *a, replica_effect *effect,
             aa_err *err)
{
    replica_new_id *held = atomic_load(&fi->new_id), *fresh = NULL;
    if (a) {
        if (held && is_older(a->run_id, a->version, held->a.run_id, held->a.version)) return AA_OK;
        fresh = calloc(1, sizeof *fresh);
        if (!fresh) return aa_fail(err, AA_ENOMEM, "new-ID record");
        fresh->a = *a;
    } else if (!held) {
        return AA_OK;
    }
    atomic_store(&fi->new_id, fresh);
    if (held) reclaim_retire(rp->rl, &held->node, reclaim_free_node);
    *effect = REPLICA_APPLIED;
    return AA_OK;
}

aa_status
replica_apply_assignment(replica *rp, const aa_topic_key *k, const void *value, size_t len,
                         replica_effect *effect, aa_err *err)
{
    replica_field *fi = field_of(rp, k, err);
    aa_assignment  a = {0};
    bool           applied = false;
    *effect = REPLICA_OLD;
    if (!fi) return AA_EPARSE;
    aa_status st = value ? aa_wire_unpack_assignment(&a, value, len, err) : AA_OK;
    if (st != AA_OK) return st;
    if (value) admit_run(rp, a.run_id);
    if (k->kind == AA_KEY_NEW_ID) {
        st = apply_new_id(rp, fi, value ? &a : NULL, effect, err);
        applied = *effect == REPLICA_APPLIED;
        if (applied && value && a.modulo > 0 && k->field == REPLICA_ITEM) names_show_all(rp->items);
    } else if (k->id == 0) {
        return aa_fail(err, AA_EPARSE, "assignment of ID key 0");
    } else if (value) {
        st = idmap_put(fi->ids, k->id, &a, &applied, err);
    } else {
        applied = idmap_delete(fi->ids, k->id);
    }
    if (st != AA_OK) return st;
    if (applied) *effect = REPLICA_APPLIED;
    if (applied && k->kind == AA_KEY_ASSIGNMENT && k->field == REPLICA_ITEM)
        names_show(rp->items, k->id, value != NULL);
    if (value && a.run_id > rp->assignments_run) rp->assignments_run = a.run_id;
    if (value) note_version(rp, a.run_id, a.version);
    return AA_OK;
}

/* Does the assigner hold this ID? In hash mode it holds none, and reads any. */
static bool
is_held(const replica_field *fi, uint64_t key)
{
    const replica_new_id *fresh = atomic_load(&fi->new_id);
    aa_assignment         a;
    return (fresh && fresh->a.modulo > 0) || idmap_get(fi->ids, key, &a);
}

aa_status
replica_tick(replica *rp, int64_t now_ms, aa_err *err)
{
    return names_tick(rp->items, now_ms, err);
}

aa_status
replica_apply_name(replica *rp, const aa_topic_key *k, const void *value, size_t len,
                   replica_effect *effect, aa_err *err)
{
    const void *text = NULL;
    size_t      text_len = 0;
    bool        applied = false;
    *effect = REPLICA_OLD;
    const replica_field *fi = field_of(rp, k, err);
    if (!fi) return AA_EPARSE;
    aa_status st =
        value ? aa_wire_unpack_name(&rp->name, &text, &text_len, value, len, err) : AA_OK;
    if (st != AA_OK || k->field != REPLICA_ITEM) return st; /* others are not ranked */
    if (!value) return AA_OK; /* whether an item is ranked is what its assignment says */
    if (aa_id_key(text, text_len) != k->id)
        st = aa_fail(err, AA_EPARSE, "a name of another ID key");
    else
        st = names_put(rp->items, text, text_len, is_held(fi, k->id), &applied, err);
    if (applied) *effect = REPLICA_APPLIED;
    return st;
}

aa_status
replica_apply_row(replica *rp, const aa_topic_key *k, const void *value, size_t len,
                  replica_effect *effect, aa_err *err)
{
    replica_field *fi = field_of(rp, k, err);
    aa_row_head    rh;
    bool           applied = false;
    *effect = REPLICA_OLD;
    if (!fi) return AA_EPARSE;
    if (k->id >= ROWSET_MAX_SLOTS)
        return aa_fail(err, AA_EPARSE, "slot %llu out of range", (unsigned long long)k->id);
    if (value) {
        aa_status st = aa_wire_unpack_row(&rh, rp->row, rp->W, value, len, err);
        if (st == AA_OK) admit_run(rp, rh.run_id);
        if (st == AA_OK) st = rowset_put(fi->rows, (uint32_t)k->id, &rh, rp->row, &applied, err);
        if (st != AA_OK) return st;
        if (rh.run_id > rp->model_run) rp->model_run = rh.run_id;
        note_version(rp, rh.run_id, rh.version);
    } else {
        applied = rowset_delete(fi->rows, (uint32_t)k->id);
    }
    if (applied) *effect = REPLICA_APPLIED;
    return AA_OK;
}

static aa_status
check_dense_shape(const replica *rp, const aa_dense_message *d, aa_err *err)
{
    const aa_model_shape *sh = &rp->shape;
    size_t                want = rp->kind->weight_count(sh);
    if (strcmp(d->model, rp->kind->name) != 0 || d->F != sh->F || d->K != sh->K ||
        d->hidden_count != sh->H)
        return aa_fail(err, AA_EPARSE,
                       "dense weights are of a %s with %zu fields, %zu dimensions and %zu layers, "
                       "the configured model is a %s with %zu, %zu and %zu",
                       d->model, d->F, d->K, d->hidden_count, rp->kind->name, sh->F, sh->K, sh->H);
    for (size_t h = 0; h < sh->H; h++)
        if (d->hidden[h] != sh->hidden[h])
            return aa_fail(err, AA_EPARSE, "hidden layer %zu is %zu wide, configured are %zu", h,
                           d->hidden[h], sh->hidden[h]);
    if (d->w_count != want)
        return aa_fail(err, AA_EPARSE, "%zu dense weights, expected %zu", d->w_count, want);
    return AA_OK;
}

aa_status
replica_apply_dense(replica *rp, const void *value, size_t len, replica_effect *effect, aa_err *err)
{
    replica_dense   *held = atomic_load(&rp->dense), *fresh = NULL;
    aa_dense_message d = {0};
    *effect = REPLICA_OLD;
    if (!value && !held) return AA_OK;
    aa_status st = value ? aa_wire_unpack_dense(&d, value, len, err) : AA_OK;
    if (st == AA_OK && value) st = check_dense_shape(rp, &d, err);
    if (st != AA_OK) goto out;
    if (value) {
        if (held && d.run_id < held->run_id) *effect = REPLICA_OLDER_RUN;
        if (held && is_older(d.run_id, d.version, held->run_id, held->version)) goto out;
        admit_run(rp, d.run_id);
        fresh = malloc(sizeof *fresh + d.w_count * sizeof fresh->w[0]);
        if (!fresh) {
            st = aa_fail(err, AA_ENOMEM, "%zu dense weights", d.w_count);
            goto out;
        }
        *fresh = (replica_dense){.run_id = d.run_id,
                                 .version = d.version,
                                 .events = d.events,
                                 .newest_kafka_ms = d.newest_kafka_ms,
                                 .residual_rows = d.residual_rows,
                                 .oldest_kafka_ms = d.oldest_kafka_ms,
                                 .count = d.w_count};
        if (d.w_count) memcpy(fresh->w, d.w, d.w_count * sizeof fresh->w[0]);
        if (d.run_id > rp->model_run) rp->model_run = d.run_id;
        note_version(rp, d.run_id, d.version);
    }
    atomic_store(&rp->dense, fresh);
    if (held) reclaim_retire(rp->rl, &held->node, reclaim_free_node);
    *effect = REPLICA_APPLIED;
out:
    aa_dense_message_fini(&d);
    return st;
}

aa_status
replica_apply(replica *rp, const void *key, size_t key_len, const void *value, size_t len,
              replica_effect *effect, aa_err *err)
{
    aa_topic_key k;
    *effect = REPLICA_OLD;
    aa_status st = aa_topic_key_get(&k, key, key_len, err);
    if (st != AA_OK) return st;
    reclaim_now(rp->rl);
    if (k.lane != (uint32_t)rp->cfg->pipeline.lane) {
        *effect = REPLICA_OTHER_LANE;
        return AA_OK;
    }
    switch (k.kind) {
    case AA_KEY_ASSIGNMENT:
    case AA_KEY_NEW_ID: return replica_apply_assignment(rp, &k, value, len, effect, err);
    case AA_KEY_NAME: return replica_apply_name(rp, &k, value, len, effect, err);
    case AA_KEY_ROW: return replica_apply_row(rp, &k, value, len, effect, err);
    case AA_KEY_DENSE: return replica_apply_dense(rp, value, len, effect, err);
    default: return aa_fail(err, AA_EPARSE, "key of unknown kind %u", k.kind);
    }
}

void
replica_stats_get(const replica *rp, replica_stats *out)
{
    const replica_dense *dense = atomic_load(&rp->dense);
    memset(out, 0, sizeof *out);
    for (size_t f = 0; f < rp->shape.F; f++) {
        out->assignments[f] = idmap_count(rp->field[f].ids);
        out->rows[f] = rowset_count(rp->field[f].rows);
        out->bytes += idmap_bytes(rp->field[f].ids) + rowset_bytes(rp->field[f].rows);
    }
    out->names = names_count(rp->items);
    out->seen_version = rp->seen_version;
    out->bytes += names_bytes(rp->items);
    if (!dense) return;
    out->bytes += dense->count * sizeof dense->w[0];
    out->version = dense->version;
    out->run_id = dense->run_id;
    out->events = dense->events;
    out->newest_kafka_ms = dense->newest_kafka_ms;
    out->oldest_kafka_ms = dense->oldest_kafka_ms;
}

uint64_t
replica_served_digest(const replica *rp)
{
    const replica_dense *dense = atomic_load(&rp->dense);
    const uint32_t       tag = runtags_find(&rp->rt, rp->model_run);
    uint64_t             d = 0;
    for (size_t f = 0; tag != RUNTAGS_OLDER && f < rp->shape.F; f++)
        d = rowset_digest(rp->field[f].rows, tag, (uint32_t)f, d);
    return dense ? aa_digest(d, dense->w, dense->count * sizeof dense->w[0]) : d;
}

uint64_t
replica_assignments_digest(const replica *rp)
{
    const replica_dense *dense = atomic_load(&rp->dense);
    const bool           shared = dense && dense->residual_rows;
    const uint32_t       tag = runtags_find(&rp->rt, rp->assignments_run);
    uint64_t             d = 0;
    for (size_t f = 0; f < rp->shape.F; f++) {
        uint64_t of_field = tag == RUNTAGS_OLDER ? 0 : idmap_digest(rp->field[f].ids, tag, shared);
        d = aa_digest(d, &of_field, sizeof of_field);
    }
    return d;
}

/* ---- scoring ---- */

const char *
replica_missing(const replica *rp)
{
    if (!atomic_load(&rp->dense)) return "no dense weights have arrived in the model topic yet";
    for (size_t f = 0; f < rp->shape.F; f++)
        if (!atomic_load(&rp->field[f].new_id))
            return "no new-ID record of some field has arrived in the assignments topic yet";
    return NULL;
}

aa_status
replica_reader_open(replica_reader **out, replica *rp, aa_err *err)
{
    size_t          F = rp->shape.F, W = rp->W;
    replica_reader *rr = calloc(1, sizeof *rr);
    if (!rr) return aa_fail(err, AA_ENOMEM, "replica reader");
    rr->rp = rp;
    rr->place = reclaim_join(rp->rl);
    if (rr->place < 0) {
        free(rr);
        return aa_fail(err, AA_EFULL, "more than %d readers of one replica", RECLAIM_READERS);
    }
    rr->fixed = calloc(F * W, sizeof *rr->fixed);
    rr->x = calloc(BLOCK_ITEMS * F * W, sizeof *rr->x);
    rr->fixed_signal = calloc(rp->shape.S + 1, sizeof *rr->fixed_signal);
    rr->signal = calloc(BLOCK_ITEMS * rp->shape.S + 1, sizeof *rr->signal);
    rr->second = calloc(W, sizeof *rr->second);
    rr->own = calloc(W, sizeof *rr->own);
    rr->logit = calloc(BLOCK_ITEMS, sizeof *rr->logit);
    rr->scratch = calloc(rp->kind->scratch_count(&rp->shape, BLOCK_ITEMS) + 1, sizeof *rr->scratch);
    if (!rr->fixed || !rr->x || !rr->fixed_signal || !rr->signal || !rr->second || !rr->own ||
        !rr->logit || !rr->scratch) {
        replica_reader_close(&rr);
        return aa_fail(err, AA_ENOMEM, "replica reader");
    }
    *out = rr;
    return AA_OK;
}

void
replica_reader_close(replica_reader **rr_p)
{
    replica_reader *rr = *rr_p;
    if (!rr) return;
    reclaim_leave(rr->rp->rl, rr->place);
    free(rr->fixed);
    free(rr->x);
    free(rr->fixed_signal);
    free(rr->signal);
    free(rr->second);
    free(rr->own);
    free(rr->logit);
    free(rr->scratch);
    free(rr);
    *rr_p = NULL;
}

void
replica_pin(replica_reader *rr)
{
    AA_REQUIRE(!rr->pinned);
    reclaim_enter(rr->rp->rl, rr->place);
    rr->pinned = true;
    rr->dense = atomic_load(&rr->rp->dense);
}

void
replica_unpin(replica_reader *rr)
{
    AA_REQUIRE(rr->pinned);
    rr->pinned = false;
    reclaim_exit(rr->rp->rl, rr->place);
}

const names_list *
replica_items(const replica_reader *rr)
{
    AA_REQUIRE(rr->pinned);
    return names_now(rr->rp->items);
}

/* Is this row the one that the assignment speaks of? Runs are tags; borns are modulo 2^32. */
static bool
owns(const aa_assignment *a, const aa_row_head *rh)
{
    if (rh->run_id != a->run_id || a->run_id == RUNTAGS_OLDER) return false;
    return rh->born ? rh->born == a->born
                    : (int32_t)((uint32_t)rh->version - (uint32_t)a->born) >= 0;
}

/* One row, or zeros. Returns its version, 0 if there is none. */
static uint64_t
read_row(const replica_reader *rr, const rowset *rows, uint32_t slot, float *w,
         replica_answer *answer)
{
    aa_row_head rh;
    if (slot != AA_NO_SLOT) {
        if (rowset_get(rows, slot, &rh, w)) return rh.version;
        answer->rows_missing++;
    }
    memset(w, 0, rr->rp->W * sizeof *w);
    return 0;
}

/* x (W) = (1-mix)*row[slot] + mix*row[slot+1], as the learner reads it. */
static void
read_mixed(const replica_reader *rr, const rowset *rows, aa_score_reading *rd, float *x,
           replica_answer *answer)
{
    rd->version = read_row(rr, rows, rd->slot, x, answer);
    if (!(rd->mix > 0) || rd->slot == AA_NO_SLOT) return;
    uint64_t second_version = read_row(rr, rows, rd->slot + 1, rr->second, answer);
    if (second_version > rd->version) rd->version = second_version;
    float mix = rd->mix;
    for (size_t k = 0; k < rr->rp->W; k++)
        x[k] = (1 - mix) * x[k] + mix * rr->second[k];
}

/* The reading of an ID with a row of its own: x (W) is written, as the learner reads it. */
static void
read_own(const replica_reader *rr, const rowset *rows, const aa_assignment *a, bool residual,
         aa_score_reading *rd, float *x, replica_answer *answer)
{
    aa_row_head rh;
    float      *own = residual ? rr->own : x;
    rd->unique = rowset_get(rows, a->slot, &rh, own) && owns(a, &rh);
    if (!rd->unique) answer->fallbacks++;
    rd->slot = a->alt_slot;
    rd->mix = a->alt_mix;
    if (!rd->unique || residual) read_mixed(rr, rows, rd, x, answer);
    if (!rd->unique) return;
    for (size_t i = 0; residual && i < rr->rp->W; i++)
        x[i] += own[i];
    rd->slot = a->slot;
    rd->mix = a->mix;
    rd->version = residual && rd->version > rh.version ? rd->version : rh.version;
}

/* An ID that was never seen reads as the field's "new ID" record says. @pre inside the reclaim */
static void
find_reading(const replica_field *fi, uint64_t key, replica_found *fd, replica_answer *answer)
{
    fd->a = (aa_assignment){.slot = AA_NO_SLOT, .alt_slot = AA_NO_SLOT};
    fd->known = idmap_get(fi->ids, key, &fd->a);
    if (fd->known) return;
    const replica_new_id *fresh = atomic_load(&fi->new_id);
    answer->unknown++;
    if (fresh) fd->a = fresh->a;
    if (fd->a.modulo) fd->a.slot = (uint32_t)(key % fd->a.modulo);
}

/* The reading of one ID: x (W) is written. @pre inside the reclaim */
static void
gather_reading(const replica_reader *rr, const replica_dense *dense, size_t f,
               const replica_found *fd, float *x, aa_score_reading *rd, replica_answer *answer)
{
    const replica_field *fi = &rr->rp->field[f];
    const aa_assignment *a = &fd->a;
    rd->known = fd->known;
    rd->unique = false;
    rd->position = a->position;
    rd->slot = a->slot;
    rd->mix = a->mix;
    if (fd->known && a->born > 0)
        read_own(rr, fi->rows, a, dense->residual_rows, rd, x, answer);
    else
        read_mixed(rr, fi->rows, rd, x, answer);
}

/* Signals of one ID of field f, into those of an event, s (S). */
static void
gather_signal(const replica_reader *rr, size_t f, const replica_found *fd, float *s)
{
    if (rr->rp->shape.S > 0) aa_signal_read(fd->a.signal, s + f * AA_SIGNALS);
}

/* The same from the key; s: NULL if not wanted. */
static void
find_and_gather_reading(const replica_reader *rr, const replica_dense *dense, size_t f,
                        uint64_t key, float *x, float *s, aa_score_reading *rd,
                        replica_answer *answer)
{
    replica_found fd;
    find_reading(&rr->rp->field[f], key, &fd, answer);
    gather_reading(rr, dense, f, &fd, x, rd, answer);
    if (s) gather_signal(rr, f, &fd, s);
}

/* Where n <= LOOKUP_ITEMS items stand, into found; their rows are on the way from memory. */
static void
look_up(replica_reader *rr, const uint64_t *item, size_t n, replica_answer *answer)
{
    const replica_field *fi = &rr->rp->field[REPLICA_ITEM];
    for (size_t i = 0; i < n; i++)
        idmap_prefetch(fi->ids, item[i]);
    for (size_t i = 0; i < n; i++)
        idmap_prefetch_bin(fi->ids, item[i]);
    for (size_t i = 0; i < n; i++) {
        find_reading(fi, item[i], &rr->found[i], answer);
        if (rr->found[i].a.slot != AA_NO_SLOT) rowset_prefetch(fi->rows, rr->found[i].a.slot);
    }
}

/* One block of B items: rows into x (B,F,W), then the model. */
static void
score_block(replica_reader *rr, const replica_dense *dense, const replica_found *found, size_t B,
            float *score, aa_score_reading *reading, replica_answer *answer)
{
    const replica *rp = rr->rp;
    size_t         F = rp->shape.F, W = rp->W, S = rp->shape.S;
    for (size_t b = 0; b < B; b++) {
        aa_score_reading rd;
        float           *x = rr->x + b * F * W, *s = rr->signal + b * S;
        memcpy(x, rr->fixed, F * W * sizeof *x);
        memcpy(s, rr->fixed_signal, S * sizeof *s);
        gather_signal(rr, REPLICA_ITEM, &found[b], s);
        gather_reading(rr, dense, REPLICA_ITEM, &found[b], x + REPLICA_ITEM * W,
                       reading ? &reading[b] : &rd, answer);
    }
    rp->kind->forward(&rp->shape, dense->w, rr->x, rr->signal, B, rr->logit, rr->scratch);
    for (size_t b = 0; b < B; b++)
        score[b] = aa_sigmoid(rr->logit[b]);
}

aa_status
replica_score(replica_reader *rr, const uint64_t *key, const uint64_t *item, size_t n, float *score,
              aa_score_reading *reading, replica_answer *answer, aa_err *err)
{
    replica  *rp = rr->rp;
    aa_status st = AA_OK;
    size_t    F = rp->shape.F, W = rp->W;
    *answer = (replica_answer){0};
    const bool pinned = rr->pinned;
    if (!pinned) replica_pin(rr);
    const replica_dense *dense = rr->dense;
    if (!dense) {
        st = aa_fail(err, AA_EAGAIN, "no dense weights yet");
        goto out;
    }
    answer->version = dense->version;
    answer->newest_kafka_ms = dense->newest_kafka_ms;
    for (size_t f = 0; f < F; f++) {
        aa_score_reading rd, *into = &rd;
        if (f == REPLICA_ITEM) continue;
        if (reading) into = f == REPLICA_USER ? &reading[0] : &reading[n + f - 1];
        find_and_gather_reading(rr, dense, f, key[f], rr->fixed + f * W, rr->fixed_signal, into,
                                answer);
    }
    for (size_t i = 0; i < n; i += BLOCK_ITEMS) {
        size_t left = n - i, at = i % LOOKUP_ITEMS;
        if (at == 0) look_up(rr, item + i, left < LOOKUP_ITEMS ? left : LOOKUP_ITEMS, answer);
        score_block(rr, dense, rr->found + at, left < BLOCK_ITEMS ? left : BLOCK_ITEMS, score + i,
                    reading ? reading + 1 + i : NULL, answer);
    }
out:
    if (!pinned) replica_unpin(rr);
    return st;
}

/* ---- the table as a whole ---- */

bool
replica_read_id(replica_reader *rr, size_t f, uint64_t key, float *x, aa_assignment *a,
                aa_score_reading *rd)
{
    replica_answer answer = {0};
    *a = (aa_assignment){.slot = AA_NO_SLOT, .alt_slot = AA_NO_SLOT};
    const bool pinned = rr->pinned;
    if (!pinned) replica_pin(rr);
    bool known = rr->dense && idmap_get(rr->rp->field[f].ids, key, a);
    if (known) find_and_gather_reading(rr, rr->dense, f, key, x, NULL, rd, &answer);
    if (!pinned) replica_unpin(rr);
    return known;
}

bool
replica_read_unseen(replica_reader *rr, size_t f, float *x)
{
    replica_answer   answer = {0};
    aa_score_reading rd;
    const bool       pinned = rr->pinned;
    if (!pinned) replica_pin(rr);
    const replica_new_id *fresh = atomic_load(&rr->rp->field[f].new_id);
    const bool            one = rr->dense && fresh && fresh->a.modulo == 0;
    if (one) {
        const replica_found fd = {.a = fresh->a};
        gather_reading(rr, rr->dense, f, &fd, x, &rd, &answer);
    }
    if (!pinned) replica_unpin(rr);
    return one;
}

bool
replica_read_row(replica_reader *rr, size_t f, uint32_t slot, float *w)
{
    aa_row_head rh;
    const bool  pinned = rr->pinned;
    if (!pinned) replica_pin(rr);
    bool there = rowset_get(rr->rp->field[f].rows, slot, &rh, w);
    if (!pinned) replica_unpin(rr);
    return there;
}

const float *
replica_dense_weights(const replica *rp, size_t *count)
{
    const replica_dense *dense = atomic_load(&rp->dense);
    *count = dense ? dense->count : 0;
    return dense ? dense->w : NULL;
}
