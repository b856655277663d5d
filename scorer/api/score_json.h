/* scorer/api/score_json - score requests and replies as JSON.
 *
 *   {"user": "u1", "items": ["a", 42], "context": ["mobile"], "explain": true, "request_id": 7}
 *   {"scores": [0.61, 0.18], "version": 1234, "request_id": 7, "explanations": [...]}
 *   {"user": "u1", "top": 10, "items": [...], "exclude": [...]}: a ranking, of all known items when
 *   there is no list, without those that are excluded
 *   {"items": ["a", "42"], "scores": [0.61, 0.18], "version": 1234}
 *   {"requests": [{...}, {...}]}: several of either, each with "top" a ranking
 *   {"error": "user: empty ID", "status": 400}
 * and "deadline_ms" in any of them.
 *
 * An ID is text or an integer; 42 and "42" are the same ID. One that is no UTF-8, or holds a zero
 * byte, is {"base64": "..."}, in requests and in replies. The token travels outside.
 */
#ifndef AA_SCORER_API_SCORE_JSON_H
#define AA_SCORER_API_SCORE_JSON_H

#include <stddef.h>

#include "common/base/status.h"
#include "common/messages/wire_score.h"

/** @errors AA_EPARSE with what is wrong and where: *rq is empty; AA_ENOMEM */
aa_status score_json_request(aa_score_request *rq, const void *body, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

/** The same for a ranking. */
aa_status score_json_rank(aa_score_request *rq, const void *body, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

/* Several requests of one body. */
typedef struct {
    aa_score_request *rq; /* (count) */
    size_t            count;
    void             *root;
} score_json_list;
/** At most max. A request that is wrong makes the whole wrong. @errors as above */
aa_status score_json_batch(score_json_list *out, const void *body, size_t len, size_t max,
                           aa_err *err) __attribute__((warn_unused_result));
void      score_json_batch_fini(score_json_list *ls);

/** The reply's text, malloc'd, with a line end; NULL: out of memory. */
char *score_json_reply(const aa_score_reply *rp, size_t *len);

/** A request's text, as score_json_request or score_json_rank reads it; malloc'd and terminated.
 *  @errors AA_ENOMEM */
aa_status score_json_ask(char **text, const aa_score_request *rq, aa_err *err)
    __attribute__((warn_unused_result));
/** What score_json_reply made. Free with aa_score_reply_fini. @errors AA_EPARSE; AA_ENOMEM */
aa_status score_json_read_reply(aa_score_reply *rp, const char *text, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

#endif
