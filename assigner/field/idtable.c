#include "assigner/field/idtable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/sections.h"
#include "common/base/hash.h"

#define FIRST_CELLS   1024u
#define SPARE         64u   /* cells behind the last home that are always ready */
#define OVERRUN       1024u /* a run behind the last home may be so long, unless IDs are hostile */
#define MOST_IDS      (UINT64_C(1) << 32)
#define FULL_OF_100   90u
#define GROWTH        UINT64_C(12) /* by one part of so many; a cell moves as often per insertion */
#define PUTS_PER_MOVE UINT64_C(8)
#define MOVES         (GROWTH * 7 / 4 * PUTS_PER_MOVE) /* so that a growth ends before the next */
#define REST_MASK     ((UINT64_C(1) << IDPACK_REST_BITS) - 1)

static bool
is_used(uint64_t a)
{
    return a & IDPACK_USED;
}

static uint64_t
a_at(const idtable *tbl, uint64_t place)
{
    return idpack_a(idtable_at(tbl, place));
}

static uint64_t
hash_of(uint64_t top, uint64_t a)
{
    return top << IDPACK_REST_BITS | a >> 12;
}

/* ---- memory ---- */

static aa_status
make_ready(idtable *tbl, uint64_t cells, aa_err *err)
{
    if (cells + SPARE <= tbl->ready) return AA_OK;
    aa_status st = aa_reserve_grow(&tbl->memory, (cells + SPARE) * tbl->stride, err);
    if (st != AA_OK) return st;
    tbl->ready = tbl->memory.ready / tbl->stride;
    return AA_OK;
}

static void
set_size(idtable *tbl, uint64_t size)
{
    tbl->size = tbl->next = size;
    tbl->limit = UINT64_MAX;
    for (uint64_t t = 0; t <= IDTABLE_FENCES; t++)
        tbl->fence[t] = (uint64_t)((idtable_wide)t * size / IDTABLE_FENCES);
}

aa_status
idtable_init(idtable *tbl, size_t extra_bytes, uint8_t own, slots *sl, aa_err *err)
{
    *tbl = (idtable){
        .stride = IDPACK_BYTES + extra_bytes, .extra_bytes = extra_bytes, .own = own, .sl = sl};
    tbl->fence = malloc((IDTABLE_FENCES + 1) * sizeof *tbl->fence);
    tbl->moving = malloc(MOVES * tbl->stride);
    if (!tbl->fence || !tbl->moving) return aa_fail(err, AA_ENOMEM, "table of IDs");
    aa_status st = aa_reserve_init(&tbl->memory, (MOST_IDS + MOST_IDS / 4) * tbl->stride, err);
    if (st != AA_OK) return st;
    tbl->cell = (unsigned char *)tbl->memory.start;
    set_size(tbl, FIRST_CELLS);
    return make_ready(tbl, FIRST_CELLS, err);
}

void
idtable_fini(idtable *tbl)
{
    aa_reserve_fini(&tbl->memory);
    free(tbl->fence);
    free(tbl->moving);
    *tbl = (idtable){0};
}

size_t
idtable_bytes(const idtable *tbl)
{
    return (tbl->end + SPARE) * tbl->stride + (IDTABLE_FENCES + 1) * sizeof *tbl->fence +
           MOVES * tbl->stride;
}

/* Just before the next growth is under way: its homes, and what runs over behind the last of them. */
uint64_t
idtable_most_bytes(uint64_t ids, size_t extra_bytes)
{
    const uint64_t stride = IDPACK_BYTES + extra_bytes;
    uint64_t       cells = ids * 100 / FULL_OF_100 + 100;
    cells += cells / GROWTH;
    if (cells < FIRST_CELLS) cells = FIRST_CELLS;
    return (cells + OVERRUN + SPARE) * stride + (IDTABLE_FENCES + 1) * sizeof(uint64_t) +
           MOVES * stride;
}

bool
idtable_tidy(idtable *tbl)
{
    return aa_reserve_tidy(&tbl->memory);
}

