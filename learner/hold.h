/* learner/hold - is publication held back now? The guard's verdict, and the operator's word above it.
 *
 * Reads the word and keeps its own state in files (common/state/holdfile), so that both outlive a
 * restart. Logs each change (PUBLISH-HELD, PUBLISH-RESUMED). A file that cannot be read or written
 * changes nothing: it is logged (PUBLISH-FILE).
 */
#ifndef AA_LEARNER_HOLD_H
#define AA_LEARNER_HOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct hold hold;

/** As it was before the restart. cfg is kept (borrowed). @errors AA_ENOMEM */
aa_status hold_open(hold **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void hold_close(hold **ho_p);
/** Events just learned from, as predicted before. */
void hold_add(hold *ho, const float *prediction, const float *label, size_t n);
/** Read the operator's word: now and then. NULL-safe. */
void hold_look(hold *ho);
/** NULL: false */
bool hold_on(const hold *ho);
/** "" (not held), "operator", or guard_text; "restart": held before, and not judged since. */
const char *hold_why(const hold *ho);

#endif
