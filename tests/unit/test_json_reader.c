#include "ingest/decode/json_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/check.h"
#include "tests/exact.h"

enum { A, B, ACUTE, MEMBERS, MAX_TEXT = 8 };
static const char *const names[MEMBERS] = {"a", "bb", "\xc3\xa9"};

static int
start(void **state)
{
    aa_err       err = AA_ERR_INIT;
    json_reader *jr = NULL;
    if (json_reader_new(&jr, names, MEMBERS, MAX_TEXT, &err) != AA_OK) return -1;
    *state = jr;
    return 0;
}

static int
stop(void **state)
{
    json_reader *jr = *state;
    json_reader_free(&jr);
    return 0;
}

static char
    *last; /* the message read last, in a block of its size: a sanitizer sees a read beyond it */

static const char *
read_text(json_reader *jr, const char *text, size_t len, size_t *at)
{
    free(last);
    last = exact_copy(text, len);
    return json_reader_read(jr, last, len, at);
}

static const picked *
value_in(json_reader *jr, const char *text, size_t i, picked_kind want)
{
    size_t      at;
    const char *wrong = read_text(jr, text, strlen(text), &at);
    if (wrong) fail_msg("%s: byte %zu: %s", text, at, wrong);
    const picked *va = json_reader_value_of(jr, i);
    if (va->kind != want) fail_msg("%s: kind %d, not %d", text, (int)va->kind, (int)want);
    return va;
}

static void
check_wrong(json_reader *jr, const char *text)
{
    size_t at;
    if (!read_text(jr, text, strlen(text), &at)) fail_msg("%s was taken", text);
    assert_true(at <= strlen(text));
}

static void
each_kind_of_value_is_told(void **state)
{
    json_reader *jr = *state;
    value_in(jr, "{}", A, PICKED_ABSENT);
    value_in(jr, "{\"a\":null}", A, PICKED_NULL);
    assert_true(value_in(jr, "{\"a\":true}", A, PICKED_BOOL)->truth);
    assert_false(value_in(jr, "{\"a\":false}", A, PICKED_BOOL)->truth);
    value_in(jr, "{\"a\":{\"a\":1}}", A, PICKED_NESTED);
    value_in(jr, "{\"a\":[]}", A, PICKED_NESTED);
    const picked *va = value_in(jr, "{\"a\":\"x\"}", A, PICKED_TEXT);
    assert_int_equal(va->len, 1);
    value_in(jr, "{\"a\":\"x\"}", B, PICKED_ABSENT); /* none is left from before */
    assert_int_equal(value_in(jr, "{\"a\":17}", A, PICKED_INTEGER)->magnitude, 17);
    check_close((float)value_in(jr, "{\"a\":1.5e1}", A, PICKED_REAL)->real, 15, 0, 0, 0);
}

static void
names_are_compared_as_text(void **state)
{
    json_reader *jr = *state;
    value_in(jr, "{\"\\u0061\":1}", A, PICKED_INTEGER);
    value_in(jr, "{\"b\\u0062\":1}", B, PICKED_INTEGER);
    value_in(jr, "{\"\\u00e9\":1}", ACUTE, PICKED_INTEGER);
    value_in(jr, "{\"\xc3\xa9\":1}", ACUTE, PICKED_INTEGER);
    value_in(jr, "{\"b\":1,\"bbb\":1,\"bb\\u0000\":1,\"\\u0062\":1,\"BB\":1}", B, PICKED_ABSENT);
    value_in(jr, "{\"\\ud83d\":1,\"a\\ud83d\":1}", A, PICKED_ABSENT);
    check_wrong(jr, "{\"a\":1,\"\\u0061\":1}");
}

