#include "scorer/serve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/links/rpc.h"
#include "common/service/rate.h"
#include "scorer/api/score_http.h"
#include "scorer/pool.h"

#define ZMQ_WAIT_MS       100  /* between two looks at the stop flag */
#define DISCONNECT_FACTOR 4    /* larger messages than this many limits are not even received */
#define HERE_BYTES        4096 /* longer bodies are always queued */

static const char queue_full[] = "too many requests wait already";
static const char too_fast[] = "more requests than scorer.max_per_s";

typedef struct zmq_job zmq_job;

struct serve {
    aa_context           *ctx;
    const aa_conf        *cfg;
    scorer_metrics       *sm;
    pool                 *pl;
    _Atomic(const char *) not_ready; /* NULL: ready */
    atomic_bool           holds;     /* requests until it is */
    pthread_cond_t        changed;   /* one of the two, with lock */
    serve_page            page;
    void                 *page_arg;
    aa_rpc_server        *sv;
    pthread_t             zmq_thread;
    bool                  zmq_runs;
    atomic_bool           zmq_stop;
    int                   wake_fd;      /* readable: there are answers */
    pthread_mutex_t       lock;         /* of the next two */
    zmq_job              *done;         /* answers to send, newest first */
    aa_rate               rate;         /* of requests, both endpoints together */
    size_t                asked;        /* questions in the pool; the ZeroMQ thread's */
    scorer               *here;         /* HTTP's thread's own */
    int64_t               here_from_us; /* and when it may be used next */
};

static bool
within_rate(serve *se)
{
    pthread_mutex_lock(&se->lock);
    bool within = aa_rate_take(&se->rate, aa_now_us());
    pthread_mutex_unlock(&se->lock);
    return within;
}

/* On a thread of the pool: wait until scores can be given, as long as the request may. */
static void
await_ready(serve *se, int64_t arrived_us)
{
    const int64_t         until_us = arrived_us + se->cfg->scorer.deadline_ms * 1000;
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    if (!atomic_load(&se->holds)) return;
    pthread_mutex_lock(&se->lock);
    while (atomic_load(&se->holds) && aa_now_us() < until_us)
        pthread_cond_timedwait(&se->changed, &se->lock, &until);
    pthread_mutex_unlock(&se->lock);
}

/* ---- HTTP ---- */

typedef struct {
    pool_job        job;
    serve          *se;
    aa_http_request hq; /* its texts are the call's */
} http_job;

/* False: the request is a long one, and this scorer answers none of those now. */
static bool
answer_http(serve *se, scorer *sc, bool only_short, int64_t arrived_us, const aa_http_request *hq,
            aa_http_reply *hp)
{
    scorer_tally tally;
    scorer_arrived(sc, arrived_us, aa_now_us);
    scorer_only_short(sc, only_short);
    score_http_answer(sc, atomic_load(&se->not_ready), (size_t)se->cfg->scorer.max_request_bytes,
                      hq, hp, &tally);
    if (tally.status == SCORER_LONG) {
        free(hp->body);
        *hp = (aa_http_reply){0};
        return false;
    }
    scorer_metrics_request(se->sm, SCORER_HTTP, &tally, aa_now_us() - arrived_us);
    return true;
}

static void
run_http(pool_job *job, scorer *sc)
{
    http_job     *hj = (http_job *)job;
    aa_http_reply hp = {0};
    await_ready(hj->se, job->arrived_us);
    if (!answer_http(hj->se, sc, !job->is_long, job->arrived_us, &hj->hq, &hp)) {
        pool_put_back(hj->se->pl, job);
        return;
    }
    aa_http_finish(hj->hq.call, &hp);
    free(hj);
}

/* A short request that finds nobody waiting is answered where it arrived: to hand it to another
 * thread, and its answer back, costs more than scoring does. Half of the thread's time at most goes
 * that way. Whoever comes while it scores, or right after, is queued; so HTTP keeps answering, all
 * threads have work, and too many requests are refused as soon as ever. *is_long: it was not
 * answered, for being long. */
