/* Digests and checkpoints of a table of rows. */
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "learner/rows/rows_internal.h"

static bool
is_live(const rows *ro, uint32_t slot)
{
    const chunk *ch = chunk_at(ro, slot);
    return ch && bit_get(ch->live, slot);
}

uint64_t
rows_digest(const rows *ro, uint64_t d)
{
    for (size_t c = 0; c < ro->chunk_count; c++)
        for (uint32_t i = 0; ro->chunks[c] && i < CHUNK; i++) {
            if (!bit_get(ro->chunks[c]->live, i)) continue;
            const uint32_t slot = (uint32_t)c * CHUNK + i;
            const uint64_t head[3] = {ro->field, slot, ro->chunks[c]->born[i]};
            d = aa_digest(d, head, sizeof head);
            d = aa_digest(d, row_at(ro, slot), aa_row_bytes(ro->W));
        }
    return ro->base ? aa_digest(d, ro->base, base_bytes(ro)) : d;
}

uint64_t
rows_served_digest(const rows *ro, uint64_t d)
{
    for (size_t c = 0; c < ro->chunk_count; c++)
        for (uint32_t i = 0; ro->chunks[c] && i < CHUNK; i++) {
            if (!bit_get(ro->chunks[c]->live, i)) continue;
            const uint32_t head[2] = {ro->field, (uint32_t)c * CHUNK + i};
            d = aa_digest(d, head, sizeof head);
            d = aa_digest(d, rows_served(ro, head[1]), ro->W * sizeof(float));
        }
    return d;
}

/* ---- checkpoint ---- */

/* Section rows.<field> = head, base rows, for each chunk its index and bytes. */

typedef struct {
    uint64_t width, shared, base_bytes, chunks, live;
} saved_head;

static void
section_name(const rows *ro, char name[AA_CKPT_NAME_BYTES])
{
    snprintf(name, AA_CKPT_NAME_BYTES, "rows.%u", ro->field);
}

aa_status
rows_save(const rows *ro, aa_ckpt_writer *w, aa_err *err)
{
    char             name[AA_CKPT_NAME_BYTES];
    const saved_head head = {ro->W, ro->shared, base_bytes(ro), ro->chunks_made, ro->live};
    const size_t     bytes = sizeof head + base_bytes(ro) + ro->chunks_made * (8 + chunk_bytes(ro));
    section_name(ro, name);
    aa_status st = aa_ckpt_begin(w, name, bytes, err);
    if (st == AA_OK) st = aa_ckpt_append(w, &head, sizeof head, err);
    if (st == AA_OK && ro->base) st = aa_ckpt_append(w, ro->base, base_bytes(ro), err);
    for (uint64_t c = 0; st == AA_OK && c < ro->chunk_count; c++) {
        if (!ro->chunks[c]) continue;
        st = aa_ckpt_append(w, &c, sizeof c, err);
        if (st == AA_OK) st = aa_ckpt_append(w, ro->chunks[c], chunk_bytes(ro), err);
    }
    return st;
}

static uint64_t
count_bits(const uint64_t *bits)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < CHUNK; i++)
        n += bit_get(bits, i);
    return n;
}

static aa_status
restore_chunk(rows *ro, uint64_t idx, const unsigned char *bytes, aa_err *err)
{
    if (idx >= CHUNK_ENDS)
        return aa_fail(err, AA_EPARSE, "rows of field %u: chunk %llu", ro->field,
                       (unsigned long long)idx);
    aa_status st = rows_make_chunk(ro, idx, err);
    if (st != AA_OK) return st;
    chunk *ch = ro->chunks[idx];
    memcpy(ch, bytes, chunk_bytes(ro));
    memcpy(ch->plan, ch->live, sizeof ch->plan);
    memset(ch->dirty, 0, sizeof ch->dirty);
    ro->live += count_bits(ch->live);
    return AA_OK;
}

aa_status
rows_restore(rows *ro, aa_ckpt_reader *r, aa_err *err)
{
    char        name[AA_CKPT_NAME_BYTES];
    const void *data;
    size_t      len;
    saved_head  head;
    section_name(ro, name);
    aa_status st = aa_ckpt_get(r, name, &data, &len, err);
    if (st != AA_OK) return st;
    const unsigned char *at = data;
    const size_t         each = 8 + chunk_bytes(ro), before = sizeof head + base_bytes(ro);
    if (len < before) return aa_fail(err, AA_EPARSE, "%s: %zu bytes", name, len);
    memcpy(&head, at, sizeof head);
    if (head.width != ro->W || head.shared != ro->shared || head.base_bytes != base_bytes(ro) ||
        (len - before) % each != 0 || head.chunks != (len - before) / each)
        return aa_fail(err, AA_EPARSE, "%s: another shape, or cut off", name);
    ro->live = 0;
    ro->changed_head = ro->changed_count = 0;
    if (ro->base) memcpy(ro->base, at + sizeof head, base_bytes(ro));
    at += before;
    for (uint64_t c = 0; st == AA_OK && c < head.chunks; c++, at += each) {
        uint64_t idx;
        memcpy(&idx, at, sizeof idx);
        st = restore_chunk(ro, idx, at + sizeof idx, err);
    }
    if (st == AA_OK && (ro->live != head.live || ro->chunks_made != head.chunks))
        return aa_fail(err, AA_EPARSE, "%s: %llu live rows, not %llu", name,
                       (unsigned long long)ro->live, (unsigned long long)head.live);
    for (uint32_t slot = 0; st == AA_OK && slot < ro->shared; slot++)
        if (!is_live(ro, slot))
            return aa_fail(err, AA_EPARSE, "%s: shared row %u is missing", name, slot);
    if (st == AA_OK) rows_touch_all(ro);
    return st;
}
