/* common/stage/stage - the run protocol, as a process downstream of ingest sees it.
 *
 * A state machine without I/O or clock. The caller (stage_run) feeds it messages and the time,
 * takes actions until there are none, and does them in order; where an action has a result it says
 * so before it takes the next.
 *
 *   IDLE --OPEN, restored--> OPENING --OPENED--> RUNNING --final epoch settled--> ENDED --END--> LEFT
 *     ^---------------------------- a gap, a loss, RESET from below --------------|
 *
 * The last stage has nobody below it: OPENING is skipped, no rewards are waited for, and RESEND is
 * answered. A barrier is under way beside RUNNING: held back (final, rewards missing), saving here
 * and below, settling. Batch n waits for the rewards of batch n - depth; that, and `learn_before`,
 * is what makes a replay reproducible.
 */
#ifndef AA_COMMON_STAGE_STAGE_H
#define AA_COMMON_STAGE_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"

typedef struct aa_stage aa_stage;

enum {
    AA_STAGE_SILENCE_MS = 3000,  /* nothing heard for so long: not ready (ingest's SILENCE) */
    AA_STAGE_END_WAIT_MS = 10000 /* ... after the end: the others have left */
};

typedef enum {
    AA_STAGE_NOTHING,  /* wait for a message or for time to pass */
    AA_STAGE_FORGET,   /* the run is over here: end its snapshot, publish nothing more of it */
    AA_STAGE_RESTORE,  /* the state of epoch control.epoch (0: a new one), which ends with batch
                          control.hd.seq; then aa_stage_restored or aa_stage_unrestored */
    AA_STAGE_STEP,     /* learn from the rewards of batches before `learn_before`, then do the batch
                          that was offered; then aa_stage_stepped, unless it was refused */
    AA_STAGE_KEEP,     /* the rewards that were offered are the next: keep them */
    AA_STAGE_SNAPSHOT, /* begin to save epoch control.epoch; then aa_stage_saving or
                          aa_stage_unsaved; at its end aa_stage_saved or aa_stage_unsaved */
    AA_STAGE_CANCEL,   /* end that snapshot: nobody wants it */
    AA_STAGE_SETTLE,   /* what the commit of control promises beside the state; then
                          aa_stage_settled, or nothing: it comes again */
    AA_STAGE_UP,       /* send `kind`, `control` to the process above */
    AA_STAGE_DOWN,     /* ... below */
    AA_STAGE_RESEND,   /* send the rewards of batches control.hd.seq..to_seq up, if still kept */
    AA_STAGE_READY,    /* what /readyz is to say: `ready`, or not, and `why` (a literal) */
    AA_STAGE_LEAVE     /* the stream has ended */
} aa_stage_act_kind;

typedef struct {
    aa_stage_act_kind act;
    aa_msg_kind       kind;
    aa_control        control;
    uint64_t          learn_before;
    bool              refused; /* UP, a RESET: an OPEN was refused, control.reason says why */
    bool              ready;
    const char       *why;
} aa_stage_act;

/** cfg is kept (borrowed). last: nobody is below. name: "assigner", kept; begins its reasons.
 *  @errors AA_ENOMEM */
aa_status aa_stage_new(aa_stage **out, const aa_conf *cfg, const char *name, bool last, aa_err *err)
    __attribute__((warn_unused_result));
void aa_stage_free(aa_stage **sg_p);

/** The next action; valid until the next call. @pre the one before is done */
const aa_stage_act *aa_stage_next(aa_stage *sg);

/* ---- what comes in. @pre of all: no action is left ---- */

/** A control message from above. @errors AA_EPARSE it is not for this process, or has no run */
aa_status aa_stage_from_up(aa_stage *sg, aa_msg_kind kind, const aa_control *c, int64_t now_ms,
                           aa_err *err) __attribute__((warn_unused_result));
/** A batch from above is offered. */
void aa_stage_batch(aa_stage *sg, const aa_header *hd, int64_t now_ms);
/** A control message from below. @errors AA_EPARSE as above */
aa_status aa_stage_from_down(aa_stage *sg, aa_msg_kind kind, const aa_control *c, int64_t now_ms,
                             aa_err *err) __attribute__((warn_unused_result));
/** Rewards from below are offered. @errors AA_EPARSE of a batch that was not sent */
aa_status aa_stage_rewards(aa_stage *sg, const aa_header *hd, int64_t now_ms, aa_err *err)
    __attribute__((warn_unused_result));
/** Time has passed: at least every 50 ms. */
void aa_stage_tick(aa_stage *sg, int64_t now_ms);
/** Something that a batch or a commit needs was lost: the run begins again from the last commit. */
void aa_stage_give_up(aa_stage *sg, const char *reason, int64_t now_ms);

/* ---- results of actions ---- */

/** next_batch, next_reward: sequence numbers as the restored state has them. */
void aa_stage_restored(aa_stage *sg, uint64_t next_batch, uint64_t next_reward, int64_t now_ms);
/** The epoch is missing or damaged. */
void aa_stage_unrestored(aa_stage *sg, const char *reason, int64_t now_ms);
void aa_stage_stepped(aa_stage *sg);
void aa_stage_saving(aa_stage *sg);
void aa_stage_saved(aa_stage *sg);
void aa_stage_unsaved(aa_stage *sg, const char *reason);
void aa_stage_settled(aa_stage *sg, int64_t now_ms);

/* ---- what others ask for ---- */

/** Are messages from above to be read? No: they wait on the link, which is the back-pressure. */
bool aa_stage_takes_events(const aa_stage *sg);
/** The run under way, 0: none. */
uint64_t aa_stage_run_id(const aa_stage *sg);

typedef struct {
    uint64_t resets;                      /* asked for */
    uint64_t reward_gaps, rewards_missed; /* gaps in the rewards; batches in them */
} aa_stage_stats;
void aa_stage_stats_get(const aa_stage *sg, aa_stage_stats *out);

#endif
