/* scorer/api/metrics_history - Prometheus' text format as name and value, and a bounded history of
 * some. */
#ifndef AA_SCORER_API_METRICS_HISTORY_H
#define AA_SCORER_API_METRICS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The next sample of text: *name (with its labels; *name_len) and *value. Returns where to go on,
 *  NULL: there is none. Comments and lines that make no sense are skipped. */
const char *metrics_history_next(const char *text, const char **name, size_t *name_len,
                                 double *value);
/** Sum over all labels of a metric whose labels contain `label` ("": any). NaN: there is none. */
double metrics_history_sum(const char *text, const char *metric, const char *label);

#endif
