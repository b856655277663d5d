#include "common/config/conf_table.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"

/* `here` is the struct that the list at hand describes */
#define ROW_STR(n, def, h)                                                                         \
    {.name = #n, .type = AA_SET_STR, .offset = offsetof(here, n), .def_str = def, .help = h},
#define ROW_VAL(constant, text) "|" text
#define ROW_CHO(n, kind, def, h, values)                                                           \
    {.name = #n,                                                                                   \
     .type = AA_SET_CHO,                                                                           \
     .offset = offsetof(here, n),                                                                  \
     .def_cho = def,                                                                               \
     .choices = &(values)[1], /* without the first bar */                                          \
     .help = h},
#define ROW_INT(n, def, min, max, u, h)                                                            \
    {.name = #n,                                                                                   \
     .type = AA_SET_INT,                                                                           \
     .offset = offsetof(here, n),                                                                  \
     .def_int = def,                                                                               \
     .min_int = min,                                                                               \
     .max_int = max,                                                                               \
     .unit = u,                                                                                    \
     .help = h},
#define ROW_NUM(n, def, min, max, u, h)                                                            \
    {.name = #n,                                                                                   \
     .type = AA_SET_NUM,                                                                           \
     .offset = offsetof(here, n),                                                                  \
     .def_num = def,                                                                               \
     .min_num = min,                                                                               \
     .max_num = max,                                                                               \
     .unit = u,                                                                                    \
     .help = h},
#define ROW_BOO(n, def, h)                                                                         \
    {.name = #n, .type = AA_SET_BOO, .offset = offsetof(here, n), .def_boo = def, .help = h},

#define SETTINGS_OF(section, list, help)                                                           \
    static const aa_setting *settings_##section(size_t *count)                                     \
    {                                                                                              \
        typedef struct aa_conf_##section here;                                                     \
        static const aa_setting          rows[] = {                                                \
                     list(ROW_STR, ROW_CHO, ROW_VAL, ROW_INT, ROW_NUM, ROW_BOO)};                  \
        *count = sizeof rows / sizeof *rows;                                                       \
        return rows;                                                                               \
    }
AA_SECTIONS(SETTINGS_OF)
SETTINGS_OF(field, AA_SETTINGS_FIELD, "")

#define SECTION_OF(section, list, h)                                                               \
    {.name = #section,                                                                             \
     .help = h,                                                                                    \
     .offset = offsetof(aa_conf, section),                                                         \
     .settings = settings_##section},
static const aa_section sections[] = {AA_SECTIONS(SECTION_OF)};
static const aa_section field_section = {
    .name = "fields",
    .help = "the ID fields of an event, in the order of the model's fields",
    .settings = settings_field,
};

#define TEXT_VAL(constant, text)                                                                   \
    case constant:                                                                                 \
        return text;
#define TEXT_CHO(name, type, def, help, values)                                                    \
    const char *type##_text(enum type value)                                                       \
    {                                                                                              \
        switch (value) {                                                                           \
            values                                                                                 \
        }                                                                                          \
        return "?";                                                                                \
    }
#define TEXTS_OF(section, list, help)                                                              \
    list(AA_TEXT_NONE, TEXT_CHO, TEXT_VAL, AA_TEXT_NONE, AA_TEXT_NONE, AA_TEXT_NONE)
AA_SECTIONS(TEXTS_OF)

/* A choice is read and written as an int, whichever enum it is. */
static_assert(sizeof(enum aa_agent_mode) == sizeof(int), "an enum is as wide as an int");

const aa_section *
aa_conf_table_sections(size_t *count)
{
    *count = sizeof sections / sizeof *sections;
    return sections;
}

const aa_section *
aa_conf_table_field(void)
{
    return &field_section;
}

const aa_section *
aa_conf_table_find(const char *section)
{
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (strcmp(sections[i].name, section) == 0) return &sections[i];
    return NULL;
}

const aa_setting *
aa_conf_table_setting(const aa_section *sc, const char *key)
{
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(se[i].name, key) == 0) return &se[i];
    return NULL;
}

static void
set_default(const aa_setting *se, void *base)
{
    char *at = (char *)base + se->offset;
    switch (se->type) {
    case AA_SET_STR: snprintf(at, AA_CONF_STR, "%s", se->def_str); break;
    case AA_SET_CHO: memcpy(at, &se->def_cho, sizeof se->def_cho); break;
    case AA_SET_INT: memcpy(at, &se->def_int, sizeof se->def_int); break;
    case AA_SET_NUM: memcpy(at, &se->def_num, sizeof se->def_num); break;
    case AA_SET_BOO: memcpy(at, &se->def_boo, sizeof se->def_boo); break;
    }
}

void
aa_conf_table_defaults(const aa_section *sc, void *base)
{
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    for (size_t i = 0; i < count; i++)
        set_default(&se[i], base);
}

/* ---- text to value ---- */

static aa_status
parse_str(char *at, const char *text, size_t len, aa_err *err)
{
    if (len >= AA_CONF_STR)
        return aa_fail(err, AA_ECONFIG, "%zu bytes, at most %d", len, AA_CONF_STR - 1);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return aa_fail(err, AA_ECONFIG, "control character in the value");
    if (!aa_utf8_is_text(text, len)) return aa_fail(err, AA_ECONFIG, "the value is not UTF-8 text");
    memcpy(at, text, len);
    memset(at + len, 0, AA_CONF_STR - len); /* equal values have equal bytes */
    return AA_OK;
}

/* The end of the first of choices. */
static const char *
choice_end(const char *choices)
{
    return choices + strcspn(choices, "|");
}

static aa_status
parse_cho(const aa_setting *se, char *at, const char *text, aa_err *err)
{
    const size_t len = strlen(text);
    int          value = 0;
    for (const char *c = se->choices;; value++) {
        const char *end = choice_end(c);
        if ((size_t)(end - c) == len && memcmp(c, text, len) == 0) break;
        if (!*end) return aa_fail(err, AA_ECONFIG, "\"%s\" is not one of %s", text, se->choices);
        c = end + 1;
    }
    memcpy(at, &value, sizeof value);
    return AA_OK;
}

/* A copy that ends in NUL and is short enough to be a number or to be shown; false if it is not. */
static bool
copy_short(char buf[64], const char *text, size_t len)
{
    bool fits = len > 0 && len < 64;
    for (size_t i = 0; fits && i < len; i++)
        fits = (unsigned char)text[i] > 0x20 && text[i] != 0x7F;
    if (!fits) return false;
    memcpy(buf, text, len);
    buf[len] = '\0';
    return true;
}

static aa_status
parse_int(const aa_setting *se, char *at, const char *text, aa_err *err)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end) return aa_fail(err, AA_ECONFIG, "expected a whole number, got \"%s\"", text);
    int64_t value = v;
    if (errno == ERANGE || value < se->min_int || value > se->max_int)
        return aa_fail(err, AA_ECONFIG, "%s is out of range, %" PRId64 " to %" PRId64, text,
                       se->min_int, se->max_int);
    memcpy(at, &value, sizeof value);
    return AA_OK;
}

