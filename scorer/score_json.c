#include "scorer/score_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define NUMBER_BYTES 24

/* What a request's texts point into. */
typedef struct {
    json_t *root;
    char (*number)[NUMBER_BYTES]; /* integer IDs as text */
    size_t number_count;
} json_source;

static void
source_free(void *source)
{
    json_source *so = source;
    json_decref(so->root);
    free(so->number);
    free(so);
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
    if (idx < 0) return aa_fail(err, AA_EPARSE, "%s: an ID is text or an integer", where);
    return aa_fail(err, AA_EPARSE, "%s[%d]: an ID is text or an integer", where, idx);
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
        if (st) return st;
    }
    return AA_OK;
}

static aa_status
check_members(const json_t *root, aa_err *err)
{
    static const struct {
        const char *name, *want;
    } member[] = {{"user", "an ID"},
                  {"items", "a list"},
                  {"context", "a list"},
                  {"explain", "true or false"},
                  {"request_id", "an integer"}};
    const size_t n = sizeof member / sizeof member[0];
    const char  *name;
    json_t      *value;
    void        *at = json_object_iter((json_t *)(uintptr_t)root);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)root, at)) {
        size_t i = 0;
        name = json_object_iter_key(at);
        value = json_object_iter_value(at);
        while (i < n && strcmp(member[i].name, name) != 0)
            i++;
        bool fits = i == 0   ? true /* id_of says it better */
                    : i <= 2 ? json_is_array(value)
                    : i == 3 ? json_is_boolean(value)
                             : json_is_integer(value);
        if (i == n) return aa_fail(err, AA_EPARSE, "unknown member \"%.40s\"", name);
        if (!fits) return aa_fail(err, AA_EPARSE, "%s: expected %s", name, member[i].want);
    }
    if (!json_object_get(root, "user")) return aa_fail(err, AA_EPARSE, "user is missing");
    if (!json_object_get(root, "items")) return aa_fail(err, AA_EPARSE, "items is missing");
    return AA_OK;
}

static aa_status
fill(aa_score_request *rq, json_source *so, aa_err *err)
{
    aa_status     st = check_members(so->root, err);
    const json_t *items = json_object_get(so->root, "items");
    const json_t *context = json_object_get(so->root, "context");
    if (st) return st;
    so->number = calloc(json_array_size(items) + json_array_size(context) + 1, NUMBER_BYTES);
    if (!so->number) return aa_fail(err, AA_ENOMEM, "%zu items", json_array_size(items));
    st = id_of(so, json_object_get(so->root, "user"), "user", -1, &rq->user, err);
    if (!st) st = ids_of(so, items, "items", &rq->item, &rq->item_count, err);
    if (!st) st = ids_of(so, context, "context", &rq->context, &rq->context_count, err);
    rq->explain = json_is_true(json_object_get(so->root, "explain"));
    rq->request_id = (uint64_t)json_integer_value(json_object_get(so->root, "request_id"));
    return st;
}

aa_status
score_json_request(aa_score_request *rq, const void *body, size_t len, aa_err *err)
{
    json_error_t je;
    *rq = (aa_score_request){0};
    json_source *so = calloc(1, sizeof *so);
    if (!so) return aa_fail(err, AA_ENOMEM, "score request");
    so->root = json_loadb(len ? body : "", len, JSON_REJECT_DUPLICATES, &je);
    rq->source = so;
    rq->source_free = source_free;
    aa_status st = AA_OK;
    if (!so->root)
        st =
            aa_fail(err, AA_EPARSE, "not JSON: line %d column %d: %s", je.line, je.column, je.text);
    else if (!json_is_object(so->root))
        st = aa_fail(err, AA_EPARSE, "expected a JSON object");
    else
        st = fill(rq, so, err);
    if (st) aa_score_request_fini(rq);
    return st;
}

static json_t *
explanation_of(const aa_score_reading *rd)
{
    return json_pack("{s:I, s:f, s:i, s:b, s:b, s:I}", "slot", (json_int_t)rd->slot, "mix",
                     (double)rd->mix, "position", (int)rd->position, "unique", (int)rd->unique,
                     "known", (int)rd->known, "version", (json_int_t)rd->version);
}

char *
score_json_reply(const aa_score_reply *rp, size_t *len)
{
    char   *text = NULL;
    int     failed = 0;
    json_t *root = json_object(), *list;
    if (rp->status) {
        failed |= json_object_set_new(root, "error", json_string(rp->error));
        failed |= json_object_set_new(root, "status", json_integer(rp->status));
    } else {
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