static void
integers_are_exact_to_64_bits(void **state)
{
    json_reader  *jr = *state;
    const picked *va = value_in(jr, "{\"a\":18446744073709551615}", A, PICKED_INTEGER);
    assert_true(va->magnitude == UINT64_MAX && !va->negative);
    va = value_in(jr, "{\"a\":-9223372036854775808}", A, PICKED_INTEGER);
    assert_true(va->magnitude == (uint64_t)1 << 63 && va->negative);
    assert_true(va->real == -9223372036854775808.0);
    value_in(jr, "{\"a\":18446744073709551616}", A, PICKED_REAL);
    value_in(jr, "{\"a\":-9223372036854775809}", A, PICKED_REAL);
    va = value_in(jr, "{\"a\":-0}", A, PICKED_INTEGER);
    assert_true(va->magnitude == 0 && va->negative);
}

static void
reals_are_rounded_as_strtod_does(void **state)
{
    json_reader       *jr = *state;
    static const char *reals[] = {"0.1",      "1e-7", "1E+22", "123456789.123456789e-20",
                                  "2.5e-324", "-0.0", "1e308"};
    char               text[100];
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        snprintf(text, sizeof text, "{\"a\":%s}", reals[i]);
        assert_true(value_in(jr, text, A, PICKED_REAL)->real == strtod(reals[i], NULL));
    }
    assert_true(value_in(jr, "{\"a\":1e400}", A, PICKED_REAL)->real > 1e308);
    char  *digits = malloc(JSON_READER_DIGITS + 100);
    size_t len = 5;
    assert_non_null(digits);
    memcpy(digits, "{\"a\":", len);
    while (len < JSON_READER_DIGITS + 50)
        digits[len++] = '1';
    memcpy(digits + len, "}", 2);
    const double real = value_in(jr, digits, A, PICKED_REAL)->real;
    assert_true(real != real);
    free(digits);
}

static void
escapes_become_the_text_they_stand_for(void **state)
{
    json_reader  *jr = *state;
    const picked *va = value_in(jr, "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", A, PICKED_TEXT);
    assert_int_equal(va->len, 8);
    assert_memory_equal(va->text, "\"\\/\b\f\n\r\t", 8);
    va = value_in(jr, "{\"a\":\"\\u00e9\\u20AC\"}", A, PICKED_TEXT);
    assert_int_equal(va->len, 5);
    assert_memory_equal(va->text, "\xc3\xa9\xe2\x82\xac", 5);
    va = value_in(jr, "{\"a\":\"\\uD83D\\uDE00\\u0000\"}", A, PICKED_TEXT);
    assert_int_equal(va->len, 5);
    assert_memory_equal(va->text, "\xf0\x9f\x98\x80\0", 5);
}

static void
text_that_is_not_unicode_is_told_and_passed_elsewhere(void **state)
{
    json_reader *jr = *state;
    assert_non_null(value_in(jr, "{\"a\":\"\\ud83d\"}", A, PICKED_NO_TEXT)->flaw);
    assert_non_null(value_in(jr, "{\"a\":\"\\ud83dx\"}", A, PICKED_NO_TEXT)->flaw);
    assert_non_null(value_in(jr, "{\"a\":\"\\ude00\\ud83d\"}", A, PICKED_NO_TEXT)->flaw);
    assert_non_null(value_in(jr, "{\"a\":\"\xff\"}", A, PICKED_NO_TEXT)->flaw);
    assert_non_null(value_in(jr, "{\"a\":\"\\n\xc3\"}", A, PICKED_NO_TEXT)->flaw);
    value_in(jr, "{\"x\":\"\xff\",\"\xfe\":\"\\ud83d\",\"a\":1}", A, PICKED_INTEGER);
}

/* Their length is true, so that the caller can say it; what is beyond is not kept. */
static void
longer_texts_have_their_length(void **state)
{
    json_reader *jr = *state;
    assert_int_equal(value_in(jr, "{\"a\":\"123456789\"}", A, PICKED_TEXT)->len, 9);
    assert_int_equal(value_in(jr, "{\"a\":\"\\t23456789\\u20ac\"}", A, PICKED_TEXT)->len, 12);
}

