/* learner/guard - is the model fit to be published? Windows of predictions in, a verdict out.
 *
 * Watches the last publish.hold_window_events predictions, each made before its label was used, and
 * judges them eight times per window: log-loss, calibration, AUC, share of bad gradients, each
 * against its band (publish.hold_*). The first judgement needs a full window. Beside the whole window
 * its last eighth, quarter and half are judged: there a measure has to be three standard errors
 * beyond its band. So what goes badly wrong is noticed after an eighth, before much of it is learned
 * and published. One bad judgement is enough to hold; publish.hold_resume_events good events in a
 * row release.
 *
 * What it cannot see: whether a model that is good again has recovered or has learned wrong labels.
 * When those end, quality falls once more and the count begins again: so trouble that is shorter
 * than publish.hold_resume_events is held to its end.
 */
#ifndef AA_LEARNER_GUARD_H
#define AA_LEARNER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/conf.h"

typedef struct guard guard;

typedef enum {
    GUARD_GOOD,
    GUARD_LOGLOSS,
    GUARD_CALIBRATION,
    GUARD_AUC,
    GUARD_GRADIENTS,
    GUARD_VERDICTS
} guard_verdict;

typedef struct {
    guard_verdict verdict; /* of the last judgement: the first measure that is out of its band */
    double        value, limit; /* that measure, and the end of the band that it is beyond */
    uint64_t      events;       /* added so far */
    double        logloss, calibration, auc, bad_gradients; /* NaN: the window cannot tell */
} guard_report;

/** held: begin with a verdict that is bad already (after a restart). NULL: out of memory */
guard *guard_new(const aa_conf *cfg, bool held);
void   guard_free(guard **gd_p);
/** n events, in order. */
void guard_add(guard *gd, const float *prediction, const float *label, size_t n);
/** Publication is to be held back. */
bool guard_holds(const guard *gd);
/** The last judgement; verdict GUARD_GOOD and NaN before the first. */
const guard_report *guard_last(const guard *gd);
/** "logloss", "calibration", "auc", "gradients"; "" for GUARD_GOOD */
const char *guard_text(guard_verdict verdict);

#endif
