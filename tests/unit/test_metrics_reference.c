/* Runs from the top folder: compares docs/METRICS.md with the metrics that the processes register.
 * `make reference` (REFERENCE=write in the environment) writes it instead. */
#include "common/service/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "assigner/assigner_metrics.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/service/program.h"
#include "common/stage/stage_run.h"
#include "ingest/fetchers/crew.h"
#include "ingest/fetchers/fetcher.h"
#include "ingest/ingest_metrics.h"
#include "learner/learner_metrics.h"
#include "scorer/scorer_metrics.h"

enum { VALUES_BYTES = 256, LABELS_MAX = 4 };

static const char head[] =
    "# Metrics\n"
    "\n"
    "Each process serves its metrics as Prometheus text at `/metrics` of its HTTP port\n"
    "(`http.ingest_port` and the like).\n"
    "`make reference` writes this page from the code that registers them.\n"
    "\n"
    "A counter starts at 0 when its process starts. A histogram has the buckets\n"
    "`<name>_bucket{le=\"...\"}`, from 50 µs to 60 s, with `<name>_sum` and `<name>_count`.\n"
    "Where a label has a fixed set of values, the column *labels* lists it.\n";

/* ---- what is in a text of /metrics ---- */

typedef struct {
    char name[64], values[VALUES_BYTES]; /* values: a, b, c */
} label;

typedef struct {
    char   name[128], type[16], help[256];
    label  labels[LABELS_MAX];
    size_t label_count;
} metric_row;

/* Labels whose values are the configuration's or the topic's, not the code's. */
static bool
is_open_ended(const char *name)
{
    return strstr("field topic partition position process version link le", name) != NULL;
}

static void
add_value(metric_row *row, const char *name, size_t name_len, const char *value, size_t value_len)
{
    size_t i = 0;
    while (i < row->label_count && (strlen(row->labels[i].name) != name_len ||
                                    strncmp(row->labels[i].name, name, name_len) != 0))
        i++;
    if (i == row->label_count) {
        assert_true(i < LABELS_MAX);
        row->label_count++;
        snprintf(row->labels[i].name, sizeof row->labels[i].name, "%.*s", (int)name_len, name);
    }
    char  *values = row->labels[i].values, one[64];
    size_t used = strlen(values);
    snprintf(one, sizeof one, "%.*s", (int)value_len, value);
    if (strstr(values, one)) return; /* no value of ours is a part of another */
    snprintf(values + used, VALUES_BYTES - used, "%s%s", used ? ", " : "", one);
}

/* a="x",b="y"} ... */
static void
add_labels(metric_row *row, const char *at)
{
    while (*at != '}') {
        size_t      name_len = strcspn(at, "=");
        const char *value = at + name_len + 2;
        size_t      value_len = strcspn(value, "\"");
        if (strncmp(at, "le=", 3) != 0) add_value(row, at, name_len, value, value_len);
        at = value + value_len + 1;
        if (*at == ',') at++;
    }
}

static const char *
unit_of(const metric_row *row)
{
    static const char *const unit[] = {"seconds", "bytes"};
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++)
        if (strstr(row->name, unit[i])) return unit[i];
    return strcmp(row->type, "counter") == 0 ? "count" : "";
}

static void
print_row(const metric_row *row, FILE *out)
{
    size_t help_len = strlen(row->help);
    if (help_len && row->help[help_len - 1] == '.') help_len--;
    fprintf(out, "| `%s` | %s | %s | ", row->name, row->type, unit_of(row));
    for (size_t i = 0; i < row->label_count; i++) {
        const label *la = &row->labels[i];
        fprintf(out, "%s`%s`", i ? "; " : "", la->name);
        if (!is_open_ended(la->name)) fprintf(out, ": %s", la->values);
    }
    char first = row->help[0] >= 'a' && row->help[0] <= 'z' ? (char)(row->help[0] - 'a' + 'A')
                                                            : row->help[0];
    fprintf(out, " | %c%.*s |\n", first, (int)help_len - 1, row->help + 1);
}

/* One row of the table for each family of the text, in its order. */
static void
print_table(char *text, FILE *out)
{
    metric_row row = {.name = ""};
    fputs("\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n", out);
    for (char *save, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char name[128], help[256];
        if (sscanf(line, "# HELP %127s %255[^\n]", name, help) == 2) {
            if (*row.name) print_row(&row, out);
            row = (metric_row){.name = ""};
            memcpy(row.name, name, sizeof name);
            memcpy(row.help, help, sizeof help);
        } else if (sscanf(line, "# TYPE %127s %15s", name, row.type) < 2 && strchr(line, '{')) {
            add_labels(&row, strchr(line, '{') + 1);
        }
    }
    print_row(&row, out);
}

/* ---- the processes ---- */

static char *
render(aa_metrics *ms)
{
    size_t len;
    char  *text = aa_metrics_render(ms, &len);
    assert_non_null(text);
    return text;
}

/* Render ms without what every process has, under a heading; frees ms. */
static void
print_process(aa_metrics *ms, const char *heading, FILE *out)
{
    char *text = render(ms), *end = strstr(text, "# HELP process_resident_memory_bytes");
    assert_non_null(end);
    *end = '\0';
    fprintf(out, "\n## %s\n", heading);
    print_table(text, out);
    free(text);
    aa_metrics_free(&ms);
}

static void
print_every_process(FILE *out)
{
    aa_metrics *ms = aa_metrics_new();
    aa_program_metrics(ms, "ingest");
    const aa_http_limits limits = {0};
    aa_http_connections *cs = aa_http_connections_new(&limits, ms);
    char                *text = render(ms);
    aa_http_connections_free(&cs);
    fputs("\n## every process\n", out);
    print_table(text, out);
    free(text);
    aa_metrics_free(&ms);
}