void *
idtable_extra(const idtable *tbl, uint64_t place)
{
    return idtable_at(tbl, place) + IDPACK_BYTES;
}

static void
copy_cell(const idtable *tbl, unsigned char *to, const unsigned char *from)
{
    const id_packed p = idpack_load(from);
    idpack_store(to, &p);
    if (tbl->extra_bytes > 0) memcpy(to + IDPACK_BYTES, from + IDPACK_BYTES, tbl->extra_bytes);
}

/* ---- look-up ---- */

/* Where the hash is, or is to be put: the first place from its home on that has no lesser hash. */
static uint64_t
seek_hash(const idtable *tbl, uint64_t hash)
{
    const uint64_t       top = hash >> IDPACK_REST_BITS, rest = hash << 12;
    const uint64_t       below = tbl->fence[top], above = tbl->fence[top + 1];
    uint64_t             i = idtable_home(tbl, hash);
    const unsigned char *at = idtable_at(tbl, i);
    for (; i < below; i++, at += tbl->stride) /* lesser ones that did not find room before it */
        if (!is_used(idpack_a(at))) return i;
    for (; i < above; i++, at += tbl->stride) {
        const uint64_t a = idpack_a(at);
        if (!is_used(a) || (a | 0xFFF) > rest) break; /* rest ends in 12 zeros */
    }
    return i;
}

/* Most IDs are among the first cells from their home on: those are compared without branches, which
 * would be mispredicted. */
#define NEAR 4u

uint64_t
idtable_find(const idtable *tbl, uint64_t hash)
{
    const uint64_t       want = hash << 12 | IDPACK_USED;
    uint64_t             i = idtable_home(tbl, hash);
    const unsigned char *at = idtable_at(tbl, i);
    for (unsigned group = 0; group < 2; group++, i += NEAR) {
        unsigned same = 0;
#pragma GCC unroll 4
        for (unsigned j = 0; j < NEAR; j++, at += tbl->stride)
            same |= (unsigned)((idpack_a(at) & (~UINT64_C(0xFFF) | IDPACK_USED)) == want) << j;
        if (same == 0) continue;
        const uint64_t near = i + (unsigned)__builtin_ctz(same);
        if (idtable_is_at(tbl, hash, near)) return near;
    }
    const uint64_t place = seek_hash(tbl, hash);
    return idtable_is_at(tbl, hash, place) ? place : IDTABLE_NONE;
}

/* ---- placing and taking out ---- */

/* After a hash that begins with `top` came to this place: fences part it from others again. */
static void
mend_fences(idtable *tbl, uint64_t top, uint64_t place)
{
    for (uint64_t t = top + 1; t <= IDTABLE_FENCES && tbl->fence[t] <= place; t++)
        tbl->fence[t] = place + 1;
    for (uint64_t t = top; tbl->fence[t] > place; t--)
        tbl->fence[t] = place;
}

/* Makes the place empty: what is there, to the next empty cell, moves by one. */
static aa_status
open_gap(idtable *tbl, uint64_t top, uint64_t place, aa_err *err)
{
    uint64_t gap = place;
    while (is_used(a_at(tbl, gap)))
        gap++;
    aa_status st = make_ready(tbl, gap + 1, err); /* so that a run always ends at an empty cell */
    if (st != AA_OK) return st;
    if (gap > place) {
        unsigned char *at = idtable_at(tbl, place);
        memmove(at + tbl->stride, at, (gap - place) * tbl->stride);
        for (uint64_t t = top + 1; t <= IDTABLE_FENCES && tbl->fence[t] <= gap; t++)
            tbl->fence[t] = (tbl->fence[t] > place ? tbl->fence[t] : place) + 1;
    }
    if (tbl->end <= gap) tbl->end = gap + 1;
    return AA_OK;
}

/* The cells from i on move up to p, or as far as their homes let them; those of a run behind one
 * that stays do. */
