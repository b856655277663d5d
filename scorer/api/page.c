#include "scorer/api/page.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/http_client.h"
#include "scorer/api/metrics_history.h"

#define POINTS    600 /* of the history; when it is full, every second one goes */
#define ASK_MS    1000
#define NAME_SIZE 256

/* made from scorer/api/page.html and scorer/api/openapi.yaml by the Makefile */
extern const unsigned char page_html[], openapi_yaml[];
extern const unsigned long page_html_bytes, openapi_yaml_bytes;

typedef enum { INGEST, ASSIGNER, LEARNER, SCORER, PROCESSES } process_id;
static const char *const process_name[PROCESSES] = {"ingest", "assigner", "learner", "scorer"};

/* What is kept over time. */
static const struct {
    const char *name;
    process_id  from;
    const char *metric, *label;
} kept[] = {{"events", LEARNER, "autoassign_events_total", ""},
            {"lag", INGEST, "autoassign_consumer_lag", ""},
            {"auc", LEARNER, "autoassign_auc", "window=\"recent\""},
            {"auc_all", LEARNER, "autoassign_auc", "window=\"all\""},
            {"logloss", LEARNER, "autoassign_logloss", "window=\"recent\""},
            {"ids", ASSIGNER, "autoassign_ids", ""},
            {"rows_unique", ASSIGNER, "autoassign_rows_unique", ""},
            {"requests", SCORER, "autoassign_scorer_requests_total", ""},
            {"staleness", SCORER, "autoassign_scorer_staleness_seconds", ""}};
enum { KEPT = sizeof kept / sizeof kept[0] };

typedef struct {
    char    host[AA_HTTP_HOST_BYTES], port[AA_HTTP_PORT_BYTES]; /* "" port: not known */
    char    error[160];                                         /* why there is no text */
    char   *text;                                               /* its metrics, owned */
    int64_t heard_ms;
} process;

struct page {
    const aa_context *ctx;
    process           process[PROCESSES];
    double            time_s[POINTS], value[KEPT][POINTS];
    size_t            count, stride, skipped;
    pthread_t         thread;
    bool              runs;
    pthread_mutex_t   lock; /* of the next three */
    pthread_cond_t    stop_cond;
    bool              stop;
    char             *status; /* JSON, owned */
};

/* ---- where the others are ---- */

static aa_status
set_process(page *pg, const char *entry, size_t len, aa_err *err)
{
    const char *equals = memchr(entry, '=', len);
    for (int p = 0; equals && p < SCORER; p++) {
        process     *pr = &pg->process[p];
        aa_err       why = AA_ERR_INIT;
        const size_t name_len = (size_t)(equals - entry);
        if (name_len != strlen(process_name[p]) || memcmp(entry, process_name[p], name_len) != 0)
            continue;
        if (aa_http_address(equals + 1, len - name_len - 1, pr->host, pr->port, &why) == AA_OK)
            return AA_OK;
    }
    return aa_fail(err, AA_ECONFIG,
                   "scorer.peers: \"%.*s\" is none of ingest=HOST:PORT, assigner=..., learner=...",
                   (int)len, entry);
}

static aa_status
find_processes(page *pg, aa_err *err)
{
    const aa_conf *cfg = pg->ctx->cfg;
    const int64_t port[] = {cfg->http.ingest_port, cfg->http.assigner_port, cfg->http.learner_port};
    for (int p = 0; p < SCORER; p++) {
        snprintf(pg->process[p].host, sizeof pg->process[p].host, "127.0.0.1");
        if (port[p])
            snprintf(pg->process[p].port, sizeof pg->process[p].port, "%lld", (long long)port[p]);
    }
    for (const char *at = cfg->scorer.peers; *at;) {
        size_t    len = strcspn(at, ", ");
        aa_status st = len ? set_process(pg, at, len, err) : AA_OK;
        if (st != AA_OK) return st;
        at += len + (at[len] != '\0');
    }
    return AA_OK;
}

aa_status
page_check(const aa_conf *cfg, aa_err *err)
{
    const aa_context ctx = {.cfg = cfg};
    page            *pg = calloc(1, sizeof *pg);
    if (!pg) return aa_fail(err, AA_ENOMEM, "page");
    pg->ctx = &ctx;
    aa_status st = find_processes(pg, err);
    free(pg);
    return st;
}

