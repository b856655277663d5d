#include "ingest/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/summary.h"

struct meter {
    const aa_conf *cfg;
    aa_metrics    *ms;
    aa_counter    *events, *batches, *commits, *resets, *unsaved, *lost, *gaps, *letters_lost,
        *letters[DECODE_REASON_COUNT];
    aa_gauge *in_flight, *epoch, *committed, *lag,
        **part_lag; /* part_lag (part_cap) by partition number */
    aa_histogram *credit_wait;
    size_t        part_cap;

    bool     opened;
    uint64_t from_epoch;
    uint64_t taken;                  /* events of this process, those sent twice included */
    int64_t  first_us, last_us;      /* of the batches of this process */
    int64_t  stats_us, stats_events; /* at the last STATS line */
    uint64_t counted_commits, counted_resets, counted_unsaved, counted_lost, counted_gaps,
        counted_letters;
    int64_t total_lag;
};

aa_status
meter_new(meter **out, const aa_conf *cfg, aa_metrics *ms, aa_err *err)
{
    meter *me = calloc(1, sizeof *me);
    char   labels[AA_CONF_STR + 32] = "";

    if (!me) return aa_fail(err, AA_ENOMEM, "metrics");
    me->cfg = cfg;
    me->ms = ms;
    me->events = aa_metrics_counter(ms, "autoassign_events_total", "", "events sent in batches");
    me->batches = aa_metrics_counter(ms, "autoassign_batches_total", "", "batches sent");
    me->commits = aa_metrics_counter(ms, "autoassign_commits_total", "", "offset commits");
    me->unsaved = aa_metrics_counter(ms, "autoassign_checkpoints_given_up_total", "",
                                     "epochs that some process could not write");
    me->resets = aa_metrics_counter(ms, "autoassign_resets_total", "",
                                    "runs that began again from the last commit");
    me->lost = aa_metrics_counter(ms, "autoassign_events_lost_total", "",
                                  "events that Kafka had no more and that were skipped");
    me->letters_lost = aa_metrics_counter(ms, "autoassign_dead_letters_lost_total", "",
                                          "dead letters that their topic took in no form");
    me->gaps = aa_metrics_counter(ms, "autoassign_offset_gaps_total", "",
                                  "places where events were skipped because Kafka had no more");
    for (int r = DECODE_OK + 1; r < DECODE_REASON_COUNT; r++) {
        char reason[64] = "";
        aa_metrics_label(reason, sizeof reason, "reason", decode_slug((decode_reason)r));
        me->letters[r] = aa_metrics_counter(ms, "autoassign_dead_letters_total", reason,
                                            "messages that are no valid events");
    }
    me->in_flight = aa_metrics_gauge(ms, "autoassign_in_flight_batches", "",
                                     "batches sent and not assigned yet");
    me->epoch = aa_metrics_gauge(ms, "autoassign_epoch", "", "last committed epoch");
    me->committed = aa_metrics_gauge(ms, "autoassign_last_commit_timestamp_seconds", "",
                                     "when this process last committed; before that, when its "
                                     "first run was opened");
    aa_metrics_label(labels, sizeof labels, "topic", cfg->topics.interactions);
    me->lag = aa_metrics_gauge(ms, "autoassign_consumer_lag", labels,
                               "messages between what was sent and the end of the topic");
    me->credit_wait = aa_metrics_histogram(ms, "autoassign_credit_wait_seconds", "",
                                           "time that full batches waited for the assigner");
    *out = me;
    return AA_OK;
}

void
meter_free(meter **me_p)
{
    meter *me = *me_p;
    if (!me) return;
    free(me->part_lag);
    free(me);
    *me_p = NULL;
}

void
meter_opened(meter *me, uint64_t epoch, int64_t now_us)
{
    if (me->opened) return;
    me->opened = true;
    me->from_epoch = epoch;
    me->first_us = me->last_us = me->stats_us = now_us;
    aa_gauge_set(me->committed, (double)aa_wall_ms() / 1e3);
}

void
meter_batch(meter *me, size_t events, int64_t waited_us, int64_t now_us)
{
    me->taken += events;
    me->last_us = now_us;
    aa_counter_add(me->events, events);
    aa_counter_add(me->batches, 1);
    aa_histogram_observe(me->credit_wait, (double)waited_us / 1e6);
}

void
meter_letter(meter *me, decode_reason reason)
{
    aa_counter_add(me->letters[reason], 1);
}

aa_gauge *
meter_partition_lag(meter *me, int32_t partition)
{
    size_t at = (size_t)partition;

    if (at >= me->part_cap) {
        aa_gauge **grown = realloc(me->part_lag, (at + 1) * sizeof(aa_gauge *));
        if (!grown) return NULL;
        me->part_lag = grown;
        while (me->part_cap <= at)
            me->part_lag[me->part_cap++] = NULL;
    }
    if (!me->part_lag[at]) {
        char labels[AA_CONF_STR + 64] = "", number[16];
        snprintf(number, sizeof number, "%" PRId32, partition);
        aa_metrics_label(labels, sizeof labels, "topic", me->cfg->topics.interactions);
        aa_metrics_label(labels, sizeof labels, "partition", number);
        me->part_lag[at] = aa_metrics_gauge(me->ms, "autoassign_consumer_partition_lag", labels,
                                            "the same by partition");
    }
    return me->part_lag[at];
}

