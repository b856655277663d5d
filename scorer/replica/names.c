#include "scorer/replica/names.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a replica per input */
#define CHUNK       64
#define CHUNKS      512
#define BLOCK_BYTES ((size_t)1 << 8)
#else
#define CHUNK       65536             /* entries */
#define CHUNKS      16384             /* at most, of them */
#define BLOCK_BYTES ((size_t)1 << 20) /* of texts */
#endif
#define FIRST_PLACES 1024 /* of the updater's index */

typedef struct {
    uint64_t    key;
    const char *text;
    uint32_t    len;
    atomic_bool gone;
} name_entry;

typedef struct name_block {
    struct name_block *next;
    size_t             used, cap;
    char               text[];
} name_block;

struct names {
    _Atomic(name_entry *) chunk[CHUNKS]; /* of CHUNK entries each */
    _Atomic size_t        end;
    /* the updater's */
    uint64_t   *place; /* (mask + 1) index + 1, 0: free; by key */
    size_t      mask, live, bytes;
    name_block *block; /* newest first */
};

names *
names_new(void)
{
    names *nm = calloc(1, sizeof *nm);
    if (!nm) return NULL;
    nm->mask = FIRST_PLACES - 1;
    nm->place = calloc(FIRST_PLACES, sizeof *nm->place);
    if (!nm->place) names_free(&nm);
    return nm;
}

void
names_free(names **nm_p)
{
    names *nm = *nm_p;
    if (!nm) return;
    for (size_t c = 0; c < CHUNKS; c++)
        free(atomic_load(&nm->chunk[c]));
    while (nm->block) {
        name_block *next = nm->block->next;
        free(nm->block);
        nm->block = next;
    }
    free(nm->place);
    free(nm);
    *nm_p = NULL;
}

static name_entry *
entry_at(const names *nm, size_t idx)
{
    return &atomic_load_explicit(&nm->chunk[idx / CHUNK], memory_order_acquire)[idx % CHUNK];
}

/* The key's place, or the free one where it belongs. */
static uint64_t *
probe_name(const names *nm, uint64_t key)
{
    for (size_t i = (size_t)key & nm->mask;; i = (i + 1) & nm->mask)
        if (!nm->place[i] || entry_at(nm, nm->place[i] - 1)->key == key) return &nm->place[i];
}

static bool
grow_name_index(names *nm)
{
    size_t    count = nm->mask + 1;
    uint64_t *old = nm->place, *grown = calloc(2 * count, sizeof *grown);
    if (!grown) return false;
    nm->place = grown;
    nm->mask = 2 * count - 1;
    for (size_t i = 0; i < count; i++)
        if (old[i]) *probe_name(nm, entry_at(nm, old[i] - 1)->key) = old[i];
    free(old);
    return true;
}

static const char *
keep_text(names *nm, const char *text, size_t len)
{
    if (!nm->block || nm->block->cap - nm->block->used < len) {
        size_t      cap = len > BLOCK_BYTES ? len : BLOCK_BYTES;
        name_block *fresh = malloc(sizeof *fresh + cap);
        if (!fresh) return NULL;
        *fresh = (name_block){.next = nm->block, .cap = cap};
        nm->block = fresh;
        nm->bytes += sizeof *fresh + cap;
    }
    char *at = nm->block->text + nm->block->used;
    memcpy(at, text, len);
    nm->block->used += len;
    return at;
}

static aa_status
add_name(names *nm, uint64_t key, const char *text, size_t len, aa_err *err)
{
    size_t idx = atomic_load(&nm->end);
    if (idx == (size_t)CHUNK * CHUNKS) return aa_fail(err, AA_ENOMEM, "%zu names", idx);
    if (idx % CHUNK == 0 && !atomic_load(&nm->chunk[idx / CHUNK])) {
        name_entry *fresh = calloc(CHUNK, sizeof *fresh);
        if (!fresh) return aa_fail(err, AA_ENOMEM, "%zu names", idx);
        atomic_store(&nm->chunk[idx / CHUNK], fresh);
        nm->bytes += CHUNK * sizeof *fresh;
    }
    if ((idx + 1) * 2 > nm->mask + 1 && !grow_name_index(nm))
        return aa_fail(err, AA_ENOMEM, "%zu names", idx);
    const char *kept = keep_text(nm, text, len);
    if (!kept) return aa_fail(err, AA_ENOMEM, "%zu names", idx);
    name_entry *en = entry_at(nm, idx);
    en->key = key;
    en->text = kept;
    en->len = (uint32_t)len;
    *probe_name(nm, key) = idx + 1;
    nm->live++;
    atomic_store_explicit(&nm->end, idx + 1, memory_order_release);
    return AA_OK;
}

aa_status
names_put(names *nm, uint64_t key, const char *text, size_t len, bool *applied, aa_err *err)
{
    const uint64_t place = *probe_name(nm, key);
    *applied = false;
    if (place) {
        name_entry *en = entry_at(nm, place - 1);
        *applied = atomic_load(&en->gone);
        nm->live += *applied;
        atomic_store(&en->gone, false);
        return AA_OK;
    }
    aa_status st = add_name(nm, key, text, len, err);
    *applied = st == AA_OK;
    return st;
}

bool
names_delete(names *nm, uint64_t key)
{
    const uint64_t place = *probe_name(nm, key);
    if (!place || atomic_exchange(&entry_at(nm, place - 1)->gone, true)) return false;
    nm->live--;
    return true;
}

size_t
names_count(const names *nm)
{
    return nm->live;
}

size_t
names_bytes(const names *nm)
{
    return sizeof *nm + nm->bytes + (nm->mask + 1) * sizeof *nm->place;
}

size_t
names_end(const names *nm)
{
    return atomic_load_explicit(&nm->end, memory_order_acquire);
}

bool
names_get(const names *nm, size_t idx, uint64_t *key, aa_text *text)
{
    const name_entry *en = entry_at(nm, idx);
    if (atomic_load_explicit(&en->gone, memory_order_acquire)) return false;
    *key = en->key;
    *text = (aa_text){en->text, en->len};
    return true;
}
