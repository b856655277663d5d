#include "ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPEN_EVERY_US = 1000000,
    PING_EVERY_US = 200000,
    BACKOFF_MIN_US = 100000,
    BACKOFF_MAX_US = 5000000,
    DRAIN_LIMIT_US = 15000000,
    SEND_RETRY_US = 200000,     /* of a message that the link did not take */
    SILENCE_US = 3000000,       /* pings in vain for so long: nobody is there */
    OPEN_SILENCE_US = 5000000,  /* same, to open a run: checkpoints are restored meanwhile */
    UNSAVED_PAUSE_US = 1000000, /* before a barrier that is to save what could not be saved */
    HELD_MAX = 4000000, /* events held back by all partitions together, about 50 bytes each */
    HELD_MIN = 4096     /* but so many by each */
};

typedef enum { BACKOFF, OPENING, RUNNING, DRAINING, ENDING, DRAINED, ABANDONED } phase;

struct ingest {
    const aa_conf *cfg;
    order         *od;    /* owned */
    aa_event_batch batch; /* being filled */
    aa_control     control;
    deadletter    *letter; /* being sent */
    phase          phase;
    bool           replay, ended;
    bool           drain_failed; /* DRAINED, but not by committing everything */

    uint64_t run_id, newest_run, config_digest;
    uint32_t setting[AA_CONF_KEPT_MAX]; /* marks of those that all processes must agree on */
    size_t   setting_count;
    uint64_t letters_sent;    /* now.letters is as of the positions */
    uint64_t credited;        /* last sequence number with a credit */
    uint64_t since_barrier;   /* events sent after the last barrier */
    int64_t  batch_opened_us; /* first event of the batch was taken */
    int64_t  blocked_us;      /* the batch is ready but has no credit since; 0: it has not waited */
    int64_t  heard_us;        /* last message from downstream that was of this run */
    int64_t  begun_us;        /* this run */
    int64_t  last_open_us, last_sent_us, last_barrier_us, retry_us, drain_until_us;
    int64_t  send_after_us; /* no message before */
    int64_t  later_us;      /* the letter or commit that is due was put off until then */
    int64_t  backoff_us;
    uint64_t commits, resets, unsaved, unsaved_in_row;
    uint64_t epoch_used; /* greatest of a barrier or commit: a number is used once in a run */
    uint64_t bad_epoch;
    int64_t  barrier_after_us; /* no barrier before */
    char     reason[256];

    /* now: what has been sent; positions stand at the edge of the last batch. barrier: `now` as it
     * was when the barrier that is under way was sent. */
    resume now, barrier;
    bool   barrier_out, barrier_durable, barrier_final;
    bool   moved;   /* positions differ from the last barrier's */
    bool   dropped; /* an unfinished batch was given up: the order has gone past what was sent */
};

aa_status
ingest_new(ingest **out, const aa_conf *cfg, aa_err *err)
{
    aa_status st;
    ingest   *in = calloc(1, sizeof *in);

    if (!in) return aa_fail(err, AA_ENOMEM, "ingest");
    in->cfg = cfg;
    in->replay = cfg->ingest.run == AA_RUN_REPLAY;
    in->config_digest = aa_conf_digest(cfg);
    in->setting_count = aa_conf_kept_marks(cfg, in->setting);
    in->phase = BACKOFF;
    in->backoff_us = BACKOFF_MIN_US;
    st =
        aa_event_batch_reserve(&in->batch, (size_t)cfg->ingest.batch_events, cfg->field_count, err);
    if (st != AA_OK) goto out;
    in->batch.F = cfg->field_count;
    st = order_new(&in->od, cfg->field_count, in->replay, err);
    if (st != AA_OK) goto out;
    *out = in;
    in = NULL;
out:
    ingest_free(&in);
    return st;
}

void
ingest_free(ingest **in_p)
{
    ingest *in = *in_p;
    if (!in) return;
    order_free(&in->od);
    aa_event_batch_fini(&in->batch);
    deadletter_free(&in->letter);
    resume_fini(&in->now);
    resume_fini(&in->barrier);
    free(in);
    *in_p = NULL;
}

order *
ingest_order(ingest *in)
{
    return in->od;
}

/* ---- begin, restart, stop ---- */

/* Events that each of n partitions may hold back. */
static size_t
room_for(const ingest *in, size_t n)
{
    size_t room = (size_t)in->cfg->ingest.partition_queue_events;
    size_t share = HELD_MAX / (n > 0 ? n : 1);
    if (share < HELD_MIN) share = HELD_MIN;
    return room < share ? room : share;
}

