/* assigner - the Identity Agent's process: IDs in, slots out; learns from the rewards.
 *
 * Wiring only: links, Kafka, checkpoints, metrics. What is decided is assigner/assigner.c's. The
 * protocol between the processes is described in ARCHITECTURE.md. The rule that makes a replay
 * reproducible is in `may_take_events` and `learn_before`: batch n is assigned after learning from
 * the rewards of batch n - depth, and from none that is younger, however early they arrive.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/assigner.h"
#include "assigner/assigner_metrics.h"
#include "assigner/publish_assignments.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/links/link.h"
#include "common/links/upstream.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"
#include "common/service/program.h"
#include "common/service/retry.h"
#include "common/state/checkpoint.h"
#include "common/state/snapshot.h"

enum {
    POLL_MS = 50,
    BURST = 64,
    REPEAT_MS = 200,
    FLUSH_MS = 500,
    LAST_FLUSH_MS = 60000,
    END_WAIT_MS = 10000,
    CLOCKS_APART_MS = 60000 /* this machine's and Kafka's, at most */
};

typedef struct {
    aa_context          *ctx;
    const aa_conf       *cfg;
    aa_upstream          up;      /* ingest talks to us here */
    aa_link             *down;    /* to the learner */
    aa_link             *rewards; /* from the learner */
    assigner            *as;
    publish_assignments *pa; /* NULL: publish.enabled is off */
    assigner_metrics    *am;

    uint64_t          run_id; /* 0: none under way */
    bool              opened; /* the learner has opened it too */
    aa_event_batch    in;
    aa_assigned_batch out;
    aa_reward_batch   rw;     /* as it arrives */
    aa_reward_batch *waiting; /* (depth) arrived, not learned from: that of seq is at seq % depth */
    uint64_t         next_reward; /* sequence number of the next to arrive */
    aa_bytes         bytes;
    aa_control       barrier;      /* under way: its epoch is not 0 */
    bool             begun;        /* ... our part is being saved, the learner knows of it */
    bool             here_durable; /* ... our part is on disk */
    bool             down_durable; /* ... the learner's is */
    aa_snapshot      snapshot;
    bool             tidying; /* memory is being made ready for the next */
    bool             ending;  /* ... and the end's state is published */
    bool             ended;   /* the last epoch is answered for: ingest will say END */
    bool             done;
    int64_t          run_wall_ms; /* when it began */
    bool             tell_new;    /* events may be some that an abandoned run has had */
    bool             publish_all; /* scorers may hold assignments of an abandoned run */
    int64_t          asked_ms, heard_ms, heard_up_ms, published_ms;
} app;

/* To the learner. */
static aa_status
send_down(app *ap, aa_msg_kind kind, const aa_control *c, aa_err *err)
{
    aa_status st = aa_wire_pack_control(&ap->bytes, c, err);
    if (st != AA_OK) return st;
    st = aa_link_send(ap->down, kind, ap->bytes.data, ap->bytes.len, err);
    return st == AA_EFULL ? AA_OK : st; /* nobody there: pings and repeats find out */
}

/* The run is over here; what is kept of it is of no use any more. */
static void
forget_run(app *ap)
{
    ap->run_id = 0;
    ap->opened = ap->ending = ap->ended = false;
    ap->barrier.epoch = 0;
    aa_upstream_forget(&ap->up);
    aa_snapshot_cancel(&ap->snapshot);
}

/* Ask ingest for a new beginning; this run is over here. bad_epoch: its checkpoint is unusable, 0:
 * none. reason: ours, or the learner's, with its name before it. */
static aa_status
reset(app *ap, uint64_t run_id, uint64_t bad_epoch, const char *reason, aa_err *err)
{
    char text[sizeof err->text + 16];
    bool sent;
    snprintf(text, sizeof text, "%s%s", strchr(reason, ':') ? "" : "assigner: ", reason);
    aa_status st = aa_upstream_reset(&ap->up, run_id, bad_epoch, text, &sent, err);
    if (!sent) return st;
    assigner_metrics_reset(ap->am);
    if (run_id == ap->run_id) forget_run(ap);
    return st;
}

