#include "assigner/policy/price_round.h"

#include <math.h>

#define VISITS_PER_EVENT 8u
#define STEP_VISITS      16384u             /* holders that one step looks at */
#define STEP_SCANS       (4u * STEP_VISITS) /* ... indices, when rows are given back */
#define RELEASE_SCANS    16u                /* what giving one back counts for */

/* Index of the holder of unique row i, INFINITY: nobody. */
static float
index_at(const field *fd, uint32_t i, uint64_t now)
{
    const uint32_t slot = fd->sl.base + i;
    return slots_held(&fd->sl, slot) ? field_index(fd, slot, now) : INFINITY;
}

/* Looks at the next holders; *done: that was the last of them. */
static aa_status
count_holders(price *pr, field *fields, uint64_t now, bool *done, aa_err *err)
{
    price_state *ps = &pr->ps;
    aa_status    st = AA_OK;
    uint32_t     visits = STEP_VISITS;
    *done = false;
    while (st == AA_OK && visits > 0) {
        field *fd = &fields[ps->f];
        if (ps->at < fd->sl.end) {
            st = price_count(pr, ps->f, index_at(fd, ps->at, now), err);
            ps->at++;
            fd->fs.visits++;
            visits--;
            continue;
        }
        *done = ps->f + 1 == pr->F;
        if (*done) break;
        ps->f++;
        ps->at = 0;
    }
    return st;
}

/* Whoever was below the price when counted, and still is, gives the row back. *done: likewise. */
static aa_status
release_rows(price *pr, field *fields, field_step *sp, bool *done, aa_err *err)
{
    price_state *ps = &pr->ps;
    aa_status    st = AA_OK;
    uint32_t     scans = STEP_SCANS;
    *done = false;
    while (st == AA_OK && scans > 0) {
        field      *fd = &fields[ps->f];
        const float cut = ps->cut[ps->f];
        if (ps->at >= ps->counted[ps->f]) {
            *done = ps->f + 1 == pr->F;
            if (*done) break;
            ps->f++;
            ps->at = 0;
            continue;
        }
        const uint32_t i = ps->at++;
        scans--;
        if (!(pr->index[ps->f][i] < cut) || !(index_at(fd, i, sp->now) < cut)) continue;
        st = field_release(fd, sp, fd->sl.base + i, err);
        scans -= scans < RELEASE_SCANS ? scans : RELEASE_SCANS;
    }
    return st;
}

static void
end_round(price *pr, uint64_t now)
{
    price_state   *ps = &pr->ps;
    const uint64_t every = (uint64_t)pr->cfg->agent.sweep_every;
    const uint64_t least = pr->held / VISITS_PER_EVENT;
    ps->next_step = ps->round_from + (least > every ? least : every);
    if (ps->next_step < now + every) ps->next_step = now + every;
    ps->phase = PRICE_IDLE;
    ps->f = ps->at = 0;
    for (size_t f = 0; f < pr->F; f++)
        ps->counted[f] = 0;
}

void
price_round_bind(price *pr, const field *fields)
{
    for (uint32_t f = 0; f < pr->F; f++) {
        const uint64_t rows = field_rows_bound(&fields[f]);
        if (rows > 0) price_bind(pr, f, rows);
    }
}

aa_status
price_round_step(price *pr, field *fields, field_step *sp, aa_err *err)
{
    price_state *ps = &pr->ps;
    aa_status    st = AA_OK;
    bool         done = true;
    if (sp->now < ps->next_step) return AA_OK;
    ps->next_step = sp->now + STEP_VISITS / VISITS_PER_EVENT;
    if (ps->phase == PRICE_IDLE) price_begin(pr, sp->now);
    if (ps->phase == PRICE_COUNT) {
        st = count_holders(pr, fields, sp->now, &done, err);
        if (st == AA_OK && done) {
            price_round_bind(pr, fields);
            price_clear(pr);
        }
    }
    if (st == AA_OK && ps->phase == PRICE_RELEASE) {
        st = release_rows(pr, fields, sp, &done, err);
        if (st == AA_OK && done) end_round(pr, sp->now);
    }
    return st;
}
