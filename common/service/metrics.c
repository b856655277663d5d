/* A family is what shares a name, type and help; its samples differ in their labels. Families and
 * samples are only ever added, under the lock, so a handle needs no lock. */
#include "common/service/metrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/bits.h"
#include "common/base/status.h"

/* upper bounds in seconds; one more bucket is open */
static const double bounds[] = {50e-6, 100e-6, 250e-6, 500e-6, 1e-3,   2e-3,   5e-3,
                                10e-3, 25e-3,  50e-3,  100e-3, 250e-3, 500e-3, 750e-3,
                                1,     2.5,    5,      10,     30,     60};
#define BOUNDS (sizeof bounds / sizeof *bounds)

struct aa_counter {
    _Atomic uint64_t value;
};
struct aa_gauge {
    _Atomic uint64_t bits; /* of a double */
};
struct aa_histogram {
    _Atomic uint64_t counts[BOUNDS + 1];
    _Atomic uint64_t sum_ns;
};

typedef enum { COUNTER, GAUGE, HISTOGRAM } metric_type;

typedef struct sample {
    struct sample *next;
    char          *labels; /* owned */
    union {
        aa_counter   counter;
        aa_gauge     gauge;
        aa_histogram histogram;
    } u;
} sample;

typedef struct family {
    struct family *next;
    char          *name, *help; /* owned */
    metric_type    type;
    sample        *first, *last;
} family;

struct aa_metrics {
    pthread_mutex_t lock;
    family         *first, *last;
};

/* ---- registration ---- */

aa_metrics *
aa_metrics_new(void)
{
    aa_metrics *ms = calloc(1, sizeof *ms);
    if (ms && pthread_mutex_init(&ms->lock, NULL) != 0) {
        free(ms);
        ms = NULL;
    }
    return ms;
}

static void
free_family(family *fm)
{
    while (fm->first) {
        sample *sm = fm->first;
        fm->first = sm->next;
        free(sm->labels);
        free(sm);
    }
    free(fm->name);
    free(fm->help);
    free(fm);
}

void
aa_metrics_free(aa_metrics **ms_p)
{
    aa_metrics *ms = *ms_p;
    if (!ms) return;
    while (ms->first) {
        family *fm = ms->first;
        ms->first = fm->next;
        free_family(fm);
    }
    pthread_mutex_destroy(&ms->lock);
    free(ms);
    *ms_p = NULL;
}

/* Length of the name at s (letters, digits, _, and : if it is a metric's), 0 if there is none. */
static size_t
metric_name_length(const char *s, bool colons)
{
    size_t n = 0;
    for (; isalnum((unsigned char)s[n]) || s[n] == '_' || (colons && s[n] == ':'); n++)
        ;
    return isdigit((unsigned char)s[0]) ? 0 : n;
}

/* name="value",name="value": is it so, with quotes, backslashes and newlines escaped? */
static bool
are_labels(const char *s)
{
    if (!*s) return true;
    for (;; s++) {
        size_t n = metric_name_length(s, false);
        if (!n || s[n] != '=' || s[n + 1] != '"') return false;
        for (s += n + 2; *s != '"'; s++) {
            if (*s == '\0' || *s == '\n') return false;
            if (*s == '\\' && !strchr("\\\"n", *++s)) return false;
            if (*s == '\0') return false;
        }
        if (!*++s) return true;
        if (*s != ',') return false;
    }
}

void
aa_metrics_label(char *labels, size_t size, const char *name, const char *value)
{
    size_t n = strlen(labels);
    int    wrote = snprintf(labels + n, size - n, "%s%s=\"", n ? "," : "", name);
    AA_REQUIRE(wrote > 0 && (size_t)wrote < size - n);
    n += (size_t)wrote;
    for (; *value; value++) {
        AA_REQUIRE(n + 4 < size); /* an escape, the quote, the end */
        if (*value == '"' || *value == '\\' || *value == '\n') labels[n++] = '\\';
        if (*value == '\n')
            labels[n++] = 'n';
        else
            labels[n++] = *value;
    }
    AA_REQUIRE(n + 2 <= size);
    labels[n++] = '"';
    labels[n] = '\0';
}

