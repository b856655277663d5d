/* common/messages/wire_fetch - packing points the generated structs at our own arrays; unpacking
 * checks the parsed message, then copies whole arrays. Both directions run the same
 * check_<message>. */
#include "common/messages/wire_fetch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/conf.h"
#include "common/messages/wire_columns.h"
#include "common/messages/wire_proto.h"
#include "schemas/fetch.pb-c.h"

/* ---- lists of partitions ---- */

aa_status
aa_portions_reserve(aa_portions *po, size_t n, aa_err *err)
{
    const size_t cap = n < 16 ? 16 : n;
    AA_REQUIRE(n <= AA_FETCH_MAX_PARTITIONS);
    if (n <= po->cap && po->cap > 0) return AA_OK;
    aa_status st = aa_array_grow(&po->partition, cap, sizeof *po->partition, err);
    if (st == AA_OK) st = aa_array_grow(&po->attempt, cap, sizeof *po->attempt, err);
    if (st == AA_OK) st = aa_array_grow(&po->offset, cap, sizeof *po->offset, err);
    if (st == AA_OK) st = aa_array_grow(&po->messages, cap, sizeof *po->messages, err);
    if (st == AA_OK) st = aa_array_grow(&po->records, cap, sizeof *po->records, err);
    if (st == AA_OK) po->cap = cap;
    return st;
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

static aa_status
check_partitions(const int32_t *partition, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (partition[i] < 0 || (size_t)partition[i] >= AA_FETCH_MAX_PARTITIONS ||
            (i > 0 && partition[i] <= partition[i - 1]))
            return aa_fail(err, AA_EPARSE,
                           "partition[%zu]=%" PRId32 " is not ascending, or too large", i,
                           partition[i]);
    return AA_OK;
}

/* Copy into po, which has room for n. */
static void
copy_portions(aa_portions *po, size_t n, const aa_portions *from)
{
    po->n = n;
    wire_copy(po->partition, from->partition, n * sizeof *po->partition);
    wire_copy(po->attempt, from->attempt, n * sizeof *po->attempt);
    wire_copy(po->offset, from->offset, n * sizeof *po->offset);
    wire_copy(po->messages, from->messages, n * sizeof *po->messages);
    wire_copy(po->records, from->records, n * sizeof *po->records);
}

/* ---- offer ---- */

static aa_status
check_offer(const Autoassign__Offer *m, aa_err *err)
{
    size_t    n = m->n_partition;
    aa_status st = wire_check_header(m->header, err);
    if (st == AA_OK) st = check_partitions(m->partition, n, err);
    if (st == AA_OK) st = wire_check_count("attempt", m->n_attempt, n, err);
    if (st == AA_OK) st = wire_check_count("end", m->n_end, n, err);
    if (st == AA_OK) st = wire_check_count("messages", m->n_messages, n, err);
    if (st == AA_OK) st = wire_check_count("records", m->n_records, n, err);
    for (size_t i = 0; st == AA_OK && i < n; i++)
        if (m->end[i] < -1) st = aa_fail(err, AA_EPARSE, "end[%zu]=%" PRId64, i, m->end[i]);
    return st;
}

aa_status
aa_wire_pack_offer(aa_bytes *out, const aa_offer *of, aa_err *err)
{
    Autoassign__Header hd = wire_header_of(&of->hd);
    Autoassign__Offer  m;

    AA_REQUIRE(memchr(of->name, '\0', sizeof of->name));
    AA_REQUIRE(memchr(of->pipeline, '\0', sizeof of->pipeline));
    autoassign__offer__init(&m);
    m.header = &hd;
    m.name = wire_unconst(of->name);
    m.pipeline = wire_unconst(of->pipeline);
    m.decoding_digest = of->decoding_digest;
    m.withdrawing = of->withdrawing;
    m.lost_run = of->lost_run;
    m.n_partition = m.n_attempt = m.n_end = m.n_messages = m.n_records = of->po.n;
    m.partition = of->po.partition;
    m.attempt = of->po.attempt;
    m.end = of->po.offset;
    m.messages = of->po.messages;
    m.records = of->po.records;
    aa_status st = check_offer(&m, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

static aa_status
copy_offer(aa_offer *of, const Autoassign__Offer *m, aa_err *err)
{
    const size_t      name_len = strlen(m->name), pipeline_len = strlen(m->pipeline);
    const aa_portions from = {.partition = m->partition,
                              .attempt = m->attempt,
                              .offset = m->end,
                              .messages = m->messages,
                              .records = m->records};
    aa_portions       po = of->po;

    if (name_len >= sizeof of->name || pipeline_len >= sizeof of->pipeline)
        return aa_fail(err, AA_EPARSE, "Offer: text of %zu and %zu bytes is too long", name_len,
                       pipeline_len);
    aa_status st = aa_portions_reserve(&po, m->n_partition, err);
    of->po = po; /* arrays may have moved */
    if (st != AA_OK) return st;
    *of = (aa_offer){.hd = wire_header_from(m->header),
                     .decoding_digest = m->decoding_digest,
                     .withdrawing = m->withdrawing,
                     .lost_run = m->lost_run,
                     .po = po};
    memcpy(of->name, m->name, name_len);
    memcpy(of->pipeline, m->pipeline, pipeline_len);
    copy_portions(&of->po, m->n_partition, &from);
    return AA_OK;
}

aa_status
aa_wire_unpack_offer(aa_offer *of, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status st = wire_unpack(&ar, &msg, "Offer", &autoassign__offer__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Offer *m = (const void *)msg;
    st = check_offer(m, err);
    if (st != AA_OK) goto out;
    st = copy_offer(of, m, err);
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- fetch ---- */

static aa_status
check_fetch(const Autoassign__Fetch *m, aa_err *err)
{
    size_t    n = m->n_partition;
    aa_status st = wire_check_header(m->header, err);
    if (st == AA_OK) st = check_partitions(m->partition, n, err);
    if (st == AA_OK) st = wire_check_count("attempt", m->n_attempt, n, err);
    if (st == AA_OK) st = wire_check_count("offset", m->n_offset, n, err);
    if (st == AA_OK) st = wire_check_count("messages", m->n_messages, n, err);
    if (st == AA_OK) st = wire_check_count("records", m->n_records, n, err);
    for (size_t i = 0; st == AA_OK && i < n; i++)
        if (m->attempt[i] == 0 || m->offset[i] < 0)
            st = aa_fail(err, AA_EPARSE, "attempt[%zu]=%" PRIu32 ", offset %" PRId64, i,
                         m->attempt[i], m->offset[i]);
    return st;
}

aa_status
aa_wire_pack_fetch(aa_bytes *out, const aa_fetch *ft, aa_err *err)
{
    Autoassign__Header hd = wire_header_of(&ft->hd);
    Autoassign__Fetch  m;

    autoassign__fetch__init(&m);
    m.header = &hd;
    m.n_partition = m.n_attempt = m.n_offset = m.n_messages = m.n_records = ft->po.n;
    m.partition = ft->po.partition;
    m.attempt = ft->po.attempt;
    m.offset = ft->po.offset;
    m.messages = ft->po.messages;
    m.records = ft->po.records;
    aa_status st = check_fetch(&m, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_fetch(aa_fetch *ft, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status st = wire_unpack(&ar, &msg, "Fetch", &autoassign__fetch__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Fetch *m = (const void *)msg;
    st = check_fetch(m, err);
    if (st != AA_OK) goto out;
    st = aa_portions_reserve(&ft->po, m->n_partition, err);
    if (st != AA_OK) goto out;
    const aa_portions from = {.partition = m->partition,
                              .attempt = m->attempt,
                              .offset = m->offset,
                              .messages = m->messages,
                              .records = m->records};
    ft->hd = wire_header_from(m->header);
    copy_portions(&ft->po, m->n_partition, &from);
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- fetched: storage ---- */

#define X(...) AA_COLUMN(aa_fetched, __VA_ARGS__)
static const aa_column fetched_columns[] = {AA_EVENT_COLUMNS(X, X) AA_FETCHED_COLUMNS(X)};
#undef X
const aa_column_table aa_fetched_columns = {fetched_columns,
                                            sizeof fetched_columns / sizeof *fetched_columns};

aa_status
aa_fetched_reserve(aa_fetched *fe, size_t n, size_t F, aa_err *err)
{
    AA_REQUIRE(F > 0 && n <= AA_WIRE_MAX_EVENTS);
    if (n * F > fe->cap || fe->cap == 0) {
        const size_t cap = n * F < 16 ? 16 : n * F;
        aa_status    st = aa_columns_grow(fe, &aa_fetched_columns, cap, 1, err);
        if (st != AA_OK) return st;
        fe->cap = cap;
    }
    fe->F = F;
    return AA_OK;
}

static aa_status
reserve_bytes(aa_bytes *by, size_t need, aa_err *err)
{
    const size_t cap = need + need / 2 + 64;
    if (need <= by->cap && by->data) return AA_OK;
    aa_status st = aa_array_grow(&by->data, cap, 1, err);
    if (st == AA_OK) by->cap = cap;
    return st;
}

aa_status
aa_fetched_add_letter(aa_fetched *fe, const aa_fetched_letter *head, const void *key,
                      const void *value, const void *headers, aa_err *err)
{
    aa_status st = AA_OK;
    if (fe->letter_count == fe->letter_cap) {
        const size_t cap = fe->letter_cap * 2 + 8;
        st = aa_array_grow(&fe->letter, cap, sizeof *fe->letter, err);
        if (st != AA_OK) return st;
        fe->letter_cap = cap;
    }
    st = reserve_bytes(&fe->bytes, fe->bytes.len + head->key_len + head->len + head->headers_len,
                       err);
    if (st != AA_OK) return st;
    aa_fetched_letter *le = &fe->letter[fe->letter_count++];
    *le = *head;
    le->at = fe->bytes.len;
    if (head->key_len > 0) memcpy(fe->bytes.data + le->at, key, head->key_len);
    if (head->len > 0) memcpy(fe->bytes.data + le->at + head->key_len, value, head->len);
    fe->bytes.len += head->key_len + head->len;
    if (head->headers_len > 0) memcpy(fe->bytes.data + fe->bytes.len, headers, head->headers_len);
    fe->bytes.len += head->headers_len;
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
    aa_columns_fini(fe, &aa_fetched_columns);
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

/* ---- fetched: messages ---- */

#define X(...) WIRE_TYPE_CHECK(Autoassign__Fetched, __VA_ARGS__)
AA_EVENT_COLUMNS(X, X)
AA_FETCHED_COLUMNS(X)
#undef X
#define X(...) WIRE_MEMBER(Autoassign__Fetched, __VA_ARGS__)
static const wire_member fetched_members[] = {AA_EVENT_COLUMNS(X, X) AA_FETCHED_COLUMNS(X)};
#undef X
static const wire_columns fetched_wire = {&aa_fetched_columns, fetched_members};

static int64_t
letter_time(const Autoassign__FetchedLetter *le)
{
    return le->given_time_case == AUTOASSIGN__FETCHED_LETTER__GIVEN_TIME_TIME_MS ? le->time_ms : -1;
}

static aa_status
check_letters(const Autoassign__Fetched *m, aa_err *err)
{
    int64_t last = -1;
    for (size_t i = 0; i < m->n_letter; i++) {
        const Autoassign__FetchedLetter *le = m->letter[i];
        if (le->offset <= last || le->offset == INT64_MAX)
            return aa_fail(err, AA_EPARSE, "letter %zu: offset %" PRId64 " after %" PRId64, i,
                           le->offset, last);
        if (le->key.len > AA_FETCH_LETTER_BYTES || le->value.len > AA_FETCH_LETTER_BYTES ||
            le->headers.len > AA_FETCH_LETTER_BYTES || letter_time(le) < -1 ||
            le->full_bytes < le->value.len ||
            strlen(le->why) >= sizeof((aa_fetched_letter *)0)->why)
            return aa_fail(err, AA_EPARSE, "letter %zu: lengths make no sense", i);
        if ((!le->has_key && le->key.len > 0) || (!le->has_value && le->value.len > 0))
            return aa_fail(err, AA_EPARSE, "letter %zu: has bytes that it has not", i);
        last = le->offset;
    }
    return AA_OK;
}

static aa_status
check_fetched(const Autoassign__Fetched *m, aa_err *err)
{
    size_t    n = m->n_label, F = m->field_count;
    aa_status st = wire_check_header(m->header, err);
    if (st != AA_OK) return st;
    if (F < 1 || F > AA_MAX_FIELDS) return aa_fail(err, AA_EPARSE, "%zu fields", F);
    if (n > AA_WIRE_MAX_EVENTS || m->n_letter > AA_WIRE_MAX_EVENTS ||
        (n + m->n_letter == 0 && m->next == 0))
        return aa_fail(err, AA_EPARSE, "%zu events and %zu letters", n, m->n_letter);
    if (m->partition < 0 || (size_t)m->partition >= AA_FETCH_MAX_PARTITIONS || m->attempt == 0 ||
        m->header->seq == 0)
        return aa_fail(err, AA_EPARSE, "partition %" PRId32 ", attempt %" PRIu32, m->partition,
                       m->attempt);
    if (m->next < 0 || m->next == INT64_MAX)
        return aa_fail(err, AA_EPARSE, "next offset %" PRId64, m->next);
    st = wire_columns_check(m, &fetched_wire, n, F, err);
    if (st != AA_OK) return st;
    int64_t last = -1;
    for (size_t i = 0; i < n; i++) {
        if (m->offset[i] <= last || m->offset[i] == INT64_MAX)
            return aa_fail(err, AA_EPARSE, "offset[%zu]=%" PRId64 " after %" PRId64, i,
                           m->offset[i], last);
        last = m->offset[i];
    }
    return check_letters(m, err);
}

/* Letters and the array of pointers to them that protobuf-c wants, in one block;
 * NULL: no memory. */
static Autoassign__FetchedLetter **
letters_of(const aa_fetched *fe)
{
    const size_t                n = fe->letter_count;
    const size_t                pointers_bytes = (n + 1) * sizeof(Autoassign__FetchedLetter *);
    Autoassign__FetchedLetter **pointers = malloc(pointers_bytes + n * sizeof **pointers);
    if (!pointers) return NULL;
    Autoassign__FetchedLetter *at = (Autoassign__FetchedLetter *)(void *)(pointers + n + 1);
    for (size_t i = 0; i < n; i++) {
        const aa_fetched_letter *le = &fe->letter[i];
        AA_REQUIRE(memchr(le->why, '\0', sizeof le->why));
        autoassign__fetched_letter__init(&at[i]);
        pointers[i] = &at[i];
        at[i].offset = le->offset;
        at[i].reason = le->reason;
        at[i].why = wire_unconst(le->why);
        at[i].has_key = le->has_key;
        at[i].has_value = le->has_value;
        at[i].key = (ProtobufCBinaryData){le->key_len, fe->bytes.data + le->at};
        at[i].value = (ProtobufCBinaryData){le->len, fe->bytes.data + le->at + le->key_len};
        at[i].full_bytes = le->full_len;
        at[i].headers =
            (ProtobufCBinaryData){le->headers_len, fe->bytes.data + le->at + le->key_len + le->len};
        if (le->time_ms < 0) continue;
        at[i].given_time_case = AUTOASSIGN__FETCHED_LETTER__GIVEN_TIME_TIME_MS;
        at[i].time_ms = le->time_ms;
    }
    return pointers;
}

aa_status
aa_wire_pack_fetched(aa_bytes *out, const aa_fetched *fe, aa_err *err)
{
    Autoassign__Header  hd = wire_header_of(&fe->hd);
    Autoassign__Fetched m;
    autoassign__fetched__init(&m);
    m.header = &hd;
    m.partition = fe->partition;
    m.attempt = fe->attempt;
    m.field_count = (uint32_t)fe->F;
    wire_columns_point(&m, &fetched_wire, fe, fe->n, fe->F);
    m.next = fe->next;
    m.n_letter = fe->letter_count;
    m.letter = letters_of(fe);
    if (!m.letter) return aa_fail(err, AA_ENOMEM, "%zu letters", fe->letter_count);
    aa_status st = check_fetched(&m, err);
    if (st == AA_OK) st = wire_pack(out, &m.base, err);
    free(m.letter);
    return st;
}

static aa_status
copy_fetched(aa_fetched *fe, const Autoassign__Fetched *m, aa_err *err)
{
    const size_t n = m->n_label, F = m->field_count;
    aa_status    st = aa_fetched_reserve(fe, n, F, err);

    if (st != AA_OK) return st;
    aa_fetched_clear(fe);
    for (size_t i = 0; i < m->n_letter; i++) {
        const Autoassign__FetchedLetter *le = m->letter[i];
        aa_fetched_letter                head = {.offset = le->offset,
                                                 .reason = le->reason,
                                                 .has_key = le->has_key,
                                                 .has_value = le->has_value,
                                                 .key_len = le->key.len,
                                                 .len = le->value.len,
                                                 .full_len = le->full_bytes,
                                                 .time_ms = letter_time(le),
                                                 .headers_len = le->headers.len};
        memcpy(head.why, le->why, strlen(le->why));
        st = aa_fetched_add_letter(fe, &head, le->key.data, le->value.data, le->headers.data, err);
        if (st != AA_OK) return st;
    }
    fe->hd = wire_header_from(m->header);
    fe->partition = m->partition;
    fe->attempt = m->attempt;
    fe->n = n;
    fe->next = m->next;
    wire_columns_copy(fe, &fetched_wire, m, n, F);
    return AA_OK;
}

aa_status
aa_wire_unpack_fetched(aa_fetched *fe, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "Fetched", &autoassign__fetched__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Fetched *m = (const void *)msg;
    st = check_fetched(m, err);
    if (st != AA_OK) goto out;
    st = copy_fetched(fe, m, err);
out:
    wire_arena_fini(&ar);
    return st;
}