/* ---- a run begins ---- */

static aa_status
restore(app *ap, uint64_t epoch, uint64_t seq, aa_err *err)
{
    aa_ckpt_reader *r = NULL;
    assigner       *fresh = NULL;
    assigner_free(&ap->as); /* of a run that is over: not two at once in memory */
    aa_status st = assigner_new(&fresh, ap->cfg, err);
    if (st != AA_OK) return st;
    if (epoch > 0) {
        st = aa_ckpt_open(&r, ap->cfg, "assigner", epoch, err);
        if (st == AA_OK) st = assigner_restore(fresh, r, err);
        aa_ckpt_close(&r);
        if (st == AA_OK && assigner_next_batch(fresh) != seq + 1)
            st = aa_fail(err, AA_EPARSE,
                         "assigner's epoch %" PRIu64 " ends with batch %" PRIu64
                         ", ingest's with %" PRIu64,
                         epoch, assigner_next_batch(fresh) - 1, seq);
    }
    if (st == AA_OK)
        ap->as = fresh;
    else
        assigner_free(&fresh);
    return st;
}

static aa_status
refuse_open(app *ap, const aa_control *c, aa_err *err)
{
    const aa_err why = *err;
    aa_error("RUN-REFUSED", "%s", why.text);
    return reset(ap, c->hd.run_id, 0, why.text, err);
}

static aa_status
on_open(app *ap, const aa_control *c, aa_err *err)
{
    if (c->hd.run_id == ap->run_id) { /* ingest repeats itself: so does the answer */
        if (ap->opened) return aa_upstream_send(&ap->up, AA_MSG_OPENED, c, err);
        return send_down(ap, AA_MSG_OPEN, c, err);
    }
    if (c->hd.run_id < ap->run_id) return AA_OK; /* a message of the past */
    aa_status st = aa_upstream_check_open(&ap->up, c, err);
    if (st != AA_OK) return refuse_open(ap, c, err);
    forget_run(ap);
    st = restore(ap, c->epoch, c->hd.seq, err);
    if (st == AA_EPARSE || st == AA_EIO) { /* damaged or missing: ingest decides what else to try */
        aa_error("CHECKPOINT-REFUSED", "%s", err->text);
        const aa_err why = *err;
        return reset(ap, c->hd.run_id, c->epoch, why.text, err);
    }
    if (st != AA_OK) return st;
    st = assigner_metrics_begin(ap->am, ap->as, err);
    if (st != AA_OK) return st;
    ap->run_id = c->hd.run_id;
    ap->next_reward = assigner_next_reward(ap->as);
    ap->publish_all = true;
    ap->run_wall_ms = aa_wall_ms();
    ap->tell_new = ap->cfg->ingest.run == AA_RUN_LIVE; /* a replay ends with exact values */
    assigner_tell_new(ap->as, ap->tell_new);
    ap->heard_ms = aa_now_ms();
    aa_info("RUN-OPEN", "run %" PRIu64 " from epoch %" PRIu64 ", after batch %" PRIu64, ap->run_id,
            c->epoch, c->hd.seq);
    return send_down(ap, AA_MSG_OPEN, c, err);
}

/* ---- rewards ---- */

static bool
rewards_missing(const app *ap)
{
    return ap->opened && ap->next_reward < assigner_next_batch(ap->as);
}

static aa_status
ask_again(app *ap, uint64_t to_seq, aa_err *err)
{
    const aa_control c = {.hd = {.run_id = ap->run_id, .seq = ap->next_reward}, .to_seq = to_seq};
    ap->asked_ms = aa_now_ms();
    return send_down(ap, AA_MSG_RESEND, &c, err);
}

