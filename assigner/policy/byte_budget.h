/* assigner/policy/byte_budget - agent.budget_bytes: what assigner and learner may hold together.
 *
 *   fixed parts      dense weights, shared rows, rings, batches in flight, lists to publish
 *   IDs of a field   by the most IDs that were ever in its table at once
 *   rows of a field  by the most own rows that were ever held at once
 *
 * The tables keep the memory that they have, so each is counted at its highest. Bytes are the most
 * that so many IDs or rows take, not what malloc has given out: what is decided is a function of the
 * stream, the same after a restart.
 *
 * Who asks first gets the bytes, but a quarter of what the fixed parts leave is reserved: in equal
 * parts for the IDs and for the rows of each field. What does not fit takes the place of what is
 * worth least of its kind: of an ID (assigner/field/field_evict), of a row (price, victims).
 *
 * It does not count code, libraries and their buffers, nor the child that writes a checkpoint.
 */
#ifndef AA_ASSIGNER_POLICY_BYTE_BUDGET_H
#define AA_ASSIGNER_POLICY_BYTE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct {
    const aa_conf *cfg;
    uint64_t       bytes;               /* agent.budget_bytes; 0: no limit, the rest unused */
    uint64_t       fixed, reserved;     /* of all; for the IDs, or the rows, of one field */
    uint64_t       claimed;             /* by IDs and rows, what is reserved included */
    uint64_t       ids[AA_MAX_FIELDS];  /* claimed for so many */
    uint64_t       rows[AA_MAX_FIELDS]; /* ... own rows */
} byte_budget;

/** @errors AA_ECONFIG "agent.budget_bytes: ...": not enough for the fixed parts */
aa_status byte_budget_init(byte_budget *bb, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** May the field hold so many IDs and own rows at once? */
bool byte_budget_admits(const byte_budget *bb, uint32_t f, uint64_t ids, uint64_t rows);
/** The field holds, or held, so many. */
void byte_budget_claim(byte_budget *bb, uint32_t f, uint64_t ids, uint64_t rows);
/** Bytes in use of the budget: fixed parts, IDs and rows. */
uint64_t byte_budget_used(const byte_budget *bb);
/** Forgotten IDs of a field that may wait to be published; 0: no limit. (Of changed ones
 *  assigner/field/publish never has many waiting.) */
size_t byte_budget_waiting(const aa_conf *cfg);

#endif
