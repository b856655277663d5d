/* The reader of JSON events: what jansson takes for an object it takes too, with the same
 * values. */
#include <jansson.h>

#include "ingest/decode/json_reader.h"
#include "tests/fuzz/fuzz.h"

enum { MEMBERS = 3, MAX_TEXT = 16 };
static const char *const names[MEMBERS] = {"a", "bb", "\xc3\xa9"};

static void
check_value(const picked *va, const json_t *want)
{
    if (!want) {
        AA_REQUIRE(va->kind == PICKED_ABSENT);
    } else if (json_is_null(want)) {
        AA_REQUIRE(va->kind == PICKED_NULL);
    } else if (json_is_boolean(want)) {
        AA_REQUIRE(va->kind == PICKED_BOOL && va->truth == json_is_true(want));
    } else if (json_is_integer(want)) {
        AA_REQUIRE(va->kind == PICKED_INTEGER);
        AA_REQUIRE((json_int_t)(va->negative ? 0 - va->magnitude : va->magnitude) ==
                   json_integer_value(want));
        AA_REQUIRE(va->real == (double)json_integer_value(want));
    } else if (json_is_real(want)) {
        const double real = json_real_value(want);
        AA_REQUIRE(va->kind == PICKED_REAL);
        AA_REQUIRE(va->len > JSON_READER_DIGITS || memcmp(&va->real, &real, sizeof real) == 0);
    } else if (json_is_string(want)) {
        AA_REQUIRE(va->kind == PICKED_TEXT && va->len == json_string_length(want));
        AA_REQUIRE(va->len > MAX_TEXT || memcmp(va->text, json_string_value(want), va->len) == 0);
    } else {
        AA_REQUIRE(va->kind == PICKED_NESTED);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_reader *jr;
    aa_err              err = AA_ERR_INIT;
    json_error_t        jerr;
    size_t              at = 0;

    if (!jr) AA_REQUIRE(json_reader_new(&jr, names, MEMBERS, MAX_TEXT, &err) == AA_OK);
    const char *wrong = json_reader_read(jr, data, size, &at);
    AA_REQUIRE(at <= size && (!wrong || *wrong));
    json_t *root =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &jerr);
    /* jansson passes over a NUL behind a number */
    if (json_is_object(root) && !memchr(data, '\0', size)) {
        AA_REQUIRE(!wrong);
        for (size_t i = 0; i < MEMBERS; i++)
            check_value(json_reader_value_of(jr, i), json_object_get(root, names[i]));
    }
    json_decref(root);
    return 0;
}

/* Now and then begin anew from a valid object, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const objects[] = {
        "{\"a\": -12, \"bb\": 1.5e-3, \"\\u00e9\": \"\\ud83d\\ude00\\n\", \"x\": [{\"a\": []}]}",
        "{\"\\u0061\": 18446744073709551615, \"b\\u0062\": \"\\u0000\", \"y\": 1e400}",
        "\xef\xbb\xbf\n{\"a\":true,\"bb\":null,\"\xc3\xa9\":{\"a\":1,\"a\":2}} ",
    };
    const char *text = objects[seed / 16 % 3];
    return fuzz_anew(data, size, max_size, seed, text, strlen(text));
}
