#include "assigner/assigner_metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/agent_state.h"
#include "common/base/log.h"
#include "common/service/series.h"
#include "common/service/summary.h"

enum { POSITIONS_MAX = 17 };
enum { PART_IDS, PART_SLOTS, PART_AGENT, PART_IN_FLIGHT, PART_PUBLICATION, PARTS };

/* of one ID field */
typedef struct {
    aa_gauge *ids_seen, *ids, *rows_shared, *rows_unique, *rows_unique_peak;
    aa_gauge *table_bytes, *agent_bytes, *price, *lean_auc, *forgotten, *unannounced;
    aa_gauge *actions[AA_ACTIONS], *promotions, *demotions, *swept;
    aa_gauge *ids_at[POSITIONS_MAX];
} field_metrics;

struct assigner_metrics {
    const aa_conf *cfg; /* borrowed */
    aa_counter    *events, *batches, *published;
    aa_histogram  *step, *learn;
    aa_gauge      *seq, *in_flight, *budget, *bytes_budget, *bytes_used, *part[PARTS];
    uint64_t       published_before;
    field_metrics  field[AA_MAX_FIELDS];
    aa_series     *series, *frequency; /* NULL: off */
};

static void
register_field(field_metrics *fm, aa_metrics *ms, const aa_conf *cfg, size_t f)
{
    static const char *const action[] = {"descend", "unchanged", "ascend"};
    static_assert(sizeof action / sizeof *action == AA_ACTIONS, "a name for every action");
    const char *name = cfg->fields[f].name;
    char        labels[160];
    snprintf(labels, sizeof labels, "field=\"%s\"", name);
#define GAUGE(member, metric, help)                                                                \
    fm->member = aa_metrics_gauge(ms, "autoassign_" metric, labels, help)
    GAUGE(ids_seen, "ids_seen", "Distinct IDs seen.");
    GAUGE(ids, "ids", "IDs in the table now.");
    GAUGE(rows_shared, "rows_shared", "Shared rows.");
    GAUGE(rows_unique, "rows_unique", "IDs that hold a row of their own.");
    GAUGE(rows_unique_peak, "rows_unique_peak", "Most unique rows so far.");
    GAUGE(table_bytes, "id_table_bytes", "Bytes of the ID table.");
    GAUGE(agent_bytes, "agent_bytes", "Bytes of the agent.");
    GAUGE(price, "row_price", "Price of a unique row, in loss saved per event of the stream.");
    GAUGE(
        lean_auc, "field_auc",
        "AUC of the field's IDs alone, recently; near 1: the field tells the label. NaN at first.");
    GAUGE(forgotten, "ids_forgotten", "IDs forgotten so far.");
    GAUGE(unannounced, "ids_forgotten_unannounced",
          "Forgotten IDs that scorers were not told of, because too many waited.");
    GAUGE(promotions, "promotions", "Unique rows given so far.");
    GAUGE(demotions, "demotions", "Unique rows taken back so far.");
    GAUGE(swept, "swept", "Decisions of the sweep over quiet IDs so far.");
    for (size_t a = 0; a < AA_ACTIONS; a++) {
        snprintf(labels, sizeof labels, "field=\"%s\",action=\"%s\"", name, action[a]);
        GAUGE(actions[a], "actions", "Actions taken so far.");
    }
    for (int64_t p = 1; p <= cfg->agent.positions + 1; p++) {
        snprintf(labels, sizeof labels, "field=\"%s\",position=\"%d\"", name, (int)p);
        GAUGE(ids_at[p], "ids_at_position", "IDs at a position; the last one is unique.");
    }
#undef GAUGE
}

static void
register_bytes(assigner_metrics *am, aa_metrics *ms)
{
    static const char *const part[PARTS] = {"ids", "row slots", "agent", "in flight",
                                            "publication"};
    aa_metrics_gauges(ms, "autoassign_held_bytes", "part", part, PARTS,
                      "Bytes that the process holds, by part.", am->part);
    am->bytes_budget =
        aa_metrics_gauge(ms, "autoassign_budget_bytes", "", "agent.budget_bytes; 0: no limit.");
    am->bytes_used =
        aa_metrics_gauge(ms, "autoassign_budget_used_bytes", "",
                         "Bytes of assigner and learner that count towards agent.budget_bytes.");
}

