/* `data`, in units of 16 bits:
 *   where each bin's entries end (bins, kinds): a byte each, or 16 bits (wide_ends)
 *   entries of shared readings (cap): rest 3 or 4, lower 16 bits first; word 2; signal
 *   entries of own rows (cap):        rest 3 or 4; words 2 * 3; signal */
#include "scorer/replica/idsegment.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { NARROW_BITS = 48, ENDS = IDSEGMENT_BINS * IDSEGMENT_KINDS, BYTE_ENDS_MOST = 255 };
enum { OWN = IDSEGMENT_OWN, SHARED = IDSEGMENT_SHARED };

typedef _Atomic uint16_t atomic_half;

/* The entries of one kind. */
typedef struct {
    atomic_half *at;
    size_t       rest, stride; /* units of the rest and of an entry */
} entries;

typedef struct {
    uint64_t rest;
    unsigned bin;
} place;

static bool
is_narrow(unsigned depth)
{
    return depth + IDSEGMENT_BIN_BITS + NARROW_BITS >= 64;
}

static size_t
stride_of(int kind, bool narrow)
{
    const int words = kind == SHARED ? IDCODE_SHARED_WORDS : IDCODE_OWN_WORDS;
    return (narrow ? 3 : 4) + 2 * (size_t)words + 1;
}

static size_t
ends_units(bool wide)
{
    return wide ? ENDS : ENDS / 2;
}

static entries
entries_of(idsegment *sg, int kind)
{
    uint16_t *at = sg->data + ends_units(sg->wide_ends);
    if (kind == OWN) at += sg->cap[SHARED] * stride_of(SHARED, sg->narrow);
    return (entries){
        .at = (atomic_half *)at, .rest = sg->narrow ? 3 : 4, .stride = stride_of(kind, sg->narrow)};
}

static place
place_of(const idsegment *sg, uint64_t hash)
{
    return (place){.rest = hash >> (sg->depth + IDSEGMENT_BIN_BITS),
                   .bin = hash >> sg->depth & (IDSEGMENT_BINS - 1)};
}

static bool
needs_wide_ends(const size_t cap[IDSEGMENT_KINDS])
{
    return cap[SHARED] > BYTE_ENDS_MOST || cap[OWN] > BYTE_ENDS_MOST;
}

static size_t
bytes_for(const size_t cap[IDSEGMENT_KINDS], bool narrow)
{
    size_t units = ends_units(needs_wide_ends(cap));
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++)
        units += cap[kind] * stride_of(kind, narrow);
    return sizeof(idsegment) + units * sizeof(uint16_t);
}

idsegment *
idsegment_new(unsigned depth, const size_t cap[IDSEGMENT_KINDS])
{
    idsegment *sg = malloc(bytes_for(cap, is_narrow(depth)));
    if (!sg) return NULL;
    *sg = (idsegment){
        .depth = (uint8_t)depth, .narrow = is_narrow(depth), .wide_ends = needs_wide_ends(cap)};
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++)
        sg->cap[kind] = (uint16_t)cap[kind];
    memset(sg->data, 0, ends_units(sg->wide_ends) * sizeof *sg->data);
    return sg;
}

size_t
idsegment_bytes(const idsegment *sg)
{
    const size_t cap[IDSEGMENT_KINDS] = {sg->cap[SHARED], sg->cap[OWN]};
    return bytes_for(cap, sg->narrow);
}

/* ---- as both sides read ---- */

static size_t
end_of(const idsegment *sg, int kind, unsigned bin)
{
    const void  *ends = sg->data;
    const size_t at = bin * IDSEGMENT_KINDS + (unsigned)kind;
    return sg->wide_ends
               ? atomic_load_explicit((const atomic_half *)ends + at, memory_order_acquire)
               : atomic_load_explicit((const _Atomic uint8_t *)ends + at, memory_order_acquire);
}

static size_t
begin_of(const idsegment *sg, int kind, unsigned bin)
{
    return bin > 0 ? end_of(sg, kind, bin - 1) : 0;
}

static uint32_t
load_half(const atomic_half *at)
{
    return atomic_load_explicit(at, memory_order_acquire);
}

static uint64_t
rest_at(const entries *es, size_t idx)
{
    const atomic_half *at = es->at + idx * es->stride;
    uint64_t           rest = 0;
    for (size_t i = 0; i < es->rest; i++)
        rest |= (uint64_t)load_half(at + i) << (16 * i);
    return rest;
}

/* What an entry has behind its rest: words and signal. */
static void
read_content(const entries *es, size_t idx, identry *en)
{
    const atomic_half *at = es->at + idx * es->stride + es->rest;
    const size_t       last = es->stride - es->rest - 1;
    for (size_t i = 0; i < last / 2; i++)
        en->word[i] = load_half(at + 2 * i) | load_half(at + 2 * i + 1) << 16;
    en->signal = (uint16_t)load_half(at + last);
}

