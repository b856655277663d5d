#include "learner/guard.h"

#include <math.h>
#include <stdlib.h>

enum { PARTS = 8, BINS = 1024 };
#define CLIP        1e-7 /* as quality.c: a prediction of exactly 0 or 1 costs ln 1e7 */
#define LOGIT_END   16.2
#define SHORT_SLACK 3.0  /* standard errors beyond the band before a short span counts */
#define BAD_ERROR   0.99 /* the gradient of the log-loss at the logit is the error; its bound is 1 */

typedef struct {
    uint64_t events, finite, bad;
    double   logloss, logloss_squared, prediction, label; /* sums over the finite ones */
    uint32_t bin[BINS][2];                                /* by logit; [0] negative, [1] positive */
} part;

typedef struct {
    double logloss_max, calibration_min, calibration_max, auc_min, bad_max; /* 0: not checked */
} band;

struct guard {
    band         bd;
    uint64_t     part_events;
    size_t       at, full;      /* part being filled; parts that are full */
    uint64_t     good;          /* events in a row in good judgements */
    uint64_t     resume_events; /* 0: never by itself */
    bool         holds;
    guard_report last;
    part         parts[PARTS];
};

guard *
guard_new(const aa_conf *cfg, bool held)
{
    guard *gd = calloc(1, sizeof *gd);
    if (!gd) return NULL;
    gd->bd = (band){.logloss_max = cfg->publish.hold_logloss_max,
                    .calibration_min = cfg->publish.hold_calibration_min,
                    .calibration_max = cfg->publish.hold_calibration_max,
                    .auc_min = cfg->publish.hold_auc_min,
                    .bad_max = cfg->publish.hold_bad_gradients_max};
    gd->part_events = ((uint64_t)cfg->publish.hold_window_events + PARTS - 1) / PARTS;
    gd->resume_events = (uint64_t)cfg->publish.hold_resume_events;
    gd->holds = held;
    const double none = (double)NAN;
    gd->last = (guard_report){.value = none,
                              .limit = none,
                              .logloss = none,
                              .calibration = none,
                              .auc = none,
                              .bad_gradients = none};
    return gd;
}

void
guard_free(guard **gd_p)
{
    free(*gd_p);
    *gd_p = NULL;
}

static void
add_event(part *pt, double p, double y)
{
    pt->events++;
    if (!isfinite(p) || !isfinite(y)) {
        pt->bad++;
        return;
    }
    const double inner = p > CLIP ? (p < 1.0 - CLIP ? p : 1.0 - CLIP) : CLIP;
    const double log_p = log(inner), log_q = log(1.0 - inner);
    const double at = ((log_p - log_q) / (2.0 * LOGIT_END) + 0.5) * BINS;
    const size_t b = at > 0.0 ? (size_t)at : 0;
    pt->bad += fabs(p - y) >= BAD_ERROR;
    pt->finite++;
    const double loss = -y * log_p - (1.0 - y) * log_q;
    pt->logloss += loss;
    pt->logloss_squared += loss * loss;
    pt->prediction += p;
    pt->label += y;
    pt->bin[b < BINS ? b : BINS - 1][y > 0.5]++;
}

/* The last `count` parts together. */
typedef struct {
    double   events, finite, bad, logloss, logloss_squared, prediction, label;
    uint64_t bin[BINS][2];
} span;

static void
gather_span(const guard *gd, size_t count, span *sp)
{
    *sp = (span){0};
    for (size_t i = 0; i < count; i++) {
        const part *pt = &gd->parts[(gd->at + PARTS - i) % PARTS];
        sp->events += (double)pt->events;
        sp->finite += (double)pt->finite;
        sp->bad += (double)pt->bad;
        sp->logloss += pt->logloss;
        sp->logloss_squared += pt->logloss_squared;
        sp->prediction += pt->prediction;
        sp->label += pt->label;
        for (size_t b = 0; b < BINS; b++) {
            sp->bin[b][0] += pt->bin[b][0];
            sp->bin[b][1] += pt->bin[b][1];
        }
    }
}

/* A measure and its standard error. */
typedef struct {
    double value, error;
} measure;

/* As quality.c's: P(a positive is above a negative), half of the ties. The error is that of no
 * order at all, (P+N+1)/(12PN) squared (Mann and Whitney). */