static aa_status
on_rewards(app *ap, const void *buf, size_t len, aa_err *err)
{
    aa_status st = aa_wire_unpack_rewards(&ap->rw, buf, len, err);
    if (st != AA_OK) return st;
    const uint64_t seq = ap->rw.hd.seq;
    if (!ap->run_id || ap->rw.hd.run_id != ap->run_id) return AA_OK; /* another run's */
    if (seq < ap->next_reward) return AA_OK;                         /* had it already */
    if (seq >= assigner_next_batch(ap->as))
        return aa_fail(err, AA_EPARSE, "rewards of batch %" PRIu64 ", which was not assigned", seq);
    ap->heard_ms = aa_now_ms();
    if (seq > ap->next_reward) {
        assigner_metrics_gap(ap->am, seq - ap->next_reward);
        return ap->heard_ms - ap->asked_ms < POLL_MS ? AA_OK : ask_again(ap, seq, err);
    }
    aa_reward_batch      *place = &ap->waiting[seq % (uint64_t)ap->cfg->pipeline.depth];
    const aa_reward_batch freed = *place;
    *place = ap->rw;
    ap->rw = freed;
    ap->next_reward++;
    return AA_OK;
}

/* Learn, in order, from the rewards that arrived of batches before `seq`. */
static aa_status
learn_before(app *ap, uint64_t seq, aa_err *err)
{
    while (assigner_next_reward(ap->as) < seq && assigner_next_reward(ap->as) < ap->next_reward) {
        const uint64_t next = assigner_next_reward(ap->as);
        const int64_t  start_us = aa_now_us();
        aa_status      st =
            assigner_learn(ap->as, &ap->waiting[next % (uint64_t)ap->cfg->pipeline.depth], err);
        if (st != AA_OK) return st;
        assigner_metrics_learned(ap->am, aa_now_us() - start_us);
    }
    return AA_OK;
}

/* ---- the stream ---- */

/* Batch n waits for the rewards of batch n - depth: back-pressure, and half of the fixed lag. */
static bool
may_take_events(const app *ap)
{
    if (ap->run_id && !ap->opened) return false;
    if (ap->barrier.epoch && ap->barrier.final) return false;
    if (!ap->run_id) return true; /* to answer, and to see the next OPEN */
    return ap->next_reward + (uint64_t)ap->cfg->pipeline.depth > assigner_next_batch(ap->as);
}

static aa_status
on_events(app *ap, const void *buf, size_t len, aa_err *err)
{
    aa_status st = aa_wire_unpack_events(&ap->in, buf, len, err);
    if (st != AA_OK) return st;
    const uint64_t run_id = ap->in.hd.run_id;
    if (!ap->run_id || run_id != ap->run_id)
        return run_id > ap->run_id ? reset(ap, run_id, 0, "unknown run", err) : AA_OK;
    if (ap->in.hd.seq != assigner_next_batch(ap->as))
        return reset(ap, run_id, 0, "a batch is missing", err);

    const uint64_t depth = (uint64_t)ap->cfg->pipeline.depth;
    if (ap->in.hd.seq > depth) {
        st = learn_before(ap, ap->in.hd.seq - depth + 1, err);
        if (st != AA_OK) return st;
    }
    if (ap->tell_new && ap->in.oldest_kafka_ms > ap->run_wall_ms + CLOCKS_APART_MS)
        assigner_tell_new(ap->as, ap->tell_new = false); /* no run before can have had these */
    const int64_t start_us = aa_now_us();
    st = assigner_step(ap->as, &ap->in, &ap->out, err);
    if (st != AA_OK) return st;
    assigner_metrics_step(ap->am, &ap->in, aa_now_us() - start_us);
    st = assigner_metrics_series(ap->am, ap->as, false, err);
    if (st != AA_OK) return st;
    st = aa_wire_pack_assigned(&ap->bytes, &ap->out, err);
    if (st != AA_OK) return st;
    st = aa_link_send(ap->down, AA_MSG_ASSIGNED, ap->bytes.data, ap->bytes.len, err);
    if (st == AA_EFULL) return reset(ap, run_id, 0, "the learner does not take batches", err);
    if (st != AA_OK) return st;
    const aa_control credit = {.hd = ap->in.hd};
    return aa_upstream_send(&ap->up, AA_MSG_CREDIT, &credit, err);
}

