/* assigner/publish_assignments - what changed in the ID tables, to the compacted topic. */
#ifndef AA_ASSIGNER_PUBLISH_ASSIGNMENTS_H
#define AA_ASSIGNER_PUBLISH_ASSIGNMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "assigner/assigner.h"
#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct publish_assignments publish_assignments;

/** Opens a producer and creates the topic if need be. cfg is kept.
 *  @errors AA_ENOMEM, AA_ECONFIG, AA_EIO */
aa_status publish_assignments_open(publish_assignments **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));

/** Send what changed since the last call. all: everything there is (so also after messages were
 *  lost). While the broker is away, what is not sent waits for a later call.
 *  @errors AA_EAGAIN the broker is behind: nothing was sent; AA_EIO; AA_EFULL; AA_ENOMEM */
aa_status publish_assignments_send(publish_assignments *pa, assigner *as, uint64_t run_id, bool all,
                                   aa_err *err) __attribute__((warn_unused_result));

/** The last call left something for the next one: the broker is behind. */
bool publish_assignments_pending(const publish_assignments *pa);
/** Wait for at most timeout_ms until the broker has everything. @errors AA_EIO it has not */
aa_status publish_assignments_flush(publish_assignments *pa, int timeout_ms, aa_err *err)
    __attribute__((warn_unused_result));
uint64_t publish_assignments_sent(const publish_assignments *pa);
void     publish_assignments_close(publish_assignments **pa_p);

#endif
