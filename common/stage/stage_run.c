#include "common/stage/stage_run.h"

#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/state/snapshot.h"

enum { POLL_MS = 50, SNAPSHOT_POLL_MS = 2, BURST = 64 };

typedef struct {
    const aa_stage_setup *su;
    const aa_stage_ops   *ops;
    aa_stage             *sg;
    aa_bytes              bytes;
    aa_snapshot           snapshot;
    uint64_t              base_epoch; /* of the epoch being saved */
    bool                  tidying;    /* memory is being made ready for the next snapshot */
    bool                  left;
    aa_stage_stats        counted;
    aa_stage_metrics      mt;
} runner;

/* ---- metrics ---- */

void
aa_stage_metrics_init(aa_stage_metrics *mt, aa_metrics *ms, bool last)
{
    mt->resets =
        aa_metrics_counter(ms, "autoassign_resets_total", "", "Runs that had to begin again.");
    mt->unsaved = aa_metrics_counter(ms, "autoassign_checkpoints_failed_total", "",
                                     "Checkpoints that could not be written.");
    mt->refused = aa_metrics_counter(ms, "autoassign_messages_refused_total", "",
                                     "Messages that were damaged or not for this process.");
    mt->checkpoints = aa_metrics_counter(ms, "autoassign_checkpoints_total", "",
                                         "Checkpoints made durable, those of processes below too.");
    mt->pause = aa_metrics_histogram(ms, "autoassign_checkpoint_pause_seconds", "",
                                     "Time a checkpoint held up the stream.");
    mt->epoch = aa_metrics_gauge(ms, "autoassign_checkpoint_epoch", "", "Newest durable epoch.");
    if (last) return;
    mt->gaps = aa_metrics_counter(ms, "autoassign_reward_gaps_total", "",
                                  "Gaps seen in the sequence of rewards.");
    mt->rewards_missed = aa_metrics_counter(ms, "autoassign_rewards_missed_total", "",
                                            "Reward batches that had to be asked for again.");
}

static void
count_stats(runner *rn)
{
    aa_stage_stats now;
    aa_stage_stats_get(rn->sg, &now);
    aa_counter_add(rn->mt.resets, now.resets - rn->counted.resets);
    if (rn->su->down) {
        aa_counter_add(rn->mt.gaps, now.reward_gaps - rn->counted.reward_gaps);
        aa_counter_add(rn->mt.rewards_missed, now.rewards_missed - rn->counted.rewards_missed);
    }
    rn->counted = now;
}

/* ---- what the stage wants done ---- */

aa_status
aa_stage_send(aa_link *ln, aa_msg_kind kind, const aa_control *c, aa_bytes *by, aa_err *err)
{
    aa_status st = aa_wire_pack_control(by, c, err);
    if (st != AA_OK) return st;
    st = aa_link_send(ln, kind, by->data, by->len, err);
    return st == AA_EFULL ? AA_OK : st;
}

static aa_status
send_up(runner *rn, const aa_stage_act *act, aa_err *err)
{
    const aa_control *c = &act->control;
    if (act->refused) aa_error("RUN-REFUSED", "%s", c->reason);
    if (act->kind == AA_MSG_RESET)
        aa_info("RUN-RESET", "run %" PRIu64 ": %s", c->hd.run_id, c->reason);
    aa_control said = *c;
    said.hold = rn->ops->holds && rn->ops->holds(rn->su->arg);
    return aa_stage_send(rn->su->up, act->kind, &said, &rn->bytes, err);
}

static aa_status
read_epoch(runner *rn, const aa_control *open, aa_err *err)
{
    const aa_stage_setup *su = rn->su;
    aa_ckpt_reader       *r = NULL;
    aa_status             st = aa_ckpt_open(&r, su->ctx->cfg, su->name, open->epoch, err);
    if (st == AA_OK) st = rn->ops->restore(su->arg, r, err);
    aa_ckpt_close(&r);
    if (st != AA_OK) return st;
    const uint64_t last = rn->ops->next_batch(su->arg) - 1;
    if (last == open->hd.seq) return AA_OK;
    return aa_fail(err, AA_EPARSE,
                   "%s's epoch %" PRIu64 " ends with batch %" PRIu64 ", ingest's with %" PRIu64,
                   su->name, open->epoch, last, open->hd.seq);
}

static aa_status
do_restore(runner *rn, const aa_control *open, aa_err *err)
{
    void     *arg = rn->su->arg;
    aa_status st = rn->ops->renew(arg, err);
    if (st != AA_OK) return st;
    if (open->epoch > 0) st = read_epoch(rn, open, err);
    if (st != AA_OK) rn->ops->drop(arg);
    if (st == AA_EPARSE || st == AA_EIO) { /* damaged or missing: ingest decides what else to try */
        aa_error("CHECKPOINT-REFUSED", "%s", err->text);
        aa_stage_unrestored(rn->sg, err->text, aa_now_ms());
        return AA_OK;
    }
    if (st == AA_OK) st = rn->ops->begin(arg, open->hd.run_id, err);
    if (st != AA_OK) return st;
    aa_info("RUN-OPEN", "run %" PRIu64 " from epoch %" PRIu64 ", after batch %" PRIu64,
            open->hd.run_id, open->epoch, open->hd.seq);
    const uint64_t next = rn->ops->next_batch(arg);
    aa_stage_restored(rn->sg, next, rn->ops->next_reward ? rn->ops->next_reward(arg) : next,
                      aa_now_ms());
    return AA_OK;
}