/* ---- publishing ---- */

/* A broker that is behind or away holds up nothing: the rest is sent when it is back. */
static aa_status
publish(app *ap, aa_err *err)
{
    if (!ap->pa || !ap->run_id) return AA_OK;
    aa_status st = publish_assignments_send(ap->pa, ap->as, ap->run_id, ap->publish_all, err);
    ap->published_ms = aa_now_ms();
    if (st == AA_EAGAIN || st == AA_EFULL) {
        aa_warn("PUBLISH-WAIT", "%s", err->text);
        ap->publish_all = ap->publish_all || st == AA_EFULL; /* a part of what changed was lost */
        return AA_OK;
    }
    if (st != AA_OK) return st;
    ap->publish_all = false;
    assigner_metrics_published(ap->am, publish_assignments_sent(ap->pa));
    return AA_OK;
}

/* The last publish left something to send. */
static bool
publish_pending(const app *ap)
{
    return ap->pa && (ap->publish_all || publish_assignments_pending(ap->pa));
}

/* ---- checkpoints ---- */

static aa_status
save(const void *arg, uint64_t epoch, aa_err *err)
{
    const app      *ap = arg;
    aa_ckpt_writer *w = NULL;
    aa_status       st = aa_ckpt_create(&w, ap->cfg, "assigner", epoch, err);
    if (st == AA_OK) st = assigner_save(ap->as, w, err);
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
    ap->ending = false;
    return aa_upstream_answer(&ap->up, kind, &barrier, err);
}

/* Our part of the epoch, or the learner's, could not be saved: it is given up, and the stream goes
 * on. Ingest tries again with the next. */
static aa_status
unsaved(app *ap, const char *reason, aa_err *err)
{
    aa_snapshot_cancel(&ap->snapshot);
    snprintf(ap->barrier.reason, sizeof ap->barrier.reason, "%s", reason);
    return answer_barrier(ap, AA_MSG_UNSAVED, err);
}

static aa_status
unsaved_here(app *ap, aa_err *err)
{
    const aa_err why = *err;
    aa_error("CHECKPOINT-FAILED", "%s", why.text);
    assigner_metrics_unsaved(ap->am);
    return unsaved(ap, why.text, err);
}

static aa_status
begin_barrier(app *ap, aa_err *err)
{
    aa_status st = aa_snapshot_start(&ap->snapshot, ap->barrier.epoch, save, ap, err);
    if (st != AA_OK) return unsaved_here(ap, err);
    ap->begun = true;
    assigner_metrics_pause(ap->am, ap->snapshot.pause_us);
    return send_down(ap, AA_MSG_BARRIER, &ap->barrier, err);
}

/* The stream's last barrier waits for the last rewards: behind it the learner ends, and could not
 * send them again. */
static aa_status
on_barrier(app *ap, const aa_control *c, aa_err *err)
{
    if (!ap->run_id || c->hd.run_id != ap->run_id)
        return c->hd.run_id > ap->run_id ? reset(ap, c->hd.run_id, 0, "unknown run", err) : AA_OK;
    if (c->hd.seq != assigner_next_batch(ap->as) - 1)
        return reset(ap, ap->run_id, 0, "a batch before the barrier is missing", err);
    aa_snapshot_cancel(&ap->snapshot); /* of an epoch that was given up */
    ap->barrier = *c;
    ap->begun = ap->here_durable = ap->down_durable = false;
    return c->final && rewards_missing(ap) ? AA_OK : begin_barrier(ap, err);
}

