#include "scorer/replica/idmap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bits.h"
#include "common/base/hash.h"
#include "scorer/replica/idcode.h"
#include "scorer/replica/idsegment.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a replica per input */
#define SPLIT 8
#else
#define SPLIT 256 /* entries of a segment */
#endif
#define FIRST_ROOM  16 /* entries of a kind */
#define SHRINK_ROOM 16 /* unused entries beyond a quarter: worth a smaller segment */
#define SPARE_DEPTH 6  /* a segment is split no deeper than the average by this */

/* A multiplication that is undone by another: keys of records are hashes already, others need not
 * be. */
#define MIX   0x9E3779B97F4A7C15u
#define UNMIX 0xF1DE83E19937733Du

typedef struct {
    reclaim_node         node;
    unsigned             depth;
    _Atomic(idsegment *) at[]; /* (2^depth) by the lower bits of the hash */
} idmap_directory;

/* An assignment that does not fit into a segment's words. Immutable. */
typedef struct {
    reclaim_node  node;
    aa_assignment a;
} idmap_long;

struct idmap {
    reclaim                   *rl; /* borrowed, as is the next */
    const runtags             *rt;
    idcode                     code;
    _Atomic(idmap_directory *) directory;
    size_t                     live, bytes; /* updater's */
};

static uint64_t
hash_of(uint64_t key)
{
    key = (key ^ key >> 32) * MIX;
    return key ^ key >> 32;
}

static uint64_t
key_of(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * UNMIX;
    return hash ^ hash >> 32;
}

/* ---- directory ---- */

static idmap_directory *
directory_new(unsigned depth)
{
    const size_t     count = (size_t)1 << depth;
    idmap_directory *dir = malloc(sizeof *dir + count * sizeof dir->at[0]);
    if (dir) *dir = (idmap_directory){.depth = depth};
    return dir;
}

static size_t
directory_bytes(const idmap_directory *dir)
{
    return sizeof *dir + ((size_t)1 << dir->depth) * sizeof dir->at[0];
}

static idsegment *
segment_of(const idmap *im, uint64_t hash)
{
    const idmap_directory *dir = atomic_load(&im->directory);
    return atomic_load(&dir->at[hash & (((uint64_t)1 << dir->depth) - 1)]);
}

static uint64_t
number_of(const idsegment *sg, uint64_t hash)
{
    return hash & (((uint64_t)1 << sg->depth) - 1);
}

/* Twice as many places, each segment in two. */
static bool
grow_directory(idmap *im)
{
    idmap_directory *old = atomic_load(&im->directory), *dir = directory_new(old->depth + 1);
    const size_t     count = (size_t)1 << old->depth;
    if (!dir) return false;
    for (size_t i = 0; i < 2 * count; i++)
        atomic_init(&dir->at[i], atomic_load(&old->at[i & (count - 1)]));
    im->bytes += directory_bytes(dir) - directory_bytes(old);
    atomic_store(&im->directory, dir);
    reclaim_retire(im->rl, &old->node, reclaim_free_node);
    return true;
}

/* All places of the segment's number get it. */
static void
enter_segment(idmap *im, idsegment *sg, uint64_t number)
{
    idmap_directory *dir = atomic_load(&im->directory);
    const uint64_t   count = (uint64_t)1 << dir->depth, step = (uint64_t)1 << sg->depth;
    for (uint64_t i = number; i < count; i += step)
        atomic_store(&dir->at[i], sg);
    im->bytes += idsegment_bytes(sg);
}

static void
retire_segment(idmap *im, idsegment *sg)
{
    im->bytes -= idsegment_bytes(sg);
    reclaim_retire(im->rl, &sg->node, reclaim_free_node);
}

/* Every segment once. */
static void
each_segment(const idmap *im, void (*visit)(void *arg, idsegment *sg, uint64_t number), void *arg)
{
    const idmap_directory *dir = atomic_load(&im->directory);
    for (uint64_t i = 0; i < (uint64_t)1 << dir->depth; i++) {
        idsegment *sg = atomic_load(&dir->at[i]);
        if (number_of(sg, i) == i) visit(arg, sg, i);
    }
}

/* ---- assignments in words ---- */

static idmap_long *
long_of(const identry *en)
{
    return en->kind == IDSEGMENT_OWN ? idcode_pointer(en->word) : NULL;
}

static void
read_entry(const idmap *im, const identry *en, aa_assignment *a)
{
    const idmap_long *held = long_of(en);
    if (held) {
        *a = held->a;
        a->run_id = idcode_tag(en->word[0]);
    } else if (en->kind == IDSEGMENT_OWN) {
        idcode_unpack_own(&im->code, en->word, a);
    } else {
        idcode_unpack_shared(&im->code, en->word, a);
    }
    a->signal = en->signal;
}

