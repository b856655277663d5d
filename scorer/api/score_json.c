#include "scorer/api/score_json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/base64.h"
#include "common/base/utf8.h"

#define NUMBER_BYTES 24
#define SCORE_BYTES  24

/* What a request's texts point into. */
typedef struct {
    json_t *root;
    char (*number)[NUMBER_BYTES]; /* integer IDs as text */
    size_t number_count;
} json_source;

static const char what_an_id_is[] = "an ID is text, an integer or {\"base64\": \"...\"}";

static void
source_free(void *source)
{
    json_source *so = source;
    json_decref(so->root);
    free(so->number);
    free(so);
}

/* ---- IDs, which may be any bytes ---- */

#define BYTES_MEMBER "base64" /* {"base64": "..."} where text cannot hold an ID */

/* Text if it is UTF-8 without a zero, which not every JSON reader takes. NULL: out of memory. */
static json_t *
json_of_id(aa_text id)
{
    json_t *js = id.len && memchr(id.data, '\0', id.len) ? NULL : json_stringn(id.data, id.len);
    if (js) return js;
    const size_t len = aa_base64_length(id.len);
    char        *text = malloc(len + 1);
    if (!text) return NULL;
    aa_base64_put(text, id.data, id.len);
    js = json_pack("{s:s#}", BYTES_MEMBER, text, (int)len);
    free(text);
    return js;
}

/* The bytes of {"base64": "..."}; they are kept in it. False: it is something else. */
static bool
bytes_of(const json_t *value, aa_text *out)
{
    json_t       *object = (json_t *)(uintptr_t)value;
    const json_t *text = json_object_get(value, BYTES_MEMBER);
    size_t        n, len = json_string_length(text);
    if (!json_is_string(text) || json_object_size(value) != 1) return false;
    char   *bytes = malloc(len + 1);
    json_t *kept = NULL;
    if (bytes && aa_base64_get(bytes, &n, json_string_value(text), len))
        kept = json_stringn_nocheck(bytes, n);
    free(bytes);
    if (!kept || json_object_set_new(object, "", kept) != 0) return false;
    *out = (aa_text){json_string_value(kept), json_string_length(kept)};
    return true;
}

/* where: for the error text; idx < 0: not a list's */
static aa_status
id_of(json_source *so, const json_t *value, const char *where, int idx, aa_text *out, aa_err *err)
{
    if (json_is_string(value)) {
        *out = (aa_text){json_string_value(value), json_string_length(value)};
        return AA_OK;
    }
    if (json_is_integer(value)) {
        char *text = so->number[so->number_count++];
        int   len = snprintf(text, NUMBER_BYTES, "%lld", (long long)json_integer_value(value));
        *out = (aa_text){text, (size_t)len};
        return AA_OK;
    }
    if (bytes_of(value, out)) return AA_OK;
    if (idx < 0) return aa_fail(err, AA_EPARSE, "%s: %s", where, what_an_id_is);
    return aa_fail(err, AA_EPARSE, "%s[%d]: %s", where, idx, what_an_id_is);
}

