/* scorer - answers score requests from a replica of the two compacted topics.
 *
 * Threads: the main thread reads the topics and applies them (the replica's one updater); one
 * thread serves the ZeroMQ door; libmicrohttpd's serves HTTP. The latter two score, each with a
 * scorer of its own, and share nothing with the updater but the replica, the metrics and one
 * pointer: why the service is not ready.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/kafka.h"
#include "common/log.h"
#include "common/program.h"
#include "common/rpc.h"
#include "common/summary.h"
#include "scorer/meters.h"
#include "scorer/replica.h"
#include "scorer/score_http.h"
#include "scorer/scorer.h"

#define APPLY_RECORDS     1024 /* per poll */
#define APPLY_WAIT_MS     20   /* a record waits at most this long for others */
#define DOOR_WAIT_MS      100  /* between two looks at the stop flag */
#define TOPIC_RETRY_MS    1000
#define TOPIC_REMIND_MS   10000
#define GAUGE_EVERY_MS    200
#define DRAIN_MS          5000
#define DISCONNECT_FACTOR 4 /* larger messages than this many limits are not even received */

static const char starting[] = "the topics are not there yet";
static const char catching_up[] = "catching up with the topics";
static const char stopping[] = "stopping";

typedef struct {
    aa_context           *ctx;
    const aa_conf        *cfg;
    replica              *rp;
    meters                me;
    _Atomic(const char *) not_ready; /* NULL: ready */
    scorer               *zmq_scorer, *http_scorer;
    aa_rpc_server        *sv;
    pthread_t             door;
    bool                  door_runs;
    atomic_bool           door_stop;
    aa_reader            *rd;
    aa_kafka_record      *rec; /* (APPLY_RECORDS) */
    int64_t               gauges_ms, stats_ms, start_ms;
    uint64_t              records;
} service;

/* ---- doors ---- */

static void
set_not_ready(service *sv, const char *why)
{
    if (atomic_exchange(&sv->not_ready, why) == why) return;
    aa_set_ready(sv->ctx, !why, why);
    if (why)
        aa_info("NOT-READY", "%s", why);
    else
        aa_info("READY", "scores are served, %" PRId64 " ms after the start",
                aa_now_ms() - sv->start_ms);
}

/* One question: step, or say why not. @errors AA_ENOMEM no reply */
static aa_status
reply_to(service *sv, aa_status asked, const void *buf, size_t len, aa_bytes *out,
         scorer_tally *tally, aa_err *err)
{
    aa_score_reply reply = {0};
    if (!asked)
        return scorer_step(sv->zmq_scorer, atomic_load(&sv->not_ready), buf, len, out, tally, err);
    scorer_refuse(&reply, tally, AA_SCORE_BAD_REQUEST, "%s", err->text);
    return aa_score_pack_reply(out, &reply, err);
}

static void *
serve_zmq(void *arg)
{
    service     *sv = arg;
    aa_bytes     out = {0};
    scorer_tally tally;
    while (!atomic_load(&sv->door_stop)) {
        const void *buf;
        size_t      len;
        aa_err      err = AA_ERR_INIT;
        aa_status   st = aa_rpc_recv(sv->sv, DOOR_WAIT_MS, &buf, &len, &err);
        int64_t     start_us = aa_now_us();
        if (st == AA_EAGAIN) continue;
        if (st == AA_OK || st == AA_EPARSE) {
            st = reply_to(sv, st, buf, len, &out, &tally, &err);
            if (!st) st = aa_rpc_reply(sv->sv, out.data, out.len, &err);
            if (!st) meters_request(&sv->me, METERS_ZMQ, &tally, aa_now_us() - start_us);
        }
        if (st) aa_warn("DOOR", "%s: %s", aa_status_name(st), err.text);
    }
    aa_bytes_fini(&out);
    return NULL;
}

static void
serve_http(void *arg, const aa_http_request *hq, aa_http_reply *hp)
{
    service     *sv = arg;
    scorer_tally tally;
    int64_t      start_us = aa_now_us();
    score_http_answer(sv->http_scorer, atomic_load(&sv->not_ready),
                      (size_t)sv->cfg->scorer.max_request_bytes, hq, hp, &tally);
    meters_request(&sv->me, METERS_HTTP, &tally, aa_now_us() - start_us);
}