static aa_status
begin_order(ingest *in, aa_err *err)
{
    size_t   n = in->now.part_count;
    int64_t *position = malloc((n + 1) * sizeof *position);

    if (!position) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    for (size_t i = 0; i < n; i++)
        position[i] = in->now.part[i].position;
    aa_status st = order_begin(in->od, position, n, room_for(in, n), err);
    free(position);
    if (st != AA_OK) return st;
    for (size_t i = 0; i < n; i++)
        if (in->now.part[i].position >= in->now.part[i].end)
            order_end(in->od, i, in->now.part[i].position);
    return AA_OK;
}

uint64_t
ingest_next_run(const ingest *in, const resume *re, uint64_t clock)
{
    const uint64_t known = re->run > in->newest_run ? re->run : in->newest_run;
    return clock > known ? clock : known + 1;
}

aa_status
ingest_begin(ingest *in, const resume *re, uint64_t run_id, int64_t now_us, aa_err *err)
{
    AA_REQUIRE(run_id > in->run_id);
    deadletter_free(&in->letter);
    aa_status st = resume_copy(&in->now, re, err);
    if (st != AA_OK) return st;
    st = resume_reserve(&in->barrier, re->part_count, err);
    if (st != AA_OK) return st;
    st = begin_order(in, err);
    if (st != AA_OK) return st;
    in->phase = OPENING;
    in->run_id = in->now.run = run_id;
    if (run_id > in->newest_run) in->newest_run = run_id;
    in->later_us = 0;
    in->drain_failed = false;
    in->epoch_used = re->last_epoch > re->epoch ? re->last_epoch : re->epoch;
    in->barrier_after_us = in->begun_us = now_us;
    in->now.final = false;
    in->now.base_epoch = re->epoch > 0 ? re->epoch : re->last_epoch;
    in->batch.n = 0;
    in->credited = in->now.seq;
    in->letters_sent = in->now.letters;
    in->since_barrier = 0;
    in->blocked_us = 0;
    in->last_open_us = now_us - OPEN_EVERY_US;
    in->barrier_out = in->barrier_durable = in->dropped = false;
    in->moved = re->commit_soon;
    return AA_OK;
}

void
ingest_restart(ingest *in, const char *reason, int64_t now_us)
{
    snprintf(in->reason, sizeof in->reason, "%s", reason);
    in->resets++;
    if (in->phase == DRAINED || in->phase == ENDING) return;
    in->retry_us = now_us + in->backoff_us;
    in->backoff_us = in->backoff_us < BACKOFF_MAX_US / 2 ? in->backoff_us * 2 : BACKOFF_MAX_US;
    /* a stop needs nothing from a run that is lost: the last commit stands */
    in->drain_failed = in->phase == DRAINING;
    in->phase = in->drain_failed ? DRAINED : BACKOFF;
}

void
ingest_unsaved(ingest *in, const char *reason, int64_t now_us)
{
    if (!in->barrier_out) return;
    snprintf(in->reason, sizeof in->reason, "%s", reason);
    in->unsaved++;
    in->unsaved_in_row++;
    in->barrier_out = in->barrier_durable = false;
    in->moved = true; /* it is still to be saved */
    in->barrier_after_us = now_us + UNSAVED_PAUSE_US;
}

void
ingest_abandon(ingest *in)
{
    in->phase = ABANDONED;
}

void
ingest_stop(ingest *in, int64_t now_us)
{
    if (in->phase == DRAINING || in->phase == ENDING || in->phase == DRAINED) return;
    in->phase = in->phase == RUNNING ? DRAINING : DRAINED;
    in->drain_failed = false;
    in->drain_until_us = now_us + DRAIN_LIMIT_US;
}

/* ---- from downstream ---- */