/* ---- gathering ---- */

static void
ask_process(process *pr)
{
    aa_err err = AA_ERR_INIT;
    free(pr->text);
    pr->text = NULL;
    pr->error[0] = '\0';
    if (!pr->port[0])
        snprintf(pr->error, sizeof pr->error,
                 "its port is not known: scorer.peers, or http.*_port");
    else if (aa_http_get(&pr->text, pr->host, pr->port, "/metrics", ASK_MS, &err) != AA_OK)
        snprintf(pr->error, sizeof pr->error, "%.150s", err.text);
    else
        pr->heard_ms = aa_wall_ms();
}

static void
remember(page *pg)
{
    if (pg->skipped++ % pg->stride != 0) return;
    if (pg->count == POINTS) {
        for (size_t i = 0; i < POINTS / 2; i++) {
            pg->time_s[i] = pg->time_s[2 * i];
            for (size_t k = 0; k < KEPT; k++)
                pg->value[k][i] = pg->value[k][2 * i];
        }
        pg->count = POINTS / 2;
        pg->stride *= 2;
    }
    pg->time_s[pg->count] = (double)aa_wall_ms() / 1e3;
    for (size_t k = 0; k < KEPT; k++)
        pg->value[k][pg->count] =
            metrics_history_sum(pg->process[kept[k].from].text, kept[k].metric, kept[k].label);
    pg->count++;
}

static json_t *
json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *
metrics_of(const process *pr)
{
    json_t     *out = json_object();
    const char *name, *text = pr->text;
    size_t      len;
    double      value;
    while ((text = metrics_history_next(text, &name, &len, &value))) {
        char key[NAME_SIZE];
        if (len >= sizeof key) continue;
        memcpy(key, name, len);
        key[len] = '\0';
        json_object_set_new(out, key, json_number(value)); /* what is no text is left out */
    }
    return out;
}

static json_t *
process_json(const process *pr)
{
    char address[AA_CONF_STR + 32];
    snprintf(address, sizeof address, "%s:%s", pr->host, pr->port);
    return json_pack("{s:b, s:s, s:s, s:I, s:o}", "up", pr->text != NULL, "address",
                     pr->port[0] ? address : "", "error", pr->error, "heard_ms",
                     (json_int_t)pr->heard_ms, "metrics", metrics_of(pr));
}

static json_t *
history_json(const page *pg)
{
    json_t *out = json_object(), *list = json_array();
    for (size_t i = 0; i < pg->count; i++)
        json_array_append_new(list, json_integer((json_int_t)pg->time_s[i]));
    json_object_set_new(out, "time_s", list);
    for (size_t k = 0; k < KEPT; k++) {
        list = json_array();
        for (size_t i = 0; i < pg->count; i++)
            json_array_append_new(list, json_number(pg->value[k][i]));
        json_object_set_new(out, kept[k].name, list);
    }
    return out;
}

static json_t *
settings_json(const aa_conf *cfg)
{
    json_t *fields = json_array();
    for (size_t f = 0; f < cfg->field_count; f++)
        json_array_append_new(fields, json_string(cfg->fields[f].name));
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:o}", "pipeline", cfg->pipeline.name, "mode",
                     aa_agent_mode_text(cfg->agent.mode), "model",
                     aa_model_id_text(cfg->model.kind), "dim", (json_int_t)cfg->model.dim,
                     "positions", (json_int_t)cfg->agent.positions, "token",
                     cfg->scorer.token[0] != '\0', "fields", fields);
}

static void
publish_status(page *pg)
{
    json_t *root = json_object(), *processes = json_object();
    for (int p = 0; p < PROCESSES; p++)
        json_object_set_new(processes, process_name[p], process_json(&pg->process[p]));
    json_object_set_new(root, "now_ms", json_integer((json_int_t)aa_wall_ms()));
    json_object_set_new(root, "every_ms",
                        json_integer((json_int_t)pg->ctx->cfg->scorer.page_every_ms));
    json_object_set_new(root, "program", json_string(AA_VERSION));
    json_object_set_new(root, "settings", settings_json(pg->ctx->cfg));
    json_object_set_new(root, "processes", processes);
    json_object_set_new(root, "history", history_json(pg));
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(root);
    if (!text) return; /* no memory: the last one stays */
    pthread_mutex_lock(&pg->lock);
    free(pg->status);
    pg->status = text;
    pthread_mutex_unlock(&pg->lock);
}

