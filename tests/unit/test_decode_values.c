/* Paths and types as a configuration asks for them, by JSON events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "ingest/decode/decode.h"
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
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    fx->col = one_event_columns(&fx->ev);
    *state = fx;
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    decode_free(&fx->dc);
    free(fx);
    return 0;
}

/* With these overrides, up to a NULL. */
static void
open_with(fixture *fx, const char *const *over)
{
    size_t n = 0;
    aa_err err = AA_ERR_INIT;
    while (over[n])
        n++;
    decode_free(&fx->dc);
    if (aa_conf_load(&fx->cfg, NULL, over, n, &err) != AA_OK ||
        decode_new(&fx->dc, &fx->cfg, &err) != AA_OK)
        fail_msg("%s", err.text);
}
#define OPEN(fx, ...) open_with(fx, (const char *const[]){__VA_ARGS__, NULL})

static void
take_text(fixture *fx, const char *text, decode_reason want)
{
    const size_t        len = strlen(text);
    void               *copy = exact_copy(text, len);
    const decode_reason got = decode_message(fx->dc, copy, len, KAFKA_MS, &fx->col, 0);
    free(copy);
    if (got != want)
        fail_msg("%s: %s (%s), not %s", text, decode_slug(got), decode_why(fx->dc),
                 decode_slug(want));
}

static void
check_why(fixture *fx, const char *text, decode_reason want, const char *why)
{
    take_text(fx, text, want);
    if (!strstr(decode_why(fx->dc), why)) fail_msg("%s: %s", text, decode_why(fx->dc));
}

static uint64_t
key_of(const char *text)
{
    return aa_id_key(text, strlen(text));
}

/* ---- paths ---- */

static void
values_are_found_within_objects_and_arrays(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.path=payload.user.id", "fields.item.json=items[1].sku",
         "event.label_field=payload.clicked", "event.time_field=meta.0.at");
    take_text(fx,
              "{\"items\":[{\"sku\":\"a\"},{\"x\":[],\"sku\":\"b\"},{\"sku\":\"c\"}],"
              "\"payload\":{\"user\":{\"name\":\"n\",\"id\":7},\"clicked\":true,\"z\":{\"id\":8}},"
              "\"meta\":[{\"at\":5},{\"at\":6}]}",
              DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("7"));
    assert_true(fx->ev.key[1] == key_of("b"));
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], 5);
}

static void
a_dead_letter_says_where_a_path_ended(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.path=payload.user.id", "fields.item.path=items[1]");
    check_why(fx, "{\"payload\":{},\"items\":[1,2],\"label\":1}", DECODE_ID_MISSING,
              "payload.user.id: no ID");
    check_why(fx, "{\"payload\":{\"user\":\"ann\"},\"items\":[1,2],\"label\":1}", DECODE_ID_MISSING,
              "payload.user.id: no ID: payload.user is text");
    check_why(fx, "{\"payload\":null,\"items\":[1,2],\"label\":1}", DECODE_ID_MISSING,
              "payload.user.id: no ID: payload is null");
    check_why(fx, "{\"payload\":{\"user\":{\"id\":1}},\"items\":[1],\"label\":1}",
              DECODE_ID_MISSING, "items[1]: no ID");
    check_why(fx, "{\"payload\":{\"user\":{\"id\":[1]}},\"items\":[1,2],\"label\":1}",
              DECODE_ID_TYPE, "payload.user.id: neither a string nor a 64-bit integer, but an obj");
    check_why(fx, "{\"payload\":{\"user\":{\"id\":1}},\"payload\":{},\"items\":[1,2],\"label\":1}",
              DECODE_MALFORMED, "payload stands twice");
    check_why(fx, "{\"payload\":{\"user\":{\"id\":1,\"id\":1}},\"items\":[1,2],\"label\":1}",
              DECODE_MALFORMED, "payload.user.id stands twice");
}

static void
a_name_with_dots_is_found_at_the_top(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.json=user.id");
    take_text(fx, "{\"user.id\":3,\"item\":1,\"label\":1}", DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("3"));
    take_text(fx, "{\"user\":{\"id\":4},\"item\":1,\"label\":1}", DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("4"));
    check_why(fx, "{\"user\":{\"id\":4},\"user.id\":3,\"item\":1,\"label\":1}", DECODE_MALFORMED,
              "user.id stands twice");
}

static void
a_path_that_is_none_is_an_error_of_the_configuration(void **state)
{
    fixture          *fx = *state;
    aa_err            err = AA_ERR_INIT;
    const char *const over[] = {"fields.user.path=a..b"};
    assert_int_equal(aa_conf_load(&fx->cfg, NULL, over, 1, &err), AA_OK);
    assert_int_equal(decode_new(&fx->dc, &fx->cfg, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "a..b"));
}

static void
objects_deeper_than_a_path_are_passed_over(void **state)
{
    fixture *fx = *state;
    char     text[9000] = "{\"payload\":{\"x\":";
    OPEN(fx, "fields.user.path=payload.user");
    for (int i = 0; i < 1000; i++)
        strcat(text, "{\"a\":");
    strcat(text, "1");
    for (int i = 0; i < 1000; i++)
        strcat(text, "}");
    strcat(text, ",\"user\":1},\"item\":2,\"label\":0}");
    take_text(fx, text, DECODE_OK);
}