static void
print_ingest(aa_conf *cfg, FILE *out)
{
    aa_err          err = AA_ERR_INIT;
    aa_metrics     *ms = aa_metrics_new();
    ingest_metrics *im;
    assert_int_equal(ingest_metrics_new(&im, cfg, ms, &err), AA_OK);
    assert_non_null(ingest_metrics_partition_lag(im, 0));
    print_process(ms, "ingest", out);
    ingest_metrics_free(&im);
}

/* A link's socket of this test alone. */
static void
make_endpoint(char *text, size_t size)
{
    snprintf(text, size, "ipc:///tmp/autoassign-test-%ld", (long)getpid());
}

static void
print_links(FILE *out)
{
    aa_err       err = AA_ERR_INIT;
    aa_metrics  *ms = aa_metrics_new();
    aa_link     *ln;
    aa_link_keys keys = {0};
    char         endpoint[64];
    make_endpoint(endpoint, sizeof endpoint);
    assert_int_equal(aa_link_open(&ln, AA_LINK_BIND, endpoint, &keys, &err), AA_OK);
    aa_link_export(ln, ms, "events");
    print_process(ms, "ingest, assigner and learner, by link", out);
    aa_link_close(&ln);
    unlink(endpoint + strlen("ipc://"));
}

static void
print_crew(aa_conf *cfg, FILE *out)
{
    aa_err      err = AA_ERR_INIT;
    aa_metrics *ms = aa_metrics_new();
    crew       *cr;
    make_endpoint(cfg->links.fetchers, sizeof cfg->links.fetchers);
    assert_int_equal(crew_open(&cr, cfg, ms, &err), AA_OK);
    print_process(ms, "ingest with `links.fetchers`", out);
    crew_close(&cr);
    unlink(cfg->links.fetchers + strlen("ipc://"));
}

static void
print_fetcher(FILE *out)
{
    aa_metrics     *ms = aa_metrics_new();
    fetcher_metrics fm;
    fetcher_metrics_init(&fm, ms);
    print_process(ms, "ingest as a fetcher (`ingest.role: fetcher`)", out);
}

static void
print_assigner(const aa_conf *cfg, FILE *out)
{
    aa_err            err = AA_ERR_INIT;
    aa_metrics       *ms = aa_metrics_new();
    assigner_metrics *am;
    aa_stage_metrics  mt;
    aa_stage_metrics_init(&mt, ms, false);
    assert_int_equal(assigner_metrics_new(&am, ms, cfg, &err), AA_OK);
    print_process(ms, "assigner", out);
    assigner_metrics_free(&am);
}

static void
print_learner(const aa_conf *cfg, FILE *out)
{
    aa_err           err = AA_ERR_INIT;
    aa_metrics      *ms = aa_metrics_new();
    learner_metrics *lm;
    aa_stage_metrics mt;
    aa_stage_metrics_init(&mt, ms, true);
    assert_int_equal(learner_metrics_new(&lm, ms, cfg, &err), AA_OK);
    print_process(ms, "learner", out);
    learner_metrics_free(&lm);
}

static void
print_scorer(const aa_conf *cfg, FILE *out)
{
    aa_metrics    *ms = aa_metrics_new();
    scorer_metrics sm;
    scorer_metrics_init(&sm, ms, cfg);
    print_process(ms, "scorer", out);
}

static char *
print_reference(void)
{
    char    *text = NULL;
    size_t   len;
    FILE    *out = open_memstream(&text, &len);
    aa_conf *cfg = malloc(sizeof *cfg);
    assert_non_null(out);
    assert_non_null(cfg);
    aa_conf_defaults(cfg);
    fputs(head, out);
    print_every_process(out);
    print_links(out);
    print_ingest(cfg, out);
    print_crew(cfg, out);
    print_fetcher(out);
    print_assigner(cfg, out);
    print_learner(cfg, out);
    print_scorer(cfg, out);
    assert_int_equal(fclose(out), 0);
    free(cfg);
    return text;
}

/* ---- tests ---- */

static void
reference_of_metrics_is_up_to_date(void **state)
{
    (void)state;
    const char *path = "docs/METRICS.md", *mode = getenv("REFERENCE");
    bool        update = mode && strcmp(mode, "write") == 0;
    char       *want = print_reference();
    FILE       *file = fopen(path, update ? "wb" : "rb");
    if (!file) fail_msg("%s: cannot be opened; tests run from the top folder", path);
    if (update) {
        assert_true(fputs(want, file) >= 0);
        assert_int_equal(fclose(file), 0);
    } else {
        size_t want_len = strlen(want);
        char  *got = calloc(1, want_len + 2);
        assert_non_null(got);
        size_t len = fread(got, 1, want_len + 1, file);
        fclose(file);
        bool same = len == want_len && memcmp(got, want, len) == 0;
        free(got);
        if (!same) fail_msg("%s does not list what is registered: run `make reference`", path);
    }
    free(want);
}

static void
reference_has_metrics_of_every_process(void **state)
{
    (void)state;
    static const char *const some[] = {
        "autoassign_build_info",       "autoassign_consumer_partition_lag",
        "autoassign_fetchers_working", "autoassign_fetcher_records_total",
        "autoassign_ids_at_position",  "autoassign_td_error_mean_abs",
        "autoassign_scorer_rows",      "process_cpu_seconds_total"};
    char *text = print_reference();
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (!strstr(text, some[i])) fail_msg("no %s", some[i]);
    assert_non_null(strstr(text, "`action`: descend, unchanged, ascend |"));
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_of_metrics_is_up_to_date),
        cmocka_unit_test(reference_has_metrics_of_every_process),
    };
    return cmocka_run_group_tests_name("metrics_reference", tests, NULL, NULL);
}
