/* learner - predicts, records, then trains; rewards go back, rows and weights go to the scorers.
 *
 * Wiring only: links, Kafka, checkpoints, metrics. What is computed is learner/learner.c's. The
 * protocol between the processes is described in ARCHITECTURE.md.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/links/link.h"
#include "common/links/upstream.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"
#include "common/service/program.h"
#include "common/service/retry.h"
#include "common/service/summary.h"
#include "common/state/checkpoint.h"
#include "common/state/snapshot.h"
#include "learner/learner.h"
#include "learner/learner_metrics.h"
#include "learner/publish_model.h"
#include "learner/publish_predictions.h"

enum { POLL_MS = 50, BURST = 64, FLUSH_MS = 500, LAST_FLUSH_MS = 60000, END_WAIT_MS = 10000 };

typedef struct {
    aa_context          *ctx;
    const aa_conf       *cfg;
    aa_upstream          up;      /* the assigner talks to us here */
    aa_link             *rewards; /* to whoever listens */
    learner             *le;
    publish_model       *pm; /* NULL: publish.enabled is off */
    publish_predictions *pp; /* NULL: no topic */
    learner_metrics     *lm;

    uint64_t          run_id; /* 0: none under way */
    aa_assigned_batch in;
    aa_reward_batch   out;
    aa_bytes          bytes;
    float            *prediction; /* (prediction_cap) */
    size_t            prediction_cap;
    aa_snapshot       snapshot;
    bool              tidying; /* memory is being made ready for the next */
    aa_control        barrier; /* under way: its epoch is not 0 */
    bool              saved;   /* ... our part is on disk */
    bool              ending;  /* ... and the end's state is published */
    bool              ended;   /* the last epoch is answered for: the assigner will say END */
    int64_t           heard_ms;
    bool              done;
    bool              publish_all; /* scorers may hold rows of an abandoned run */
    int64_t           newest_kafka_ms, oldest_kafka_ms, published_ms;
    int64_t           run_start_us, last_update_us;
    uint64_t          run_events;
    uint64_t          lost_predictions; /* as of the run's beginning */
} app;

/* The run is over here; what is kept of it is of no use any more. */
static void
forget_run(app *ap)
{
    ap->run_id = 0;
    ap->barrier.epoch = 0;
    ap->saved = ap->ending = ap->ended = false;
    aa_upstream_forget(&ap->up);
    aa_snapshot_cancel(&ap->snapshot);
}

/* Ask for a new beginning. Being unable to is not fatal: the next message asks again.
 * bad_epoch: its checkpoint is unusable, 0: none. */
static void
send_reset(app *ap, uint64_t run_id, uint64_t bad_epoch, const char *reason)
{
    aa_err err = AA_ERR_INIT;
    char   text[sizeof err.text + 16];
    bool   sent;
    snprintf(text, sizeof text, "learner: %s", reason);
    if (aa_upstream_reset(&ap->up, run_id, bad_epoch, text, &sent, &err) != AA_OK)
        aa_warn("LINK-SEND", "%s", err.text);
}

/* ---- publishing ---- */

/* A broker that is behind or away holds up nothing: the rest is sent when it is back. */
static aa_status
publish(app *ap, aa_err *err)
{
    if (!ap->pm || !ap->run_id) return AA_OK;
    int64_t   start_us = aa_now_us();
    aa_status st = publish_model_send(ap->pm, ap->le, ap->run_id, ap->oldest_kafka_ms,
                                      ap->newest_kafka_ms, ap->publish_all, err);
    ap->published_ms = aa_now_ms();
    if (st == AA_EAGAIN || st == AA_EFULL) {
        aa_warn("PUBLISH-WAIT", "%s", err->text);
        ap->publish_all = ap->publish_all || st == AA_EFULL; /* a part of what changed was lost */
        return AA_OK;
    }
    if (st != AA_OK) return st;
    if (!publish_model_pending(ap->pm)) ap->oldest_kafka_ms = 0;
    ap->publish_all = false;
    learner_metrics_published(ap->lm, publish_model_sent(ap->pm), aa_now_us() - start_us);
    return AA_OK;
}

/* The last publish left something to send. */
static bool
publish_pending(const app *ap)
{
    return ap->pm && (ap->publish_all || publish_model_pending(ap->pm));
}

/* ---- a run begins ---- */

