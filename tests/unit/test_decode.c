#include "ingest/decode/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "schemas/event.pb-c.h"
#include "tests/check.h"
#include "tests/exact.h"
#include "tests/one_event.h"

enum { KAFKA_MS = 1234567 };

typedef struct {
    aa_conf    cfg;
    decode    *dc;
    one_event  ev;
    aa_columns col; /* of ev */
} fixture;

static int
start(void **state)
{
    aa_err   err = AA_ERR_INIT;
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    aa_conf_defaults(&fx->cfg);
    fx->col = one_event_columns(&fx->ev);
    *state = fx;
    return decode_new(&fx->dc, &fx->cfg, &err) == AA_OK ? 0 : -1;
}

/* After a change of the names in the configuration. */
static void
reopen(fixture *fx)
{
    aa_err err = AA_ERR_INIT;
    decode_free(&fx->dc);
    assert_int_equal(decode_new(&fx->dc, &fx->cfg, &err), AA_OK);
}

static int
stop(void **state)
{
    fixture *fx = *state;
    decode_free(&fx->dc);
    free(fx);
    return 0;
}

static decode_reason
take(fixture *fx, const void *buf, size_t len)
{
    void               *copy = exact_copy(buf, len);
    const decode_reason why = decode_message(fx->dc, copy, len, KAFKA_MS, &fx->col, 0);
    free(copy);
    return why;
}

static void
check_json(fixture *fx, const char *text, decode_reason want)
{
    decode_reason got = take(fx, text, strlen(text));
    if (got != want)
        fail_msg("%s: %s (%s), not %s", text, decode_slug(got), decode_why(fx->dc),
                 decode_slug(want));
}

static size_t
pack(uint8_t *out, const char *user, int64_t item, double label, int64_t time_ms)
{
    Autoassign__Interaction ia;
    uint8_t                 text[300];
    size_t                  len = strlen(user);
    autoassign__interaction__init(&ia);
    memcpy(text, user, len);
    ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_ID;
    ia.user_id = (ProtobufCBinaryData){len, text};
    ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER;
    ia.item_number = item;
    ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL_LABEL;
    ia.given_time_case = AUTOASSIGN__INTERACTION__GIVEN_TIME_TIMESTAMP_MS;
    ia.label = label;
    ia.timestamp_ms = time_ms;
    return autoassign__interaction__pack(&ia, out);
}

static void
json_event_has_keys_label_and_time(void **state)
{
    fixture *fx = *state;
    check_json(fx, "{\"user\":\"ann\",\"item\":42,\"label\":1,\"timestamp_ms\":-5,\"x\":[{}]}",
               DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key("ann", 3));
    assert_true(fx->ev.key[1] == aa_id_key("42", 2));
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], -5);
}

static void
protobuf_event_equals_the_json_one(void **state)
{
    fixture *fx = *state;
    uint8_t  buf[400];
    assert_int_equal(take(fx, buf, pack(buf, "ann", 42, 0.25, -5)), DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key("ann", 3));
    assert_true(fx->ev.key[1] == aa_id_key("42", 2));
    check_close(fx->ev.label[0], 0.25, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], -5);
}

static void
names_unit_and_threshold_come_from_the_config(void **state)
{
    fixture *fx = *state;
    snprintf(fx->cfg.fields[0].path, sizeof fx->cfg.fields[0].path, "uid");
    snprintf(fx->cfg.event.label_field, sizeof fx->cfg.event.label_field, "stars");
    snprintf(fx->cfg.event.time_field, sizeof fx->cfg.event.time_field, "at");
    fx->cfg.event.time_unit = AA_TIME_UNIT_S;
    fx->cfg.event.label = AA_LABEL_THRESHOLD;
    fx->cfg.event.positive_above = 3;
    reopen(fx);
    check_json(fx, "{\"uid\":1,\"item\":2,\"stars\":3.5,\"at\":1000.25}", DECODE_OK);
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], 1000250);
    check_json(fx, "{\"uid\":1,\"item\":2,\"stars\":3,\"at\":7}", DECODE_OK);
    check_close(fx->ev.label[0], 0, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], 7000);
    check_json(fx, "{\"user\":1,\"item\":2,\"stars\":3,\"at\":7}", DECODE_ID_MISSING);
    check_json(fx, "{\"uid\":1,\"item\":2,\"stars\":3,\"at\":9223372036854775807}",
               DECODE_TIME_RANGE);
}

