#include "assigner/inflight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/sections.h"
#include "common/base/hash.h"
#include "common/messages/batch.h"

aa_status
inflight_init(inflight *fl, size_t F, size_t depth, bool with_keys, bool with_odds, aa_err *err)
{
    *fl = (inflight){.F = F, .R = depth + 1, .with_keys = with_keys, .with_odds = with_odds};
    fl->batch = calloc(fl->R, sizeof *fl->batch);
    return fl->batch ? AA_OK : aa_fail(err, AA_ENOMEM, "%zu batches in flight", fl->R);
}

void
inflight_fini(inflight *fl)
{
    for (size_t i = 0; fl->batch && i < fl->R; i++) {
        free(fl->batch[i].word);
        free(fl->batch[i].field);
        free(fl->batch[i].key);
        free(fl->batch[i].odds);
    }
    free(fl->batch);
    *fl = (inflight){0};
}

static aa_status
grow_array(void **a, size_t *cap, size_t count, size_t size, aa_err *err)
{
    if (count <= *cap) return AA_OK;
    size_t more = *cap * 2 > count ? *cap * 2 : count;
    void  *p = realloc(*a, more * size);
    if (!p) return aa_fail(err, AA_ENOMEM, "%zu decisions in flight", more);
    *a = p;
    *cap = more;
    return AA_OK;
}

static aa_status
grow_u32(uint32_t **a, size_t *cap, size_t count, aa_err *err)
{
    void     *p = *a;
    aa_status st = grow_array(&p, cap, count, sizeof **a, err);
    *a = p;
    return st;
}

static aa_status
grow_u64(uint64_t **a, size_t *cap, size_t count, aa_err *err)
{
    void     *p = *a;
    aa_status st = grow_array(&p, cap, count, sizeof **a, err);
    *a = p;
    return st;
}

static aa_status
grow_odds(inflight_batch *ib, size_t count, aa_err *err)
{
    const size_t before = ib->odds_cap;
    void        *p = ib->odds;
    aa_status    st = grow_array(&p, &ib->odds_cap, count, sizeof *ib->odds, err);
    ib->odds = p;
    if (st == AA_OK && ib->odds_cap > before)
        memset(ib->odds + before, 0, (ib->odds_cap - before) * sizeof *ib->odds);
    return st;
}

aa_status
inflight_begin(inflight *fl, uint64_t seq, size_t n, inflight_batch **out, aa_err *err)
{
    inflight_batch *ib = &fl->batch[seq % fl->R];
    aa_status       st = grow_u32(&ib->word, &ib->word_cap, n * fl->F, err);
    if (st == AA_OK && fl->with_keys) st = grow_u64(&ib->key, &ib->key_cap, n * fl->F, err);
    if (st == AA_OK && fl->with_odds) st = grow_odds(ib, n * fl->F, err);
    ib->seq = seq;
    ib->n = n;
    ib->s = 0;
    *out = ib;
    return st;
}

aa_status
inflight_sweep(inflight *fl, inflight_batch *ib, uint32_t field, uint32_t word, aa_err *err)
{
    aa_status st = grow_u32(&ib->word, &ib->word_cap, ib->n * fl->F + ib->s + 1, err);
    if (st == AA_OK) st = grow_u32(&ib->field, &ib->field_cap, ib->s + 1, err);
    if (st != AA_OK) return st;
    ib->word[ib->n * fl->F + ib->s] = word;
    ib->field[ib->s++] = field;
    return AA_OK;
}

const inflight_batch *
inflight_at(const inflight *fl, uint64_t seq)
{
    const inflight_batch *ib = &fl->batch[seq % fl->R];
    AA_REQUIRE(ib->seq == seq);
    return ib;
}

size_t
inflight_bytes(const inflight *fl)
{
    size_t bytes = fl->R * sizeof *fl->batch;
    for (size_t i = 0; i < fl->R; i++) {
        const inflight_batch *ib = &fl->batch[i];
        bytes += (ib->word_cap + ib->field_cap) * sizeof *ib->word + ib->key_cap * sizeof *ib->key +
                 ib->odds_cap * sizeof *ib->odds;
    }
    return bytes;
}

