/* assigner/policy/price_round - the default mode's rounds over all holders of rows, which set the
 * price (assigner/policy/price) and take rows back. The sweep is something else: it visits IDs one
 * by one, for the modes that ask about each (assigner/field/field_sweep.c).
 *
 * A round takes max(agent.sweep_every, holders / 8) events, so that it looks at 8 holders per event
 * at most, and it is done in steps of bounded length: no batch waits for a whole round.
 */
#ifndef AA_ASSIGNER_POLICY_PRICE_ROUND_H
#define AA_ASSIGNER_POLICY_PRICE_ROUND_H

#include "assigner/field/field.h"
#include "assigner/policy/price.h"

/** Fields whose rows the budget in bytes bounds get limits: before prices are set, after a restore. */
void price_round_bind(price *pr, const field *fields);
/** One step, if it is due after this event. fields: (F) */
aa_status price_round_step(price *pr, field *fields, field_step *sp, aa_err *err)
    __attribute__((warn_unused_result));

#endif
