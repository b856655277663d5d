/* Confluent's interface: GET /schemas/ids/N gives a schema, its type, and its references by subject
 * and version; GET /subjects/S/versions/V gives such a reference's number. protobuf is asked for in
 * compiled form (?format=serialized: a FileDescriptorProto in base64). */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "common/base/base64.h"
#include "ingest/registry/registry_internal.h"

enum { CONNECT_MS = 3000, ANSWER_MS = 10000, URL_BYTES = 2048 };

struct registry_fetch {
    const aa_conf     *cfg;  /* borrowed */
    CURL              *curl; /* owned */
    struct curl_slist *headers;
    char               address[REGISTRY_ADDRESSES][AA_CONF_STR];
    size_t             count, turn; /* turn: the address that answered last */
    char              *body;        /* (cap) owned; (len) of the last answer */
    size_t             len, cap;
    char               words[CURL_ERROR_SIZE];
    atomic_bool        stopped;
};

/* What a request came to. */
typedef struct {
    schema_answer answer;
    json_t       *body; /* FOUND: owned */
} reply;

/* A schema being put together. */
typedef struct {
    registry_fetch *fe;
    schema_texts   *out;
    uint32_t        seen[SCHEMA_TEXTS]; /* numbers of out's texts */
    size_t          bytes;
    aa_err         *err;
} gathering;

void
registry_free_texts(schema_texts *sx)
{
    for (size_t i = 0; i < sx->count; i++)
        free(sx->text[i].bytes);
    sx->count = 0;
}

/* ---- one request ---- */

static size_t
take_body(char *bytes, size_t size, size_t count, void *arg)
{
    registry_fetch *fe = arg;
    const size_t    n = size * count;
    if (n > REGISTRY_ANSWER_BYTES - fe->len) return 0; /* ends the request */
    if (fe->len + n > fe->cap) {
        const size_t cap = 2 * (fe->len + n);
        char        *grown = realloc(fe->body, cap);
        if (!grown) return 0;
        fe->body = grown;
        fe->cap = cap;
    }
    memcpy(fe->body + fe->len, bytes, n);
    fe->len += n;
    return n;
}

static int
look_at_stop(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    registry_fetch *fe = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&fe->stopped); /* not 0 ends the request */
}

void
registry_fetch_stop(registry_fetch *fe)
{
    atomic_store(&fe->stopped, true);
}

static schema_answer
judge_body(registry_fetch *fe, const char *url, reply *re, aa_err *err)
{
    json_error_t je;
    re->body = json_loadb(fe->body ? fe->body : "", fe->len, 0, &je);
    if (json_is_object(re->body)) return SCHEMA_FOUND;
    json_decref(re->body);
    re->body = NULL;
    (void)!aa_fail(err, AA_EIO, "%.80s: the answer is no JSON object", url);
    return SCHEMA_LATER;
}

