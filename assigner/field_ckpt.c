/* assigner/field, second part: counts, digest, checkpoint. A restored field is checked as a whole:
 * IDs, rows and positions must agree with each other before anything is assigned from them. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "assigner/field.h"
#include "assigner/sections.h"
#include "common/hash.h"

static_assert(sizeof(field_state) == 8 * 9 + 4 * 4 + sizeof(victims),
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
                            .forgotten = fs->forgotten,
                            .table_bytes = idtable_bytes(&fd->tbl) + slots_bytes(&fd->sl) +
                                           publish_bytes(&fd->pb),
                            .agent_bytes = fd->pk->use_actor ? actor_bytes(&fd->ac) : 0};
    memcpy(out->actions, fs->actions, sizeof out->actions);
    memcpy(out->ids_at, fd->ids_at, sizeof out->ids_at);
}

uint64_t
field_digest(const field *fd, uint64_t d, uint64_t first, uint64_t last)
{
    d = aa_digest(d, &fd->fs, sizeof fd->fs);
    d = idtable_digest(&fd->tbl, d);
    d = slots_digest(&fd->sl, d);
    return fd->pk->use_actor ? actor_digest(&fd->ac, d, first, last) : d;
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
    if (st == AA_OK && fd->pk->use_actor) st = actor_save(&fd->ac, prefix, first, last, w, err);
    return st;
}

static bool
number_ok(float x)
{
    return isfinite(x) && x >= 0.0f;
}

static aa_status
check_id(const field *fd, uint32_t handle, uint64_t events, aa_err *err)
{
    const id_entry *e = idtable_at(&fd->tbl, handle);
    bool            row = policy_holds_row(e);
    bool            position_ok =
        row ? e->position == fd->env.k + 1 : e->position >= 1 && e->position <= fd->env.top;
    if (!position_ok || (row && slots_holder(&fd->sl, e->slot) != handle))
        return aa_fail(err, AA_EPARSE, "field %u, ID %u: position %u does not go with slot %u",
                       fd->env.f, handle, e->position, e->slot);
    if (!number_ok(e->frequency) || !number_ok(e->gap) || !isfinite(e->lean_sum) || e->last == 0 ||
        e->last > events || e->seen == 0)
        return aa_fail(err, AA_EPARSE, "field %u, ID %u: a number is out of range", fd->env.f,
                       handle);
    return AA_OK;
}

/* Holders and IDs name each other. Under hash no ID holds a row: all rows are the mode's own. */
static aa_status
check_ids(field *fd, uint64_t events, aa_err *err)
{
    size_t rows = 0;
    for (uint32_t h = 0; h < fd->tbl.end; h++) {
        const id_entry *e = idtable_at(&fd->tbl, h);
        if (e->key == 0) continue;
        aa_status st = check_id(fd, h, events, err);
        if (st != AA_OK) return st;
        fd->ids_at[e->position]++;
        rows += policy_holds_row(e);
    }
    if (fd->rows > 0) rows = rows > 0 ? SIZE_MAX : events > 0 ? fd->rows : 0;
    if (rows != fd->sl.used)
        return aa_fail(err, AA_EPARSE, "field %u: %zu rows held, by %zu IDs", fd->env.f,
                       fd->sl.used, rows);
    return AA_OK;
}

static aa_status
check_state(const field *fd, uint64_t last, aa_err *err)
{
    const victims *vi = &fd->fs.vi;
    bool           ok = vi->count <= VICTIMS_POOL;
    for (uint32_t i = 0; ok && i < VICTIMS_POOL; i++)
        ok = number_ok(vi->worth[i]);
    for (size_t i = 0; ok && i < fd->sl.end; i++)
        ok = fd->sl.born[i] < last;
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
    if (st == AA_OK && fd->pk->use_actor) st = actor_restore(&fd->ac, prefix, first, last, r, err);
    if (st == AA_OK) st = check_state(fd, last, err);
    if (st == AA_OK) st = check_ids(fd, events, err);
    if (st == AA_OK) publish_all(&fd->pb);
    return st;
}
