/* The configuration as YAML that loads back as the same configuration, as log records, and the
 * reference of its keys. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/config/conf.h"
#include "common/config/conf_set.h"
#include "common/config/conf_table.h"

#define VALUE_BYTES 1024
#define LOG_BYTES   1900

/* ---- YAML ---- */

/* A double-quoted scalar: any text survives it. Bytes from 0x80 on are UTF-8 and stay. */
static void
print_quoted(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20 || c == 0x7F)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

/* "1 to 64 batches", "0 or more events", "a|b|c" */
static void
format_range(const aa_setting *se, char *buf, size_t size)
{
    const char *unit = se->unit ? se->unit : "";
    const char *space = *unit ? " " : "";
    switch (se->type) {
    case AA_SET_STR: snprintf(buf, size, "text"); break;
    case AA_SET_CHO: snprintf(buf, size, "%s", se->choices); break;
    case AA_SET_BOO: snprintf(buf, size, "true|false"); break;
    case AA_SET_NUM:
        snprintf(buf, size, "%g to %g%s%s", se->min_num, se->max_num, space, unit);
        break;
    case AA_SET_INT:
        if (se->max_int < INT64_MAX / 2)
            snprintf(buf, size, "%" PRId64 " to %" PRId64 "%s%s", se->min_int, se->max_int, space,
                     unit);
        else if (se->min_int > INT64_MIN / 2)
            snprintf(buf, size, "%" PRId64 " or more%s%s", se->min_int, space, unit);
        else
            snprintf(buf, size, "whole number%s%s", space, unit);
        break;
    }
}

static void
print_setting(const aa_setting *se, const void *base, const char *indent, FILE *out)
{
    char text[VALUE_BYTES];
    format_range(se, text, sizeof text);
    fprintf(out, "%s# %s [%s]\n%s%s: ", indent, se->help, text, indent, se->name);
    aa_conf_table_format(se, base, text, sizeof text);
    if (se->type != AA_SET_STR)
        fputs(text, out);
    else
        print_quoted(*text && aa_conf_table_secret(se->name) ? "***" : text, out);
    fputc('\n', out);
}

static void
print_section(const aa_section *sc, const void *base, const char *indent, FILE *out)
{
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    for (size_t i = 0; i < count; i++)
        print_setting(&se[i], base, indent, out);
}

static void
print_kafka(const aa_conf *cfg, FILE *out)
{
    fputs("\n# properties of librdkafka, passed on as they stand\n"
          "# (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)\nkafka:\n",
          out);
    for (size_t i = 0; i < cfg->kafka_count; i++) {
        const aa_conf_kafka *kp = &cfg->kafka[i];
        bool                 plain = !kp->key[strspn(kp->key, "abcdefghijklmnopqrstuvwxyz.-_")];
        fputs("  ", out);
        if (plain)
            fputs(kp->key, out);
        else
            print_quoted(kp->key, out);
        fputs(": ", out);
        print_quoted(aa_conf_table_secret(kp->key) ? "***" : kp->value, out);
        fputc('\n', out);
    }
}

void
aa_conf_print(const aa_conf *cfg, FILE *out)
{
    size_t            count;
    const aa_section *sc = aa_conf_table_sections(&count);
    fputs("# AutoAssign. Later wins: this file, the environment (AUTOASSIGN_SECTION_KEY),\n"
          "# -o section.key=value on the command line. What is left out has its default.\n",
          out);
    print_kafka(cfg, out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "\n# %s\n%s:\n", sc[i].help, sc[i].name);
        print_section(&sc[i], (const char *)cfg + sc[i].offset, "  ", out);
    }
    fprintf(out, "\n# %s\nfields:\n", aa_conf_table_field()->help);
    for (size_t f = 0; f < cfg->field_count; f++) {
        fprintf(out, "  %s:\n", cfg->fields[f].name);
        print_section(aa_conf_table_field(), &cfg->fields[f], "    ", out);
    }
}

/* ---- log ---- */

typedef struct {
    char   text[LOG_BYTES];
    size_t len;
} pairs;

/* Values with a space or a quote are quoted; the log escapes the rest. */
static void
add_pair(pairs *ps, const char *key, const char *value)
{
    const char *quote = !*value || strpbrk(value, " =\"") ? "\"" : "";
    if (*value && aa_conf_table_secret(key)) value = "***";
    int n = snprintf(ps->text + ps->len, sizeof ps->text - ps->len, "%s%s=%s%.*s%s",
                     ps->len ? " " : "", key, quote, (int)strcspn(value, "\""), value, quote);
    if (n > 0 && (size_t)n < sizeof ps->text - ps->len)
        ps->len += (size_t)n;
    else
        ps->text[ps->len] = '\0'; /* no room: left out whole */
}