static measure
auc_of_span(const span *sp)
{
    double below = 0.0, area = 0.0, positives = 0.0;
    for (size_t b = 0; b < BINS; b++) {
        const double neg = (double)sp->bin[b][0], pos = (double)sp->bin[b][1];
        area += pos * (below + 0.5 * neg);
        below += neg;
        positives += pos;
    }
    if (below == 0.0 || positives == 0.0) return (measure){(double)NAN, 0.0};
    return (measure){area / below / positives,
                     sqrt((positives + below + 1.0) / (12.0 * positives * below))};
}

static measure
logloss_of_span(const span *sp)
{
    if (sp->finite == 0.0) return (measure){(double)NAN, 0.0};
    const double mean = sp->logloss / sp->finite;
    const double variance = sp->logloss_squared / sp->finite - mean * mean;
    return (measure){mean, sqrt(fmax(variance, 0.0) / sp->finite)};
}

/* The positives' number is what is uncertain: relative error sqrt((1-r)/(r n)), r their share. */
static measure
calibration_of_span(const span *sp)
{
    if (sp->label <= 0.0) return (measure){(double)NAN, 0.0};
    const double value = sp->prediction / sp->label;
    return (measure){value, value * sqrt(fmax(1.0 - sp->label / sp->finite, 0.0) / sp->label)};
}

static measure
bad_of_span(const span *sp)
{
    const double share = sp->bad / sp->events;
    return (measure){share, sqrt(fmax(share * (1.0 - share), 0.0) / sp->events)};
}

/* NaN is neither above nor below: a span that cannot tell is no reason. */
static void
check_band(guard_report *rp, guard_verdict which, measure ms, double slack, double min, double max)
{
    const bool low = min > 0.0 && ms.value + slack * ms.error < min;
    const bool high = max > 0.0 && ms.value - slack * ms.error > max;
    if (rp->verdict != GUARD_GOOD || (!low && !high)) return;
    rp->verdict = which;
    rp->value = ms.value;
    rp->limit = low ? min : max;
}

static void
judge_span(const guard *gd, size_t count, guard_report *rp)
{
    const band  *bd = &gd->bd;
    const double slack = count == PARTS ? 0.0 : SHORT_SLACK;
    span         sp;
    gather_span(gd, count, &sp);
    const measure bad = bad_of_span(&sp), logloss = logloss_of_span(&sp);
    const measure calibration = calibration_of_span(&sp), auc = auc_of_span(&sp);
    check_band(rp, GUARD_GRADIENTS, bad, slack, 0.0, bd->bad_max);
    check_band(rp, GUARD_LOGLOSS, logloss, slack, 0.0, bd->logloss_max);
    check_band(rp, GUARD_CALIBRATION, calibration, slack, bd->calibration_min, bd->calibration_max);
    check_band(rp, GUARD_AUC, auc, slack, bd->auc_min, 0.0);
    rp->logloss = logloss.value; /* those of the window stay: it comes last */
    rp->calibration = calibration.value;
    rp->auc = auc.value;
    rp->bad_gradients = bad.value;
}

static void
judge_window(guard *gd)
{
    guard_report *rp = &gd->last;
    rp->verdict = GUARD_GOOD;
    rp->value = rp->limit = (double)NAN;
    for (size_t count = 1; count <= PARTS; count *= 2)
        judge_span(gd, count, rp);
    gd->good = rp->verdict == GUARD_GOOD ? gd->good + gd->part_events : 0;
    if (rp->verdict != GUARD_GOOD)
        gd->holds = true;
    else if (gd->resume_events > 0 && gd->good >= gd->resume_events)
        gd->holds = false;
}

void
guard_add(guard *gd, const float *prediction, const float *label, size_t n)
{
    gd->last.events += n;
    for (size_t i = 0; i < n; i++) {
        part *pt = &gd->parts[gd->at];
        add_event(pt, (double)prediction[i], (double)label[i]);
        if (pt->events < gd->part_events) continue;
        if (gd->full < PARTS) gd->full++;
        if (gd->full == PARTS) judge_window(gd);
        gd->at = (gd->at + 1) % PARTS;
        gd->parts[gd->at] = (part){0};
    }
}

bool
guard_holds(const guard *gd)
{
    return gd->holds;
}

const guard_report *
guard_last(const guard *gd)
{
    return &gd->last;
}

const char *
guard_text(guard_verdict verdict)
{
    static const char *const text[GUARD_VERDICTS] = {"", "logloss", "calibration", "auc",
                                                     "gradients"};
    return text[verdict];
}
