#include "common/messages/wire_score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/messages/wire_proto.h"
#include "schemas/score.pb-c.h"

static ProtobufCBinaryData
binary_of(aa_text text)
{
    return (ProtobufCBinaryData){.len = text.len, .data = wire_unconst(text.data)};
}

/* Array of protobuf-c's form, or NULL when out of memory; one more than n, so never of size 0. */
static ProtobufCBinaryData *
binaries_of(const aa_text *text, size_t n)
{
    ProtobufCBinaryData *binary = calloc(n + 1, sizeof *binary);
    for (size_t i = 0; binary && i < n; i++)
        binary[i] = binary_of(text[i]);
    return binary;
}

static aa_text *
texts_of(const ProtobufCBinaryData *binary, size_t n)
{
    aa_text *text = calloc(n + 1, sizeof *text);
    for (size_t i = 0; text && i < n; i++)
        text[i] = (aa_text){.data = (const char *)binary[i].data, .len = binary[i].len};
    return text;
}

/* ---- request ---- */

aa_status
aa_score_pack_request(aa_bytes *out, const aa_score_request *rq, aa_err *err)
{
    aa_status                st = AA_OK;
    Autoassign__ScoreRequest m;
    char                    *token = calloc(rq->token.len + 1, 1);
    autoassign__score_request__init(&m);
    m.token = token;
    m.user_id = binary_of(rq->user);
    m.n_item_id = rq->item_count;
    m.item_id = binaries_of(rq->item, rq->item_count);
    m.n_context = rq->context_count;
    m.context = binaries_of(rq->context, rq->context_count);
    m.n_exclude = rq->exclude_count;
    m.exclude = binaries_of(rq->exclude, rq->exclude_count);
    m.explain = rq->explain;
    m.rank = rq->rank;
    m.top = rq->top;
    m.deadline_ms = rq->deadline_ms;
    m.request_id = rq->request_id;
    if (!token || !m.item_id || !m.context || !m.exclude) {
        st = aa_fail(err, AA_ENOMEM, "score request of %zu items", rq->item_count);
        goto out;
    }
    wire_copy(token, rq->token.data, rq->token.len);
    st = wire_pack(out, &m.base, err);
out:
    free(token);
    free(m.item_id);
    free(m.context);
    free(m.exclude);
    return st;
}

static void
free_message(void *message)
{
    autoassign__score_request__free_unpacked(message, NULL);
}

aa_status
aa_score_unpack_request(aa_score_request *rq, const void *buf, size_t len, aa_err *err)
{
    *rq = (aa_score_request){0};
    Autoassign__ScoreRequest *m = autoassign__score_request__unpack(NULL, len, buf);
    if (!m) return aa_fail(err, AA_EPARSE, "%zu bytes that are not a score request", len);
    *rq = (aa_score_request){.token = {.data = m->token, .len = strlen(m->token)},
                             .user = {.data = (const char *)m->user_id.data, m->user_id.len},
                             .item = texts_of(m->item_id, m->n_item_id),
                             .item_count = m->n_item_id,
                             .context = texts_of(m->context, m->n_context),
                             .context_count = m->n_context,
                             .exclude = texts_of(m->exclude, m->n_exclude),
                             .exclude_count = m->n_exclude,
                             .explain = m->explain,
                             .rank = m->rank,
                             .top = m->top,
                             .deadline_ms = m->deadline_ms,
                             .request_id = m->request_id,
                             .source = m,
                             .source_free = free_message};
    if (!rq->item || !rq->context || !rq->exclude) {
        aa_score_request_fini(rq);
        return aa_fail(err, AA_ENOMEM, "score request of %zu bytes", len);
    }
    return AA_OK;
}

void
aa_score_request_fini(aa_score_request *rq)
{
    free(rq->item);
    free(rq->context);
    free(rq->exclude);
    if (rq->source) rq->source_free(rq->source);
    *rq = (aa_score_request){0};
}

/* ---- reply ---- */

/* Messages and the array of pointers to them that protobuf-c wants, in one block;
 * NULL: no memory. */
static Autoassign__Explanation **
explanations_of(const aa_score_reading *rd, size_t n)
{
    size_t                    pointers_bytes = (n + 1) * sizeof(Autoassign__Explanation *);
    Autoassign__Explanation **pointers = malloc(pointers_bytes + n * sizeof **pointers);
    if (!pointers) return NULL;
    Autoassign__Explanation *at = (Autoassign__Explanation *)(void *)(pointers + n + 1);
    for (size_t i = 0; i < n; i++) {
        autoassign__explanation__init(&at[i]);
        at[i].slot = rd[i].slot;
        at[i].mix = rd[i].mix;
        at[i].position = rd[i].position;
        at[i].unique = rd[i].unique;
        at[i].known = rd[i].known;
        at[i].version = rd[i].version;
        pointers[i] = &at[i];
    }
    return pointers;
}

