#include "ingest/formats/protobuf_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/exact.h"
#include "tests/formats/fixtures.h"

enum { VALUES_MAX = 16 };

typedef struct {
    protobuf_schema *ps;
    path_tree       *pt;
    protobuf_plan   *pp;
    picked           value[VALUES_MAX];
} reading;

static void
open_reading(reading *re, const char *file, const char *message, const char *const *paths,
             size_t count, uint64_t no_zero)
{
    aa_err err = AA_ERR_INIT;
    size_t len;
    char  *set = fixture_read(file, &len);
    *re = (reading){.ps = NULL};
    if (protobuf_schema_of_set(&re->ps, set, len, &err) != AA_OK) fail_msg("%s", err.text);
    free(set); /* the schema has a copy */
    const uint32_t type = protobuf_schema_find(re->ps, message);
    assert_int_not_equal(type, PROTOBUF_NO_TYPE);
    assert_int_equal(path_tree_new(&re->pt, paths, count, &err), AA_OK);
    assert_int_equal(protobuf_plan_new(&re->pp, re->ps, type, re->pt, no_zero, &err), AA_OK);
}

static void
close_reading(reading *re)
{
    protobuf_plan_free(&re->pp);
    path_tree_free(&re->pt);
    protobuf_schema_free(&re->ps);
}

#define READ(re, bytes) protobuf_plan_read((re)->pp, bytes, sizeof bytes - 1, (re)->value)

static const char *const click_paths[] = {"user.id",   "user.age", "item",        "kind", "at",
                                          "scores[1]", "names.2",  "tags.page",   "page", "shop",
                                          "label",     "rank",     "others[1].id"};
static const char *const click_keys[] = {"user", "age",  "item", "kind",  "at_ms", "score", "name",
                                         "tag",  "page", "shop", "label", "rank",  "other"};
enum { CLICK_PATHS = sizeof click_paths / sizeof *click_paths, AT = 4 };

static void
messages_of_another_writer_are_read_as_they_were_meant(void **state)
{
    (void)state;
    reading re;
    size_t  i, len;
    json_t *rows = fixture_lines("protobuf.jsonl"), *row;
    open_reading(&re, "shop.pb", "shop.Click", click_paths, CLICK_PATHS, 0);
    json_array_foreach(rows, i, row)
    {
        unsigned char *bytes = fixture_message(row, &len);
        const char    *wrong = protobuf_plan_read(re.pp, bytes, len, re.value);
        if (wrong) fail_msg("row %zu: %s", i, wrong);
        re.value[AT].magnitude /= 1000;
        for (size_t k = 0; k < CLICK_PATHS; k++)
            fixture_check(row, click_keys[k], &re.value[k]);
        free(bytes);
    }
    assert_int_equal(i, 200);
    close_reading(&re);
    json_decref(rows);
}

static void
every_truncation_and_flipped_bit_is_survived(void **state)
{
    (void)state;
    reading re;
    size_t  len;
    json_t *rows = fixture_lines("protobuf.jsonl");
    open_reading(&re, "shop.pb", "shop.Click", click_paths, CLICK_PATHS, 0);
    for (size_t r = 0; r < 20; r++) {
        unsigned char *bytes = fixture_message(json_array_get(rows, r), &len);
        for (size_t n = 0; n < len; n++) {
            void *cut = exact_copy(bytes, n);
            (void)protobuf_plan_read(re.pp, cut, n, re.value);
            free(cut);
        }
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            (void)protobuf_plan_read(re.pp, bytes, len, re.value);
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        free(bytes);
    }
    close_reading(&re);
    json_decref(rows);
}

static void
what_is_not_in_a_message_is_as_its_presence_says(void **state)
{
    (void)state;
    const char *const paths[] = {"item", "kind", "rank", "user.id", "at", "label", "page"};
    reading           re;
    open_reading(&re, "shop.pb", "Click", paths, 7, 1u << 5);
    assert_null(READ(&re, ""));
    fixture_value(re.value, 0, "0");
    fixture_value(re.value, 1, "KIND_UNSET");
    fixture_value(re.value, 2, "absent"); /* optional */
    fixture_value(re.value, 3, "absent"); /* of a message that is not there */
    fixture_value(re.value, 4, "absent");
    fixture_value(re.value, 5, "absent"); /* a zero that counts as none */
    fixture_value(re.value, 6, "absent"); /* of a oneof */
    assert_null(READ(&re, "\x0a\x00"));
    fixture_value(re.value, 3, ""); /* the message is there, and its text empty */
    close_reading(&re);
}

static void
defaults_of_proto2_hold(void **state)
{
    (void)state;
    const char *const paths[] = {"user", "item", "label", "page"};
    reading           re;
    open_reading(&re, "old.pb", "old.Click", paths, 4, 0);
    assert_null(READ(&re, ""));
    fixture_value(re.value, 0, "absent");
    fixture_value(re.value, 1, "-5");
    fixture_value(re.value, 2, "true");
    fixture_value(re.value, 3, "home");
    assert_null(READ(&re, "\x10\x07\x18\x00\x22\x01x"));
    fixture_value(re.value, 1, "7");
    fixture_value(re.value, 2, "false");
    fixture_value(re.value, 3, "x");
    close_reading(&re);
}