static void
log_section(const aa_section *sc, const void *base, const char *name)
{
    pairs             ps = {.len = 0};
    char              text[VALUE_BYTES], id[80];
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    for (size_t i = 0; i < count; i++) {
        aa_conf_table_format(&se[i], base, text, sizeof text);
        add_pair(&ps, se[i].name, text);
    }
    /* an id of its own, or the limit of repeats would hold some back */
    snprintf(id, sizeof id, "CONFIG-%s", name);
    for (char *p = id; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    aa_log_write(AA_DEBUG, id, ps.text, "in effect");
}

void
aa_conf_log(const aa_conf *cfg)
{
    size_t            count;
    const aa_section *sc = aa_conf_table_sections(&count);
    pairs             kafka = {.len = 0};
    if (!aa_log_on(AA_DEBUG)) return;
    for (size_t i = 0; i < count; i++)
        log_section(&sc[i], (const char *)cfg + sc[i].offset, sc[i].name);
    for (size_t f = 0; f < cfg->field_count; f++)
        log_section(aa_conf_table_field(), &cfg->fields[f], cfg->fields[f].name);
    for (size_t i = 0; i < cfg->kafka_count; i++)
        add_pair(&kafka, cfg->kafka[i].key, cfg->kafka[i].value);
    aa_log_write(AA_DEBUG, "CONFIG-KAFKA", kafka.text, "in effect");
}

/* ---- Markdown ---- */

/* Text in a cell of a table: a bar would end it, < would begin HTML. */
static void
print_cell(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '|')
            fputs("\\|", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else
            fputc(*text, out);
    }
}

static void
print_rows(const aa_section *sc, const void *base, FILE *out)
{
    char              text[VALUE_BYTES];
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    fputs("| key | default | values | meaning |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < count; i++) {
        aa_conf_table_format(&se[i], base, text, sizeof text);
        fprintf(out, "| `%s` | ", se[i].name);
        if (*text) fprintf(out, "`%s`", text);
        fputs(" | ", out);
        format_range(&se[i], text, sizeof text);
        print_cell(text, out);
        fputs(" | ", out);
        print_cell(se[i].help, out);
        fputs(" |\n", out);
    }
}

static const char reference_head[] =
    "# Configuration\n"
    "\n"
    "One YAML file configures all processes (`-c FILE`). Every key has a default.\n"
    "`make reference` writes this page from `common/config/settings.h`.\n"
    "\n"
    "A value is taken from the last of these that sets it: default, file, environment, command "
    "line.\n"
    "\n"
    "| where | how |\n"
    "|---|---|\n"
    "| file | `model:` and below it `dim: 16` |\n"
    "| environment | `AUTOASSIGN_MODEL_DIM=16` (section and key in capitals; not for fields and "
    "kafka) |\n"
    "| command line | `-o model.dim=16`, `-o fields.user.path=uid`, "
    "`-o kafka.bootstrap.servers=host:9092`; `-o fields.shop.path=shop_id` also makes a field, and "
    "`-o fields.shop=` one with its defaults |\n"
    "\n"
    "An unknown or repeated key, a wrong type or a value out of range ends the program with exit\n"
    "code 2. The message names file, line and key. `--check-config` only checks,\n"
    "and refuses what the start of the same program refuses. A port may be used once per process "
    "and\n"
    "per address: equal `http.*_port` are refused unless `http.bind` is every address "
    "(`0.0.0.0`).\n"
    "`--print-config` prints the values in effect. Terms: [GLOSSARY.md](GLOSSARY.md).\n";

static const char reference_fields[] =
    "\n"
    "`fields` maps the name of each ID field to its settings, in the order of the model's "
    "fields.\n"
    "Without it the fields are `user` and `item`. The default `threshold` of a field named `item` "
    "is 10.\n"
    "\n"
    "```yaml\n"
    "fields:\n"
    "  user: {path: user_id}\n"
    "  item: {path: movie_id, budget_rows: 100000}\n"
    "```\n"
    "\n";

static const char reference_kafka[] =
    "\n"
    "## kafka\n"
    "\n"
    "Properties of librdkafka, for every client: brokers, TLS, SASL, sizes and times\n"
    "([list](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)).\n"
    "Values of keys that contain `password`, `secret`, `token`, `key.pem` or `jaas` are never "
    "shown.\n"
    "\n"
    "| key | default |\n"
    "|---|---|\n"
    "| `bootstrap.servers` | `localhost:9092` |\n"
    "| `group.id` | `autoassign-` and `pipeline.name` |\n";

void
aa_conf_print_reference(FILE *out)
{
    size_t            count;
    const aa_section *sc = aa_conf_table_sections(&count);
    aa_conf          *cfg = malloc(sizeof *cfg);
    if (!cfg) return;
    aa_conf_plain_defaults(cfg);
    fputs(reference_head, out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "\n## %s\n\n", sc[i].name);
        print_cell(sc[i].help, out);
        fputs(".\n\n", out);
        print_rows(&sc[i], (const char *)cfg + sc[i].offset, out);
    }
    fprintf(out, "\n## fields\n%s", reference_fields);
    print_rows(aa_conf_table_field(), &cfg->fields[0], out);
    fputs(reference_kafka, out);
    free(cfg);
}