aa_status
aa_score_pack_reply(aa_bytes *out, const aa_score_reply *rp, aa_err *err)
{
    Autoassign__ScoreReply m;
    autoassign__score_reply__init(&m);
    m.status = rp->status;
    m.error = wire_unconst(rp->error);
    m.n_score = rp->score_count;
    m.score = wire_unconst(rp->score);
    m.version = rp->version;
    m.request_id = rp->request_id;
    m.n_explanation = rp->reading_count;
    m.explanation = explanations_of(rp->reading, rp->reading_count);
    m.n_item_id = rp->item_count;
    m.item_id = binaries_of(rp->item, rp->item_count);
    aa_status st = m.explanation && m.item_id
                       ? wire_pack(out, &m.base, err)
                       : aa_fail(err, AA_ENOMEM, "reply of %zu scores", rp->score_count);
    free(m.explanation);
    free(m.item_id);
    return st;
}

static aa_score_reading *
readings_of(Autoassign__Explanation **m, size_t n)
{
    aa_score_reading *rd = calloc(n + 1, sizeof *rd);
    for (size_t i = 0; rd && i < n; i++)
        rd[i] = (aa_score_reading){.slot = m[i]->slot,
                                   .mix = m[i]->mix,
                                   .position = m[i]->position,
                                   .unique = m[i]->unique,
                                   .known = m[i]->known,
                                   .version = m[i]->version};
    return rd;
}

/* The texts and what they point into, in one block; NULL: no memory. */
static aa_text *
copy_texts(const ProtobufCBinaryData *binary, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += binary[i].len;
    aa_text *text = malloc((n + 1) * sizeof *text + bytes);
    char    *at = text ? (char *)(text + n + 1) : NULL;
    for (size_t i = 0; text && i < n; i++) {
        wire_copy(at, binary[i].data, binary[i].len);
        text[i] = (aa_text){.data = at, .len = binary[i].len};
        at += binary[i].len;
    }
    return text;
}

/* What no scorer says, and no JSON could hold. */
static aa_status
check_reply(const Autoassign__ScoreReply *m, aa_err *err)
{
    aa_status st = wire_check_finite("score", m->score, m->n_score, err);
    for (size_t i = 0; !st && i < m->n_explanation; i++)
        st = wire_check_finite("mix", &m->explanation[i]->mix, 1, err);
    if (st == AA_OK && m->n_item_id && m->n_item_id != m->n_score)
        st = aa_fail(err, AA_EPARSE, "reply with %zu items and %zu scores", m->n_item_id,
                     m->n_score);
    for (const char *c = m->error; !st && *c; c++)
        if (*c < ' ' || *c > '~') st = aa_fail(err, AA_EPARSE, "reply whose error is not text");
    return st;
}

aa_status
aa_score_unpack_reply(aa_score_reply *rp, const void *buf, size_t len, aa_err *err)
{
    aa_status st = AA_OK;
    *rp = (aa_score_reply){0};
    Autoassign__ScoreReply *m = autoassign__score_reply__unpack(NULL, len, buf);
    float                  *score = NULL;
    aa_score_reading       *rd = NULL;
    aa_text                *item = NULL;
    if (!m) return aa_fail(err, AA_EPARSE, "%zu bytes that are not a reply", len);
    st = check_reply(m, err);
    if (st != AA_OK) goto out;
    score = calloc(m->n_score + 1, sizeof *score);
    rd = readings_of(m->explanation, m->n_explanation);
    item = copy_texts(m->item_id, m->n_item_id);
    if (!score || !rd || !item) {
        free(score);
        free(rd);
        free(item);
        st = aa_fail(err, AA_ENOMEM, "reply of %zu bytes", len);
        goto out;
    }
    wire_copy(score, m->score, m->n_score * sizeof *score);
    *rp = (aa_score_reply){.status = m->status,
                           .score = score,
                           .score_count = m->n_score,
                           .item = item,
                           .item_count = m->n_item_id,
                           .reading = rd,
                           .reading_count = m->n_explanation,
                           .version = m->version,
                           .request_id = m->request_id,
                           .owned = {score, rd, item}};
    snprintf(rp->error, sizeof rp->error, "%s", m->error);
out:
    autoassign__score_reply__free_unpacked(m, NULL);
    return st;
}

void
aa_score_reply_fini(aa_score_reply *rp)
{
    free(rp->owned[0]);
    free(rp->owned[1]);
    free(rp->owned[2]);
    *rp = (aa_score_reply){0};
}
