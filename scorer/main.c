/* scorer - answers score requests from a replica of the two compacted topics.
 *
 * Threads: the main thread reads the topics and applies them (the replica's one updater). Behind
 * the two doors (scorer/serve) scorer.threads others score; they share nothing with the updater but
 * the replica, the metrics and one pointer: why the service is not ready. One thread gathers the
 * other processes' figures for the page (scorer/api/page).
 */
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/kafka/kafka_reader.h"
#include "common/service/program.h"
#include "common/service/summary.h"
#include "scorer/api/page.h"
#include "scorer/meters.h"
#include "scorer/replica/replica.h"
#include "scorer/serve.h"

#define APPLY_RECORDS   1024 /* per poll */
#define APPLY_TURN      256  /* then whoever scores on this processor goes first */
#define APPLY_WAIT_MS   20   /* a record waits at most this long for others */
#define TOPIC_RETRY_MS  1000
#define TOPIC_REMIND_MS 10000
#define GAUGE_EVERY_MS  200
#define DRAIN_MS        5000

static const char starting[] = "the topics are not there yet";
static const char catching_up[] = "catching up with the topics";
static const char stopping[] = "stopping";

typedef struct {
    aa_context      *ctx;
    const aa_conf   *cfg;
    replica         *rp;
    meters           me;
    serve           *se;
    page            *pg;
    const char      *not_ready; /* NULL: ready; the main thread's copy */
    aa_reader       *rd;
    aa_kafka_record *rec; /* (APPLY_RECORDS) */
    int64_t          gauges_ms, stats_ms, start_ms;
    uint64_t         records;
    uint64_t         seen_run, seen_version; /* of the dense weights */
} service;

static void
set_not_ready(service *sv, const char *why)
{
    if (sv->not_ready == why) return;
    sv->not_ready = why;
    serve_set_not_ready(sv->se, why);
    aa_set_ready(sv->ctx, !why, why);
    if (why)
        aa_info("NOT-READY", "%s", why);
    else
        aa_info("READY", "scores are served, %" PRId64 " ms after the start",
                aa_now_ms() - sv->start_ms);
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

/* A publication has been applied: how long did its oldest event take? Those that were in the topic
 * before the start say nothing about that. */
static void
note_freshness(service *sv)
{
    replica_stats rs;
    replica_stats_get(sv->rp, &rs);
    if (rs.run_id == sv->seen_run && rs.version == sv->seen_version) return;
    sv->seen_run = rs.run_id;
    sv->seen_version = rs.version;
    if (sv->not_ready || rs.oldest_kafka_ms <= 0) return;
    int64_t ms = aa_wall_ms() - rs.oldest_kafka_ms;
    aa_histogram_observe(sv->me.freshness, ms > 0 ? (double)ms / 1e3 : 0);
}

/* Read and apply what is there. */
static aa_status
update(service *sv, aa_err *err)
{
    size_t    count;
    aa_status st = aa_reader_poll(sv->rd, sv->rec, APPLY_RECORDS, APPLY_WAIT_MS, &count, err);
    for (size_t i = 0; i < count && !st; i++) {
        st = apply(sv, &sv->rec[i], err);
        if (i % APPLY_TURN == APPLY_TURN - 1) sched_yield();
    }
    sv->records += count;
    if (!st) note_freshness(sv);
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
    aa_gauge_set(sv->me.waiting, (double)serve_waiting(sv->se));
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
    meters_init(&sv->me, ctx->ms, sv->cfg);
    if ((st = replica_new(&sv->rp, sv->cfg, err))) goto out;
    if ((st = page_open(&sv->pg, ctx, err))) goto out;
    if ((st = serve_open(&sv->se, ctx, sv->rp, &sv->me, page_answer, sv->pg, err))) goto out;
    set_not_ready(sv, starting);
    if ((st = wait_for_topics(sv, err))) goto out;
    if (sv->rd && (st = follow(sv, err))) goto out;
    if (sv->rd && (st = drain(sv, err))) goto out;
    st = finish(sv, err);
out:
    serve_close(&sv->se);
    page_close(&sv->pg);
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