/* In the child. */
static aa_status
save_epoch(const void *arg, uint64_t epoch, aa_err *err)
{
    const runner   *rn = arg;
    aa_ckpt_writer *w = NULL;
    aa_status       st = aa_ckpt_create(&w, rn->su->ctx->cfg, rn->su->name, epoch, err);
    if (st == AA_OK) st = rn->ops->save(rn->su->arg, w, err);
    if (st == AA_OK) st = aa_ckpt_commit(&w, rn->base_epoch, err);
    aa_ckpt_abort(&w);
    return st;
}

static void
say_unsaved(runner *rn, const aa_err *why)
{
    aa_error("CHECKPOINT-FAILED", "%s", why->text);
    aa_counter_add(rn->mt.unsaved, 1);
    aa_stage_unsaved(rn->sg, why->text);
}

static void
do_snapshot(runner *rn, const aa_control *barrier, aa_err *err)
{
    rn->base_epoch = barrier->base_epoch;
    if (aa_snapshot_start(&rn->snapshot, barrier->epoch, save_epoch, rn, err) != AA_OK) {
        say_unsaved(rn, err);
        return;
    }
    aa_histogram_observe(rn->mt.pause, (double)rn->snapshot.pause_us / 1e6);
    aa_stage_saving(rn->sg);
}

/* step and settle alike: AA_EFULL gives the run up. */
static aa_status
after_work(runner *rn, aa_status st, const aa_err *err)
{
    if (st != AA_EFULL) return st;
    aa_stage_give_up(rn->sg, err->text, aa_now_ms());
    return AA_OK;
}

static aa_status
do_step(runner *rn, const aa_stage_act *act, aa_err *err)
{
    aa_status st = rn->ops->step(rn->su->arg, act->learn_before, err);
    if (st == AA_OK) aa_stage_stepped(rn->sg);
    return after_work(rn, st, err);
}

static aa_status
do_settle(runner *rn, const aa_stage_act *act, aa_err *err)
{
    aa_status st = rn->ops->settle(rn->su->arg, &act->control, act->learn_before, err);
    if (st == AA_EAGAIN) return AA_OK;
    if (st != AA_OK) return after_work(rn, st, err);
    aa_counter_add(rn->mt.checkpoints, 1);
    aa_gauge_set(rn->mt.epoch, (double)act->control.epoch);
    aa_stage_settled(rn->sg, aa_now_ms());
    return AA_OK;
}

static aa_status
do_act(runner *rn, const aa_stage_act *act, aa_err *err)
{
    const aa_stage_setup *su = rn->su;
    const aa_control     *c = &act->control;
    switch (act->act) {
    case AA_STAGE_NOTHING: return AA_OK;
    case AA_STAGE_FORGET:
        aa_snapshot_cancel(&rn->snapshot);
        rn->ops->forget(su->arg);
        return AA_OK;
    case AA_STAGE_RESTORE: return do_restore(rn, c, err);
    case AA_STAGE_STEP: return do_step(rn, act, err);
    case AA_STAGE_KEEP: rn->ops->keep_rewards(su->arg); return AA_OK;
    case AA_STAGE_SNAPSHOT: do_snapshot(rn, c, err); return AA_OK;
    case AA_STAGE_CANCEL: aa_snapshot_cancel(&rn->snapshot); return AA_OK;
    case AA_STAGE_SETTLE: return do_settle(rn, act, err);
    case AA_STAGE_UP: return send_up(rn, act, err);
    case AA_STAGE_DOWN: return aa_stage_send(su->down, act->kind, c, &rn->bytes, err);
    case AA_STAGE_RESEND: return rn->ops->resend(su->arg, c->hd.seq, c->to_seq, err);
    case AA_STAGE_READY: aa_set_ready(su->ctx, act->ready, act->why); return AA_OK;
    case AA_STAGE_LEAVE: rn->left = true; return AA_OK;
    }
    return AA_OK;
}

static aa_status
do_all(runner *rn, aa_err *err)
{
    for (;;) {
        const aa_stage_act *act = aa_stage_next(rn->sg);
        if (act->act == AA_STAGE_NOTHING) return AA_OK;
        aa_status st = do_act(rn, act, err);
        if (st != AA_OK) return st;
    }
}

/* ---- messages ---- */