static aa_status
open_doors(service *sv, aa_err *err)
{
    size_t       max_bytes = (size_t)sv->cfg->scorer.max_request_bytes;
    aa_link_keys keys = aa_link_keys_of(sv->cfg);
    aa_status    st = scorer_new(&sv->zmq_scorer, sv->cfg, sv->rp, err);
    if (!st) st = scorer_new(&sv->http_scorer, sv->cfg, sv->rp, err);
    if (!st)
        st = aa_rpc_listen(&sv->sv, sv->cfg->scorer.listen, &keys, DISCONNECT_FACTOR * max_bytes,
                           err);
    if (st) return st;
    if (pthread_create(&sv->door, NULL, serve_zmq, sv))
        return aa_fail(err, AA_EIO, "no thread for the door");
    sv->door_runs = true;
    aa_http_set_handler(sv->ctx, serve_http, sv);
    aa_info("LISTEN", "score requests at %s%s", aa_rpc_endpoint(sv->sv),
            sv->cfg->http.enabled ? " and POST /v1/score over HTTP" : "");
    return AA_OK;
}

static void
close_doors(service *sv)
{
    aa_http_set_handler(sv->ctx, NULL, NULL);
    atomic_store(&sv->door_stop, true);
    if (sv->door_runs) pthread_join(sv->door, NULL);
    aa_rpc_close(&sv->sv);
    scorer_free(&sv->zmq_scorer);
    scorer_free(&sv->http_scorer);
}

/* ---- the replica's updates ---- */

/* Open the reader, as soon as there is something to read. @errors not those that waiting may mend
 */
static aa_status
wait_for_topics(service *sv, aa_err *err)
{
    const char *topics[] = {sv->cfg->topics.assignments, sv->cfg->topics.model};
    int64_t     reminded_ms = INT64_MIN / 2;
    while (!aa_stop_requested()) {
        aa_status st = aa_reader_open(&sv->rd, sv->cfg, topics, 2, err);
        if (st != AA_EIO) return st;
        if (aa_now_ms() - reminded_ms >= TOPIC_REMIND_MS) {
            aa_info("WAIT-TOPICS", "waiting for the topics of assigner and learner: %s", err->text);
            reminded_ms = aa_now_ms();
        }
        struct pollfd stop = {.fd = aa_stop_fd(), .events = POLLIN};
        poll(&stop, 1, TOPIC_RETRY_MS);
    }
    return AA_OK;
}

static aa_status
apply(service *sv, const aa_kafka_record *rec, aa_err *err)
{
    replica_effect effect;
    aa_status      st =
        replica_apply(sv->rp, rec->key, rec->key_len, rec->value, rec->len, &effect, err);
    if (st == AA_EPARSE) {
        char kv[AA_CONF_STR + 64];
        snprintf(kv, sizeof kv, "part=%" PRId32 " off=%" PRId64 " key_bytes=%zu len_bytes=%zu",
                 rec->partition, rec->offset, rec->key_len, rec->len);
        aa_log_write(AA_WARN, "RECORD-BAD", kv, "%s", err->text);
        aa_counter_add(sv->me.bad, 1);
        return AA_OK;
    }
    if (st) return st;
    aa_counter_add(effect == REPLICA_APPLIED ? sv->me.applied
                   : effect == REPLICA_OLD   ? sv->me.old
                                             : sv->me.other_lane,
                   1);
    return AA_OK;
}

/* Read and apply what is there. */
static aa_status
update(service *sv, aa_err *err)
{
    size_t    count;
    aa_status st = aa_reader_poll(sv->rd, sv->rec, APPLY_RECORDS, APPLY_WAIT_MS, &count, err);
    for (size_t i = 0; i < count && !st; i++)
        st = apply(sv, &sv->rec[i], err);
    sv->records += count;
    return st;
}

static void
say_stats(service *sv, const replica_stats *rs)
{
    char     kv[400];
    uint64_t rows = 0, ids = 0;
    for (size_t f = 0; f < sv->cfg->field_count; f++) {
        rows += rs->rows[f];
        ids += rs->assignments[f];
    }
    snprintf(kv, sizeof kv,
             "version=%" PRIu64 " ids=%" PRIu64 " rows=%" PRIu64 " mem_bytes=%" PRIu64
             " records=%" PRIu64 " lag=%.0f zmq_requests=%" PRIu64 " http_requests=%" PRIu64
             " staleness_s=%.3f",
             rs->version, ids, rows, rs->bytes, sv->records, aa_gauge_get(sv->me.lag),
             meters_requests(&sv->me, METERS_ZMQ), meters_requests(&sv->me, METERS_HTTP),
             aa_gauge_get(sv->me.staleness));
    aa_log_write(AA_INFO, "STATS", kv, "serving");
}

static void
observe(service *sv)
{
    int64_t now_ms = aa_now_ms();
    if (now_ms - sv->gauges_ms < GAUGE_EVERY_MS) return;
    replica_stats rs;
    sv->gauges_ms = now_ms;
    replica_stats_get(sv->rp, &rs);
    meters_replica(&sv->me, &rs, sv->cfg->field_count, aa_wall_ms());
    aa_gauge_set(sv->me.lag, (double)aa_reader_lag(sv->rd));
    aa_log_flush_repeats();
    if (!sv->cfg->log.stats_ms || now_ms - sv->stats_ms < sv->cfg->log.stats_ms) return;
    sv->stats_ms = now_ms;
    say_stats(sv, &rs);
}

