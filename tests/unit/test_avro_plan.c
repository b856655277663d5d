#include "ingest/formats/avro_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/exact.h"
#include "tests/formats/fixtures.h"

enum { VALUES_MAX = 12 };

/* A plan with all that it needs. */
typedef struct {
    avro_schema *as, *reader;
    path_tree   *pt;
    avro_plan   *ap;
    picked       value[VALUES_MAX];
} reading;

static avro_schema *
schema_of(const char *text)
{
    aa_err          err = AA_ERR_INIT;
    avro_schema    *as = NULL;
    const avro_text at = {text, strlen(text)};
    if (avro_schema_new(&as, &at, 1, &err) != AA_OK) fail_msg("%s: %s", text, err.text);
    return as;
}

static void
open_reading(reading *re, const char *schema, const char *reader, const char *const *paths,
             size_t count)
{
    aa_err err = AA_ERR_INIT;
    *re = (reading){.as = schema_of(schema)};
    if (reader) re->reader = schema_of(reader);
    assert_int_equal(path_tree_new(&re->pt, paths, count, &err), AA_OK);
    if (avro_plan_new(&re->ap, re->as, re->reader, re->pt, &err) != AA_OK) fail_msg("%s", err.text);
}

static void
close_reading(reading *re)
{
    avro_plan_free(&re->ap);
    path_tree_free(&re->pt);
    avro_schema_free(&re->as);
    avro_schema_free(&re->reader);
}

static const char *
read_bytes(reading *re, const void *bytes, size_t len)
{
    size_t      at;
    void       *copy = exact_copy(bytes, len);
    const char *wrong = avro_plan_read(re->ap, copy, len, re->value, &at);
    assert_true(at <= len);
    free(copy);
    return wrong;
}

/* ---- against fastavro ---- */

static const char *const click_paths[] = {"user.id",      "kind",          "at",
                                          "items[1].sku", "items.1.price", "tags.page",
                                          "mobile",       "day",           "user.friends[0].id"};
static const char *const click_keys[] = {"user", "kind",   "at_ms", "sku",   "price",
                                         "page", "mobile", "day",   "friend"};
enum { CLICK_PATHS = sizeof click_paths / sizeof *click_paths, AT = 2 };

static char *
click_schema(void)
{
    size_t len;
    char  *text = fixture_read("click.avsc", &len);
    text[len] = '\0';
    return text;
}

static void
messages_of_another_writer_are_read_as_they_were_meant(void **state)
{
    (void)state;
    reading re;
    size_t  i, len;
    json_t *rows = fixture_lines("avro.jsonl"), *row;
    char   *schema = click_schema();
    open_reading(&re, schema, NULL, click_paths, CLICK_PATHS);
    json_array_foreach(rows, i, row)
    {
        unsigned char *bytes = fixture_message(row, &len);
        size_t         at;
        const char    *wrong = avro_plan_read(re.ap, bytes, len, re.value, &at);
        if (wrong) fail_msg("row %zu, byte %zu: %s", i, at, wrong);
        assert_int_equal(re.value[AT].kind, PICKED_TIME);
        assert_int_equal(re.value[AT].unit_ns, 1000);
        re.value[AT].magnitude /= 1000;
        for (size_t k = 0; k < CLICK_PATHS; k++)
            fixture_check(row, click_keys[k], &re.value[k]);
        free(bytes);
    }
    assert_int_equal(i, 200);
    close_reading(&re);
    free(schema);
    json_decref(rows);
}

/* Under a sanitizer, a read beyond the end is seen. */
static void
every_truncation_and_flipped_bit_is_survived(void **state)
{
    (void)state;
    reading re;
    size_t  len, cut = 0;
    json_t *rows = fixture_lines("avro.jsonl");
    char   *schema = click_schema();
    open_reading(&re, schema, NULL, click_paths, CLICK_PATHS);
    for (size_t r = 0; r < 20; r++) {
        unsigned char *bytes = fixture_message(json_array_get(rows, r), &len);
        for (size_t n = 0; n < len; n++)
            cut += read_bytes(&re, bytes, n) != NULL;
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            (void)read_bytes(&re, bytes, len);
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        assert_int_equal(cut, len);
        cut = 0;
        free(bytes);
    }
    close_reading(&re);
    free(schema);
    json_decref(rows);
}