static void
close_up(idtable *tbl, uint64_t p, uint64_t i, uint64_t top)
{
    for (;; i++) {
        const uint64_t a = a_at(tbl, i);
        if (!is_used(a)) return;
        while (tbl->fence[top + 1] <= i)
            top++;
        const uint64_t home = idtable_home(tbl, hash_of(top, a)), to = home > p ? home : p;
        if (to == i) return;
        memcpy(idtable_at(tbl, to), idtable_at(tbl, i), tbl->stride);
        memset(idtable_at(tbl, i), 0, tbl->stride);
        mend_fences(tbl, top, to);
        p = to + 1;
    }
}

/* ---- growth ---- */

/* The last cells up to limit go into tbl->moving, as they stand, MOVES of them or fewer. Returns how
 * many cells that is, 0: there are none left. */
static uint64_t
collect_last(idtable *tbl)
{
    uint64_t top = tbl->limit >> IDPACK_REST_BITS;
    for (; tbl->from > 0; tbl->from--) {
        const uint64_t i = tbl->from - 1, a = a_at(tbl, i);
        if (!is_used(a)) continue;
        while (tbl->fence[top + 1] <= i)
            top++;
        while (tbl->fence[top] > i)
            top--;
        if (hash_of(top, a) <= tbl->limit) break;
    }
    const uint64_t n = tbl->from < MOVES ? tbl->from : MOVES;
    tbl->from -= n;
    memcpy(tbl->moving, idtable_at(tbl, tbl->from), n * tbl->stride);
    memset(idtable_at(tbl, tbl->from), 0, n * tbl->stride);
    return n;
}

/* Hashes of the n cells in tbl->moving, which were at `from` on; 0: an empty one. */
static void
hash_cells(const idtable *tbl, uint64_t n, uint64_t hash[MOVES])
{
    uint64_t top = tbl->limit >> IDPACK_REST_BITS;
    while (tbl->fence[top] > tbl->from)
        top--;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t a = idpack_a(tbl->moving + i * tbl->stride);
        while (tbl->fence[top + 1] <= tbl->from + i)
            top++;
        hash[i] = is_used(a) ? hash_of(top, a) : 0;
    }
}

static aa_status
move_last(idtable *tbl, aa_err *err)
{
    uint64_t       hash[MOVES], top = 0;
    const uint64_t n = collect_last(tbl), behind = tbl->from + n;
    if (n == 0) {
        tbl->size = tbl->next;
        tbl->limit = UINT64_MAX;
        return AA_OK;
    }
    hash_cells(tbl, n, hash);
    uint64_t first = 0, p = tbl->from; /* what has not moved lies before p */
    while (first < n && hash[first] == 0)
        first++;
    AA_REQUIRE(first < n);
    tbl->limit = hash[first] - 1;
    for (uint64_t i = first; i < n; i++) {
        if (hash[i] == 0) continue;
        const uint64_t home = idtable_home(tbl, hash[i]);
        if (p < home) p = home;
        top = hash[i] >> IDPACK_REST_BITS;
        if (is_used(a_at(tbl, p)) || p >= tbl->end) {
            aa_status st = open_gap(tbl, top, p, err);
            if (st != AA_OK) return st;
        }
        copy_cell(tbl, idtable_at(tbl, p), tbl->moving + i * tbl->stride);
        mend_fences(tbl, top, p++);
    }
    /* who stood right behind them, because they were there, may now be too far from home */
    if (p <= behind) close_up(tbl, p, behind, top);
    return AA_OK;
}

/* Begins to grow when it is full, and goes on with it. */
static aa_status
grow_table(idtable *tbl, aa_err *err)
{
    if (tbl->count == MOST_IDS) return aa_fail(err, AA_ENOMEM, "2^32 IDs in one field");
    if (tbl->next == tbl->size) {
        if (tbl->count < tbl->size / 100 * FULL_OF_100) return AA_OK;
        const uint64_t next = tbl->size + tbl->size / GROWTH;
        aa_status      st = make_ready(tbl, next, err);
        if (st != AA_OK) return st;
        tbl->next = next;
        tbl->from = tbl->end;
    }
    return tbl->puts++ % PUTS_PER_MOVE == 0 ? move_last(tbl, err) : AA_OK;
}

