/* scorer/score_json - score requests and replies as JSON.
 *
 *   {"user": "u1", "items": ["a", 42], "context": ["mobile"], "explain": true, "request_id": 7}
 *   {"scores": [0.61, 0.18], "version": 1234, "request_id": 7, "explanations": [...]}
 *   {"error": "user: empty ID", "status": 400}
 *
 * An ID is text or an integer; 42 and "42" are the same ID. The token travels outside.
 */
#ifndef AA_SCORER_SCORE_JSON_H
#define AA_SCORER_SCORE_JSON_H

#include <stddef.h>

#include "common/status.h"
#include "common/wire_score.h"

/** @errors AA_EPARSE with what is wrong and where: *rq is empty; AA_ENOMEM */
aa_status score_json_request(aa_score_request *rq, const void *body, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

/** The reply's text, malloc'd, with a line end; NULL: out of memory. */
char *score_json_reply(const aa_score_reply *rp, size_t *len);

#endif
