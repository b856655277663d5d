/* common/links/upstream - what a process says to the one before it in the stream.
 *
 * The assigner answers ingest, the learner answers the assigner; the protocol is in
 * ARCHITECTURE.md. Answers to barriers are kept, in case they were lost on their way and are asked
 * for again. A message that cannot be queued because nobody is there is dropped: whoever comes
 * asks.
 */
#ifndef AA_COMMON_LINKS_UPSTREAM_H
#define AA_COMMON_LINKS_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/messages/wire.h"

typedef struct {
    const aa_conf *cfg; /* borrowed */
    aa_link       *ln;  /* owned */
    aa_bytes       bytes;
    aa_control     answer; /* to the last barrier; epoch 0: none */
    aa_msg_kind    answer_kind;
    uint64_t       reset_run_id; /* of the last RESET, and when: a run that is over is told so */
    int64_t        reset_ms;     /* now and then, not once per message of it */
} aa_upstream;

/** Bind endpoint. @errors as aa_link_open */
aa_status aa_upstream_open(aa_upstream *up, const aa_conf *cfg, const char *endpoint, aa_err *err)
    __attribute__((warn_unused_result));
void aa_upstream_close(aa_upstream *up);

/** @errors AA_EPARSE the message cannot be packed; AA_EIO */
aa_status aa_upstream_send(aa_upstream *up, aa_msg_kind kind, const aa_control *c, aa_err *err)
    __attribute__((warn_unused_result));

/** Is this OPEN from our own pipeline and lane, with our configuration? What is not may be
 * anybody's: it is refused (a RESET that says why), and ends neither this process nor a run that is
 * under way.
 *  @errors AA_ECONFIG it is not */
aa_status aa_upstream_check_open(const aa_upstream *up, const aa_control *open, aa_err *err)
    __attribute__((warn_unused_result));

/** Ask for a new beginning of run_id, at most every 200 ms; *sent: it was time.
 *  @param bad_epoch  its checkpoint is unusable, 0: that is not why
 *  @param reason     is logged here and upstream; with the name of the process it is about */
aa_status aa_upstream_reset(aa_upstream *up, uint64_t run_id, uint64_t bad_epoch,
                            const char *reason, bool *sent, aa_err *err)
    __attribute__((warn_unused_result));

/** What became of a barrier's epoch: AA_MSG_DURABLE or AA_MSG_UNSAVED. */
aa_status aa_upstream_answer(aa_upstream *up, aa_msg_kind kind, const aa_control *barrier,
                             aa_err *err) __attribute__((warn_unused_result));
/** Was this epoch answered for? */
bool aa_upstream_answered(const aa_upstream *up, uint64_t epoch);
/** Say it again. @pre aa_upstream_answered */
aa_status aa_upstream_answer_again(aa_upstream *up, aa_err *err)
    __attribute__((warn_unused_result));
/** The run is over: so are its answers. */
void aa_upstream_forget(aa_upstream *up);

#endif
