#include "ingest/decode/deadletter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
letter_keeps_bytes_key_and_origin(void **state)
{
    (void)state;
    aa_kafka_record rec = {
        .partition = 3, .offset = 99, .key = "k\0y", .key_len = 3, .value = "v\xff\0", .len = 3};
    deadletter *dl = deadletter_new(&rec, DECODE_LABEL_RANGE, "label 7");
    assert_non_null(dl);
    assert_int_equal(dl->partition, 3);
    assert_int_equal(dl->offset, 99);
    assert_int_equal(dl->reason, DECODE_LABEL_RANGE);
    assert_string_equal(dl->why, "label 7");
    assert_memory_equal(dl->bytes, "k\0yv\xff\0", 6);
    assert_int_equal(dl->key_len, 3);
    assert_int_equal(dl->len, 3);
    assert_int_equal(dl->full_len, 3);
    assert_true(deadletter_bytes(dl) >= sizeof *dl + 6);
    deadletter_free(&dl);
    assert_null(dl);
}

static void
letter_keeps_time_and_headers_and_replaces_those_of_an_earlier_letter(void **state)
{
    (void)state;
    const aa_kafka_header headers[] = {{"trace", "a\0b", 3},
                                       {"autoassign.reason", "malformed", 9},
                                       {"", "", 0},
                                       {"none", NULL, 0},
                                       {"trace", "again", 5}};
    aa_kafka_header       got[DEADLETTER_HEADERS];
    const aa_kafka_record rec = {
        .key = "k", .key_len = 1, .timestamp_ms = 77, .headers = headers, .header_count = 5};
    deadletter *dl = deadletter_new(&rec, DECODE_EMPTY, "");
    assert_non_null(dl);
    assert_int_equal(dl->time_ms, 77);
    const unsigned char *packed = dl->bytes + dl->headers_at;
    assert_int_equal(deadletter_headers(packed, dl->headers_len, got), 4);
    assert_string_equal(got[0].name, "trace");
    assert_int_equal(got[0].len, 3);
    assert_memory_equal(got[0].value, "a\0b", 3);
    assert_string_equal(got[1].name, "");
    assert_true(got[1].value && got[1].len == 0);
    assert_string_equal(got[2].name, "none");
    assert_null(got[2].value);
    assert_memory_equal(got[3].value, "again", 5);
    assert_true(deadletter_bytes(dl) >= sizeof *dl + 1 + dl->headers_len);
    for (size_t len = 0; len < dl->headers_len; len++) { /* a fetcher's bytes may be any */
        char *cut = malloc(len + 1);
        assert_non_null(cut);
        memcpy(cut, packed, len);
        assert_true(deadletter_headers(cut, len, got) < 4);
        free(cut);
    }
    deadletter_free(&dl);
}

static void
headers_without_measure_are_left_out(void **state)
{
    (void)state;
    static char     big[DEADLETTER_HEADER_BYTES];
    aa_kafka_header many[200], got[DEADLETTER_HEADERS];
    for (size_t i = 0; i < 200; i++)
        many[i] = (aa_kafka_header){"h", "v", 1};
    many[0] = (aa_kafka_header){"big", big, sizeof big};
    const aa_kafka_record rec = {.headers = many, .header_count = 200};
    deadletter           *dl = deadletter_new(&rec, DECODE_EMPTY, "");
    assert_non_null(dl);
    assert_int_equal(deadletter_headers(dl->bytes, dl->headers_len, got), DEADLETTER_HEADERS);
    assert_string_equal(got[0].name, "h");
    deadletter_free(&dl);
}

static void
no_key_and_no_value_are_not_empty_ones(void **state)
{
    (void)state;
    aa_kafka_record none = {.len = 0}, empty = {.key = "", .value = ""};
    deadletter     *a = deadletter_new(&none, DECODE_EMPTY, ""),
               *b = deadletter_new(&empty, DECODE_EMPTY, "");
    assert_false(a->has_key || a->has_value);
    assert_true(b->has_key && b->has_value);
    deadletter_free(&a);
    deadletter_free(&b);
}

static void
what_no_broker_would_take_is_cut_and_says_so(void **state)
{
    (void)state;
    size_t          len = 3 << 20;
    char           *big = malloc(len);
    aa_kafka_record rec = {.key = "k", .key_len = 1, .value = big, .len = len};
    assert_non_null(big);
    memset(big, 'x', len);
    deadletter *dl = deadletter_new(&rec, DECODE_MALFORMED, "");
    assert_int_equal(dl->key_len + dl->len, DEADLETTER_MAX_BYTES);
    assert_int_equal(dl->full_len, len);
    deadletter_free(&dl);
    rec = (aa_kafka_record){.key = big, .key_len = len, .value = "v", .len = 1};
    dl = deadletter_new(&rec, DECODE_MALFORMED, "");
    assert_int_equal(dl->key_len, DEADLETTER_MAX_BYTES);
    assert_int_equal(dl->len, 0);
    assert_int_equal(dl->full_len, 1);
    deadletter_free(&dl);
    free(big);
}

static void
topic_is_the_configured_one_or_made_from_the_interactions(void **state)
{
    (void)state;
    static aa_conf cfg;
    char           topic[AA_CONF_STR + 8];
    snprintf(cfg.topics.interactions, sizeof cfg.topics.interactions, "clicks");
    deadletter_topic(topic, &cfg);
    assert_string_equal(topic, "clicks.dlq");
    snprintf(cfg.topics.dead_letters, sizeof cfg.topics.dead_letters, "bad");
    deadletter_topic(topic, &cfg);
    assert_string_equal(topic, "bad");
}

static void
value_is_cut_before_the_key_and_full_lengths_stay(void **state)
{
    (void)state;
    aa_kafka_record rec = {.key = "key", .key_len = 3, .value = "value", .len = 5};
    deadletter     *dl = deadletter_new(&rec, DECODE_MALFORMED, "");
    assert_non_null(dl);
    deadletter_cut(dl, 100);
    assert_int_equal(dl->len, 5);
    deadletter_cut(dl, 5);
    assert_int_equal(dl->key_len, 3);
    assert_int_equal(dl->len, 2);
    assert_memory_equal(dl->bytes, "keyva", 5);
    deadletter_cut(dl, 2);
    assert_int_equal(dl->key_len, 2);
    assert_int_equal(dl->len, 0);
    assert_int_equal(dl->full_key_len, 3);
    assert_int_equal(dl->full_len, 5);
    deadletter_free(&dl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letter_keeps_bytes_key_and_origin),
        cmocka_unit_test(letter_keeps_time_and_headers_and_replaces_those_of_an_earlier_letter),
        cmocka_unit_test(headers_without_measure_are_left_out),
        cmocka_unit_test(no_key_and_no_value_are_not_empty_ones),
        cmocka_unit_test(what_no_broker_would_take_is_cut_and_says_so),
        cmocka_unit_test(topic_is_the_configured_one_or_made_from_the_interactions),
        cmocka_unit_test(value_is_cut_before_the_key_and_full_lengths_stay),
    };
    return cmocka_run_group_tests_name("ingest/decode/deadletter", tests, NULL, NULL);
}