static schema_answer
ask_address(registry_fetch *fe, const char *address, const char *path, reply *re, aa_err *err)
{
    char url[URL_BYTES];
    long status = 0;
    snprintf(url, sizeof url, "%s%s", address, path);
    fe->len = 0;
    fe->words[0] = '\0';
    curl_easy_setopt(fe->curl, CURLOPT_URL, url);
    const CURLcode code = curl_easy_perform(fe->curl);
    if (code != CURLE_OK) {
        (void)!aa_fail(err, AA_EIO, "%.80s: %.80s", address,
                       fe->words[0] ? fe->words : curl_easy_strerror(code));
        return SCHEMA_LATER;
    }
    curl_easy_getinfo(fe->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return judge_body(fe, url, re, err);
    (void)!aa_fail(err, AA_EIO, "%.100s answers %ld", address, status);
    return status == 404 ? SCHEMA_UNKNOWN : SCHEMA_LATER;
}

/* Each address once, the one that answered last first. */
static reply
ask_registry(registry_fetch *fe, const char *path, aa_err *err)
{
    reply re = {.answer = SCHEMA_LATER};
    for (size_t i = 0; i < fe->count && re.answer == SCHEMA_LATER; i++) {
        const size_t at = (fe->turn + i) % fe->count;
        re.answer = ask_address(fe, fe->address[at], path, &re, err);
        if (re.answer != SCHEMA_LATER) fe->turn = at;
    }
    return re;
}

/* ---- a schema and its references ---- */

static schema_answer gather_schema(gathering *ga, uint32_t id, int depth);

static schema_answer
be_unfit(gathering *ga, const char *what)
{
    (void)!aa_fail(ga->err, AA_EPARSE, "%s", what);
    return SCHEMA_UNFIT;
}

static schema_kind
kind_of(const json_t *body)
{
    const char *type = json_string_value(json_object_get(body, "schemaType"));
    if (type && strcmp(type, "PROTOBUF") == 0) return SCHEMA_PROTOBUF;
    return type && strcmp(type, "JSON") == 0 ? SCHEMA_JSON : SCHEMA_AVRO;
}

/* The number behind a reference's subject and version. */
static schema_answer
ask_reference(gathering *ga, const json_t *reference, uint32_t *id)
{
    char             path[URL_BYTES / 2];
    const char      *subject = json_string_value(json_object_get(reference, "subject"));
    const json_int_t version = json_integer_value(json_object_get(reference, "version"));
    if (!subject) return be_unfit(ga, "a reference without a subject");
    char *escaped = curl_easy_escape(ga->fe->curl, subject, 0);
    if (!escaped) return SCHEMA_LATER;
    const int n =
        snprintf(path, sizeof path, "/subjects/%s/versions/%" PRId64, escaped, (int64_t)version);
    curl_free(escaped);
    if (n < 0 || (size_t)n >= sizeof path) return be_unfit(ga, "a reference's subject is too long");
    reply re = ask_registry(ga->fe, path, ga->err);
    if (re.answer == SCHEMA_UNKNOWN) return be_unfit(ga, "it refers to a schema that is not there");
    if (re.answer != SCHEMA_FOUND) return re.answer;
    const json_t *number = json_object_get(re.body, "id");
    const bool    good = json_is_integer(number) && json_integer_value(number) >= 0 &&
                      json_integer_value(number) <= UINT32_MAX;
    *id = good ? (uint32_t)json_integer_value(number) : 0;
    json_decref(re.body);
    return good ? SCHEMA_FOUND : be_unfit(ga, "a reference without a number");
}

static schema_answer
gather_references(gathering *ga, const json_t *body, int depth)
{
    const json_t *references = json_object_get(body, "references");
    schema_answer an = SCHEMA_FOUND;
    for (size_t i = 0; an == SCHEMA_FOUND && i < json_array_size(references); i++) {
        uint32_t id = 0;
        an = ask_reference(ga, json_array_get(references, i), &id);
        if (an == SCHEMA_FOUND) an = gather_schema(ga, id, depth + 1);
        if (an == SCHEMA_UNKNOWN) an = be_unfit(ga, "it refers to a schema that is not there");
    }
    return an;
}

static schema_answer
add_text(gathering *ga, uint32_t id, const char *text)
{
    schema_texts *sx = ga->out;
    size_t        len = strlen(text), n = len;
    if (sx->count == SCHEMA_TEXTS) return be_unfit(ga, "it refers to too many schemas");
    if (len > REGISTRY_TEXT_BYTES - ga->bytes) return be_unfit(ga, "it is too large");
    char *bytes = malloc(len + 1);
    if (!bytes) {
        (void)!aa_fail(ga->err, AA_ENOMEM, "out of memory");
        return SCHEMA_LATER;
    }
    if (sx->kind != SCHEMA_PROTOBUF) {
        memcpy(bytes, text, len + 1);
    } else if (!aa_base64_get(bytes, &n, text, len)) {
        free(bytes);
        return be_unfit(ga, "the registry gives no compiled protobuf (?format=serialized): set "
                            "event.descriptor instead");
    }
    ga->seen[sx->count] = id;
    sx->text[sx->count++] = (schema_text){bytes, n};
    ga->bytes += n;
    return SCHEMA_FOUND;
}

/* Recursive as deep as REGISTRY_DEPTH. A schema stands once, behind those that it refers to. */
static schema_answer
gather_schema(gathering *ga, uint32_t id, int depth)
{
    char path[80];
    for (size_t i = 0; i < ga->out->count; i++)
        if (ga->seen[i] == id) return SCHEMA_FOUND;
    if (depth == REGISTRY_DEPTH) return be_unfit(ga, "references nested too deep");
    snprintf(path, sizeof path, "/schemas/ids/%" PRIu32, id);
    reply re = ask_registry(ga->fe, path, ga->err);
    if (re.answer == SCHEMA_FOUND && kind_of(re.body) == SCHEMA_PROTOBUF) {
        json_decref(re.body);
        snprintf(path, sizeof path, "/schemas/ids/%" PRIu32 "?format=serialized", id);
        re = ask_registry(ga->fe, path, ga->err);
    }
    if (re.answer != SCHEMA_FOUND) return re.answer;
    const char *text = json_string_value(json_object_get(re.body, "schema"));
    if (depth == 0) ga->out->kind = kind_of(re.body);
    schema_answer an = text ? gather_references(ga, re.body, depth)
                            : be_unfit(ga, "the registry's answer has no schema");
    if (an == SCHEMA_FOUND) an = add_text(ga, id, text);
    json_decref(re.body);
    return an;
}

schema_answer
registry_fetch_schema(registry_fetch *fe, uint32_t id, schema_texts *out, aa_err *err)
{
    gathering ga = {.fe = fe, .out = out, .err = err};
    out->count = 0;
    const schema_answer an = gather_schema(&ga, id, 0);
    if (an != SCHEMA_FOUND) registry_free_texts(out);
    return an;
}

/* ---- open ---- */

static aa_status
split_addresses(registry_fetch *fe, aa_err *err)
{
    for (const char *at = fe->cfg->event.schema_registry; *at;) {
        size_t len = strcspn(at, ",");
        if (fe->count == REGISTRY_ADDRESSES)
            return aa_fail(err, AA_ECONFIG, "event.schema_registry: more than %d addresses",
                           REGISTRY_ADDRESSES);
        const char *next = at + len + (at[len] == ',');
        while (len > 0 && at[len - 1] == '/')
            len--;
        while (len > 0 && *at == ' ') {
            at++;
            len--;
        }
        if (strncmp(at, "http://", 7) != 0 && strncmp(at, "https://", 8) != 0)
            return aa_fail(err, AA_ECONFIG,
                           "event.schema_registry: \"%.*s\": expected http://... or https://...",
                           (int)len, at);
        snprintf(fe->address[fe->count++], AA_CONF_STR, "%.*s", (int)len, at);
        at = next;
    }
    return AA_OK;
}

static void
set_credentials(registry_fetch *fe)
{
    const char *user = getenv("AUTOASSIGN_SCHEMA_REGISTRY_USER");
    const char *password = getenv("AUTOASSIGN_SCHEMA_REGISTRY_PASSWORD");
    const char *token = getenv("AUTOASSIGN_SCHEMA_REGISTRY_TOKEN");
    if (user && *user) {
        curl_easy_setopt(fe->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(fe->curl, CURLOPT_USERNAME, user);
        curl_easy_setopt(fe->curl, CURLOPT_PASSWORD, password ? password : "");
    } else if (token && *token) {
        curl_easy_setopt(fe->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(fe->curl, CURLOPT_XOAUTH2_BEARER, token);
    }
}

static aa_status
open_curl(registry_fetch *fe, aa_err *err)
{
    const char *ca = fe->cfg->event.schema_ca;
    fe->curl = curl_easy_init();
    fe->headers =
        curl_slist_append(NULL, "Accept: application/vnd.schemaregistry.v1+json, application/json");
    if (!fe->curl || !fe->headers) return aa_fail(err, AA_ENOMEM, "schema registry");
    curl_easy_setopt(fe->curl, CURLOPT_HTTPHEADER, fe->headers);
    curl_easy_setopt(fe->curl, CURLOPT_USERAGENT, "autoassign/" AA_VERSION);
    curl_easy_setopt(fe->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(fe->curl, CURLOPT_ERRORBUFFER, fe->words);
    curl_easy_setopt(fe->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(fe->curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(fe->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(fe->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(fe->curl, CURLOPT_WRITEDATA, fe);
    curl_easy_setopt(fe->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(fe->curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(fe->curl, CURLOPT_XFERINFODATA, fe);
    set_credentials(fe);
    if (*ca) {
        FILE *file = fopen(ca, "rb");
        if (!file) return aa_fail(err, AA_ECONFIG, "event.schema_ca: %s: cannot be read", ca);
        fclose(file);
        curl_easy_setopt(fe->curl, CURLOPT_CAINFO, ca);
    }
    return AA_OK;
}

aa_status
registry_fetch_open(registry_fetch **out, const aa_conf *cfg, aa_err *err)
{
    registry_fetch *fe = calloc(1, sizeof *fe);
    if (!fe) return aa_fail(err, AA_ENOMEM, "schema registry");
    fe->cfg = cfg;
    aa_status st = split_addresses(fe, err);
    if (st == AA_OK) st = open_curl(fe, err);
    if (st != AA_OK) {
        registry_fetch_close(&fe);
        return st;
    }
    *out = fe;
    return AA_OK;
}

void
registry_fetch_close(registry_fetch **fe_p)
{
    registry_fetch *fe = *fe_p;
    if (!fe) return;
    if (fe->curl) curl_easy_cleanup(fe->curl);
    curl_slist_free_all(fe->headers);
    free(fe->body);
    free(fe);
    *fe_p = NULL;
}