static aa_status
ids_of(json_source *so, const json_t *list, const char *where, aa_text **out, size_t *count,
       aa_err *err)
{
    size_t n = json_array_size(list);
    *out = calloc(n + 1, sizeof **out);
    if (!*out) return aa_fail(err, AA_ENOMEM, "%zu %s", n, where);
    *count = n;
    for (size_t i = 0; i < n; i++) {
        aa_status st = id_of(so, json_array_get(list, i), where, (int)i, &(*out)[i], err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

typedef enum { JSON_ID, JSON_LIST, JSON_SWITCH, JSON_COUNT } member_kind;

static bool
fits(member_kind kind, const json_t *value)
{
    switch (kind) {
    case JSON_ID: return true; /* id_of says it better */
    case JSON_LIST: return json_is_array(value);
    case JSON_SWITCH: return json_is_boolean(value);
    case JSON_COUNT: return json_is_integer(value);
    }
    return false;
}

static aa_status
check_members(const json_t *root, bool rank, aa_err *err)
{
    static const struct {
        const char *name;
        member_kind kind;
    } member[] = {{"user", JSON_ID},        {"items", JSON_LIST},       {"context", JSON_LIST},
                  {"explain", JSON_SWITCH}, {"request_id", JSON_COUNT}, {"deadline_ms", JSON_COUNT},
                  {"top", JSON_COUNT},      {"exclude", JSON_LIST}};
    static const char *want[] = {"an ID", "a list", "true or false", "an integer"};
    const size_t       n = sizeof member / sizeof member[0] - (rank ? 0 : 2);
    void              *at = json_object_iter((json_t *)(uintptr_t)root);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)root, at)) {
        size_t      i = 0;
        const char *name = json_object_iter_key(at);
        while (i < n && strcmp(member[i].name, name) != 0)
            i++;
        if (i == n) return aa_fail(err, AA_EPARSE, "unknown member \"%.40s\"", name);
        if (!fits(member[i].kind, json_object_iter_value(at)))
            return aa_fail(err, AA_EPARSE, "%s: expected %s", name, want[member[i].kind]);
    }
    const json_t *items = json_object_get(root, "items");
    if (!json_object_get(root, "user")) return aa_fail(err, AA_EPARSE, "user is missing");
    if (!rank && !items) return aa_fail(err, AA_EPARSE, "items is missing");
    if (rank && items && json_array_size(items) == 0)
        return aa_fail(err, AA_EPARSE, "items: empty; without it all known items are ranked");
    return AA_OK;
}

/* Optional, 0 when it is not there; least..UINT32_MAX. */
static aa_status
count_of(const json_t *root, const char *name, uint32_t *out, aa_err *err)
{
    const json_t *value = json_object_get(root, name);
    json_int_t    n = value ? json_integer_value(value) : 0;
    if (value && (n < 1 || n > UINT32_MAX))
        return aa_fail(err, AA_EPARSE, "%s: expected 1..%u", name, UINT32_MAX);
    *out = (uint32_t)n;
    return AA_OK;
}

static aa_status
fill_request(aa_score_request *rq, json_source *so, bool rank, aa_err *err)
{
    aa_status     st = check_members(so->root, rank, err);
    const json_t *items = json_object_get(so->root, "items");
    const json_t *context = json_object_get(so->root, "context");
    const json_t *exclude = json_object_get(so->root, "exclude");
    const size_t ids = json_array_size(items) + json_array_size(context) + json_array_size(exclude);
    if (st != AA_OK) return st;
    so->number = calloc(ids + 1, NUMBER_BYTES);
    if (!so->number) return aa_fail(err, AA_ENOMEM, "%zu IDs", ids);
    st = id_of(so, json_object_get(so->root, "user"), "user", -1, &rq->user, err);
    if (st == AA_OK) st = ids_of(so, items, "items", &rq->item, &rq->item_count, err);
    if (st == AA_OK) st = ids_of(so, context, "context", &rq->context, &rq->context_count, err);
    if (st == AA_OK) st = ids_of(so, exclude, "exclude", &rq->exclude, &rq->exclude_count, err);
    if (st == AA_OK) st = count_of(so->root, "deadline_ms", &rq->deadline_ms, err);
    if (st == AA_OK) st = count_of(so->root, "top", &rq->top, err);
    rq->rank = rank;
    rq->explain = json_is_true(json_object_get(so->root, "explain"));
    rq->request_id = (uint64_t)json_integer_value(json_object_get(so->root, "request_id"));
    return st;
}

/* root is taken; NULL: that there was not JSON, je says why */
static aa_status
request_of(aa_score_request *rq, json_t *root, const json_error_t *je, bool rank, aa_err *err)
{
    *rq = (aa_score_request){0};
    json_source *so = calloc(1, sizeof *so);
    if (!so) {
        json_decref(root);
        return aa_fail(err, AA_ENOMEM, "score request");
    }
    so->root = root;
    rq->source = so;
    rq->source_free = source_free;
    aa_status st = AA_OK;
    if (!root)
        st = aa_fail(err, AA_EPARSE, "not JSON: line %d column %d: %s", je->line, je->column,
                     je->text);
    else if (!json_is_object(root))
        st = aa_fail(err, AA_EPARSE, "expected a JSON object");
    else
        st = fill_request(rq, so, rank, err);
    if (st != AA_OK) aa_score_request_fini(rq);
    return st;
}