static void *
require_memory(void *p)
{
    AA_REQUIRE(p != NULL);
    return p;
}

static family *
find_family(aa_metrics *ms, const char *name, metric_type type, const char *help)
{
    for (family *fm = ms->first; fm; fm = fm->next) {
        if (strcmp(fm->name, name) != 0) continue;
        AA_REQUIRE(fm->type == type);
        return fm;
    }
    family *fm = require_memory(calloc(1, sizeof *fm));
    fm->name = require_memory(strdup(name));
    fm->help = require_memory(strdup(help));
    fm->type = type;
    if (ms->last)
        ms->last->next = fm;
    else
        ms->first = fm;
    ms->last = fm;
    return fm;
}

static sample *
add_sample(aa_metrics *ms, const char *name, const char *labels, metric_type type, const char *help)
{
    AA_REQUIRE(*name && metric_name_length(name, true) == strlen(name));
    AA_REQUIRE(are_labels(labels));
    pthread_mutex_lock(&ms->lock);
    family *fm = find_family(ms, name, type, help);
    for (sample *sm = fm->first; sm; sm = sm->next)
        AA_REQUIRE(strcmp(sm->labels, labels) != 0);
    sample *sm = require_memory(calloc(1, sizeof *sm));
    sm->labels = require_memory(strdup(labels));
    if (fm->last)
        fm->last->next = sm;
    else
        fm->first = sm;
    fm->last = sm;
    pthread_mutex_unlock(&ms->lock);
    return sm;
}

aa_counter *
aa_metrics_counter(aa_metrics *ms, const char *name, const char *labels, const char *help)
{
    return &add_sample(ms, name, labels, COUNTER, help)->u.counter;
}

aa_gauge *
aa_metrics_gauge(aa_metrics *ms, const char *name, const char *labels, const char *help)
{
    return &add_sample(ms, name, labels, GAUGE, help)->u.gauge;
}

void
aa_metrics_gauges(aa_metrics *ms, const char *name, const char *label, const char *const *value,
                  size_t n, const char *help, aa_gauge **gauge)
{
    for (size_t i = 0; i < n; i++) {
        char labels[64] = "";
        aa_metrics_label(labels, sizeof labels, label, value[i]);
        gauge[i] = aa_metrics_gauge(ms, name, labels, help);
    }
}

aa_histogram *
aa_metrics_histogram(aa_metrics *ms, const char *name, const char *labels, const char *help)
{
    return &add_sample(ms, name, labels, HISTOGRAM, help)->u.histogram;
}

/* ---- values ---- */

