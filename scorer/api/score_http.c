#include "scorer/api/score_http.h"

#include <stdlib.h>
#include <string.h>

#include "scorer/api/score_json.h"

#define HTTP_OK           200
#define HTTP_NOT_FOUND    404
#define HTTP_WRONG_METHOD 405

/* The reply as a body; without memory there is none. */
static void
put_reply(const aa_score_reply *reply, aa_http_reply *hp, scorer_tally *tally)
{
    hp->status = reply->status ? (int)reply->status : HTTP_OK;
    hp->content_type = "application/json";
    hp->body = score_json_reply(reply, &hp->body_len);
    if (hp->body) return;
    hp->status = AA_SCORE_FAILED;
    hp->body_len = 0;
    tally->status = AA_SCORE_FAILED;
}

static void
parse_failed(const aa_err *err, aa_http_reply *hp, scorer_tally *tally)
{
    aa_score_reply reply = {0};
    scorer_refuse(&reply, tally, err->code == AA_EPARSE ? AA_SCORE_BAD_REQUEST : AA_SCORE_FAILED,
                  "%s", err->text);
    put_reply(&reply, hp, tally);
}

void
score_http_refuse(aa_http_reply *hp, scorer_tally *tally, uint32_t status, const char *why)
{
    aa_score_reply reply = {0};
    scorer_refuse(&reply, tally, status, "%s", why);
    put_reply(&reply, hp, tally);
}

typedef aa_status (*parser)(aa_score_request *rq, const void *body, size_t len, aa_err *err);

static void
answer_one(scorer *sc, const char *not_ready, parser parse, const aa_http_request *hq,
           aa_http_reply *hp, scorer_tally *tally)
{
    aa_score_request rq;
    aa_score_reply   reply;
    aa_err           err = AA_ERR_INIT;
    if (parse(&rq, hq->body, hq->body_len, &err)) {
        parse_failed(&err, hp, tally);
        return;
    }
    rq.token = (aa_text){hq->token, strlen(hq->token)};
    scorer_answer(sc, not_ready, &rq, &reply, tally);
    put_reply(&reply, hp, tally); /* before the request goes: a ranking's texts are the request's */
    aa_score_request_fini(&rq);
}

/* ---- several ---- */

/* False: no memory; *out is gone then. */
static bool
append_text(char **out, size_t *len, size_t *cap, const char *text, size_t text_len)
{
    if (*len + text_len > *cap) {
        *cap = 2 * (*len + text_len);
        char *grown = realloc(*out, *cap);
        if (!grown) {
            free(*out);
            *out = NULL;
            return false;
        }
        *out = grown;
    }
    memcpy(*out + *len, text, text_len);
    *len += text_len;
    return true;
}

/* {"replies":[...]} */
static char *
batch_replies(scorer *sc, const char *not_ready, const score_json_list *ls, const char *token,
              size_t *len, scorer_tally *tally)
{
    char  *out = NULL;
    size_t cap = 0;
    bool   good = append_text(&out, len, &cap, "{\"replies\":[", 12);
    for (size_t i = 0; i < ls->count && good; i++) {
        aa_score_reply reply;
        scorer_tally   one;
        size_t         one_len = 0;
        ls->rq[i].token = (aa_text){token, strlen(token)};
        scorer_answer(sc, not_ready, &ls->rq[i], &reply, &one);
        char *text = score_json_reply(&reply, &one_len);
        good = text && (i == 0 || append_text(&out, len, &cap, ",", 1)) &&
               append_text(&out, len, &cap, text, one_len - 1); /* without its line end */
        if (!text) {
            free(out);
            out = NULL;
        }
        free(text);
        tally->items += one.items;
        tally->unknown += one.unknown;
        tally->fallbacks += one.fallbacks;
        tally->rows_missing += one.rows_missing;
    }
    if (good) append_text(&out, len, &cap, "]}\n", 3);
    return out;
}

static void
answer_batch(scorer *sc, const char *not_ready, const aa_http_request *hq, aa_http_reply *hp,
             scorer_tally *tally)
{
    score_json_list ls;
    aa_err          err = AA_ERR_INIT;
    if (score_json_batch(&ls, hq->body, hq->body_len, SCORE_HTTP_BATCH, &err)) {
        parse_failed(&err, hp, tally);
        return;
    }
    *tally = (scorer_tally){0};
    if (scorer_puts_off(sc, ls.rq, ls.count)) {
        tally->status = SCORER_LONG;
        hp->body = NULL;
        score_json_batch_fini(&ls);
        return;
    }
    hp->status = HTTP_OK;
    hp->content_type = "application/json";
    hp->body_len = 0;
    hp->body = batch_replies(sc, not_ready, &ls, hq->token, &hp->body_len, tally);
    if (!hp->body) {
        hp->status = AA_SCORE_FAILED;
        hp->body_len = 0;
        tally->status = AA_SCORE_FAILED;
    }
    score_json_batch_fini(&ls);
}

void
score_http_answer(scorer *sc, const char *not_ready, size_t max_bytes, const aa_http_request *hq,
                  aa_http_reply *hp, scorer_tally *tally)
{
    const bool     score = strcmp(hq->path, "/v1/score") == 0;
    const bool     rank = strcmp(hq->path, "/v1/rank") == 0;
    const bool     batch = strcmp(hq->path, "/v1/batch") == 0;
    aa_score_reply reply = {0};
    if (!score && !rank && !batch) {
        scorer_refuse(&reply, tally, HTTP_NOT_FOUND, "no such resource");
    } else if (strcmp(hq->method, "POST") != 0) {
        scorer_refuse(&reply, tally, HTTP_WRONG_METHOD, "only POST");
        hp->allow = "POST";
    } else if (hq->body_len > max_bytes) {
        scorer_refuse(&reply, tally, AA_SCORE_TOO_LARGE, "%zu bytes, at most %zu", hq->body_len,
                      max_bytes);
    } else if (batch) {
        answer_batch(sc, not_ready, hq, hp, tally);
        return;
    } else {
        answer_one(sc, not_ready, rank ? score_json_rank : score_json_request, hq, hp, tally);
        return;
    }
    put_reply(&reply, hp, tally);
}
