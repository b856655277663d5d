/* tests/formats/fixtures - what make_fixtures.py has written. */
#ifndef AA_TESTS_FORMATS_FIXTURES_H
#define AA_TESTS_FORMATS_FIXTURES_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/decode/picked.h"

#define FIXTURES "tests/formats/fixtures/"

/* The whole file; the caller frees it. */
static inline char *
fixture_read(const char *name, size_t *len)
{
    char  path[200], *bytes = malloc(1 << 20);
    FILE *file;
    snprintf(path, sizeof path, FIXTURES "%s", name);
    file = fopen(path, "rb");
    if (!file || !bytes) fail_msg("%s", path);
    *len = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

/* An array of a file's lines. */
static inline json_t *
fixture_lines(const char *name)
{
    size_t  len;
    char   *bytes = fixture_read(name, &len);
    json_t *rows = json_array();
    for (char *at = bytes, *end = bytes + len; at < end;) {
        char *eol = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(eol);
        json_t *row = json_loadb(at, (size_t)(eol - at), 0, NULL);
        assert_non_null(row);
        json_array_append_new(rows, row);
        at = eol + 1;
    }
    free(bytes);
    return rows;
}

/* A row's message in a block of exactly its size; the caller frees it. */
static inline unsigned char *
fixture_message(const json_t *row, size_t *len)
{
    const char    *hex = json_string_value(json_object_get(row, "hex"));
    unsigned char *bytes;
    assert_non_null(hex);
    *len = strlen(hex) / 2;
    bytes = malloc(*len + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < *len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (unsigned char)byte;
    }
    return bytes;
}

/* The value as text, as a person would write it. */
static inline const char *
fixture_text(const picked *va, char *out, size_t size)
{
    switch (va->kind) {
    case PICKED_ABSENT: return "absent";
    case PICKED_NULL: return "null";
    case PICKED_BOOL: return va->truth ? "true" : "false";
    case PICKED_NESTED: return "nested";
    case PICKED_TEXT:
    case PICKED_BYTES:
    case PICKED_NO_TEXT:
    case PICKED_DECIMAL: snprintf(out, size, "%.*s", (int)va->len, va->text); return out;
    case PICKED_REAL: snprintf(out, size, "%.17g", va->real); return out;
    case PICKED_TIME:
    case PICKED_INTEGER:
        snprintf(out, size, "%s%llu", va->negative ? "-" : "", (unsigned long long)va->magnitude);
        return out;
    }
    return "?";
}

static inline void
fixture_value(const picked *value, size_t i, const char *want)
{
    char        got[300];
    const char *text = fixture_text(&value[i], got, sizeof got);
    if (strcmp(text, want) != 0) fail_msg("value %zu: %s, not %s", i, text, want);
}

/* As fixture_text; null stands for nothing at all too. */
static inline void
fixture_check(const json_t *row, const char *key, const picked *va)
{
    char          got[300], want[300] = "null";
    const json_t *js = json_object_get(row, key);
    const char   *text = fixture_text(va, got, sizeof got);
    if (json_is_string(js)) snprintf(want, sizeof want, "%s", json_string_value(js));
    if (json_is_integer(js)) snprintf(want, sizeof want, "%lld", (long long)json_integer_value(js));
    if (json_is_real(js)) snprintf(want, sizeof want, "%.17g", json_real_value(js));
    if (json_is_boolean(js)) snprintf(want, sizeof want, "%s", json_is_true(js) ? "true" : "false");
    if (json_is_null(js) && va->kind == PICKED_ABSENT) return;
    if (strcmp(text, want) != 0) fail_msg("%s: %s, not %s", key, text, want);
}

#endif
