/* common/service/enough - is there enough of what the system gives? Libraries end the process, or
 * wait for ever, when a thread of theirs cannot be started: find that out before they are asked. */
#ifndef AA_COMMON_SERVICE_ENOUGH_H
#define AA_COMMON_SERVICE_ENOUGH_H

#include <stddef.h>

#include "common/base/status.h"

/**
 * Start so many threads, and take some memory beside their stacks; then give it all back.
 * @errors AA_EIO fewer threads are allowed (RLIMIT_NPROC, a container's limit of pids);
 *         AA_ENOMEM there is too little memory or address space for them
 */
aa_status aa_enough_threads(size_t count, aa_err *err) __attribute__((warn_unused_result));

#endif
