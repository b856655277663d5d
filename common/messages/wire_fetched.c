/* Storage of common/messages/wire_fetch's structs: arrays that grow together; on failure some may have
 * become larger than they need be. */
#include <stdlib.h>
#include <string.h>

#include "common/messages/batch.h"
#include "common/messages/wire_fetch.h"

aa_status
aa_portions_reserve(aa_portions *po, size_t n, aa_err *err)
{
    const size_t cap = n < 16 ? 16 : n;
    aa_status    st;

    AA_REQUIRE(n <= AA_FETCH_MAX_PARTITIONS);
    if (n <= po->cap && po->cap > 0) return AA_OK;
    if ((st = aa_batch_grow(&po->partition, cap, sizeof *po->partition, err))) return st;
    if ((st = aa_batch_grow(&po->attempt, cap, sizeof *po->attempt, err))) return st;
    if ((st = aa_batch_grow(&po->offset, cap, sizeof *po->offset, err))) return st;
    if ((st = aa_batch_grow(&po->messages, cap, sizeof *po->messages, err))) return st;
    if ((st = aa_batch_grow(&po->records, cap, sizeof *po->records, err))) return st;
    po->cap = cap;
    return AA_OK;
}

void
aa_portions_fini(aa_portions *po)
{
    free(po->partition);
    free(po->attempt);
    free(po->offset);
    free(po->messages);
    free(po->records);
    *po = (aa_portions){0};
}

aa_status
aa_fetched_reserve(aa_fetched *fe, size_t n, size_t F, aa_err *err)
{
    aa_status st;

    AA_REQUIRE(F > 0 && n <= AA_WIRE_MAX_EVENTS);
    if (n * F > fe->cap || fe->cap == 0) {
        const size_t cap = n * F < 16 ? 16 : n * F;
        if ((st = aa_batch_grow(&fe->key, cap, sizeof *fe->key, err))) return st;
        if ((st = aa_batch_grow(&fe->label, cap, sizeof *fe->label, err))) return st;
        if ((st = aa_batch_grow(&fe->time_ms, cap, sizeof *fe->time_ms, err))) return st;
        if ((st = aa_batch_grow(&fe->arrival_ms, cap, sizeof *fe->arrival_ms, err))) return st;
        if ((st = aa_batch_grow(&fe->offset, cap, sizeof *fe->offset, err))) return st;
        fe->cap = cap;
    }
    fe->F = F;
    return AA_OK;
}

static aa_status
reserve_bytes(aa_bytes *by, size_t need, aa_err *err)
{
    aa_status    st;
    const size_t cap = need + need / 2 + 64;

    if (need <= by->cap && by->data) return AA_OK;
    st = aa_batch_grow(&by->data, cap, 1, err);
    if (st == AA_OK) by->cap = cap;
    return st;
}

aa_status
aa_fetched_add_letter(aa_fetched *fe, const aa_fetched_letter *head, const void *key,
                      const void *value, aa_err *err)
{
    aa_fetched_letter *le;
    aa_status          st;

    if (fe->letter_count == fe->letter_cap) {
        const size_t cap = fe->letter_cap * 2 + 8;
        if ((st = aa_batch_grow(&fe->letter, cap, sizeof *fe->letter, err))) return st;
        fe->letter_cap = cap;
    }
    if ((st = reserve_bytes(&fe->bytes, fe->bytes.len + head->key_len + head->len, err))) return st;
    le = &fe->letter[fe->letter_count++];
    *le = *head;
    le->at = fe->bytes.len;
    if (head->key_len > 0) memcpy(fe->bytes.data + le->at, key, head->key_len);
    if (head->len > 0) memcpy(fe->bytes.data + le->at + head->key_len, value, head->len);
    fe->bytes.len += head->key_len + head->len;
    return AA_OK;
}

void
aa_fetched_clear(aa_fetched *fe)
{
    fe->n = fe->letter_count = fe->bytes.len = 0;
    fe->next = 0;
}

void
aa_fetched_fini(aa_fetched *fe)
{
    free(fe->key);
    free(fe->label);
    free(fe->time_ms);
    free(fe->arrival_ms);
    free(fe->offset);
    free(fe->letter);
    aa_bytes_fini(&fe->bytes);
    *fe = (aa_fetched){0};
}

int64_t
aa_fetched_first(const aa_fetched *fe)
{
    AA_REQUIRE(fe->n + fe->letter_count > 0 || fe->next > 0);
    if (fe->n + fe->letter_count == 0) return fe->next;
    if (fe->n == 0) return fe->letter[0].offset;
    if (fe->letter_count == 0) return fe->offset[0];
    return fe->letter[0].offset < fe->offset[0] ? fe->letter[0].offset : fe->offset[0];
}

int64_t
aa_fetched_next(const aa_fetched *fe)
{
    int64_t event = fe->n > 0 ? fe->offset[fe->n - 1] : -1;
    int64_t letter = fe->letter_count > 0 ? fe->letter[fe->letter_count - 1].offset : -1;
    int64_t behind = (letter > event ? letter : event) + 1;
    AA_REQUIRE(behind > 0 || fe->next > 0);
    return fe->next > behind ? fe->next : behind;
}
