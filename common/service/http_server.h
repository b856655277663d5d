/* common/service/http_server - the HTTP server of a process: /healthz, /readyz, /metrics, and what
 * it adds itself.
 *
 * One thread of libmicrohttpd serves it; connections, their memory, idle time, the time of a
 * request and bodies are limited (common/service/http_connections). A handler that would keep that
 * thread from others answers later, from a thread of its own. Processes use it through program.h.
 * The only file that includes microhttpd.h is http_server.c.
 */
#ifndef AA_COMMON_SERVICE_HTTP_SERVER_H
#define AA_COMMON_SERVICE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/service/http_connections.h"
#include "common/service/metrics.h"

#define AA_HTTP_BODY_BYTES (8 << 20)

typedef struct aa_http_server aa_http_server;
typedef struct aa_http_call   aa_http_call; /* one request until its reply */

typedef struct {
    const char   *method, *path; /* of the request; path without query, percent-decoded */
    const char   *query;         /* as sent, "" if none */
    const char   *token;         /* of "Authorization: Bearer", "" if none */
    const void   *body;
    size_t        body_len;
    aa_http_call *call; /* for aa_http_later */
} aa_http_request;
typedef struct {
    int         status;
    const char *content_type; /* a literal */
    const char *allow;        /* a literal: methods that there are, with status 405; or NULL */
    char       *body;         /* malloc'd, freed by the server; may be NULL */
    size_t      body_len;
} aa_http_reply;
typedef void (*aa_http_handler)(void *arg, const aa_http_request *rq, aa_http_reply *rp);

/**
 * Listen and serve; not ready at first.
 * @param address  numeric or a name   @param port 0: any free one
 * @param limits   the number of connections is lowered to what the process's limit of descriptors
 *                 leaves room for
 * @param ms       kept until aa_http_server_close
 * @errors AA_EIO the address cannot be bound
 */
aa_status aa_http_server_open(aa_http_server **out, const char *address, int port,
                              const aa_http_limits *limits, aa_metrics *ms, aa_err *err)
    __attribute__((warn_unused_result));
/** In a handler: the reply comes by aa_http_finish, and what the handler puts into its own is not
 *  looked at. The request's texts stay until then. */
void aa_http_later(aa_http_call *call);
/** The reply to such a request, once; its body is taken. @thread any */
void aa_http_finish(aa_http_call *call, const aa_http_reply *rp);
int  aa_http_server_port(const aa_http_server *hs);
/** @param why  shown while not ready; a literal. @thread any */
void aa_http_server_set_ready(aa_http_server *hs, bool ready, const char *why);
/** Waits for a call under way; NULL: none. @thread any but the handler's */
void aa_http_server_set_handler(aa_http_server *hs, aa_http_handler handler, void *arg);
/** From now on each answer ends its connection, so that clients find another server. @thread any */
void aa_http_server_linger(aa_http_server *hs);
/** Take no more connections, then wait for at most wait_ms until those there are have ended. A
 *  client that comes meanwhile is refused, never accepted and forgotten. */
void aa_http_server_drain(aa_http_server *hs, int64_t wait_ms);
/** @pre every request that was to be answered later has been */
void aa_http_server_close(aa_http_server **hs_p);

#endif
