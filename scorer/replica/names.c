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

enum { TICK_S = 30, LEAST_WASTE = 1024 };

typedef struct {
    uint64_t         key;
    const char      *text;
    uint32_t         len;
    _Atomic uint32_t hidden_s; /* 0: shown; else since when */
} name_entry;

typedef struct name_block {
    struct name_block *next;
    size_t             used, cap;
    char               text[];
} name_block;

struct names_list {
    reclaim_node          node;
    _Atomic(name_entry *) chunk[CHUNKS]; /* of CHUNK entries each */
    _Atomic size_t        end;
    size_t                bytes; /* updater's, as is the next */
    name_block           *block; /* newest first */
};

struct names {
    reclaim              *rl; /* borrowed */
    _Atomic(names_list *) list;
    /* the updater's */
    uint64_t *place; /* (mask + 1) index + 1, 0: free; by key */
    size_t    mask, shown;
    uint32_t  now_s, ticked_s; /* 1, 2, ... since the first tick */
    int64_t   began_ms;
};

static void
list_destroy(reclaim_node *node)
{
    names_list *nl = (names_list *)node;
    if (!nl) return;
    for (size_t c = 0; c < CHUNKS; c++)
        free(atomic_load(&nl->chunk[c]));
    while (nl->block) {
        name_block *next = nl->block->next;
        free(nl->block);
        nl->block = next;
    }
    free(nl);
}

names *
names_new(reclaim *rl)
{
    names *nm = calloc(1, sizeof *nm);
    if (!nm) return NULL;
    nm->rl = rl;
    nm->now_s = 1;
    nm->mask = FIRST_PLACES - 1;
    nm->place = calloc(FIRST_PLACES, sizeof *nm->place);
    atomic_init(&nm->list, calloc(1, sizeof(names_list)));
    if (!nm->place || !atomic_load(&nm->list)) names_free(&nm);
    return nm;
}

void
names_free(names **nm_p)
{
    names *nm = *nm_p;
    if (!nm) return;
    list_destroy((reclaim_node *)atomic_load(&nm->list));
    free(nm->place);
    free(nm);
    *nm_p = NULL;
}

static name_entry *
entry_at(const names_list *nl, size_t idx)
{
    return &atomic_load_explicit(&nl->chunk[idx / CHUNK], memory_order_acquire)[idx % CHUNK];
}

/* ---- updater ---- */

/* The key's place in an index of a list, or the free one where it belongs. */
static uint64_t *
probe_name(const names_list *nl, uint64_t *place, size_t mask, uint64_t key)
{
    for (size_t i = (size_t)key & mask;; i = (i + 1) & mask)
        if (!place[i] || entry_at(nl, place[i] - 1)->key == key) return &place[i];
}

static bool
grow_name_index(names *nm)
{
    const names_list *nl = atomic_load(&nm->list);
    size_t            count = nm->mask + 1, mask = 2 * count - 1;
    uint64_t         *grown = calloc(2 * count, sizeof *grown);
    if (!grown) return false;
    for (size_t i = 0; i < count; i++)
        if (nm->place[i])
            *probe_name(nl, grown, mask, entry_at(nl, nm->place[i] - 1)->key) = nm->place[i];
    free(nm->place);
    nm->place = grown;
    nm->mask = mask;
    return true;
}

static const char *
keep_text(names_list *nl, const char *text, size_t len)
{
    if (!nl->block || nl->block->cap - nl->block->used < len) {
        size_t      cap = len > BLOCK_BYTES ? len : BLOCK_BYTES;
        name_block *fresh = malloc(sizeof *fresh + cap);
        if (!fresh) return NULL;
        *fresh = (name_block){.next = nl->block, .cap = cap};
        nl->block = fresh;
        nl->bytes += sizeof *fresh + cap;
    }
    char *at = nl->block->text + nl->block->used;
    memcpy(at, text, len);
    nl->block->used += len;
    return at;
}

/* At the list's end; readers may see it at once. False: out of memory, or of room. */
static bool
append_name(names_list *nl, uint64_t key, const char *text, size_t len, uint32_t hidden_s)
{
    size_t idx = atomic_load(&nl->end);
    if (idx == (size_t)CHUNK * CHUNKS) return false;
    if (idx % CHUNK == 0 && !atomic_load(&nl->chunk[idx / CHUNK])) {
        name_entry *fresh = calloc(CHUNK, sizeof *fresh);
        if (!fresh) return false;
        atomic_store(&nl->chunk[idx / CHUNK], fresh);
        nl->bytes += CHUNK * sizeof *fresh;
    }
    const char *kept = keep_text(nl, text, len);
    if (!kept) return false;
    name_entry *en = entry_at(nl, idx);
    en->key = key;
    en->text = kept;
    en->len = (uint32_t)len;
    atomic_store_explicit(&en->hidden_s, hidden_s, memory_order_relaxed);
    atomic_store_explicit(&nl->end, idx + 1, memory_order_release);
    return true;
}