void
ingest_control(ingest *in, aa_msg_kind kind, const aa_control *c, int64_t now_us)
{
    bool under_way = in->phase == RUNNING || in->phase == DRAINING;

    if (c->hd.run_id != in->run_id) return; /* of a run that is over */
    in->heard_us = now_us;
    switch (kind) {
    case AA_MSG_OPENED:
        if (in->phase != OPENING) return;
        in->phase = RUNNING;
        in->last_barrier_us = in->last_sent_us = now_us;
        return;
    case AA_MSG_CREDIT:
        if (!under_way || c->hd.seq > in->now.seq || c->hd.seq <= in->credited) return;
        in->credited = c->hd.seq;
        in->backoff_us = BACKOFF_MIN_US; /* it works again */
        return;
    case AA_MSG_DURABLE:
        if (under_way && in->barrier_out && c->epoch == in->barrier.epoch)
            in->barrier_durable = true;
        return;
    case AA_MSG_UNSAVED:
        if (under_way && c->epoch == in->barrier.epoch && !in->barrier_durable)
            ingest_unsaved(in, c->reason, now_us);
        return;
    case AA_MSG_RESET:
        if (!under_way && in->phase != OPENING) return;
        if (c->epoch > 0 && c->epoch == in->now.epoch) in->bad_epoch = c->epoch;
        if (c->newest_run_id > in->newest_run) in->newest_run = c->newest_run_id;
        ingest_restart(in, c->reason, now_us);
        return;
    default: return; /* not for us */
    }
}

/* ---- what to do next ---- */

static void
fill_control(ingest *in, uint64_t epoch, bool final)
{
    in->control = (aa_control){
        .hd = {in->run_id, in->now.seq, (uint32_t)in->cfg->pipeline.lane},
        .epoch = epoch,
        .final = final,
        .config_digest = in->config_digest,
        .base_epoch = in->now.base_epoch,
    };
    snprintf(in->control.pipeline, sizeof in->control.pipeline, "%.127s", in->cfg->pipeline.name);
}

static void
act_control(ingest *in, ingest_act *act, aa_msg_kind kind, uint64_t epoch, bool final)
{
    fill_control(in, epoch, final);
    if (kind == AA_MSG_OPEN) {
        in->control.setting_count = in->setting_count;
        memcpy(in->control.setting, in->setting, sizeof in->setting);
    }
    act->act = INGEST_SEND;
    act->kind = kind;
    act->control = &in->control;
}

/* Positions of all that left the order, while none of it is in an unsent batch. */
static void
mark_positions(ingest *in)
{
    if (in->batch.n > 0 || in->dropped) return;
    in->now.letters = in->letters_sent;
    for (size_t i = 0; i < in->now.part_count; i++) {
        int64_t position = order_position(in->od, i);
        if (position != in->now.part[i].position) in->moved = true;
        in->now.part[i].position = position;
    }
}

/* Live: what was read and holds no event (transaction markers, aborted records) is to be committed
 * too, or it would count as lost once it is deleted. */
static bool
time_for_barrier(ingest *in, int64_t now_us)
{
    const int64_t every_us = in->cfg->checkpoint.every_ms * 1000;
    if (in->replay || every_us == 0 || in->barrier_out) return false;
    if (now_us - in->last_barrier_us < every_us) return false;
    if (!in->moved) mark_positions(in);
    return in->moved;
}

static bool
barrier_due(ingest *in, int64_t now_us)
{
    const int64_t every = in->cfg->checkpoint.every_events;
    if (now_us < in->barrier_after_us) return false;
    if (every > 0 && in->since_barrier >= (uint64_t)every) return true;
    return time_for_barrier(in, now_us);
}

/* The unfinished batch leaves as it is. */
static bool
batch_closes(const ingest *in, bool at_end, bool due, int64_t now_us)
{
    if (in->batch.n == 0) return false;
    if (in->batch.n == (size_t)in->cfg->ingest.batch_events || at_end) return true;
    if (in->replay) return false;
    return in->phase == DRAINING || due ||
           now_us - in->batch_opened_us >= in->cfg->ingest.batch_wait_ms * 1000;
}

static void
fill_batch(ingest *in, int64_t now_us)
{
    size_t before = in->batch.n, room = (size_t)in->cfg->ingest.batch_events - before;
    if (room == 0 || in->phase == DRAINING) return;
    if (order_take(in->od, &in->batch, room) > 0 && before == 0) in->batch_opened_us = now_us;
}

static bool
act_batch(ingest *in, ingest_act *act, int64_t now_us)
{
    if (in->now.seq - in->credited >= (uint64_t)in->cfg->links.in_flight) {
        if (in->blocked_us == 0) in->blocked_us = now_us;
        return false;
    }
    in->batch.hd = (aa_header){in->run_id, in->now.seq + 1, (uint32_t)in->cfg->pipeline.lane};
    act->act = INGEST_SEND;
    act->kind = AA_MSG_EVENTS;
    act->batch = &in->batch;
    act->waited_us = in->blocked_us > 0 ? now_us - in->blocked_us : 0;
    return true;
}

