#include "scorer/updater.h"

#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/kafka/kafka_reader.h"
#include "common/kafka/owners.h"
#include "common/messages/mark.h"
#include "common/messages/wire_topic.h"
#include "common/service/summary.h"

#define APPLY_RECORDS    1024 /* per poll */
#define APPLY_TURN       256  /* then a thread that scores on this processor goes first */
#define APPLY_WAIT_MS    20   /* a record waits at most this long for others */
#define TOPIC_RETRY_MS   1000
#define TOPIC_REMIND_MS  10000
#define GAUGE_EVERY_MS   200
#define DRAIN_MS         5000
#define ANSWER_MS        1000 /* for an answer to reach its asker */
#define OTHERS_REMIND_MS 10000
#define OLDER_MS         5000

static const char starting[] = "the topics are not there yet";
static const char catching_up[] = "catching up with the topics";
static const char stopping[] = "stopping";
static const char other_lanes_only[] =
    "the topics hold records of other lanes, none of this one (pipeline.lane)";
static const char older_run_only[] =
    "only records of an older run arrive than those that are held: was a clock ahead?";
static const char others_only[] =
    "the topics hold records of another pipeline and not all of this one's";

struct updater {
    aa_context      *ctx;
    const aa_conf   *cfg;
    replica         *rp;        /* borrowed */
    scorer_metrics  *sm;        /* borrowed */
    serve           *se;        /* borrowed */
    const char      *not_ready; /* NULL: ready; the main thread's copy */
    aa_reader       *rd;
    aa_kafka_record *rec; /* (APPLY_RECORDS) */
    int64_t          gauges_ms, stats_ms, start_ms;
    uint64_t         records;
    uint32_t         mark;        /* of this pipeline */
    uint64_t         others_said; /* of their records, as of the last warning */
    int64_t          others_ms;   /* and when that was */
    int64_t          older_ms;    /* since when only an older run's weights come; 0: not so */
    aa_owners        owners;      /* other pipelines whose records were met */
    uint64_t         seen_run, seen_version; /* of the dense weights */
};

static void
say_ready(const updater *up)
{
    char kv[AA_CONF_STR + 48];
    snprintf(kv, sizeof kv, "pipeline=\"%s\" lane=%" PRId64, up->cfg->pipeline.name,
             up->cfg->pipeline.lane);
    aa_log_write(AA_INFO, "READY", kv, "scores are served, %" PRId64 " ms after the start",
                 aa_now_ms() - up->start_ms);
}

static void
set_not_ready(updater *up, const char *why)
{
    if (up->not_ready == why) return;
    up->not_ready = why;
    /* an older model is better than none: who asks this scorer all the same is answered */
    const bool serves = !why || why == older_run_only;
    serve_set_not_ready(up->se, serves ? NULL : why, why != stopping);
    aa_set_ready(up->ctx, !why, why);
    if (why)
        aa_info("NOT-READY", "%s", why);
    else
        say_ready(up);
}

/* ---- the replica's updates ---- */

/* Open the reader as soon as there is something to read.
 * @errors not those that waiting may end */