static void
further_fields_come_from_names_and_from_context(void **state)
{
    fixture                *fx = *state;
    uint8_t                 buf[400], page[] = "home", user[] = "u";
    Autoassign__Interaction ia;
    ProtobufCBinaryData     context[1] = {{4, page}};

    autoassign__interaction__init(&ia);
    fx->cfg.field_count = 3;
    snprintf(fx->cfg.fields[2].name, sizeof fx->cfg.fields[2].name, "page");
    reopen(fx);
    check_json(fx, "{\"user\":1,\"item\":2,\"page\":\"home\",\"label\":0}", DECODE_OK);
    assert_true(fx->ev.key[2] == aa_id_key("home", 4));
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":0}", DECODE_ID_MISSING);

    assert_int_equal(take(fx, buf, pack(buf, "u", 1, 0, 0)), DECODE_ID_MISSING);
    ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_ID;
    ia.user_id = (ProtobufCBinaryData){1, user};
    ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_ID;
    ia.item_id = (ProtobufCBinaryData){1, user};
    ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL_LABEL;
    ia.n_context = 1;
    ia.context = context;
    assert_int_equal(take(fx, buf, autoassign__interaction__pack(&ia, buf)), DECODE_OK);
    assert_true(fx->ev.key[2] == aa_id_key("home", 4));
}

static void
format_can_be_fixed(void **state)
{
    fixture *fx = *state;
    uint8_t  buf[400];
    size_t   len = pack(buf, "ann", 42, 1, 5);
    fx->cfg.event.format = AA_EVENT_FORMAT_JSON;
    assert_int_equal(take(fx, buf, len), DECODE_MALFORMED);
    check_json(fx, " \n{\"user\":1,\"item\":2,\"label\":0}", DECODE_OK);
    fx->cfg.event.format = AA_EVENT_FORMAT_PROTOBUF;
    assert_int_equal(take(fx, buf, len), DECODE_OK);
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":0}", DECODE_MALFORMED);
}

static void
each_defect_has_its_reason(void **state)
{
    fixture *fx = *state;
    assert_int_equal(take(fx, "", 0), DECODE_EMPTY);
    assert_int_equal(decode_message(fx->dc, NULL, 0, 0, &fx->col, 0), DECODE_EMPTY);
    check_json(fx, "{\"item\":1,\"label\":1}", DECODE_ID_MISSING);
    check_json(fx, "{\"user\":null,\"item\":1,\"label\":1}", DECODE_ID_MISSING);
    check_json(fx, "{\"user\":\"\",\"item\":1,\"label\":1}", DECODE_ID_MISSING);
    check_json(fx, "{\"user\":1.5,\"item\":1,\"label\":1}", DECODE_ID_TYPE);
    check_json(fx, "{\"user\":[1],\"item\":1,\"label\":1}", DECODE_ID_TYPE);
    check_json(fx, "{\"user\":1,\"item\":1}", DECODE_LABEL_MISSING);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":\"1\"}", DECODE_LABEL_TYPE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1.001}", DECODE_LABEL_RANGE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":-0.001}", DECODE_LABEL_RANGE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":true}", DECODE_OK);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1,\"timestamp_ms\":\"5\"}", DECODE_TIME_TYPE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1,\"timestamp_ms\":4102444800001}",
               DECODE_TIME_RANGE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1,\"timestamp_ms\":1e300}", DECODE_TIME_RANGE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1} {}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":1,\"user\":2,\"item\":1,\"label\":1}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":99999999999999999999,\"item\":1,\"label\":1}", DECODE_ID_TYPE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1e999}", DECODE_LABEL_RANGE);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":NaN}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":\"\xff\xfe\",\"item\":1,\"label\":1}", DECODE_ID_TYPE);
    check_json(fx, "{\"user\":\"\\ud83d\",\"item\":1,\"label\":1}", DECODE_ID_TYPE);
    check_json(fx, "[1,2,3]", DECODE_MALFORMED);
    for (int r = 0; r < DECODE_REASON_COUNT; r++)
        assert_string_not_equal(decode_slug((decode_reason)r), "?");
}

