/* Runs from the top folder: compares compose/autoassign.yaml and docs/CONFIGURATION.md with the code.
 * `make reference` (REFERENCE=write in the environment) writes them instead. */
#include "common/config/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/config/conf_set.h"
#include "common/config/conf_table.h"
#include "common/config/conf_yaml.h"

static const char yaml_note[] =
    "# Every key with its default. Made from common/config/settings.h by `make reference`.\n";

static char *
print_conf(const aa_conf *cfg, const char *note)
{
    char  *text = NULL;
    size_t len;
    FILE  *out = open_memstream(&text, &len);
    assert_non_null(out);
    fputs(note, out);
    aa_conf_print(cfg, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *
print_reference(void)
{
    char  *text = NULL;
    size_t len;
    FILE  *out = open_memstream(&text, &len);
    assert_non_null(out);
    aa_conf_print_reference(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static aa_conf *
new_conf(void)
{
    aa_conf *cfg = malloc(sizeof *cfg);
    assert_non_null(cfg);
    aa_conf_defaults(cfg);
    return cfg;
}

/* Print cfg, load that over the defaults, and compare every byte but where it came from. */
static void
check_round_trip(aa_conf *cfg)
{
    aa_err   err = AA_ERR_INIT;
    aa_conf *back = new_conf();
    char    *text = print_conf(cfg, "");
    aa_conf_plain_defaults(back);
    if (aa_conf_yaml_parse(back, "printed", text, strlen(text), &err) || aa_conf_finish(back, &err))
        fail_msg("%s\n%s", text, err.text);
    memset(cfg->path, 0, sizeof cfg->path);
    for (size_t i = 0; i < AA_MAX_KAFKA_PROPERTIES; i++)
        cfg->kafka[i].line = back->kafka[i].line;
    assert_memory_equal(cfg, back, sizeof *cfg);
    free(text);
    free(back);
}

static void
printed_defaults_load_back_identically(void **state)
{
    (void)state;
    aa_conf *cfg = new_conf();
    check_round_trip(cfg);
    free(cfg);
}

/* A random valid value for the setting. */
static void
randomise(const aa_setting *se, void *base, uint64_t seed, uint64_t a, uint64_t b)
{
    static const char letters[] = "ab \"\\#:{}[],&*!|>'%@`-?~\xc3\xa9=.0";
    char              text[AA_CONF_STR];
    aa_err            err = AA_ERR_INIT;
    uint64_t          bits = aa_rng_bits(seed, AA_RNG_TEST, a, b);
    double            u = aa_rng_uniform(seed, AA_RNG_TEST, a, b);
    switch (se->type) {
    case AA_SET_STR: {
        size_t n = bits % 40;
        for (size_t i = 0; i < n; i++)
            text[i] = letters[(bits >> (i % 32)) % 24]; /* ASCII only: no torn characters */
        text[n] = '\0';
        break;
    }
    case AA_SET_CHO: {
        const char *c = se->choices;
        for (size_t skip = bits % 10; skip && strchr(c, '|'); skip--)
            c = strchr(c, '|') + 1;
        snprintf(text, sizeof text, "%.*s", (int)strcspn(c, "|"), c);
        break;
    }
    case AA_SET_INT:
        snprintf(text, sizeof text, "%lld",
                 (long long)(se->min_int + (int64_t)(bits % 1000) *
                                               ((se->max_int / 4 - se->min_int / 4) / 1000 * 4)));
        break;
    case AA_SET_NUM:
        snprintf(text, sizeof text, "%.17g", se->min_num + u * (se->max_num - se->min_num));
        break;
    case AA_SET_BOO: snprintf(text, sizeof text, "%s", bits & 1 ? "true" : "false"); break;
    }
    if (aa_conf_table_parse(se, base, text, strlen(text), &err))
        fail_msg("%s: %s: %s", se->name, text, err.text);
}

static void
printed_random_values_load_back_identically(void **state)
{
    (void)state;
    uint64_t          seed = 77;
    aa_conf          *cfg = new_conf(), *base = new_conf();
    size_t            sections, count, checked = 0;
    aa_err            err = AA_ERR_INIT;
    const aa_section *sc = aa_conf_table_sections(&sections);
    print_message("SEED %llu\n", (unsigned long long)seed);
    for (uint64_t round = 0; round < 50; round++) {
        memcpy(cfg, base, sizeof *cfg);
        for (size_t s = 0; s < sections; s++) {
            const aa_setting *se = sc[s].settings(&count);
            for (size_t i = 0; i < count; i++) {
                /* these must fit together or are hidden; their own tests have them */
                if (strstr("name hidden interactions dead_letters assignments predictions model "
                           "replay_from "
                           "time_min_ms dir role bind",
                           se[i].name) ||
                    strcmp(se[i].name, "label_map") == 0 || aa_conf_table_secret(se[i].name))
                    continue;
                randomise(&se[i], (char *)cfg + sc[s].offset, seed, round, s * 100 + i);
            }
        }
        cfg->checkpoint.every_events = 1;
        struct aa_conf_event *ev = &cfg->event; /* which schemas need which settings */
        memset(ev->schema_registry, 0, sizeof ev->schema_registry);
        memset(ev->schema_file, 0, sizeof ev->schema_file);
        memset(ev->descriptor, 0, sizeof ev->descriptor);
        memset(ev->message, 0, sizeof ev->message);
        ev->framing = AA_FRAMING_AUTO;
        if (ev->format == AA_EVENT_FORMAT_AVRO) ev->format = AA_EVENT_FORMAT_AUTO;
        cfg->event.time_max_ms = cfg->event.time_min_ms + (int64_t)round;
        cfg->fields[0].hash_rows = cfg->fields[1].hash_rows = 1;
        if (aa_conf_finish(cfg, &err)) continue; /* two topics of the same name, say */
        check_round_trip(cfg);
        checked++;
    }
    assert_true(checked >= 25);
    free(base);
    free(cfg);
}

static void
texts_with_yaml_in_them_load_back(void **state)
{
    (void)state;
    aa_conf *cfg = new_conf();
    snprintf(cfg->event.label_field, sizeof cfg->event.label_field, "a: \"b\" \\ # {c} \xc3\xa9");
    snprintf(cfg->kafka[0].value, sizeof cfg->kafka[0].value, "line\nline\ttab\x7f ");
    snprintf(cfg->kafka[2].key, sizeof cfg->kafka[2].key, "Odd-Key.1");
    cfg->kafka_count = 3;
    check_round_trip(cfg);
    free(cfg);
}

static void
secrets_are_not_printed(void **state)
{
    (void)state;
    static const char *const over[] = {
        "scorer.token=HIDEME",
        "kafka.sasl.password=HIDEME",
        "kafka.ssl.key.password=HIDEME",
        "kafka.ssl.key.pem=HIDEME",
        "kafka.sasl.oauthbearer.client.secret=HIDEME",
        "kafka.sasl.oauthbearer.config=principal=HIDEME",
        "links.curve_secret_key=HIDEME",
    };
    aa_err   err = AA_ERR_INIT;
    aa_conf *cfg = new_conf();
    assert_int_equal(aa_conf_load(cfg, NULL, over, sizeof over / sizeof *over, &err), AA_OK);
    char *text = print_conf(cfg, "");
    assert_null(strstr(text, "HIDEME"));
    assert_non_null(strstr(text, "  token: \"***\"\n"));
    assert_non_null(strstr(text, "  sasl.password: \"***\"\n"));
    assert_non_null(strstr(text, "  bootstrap.servers: \"localhost:9092\"\n"));
    free(text);
    free(cfg);
}

/* What the file holds must be want; with REFERENCE=write it becomes want. */
static void
check_file(const char *path, const char *want)
{
    const char *mode = getenv("REFERENCE");
    bool        update = mode && strcmp(mode, "write") == 0;
    FILE       *file = fopen(path, update ? "wb" : "rb");
    if (!file) fail_msg("%s: cannot be opened; tests run from the top folder", path);
    if (update) {
        assert_true(fputs(want, file) >= 0);
        assert_int_equal(fclose(file), 0);
        return;
    }
    size_t want_len = strlen(want);
    char  *got = calloc(1, want_len + 2);
    assert_non_null(got);
    size_t len = fread(got, 1, want_len + 1, file);
    fclose(file);
    bool same = len == want_len && memcmp(got, want, len) == 0;
    free(got);
    if (!same) fail_msg("%s is not what common/config/settings.h says: run `make reference`", path);
}

static void
default_file_is_up_to_date(void **state)
{
    (void)state;
    aa_conf *cfg = new_conf();
    aa_conf_plain_defaults(cfg);
    char *text = print_conf(cfg, yaml_note);
    check_file("compose/autoassign.yaml", text);
    free(text);
    free(cfg);
}

static void
default_file_is_the_defaults(void **state)
{
    (void)state;
    aa_err   err = AA_ERR_INIT;
    aa_conf *cfg = new_conf(), *defaults = new_conf();
    if (aa_conf_load(cfg, "compose/autoassign.yaml", NULL, 0, &err)) fail_msg("%s", err.text);
    memset(cfg->path, 0, sizeof cfg->path);
    for (size_t i = 0; i < AA_MAX_KAFKA_PROPERTIES; i++)
        cfg->kafka[i].line = 0;
    assert_memory_equal(cfg, defaults, sizeof *cfg);
    free(defaults);
    free(cfg);
}

static void
reference_is_up_to_date(void **state)
{
    (void)state;
    char *text = print_reference();
    check_file("docs/CONFIGURATION.md", text);
    free(text);
}

static void
reference_has_every_key(void **state)
{
    (void)state;
    size_t            sections, count;
    const aa_section *sc = aa_conf_table_sections(&sections);
    char              row[AA_CONF_STR], *text = print_reference();
    for (size_t s = 0; s < sections; s++) {
        snprintf(row, sizeof row, "\n## %s\n", sc[s].name);
        const char *from = strstr(text, row);
        assert_non_null(from);
        const aa_setting *se = sc[s].settings(&count);
        for (size_t i = 0; i < count; i++) {
            snprintf(row, sizeof row, "\n| `%s` | ", se[i].name);
            const char *at = strstr(from, row);
            const char *end = strstr(from + 1, "\n## ");
            assert_true(at && end && at < end);
        }
    }
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printed_defaults_load_back_identically),
        cmocka_unit_test(printed_random_values_load_back_identically),
        cmocka_unit_test(texts_with_yaml_in_them_load_back),
        cmocka_unit_test(secrets_are_not_printed),
        cmocka_unit_test(default_file_is_up_to_date),
        cmocka_unit_test(default_file_is_the_defaults),
        cmocka_unit_test(reference_is_up_to_date),
        cmocka_unit_test(reference_has_every_key),
    };
    return cmocka_run_group_tests_name("common/config/conf_print", tests, NULL, NULL);
}
