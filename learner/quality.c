#include "learner/quality.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/elementary.h"
#include "common/base/hash.h"

/* Under a fuzzer megabytes per input would be most of the time. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define BINS        64u
#define RECENT_BINS 16u
#else
#define BINS        65536u /* of the whole stream */
#define RECENT_BINS 8192u
#endif
#define LEAST_BLOCK 1000u
#define AT_ONCE     32u /* events added together */
#define CLIP        1e-7 /* a prediction of exactly 0 or 1 costs a log-loss of ln 1e7, not infinity */
#define LOGIT_END   16.2 /* above the logit of 1-CLIP, 16.118 */

/* Events by `seen`: the slices are unions of these, so that an event is counted once. */
enum { LT5, LT10, LT20, REST, GROUPS };

typedef struct {
    uint64_t events, correct;
    double   squared, logloss, label, prediction; /* sums */
} sums;

typedef struct {
    sums     total;
    uint64_t bin[RECENT_BINS][2];
} block;

/* All of the state, plain bytes without padding: 8-byte members only. [0] negative, [1] positive */
typedef struct {
    sums     group[GROUPS];
    uint64_t bin[GROUPS][BINS][2];
    block    current, previous; /* the recent window is both */
    /* from here on depends on how quality is asked for: not in the digest */
    uint64_t late_from;
    sums     late;
    uint64_t late_bin[BINS][2];
    sums     calibration[QUALITY_BINS];
    block    window;
} state;
#define DIGEST_BYTES offsetof(state, late_from)

struct quality {
    state st;
};

quality *
quality_new(uint64_t late_from)
{
    quality *qu = calloc(1, sizeof *qu);
    if (qu) qu->st.late_from = late_from;
    return qu;
}

void
quality_free(quality **qu_p)
{
    if (!qu_p) return;
    free(*qu_p);
    *qu_p = NULL;
}

static size_t
group_of(uint32_t seen)
{
    return seen < 5 ? LT5 : seen < 10 ? LT10 : seen < 20 ? LT20 : REST;
}

/* What one event adds. The logit, not the score, is cut into equal bins: rare clicks have scores
 * that differ by little, all close to 0. */
typedef struct {
    double p, y, log_p, log_q; /* q = 1-p */
    size_t group, bin, recent_bin;
} outcome;

static size_t
bin_of(const outcome *oc, uint32_t bins)
{
    double at = ((oc->log_p - oc->log_q) / (2.0 * LOGIT_END) + 0.5) * (double)bins;
    size_t b = at > 0.0 ? (size_t)at : 0;
    return b < bins ? b : bins - 1;
}

static outcome
outcome_of(float prediction, float label, uint32_t seen)
{
    double  p = (double)prediction;
    double  inner = p > CLIP ? (p < 1.0 - CLIP ? p : 1.0 - CLIP) : CLIP; /* NaN too */
    outcome oc = {.p = p,
                  .y = (double)label,
                  .log_p = aa_log(inner),
                  .log_q = aa_log(1.0 - inner),
                  .group = group_of(seen)};
    oc.bin = bin_of(&oc, BINS);
    oc.recent_bin = bin_of(&oc, RECENT_BINS);
    return oc;
}

static void
sums_add(sums *su, const outcome *oc)
{
    su->events++;
    su->correct += (oc->p >= 0.5) == (oc->y > 0.5);
    su->squared += (oc->p - oc->y) * (oc->p - oc->y);
    su->logloss -= oc->y * oc->log_p + (1.0 - oc->y) * oc->log_q;
    su->label += oc->y;
    su->prediction += oc->p;
}

static void
sums_join(sums *to, const sums *from)
{
    to->events += from->events;
    to->correct += from->correct;
    to->squared += from->squared;
    to->logloss += from->logloss;
    to->label += from->label;
    to->prediction += from->prediction;
}

static uint64_t
events_so_far(const state *st)
{
    uint64_t n = 0;
    for (size_t g = 0; g < GROUPS; g++)
        n += st->group[g].events;
    return n;
}

static void
add_reports(state *st, const outcome *oc, size_t positive, uint64_t events)
{
    const double at = oc->p * QUALITY_BINS;
    const size_t b = at < QUALITY_BINS ? (at > 0.0 ? (size_t)at : 0) : QUALITY_BINS - 1;
    sums_add(&st->calibration[b], oc);
    sums_add(&st->window.total, oc);
    st->window.bin[oc->recent_bin][positive]++;
    if (events <= st->late_from) return;
    sums_add(&st->late, oc);
    st->late_bin[oc->bin][positive]++;
}

static void
add_outcome(state *st, const outcome *oc, uint64_t events)
{
    block       *cur = &st->current;
    const size_t positive = oc->y > 0.5;
    sums_add(&st->group[oc->group], oc);
    st->bin[oc->group][oc->bin][positive]++;
    sums_add(&cur->total, oc);
    cur->bin[oc->recent_bin][positive]++;
    add_reports(st, oc, positive, events);
    const uint64_t length = events / 10;
    if (cur->total.events < (length > LEAST_BLOCK ? length : LEAST_BLOCK)) return;
    st->previous = *cur;
    *cur = (block){0};
}

