#include "common/config/conf_set.h"

#include <string.h>

#include "common/base/utf8.h"
#include "common/config/conf_table.h"

#define MAX_NAMES 64

static aa_status
fail_unknown(const char *where, const char *path, const char *what, const char *nearest,
             aa_err *err)
{
    if (!nearest) return aa_fail(err, AA_ECONFIG, "%s: %s: unknown %s", where, path, what);
    return aa_fail(err, AA_ECONFIG, "%s: %s: unknown %s (did you mean %s?)", where, path, what,
                   nearest);
}

aa_status
aa_conf_unknown_section(const char *section, const char *where, aa_err *err)
{
    const char       *names[MAX_NAMES] = {"fields", "kafka"};
    size_t            count;
    const aa_section *sc = aa_conf_table_sections(&count);
    AA_REQUIRE(count + 2 <= MAX_NAMES);
    for (size_t i = 0; i < count; i++)
        names[i + 2] = sc[i].name;
    return fail_unknown(where, section, "section", aa_conf_table_nearest(section, names, count + 2),
                        err);
}

static aa_status
set_in(const aa_section *sc, void *base, const char *path, const char *key, const aa_conf_value *v,
       aa_err *err)
{
    const bool        json = sc == aa_conf_table_field() && strcmp(key, "json") == 0;
    const aa_setting *se = aa_conf_table_setting(sc, json ? "path" : key); /* its older name */
    if (!se) {
        const char *names[MAX_NAMES];
        size_t      count;
        se = sc->settings(&count);
        AA_REQUIRE(count < MAX_NAMES);
        for (size_t i = 0; i < count; i++)
            names[i] = se[i].name;
        if (sc == aa_conf_table_field()) names[count++] = "json";
        return fail_unknown(v->where, path, "key", aa_conf_table_nearest(key, names, count), err);
    }
    aa_err what = AA_ERR_INIT;
    if (aa_conf_table_parse(se, base, v->text, v->len, &what) != AA_OK)
        return aa_fail(err, AA_ECONFIG, "%s: %s: %s", v->where, path, what.text);
    return AA_OK;
}

aa_status
aa_conf_set(aa_conf *cfg, const char *section, const char *key, const aa_conf_value *v, aa_err *err)
{
    char              path[AA_CONF_STR];
    const aa_section *sc = aa_conf_table_find(section);
    if (!sc) return aa_conf_unknown_section(section, v->where, err);
    snprintf(path, sizeof path, "%s.%s", section, key);
    return set_in(sc, (char *)cfg + sc->offset, path, key, v, err);
}

aa_status
aa_conf_set_field(aa_conf *cfg, const char *field, const char *key, const aa_conf_value *v,
                  aa_err *err)
{
    char        path[AA_CONF_STR];
    const char *names[AA_MAX_FIELDS];
    snprintf(path, sizeof path, "fields.%s.%s", field, key);
    for (size_t f = 0; f < cfg->field_count; f++) {
        if (strcmp(cfg->fields[f].name, field) == 0)
            return set_in(aa_conf_table_field(), &cfg->fields[f], path, key, v, err);
        names[f] = cfg->fields[f].name;
    }
    const char *nearest = aa_conf_table_nearest(field, names, cfg->field_count);
    if (!nearest) return aa_fail(err, AA_ECONFIG, "%s: fields.%s: unknown field", v->where, field);
    return aa_fail(err, AA_ECONFIG,
                   "%s: fields.%s: unknown field (did you mean %s? fields.%s= makes a new one)",
                   v->where, field, nearest, field);
}

/* f3 and f4, user and user2: numbered on purpose. */
static bool
differ_in_digits_only(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b) return false;
        if (!*a) return true;
    }
}

bool
aa_conf_names_field(const aa_conf *cfg, const char *field)
{
    const char *names[AA_MAX_FIELDS];
    bool        numbered = false;
    for (size_t f = 0; f < cfg->field_count; f++) {
        if (strcmp(cfg->fields[f].name, field) == 0) return true;
        numbered = numbered || differ_in_digits_only(cfg->fields[f].name, field);
        names[f] = cfg->fields[f].name;
    }
    return !numbered && aa_conf_table_nearest(field, names, cfg->field_count);
}