static bool
act_letter(ingest *in, ingest_act *act)
{
    if (in->phase == DRAINING && !in->letter) return false;
    if (!in->letter) in->letter = order_take_letter(in->od);
    if (!in->letter) return false;
    act->act = INGEST_LETTER;
    act->letter = in->letter;
    return true;
}

/* Barrier, commit or the end, when the batch is empty and so everything taken has been sent. */
static bool
act_barrier(ingest *in, ingest_act *act, bool at_end, bool due, int64_t now_us)
{
    bool drain = in->phase == DRAINING;

    if (!due && !at_end && !drain) return false;
    mark_positions(in);
    if (in->barrier_out) return false; /* one at a time: wait for its commit */
    if (now_us < in->barrier_after_us) return false;
    if (drain && !at_end && !in->moved && in->since_barrier == 0) {
        in->phase = DRAINED;
        act->act = INGEST_DRAINED;
        return true;
    }
    act_control(in, act, AA_MSG_BARRIER, in->epoch_used + 1, at_end);
    return true;
}

static bool
act_stream(ingest *in, ingest_act *act, int64_t now_us)
{
    bool due = barrier_due(in, now_us), at_end;

    if (act_letter(in, act)) return true;
    if (!(due && in->batch.n == 0)) fill_batch(in, now_us);
    if (act_letter(in, act)) return true; /* one may have come to the front */
    at_end = in->replay && order_finished(in->od) && !in->dropped;
    if (batch_closes(in, at_end, due, now_us)) return act_batch(in, act, now_us);
    if (in->replay && in->phase == DRAINING && in->batch.n > 0) { /* read again after the restart */
        in->dropped = true;
        in->batch.n = 0;
    }
    if (in->batch.n > 0) return false;
    return act_barrier(in, act, at_end, due, now_us);
}

/* When to look again although nothing arrives. */
static int64_t
next_look(const ingest *in)
{
    int64_t due = in->last_sent_us + PING_EVERY_US;
    if (in->phase == DRAINING && in->drain_until_us < due) due = in->drain_until_us;
    if (in->barrier_after_us > in->last_sent_us && in->barrier_after_us < due)
        due = in->barrier_after_us;
    if (in->later_us > in->last_sent_us && in->later_us < due) due = in->later_us;
    if (in->replay || in->blocked_us > 0) return due;
    if (in->batch.n > 0 && in->batch_opened_us + in->cfg->ingest.batch_wait_ms * 1000 < due)
        due = in->batch_opened_us + in->cfg->ingest.batch_wait_ms * 1000;
    return due;
}

static void
step_stream(ingest *in, int64_t now_us, ingest_act *act)
{
    const bool put_off = now_us < in->later_us;

    if (in->phase == DRAINING && now_us >= in->drain_until_us) {
        snprintf(in->reason, sizeof in->reason, "no answer within %d s", DRAIN_LIMIT_US / 1000000);
        act->act = INGEST_GIVEN_UP;
        return;
    }
    if (in->barrier_durable && !put_off) {
        act->act = INGEST_COMMIT;
        act->commit = &in->barrier;
        return;
    }
    if (!put_off && act_stream(in, act, now_us)) return;
    if (now_us - in->last_sent_us >= PING_EVERY_US) {
        const bool asked = in->barrier_out && !in->barrier_durable;
        act_control(in, act, AA_MSG_PING, asked ? in->barrier.epoch : 0, false);
        return;
    }
    act->due_us = next_look(in);
}

static void
step_phase(ingest *in, int64_t now_us, ingest_act *act)
{
    *act = (ingest_act){.act = INGEST_WAIT, .due_us = now_us + OPEN_EVERY_US};
    switch (in->phase) {
    case BACKOFF:
        if (now_us >= in->retry_us) act->act = INGEST_REOPEN;
        act->due_us = in->retry_us;
        return;
    case OPENING:
        if (now_us - in->last_open_us >= OPEN_EVERY_US)
            act_control(in, act, AA_MSG_OPEN, in->now.epoch, false);
        else
            act->due_us = in->last_open_us + OPEN_EVERY_US;
        return;
    case RUNNING:
    case DRAINING: step_stream(in, now_us, act); return;
    case ENDING: act_control(in, act, AA_MSG_END, in->now.epoch, true); return;
    case DRAINED: act->act = in->drain_failed ? INGEST_GIVEN_UP : INGEST_DRAINED; return;
    case ABANDONED: return;
    }
}