/* *made: what the entry points to, or NULL. False: out of memory. */
static bool
write_entry(idmap *im, const aa_assignment *a, identry *en, idmap_long **made)
{
    const uint32_t tag = runtags_find(im->rt, a->run_id);
    *made = NULL;
    en->signal = (uint16_t)a->signal; /* at most AA_SIGNAL_CODE: unpacking checks it */
    en->kind = a->born > 0 ? IDSEGMENT_OWN : IDSEGMENT_SHARED;
    if (a->born > 0 ? idcode_pack_own(&im->code, a, tag, en->word)
                    : idcode_pack_shared(&im->code, a, tag, en->word))
        return true;
    *made = malloc(sizeof **made);
    if (!*made) return false;
    **made = (idmap_long){.a = *a};
    (*made)->a.born = idcode_born(a->born);
    (*made)->a.version = (*made)->a.modulo = 0;
    en->kind = IDSEGMENT_OWN;
    idcode_pack_pointer(*made, tag, en->word);
    return true;
}

static void
retire_long(idmap *im, idmap_long *held)
{
    if (!held) return;
    im->bytes -= sizeof *held;
    reclaim_retire(im->rl, &held->node, reclaim_free_node);
}

/* ---- growth ---- */

static size_t
room_for(size_t count)
{
    return count ? count + count / 32 + 2 : 0;
}

/* A copy of a segment with room for one more of a kind, in its place. */
static bool
replace_segment(idmap *im, idsegment *sg, uint64_t number, int kind)
{
    size_t cap[IDSEGMENT_KINDS];
    for (int i = 0; i < IDSEGMENT_KINDS; i++)
        cap[i] = room_for(idsegment_count(sg, i) + (i == kind));
    if (cap[kind] > IDSEGMENT_MOST) return false;
    idsegment *copy = idsegment_new(sg->depth, cap);
    if (!copy) return false;
    idsegment_copy(copy, sg);
    enter_segment(im, copy, number);
    retire_segment(im, sg);
    return true;
}

/* How many entries of each kind a half of the segment has. */
typedef struct {
    uint64_t bit;
    size_t   count[2][IDSEGMENT_KINDS];
} halves;

static void
count_halves(void *arg, const identry *en)
{
    halves *ha = arg;
    ha->count[(en->hash & ha->bit) != 0][en->kind]++;
}

static bool
split_segment(idmap *im, idsegment *sg, uint64_t number)
{
    const unsigned depth = sg->depth;
    halves         ha = {.bit = (uint64_t)1 << depth};
    idsegment     *half[2] = {NULL, NULL};
    if (atomic_load(&im->directory)->depth == depth && !grow_directory(im)) return false;
    idsegment_each(sg, number, count_halves, &ha);
    for (int i = 0; i < 2; i++) {
        size_t cap[IDSEGMENT_KINDS];
        for (int kind = 0; kind < IDSEGMENT_KINDS; kind++)
            cap[kind] = room_for(ha.count[i][kind]);
        half[i] = idsegment_new(depth + 1, cap);
    }
    if (!half[0] || !half[1]) {
        free(half[0]);
        free(half[1]);
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        idsegment_copy_half(half[i], sg, i);
        enter_segment(im, half[i], number | (uint64_t)i << depth);
    }
    retire_segment(im, sg);
    return true;
}

/* ---- updater ---- */

idmap *
idmap_new(const aa_conf *cfg, reclaim *rl, const runtags *rt)
{
    const size_t     cap[IDSEGMENT_KINDS] = {FIRST_ROOM, FIRST_ROOM};
    idmap           *im = calloc(1, sizeof *im);
    idmap_directory *dir = directory_new(0);
    idsegment       *sg = idsegment_new(0, cap);
    if (!im || !dir || !sg) {
        free(im);
        free(dir);
        free(sg);
        return NULL;
    }
    *im = (idmap){.rl = rl, .rt = rt, .code = idcode_of(cfg)};
    atomic_init(&dir->at[0], sg);
    atomic_init(&im->directory, dir);
    im->bytes = sizeof *im + directory_bytes(dir) + idsegment_bytes(sg);
    return im;
}

static void
free_long(void *arg, const identry *en)
{
    (void)arg;
    free(long_of(en));
}

static void
free_segment(void *arg, idsegment *sg, uint64_t number)
{
    idsegment_each(sg, number, free_long, arg);
}

void
idmap_free(idmap **im_p)
{
    idmap *im = *im_p;
    if (!im) return;
    idmap_directory *dir = atomic_load(&im->directory);
    each_segment(im, free_segment, NULL);
    for (uint64_t i = ((uint64_t)1 << dir->depth); i-- > 0;) { /* a segment's number comes last */
        idsegment *sg = atomic_load(&dir->at[i]);
        if (number_of(sg, i) == i) free(sg);
    }
    free(dir);
    free(im);
    *im_p = NULL;
}

/* Hashes of bad or chosen keys may agree in many bits: then a segment grows, not the directory. */
static bool
may_split(const idmap *im, const idsegment *sg)
{
    return ((uint64_t)1 << sg->depth) <= ((uint64_t)im->live / SPLIT + 1) << SPARE_DEPTH;
}

