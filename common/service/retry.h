/* common/service/retry - what is not there yet is waited for.
 *
 * A process that starts before its broker, or while the broker is away, waits instead of ending.
 */
#ifndef AA_COMMON_SERVICE_RETRY_H
#define AA_COMMON_SERVICE_RETRY_H

#include "common/base/status.h"

/** One try; leaves nothing behind when it fails. */
typedef aa_status (*aa_retry_try)(void *arg, aa_err *err);

/**
 * Try until it succeeds or fails otherwise than with AA_EIO, with growing pauses between (a quarter
 * of a second to 5 s). Each failure is logged as `id`, a warning.
 * @errors AA_EAGAIN the process was asked to stop meanwhile; those of the try but AA_EIO
 */
aa_status aa_retry(const char *id, aa_retry_try attempt, void *arg, aa_err *err)
    __attribute__((warn_unused_result));

#endif