static bool
is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool digit = (c >= '0' && c <= '9') || c == '-';
        if (!letter && !(digit && i > 0)) return false;
    }
    return len > 0;
}

aa_status
aa_conf_add_field(aa_conf *cfg, const aa_conf_value *v, aa_err *err)
{
    aa_conf_field *fd;
    if (v->len >= sizeof fd->name || !is_name(v->text, v->len))
        return aa_fail(err, AA_ECONFIG,
                       "%s: fields.%.40s: a name is letters, digits, _ and -, at most %zu of them",
                       v->where, v->text, sizeof fd->name - 1);
    if (cfg->field_count == AA_MAX_FIELDS)
        return aa_fail(err, AA_ECONFIG, "%s: fields.%s: more than %d fields", v->where, v->text,
                       AA_MAX_FIELDS);
    fd = &cfg->fields[cfg->field_count++];
    memset(fd, 0, sizeof *fd);
    memcpy(fd->name, v->text, v->len);
    aa_conf_table_defaults(aa_conf_table_field(), fd);
    if (strcmp(fd->name, "item") == 0) fd->threshold = 10; /* items need more evidence than users */
    return AA_OK;
}

aa_status
aa_conf_set_kafka(aa_conf *cfg, const char *key, const aa_conf_value *v, aa_err *err)
{
    aa_conf_kafka *kp = NULL;
    if (!*key || strlen(key) >= sizeof kp->key)
        return aa_fail(err, AA_ECONFIG, "%s: kafka.%.40s: a key has 1 to %zu bytes", v->where, key,
                       sizeof kp->key - 1);
    if (v->len >= sizeof kp->value)
        return aa_fail(err, AA_ECONFIG, "%s: kafka.%s: %zu bytes, at most %zu", v->where, key,
                       v->len, sizeof kp->value - 1);
    if (memchr(v->text, '\0', v->len))
        return aa_fail(err, AA_ECONFIG, "%s: kafka.%s: control character in the value", v->where,
                       key);
    if (!aa_utf8_is_text(v->text, v->len))
        return aa_fail(err, AA_ECONFIG, "%s: kafka.%s: the value is not UTF-8 text", v->where, key);
    for (const char *c = key; *c; c++)
        if (*c <= ' ' || *c > '~')
            return aa_fail(err, AA_ECONFIG, "%s: kafka: space or control character in a key",
                           v->where);
    for (size_t i = 0; i < cfg->kafka_count; i++)
        if (strcmp(cfg->kafka[i].key, key) == 0) kp = &cfg->kafka[i];
    if (!kp && cfg->kafka_count == AA_MAX_KAFKA_PROPERTIES)
        return aa_fail(err, AA_ECONFIG, "%s: kafka.%s: more than %d properties", v->where, key,
                       AA_MAX_KAFKA_PROPERTIES);
    if (!kp) kp = &cfg->kafka[cfg->kafka_count++];
    memset(kp, 0, sizeof *kp);
    memcpy(kp->key, key, strlen(key));
    memcpy(kp->value, v->text, v->len);
    kp->line = v->line;
    return AA_OK;
}

void
aa_conf_plain_defaults(aa_conf *cfg)
{
    size_t            count;
    const aa_section *sc = aa_conf_table_sections(&count);
    memset(cfg, 0, sizeof *cfg);
    for (size_t i = 0; i < count; i++)
        aa_conf_table_defaults(&sc[i], (char *)cfg + sc[i].offset);

    const aa_conf_value user = {.text = "user", .len = 4, .where = "default"};
    const aa_conf_value item = {.text = "item", .len = 4, .where = "default"};
    const aa_conf_value broker = {.text = "localhost:9092", .len = 14, .where = "default"};
    AA_REQUIRE(aa_conf_add_field(cfg, &user, NULL) == AA_OK);
    AA_REQUIRE(aa_conf_add_field(cfg, &item, NULL) == AA_OK);
    AA_REQUIRE(aa_conf_set_kafka(cfg, "bootstrap.servers", &broker, NULL) == AA_OK);
}
