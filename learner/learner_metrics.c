#include "learner/learner_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/service/series.h"
#include "common/service/summary.h"

#define SERIES_COLUMNS                                                                             \
    "auc,mse,logloss,accuracy,window_events,window_auc,window_mse,window_logloss,"                 \
    "window_accuracy,rows_live,row_bytes,reward_mean,td_error_mean_abs"

/* hold_why's */
static const char *const held_reason[] = {"logloss",   "calibration", "auc",
                                          "gradients", "operator",    "restart"};
enum { HELD_REASONS = sizeof held_reason / sizeof *held_reason };

enum { PART_ROWS, PART_OPTIMIZER, PART_DENSE, PART_CRITIC, PART_IN_FLIGHT, PARTS };

struct learner_metrics {
    aa_counter   *events, *batches, *rows_published;
    aa_histogram *step, *publish;
    aa_gauge     *auc, *logloss, *mse, *accuracy;
    aa_gauge     *auc_recent, *logloss_recent, *auc_lt10;
    aa_gauge     *label_mean, *prediction_mean;
    aa_gauge     *part[PARTS];
    aa_gauge     *held[HELD_REASONS];
    aa_gauge     *rows, *row_bytes, *row_bytes_peak, *dense_bytes, *critic_bytes;
    aa_gauge     *reward, *td_error, *seq;
    uint64_t      rows_published_before;
    aa_series    *series; /* NULL: off */
};

static void
register_bytes(learner_metrics *lm, aa_metrics *ms)
{
    static const char *const part[PARTS] = {"rows", "row optimizer", "dense", "critic",
                                            "in flight"};
    aa_metrics_gauges(ms, "autoassign_held_bytes", "part", part, PARTS,
                      "Bytes that the process holds, by part.", lm->part);
}

aa_status
learner_metrics_new(learner_metrics **out, aa_metrics *ms, const aa_conf *cfg, aa_err *err)
{
    learner_metrics *lm = calloc(1, sizeof *lm);
    if (!lm) return aa_fail(err, AA_ENOMEM, "metrics");
#define COUNTER(field, name, help) lm->field = aa_metrics_counter(ms, "autoassign_" name, "", help)
#define GAUGE(field, name, labels, help)                                                           \
    lm->field = aa_metrics_gauge(ms, "autoassign_" name, labels, help)
#define HISTOGRAM(field, name, help)                                                               \
    lm->field = aa_metrics_histogram(ms, "autoassign_" name, "", help)
    COUNTER(events, "events_total",
            "Events predicted and learned from since this process's start, repeats included.");
    COUNTER(batches, "batches_total", "Batches learned from.");
    COUNTER(rows_published, "rows_published_total", "Rows sent to the model topic.");
    HISTOGRAM(step, "step_seconds", "Time to predict, record and train one batch.");
    HISTOGRAM(publish, "publish_seconds", "Time to hand what changed to Kafka's client.");
    GAUGE(auc, "auc", "window=\"all\"", "Prequential area under the ROC curve.");
    GAUGE(auc_recent, "auc", "window=\"recent\"", "Prequential area under the ROC curve.");
    GAUGE(auc_lt10, "auc", "window=\"seen_lt10\"", "Prequential area under the ROC curve.");
    GAUGE(logloss, "logloss", "window=\"all\"", "Prequential log-loss.");
    GAUGE(logloss_recent, "logloss", "window=\"recent\"", "Prequential log-loss.");
    GAUGE(mse, "mse", "", "Prequential mean squared error of the probability.");
    GAUGE(accuracy, "accuracy", "", "Prequential accuracy at 0.5.");
    GAUGE(label_mean, "label_mean", "", "Mean target so far.");
    GAUGE(prediction_mean, "prediction_mean", "",
          "Mean prediction so far; near label_mean when calibrated.");
    GAUGE(rows, "rows_live", "", "Embedding rows that hold something.");
    GAUGE(row_bytes, "row_bytes", "", "Bytes of live rows with their optimizer state.");
    GAUGE(row_bytes_peak, "row_bytes_peak", "", "Most bytes of live rows so far.");
    register_bytes(lm, ms);
    aa_metrics_gauges(ms, "autoassign_publish_held", "reason", held_reason, HELD_REASONS,
                      "1 while publication is held back for this reason.", lm->held);
    GAUGE(dense_bytes, "dense_bytes", "", "Bytes of dense weights with their optimizer state.");
    GAUGE(critic_bytes, "critic_bytes", "", "Bytes of the critic.");
    GAUGE(reward, "reward_mean", "", "Recent mean reward of the agent's decisions.");
    GAUGE(td_error, "td_error_mean_abs", "", "Recent mean absolute TD error of the critic.");
    GAUGE(seq, "batch_seq", "", "Sequence number of the newest batch.");
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    aa_status st = aa_series_open(&lm->series, cfg, "learner_series", SERIES_COLUMNS, err);
    if (st != AA_OK) {
        learner_metrics_free(&lm);
        return st;
    }
    *out = lm;
    return AA_OK;
}

