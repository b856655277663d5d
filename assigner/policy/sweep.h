/* assigner/policy/sweep - the default mode's rounds over all holders of rows
 * (assigner/policy/price).
 *
 * A round takes max(agent.sweep_every, holders / 8) events, so that it looks at 8 holders per event
 * at most, and it is done in steps of bounded length: no batch waits for a whole round.
 */
#ifndef AA_ASSIGNER_POLICY_SWEEP_H
#define AA_ASSIGNER_POLICY_SWEEP_H

#include "assigner/field/field.h"
#include "assigner/policy/price.h"

/** One step, if it is due after this event. fields: (F) */
aa_status sweep_step(price *pr, field *fields, field_step *sp, aa_err *err)
    __attribute__((warn_unused_result));

#endif
