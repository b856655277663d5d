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
            if (is_plain(ro, slot))
                d = aa_digest(d, plain_at(ro, slot), aa_row_plain_bytes(ro->W));
            else
                d = aa_digest(d, row_at(ro, slot), ro->rf.bytes);
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
            float *buf = rows_place(ro, head[1], ro->scratch);
            d = aa_digest(d, rows_served(ro, head[1], buf), ro->W * sizeof(float));
        }
    return d;
}

/* ---- checkpoint ---- */

/* Section rows.<field> = head, [form, shared rows,] base rows, for each chunk its index and bytes.
 * What is in brackets is there only if own rows are not plain. */

typedef struct {
    uint64_t width, shared, base_bytes, chunks, live;
} saved_head;

typedef struct {
    char format[8], optimizer[8]; /* as the settings have them */
} saved_form;

static saved_form
form_of(const rows *ro)
{
    saved_form sf = {{0}, {0}};
    snprintf(sf.format, sizeof sf.format, "%s", aa_row_format_text(ro->rf.format));
    snprintf(sf.optimizer, sizeof sf.optimizer, "%s", aa_row_optimizer_text(ro->rf.optimizer));
    return sf;
}

/* Of what is between brackets. */
static size_t
form_bytes(const rows *ro)
{
    return ro->shared_rows ? sizeof(saved_form) + shared_bytes(ro) : 0;
}

static aa_status
save_form(const rows *ro, aa_ckpt_writer *w, aa_err *err)
{
    const saved_form sf = form_of(ro);
    if (!ro->shared_rows) return AA_OK;
    aa_status st = aa_ckpt_append(w, &sf, sizeof sf, err);
    if (st == AA_OK && shared_bytes(ro))
        st = aa_ckpt_append(w, ro->shared_rows, shared_bytes(ro), err);
    return st;
}

/* at: form_bytes of the section */
static aa_status
restore_form(rows *ro, const char *name, const unsigned char *at, aa_err *err)
{
    const saved_form want = form_of(ro);
    saved_form       got;
    if (!ro->shared_rows) return AA_OK;
    memcpy(&got, at, sizeof got);
    if (memcmp(&got, &want, sizeof got) != 0)
        return aa_fail(err, AA_EPARSE, "%s: rows are %.8s with %.8s, not %s with %s", name,
                       got.format, got.optimizer, want.format, want.optimizer);
    memcpy(ro->shared_rows, at + sizeof got, shared_bytes(ro));
    return AA_OK;
}

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
    const size_t     bytes =
        sizeof head + form_bytes(ro) + base_bytes(ro) + ro->chunks_made * (8 + chunk_bytes(ro));
    section_name(ro, name);
    aa_status st = aa_ckpt_begin(w, name, bytes, err);
    if (st == AA_OK) st = aa_ckpt_append(w, &head, sizeof head, err);
    if (st == AA_OK) st = save_form(ro, w, err);
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
    ro->dirty_in[idx] = 0;
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
    const size_t         each = 8 + chunk_bytes(ro);
    const size_t         before = sizeof head + form_bytes(ro) + base_bytes(ro);
    if (len < before) return aa_fail(err, AA_EPARSE, "%s: %zu bytes", name, len);
    memcpy(&head, at, sizeof head);
    st = restore_form(ro, name, at + sizeof head, err);
    if (st != AA_OK) return st;
    if (head.width != ro->W || head.shared != ro->shared || head.base_bytes != base_bytes(ro) ||
        (len - before) % each != 0 || head.chunks != (len - before) / each)
        return aa_fail(err, AA_EPARSE, "%s: another shape, or cut off", name);
    ro->live = 0;
    ro->dirty = 0;
    for (size_t c = 0; c < ro->chunk_count; c++)
        ro->dirty_in[c] = 0;
    if (ro->base) memcpy(ro->base, at + sizeof head + form_bytes(ro), base_bytes(ro));
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
