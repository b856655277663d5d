/* common/link - ZeroMQ between the processes; the only file that includes zmq.h.
 *
 * A message is a kind (one byte) and bytes (a protobuf of common/wire). Nothing is dropped
 * silently: pair links (DEALER/ROUTER) have no high-water mark of their own, since the protocol
 * bounds what is in flight (credits and the pipeline depth); the reward link (PUB/SUB) may drop, and
 * sequence numbers show it. Peers may die and return: connecting never blocks, and a link to nobody
 * keeps a bounded queue and reports AA_EFULL beyond it.
 */
#ifndef AA_COMMON_LINK_H
#define AA_COMMON_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

typedef enum {
    AA_MSG_OPEN = 'O',     /* down: begin run_id from epoch */
    AA_MSG_OPENED = 'o',   /* up: restored, send */
    AA_MSG_EVENTS = 'E',   /* ingest -> assigner */
    AA_MSG_ASSIGNED = 'A', /* assigner -> learner */
    AA_MSG_REWARDS = 'R',  /* learner -> assigner */
    AA_MSG_RESEND = 'r',   /* assigner -> learner: rewards seq..to_seq once more */
    AA_MSG_BARRIER = 'B',  /* down: checkpoint epoch; final: the stream ends */
    AA_MSG_DURABLE = 'D',  /* up: epoch is on disk */
    AA_MSG_CREDIT = 'C',   /* up: batches up to seq are assigned */
    AA_MSG_PING = 'P',     /* down: do you know this run? answered only by RESET when not */
    AA_MSG_RESET = 'X'     /* up: unknown run or a gap; begin again from the last commit */
} aa_msg_kind;

typedef struct aa_link aa_link;

typedef enum { AA_LINK_BIND, AA_LINK_CONNECT, AA_LINK_PUBLISH, AA_LINK_SUBSCRIBE } aa_link_role;

/* CURVE keys; NULL or empty strings: none. */
typedef struct {
    const char *public_key, *secret_key, *server_key;
} aa_link_keys;

/**
 * Open one end. BIND is a ROUTER (many peers), CONNECT a DEALER; PUBLISH binds a PUB,
 * SUBSCRIBE connects a SUB. One ZeroMQ context per process, made on first use.
 */
aa_status aa_link_open(aa_link **out, aa_link_role role, const char *endpoint,
                       const aa_link_keys *keys, aa_err *err)
    __attribute__((warn_unused_result, nonnull(1, 3)));
void aa_link_close(aa_link **ln_p); /* lingers at most 1 s */

/** Send to the peer that the last received message came from (BIND), or to the only one.
 *  @errors AA_EFULL nobody there and the queue is full; AA_EIO */
aa_status aa_link_send(aa_link *ln, aa_msg_kind kind, const void *buf, size_t len_bytes, aa_err *err)
    __attribute__((warn_unused_result));

/** Next message, without waiting. buf is the link's until the next recv.
 *  @errors AA_EAGAIN none there; AA_EPARSE not a message of ours (counted, dropped); AA_EIO */
aa_status aa_link_recv(aa_link *ln, aa_msg_kind *kind, const void **buf, size_t *len_bytes,
                       aa_err *err) __attribute__((warn_unused_result));

/** Wait until one of the links or file descriptors has something, or timeout_ms passes.
 *  Entries may be NULL / -1. ready (may be NULL) gets a bit per link, then per fd. */
aa_status aa_link_poll(aa_link *const *links, size_t link_count, const int *fds, size_t fd_count,
                       int timeout_ms, unsigned *ready, aa_err *err)
    __attribute__((warn_unused_result));

#endif