/* ---- digest and checkpoint ---- */

uint64_t
inflight_digest(const inflight *fl, uint64_t d, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq < last; seq++) {
        const inflight_batch *ib = inflight_at(fl, seq);
        uint64_t              head[3] = {ib->seq, ib->n, ib->s};
        size_t                m = ib->n * fl->F;
        d = aa_digest(d, head, sizeof head);
        if (m + ib->s > 0) d = aa_digest(d, ib->word, (m + ib->s) * sizeof *ib->word);
        if (ib->s > 0) d = aa_digest(d, ib->field, ib->s * sizeof *ib->field);
        if (fl->with_keys && m > 0) d = aa_digest(d, ib->key, m * sizeof *ib->key);
        if (fl->with_odds && m > 0) d = aa_digest(d, ib->odds, m * sizeof *ib->odds);
    }
    return d;
}

/* Sections: the sizes of each batch, then all batches' arrays one after the other. */
typedef struct {
    uint64_t n, s;
} sizes;

static size_t
word_count(const inflight *fl, const inflight_batch *ib)
{
    return ib->n * fl->F + ib->s;
}

enum { WORD, FIELD, KEY, ODDS, PARTS };
static const char *const part_name[PARTS] = {"word", "field", "key", "odds"};

static const void *
part_of(const inflight *fl, const inflight_batch *ib, int part, size_t *len_bytes)
{
    switch (part) {
    case WORD: *len_bytes = word_count(fl, ib) * sizeof *ib->word; return ib->word;
    case FIELD: *len_bytes = ib->s * sizeof *ib->field; return ib->field;
    case ODDS: *len_bytes = fl->with_odds ? ib->n * fl->F * sizeof *ib->odds : 0; return ib->odds;
    default: *len_bytes = fl->with_keys ? ib->n * fl->F * sizeof *ib->key : 0; return ib->key;
    }
}

static aa_status
save_part(const inflight *fl, int part, uint64_t first, uint64_t last, aa_ckpt_writer *w,
          aa_err *err)
{
    size_t all = 0, len;
    for (uint64_t seq = first; seq < last; seq++) {
        part_of(fl, inflight_at(fl, seq), part, &len);
        all += len;
    }
    aa_status st = sections_begin(w, "inflight", part_name[part], all, err);
    for (uint64_t seq = first; st == AA_OK && seq < last; seq++) {
        const void *data = part_of(fl, inflight_at(fl, seq), part, &len);
        if (len > 0) st = aa_ckpt_append(w, data, len, err);
    }
    return st;
}

aa_status
inflight_save(const inflight *fl, uint64_t first, uint64_t last, aa_ckpt_writer *w, aa_err *err)
{
    aa_status st =
        sections_begin(w, "inflight", "sizes", (size_t)(last - first) * sizeof(sizes), err);
    for (uint64_t seq = first; st == AA_OK && seq < last; seq++) {
        const inflight_batch *ib = inflight_at(fl, seq);
        sizes                 sz = {ib->n, ib->s};
        st = aa_ckpt_append(w, &sz, sizeof sz, err);
    }
    for (int part = 0; st == AA_OK && part < PARTS; part++)
        st = save_part(fl, part, first, last, w, err);
    return st;
}

static aa_status
check_batch(const inflight *fl, const inflight_batch *ib, uint32_t states, aa_err *err)
{
    for (size_t i = 0; i < word_count(fl, ib); i++) {
        uint32_t word = ib->word[i];
        if (word != INFLIGHT_NONE &&
            (AA_STATE_IDX(word) >= states || AA_STATE_ACTION(word) >= AA_ACTIONS))
            return aa_fail(err, AA_EPARSE, "batch %llu: decision %zu is none: %#x",
                           (unsigned long long)ib->seq, i, word);
    }
    for (size_t i = 0; i < ib->s; i++)
        if (ib->field[i] >= fl->F)
            return aa_fail(err, AA_EPARSE, "batch %llu: decision of field %u",
                           (unsigned long long)ib->seq, ib->field[i]);
    return AA_OK;
}

