/* common/service/http_connections - which connections an HTTP server has open, what each is doing,
 * and which have to go.
 *
 * A connection is idle, sends a request, waits for its answer, or takes it. A request that takes
 * longer than request_ms to send, or its answer to take, is given up. A connection above `max`
 * takes the place of the one that has been idle longest. If none is idle it is an extra one: there
 * are AA_HTTP_EXTRA of them for health checks only. No I/O but shutdown(2) of what goes.
 */
#ifndef AA_COMMON_SERVICE_HTTP_CONNECTIONS_H
#define AA_COMMON_SERVICE_HTTP_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/service/metrics.h"

#define AA_HTTP_EXTRA    16   /* connections beyond the limit, for health checks */
#define AA_HTTP_EXTRA_MS 2000 /* most time of their requests */

typedef struct aa_http_connections aa_http_connections;
typedef struct aa_http_connection  aa_http_connection;

typedef struct {
    int64_t max_connections;
    int64_t keepalive_ms; /* an idle connection is kept so long */
    int64_t request_ms;   /* a request may take so long to arrive, and its answer to be taken */
} aa_http_limits;

/** ms: NULL: no metrics. NULL: out of memory */
aa_http_connections *aa_http_connections_new(const aa_http_limits *limits, aa_metrics *ms);
void                 aa_http_connections_free(aa_http_connections **cs_p);

/** A connection was made; NULL: out of memory. @thread any, as for the others */
aa_http_connection *aa_http_connections_open(aa_http_connections *cs, int fd, int64_t now_ms);
/** fd is about to be closed. */
void aa_http_connections_close(aa_http_connections *cs, aa_http_connection *cn);

typedef enum { AA_HTTP_IDLE, AA_HTTP_SENDS, AA_HTTP_WAITS, AA_HTTP_TAKES } aa_http_state;
void aa_http_connections_state(aa_http_connections *cs, aa_http_connection *cn, aa_http_state state,
                               int64_t now_ms);
/** Is it there for health checks only? */
bool aa_http_connections_extra(aa_http_connections *cs, const aa_http_connection *cn);

/** Give up what takes too long. Returns how many. Call it a few times a second. */
size_t aa_http_connections_close_slow(aa_http_connections *cs, int64_t now_ms);
/** Close those that are idle. */
void   aa_http_connections_close_idle(aa_http_connections *cs);
size_t aa_http_connections_count(aa_http_connections *cs);

/** Room for `want` descriptors in this process: raises the soft limit. Returns the limit. */
int64_t aa_http_connections_room(int64_t want);

#endif
