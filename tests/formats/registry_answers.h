/* tests/formats/registry_answers - the registry of the fixtures, as a schema_source without a
 * network. */
#ifndef AA_TESTS_FORMATS_REGISTRY_ANSWERS_H
#define AA_TESTS_FORMATS_REGISTRY_ANSWERS_H

#include "common/base/base64.h"
#include "ingest/formats/schema_source.h"
#include "tests/formats/fixtures.h"

typedef struct {
    json_t       *rows;
    schema_texts  texts;
    schema_source source;
    schema_answer instead; /* of an answer, unless it is SCHEMA_FOUND */
    int           asked;
} registry_answers;

/* The answer to a request, NULL: 404. */
static inline const json_t *
registry_answer(const json_t *rows, const char *path)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(json_string_value(json_object_get(row, "path")), path) == 0)
            return json_object_get(row, "answer");
    }
    return NULL;
}

static inline void
registry_add(registry_answers *ra, const json_t *answer, bool compiled)
{
    const char  *text = json_string_value(json_object_get(answer, "schema"));
    const size_t len = strlen(text);
    schema_text *st = &ra->texts.text[ra->texts.count++];
    st->bytes = malloc(len + 1);
    st->len = len;
    memcpy(st->bytes, text, len + 1);
    if (compiled) assert_true(aa_base64_get(st->bytes, &st->len, text, len));
}

static inline schema_answer
registry_get(void *arg, uint32_t id, const schema_texts **out, aa_err *err)
{
    registry_answers *ra = arg;
    char              path[200];
    ra->asked++;
    (void)!aa_fail(err, AA_EAGAIN, "as the test wants it");
    if (ra->instead != SCHEMA_FOUND) return ra->instead;
    while (ra->texts.count > 0)
        free(ra->texts.text[--ra->texts.count].bytes);
    snprintf(path, sizeof path, "/schemas/ids/%u", id);
    const json_t *answer = registry_answer(ra->rows, path);
    if (!answer) return SCHEMA_UNKNOWN;
    const char *type = json_string_value(json_object_get(answer, "schemaType"));
    const bool  compiled = type && strcmp(type, "PROTOBUF") == 0;
    ra->texts.kind = compiled                            ? SCHEMA_PROTOBUF
                     : type && strcmp(type, "JSON") == 0 ? SCHEMA_JSON
                                                         : SCHEMA_AVRO;
    const json_t *references = json_object_get(answer, "references");
    for (size_t i = 0; i <= json_array_size(references); i++) {
        const json_t *from = answer;
        if (i < json_array_size(references)) { /* one of them, without any of its own */
            const json_t *re = json_array_get(references, i);
            snprintf(path, sizeof path, "/subjects/%s/versions/%d",
                     json_string_value(json_object_get(re, "subject")),
                     (int)json_integer_value(json_object_get(re, "version")));
            from = registry_answer(ra->rows, path);
            snprintf(path, sizeof path, "/schemas/ids/%d",
                     (int)json_integer_value(json_object_get(from, "id")));
        } else {
            snprintf(path, sizeof path, "/schemas/ids/%u", id);
        }
        if (compiled) strcat(path, "?format=serialized");
        registry_add(ra, registry_answer(ra->rows, path), compiled);
    }
    *out = &ra->texts;
    return SCHEMA_FOUND;
}

static inline void
registry_answers_open(registry_answers *ra)
{
    *ra = (registry_answers){.rows = fixture_lines("registry.jsonl"), .instead = SCHEMA_FOUND};
    ra->source = (schema_source){registry_get, ra};
}

static inline void
registry_answers_close(registry_answers *ra)
{
    while (ra->texts.count > 0)
        free(ra->texts.text[--ra->texts.count].bytes);
    json_decref(ra->rows);
}

#endif