static uint64_t
load_double(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void
add_metric(_Atomic uint64_t *p, uint64_t n)
{
    atomic_fetch_add_explicit(p, n, memory_order_relaxed);
}

void
aa_counter_add(aa_counter *c, uint64_t n)
{
    add_metric(&c->value, n);
}

uint64_t
aa_counter_get(const aa_counter *c)
{
    return load_double(&c->value);
}

void
aa_gauge_set(aa_gauge *g, double value)
{
    atomic_store_explicit(&g->bits, aa_double_bits(value), memory_order_relaxed);
}

double
aa_gauge_get(const aa_gauge *g)
{
    return aa_double_of(load_double(&g->bits));
}

/* A clock that steps back makes negative durations: they count as 0. */
void
aa_histogram_observe(aa_histogram *h, double seconds)
{
    size_t i = 0;
    if (isnan(seconds)) return;
    if (seconds < 0) seconds = 0;
    while (i < BOUNDS && seconds > bounds[i])
        i++;
    add_metric(&h->counts[i], 1);
    add_metric(&h->sum_ns, (uint64_t)(fmin(seconds, 1e9) * 1e9));
}

double
aa_histogram_quantile(const aa_histogram *h, double p)
{
    uint64_t counts[BOUNDS + 1], total = 0;
    for (size_t i = 0; i <= BOUNDS; i++)
        total += counts[i] = load_double(&h->counts[i]);
    if (!total) return (double)NAN;

    double below = 0, rank = fmin(fmax(p, 0), 1) * (double)total;
    for (size_t i = 0; i < BOUNDS; i++) {
        double n = (double)counts[i];
        double low = i ? bounds[i - 1] : 0;
        if (n > 0 && below + n >= rank) return low + (bounds[i] - low) * (rank - below) / n;
        below += n;
    }
    return bounds[BOUNDS - 1];
}

/* ---- text ---- */

static const char *
type_name(metric_type type)
{
    switch (type) {
    case COUNTER: return "counter";
    case GAUGE: return "gauge";
    case HISTOGRAM: break;
    }
    return "histogram";
}

static void
print_value(FILE *out, double value)
{
    if (isnan(value))
        fputs("NaN\n", out);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf\n" : "-Inf\n", out);
    else
        fprintf(out, "%.17g\n", value);
}

static void
print_head(FILE *out, const char *name, const char *help, const char *type)
{
    fprintf(out, "# HELP %s ", name);
    for (; *help; help++) {
        if (*help == '\\')
            fputs("\\\\", out);
        else if (*help == '\n')
            fputs("\\n", out);
        else
            fputc(*help, out);
    }
    fprintf(out, "\n# TYPE %s %s\n", name, type);
}

/* name, suffix and {labels} */
static void
print_series(FILE *out, const family *fm, const char *suffix, const sample *sm)
{
    if (*sm->labels)
        fprintf(out, "%s%s{%s} ", fm->name, suffix, sm->labels);
    else
        fprintf(out, "%s%s ", fm->name, suffix);
}

static void
print_histogram(FILE *out, const family *fm, const sample *sm)
{
    const aa_histogram *h = &sm->u.histogram;
    const char         *comma = *sm->labels ? "," : "";
    uint64_t            total = 0;
    for (size_t i = 0; i <= BOUNDS; i++) {
        total += load_double(&h->counts[i]);
        fprintf(out, "%s_bucket{%s%sle=\"", fm->name, sm->labels, comma);
        if (i < BOUNDS)
            fprintf(out, "%.6g\"} %" PRIu64 "\n", bounds[i], total);
        else
            fprintf(out, "+Inf\"} %" PRIu64 "\n", total);
    }
    print_series(out, fm, "_sum", sm);
    print_value(out, (double)load_double(&h->sum_ns) / 1e9);
    print_series(out, fm, "_count", sm);
    fprintf(out, "%" PRIu64 "\n", total);
}

static void
print_sample(FILE *out, const family *fm, const sample *sm)
{
    switch (fm->type) {
    case COUNTER:
        print_series(out, fm, "", sm);
        fprintf(out, "%" PRIu64 "\n", aa_counter_get(&sm->u.counter));
        break;
    case GAUGE:
        print_series(out, fm, "", sm);
        print_value(out, aa_gauge_get(&sm->u.gauge));
        break;
    case HISTOGRAM: print_histogram(out, fm, sm); break;
    }
}

static void
print_process(FILE *out)
{
    long long       pages = 0;
    struct timespec cpu = {0};
    char            line[128] = "", *rest = NULL; /* "<pages in all> <resident pages> ..." */
    FILE           *statm = fopen("/proc/self/statm", "r");
    if (statm && fgets(line, sizeof line, statm) && strtoll(line, &rest, 10) > 0)
        pages = strtoll(rest, NULL, 10);
    if (statm) fclose(statm);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    print_head(out, "process_resident_memory_bytes", "Resident memory.", "gauge");
    fprintf(out, "process_resident_memory_bytes %lld\n", pages * (long long)sysconf(_SC_PAGESIZE));
    print_head(out, "process_cpu_seconds_total", "CPU time, user and system.", "counter");
    fprintf(out, "process_cpu_seconds_total %lld.%06ld\n", (long long)cpu.tv_sec,
            cpu.tv_nsec / 1000);
}

char *
aa_metrics_render(aa_metrics *ms, size_t *len_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len_bytes);
    if (!out) return NULL;
    pthread_mutex_lock(&ms->lock);
    for (const family *fm = ms->first; fm; fm = fm->next) {
        print_head(out, fm->name, fm->help, type_name(fm->type));
        for (const sample *sm = fm->first; sm; sm = sm->next)
            print_sample(out, fm, sm);
    }
    pthread_mutex_unlock(&ms->lock);
    print_process(out);
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