/* ---- evolution ---- */

static void
a_readers_schema_gives_aliases_and_defaults(void **state)
{
    (void)state;
    const char *const paths[] = {"user", "page.name", "rank", "gone"};
    const char       *writer = "{\"type\":\"record\",\"name\":\"A\",\"fields\":["
                               "{\"name\":\"uid\",\"type\":\"int\"}]}";
    const char       *reader =
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":["
        "{\"name\":\"user\",\"aliases\":[\"u\",\"uid\"],\"type\":\"int\"},"
        "{\"name\":\"page\",\"type\":{\"type\":\"record\",\"name\":\"P\",\"fields\":["
        "{\"name\":\"name\",\"type\":\"string\"}]},\"default\":{\"name\":\"home\"}},"
        "{\"name\":\"rank\",\"type\":\"int\",\"default\":-3}]}";
    reading re;
    open_reading(&re, writer, reader, paths, 4);
    assert_null(read_bytes(&re, "\x0e", 1));
    fixture_value(re.value, 0, "7");
    fixture_value(re.value, 1, "home");
    fixture_value(re.value, 2, "-3");
    fixture_value(re.value, 3, "absent");
    assert_non_null(re.value[3].flaw);
    close_reading(&re);
    open_reading(&re, writer, NULL, paths, 4);
    assert_null(read_bytes(&re, "\x0e", 1));
    fixture_value(re.value, 0, "absent");
    fixture_value(re.value, 2, "absent");
    close_reading(&re);
}

/* A default belongs to its record: where that is null, there is none. */
static void
a_default_within_an_absent_record_is_none(void **state)
{
    (void)state;
    const char *const paths[] = {"user.id", "user.age"};
    const char       *writer =
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"user\",\"type\":"
        "[\"null\",{\"type\":\"record\",\"name\":\"U\",\"fields\":["
        "{\"name\":\"id\",\"type\":\"int\"}]}]}]}";
    const char *reader =
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"user\",\"type\":"
        "[\"null\",{\"type\":\"record\",\"name\":\"U\",\"fields\":["
        "{\"name\":\"id\",\"type\":\"int\"},"
        "{\"name\":\"age\",\"type\":\"int\",\"default\":5}]}]}]}";
    reading re;
    open_reading(&re, writer, reader, paths, 2);
    assert_null(read_bytes(&re, "\0", 1));
    fixture_value(re.value, 1, "absent");
    assert_ptr_equal(re.value[0].stop, path_child(&re.pt->root, "user", 4));
    assert_int_equal(re.value[0].stop_kind, PICKED_NULL);
    assert_null(read_bytes(&re, "\x02\x04", 2));
    fixture_value(re.value, 0, "2");
    fixture_value(re.value, 1, "5");
    close_reading(&re);
}

/* ---- types ---- */