void
learner_metrics_free(learner_metrics **lm_p)
{
    if (*lm_p) aa_series_close(&(*lm_p)->series);
    free(*lm_p);
    *lm_p = NULL;
}

void
learner_metrics_step(learner_metrics *lm, const aa_assigned_batch *in, int64_t duration_us)
{
    aa_counter_add(lm->events, in->n);
    aa_counter_add(lm->batches, 1);
    aa_histogram_observe(lm->step, (double)duration_us / 1e6);
    aa_gauge_set(lm->seq, (double)in->hd.seq);
}

void
learner_metrics_published(learner_metrics *lm, uint64_t rows_total, int64_t duration_us)
{
    aa_counter_add(lm->rows_published, rows_total - lm->rows_published_before);
    lm->rows_published_before = rows_total;
    aa_histogram_observe(lm->publish, (double)duration_us / 1e6);
}

void
learner_metrics_held(learner_metrics *lm, const char *why)
{
    for (size_t i = 0; i < HELD_REASONS; i++)
        aa_gauge_set(lm->held[i], strcmp(why, held_reason[i]) == 0);
}

void
learner_metrics_refresh(learner_metrics *lm, const learner *le)
{
    if (!le) return;
    quality_summary q;
    learner_stats   s;
    learner_quality(le, &q);
    learner_stats_get(le, &s);
    const quality_values *all = &q.slice[QUALITY_ALL];
    aa_gauge_set(lm->auc, all->auc);
    aa_gauge_set(lm->auc_recent, q.recent.auc);
    aa_gauge_set(lm->auc_lt10, q.slice[QUALITY_LT10].auc);
    aa_gauge_set(lm->logloss, all->logloss);
    aa_gauge_set(lm->logloss_recent, q.recent.logloss);
    aa_gauge_set(lm->mse, all->mse);
    aa_gauge_set(lm->accuracy, all->accuracy);
    aa_gauge_set(lm->label_mean, all->label_mean);
    aa_gauge_set(lm->prediction_mean, all->prediction_mean);
    aa_gauge_set(lm->rows, (double)s.rows_live);
    aa_gauge_set(lm->row_bytes, (double)s.row_bytes);
    aa_gauge_set(lm->row_bytes_peak, (double)s.row_bytes_peak);
    aa_gauge_set(lm->dense_bytes, (double)s.dense_bytes);
    aa_gauge_set(lm->critic_bytes, (double)s.critic_bytes);
    const uint64_t part[PARTS] = {s.rows_held_bytes - s.row_optimizer_bytes, s.row_optimizer_bytes,
                                  s.dense_bytes, s.critic_bytes, s.in_flight_bytes};
    for (size_t i = 0; i < PARTS; i++)
        aa_gauge_set(lm->part[i], (double)part[i]);
    aa_gauge_set(lm->reward, s.reward_mean);
    aa_gauge_set(lm->td_error, s.td_error_mean_abs);
}

aa_status
learner_metrics_begin(learner_metrics *lm, const learner *le, aa_err *err)
{
    learner_stats s;
    learner_stats_get(le, &s);
    return aa_series_rewind(lm->series, s.events, err);
}

static void
series_quality(aa_series *se, const quality_values *v)
{
    aa_series_num(se, v->auc);
    aa_series_num(se, v->mse);
    aa_series_num(se, v->logloss);
    aa_series_num(se, v->accuracy);
}

aa_status
learner_metrics_series(learner_metrics *lm, learner *le, bool last, aa_err *err)
{
    aa_series      *se = lm->series;
    learner_stats   s;
    quality_summary q;
    quality_values  window;
    if (!se) return AA_OK;
    learner_stats_get(le, &s);
    if (!aa_series_due(se, s.events, last)) return AA_OK;
    learner_quality(le, &q);
    learner_window(le, &window);
    series_quality(se, &q.slice[QUALITY_ALL]);
    aa_series_int(se, window.events);
    series_quality(se, &window);
    aa_series_int(se, s.rows_live);
    aa_series_int(se, s.row_bytes);
    aa_series_num(se, s.reward_mean);
    aa_series_num(se, s.td_error_mean_abs);
    aa_status st = aa_series_row(se, s.events, err);
    aa_series_done(se, s.events);
    return st;
}