static aa_status
from_up(runner *rn, aa_msg_kind kind, const void *buf, size_t len, aa_err *err)
{
    aa_status st;
    if (kind == rn->su->batch_kind) {
        aa_header hd;
        st = rn->ops->take_batch(rn->su->arg, buf, len, &hd, err);
        if (st == AA_OK) aa_stage_batch(rn->sg, &hd, aa_now_ms());
        return st;
    }
    aa_control c;
    st = aa_wire_unpack_control(&c, buf, len, err);
    return st == AA_OK ? aa_stage_from_up(rn->sg, kind, &c, aa_now_ms(), err) : st;
}

static aa_status
from_down(runner *rn, aa_msg_kind kind, const void *buf, size_t len, aa_err *err)
{
    aa_status st;
    if (kind == AA_MSG_REWARDS) {
        aa_header hd;
        st = rn->ops->take_rewards(rn->su->arg, buf, len, &hd, err);
        return st == AA_OK ? aa_stage_rewards(rn->sg, &hd, aa_now_ms(), err) : st;
    }
    aa_control c;
    st = aa_wire_unpack_control(&c, buf, len, err);
    if (st != AA_OK) return st;
    if (rn->ops->heed_hold && c.hd.run_id == aa_stage_run_id(rn->sg))
        rn->ops->heed_hold(rn->su->arg, c.hold);
    return aa_stage_from_down(rn->sg, kind, &c, aa_now_ms(), err);
}

typedef aa_status (*message_handler)(runner *rn, aa_msg_kind kind, const void *buf, size_t len,
                                     aa_err *err);

/* One message of a link, and all it brings about; *got: there was one. */
static aa_status
receive_one(runner *rn, aa_link *ln, message_handler handle, bool *got, aa_err *err)
{
    aa_msg_kind kind;
    const void *buf;
    size_t      len;
    aa_status   st = aa_link_recv(ln, &kind, &buf, &len, err);
    if (st == AA_EAGAIN) return AA_OK;
    *got = true;
    if (st == AA_OK) st = handle(rn, kind, buf, len, err);
    if (st == AA_OK) st = do_all(rn, err);
    if (st != AA_EPARSE) return st;
    aa_warn("MESSAGE-REFUSED", "%s", err->text);
    aa_counter_add(rn->mt.refused, 1);
    return do_all(rn, err);
}

/* Up to BURST messages of each link, rewards first: they let events in. */
static aa_status
receive_all(runner *rn, aa_err *err)
{
    const aa_stage_setup *su = rn->su;
    bool                  any = true;
    for (int i = 0; i < BURST && any && !rn->left; i++) {
        aa_status st = AA_OK;
        any = false;
        if (su->rewards) st = receive_one(rn, su->rewards, from_down, &any, err);
        if (st == AA_OK && su->down) st = receive_one(rn, su->down, from_down, &any, err);
        if (st == AA_OK && aa_stage_takes_events(rn->sg))
            st = receive_one(rn, su->up, from_up, &any, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* ---- the loop ---- */

static void
poll_snapshot(runner *rn, aa_err *err)
{
    bool done;
    if (aa_snapshot_poll(&rn->snapshot, false, &done, err) != AA_OK) {
        say_unsaved(rn, err);
    } else if (done) {
        rn->tidying = true;
        aa_stage_saved(rn->sg);
    }
}

static aa_status
turn_stage(runner *rn, aa_err *err)
{
    const aa_stage_setup *su = rn->su;
    const int             stop_fd = aa_stop_fd();
    aa_link *const links[] = {su->rewards, su->down, aa_stage_takes_events(rn->sg) ? su->up : NULL};
    aa_status      st =
        aa_link_poll(links, 3, &stop_fd, 1,
                     rn->snapshot.pid || rn->tidying ? SNAPSHOT_POLL_MS : POLL_MS, NULL, err);
    if (st == AA_OK) st = receive_all(rn, err);
    if (st != AA_OK) return st;
    poll_snapshot(rn, err);
    st = do_all(rn, err);
    if (st != AA_OK) return st;
    aa_stage_tick(rn->sg, aa_now_ms());
    st = do_all(rn, err);
    if (st != AA_OK) return st;
    if (rn->tidying && !rn->snapshot.pid) rn->tidying = rn->ops->tidy(su->arg);
    count_stats(rn);
    return rn->ops->turn(su->arg, err);
}

aa_status
aa_stage_run(const aa_stage_setup *su, bool *ended, aa_err *err)
{
    runner    rn = {.su = su, .ops = su->ops};
    aa_status st = aa_stage_new(&rn.sg, su->ctx->cfg, su->name, su->down == NULL, err);
    if (st != AA_OK) return st;
    aa_stage_metrics_init(&rn.mt, su->ctx->ms, su->down == NULL);
    while (st == AA_OK && !rn.left && !aa_stop_requested())
        st = turn_stage(&rn, err);
    *ended = rn.left;
    aa_snapshot_cancel(&rn.snapshot);
    aa_stage_free(&rn.sg);
    aa_bytes_fini(&rn.bytes);
    return st;
}