static aa_status
wait_for_topics(updater *up, aa_err *err)
{
    const char *topics[] = {up->cfg->topics.assignments, up->cfg->topics.model};
    int64_t     reminded_ms = INT64_MIN / 2;
    while (!aa_stop_requested()) {
        aa_status st = aa_reader_open(&up->rd, up->cfg, topics, 2, err);
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

/* The learner sends its dense weights again and again: of which run are they? */
static void
note_run(updater *up, const aa_kafka_record *rec, replica_effect effect)
{
    const bool dense =
        rec->key_len == AA_TOPIC_KEY_BYTES && ((const uint8_t *)rec->key)[2] == AA_KEY_DENSE;
    if (!dense) return;
    if (effect == REPLICA_APPLIED) up->older_ms = 0;
    if (effect == REPLICA_OLDER_RUN && !up->older_ms) up->older_ms = aa_now_ms();
}

static aa_status
apply_record(updater *up, const aa_kafka_record *rec, aa_err *err)
{
    replica_effect effect;
    if (aa_owners_note(&up->owners, up->mark, rec)) {
        aa_counter_add(up->sm->foreign, 1); /* as if it were not there */
        return AA_OK;
    }
    aa_status st =
        replica_apply(up->rp, rec->key, rec->key_len, rec->value, rec->len, &effect, err);
    if (st == AA_EPARSE) {
        char kv[AA_CONF_STR + 64];
        snprintf(kv, sizeof kv, "part=%" PRId32 " off=%" PRId64 " key_bytes=%zu len_bytes=%zu",
                 rec->partition, rec->offset, rec->key_len, rec->len);
        aa_log_write(AA_WARN, "RECORD-BAD", kv, "%s", err->text);
        aa_counter_add(up->sm->bad, 1);
        return AA_OK;
    }
    if (st != AA_OK) return st;
    note_run(up, rec, effect);
    aa_counter_add(effect == REPLICA_APPLIED     ? up->sm->applied
                   : effect == REPLICA_OLDER_RUN ? up->sm->older_run
                   : effect == REPLICA_OLD       ? up->sm->old
                                                 : up->sm->other_lane,
                   1);
    return AA_OK;
}

/* A publication has been applied: how long did its oldest event take? Those that were in the topic
 * before the start say nothing about that. */
static void
note_freshness(updater *up)
{
    replica_stats rs;
    replica_stats_get(up->rp, &rs);
    if (rs.run_id == up->seen_run && rs.version == up->seen_version) return;
    up->seen_run = rs.run_id;
    up->seen_version = rs.version;
    if (up->not_ready || rs.oldest_kafka_ms <= 0) return;
    int64_t ms = aa_wall_ms() - rs.oldest_kafka_ms;
    if (ms >= 0) aa_histogram_observe(up->sm->freshness, (double)ms / 1e3); /* else clocks differ */
}

/* Read and apply what is there. */
static aa_status
update(updater *up, aa_err *err)
{
    size_t    count;
    aa_status st = aa_reader_poll(up->rd, up->rec, APPLY_RECORDS, APPLY_WAIT_MS, &count, err);
    for (size_t i = 0; i < count && st == AA_OK; i++) {
        st = apply_record(up, &up->rec[i], err);
        if (i % APPLY_TURN == APPLY_TURN - 1) sched_yield();
    }
    up->records += count;
    if (st == AA_OK) st = replica_tick(up->rp, aa_now_ms(), err);
    if (st == AA_OK) note_freshness(up);
    return st;
}

static void
say_stats(updater *up, const replica_stats *rs)
{
    char     kv[400];
    uint64_t rows = 0, ids = 0;
    for (size_t f = 0; f < up->cfg->field_count; f++) {
        rows += rs->rows[f];
        ids += rs->assignments[f];
    }
    snprintf(kv, sizeof kv,
             "version=%" PRIu64 " ids=%" PRIu64 " rows=%" PRIu64 " mem_bytes=%" PRIu64
             " records=%" PRIu64 " lag=%.0f zmq_requests=%" PRIu64 " http_requests=%" PRIu64
             " staleness_s=%.3f",
             rs->version, ids, rows, rs->bytes, up->records, aa_gauge_get(up->sm->lag),
             scorer_metrics_requests(up->sm, SCORER_ZMQ),
             scorer_metrics_requests(up->sm, SCORER_HTTP), aa_gauge_get(up->sm->staleness));
    aa_log_write(AA_INFO, "STATS", kv, "serving");
}

/* Records of other pipelines were passed over: at once, then at most every OTHERS_REMIND_MS. */
static void
say_others(updater *up, int64_t now_ms)
{
    char           name[192], kv[32];
    const uint64_t count = aa_counter_get(up->sm->foreign);
    if (count == up->others_said || up->owners.count == 0) return;
    if (up->others_said > 0 && now_ms - up->others_ms < OTHERS_REMIND_MS) return;
    up->others_said = count;
    up->others_ms = now_ms;
    aa_owners_name(&up->owners.owner[up->owners.count - 1], name, sizeof name);
    snprintf(kv, sizeof kv, "records=%" PRIu64, count);
    aa_log_write(AA_WARN, "OTHER-PIPELINE", kv,
                 "records of %s stand in the topics of '%s' and are passed over: each pipeline "
                 "needs topics.assignments and topics.model of its own",
                 name, up->cfg->pipeline.name);
}

static void
observe(updater *up)
{
    int64_t now_ms = aa_now_ms();
    if (now_ms - up->gauges_ms < GAUGE_EVERY_MS) return;
    replica_stats rs;
    up->gauges_ms = now_ms;
    replica_stats_get(up->rp, &rs);
    scorer_metrics_replica(up->sm, &rs, up->cfg->field_count, aa_wall_ms());
    aa_gauge_set(up->sm->lag, (double)aa_reader_lag(up->rd));
    aa_gauge_set(up->sm->waiting, (double)serve_waiting(up->se));
    say_others(up, now_ms);
    aa_log_flush_repeats();
    if (!up->cfg->log.stats_ms || now_ms - up->stats_ms < up->cfg->log.stats_ms) return;
    up->stats_ms = now_ms;
    say_stats(up, &rs);
}

/* Why nothing can be scored though the topics have been read (a literal), or NULL. */
static const char *
missing(const updater *up)
{
    const int64_t patience_ms = OLDER_MS + 3 * up->cfg->publish.every_ms;
    const char   *why = replica_missing(up->rp);
    const bool    older = up->older_ms && aa_now_ms() - up->older_ms > patience_ms;
    aa_gauge_set(up->sm->older_only, older);
    if (why && aa_counter_get(up->sm->applied) == 0 && aa_counter_get(up->sm->other_lane) > 0)
        return other_lanes_only;
    if (why) return up->owners.count > 0 ? others_only : why;
    return older ? older_run_only : NULL;
}

static aa_status
follow(updater *up, aa_err *err)
{
    aa_status st = AA_OK;
    bool      caught_up = false;
    set_not_ready(up, catching_up);
    while (st == AA_OK && !aa_stop_requested()) {
        st = update(up, err);
        caught_up = caught_up || aa_reader_caught_up(up->rd);
        if (caught_up) set_not_ready(up, missing(up));
        observe(up);
    }
    return st;
}

/* Not ready any more, but scores are served until balancers have noticed; then nobody is let in,
 * and who is there gets an answer. */
static aa_status
linger(updater *up, aa_err *err)
{
    const int64_t until_ms = aa_now_ms() + up->cfg->scorer.linger_ms;
    aa_status     st = AA_OK;
    if (up->not_ready) return AA_OK; /* nothing is served */
    aa_set_ready(up->ctx, false, stopping);
    aa_http_linger(up->ctx);
    aa_info("NOT-READY", "stopping: scores are served for another %" PRId64 " ms",
            up->cfg->scorer.linger_ms);
    while (st == AA_OK && aa_now_ms() < until_ms) {
        st = update(up, err);
        observe(up);
    }
    aa_http_drain(up->ctx, up->cfg->scorer.deadline_ms + ANSWER_MS);
    return st;
}

/* Everything that is in the topics now: what is printed at the end is what was published. */
static aa_status
drain(updater *up, aa_err *err)
{
    int64_t deadline_ms = aa_now_ms() + DRAIN_MS;
    aa_err  trouble = AA_ERR_INIT;
    set_not_ready(up, stopping);
    if (aa_reader_refresh(up->rd, &trouble)) {
        aa_warn("DRAIN", "the ends of the topics are not known: %s", trouble.text);
        return AA_OK;
    }
    aa_status st = AA_OK;
    while (st == AA_OK && !aa_reader_caught_up(up->rd) && aa_now_ms() < deadline_ms)
        st = update(up, err);
    if (st == AA_OK && !aa_reader_caught_up(up->rd))
        aa_warn("DRAIN", "not all of the topics was read within %d ms", DRAIN_MS);
    return st;
}

static aa_status
write_summary(updater *up, aa_err *err)
{
    char          kv[400];
    replica_stats rs;
    uint64_t      served = replica_served_digest(up->rp);
    uint64_t      assigned = replica_assignments_digest(up->rp);
    uint64_t      digest = aa_digest(served, &assigned, sizeof assigned);
    uint64_t      rows = 0, ids = 0;
    replica_stats_get(up->rp, &rs);
    for (size_t f = 0; f < up->cfg->field_count; f++) {
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
    aa_summary_int(su, "records", up->records);
    aa_summary_int(su, "bad_records", aa_counter_get(up->sm->bad));
    aa_summary_int(su, "requests",
                   scorer_metrics_requests(up->sm, SCORER_ZMQ) +
                       scorer_metrics_requests(up->sm, SCORER_HTTP));
    return aa_summary_write(&su, up->cfg, "scorer", err);
}

aa_status
updater_new(updater **out, aa_context *ctx, replica *rp, serve *se, scorer_metrics *sm, aa_err *err)
{
    updater *up = calloc(1, sizeof *up);
    if (!up) return aa_fail(err, AA_ENOMEM, "updater");
    up->ctx = ctx;
    up->cfg = ctx->cfg;
    up->rp = rp;
    up->se = se;
    up->sm = sm;
    up->mark = aa_mark_of(up->cfg->pipeline.name);
    up->start_ms = up->stats_ms = aa_now_ms();
    up->rec = calloc(APPLY_RECORDS, sizeof *up->rec);
    if (!up->rec) {
        updater_free(&up);
        return aa_fail(err, AA_ENOMEM, "records");
    }
    set_not_ready(up, starting);
    *out = up;
    return AA_OK;
}

aa_status
updater_run(updater *up, aa_err *err)
{
    aa_status st = wait_for_topics(up, err);
    if (st == AA_OK && up->rd) st = follow(up, err);
    if (st == AA_OK && up->rd) st = linger(up, err);
    if (st == AA_OK && up->rd) st = drain(up, err);
    if (st == AA_OK) st = write_summary(up, err);
    return st;
}

void
updater_free(updater **up_p)
{
    updater *up = *up_p;
    if (!up) return;
    aa_reader_free(&up->rd);
    free(up->rec);
    free(up);
    *up_p = NULL;
}