static aa_status
parse_num(const aa_setting *se, char *at, const char *text, aa_err *err)
{
    char *end;
    if (text[strspn(text, "+-.eE0123456789")]) /* strtod takes inf, nan and hexadecimal too */
        return aa_fail(err, AA_ECONFIG, "expected a number, got \"%s\"", text);
    double value = strtod(text, &end);
    if (*end) return aa_fail(err, AA_ECONFIG, "expected a number, got \"%s\"", text);
    if (!isfinite(value) || value < se->min_num || value > se->max_num)
        return aa_fail(err, AA_ECONFIG, "%s is out of range, %g to %g", text, se->min_num,
                       se->max_num);
    memcpy(at, &value, sizeof value);
    return AA_OK;
}

static aa_status
parse_boo(char *at, const char *text, aa_err *err)
{
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return aa_fail(err, AA_ECONFIG, "expected true or false, got \"%s\"", text);
    memcpy(at, &value, sizeof value);
    return AA_OK;
}

aa_status
aa_conf_table_parse(const aa_setting *se, void *base, const char *text, size_t len, aa_err *err)
{
    static const char *const expected[] = {
        [AA_SET_STR] = "text",     [AA_SET_CHO] = "a name",        [AA_SET_INT] = "a whole number",
        [AA_SET_NUM] = "a number", [AA_SET_BOO] = "true or false",
    };
    char  shown[64];
    char *at = (char *)base + se->offset;
    if (se->type == AA_SET_STR) return parse_str(at, text, len, err);
    if (!copy_short(shown, text, len))
        return aa_fail(err, AA_ECONFIG, "expected %s%s", expected[se->type],
                       len ? "" : ", got nothing");
    switch (se->type) {
    case AA_SET_STR: break; /* above */
    case AA_SET_CHO: return parse_cho(se, at, shown, err);
    case AA_SET_INT: return parse_int(se, at, shown, err);
    case AA_SET_NUM: return parse_num(se, at, shown, err);
    case AA_SET_BOO: return parse_boo(at, shown, err);
    }
    return AA_EBUG;
}

