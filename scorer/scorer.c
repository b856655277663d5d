#include "scorer/scorer.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

struct scorer {
    const aa_conf    *cfg; /* borrowed */
    replica_reader   *rr;
    uint64_t          key[AA_MAX_FIELDS]; /* (F) */
    size_t            cap;                /* items the arrays have room for */
    uint64_t         *item;               /* (cap) */
    float            *score;              /* (cap) */
    aa_score_reading *reading;            /* (cap + AA_MAX_FIELDS) */
};

aa_status
scorer_new(scorer **out, const aa_conf *cfg, replica *rp, aa_err *err)
{
    scorer *sc = calloc(1, sizeof *sc);
    if (!sc) return aa_fail(err, AA_ENOMEM, "scorer");
    sc->cfg = cfg;
    aa_status st = replica_reader_open(&sc->rr, rp, err);
    if (st) {
        scorer_free(&sc);
        return st;
    }
    *out = sc;
    return AA_OK;
}

void
scorer_free(scorer **sc_p)
{
    scorer *sc = *sc_p;
    if (!sc) return;
    replica_reader_close(&sc->rr);
    free(sc->item);
    free(sc->score);
    free(sc->reading);
    free(sc);
    *sc_p = NULL;
}

void
scorer_refuse(aa_score_reply *reply, scorer_tally *tally, uint32_t status, const char *fmt, ...)
{
    uint64_t request_id = reply->request_id;
    va_list  ap;
    *reply = (aa_score_reply){.status = status, .request_id = request_id};
    *tally = (scorer_tally){.status = status};
    va_start(ap, fmt);
    vsnprintf(reply->error, sizeof reply->error, fmt, ap);
    va_end(ap);
    for (char *c = reply->error; *c; c++) /* may quote the request, and must be text */
        if (*c < 0x20 || *c > 0x7e) *c = '?';
}

/* Takes as long for every wrong token: how much of it was right does not show. */
static bool
token_matches(const char *want, aa_text got)
{
    size_t        want_len = strlen(want);
    unsigned char diff = want_len != got.len;
    for (size_t i = 0; i < got.len; i++)
        diff |= (unsigned char)(got.data[i] ^ want[want_len ? i % want_len : 0]);
    return !diff;
}

static aa_status
make_room(scorer *sc, size_t n)
{
    if (n <= sc->cap) return AA_OK;
    uint64_t *item = realloc(sc->item, n * sizeof *item);
    if (item) sc->item = item;
    float *score = realloc(sc->score, n * sizeof *score);
    if (score) sc->score = score;
    aa_score_reading *reading = realloc(sc->reading, (n + AA_MAX_FIELDS) * sizeof *reading);
    if (reading) sc->reading = reading;
    if (!item || !score || !reading) return AA_ENOMEM;
    sc->cap = n;
    return AA_OK;
}

/* The key of an ID, or what is wrong with it. */
static bool
key_of(const scorer *sc, aa_text id, uint64_t *key, const char **wrong)
{
    *wrong = !id.len                                        ? "empty ID"
             : id.len > (size_t)sc->cfg->event.id_max_bytes ? "ID longer than event.id_max_bytes"
                                                            : NULL;
    if (!*wrong) *key = aa_id_key(id.data, id.len);
    return !*wrong;
}

/* Fills key and item; false: refused. @pre there is room */
static bool
read_keys(scorer *sc, const aa_score_request *rq, aa_score_reply *reply, scorer_tally *tally)
{
    const char *wrong;
    if (!key_of(sc, rq->user, &sc->key[REPLICA_USER], &wrong)) {
        scorer_refuse(reply, tally, AA_SCORE_BAD_REQUEST, "user: %s", wrong);
        return false;
    }
    for (size_t i = 0; i < rq->item_count; i++) {
        if (key_of(sc, rq->item[i], &sc->item[i], &wrong)) continue;
        scorer_refuse(reply, tally, AA_SCORE_BAD_REQUEST, "items[%zu]: %s", i, wrong);
        return false;
    }
    for (size_t i = 0; i < rq->context_count; i++) {
        if (key_of(sc, rq->context[i], &sc->key[REPLICA_ITEM + 1 + i], &wrong)) continue;
        scorer_refuse(reply, tally, AA_SCORE_BAD_REQUEST, "context[%zu]: %s", i, wrong);
        return false;
    }
    return true;
}

