#include "common/config/conf_kept.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/config/conf_table.h"

/* Read anew from the settings whenever they are used, and kept in no state. */
static const char *const free_keys[] = {
    "agent.gamma",         "agent.actor_rate",      "agent.critic_rate",  "agent.ratio_clip",
    "agent.price",         "agent.row_cost",        "agent.rows_share",   "agent.rows_least",
    "agent.quiet_gaps",    "agent.quiet_events",    "agent.sweep_visits", "agent.forget_events",
    "agent.entropy",       "agent.worth_rate",      "agent.policy_rate",  "agent.swap_margin",
    "agent.random_ascend", "agent.random_descend",  "model.row_rate",     "model.row_l2",
    "model.position_rate", "model.shared_gradient", "model.dense_rate",   "model.row_forget",
    "agent.budget_bytes",  "model.dense_step",
};
static const char *const pipeline_keys[] = {"seed", "depth", NULL};
static const char *const field_keys[] = {"threshold", "budget_rows", "budget_bytes", "hash_rows",
                                         NULL};

enum { KEY_BYTES = AA_CONF_STR + 64 };

/* Called for each setting, in one order: its key, its value and its default. */
typedef void (*each_setting)(void *arg, const char *key, const char *value, const char *def);

static bool
is_listed(const char *name, const char *const *names)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return !names;
}

static void
for_section(const aa_section *sc, const char *prefix, const void *base, const void *defaults,
            const char *const *only, each_setting each, void *arg)
{
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    for (size_t i = 0; i < count; i++) {
        char key[KEY_BYTES], value[AA_CONF_STR], def[AA_CONF_STR];
        if (!is_listed(se[i].name, only)) continue;
        snprintf(key, sizeof key, "%s.%s", prefix, se[i].name);
        aa_conf_table_format(&se[i], base, value, sizeof value);
        aa_conf_table_format(&se[i], defaults, def, sizeof def);
        each(arg, key, value, def);
    }
}

static void
for_all(const aa_conf *cfg, const aa_conf *defaults, each_setting each, void *arg)
{
    char names[AA_MAX_FIELDS * (sizeof cfg->fields[0].name + 1)] = "", prefix[KEY_BYTES - 64];
    aa_conf_field none = {0};
    size_t        len = 0;

    for (size_t f = 0; f < cfg->field_count; f++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", f > 0 ? "," : "",
                                cfg->fields[f].name);
    each(arg, "fields", names, "");
    for_section(aa_conf_table_find("pipeline"), "pipeline", &cfg->pipeline, &defaults->pipeline,
                pipeline_keys, each, arg);
    for_section(aa_conf_table_find("agent"), "agent", &cfg->agent, &defaults->agent, NULL, each,
                arg);
    for_section(aa_conf_table_find("model"), "model", &cfg->model, &defaults->model, NULL, each,
                arg);
    aa_conf_table_defaults(aa_conf_table_field(), &none);
    for (size_t f = 0; f < cfg->field_count; f++) {
        snprintf(prefix, sizeof prefix, "fields.%s", cfg->fields[f].name);
        const bool ours =
            f < defaults->field_count && strcmp(cfg->fields[f].name, defaults->fields[f].name) == 0;
        for_section(aa_conf_table_field(), prefix, &cfg->fields[f],
                    ours ? &defaults->fields[f] : &none, field_keys, each, arg);
    }
}

/* ---- to text ---- */

static void
write_setting(void *arg, const char *key, const char *value, const char *def)
{
    FILE *out = arg;
    (void)def;
    fprintf(out, "%s=%s\n", key, value);
}

aa_status
aa_conf_kept_text(const aa_conf *cfg, char **text, aa_err *err)
{
    size_t len = 0;
    FILE  *out = open_memstream(text, &len);
    if (!out) return aa_fail(err, AA_ENOMEM, "settings");
    for_all(cfg, cfg, write_setting, out);
    if (fclose(out) == 0) return AA_OK;
    free(*text);
    *text = NULL;
    return aa_fail(err, AA_ENOMEM, "settings");
}

/* ---- from text ---- */

