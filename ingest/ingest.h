/* ingest/ingest - decides what to send, when to set a barrier, and when to commit.
 *
 * A state machine without I/O or clock. Main feeds it events (through its order), control messages
 * and the time, asks for the next action, does it, and says so with ingest_done; an action that
 * could not be done (the queue is full) comes again.
 *
 *   BACKOFF --REOPEN--> OPENING --OPENED--> RUNNING --stop|revoke|end--> DRAINING --> DRAINED
 *      ^--------------------- RESET, refused commit ----------------------|
 *
 * A replay's last commit is followed by END, so that those downstream may end too.
 *
 * Replay: batches are cut by count only and barriers set by event count only, so both are a
 * function of the stream. A stop leaves an unfinished batch unsent; it is read again. Live: time
 * counts too. One barrier is under way at a time; the stream goes on meanwhile, up to where the
 * next is due.
 */
#ifndef AA_INGEST_INGEST_H
#define AA_INGEST_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"
#include "ingest/order.h"
#include "ingest/resume.h"

typedef struct ingest ingest;

typedef enum {
    INGEST_WAIT,    /* nothing to do before due_us, or until something arrives */
    INGEST_SEND,    /* send `kind`: `batch` when it is EVENTS, else `control` */
    INGEST_LETTER,  /* send `letter` to the dead-letter topic; it stays ingest's */
    INGEST_COMMIT,  /* make all letters durable, save `commit`, commit it to Kafka */
    INGEST_REOPEN,  /* look up the last commit and call ingest_begin */
    INGEST_DRAINED, /* all that was sent is committed: exit, or give the partitions back */
    INGEST_GIVEN_UP /* the drain took too long or failed (ingest_reason): what is not committed will
                       be read again */
} ingest_act_kind;

typedef struct {
    ingest_act_kind       act;
    aa_msg_kind           kind;
    const aa_event_batch *batch;
    const aa_control     *control;
    deadletter           *letter; /* may be cut */
    const resume         *commit;
    int64_t               due_us;
    int64_t               waited_us; /* EVENTS: how long the full batch waited for a credit */
} ingest_act;

/** cfg is kept (borrowed). @errors AA_ENOMEM */
aa_status ingest_new(ingest **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void ingest_free(ingest **in_p);

/** The order that events are pushed into; emptied by ingest_begin. */
order *ingest_order(ingest *in);

/** The id of the next run: the clock's, but above every run that is known of, re's included. */
uint64_t ingest_next_run(const ingest *in, const resume *re, uint64_t clock);
/** Begin run run_id (greater than any before) from re (copied). Answers REOPEN.
 *  @errors AA_ENOMEM */
aa_status ingest_begin(ingest *in, const resume *re, uint64_t run_id, int64_t now_us, aa_err *err)
    __attribute__((warn_unused_result));

/** Take a message from the assigner. Those of other runs are ignored. A RESET's reason is kept for
 *  ingest_reason; one that refuses an older run says which run the next has to be above. */
void ingest_control(ingest *in, aa_msg_kind kind, const aa_control *c, int64_t now_us);

/** The next thing to do. Pointers in it are valid until the next call of anything but this. */
void ingest_step(ingest *in, int64_t now_us, ingest_act *act);
/** It was done. */
void ingest_done(ingest *in, const ingest_act *act, int64_t now_us);
/** SEND: the link said st. AA_OK: it was done; AA_EFULL: it comes again after a pause.
 *  @return what ends the process: AA_OK, or any other st */
aa_status ingest_sent(ingest *in, const ingest_act *act, aa_status st, int64_t now_us)
    __attribute__((warn_unused_result));
/** LETTER, COMMIT: not before until_us. It comes again then; meanwhile nothing but pings goes out,
 *  so that nobody downstream takes the silence for an end. */
void ingest_put_off(ingest *in, int64_t until_us);

/** Drain: send no more than what is begun, set a last barrier, commit. */
void ingest_stop(ingest *in, int64_t now_us);
/** The epoch whose barrier is under way could not be saved: it is given up, the stream goes on, and
 *  the next barrier tries again. */
void ingest_unsaved(ingest *in, const char *reason, int64_t now_us);
/** Begin again from the last commit after a backoff (refused commit, lost partitions). Whoever is
 *  stopped stays stopped: a drain ends with this. */
void ingest_restart(ingest *in, const char *reason, int64_t now_us);
/** Forget the run without a word (the partitions are gone); wait for ingest_begin. */
void ingest_abandon(ingest *in);

bool ingest_running(const ingest *in); /* takes events */
bool ingest_idle(const ingest *in);    /* abandoned: waits for ingest_begin */
/** ... and something was heard from downstream lately:
 *  pings are answered when all else is silent. */
bool ingest_answered(const ingest *in, int64_t now_us);
/** A run is open, or to be opened, and downstream has not answered for some seconds. */
bool        ingest_silent(const ingest *in, int64_t now_us);
bool        ingest_opened(const ingest *in); /* downstream has answered OPENED */
bool        ingest_ended(const ingest *in);  /* the replay's final barrier is committed */
const char *ingest_reason(const ingest *in); /* of the last restart */

typedef struct {
    uint64_t run_id, epoch, seq;               /* seq: last sent */
    uint64_t events, letters, batches, digest; /* over the pipeline's life */
    uint64_t in_flight, commits, resets;       /* batches without a credit; of this process */
    uint64_t unsaved, unsaved_in_row;          /* epochs given up; since the last commit */
    uint64_t bad_epoch;  /* a process downstream cannot restore it; 0: none since the last commit */
    uint64_t newest_run; /* newest run that this process knows of, its own or another's */
} ingest_stats;
void ingest_stats_get(const ingest *in, ingest_stats *out);

#endif