/* Some at a time, all bins known before the first is counted: they are far apart in memory, which
 * is slow, and so is asked for all of them first. */
void
quality_add_all(quality *qu, const float *prediction, const float *label, const uint32_t *seen,
                size_t n)
{
    state   *st = &qu->st;
    outcome  oc[AT_ONCE];
    uint64_t events = events_so_far(st);
    for (size_t from = 0; from < n; from += AT_ONCE) {
        const size_t count = n - from < AT_ONCE ? n - from : AT_ONCE;
        for (size_t i = 0; i < count; i++) {
            oc[i] = outcome_of(prediction[from + i], label[from + i], seen[from + i]);
            __builtin_prefetch(&st->bin[oc[i].group][oc[i].bin], 1);
            __builtin_prefetch(&st->current.bin[oc[i].recent_bin], 1);
            __builtin_prefetch(&st->window.bin[oc[i].recent_bin], 1);
        }
        for (size_t i = 0; i < count; i++)
            add_outcome(st, &oc[i], ++events);
    }
}

void
quality_add(quality *qu, float prediction, float label, uint32_t seen)
{
    quality_add_all(qu, &prediction, &label, &seen, 1);
}

/* Area under the ROC curve = P(positive scores above negative) + half of the ties:
 *   sum_b pos_b (neg_below_b + neg_b/2) / (P N)
 * Scores of one bin count as ties, i.e. have the average rank. */
typedef struct {
    double below, area, positives;
} roc;

static void
roc_bin(roc *ro, uint64_t neg, uint64_t pos)
{
    ro->area += (double)pos * (ro->below + 0.5 * (double)neg);
    ro->below += (double)neg;
    ro->positives += (double)pos;
}

static double
roc_auc(const roc *ro)
{
    if (ro->below == 0.0 || ro->positives == 0.0) return (double)NAN;
    return ro->area / ro->below / ro->positives;
}

static double
auc_of(const uint64_t bin[][2], size_t bins)
{
    roc ro = {0};
    for (size_t b = 0; b < bins; b++)
        roc_bin(&ro, bin[b][0], bin[b][1]);
    return roc_auc(&ro);
}

static void
values_of(quality_values *out, const sums *su, double auc)
{
    const double n = su->events ? (double)su->events : (double)NAN;
    *out = (quality_values){.events = su->events,
                            .mse = su->squared / n,
                            .accuracy = (double)su->correct / n,
                            .logloss = su->logloss / n,
                            .auc = auc,
                            .label_mean = su->label / n,
                            .prediction_mean = su->prediction / n};
}

/* slice = groups first .. last-1 */
static void
slice_get(const state *st, size_t last, quality_values *out)
{
    sums total = {0};
    roc  ro = {0};
    for (size_t g = 0; g < last; g++)
        sums_join(&total, &st->group[g]);
    for (size_t b = 0; b < BINS; b++) {
        uint64_t n[2] = {0, 0};
        for (size_t g = 0; g < last; g++) {
            n[0] += st->bin[g][b][0];
            n[1] += st->bin[g][b][1];
        }
        roc_bin(&ro, n[0], n[1]);
    }
    values_of(out, &total, roc_auc(&ro));
}

void
quality_get(const quality *qu, quality_summary *out)
{
    const state *st = &qu->st;
    slice_get(st, GROUPS, &out->slice[QUALITY_ALL]);
    slice_get(st, LT5 + 1, &out->slice[QUALITY_LT5]);
    slice_get(st, LT10 + 1, &out->slice[QUALITY_LT10]);
    slice_get(st, LT20 + 1, &out->slice[QUALITY_LT20]);
    sums total = st->current.total;
    sums_join(&total, &st->previous.total);
    roc ro = {0};
    for (size_t b = 0; b < RECENT_BINS; b++)
        roc_bin(&ro, st->current.bin[b][0] + st->previous.bin[b][0],
                st->current.bin[b][1] + st->previous.bin[b][1]);
    values_of(&out->recent, &total, roc_auc(&ro));
    values_of(&out->late, &st->late, auc_of(st->late_bin, BINS));
    for (size_t b = 0; b < QUALITY_BINS; b++) {
        quality_values v;
        values_of(&v, &st->calibration[b], (double)NAN);
        out->calibration[b] = (quality_bin){v.events, v.prediction_mean, v.label_mean};
    }
}

void
quality_window(quality *qu, quality_values *out)
{
    const block *window = &qu->st.window;
    values_of(out, &window->total, auc_of(window->bin, RECENT_BINS));
    qu->st.window = (block){0};
}

uint64_t
quality_digest(const quality *qu)
{
    return aa_digest(0, &qu->st, DIGEST_BYTES);
}

size_t
quality_bytes(const quality *qu, const void **data)
{
    *data = &qu->st;
    return sizeof qu->st;
}

int
quality_set_bytes(quality *qu, const void *data, size_t len)
{
    if (len != sizeof qu->st) return -1;
    memcpy(&qu->st, data, len);
    return 0;
}