static void
json_without_a_time_takes_kafkas(void **state)
{
    fixture    *fx = *state;
    const char *text = "{\"user\":1,\"item\":2,\"label\":0}";
    check_json(fx, text, DECODE_OK);
    assert_int_equal(fx->ev.time_ms[0], KAFKA_MS);
    assert_int_equal(decode_message(fx->dc, text, strlen(text), -1, &fx->col, 0),
                     DECODE_TIME_MISSING);
}

static void
protobuf_labels_that_are_no_numbers_are_refused(void **state)
{
    fixture     *fx = *state;
    uint8_t      buf[400];
    const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1.0001, -1e-9, 1e308};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(take(fx, buf, pack(buf, "u", 1, bad[i], 0)), DECODE_LABEL_RANGE);
    fx->cfg.event.label = AA_LABEL_THRESHOLD;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(take(fx, buf, pack(buf, "u", 1, bad[i], 0)), DECODE_LABEL_RANGE);
    assert_int_equal(take(fx, buf, pack(buf, "u", 1, 1e308, 0)), DECODE_OK);
    assert_int_equal(take(fx, buf, pack(buf, "u", 1, 0, INT64_MIN)), DECODE_TIME_RANGE);
    assert_int_equal(take(fx, buf, pack(buf, "u", 1, 0, INT64_MAX)), DECODE_TIME_RANGE);
    assert_int_equal(take(fx, buf, pack(buf, "", 1, 0, 0)), DECODE_ID_MISSING);
}

static void
id_may_be_as_long_as_allowed_and_no_longer(void **state)
{
    fixture *fx = *state;
    uint8_t  buf[600];
    char     id[258], text[400];
    memset(id, 'x', sizeof id);
    id[257] = '\0';
    assert_int_equal(take(fx, buf, pack(buf, id, 1, 0, 0)), DECODE_ID_TOO_LONG);
    snprintf(text, sizeof text, "{\"user\":\"%s\",\"item\":1,\"label\":1}", id);
    check_json(fx, text, DECODE_ID_TOO_LONG);
    id[256] = '\0';
    assert_int_equal(take(fx, buf, pack(buf, id, 1, 0, 0)), DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key(id, 256));
}

static void
bytes_with_nul_are_an_id_in_protobuf(void **state)
{
    fixture                *fx = *state;
    uint8_t                 buf[64], id[] = {'a', 0, 'b'};
    Autoassign__Interaction ia;
    autoassign__interaction__init(&ia);
    ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_ID;
    ia.user_id = (ProtobufCBinaryData){3, id};
    ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL_LABEL;
    ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER;
    assert_int_equal(take(fx, buf, autoassign__interaction__pack(&ia, buf)), DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key(id, 3));
    assert_true(fx->ev.key[0] != aa_id_key("a", 1));
}

/* Protobuf has no end mark: what is cut off behind the label lacks its time only. */
static void
every_truncation_is_survived(void **state)
{
    fixture    *fx = *state;
    uint8_t     buf[400];
    size_t      len = pack(buf, "somebody", 123456789, 1, 1700000000000), passed = 0;
    const char *json = "{\"user\":\"ann\",\"item\":42,\"label\":1,\"timestamp_ms\":5}";
    for (size_t n = 0; n < len; n++)
        passed += take(fx, buf, n) == DECODE_OK;
    assert_int_equal(passed, 1); /* after the label */
    for (size_t n = 0; n < strlen(json); n++)
        assert_int_not_equal(take(fx, json, n), DECODE_OK);
}

