/* common/state/reserve - one array that grows where it is: nothing is copied, nothing doubles.
 *
 * Addresses for the most that it may ever take are reserved at first; memory behind them is made
 * ready as it is needed, zeroed, in small pages while it is small and in huge ones later
 * (common/state/arena says why). What is ready stays where it is and is never given back before the
 * end.
 */
#ifndef AA_COMMON_STATE_RESERVE_H
#define AA_COMMON_STATE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

typedef struct {
    char  *start; /* of the array, where a huge page begins */
    size_t ready; /* bytes that may be written */
    size_t reserved;
    void  *map; /* owned; the array is in it */
    size_t tidy_at;
} aa_reserve;

/** Addresses for most_bytes; where they are scarce for a half of that, and so on.
 *  @errors AA_ENOMEM */
aa_status aa_reserve_init(aa_reserve *rs, size_t most_bytes, aa_err *err)
    __attribute__((warn_unused_result));
void aa_reserve_fini(aa_reserve *rs); /* also on zeroed memory */
/** The first `bytes` may be written. @errors AA_ENOMEM nothing changed */
aa_status aa_reserve_grow(aa_reserve *rs, size_t bytes, aa_err *err)
    __attribute__((warn_unused_result));
/** As aa_arena_tidy. */
bool aa_reserve_tidy(aa_reserve *rs);

#endif