/* The hash's segment, with room for one more of the kind. NULL: out of memory. */
static idsegment *
segment_with_room(idmap *im, uint64_t hash, int kind)
{
    for (;;) {
        idsegment   *sg = segment_of(im, hash);
        const size_t count = idsegment_count(sg, 0) + idsegment_count(sg, 1);
        if (idsegment_count(sg, kind) < sg->cap[kind]) return sg;
        const bool done = count >= SPLIT && may_split(im, sg)
                              ? split_segment(im, sg, number_of(sg, hash))
                              : replace_segment(im, sg, number_of(sg, hash), kind);
        if (!done) return NULL;
    }
}

aa_status
idmap_put(idmap *im, uint64_t key, const aa_assignment *a, bool *applied, aa_err *err)
{
    AA_REQUIRE(key != 0);
    const uint64_t hash = hash_of(key);
    identry        held, en = {.hash = hash};
    idmap_long    *made = NULL, *was = NULL;
    idsegment     *sg = segment_of(im, hash);
    const bool     found = idsegment_get(sg, hash, &held);
    *applied = false;
    if (found && runtags_is_older(im->rt, a->run_id, idcode_tag(held.word[0]))) return AA_OK;
    if (!write_entry(im, a, &en, &made)) return aa_fail(err, AA_ENOMEM, "an assignment");
    if (found) was = long_of(&held);
    if (!idsegment_put(sg, &en)) {
        sg = segment_with_room(im, hash, en.kind);
        if (!sg) {
            free(made);
            return aa_fail(err, AA_ENOMEM, "a table of %zu assignments", im->live);
        }
        AA_REQUIRE(idsegment_put(sg, &en));
    }
    im->live += !found;
    im->bytes += made ? sizeof *made : 0;
    retire_long(im, was);
    *applied = true;
    return AA_OK;
}

bool
idmap_delete(idmap *im, uint64_t key)
{
    const uint64_t hash = hash_of(key);
    idsegment     *sg = segment_of(im, hash);
    identry        held;
    if (!idsegment_get(sg, hash, &held) || !idsegment_remove(sg, hash)) return false;
    retire_long(im, long_of(&held));
    im->live--;
    for (int kind = 0; kind < IDSEGMENT_KINDS; kind++) {
        const size_t count = idsegment_count(sg, kind);
        if (sg->cap[kind] - count < SHRINK_ROOM + sg->cap[kind] / 4u) continue;
        replace_segment(im, sg, number_of(sg, hash), kind); /* smaller; if not, it stays as it is */
        break;
    }
    return true;
}

static void
retag_segment(void *arg, idsegment *sg, uint64_t number)
{
    (void)number;
    idsegment_retag(sg, *(const uint32_t *)arg, RUNTAGS_OLDER);
}

void
idmap_retag(idmap *im, uint32_t tag)
{
    each_segment(im, retag_segment, &tag);
}

size_t
idmap_count(const idmap *im)
{
    return im->live;
}

size_t
idmap_bytes(const idmap *im)
{
    return im->bytes;
}

/* ---- readers ---- */

void
idmap_prefetch(const idmap *im, uint64_t key)
{
    idsegment_prefetch(segment_of(im, hash_of(key)));
}

void
idmap_prefetch_bin(const idmap *im, uint64_t key)
{
    const uint64_t hash = hash_of(key);
    idsegment_prefetch_bin(segment_of(im, hash), hash);
}

bool
idmap_get(const idmap *im, uint64_t key, aa_assignment *out)
{
    const uint64_t hash = hash_of(key);
    identry        en;
    if (!idsegment_get(segment_of(im, hash), hash, &en)) return false;
    read_entry(im, &en, out);
    return true;
}

/* ---- digest ---- */

typedef struct {
    const idmap *im;
    uint32_t     tag;
    bool         shared;
    uint64_t     sum;
} digest_job;

static void
digest_entry(void *arg, const identry *en)
{
    digest_job   *dj = arg;
    aa_assignment a;
    read_entry(dj->im, en, &a);
    if (a.run_id != dj->tag) return;
    uint32_t part[] = {a.slot,
                       aa_float_bits(a.mix),
                       a.position,
                       dj->shared ? a.alt_slot : 0,
                       dj->shared ? aa_float_bits(a.alt_mix) : 0,
                       a.signal};
    uint64_t d = aa_digest(key_of(en->hash), part, sizeof part);
    dj->sum += aa_digest(d, &a.born, sizeof a.born);
}

static void
digest_segment(void *arg, idsegment *sg, uint64_t number)
{
    idsegment_each(sg, number, digest_entry, arg);
}

uint64_t
idmap_digest(const idmap *im, uint32_t tag, bool shared)
{
    digest_job dj = {.im = im, .tag = tag, .shared = shared};
    each_segment(im, digest_segment, &dj);
    return dj.sum;
}
