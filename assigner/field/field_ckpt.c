/* assigner/field/field, second part: counts, digest, checkpoint. A restored field is checked as a
 * whole: IDs, rows and positions must agree with each other before anything is assigned. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/field/field.h"
#include "assigner/field/gap.h"
#include "assigner/sections.h"
#include "common/base/hash.h"

static_assert(sizeof(field_state) ==
                  8 * (12 + AA_FREQ_BUCKETS * AA_ACTIONS) + 2 * 4 + sizeof(victims),
              "saved as it stands: no gaps");

void
field_stats(const field *fd, assigner_stats *out)
{
    const field_state *fs = &fd->fs;
    *out = (assigner_stats){.ids_seen = fs->ids_seen,
                            .ids = fd->tbl.count,
                            .rows_shared = fd->sl.base,
                            .rows_unique = fd->sl.used,
                            .rows_unique_peak = fd->sl.peak,
                            .promotions = fs->promotions,
                            .demotions = fs->demotions,
                            .swept = fs->swept,
                            .visits = fs->visits,
                            .own_reads = fs->own_reads,
                            .forgotten = fs->forgotten,
                            .ids_bytes = idtable_bytes(&fd->tbl),
                            .slots_bytes = slots_bytes(&fd->sl),
                            .publish_bytes = publish_bytes(&fd->pb),
                            .unannounced = fd->pb.unannounced,
                            .agent_bytes =
                                fd->mode->actor == AA_ACTOR_NETWORK ? actor_bytes(&fd->ac) : 0};
    out->table_bytes = out->ids_bytes + out->slots_bytes + out->publish_bytes;
    for (size_t b = 0; b < AA_FREQ_BUCKETS; b++)
        for (size_t a = 0; a < AA_ACTIONS; a++)
            out->actions[a] += fs->actions[b][a];
    memcpy(out->ids_at, fd->ids_at, sizeof out->ids_at);
}

/* The actor's probability of leaving the ID's state if its next event were now: up to a row, or off
 * it. Where rows have a price they are given back by comparison, not by chance. */
static double
leave_probability(const field *fd, const id_entry *e, uint32_t bucket, uint64_t now)
{
    const bool row = policy_holds_row(e);
    if (fd->env.pr) {
        const float ask = price_ask(fd->env.pr, fd->env.f);
        if (row)
            return (double)(field_index(fd, e->slot, now) < (float)price_of(fd->env.pr, fd->env.f));
        return ask > 0.0f
                   ? (double)row_actor_chance(fminf(
                         row_actor_index(&fd->ra, bucket, gap_with(e, now + 1)) / ask, 100.0f))
                   : 1.0;
    }
    const uint32_t state = aa_state_idx(bucket, e->position, fd->env.k);
    return (double)fd->ac.pi[(size_t)state * AA_ACTIONS + (row ? AA_DESCEND : AA_ASCEND)];
}

void
field_buckets(const field *fd, uint64_t now, assigner_bucket *out)
{
    const bool learns = fd->mode->actor == AA_ACTOR_NETWORK || fd->env.pr;
    double     sum[AA_FREQ_BUCKETS][2] = {{0.0}}, ids[AA_FREQ_BUCKETS][2] = {{0.0}};
    for (size_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        out[b] = (assigner_bucket){0};
        memcpy(out[b].actions, fd->fs.actions[b], sizeof out[b].actions);
    }
    idtable_walk wk;
    for (bool there = idtable_walk_from(&fd->tbl, 0, &wk); there;
         there = idtable_walk_on(&fd->tbl, &wk)) {
        id_entry e;
        idtable_get(&fd->tbl, wk.hash, wk.place, now, &e);
        const uint32_t b = aa_freq_bucket(policy_frequency(fd->env.cfg, &e, now));
        const bool     row = policy_holds_row(&e);
        out[b].ids_at[e.position]++;
        ids[b][row] += 1.0;
        if (learns) sum[b][row] += leave_probability(fd, &e, b, now);
    }
    for (size_t b = 0; b < AA_FREQ_BUCKETS; b++) { /* 0/0: NaN */
        out[b].ascend = learns ? sum[b][0] / ids[b][0] : (double)NAN;
        out[b].descend = learns ? sum[b][1] / ids[b][1] : (double)NAN;
    }
}

uint64_t
field_digest(const field *fd, uint64_t d, uint64_t first, uint64_t last)
{
    d = aa_digest(d, &fd->fs, sizeof fd->fs);
    d = idtable_digest(&fd->tbl, d);
    d = slots_digest(&fd->sl, d);
    if (fd->env.pr) d = row_actor_digest(&fd->ra, d);
    return fd->mode->actor == AA_ACTOR_NETWORK ? actor_digest(&fd->ac, d, first, last) : d;
}

static void
prefix_of(const field *fd, char out[AA_CKPT_NAME_BYTES])
{
    int n = snprintf(out, AA_CKPT_NAME_BYTES, "field.%u", fd->env.f);
    AA_REQUIRE(n > 0 && n < AA_CKPT_NAME_BYTES);
}