/* Index of the entry, or SIZE_MAX. */
static size_t
find_entry(const idsegment *sg, const entries *es, int kind, const place *pl)
{
    const size_t end = end_of(sg, kind, pl->bin);
    for (size_t idx = begin_of(sg, kind, pl->bin); idx < end; idx++)
        if (load_half(es->at + idx * es->stride) == (uint16_t)pl->rest &&
            rest_at(es, idx) == pl->rest)
            return idx;
    return SIZE_MAX;
}

bool
idsegment_get(idsegment *sg, uint64_t hash, identry *en)
{
    const place pl = place_of(sg, hash);
    uint32_t    seq;
    unsigned    tries = 0;
    bool        found;
    en->hash = hash;
    do {
        seq = seqlock_read_begin(&sg->lock, &tries);
        found = false;
        for (int kind = 0; kind < IDSEGMENT_KINDS && !found; kind++) {
            const entries es = entries_of(sg, kind);
            const size_t  idx = find_entry(sg, &es, kind, &pl);
            if (idx == SIZE_MAX) continue;
            found = true;
            en->kind = kind;
            read_content(&es, idx, en);
        }
    } while (seqlock_read_again(&sg->lock, seq));
    return found;
}

void
idsegment_prefetch(const idsegment *sg)
{
    __builtin_prefetch(sg);
    __builtin_prefetch((const char *)sg + sizeof *sg + ENDS - 1);
}

void
idsegment_prefetch_bin(idsegment *sg, uint64_t hash)
{
    const unsigned bin = place_of(sg, hash).bin;
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++) {
        const entries es = entries_of(sg, kind);
        const size_t  begin = begin_of(sg, kind, bin), end = end_of(sg, kind, bin);
        if (begin >= end) continue;
        __builtin_prefetch(es.at + begin * es.stride);
        __builtin_prefetch(es.at + end * es.stride - 1);
    }
}

/* ---- updater ---- */

size_t
idsegment_count(const idsegment *sg, int kind)
{
    return end_of(sg, kind, IDSEGMENT_BINS - 1);
}

/* n units move by some places, up or down. */
static void
move_halves(atomic_half *to, const atomic_half *from, size_t n)
{
    for (size_t i = n; to > from && i-- > 0;)
        atomic_store_explicit(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed),
                              memory_order_release);
    for (size_t i = 0; to < from && i < n; i++)
        atomic_store_explicit(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed),
                              memory_order_release);
}

static void
add_to_ends(idsegment *sg, int kind, unsigned bin, int add)
{
    void *ends = sg->data;
    for (unsigned b = bin; b < IDSEGMENT_BINS; b++) {
        const size_t at = b * IDSEGMENT_KINDS + (unsigned)kind;
        const int    end = (int)end_of(sg, kind, b) + add;
        if (sg->wide_ends)
            atomic_store_explicit((atomic_half *)ends + at, (uint16_t)end, memory_order_release);
        else
            atomic_store_explicit((_Atomic uint8_t *)ends + at, (uint8_t)end, memory_order_release);
    }
}

static void
write_content(const entries *es, size_t idx, const identry *en)
{
    atomic_half *at = es->at + idx * es->stride + es->rest;
    const size_t last = es->stride - es->rest - 1;
    for (size_t i = 0; i < last; i++)
        atomic_store_explicit(at + i, (uint16_t)(en->word[i / 2] >> (i % 2 * 16)),
                              memory_order_release);
    atomic_store_explicit(at + last, en->signal, memory_order_release);
}

static void
write_new(const entries *es, size_t idx, uint64_t rest, const identry *en)
{
    atomic_half *at = es->at + idx * es->stride;
    for (size_t i = 0; i < es->rest; i++)
        atomic_store_explicit(at + i, (uint16_t)(rest >> (16 * i)), memory_order_release);
    write_content(es, idx, en);
}

/* At its bin's end. @pre there is room; inside a write */
static void
insert_entry(idsegment *sg, const entries *es, const identry *en, const place *pl)
{
    const size_t idx = end_of(sg, en->kind, pl->bin), n = idsegment_count(sg, en->kind);
    atomic_half *at = es->at + idx * es->stride;
    move_halves(at + es->stride, at, (n - idx) * es->stride);
    write_new(es, idx, pl->rest, en);
    add_to_ends(sg, en->kind, pl->bin, 1);
}

static void
take_out(idsegment *sg, const entries *es, int kind, size_t idx, unsigned bin)
{
    atomic_half *at = es->at + idx * es->stride;
    move_halves(at, at + es->stride, (idsegment_count(sg, kind) - idx - 1) * es->stride);
    add_to_ends(sg, kind, bin, -1);
}

