#include "scorer/meters.h"

#include <stdio.h>

/* 0 stands for whatever is not listed */
static const uint32_t status_list[METERS_STATUSES] = {200, 400, 401, 404, 405,
                                                      413, 429, 500, 503, 0};
static const char    *door_name[METERS_DOORS] = {"zmq", "http"};

static aa_counter *
records(aa_metrics *ms, const char *effect)
{
    char labels[64] = "";
    aa_metrics_label(labels, sizeof labels, "effect", effect);
    return aa_metrics_counter(ms, "autoassign_scorer_records_total", labels,
                              "Messages of the two topics, by what became of them.");
}

static void
init_door(meters *me, aa_metrics *ms, meters_door door)
{
    char labels[64] = "", status[16];
    aa_metrics_label(labels, sizeof labels, "door", door_name[door]);
    me->duration[door] = aa_metrics_histogram(ms, "autoassign_scorer_request_duration_seconds",
                                              labels, "From a request's last byte to its answer.");
    for (size_t i = 0; i < METERS_STATUSES; i++) {
        labels[0] = '\0';
        snprintf(status, sizeof status, "%u", status_list[i]);
        aa_metrics_label(labels, sizeof labels, "door", door_name[door]);
        aa_metrics_label(labels, sizeof labels, "status", status_list[i] ? status : "other");
        me->requests[door][i] = aa_metrics_counter(ms, "autoassign_scorer_requests_total", labels,
                                                   "Requests, by door and status.");
    }
}

void
meters_init(meters *me, aa_metrics *ms, const aa_conf *cfg)
{
    for (int door = 0; door < METERS_DOORS; door++)
        init_door(me, ms, (meters_door)door);
    me->items = aa_metrics_counter(ms, "autoassign_scorer_items_total", "", "Items scored.");
    me->unknown = aa_metrics_counter(ms, "autoassign_scorer_unknown_ids_total", "",
                                     "IDs in requests that were never seen in the stream.");
    me->fallbacks =
        aa_metrics_counter(ms, "autoassign_scorer_fallbacks_total", "",
                           "IDs that read a shared row because their own has not arrived.");
    me->rows_missing = aa_metrics_counter(ms, "autoassign_scorer_missing_rows_total", "",
                                          "Rows that were not there and read as zeros.");
    me->applied = records(ms, "applied");
    me->old = records(ms, "old");
    me->other_lane = records(ms, "other_lane");
    me->bad = records(ms, "bad");
    me->lag = aa_metrics_gauge(ms, "autoassign_scorer_lag", "",
                               "Messages of the two topics that are not applied yet.");
    me->staleness = aa_metrics_gauge(
        ms, "autoassign_scorer_staleness_seconds", "",
        "Now less the arrival in Kafka of the newest event that the weights reflect.");
    me->freshness = aa_metrics_histogram(
        ms, "autoassign_scorer_freshness_seconds", "",
        "From an event's arrival in Kafka to the scores that reflect it: of the oldest event of "
        "each publication that was applied.");
    me->waiting =
        aa_metrics_gauge(ms, "autoassign_scorer_waiting_requests", "", "Requests in the queue.");
    me->names = aa_metrics_gauge(ms, "autoassign_scorer_known_items", "",
                                 "Items whose text is known, and that are ranked.");
    me->version = aa_metrics_gauge(ms, "autoassign_scorer_version", "",
                                   "Batch that the dense weights reflect.");
    me->behind = aa_metrics_gauge(ms, "autoassign_scorer_versions_behind", "",
                                  "Batches between the newest record of the topics that was read "
                                  "and the dense weights that score.");
    me->events = aa_metrics_gauge(ms, "autoassign_scorer_model_events", "",
                                  "Events that the model has learned from.");
    me->bytes = aa_metrics_gauge(ms, "autoassign_scorer_replica_bytes", "",
                                 "Memory of the replica's tables.");
    for (size_t f = 0; f < cfg->field_count; f++) {
        char labels[128] = "";
        aa_metrics_label(labels, sizeof labels, "field", cfg->fields[f].name);
        me->assignments[f] =
            aa_metrics_gauge(ms, "autoassign_scorer_assignments", labels, "IDs held, by field.");
        me->rows[f] =
            aa_metrics_gauge(ms, "autoassign_scorer_rows", labels, "Rows held, by field.");
    }
}

void
meters_request(meters *me, meters_door door, const scorer_tally *tally, int64_t duration_us)
{
    uint32_t status = tally->status ? tally->status : 200;
    size_t   i = 0;
    while (i < METERS_STATUSES - 1 && status_list[i] != status)
        i++;
    aa_counter_add(me->requests[door][i], 1);
    aa_histogram_observe(me->duration[door], (double)duration_us / 1e6);
    aa_counter_add(me->items, tally->items);
    aa_counter_add(me->unknown, tally->unknown);
    aa_counter_add(me->fallbacks, tally->fallbacks);
    aa_counter_add(me->rows_missing, tally->rows_missing);
}

void
meters_replica(meters *me, const replica_stats *rs, size_t F, int64_t wall_ms)
{
    for (size_t f = 0; f < F; f++) {
        aa_gauge_set(me->assignments[f], (double)rs->assignments[f]);
        aa_gauge_set(me->rows[f], (double)rs->rows[f]);
    }
    aa_gauge_set(me->bytes, (double)rs->bytes);
    aa_gauge_set(me->names, (double)rs->names);
    aa_gauge_set(me->version, (double)rs->version);
    aa_gauge_set(me->behind,
                 rs->seen_version > rs->version ? (double)(rs->seen_version - rs->version) : 0);
    aa_gauge_set(me->events, (double)rs->events);
    if (rs->newest_kafka_ms > 0)
        aa_gauge_set(me->staleness, (double)(wall_ms - rs->newest_kafka_ms) / 1e3);
}

uint64_t
meters_requests(const meters *me, meters_door door)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < METERS_STATUSES; i++)
        sum += aa_counter_get(me->requests[door][i]);
    return sum;
}
