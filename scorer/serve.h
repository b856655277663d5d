/* scorer/serve - the two endpoints (HTTP and ZeroMQ), and the threads behind them.
 *
 * HTTP: libmicrohttpd's thread receives and sends, and answers /healthz, /readyz, /metrics and the
 * page itself; ZeroMQ: a thread of ours does. What has to be scored becomes a job of scorer/pool,
 * unless it is short, came by HTTP and finds nobody waiting: then HTTP's thread scores it itself.
 * So whatever is being scored, both endpoints keep answering: 429 at once when too much waits.
 */
#ifndef AA_SCORER_SERVE_H
#define AA_SCORER_SERVE_H

#include "common/service/program.h"
#include "scorer/replica/replica.h"
#include "scorer/scorer_metrics.h"

typedef struct serve serve;

/** Resources other than the scoring ones; false: not that handler's. On HTTP's thread. */
typedef bool (*serve_page)(void *arg, const aa_http_request *hq, aa_http_reply *hp);

/**
 * Open both endpoints; requests are refused with 503 until serve_set_ready.
 * @param sm    kept (borrowed)   @param page  asked first, with page_arg; or NULL
 * @errors AA_ECONFIG, AA_EIO, AA_ENOMEM
 */
aa_status serve_open(serve **out, aa_context *ctx, replica *rp, scorer_metrics *sm, serve_page page,
                     void *page_arg, aa_err *err) __attribute__((warn_unused_result));
/** @param why   literal, NULL: ready. @thread any
 *  @param hold  it will be ready: requests wait for that, but not beyond scorer.deadline_ms. So a
 *               balancer that comes too early gets a score, and not a 503 that it passes on */
void serve_set_not_ready(serve *se, const char *why, bool hold);
/** All answers come from rp from now on; the replica before may be freed. @errors of scorer_move: some
 *  come from rp. @thread any */
aa_status serve_move(serve *se, replica *rp, aa_err *err) __attribute__((warn_unused_result));
size_t    serve_waiting(serve *se); /* requests in the queue */
/** Where the ZeroMQ endpoint listens, with the port that "tcp://host:*" got. */
const char *serve_endpoint(const serve *se);
/** Answers what is in the queue, then ends. */
void serve_close(serve **se_p);

#endif
