/* learner/rows/collect - gradients of one optimizer step added up per row, for steps of several
 * events.
 *
 * A hash table from slot to a place in an array of gradients, in the order in which the rows were
 * first read; emptied after each step at the cost of what was in it.
 */
#ifndef AA_LEARNER_ROWS_COLLECT_H
#define AA_LEARNER_ROWS_COLLECT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    size_t    W, cap, count;
    uint32_t *slot;  /* (cap) */
    float    *g;     /* (cap,W) */
    uint32_t *place; /* (mask+1) place + 1, 0: empty */
    size_t    mask;
} collect;

/** Room for `cap` rows of W floats. @pre empty */
aa_status collect_reserve(collect *co, size_t W, size_t cap, aa_err *err)
    __attribute__((warn_unused_result));
void collect_fini(collect *co); /* NULL-safe, also on zeroed memory */

/** Gradient (W) of slot's row, zeros when it is new. @pre fewer than cap others */
float *collect_at(collect *co, uint32_t slot);
void   collect_clear(collect *co);

#endif