aa_status
idtable_insert(idtable *tbl, uint64_t hash, uint64_t *place, aa_err *err)
{
    static const id_entry fresh;
    AA_REQUIRE(hash != 0);
    aa_status st = grow_table(tbl, err);
    if (st != AA_OK) return st;
    const uint64_t i = seek_hash(tbl, hash), top = hash >> IDPACK_REST_BITS;
    st = open_gap(tbl, top, i, err);
    if (st != AA_OK) return st;
    const id_packed p = {
        .a = hash << 12 | IDPACK_USED, .b = idpack_b(&fresh, 0, 0), .c = idpack_c(&fresh, 0)};
    idpack_store(idtable_at(tbl, i), &p);
    if (tbl->extra_bytes > 0) memset(idtable_extra(tbl, i), 0, tbl->extra_bytes);
    mend_fences(tbl, top, i);
    /* those it moved may be of hashes up to limit */
    if (hash <= tbl->limit && tbl->next != tbl->size) {
        uint64_t behind = i;
        while (is_used(a_at(tbl, behind)))
            behind++;
        if (tbl->from < behind) tbl->from = behind;
    }
    tbl->count++;
    *place = i;
    return AA_OK;
}

void
idtable_remove(idtable *tbl, uint64_t hash, uint64_t place)
{
    AA_REQUIRE(idtable_is_at(tbl, hash, place));
    memset(idtable_at(tbl, place), 0, tbl->stride);
    close_up(tbl, place, place + 1, hash >> IDPACK_REST_BITS);
    tbl->count--;
}

/* ---- walks ---- */

/* To the first cell in use at or behind the place. */
static bool
walk_to(const idtable *tbl, uint64_t place, idtable_walk *wk)
{
    const unsigned char *at = idtable_at(tbl, place);
    for (; place < tbl->end; place++, at += tbl->stride) {
        const uint64_t a = idpack_a(at);
        if (!is_used(a)) continue;
        while (tbl->fence[wk->top + 1] <= place)
            wk->top++;
        wk->place = place;
        wk->hash = hash_of(wk->top, a);
        return true;
    }
    return false;
}

bool
idtable_walk_from(const idtable *tbl, uint64_t from, idtable_walk *wk)
{
    wk->top = from >> IDPACK_REST_BITS;
    const uint64_t place = seek_hash(tbl, from);
    return walk_to(tbl, place, wk);
}

bool
idtable_walk_on(const idtable *tbl, idtable_walk *wk)
{
    return walk_to(tbl, wk->place + 1, wk);
}

void
idtable_holder(const idtable *tbl, uint32_t slot, idtable_walk *wk)
{
    const uint32_t tag = slots_at(tbl->sl, slot)->tag;
    bool           there = idtable_walk_from(tbl, (uint64_t)tag << 32, wk);
    for (;;) {
        AA_REQUIRE(there && wk->hash >> 32 == tag);
        const id_packed p = idpack_load(idtable_at(tbl, wk->place));
        if (idpack_holds(&p) && idpack_slot(&p) == slot) return;
        there = idtable_walk_on(tbl, wk);
    }
}

static uint64_t
aged(const idtable *tbl, uint64_t b, uint64_t now)
{
    const uint64_t most = UINT64_C(1) << (IDPACK_LAST_BITS - 1 + IDTABLE_SHIFT_MOST);
    uint64_t       last = idtable_last(idpack_last(b), tbl->ck.shift, now);
    if (now - last > most) last = now - most;
    return idpack_with_last(b, last >> tbl->ck.next_shift & IDTABLE_LAST_MASK);
}

static void
age_id(idtable *tbl, uint64_t place, uint64_t now)
{
    unsigned char *at = idtable_at(tbl, place);
    id_packed      p = idpack_load(at);
    if (idpack_holds(&p)) {
        slots_record *rec = slots_at(tbl->sl, idpack_slot(&p));
        rec->b = aged(tbl, rec->b, now);
    } else {
        p.b = aged(tbl, p.b, now);
        idpack_store(at, &p);
    }
}

