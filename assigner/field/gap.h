/* assigner/field/gap - the default mode's estimate of the events between two of an ID's events.
 *
 * A moving mean whose weight falls to GAP_LEAST, so that it follows an ID whose pace changes. It
 * begins as the field's mean gap, which counts as one observation: an ID of which little is known
 * is taken to be like the others.
 */
#ifndef AA_ASSIGNER_FIELD_GAP_H
#define AA_ASSIGNER_FIELD_GAP_H

#include <stdint.h>

#include "assigner/field/idpack.h"

#define GAP_LEAST   0.1f
#define GAP_UNKNOWN 1000.0f /* nobody has come twice yet */

/** Mean of all gaps of a field. */
static inline float
gap_mean(double sum, uint64_t count)
{
    return count > 0 ? (float)(sum / (double)count) : GAP_UNKNOWN;
}

/** The estimate with the event `now` taken in; a new ID's as it is. */
static inline float
gap_with(const id_entry *e, uint64_t now)
{
    if (e->seen == 0) return e->gap;
    const float weight = e->seen < 9 ? 1.0f / ((float)e->seen + 1.0f) : GAP_LEAST;
    return e->gap + weight * ((float)(now - e->last) - e->gap);
}

/** Between events: an ID silent for more than two gaps is taken to have grown slower. */
static inline float
gap_of_holder(const id_entry *e, uint64_t now)
{
    const float silence = 0.5f * (float)(now + 1 - e->last);
    return e->gap > silence ? e->gap : silence;
}

#endif