/* A body may begin with a byte order mark, as a file that a client sends may. */
static json_t *
parse_body(const void *body, size_t len, json_error_t *je)
{
    const size_t mark = len > 0 ? aa_utf8_mark(body, len) : 0;
    const char  *text = len > mark ? (const char *)body + mark : "";
    return json_loadb(text, len - mark, JSON_REJECT_DUPLICATES, je);
}

aa_status
score_json_request(aa_score_request *rq, const void *body, size_t len, aa_err *err)
{
    json_error_t je;
    json_t      *root = parse_body(body, len, &je);
    return request_of(rq, root, &je, false, err);
}

aa_status
score_json_rank(aa_score_request *rq, const void *body, size_t len, aa_err *err)
{
    json_error_t je;
    json_t      *root = parse_body(body, len, &je);
    return request_of(rq, root, &je, true, err);
}

aa_status
score_json_batch(score_json_list *out, const void *body, size_t len, size_t max, aa_err *err)
{
    json_error_t je;
    json_t      *root = parse_body(body, len, &je);
    json_t      *list = json_object_get(root, "requests");
    size_t       n = json_array_size(list);
    aa_status    st = AA_OK;
    *out = (score_json_list){.root = root};
    if (!root)
        st =
            aa_fail(err, AA_EPARSE, "not JSON: line %d column %d: %s", je.line, je.column, je.text);
    else if (!json_is_array(list) || json_object_size(root) != 1)
        st = aa_fail(err, AA_EPARSE, "expected a JSON object with a list of \"requests\"");
    else if (n > max)
        st = aa_fail(err, AA_EPARSE, "%zu requests, at most %zu", n, max);
    else if (!(out->rq = calloc(n + 1, sizeof *out->rq)))
        st = aa_fail(err, AA_ENOMEM, "%zu requests", n);
    for (size_t i = 0; i < n && st == AA_OK; i++) {
        aa_err  why = AA_ERR_INIT;
        json_t *one = json_incref(json_array_get(list, i));
        st = request_of(&out->rq[i], one, &je, json_object_get(one, "top") != NULL, &why);
        if (st != AA_OK) aa_fail(err, st, "requests[%zu]: %.200s", i, why.text);
        out->count += st == AA_OK;
    }
    if (st != AA_OK) score_json_batch_fini(out);
    return st;
}

void
score_json_batch_fini(score_json_list *ls)
{
    for (size_t i = 0; i < ls->count; i++)
        aa_score_request_fini(&ls->rq[i]);
    free(ls->rq);
    json_decref(ls->root);
    *ls = (score_json_list){0};
}

static json_t *
explanation_of(const aa_score_reading *rd)
{
    return json_pack("{s:I, s:f, s:i, s:b, s:b, s:I}", "slot", (json_int_t)rd->slot, "mix",
                     (double)rd->mix, "position", (int)rd->position, "unique", (int)rd->unique,
                     "known", (int)rd->known, "version", (json_int_t)rd->version);
}

/* ---- scores as text ---- */

/* Nine digits give a float's bits back. Most scores are in [1e-4, 1): those take a multiplication
 * instead of a printf, which would be a third of a request's time. */
static size_t
put_score(char *out, float score)
{
    double value = (double)score, scale = 1e9;
    size_t zeros = 0, len = 2;
    if (!(value >= 1e-4 && value < 0.9999999)) {
        int n = snprintf(out, SCORE_BYTES, "%.9g", value);
        for (const char *c = out; *c; c++)
            if (*c == '.' || *c == 'e') return (size_t)n;
        memcpy(out + n, ".0", 3); /* a real, to every reader */
        return (size_t)n + 2;
    }
    for (; value * scale < 1e8; zeros++)
        scale *= 10;
    uint64_t digits = (uint64_t)(value * scale + 0.5);
    char     text[9];
    for (size_t i = 9; i > 0; i--, digits /= 10)
        text[i - 1] = (char)('0' + digits % 10);
    out[0] = '0', out[1] = '.';
    for (; zeros > 0; zeros--)
        out[len++] = '0';
    memcpy(out + len, text, sizeof text);
    return len + sizeof text;
}

