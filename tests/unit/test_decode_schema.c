/* Messages with a schema become events: framed by a registry, or described by a file. */
#include "ingest/decode/decode_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "tests/check.h"
#include "tests/exact.h"
#include "tests/formats/registry_answers.h"
#include "tests/one_event.h"

enum { KAFKA_MS = 1234567 };

typedef struct {
    aa_conf          cfg;
    decode          *dc;
    registry_answers ra;
    one_event        ev;
    aa_columns       col; /* of ev */
} fixture;

static int
start(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    fx->col = one_event_columns(&fx->ev);
    registry_answers_open(&fx->ra);
    *state = fx;
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    decode_free(&fx->dc);
    registry_answers_close(&fx->ra);
    free(fx);
    return 0;
}

static aa_status
try_open(fixture *fx, const char *const *over, aa_err *err)
{
    size_t n = 0;
    while (over[n])
        n++;
    decode_free(&fx->dc);
    aa_status st = aa_conf_load(&fx->cfg, NULL, over, n, err);
    if (st == AA_OK) st = decode_new(&fx->dc, &fx->cfg, err);
    if (st == AA_OK) decode_set_source(fx->dc, &fx->ra.source);
    return st;
}

static void
open_with(fixture *fx, const char *const *over)
{
    aa_err err = AA_ERR_INIT;
    if (try_open(fx, over, &err) != AA_OK) fail_msg("%s", err.text);
}
#define OPEN(fx, ...) open_with(fx, (const char *const[]){__VA_ARGS__, NULL})
#define REGISTRY      "event.schema_registry=http://registry:8081"
#define AVRO_CLICK                                                                                 \
    "event.label_field=kind", "event.label_map=VIEW=0,CLICK=1,PURCHASE=1", "event.time_field=at",  \
        "fields.user.path=user.id", "fields.user.missing=unknown", "fields.item.path=id"

static decode_reason
take(fixture *fx, const void *bytes, size_t len)
{
    void               *copy = exact_copy(bytes, len);
    const decode_reason why = decode_message(fx->dc, copy, len, KAFKA_MS, &fx->col, 0);
    free(copy);
    return why;
}

static void
take_file(fixture *fx, const char *name, decode_reason want)
{
    size_t              len;
    char               *bytes = fixture_read(name, &len);
    const decode_reason got = take(fx, bytes, len);
    free(bytes);
    if (got != want)
        fail_msg("%s: %s (%s), not %s", name, decode_slug(got), decode_why(fx->dc),
                 decode_slug(want));
}

static uint64_t
key_of(const char *text)
{
    return aa_id_key(text, strlen(text));
}

/* ---- by a registry ---- */

static void
a_framed_avro_message_is_an_event(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=avro", AVRO_CLICK);
    take_file(fx, "avro_framed.bin", DECODE_OK);
    take_file(fx, "avro_framed.bin", DECODE_OK);
    assert_int_equal(fx->ra.asked, 1); /* the plan is made once */
}

static void
named_types_of_other_subjects_are_found(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=avro", "fields.user.path=user.id");
    take_file(fx, "avro_reference.bin", DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("ann"));
    assert_true(fx->ev.key[1] == key_of("7"));
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], KAFKA_MS);
}

static void
a_framed_protobuf_message_is_an_event(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "fields.user.path=user.id", "event.time_field=at");
    take_file(fx, "protobuf_framed.bin", DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("ann"));
    assert_true(fx->ev.key[1] == key_of("7"));
    check_close(fx->ev.label[0], 1, 0, 0, 0);
    assert_int_equal(fx->ev.time_ms[0], 1700000000123);
}

/* The place of a message in its file is part of the frame. */
static void
a_framed_protobuf_message_may_be_a_nested_one(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=protobuf", "fields.user.missing=unknown",
         "event.label_field=item2", "event.label_map=9=1");
    take_file(fx, "protobuf_deep.bin", DECODE_LABEL_MISSING);
    assert_non_null(strstr(decode_why(fx->dc), "the message's schema has no such field"));
    OPEN(fx, REGISTRY, "event.message=shop.Click");
    take_file(fx, "protobuf_deep.bin", DECODE_SCHEMA_UNFIT);
    assert_non_null(strstr(decode_why(fx->dc), "a shop.View.Deep, not event.message"));
}

static void
a_framed_json_message_is_an_event(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=json");
    take_file(fx, "json_framed.bin", DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("ann"));
    OPEN(fx, REGISTRY); /* auto: beside messages without a frame */
    take_file(fx, "json_framed.bin", DECODE_OK);
    assert_int_equal(take(fx, "{\"user\":1,\"item\":2,\"label\":1}", 29), DECODE_OK);
}

static void
an_unknown_schema_is_a_reason(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=avro");
    assert_int_equal(take(fx, "\0\0\0\x03\xe8\x02", 6), DECODE_SCHEMA_UNKNOWN);
    assert_non_null(strstr(decode_why(fx->dc), "schema 1000: the registry does not know it"));
}

static void
a_schema_that_cannot_be_had_now_is_waited_for(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=avro", "fields.user.path=user.id");
    fx->ra.instead = SCHEMA_LATER;
    take_file(fx, "avro_reference.bin", DECODE_WAIT);
    assert_int_equal(decode_waits_for(fx->dc), 3);
    assert_false(decode_schema_there(fx->dc, 3));
    fx->ra.instead = SCHEMA_FOUND;
    assert_true(decode_schema_there(fx->dc, 3));
    take_file(fx, "avro_reference.bin", DECODE_OK);
    fx->ra.instead = SCHEMA_LATER;
    take_file(fx, "avro_reference.bin", DECODE_OK); /* what is known needs no registry */
}