/* Of choices; of other decisions they are never looked at. */
static aa_status
check_odds(const inflight *fl, const inflight_batch *ib, aa_err *err)
{
    for (size_t i = 0; fl->with_odds && i < ib->n * fl->F; i++) {
        const row_actor_odds *od = &ib->odds[i];
        if (ib->word[i] != INFLIGHT_NONE &&
            !(od->rate > 0.0f && od->rate < INFINITY && od->chance > 0.0f && od->chance <= 1.0f))
            return aa_fail(err, AA_EPARSE, "batch %llu: odds %zu are none",
                           (unsigned long long)ib->seq, i);
    }
    return AA_OK;
}

/* Bytes of the array sections not consumed yet. */
typedef struct {
    const unsigned char *at[PARTS];
    size_t               left[PARTS];
} cursor;

static aa_status
take_bytes(cursor *cu, int part, void *out, size_t len, aa_err *err)
{
    if (len > cu->left[part])
        return aa_fail(err, AA_EPARSE, "section inflight.%s: too short", part_name[part]);
    if (len > 0) memcpy(out, cu->at[part], len);
    cu->at[part] += len;
    cu->left[part] -= len;
    return AA_OK;
}

static aa_status
restore_batch(inflight *fl, uint64_t seq, sizes sz, cursor *cu, uint32_t states, aa_err *err)
{
    if (sz.n > cu->left[WORD] || sz.s > cu->left[FIELD]) /* before anything is allocated */
        return aa_fail(err, AA_EPARSE, "batch %llu in flight: sizes", (unsigned long long)seq);
    inflight_batch *ib;
    aa_status       st = inflight_begin(fl, seq, (size_t)sz.n, &ib, err);
    ib->s = (size_t)sz.s;
    if (st == AA_OK) st = grow_u32(&ib->word, &ib->word_cap, word_count(fl, ib), err);
    if (st == AA_OK) st = grow_u32(&ib->field, &ib->field_cap, ib->s, err);
    if (st == AA_OK)
        st = take_bytes(cu, WORD, ib->word, word_count(fl, ib) * sizeof *ib->word, err);
    if (st == AA_OK) st = take_bytes(cu, FIELD, ib->field, ib->s * sizeof *ib->field, err);
    if (st == AA_OK && fl->with_keys)
        st = take_bytes(cu, KEY, ib->key, ib->n * fl->F * sizeof *ib->key, err);
    if (st == AA_OK && fl->with_odds)
        st = take_bytes(cu, ODDS, ib->odds, ib->n * fl->F * sizeof *ib->odds, err);
    if (st == AA_OK) st = check_batch(fl, ib, states, err);
    return st == AA_OK ? check_odds(fl, ib, err) : st;
}

aa_status
inflight_restore(inflight *fl, uint64_t first, uint64_t last, uint32_t states, aa_ckpt_reader *r,
                 aa_err *err)
{
    AA_REQUIRE(first <= last && last - first <= fl->R);
    const void *data;
    size_t      len;
    cursor      cu;
    aa_status   st = AA_OK;
    for (int part = 0; st == AA_OK && part < PARTS; part++) {
        st = sections_get(r, "inflight", part_name[part], 1, &data, &len, err);
        if (st == AA_OK) {
            cu.at[part] = data;
            cu.left[part] = len;
        }
    }
    if (st == AA_OK) st = sections_get(r, "inflight", "sizes", sizeof(sizes), &data, &len, err);
    if (st == AA_OK && len != (size_t)(last - first) * sizeof(sizes))
        st = aa_fail(err, AA_EPARSE, "section inflight.sizes: %zu bytes", len);
    for (uint64_t seq = first; st == AA_OK && seq < last; seq++) {
        sizes sz;
        memcpy(&sz, (const unsigned char *)data + (size_t)(seq - first) * sizeof sz, sizeof sz);
        st = restore_batch(fl, seq, sz, &cu, states, err);
    }
    if (st == AA_OK && cu.left[WORD] + cu.left[FIELD] + cu.left[KEY] + cu.left[ODDS] > 0)
        st = aa_fail(err, AA_EPARSE, "sections inflight: more than the batches there are");
    return st;
}
