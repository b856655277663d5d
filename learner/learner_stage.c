#include "learner/learner_stage.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { FLUSH_MS = 500, LAST_FLUSH_MS = 60000 };

void
learner_stage_init(learner_stage *sg, const aa_conf *cfg)
{
    *sg = (learner_stage){.cfg = cfg};
}

void
learner_stage_fini(learner_stage *sg)
{
    learner_free(&sg->le);
    aa_assigned_batch_fini(&sg->in);
    aa_reward_batch_fini(&sg->out);
    aa_bytes_fini(&sg->bytes);
    free(sg->prediction);
}

/* ---- the state ---- */

static aa_status
renew_learner(void *arg, aa_err *err)
{
    learner_stage *sg = arg;
    learner_free(&sg->le);
    return learner_new(&sg->le, sg->cfg, err);
}

static void
drop_learner(void *arg)
{
    learner_stage *sg = arg;
    learner_free(&sg->le);
}

static aa_status
restore_learner(void *arg, aa_ckpt_reader *r, aa_err *err)
{
    learner_stage *sg = arg;
    return learner_restore(sg->le, r, err);
}

static aa_status
save_learner(const void *arg, aa_ckpt_writer *w, aa_err *err)
{
    const learner_stage *sg = arg;
    return learner_save(sg->le, w, err);
}

static bool
tidy_learner(void *arg)
{
    learner_stage *sg = arg;
    return sg->le && learner_tidy(sg->le);
}

static uint64_t
next_batch(const void *arg)
{
    const learner_stage *sg = arg;
    return learner_next_batch(sg->le);
}

/* ---- the run ---- */

static aa_status
begin_run(void *arg, uint64_t run_id, aa_err *err)
{
    learner_stage *sg = arg;
    aa_status      st = learner_metrics_begin(sg->lm, sg->le, err);
    if (st != AA_OK) return st;
    sg->run_id = run_id;
    sg->publish_all = true;
    sg->lost_predictions = sg->pp ? publish_predictions_lost(sg->pp) : 0;
    sg->run_start_us = sg->last_update_us = aa_now_us();
    sg->run_events = 0;
    return AA_OK;
}

static void
forget_run(void *arg)
{
    learner_stage *sg = arg;
    sg->run_id = 0;
    sg->ending = false;
}

static aa_status
take_assigned(void *arg, const void *buf, size_t len, aa_header *hd, aa_err *err)
{
    learner_stage *sg = arg;
    aa_status      st = aa_wire_unpack_assigned(&sg->in, buf, len, err);
    *hd = sg->in.hd;
    return st;
}

static aa_status
reserve_predictions(learner_stage *sg, size_t n, aa_err *err)
{
    if (n <= sg->prediction_cap) return AA_OK;
    float *grown = realloc(sg->prediction, n * sizeof *grown);
    if (!grown) return aa_fail(err, AA_ENOMEM, "predictions of %zu events", n);
    sg->prediction = grown;
    sg->prediction_cap = n;
    return AA_OK;
}

static aa_status
send_rewards(learner_stage *sg, aa_link *ln, const aa_reward_batch *rw, aa_err *err)
{
    aa_status st = aa_wire_pack_rewards(&sg->bytes, rw, err);
    if (st != AA_OK) return st;
    st = aa_link_send(ln, AA_MSG_REWARDS, sg->bytes.data, sg->bytes.len, err);
    return st == AA_EFULL ? AA_OK : st; /* the assigner misses it and asks again */
}

