#include "assigner/field/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/sections.h"
#include "common/base/hash.h"
#include "common/messages/batch.h"

static_assert(sizeof(slots_record) == 14, "saved as it stands: no gaps");

aa_status
slots_init(slots *sl, uint32_t base, uint32_t limit, aa_err *err)
{
    uint32_t most = AA_NO_SLOT - base; /* slots base .. AA_NO_SLOT-1 */
    *sl = (slots){.base = base, .limit = limit == 0 || limit > most ? most : limit};
    aa_status st = aa_reserve_init(&sl->memory, (size_t)most * sizeof *sl->record, err);
    sl->record = (slots_record *)(void *)sl->memory.start;
    return st;
}

void
slots_fini(slots *sl)
{
    aa_reserve_fini(&sl->memory);
    for (unsigned level = 0; level < SLOTS_LEVELS; level++)
        free(sl->free[level]);
    *sl = (slots){0};
}

/* ---- free ones ---- */

static void
set_free(slots *sl, uint64_t i)
{
    for (unsigned level = 0; level < SLOTS_LEVELS; level++, i /= 64)
        sl->free[level][i / 64] |= UINT64_C(1) << i % 64;
}

/* The lowest, which is none any more. @pre there is one */
static uint64_t
take_lowest(slots *sl)
{
    uint64_t i = 0;
    for (unsigned level = SLOTS_LEVELS; level-- > 0;)
        i = i * 64 + (uint64_t)__builtin_ctzll(sl->free[level][i]);
    uint64_t at = i;
    for (unsigned level = 0; level < SLOTS_LEVELS; level++, at /= 64) {
        uint64_t *word = &sl->free[level][at / 64];
        *word &= ~(UINT64_C(1) << at % 64);
        if (*word != 0) break;
    }
    return i;
}

/* There is a bit for every slot there is, so that giving back cannot fail. */
static aa_status
reserve_slots(slots *sl, size_t count, aa_err *err)
{
    aa_status st = aa_reserve_grow(&sl->memory, count * sizeof *sl->record, err);
    if (st != AA_OK || count <= sl->free_cap) return st;
    const size_t cap = count < 4096 ? 4096 : count + count / 4;
    size_t       had = sl->free_cap, words = cap;
    for (unsigned level = 0; level < SLOTS_LEVELS; level++) {
        had = (had + 63) / 64;
        words = (words + 63) / 64;
        uint64_t *grown = realloc(sl->free[level], words * sizeof *grown);
        if (!grown) return aa_fail(err, AA_ENOMEM, "%zu rows in one field", cap);
        memset(grown + had, 0, (words - had) * sizeof *grown);
        sl->free[level] = grown;
    }
    sl->free_cap = cap;
    return AA_OK;
}

/* ---- taking and giving back ---- */

aa_status
slots_take(slots *sl, uint32_t tag, uint32_t *slot, aa_err *err)
{
    AA_REQUIRE(!slots_full(sl));
    uint64_t i;
    if (sl->used < sl->end) {
        i = take_lowest(sl);
    } else {
        aa_status st = reserve_slots(sl, sl->end + 1, err);
        if (st != AA_OK) return st;
        i = sl->end++;
    }
    sl->record[i] = (slots_record){.tag = tag, .b = 1};
    if (++sl->used > sl->peak) sl->peak = sl->used;
    *slot = sl->base + (uint32_t)i;
    return AA_OK;
}

void
slots_give_back(slots *sl, uint32_t slot)
{
    AA_REQUIRE(slots_held(sl, slot));
    *slots_at(sl, slot) = (slots_record){0};
    set_free(sl, slot - sl->base);
    sl->used--;
}

bool
slots_tidy(slots *sl)
{
    return aa_reserve_tidy(&sl->memory);
}

size_t
slots_bytes(const slots *sl)
{
    return sl->end * sizeof *sl->record + sl->free_cap / 8 + sl->free_cap / 504;
}

uint64_t
slots_most_bytes(uint64_t rows)
{
    const uint64_t bits = rows < 4096 ? 4096 : rows + rows / 4;
    return rows * sizeof(slots_record) + bits / 8 + bits / 504 + SLOTS_LEVELS * sizeof(uint64_t);
}

/* ---- digest and checkpoint: what is free follows from the records ---- */

uint64_t
slots_digest(const slots *sl, uint64_t d)
{
    uint64_t head[2] = {sl->end, sl->peak};
    d = aa_digest(d, head, sizeof head);
    return sl->end == 0 ? d : aa_digest(d, sl->record, sl->end * sizeof *sl->record);
}

aa_status
slots_save(const slots *sl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    uint64_t  peak = sl->peak;
    aa_status st = sections_put(w, prefix, "peak", &peak, sizeof peak, err);
    if (st != AA_OK) return st;
    return sections_put(w, prefix, "holders", sl->record, sl->end * sizeof *sl->record, err);
}

aa_status
slots_restore(slots *sl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    uint64_t    peak;
    AA_REQUIRE(sl->end == 0);
    aa_status st = sections_copy(r, prefix, "peak", &peak, sizeof peak, err);
    if (st == AA_OK) st = sections_get(r, prefix, "holders", sizeof *sl->record, &data, &len, err);
    if (st != AA_OK) return st;
    const size_t end = len / sizeof *sl->record;
    if (end > AA_NO_SLOT - sl->base) return aa_fail(err, AA_EPARSE, "%s: %zu rows", prefix, end);
    if (end > 0) st = reserve_slots(sl, end, err);
    if (st != AA_OK) return st;
    if (end > 0) memcpy(sl->record, data, len);
    sl->end = end;
    for (size_t i = 0; i < end; i++) {
        static const slots_record none;
        const bool                held = sl->record[i].b != 0;
        if (!held && memcmp(&sl->record[i], &none, sizeof none) != 0)
            return aa_fail(err, AA_EPARSE, "%s: free row %zu is not empty", prefix, i);
        if (!held) set_free(sl, i);
        sl->used += held;
    }
    sl->peak = (size_t)peak;
    if (sl->used > sl->limit || peak < sl->used || peak > end)
        return aa_fail(err, AA_EPARSE, "%s: %zu rows held of %zu allowed", prefix, sl->used,
                       (size_t)sl->limit);
    return AA_OK;
}