void
idtable_age(idtable *tbl, uint64_t now, uint64_t n)
{
    idtable_clock *ck = &tbl->ck;
    idtable_walk   wk;
    if (ck->walk == 0) {
        if (now < UINT64_C(1) << (IDPACK_LAST_BITS - 1 + ck->shift)) return;
        ck->next_shift = ck->shift < IDTABLE_SHIFT_MOST ? ck->shift + 1 : IDTABLE_SHIFT_MOST;
    }
    bool there = idtable_walk_from(tbl, ck->walk << 32, &wk);
    /* to the end of a tag: what is beside a slot knows no more of the hash */
    for (uint64_t i = 0; there && (i < n || wk.hash >> 32 < ck->walk); i++) {
        age_id(tbl, wk.place, now);
        ck->walk = (wk.hash >> 32) + 1;
        there = idtable_walk_on(tbl, &wk);
    }
    if (there) return;
    ck->walk = 0;
    ck->shift = ck->next_shift;
}

/* ---- digest and checkpoint ---- */

#define CHUNK 128u /* part of what a digest is: it does not follow MOVES */
static_assert(CHUNK <= MOVES, "a chunk goes into tbl->moving");

/* Copies the cells of the next IDs into tbl->moving, which is free between insertions, without what
 * publication left in them: when it ran is not part of the state. Returns how many; *there: the
 * walk has not ended. */
static size_t
copy_cells(const idtable *tbl, size_t most, idtable_walk *wk, bool *there)
{
    size_t n = 0;
    for (; n < most && *there; n++) {
        unsigned char *to = tbl->moving + n * tbl->stride;
        memcpy(to, idtable_at(tbl, wk->place), tbl->stride);
        to[0] &= (unsigned char)~IDPACK_FLAGS;
        *there = idtable_walk_on(tbl, wk);
    }
    return n;
}

static void
count_tops(const idtable *tbl, uint32_t tops[IDTABLE_FENCES])
{
    idtable_walk wk;
    memset(tops, 0, IDTABLE_FENCES * sizeof *tops);
    for (bool there = idtable_walk_from(tbl, 0, &wk); there; there = idtable_walk_on(tbl, &wk))
        tops[wk.top]++;
}

uint64_t
idtable_digest(const idtable *tbl, uint64_t d)
{
    uint32_t     tops[IDTABLE_FENCES];
    idtable_walk wk;
    count_tops(tbl, tops);
    d = aa_digest(d, &tbl->ck, sizeof tbl->ck);
    d = aa_digest(d, tops, sizeof tops);
    bool there = idtable_walk_from(tbl, 0, &wk);
    while (there) {
        const size_t n = copy_cells(tbl, CHUNK, &wk, &there);
        d = aa_digest(d, tbl->moving, n * tbl->stride);
    }
    return d;
}

aa_status
idtable_save(const idtable *tbl, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    uint32_t     tops[IDTABLE_FENCES];
    idtable_walk wk;
    count_tops(tbl, tops);
    aa_status st = sections_put(w, prefix, "clock", &tbl->ck, sizeof tbl->ck, err);
    if (st == AA_OK) st = sections_put(w, prefix, "tops", tops, sizeof tops, err);
    if (st == AA_OK) st = sections_begin(w, prefix, "ids", tbl->count * tbl->stride, err);
    bool there = idtable_walk_from(tbl, 0, &wk);
    while (st == AA_OK && there) {
        const size_t n = copy_cells(tbl, CHUNK, &wk, &there);
        st = aa_ckpt_append(w, tbl->moving, n * tbl->stride, err);
    }
    return st;
}

static aa_status
check_clock(const idtable_clock *ck, aa_err *err)
{
    const bool ok =
        ck->shift <= IDTABLE_SHIFT_MOST && ck->next_shift <= IDTABLE_SHIFT_MOST &&
        (ck->walk == 0 ? ck->next_shift == ck->shift
                       : ck->next_shift - ck->shift <= (ck->shift < IDTABLE_SHIFT_MOST));
    return ok ? AA_OK
              : aa_fail(err, AA_EPARSE, "units %u and %u of IDs", ck->shift, ck->next_shift);
}