/* ---- IDs ---- */

static void
a_missing_id_is_what_the_field_says(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.path=user", "fields.item.path=item", "fields.page.path=page",
         "fields.page.missing=unknown", "fields.shop.path=shop", "fields.shop.missing=skip");
    take_text(fx, "{\"user\":1,\"item\":2,\"page\":3,\"shop\":4,\"label\":0}", DECODE_OK);
    take_text(fx, "{\"user\":1,\"item\":2,\"shop\":4,\"label\":0}", DECODE_OK);
    assert_true(fx->ev.key[2] == key_of(DECODE_UNKNOWN_ID));
    take_text(fx, "{\"user\":1,\"item\":2,\"page\":\"\",\"shop\":4,\"label\":0}", DECODE_OK);
    assert_true(fx->ev.key[2] == key_of(DECODE_UNKNOWN_ID));
    check_why(fx, "{\"user\":1,\"item\":2,\"page\":3,\"shop\":null,\"label\":0}", DECODE_SKIP,
              "shop: no ID (null)");
    check_why(fx, "{\"item\":2,\"page\":3,\"shop\":4,\"label\":0}", DECODE_ID_MISSING,
              "user: no ID");
    /* a wrong type is not a missing ID */
    take_text(fx, "{\"user\":1,\"item\":2,\"page\":[],\"shop\":4,\"label\":0}", DECODE_ID_TYPE);
}

static void
an_unknown_item_has_a_name(void **state)
{
    fixture *fx = *state;
    char     digits[24];
    size_t   len;
    OPEN(fx, "fields.item.missing=unknown");
    take_text(fx, "{\"user\":1,\"label\":0}", DECODE_OK);
    const char *text = decode_id_text(fx->dc, 1, digits, &len);
    assert_int_equal(len, strlen(DECODE_UNKNOWN_ID));
    assert_memory_equal(text, DECODE_UNKNOWN_ID, len);
}

static void
a_boolean_is_an_id(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.path=user", "fields.item.path=mobile");
    take_text(fx, "{\"user\":1,\"mobile\":true,\"label\":0}", DECODE_OK);
    assert_true(fx->ev.key[1] == key_of("true"));
    take_text(fx, "{\"user\":1,\"mobile\":false,\"label\":0}", DECODE_OK);
    assert_true(fx->ev.key[1] == key_of("false"));
}

/* ---- labels ---- */

static void
a_label_map_gives_texts_numbers_and_booleans_a_label(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "event.label_map=purchase=1, click=0.5,view=0,5=1,true=1", "event.label_field=type");
    take_text(fx, "{\"user\":1,\"item\":2,\"type\":\"purchase\"}", DECODE_OK);
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    take_text(fx, "{\"user\":1,\"item\":2,\"type\":\"click\"}", DECODE_OK);
    check_close(fx->ev.label[0], 0.5F, 0, 0, 0);
    take_text(fx, "{\"user\":1,\"item\":2,\"type\":5}", DECODE_OK);
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    take_text(fx, "{\"user\":1,\"item\":2,\"type\":true}", DECODE_OK);
    check_why(fx, "{\"user\":1,\"item\":2,\"type\":\"scroll\"}", DECODE_LABEL_VALUE,
              "type: 6 bytes that event.label_map does not have");
    take_text(fx, "{\"user\":1,\"item\":2,\"type\":1}", DECODE_LABEL_VALUE);
    take_text(fx, "{\"user\":1,\"item\":2,\"type\":[]}", DECODE_LABEL_TYPE);
    take_text(fx, "{\"user\":1,\"item\":2}", DECODE_LABEL_MISSING);
}

static void
labels_that_the_map_does_not_have_may_be_skipped(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "event.label_map=click=1,view=0", "event.label_other=skip");
    take_text(fx, "{\"user\":1,\"item\":2,\"label\":\"scroll\"}", DECODE_SKIP);
    take_text(fx, "{\"user\":1,\"item\":2,\"label\":\"view\"}", DECODE_OK);
    take_text(fx, "{\"user\":1,\"item\":2}", DECODE_LABEL_MISSING);
}

/* ---- times ---- */

static void
check_time(fixture *fx, const char *value, int64_t want_ms)
{
    char text[120];
    snprintf(text, sizeof text, "{\"user\":1,\"item\":2,\"label\":0,\"timestamp_ms\":%s}", value);
    take_text(fx, text, DECODE_OK);
    if (fx->ev.time_ms[0] != want_ms)
        fail_msg("%s: %lld, not %lld", value, (long long)fx->ev.time_ms[0], (long long)want_ms);
}

static void
check_no_time(fixture *fx, const char *value, decode_reason want)
{
    char text[120];
    snprintf(text, sizeof text, "{\"user\":1,\"item\":2,\"label\":0,\"timestamp_ms\":%s}", value);
    take_text(fx, text, want);
}