/* False: to be stopped. */
static bool
pause_ms(page *pg, int64_t ms)
{
    const struct timespec until = aa_wall_in(ms);
    pthread_mutex_lock(&pg->lock);
    while (!pg->stop && pthread_cond_timedwait(&pg->stop_cond, &pg->lock, &until) != ETIMEDOUT)
        ;
    bool go_on = !pg->stop;
    pthread_mutex_unlock(&pg->lock);
    return go_on;
}

static void *
gather_metrics(void *arg)
{
    page *pg = arg;
    do {
        process *own = &pg->process[SCORER];
        size_t   len;
        for (int p = 0; p < SCORER; p++)
            ask_process(&pg->process[p]);
        free(own->text);
        own->text = aa_metrics_render(pg->ctx->ms, &len);
        own->heard_ms = aa_wall_ms();
        remember(pg);
        publish_status(pg);
    } while (pause_ms(pg, pg->ctx->cfg->scorer.page_every_ms));
    return NULL;
}

/* ---- the resources ---- */

static char *
copy_of(const void *data, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy) memcpy(copy, data, len);
    return copy;
}

static void
put_status(page *pg, aa_http_reply *hp)
{
    pthread_mutex_lock(&pg->lock);
    hp->body_len = pg->status ? strlen(pg->status) : 0;
    hp->body = pg->status ? copy_of(pg->status, hp->body_len) : NULL;
    pthread_mutex_unlock(&pg->lock);
    hp->content_type = "application/json";
    if (!hp->body) hp->status = 503;
}

bool
page_answer(void *arg, const aa_http_request *hq, aa_http_reply *hp)
{
    if (strcmp(hq->path, "/") == 0) {
        hp->content_type = "text/html; charset=utf-8";
        hp->body = copy_of(page_html, hp->body_len = page_html_bytes);
    } else if (strcmp(hq->path, "/v1/openapi.yaml") == 0) {
        hp->content_type = "application/yaml";
        hp->body = copy_of(openapi_yaml, hp->body_len = openapi_yaml_bytes);
    } else if (strcmp(hq->path, "/v1/status") == 0) {
        put_status(arg, hp);
    } else {
        return false;
    }
    if (strcmp(hq->method, "GET") == 0 || strcmp(hq->method, "HEAD") == 0) return true;
    free(hp->body);
    *hp = (aa_http_reply){.status = 405,
                          .allow = "GET, HEAD",
                          .content_type = "text/plain",
                          .body = copy_of("GET only\n", 9)};
    hp->body_len = hp->body ? 9 : 0;
    return true;
}

aa_status
page_open(page **out, const aa_context *ctx, aa_err *err)
{
    page *pg = calloc(1, sizeof *pg);
    if (!pg) return aa_fail(err, AA_ENOMEM, "page");
    pg->ctx = ctx;
    pg->stride = 1;
    pthread_mutex_init(&pg->lock, NULL);
    pthread_cond_init(&pg->stop_cond, NULL);
    snprintf(pg->process[SCORER].host, sizeof pg->process[SCORER].host, "%s", ctx->cfg->http.bind);
    snprintf(pg->process[SCORER].port, sizeof pg->process[SCORER].port, "%d", aa_http_port(ctx));
    aa_status st = find_processes(pg, err);
    if (st == AA_OK && ctx->cfg->http.enabled) {
        pg->runs = pthread_create(&pg->thread, NULL, gather_metrics, pg) == 0;
        if (!pg->runs) st = aa_fail(err, AA_EIO, "no thread for the page");
    }
    if (st != AA_OK) page_close(&pg);
    *out = pg;
    return st;
}

void
page_close(page **pg_p)
{
    page *pg = *pg_p;
    if (!pg) return;
    pthread_mutex_lock(&pg->lock);
    pg->stop = true;
    pthread_cond_signal(&pg->stop_cond);
    pthread_mutex_unlock(&pg->lock);
    if (pg->runs) pthread_join(pg->thread, NULL);
    for (int p = 0; p < PROCESSES; p++)
        free(pg->process[p].text);
    free(pg->status);
    pthread_cond_destroy(&pg->stop_cond);
    pthread_mutex_destroy(&pg->lock);
    free(pg);
    *pg_p = NULL;
}
