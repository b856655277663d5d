#include "scorer/replica/idmap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "scorer/replica/seqlock.h"

#define ENTRY_BYTES    64
#define FIRST_CAPACITY 1024

typedef struct {
    _Alignas(ENTRY_BYTES) _Atomic uint64_t key; /* 0: free */
    _Atomic uint64_t run_id, version, born;
    seqlock          lock;
    _Atomic uint32_t slot, mix, alt_slot, alt_mix; /* mixes: bits of the float */
    _Atomic uint32_t position;
    _Atomic uint32_t signal;
    _Atomic uint32_t dead;
} idmap_entry;
_Static_assert(sizeof(idmap_entry) == ENTRY_BYTES, "one cache line");

typedef struct {
    reclaim_node node;
    size_t       mask;  /* capacity - 1 */
    idmap_entry *entry; /* (mask + 1) */
} idmap_table;

struct idmap {
    reclaim               *rl; /* borrowed */
    _Atomic(idmap_table *) table;
    size_t                 used, live; /* updater's: entries with a key; those not dead */
};

static uint32_t
bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float
float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void
table_destroy(reclaim_node *node)
{
    idmap_table *tbl = (idmap_table *)node;
    free(tbl->entry);
    free(tbl);
}

static idmap_table *
table_new(size_t capacity)
{
    idmap_table *tbl = calloc(1, sizeof *tbl);
    if (!tbl) return NULL;
    tbl->mask = capacity - 1;
    tbl->entry = aligned_alloc(ENTRY_BYTES, capacity * ENTRY_BYTES);
    if (!tbl->entry) {
        free(tbl);
        return NULL;
    }
    memset(tbl->entry, 0, capacity * ENTRY_BYTES);
    return tbl;
}

/* The key's entry, or the free one where it belongs. */
static idmap_entry *
probe_key(const idmap_table *tbl, uint64_t key)
{
    for (size_t i = (size_t)key & tbl->mask;; i = (i + 1) & tbl->mask) {
        idmap_entry *en = &tbl->entry[i];
        uint64_t     held = atomic_load_explicit(&en->key, memory_order_acquire);
        if (held == key || held == 0) return en;
    }
}

static bool
entry_read(const idmap_entry *en, aa_assignment *out)
{
    uint32_t seq, dead;
    unsigned tries = 0;
    do {
        seq = seqlock_read_begin(&en->lock, &tries);
        out->run_id = atomic_load_explicit(&en->run_id, memory_order_acquire);
        out->version = atomic_load_explicit(&en->version, memory_order_acquire);
        out->born = atomic_load_explicit(&en->born, memory_order_acquire);
        out->slot = atomic_load_explicit(&en->slot, memory_order_acquire);
        out->mix = float_of(atomic_load_explicit(&en->mix, memory_order_acquire));
        out->alt_slot = atomic_load_explicit(&en->alt_slot, memory_order_acquire);
        out->alt_mix = float_of(atomic_load_explicit(&en->alt_mix, memory_order_acquire));
        out->position = atomic_load_explicit(&en->position, memory_order_acquire);
        out->signal = atomic_load_explicit(&en->signal, memory_order_acquire);
        dead = atomic_load_explicit(&en->dead, memory_order_acquire);
    } while (seqlock_read_again(&en->lock, seq));
    out->modulo = 0;
    return !dead;
}

static void
entry_write(idmap_entry *en, const aa_assignment *a)
{
    seqlock_write_begin(&en->lock);
    atomic_store_explicit(&en->run_id, a->run_id, memory_order_release);
    atomic_store_explicit(&en->version, a->version, memory_order_release);
    atomic_store_explicit(&en->born, a->born, memory_order_release);
    atomic_store_explicit(&en->slot, a->slot, memory_order_release);
    atomic_store_explicit(&en->mix, bits_of(a->mix), memory_order_release);
    atomic_store_explicit(&en->alt_slot, a->alt_slot, memory_order_release);
    atomic_store_explicit(&en->alt_mix, bits_of(a->alt_mix), memory_order_release);
    atomic_store_explicit(&en->position, a->position, memory_order_release);
    atomic_store_explicit(&en->signal, a->signal, memory_order_release);
    atomic_store_explicit(&en->dead, 0, memory_order_release);
    seqlock_write_end(&en->lock);
}