static bool
answer_here(serve *se, int64_t now_us, const aa_http_request *hq, aa_http_reply *hp, bool *is_long)
{
    if (atomic_load(&se->holds) || hq->body_len > HERE_BYTES || now_us < se->here_from_us ||
        pool_waiting(se->pl) > 0)
        return false;
    *is_long = !answer_http(se, se->here, true, now_us, hq, hp);
    const int64_t done_us = aa_now_us();
    se->here_from_us = done_us + (done_us - now_us);
    return !*is_long;
}

static void
refuse_http(serve *se, aa_http_reply *hp, uint32_t status, const char *why)
{
    scorer_tally tally;
    score_http_refuse(hp, &tally, status, why);
    scorer_metrics_request(se->sm, SCORER_HTTP, &tally, 0);
}

static void
on_http(void *arg, const aa_http_request *hq, aa_http_reply *hp)
{
    serve  *se = arg;
    bool    is_long = false;
    int64_t now_us = aa_now_us();
    if (se->page && se->page(se->page_arg, hq, hp)) return;
    if (!within_rate(se)) {
        refuse_http(se, hp, AA_SCORE_TOO_MANY, too_fast);
        return;
    }
    if (answer_here(se, now_us, hq, hp, &is_long)) return;
    http_job *hj = malloc(sizeof *hj);
    if (!hj) {
        refuse_http(se, hp, AA_SCORE_FAILED, "out of memory");
        return;
    }
    *hj = (http_job){
        .job = {.arrived_us = now_us, .run = run_http, .is_long = is_long}, .se = se, .hq = *hq};
    aa_http_later(hq->call);
    if (pool_push(se->pl, &hj->job)) return;
    free(hj);
    refuse_http(se, hp, AA_SCORE_TOO_MANY, queue_full);
    aa_http_finish(hq->call, hp);
    hp->body = NULL; /* taken */
}

/* ---- ZeroMQ ---- */

struct zmq_job {
    pool_job      job;
    serve        *se;
    zmq_job      *next_done;
    aa_rpc_asker *as;
    aa_status     st;
    aa_bytes      answer;
    aa_status     asked; /* AA_EPARSE: not one frame */
    size_t        len;
    uint8_t       question[]; /* (len) */
};

static void
zmq_job_free(zmq_job *zj)
{
    aa_rpc_asker_free(&zj->as);
    aa_bytes_fini(&zj->answer);
    free(zj);
}

static void
run_zmq(pool_job *job, scorer *sc)
{
    zmq_job       *zj = (zmq_job *)job;
    serve         *se = zj->se;
    aa_err         err = AA_ERR_INIT;
    aa_score_reply reply = {0};
    scorer_tally   tally;
    uint64_t       one = 1;
    await_ready(se, job->arrived_us);
    scorer_arrived(sc, job->arrived_us, aa_now_us);
    scorer_only_short(sc, !job->is_long);
    if (zj->asked) {
        scorer_refuse(&reply, &tally, AA_SCORE_BAD_REQUEST, "a question is one frame");
        zj->st = aa_score_pack_reply(&zj->answer, &reply, &err);
    } else {
        zj->st = scorer_step(sc, atomic_load(&se->not_ready), zj->question, zj->len, &zj->answer,
                             &tally, &err);
    }
    if (zj->st) {
        aa_warn("ENDPOINT", "%s: %s", aa_status_name(zj->st), err.text);
    } else if (tally.status == SCORER_LONG) {
        pool_put_back(se->pl, job);
        return;
    } else {
        scorer_metrics_request(se->sm, SCORER_ZMQ, &tally, aa_now_us() - job->arrived_us);
    }
    pthread_mutex_lock(&se->lock);
    zj->next_done = se->done;
    se->done = zj;
    pthread_mutex_unlock(&se->lock);
    if (write(se->wake_fd, &one, sizeof one) < 0)
        aa_warn("ENDPOINT", "cannot wake the ZeroMQ thread");
}