/* What passes has keys, a label in 0..1 and a time in range, whatever the bytes were. */
static void
check_outcome(fixture *fx, decode_reason why)
{
    assert_true(why >= DECODE_OK && why < DECODE_REASON_COUNT);
    if (why != DECODE_OK) return;
    assert_true(fx->ev.key[0] != 0 && fx->ev.key[1] != 0);
    assert_true(fx->ev.label[0] >= 0 && fx->ev.label[0] <= 1);
    assert_true(fx->ev.time_ms[0] >= fx->cfg.event.time_min_ms);
    assert_true(fx->ev.time_ms[0] <= fx->cfg.event.time_max_ms);
}

static void
every_flipped_bit_is_survived(void **state)
{
    fixture *fx = *state;
    uint8_t  buf[400];
    char     json[] = "{\"user\":\"ann\",\"item\":42,\"label\":1,\"timestamp_ms\":5}";
    size_t   len = pack(buf, "somebody", 123456789, 1, 1700000000000);
    for (size_t bit = 0; bit < len * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_outcome(fx, take(fx, buf, len));
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < strlen(json) * 8; bit++) {
        json[bit / 8] = (char)((uint8_t)json[bit / 8] ^ 1u << bit % 8);
        check_outcome(fx, take(fx, json, sizeof json - 1));
        json[bit / 8] = (char)((uint8_t)json[bit / 8] ^ 1u << bit % 8);
    }
}

static uint64_t
next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

static void
random_bytes_are_survived(void **state)
{
    fixture *fx = *state;
    uint64_t seed = (uint64_t)time(NULL) | 1, s = seed;
    uint8_t  buf[300];
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 100000; round++) {
        size_t len = next_random(&s) % sizeof buf;
        for (size_t i = 0; i < len; i++)
            buf[i] = (uint8_t)(next_random(&s) >> 24);
        if (round % 3 == 1 && len > 0) buf[0] = '{';
        if (round % 3 == 2) { /* a valid one with noise in it */
            len = pack(buf, "somebody", (int64_t)next_random(&s), 1, 5);
            for (int k = 0; k < 3; k++)
                buf[next_random(&s) % len] = (uint8_t)next_random(&s);
        }
        check_outcome(fx, take(fx, buf, len));
    }
}

static void
deep_and_large_messages_are_read_within_bounds(void **state)
{
    fixture *fx = *state;
    size_t   len = 1 << 20;
    char    *big = malloc(len + 100);
    assert_non_null(big);
    memset(big, '[', len);
    memcpy(big, "{\"user\":", 8);
    assert_int_equal(take(fx, big, len), DECODE_MALFORMED);
    memset(big, '{', len);
    assert_int_equal(take(fx, big, len), DECODE_MALFORMED);
    for (size_t i = 0; i < len; i += 2)
        memcpy(big + i, "\x3a\x00", 2); /* 524,288 empty contexts */
    assert_int_equal(take(fx, big, len), DECODE_LABEL_MISSING);
    memcpy(big, "\x7a\xfc\xff\x3f", 4); /* a member that is not ours, of nearly all of it */
    assert_int_equal(take(fx, big, len), DECODE_LABEL_MISSING);
    const size_t tail = pack((uint8_t *)big + len, "u", 1, 1, 5);
    assert_int_equal(take(fx, big, len + tail), DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key("u", 1));
    free(big);
}

/* ---- only what is read can make an event bad ---- */