static aa_status
open_series(assigner_metrics *am, aa_err *err)
{
    char columns[512], at[16 * POSITIONS_MAX] = "";
    for (int64_t p = 1; p <= am->cfg->agent.positions + 1; p++)
        snprintf(at + strlen(at), sizeof at - strlen(at), ",ids_at_%d", (int)p);
    snprintf(columns, sizeof columns,
             "field,ids_seen,ids,rows_shared,rows_unique,promotions,demotions,swept,visits,"
             "own_reads,descend,unchanged,ascend%s",
             at);
    aa_status st = aa_series_open(&am->series, am->cfg, "assigner_series", columns, err);
    if (st != AA_OK) return st;
    snprintf(columns, sizeof columns,
             "field,frequency,descend,unchanged,ascend,ascend_probability,descend_probability%s",
             at);
    return aa_series_open(&am->frequency, am->cfg, "assigner_frequency", columns, err);
}

aa_status
assigner_metrics_new(assigner_metrics **out, aa_metrics *ms, const aa_conf *cfg, aa_err *err)
{
    assigner_metrics *am = calloc(1, sizeof *am);
    if (!am) return aa_fail(err, AA_ENOMEM, "metrics");
    am->cfg = cfg;
#define COUNTER(member, name, help)                                                                \
    am->member = aa_metrics_counter(ms, "autoassign_" name, "", help)
#define HISTOGRAM(member, name, help)                                                              \
    am->member = aa_metrics_histogram(ms, "autoassign_" name, "", help)
    COUNTER(events, "events_total",
            "Events assigned since this process's start, repeats included.");
    COUNTER(batches, "batches_total", "Batches assigned.");
    COUNTER(published, "assignments_published_total", "Assignments sent to their topic.");
    HISTOGRAM(step, "step_seconds", "Time to assign one batch.");
    HISTOGRAM(learn, "learn_seconds", "Time to learn from one batch of rewards.");
#undef COUNTER
#undef HISTOGRAM
    am->seq =
        aa_metrics_gauge(ms, "autoassign_batch_seq", "", "Sequence number of the newest batch.");
    am->budget = aa_metrics_gauge(ms, "autoassign_rows_budget", "",
                                  "Most unique rows of all fields together; 0: no such limit.");
    am->in_flight = aa_metrics_gauge(ms, "autoassign_batches_in_flight", "",
                                     "Batches assigned whose rewards have not been learned from.");
    register_bytes(am, ms);
    for (size_t f = 0; f < cfg->field_count; f++)
        register_field(&am->field[f], ms, cfg, f);
    aa_status st = open_series(am, err);
    if (st != AA_OK) {
        assigner_metrics_free(&am);
        return st;
    }
    *out = am;
    return AA_OK;
}

void
assigner_metrics_free(assigner_metrics **am_p)
{
    if (*am_p) {
        aa_series_close(&(*am_p)->series);
        aa_series_close(&(*am_p)->frequency);
    }
    free(*am_p);
    *am_p = NULL;
}

void
assigner_metrics_step(assigner_metrics *am, const aa_event_batch *in, int64_t duration_us)
{
    aa_counter_add(am->events, in->n);
    aa_counter_add(am->batches, 1);
    aa_histogram_observe(am->step, (double)duration_us / 1e6);
    aa_gauge_set(am->seq, (double)in->hd.seq);
}

void
assigner_metrics_learned(assigner_metrics *am, int64_t duration_us)
{
    aa_histogram_observe(am->learn, (double)duration_us / 1e6);
}

void
assigner_metrics_published(assigner_metrics *am, uint64_t assignments_total)
{
    aa_counter_add(am->published, assignments_total - am->published_before);
    am->published_before = assignments_total;
}

