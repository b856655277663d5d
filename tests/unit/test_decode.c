#include "ingest/decode/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "schemas/event.pb-c.h"
#include "tests/check.h"
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

static int
stop(void **state)
{
    fixture *fx = *state;
    decode_free(&fx->dc);
    free(fx);
    return 0;
}

/* The message in a block of exactly its size, so that a sanitizer sees a read beyond it. */
static decode_reason
take(fixture *fx, const void *buf, size_t len)
{
    char         *copy = malloc(len > 0 ? len : 1);
    decode_reason why;
    assert_non_null(copy);
    memcpy(copy, buf, len);
    why = decode_message(fx->dc, copy, len, KAFKA_MS, &fx->col, 0);
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
    snprintf(fx->cfg.fields[0].json, sizeof fx->cfg.fields[0].json, "uid");
    snprintf(fx->cfg.event.label_field, sizeof fx->cfg.event.label_field, "stars");
    snprintf(fx->cfg.event.time_field, sizeof fx->cfg.event.time_field, "at");
    fx->cfg.event.time_unit = AA_TIME_UNIT_S;
    fx->cfg.event.label = AA_LABEL_THRESHOLD;
    fx->cfg.event.positive_above = 3;
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
    check_json(fx, "{\"user\":1,\"item\":2,\"page\":\"home\",\"label\":0}", DECODE_OK);
    assert_true(fx->ev.key[2] == aa_id_key("home", 4));
    check_json(fx, "{\"user\":1,\"item\":2,\"label\":0}", DECODE_ID_MISSING);

    assert_int_equal(take(fx, buf, pack(buf, "u", 1, 0, 0)), DECODE_ID_MISSING);
    ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_ID;
    ia.user_id = (ProtobufCBinaryData){1, user};
    ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_ID;
    ia.item_id = (ProtobufCBinaryData){1, user};
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
    check_json(fx, "{\"user\":true,\"item\":1,\"label\":1}", DECODE_ID_TYPE);
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
    check_json(fx, "{\"user\":99999999999999999999,\"item\":1,\"label\":1}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":1e999}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":1,\"item\":1,\"label\":NaN}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":\"\\u0000\",\"item\":1,\"label\":1}", DECODE_MALFORMED);
    check_json(fx, "{\"user\":\"\xff\xfe\",\"item\":1,\"label\":1}", DECODE_MALFORMED);
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
    ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER;
    assert_int_equal(take(fx, buf, autoassign__interaction__pack(&ia, buf)), DECODE_OK);
    assert_true(fx->ev.key[0] == aa_id_key(id, 3));
    assert_true(fx->ev.key[0] != aa_id_key("a", 1));
}

/* A label cut off is a missing field in protobuf, thus 0: only the ends of fields may pass. */
static void
every_truncation_is_survived(void **state)
{
    fixture    *fx = *state;
    uint8_t     buf[400];
    size_t      len = pack(buf, "somebody", 123456789, 1, 1700000000000), passed = 0;
    const char *json = "{\"user\":\"ann\",\"item\":42,\"label\":1,\"timestamp_ms\":5}";
    for (size_t n = 0; n < len; n++)
        passed += take(fx, buf, n) == DECODE_OK;
    assert_int_equal(passed, 2); /* after the item, after the label */
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
deep_and_large_messages_are_refused_within_bounds(void **state)
{
    fixture *fx = *state;
    size_t   len = 1 << 20;
    char    *big = malloc(len);
    assert_non_null(big);
    memset(big, '[', len);
    memcpy(big, "{\"user\":", 8);
    assert_int_equal(take(fx, big, len), DECODE_MALFORMED);
    memset(big, '{', len);
    assert_int_equal(take(fx, big, len), DECODE_MALFORMED);
    for (size_t i = 0; i < len; i += 2)
        memcpy(big + i, "\x3a\x00", 2); /* 524,288 empty contexts */
    assert_int_equal(take(fx, big, len), DECODE_TOO_LARGE);
    memset(big, 'x', len); /* one context of nearly all of it */
    memcpy(big, "\x3a\xfc\xff\x3f", 4);
    assert_int_equal(take(fx, big, len), DECODE_TOO_LARGE);
    for (size_t i = 0; i < len; i += 2)
        memcpy(big + i, "\x78\x01", 2); /* unknown fields */
    assert_int_not_equal(take(fx, big, len), DECODE_OK);
    free(big);
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
        TEST(deep_and_large_messages_are_refused_within_bounds),
    };
    return cmocka_run_group_tests_name("ingest/decode/decode", tests, NULL, NULL);
}
