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

/* Predictions in [b, b+1) / METRIC_BINS; 1 is in the last bin. */
#define METRIC_BINS 20
typedef struct {
    uint64_t events;
    double   prediction_mean, label_mean; /* NaN: no events */
} metric_bin;

typedef struct {
    metric_values slice[METRIC_SLICES];
    metric_values recent; /* the last 10 to 20 % of the stream (1,000 to 2,000 events at first) */
    metric_values late;   /* what came after the first late_from events */
    metric_bin    calibration[METRIC_BINS];
} metric_summary;

typedef struct metric metric;

/** late_from: events before those that `late` counts. NULL: out of memory */
metric *metric_new(uint64_t late_from);
void    metric_free(metric **me_p);
/** Record one prediction (0..1) made before its label was used. */
void metric_add(metric *me, float prediction, float label, uint32_t seen);
void metric_get(const metric *me, metric_summary *out);
/** Figures of the events since the last call; the next window begins. */
void metric_window(metric *me, metric_values *out);
/** Of predictions and labels: how they are reported (late_from, windows) does not show. */
uint64_t metric_digest(const metric *me);
/* Whole state as plain bytes, for checkpoints; late_from comes back with it. */
size_t metric_bytes(const metric *me, const void **data);
int    metric_set_bytes(metric *me, const void *data, size_t len); /* 0, or -1: wrong size */

#endif
