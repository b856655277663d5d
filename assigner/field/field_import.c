/* assigner/field/field, third part: IDs that come from outside (the tool `import`), before the
 * first event. An imported ID looks like one that has been seen as often as its place on the ladder
 * takes, with the lean that leads to its reading. */
#include "assigner/field/fastlean.h"
#include "assigner/field/field.h"
#include "assigner/field/lean.h"

#define SEEN_MAX (1u << 20)

/* Least number of events after which an ID stands at this position or above it. */
static uint32_t
seen_for(const field *fd, uint32_t position)
{
    uint32_t seen = 1;
    if (!fd->mode->ladder) return seen;
    while (seen < SEEN_MAX && policy_ladder(&fd->env, seen) < position)
        seen++;
    return seen;
}

/* The lean whose place this is: see lean_place. At an end it is somewhat more than that, or rounding
 * would take the ID off the end. */
static float
lean_of_place(float place, uint32_t p)
{
    const float top = (float)(p - 1), lean = (place - 0.5f * top) / (float)p;
    const float more = 1.0f / IDPACK_LEAN_ONE;
    return place <= 0.0f ? lean - more : place >= top ? lean + more : lean;
}

/* The lean whose place this is: see lean_place. All that are beyond the outer bins have the same
 * place: of these the signal knows more. */
static float
imported_lean(const field *fd, const aa_import_id *id)
{
    const float top = (float)(fd->p - 1);
    float       known[AA_SIGNALS];
    aa_signal_read(id->signal, known);
    const bool within = id->place > 0.0f && id->place < top;
    if (fd->p == 1 || id->place < 0.0f || (!within && lean_place(known[0], fd->p) == id->place))
        return known[0];
    return lean_of_place(id->place, fd->p);
}

aa_status
field_import(field *fd, const aa_import_id *id, uint64_t seq, uint64_t now, aa_assignment *out,
             aa_err *err)
{
    uint32_t position = id->position;
    if (fd->rows > 0)
        return aa_fail(err, AA_ECONFIG, "agent.mode hash: rows are the keys', nothing to import");
    if (id->key == 0 || position < 1 || !(id->place < (float)fd->p + 1.0f))
        return aa_fail(err, AA_EPARSE, "field %u: position %u, place %g", fd->env.f, position,
                       (double)id->place);
    if (id->signal > AA_SIGNAL_CODE)
        return aa_fail(err, AA_EPARSE, "field %u: signal %u", fd->env.f, id->signal);
    field_id at = {.hash = idtable_hash(id->key)};
    if (idtable_find(&fd->tbl, at.hash) != IDTABLE_NONE)
        return aa_fail(err, AA_EPARSE, "field %u: an ID comes twice", fd->env.f);
    if (position > fd->env.top) position = fd->env.top > 0 ? fd->env.top : 1;
    if (!field_id_fits(fd))
        return aa_fail(err, AA_ECONFIG, "agent.budget_bytes: no room for more IDs of field %u",
                       fd->env.f);
    aa_status st = field_insert(fd, now, &at, err);
    if (st != AA_OK) return st;
    id_entry *e = &at.e;
    e->seen = seen_for(fd, position);
    e->frequency = (float)e->seen;
    e->last = now;
    e->position = (uint8_t)position;
    e->lean = imported_lean(fd, id);
    if (fd->signals) fastlean_import(e, id->signal);
    if (fd->env.pr && e->seen > 1) price_returned(fd->env.pr, 1);
    if (id->own && !slots_full(&fd->sl) && field_row_fits(fd)) {
        st = slots_take(&fd->sl, field_tag(&at), &e->slot, err);
        if (st != AA_OK) return st;
        e->born = seq;
        if (fd->env.pr) price_took(fd->env.pr, fd->env.f); /* too many: the next round of prices */
        e->position = (uint8_t)(fd->env.k + 1);
    }
    fd->ids_at[1]--; /* where it was inserted */
    fd->ids_at[e->position]++;
    field_store(fd, &at, IDPACK_NEAREST);
    field_load(fd, now, &at); /* as it is kept */
    field_reading(fd, e, out);
    return AA_OK;
}