/* The next cell, in the order of hashes, at its home or behind the one before it. */
static aa_status
restore_cell(idtable *tbl, uint64_t top, const unsigned char *cell, aa_err *err)
{
    const uint64_t a = idpack_a(cell), hash = hash_of(top, a), home = idtable_home(tbl, hash);
    if (!is_used(a) || (a & IDPACK_FLAGS) || hash == 0)
        return aa_fail(err, AA_EPARSE, "ID %llu: not one", (unsigned long long)tbl->count);
    const uint64_t before = tbl->end > 0 ? a_at(tbl, tbl->end - 1) >> 12 : 0;
    if (tbl->end > tbl->fence[top] && before >= a >> 12)
        return aa_fail(err, AA_EPARSE, "ID %llu: out of order", (unsigned long long)tbl->count);
    const uint64_t place = tbl->end > home ? tbl->end : home;
    aa_status      st = make_ready(tbl, place + 1, err);
    if (st != AA_OK) return st;
    memcpy(idtable_at(tbl, place), cell, tbl->stride);
    mend_fences(tbl, top, place);
    tbl->end = place + 1;
    tbl->count++;
    return AA_OK;
}

aa_status
idtable_restore(idtable *tbl, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    uint32_t    tops[IDTABLE_FENCES];
    const void *data;
    size_t      len;
    AA_REQUIRE(tbl->count == 0);
    aa_status st = sections_copy(r, prefix, "clock", &tbl->ck, sizeof tbl->ck, err);
    if (st == AA_OK) st = check_clock(&tbl->ck, err);
    if (st == AA_OK) st = sections_copy(r, prefix, "tops", tops, sizeof tops, err);
    if (st == AA_OK) st = sections_get(r, prefix, "ids", tbl->stride, &data, &len, err);
    if (st != AA_OK) return st;
    const uint64_t       count = len / tbl->stride;
    const unsigned char *cell = data;
    if (count > MOST_IDS) return aa_fail(err, AA_EPARSE, "%s: more than 2^32 IDs", prefix);
    if (count > FIRST_CELLS / 2) set_size(tbl, count / 88 * 100 + FIRST_CELLS);
    st = make_ready(tbl, tbl->size, err);
    for (uint64_t top = 0; st == AA_OK && top < IDTABLE_FENCES; top++)
        for (uint32_t i = 0; st == AA_OK && i < tops[top]; i++, cell += tbl->stride)
            st = tbl->count < count ? restore_cell(tbl, top, cell, err)
                                    : aa_fail(err, AA_EPARSE, "%s: too few IDs", prefix);
    if (st == AA_OK && tbl->count != count)
        st = aa_fail(err, AA_EPARSE, "%s: more IDs than are counted", prefix);
    return st;
}

void
idtable_check(const idtable *tbl)
{
    uint64_t     count = 0, last = 0, gap = UINT64_MAX, place = 0; /* gap: the last empty cell */
    idtable_walk wk;
    for (bool there = idtable_walk_from(tbl, 0, &wk); there; there = idtable_walk_on(tbl, &wk)) {
        AA_REQUIRE(wk.hash > last && idtable_is_at(tbl, wk.hash, wk.place));
        AA_REQUIRE(idtable_find(tbl, wk.hash) == wk.place);
        if (wk.place > place) gap = wk.place - 1;
        const uint64_t home = idtable_home(tbl, wk.hash);
        AA_REQUIRE(home <= wk.place && (gap == UINT64_MAX || gap < home || gap > wk.place));
        AA_REQUIRE(wk.hash > tbl->limit || tbl->next == tbl->size || wk.place < tbl->from);
        place = wk.place + 1;
        last = wk.hash;
        count++;
    }
    AA_REQUIRE(count == tbl->count && place <= tbl->end && tbl->end < tbl->ready);
    for (uint64_t i = 0; i < tbl->ready; i++)
        count -= is_used(a_at(tbl, i));
    AA_REQUIRE(count == 0);
}