void
assigner_metrics_refresh(assigner_metrics *am, const assigner *as)
{
    if (!as) return;
    aa_gauge_set(am->in_flight, (double)(assigner_next_batch(as) - assigner_next_reward(as)));
    double part[PARTS] = {0.0};
    for (uint32_t f = 0; f < am->cfg->field_count; f++) {
        const field_metrics *fm = &am->field[f];
        assigner_stats       s;
        assigner_stats_get(as, f, &s);
        part[PART_IDS] += (double)s.ids_bytes;
        part[PART_SLOTS] += (double)s.slots_bytes;
        part[PART_AGENT] += (double)(s.agent_bytes - s.in_flight_bytes);
        part[PART_IN_FLIGHT] += (double)s.in_flight_bytes;
        part[PART_PUBLICATION] += (double)s.publish_bytes;
        if (f == 0) aa_gauge_set(am->bytes_budget, (double)s.bytes_budget);
        if (f == 0) aa_gauge_set(am->bytes_used, (double)s.bytes_used);
        aa_gauge_set(fm->forgotten, (double)s.forgotten);
        aa_gauge_set(fm->unannounced, (double)s.unannounced);
        aa_gauge_set(fm->ids_seen, (double)s.ids_seen);
        aa_gauge_set(fm->ids, (double)s.ids);
        aa_gauge_set(fm->rows_shared, (double)s.rows_shared);
        aa_gauge_set(fm->rows_unique, (double)s.rows_unique);
        aa_gauge_set(fm->rows_unique_peak, (double)s.rows_unique_peak);
        aa_gauge_set(fm->table_bytes, (double)s.table_bytes);
        aa_gauge_set(fm->agent_bytes, (double)s.agent_bytes);
        aa_gauge_set(fm->price, s.price);
        aa_gauge_set(fm->lean_auc, s.lean_auc);
        aa_gauge_set(am->budget, (double)s.budget);
        aa_gauge_set(fm->promotions, (double)s.promotions);
        aa_gauge_set(fm->demotions, (double)s.demotions);
        aa_gauge_set(fm->swept, (double)s.swept);
        for (size_t a = 0; a < AA_ACTIONS; a++)
            aa_gauge_set(fm->actions[a], (double)s.actions[a]);
        for (int64_t p = 1; p <= am->cfg->agent.positions + 1; p++)
            aa_gauge_set(fm->ids_at[p], (double)s.ids_at[p]);
    }
    for (size_t i = 0; i < PARTS; i++)
        aa_gauge_set(am->part[i], part[i]);
}

aa_status
assigner_metrics_begin(assigner_metrics *am, const assigner *as, aa_err *err)
{
    aa_status st = aa_series_rewind(am->series, assigner_events(as), err);
    if (st == AA_OK) st = aa_series_rewind(am->frequency, assigner_events(as), err);
    return st;
}

static void
series_counts(aa_series *se, const uint64_t *count, size_t n)
{
    for (size_t i = 0; i < n; i++)
        aa_series_int(se, count[i]);
}

static aa_status
series_field(assigner_metrics *am, const assigner *as, uint32_t f, aa_err *err)
{
    aa_series     *se = am->series;
    const size_t   positions = (size_t)am->cfg->agent.positions + 1;
    assigner_stats s;
    assigner_stats_get(as, f, &s);
    const uint64_t counts[] = {s.ids_seen,  s.ids,   s.rows_shared, s.rows_unique, s.promotions,
                               s.demotions, s.swept, s.visits,      s.own_reads};
    aa_series_str(se, am->cfg->fields[f].name);
    series_counts(se, counts, sizeof counts / sizeof *counts);
    series_counts(se, s.actions, AA_ACTIONS);
    series_counts(se, s.ids_at + 1, positions);
    return aa_series_row(se, assigner_events(as), err);
}

/* One row for each frequency that any ID has or had. */
static aa_status
series_frequencies(assigner_metrics *am, const assigner *as, uint32_t f, aa_err *err)
{
    aa_series      *se = am->frequency;
    const size_t    positions = (size_t)am->cfg->agent.positions + 1;
    assigner_bucket bucket[AA_FREQ_BUCKETS];
    aa_status       st = AA_OK;
    assigner_buckets_get(as, f, bucket);
    for (uint32_t b = 0; st == AA_OK && b < AA_FREQ_BUCKETS; b++) {
        const assigner_bucket *bk = &bucket[b];
        uint64_t               any = 0;
        for (size_t p = 1; p <= positions; p++)
            any += bk->ids_at[p];
        for (size_t a = 0; a < AA_ACTIONS; a++)
            any += bk->actions[a];
        if (any == 0) continue;
        aa_series_str(se, am->cfg->fields[f].name);
        aa_series_num(se, (double)aa_freq_bucket_floor(b));
        series_counts(se, bk->actions, AA_ACTIONS);
        aa_series_num(se, bk->ascend);
        aa_series_num(se, bk->descend);
        series_counts(se, bk->ids_at + 1, positions);
        st = aa_series_row(se, assigner_events(as), err);
    }
    return st;
}

aa_status
assigner_metrics_series(assigner_metrics *am, const assigner *as, bool last, aa_err *err)
{
    const uint64_t events = assigner_events(as);
    aa_status      st = AA_OK;
    if (!aa_series_due(am->series, events, last)) return AA_OK;
    for (uint32_t f = 0; st == AA_OK && f < am->cfg->field_count; f++) {
        st = series_field(am, as, f, err);
        if (st == AA_OK) st = series_frequencies(am, as, f, err);
    }
    aa_series_done(am->series, events);
    aa_series_done(am->frequency, events);
    return st;
}

