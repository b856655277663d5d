/* What is special about the messages between a sequencer and its fetchers; that every damaged one
 * is refused or harmless, test_wire.c shows of all kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/fetch.pb-c.h"
#include "tests/wire_samples.h"

static void
records_arrive_as_they_were(void **state)
{
    (void)state;
    sample_rng rng = {.seed = 5};
    aa_fetched a = {0}, b = {0};
    aa_bytes   by = {0};
    aa_err     err = AA_ERR_INIT;
    sample_fetched(&a, &rng, 700, 3);
    assert_true(a.letter_count > 100);
    assert_int_equal(aa_wire_pack_fetched(&by, &a, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_fetched(&b, by.data, by.len, &err), AA_OK);
    assert_int_equal(b.n, 700);
    assert_int_equal(b.F, 3);
    assert_int_equal(b.partition, a.partition);
    assert_int_equal(b.attempt, a.attempt);
    assert_int_equal(b.hd.seq, a.hd.seq);
    assert_memory_equal(a.key, b.key, 700 * 3 * sizeof *a.key);
    assert_memory_equal(a.label, b.label, 700 * sizeof *a.label);
    assert_memory_equal(a.time_ms, b.time_ms, 700 * sizeof *a.time_ms);
    assert_memory_equal(a.arrival_ms, b.arrival_ms, 700 * sizeof *a.arrival_ms);
    assert_memory_equal(a.offset, b.offset, 700 * sizeof *a.offset);
    assert_int_equal(b.letter_count, a.letter_count);
    for (size_t i = 0; i < a.letter_count; i++) {
        const aa_fetched_letter *x = &a.letter[i], *y = &b.letter[i];
        assert_int_equal(x->offset, y->offset);
        assert_int_equal(x->reason, y->reason);
        assert_string_equal(x->why, y->why);
        assert_int_equal(x->has_key, y->has_key);
        assert_int_equal(x->has_value, y->has_value);
        assert_int_equal(x->full_len, y->full_len);
        assert_int_equal(x->key_len + x->len, y->key_len + y->len);
        assert_memory_equal(a.bytes.data + x->at, b.bytes.data + y->at, x->key_len + x->len);
    }
    aa_fetched_fini(&a);
    aa_fetched_fini(&b);
    aa_bytes_fini(&by);
}

static void
first_and_next_offset_are_of_events_and_letters_together(void **state)
{
    (void)state;
    aa_fetched        fe = {0};
    aa_fetched_letter le = {.offset = 4};
    aa_err            err = AA_ERR_INIT;
    assert_int_equal(aa_fetched_add_letter(&fe, &le, "", "", "", &err), AA_OK);
    assert_int_equal(aa_fetched_first(&fe), 4);
    assert_int_equal(aa_fetched_next(&fe), 5);
    assert_int_equal(aa_fetched_reserve(&fe, 2, 1, &err), AA_OK);
    fe.n = 2;
    fe.offset[0] = 2;
    fe.offset[1] = 9;
    assert_int_equal(aa_fetched_first(&fe), 2);
    assert_int_equal(aa_fetched_next(&fe), 10);
    fe.next = 15; /* markers and aborted records follow */
    assert_int_equal(aa_fetched_next(&fe), 15);
    aa_fetched_clear(&fe);
    fe.next = 15; /* nothing but these */
    assert_int_equal(aa_fetched_first(&fe), 15);
    assert_int_equal(aa_fetched_next(&fe), 15);
    aa_fetched_fini(&fe);
}

/* Packed without our checks. */
static aa_status
unpack_raw(const ProtobufCMessage *m, aa_status (*unpack)(const void *, size_t))
{
    size_t    len = protobuf_c_message_get_packed_size(m);
    uint8_t  *buf = malloc(len + 1);
    aa_status st;
    assert_non_null(buf);
    protobuf_c_message_pack(m, buf);
    st = unpack(buf, len);
    free(buf);
    return st;
}
static aa_status
unpack_fetched(const void *buf, size_t len)
{
    aa_err     err = AA_ERR_INIT;
    aa_fetched fe = {0};
    aa_status  st = aa_wire_unpack_fetched(&fe, buf, len, &err);
    aa_fetched_fini(&fe);
    return st;
}
static aa_status
unpack_offer(const void *buf, size_t len)
{
    aa_err    err = AA_ERR_INIT;
    aa_offer  of = {0};
    aa_status st = aa_wire_unpack_offer(&of, buf, len, &err);
    aa_portions_fini(&of.po);
    return st;
}

typedef struct {
    Autoassign__Header        hd;
    Autoassign__FetchedLetter letter[2], *letters[2];
    Autoassign__Fetched       m;
    uint64_t                  key[4];
    float                     label[2];
    int64_t                   time_ms[2], arrival_ms[2], offset[2];
} raw_fetched;