static aa_status
restore(app *ap, uint64_t epoch, uint64_t seq, aa_err *err)
{
    aa_ckpt_reader *r = NULL;
    learner        *fresh = NULL;
    learner_free(&ap->le); /* of a run that is over: not two at once in memory */
    aa_status st = learner_new(&fresh, ap->cfg, err);
    if (st != AA_OK) return st;
    if (epoch > 0) {
        st = aa_ckpt_open(&r, ap->cfg, "learner", epoch, err);
        if (st == AA_OK) st = learner_restore(fresh, r, err);
        aa_ckpt_close(&r);
        if (st == AA_OK && learner_next_batch(fresh) != seq + 1)
            st = aa_fail(err, AA_EPARSE,
                         "learner's epoch %" PRIu64 " ends with batch %" PRIu64
                         ", ingest's with %" PRIu64,
                         epoch, learner_next_batch(fresh) - 1, seq);
    }
    if (st == AA_OK)
        ap->le = fresh;
    else
        learner_free(&fresh);
    return st;
}

static aa_status
on_open(app *ap, const aa_control *c, aa_err *err)
{
    const aa_control opened = {.hd = c->hd, .epoch = c->epoch};
    if (c->hd.run_id == ap->run_id) return aa_upstream_send(&ap->up, AA_MSG_OPENED, &opened, err);
    if (c->hd.run_id < ap->run_id) return AA_OK; /* a message of the past */
    aa_status st = aa_upstream_check_open(&ap->up, c, err);
    if (st != AA_OK) {
        aa_error("RUN-REFUSED", "%s", err->text);
        send_reset(ap, c->hd.run_id, 0, err->text);
        return AA_OK;
    }
    forget_run(ap);
    st = restore(ap, c->epoch, c->hd.seq, err);
    if (st == AA_EPARSE || st == AA_EIO) { /* damaged or missing: ingest decides what else to try */
        aa_error("CHECKPOINT-REFUSED", "%s", err->text);
        send_reset(ap, c->hd.run_id, c->epoch, err->text);
        return AA_OK;
    }
    if (st != AA_OK) return st;
    st = learner_metrics_begin(ap->lm, ap->le, err);
    if (st != AA_OK) return st;
    ap->run_id = c->hd.run_id;
    ap->publish_all = true;
    ap->lost_predictions = ap->pp ? publish_predictions_lost(ap->pp) : 0;
    ap->run_start_us = ap->last_update_us = aa_now_us();
    ap->run_events = 0;
    aa_info("RUN-OPEN", "run %" PRIu64 " from epoch %" PRIu64 ", after batch %" PRIu64, ap->run_id,
            c->epoch, c->hd.seq);
    aa_set_ready(ap->ctx, true, "");
    return aa_upstream_send(&ap->up, AA_MSG_OPENED, &opened, err);
}

/* ---- the stream ---- */

static aa_status
send_rewards(app *ap, aa_link *ln, const aa_reward_batch *rw, aa_err *err)
{
    aa_status st = aa_wire_pack_rewards(&ap->bytes, rw, err);
    if (st != AA_OK) return st;
    st = aa_link_send(ln, AA_MSG_REWARDS, ap->bytes.data, ap->bytes.len, err);
    return st == AA_EFULL ? AA_OK : st; /* the assigner misses it and asks again */
}

static aa_status
on_assigned(app *ap, const void *buf, size_t len, aa_err *err)
{
    aa_status st = aa_wire_unpack_assigned(&ap->in, buf, len, err);
    if (st != AA_OK) return st;
    if (!ap->run_id || ap->in.hd.run_id != ap->run_id) {
        if (ap->in.hd.run_id > ap->run_id) send_reset(ap, ap->in.hd.run_id, 0, "unknown run");
        return AA_OK;
    }
    if (ap->in.hd.seq != learner_next_batch(ap->le)) {
        send_reset(ap, ap->run_id, 0, "a batch is missing");
        forget_run(ap);
        return AA_OK;
    }
    if (ap->in.n > ap->prediction_cap) {
        float *grown = realloc(ap->prediction, ap->in.n * sizeof *grown);
        if (!grown) return aa_fail(err, AA_ENOMEM, "predictions of %zu events", ap->in.n);
        ap->prediction = grown;
        ap->prediction_cap = ap->in.n;
    }
    int64_t start_us = aa_now_us();
    st = learner_step(ap->le, &ap->in, &ap->out, ap->prediction, err);
    if (st != AA_OK) return st;
    ap->last_update_us = aa_now_us();
    ap->run_events += ap->in.n;
    ap->newest_kafka_ms = ap->in.oldest_kafka_ms;
    if (ap->oldest_kafka_ms == 0) ap->oldest_kafka_ms = ap->in.oldest_kafka_ms;
    learner_metrics_step(ap->lm, &ap->in, ap->last_update_us - start_us);
    st = learner_metrics_series(ap->lm, ap->le, false, err);
    if (st != AA_OK) return st;
    if (ap->pp) {
        st = publish_predictions_send(ap->pp, &ap->in, ap->prediction, err);
        if (st != AA_OK) return st;
    }
    return send_rewards(ap, ap->rewards, &ap->out, err);
}