/* One number of a field in the summary, e.g. user_rows_unique. */
static void
field_int(aa_summary *su, const aa_conf *cfg, uint32_t f, const char *name, uint64_t value)
{
    char key[128];
    snprintf(key, sizeof key, "%s_%s", cfg->fields[f].name, name);
    aa_summary_int(su, key, value);
}

static void
field_price(aa_summary *su, const aa_conf *cfg, uint32_t f, double price)
{
    char key[128];
    snprintf(key, sizeof key, "%s_row_price", cfg->fields[f].name);
    aa_summary_num(su, key, price);
}

aa_status
assigner_metrics_final(const assigner *as, const aa_conf *cfg, aa_err *err)
{
    assigner_stats sum = {0};
    uint64_t       budget = 0;
    aa_summary    *su = aa_summary_new();
    for (uint32_t f = 0; f < cfg->field_count; f++) {
        assigner_stats s;
        assigner_stats_get(as, f, &s);
        sum.ids_seen += s.ids_seen;
        sum.rows_shared += s.rows_shared;
        sum.rows_unique += s.rows_unique;
        sum.rows_unique_peak += s.rows_unique_peak;
        sum.table_bytes += s.table_bytes;
        sum.agent_bytes += s.agent_bytes;
        sum.ids_bytes += s.ids_bytes;
        sum.slots_bytes += s.slots_bytes;
        sum.publish_bytes += s.publish_bytes;
        sum.in_flight_bytes += s.in_flight_bytes;
        sum.bytes_used += s.bytes_used;
        sum.forgotten += s.forgotten;
        sum.promotions += s.promotions;
        sum.demotions += s.demotions;
        sum.visits += s.visits;
        sum.own_reads += s.own_reads;
        field_int(su, cfg, f, "ids_seen", s.ids_seen);
        field_int(su, cfg, f, "rows_shared", s.rows_shared);
        field_int(su, cfg, f, "rows_unique", s.rows_unique);
        field_int(su, cfg, f, "rows_unique_peak", s.rows_unique_peak);
        field_price(su, cfg, f, s.price);
        budget = s.budget;
    }
    const uint64_t digest = assigner_digest(as);
    char           kv[320];
    snprintf(kv, sizeof kv,
             "ids_seen=%" PRIu64 " rows_shared=%" PRIu64 " rows_unique=%" PRIu64
             " rows_unique_peak=%" PRIu64 " promotions=%" PRIu64 " demotions=%" PRIu64
             " digest=%016" PRIx64,
             sum.ids_seen, sum.rows_shared, sum.rows_unique, sum.rows_unique_peak, sum.promotions,
             sum.demotions, digest);
    aa_log_write(AA_INFO, "FINAL", kv, "what this assigner decided last");
    aa_summary_int(su, "ids_seen", sum.ids_seen);
    aa_summary_int(su, "rows_shared", sum.rows_shared);
    aa_summary_int(su, "rows_unique", sum.rows_unique);
    aa_summary_int(su, "rows_unique_peak", sum.rows_unique_peak);
    aa_summary_int(su, "rows_budget", budget);
    aa_summary_int(su, "promotions", sum.promotions);
    aa_summary_int(su, "demotions", sum.demotions);
    aa_summary_int(su, "visits", sum.visits);
    aa_summary_int(su, "own_reads", sum.own_reads);
    aa_summary_int(su, "events", assigner_events(as));
    aa_summary_int(su, "forgotten", sum.forgotten);
    aa_summary_int(su, "table_bytes", sum.table_bytes);
    aa_summary_int(su, "ids_bytes", sum.ids_bytes);
    aa_summary_int(su, "slots_bytes", sum.slots_bytes);
    aa_summary_int(su, "publish_bytes", sum.publish_bytes);
    aa_summary_int(su, "in_flight_bytes", sum.in_flight_bytes);
    aa_summary_int(su, "budget_bytes", (uint64_t)cfg->agent.budget_bytes);
    aa_summary_int(su, "budget_used_bytes", sum.bytes_used);
    aa_summary_int(su, "agent_bytes", sum.agent_bytes);
    aa_summary_str(su, "mode", aa_agent_mode_text(cfg->agent.mode));
    aa_summary_hex(su, "digest", digest);
    return aa_summary_write(&su, cfg, "assigner", err);
}
