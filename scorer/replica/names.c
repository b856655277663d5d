#include "scorer/replica/names.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a replica per input */
#define CHUNK       64
#define CHUNKS      512
#define BLOCK_BYTES ((size_t)1 << 8)
#define BLOCKS      1024
#else
#define CHUNK       16384             /* entries */
#define CHUNKS      65536             /* at most, of them */
#define BLOCK_BYTES ((size_t)1 << 20) /* of texts */
#define BLOCKS      8192              /* at most, of them */
#endif
#define FIRST_PLACES 1024 /* of the updater's index */

enum { TICK_S = 30, LEAST_WASTE = 1024, AT_BYTES = 2 /* that one step of name_entry.at is */ };

typedef struct {
    uint32_t         at; /* where its length and text begin, in the blocks one after the other */
    _Atomic uint32_t hidden_s; /* 0: shown; else since when */
} name_entry;

/* Memory of one block, or of several for one long text. */
typedef struct name_memory {
    struct name_memory *next;
    uint8_t             bytes[];
} name_memory;

/* Both arrays of pointers are mostly zeros that no memory stands behind. */
struct names_list {
    reclaim_node          node;
    _Atomic(name_entry *) chunk[CHUNKS]; /* of CHUNK entries each */
    _Atomic(uint8_t *)    block[BLOCKS]; /* of BLOCK_BYTES each */
    _Atomic size_t        end;
    size_t                bytes;      /* updater's, as is the rest */
    size_t                used, made; /* bytes of the blocks */
    name_memory          *memory;
};