typedef struct {
    const char        *text, *end;
    aa_conf_kept_diff *out;
} comparison;

/* The value of the key's line; false: there is none. */
static bool
find_value(const comparison *co, const char *key, const char **value, int *len)
{
    const size_t key_len = strlen(key);
    for (const char *at = co->text; at < co->end;) {
        const char *line_end = memchr(at, '\n', (size_t)(co->end - at));
        const char *stop = line_end ? line_end : co->end;
        if ((size_t)(stop - at) > key_len && memcmp(at, key, key_len) == 0 && at[key_len] == '=') {
            *value = at + key_len + 1;
            *len = (int)(stop - *value);
            return true;
        }
        at = stop + 1;
    }
    return false;
}

static void
add_difference(char *words, size_t size, const char *text)
{
    const size_t len = strlen(words), room = size - len;
    if (len >= 3 && strcmp(words + len - 3, "...") == 0) return;
    if (strlen(text) + 8 < room)
        snprintf(words + len, room, "%s%s", len > 0 ? ", " : "", text);
    else
        snprintf(words + len, room, "%s...", len > 0 ? ", " : "");
}

static void
compare_setting(void *arg, const char *key, const char *value, const char *def)
{
    const comparison *co = arg;
    const char       *before = aa_conf_before(key);
    const char       *had = before ? before : def;
    int               had_len = (int)strlen(had);
    char              text[2 * KEY_BYTES];
    bool              is_free = false;

    (void)find_value(co, key, &had, &had_len);
    if ((size_t)had_len == strlen(value) && memcmp(had, value, (size_t)had_len) == 0) return;
    for (size_t i = 0; i < sizeof free_keys / sizeof *free_keys; i++)
        is_free = is_free || strcmp(free_keys[i], key) == 0;
    snprintf(text, sizeof text, "%s (%.*s, now %s)", key, had_len < 60 ? had_len : 60, had, value);
    if (is_free)
        add_difference(co->out->free, sizeof co->out->free, text);
    else
        add_difference(co->out->shaping, sizeof co->out->shaping, text);
}

void
aa_conf_kept_compare(const aa_conf *cfg, const char *text, size_t len, aa_conf_kept_diff *out)
{
    comparison co = {text, text + len, out};
    aa_conf   *defaults = malloc(sizeof *defaults);

    *out = (aa_conf_kept_diff){0};
    if (defaults) aa_conf_defaults(defaults); /* without, what is not named counts as it is */
    for_all(cfg, defaults ? defaults : cfg, compare_setting, &co);
    free(defaults);
}

/* ---- marks ---- */

typedef struct {
    uint32_t       *mark; /* to fill, or */
    const uint32_t *theirs;
    size_t          at, count;
    char           *words;
    size_t          size;
} marking;

static uint32_t
mark_of(const char *key, const char *value)
{
    const uint64_t d = aa_digest(aa_digest(1, key, strlen(key) + 1), value, strlen(value) + 1);
    return (uint32_t)(d ^ d >> 32);
}

static void
add_mark(void *arg, const char *key, const char *value, const char *def)
{
    marking *mk = arg;
    (void)def;
    AA_REQUIRE(mk->at < AA_CONF_KEPT_MAX);
    mk->mark[mk->at++] = mark_of(key, value);
}

size_t
aa_conf_kept_marks(const aa_conf *cfg, uint32_t mark[AA_CONF_KEPT_MAX])
{
    marking mk = {.mark = mark};
    for_all(cfg, cfg, add_mark, &mk);
    return mk.at;
}

static void
compare_mark(void *arg, const char *key, const char *value, const char *def)
{
    marking *mk = arg;
    (void)def;
    if (mk->at < mk->count && mk->theirs[mk->at] != mark_of(key, value))
        add_difference(mk->words, mk->size, key);
    mk->at++;
}

void
aa_conf_kept_differ(const aa_conf *cfg, const uint32_t *mark, size_t count, char *words,
                    size_t size)
{
    marking mk = {.theirs = mark, .count = count, .words = words, .size = size};
    words[0] = '\0';
    for_all(cfg, cfg, compare_mark, &mk);
    if (mk.at != count) words[0] = '\0';
}