static aa_status
follow(service *sv, aa_err *err)
{
    aa_status st = AA_OK;
    bool      caught_up = false;
    set_not_ready(sv, catching_up);
    while (!st && !aa_stop_requested()) {
        st = update(sv, err);
        caught_up = caught_up || aa_reader_caught_up(sv->rd);
        if (caught_up) set_not_ready(sv, replica_missing(sv->rp));
        observe(sv);
    }
    return st;
}

/* Everything that is in the topics now, so that what is printed at the end is what was published.
 */
static aa_status
drain(service *sv, aa_err *err)
{
    int64_t deadline_ms = aa_now_ms() + DRAIN_MS;
    aa_err  trouble = AA_ERR_INIT;
    set_not_ready(sv, stopping);
    if (aa_reader_refresh(sv->rd, &trouble)) {
        aa_warn("DRAIN", "the ends of the topics are not known: %s", trouble.text);
        return AA_OK;
    }
    aa_status st = AA_OK;
    while (!st && !aa_reader_caught_up(sv->rd) && aa_now_ms() < deadline_ms)
        st = update(sv, err);
    if (!st && !aa_reader_caught_up(sv->rd))
        aa_warn("DRAIN", "not all of the topics was read within %d ms", DRAIN_MS);
    return st;
}

static aa_status
finish(service *sv, aa_err *err)
{
    char          kv[400];
    replica_stats rs;
    uint64_t      served = replica_served_digest(sv->rp);
    uint64_t      assigned = replica_assignments_digest(sv->rp);
    uint64_t      digest = aa_digest(served, &assigned, sizeof assigned);
    uint64_t      rows = 0, ids = 0;
    replica_stats_get(sv->rp, &rs);
    for (size_t f = 0; f < sv->cfg->field_count; f++) {
        rows += rs.rows[f];
        ids += rs.assignments[f];
    }
    snprintf(kv, sizeof kv,
             "digest=%016" PRIx64 " served_digest=%016" PRIx64 " assignments_digest=%016" PRIx64
             " version=%" PRIu64 " events=%" PRIu64 " ids=%" PRIu64 " rows=%" PRIu64,
             digest, served, assigned, rs.version, rs.events, ids, rows);
    aa_log_write(AA_INFO, "FINAL", kv, "what this scorer served last");

    aa_summary *su = aa_summary_new();
    aa_summary_hex(su, "digest", digest);
    aa_summary_hex(su, "served_digest", served);
    aa_summary_hex(su, "assignments_digest", assigned);
    aa_summary_int(su, "version", rs.version);
    aa_summary_int(su, "events", rs.events);
    aa_summary_int(su, "ids", ids);
    aa_summary_int(su, "rows", rows);
    aa_summary_int(su, "replica_bytes", rs.bytes);
    aa_summary_int(su, "records", sv->records);
    aa_summary_int(su, "bad_records", aa_counter_get(sv->me.bad));
    aa_summary_int(su, "requests",
                   meters_requests(&sv->me, METERS_ZMQ) + meters_requests(&sv->me, METERS_HTTP));
    return aa_summary_write(&su, sv->cfg, "scorer", err);
}

static aa_status
run(aa_context *ctx, aa_err *err)
{
    aa_status st = AA_OK;
    service  *sv = calloc(1, sizeof *sv);
    if (!sv) return aa_fail(err, AA_ENOMEM, "service");
    sv->ctx = ctx;
    sv->cfg = ctx->cfg;
    sv->start_ms = sv->stats_ms = aa_now_ms();
    sv->rec = calloc(APPLY_RECORDS, sizeof *sv->rec);
    if (!sv->rec) {
        st = aa_fail(err, AA_ENOMEM, "records");
        goto out;
    }
    set_not_ready(sv, starting);
    meters_init(&sv->me, ctx->ms, sv->cfg);
    if ((st = replica_new(&sv->rp, sv->cfg, err))) goto out;
    if ((st = open_doors(sv, err))) goto out;
    if ((st = wait_for_topics(sv, err))) goto out;
    if (sv->rd && (st = follow(sv, err))) goto out;
    if (sv->rd && (st = drain(sv, err))) goto out;
    st = finish(sv, err);
out:
    close_doors(sv);
    aa_reader_free(&sv->rd);
    replica_free(&sv->rp);
    free(sv->rec);
    free(sv);
    return st;
}

int
main(int argc, char **argv)
{
    static const aa_program program = {
        .name = "scorer",
        .summary = "answer score requests from a replica of the compacted topics",
        .run = run,
    };
    return aa_program_main(&program, argc, argv);
}