aa_status
names_put(names *nm, uint64_t key, const char *text, size_t len, bool shown, bool *applied,
          aa_err *err)
{
    names_list *nl = atomic_load(&nm->list);
    size_t      idx = atomic_load(&nl->end);
    *applied = false;
    if (*probe_name(nl, nm->place, nm->mask, key)) {
        names_show(nm, key, shown);
        return AA_OK;
    }
    if (((idx + 1) * 2 > nm->mask + 1 && !grow_name_index(nm)) ||
        !append_name(nl, key, text, len, shown ? 0 : nm->now_s))
        return aa_fail(err, AA_ENOMEM, "out of memory: %zu names", idx);
    *probe_name(nl, nm->place, nm->mask, key) = idx + 1;
    nm->shown += shown;
    *applied = true;
    return AA_OK;
}

void
names_show(names *nm, uint64_t key, bool shown)
{
    const names_list *nl = atomic_load(&nm->list);
    const uint64_t    place = *probe_name(nl, nm->place, nm->mask, key);
    if (!place) return;
    name_entry *en = entry_at(nl, place - 1);
    if (shown == (atomic_load(&en->hidden_s) == 0)) return;
    atomic_store(&en->hidden_s, shown ? 0 : nm->now_s);
    nm->shown = shown ? nm->shown + 1 : nm->shown - 1;
}

void
names_show_all(names *nm)
{
    const names_list *nl = atomic_load(&nm->list);
    nm->shown = atomic_load(&nl->end);
    for (size_t i = 0; i < nm->shown; i++)
        atomic_store(&entry_at(nl, i)->hidden_s, 0);
}

static bool
can_go(const names *nm, const name_entry *en)
{
    const uint32_t hidden_s = atomic_load(&en->hidden_s);
    return hidden_s > 0 && nm->now_s - hidden_s > NAMES_KEEP_S;
}

/* A list without what can go; `left` names are in it. */
static bool
rebuild_list(names *nm, size_t left)
{
    names_list *old = atomic_load(&nm->list), *fresh = calloc(1, sizeof *fresh);
    size_t      count = FIRST_PLACES;
    while (count < 4 * left)
        count *= 2;
    uint64_t *place = calloc(count, sizeof *place);
    bool      complete = fresh && place;
    for (size_t i = 0, end = atomic_load(&old->end); complete && i < end; i++) {
        const name_entry *en = entry_at(old, i);
        if (can_go(nm, en)) continue;
        complete = append_name(fresh, en->key, en->text, en->len, atomic_load(&en->hidden_s));
        if (complete) *probe_name(fresh, place, count - 1, en->key) = atomic_load(&fresh->end);
    }
    if (!complete) {
        list_destroy((reclaim_node *)fresh);
        free(place);
        return false;
    }
    free(nm->place);
    nm->place = place;
    nm->mask = count - 1;
    atomic_store(&nm->list, fresh);
    reclaim_retire(nm->rl, &old->node, list_destroy);
    return true;
}

aa_status
names_tick(names *nm, int64_t now_ms, aa_err *err)
{
    const names_list *nl = atomic_load(&nm->list);
    const size_t      end = atomic_load(&nl->end);
    size_t            waste = 0;
    if (nm->began_ms == 0) nm->began_ms = now_ms;
    nm->now_s = (uint32_t)((now_ms - nm->began_ms) / 1000) + 1;
    if (nm->now_s - nm->ticked_s < TICK_S) return AA_OK;
    nm->ticked_s = nm->now_s;
    for (size_t i = 0; i < end; i++)
        waste += can_go(nm, entry_at(nl, i));
    if (waste < LEAST_WASTE || waste * 4 < end || rebuild_list(nm, end - waste)) return AA_OK;
    return aa_fail(err, AA_ENOMEM, "out of memory: a new list of %zu names", end - waste);
}

size_t
names_count(const names *nm)
{
    return nm->shown;
}

size_t
names_bytes(const names *nm)
{
    const names_list *nl = atomic_load(&nm->list);
    return sizeof *nm + sizeof *nl + nl->bytes + (nm->mask + 1) * sizeof *nm->place;
}

/* ---- readers ---- */

const names_list *
names_now(const names *nm)
{
    return atomic_load(&nm->list);
}

size_t
names_end(const names_list *nl)
{
    return atomic_load_explicit(&nl->end, memory_order_acquire);
}

bool
names_get(const names_list *nl, size_t idx, uint64_t *key, aa_text *text)
{
    const name_entry *en = entry_at(nl, idx);
    if (atomic_load_explicit(&en->hidden_s, memory_order_acquire) != 0) return false;
    *key = en->key;
    *text = (aa_text){en->text, en->len};
    return true;
}