static void
frames_that_are_none_are_malformed(void **state)
{
    fixture *fx = *state;
    OPEN(fx, REGISTRY, "event.format=avro");
    assert_int_equal(take(fx, "\x02\0\0\0\x01", 5), DECODE_MALFORMED);
    assert_int_equal(take(fx, "\0\0\0\x01", 4), DECODE_MALFORMED);
    assert_int_equal(take(fx, "\0\0\0\0\x01", 5), DECODE_MALFORMED); /* no record in it */
    assert_non_null(
        strstr(decode_why(fx->dc), "not Avro of its schema, byte 0: it ends too early"));
    OPEN(fx, REGISTRY, "event.format=protobuf");
    assert_int_equal(take(fx, "\0\0\0\0\x05", 5), DECODE_MALFORMED); /* no place */
    assert_int_equal(take(fx, "\0\0\0\0\x05\x01", 6), DECODE_MALFORMED);
    assert_int_equal(take(fx, "\0\0\0\0\x05\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 15),
                     DECODE_MALFORMED);
    assert_int_equal(take(fx, "\0\0\0\0\x05\x02\x12", 7), DECODE_SCHEMA_UNFIT); /* no such place */
}

/* ---- by a file ---- */

static void
a_plain_avro_message_is_read_by_the_schema_file(void **state)
{
    fixture *fx = *state;
    size_t   len, i;
    json_t  *rows = fixture_lines("avro.jsonl"), *row;
    OPEN(fx, "event.format=avro", "event.schema_file=" FIXTURES "click.avsc", AVRO_CLICK);
    json_array_foreach(rows, i, row)
    {
        unsigned char *bytes = fixture_message(row, &len);
        assert_int_equal(take(fx, bytes, len), DECODE_OK);
        assert_int_equal(fx->ev.time_ms[0], json_integer_value(json_object_get(row, "at_ms")));
        free(bytes);
    }
    json_decref(rows);
    OPEN(fx, "event.format=avro", "event.framing=confluent",
         "event.schema_file=" FIXTURES "click.avsc", AVRO_CLICK);
    take_file(fx, "avro_framed.bin", DECODE_OK);
    assert_int_equal(fx->ra.asked, 0);
}

static void
a_teams_own_protobuf_is_read_by_its_descriptor(void **state)
{
    fixture *fx = *state;
    OPEN(fx, "event.format=protobuf", "event.descriptor=" FIXTURES "shop.pb",
         "event.message=shop.Click", "fields.user.path=user.id", "event.time_field=at");
    take_file(fx, "protobuf_framed.bin", DECODE_OK); /* framed or not */
    assert_int_equal(fx->ev.time_ms[0], 1700000000123);
    assert_int_equal(take(fx,
                          "\x0a\x05\x0a\x03"
                          "ann\x10\x07",
                          9),
                     DECODE_OK);
    assert_true(fx->ev.key[0] == key_of("ann"));
    check_close(fx->ev.label[0], 0, 0, 0, 0); /* of implicit presence */
    assert_int_equal(fx->ev.time_ms[0], KAFKA_MS);
    assert_int_equal(take(fx, "\x0a\x05\x0a", 3), DECODE_MALFORMED);
}

static void
a_file_that_is_no_schema_is_an_error_of_the_configuration(void **state)
{
    fixture *fx = *state;
    static const struct {
        const char *over[4], *says;
    } bad[] = {
        {{"event.format=avro", "event.schema_file=/nowhere"}, "event.schema_file: /nowhere"},
        {{"event.format=avro", "event.schema_file=" FIXTURES "shop.pb"},
         "event.schema_file: " FIXTURES "shop.pb: not JSON"},
        {{"event.descriptor=" FIXTURES "click.avsc", "event.message=x"}, "not a descriptor set"},
        {{"event.descriptor=" FIXTURES "shop.pb", "event.message=shop.Nothing"},
         "has no message \"shop.Nothing\""},
        {{"event.descriptor=" FIXTURES "shop.pb"}, "event.message: is empty"},
        {{"event.format=avro"}, "avro needs event.schema_registry or event.schema_file"},
        {{"event.message=x"}, "event.message: needs"},
        {{"event.framing=confluent"}, "event.framing: confluent needs"},
        {{"event.schema_registry=registry:8081"}, "expected http://... or https://..."},
        {{"event.schema_registry=http://r", "event.framing=plain"}, "event.framing: plain"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err err = AA_ERR_INIT;
        assert_int_equal(try_open(fx, bad[i].over, &err), AA_ECONFIG);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s, not %s", err.text, bad[i].says);
    }
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_framed_avro_message_is_an_event),
        TEST(named_types_of_other_subjects_are_found),
        TEST(a_framed_protobuf_message_is_an_event),
        TEST(a_framed_protobuf_message_may_be_a_nested_one),
        TEST(a_framed_json_message_is_an_event),
        TEST(an_unknown_schema_is_a_reason),
        TEST(a_schema_that_cannot_be_had_now_is_waited_for),
        TEST(frames_that_are_none_are_malformed),
        TEST(a_plain_avro_message_is_read_by_the_schema_file),
        TEST(a_teams_own_protobuf_is_read_by_its_descriptor),
        TEST(a_file_that_is_no_schema_is_an_error_of_the_configuration),
    };
    return cmocka_run_group_tests_name("ingest/decode/decode_schema", tests, NULL, NULL);
}
