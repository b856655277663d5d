/* learner/quality - prequential (test-then-train) quality of predictions.
 *
 * Exact AUC needs all scores. Here they are counted in 2^16 equal bins of their logit, in fixed
 * memory for any length of stream; the tests measure the error against the exact rank statistic.
 */
#ifndef AA_LEARNER_QUALITY_H
#define AA_LEARNER_QUALITY_H

#include <stddef.h>
#include <stdint.h>

/* Slices: everything, and by the least number of earlier events among the event's IDs. */
typedef enum { QUALITY_ALL, QUALITY_LT5, QUALITY_LT10, QUALITY_LT20, QUALITY_SLICES } quality_slice;

typedef struct {
    uint64_t events;
    double   mse, accuracy, logloss;
    double   auc; /* NaN while only one class was seen; labels above 0.5 are positive */
    double   label_mean, prediction_mean;
} quality_values;

/* Predictions in [b, b+1) / QUALITY_BINS; 1 is in the last bin. */
#define QUALITY_BINS 20
typedef struct {
    uint64_t events;
    double   prediction_mean, label_mean; /* NaN: no events */
} quality_bin;

typedef struct {
    quality_values slice[QUALITY_SLICES];
    quality_values recent; /* the last 10 to 20 % of the stream (1,000 to 2,000 events at first) */
    quality_values late;   /* what came after the first late_from events */
    quality_bin    calibration[QUALITY_BINS];
} quality_summary;

typedef struct quality quality;

/** late_from: events before those that `late` counts. NULL: out of memory */
quality *quality_new(uint64_t late_from);
void     quality_free(quality **qu_p);
/** Record one prediction (0..1) made before its label was used. */
void quality_add(quality *qu, float prediction, float label, uint32_t seen);
/** The same of n events, in order. */
void quality_add_all(quality *qu, const float *prediction, const float *label, const uint32_t *seen,
                     size_t n);
void quality_get(const quality *qu, quality_summary *out);
/** Quality of the events since the last call; the next window begins. */
void quality_window(quality *qu, quality_values *out);
/** Of predictions and labels: how they are reported (late_from, windows) does not show. */
uint64_t quality_digest(const quality *qu);
/* Whole state as plain bytes, for checkpoints; late_from comes back with it. */
size_t quality_bytes(const quality *qu, const void **data);
int    quality_set_bytes(quality *qu, const void *data, size_t len); /* 0, or -1: wrong size */

#endif
