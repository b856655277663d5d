#include "scorer/score_http.h"

#include <string.h>

#include "scorer/score_json.h"

#define HTTP_OK           200
#define HTTP_NOT_FOUND    404
#define HTTP_WRONG_METHOD 405

void
score_http_answer(scorer *sc, const char *not_ready, size_t max_bytes, const aa_http_request *hq,
                  aa_http_reply *hp, scorer_tally *tally)
{
    aa_score_request rq = {0};
    aa_score_reply   reply = {0};
    aa_err           err = AA_ERR_INIT;
    if (strcmp(hq->path, "/v1/score") != 0) {
        scorer_refuse(&reply, tally, HTTP_NOT_FOUND, "no such resource");
    } else if (strcmp(hq->method, "POST") != 0) {
        scorer_refuse(&reply, tally, HTTP_WRONG_METHOD, "only POST");
    } else if (hq->body_len > max_bytes) {
        scorer_refuse(&reply, tally, AA_SCORE_TOO_LARGE, "%zu bytes, at most %zu", hq->body_len,
                      max_bytes);
    } else if (score_json_request(&rq, hq->body, hq->body_len, &err)) {
        scorer_refuse(&reply, tally, err.code == AA_EPARSE ? AA_SCORE_BAD_REQUEST : AA_SCORE_FAILED,
                      "%s", err.text);
    } else {
        rq.token = (aa_text){hq->token, strlen(hq->token)};
        scorer_answer(sc, not_ready, &rq, &reply, tally);
    }
    hp->status = reply.status ? (int)reply.status : HTTP_OK;
    hp->content_type = "application/json";
    hp->body = score_json_reply(&reply, &hp->body_len);
    if (!hp->body) {
        hp->status = AA_SCORE_FAILED;
        hp->body_len = 0;
        tally->status = AA_SCORE_FAILED;
    }
    aa_score_request_fini(&rq);
}