void
ingest_step(ingest *in, int64_t now_us, ingest_act *act)
{
    step_phase(in, now_us, act);
    if (act->act == INGEST_SEND && now_us < in->send_after_us)
        *act = (ingest_act){.act = INGEST_WAIT, .due_us = in->send_after_us};
}

/* ---- it was done ---- */

static void
batch_sent(ingest *in)
{
    aa_event_batch *b = &in->batch;

    in->now.digest = aa_event_batch_digest(b, in->now.digest);
    in->now.seq++;
    in->now.batches++;
    in->now.events += b->n;
    in->since_barrier += b->n;
    in->blocked_us = 0;
    b->n = 0;
    mark_positions(in);
}

static void
barrier_sent(ingest *in, const aa_control *c, int64_t now_us)
{
    resume_part *part = in->barrier.part;
    size_t       n = in->now.part_count;

    if (n > 0) memcpy(part, in->now.part, n * sizeof *part);
    in->barrier = in->now;
    in->barrier.part = part;
    in->barrier.epoch = c->epoch;
    in->barrier.final = in->barrier_final = c->final;
    in->barrier_out = true;
    in->epoch_used = c->epoch;
    in->moved = false;
    in->since_barrier = 0;
    in->last_barrier_us = now_us;
}

static void
committed(ingest *in)
{
    in->now.epoch = in->now.base_epoch = in->barrier.epoch;
    in->barrier_out = in->barrier_durable = false;
    in->commits++;
    in->unsaved_in_row = in->bad_epoch = 0;
    in->backoff_us = BACKOFF_MIN_US;
    if (in->barrier_final) {
        in->ended = true;
        in->phase = ENDING;
    }
}

void
ingest_done(ingest *in, const ingest_act *act, int64_t now_us)
{
    switch (act->act) {
    case INGEST_SEND:
        in->last_sent_us = now_us;
        if (act->kind == AA_MSG_OPEN) in->last_open_us = now_us;
        if (act->kind == AA_MSG_EVENTS) batch_sent(in);
        if (act->kind == AA_MSG_BARRIER) barrier_sent(in, act->control, now_us);
        if (act->kind == AA_MSG_END) in->phase = DRAINED;
        return;
    case INGEST_LETTER:
        deadletter_free(&in->letter);
        in->letters_sent++;
        mark_positions(in);
        return;
    case INGEST_COMMIT: committed(in); return;
    case INGEST_WAIT:
    case INGEST_REOPEN:
    case INGEST_DRAINED:
    case INGEST_GIVEN_UP: return;
    }
}

aa_status
ingest_sent(ingest *in, const ingest_act *act, aa_status st, int64_t now_us)
{
    if (st == AA_EFULL) {
        in->send_after_us = now_us + SEND_RETRY_US;
        return AA_OK;
    }
    if (st == AA_OK) ingest_done(in, act, now_us);
    return st;
}

void
ingest_put_off(ingest *in, int64_t until_us)
{
    in->later_us = until_us;
}

bool
ingest_running(const ingest *in)
{
    return in->phase == RUNNING;
}

bool
ingest_answered(const ingest *in, int64_t now_us)
{
    return in->phase == RUNNING && !ingest_silent(in, now_us);
}

bool
ingest_silent(const ingest *in, int64_t now_us)
{
    int64_t since_us = in->heard_us > in->begun_us ? in->heard_us : in->begun_us;
    if (in->phase == OPENING) return now_us - since_us >= OPEN_SILENCE_US;
    return in->phase == RUNNING && now_us - since_us >= SILENCE_US;
}

bool
ingest_idle(const ingest *in)
{
    return in->phase == ABANDONED;
}

bool
ingest_opened(const ingest *in)
{
    return in->phase == RUNNING || in->phase == DRAINING;
}

bool
ingest_ended(const ingest *in)
{
    return in->ended;
}

const char *
ingest_reason(const ingest *in)
{
    return in->reason;
}

void
ingest_stats_get(const ingest *in, ingest_stats *out)
{
    *out = (ingest_stats){
        .run_id = in->run_id,
        .epoch = in->now.epoch,
        .seq = in->now.seq,
        .events = in->now.events,
        .letters = in->letters_sent,
        .batches = in->now.batches,
        .digest = in->now.digest,
        .in_flight = in->now.seq - in->credited,
        .commits = in->commits,
        .resets = in->resets,
        .unsaved = in->unsaved,
        .unsaved_in_row = in->unsaved_in_row,
        .bad_epoch = in->bad_epoch,
        .newest_run = in->newest_run,
    };
}
