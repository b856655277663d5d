/* assigner/field/fastlean - which way an ID's last labels lean, beyond its lean: two moving averages
 * of what a label says beyond the stream's mean and all leans,
 *
 *   d = label - mean - sum of the other fields' leans - lean        (each as before the event)
 *   fast += 0.3 (d - fast),   recent += 0.05 (d - recent)
 *
 * A lean is a mean over all of an ID's events; these follow a user's mood and an item's fashion
 * (Koren 2009: user and day effects; He et al. 2014: counters of several speeds). They need no
 * prediction, and so live in the ID table, as steps of 1/64 in a byte each. Rounding costs no AUC
 * (docs/FINDINGS.md).
 */
#ifndef AA_ASSIGNER_FIELD_FASTLEAN_H
#define AA_ASSIGNER_FIELD_FASTLEAN_H

#include <math.h>
#include <stdint.h>

#include "assigner/field/idpack.h"
#include "assigner/field/lean.h"
#include "common/model/signal.h"

#define FASTLEAN_FAST   0.3f
#define FASTLEAN_RECENT 0.05f
#define FASTLEAN_STEPS  64.0f
#define FASTLEAN_MOST   127.0f

static inline int8_t
fastlean_moved(int8_t from, float towards, float weight)
{
    const float was = (float)from, d = towards * FASTLEAN_STEPS;
    const float x = was + weight * (fminf(fmaxf(d, -FASTLEAN_MOST), FASTLEAN_MOST) - was);
    return (int8_t)(x + (x < 0.0f ? -0.5f : 0.5f));
}

/** Before lean_update of the same event. others, mean: as there. */
static inline void
fastlean_update(id_entry *e, float label, double mean, float others)
{
    const float d = label - (float)mean - others - e->lean;
    e->fast = fastlean_moved(e->fast, d, FASTLEAN_FAST);
    e->recent = fastlean_moved(e->recent, d, FASTLEAN_RECENT);
}

/** The averages that a code stands for, for an ID that comes from outside. */
static inline void
fastlean_import(id_entry *e, uint32_t signal)
{
    float known[AA_SIGNALS];
    aa_signal_read(signal, known);
    e->recent = fastlean_moved(0, known[1], 1.0f);
    e->fast = fastlean_moved(0, known[2], 1.0f);
}

/** The ID's signals (common/model/signal). */
static inline uint32_t
fastlean_signal(const id_entry *e)
{
    return aa_signal_code(e->lean, (float)e->recent / FASTLEAN_STEPS,
                          (float)e->fast / FASTLEAN_STEPS);
}

#endif