struct names {
    reclaim              *rl; /* borrowed */
    _Atomic(names_list *) list;
    /* the updater's */
    uint32_t *place; /* (mask + 1) index + 1, 0: free; by key */
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
    while (nl->memory) {
        name_memory *next = nl->memory->next;
        free(nl->memory);
        nl->memory = next;
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

static aa_text
text_of(const names_list *nl, const name_entry *en)
{
    const size_t   at = (size_t)en->at * AT_BYTES;
    const uint8_t *byte = atomic_load_explicit(&nl->block[at / BLOCK_BYTES], memory_order_acquire);
    aa_text        text = {0};
    byte += at % BLOCK_BYTES;
    for (unsigned shift = 0;; shift += 7) {
        text.len |= (size_t)(*byte & 0x7f) << shift;
        if (!(*byte++ & 0x80)) break;
    }
    text.data = (const char *)byte;
    return text;
}

static uint64_t
key_at(const names_list *nl, size_t idx)
{
    const aa_text text = text_of(nl, entry_at(nl, idx));
    return aa_id_key(text.data, text.len);
}

/* ---- updater ---- */

/* The key's place in an index of a list, or the free one where it belongs. */
static uint32_t *
probe_name(const names_list *nl, uint32_t *place, size_t mask, uint64_t key)
{
    for (size_t i = (size_t)key & mask;; i = (i + 1) & mask)
        if (!place[i] || key_at(nl, place[i] - 1) == key) return &place[i];
}

static bool
grow_name_index(names *nm)
{
    const names_list *nl = atomic_load(&nm->list);
    size_t            count = nm->mask + 1, mask = 2 * count - 1;
    uint32_t         *grown = calloc(2 * count, sizeof *grown);
    if (!grown) return false;
    for (size_t i = 0; i < count; i++)
        if (nm->place[i]) *probe_name(nl, grown, mask, key_at(nl, nm->place[i] - 1)) = nm->place[i];
    free(nm->place);
    nm->place = grown;
    nm->mask = mask;
    return true;
}

/* Room for so many bytes side by side: where it is, or SIZE_MAX. */
static size_t
take_bytes(names_list *nl, size_t len)
{
    nl->used = (nl->used + AT_BYTES - 1) / AT_BYTES * AT_BYTES;
    if (nl->made - nl->used < len) {
        const size_t blocks = (len + BLOCK_BYTES - 1) / BLOCK_BYTES, first = nl->made / BLOCK_BYTES;
        name_memory *fresh;
        if (first + blocks > BLOCKS) return SIZE_MAX;
        fresh = malloc(sizeof *fresh + blocks * BLOCK_BYTES);
        if (!fresh) return SIZE_MAX;
        fresh->next = nl->memory;
        nl->memory = fresh;
        for (size_t i = 0; i < blocks; i++)
            atomic_store_explicit(&nl->block[first + i], fresh->bytes + i * BLOCK_BYTES,
                                  memory_order_release);
        nl->used = nl->made;
        nl->made += blocks * BLOCK_BYTES;
        nl->bytes += sizeof *fresh + blocks * BLOCK_BYTES;
    }
    const size_t at = nl->used;
    nl->used += len;
    return at;
}

/* The text and its length before it, 7 bits a byte, lowest first: where, or SIZE_MAX. */
static size_t
keep_text(names_list *nl, const char *text, size_t len)
{
    uint8_t head[10];
    size_t  head_len = 0;
    for (size_t left = len; head_len == 0 || left > 0; left >>= 7)
        head[head_len++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    const size_t at = take_bytes(nl, head_len + len);
    if (at == SIZE_MAX) return at;
    uint8_t *to = atomic_load(&nl->block[at / BLOCK_BYTES]) + at % BLOCK_BYTES;
    memcpy(to, head, head_len);
    memcpy(to + head_len, text, len);
    return at;
}

/* At the list's end; readers may see it at once. False: out of memory, or of room. */
static bool
append_name(names_list *nl, const char *text, size_t len, uint32_t hidden_s)
{
    size_t idx = atomic_load(&nl->end);
    if (idx == (size_t)CHUNK * CHUNKS) return false;
    if (idx % CHUNK == 0 && !atomic_load(&nl->chunk[idx / CHUNK])) {
        name_entry *fresh = calloc(CHUNK, sizeof *fresh);
        if (!fresh) return false;
        atomic_store(&nl->chunk[idx / CHUNK], fresh);
        nl->bytes += CHUNK * sizeof *fresh;
    }
    const size_t kept = keep_text(nl, text, len);
    if (kept == SIZE_MAX) return false;
    name_entry *en = entry_at(nl, idx);
    en->at = (uint32_t)(kept / AT_BYTES);
    atomic_store_explicit(&en->hidden_s, hidden_s, memory_order_relaxed);
    atomic_store_explicit(&nl->end, idx + 1, memory_order_release);
    return true;
}

aa_status
names_put(names *nm, const char *text, size_t len, bool shown, bool *applied, aa_err *err)
{
    const uint64_t key = aa_id_key(text, len);
    names_list    *nl = atomic_load(&nm->list);
    size_t         idx = atomic_load(&nl->end);
    *applied = false;
    if (*probe_name(nl, nm->place, nm->mask, key)) {
        names_show(nm, key, shown);
        return AA_OK;
    }
    if (((idx + 1) * 4 > (nm->mask + 1) * 3 && !grow_name_index(nm)) ||
        !append_name(nl, text, len, shown ? 0 : nm->now_s))
        return aa_fail(err, AA_ENOMEM, "out of memory: %zu names", idx);
    *probe_name(nl, nm->place, nm->mask, key) = (uint32_t)idx + 1;
    nm->shown += shown;
    *applied = true;
    return AA_OK;
}

void
names_show(names *nm, uint64_t key, bool shown)
{
    const names_list *nl = atomic_load(&nm->list);
    const uint32_t    place = *probe_name(nl, nm->place, nm->mask, key);
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
    while (count < 2 * left)
        count *= 2;
    uint32_t *place = calloc(count, sizeof *place);
    bool      complete = fresh && place;
    for (size_t i = 0, end = atomic_load(&old->end); complete && i < end; i++) {
        const name_entry *en = entry_at(old, i);
        if (can_go(nm, en)) continue;
        const aa_text text = text_of(old, en);
        uint32_t     *at = probe_name(fresh, place, count - 1, aa_id_key(text.data, text.len));
        complete = append_name(fresh, text.data, text.len, atomic_load(&en->hidden_s));
        if (complete) *at = (uint32_t)atomic_load(&fresh->end);
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
    return sizeof *nm + nl->bytes - (nl->made - nl->used) + (nm->mask + 1) * sizeof *nm->place;
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
    *text = text_of(nl, en);
    *key = aa_id_key(text->data, text->len);
    return true;
}
