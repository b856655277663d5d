#include "ingest/ingest_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/summary.h"

struct ingest_metrics {
    const aa_conf *cfg;
    aa_metrics    *ms;
    aa_counter    *events, *batches, *commits, *resets, *unsaved, *lost, *gaps, *letters_lost,
        *passed_over, *letters[DECODE_REASON_COUNT];
    aa_counter *schemas, *schema_failures;
    aa_gauge   *registry_away;
    aa_gauge   *in_flight, *epoch, *committed, *lag,
        **part_lag; /* part_lag (part_cap) by partition number */
    aa_gauge     *newest, *behind, *behind_max;
    int64_t       newest_ms, behind_max_ms; /* event times */
    bool          any_time;
    aa_histogram *credit_wait;
    size_t        part_cap;

    bool     opened;
    uint64_t from_epoch;
    uint64_t taken;                  /* events of this process, those sent twice included */
    int64_t  first_us, last_us;      /* of the batches of this process */
    int64_t  stats_us, stats_events; /* at the last STATS line */
    uint64_t counted_commits, counted_resets, counted_unsaved, counted_lost, counted_gaps,
        counted_letters, counted_passed, counted_schemas, counted_failures;
    int64_t total_lag;
};

aa_status
ingest_metrics_new(ingest_metrics **out, const aa_conf *cfg, aa_metrics *ms, aa_err *err)
{
    ingest_metrics *im = calloc(1, sizeof *im);
    char            labels[AA_CONF_STR + 32] = "";

    if (!im) return aa_fail(err, AA_ENOMEM, "metrics");
    im->cfg = cfg;
    im->ms = ms;
    im->events = aa_metrics_counter(ms, "autoassign_events_total", "", "events sent in batches");
    im->batches = aa_metrics_counter(ms, "autoassign_batches_total", "", "batches sent");
    im->commits = aa_metrics_counter(ms, "autoassign_commits_total", "", "offset commits");
    im->unsaved = aa_metrics_counter(ms, "autoassign_checkpoints_given_up_total", "",
                                     "epochs that some process could not write");
    im->resets = aa_metrics_counter(ms, "autoassign_resets_total", "",
                                    "runs that began again from the last commit");
    im->lost = aa_metrics_counter(ms, "autoassign_events_lost_total", "",
                                  "events that Kafka had no more and that were skipped");
    im->letters_lost = aa_metrics_counter(ms, "autoassign_dead_letters_lost_total", "",
                                          "dead letters that their topic took in no form");
    im->gaps = aa_metrics_counter(ms, "autoassign_offset_gaps_total", "",
                                  "places where events were skipped because Kafka had no more");
    im->schemas = aa_metrics_counter(ms, "autoassign_schemas_fetched_total", "",
                                     "schemas that came from the schema registry");
    im->schema_failures = aa_metrics_counter(ms, "autoassign_schema_failures_total", "",
                                             "tries to get a schema from the registry that failed");
    im->registry_away =
        aa_metrics_gauge(ms, "autoassign_schema_registry_away", "",
                         "1 while the schema registry does not answer and partitions may wait");
    im->passed_over =
        aa_metrics_counter(ms, "autoassign_events_skipped_total", "",
                           "messages passed over by event.label_other or fields.<f>.missing: skip");
    for (int r = DECODE_OK + 1; r < DECODE_REASON_COUNT; r++) {
        char reason[64] = "";
        aa_metrics_label(reason, sizeof reason, "reason", decode_slug((decode_reason)r));
        im->letters[r] = aa_metrics_counter(ms, "autoassign_dead_letters_total", reason,
                                            "messages that are no valid events");
    }
    im->in_flight = aa_metrics_gauge(ms, "autoassign_in_flight_batches", "",
                                     "batches sent and not assigned yet");
    im->epoch = aa_metrics_gauge(ms, "autoassign_epoch", "", "last committed epoch");
    im->committed = aa_metrics_gauge(ms, "autoassign_last_commit_timestamp_seconds", "",
                                     "when this process last committed; before that, when its "
                                     "first run was opened");
    aa_metrics_label(labels, sizeof labels, "topic", cfg->topics.interactions);
    im->lag = aa_metrics_gauge(ms, "autoassign_consumer_lag", labels,
                               "messages between what was sent and the end of the topic");
    im->newest = aa_metrics_gauge(ms, "autoassign_event_time_watermark_seconds", "",
                                  "newest event time that was sent, since 1970");
    im->behind = aa_metrics_gauge(ms, "autoassign_event_lateness_seconds", "",
                                  "how far the oldest event of the last batch was behind the "
                                  "newest event time before it");
    im->behind_max = aa_metrics_gauge(ms, "autoassign_event_lateness_max_seconds", "",
                                      "the largest of these since the start");
    im->credit_wait = aa_metrics_histogram(ms, "autoassign_credit_wait_seconds", "",
                                           "time that full batches waited for the assigner");
    *out = im;
    return AA_OK;
}