bool
idsegment_put(idsegment *sg, const identry *en)
{
    const place   pl = place_of(sg, en->hash);
    const int     other = en->kind == SHARED ? OWN : SHARED;
    const entries es = entries_of(sg, en->kind), es_other = entries_of(sg, other);
    const size_t  idx = find_entry(sg, &es, en->kind, &pl);
    if (idx == SIZE_MAX && idsegment_count(sg, en->kind) == sg->cap[en->kind]) return false;
    const size_t was = idx == SIZE_MAX ? find_entry(sg, &es_other, other, &pl) : SIZE_MAX;
    seqlock_write_begin(&sg->lock);
    if (idx != SIZE_MAX) write_content(&es, idx, en);
    if (was != SIZE_MAX) take_out(sg, &es_other, other, was, pl.bin);
    if (idx == SIZE_MAX) insert_entry(sg, &es, en, &pl);
    seqlock_write_end(&sg->lock);
    return true;
}

bool
idsegment_remove(idsegment *sg, uint64_t hash)
{
    const place pl = place_of(sg, hash);
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++) {
        const entries es = entries_of(sg, kind);
        const size_t  idx = find_entry(sg, &es, kind, &pl);
        if (idx == SIZE_MAX) continue;
        seqlock_write_begin(&sg->lock);
        take_out(sg, &es, kind, idx, pl.bin);
        seqlock_write_end(&sg->lock);
        return true;
    }
    return false;
}

void
idsegment_retag(idsegment *sg, uint32_t tag, uint32_t becomes)
{
    seqlock_write_begin(&sg->lock);
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++) {
        const entries es = entries_of(sg, kind);
        for (size_t idx = 0; idx < idsegment_count(sg, kind); idx++) {
            identry en;
            read_content(&es, idx, &en);
            if (idcode_tag(en.word[0]) != tag) continue;
            en.word[0] = idcode_with_tag(en.word[0], becomes);
            write_content(&es, idx, &en);
        }
    }
    seqlock_write_end(&sg->lock);
}

void
idsegment_each(idsegment *sg, uint64_t number, idsegment_visit visit, void *arg)
{
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++) {
        const entries es = entries_of(sg, kind);
        for (unsigned bin = 0; bin < IDSEGMENT_BINS; bin++)
            for (size_t i = begin_of(sg, kind, bin); i < end_of(sg, kind, bin); i++) {
                const uint64_t upper = rest_at(&es, i) << IDSEGMENT_BIN_BITS | bin;
                identry        en = {.hash = upper << sg->depth | number, .kind = kind};
                read_content(&es, i, &en);
                visit(arg, &en);
            }
    }
}

/* ---- copies ---- */

static void *
plain(atomic_half *at)
{
    return (void *)(uintptr_t)at;
}

void
idsegment_copy(idsegment *to, idsegment *from)
{
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++) {
        const entries es = entries_of(from, kind), es_to = entries_of(to, kind);
        for (unsigned bin = 0; bin < IDSEGMENT_BINS; bin++)
            add_to_ends(to, kind, bin, (int)(end_of(from, kind, bin) - begin_of(from, kind, bin)));
        /* readers see only whole copies, and the updater, who alone writes, is here */
        memcpy(plain(es_to.at), plain(es.at),
               idsegment_count(from, kind) * es.stride * sizeof(uint16_t));
    }
}

/* Bins 0, 1, 2, ... of a half: its bin is the bit above the old one's, then the old one's bits but
 * for the lowest, which says to which half an entry goes. */
static void
copy_half_bin(idsegment *to, idsegment *from, int kind, unsigned bin, unsigned half)
{
    const entries  es = entries_of(from, kind), es_to = entries_of(to, kind);
    const unsigned old_bin = (bin << 1 | half) & (IDSEGMENT_BINS - 1);
    const unsigned upper = bin >> (IDSEGMENT_BIN_BITS - 1);
    size_t         n = begin_of(to, kind, bin);
    identry        en;
    for (size_t i = begin_of(from, kind, old_bin); i < end_of(from, kind, old_bin); i++) {
        const uint64_t rest = rest_at(&es, i);
        if ((rest & 1) != upper) continue;
        read_content(&es, i, &en);
        write_new(&es_to, n++, rest >> 1, &en);
    }
    add_to_ends(to, kind, bin, (int)(n - begin_of(to, kind, bin)));
}

void
idsegment_copy_half(idsegment *to, idsegment *from, unsigned half)
{
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++)
        for (unsigned bin = 0; bin < IDSEGMENT_BINS; bin++)
            copy_half_bin(to, from, kind, bin, half);
}