static void
json_members_of_others_do_not_matter(void **state)
{
    fixture          *fx = *state;
    const char *const other[] = {
        "18446744073709551615",
        "18446744073709551616",
        "-99999999999999999999999999",
        "1e400",
        "-1E+400",
        "\"cut \\ud83d\"",
        "\"\\ude00 \\ud83d\\ud83d\"",
        "\"\\u0000\"",
        "{\"a\":1,\"a\":2}",
        "{\"user\":7,\"label\":{\"user\":[]}}",
        "\"M\xfcnchen\"",
        "[1,[2,{\"x\":[]}],{}]",
        "null",
        "\"\\\"}\"",
    };
    char text[300];
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        snprintf(text, sizeof text,
                 "{\"x\":%s,\"user\":1,\"y\":%s,\"item\":2,\"label\":1,\"x\":%s}", other[i],
                 other[i], other[i]);
        check_json(fx, text, DECODE_OK);
        assert_true(fx->ev.key[0] == aa_id_key("1", 1));
        assert_true(fx->ev.key[1] == aa_id_key("2", 1));
    }
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":1,\"x\":NaN}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":1,}", DECODE_MALFORMED);
}

static void
what_is_wrong_with_ours_names_the_member(void **state)
{
    fixture *fx = *state;
    const struct {
        const char   *text, *words;
        decode_reason want;
    } cases[] = {
        {"{\"user\":1,\"user\":1,\"item\":2,\"label\":1}", "user stands twice", DECODE_MALFORMED},
        {"{\"user\":1,\"item\":18446744073709551616,\"label\":1}", "item: ", DECODE_ID_TYPE},
        {"{\"user\":1,\"item\":\"\\ud83d\",\"label\":1}", "item: half of a", DECODE_ID_TYPE},
        {"{\"user\":\"M\xfcnchen\",\"item\":1,\"label\":1}", "user: not UTF-8", DECODE_ID_TYPE},
        {"{\"user\":1,\"item\":2,\"label\":1e400}", "label", DECODE_LABEL_RANGE},
        {"{\"user\":1,\"item\":2,\"label\":1,\"timestamp_ms\":1e400}",
         "timestamp_ms: ", DECODE_TIME_RANGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_json(fx, cases[i].text, cases[i].want);
        assert_non_null(strstr(decode_why(fx->dc), cases[i].words));
    }
}

static void
json_ids_are_exact_to_64_bits_and_to_the_byte(void **state)
{
    fixture *fx = *state;
    check_json(fx, "{\"user\":18446744073709551615,\"item\":-9223372036854775808,\"label\":1}",
               DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key("18446744073709551615", 20));
    assert_true(fx->ev.key[1] == aa_id_key("-9223372036854775808", 20));
    check_json(fx, "{\"user\":9007199254740993,\"item\":\"a\\u0000\\ud83d\\ude00\",\"label\":1}",
               DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key("9007199254740993", 16));
    assert_true(fx->ev.key[1] == aa_id_key("a\0\xf0\x9f\x98\x80", 6));
    char        digits[24];
    size_t      len;
    const char *item = decode_id_text(fx->dc, 1, digits, &len); /* it was unescaped: a copy */
    assert_int_equal(len, 6);
    assert_memory_equal(item, "a\0\xf0\x9f\x98\x80", 6);
}

static void
json_behind_a_byte_order_mark_or_blanks_is_json(void **state)
{
    fixture          *fx = *state;
    const char *const front[] = {"\xef\xbb\xbf", " ", "\n", "\r\n\t ", "\xef\xbb\xbf \n", ""};
    char              text[100];
    for (size_t i = 0; i < sizeof front / sizeof *front; i++) {
        snprintf(text, sizeof text, "%s{\"user\":1,\"item\":2,\"label\":1}\r\n ", front[i]);
        fx->cfg.event.format = AA_EVENT_FORMAT_AUTO;
        check_json(fx, text, DECODE_OK);
        fx->cfg.event.format = AA_EVENT_FORMAT_JSON;
        check_json(fx, text, DECODE_OK);
    }
}

/* "\n{" is also the head of a user's ID of 123 bytes. */
static void
protobuf_that_begins_like_json_is_protobuf(void **state)
{
    fixture *fx = *state;
    char     id[124] = "";
    uint8_t  buf[300];
    memset(id, '"', 123);
    const size_t len = pack(buf, id, 1, 1, 5);
    assert_memory_equal(buf, "\n{", 2);
    assert_int_equal(take(fx, buf, len), DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key(id, 123));
    check_json(fx, "\n{\"user\":1,\"item\":2,\"label\":1", DECODE_MALFORMED);
    assert_non_null(strstr(decode_why(fx->dc), "not JSON"));
}

static void
memory_does_not_follow_the_message(void **state)
{
    fixture          *fx = *state;
    const size_t      len = 30 << 20;
    static const char tail[] = "0],\"user\":1,\"item\":2,\"label\":1}";
    char             *big = malloc(len + sizeof tail);
    assert_non_null(big);
    memcpy(big, "{\"x\":[", 6);
    for (size_t i = 6; i < len; i += 2)
        memcpy(big + i, "0,", 2);
    memcpy(big + len, tail, sizeof tail);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    assert_int_equal(decode_message(fx->dc, big, len + sizeof tail - 1, 1, &fx->col, 0), DECODE_OK);
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 1024); /* kB */
    free(big);
}