void
ingest_metrics_free(ingest_metrics **im_p)
{
    ingest_metrics *im = *im_p;
    if (!im) return;
    free(im->part_lag);
    free(im);
    *im_p = NULL;
}

void
ingest_metrics_opened(ingest_metrics *im, uint64_t epoch, int64_t now_us)
{
    if (im->opened) return;
    im->opened = true;
    im->from_epoch = epoch;
    im->first_us = im->last_us = im->stats_us = now_us;
    aa_gauge_set(im->committed, (double)aa_wall_ms() / 1e3);
}

/* The newest event time so far, and how far behind it the latest of these events is. */
static void
look_at_times(ingest_metrics *im, const int64_t *time_ms, size_t events)
{
    int64_t newest_ms = im->newest_ms, behind_ms = 0;
    for (size_t i = 0; i < events; i++) {
        if (time_ms[i] > newest_ms || !im->any_time) newest_ms = time_ms[i];
        if (newest_ms - time_ms[i] > behind_ms) behind_ms = newest_ms - time_ms[i];
        im->any_time = true;
    }
    im->newest_ms = newest_ms;
    aa_gauge_set(im->newest, (double)newest_ms / 1e3);
    aa_gauge_set(im->behind, (double)behind_ms / 1e3);
    if (behind_ms > im->behind_max_ms) im->behind_max_ms = behind_ms;
    aa_gauge_set(im->behind_max, (double)im->behind_max_ms / 1e3);
}

void
ingest_metrics_batch(ingest_metrics *im, const int64_t *time_ms, size_t events, int64_t waited_us,
                     int64_t now_us)
{
    look_at_times(im, time_ms, events);
    im->taken += events;
    im->last_us = now_us;
    aa_counter_add(im->events, events);
    aa_counter_add(im->batches, 1);
    aa_histogram_observe(im->credit_wait, (double)waited_us / 1e6);
}

void
ingest_metrics_letter(ingest_metrics *im, decode_reason reason)
{
    aa_counter_add(im->letters[reason], 1);
}

aa_gauge *
ingest_metrics_partition_lag(ingest_metrics *im, int32_t partition)
{
    size_t at = (size_t)partition;

    if (at >= im->part_cap) {
        aa_gauge **grown = realloc(im->part_lag, (at + 1) * sizeof(aa_gauge *));
        if (!grown) return NULL;
        im->part_lag = grown;
        while (im->part_cap <= at)
            im->part_lag[im->part_cap++] = NULL;
    }
    if (!im->part_lag[at]) {
        char labels[AA_CONF_STR + 64] = "", number[16];
        snprintf(number, sizeof number, "%" PRId32, partition);
        aa_metrics_label(labels, sizeof labels, "topic", im->cfg->topics.interactions);
        aa_metrics_label(labels, sizeof labels, "partition", number);
        im->part_lag[at] = aa_metrics_gauge(im->ms, "autoassign_consumer_partition_lag", labels,
                                            "the same by partition");
    }
    return im->part_lag[at];
}

static bool
update_lag(ingest_metrics *im, const order *od, const source *so)
{
    bool known = true;

    im->total_lag = 0;
    for (size_t i = 0; i < source_partition_count(so) && i < order_partition_count(od); i++) {
        int64_t   lag = source_lag(so, i, order_position(od, i));
        aa_gauge *gauge = ingest_metrics_partition_lag(im, source_partition(so, i));
        if (lag < 0) known = false;
        if (lag < 0 || !gauge) continue;
        aa_gauge_set(gauge, (double)lag);
        im->total_lag += lag;
    }
    if (known) aa_gauge_set(im->lag, (double)im->total_lag);
    return known;
}

