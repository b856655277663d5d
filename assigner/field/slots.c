#include "assigner/field/slots.h"

#include <stdlib.h>
#include <string.h>

#include "assigner/field/idtable.h"
#include "assigner/sections.h"
#include "common/base/hash.h"
#include "common/messages/batch.h"

void
slots_init(slots *sl, uint32_t base, uint32_t limit)
{
    uint32_t most = AA_NO_SLOT - base; /* slots base .. AA_NO_SLOT-1 */
    *sl = (slots){.base = base, .limit = limit == 0 || limit > most ? most : limit};
}

void
slots_fini(slots *sl)
{
    free(sl->holder);
    free(sl->born);
    free(sl->heap);
    *sl = (slots){0};
}

/* ---- the heap: heap[(i-1)/2] <= heap[i] ---- */

static void
heap_push(slots *sl, uint32_t x)
{
    size_t i = sl->heap_count++;
    while (i > 0 && sl->heap[(i - 1) / 2] > x) {
        sl->heap[i] = sl->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sl->heap[i] = x;
}

static void
heap_sink(slots *sl, size_t i, uint32_t x)
{
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= sl->heap_count) break;
        if (c + 1 < sl->heap_count && sl->heap[c + 1] < sl->heap[c]) c++;
        if (sl->heap[c] >= x) break;
        sl->heap[i] = sl->heap[c];
        i = c;
    }
    sl->heap[i] = x;
}

static uint32_t
heap_pop(slots *sl)
{
    uint32_t top = sl->heap[0];
    uint32_t last = sl->heap[--sl->heap_count];
    if (sl->heap_count > 0) heap_sink(sl, 0, last);
    return top;
}

/* ---- taking and giving back ---- */

/* The heap has room for every slot there is, so that giving back cannot fail. */
static aa_status
reserve_slots(slots *sl, size_t count, aa_err *err)
{
    if (count <= sl->cap) return AA_OK;
    size_t cap = sl->cap < 64 ? 64 : sl->cap + sl->cap / 2;
    if (cap < count) cap = count;
    uint32_t *holder = realloc(sl->holder, cap * sizeof *holder);
    if (holder) sl->holder = holder;
    uint64_t *born = realloc(sl->born, cap * sizeof *born);
    if (born) sl->born = born;
    uint32_t *heap = realloc(sl->heap, cap * sizeof *heap);
    if (heap) sl->heap = heap;
    if (!holder || !born || !heap) return aa_fail(err, AA_ENOMEM, "%zu rows in one field", cap);
    sl->cap = sl->heap_cap = cap;
    return AA_OK;
}

static void
hold(slots *sl, size_t i, uint32_t holder, uint64_t born)
{
    AA_REQUIRE(sl->holder[i] == IDTABLE_NONE);
    sl->holder[i] = holder;
    sl->born[i] = born;
    if (++sl->used > sl->peak) sl->peak = sl->used;
}

aa_status
slots_take(slots *sl, uint32_t holder, uint64_t born, uint32_t *slot, aa_err *err)
{
    AA_REQUIRE(!slots_full(sl));
    size_t i;
    if (sl->heap_count > 0) {
        i = heap_pop(sl);
    } else {
        aa_status st = reserve_slots(sl, sl->end + 1, err);
        if (st != AA_OK) return st;
        i = sl->end++;
        sl->holder[i] = IDTABLE_NONE;
    }
    hold(sl, i, holder, born);
    *slot = sl->base + (uint32_t)i;
    return AA_OK;
}

void
slots_give_back(slots *sl, uint32_t slot)
{
    AA_REQUIRE(slots_holder(sl, slot) != IDTABLE_NONE);
    size_t i = slot - sl->base;
    sl->holder[i] = IDTABLE_NONE;
    sl->born[i] = 0;
    heap_push(sl, (uint32_t)i);
    sl->used--;
}

uint32_t
slots_holder(const slots *sl, uint32_t slot)
{
    if (slot < sl->base || slot - sl->base >= sl->end) return IDTABLE_NONE;
    return sl->holder[slot - sl->base];
}

uint64_t
slots_born(const slots *sl, uint32_t slot)
{
    AA_REQUIRE(slots_holder(sl, slot) != IDTABLE_NONE);
    return sl->born[slot - sl->base];
}

size_t
slots_bytes(const slots *sl)
{
    return sl->cap * (sizeof *sl->holder + sizeof *sl->born + sizeof *sl->heap);
}

uint64_t
slots_most_bytes(uint64_t rows)
{
    const slots   *sl = NULL;
    const uint64_t cap = rows < 64 ? 64 : rows + rows / 2;
    return cap * (sizeof *sl->holder + sizeof *sl->born + sizeof *sl->heap);
}

/* ---- digest and checkpoint: the heap follows from the holders ---- */

uint64_t
slots_digest(const slots *sl, uint64_t d)
{
    uint64_t head[2] = {sl->end, sl->peak};
    d = aa_digest(d, head, sizeof head);
    if (sl->end == 0) return d;
    d = aa_digest(d, sl->holder, sl->end * sizeof *sl->holder);
    return aa_digest(d, sl->born, sl->end * sizeof *sl->born);
}

aa_status
slots_save(const slots *sl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    uint64_t  peak = sl->peak;
    aa_status st = sections_put(w, prefix, "peak", &peak, sizeof peak, err);
    if (st == AA_OK)
        st = sections_put(w, prefix, "holder", sl->holder, sl->end * sizeof *sl->holder, err);
    if (st == AA_OK)
        st = sections_put(w, prefix, "born", sl->born, sl->end * sizeof *sl->born, err);
    return st;
}

aa_status
slots_restore(slots *sl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    const void *holder;
    size_t      len;
    uint64_t    peak;
    AA_REQUIRE(sl->end == 0);
    aa_status st = sections_copy(r, prefix, "peak", &peak, sizeof peak, err);
    if (st == AA_OK) st = sections_get(r, prefix, "holder", sizeof *sl->holder, &holder, &len, err);
    if (st != AA_OK) return st;
    size_t end = len / sizeof *sl->holder;
    if (end > AA_NO_SLOT - sl->base) return aa_fail(err, AA_EPARSE, "%s: %zu rows", prefix, end);
    st = reserve_slots(sl, end, err);
    if (st == AA_OK) st = sections_copy(r, prefix, "born", sl->born, end * sizeof *sl->born, err);
    if (st != AA_OK) return st;
    if (end > 0) memcpy(sl->holder, holder, len);
    sl->end = end;
    for (size_t i = 0; i < end; i++)
        if (sl->holder[i] == IDTABLE_NONE) heap_push(sl, (uint32_t)i);
    sl->used = end - sl->heap_count;
    sl->peak = (size_t)peak;
    if (sl->used > sl->limit || peak < sl->used || peak > end)
        return aa_fail(err, AA_EPARSE, "%s: %zu rows held of %zu allowed", prefix, sl->used,
                       (size_t)sl->limit);
    return AA_OK;
}