/* ---- times ---- */

static void
a_time_too_far_ahead_of_its_message_is_refused(void **state)
{
    fixture *fx = *state;
    char     text[100];
    snprintf(text, sizeof text, "{\"user\":1,\"item\":2,\"label\":1,\"timestamp_ms\":%d}",
             KAFKA_MS + 5001);
    check_json(fx, text, DECODE_OK); /* no limit by default */
    fx->cfg.event.time_max_ahead_ms = 5000;
    check_json(fx, text, DECODE_TIME_RANGE);
    assert_non_null(strstr(decode_why(fx->dc), "5001 ms after"));
    fx->cfg.event.time_max_ahead_ms = 5001;
    check_json(fx, text, DECODE_OK);
    fx->cfg.event.time_max_ahead_ms = 1;
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":1,\"timestamp_ms\":-99999999999}", DECODE_OK);
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":1}", DECODE_OK);
    assert_int_equal(decode_message(fx->dc, text, strlen(text), -1, &fx->col, 0), DECODE_OK);
}

static void
times_in_smaller_units_are_refused_and_the_unit_is_named(void **state)
{
    fixture *fx = *state;
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":1,\"timestamp_ms\":1588687728923000}",
               DECODE_TIME_RANGE);
    assert_non_null(strstr(decode_why(fx->dc), "in us?"));
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":1,\"timestamp_ms\":1588687728923000000}",
               DECODE_TIME_RANGE);
    assert_non_null(strstr(decode_why(fx->dc), "in ns?"));
}

/* ---- many fields ---- */

static void
as_many_fields_as_are_allowed_are_read(void **state)
{
    fixture *fx = *state;
    char     text[2000] = "{\"label\":1", name[24];
    fx->cfg.field_count = AA_MAX_FIELDS;
    for (size_t f = 0; f < AA_MAX_FIELDS; f++) {
        snprintf(name, sizeof name, "f%zu", f);
        memcpy(fx->cfg.fields[f].path, name, sizeof name);
        snprintf(text + strlen(text), 40, ",\"%s\":%zu", name, f);
    }
    strcat(text, "}");
    reopen(fx);
    check_json(fx, text, DECODE_OK);
    for (size_t f = 0; f < AA_MAX_FIELDS; f++)
        assert_true(fx->ev.key[f] == aa_id_key_number((int64_t)f));
}

/* ---- protobuf knows what is there ---- */