static void
each_type_is_read_as_an_avro_writer_means_it(void **state)
{
    (void)state;
    static const struct {
        const char *type, *bytes;
        size_t      len;
        const char *want;
    } is[] = {
        {"\"boolean\"", "\x01", 1, "true"},
        {"\"int\"", "\x03", 1, "-2"},
        {"\"long\"", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, "-9223372036854775808"},
        {"\"float\"", "\0\0\x80\x3e", 4, "0.25"},
        {"\"double\"", "\0\0\0\0\0\0\xd0\xbf", 8, "-0.25"},
        {"\"string\"",
         "\x06"
         "ann",
         4, "ann"},
        {"\"bytes\"", "\x04xy", 3, "xy"},
        {"\"null\"", "", 0, "null"},
        {"[\"null\",\"int\"]", "\0", 1, "null"},
        {"[\"null\",\"int\"]", "\x02\x54", 2, "42"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\x02", 1, "B"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "ab", 2, "ab"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":16,\"logicalType\":\"uuid\"}",
         "\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\x00", 16,
         "123e4567-e89b-12d3-a456-426614174000"},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":2}", "\x02\x05",
         2, "0.05"},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":2}",
         "\x04\xff\x01", 3, "-2.55"},
        {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4}", "\0", 1, "0"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":9,\"logicalType\":\"decimal\",\"precision\":"
         "20}",
         "\x80\0\0\0\0\0\0\0\0", 9, "-2361183241434822606848"},
        {"{\"type\":{\"type\":\"string\",\"avro.java.string\":\"String\"}}", "\x02x", 2, "x"},
        {"{\"type\":\"int\",\"logicalType\":\"no-such\"}", "\x02", 1, "1"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "\x02\x04\0", 3, "nested"},
        {"{\"type\":\"map\",\"values\":\"int\"}", "\0", 1, "nested"},
    };
    const char *const paths[] = {"a"};
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        char    schema[400];
        reading re;
        snprintf(schema, sizeof schema,
                 "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":%s}]}",
                 is[i].type);
        open_reading(&re, schema, NULL, paths, 1);
        /* texts point into the message */
        size_t      at;
        const char *wrong = avro_plan_read(re.ap, is[i].bytes, is[i].len, re.value, &at);
        if (wrong) fail_msg("%s: %s", is[i].type, wrong);
        fixture_value(re.value, 0, is[i].want);
        close_reading(&re);
    }
}

static void
blocks_with_a_size_are_read_and_passed_over(void **state)
{
    (void)state;
    const char *const paths[] = {"l[2]", "m.k"};
    reading           re;
    open_reading(&re,
                 "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                 "{\"name\":\"x\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
                 "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":\"int\"}},"
                 "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"int\"}}]}",
                 NULL, paths, 2);
    assert_null(read_bytes(&re,
                           "\x01\x08\x06"
                           "abc\0"
                           "\x03\x04\x02\x04\x02\x06\0"
                           "\x01\x06\x02k\x0a\0",
                           20));
    fixture_value(re.value, 0, "3");
    fixture_value(re.value, 1, "5");
    close_reading(&re);
}

/* ---- bounds ---- */

static void
a_count_of_values_without_bytes_takes_no_time(void **state)
{
    (void)state;
    const char *const paths[] = {"b"};
    reading           re;
    open_reading(&re,
                 "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                 "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\","
                 "\"name\":\"E\",\"fields\":[{\"name\":\"n\",\"type\":\"null\"}]}}},"
                 "{\"name\":\"b\",\"type\":\"int\"}]}",
                 NULL, paths, 1);
    assert_null(read_bytes(&re, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\x02", 12));
    fixture_value(re.value, 0, "1");
    close_reading(&re);
}

static void
a_value_that_nests_without_end_is_refused(void **state)
{
    (void)state;
    const char *const paths[] = {"b"};
    char              deep[100000];
    reading           re;
    memset(deep, 2, sizeof deep); /* each the branch of another one */
    open_reading(
        &re,
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
        "{\"name\":\"next\",\"type\":[\"null\",\"R\"]},{\"name\":\"b\",\"type\":\"null\"}]}",
        NULL, paths, 1);
    assert_string_equal(read_bytes(&re, deep, sizeof deep), "nested too deep");
    close_reading(&re);
}

static void
what_is_no_value_of_the_schema_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *type, *bytes;
        size_t      len;
        const char *says;
    } bad[] = {
        {"\"int\"", "", 0, "it ends too early"},
        {"\"int\"", "\x02\x02", 2, "something follows the value"},
        {"\"long\"", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11,
         "a number of more than 64 bits"},
        {"\"boolean\"", "\x02", 1, "a boolean that is neither 0 nor 1"},
        {"\"string\"", "\x01", 1, "a negative length"},
        {"\"string\"",
         "\x06"
         "an",
         3, "it ends too early"},
        {"[\"null\"]", "\x02", 1, "a branch that the union does not have"},
        {"[\"null\"]", "\x01", 1, "a branch that the union does not have"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\x02", 1,
         "a symbol that the enum does not have"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "\x01\x01", 2, "a negative length"},
    };
    const char *const both[] = {"a", "b"}; /* picked, and passed over */
    for (size_t i = 0; i < 2 * sizeof bad / sizeof *bad; i++) {
        char        schema[400];
        reading     re;
        const char *says = bad[i / 2].says;
        snprintf(schema, sizeof schema,
                 "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":%s}]}",
                 bad[i / 2].type);
        open_reading(&re, schema, NULL, &both[i % 2], 1);
        const char *wrong = read_bytes(&re, bad[i / 2].bytes, bad[i / 2].len);
        if (i % 2 == 1 && strcmp(bad[i / 2].type, "\"boolean\"") == 0)
            assert_null(wrong); /* not looked at */
        else if (!wrong || strcmp(wrong, says) != 0)
            fail_msg("%s: %s, not %s", bad[i / 2].type, wrong ? wrong : "good", says);
        close_reading(&re);
    }
}