static void
times_have_the_unit_of_the_configuration(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "event.time_unit=us");
    check_time(fx, "1700000000123999", 1700000000123);
    check_time(fx, "-1", -1); /* cut off towards the past */
    check_time(fx, "1500.0", 2);
    OPEN(fx, "event.time_unit=ns");
    check_time(fx, "1700000000123999999", 1700000000123);
    check_no_time(fx, "\"2023-11-14T22:13:20Z\"", DECODE_TIME_TYPE);
    OPEN(fx, "event.time_unit=s");
    check_time(fx, "1700000000.25", 1700000000250);
    check_no_time(fx, "9223372036854775807", DECODE_TIME_RANGE);
    OPEN(fx, "event.time_unit=ms");
    check_no_time(fx, "\"2023-11-14T22:13:20Z\"", DECODE_TIME_TYPE);
    check_no_time(fx, "18446744073709551615", DECODE_TIME_RANGE);
    OPEN(fx, "event.time_unit=rfc3339");
    check_time(fx, "\"2023-11-14T22:13:20.5Z\"", 1700000000500);
    check_no_time(fx, "1700000000", DECODE_TIME_TYPE);
    check_no_time(fx, "\"yesterday\"", DECODE_TIME_TYPE);
    check_time(fx, "null", KAFKA_MS);
}

static void
an_auto_time_tells_its_unit_by_its_size(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "event.time_unit=auto");
    check_time(fx, "1700000000", 1700000000000);
    check_time(fx, "1700000000.25", 1700000000250);
    check_time(fx, "1700000000123", 1700000000123);
    check_time(fx, "1700000000123456", 1700000000123);
    check_time(fx, "1700000000123456789", 1700000000123);
    check_time(fx, "\"1700000000123\"", 1700000000123);
    check_time(fx, "\"2023-11-14T22:13:20Z\"", 1700000000000);
    check_no_time(fx, "\"\"", DECODE_TIME_TYPE);
    check_no_time(fx, "true", DECODE_TIME_TYPE);
}

/* ---- the examples of docs/EVENTS.md ---- */

static void
debezium_changes_are_events(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.path=payload.after.user_id", "fields.item.path=payload.after.sku",
         "fields.user.missing=skip", "event.label_field=payload.op",
         "event.label_map=c=1,u=1,r=1,d=0", "event.time_field=payload.source.ts_ms");
    take_text(
        fx,
        "{\"schema\":{\"type\":\"struct\"},\"payload\":{\"before\":null,\"after\":{\"id\":17,"
        "\"user_id\":42,\"sku\":\"A-1\"},\"source\":{\"connector\":\"postgresql\","
        "\"ts_ms\":1700000000123,\"table\":\"orders\"},\"op\":\"c\",\"ts_ms\":1700000000999}}",
        DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("42"));
    assert_true(fx->ev.key[1] == key_of("A-1"));
    assert_int_equal(fx->ev.time_ms[0], 1700000000123);
    check_why(fx,
              "{\"payload\":{\"before\":{\"user_id\":42},\"after\":null,\"op\":\"d\","
              "\"source\":{\"ts_ms\":1}}}",
              DECODE_SKIP, "payload.after is null");
}

static void
cloud_events_are_events(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "fields.user.path=data.user", "fields.item.path=subject", "event.label_field=type",
         "event.label_map=com.example.click=1,com.example.view=0", "event.label_other=skip",
         "event.time_field=time", "event.time_unit=rfc3339");
    take_text(fx,
              "{\"specversion\":\"1.0\",\"id\":\"b25e2717\",\"source\":\"/shop\","
              "\"type\":\"com.example.click\",\"subject\":\"sku-9\","
              "\"time\":\"2026-03-01T12:00:00.250Z\",\"datacontenttype\":\"application/json\","
              "\"data\":{\"user\":\"ann\",\"page\":3}}",
              DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("ann"));
    assert_true(fx->ev.key[1] == key_of("sku-9"));
    assert_int_equal(fx->ev.time_ms[0], 1772366400250);
    take_text(fx, "{\"type\":\"com.example.login\",\"subject\":\"x\",\"data\":{\"user\":\"ann\"}}",
              DECODE_SKIP);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(values_are_found_within_objects_and_arrays),
        TEST(a_dead_letter_says_where_a_path_ended),
        TEST(a_name_with_dots_is_found_at_the_top),
        TEST(a_path_that_is_none_is_an_error_of_the_configuration),
        TEST(objects_deeper_than_a_path_are_passed_over),
        TEST(a_missing_id_is_what_the_field_says),
        TEST(an_unknown_item_has_a_name),
        TEST(a_boolean_is_an_id),
        TEST(a_label_map_gives_texts_numbers_and_booleans_a_label),
        TEST(labels_that_the_map_does_not_have_may_be_skipped),
        TEST(times_have_the_unit_of_the_configuration),
        TEST(an_auto_time_tells_its_unit_by_its_size),
        TEST(debezium_changes_are_events),
        TEST(cloud_events_are_events),
    };
    return cmocka_run_group_tests_name("ingest/decode/decode_values", tests, NULL, NULL);
}