static void
what_is_not_json_is_refused_wherever_it_stands(void **state)
{
    json_reader      *jr = *state;
    const char *const not_json[] = {
        "",          " ",          "[]",         "1",           "\"a\"",       "null",
        "{",         "}",          "{]",         "{\"a\"}",     "{\"a\":}",    "{\"a\":1",
        "{\"a\":1,", "{\"a\":1,}", "{,}",        "{a:1}",       "{'a':1}",     "{\"a\" 1}",
        "{}{}",      "{} x",       "\xef\xbb{}", "//\n{}",      "{\"a\":1 2}", "{\"a\":[1,]}",
        "{\"a\":[}", "{\"a\":[1}", "{\"a\":{]}", "{\"a\":[,]}", "{\"a\":{1}}", "{\"a\":{\"b\":1]}",
    };
    const char *const no_value[] = {
        "01",       "-",   "+1",     ".5",       "1.",        "1.e1",        "1e",
        "1e+",      "0x1", "NaN",    "Infinity", "-Infinity", "nul",         "nulll",
        "True",     "\"",  "\"\\\"", "\"\\x\"",  "\"\\u12\"", "\"\\u12g4\"", "\"\n\"",
        "\"\x01\"", "--1", "1-",     "-01",      "[1 2]",
    };
    char text[100];
    for (size_t i = 0; i < sizeof not_json / sizeof *not_json; i++)
        check_wrong(jr, not_json[i]);
    for (size_t i = 0; i < sizeof no_value / sizeof *no_value; i++) {
        snprintf(text, sizeof text, "{\"a\":%s}", no_value[i]);
        check_wrong(jr, text);
        snprintf(text, sizeof text, "{\"x\":%s}", no_value[i]);
        check_wrong(jr, text);
        snprintf(text, sizeof text, "{\"x\":[{\"a\":[%s]}]}", no_value[i]);
        check_wrong(jr, text);
    }
}

static void
every_truncation_is_refused(void **state)
{
    json_reader      *jr = *state;
    static const char text[] = "{ \"a\" : \"\\u00e9\\ud83d\\ude00\" , \"x\":[{\"y\":[-1.5e+7,true,"
                               "false,null,{}]},[]],\"bb\":18446744073709551615}";
    size_t            at;
    assert_null(read_text(jr, text, sizeof text - 1, &at));
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_non_null(read_text(jr, text, n, &at));
}

static void
nesting_is_bounded(void **state)
{
    json_reader *jr = *state;
    const size_t deepest = JSON_READER_DEPTH;
    size_t       at;
    char        *text = malloc(2 * deepest + 100);
    assert_non_null(text);
    for (size_t more = 0; more < 2; more++) {
        size_t len = 5;
        memcpy(text, "{\"x\":", len);
        for (size_t i = 0; i < deepest + more; i++)
            text[len++] = '[';
        text[len++] = '1';
        for (size_t i = 0; i < deepest + more; i++)
            text[len++] = ']';
        text[len++] = '}';
        assert_int_equal(read_text(jr, text, len, &at) != NULL, more);
    }
    free(text);
}

static int
release(void **state)
{
    (void)state;
    free(last);
    return 0;
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(each_kind_of_value_is_told),
        TEST(names_are_compared_as_text),
        TEST(integers_are_exact_to_64_bits),
        TEST(reals_are_rounded_as_strtod_does),
        TEST(escapes_become_the_text_they_stand_for),
        TEST(text_that_is_not_unicode_is_told_and_passed_elsewhere),
        TEST(longer_texts_have_their_length),
        TEST(what_is_not_json_is_refused_wherever_it_stands),
        TEST(every_truncation_is_refused),
        TEST(nesting_is_bounded),
    };
    return cmocka_run_group_tests_name("ingest/decode/json_reader", tests, NULL, release);
}