static void
a_schema_that_is_none_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"1", "a type is missing"},
        {"{}", "a type is missing"},
        {"\"nothing\"", "no type \"nothing\""},
        {"{\"type\":\"record\",\"name\":\"R\"}", "a record without fields"},
        {"{\"type\":\"record\",\"fields\":[]}", "a named type without a name"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"type\":\"int\"}]}",
         "a field without a name"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\"}]}", "a type is missing"},
        {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"R\"}]}",
         "\"R\" holds itself"},
        {"[\"int\",[\"null\"]]", "a union within a union"},
        {"{\"type\":\"enum\",\"name\":\"E\"}", "an enum without symbols"},
        {"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[1]}", "a symbol that is no text"},
        {"{\"type\":\"fixed\",\"name\":\"F\"}", "a fixed without a size"},
        {"{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "a fixed without a size"},
        {"[{\"type\":\"fixed\",\"name\":\"F\",\"size\":1},{\"type\":\"fixed\",\"name\":\"F\","
         "\"size\":1}]",
         "\"F\" is defined twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err          err = AA_ERR_INIT;
        avro_schema    *as = NULL;
        const avro_text text = {bad[i].text, strlen(bad[i].text)};
        assert_int_equal(avro_schema_new(&as, &text, 1, &err), AA_EPARSE);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s: %s", bad[i].text, err.text);
    }
}

static void
names_are_found_in_their_namespaces(void **state)
{
    (void)state;
    const char *const paths[] = {"a.v", "b.v"};
    reading           re;
    open_reading(&re,
                 "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"x.y\",\"fields\":["
                 "{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"In\",\"fields\":["
                 "{\"name\":\"v\",\"type\":\"int\"}]}},"
                 "{\"name\":\"b\",\"type\":\"x.y.In\"},{\"name\":\"c\",\"type\":\"In\"}]}",
                 NULL, paths, 2);
    assert_null(read_bytes(&re, "\x02\x04\x06", 3));
    fixture_value(re.value, 0, "1");
    fixture_value(re.value, 1, "2");
    close_reading(&re);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_another_writer_are_read_as_they_were_meant),
        cmocka_unit_test(every_truncation_and_flipped_bit_is_survived),
        cmocka_unit_test(a_readers_schema_gives_aliases_and_defaults),
        cmocka_unit_test(a_default_within_an_absent_record_is_none),
        cmocka_unit_test(each_type_is_read_as_an_avro_writer_means_it),
        cmocka_unit_test(blocks_with_a_size_are_read_and_passed_over),
        cmocka_unit_test(a_count_of_values_without_bytes_takes_no_time),
        cmocka_unit_test(a_value_that_nests_without_end_is_refused),
        cmocka_unit_test(what_is_no_value_of_the_schema_is_refused_with_the_reason),
        cmocka_unit_test(a_schema_that_is_none_is_refused_with_the_reason),
        cmocka_unit_test(names_are_found_in_their_namespaces),
    };
    return cmocka_run_group_tests_name("ingest/formats/avro_plan", tests, NULL, NULL);
}