static bool
update_lag(meter *me, const order *od, const source *so)
{
    bool known = true;

    me->total_lag = 0;
    for (size_t i = 0; i < source_partition_count(so) && i < order_partition_count(od); i++) {
        int64_t   lag = source_lag(so, i, order_position(od, i));
        aa_gauge *gauge = meter_partition_lag(me, source_partition(so, i));
        if (lag < 0) known = false;
        if (lag < 0 || !gauge) continue;
        aa_gauge_set(gauge, (double)lag);
        me->total_lag += lag;
    }
    if (known) aa_gauge_set(me->lag, (double)me->total_lag);
    return known;
}

static void
write_stats(meter *me, const ingest_stats *is, int64_t now_us)
{
    double seconds = (double)(now_us - me->stats_us) / 1e6;
    double rate = seconds > 0 ? (double)((int64_t)me->taken - me->stats_events) / seconds : 0;
    char   kv[320];

    snprintf(kv, sizeof kv,
             "events=%" PRIu64 " events_per_s=%.0f dead_letters=%" PRIu64 " lag=%" PRId64
             " in_flight=%" PRIu64 " epoch=%" PRIu64 " seq=%" PRIu64 " resets=%" PRIu64
             " credit_wait_p99_ms=%.3f",
             is->events, rate, is->letters, me->total_lag, is->in_flight, is->epoch, is->seq,
             is->resets, aa_histogram_quantile(me->credit_wait, 0.99) * 1e3);
    aa_log_write(AA_INFO, "STATS", kv, "ingest");
    me->stats_us = now_us;
    me->stats_events = (int64_t)me->taken;
}

bool
meter_update(meter *me, const ingest *in, const order *od, const source *so, uint64_t letters_lost,
             int64_t now_us)
{
    ingest_stats is;
    int64_t      every_us = me->cfg->log.stats_ms * 1000;
    bool         known = update_lag(me, od, so);
    uint64_t     gaps, lost = source_lost(so, &gaps);

    ingest_stats_get(in, &is);
    aa_gauge_set(me->in_flight, (double)is.in_flight);
    aa_gauge_set(me->epoch, (double)is.epoch);
    if (is.commits > me->counted_commits) aa_gauge_set(me->committed, (double)aa_wall_ms() / 1e3);
    aa_counter_add(me->commits, is.commits - me->counted_commits);
    aa_counter_add(me->resets, is.resets - me->counted_resets);
    me->counted_commits = is.commits;
    aa_counter_add(me->unsaved, is.unsaved - me->counted_unsaved);
    aa_counter_add(me->lost, lost - me->counted_lost);
    aa_counter_add(me->gaps, gaps - me->counted_gaps);
    aa_counter_add(me->letters_lost, letters_lost - me->counted_letters);
    me->counted_letters = letters_lost;
    me->counted_lost = lost;
    me->counted_gaps = gaps;
    me->counted_resets = is.resets;
    me->counted_unsaved = is.unsaved;
    if (every_us > 0 && me->opened && now_us - me->stats_us >= every_us && aa_log_on(AA_INFO))
        write_stats(me, &is, now_us);
    return known;
}

aa_status
meter_finish(meter *me, const ingest *in, const source *so, uint64_t letters_lost, bool whole,
             aa_err *err)
{
    uint64_t     gaps;
    aa_summary  *su = aa_summary_new();
    ingest_stats is;
    double       seconds = (double)(me->last_us - me->first_us) / 1e6;
    double       rate = seconds > 0 ? (double)me->taken / seconds : 0;
    char         kv[320], from[AA_CONF_STR + 32];

    ingest_stats_get(in, &is);
    if (me->from_epoch > 0)
        snprintf(from, sizeof from, "epoch:%" PRIu64, me->from_epoch);
    else
        snprintf(from, sizeof from, "%s", me->cfg->ingest.replay_from);
    snprintf(kv, sizeof kv,
             "digest=%016" PRIx64 " events=%" PRIu64 " dead_letters=%" PRIu64 " batches=%" PRIu64
             " epoch=%" PRIu64 " seconds=%.3f events_per_s=%.0f",
             is.digest, is.events, is.letters, is.batches, is.epoch, seconds, rate);
    if (aa_log_on(AA_INFO))
        aa_log_write(AA_INFO, "FINAL", kv, "%s",
                     ingest_ended(in) ? "the replay has ended"
                     : whole          ? "drained"
                                      : "the drain was given up");
    aa_summary_int(su, "events", is.events);
    aa_summary_int(su, "dead_letters", is.letters);
    aa_summary_int(su, "batches", is.batches);
    aa_summary_num(su, "seconds", seconds);
    aa_summary_num(su, "events_per_s", rate);
    aa_summary_hex(su, "digest", is.digest);
    aa_summary_int(su, "epoch", is.epoch);
    aa_summary_str(su, "from", from);
    aa_summary_int(su, "commits", is.commits);
    aa_summary_int(su, "resets", is.resets);
    aa_summary_int(su, "events_lost", source_lost(so, &gaps));
    aa_summary_int(su, "gaps", gaps);
    aa_summary_int(su, "dead_letters_lost", letters_lost);
    aa_summary_str(su, "ended", ingest_ended(in) ? "replay" : whole ? "drained" : "given up");
    return aa_summary_write(&su, me->cfg, "ingest", err);
}
