/* common/service/metrics - counters, gauges and histograms in Prometheus' text format.
 *
 * Register at start, update from any thread (relaxed atomics), render from the HTTP thread.
 * A metric's handle stays valid until aa_metrics_free. Names follow Prometheus' conventions:
 * autoassign_<what>_<unit>_total. `labels` is "" or e.g. "field=\"user\",action=\"ascend\"".
 */
#ifndef AA_COMMON_SERVICE_METRICS_H
#define AA_COMMON_SERVICE_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct aa_metrics   aa_metrics;
typedef struct aa_counter   aa_counter;
typedef struct aa_gauge     aa_gauge;
typedef struct aa_histogram aa_histogram;

aa_metrics *aa_metrics_new(void); /* NULL: out of memory */
void        aa_metrics_free(aa_metrics **ms_p);

/** Append name="value" to labels (size bytes, "" at first) with a comma and escapes as needed.
 *  Aborts when it does not fit. */
void aa_metrics_label(char *labels, size_t size, const char *name, const char *value);

/* Registration aborts on misuse (same name and labels twice, another type, bad syntax); NULL never.
 * help is that of the name's first registration. */
aa_counter *aa_metrics_counter(aa_metrics *ms, const char *name, const char *labels,
                               const char *help);
aa_gauge *aa_metrics_gauge(aa_metrics *ms, const char *name, const char *labels, const char *help);
/* One for each of n values of a label, in their order: into gauge (n). */
void aa_metrics_gauges(aa_metrics *ms, const char *name, const char *label,
                       const char *const *value, size_t n, const char *help, aa_gauge **gauge);
/* Durations in seconds, buckets from 50 us to 60 s. */
aa_histogram *aa_metrics_histogram(aa_metrics *ms, const char *name, const char *labels,
                                   const char *help);

void     aa_counter_add(aa_counter *c, uint64_t n);
uint64_t aa_counter_get(const aa_counter *c);
void     aa_gauge_set(aa_gauge *g, double value);
double   aa_gauge_get(const aa_gauge *g);
void     aa_histogram_observe(aa_histogram *h, double seconds);
/** Estimate of the p-quantile (0..1) from the buckets; NaN when empty. */
double aa_histogram_quantile(const aa_histogram *h, double p);

/** Render everything; also process_resident_memory_bytes and process_cpu_seconds_total.
 *  Returns malloc'd text (caller frees) and its length, or NULL. @thread any */
char *aa_metrics_render(aa_metrics *ms, size_t *len_bytes);

#endif
