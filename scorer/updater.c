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
#include "scorer/missed.h"

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
#define ASK_MS           1000   /* for the ends of the topics, and for their settings */
#define RETENTION_MS     600000 /* between two looks at the topics' settings */
#define ANEW_FACTOR      10     /* as long as a reading took; then the next one may begin */

static const char starting[] = "the topics are not there yet";
static const char catching_up[] = "catching up with the topics";
static const char stopping[] = "stopping";
static const char other_lanes_only[] =
    "the topics hold records of other lanes, none of this one (pipeline.lane)";
static const char older_run_only[] =
    "only records of an older run arrive than those that are held: was a clock ahead?";
static const char others_only[] =
    "the topics hold records of another pipeline and not all of this one's";

/* A replica and what it is fed from. */
typedef struct {
    replica   *rp;
    aa_reader *rd;
    missed     mi;
    int64_t    begun_ms;
} feed;

struct updater {
    aa_context      *ctx;
    const aa_conf   *cfg;
    replica        **rp_p;      /* the caller's, who frees it: the one that serves */
    scorer_metrics  *sm;        /* borrowed */
    serve           *se;        /* borrowed */
    const char      *not_ready; /* NULL: ready; the main thread's copy */
    feed             now;       /* serves; its replica is *rp_p */
    feed             anew;      /* owned; will serve when it is complete. rd NULL: none */
    int64_t          anew_from_ms, retention_ms, retention_from_ms, retention_wait_ms;
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

/* Begin to read from the beginning. @pre fd has its replica. @errors AA_EIO waiting may mend it */
static aa_status
open_feed(const updater *up, feed *fd, aa_err *err)
{
    const char *topics[] = {up->cfg->topics.assignments, up->cfg->topics.model};
    fd->begun_ms = aa_now_ms();
    missed_begin(&fd->mi, up->retention_ms, aa_boot_ms());
    return aa_reader_open(&fd->rd, up->cfg, topics, 2, err);
}

/* Open the reader as soon as there is something to read.
 * @errors not those that waiting may end */
static aa_status
wait_for_topics(updater *up, aa_err *err)
{
    int64_t reminded_ms = INT64_MIN / 2;
    while (!aa_stop_requested()) {
        aa_status st = open_feed(up, &up->now, err);
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
apply_record(updater *up, feed *fd, const aa_kafka_record *rec, aa_err *err)
{
    replica_effect effect;
    if (aa_owners_note(&up->owners, up->mark, rec)) {
        aa_counter_add(up->sm->foreign, 1); /* as if it were not there */
        return AA_OK;
    }
    aa_status st =
        replica_apply(fd->rp, rec->key, rec->key_len, rec->value, rec->len, &effect, err);
    if (st == AA_EPARSE) {
        char kv[AA_CONF_STR + 64];
        snprintf(kv, sizeof kv, "part=%" PRId32 " off=%" PRId64 " key_bytes=%zu len_bytes=%zu",
                 rec->partition, rec->offset, rec->key_len, rec->len);
        aa_log_write(AA_WARN, "RECORD-BAD", kv, "%s", err->text);
        aa_counter_add(up->sm->bad, 1);
        return AA_OK;
    }
    if (st != AA_OK) return st;
    if (fd == &up->now) note_run(up, rec, effect);
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
    replica_stats_get(up->now.rp, &rs);
    if (rs.run_id == up->seen_run && rs.version == up->seen_version) return;
    up->seen_run = rs.run_id;
    up->seen_version = rs.version;
    if (up->not_ready || rs.oldest_kafka_ms <= 0) return;
    int64_t ms = aa_wall_ms() - rs.oldest_kafka_ms;
    if (ms >= 0) aa_histogram_observe(up->sm->freshness, (double)ms / 1e3); /* else clocks differ */
}

/* Read and apply what is there. */
static aa_status
update_feed(updater *up, feed *fd, int wait_ms, aa_err *err)
{
    size_t    count;
    aa_status st = aa_reader_poll(fd->rd, up->rec, APPLY_RECORDS, wait_ms, &count, err);
    if (count > 0) missed_came(&fd->mi, aa_boot_ms());
    for (size_t i = 0; i < count && st == AA_OK; i++) {
        st = apply_record(up, fd, &up->rec[i], err);
        if (i % APPLY_TURN == APPLY_TURN - 1) sched_yield();
    }
    up->records += count;
    if (st == AA_OK) st = replica_tick(fd->rp, aa_now_ms(), err);
    return st;
}

static aa_status
update(updater *up, aa_err *err)
{
    aa_status st = update_feed(up, &up->now, up->anew.rd ? 0 : APPLY_WAIT_MS, err);
    if (st == AA_OK) note_freshness(up);
    return st;
}

/* ---- reading anew ---- */

/* How long the topics keep a tombstone: as they say, else as the configuration does. A broker that is
 * slow to answer is asked again soon. */
static void
learn_retention(updater *up)
{
    const int64_t now_ms = aa_now_ms(), before_ms = up->retention_ms;
    if (now_ms < up->retention_from_ms) return;
    const int64_t told_ms = aa_reader_delete_retention_ms(up->now.rd, ASK_MS);
    const bool    told = told_ms >= 0, first = up->retention_wait_ms == 0;
    up->retention_wait_ms = told    ? RETENTION_MS
                            : first ? TOPIC_RETRY_MS
                                    : 2 * up->retention_wait_ms;
    if (up->retention_wait_ms > RETENTION_MS) up->retention_wait_ms = RETENTION_MS;
    up->retention_from_ms = aa_now_ms() + up->retention_wait_ms;
    if (told) up->retention_ms = told_ms;
    missed_set_retention(&up->now.mi, up->retention_ms);
    if (!first && up->retention_ms == before_ms) return;
    aa_info("DELETE-RETENTION", "deletions are kept for %" PRId64 " s (%s)",
            up->retention_ms / 1000,
            told ? "delete.retention.ms" : "scorer.delete_retention_ms: Kafka does not tell");
}

/* What was asked for has been read, or it is time to ask. */
static void
follow_ends(updater *up)
{
    missed *mi = &up->now.mi;
    aa_err  none = AA_ERR_INIT;
    if (aa_reader_caught_up(up->now.rd)) {
        const bool was_slow = mi->slow;
        missed_reached(mi, aa_boot_ms(), aa_reader_position(up->now.rd));
        if (mi->slow && !was_slow)
            aa_warn("READ-SLOW",
                    "reading the topics took longer than they keep deletions (%" PRId64
                    " s): some may be missed. Raise their delete.retention.ms",
                    mi->retention_ms / 1000);
    }
    const int64_t asked_ms = aa_boot_ms();
    if (!missed_asks(mi, asked_ms)) return;
    const bool answered = aa_reader_refresh(up->now.rd, ASK_MS, &none) == AA_OK;
    missed_asked(mi, asked_ms, answered, answered && aa_reader_caught_up(up->now.rd),
                 aa_reader_position(up->now.rd));
}

static void
give_up_anew(updater *up)
{
    aa_reader_free(&up->anew.rd);
    replica_free(&up->anew.rp);
}

/* Read all of the topics into a new replica beside the one that serves. */
static aa_status
begin_anew(updater *up, aa_err *err)
{
    const char *lost = aa_reader_lost(up->now.rd);
    aa_status   st = replica_new(&up->anew.rp, up->cfg, err);
    if (st == AA_OK) st = open_feed(up, &up->anew, err);
    if (st == AA_OK) {
        if (lost)
            aa_warn("READ-ANEW",
                    "%s: it was cut, or made anew; both topics are read anew, the model "
                    "at hand serves meanwhile",
                    lost);
        else
            aa_warn("READ-ANEW",
                    "nothing was read for longer than deletions are kept (%" PRId64
                    " s): both topics are read anew, the model at hand serves meanwhile",
                    up->now.mi.retention_ms / 1000);
        aa_counter_add(up->sm->read_anew, 1);
        return AA_OK;
    }
    give_up_anew(up);
    if (st != AA_EIO) return st;
    aa_warn("READ-ANEW", "not yet: %s", err->text);
    up->anew_from_ms = aa_now_ms() + TOPIC_RETRY_MS;
    return AA_OK;
}

/* The new replica has everything that the old one could have. */
static aa_status
take_anew(updater *up, aa_err *err)
{
    aa_status st = serve_move(up->se, up->anew.rp, err);
    if (st != AA_OK)
        return st; /* some threads have the new one: the caller ends all of them first */
    const int64_t now_ms = aa_now_ms(), took_ms = now_ms - up->anew.begun_ms;
    aa_reader_free(&up->now.rd);
    replica_free(&up->now.rp);
    *up->rp_p = up->anew.rp;
    up->now = up->anew;
    up->anew = (feed){.rp = NULL};
    up->older_ms = 0;
    up->anew_from_ms = now_ms + (up->now.mi.halted ? 0 : ANEW_FACTOR * took_ms);
    aa_info("READ-ANEW", "done within %" PRId64 " ms: the new copy serves", took_ms);
    return AA_OK;
}

static aa_status
read_anew(updater *up, aa_err *err)
{
    aa_status st = update_feed(up, &up->anew, APPLY_WAIT_MS, err);
    if (st != AA_OK) return st;
    if (aa_reader_lost(up->anew.rd)) {
        give_up_anew(up);
        up->anew_from_ms = aa_now_ms() + TOPIC_RETRY_MS;
        return AA_OK;
    }
    if (!aa_reader_caught_up(up->anew.rd)) return AA_OK;
    /* what the old one serves is better than nothing, as after the topics were made anew */
    if (replica_missing(up->anew.rp) && !replica_missing(up->now.rp)) return AA_OK;
    return take_anew(up, err);
}

/* Is what was read still what the topics hold? */
static aa_status
check_feed(updater *up, aa_err *err)
{
    learn_retention(up);
    follow_ends(up);
    const bool wanted = up->now.mi.some || aa_reader_lost(up->now.rd);
    aa_gauge_set(up->sm->reading_anew, wanted);
    if (up->anew.rd) return read_anew(up, err);
    if (!wanted) return AA_OK;
    return aa_now_ms() >= up->anew_from_ms ? begin_anew(up, err) : AA_OK;
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
    replica_stats_get(up->now.rp, &rs);
    scorer_metrics_replica(up->sm, &rs, up->cfg->field_count, aa_wall_ms());
    aa_gauge_set(up->sm->lag, (double)aa_reader_lag(up->now.rd));
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
    const char   *why = replica_missing(up->now.rp);
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
        caught_up = caught_up || aa_reader_caught_up(up->now.rd);
        if (caught_up) set_not_ready(up, missing(up));
        if (caught_up && st == AA_OK) st = check_feed(up, err);
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
    if (aa_reader_refresh(up->now.rd, DRAIN_MS, &trouble)) {
        aa_warn("DRAIN", "the ends of the topics are not known: %s", trouble.text);
        return AA_OK;
    }
    aa_status st = AA_OK;
    while (st == AA_OK && !aa_reader_caught_up(up->now.rd) && aa_now_ms() < deadline_ms)
        st = update(up, err);
    if (st == AA_OK && !aa_reader_caught_up(up->now.rd))
        aa_warn("DRAIN", "not all of the topics was read within %d ms", DRAIN_MS);
    return st;
}

static aa_status
write_summary(updater *up, aa_err *err)
{
    char          kv[400];
    replica_stats rs;
    uint64_t      served = replica_served_digest(up->now.rp);
    uint64_t      assigned = replica_assignments_digest(up->now.rp);
    uint64_t      digest = aa_digest(served, &assigned, sizeof assigned);
    uint64_t      rows = 0, ids = 0;
    replica_stats_get(up->now.rp, &rs);
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
updater_new(updater **out, aa_context *ctx, replica **rp_p, serve *se, scorer_metrics *sm,
            aa_err *err)
{
    updater *up = calloc(1, sizeof *up);
    if (!up) return aa_fail(err, AA_ENOMEM, "updater");
    up->ctx = ctx;
    up->cfg = ctx->cfg;
    up->rp_p = rp_p;
    up->now.rp = *rp_p;
    up->retention_ms = up->cfg->scorer.delete_retention_ms;
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
    if (st == AA_OK && up->now.rd) st = follow(up, err);
    if (st == AA_OK && up->now.rd) st = linger(up, err);
    if (st == AA_OK && up->now.rd) st = drain(up, err);
    if (st == AA_OK) st = write_summary(up, err);
    return st;
}

void
updater_free(updater **up_p)
{
    updater *up = *up_p;
    if (!up) return;
    aa_reader_free(&up->now.rd);
    give_up_anew(up);
    free(up->rec);
    free(up);
    *up_p = NULL;
}
