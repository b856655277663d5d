/* common/links/link - ZeroMQ between the processes. Only this, link_zap and rpc include zmq.h.
 *
 * A message is a kind (one byte) and bytes (a protobuf of common/messages/wire). Nothing is dropped
 * silently: pair links (DEALER/ROUTER) have queues of 4096 messages each way, far more than the
 * protocol lets be in flight (credits and the pipeline depth), and a full one is AA_EFULL; the
 * reward link (PUB/SUB) may drop, and sequence numbers show it. Peers may die and return:
 * connecting never blocks, and a link to nobody queues until the peer is there.
 *
 * What was queued or under way when a peer died is lost, or reaches its successor: run_id and
 * sequence numbers of the protocol sort that out.
 */
#ifndef AA_COMMON_LINKS_LINK_H
#define AA_COMMON_LINKS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/service/metrics.h"

typedef enum {
    AA_MSG_OPEN = 'O',     /* down: begin run_id from epoch */
    AA_MSG_OPENED = 'o',   /* up: restored, send */
    AA_MSG_EVENTS = 'E',   /* ingest -> assigner */
    AA_MSG_ASSIGNED = 'A', /* assigner -> learner */
    AA_MSG_REWARDS = 'R',  /* learner -> assigner */
    AA_MSG_RESEND = 'r',   /* assigner -> learner: rewards seq..to_seq once more */
    AA_MSG_BARRIER = 'B',  /* down: checkpoint epoch; final: the stream ends */
    AA_MSG_DURABLE = 'D',  /* up: epoch is on disk */
    AA_MSG_UNSAVED = 'U',  /* up: epoch could not be saved and is given up; the stream goes on */
    AA_MSG_END = 'F',      /* down: the stream's last epoch is committed, nothing comes any more */
    AA_MSG_CREDIT = 'C',   /* up: batches up to seq are done; the learner's answer to PING */
    AA_MSG_PING = 'P',     /* down: is this what you know? run, seq: last sent, epoch: unanswered */
    AA_MSG_RESET = 'X',    /* up: unknown run or a gap; begin again from the last commit */
    /* between a lane's sequencer and its fetchers (common/messages/wire_fetch.h) */
    AA_MSG_OFFER = 'f',    /* up: partitions that the group dealt to a fetcher, or wants back */
    AA_MSG_FETCH = 'G',    /* down: read there; so much has come, so much more may */
    AA_MSG_FETCHED = 'K',  /* up: decoded events and dead letters of one partition */
    AA_MSG_RELEASED = 'L', /* down: nothing of yours is in the run any more, give it back */
    AA_MSG_REFUSED = 'N'   /* down: of another pipeline, lane or configuration */
} aa_msg_kind;

typedef struct aa_link aa_link;

typedef enum { AA_LINK_BIND, AA_LINK_CONNECT, AA_LINK_PUBLISH, AA_LINK_SUBSCRIBE } aa_link_role;

/* CURVE keys as Z85 text; no public key: no encryption. The processes of a pipeline share one key
 * pair: a binding end takes only peers that prove to hold it. server_key: what the binding end
 * must prove; NULL or empty: the same pair. */
typedef struct {
    const char *public_key, *secret_key, *server_key;
} aa_link_keys;

#define AA_LINK_KEY_BYTES 41 /* Z85 text with its end */
/** A new key pair. @errors AA_ECONFIG this libzmq has no CURVE */
aa_status aa_link_new_keys(char public_key[AA_LINK_KEY_BYTES], char secret_key[AA_LINK_KEY_BYTES],
                           aa_err *err) __attribute__((warn_unused_result));
/** The keys of links.curve_*; they point into cfg. */
aa_link_keys aa_link_keys_of(const aa_conf *cfg);

/** Whether the endpoints and keys of links and scorer.listen can be used, as far as that can be
 * told without opening anything: their form, that the process can connect to those that it connects
 * to, and that the two keys are a pair.
 * @errors AA_ECONFIG */
aa_status aa_link_check(const aa_conf *cfg, const char *process, aa_err *err)
    __attribute__((warn_unused_result));

/**
 * Open one end. BIND is a ROUTER (many peers), CONNECT a DEALER; PUBLISH binds a PUB,
 * SUBSCRIBE connects a SUB. One ZeroMQ context per process, made on first use.
 * @errors AA_ECONFIG endpoint or keys make no sense; AA_EIO cannot bind; AA_ENOMEM
 */
aa_status aa_link_open(aa_link **out, aa_link_role role, const char *endpoint,
                       const aa_link_keys *keys, aa_err *err)
    __attribute__((warn_unused_result, nonnull(1, 3)));
void aa_link_close(aa_link **ln_p); /* lingers at most 1 s */

/** Send to the peer that the last received message came from (BIND), or to the only one. Copies.
 *  AA_OK means queued. A peer that vanished (BIND) is no error: the message is lost, as it would be
 *  on the way, and counted.
 *  @errors AA_EFULL the queue is full, or (BIND) nobody was heard from yet;
 *  AA_EPARSE too long; AA_EIO */
aa_status aa_link_send(aa_link *ln, aa_msg_kind kind, const void *buf, size_t len_bytes,
                       aa_err *err) __attribute__((warn_unused_result));

/* A peer of a binding end, as its messages name it. */
typedef struct {
    uint8_t id[64];
    size_t  len; /* 0: nobody, or an identity that is none of ours */
} aa_link_peer;
/** Whom the last received message came from (BIND). */
aa_link_peer aa_link_sender(const aa_link *ln);
/** Whom the messages to come go to (BIND), until one is received. */
void aa_link_address(aa_link *ln, const aa_link_peer *to);

/** Next message, without waiting. buf is the link's until the next recv.
 *  @errors AA_EAGAIN none there; AA_EPARSE not a message of ours (counted, dropped); AA_EIO */
aa_status aa_link_recv(aa_link *ln, aa_msg_kind *kind, const void **buf, size_t *len_bytes,
                       aa_err *err) __attribute__((warn_unused_result));

/** The address, with the port that tcp://host:* got. The link's. */
const char *aa_link_endpoint(const aa_link *ln);
/** Received messages that were not ours; sent ones whose peer had vanished. */
uint64_t aa_link_garbage(const aa_link *ln);
uint64_t aa_link_lost(const aa_link *ln);
/** Count both as metrics too, with the label link="name". NULL: nothing. Once for each name. */
void aa_link_export(aa_link *ln, aa_metrics *ms, const char *name);

#define AA_LINK_MAX_POLL 32
/** Wait until one of the links or file descriptors has something, or timeout_ms passes, or a signal
 *  arrives. Entries may be NULL / -1. ready (may be NULL) gets a bit per link, then per fd. */
aa_status aa_link_poll(aa_link *const *links, size_t link_count, const int *fds, size_t fd_count,
                       int timeout_ms, unsigned *ready, aa_err *err)
    __attribute__((warn_unused_result));

#endif