/* What ingest takes as the end must be: nothing to learn any more, and scorers have it. */
static aa_status
settle_end(app *ap, bool *settled, aa_err *err)
{
    aa_status st = learn_before(ap, ap->next_reward, err);
    *settled = false;
    if (st != AA_OK) return st;
    if (!ap->ending) st = assigner_changes_exact(ap->as, err);
    if (st == AA_OK && (!ap->ending || publish_pending(ap))) st = publish(ap, err);
    if (st != AA_OK) return st;
    ap->ending = true;
    if (publish_pending(ap)) return AA_OK; /* the loop comes again */
    st = ap->pa ? publish_assignments_flush(ap->pa, FLUSH_MS, err) : AA_OK;
    *settled = st == AA_OK;
    if (st != AA_EIO) return st;
    ap->ending = false; /* again, in case something was lost for good */
    aa_warn("PUBLISH-WAIT", "%s", err->text);
    return AA_OK;
}

static aa_status
poll_barrier(app *ap, aa_err *err)
{
    bool      done, settled = true;
    aa_status st = aa_snapshot_poll(&ap->snapshot, false, &done, err);
    if (st != AA_OK) return unsaved_here(ap, err);
    if (done) ap->tidying = true;
    if (!ap->barrier.epoch) return AA_OK;
    if (!ap->begun) return rewards_missing(ap) ? AA_OK : begin_barrier(ap, err);
    if (done) ap->here_durable = true;
    if (!ap->here_durable || !ap->down_durable) return AA_OK;
    if (ap->barrier.final) st = settle_end(ap, &settled, err);
    if (st != AA_OK || !settled) return st;
    ap->ended = ap->barrier.final;
    ap->heard_up_ms = aa_now_ms();
    assigner_metrics_epoch(ap->am, ap->barrier.epoch);
    return answer_barrier(ap, AA_MSG_DURABLE, err);
}

/* Sent in silence, after all else: whatever it names and we do not know was lost on its way. Our
 * answers may have been, too. */
static aa_status
on_ping(app *ap, const aa_control *c, aa_err *err)
{
    if (c->hd.run_id > ap->run_id) return reset(ap, c->hd.run_id, 0, "unknown run", err);
    if (c->hd.run_id != ap->run_id || !ap->opened) return AA_OK;
    const aa_control credit = {.hd = {ap->run_id, assigner_next_batch(ap->as) - 1, c->hd.lane}};
    aa_status        st = AA_OK;
    if (c->hd.seq != credit.hd.seq ||
        (c->epoch && c->epoch != ap->barrier.epoch && !aa_upstream_answered(&ap->up, c->epoch)))
        return reset(ap, ap->run_id, 0, "a batch or a barrier was lost on its way", err);
    if (aa_upstream_answered(&ap->up, c->epoch)) st = aa_upstream_answer_again(&ap->up, err);
    return st == AA_OK ? aa_upstream_send(&ap->up, AA_MSG_CREDIT, &credit, err) : st;
}

static aa_status
on_end(app *ap, const aa_control *c, aa_err *err)
{
    if (!ap->ended || c->hd.run_id != ap->run_id) return AA_OK;
    ap->done = true;
    return send_down(ap, AA_MSG_END, c, err);
}

/* ---- the loop ---- */

static aa_status
from_up(app *ap, aa_msg_kind kind, const void *buf, size_t len, aa_err *err)
{
    aa_control c;
    if (kind == AA_MSG_EVENTS) return on_events(ap, buf, len, err);
    aa_status st = aa_wire_unpack_control(&c, buf, len, err);
    if (st != AA_OK) return st;
    ap->heard_up_ms = aa_now_ms();
    switch (kind) {
    case AA_MSG_OPEN: return on_open(ap, &c, err);
    case AA_MSG_END: return on_end(ap, &c, err);
    case AA_MSG_BARRIER: return on_barrier(ap, &c, err);
    case AA_MSG_PING: return on_ping(ap, &c, err);
    default: return aa_fail(err, AA_EPARSE, "message of kind '%c' from ingest", kind);
    }
}