static aa_status
resend_rewards(void *arg, uint64_t from, uint64_t to, aa_err *err)
{
    learner_stage *sg = arg;
    for (uint64_t seq = from; seq <= to; seq++) {
        const aa_reward_batch *rw = learner_rewards(sg->le, seq);
        if (!rw) continue;
        aa_reward_batch copy = *rw; /* shallow: only the run differs, after a restore */
        copy.hd.run_id = sg->run_id;
        aa_status st = send_rewards(sg, sg->up, &copy, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* The last stage has no rewards to wait for. */
static aa_status
step_learner(void *arg, uint64_t learn_before, aa_err *err)
{
    learner_stage *sg = arg;
    (void)learn_before;
    aa_status st = reserve_predictions(sg, sg->in.n, err);
    if (st != AA_OK) return st;
    const int64_t start_us = aa_now_us();
    st = learner_step(sg->le, &sg->in, &sg->out, sg->prediction, err);
    if (st == AA_EDIVERGED) aa_error("MODEL-DIVERGED", "%s", err->text);
    if (st != AA_OK) return st;
    sg->last_update_us = aa_now_us();
    sg->run_events += sg->in.n;
    sg->newest_kafka_ms = sg->in.oldest_kafka_ms;
    if (sg->oldest_kafka_ms == 0) sg->oldest_kafka_ms = sg->in.oldest_kafka_ms;
    learner_metrics_step(sg->lm, &sg->in, sg->last_update_us - start_us);
    if (sg->ho) hold_add(sg->ho, sg->prediction, sg->in.label, sg->in.n);
    st = learner_metrics_series(sg->lm, sg->le, false, err);
    if (st == AA_OK && sg->pp) st = publish_predictions_send(sg->pp, &sg->in, sg->prediction, err);
    return st == AA_OK ? send_rewards(sg, sg->rewards, &sg->out, err) : st;
}

/* ---- publishing ---- */

static bool
holds_publication(const void *arg)
{
    const learner_stage *sg = arg;
    return hold_on(sg->ho);
}

/* A broker that is behind or away holds up nothing: the rest is sent when it is back. */
static aa_status
publish_changes(learner_stage *sg, aa_err *err)
{
    if (!sg->pm || !sg->run_id || hold_on(sg->ho)) return AA_OK;
    const int64_t start_us = aa_now_us();
    aa_status     st = publish_model_send(sg->pm, sg->le, sg->run_id, sg->oldest_kafka_ms,
                                          sg->newest_kafka_ms, sg->publish_all, err);
    if (st == AA_EAGAIN || st == AA_EFULL) {
        aa_warn("PUBLISH-WAIT", "%s", err->text);
        sg->publish_all = sg->publish_all || st == AA_EFULL; /* a part of what changed was lost */
        return AA_OK;
    }
    if (st == AA_EPARSE) { /* a row that no scorer would take, and no event has read since */
        const aa_err why = *err;
        st = aa_fail(err, AA_EDIVERGED, "after batch %" PRIu64 ": a row: %.200s",
                     learner_next_batch(sg->le) - 1, why.text);
        aa_error("MODEL-DIVERGED", "%s", err->text);
    }
    if (st != AA_OK) return st;
    if (!publish_model_pending(sg->pm)) sg->oldest_kafka_ms = 0;
    sg->publish_all = false;
    learner_metrics_published(sg->lm, publish_model_sent(sg->pm), aa_now_us() - start_us);
    return AA_OK;
}

/* The last publish left something to send. */
static bool
publish_pending(const learner_stage *sg)
{
    return sg->pm && !hold_on(sg->ho) && (sg->publish_all || publish_model_pending(sg->pm));
}

static aa_status
publish_in_time(void *arg, aa_err *err)
{
    learner_stage *sg = arg;
    const int64_t  now_ms = aa_now_ms();
    if (now_ms - sg->published_ms < sg->cfg->publish.every_ms) return AA_OK;
    sg->published_ms = now_ms;
    hold_look(sg->ho);
    learner_metrics_held(sg->lm, hold_why(sg->ho));
    learner_metrics_refresh(sg->lm, sg->le);
    return publish_changes(sg, err);
}

/* Predictions made before a commit are with the broker and, at the stream's end, so is all that
 * scorers need. */
static aa_status
settle_learner(void *arg, const aa_control *barrier, uint64_t learn_before, aa_err *err)
{
    learner_stage *sg = arg;
    aa_status      st = AA_OK;
    (void)learn_before;
    if (sg->pp && publish_predictions_lost(sg->pp) > sg->lost_predictions) /* made again */
        return aa_fail(err, AA_EFULL, "predictions could not be delivered");
    if (barrier->final && sg->pm) {
        if (!sg->ending || publish_pending(sg)) st = publish_changes(sg, err);
        if (st != AA_OK) return st;
        sg->ending = true;
        if (publish_pending(sg)) return AA_EAGAIN;
        st = publish_model_flush(sg->pm, FLUSH_MS, err);
    }
    if (st == AA_OK && sg->pp) st = publish_predictions_flush(sg->pp, FLUSH_MS, err);
    sg->ending = false; /* or again, in case something was lost for good */
    if (st != AA_EIO) return st;
    aa_warn("PUBLISH-WAIT", "%s", err->text);
    return AA_EAGAIN;
}

/* ---- the end ---- */

aa_status
learner_stage_finish(learner_stage *sg, bool ended, aa_err *err)
{
    if (!sg->le) return AA_OK; /* stopped before a run began */
    aa_status st = ended ? AA_OK : publish_changes(sg, err);
    if (st == AA_OK && sg->pm) st = publish_model_flush(sg->pm, LAST_FLUSH_MS, err);
    if (st == AA_OK && sg->pp) st = publish_predictions_flush(sg->pp, LAST_FLUSH_MS, err);
    if (st != AA_OK) return st;
    learner_metrics_refresh(sg->lm, sg->le);
    if (ended) st = learner_metrics_series(sg->lm, sg->le, true, err);
    if (st != AA_OK) return st;
    if (hold_on(sg->ho))
        aa_warn("PUBLISH-HELD", "the last state is not published: scorers keep the one before");
    const double seconds = (double)(sg->last_update_us - sg->run_start_us) / 1e6;
    return learner_metrics_final(sg->le, sg->cfg, sg->run_events, seconds, hold_why(sg->ho), err);
}

const aa_stage_ops learner_stage_ops = {.renew = renew_learner,
                                        .drop = drop_learner,
                                        .restore = restore_learner,
                                        .save = save_learner,
                                        .tidy = tidy_learner,
                                        .next_batch = next_batch,
                                        .begin = begin_run,
                                        .forget = forget_run,
                                        .take_batch = take_assigned,
                                        .step = step_learner,
                                        .resend = resend_rewards,
                                        .settle = settle_learner,
                                        .holds = holds_publication,
                                        .turn = publish_in_time};
