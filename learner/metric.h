/* learner/metric - prequential (test-then-train) quality of predictions.
 *
 * Exact AUC needs all scores. Here they are counted in 2^16 equal bins of their logit, in fixed
 * memory for any length of stream; the tests measure the error against the exact rank statistic.
 */
#ifndef AA_LEARNER_METRIC_H
#define AA_LEARNER_METRIC_H

#include <stddef.h>
#include <stdint.h>

/* Slices: everything, and by the least number of earlier events among the event's IDs. */
typedef enum { METRIC_ALL, METRIC_LT5, METRIC_LT10, METRIC_LT20, METRIC_SLICES } metric_slice;

typedef struct {
    uint64_t events;
    double   mse, accuracy, logloss;
    double   auc; /* NaN while only one class was seen; labels above 0.5 are positive */
    double   label_mean, prediction_mean;
} metric_values;

typedef struct {
    metric_values slice[METRIC_SLICES];
    metric_values recent; /* the last 10 to 20 % of the stream (1,000 to 2,000 events at first) */
} metric_summary;

typedef struct metric metric;

metric *metric_new(void); /* NULL: out of memory */
void    metric_free(metric **me_p);
/** Record one prediction (0..1) made before its label was used. */
void     metric_add(metric *me, float prediction, float label, uint32_t seen);
void     metric_get(const metric *me, metric_summary *out);
uint64_t metric_digest(const metric *me);
/* Whole state as plain bytes, for checkpoints. */
size_t metric_bytes(const metric *me, const void **data);
int    metric_set_bytes(metric *me, const void *data, size_t len); /* 0, or -1: wrong size */

#endif
