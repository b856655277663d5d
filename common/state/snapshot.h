/* common/state/snapshot - save state while the stream goes on.
 *
 * The state is saved by a forked child, which sees the memory as it was at the fork
 * (copy-on-write), so the parent pauses only for the fork itself. One snapshot at a time.
 * The child must not log or touch threads' objects: it computes, writes its file and ends. It does
 * not outlive its parent.
 */
#ifndef AA_COMMON_STATE_SNAPSHOT_H
#define AA_COMMON_STATE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    int64_t  pid; /* child, 0: none under way */
    int      fd;  /* the child's error text arrives here */
    uint64_t epoch;
    int64_t  pause_us; /* how long the last start held up the caller */
} aa_snapshot;

/** Save arg's state of `epoch`; runs in the child. */
typedef aa_status (*aa_snapshot_save)(const void *arg, uint64_t epoch, aa_err *err);

/** Fork and save. @pre none under way. @errors AA_EIO no process or pipe to be had */
aa_status aa_snapshot_start(aa_snapshot *sn, uint64_t epoch, aa_snapshot_save save, const void *arg,
                            aa_err *err) __attribute__((warn_unused_result));

/** *done: the file is durable (sn->epoch says which) and no snapshot is under way any more.
 *  @param wait  wait for the child
 *  @errors the child's own; AA_EIO it died. No snapshot is under way after an error */
aa_status aa_snapshot_poll(aa_snapshot *sn, bool wait, bool *done, aa_err *err)
    __attribute__((warn_unused_result));

/** End a snapshot that nobody wants any more: kills and reaps the child. */
void aa_snapshot_cancel(aa_snapshot *sn);

#endif