/* Send what the pool has answered. */
static void
send_answers(serve *se)
{
    uint64_t count;
    if (read(se->wake_fd, &count, sizeof count) < 0) return; /* none */
    pthread_mutex_lock(&se->lock);
    zmq_job *newest = se->done, *oldest = NULL;
    se->done = NULL;
    pthread_mutex_unlock(&se->lock);
    while (newest) {
        zmq_job *zj = newest;
        newest = zj->next_done;
        zj->next_done = oldest;
        oldest = zj;
    }
    while (oldest) {
        zmq_job *zj = oldest;
        aa_err   err = AA_ERR_INIT;
        oldest = zj->next_done;
        if (!zj->st && aa_rpc_reply_to(se->sv, &zj->as, zj->answer.data, zj->answer.len, &err))
            aa_warn("ENDPOINT", "%s", err.text);
        zmq_job_free(zj);
        se->asked--;
    }
}

static aa_status
refuse_zmq(serve *se, const char *why, aa_err *err)
{
    aa_bytes       out = {0};
    aa_score_reply reply = {0};
    scorer_tally   tally;
    scorer_refuse(&reply, &tally, AA_SCORE_TOO_MANY, "%s", why);
    aa_status st = aa_score_pack_reply(&out, &reply, err);
    if (st == AA_OK) st = aa_rpc_reply(se->sv, out.data, out.len, err);
    scorer_metrics_request(se->sm, SCORER_ZMQ, &tally, 0);
    aa_bytes_fini(&out);
    return st;
}

/* A question becomes a job, or is refused. */
static aa_status
take_question(serve *se, aa_status asked, const void *buf, size_t len, aa_err *err)
{
    if (!within_rate(se)) return refuse_zmq(se, too_fast, err);
    if (pool_waiting(se->pl) >= (size_t)se->cfg->scorer.queue)
        return refuse_zmq(se, queue_full, err);
    zmq_job *zj = malloc(sizeof *zj + len);
    if (!zj) return aa_fail(err, AA_ENOMEM, "question of %zu bytes", len);
    *zj = (zmq_job){
        .job = {.arrived_us = aa_now_us(), .run = run_zmq}, .se = se, .asked = asked, .len = len};
    if (len) memcpy(zj->question, buf, len);
    aa_status st = aa_rpc_later(se->sv, &zj->as, err);
    if (st != AA_OK) {
        zmq_job_free(zj);
        return st;
    }
    se->asked++;
    if (pool_push(se->pl, &zj->job)) return AA_OK;
    /* filled up in between, by the other endpoint: the way back is the job's already */
    aa_score_reply reply = {0};
    scorer_tally   tally;
    scorer_refuse(&reply, &tally, AA_SCORE_TOO_MANY, "%s", queue_full);
    st = aa_score_pack_reply(&zj->answer, &reply, err);
    if (st == AA_OK) st = aa_rpc_reply_to(se->sv, &zj->as, zj->answer.data, zj->answer.len, err);
    scorer_metrics_request(se->sm, SCORER_ZMQ, &tally, 0);
    zmq_job_free(zj);
    se->asked--;
    return st;
}

static void *
serve_zmq(void *arg)
{
    serve *se = arg;
    while (!atomic_load(&se->zmq_stop) || se->asked > 0) {
        const void *buf = NULL;
        size_t      len = 0;
        aa_err      err = AA_ERR_INIT;
        aa_status   st = aa_rpc_recv(se->sv, ZMQ_WAIT_MS, &buf, &len, &err);
        send_answers(se);
        if (st == AA_EAGAIN) continue;
        if (st == AA_OK || st == AA_EPARSE) st = take_question(se, st, buf, len, &err);
        if (st != AA_OK) aa_warn("ENDPOINT", "%s: %s", aa_status_name(st), err.text);
    }
    return NULL;
}