/* The usual reply: scores, a version, perhaps a number of the request. */
static char *
plain_reply(const aa_score_reply *rp, size_t *len)
{
    char *text = malloc(rp->score_count * (SCORE_BYTES + 1) + 128), *at = text;
    if (!text) return NULL;
    memcpy(at, "{\"scores\":[", 11);
    at += 11;
    for (size_t i = 0; i < rp->score_count; i++) {
        if (i) *at++ = ',';
        at += put_score(at, rp->score[i]);
    }
    at += snprintf(at, 48, "],\"version\":%llu", (unsigned long long)rp->version);
    if (rp->request_id) at += snprintf(at, 48, ",\"request_id\":%lld", (long long)rp->request_id);
    memcpy(at, "}\n", 2);
    *len = (size_t)(at + 2 - text);
    return text;
}

char *
score_json_reply(const aa_score_reply *rp, size_t *len)
{
    char *text = NULL;
    int   failed = 0;
    if (!rp->status && !rp->item_count && !rp->reading_count) return plain_reply(rp, len);
    json_t *root = json_object(), *list = NULL;
    if (rp->status) {
        failed |= json_object_set_new(root, "error", json_string(rp->error));
        failed |= json_object_set_new(root, "status", json_integer(rp->status));
    } else {
        if (rp->item_count) failed |= json_object_set_new(root, "items", list = json_array());
        for (size_t i = 0; i < rp->item_count; i++)
            failed |= json_array_append_new(list, json_of_id(rp->item[i]));
        failed |= json_object_set_new(root, "scores", list = json_array());
        for (size_t i = 0; i < rp->score_count; i++)
            failed |= json_array_append_new(list, json_real((double)rp->score[i]));
        failed |= json_object_set_new(root, "version", json_integer((json_int_t)rp->version));
    }
    if (rp->request_id)
        failed |= json_object_set_new(root, "request_id", json_integer((json_int_t)rp->request_id));
    if (rp->reading_count) {
        failed |= json_object_set_new(root, "explanations", list = json_array());
        for (size_t i = 0; i < rp->reading_count; i++)
            failed |= json_array_append_new(list, explanation_of(&rp->reading[i]));
    }
    /* nine digits give a float's bits back */
    if (!failed) text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(root);
    if (!text) return NULL;
    *len = strlen(text);
    text[(*len)++] = '\n'; /* in place of the terminator */
    return text;
}

/* ---- the client's side ---- */

static json_t *
ids_json(const aa_text *id, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_of_id(id[i])); /* out of memory: left out */
    return list;
}

aa_status
score_json_ask(char **text, const aa_score_request *rq, aa_err *err)
{
    json_t *root = json_object(), *items = ids_json(rq->item, rq->item_count);
    json_t *context = ids_json(rq->context, rq->context_count);
    json_t *exclude = ids_json(rq->exclude, rq->exclude_count);
    bool    whole = json_array_size(items) == rq->item_count &&
                 json_array_size(context) == rq->context_count &&
                 json_array_size(exclude) == rq->exclude_count;
    if (json_object_set_new(root, "user", json_of_id(rq->user))) whole = false;
    if (rq->item_count || !rq->rank) json_object_set(root, "items", items);
    if (rq->context_count) json_object_set(root, "context", context);
    if (rq->exclude_count) json_object_set(root, "exclude", exclude);
    if (rq->rank) json_object_set_new(root, "top", json_integer(rq->top ? rq->top : AA_SCORE_TOP));
    if (rq->explain) json_object_set_new(root, "explain", json_true());
    if (rq->deadline_ms) json_object_set_new(root, "deadline_ms", json_integer(rq->deadline_ms));
    *text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(items);
    json_decref(context);
    json_decref(exclude);
    json_decref(root);
    return *text ? AA_OK : aa_fail(err, AA_ENOMEM, "request of %zu items", rq->item_count);
}