static aa_status
from_down(app *ap, aa_msg_kind kind, const void *buf, size_t len, aa_err *err)
{
    aa_control c;
    if (kind == AA_MSG_REWARDS) return on_rewards(ap, buf, len, err);
    aa_status st = aa_wire_unpack_control(&c, buf, len, err);
    if (st != AA_OK) return st;
    if (c.hd.run_id != ap->run_id) return AA_OK; /* of a run that is over */
    ap->heard_ms = aa_now_ms();
    switch (kind) {
    case AA_MSG_OPENED:
        if (ap->opened) return AA_OK;
        ap->opened = true;
        aa_set_ready(ap->ctx, true, "");
        st = aa_upstream_send(&ap->up, AA_MSG_OPENED, &c, err);
        if (st == AA_OK && rewards_missing(ap)) /* those in flight at the checkpoint */
            st = ask_again(ap, assigner_next_batch(ap->as) - 1, err);
        return st;
    case AA_MSG_DURABLE:
        if (c.epoch == ap->barrier.epoch && c.hd.seq == ap->barrier.hd.seq) ap->down_durable = true;
        return AA_OK;
    case AA_MSG_UNSAVED: return c.epoch == ap->barrier.epoch ? unsaved(ap, c.reason, err) : AA_OK;
    case AA_MSG_RESET: return reset(ap, ap->run_id, c.epoch, c.reason, err);
    default: return aa_fail(err, AA_EPARSE, "message of kind '%c' from the learner", kind);
    }
}

typedef aa_status (*handler)(app *ap, aa_msg_kind kind, const void *buf, size_t len, aa_err *err);

/* One message of a link; *got: there was one. A bad one is logged and dropped: gaps are noticed. */
static aa_status
receive(app *ap, aa_link *ln, handler handle, bool *got, aa_err *err)
{
    aa_msg_kind kind;
    const void *buf;
    size_t      len;
    aa_status   st = aa_link_recv(ln, &kind, &buf, &len, err);
    *got = st != AA_EAGAIN;
    if (st == AA_EAGAIN) return AA_OK;
    if (st == AA_OK) st = handle(ap, kind, buf, len, err);
    if (st != AA_EPARSE) return st;
    aa_warn("MESSAGE-REFUSED", "%s", err->text);
    assigner_metrics_refused(ap->am);
    return AA_OK;
}

