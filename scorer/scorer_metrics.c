#include "scorer/scorer_metrics.h"

#include <stdio.h>

/* 0 stands for whatever is not listed */
static const uint32_t status_list[SCORER_STATUSES] = {200, 400, 401, 404, 405,
                                                      413, 429, 500, 503, 0};
static const char    *endpoint_name[SCORER_ENDPOINTS] = {"zmq", "http"};

static aa_counter *
records(aa_metrics *ms, const char *effect)
{
    char labels[64] = "";
    aa_metrics_label(labels, sizeof labels, "effect", effect);
    return aa_metrics_counter(ms, "autoassign_scorer_records_total", labels,
                              "Messages of the two topics, by what became of them.");
}

static void
init_endpoint(scorer_metrics *sm, aa_metrics *ms, scorer_endpoint endpoint)
{
    char labels[64] = "", status[16];
    aa_metrics_label(labels, sizeof labels, "endpoint", endpoint_name[endpoint]);
    sm->duration[endpoint] =
        aa_metrics_histogram(ms, "autoassign_scorer_request_duration_seconds", labels,
                             "From a request's last byte to its answer.");
    for (size_t i = 0; i < SCORER_STATUSES; i++) {
        labels[0] = '\0';
        snprintf(status, sizeof status, "%u", status_list[i]);
        aa_metrics_label(labels, sizeof labels, "endpoint", endpoint_name[endpoint]);
        aa_metrics_label(labels, sizeof labels, "status", status_list[i] ? status : "other");
        sm->requests[endpoint][i] = aa_metrics_counter(ms, "autoassign_scorer_requests_total",
                                                       labels, "Requests, by endpoint and status.");
    }
}

void
scorer_metrics_init(scorer_metrics *sm, aa_metrics *ms, const aa_conf *cfg)
{
    for (int endpoint = 0; endpoint < SCORER_ENDPOINTS; endpoint++)
        init_endpoint(sm, ms, (scorer_endpoint)endpoint);
    sm->items = aa_metrics_counter(ms, "autoassign_scorer_items_total", "", "Items scored.");
    sm->unknown = aa_metrics_counter(ms, "autoassign_scorer_unknown_ids_total", "",
                                     "IDs in requests that were never seen in the stream.");
    sm->fallbacks =
        aa_metrics_counter(ms, "autoassign_scorer_fallbacks_total", "",
                           "IDs that read a shared row because their own has not arrived.");
    sm->rows_missing = aa_metrics_counter(ms, "autoassign_scorer_missing_rows_total", "",
                                          "Rows that were not there and read as zeros.");
    sm->applied = records(ms, "applied");
    sm->old = records(ms, "old");
    sm->older_run = records(ms, "older_run");
    sm->other_lane = records(ms, "other_lane");
    sm->foreign = records(ms, "other_pipeline");
    sm->bad = records(ms, "bad");
    sm->lane = aa_metrics_gauge(ms, "autoassign_scorer_lane", "", "Lane that is served.");
    aa_gauge_set(sm->lane, (double)cfg->pipeline.lane);
    sm->read_anew = aa_metrics_counter(ms, "autoassign_scorer_read_anew_total", "",
                                       "Times that the topics were read anew: deletions may have "
                                       "been missed, or a topic was cut.");
    sm->reading_anew = aa_metrics_gauge(
        ms, "autoassign_scorer_reading_anew", "",
        "1 while the topics are read anew, or wait for it; the model at hand serves "
        "meanwhile.");
    sm->older_only =
        aa_metrics_gauge(ms, "autoassign_scorer_older_run", "",
                         "1 while only records of an older run arrive than those that are held.");
    sm->lag = aa_metrics_gauge(ms, "autoassign_scorer_lag", "",
                               "Messages of the two topics that are not applied yet.");
    sm->staleness = aa_metrics_gauge(
        ms, "autoassign_scorer_staleness_seconds", "",
        "Now less the arrival in Kafka of the newest event that the weights reflect.");
    sm->freshness = aa_metrics_histogram(
        ms, "autoassign_scorer_freshness_seconds", "",
        "From an event's arrival in Kafka to the scores that reflect it: of the oldest event of "
        "each publication that was applied.");
    sm->waiting =
        aa_metrics_gauge(ms, "autoassign_scorer_waiting_requests", "", "Requests in the queue.");
    sm->names = aa_metrics_gauge(ms, "autoassign_scorer_known_items", "",
                                 "Items whose text is known, and that are ranked.");
    sm->version = aa_metrics_gauge(ms, "autoassign_scorer_version", "",
                                   "Batch that the dense weights reflect.");
    sm->behind = aa_metrics_gauge(ms, "autoassign_scorer_versions_behind", "",
                                  "Batches between the newest record of the topics that was read "
                                  "and the dense weights that score.");
    sm->events = aa_metrics_gauge(ms, "autoassign_scorer_model_events", "",
                                  "Events that the model has learned from.");
    sm->bytes = aa_metrics_gauge(ms, "autoassign_scorer_replica_bytes", "",
                                 "Memory of the replica's tables.");
    for (size_t f = 0; f < cfg->field_count; f++) {
        char labels[128] = "";
        aa_metrics_label(labels, sizeof labels, "field", cfg->fields[f].name);
        sm->assignments[f] =
            aa_metrics_gauge(ms, "autoassign_scorer_assignments", labels, "IDs held, by field.");
        sm->rows[f] =
            aa_metrics_gauge(ms, "autoassign_scorer_rows", labels, "Rows held, by field.");
    }
}

void
scorer_metrics_request(scorer_metrics *sm, scorer_endpoint endpoint, const scorer_tally *tally,
                       int64_t duration_us)
{
    uint32_t status = tally->status ? tally->status : 200;
    size_t   i = 0;
    while (i < SCORER_STATUSES - 1 && status_list[i] != status)
        i++;
    aa_counter_add(sm->requests[endpoint][i], 1);
    aa_histogram_observe(sm->duration[endpoint], (double)duration_us / 1e6);
    aa_counter_add(sm->items, tally->items);
    aa_counter_add(sm->unknown, tally->unknown);
    aa_counter_add(sm->fallbacks, tally->fallbacks);
    aa_counter_add(sm->rows_missing, tally->rows_missing);
}

void
scorer_metrics_replica(scorer_metrics *sm, const replica_stats *rs, size_t F, int64_t wall_ms)
{
    for (size_t f = 0; f < F; f++) {
        aa_gauge_set(sm->assignments[f], (double)rs->assignments[f]);
        aa_gauge_set(sm->rows[f], (double)rs->rows[f]);
    }
    aa_gauge_set(sm->bytes, (double)rs->bytes);
    aa_gauge_set(sm->names, (double)rs->names);
    aa_gauge_set(sm->version, (double)rs->version);
    aa_gauge_set(sm->behind,
                 rs->seen_version > rs->version ? (double)(rs->seen_version - rs->version) : 0);
    aa_gauge_set(sm->events, (double)rs->events);
    if (rs->newest_kafka_ms > 0)
        aa_gauge_set(sm->staleness, (double)(wall_ms - rs->newest_kafka_ms) / 1e3);
}

uint64_t
scorer_metrics_requests(const scorer_metrics *sm, scorer_endpoint endpoint)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SCORER_STATUSES; i++)
        sum += aa_counter_get(sm->requests[endpoint][i]);
    return sum;
}