static aa_score_reading
reading_of(const json_t *js)
{
    return (aa_score_reading){
        .slot = (uint32_t)json_integer_value(json_object_get(js, "slot")),
        .mix = (float)json_number_value(json_object_get(js, "mix")),
        .position = (uint32_t)json_integer_value(json_object_get(js, "position")),
        .unique = json_is_true(json_object_get(js, "unique")),
        .known = json_is_true(json_object_get(js, "known")),
        .version = (uint64_t)json_integer_value(json_object_get(js, "version"))};
}

static aa_text
item_text(const json_t *js)
{
    aa_text text = {json_string_value(js), json_string_length(js)};
    if (json_is_object(js) && !bytes_of(js, &text)) text = (aa_text){0};
    return text;
}

/* The items' texts and what they point into, in one block; NULL: no memory. */
static aa_text *
copy_items(const json_t *list)
{
    size_t   n = json_array_size(list), bytes = 0;
    aa_text *text = calloc(n + 1, sizeof *text);
    for (size_t i = 0; text && i < n; i++) {
        text[i] = item_text(json_array_get(list, i));
        bytes += text[i].len;
    }
    aa_text *item = text ? malloc((n + 1) * sizeof *item + bytes) : NULL;
    char    *at = item ? (char *)(item + n + 1) : NULL;
    for (size_t i = 0; item && i < n; i++) {
        item[i] = (aa_text){.data = at, .len = text[i].len};
        if (item[i].len) memcpy(at, text[i].data, item[i].len);
        at += item[i].len;
    }
    free(text);
    return item;
}

/* What can be wrong with a reply that is JSON. */
static aa_status
check_json_reply(const aa_score_reply *rp, aa_err *err)
{
    if (rp->item_count && rp->item_count != rp->score_count)
        return aa_fail(err, AA_EPARSE, "%zu items, but %zu scores", rp->item_count,
                       rp->score_count);
    for (size_t i = 0; i < rp->score_count; i++)
        if (!isfinite(rp->score[i])) return aa_fail(err, AA_EPARSE, "scores[%zu] is too large", i);
    for (size_t i = 0; i < rp->reading_count; i++)
        if (!isfinite(rp->reading[i].mix))
            return aa_fail(err, AA_EPARSE, "explanations[%zu]: mix is too large", i);
    return AA_OK;
}

aa_status
score_json_read_reply(aa_score_reply *rp, const char *text, size_t len, aa_err *err)
{
    json_t       *root = json_loadb(text, len, 0, NULL);
    const json_t *scores = json_object_get(root, "scores"), *items = json_object_get(root, "items");
    const json_t *readings = json_object_get(root, "explanations");
    const json_t *error = json_object_get(root, "error");
    size_t        n = json_array_size(scores), readings_n = json_array_size(readings);
    aa_status     st = AA_OK;
    *rp = (aa_score_reply){0};
    if (!json_is_array(scores) && !json_is_string(error)) {
        st = aa_fail(err, AA_EPARSE, "%zu bytes that are not a reply", len);
        goto out;
    }
    float            *score = calloc(n + 1, sizeof *score);
    aa_score_reading *rd = calloc(readings_n + 1, sizeof *rd);
    aa_text          *item = copy_items(items);
    *rp = (aa_score_reply){.owned = {score, rd, item}};
    if (!score || !rd || !item) {
        aa_score_reply_fini(rp);
        st = aa_fail(err, AA_ENOMEM, "reply of %zu bytes", len);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        score[i] = (float)json_number_value(json_array_get(scores, i));
    for (size_t i = 0; i < readings_n; i++)
        rd[i] = reading_of(json_array_get(readings, i));
    rp->status = (uint32_t)json_integer_value(json_object_get(root, "status"));
    rp->score = score;
    rp->score_count = n;
    rp->reading = rd;
    rp->reading_count = readings_n;
    rp->item = item;
    rp->item_count = json_array_size(items);
    rp->version = (uint64_t)json_integer_value(json_object_get(root, "version"));
    if (json_is_string(error))
        snprintf(rp->error, sizeof rp->error, "%s", json_string_value(error));
    st = check_json_reply(rp, err);
    if (st != AA_OK) aa_score_reply_fini(rp);
out:
    json_decref(root);
    return st;
}
