#include "assigner/field/publish.h"

#include <stdlib.h>
#include <string.h>

#include "common/messages/batch.h"

#define CODE_UNIT  256.0f
#define CELL_CODES 26 /* 0.1 */
/* A longer queue is no gain over a walk, and memory. */
#define QUEUE_MOST 16384u

void
publish_init(publish *pb, bool enabled)
{
    *pb = (publish){.enabled = enabled};
}

void
publish_fini(publish *pb)
{
    free(pb->queue);
    free(pb->gone);
    *pb = (publish){0};
}

publish_reading
publish_reads(uint32_t slot, float mix, bool row, uint32_t signal)
{
    publish_reading pr = {.code = PUBLISH_NONE, .row = row, .signal = (uint16_t)signal};
    if (slot == AA_NO_SLOT) return pr;
    const float code = ((float)slot + mix) * CODE_UNIT + 1.0f;
    pr.code = code < (float)(UINT16_MAX - 1) ? (uint16_t)code : UINT16_MAX - 1;
    return pr;
}

/* After the walk that is under way, or now. Who is inexact includes who is queued. */
static void
walk_for(publish *pb, publish_whom whom)
{
    if (pb->walking) {
        if (pb->walking_next < whom) pb->walking_next = whom;
        return;
    }
    pb->walking = whom;
    pb->walk = 0;
}

static aa_status
push(publish *pb, uint64_t hash, aa_err *err)
{
    if (pb->tail == pb->cap && pb->head > pb->cap / 2) { /* slide down what is left */
        memmove(pb->queue, pb->queue + pb->head, (pb->tail - pb->head) * sizeof *pb->queue);
        pb->tail -= pb->head;
        pb->head = 0;
    }
    if (pb->tail == QUEUE_MOST) {
        walk_for(pb, PUBLISH_THE_QUEUED);
        return AA_OK;
    }
    if (pb->tail == pb->cap) {
        size_t    cap = pb->cap == 0 ? 1024 : pb->cap * 2;
        uint64_t *queue = realloc(pb->queue, cap * sizeof *queue);
        if (!queue) return aa_fail(err, AA_ENOMEM, "%zu assignments to publish", cap);
        pb->queue = queue;
        pb->cap = cap;
    }
    pb->queue[pb->tail++] = hash;
    return AA_OK;
}

static int
cell_of(uint16_t code, bool second)
{
    return (code + (second ? CELL_CODES / 2 : 0)) / CELL_CODES;
}

/* Steps of what scorers are told of a change within: two codes of the fast leans, four of the lean's
 * 63. Cells of the same width lie about 0. */
static uint32_t
coarse_signal(uint32_t signal)
{
    const uint32_t lean = ((signal & 63) + 34) >> 2 & 15,
                   recent = ((signal >> 6 & 31) + 17) >> 1 & 15;
    return lean | recent << 4 | (((signal >> 11) + 17) >> 1 & 15) << 8;
}

static bool
is_far(const publish *pb, const id_entry *e, publish_reading was, publish_reading is)
{
    if (coarse_signal(is.signal) != coarse_signal(was.signal)) return true;
    if (e->flags >= PUBLISH_TOLD) {
        const bool grid = e->flags & PUBLISH_GRID;
        return is.row != was.row || cell_of(is.code, grid) != cell_of(was.code, grid);
    }
    const int moved = is.code - pb->unseen.code;
    return is.row || pb->tell_new || pb->named || abs(moved) >= CELL_CODES / 2;
}

aa_status
publish_note(publish *pb, id_entry *e, publish_reading was, publish_reading is, aa_err *err)
{
    if (!is_far(pb, e, was, is)) {
        if (is.code != PUBLISH_NONE || is.signal != was.signal) e->flags |= PUBLISH_INEXACT;
        return AA_OK;
    }
    e->flags = e->flags >= PUBLISH_TOLD ? PUBLISH_TOLD_QUEUED : PUBLISH_NEW_QUEUED;
    return push(pb, idtable_hash(e->key), err);
}

aa_status
publish_forget(publish *pb, const id_entry *e, aa_err *err)
{
    if (!pb->enabled || (e->flags < PUBLISH_TOLD_QUEUED && !pb->walking && !pb->named))
        return AA_OK;
    if (pb->limit > 0 && pb->gone_count == pb->limit) {
        pb->unannounced++;
        return AA_OK;
    }
    if (pb->gone_count == pb->gone_cap) {
        size_t    cap = pb->gone_cap == 0 ? 256 : pb->gone_cap * 2;
        uint64_t *gone = realloc(pb->gone, cap * sizeof *gone);
        if (!gone) return aa_fail(err, AA_ENOMEM, "%zu forgotten IDs to publish", cap);
        pb->gone = gone;
        pb->gone_cap = cap;
    }
    pb->gone[pb->gone_count++] = e->key;
    return AA_OK;
}

void
publish_exact(publish *pb)
{
    if (pb->enabled) walk_for(pb, PUBLISH_THE_INEXACT);
}

void
publish_all(publish *pb)
{
    pb->walking = pb->enabled ? PUBLISH_ALL : PUBLISH_NOBODY;
    pb->walking_next = PUBLISH_NOBODY;
    pb->walk = 0;
}

uint64_t
publish_next_gone(publish *pb)
{
    return pb->gone_count > 0 ? pb->gone[--pb->gone_count] : 0;
}

static bool
to_be_sent(publish_whom whom, unsigned flags)
{
    const bool queued = publish_queued(flags);
    return whom == PUBLISH_ALL || queued ||
           (whom == PUBLISH_THE_INEXACT && flags & PUBLISH_INEXACT);
}

/* The next ID of the walk that is to be sent. */
static bool
walk_on(publish *pb, const idtable *tbl, idtable_walk *wk)
{
    bool there = idtable_walk_from(tbl, pb->walk, wk);
    while (there && !to_be_sent(pb->walking, idtable_flags(tbl, wk->place)))
        there = idtable_walk_on(tbl, wk);
    if (there)
        pb->walk = wk->hash + (wk->hash != UINT64_MAX); /* the last there can be: sent twice */
    return there;
}

bool
publish_next(publish *pb, const idtable *tbl, idtable_walk *wk)
{
    while (pb->walking) {
        if (walk_on(pb, tbl, wk)) return true;
        pb->walking = pb->walking_next;
        pb->walking_next = PUBLISH_NOBODY;
        pb->walk = 0;
    }
    while (pb->head < pb->tail) {
        wk->hash = pb->queue[pb->head++];
        wk->place = idtable_find(tbl, wk->hash);
        if (wk->place != IDTABLE_NONE && publish_queued(idtable_flags(tbl, wk->place))) return true;
    }
    pb->head = pb->tail = 0;
    return false;
}

void
publish_sent(id_entry *e, publish_reading is)
{
    const int  at = is.code % CELL_CODES;
    const bool middle = at >= CELL_CODES / 4 && at < CELL_CODES - CELL_CODES / 4;
    e->flags = PUBLISH_TOLD | (middle ? 0 : PUBLISH_GRID);
}

bool
publish_crowded(const publish *pb)
{
    return pb->limit > 0 &&
           (pb->tail - pb->head > QUEUE_MOST / 4 || pb->gone_count > pb->limit / 4);
}

uint64_t
publish_most_bytes(size_t limit)
{
    const publish *pb = NULL;
    return QUEUE_MOST * sizeof *pb->queue + 2 * limit * sizeof *pb->gone;
}

size_t
publish_bytes(const publish *pb)
{
    return pb->cap * sizeof *pb->queue + pb->gone_cap * sizeof *pb->gone;
}
