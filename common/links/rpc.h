/* common/links/rpc - question and answer over plain ZeroMQ, for clients that are not part of the
 * pipeline.
 *
 * The server is a ROUTER. It speaks to any REQ socket, and to DEALER sockets with or without the
 * empty frame before the body. One frame is one question; exactly one reply goes back to its
 * sender. The server never waits: a client that has left loses its reply. Beside common/links/link
 * the only file that includes zmq.h. A server or client belongs to one thread at a time.
 *
 * With CURVE keys the conversation is encrypted and the client knows whom it talks to; the server
 * takes any client that knows its public key: who may ask is the token's business.
 */
#ifndef AA_COMMON_LINKS_RPC_H
#define AA_COMMON_LINKS_RPC_H

#include <stddef.h>

#include "common/base/status.h"
#include "common/links/link.h"

typedef struct aa_rpc_server aa_rpc_server;
typedef struct aa_rpc_client aa_rpc_client;
typedef struct aa_rpc_asker  aa_rpc_asker; /* who asked: the way back of one answer */

/**
 * Bind.
 * @param keys       CURVE keys of the server, or NULL; no public key: no encryption
 * @param max_bytes  a peer that sends a longer message is disconnected; 0: no limit
 * @errors AA_ECONFIG the endpoint makes no sense or is taken; AA_EIO
 */
aa_status aa_rpc_listen(aa_rpc_server **out, const char *endpoint, const aa_link_keys *keys,
                        size_t max_bytes, aa_err *err)
    __attribute__((warn_unused_result, nonnull(1, 2)));
/** Where it listens, with the port that "tcp://127.0.0.1:*" got. */
const char *aa_rpc_endpoint(const aa_rpc_server *sv);
void        aa_rpc_close(aa_rpc_server **sv_p);

/**
 * Wait for the next question. buf is the server's until the next call.
 * @errors AA_EAGAIN none came within timeout_ms, or a signal did; AA_EPARSE not one frame (reply
 * all the same: the asker waits); AA_EIO
 */
aa_status aa_rpc_recv(aa_rpc_server *sv, int timeout_ms, const void **buf, size_t *len, aa_err *err)
    __attribute__((warn_unused_result));
/** aa_rpc_recv also returns, with AA_EAGAIN, while this descriptor is readable; -1: none. */
void aa_rpc_set_wake_fd(aa_rpc_server *sv, int fd);
/** The last question will be answered later, in any order. @pre it was not replied to yet */
aa_status aa_rpc_later(aa_rpc_server *sv, aa_rpc_asker **out, aa_err *err)
    __attribute__((warn_unused_result));
/** Reply to that question; *as_p is taken in any case. @thread the server's */
aa_status aa_rpc_reply_to(aa_rpc_server *sv, aa_rpc_asker **as_p, const void *buf, size_t len,
                          aa_err *err) __attribute__((warn_unused_result));
void      aa_rpc_asker_free(aa_rpc_asker **as_p); /* nobody will be answered */
/** Reply to the last question. @pre one was received and not replied to yet */
aa_status aa_rpc_reply(aa_rpc_server *sv, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

/** @param keys  the client's pair, and the server's public key (NULL: they share one pair) */
aa_status aa_rpc_connect(aa_rpc_client **out, const char *endpoint, const aa_link_keys *keys,
                         aa_err *err) __attribute__((warn_unused_result, nonnull(1, 2)));
/** Ask and wait for the answer, which is the client's until the next call. A late answer to an
 *  earlier question is dropped. @errors AA_EAGAIN no answer within timeout_ms; AA_EIO */
aa_status aa_rpc_ask(aa_rpc_client *cl, const void *buf, size_t len, int timeout_ms,
                     const void **reply, size_t *reply_len, aa_err *err)
    __attribute__((warn_unused_result));
void aa_rpc_disconnect(aa_rpc_client **cl_p);

#endif