/* A message that is good: two events of two fields, two letters. */
static void
make_raw(raw_fetched *raw)
{
    *raw = (raw_fetched){.key = {1, 2, 3, 4}, .offset = {10, 12}};
    autoassign__header__init(&raw->hd);
    raw->hd.seq = 1;
    autoassign__fetched__init(&raw->m);
    for (int i = 0; i < 2; i++) {
        autoassign__fetched_letter__init(&raw->letter[i]);
        raw->letter[i].offset = 11 + 2 * i;
        raw->letters[i] = &raw->letter[i];
    }
    raw->m.header = &raw->hd;
    raw->m.attempt = 1;
    raw->m.field_count = 2;
    raw->m.n_key = 4;
    raw->m.n_label = raw->m.n_time_ms = raw->m.n_arrival_ms = raw->m.n_offset = 2;
    raw->m.key = raw->key;
    raw->m.label = raw->label;
    raw->m.time_ms = raw->time_ms;
    raw->m.arrival_ms = raw->arrival_ms;
    raw->m.offset = raw->offset;
    raw->m.n_letter = 2;
    raw->m.letter = raw->letters;
}

static void
records_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    char        long_why[200];
    raw_fetched raw;
    memset(long_why, 'x', sizeof long_why - 1);
    long_why[sizeof long_why - 1] = '\0';
    make_raw(&raw);
    assert_int_equal(unpack_raw(&raw.m.base, unpack_fetched), AA_OK);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        make_raw(&raw);                                                                            \
        change;                                                                                    \
        assert_int_equal(unpack_raw(&raw.m.base, unpack_fetched), AA_EPARSE);                      \
    } while (0)
    REFUSED(raw.key[1] = 0);
    REFUSED(raw.m.next = -1);
    REFUSED(raw.m.header = NULL);
    REFUSED(raw.hd.lane = 65536);
    REFUSED(raw.hd.seq = 0);
    REFUSED(raw.m.attempt = 0);
    REFUSED(raw.m.partition = -1);
    REFUSED(raw.m.partition = 65536);
    REFUSED(raw.m.field_count = 0);
    REFUSED(raw.m.field_count = 9);
    REFUSED(raw.m.n_key = 3);
    REFUSED(raw.m.n_time_ms = 1);
    REFUSED(raw.m.n_arrival_ms = 1);
    REFUSED(raw.m.n_offset = 1);
    REFUSED(raw.label[1] = NAN);
    REFUSED(raw.offset[1] = 10);
    REFUSED(raw.offset[0] = -1);
    REFUSED(raw.offset[1] = INT64_MAX);
    REFUSED(raw.letter[1].offset = 11);
    REFUSED(raw.letter[1].offset = INT64_MAX);
    REFUSED(raw.letter[0].why = long_why);
    REFUSED((raw.letter[0].has_value = true,
             raw.letter[0].value = (ProtobufCBinaryData){3, (uint8_t *)long_why}));
    REFUSED((raw.letter[0].full_bytes = 3,
             raw.letter[0].value = (ProtobufCBinaryData){3, (uint8_t *)long_why}));
    REFUSED((raw.m.n_letter = raw.m.n_label = raw.m.n_key = 0,
             raw.m.n_time_ms = raw.m.n_arrival_ms = raw.m.n_offset = 0));
#undef REFUSED
}

static void
offers_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    int32_t            partition[2] = {3, 5};
    uint32_t           attempt[2] = {0};
    int64_t            end[2] = {-1, 7};
    uint64_t           count[2] = {0};
    char               long_name[200];
    Autoassign__Header hd = AUTOASSIGN__HEADER__INIT;
    Autoassign__Offer  m;
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    autoassign__offer__init(&m);
    m.header = &hd;
    m.n_partition = m.n_attempt = m.n_end = m.n_messages = m.n_records = 2;
    m.partition = partition;
    m.attempt = attempt;
    m.end = end;
    m.messages = m.records = count;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_OK);
    partition[1] = 3;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_EPARSE);
    partition[1] = 65536;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_EPARSE);
    partition[1] = 5;
    end[0] = -2;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_EPARSE);
    end[0] = 0;
    m.n_attempt = 1;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_EPARSE);
    m.n_attempt = 2;
    m.n_messages = 0;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_EPARSE);
    m.n_messages = 2;
    m.name = long_name;
    assert_int_equal(unpack_raw(&m.base, unpack_offer), AA_EPARSE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_arrive_as_they_were),
        cmocka_unit_test(first_and_next_offset_are_of_events_and_letters_together),
        cmocka_unit_test(records_that_do_not_fit_together_are_refused),
        cmocka_unit_test(offers_that_do_not_fit_together_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
