#include "assigner/field/publish.h"

#include <stdlib.h>
#include <string.h>

#include "common/messages/batch.h"

#define CODE_UNIT 256.0f

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

uint16_t
publish_code(uint32_t slot, float mix)
{
    if (slot == AA_NO_SLOT) return PUBLISH_NONE;
    float code = ((float)slot + mix) * CODE_UNIT + 1.0f;
    return code < (float)(UINT16_MAX - 1) ? (uint16_t)code : UINT16_MAX - 1;
}

static aa_status
push(publish *pb, uint32_t handle, aa_err *err)
{
    if (pb->tail == pb->cap && pb->head > pb->cap / 2) { /* slide down what is left */
        memmove(pb->queue, pb->queue + pb->head, (pb->tail - pb->head) * sizeof *pb->queue);
        pb->tail -= pb->head;
        pb->head = 0;
    }
    if (pb->tail == pb->cap && pb->limit > 0 && 2 * pb->cap > pb->limit) {
        pb->head = pb->tail = 0;
        publish_all(pb); /* which needs no list */
        return AA_OK;
    }
    if (pb->tail == pb->cap) {
        size_t    cap = pb->cap == 0 ? 1024 : pb->cap * 2;
        uint32_t *queue = realloc(pb->queue, cap * sizeof *queue);
        if (!queue) return aa_fail(err, AA_ENOMEM, "%zu assignments to publish", cap);
        pb->queue = queue;
        pb->cap = cap;
    }
    pb->queue[pb->tail++] = handle;
    return AA_OK;
}

aa_status
publish_note(publish *pb, uint32_t handle, id_entry *e, uint16_t code, aa_err *err)
{
    if (!pb->enabled || (e->flags & PUBLISH_QUEUED)) return AA_OK;
    uint16_t was = e->published == PUBLISH_NEVER ? pb->unseen : e->published;
    int      moved = code > was ? code - was : was - code;
    bool     same_kind = (e->slot != AA_NO_SLOT) == ((e->flags & PUBLISH_ROW) != 0);
    bool     new_one = (pb->tell_new || pb->named) && e->published == PUBLISH_NEVER;
    if (same_kind && !new_one && moved <= (int)(PUBLISH_STEP * CODE_UNIT)) {
        if (code != PUBLISH_NONE) e->flags |= PUBLISH_INEXACT;
        return AA_OK;
    }
    e->flags |= PUBLISH_QUEUED;
    return push(pb, handle, err);
}

aa_status
publish_forget(publish *pb, const id_entry *e, aa_err *err)
{
    if (!pb->enabled || (e->published == PUBLISH_NEVER && !pb->walking && !pb->named)) return AA_OK;
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

aa_status
publish_exact(publish *pb, idtable *tbl, aa_err *err)
{
    if (!pb->enabled) return AA_OK;
    for (uint32_t h = 0; h < tbl->end; h++) {
        id_entry *e = idtable_at(tbl, h);
        if (e->key == 0 || (e->flags & PUBLISH_QUEUED) || !(e->flags & PUBLISH_INEXACT)) continue;
        e->flags |= PUBLISH_QUEUED;
        aa_status st = push(pb, h, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

void
publish_all(publish *pb)
{
    pb->walking = pb->enabled;
    pb->walk = 0;
}

uint64_t
publish_next_gone(publish *pb)
{
    return pb->gone_count > 0 ? pb->gone[--pb->gone_count] : 0;
}

uint32_t
publish_next(publish *pb, const idtable *tbl)
{
    while (pb->walking) {
        if (pb->walk >= tbl->end)
            pb->walking = false;
        else if (idtable_at(tbl, pb->walk++)->key != 0)
            return pb->walk - 1;
    }
    while (pb->head < pb->tail) {
        uint32_t        h = pb->queue[pb->head++];
        const id_entry *e = idtable_at(tbl, h);
        if (e->key != 0 && (e->flags & PUBLISH_QUEUED)) return h;
    }
    pb->head = pb->tail = 0;
    return IDTABLE_NONE;
}

void
publish_sent(id_entry *e, uint16_t code)
{
    e->flags = e->slot != AA_NO_SLOT ? PUBLISH_ROW : 0;
    e->published = code;
}

bool
publish_crowded(const publish *pb)
{
    return pb->limit > 0 && (pb->tail - pb->head > pb->limit / 4 || pb->gone_count > pb->limit / 4);
}

uint64_t
publish_most_bytes(size_t limit)
{
    const publish *pb = NULL;
    return limit * sizeof *pb->queue + 2 * limit * sizeof *pb->gone;
}

size_t
publish_bytes(const publish *pb)
{
    return pb->cap * sizeof *pb->queue + pb->gone_cap * sizeof *pb->gone;
}