/* ---- value to text ---- */

/* The shortest of %.15g to %.17g that reads back as the same number. */
static void
format_num(double value, char *buf, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, size, "%.*g", digits, value);
        if (strtod(buf, NULL) == value) return;
    }
}

static void
format_cho(const char *choices, int value, char *buf, size_t size)
{
    const char *c = choices;
    for (; value > 0; value--)
        c = choice_end(c) + 1;
    snprintf(buf, size, "%.*s", (int)(choice_end(c) - c), c);
}

void
aa_conf_table_format(const aa_setting *se, const void *base, char *buf, size_t size)
{
    const char *at = (const char *)base + se->offset;
    int64_t     i;
    double      d;
    bool        b;
    int         choice;
    switch (se->type) {
    case AA_SET_STR: snprintf(buf, size, "%s", at); break;
    case AA_SET_CHO:
        memcpy(&choice, at, sizeof choice);
        format_cho(se->choices, choice, buf, size);
        break;
    case AA_SET_INT:
        memcpy(&i, at, sizeof i);
        snprintf(buf, size, "%" PRId64, i);
        break;
    case AA_SET_NUM:
        memcpy(&d, at, sizeof d);
        format_num(d, buf, size);
        break;
    case AA_SET_BOO:
        memcpy(&b, at, sizeof b);
        snprintf(buf, size, "%s", b ? "true" : "false");
        break;
    }
}

/* ---- names ---- */

#define NAME_BYTES 40

/* Levenshtein distance; names longer than NAME_BYTES are far from everything. */
static size_t
edit_distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NAME_BYTES || b_len > NAME_BYTES) return NAME_BYTES;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *
aa_conf_table_nearest(const char *text, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t      best = strlen(text) / 3 + 1; /* up to a third wrong, and one */
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(text, names[i]);
        if (distance <= best && (!nearest || distance < best)) {
            nearest = names[i];
            best = distance;
        }
    }
    return nearest;
}

void
aa_conf_table_env_name(const char *section, const char *key, char *buf, size_t size)
{
    snprintf(buf, size, "AUTOASSIGN_%s_%s", section, key);
    for (char *p = buf; *p; p++)
        *p = (char)toupper((unsigned char)*p);
}

bool
aa_conf_table_secret(const char *key)
{
    static const char *const marks[] = {"password", "secret", "token",
                                        "key.pem",  "jaas",   "oauthbearer.config"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strstr(key, marks[i])) return true;
    return false;
}