aa_status
field_save(const field *fd, uint64_t first, uint64_t last, aa_ckpt_writer *w, aa_err *err)
{
    char prefix[AA_CKPT_NAME_BYTES];
    prefix_of(fd, prefix);
    aa_status st = sections_put(w, prefix, "state", &fd->fs, sizeof fd->fs, err);
    if (st == AA_OK) st = idtable_save(&fd->tbl, prefix, w, err);
    if (st == AA_OK) st = slots_save(&fd->sl, prefix, w, err);
    if (st == AA_OK && fd->mode->actor == AA_ACTOR_NETWORK)
        st = actor_save(&fd->ac, prefix, first, last, w, err);
    if (st == AA_OK && fd->env.pr) st = row_actor_save(&fd->ra, prefix, w, err);
    return st;
}

static bool
number_ok(float x)
{
    return isfinite(x) && x >= 0.0f;
}

static aa_status
check_id(const field *fd, const field_id *id, uint64_t last, uint64_t events, aa_err *err)
{
    const id_entry *e = &id->e;
    const bool      row = policy_holds_row(e);
    if (row ? slots_at(&fd->sl, e->slot)->tag != field_tag(id) || e->born == 0 || e->born >= last
            : e->position > fd->env.top)
        return aa_fail(err, AA_EPARSE, "field %u, ID %016llx: position %u does not go with slot %u",
                       fd->env.f, (unsigned long long)e->key, e->position, e->slot);
    if (e->last == 0 || e->last > events || e->seen == 0)
        return aa_fail(err, AA_EPARSE, "field %u, ID %016llx: a number is out of range", fd->env.f,
                       (unsigned long long)e->key);
    return AA_OK;
}

/* Each row is held by one ID; taken: a bit for each. */
static aa_status
check_holders(field *fd, uint64_t last, uint64_t events, uint64_t *taken, aa_err *err)
{
    size_t       rows = 0;
    idtable_walk wk;
    for (bool there = idtable_walk_from(&fd->tbl, 0, &wk); there;
         there = idtable_walk_on(&fd->tbl, &wk)) {
        const id_packed p = idpack_load(idtable_at(&fd->tbl, wk.place));
        if (idpack_holds(&p) && !slots_held(&fd->sl, idpack_slot(&p)))
            return aa_fail(err, AA_EPARSE, "field %u: nobody holds row %u", fd->env.f,
                           idpack_slot(&p));
        field_id id = {.hash = wk.hash, .place = wk.place};
        idtable_get(&fd->tbl, wk.hash, wk.place, events, &id.e);
        aa_status st = check_id(fd, &id, last, events, err);
        if (st != AA_OK) return st;
        fd->ids_at[id.e.position]++;
        if (!policy_holds_row(&id.e)) continue;
        const uint32_t i = id.e.slot - fd->sl.base;
        rows += !(taken[i / 64] >> i % 64 & 1);
        taken[i / 64] |= UINT64_C(1) << i % 64;
    }
    /* under hash no ID holds a row: all rows are the mode's own */
    if (fd->rows > 0) rows = rows > 0 ? SIZE_MAX : events > 0 ? fd->rows : 0;
    size_t holders = fd->rows > 0 ? rows : (size_t)fd->ids_at[fd->env.k + 1];
    if (rows != fd->sl.used || holders != rows)
        return aa_fail(err, AA_EPARSE, "field %u: %zu rows held, by %zu IDs", fd->env.f,
                       fd->sl.used, holders);
    return AA_OK;
}

static aa_status
check_ids(field *fd, uint64_t last, uint64_t events, aa_err *err)
{
    uint64_t *taken = calloc(fd->sl.end / 64 + 1, sizeof *taken);
    if (!taken) return aa_fail(err, AA_ENOMEM, "%zu rows", fd->sl.end);
    aa_status st = check_holders(fd, last, events, taken, err);
    free(taken);
    return st;
}

static aa_status
check_state(const field *fd, aa_err *err)
{
    const victims *vi = &fd->fs.vi;
    bool ok = vi->count <= VICTIMS_POOL && isfinite(fd->fs.gap_sum) && fd->fs.gap_sum >= 0.0;
    ok = ok && fd->fs.ids_peak >= fd->tbl.count;
    for (uint32_t i = 0; ok && i < VICTIMS_POOL; i++)
        ok = number_ok(vi->worth[i]);
    return ok ? AA_OK : aa_fail(err, AA_EPARSE, "field %u: state out of range", fd->env.f);
}

aa_status
field_restore(field *fd, uint64_t first, uint64_t last, uint64_t events, aa_ckpt_reader *r,
              aa_err *err)
{
    char prefix[AA_CKPT_NAME_BYTES];
    prefix_of(fd, prefix);
    aa_status st = sections_copy(r, prefix, "state", &fd->fs, sizeof fd->fs, err);
    if (st == AA_OK) st = idtable_restore(&fd->tbl, prefix, r, err);
    if (st == AA_OK) st = slots_restore(&fd->sl, prefix, r, err);
    if (st == AA_OK && fd->mode->actor == AA_ACTOR_NETWORK)
        st = actor_restore(&fd->ac, prefix, first, last, r, err);
    if (st == AA_OK && fd->env.pr) st = row_actor_restore(&fd->ra, prefix, r, err);
    if (st == AA_OK) st = check_state(fd, err);
    if (st == AA_OK) st = check_ids(fd, last, events, err);
    if (st == AA_OK) publish_all(&fd->pb);
    return st;
}