/* The quality of a part of the stream; the part is added to the names. */
static void
summarise(aa_summary *su, const quality_values *v, const char *part)
{
    char key[64];
#define KEY(name) (snprintf(key, sizeof key, "%s%s", name, part), key)
    aa_summary_int(su, KEY("events"), v->events);
    aa_summary_num(su, KEY("mse"), v->mse);
    aa_summary_num(su, KEY("accuracy"), v->accuracy);
    aa_summary_num(su, KEY("auc"), v->auc);
    aa_summary_num(su, KEY("logloss"), v->logloss);
    aa_summary_num(su, KEY("label_mean"), v->label_mean);
    aa_summary_num(su, KEY("prediction_mean"), v->prediction_mean);
#undef KEY
}

static void
summarise_calibration(aa_summary *su, const quality_bin *bin)
{
    double events[QUALITY_BINS], prediction[QUALITY_BINS], label[QUALITY_BINS];
    for (size_t b = 0; b < QUALITY_BINS; b++) {
        events[b] = (double)bin[b].events;
        prediction[b] = bin[b].prediction_mean;
        label[b] = bin[b].label_mean;
    }
    aa_summary_nums(su, "calibration_events", events, QUALITY_BINS);
    aa_summary_nums(su, "calibration_prediction_mean", prediction, QUALITY_BINS);
    aa_summary_nums(su, "calibration_label_mean", label, QUALITY_BINS);
}

aa_status
learner_metrics_final(const learner *le, const aa_conf *cfg, uint64_t events, double seconds,
                      const char *held, aa_err *err)
{
    quality_summary q;
    learner_stats   s;
    learner_quality(le, &q);
    learner_stats_get(le, &s);
    const quality_values *all = &q.slice[QUALITY_ALL];
    const double          rate = seconds > 0 ? (double)events / seconds : 0.0;
    char                  kv[400];
    snprintf(kv, sizeof kv,
             "events=%" PRIu64 " events_per_s=%.0f mse=%.6f accuracy=%.6f auc=%.6f logloss=%.6f "
             "rows=%" PRIu64 " digest=%016" PRIx64 " served_digest=%016" PRIx64,
             all->events, rate, all->mse, all->accuracy, all->auc, all->logloss, s.rows_live,
             learner_digest(le), learner_served_digest(le));
    aa_log_write(AA_INFO, "FINAL", kv, "what this learner knew last");
    aa_summary *su = aa_summary_new();
    summarise(su, all, "");
    summarise(su, &q.late, "_late");
    summarise(su, &q.slice[QUALITY_LT5], "_seen_lt5");
    summarise(su, &q.slice[QUALITY_LT10], "_seen_lt10");
    summarise(su, &q.slice[QUALITY_LT20], "_seen_lt20");
    summarise_calibration(su, q.calibration);
    aa_summary_num(su, "seconds", seconds);
    aa_summary_num(su, "events_per_s", rate);
    aa_summary_int(su, "rows_live", s.rows_live);
    aa_summary_int(su, "row_bytes", s.row_bytes);
    aa_summary_int(su, "row_bytes_peak", s.row_bytes_peak);
    aa_summary_int(su, "rows_held_bytes", s.rows_held_bytes);
    aa_summary_int(su, "row_optimizer_bytes", s.row_optimizer_bytes);
    aa_summary_int(su, "in_flight_bytes", s.in_flight_bytes);
    aa_summary_int(su, "dense_bytes", s.dense_bytes);
    aa_summary_int(su, "critic_bytes", s.critic_bytes);
    aa_summary_num(su, "reward_mean", s.reward_mean);
    aa_summary_num(su, "td_error_mean_abs", s.td_error_mean_abs);
    aa_summary_str(su, "publish_held", held);
    aa_summary_str(su, "model", aa_model_id_text(cfg->model.kind));
    aa_summary_int(su, "dim", (uint64_t)cfg->model.dim);
    aa_summary_str(su, "mode", aa_agent_mode_text(cfg->agent.mode));
    aa_summary_hex(su, "digest", learner_digest(le));
    aa_summary_hex(su, "served_digest", learner_served_digest(le));
    return aa_summary_write(&su, cfg, "learner", err);
}