static void
the_last_member_of_a_oneof_holds(void **state)
{
    (void)state;
    const char *const paths[] = {"page", "item"};
    reading           re;
    open_reading(&re, "shop.pb", "Click", paths, 2, 0);
    assert_null(
        READ(&re, "\x42\x01p\x49\x05\0\0\0\0\0\0\0")); /* page, then shop, which nobody wants */
    fixture_value(re.value, 0, "absent");
    assert_null(READ(&re, "\x49\x05\0\0\0\0\0\0\0\x42\x01p"));
    fixture_value(re.value, 0, "p");
    close_reading(&re);
}

static void
a_message_that_comes_twice_is_merged(void **state)
{
    (void)state;
    const char *const paths[] = {"user.id", "user.age", "item"};
    reading           re;
    open_reading(&re, "shop.pb", "Click", paths, 3, 0);
    assert_null(READ(&re, "\x0a\x03\x0a\x01"
                          "a\x0a\x02\x10\x02\x10\x05\x10\x06"));
    fixture_value(re.value, 0, "a");
    fixture_value(re.value, 1, "1");
    fixture_value(re.value, 2, "6"); /* the last */
    close_reading(&re);
}

static void
repeated_numbers_are_read_packed_and_unpacked(void **state)
{
    (void)state;
    const char *const paths[] = {"scores[0]", "scores[3]"};
    reading           re;
    open_reading(&re, "shop.pb", "Click", paths, 2, 0);
    assert_null(READ(&re, "\x28\x07\x2a\x02\x01\x02\x28\x09"));
    fixture_value(re.value, 0, "7");
    fixture_value(re.value, 1, "9");
    close_reading(&re);
}

static void
unknown_members_and_groups_are_passed_over(void **state)
{
    (void)state;
    const char *const paths[] = {"item"};
    reading           re;
    open_reading(&re, "shop.pb", "Click", paths, 1, 0);
    assert_null(
        READ(&re, "\xa3\x06\x0b\x08\x01\x0c\xa4\x06\x12\x01x\x10\x07")); /* wire types too */
    fixture_value(re.value, 0, "7");
    assert_non_null(READ(&re, "\xa3\x06\x08\x01"));
    assert_non_null(READ(&re, "\xa4\x06"));
    char deep[200];
    memset(deep, 0x0b, sizeof deep);
    assert_non_null(protobuf_plan_read(re.pp, deep, sizeof deep, re.value));
    close_reading(&re);
}

static void
paths_that_lead_nowhere_say_where_they_end(void **state)
{
    (void)state;
    const char *const paths[] = {"item.x", "nothing", "user", "scores"};
    reading           re;
    open_reading(&re, "shop.pb", "Click", paths, 4, 0);
    assert_null(READ(&re, "\x0a\x00\x10\x07\x28\x07"));
    fixture_value(re.value, 0, "absent");
    assert_int_equal(re.value[0].stop_kind, PICKED_INTEGER);
    fixture_value(re.value, 1, "absent");
    assert_non_null(re.value[1].flaw);
    fixture_value(re.value, 2, "nested");
    fixture_value(re.value, 3, "nested");
    close_reading(&re);
}

static void
messages_are_found_by_name_and_by_place(void **state)
{
    (void)state;
    const char *const paths[] = {"item"};
    const uint32_t    click[] = {1}, deep[] = {0, 0}, none[] = {1, 5};
    reading           re;
    open_reading(&re, "shop.pb", "shop.View.Deep", paths, 1, 0);
    assert_int_equal(protobuf_schema_at(re.ps, click, 1),
                     protobuf_schema_find(re.ps, "shop.Click"));
    assert_int_equal(protobuf_schema_at(re.ps, deep, 2), protobuf_schema_find(re.ps, "Deep"));
    assert_int_equal(protobuf_schema_at(re.ps, none, 2), PROTOBUF_NO_TYPE);
    assert_int_equal(protobuf_schema_find(re.ps, "shop.Kind"), PROTOBUF_NO_TYPE);
    assert_int_equal(protobuf_schema_find(re.ps, "Nothing"), PROTOBUF_NO_TYPE);
    close_reading(&re);
}

static void
every_truncation_of_a_descriptor_is_survived(void **state)
{
    (void)state;
    size_t len;
    char  *set = fixture_read("shop.pb", &len);
    for (size_t n = 0; n < len; n++) {
        aa_err           err = AA_ERR_INIT;
        protobuf_schema *ps = NULL;
        void            *cut = exact_copy(set, n);
        (void)!protobuf_schema_of_set(&ps, cut, n, &err);
        protobuf_schema_free(&ps);
        free(cut);
    }
    free(set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_another_writer_are_read_as_they_were_meant),
        cmocka_unit_test(every_truncation_and_flipped_bit_is_survived),
        cmocka_unit_test(what_is_not_in_a_message_is_as_its_presence_says),
        cmocka_unit_test(defaults_of_proto2_hold),
        cmocka_unit_test(the_last_member_of_a_oneof_holds),
        cmocka_unit_test(a_message_that_comes_twice_is_merged),
        cmocka_unit_test(repeated_numbers_are_read_packed_and_unpacked),
        cmocka_unit_test(unknown_members_and_groups_are_passed_over),
        cmocka_unit_test(paths_that_lead_nowhere_say_where_they_end),
        cmocka_unit_test(messages_are_found_by_name_and_by_place),
        cmocka_unit_test(every_truncation_of_a_descriptor_is_survived),
    };
    return cmocka_run_group_tests_name("ingest/formats/protobuf_plan", tests, NULL, NULL);
}
