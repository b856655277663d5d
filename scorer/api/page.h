/* scorer/api/page - the live page, and what it shows.
 *
 *   GET /                 scorer/api/page.html, which is part of the binary
 *   GET /v1/status        metrics of all processes now, and some of them over time, as JSON
 *   GET /v1/openapi.yaml  scorer/api/openapi.yaml
 *
 * A thread of its own asks the other processes' /metrics every scorer.page_every_ms, and keeps a
 * bounded history; a process that is not there is shown as such. Answering never waits for it.
 */
#ifndef AA_SCORER_API_PAGE_H
#define AA_SCORER_API_PAGE_H

#include <stdbool.h>

#include "common/service/program.h"

typedef struct page page;

/** @errors AA_ECONFIG scorer.peers makes no sense; AA_EIO no thread; AA_ENOMEM */
aa_status page_open(page **out, const aa_context *ctx, aa_err *err)
    __attribute__((warn_unused_result));
/** Does scorer.peers make sense? @errors AA_ECONFIG, AA_ENOMEM */
aa_status page_check(const aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result));
void      page_close(page **pg_p);

/** False: not one of these resources. arg: the page. @thread any */
bool page_answer(void *arg, const aa_http_request *hq, aa_http_reply *hp);

#endif