/* The live entries in a table with room for as many again; readers move over at the swap. */
static aa_status
rebuild(idmap *im, aa_err *err)
{
    idmap_table *old = atomic_load(&im->table);
    size_t       capacity = FIRST_CAPACITY;
    while (capacity < 2 * (im->live + 1))
        capacity *= 2;
    idmap_table *tbl = table_new(capacity);
    if (!tbl) return aa_fail(err, AA_ENOMEM, "table of %zu assignments", capacity);
    for (size_t i = 0; i <= old->mask; i++) {
        aa_assignment a;
        uint64_t      key = atomic_load(&old->entry[i].key);
        if (!key || !entry_read(&old->entry[i], &a)) continue;
        idmap_entry *en = probe_key(tbl, key);
        entry_write(en, &a);
        atomic_store(&en->key, key);
    }
    im->used = im->live;
    atomic_store(&im->table, tbl);
    reclaim_retire(im->rl, &old->node, table_destroy);
    return AA_OK;
}

idmap *
idmap_new(reclaim *rl)
{
    idmap *im = calloc(1, sizeof *im);
    if (!im) return NULL;
    im->rl = rl;
    idmap_table *tbl = table_new(FIRST_CAPACITY);
    if (!tbl) {
        free(im);
        return NULL;
    }
    atomic_init(&im->table, tbl);
    return im;
}

void
idmap_free(idmap **im_p)
{
    idmap *im = *im_p;
    if (!im) return;
    table_destroy(&atomic_load(&im->table)->node);
    free(im);
    *im_p = NULL;
}

aa_status
idmap_put(idmap *im, uint64_t key, const aa_assignment *a, bool *applied, aa_err *err)
{
    AA_REQUIRE(key != 0);
    idmap_table *tbl = atomic_load(&im->table);
    idmap_entry *en = probe_key(tbl, key);
    bool         found = atomic_load(&en->key) == key;
    *applied = false;
    if (found) {
        aa_assignment held;
        bool          live = entry_read(en, &held);
        bool          same = a->run_id == held.run_id && a->version == held.version;
        bool          newer =
            a->run_id > held.run_id || (a->run_id == held.run_id && a->version > held.version);
        if (!newer && !(same && live)) return AA_OK;
        if (!live) im->live++;
    } else {
        if ((im->used + 1) * 4 > (tbl->mask + 1) * 3) {
            aa_status st = rebuild(im, err);
            if (st != AA_OK) return st;
            en = probe_key(atomic_load(&im->table), key);
        }
        im->used++;
        im->live++;
    }
    entry_write(en, a);
    if (!found) atomic_store_explicit(&en->key, key, memory_order_release);
    *applied = true;
    return AA_OK;
}

bool
idmap_delete(idmap *im, uint64_t key)
{
    idmap_entry *en = probe_key(atomic_load(&im->table), key);
    if (atomic_load(&en->key) != key || atomic_load(&en->dead)) return false;
    seqlock_write_begin(&en->lock);
    atomic_store_explicit(&en->dead, 1, memory_order_release);
    seqlock_write_end(&en->lock);
    im->live--;
    return true;
}

size_t
idmap_count(const idmap *im)
{
    return im->live;
}

size_t
idmap_bytes(const idmap *im)
{
    return (atomic_load(&im->table)->mask + 1) * ENTRY_BYTES;
}

void
idmap_prefetch(const idmap *im, uint64_t key)
{
    const idmap_table *tbl = atomic_load_explicit(&im->table, memory_order_acquire);
    __builtin_prefetch(&tbl->entry[(size_t)key & tbl->mask]);
}

bool
idmap_get(const idmap *im, uint64_t key, aa_assignment *out)
{
    const idmap_entry *en = probe_key(atomic_load(&im->table), key);
    if (atomic_load_explicit(&en->key, memory_order_acquire) != key) return false;
    return entry_read(en, out);
}

uint64_t
idmap_digest(const idmap *im, uint64_t run_id, bool shared)
{
    const idmap_table *tbl = atomic_load(&im->table);
    uint64_t           sum = 0;
    for (size_t i = 0; i <= tbl->mask; i++) {
        aa_assignment a;
        uint64_t      key = atomic_load(&tbl->entry[i].key);
        if (!key || !entry_read(&tbl->entry[i], &a) || a.run_id != run_id) continue;
        uint32_t part[] = {a.slot,
                           bits_of(a.mix),
                           a.position,
                           shared ? a.alt_slot : 0,
                           shared ? bits_of(a.alt_mix) : 0,
                           a.signal};
        sum += aa_digest(aa_digest(key, part, sizeof part), &a.born, sizeof a.born);
    }
    return sum;
}
