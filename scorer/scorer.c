#include "scorer/scorer.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "scorer/keyset.h"

#define CHUNK_ITEMS 1024                      /* between two looks at the clock */
#define TURN_ITEMS  ((size_t)4 * CHUNK_ITEMS) /* between two turns of others */

/* A place in a ranking. */
typedef struct {
    float    score;
    size_t   ordinal; /* in the list */
    uint64_t key;
    aa_text  text;
} ranked;

struct scorer {
    const aa_conf  *cfg;  /* borrowed */
    pthread_mutex_t uses; /* the next one: held while a request is answered */
    replica_reader *rr;
    int64_t         arrived_us;
    int64_t (*now_us)(void); /* NULL: no deadlines */
    bool              only_short;
    ranked           *best;       /* (best_cap) heap, the worst on top */
    aa_text          *best_text;  /* (best_cap) */
    uint8_t          *best_bytes; /* (best_bytes_cap) their texts, which others may free */
    size_t            best_bytes_cap;
    size_t            best_cap;
    keyset            excluded;           /* keys that the ranking leaves out */
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
    pthread_mutex_init(&sc->uses, NULL);
    aa_status st = replica_reader_open(&sc->rr, rp, err);
    if (st != AA_OK) {
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
    pthread_mutex_destroy(&sc->uses);
    free(sc->item);
    free(sc->score);
    free(sc->reading);
    free(sc->best);
    free(sc->best_text);
    free(sc->best_bytes);
    keyset_fini(&sc->excluded);
    free(sc);
    *sc_p = NULL;
}

aa_status
scorer_move(scorer *sc, replica *rp, aa_err *err)
{
    replica_reader *rr = NULL;
    aa_status       st = replica_reader_open(&rr, rp, err);
    if (st != AA_OK) return st;
    pthread_mutex_lock(&sc->uses);
    replica_reader *before = sc->rr;
    sc->rr = rr;
    pthread_mutex_unlock(&sc->uses);
    replica_reader_close(&before);
    return AA_OK;
}

void
scorer_arrived(scorer *sc, int64_t arrived_us, int64_t (*now_us)(void))
{
    sc->arrived_us = arrived_us;
    sc->now_us = now_us;
}

void
scorer_only_short(scorer *sc, bool only_short)
{
    sc->only_short = only_short;
}

bool
scorer_puts_off(const scorer *sc, const aa_score_request *rq, size_t n)
{
    size_t items = 0;
    for (size_t i = 0; i < n; i++) {
        if (rq[i].rank && !rq[i].item_count) return sc->only_short; /* all known items */
        items += rq[i].item_count + rq[i].exclude_count;
    }
    return sc->only_short && items > SCORER_SHORT_ITEMS;
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
make_item_room(scorer *sc, size_t n)
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

static bool
too_late(const scorer *sc, const aa_score_request *rq)
{
    if (!sc->now_us) return false;
    int64_t ms = sc->cfg->scorer.deadline_ms;
    if (rq->deadline_ms && rq->deadline_ms < ms) ms = rq->deadline_ms;
    return sc->now_us() - sc->arrived_us > ms * 1000;
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

/* Fills excluded; false: refused. */
static bool
read_excluded(scorer *sc, const aa_score_request *rq, aa_score_reply *reply, scorer_tally *tally)
{
    if (!keyset_begin(&sc->excluded, rq->exclude_count)) {
        scorer_refuse(reply, tally, AA_SCORE_FAILED, "out of memory: %zu excluded",
                      rq->exclude_count);
        return false;
    }
    for (size_t i = 0; i < rq->exclude_count; i++) {
        uint64_t    key;
        const char *wrong;
        if (!key_of(sc, rq->exclude[i], &key, &wrong)) {
            scorer_refuse(reply, tally, AA_SCORE_BAD_REQUEST, "exclude[%zu]: %s", i, wrong);
            return false;
        }
        keyset_add(&sc->excluded, key);
    }
    return true;
}

/* All but the IDs themselves; false: refused. */
static bool
admit_request(const scorer *sc, const char *not_ready, const aa_score_request *rq,
              aa_score_reply *reply, scorer_tally *tally)
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
    else if (rq->exclude_count && !rq->rank)
        scorer_refuse(reply, tally, AA_SCORE_BAD_REQUEST, "exclude: only in a ranking");
    else if (rq->rank && rq->top > (uint64_t)max_items)
        scorer_refuse(reply, tally, AA_SCORE_TOO_LARGE, "the best %u, at most %lld", rq->top,
                      (long long)max_items);
    else if (not_ready)
        scorer_refuse(reply, tally, AA_SCORE_NOT_READY, "%s", not_ready);
    else
        return true;
    return false;
}

static void
add_answer(scorer_tally *tally, const replica_answer *answer, size_t items)
{
    tally->items += items;
    tally->unknown += answer->unknown;
    tally->fallbacks += answer->fallbacks;
    tally->rows_missing += answer->rows_missing;
}

/* Scores of n items whose keys are in item; false: refused. @pre pinned, n > 0 unless the list is
 * empty */
static bool
score_items(scorer *sc, const aa_score_request *rq, size_t first, size_t n, bool explain,
            aa_score_reply *reply, scorer_tally *tally)
{
    replica_answer answer;
    aa_err         err = AA_ERR_INIT;
    if (too_late(sc, rq)) {
        scorer_refuse(reply, tally, AA_SCORE_NOT_READY, "the deadline has passed");
        return false;
    }
    if (replica_score(sc->rr, sc->key, sc->item + first, n, sc->score + first,
                      explain ? sc->reading : NULL, &answer, &err)) {
        scorer_refuse(reply, tally, AA_SCORE_NOT_READY, "%s", err.text);
        return false;
    }
    for (size_t i = first; i < first + n; i++)
        if (!isfinite(sc->score[i])) {
            scorer_refuse(reply, tally, AA_SCORE_FAILED,
                          "items[%zu]: the model's score is no number", i);
            return false;
        }
    add_answer(tally, &answer, n);
    reply->version = answer.version;
    return true;
}

/* Now and then a long request lets those go first who wait for this processor: a millisecond at
 * most. Oftener would cost it too much where other programs are busy. */
static void
give_way(size_t items_done)
{
    if (items_done && items_done % TURN_ITEMS == 0) sched_yield();
}

/* ---- a list ---- */

static void
answer_list(scorer *sc, const aa_score_request *rq, aa_score_reply *reply, scorer_tally *tally)
{
    const size_t n = rq->item_count;
    const size_t chunk = rq->explain || n == 0 ? n + 1 : CHUNK_ITEMS;
    for (size_t i = 0; i == 0 || i < n; i += chunk) {
        give_way(i);
        if (!score_items(sc, rq, i, n - i < chunk ? n - i : chunk, rq->explain, reply, tally))
            return;
    }
    reply->score = sc->score;
    reply->score_count = n;
    reply->reading = sc->reading;
    reply->reading_count = rq->explain ? sc->cfg->field_count - 1 + n : 0;
}

/* ---- a ranking ---- */

/* Of equal scores the lesser ID is better, byte by byte, so that every scorer ranks alike. */
static bool
worse(const ranked *a, const ranked *b)
{
    if (a->score < b->score || a->score > b->score) return a->score < b->score;
    const size_t len = a->text.len < b->text.len ? a->text.len : b->text.len;
    const int    order = memcmp(a->text.data, b->text.data, len);
    if (order != 0) return order > 0;
    if (a->text.len != b->text.len) return a->text.len > b->text.len;
    return a->ordinal > b->ordinal; /* the same ID twice in a list */
}

/* heap[i] may be better than what is below it. */
static void
sift_item_down(ranked *heap, size_t n, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (worse(&heap[child], &heap[least])) least = child;
        if (least == i) return;
        const ranked held = heap[i];
        heap[i] = heap[least];
        heap[least] = held;
        i = least;
    }
}

/* Keep it if it is among the best `top` so far. */
static void
consider(ranked *heap, size_t *n, size_t top, const ranked *it)
{
    if (*n == top) {
        if (!worse(&heap[0], it)) return;
        heap[0] = *it;
        sift_item_down(heap, top, 0);
        return;
    }
    size_t i = (*n)++;
    for (; i > 0 && worse(it, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = *it;
}

/* The next candidates' keys into item, and their texts into candidate; returns how many. */
static size_t
next_candidates(scorer *sc, const aa_score_request *rq, const names_list *known, size_t *at,
                ranked *candidate)
{
    const size_t end = rq->item_count ? rq->item_count : names_end(known);
    size_t       n = 0;
    for (; *at < end && n < CHUNK_ITEMS; (*at)++) {
        ranked *it = &candidate[n];
        it->ordinal = *at;
        if (rq->item_count) {
            it->text = rq->item[*at];
            it->key = aa_id_key(it->text.data, it->text.len);
        } else if (!names_get(known, *at, &it->key, &it->text)) {
            continue;
        }
        if (keyset_has(&sc->excluded, it->key)) continue;
        sc->item[n++] = it->key;
    }
    return n;
}

static bool
make_room_for_best(scorer *sc, size_t top)
{
    if (top <= sc->best_cap) return true;
    ranked *best = realloc(sc->best, top * sizeof *best);
    if (best) sc->best = best;
    aa_text *text = realloc(sc->best_text, top * sizeof *text);
    if (text) sc->best_text = text;
    if (!best || !text) return false;
    sc->best_cap = top;
    return true;
}

/* The replica's texts stay for as long as it is pinned only. False: out of memory. */
static bool
keep_texts(scorer *sc, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += sc->best_text[i].len;
    if (bytes > sc->best_bytes_cap) {
        uint8_t *grown = realloc(sc->best_bytes, bytes);
        if (!grown) return false;
        sc->best_bytes = grown;
        sc->best_bytes_cap = bytes;
    }
    bytes = 0;
    for (size_t i = 0; i < n; i++) {
        aa_text *text = &sc->best_text[i];
        memcpy(sc->best_bytes + bytes, text->data, text->len);
        text->data = (const void *)(sc->best_bytes + bytes);
        bytes += text->len;
    }
    return true;
}

/* From the worst of the heap to the reply's last place, and so on. */
static void
take_in_order(scorer *sc, size_t n)
{
    for (size_t left = n; left > 0; left--) {
        const ranked worst = sc->best[0];
        sc->best[0] = sc->best[left - 1];
        sift_item_down(sc->best, left - 1, 0);
        sc->item[left - 1] = worst.key;
        sc->score[left - 1] = worst.score;
        sc->best_text[left - 1] = worst.text;
    }
}

static void
answer_ranking(scorer *sc, const aa_score_request *rq, aa_score_reply *reply, scorer_tally *tally)
{
    ranked            candidate[CHUNK_ITEMS];
    const names_list *known = replica_items(sc->rr);
    size_t            at = 0, best = 0, n, top = rq->top ? rq->top : AA_SCORE_TOP;
    if (make_item_room(sc, top > CHUNK_ITEMS ? top : CHUNK_ITEMS) || !make_room_for_best(sc, top)) {
        scorer_refuse(reply, tally, AA_SCORE_FAILED, "out of memory: the best %zu", top);
        return;
    }
    do {
        give_way(at);
        n = next_candidates(sc, rq, known, &at, candidate);
        if (!score_items(sc, rq, 0, n, false, reply, tally)) return;
        for (size_t i = 0; i < n; i++) {
            candidate[i].score = sc->score[i];
            consider(sc->best, &best, top, &candidate[i]);
        }
    } while (n == CHUNK_ITEMS);
    take_in_order(sc, best);
    if (!keep_texts(sc, best)) {
        scorer_refuse(reply, tally, AA_SCORE_FAILED, "out of memory: the best %zu", best);
        return;
    }
    if (rq->explain) {
        replica_answer again;
        aa_err         err = AA_ERR_INIT;
        float          unused[CHUNK_ITEMS];
        float         *score = best <= CHUNK_ITEMS ? unused : sc->score; /* as good, and as new */
        if (replica_score(sc->rr, sc->key, sc->item, best, score, sc->reading, &again, &err)) {
            scorer_refuse(reply, tally, AA_SCORE_NOT_READY, "%s", err.text);
            return;
        }
        reply->reading = sc->reading;
        reply->reading_count = sc->cfg->field_count - 1 + best;
    }
    reply->score = sc->score;
    reply->score_count = best;
    reply->item = sc->best_text;
    reply->item_count = best;
}

void
scorer_answer(scorer *sc, const char *not_ready, const aa_score_request *rq, aa_score_reply *reply,
              scorer_tally *tally)
{
    size_t n = rq->item_count;
    *reply = (aa_score_reply){.request_id = rq->request_id};
    *tally = (scorer_tally){0};
    if (!admit_request(sc, not_ready, rq, reply, tally)) return;
    if (scorer_puts_off(sc, rq, 1)) {
        scorer_refuse(reply, tally, SCORER_LONG, "long");
        return;
    }
    if (make_item_room(sc, n + 1)) {
        scorer_refuse(reply, tally, AA_SCORE_FAILED, "out of memory: %zu items", n);
        return;
    }
    if (!read_keys(sc, rq, reply, tally)) return;
    if (!read_excluded(sc, rq, reply, tally)) return;
    pthread_mutex_lock(&sc->uses);
    replica_pin(sc->rr);
    if (rq->rank)
        answer_ranking(sc, rq, reply, tally);
    else
        answer_list(sc, rq, reply, tally);
    replica_unpin(sc->rr);
    pthread_mutex_unlock(&sc->uses);
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
    else if (aa_score_unpack_request(&rq, buf, len, &parse) != AA_OK)
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