static void
protobuf_without_a_time_takes_kafkas_and_without_a_label_is_refused(void **state)
{
    fixture                *fx = *state;
    uint8_t                 buf[100];
    Autoassign__Interaction ia;
    autoassign__interaction__init(&ia);
    ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_NUMBER;
    ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER;
    ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL_LABEL;
    size_t len = autoassign__interaction__pack(&ia, buf);
    assert_int_equal(take(fx, buf, len), DECODE_OK);
    assert_int_equal(fx->ev.time_ms[0], KAFKA_MS);
    check_close(fx->ev.label[0], 0, 0, 0, 0);
    assert_int_equal(decode_message(fx->dc, buf, len, -1, &fx->col, 0), DECODE_TIME_MISSING);
    ia.given_time_case = AUTOASSIGN__INTERACTION__GIVEN_TIME_TIMESTAMP_MS; /* 0 is a time */
    assert_int_equal(take(fx, buf, autoassign__interaction__pack(&ia, buf)), DECODE_OK);
    assert_int_equal(fx->ev.time_ms[0], 0);
    ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL__NOT_SET;
    assert_int_equal(take(fx, buf, autoassign__interaction__pack(&ia, buf)), DECODE_LABEL_MISSING);
    assert_non_null(strstr(decode_why(fx->dc), "label"));
}

/* The reader is ours: what protobuf-c writes has to mean the same. */
static void
protobuf_is_read_as_it_was_written(void **state)
{
    fixture *fx = *state;
    uint64_t s = 88172645463325252u;
    uint8_t  buf[300];
    for (int round = 0; round < 20000; round++) {
        char         user[40];
        const size_t user_len = 1 + next_random(&s) % 30;
        memset(user, 0, sizeof user);
        for (size_t i = 0; i < user_len; i++)
            user[i] = (char)(1 + next_random(&s) % 255);
        const int64_t item = (int64_t)(next_random(&s) >> next_random(&s) % 64);
        const double  label = (double)(next_random(&s) % 1000) / 999;
        const int64_t time_ms = (int64_t)(next_random(&s) % 4102444800000);
        const size_t  len = pack(buf, user, item, label, time_ms);
        assert_int_equal(take(fx, buf, len), DECODE_OK);
        assert_true(fx->ev.key[0] == aa_id_key(user, user_len));
        assert_true(fx->ev.key[1] == aa_id_key_number(item));
        assert_true(fx->ev.label[0] == (float)label);
        assert_int_equal(fx->ev.time_ms[0], time_ms);
    }
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(json_event_has_keys_label_and_time),
        TEST(protobuf_event_equals_the_json_one),
        TEST(names_unit_and_threshold_come_from_the_config),
        TEST(further_fields_come_from_names_and_from_context),
        TEST(format_can_be_fixed),
        TEST(each_defect_has_its_reason),
        TEST(json_without_a_time_takes_kafkas),
        TEST(protobuf_labels_that_are_no_numbers_are_refused),
        TEST(id_may_be_as_long_as_allowed_and_no_longer),
        TEST(bytes_with_nul_are_an_id_in_protobuf),
        TEST(every_truncation_is_survived),
        TEST(every_flipped_bit_is_survived),
        TEST(random_bytes_are_survived),
        TEST(deep_and_large_messages_are_read_within_bounds),
        TEST(json_members_of_others_do_not_matter),
        TEST(what_is_wrong_with_ours_names_the_member),
        TEST(json_ids_are_exact_to_64_bits_and_to_the_byte),
        TEST(json_behind_a_byte_order_mark_or_blanks_is_json),
        TEST(protobuf_that_begins_like_json_is_protobuf),
        TEST(memory_does_not_follow_the_message),
        TEST(a_time_too_far_ahead_of_its_message_is_refused),
        TEST(times_in_smaller_units_are_refused_and_the_unit_is_named),
        TEST(as_many_fields_as_are_allowed_are_read),
        TEST(protobuf_without_a_time_takes_kafkas_and_without_a_label_is_refused),
        TEST(protobuf_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests_name("ingest/decode/decode", tests, NULL, NULL);
}