/* All but the IDs themselves; false: refused. */
static bool
admit(const scorer *sc, const char *not_ready, const aa_score_request *rq, aa_score_reply *reply,
      scorer_tally *tally)
{
    size_t  contexts = sc->cfg->field_count - 2;
    int64_t max_items = sc->cfg->scorer.max_items;
    if (sc->cfg->scorer.token[0] && !token_matches(sc->cfg->scorer.token, rq->token))
        scorer_refuse(reply, tally, AA_SCORE_BAD_TOKEN, "%s",
                      rq->token.len ? "wrong token" : "a token is needed");
    else if (rq->item_count > (size_t)max_items)
        scorer_refuse(reply, tally, AA_SCORE_TOO_LARGE, "%zu items, at most %lld", rq->item_count,
                      (long long)max_items);
    else if (rq->context_count != contexts)
        scorer_refuse(reply, tally, AA_SCORE_BAD_REQUEST, "context: %zu IDs, expected %zu",
                      rq->context_count, contexts);
    else if (not_ready)
        scorer_refuse(reply, tally, AA_SCORE_NOT_READY, "%s", not_ready);
    else
        return true;
    return false;
}

void
scorer_answer(scorer *sc, const char *not_ready, const aa_score_request *rq, aa_score_reply *reply,
              scorer_tally *tally)
{
    replica_answer answer;
    aa_err         err = AA_ERR_INIT;
    size_t         n = rq->item_count;
    *reply = (aa_score_reply){.request_id = rq->request_id};
    *tally = (scorer_tally){0};
    if (!admit(sc, not_ready, rq, reply, tally)) return;
    if (make_room(sc, n + 1)) {
        scorer_refuse(reply, tally, AA_SCORE_FAILED, "out of memory: %zu items", n);
        return;
    }
    if (!read_keys(sc, rq, reply, tally)) return;
    if (replica_score(sc->rr, sc->key, sc->item, n, sc->score, rq->explain ? sc->reading : NULL,
                      &answer, &err)) {
        scorer_refuse(reply, tally, AA_SCORE_NOT_READY, "%s", err.text);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!isfinite(sc->score[i])) {
            scorer_refuse(reply, tally, AA_SCORE_FAILED,
                          "items[%zu]: the model's score is no number", i);
            return;
        }
    reply->score = sc->score;
    reply->score_count = n;
    reply->reading = sc->reading;
    reply->reading_count = rq->explain ? sc->cfg->field_count - 1 + n : 0;
    reply->version = answer.version;
    *tally = (scorer_tally){.items = n,
                            .unknown = answer.unknown,
                            .fallbacks = answer.fallbacks,
                            .rows_missing = answer.rows_missing};
}

aa_status
scorer_step(scorer *sc, const char *not_ready, const void *buf, size_t len, aa_bytes *out,
            scorer_tally *tally, aa_err *err)
{
    aa_score_request rq = {0};
    aa_score_reply   reply = {0};
    aa_err           parse = AA_ERR_INIT;
    int64_t          max_bytes = sc->cfg->scorer.max_request_bytes;
    if (len > (size_t)max_bytes)
        scorer_refuse(&reply, tally, AA_SCORE_TOO_LARGE, "%zu bytes, at most %lld", len,
                      (long long)max_bytes);
    else if (aa_score_unpack_request(&rq, buf, len, &parse))
        scorer_refuse(&reply, tally,
                      parse.code == AA_EPARSE ? AA_SCORE_BAD_REQUEST : AA_SCORE_FAILED, "%s",
                      parse.text);
    else
        scorer_answer(sc, not_ready, &rq, &reply, tally);
    aa_status st = aa_score_pack_reply(out, &reply, err);
    if (st == AA_EPARSE) { /* the reply would be longer than a message may be */
        scorer_refuse(&reply, tally, AA_SCORE_TOO_LARGE, "the reply would be too large");
        st = aa_score_pack_reply(out, &reply, err);
    }
    aa_score_request_fini(&rq);
    return st;
}