static void
write_stats(ingest_metrics *im, const ingest_stats *is, int64_t now_us)
{
    double seconds = (double)(now_us - im->stats_us) / 1e6;
    double rate = seconds > 0 ? (double)((int64_t)im->taken - im->stats_events) / seconds : 0;
    char   kv[320];

    snprintf(kv, sizeof kv,
             "events=%" PRIu64 " events_per_s=%.0f dead_letters=%" PRIu64 " lag=%" PRId64
             " in_flight=%" PRIu64 " epoch=%" PRIu64 " seq=%" PRIu64 " resets=%" PRIu64
             " credit_wait_p99_ms=%.3f",
             is->events, rate, is->letters, im->total_lag, is->in_flight, is->epoch, is->seq,
             is->resets, aa_histogram_quantile(im->credit_wait, 0.99) * 1e3);
    aa_log_write(AA_INFO, "STATS", kv, "ingest");
    im->stats_us = now_us;
    im->stats_events = (int64_t)im->taken;
}

static void
update_schemas(ingest_metrics *im, const source *so)
{
    uint64_t fetched, failed;
    aa_gauge_set(im->registry_away, source_registry_away(so, &fetched, &failed) ? 1 : 0);
    aa_counter_add(im->schemas, fetched - im->counted_schemas);
    aa_counter_add(im->schema_failures, failed - im->counted_failures);
    im->counted_schemas = fetched;
    im->counted_failures = failed;
}

bool
ingest_metrics_update(ingest_metrics *im, const ingest *in, const order *od, const source *so,
                      uint64_t letters_lost, int64_t now_us)
{
    ingest_stats is;
    int64_t      every_us = im->cfg->log.stats_ms * 1000;
    bool         known = update_lag(im, od, so);
    uint64_t     gaps, lost = source_lost(so, &gaps);

    ingest_stats_get(in, &is);
    aa_gauge_set(im->in_flight, (double)is.in_flight);
    aa_gauge_set(im->epoch, (double)is.epoch);
    if (is.commits > im->counted_commits) aa_gauge_set(im->committed, (double)aa_wall_ms() / 1e3);
    aa_counter_add(im->commits, is.commits - im->counted_commits);
    aa_counter_add(im->resets, is.resets - im->counted_resets);
    im->counted_commits = is.commits;
    aa_counter_add(im->unsaved, is.unsaved - im->counted_unsaved);
    aa_counter_add(im->lost, lost - im->counted_lost);
    update_schemas(im, so);
    aa_counter_add(im->passed_over, source_passed_over(so) - im->counted_passed);
    im->counted_passed = source_passed_over(so);
    aa_counter_add(im->gaps, gaps - im->counted_gaps);
    aa_counter_add(im->letters_lost, letters_lost - im->counted_letters);
    im->counted_letters = letters_lost;
    im->counted_lost = lost;
    im->counted_gaps = gaps;
    im->counted_resets = is.resets;
    im->counted_unsaved = is.unsaved;
    if (every_us > 0 && im->opened && now_us - im->stats_us >= every_us && aa_log_on(AA_INFO))
        write_stats(im, &is, now_us);
    return known;
}

aa_status
ingest_metrics_finish(ingest_metrics *im, const ingest *in, const source *so, uint64_t letters_lost,
                      bool whole, aa_err *err)
{
    uint64_t     gaps;
    aa_summary  *su = aa_summary_new();
    ingest_stats is;
    double       seconds = (double)(im->last_us - im->first_us) / 1e6;
    double       rate = seconds > 0 ? (double)im->taken / seconds : 0;
    char         kv[320], from[AA_CONF_STR + 32];

    ingest_stats_get(in, &is);
    if (im->from_epoch > 0)
        snprintf(from, sizeof from, "epoch:%" PRIu64, im->from_epoch);
    else
        snprintf(from, sizeof from, "%s", im->cfg->ingest.replay_from);
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
    aa_summary_int(su, "events_skipped", source_passed_over(so));
    aa_summary_int(su, "dead_letters_lost", letters_lost);
    aa_summary_str(su, "ended", ingest_ended(in) ? "replay" : whole ? "drained" : "given up");
    return aa_summary_write(&su, im->cfg, "ingest", err);
}