/* ---- both ---- */

aa_status
serve_open(serve **out, aa_context *ctx, replica *rp, scorer_metrics *sm, serve_page page,
           void *page_arg, aa_err *err)
{
    const aa_conf     *cfg = ctx->cfg;
    size_t             max_bytes = (size_t)cfg->scorer.max_request_bytes;
    aa_link_keys       keys = aa_link_keys_of(cfg);
    pthread_condattr_t monotonic;
    serve             *se = calloc(1, sizeof *se);
    if (!se) return aa_fail(err, AA_ENOMEM, "endpoints");
    se->ctx = ctx;
    se->cfg = cfg;
    se->sm = sm;
    se->page = page;
    se->page_arg = page_arg;
    atomic_init(&se->not_ready, "starting");
    aa_rate_init(&se->rate, cfg->scorer.max_per_s, aa_now_us());
    pthread_mutex_init(&se->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); /* aa_now_us's */
    pthread_cond_init(&se->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    se->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    aa_status st = se->wake_fd < 0 ? aa_fail(err, AA_EIO, "eventfd") : AA_OK;
    if (st == AA_OK)
        st =
            pool_new(&se->pl, cfg, rp, (size_t)cfg->scorer.threads, (size_t)cfg->scorer.queue, err);
    if (st == AA_OK) st = scorer_new(&se->here, cfg, rp, err);
    if (st == AA_OK)
        st = aa_rpc_listen(&se->sv, cfg->scorer.listen, &keys, DISCONNECT_FACTOR * max_bytes, err);
    if (st != AA_OK) goto out;
    aa_rpc_set_wake_fd(se->sv, se->wake_fd);
    se->zmq_runs = pthread_create(&se->zmq_thread, NULL, serve_zmq, se) == 0;
    if (!se->zmq_runs) {
        st = aa_fail(err, AA_EIO, "no thread for the ZeroMQ endpoint");
        goto out;
    }
    aa_http_set_handler(ctx, on_http, se);
    aa_info("LISTEN", "score requests at %s%s", aa_rpc_endpoint(se->sv),
            cfg->http.enabled ? " and POST /v1/score, /v1/rank, /v1/batch over HTTP" : "");
    *out = se;
    se = NULL;
out:
    serve_close(&se);
    return st;
}

void
serve_set_not_ready(serve *se, const char *why, bool hold)
{
    pthread_mutex_lock(&se->lock);
    atomic_store(&se->not_ready, why);
    atomic_store(&se->holds, why && hold);
    pthread_cond_broadcast(&se->changed);
    pthread_mutex_unlock(&se->lock);
}

aa_status
serve_move(serve *se, replica *rp, aa_err *err)
{
    aa_status st = pool_move(se->pl, rp, err);
    return st == AA_OK ? scorer_move(se->here, rp, err) : st;
}

const char *
serve_endpoint(const serve *se)
{
    return aa_rpc_endpoint(se->sv);
}

size_t
serve_waiting(serve *se)
{
    return pool_waiting(se->pl);
}

void
serve_close(serve **se_p)
{
    serve *se = *se_p;
    if (!se) return;
    aa_http_set_handler(se->ctx, NULL, NULL);
    if (atomic_load(&se->not_ready)) serve_set_not_ready(se, atomic_load(&se->not_ready), false);
    atomic_store(&se->zmq_stop, true);
    if (se->zmq_runs) pthread_join(se->zmq_thread, NULL); /* has sent its last answer */
    pool_free(&se->pl);                                   /* HTTP's last are answered */
    scorer_free(&se->here);
    aa_rpc_close(&se->sv);
    if (se->wake_fd >= 0) close(se->wake_fd);
    pthread_cond_destroy(&se->changed);
    pthread_mutex_destroy(&se->lock);
    free(se);
    *se_p = NULL;
}