static aa_status
on_resend(app *ap, const aa_control *c, aa_err *err)
{
    if (c->hd.run_id != ap->run_id || !ap->run_id) {
        if (c->hd.run_id > ap->run_id) send_reset(ap, c->hd.run_id, 0, "unknown run");
        return AA_OK;
    }
    if (c->to_seq >= learner_next_batch(ap->le)) { /* it was sent before this message */
        send_reset(ap, ap->run_id, 0, "a batch was lost on its way");
        forget_run(ap);
        return AA_OK;
    }
    for (uint64_t seq = c->hd.seq; seq <= c->to_seq; seq++) {
        const aa_reward_batch *rw = learner_rewards(ap->le, seq);
        /* Older than what is kept: a question that waited while we were held up. Whoever sent batch
         * n had the rewards of n - depth, so it has these by now. */
        if (!rw) continue;
        aa_reward_batch copy = *rw; /* shallow: only the run differs, after a restore */
        copy.hd.run_id = ap->run_id;
        aa_status st = send_rewards(ap, ap->up.ln, &copy, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* Sent in silence, after all else: whatever it names and we do not know was lost on its way. Our
 * answer to the barrier may have been, too. */
static aa_status
on_ping(app *ap, const aa_control *c, aa_err *err)
{
    if (c->hd.run_id != ap->run_id || !ap->run_id) {
        if (c->hd.run_id > ap->run_id) send_reset(ap, c->hd.run_id, 0, "unknown run");
        return AA_OK;
    }
    if (aa_upstream_answered(&ap->up, c->epoch)) return aa_upstream_answer_again(&ap->up, err);
    if (c->hd.seq < learner_next_batch(ap->le) && (!c->epoch || c->epoch == ap->barrier.epoch))
        return AA_OK;
    send_reset(ap, ap->run_id, 0, "a batch or a barrier was lost on its way");
    forget_run(ap);
    return AA_OK;
}

/* ---- checkpoints ---- */

static aa_status
save(const void *arg, uint64_t epoch, aa_err *err)
{
    const app      *ap = arg;
    aa_ckpt_writer *w = NULL;
    aa_status       st = aa_ckpt_create(&w, ap->cfg, "learner", epoch, err);
    if (st == AA_OK) st = learner_save(ap->le, w, err);
    if (st == AA_OK) st = aa_ckpt_commit(&w, ap->barrier.base_epoch, err);
    aa_ckpt_abort(&w);
    return st;
}

/* What became of the epoch that was under way. */
static aa_status
answer_barrier(app *ap, aa_msg_kind kind, aa_err *err)
{
    const aa_control barrier = ap->barrier;
    ap->barrier.epoch = 0;
    return aa_upstream_answer(&ap->up, kind, &barrier, err);
}

/* The epoch could not be saved: it is given up, and the stream goes on. */
static aa_status
unsaved(app *ap, aa_err *err)
{
    aa_error("CHECKPOINT-FAILED", "%s", err->text);
    learner_metrics_unsaved(ap->lm);
    snprintf(ap->barrier.reason, sizeof ap->barrier.reason, "%s", err->text);
    return answer_barrier(ap, AA_MSG_UNSAVED, err);
}

static aa_status
on_barrier(app *ap, const aa_control *c, aa_err *err)
{
    if (!ap->run_id || c->hd.run_id != ap->run_id) {
        if (c->hd.run_id > ap->run_id) send_reset(ap, c->hd.run_id, 0, "unknown run");
        return AA_OK;
    }
    if (c->hd.seq != learner_next_batch(ap->le) - 1) {
        send_reset(ap, ap->run_id, 0, "a batch before the barrier is missing");
        forget_run(ap);
        return AA_OK;
    }
    aa_snapshot_cancel(&ap->snapshot); /* of an epoch that was given up */
    ap->barrier = *c;
    ap->saved = ap->ending = false;
    aa_status st = aa_snapshot_start(&ap->snapshot, c->epoch, save, ap, err);
    if (st != AA_OK) return unsaved(ap, err);
    learner_metrics_pause(ap->lm, ap->snapshot.pause_us);
    return AA_OK;
}

/* What a commit promises beside the state: predictions made before it are with the broker and, at
 * the stream's end, so is all that scorers need. *settled: it is so; if not, try again. */
static aa_status
settle(app *ap, bool *settled, aa_err *err)
{
    aa_status st = AA_OK;
    *settled = false;
    if (ap->barrier.final && ap->pm) {
        if (!ap->ending || publish_pending(ap)) st = publish(ap, err);
        if (st != AA_OK) return st;
        ap->ending = true;
        if (publish_pending(ap)) return AA_OK; /* the loop comes again */
        st = publish_model_flush(ap->pm, FLUSH_MS, err);
    }
    if (st == AA_OK && ap->pp) st = publish_predictions_flush(ap->pp, FLUSH_MS, err);
    *settled = st == AA_OK;
    if (st != AA_EIO) return st;
    ap->ending = false; /* again, in case something was lost for good */
    aa_warn("PUBLISH-WAIT", "%s", err->text);
    return AA_OK;
}

static aa_status
poll_snapshot(app *ap, aa_err *err)
{
    bool      done, settled;
    aa_status st = aa_snapshot_poll(&ap->snapshot, false, &done, err);
    if (st != AA_OK) return unsaved(ap, err);
    if (done) ap->saved = ap->tidying = true;
    if (!ap->barrier.epoch || !ap->saved) return AA_OK;
    if (ap->pp && publish_predictions_lost(ap->pp) > ap->lost_predictions) { /* made again */
        send_reset(ap, ap->run_id, 0, "predictions could not be delivered");
        forget_run(ap);
        return AA_OK;
    }
    st = settle(ap, &settled, err);
    if (st != AA_OK || !settled) return st;
    ap->ended = ap->barrier.final;
    ap->heard_ms = aa_now_ms();
    learner_metrics_epoch(ap->lm, ap->barrier.epoch);
    return answer_barrier(ap, AA_MSG_DURABLE, err);
}

/* ---- the loop ---- */

static aa_status
dispatch(app *ap, aa_msg_kind kind, const void *buf, size_t len, aa_err *err)
{
    aa_control c;
    if (kind == AA_MSG_ASSIGNED) return on_assigned(ap, buf, len, err);
    aa_status st = aa_wire_unpack_control(&c, buf, len, err);
    if (st != AA_OK) return st;
    ap->heard_ms = aa_now_ms();
    switch (kind) {
    case AA_MSG_OPEN: return on_open(ap, &c, err);
    case AA_MSG_END: ap->done = ap->ended && c.hd.run_id == ap->run_id; return AA_OK;
    case AA_MSG_BARRIER: return on_barrier(ap, &c, err);
    case AA_MSG_RESEND: return on_resend(ap, &c, err);
    case AA_MSG_PING: return on_ping(ap, &c, err);
    default: return aa_fail(err, AA_EPARSE, "message of kind '%c' is not for the learner", kind);
    }
}

/* Up to BURST messages; a bad one is logged and dropped: the gap it leaves is noticed. */
static aa_status
receive(app *ap, aa_err *err)
{
    for (int i = 0; i < BURST; i++) {
        aa_msg_kind kind;
        const void *buf;
        size_t      len;
        aa_status   st = aa_link_recv(ap->up.ln, &kind, &buf, &len, err);
        if (st == AA_EAGAIN) return AA_OK;
        if (st == AA_OK) st = dispatch(ap, kind, buf, len, err);
        if (st == AA_EPARSE) {
            aa_warn("MESSAGE-REFUSED", "%s", err->text);
            learner_metrics_refused(ap->lm);
        } else if (st != AA_OK) {
            return st;
        }
    }
    return AA_OK;
}

static aa_status
loop(app *ap, aa_err *err)
{
    const int stop_fd = aa_stop_fd();
    while (!ap->done && !aa_stop_requested()) {
        aa_link  *links[] = {ap->up.ln};
        aa_status st = aa_link_poll(links, 1, &stop_fd, 1,
                                    ap->snapshot.pid || ap->tidying ? 2 : POLL_MS, NULL, err);
        if (st == AA_OK) st = receive(ap, err);
        if (st == AA_OK) st = poll_snapshot(ap, err);
        if (ap->tidying && !ap->snapshot.pid) ap->tidying = ap->le && learner_tidy(ap->le);
        if (st == AA_OK && aa_now_ms() - ap->published_ms >= ap->cfg->publish.every_ms) {
            st = publish(ap, err);
            learner_metrics_refresh(ap->lm, ap->le);
        }
        if (st != AA_OK) return st;
        /* the others are gone and did not say so: they have what they need of us */
        if (ap->ended && aa_now_ms() - ap->heard_ms > END_WAIT_MS) ap->done = true;
    }
    return AA_OK;
}

static aa_status
finish(app *ap, aa_err *err)
{
    if (!ap->le) return AA_OK; /* stopped before a run began */
    aa_status st = ap->done ? AA_OK : publish(ap, err);
    if (st == AA_OK && ap->pm) st = publish_model_flush(ap->pm, LAST_FLUSH_MS, err);
    if (st == AA_OK && ap->pp) st = publish_predictions_flush(ap->pp, LAST_FLUSH_MS, err);
    if (st != AA_OK) return st;
    learner_metrics_refresh(ap->lm, ap->le);
    if (ap->done) st = learner_metrics_series(ap->lm, ap->le, true, err);
    if (st != AA_OK) return st;
    double seconds = (double)(ap->last_update_us - ap->run_start_us) / 1e6;
    return learner_metrics_final(ap->le, ap->cfg, ap->run_events, seconds, err);
}

static aa_status
open_publishers(void *arg, aa_err *err)
{
    app           *ap = arg;
    const aa_conf *cfg = ap->cfg;
    aa_status      st = AA_OK;
    if (cfg->publish.enabled && !ap->pm) st = publish_model_open(&ap->pm, cfg, err);
    if (st == AA_OK && cfg->topics.predictions[0]) st = publish_predictions_open(&ap->pp, cfg, err);
    return st;
}

static aa_status
open_all(app *ap, aa_err *err)
{
    const aa_conf     *cfg = ap->cfg;
    const aa_link_keys keys = aa_link_keys_of(cfg);
    aa_status          st = aa_upstream_open(&ap->up, cfg, cfg->links.assigned, err);
    if (st == AA_OK)
        st = aa_link_open(&ap->rewards, AA_LINK_PUBLISH, cfg->links.rewards, &keys, err);
    aa_link_export(ap->up.ln, ap->ctx->ms, "assigned");
    aa_link_export(ap->rewards, ap->ctx->ms, "rewards");
    if (st == AA_OK) st = aa_retry("KAFKA-WAIT", open_publishers, ap, err);
    if (st == AA_OK) st = learner_metrics_new(&ap->lm, ap->ctx->ms, cfg, err);
    return st;
}

static aa_status
run(aa_context *ctx, aa_err *err)
{
    app ap = {.ctx = ctx, .cfg = ctx->cfg};
    aa_set_ready(ctx, false, "no run has begun");
    aa_status st = open_all(&ap, err);
    if (st == AA_OK) st = loop(&ap, err);
    if (st == AA_OK) st = finish(&ap, err);
    if (st == AA_EAGAIN && aa_stop_requested()) st = AA_OK; /* stopped while there was no broker */
    aa_snapshot_cancel(&ap.snapshot);
    learner_metrics_free(&ap.lm);
    publish_predictions_close(&ap.pp);
    publish_model_close(&ap.pm);
    aa_upstream_close(&ap.up);
    aa_link_close(&ap.rewards);
    learner_free(&ap.le);
    aa_assigned_batch_fini(&ap.in);
    aa_reward_batch_fini(&ap.out);
    aa_bytes_fini(&ap.bytes);
    free(ap.prediction);
    return st;
}

static size_t
threads_needed(const aa_conf *cfg)
{
    return AA_PROGRAM_THREADS + aa_kafka_threads(cfg, 3);
}

int
main(int argc, char **argv)
{
    const aa_program program = {
        .name = "learner",
        .summary = "predicts first, then trains: recommender, critic, rewards",
        .run = run,
        .threads = threads_needed,
    };
    return aa_program_main(&program, argc, argv);
}
