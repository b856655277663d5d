/* common/stage/stage_run - the I/O half of a stage: links, snapshots, checkpoints, time, metrics.
 *
 * One poll loop that feeds an aa_stage, does its actions, and calls the process for what only it
 * knows. A bad message is logged and dropped: the gap it leaves is noticed. A message that
 * cannot be queued because no process is connected is dropped too: the next one to connect asks.
 */
#ifndef AA_COMMON_STAGE_STAGE_RUN_H
#define AA_COMMON_STAGE_STAGE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/links/link.h"
#include "common/messages/wire.h"
#include "common/service/metrics.h"
#include "common/service/program.h"
#include "common/stage/stage.h"
#include "common/state/checkpoint.h"

/* What a process does. Any error but those named ends it. arg is aa_stage_setup's. */
typedef struct {
    /** A new state in place of the one there is, which is freed first: not two in memory. */
    aa_status (*renew)(void *arg, aa_err *err);
    void (*drop)(void *arg); /* free the state: it cannot be used */
    aa_status (*restore)(void *arg, aa_ckpt_reader *r, aa_err *err);
    aa_status (*save)(const void *arg, aa_ckpt_writer *w, aa_err *err); /* in a forked child */
    bool (*tidy)(void *arg); /* after a snapshot, piece by piece; false: all done */
    uint64_t (*next_batch)(const void *arg);
    uint64_t (*next_reward)(const void *arg); /* NULL: nobody below */
    aa_status (*begin)(void *arg, uint64_t run_id,
                       aa_err *err); /* a run, from the state there is */
    void (*forget)(void *arg);       /* the run is over here */
    /** Decode a batch from above. @errors AA_EPARSE */
    aa_status (*take_batch)(void *arg, const void *buf, size_t len, aa_header *hd, aa_err *err);
    /** Do it. @errors AA_EPARSE it is refused: nothing changed; AA_EFULL the run cannot go on, err
     *  says why: it begins again from the last commit */
    aa_status (*step)(void *arg, uint64_t learn_before, aa_err *err);
    /** Decode rewards from below; then keep those. NULL: nobody below. @errors AA_EPARSE */
    aa_status (*take_rewards)(void *arg, const void *buf, size_t len, aa_header *hd, aa_err *err);
    void (*keep_rewards)(void *arg);
    /** Send rewards of batches from..to up again, if they are kept. NULL: rewards are not ours. */
    aa_status (*resend)(void *arg, uint64_t from, uint64_t to, aa_err *err);
    /** What a commit promises beside the state. @errors AA_EAGAIN not yet, it is called again;
     *  AA_EFULL as step */
    aa_status (*settle)(void *arg, const aa_control *barrier, uint64_t learn_before, aa_err *err);
    /** Publication is held back: what goes up says so. NULL: it is not for this process to say. */
    bool (*holds)(const void *arg);
    /** What the process below says of that. NULL: nobody below. */
    void (*heed_hold)(void *arg, bool hold);
    /** Once per turn of the loop, whatever else is up: publish. */
    aa_status (*turn)(void *arg, aa_err *err);
} aa_stage_ops;

typedef struct {
    aa_context         *ctx;
    const char         *name;       /* "assigner": in reasons, and of its checkpoints */
    aa_msg_kind         batch_kind; /* AA_MSG_EVENTS or AA_MSG_ASSIGNED */
    aa_link            *up;
    aa_link            *down, *rewards; /* NULL: nobody below */
    const aa_stage_ops *ops;
    void               *arg;
} aa_stage_setup;

/* Of a stage; gaps and rewards_missed not of the last. */
typedef struct {
    aa_counter   *resets, *refused, *unsaved, *checkpoints, *gaps, *rewards_missed;
    aa_histogram *pause;
    aa_gauge     *epoch;
} aa_stage_metrics;

/** Register; aa_stage_run does it. The handles are ms's. last: nobody is below. */
void aa_stage_metrics_init(aa_stage_metrics *mt, aa_metrics *ms, bool last);

/** Until the stream has ended (*ended) or a stop is requested. */
aa_status aa_stage_run(const aa_stage_setup *su, bool *ended, aa_err *err)
    __attribute__((warn_unused_result));

/** Pack and send a control message; a full queue is no error. by: scratch */
aa_status aa_stage_send(aa_link *ln, aa_msg_kind kind, const aa_control *c, aa_bytes *by,
                        aa_err *err) __attribute__((warn_unused_result));

#endif