static aa_status
receive_all(app *ap, aa_err *err)
{
    bool any = true;
    for (int i = 0; i < BURST && any; i++) {
        bool      got = false;
        aa_status st = AA_OK;
        any = false;
        aa_link *const from[] = {ap->rewards, ap->down, may_take_events(ap) ? ap->up.ln : NULL};
        for (size_t l = 0; l < 3 && st == AA_OK; l++) {
            if (!from[l]) continue;
            st = receive(ap, from[l], from[l] == ap->up.ln ? from_up : from_down, &got, err);
            any = any || got;
        }
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* Whoever has been silent for too long is asked: a learner that lost the run says RESET. */
static aa_status
repeat(app *ap, aa_err *err)
{
    const int64_t now_ms = aa_now_ms();
    if (!ap->run_id || now_ms - ap->heard_ms < REPEAT_MS || now_ms - ap->asked_ms < REPEAT_MS)
        return AA_OK;
    ap->asked_ms = now_ms;
    if (rewards_missing(ap)) return ask_again(ap, assigner_next_batch(ap->as) - 1, err);
    const aa_control ping = {.hd = {.run_id = ap->run_id, .seq = assigner_next_batch(ap->as) - 1},
                             .epoch = ap->begun ? ap->barrier.epoch : 0};
    return send_down(ap, AA_MSG_PING, &ping, err);
}

static aa_status
loop(app *ap, aa_err *err)
{
    const int stop_fd = aa_stop_fd();
    while (!ap->done && !aa_stop_requested()) {
        aa_link  *links[] = {ap->rewards, ap->down, may_take_events(ap) ? ap->up.ln : NULL};
        aa_status st = aa_link_poll(links, 3, &stop_fd, 1,
                                    ap->snapshot.pid || ap->tidying ? 2 : POLL_MS, NULL, err);
        if (st == AA_OK) st = receive_all(ap, err);
        if (st == AA_OK) st = poll_barrier(ap, err);
        if (st == AA_OK) st = repeat(ap, err);
        if (ap->tidying && !ap->snapshot.pid) ap->tidying = ap->as && assigner_tidy(ap->as);
        if (st == AA_OK && aa_now_ms() - ap->published_ms >= ap->cfg->publish.every_ms) {
            st = publish(ap, err);
            assigner_metrics_refresh(ap->am, ap->as);
        }
        if (st != AA_OK) return st;
        /* ingest is gone and did not say so: it has what it needs of us, or will begin anew */
        if (ap->ended && aa_now_ms() - ap->heard_up_ms > END_WAIT_MS) ap->done = true;
    }
    return AA_OK;
}

static aa_status
finish(app *ap, aa_err *err)
{
    aa_status st = AA_OK;
    if (!ap->as) return AA_OK;                               /* stopped before a run began */
    if (!ap->done) st = assigner_changes_exact(ap->as, err); /* scorers are to have these values */
    if (st == AA_OK && !ap->done) st = publish(ap, err);
    if (st == AA_OK && ap->pa) st = publish_assignments_flush(ap->pa, LAST_FLUSH_MS, err);
    if (st == AA_OK && ap->done) st = assigner_metrics_series(ap->am, ap->as, true, err);
    if (st != AA_OK) return st;
    assigner_metrics_refresh(ap->am, ap->as);
    return assigner_metrics_final(ap->as, ap->cfg, err);
}

static aa_status
open_publisher(void *arg, aa_err *err)
{
    app *ap = arg;
    return publish_assignments_open(&ap->pa, ap->cfg, err);
}

static aa_status
open_all(app *ap, aa_err *err)
{
    const aa_conf     *cfg = ap->cfg;
    const aa_link_keys keys = aa_link_keys_of(cfg);
    aa_status          st = aa_upstream_open(&ap->up, cfg, cfg->links.events, err);
    if (st == AA_OK) st = aa_link_open(&ap->down, AA_LINK_CONNECT, cfg->links.assigned, &keys, err);
    if (st == AA_OK)
        st = aa_link_open(&ap->rewards, AA_LINK_SUBSCRIBE, cfg->links.rewards, &keys, err);
    aa_link_export(ap->up.ln, ap->ctx->ms, "events");
    aa_link_export(ap->down, ap->ctx->ms, "assigned");
    aa_link_export(ap->rewards, ap->ctx->ms, "rewards");
    if (st == AA_OK && cfg->publish.enabled) st = aa_retry("KAFKA-WAIT", open_publisher, ap, err);
    ap->waiting = calloc((size_t)cfg->pipeline.depth, sizeof *ap->waiting);
    if (st == AA_OK && !ap->waiting) st = aa_fail(err, AA_ENOMEM, "ring of rewards");
    if (st == AA_OK) st = assigner_metrics_new(&ap->am, ap->ctx->ms, cfg, err);
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
    assigner_metrics_free(&ap.am);
    publish_assignments_close(&ap.pa);
    aa_upstream_close(&ap.up);
    aa_link_close(&ap.down);
    aa_link_close(&ap.rewards);
    assigner_free(&ap.as);
    aa_event_batch_fini(&ap.in);
    aa_assigned_batch_fini(&ap.out);
    aa_reward_batch_fini(&ap.rw);
    for (int64_t i = 0; ap.waiting && i < ap.cfg->pipeline.depth; i++)
        aa_reward_batch_fini(&ap.waiting[i]);
    free(ap.waiting);
    aa_bytes_fini(&ap.bytes);
    return st;
}

static size_t
threads_needed(const aa_conf *cfg)
{
    return AA_PROGRAM_THREADS + aa_kafka_threads(cfg, 2);
}

int
main(int argc, char **argv)
{
    const aa_program program = {
        .name = "assigner",
        .summary = "the Identity Agent: gives IDs shared or unique rows",
        .run = run,
        .threads = threads_needed,
    };
    return aa_program_main(&program, argc, argv);
}
