/* ingest - Kafka's events to the assigner, in order and in batches, and the offsets back to Kafka.
 *
 * This file wires: it moves what arrives (messages, answers, signals, time) into ingest/ingest,
 * which decides, and does what that says. One thread, one loop.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/links/link.h"
#include "common/messages/wire.h"
#include "common/service/program.h"
#include "common/state/checkpoint.h"
#include "ingest/committer.h"
#include "ingest/fetchers/crew.h"
#include "ingest/fetchers/fetcher.h"
#include "ingest/ingest.h"
#include "ingest/ingest_metrics.h"
#include "ingest/letters.h"
#include "ingest/source.h"
#include "ingest/trial.h"

enum {
    STEPS_AT_A_TIME = 64,    /* then look at the link and at Kafka again */
    BEHIND_US = 20000,       /* between tries of a letter, when the broker is behind */
    SAY_AGAIN_US = 30000000, /* between warnings of a trouble that lasts */
    METRICS_US = 500000,     /* between updates of the metrics */
    CONNECT_MAX_MS = 5000,   /* longest pause between tries to reach a broker */
    CLOCK_BACK_US = 1000000  /* a clock that is behind the last run by more is worth a word */
};

typedef struct {
    aa_context     *ctx;
    const aa_conf  *cfg;
    aa_link        *ln;
    letters        *le;
    source         *so;
    announce       *an; /* NULL: publish.item_names is off */
    crew           *cr; /* NULL: no fetchers */
    ingest         *in;
    ingest_metrics *im;
    aa_bytes        out; /* the last message packed */
    aa_control      control;
    committer       co;
    int64_t         metrics_us;         /* next update */
    int64_t         full_us, silent_us; /* next warning of a full link, of silence */
    bool            leaving;
    bool            given_up; /* ... without having committed everything */
    bool            revoked;  /* the group wants our partitions back */
    aa_status       failed;   /* the loop ends with it */
} app;

/* ---- start ---- */

static aa_status
open_kafka(app *ap, aa_err *err)
{
    aa_status st = source_open(&ap->so, ap->cfg, err);

    if (st != AA_OK) return st;
    if (!ap->le) st = letters_open(&ap->le, ap->cfg, err);
    if (st == AA_OK && !ap->an && ap->cfg->publish.enabled && ap->cfg->publish.item_names)
        st = announce_open(&ap->an, ap->cfg, err);
    if (st == AA_OK) source_announce(ap->so, ap->an);
    if (st == AA_OK && ap->cr) source_share(ap->so, crew_members(ap->cr));
    if (st != AA_OK) source_close(&ap->so);
    return st;
}

/* A broker that is not there yet is waited for. AA_EAGAIN: asked to stop meanwhile. */
static aa_status
connect_kafka(app *ap, aa_err *err)
{
    int pause_ms = 250;
    for (;;) {
        int       stop_fd = aa_stop_fd();
        aa_status st = open_kafka(ap, err);
        if (st != AA_EIO) return st;
        aa_warn("KAFKA-WAIT", "%s", err->text);
        st = aa_link_poll(NULL, 0, &stop_fd, 1, pause_ms, NULL, err);
        if (st != AA_OK) return st;
        if (aa_stop_requested()) return AA_EAGAIN;
        pause_ms = pause_ms < CONNECT_MAX_MS / 2 ? pause_ms * 2 : CONNECT_MAX_MS;
    }
}

/* By the clock, so that a state that was given up does not count for more than what comes after it;
 * but never below a run that is known of, or scorers would take its records for old ones. */
static uint64_t
next_run_id(const app *ap, const resume *re)
{
    const uint64_t clock = (uint64_t)aa_wall_ms() * 1000 + (uint64_t)aa_now_us() % 1000;
    const uint64_t run_id = ingest_next_run(ap->in, re, clock);

    if (run_id > clock + CLOCK_BACK_US)
        aa_warn("RUN-CLOCK",
                "the clock is %" PRIu64 " s behind the last run's: runs are counted on from that",
                (run_id - clock) / 1000000);
    return run_id;
}

/* ---- one action each; false: look at what arrives before the next ---- */

/* A replay from beyond the last event ends at once: better said. */
static void
check_nothing_to_replay(const app *ap, const resume *re)
{
    if (re->last_epoch > 0 || ap->cfg->ingest.run != AA_RUN_REPLAY) return;
    for (size_t i = 0; i < re->part_count; i++)
        if (re->part[i].position < re->part[i].end) return;
    aa_warn("REPLAY-FROM", "nothing to replay: topic %s has no event from %s on",
            ap->cfg->topics.interactions, ap->cfg->ingest.replay_from);
}

static bool
reopen(app *ap)
{
    aa_err       err = AA_ERR_INIT;
    resume       re = {0};
    char         kv[128];
    uint64_t     run_id = 0;
    ingest_stats is;

    if (!committer_settled(&ap->co, ap->so, aa_now_us())) {
        if (ingest_idle(ap->in)) ingest_restart(ap->in, "a commit has no answer yet", aa_now_us());
        return false;
    }

    if (!source_has_partitions(ap->so)) { /* live: the group has not dealt them out */
        ingest_abandon(ap->in);
        return true;
    }
    ingest_stats_get(ap->in, &is);
    aa_status st = source_lookup(ap->so, &re, is.bad_epoch, &err);
    if (st == AA_OK) run_id = next_run_id(ap, &re);
    if (st == AA_OK) st = source_start(ap->so, &re, run_id, &err);
    if (st == AA_OK) st = ingest_begin(ap->in, &re, run_id, aa_now_us(), &err);
    if (st == AA_EIO) {
        aa_warn("RUN-RETRY", "%s", err.text);
        ingest_restart(ap->in, err.text, aa_now_us());
    } else if (st != AA_OK) {
        aa_error("RUN-FAILED", "%s", err.text);
        ap->failed = st;
    } else {
        snprintf(kv, sizeof kv,
                 "run_id=%" PRIu64 " epoch=%" PRIu64 " seq=%" PRIu64 " partitions=%zu", run_id,
                 re.epoch, re.seq, re.part_count);
        aa_log_write(
            re.final ? AA_WARN : AA_INFO, "RUN-OPEN", kv, "%s",
            re.last_epoch == 0         ? "fresh, no commit of this pipeline"
            : re.epoch < re.last_epoch ? "from an older checkpoint than the last commit's"
            : re.final
                ? "the replay had ended already; another pipeline.name starts from the beginning"
                : "from the last commit");
        check_nothing_to_replay(ap, &re);
    }
    resume_fini(&re);
    return st == AA_OK || st == AA_EIO;
}

/* Nobody takes the messages: with other keys a peer's messages end in the handshake. */
static void
say_full(app *ap, const char *why, int64_t now_us)
{
    if (now_us < ap->full_us) return;
    ap->full_us = now_us + SAY_AGAIN_US;
    aa_warn("SEND",
            "%s; tried again: does the assigner run, with links.events at this address and the "
            "same links.curve_* keys?",
            why);
}

static aa_status
pack_message(aa_bytes *out, const ingest_act *act, aa_err *err)
{
    return act->kind == AA_MSG_EVENTS ? aa_wire_pack_events(out, act->batch, err)
                                      : aa_wire_pack_control(out, act->control, err);
}

static bool
send_message(app *ap, const ingest_act *act)
{
    aa_err         err = AA_ERR_INIT;
    aa_status      st = pack_message(&ap->out, act, &err);
    const size_t   events = act->kind == AA_MSG_EVENTS ? act->batch->n : 0;
    const int64_t  waited_us = act->waited_us, now_us = aa_now_us();
    const int64_t *time_ms = events > 0 ? act->batch->time_ms : NULL; /* stays until the next */

    if (st == AA_OK) st = aa_link_send(ap->ln, act->kind, ap->out.data, ap->out.len, &err);
    if (st == AA_EFULL) say_full(ap, err.text, now_us);
    ap->failed = ingest_sent(ap->in, act, st, now_us);
    if (ap->failed != AA_OK) aa_error("SEND", "%s", err.text);
    if (st == AA_OK && events > 0) ingest_metrics_batch(ap->im, time_ms, events, waited_us, now_us);
    return st == AA_OK;
}

static bool
send_letter(app *ap, const ingest_act *act)
{
    aa_err              err = AA_ERR_INIT;
    const decode_reason reason = act->letter->reason;
    const aa_status     st = letters_send(ap->le, act->letter, &err);

    letters_poll(ap->le);
    if (st == AA_EAGAIN) {
        ingest_put_off(ap->in, aa_now_us() + BEHIND_US);
        return true;
    }
    if (st != AA_OK) {
        aa_error("DEAD-LETTER", "%s", err.text);
        ap->failed = st;
        return false;
    }
    ingest_done(ap->in, act, aa_now_us());
    ingest_metrics_letter(ap->im, reason);
    return true;
}

/* Without checkpoints the state is as old as the last one: tell, and at some point end. */
static void
check_unsaved(app *ap)
{
    const int64_t most = ap->cfg->checkpoint.max_failures;
    ingest_stats  is;
    ingest_stats_get(ap->in, &is);
    aa_warn("CHECKPOINT-GIVEN-UP", "%" PRIu64 " in a row since the last commit: %s",
            is.unsaved_in_row, ingest_reason(ap->in));
    if (most == 0 || is.unsaved_in_row < (uint64_t)most) return;
    aa_error("RUN-FAILED",
             "%" PRIu64 " checkpoints in a row could not be written (checkpoint.max_failures)",
             is.unsaved_in_row);
    ap->failed = AA_EIO;
}

static bool
commit_epoch(app *ap, const ingest_act *act)
{
    aa_err err = AA_ERR_INIT;
    char   kv[128];

    switch (committer_try(&ap->co, ap->le, ap->so, act->commit, aa_now_us(), &err)) {
    case COMMITTER_LATER: ingest_put_off(ap->in, ap->co.again_us); return true;
    case COMMITTER_UNSAVED: /* given up like an epoch that another process could not write */
        aa_error("CHECKPOINT-FAILED", "%s", err.text);
        ingest_unsaved(ap->in, err.text, aa_now_us());
        check_unsaved(ap);
        return true;
    case COMMITTER_REFUSED:
        aa_warn("COMMIT", "%s", err.text);
        ingest_restart(ap->in, err.text, aa_now_us());
        return true;
    case COMMITTER_FAILED:
        aa_error("COMMIT", "%s", err.text);
        ap->failed = AA_EIO;
        return false;
    case COMMITTER_DONE: break;
    }
    snprintf(kv, sizeof kv, "epoch=%" PRIu64 " seq=%" PRIu64 " events=%" PRIu64, act->commit->epoch,
             act->commit->seq, act->commit->events);
    if (aa_log_on(AA_DEBUG)) aa_log_write(AA_DEBUG, "COMMIT", kv, "committed");
    ingest_done(ap->in, act, aa_now_us());
    return true;
}

/* Everything is committed, or will be read again: give the partitions back, or leave. Fetchers that
 * withdraw may do so, too; without a word from the group only the union has changed. */
static bool
drained(app *ap, bool given_up)
{
    aa_err    err = AA_ERR_INIT;
    aa_status st = AA_OK;

    if (given_up)
        aa_warn("DRAIN", "given up: %s; what is not committed will be read again",
                ingest_reason(ap->in));
    if (ap->cr) st = crew_end(ap->cr, ingest_order(ap->in), &err);
    if (aa_stop_requested() || ingest_ended(ap->in)) {
        ap->leaving = true;
        ap->given_up = given_up;
        return false;
    }
    ingest_abandon(ap->in);
    if (st == AA_OK && (!ap->cr || ap->revoked)) st = source_release(ap->so, &err);
    ap->revoked = false;
    if (st != AA_OK) {
        aa_error("REBALANCE", "%s", err.text);
        ap->failed = AA_EIO;
    }
    return false;
}

static bool
perform(app *ap, const ingest_act *act)
{
    switch (act->act) {
    case INGEST_WAIT: return false;
    case INGEST_SEND: return send_message(ap, act);
    case INGEST_LETTER: return send_letter(ap, act);
    case INGEST_COMMIT: return commit_epoch(ap, act);
    case INGEST_REOPEN: return reopen(ap);
    case INGEST_DRAINED: return drained(ap, false);
    case INGEST_GIVEN_UP: return drained(ap, true);
    }
    return false;
}

/* ---- what arrives ---- */

/* The group's wishes. Revoked: drain first, the group waits meanwhile. */
static aa_status
serve_group(app *ap, aa_err *err)
{
    aa_consumer_event event = AA_CONSUMER_NOTHING;
    aa_status         st = source_poll(ap->so, &event, err);

    if (st != AA_OK) return st;
    switch (event) {
    case AA_CONSUMER_NOTHING: return AA_OK;
    case AA_CONSUMER_ASSIGNED:
        aa_info("REBALANCE", "%zu partitions assigned", source_dealt(ap->so));
        if (!ap->cr) reopen(ap); /* else when the fetchers have said what they have */
        return AA_OK;
    case AA_CONSUMER_REVOKED:
        aa_info("REBALANCE", "partitions revoked: draining");
        ap->revoked = true;
        ingest_stop(ap->in, aa_now_us());
        return AA_OK;
    case AA_CONSUMER_LOST:
        aa_warn("REBALANCE", "partitions lost: what is not committed will be read again");
        ingest_abandon(ap->in);
        ap->revoked = false;
        if (ap->cr) st = crew_end(ap->cr, ingest_order(ap->in), err);
        return st == AA_OK ? source_release(ap->so, err) : st;
    }
    return AA_OK;
}

/* Fetchers' records, and what they have: a run is of one union of partitions. */
static aa_status
serve_fetchers(app *ap, size_t *got, aa_err *err)
{
    members  *mb = crew_members(ap->cr);
    aa_status st = crew_serve(ap->cr, ingest_order(ap->in), got, err);

    if (st != AA_OK) return st;
    if (members_changed(mb)) {
        if (ingest_running(ap->in)) aa_info("REBALANCE", "fetchers' partitions change: draining");
        ingest_stop(ap->in, aa_now_us());
    } else if (members_lost(mb)) {
        aa_warn("OFFSET-LOST", "a fetcher found the events to go on from gone");
        ingest_restart(ap->in, "events to go on from are gone", aa_now_us());
    }
    if (ingest_idle(ap->in) && members_settled(mb, aa_now_us())) reopen(ap);
    return AA_OK;
}

static void
say_reset(const app *ap, const ingest_stats *is)
{
    if (is->newest_run > is->run_id)
        aa_warn("RUN-RESET", "%s: the next run is opened above %" PRIu64, ingest_reason(ap->in),
                is->newest_run);
    else
        aa_warn("RUN-RESET", "%s", ingest_reason(ap->in));
}

/* A message from the assigner, and what it changed, for the log. */
static void
take_control(app *ap, aa_msg_kind kind)
{
    ingest_stats before, after;
    bool         opened = ingest_opened(ap->in);

    ingest_stats_get(ap->in, &before);
    ingest_control(ap->in, kind, &ap->control, aa_now_us());
    ingest_stats_get(ap->in, &after);
    if (after.resets > before.resets) say_reset(ap, &after);
    if (after.unsaved > before.unsaved) check_unsaved(ap);
    if (!opened && ingest_opened(ap->in)) {
        ingest_metrics_opened(ap->im, after.epoch, aa_now_us());
        aa_info("RUN-OPENED", "downstream stands at epoch %" PRIu64, after.epoch);
    }
}

static aa_status
serve_link(app *ap, bool *progress, aa_err *err)
{
    for (;;) {
        aa_msg_kind kind;
        const void *buf = NULL;
        size_t      len = 0;
        aa_status   st = aa_link_recv(ap->ln, &kind, &buf, &len, err);

        if (st == AA_EAGAIN) return AA_OK;
        if (st == AA_OK) st = aa_wire_unpack_control(&ap->control, buf, len, err);
        if (st == AA_OK)
            take_control(ap, kind);
        else if (st == AA_EPARSE)
            aa_warn("LINK-GARBAGE", "%s", err->text);
        else
            return st;
        *progress = true;
    }
}

static void
say_silence(app *ap, int64_t now_us)
{
    if (!ingest_silent(ap->in, now_us)) {
        ap->silent_us = 0;
        return;
    }
    if (now_us < ap->silent_us) return;
    ap->silent_us = now_us + SAY_AGAIN_US;
    if (ingest_opened(ap->in))
        aa_warn("SILENCE", "the assigner (or the learner behind it) does not answer");
    else
        aa_warn("SILENCE",
                "no message comes from links.events (%s): the assigner (or the learner behind it) "
                "does not answer; does it run, at this address, with the same links.curve_* keys?",
                aa_link_endpoint(ap->ln));
}

/* Why ingest is not ready. */
static const char *
unready(const app *ap, int64_t now_us)
{
    if (source_trouble(ap->so)) return source_trouble(ap->so);
    if (ingest_silent(ap->in, now_us))
        return "the assigner (or the learner behind it) does not answer";
    return ingest_running(ap->in) ? "the lag is not known yet" : "no run is open";
}

static void
show_ingest(app *ap)
{
    int64_t now_us = aa_now_us();

    if (now_us < ap->metrics_us) return;
    ap->metrics_us = now_us + METRICS_US;
    letters_poll(ap->le);
    bool known = ingest_metrics_update(ap->im, ap->in, ingest_order(ap->in), ap->so,
                                       letters_lost(ap->le), now_us);
    aa_log_flush_repeats();
    say_silence(ap, now_us);
    aa_set_ready(ap->ctx, known && ingest_answered(ap->in, now_us) && !source_trouble(ap->so),
                 unready(ap, now_us));
}

static aa_status
wait_for_something(app *ap, int64_t due_us, aa_err *err)
{
    aa_link *links[2] = {ap->ln, ap->cr ? crew_link(ap->cr) : NULL};
    int      fds[2] = {source_fd(ap->so), aa_stop_fd()};
    unsigned ready = 0;
    int64_t  wait_us = due_us - aa_now_us();
    int      wait_ms = wait_us <= 0 ? 1 : wait_us > 200000 ? 200 : (int)((wait_us + 999) / 1000);

    if (aa_stop_requested()) fds[1] = -1; /* it stays readable */
    aa_status st = aa_link_poll(links, 2, fds, 2, wait_ms, &ready, err);
    if (ready & 1u << 2) source_clear_fd(ap->so);
    return st;
}

/* ---- the loop ---- */

static aa_status
turn_ingest(app *ap, aa_err *err)
{
    ingest_act act = {.due_us = 0};
    bool       progress = false;
    size_t     got = 0, fetched = 0;
    aa_status  st = serve_link(ap, &progress, err);

    if (st == AA_OK) st = serve_group(ap, err);
    if (st == AA_OK && ap->cr) st = serve_fetchers(ap, &fetched, err);
    if (st != AA_OK) return st;
    if (aa_stop_requested()) ingest_stop(ap->in, aa_now_us());
    if (ingest_running(ap->in)) st = source_pump(ap->so, ingest_order(ap->in), &got, err);
    if (st == AA_ECONFIG && source_skips_losses(ap->so)) { /* gone since: see what is there */
        aa_warn("OFFSET-LOST", "%s", err->text);
        ingest_restart(ap->in, err->text, aa_now_us());
        st = AA_OK;
    }
    if (st != AA_OK) return st;
    for (int i = 0; i < STEPS_AT_A_TIME && ap->failed == AA_OK; i++) {
        ingest_step(ap->in, aa_now_us(), &act);
        if (!perform(ap, &act)) break;
        progress = true;
    }
    show_ingest(ap);
    if (progress || got + fetched > 0 || ap->leaving || ap->failed != AA_OK) return AA_OK;
    return wait_for_something(ap, act.due_us, err);
}

static aa_status
loop(app *ap, aa_err *err)
{
    while (!ap->leaving) {
        aa_status st = turn_ingest(ap, err);
        if (st == AA_OK && ap->failed != AA_OK)
            st = aa_fail(err, ap->failed, "see the errors above");
        if (st != AA_OK) return st;
    }
    aa_set_ready(ap->ctx, false, "drained");
    const aa_status st =
        ingest_metrics_finish(ap->im, ap->in, ap->so, letters_lost(ap->le), !ap->given_up, err);
    if (st != AA_OK || !ap->given_up) return st;
    return aa_fail(err, AA_EIO, "the drain was given up: %s; what is not committed is read again",
                   ingest_reason(ap->in));
}

/* One file may serve a live pipeline with fetchers and replays, which have none. */
static bool
has_fetchers(const aa_conf *cfg)
{
    return cfg->links.fetchers[0] && cfg->ingest.run == AA_RUN_LIVE;
}

/* Two replays of one pipeline would take the run away from each other, and the older one would wait
 * for ever. A live ingest may take the place of one that stands still: the group ends that one. */
static aa_status
lock_checkpoints(const aa_conf *cfg, aa_err *err)
{
    return cfg->ingest.run == AA_RUN_REPLAY ? aa_ckpt_lock(cfg, "ingest", err) : AA_OK;
}

static aa_status
run_ingest(aa_context *ctx, aa_err *err)
{
    app          ap = {.ctx = ctx, .cfg = ctx->cfg, .co.cfg = ctx->cfg};
    aa_link_keys keys = aa_link_keys_of(ctx->cfg);

    if (ctx->cfg->ingest.role == AA_ROLE_FETCHER) return fetcher_run(ctx, err);
    aa_status st = lock_checkpoints(ctx->cfg, err);
    if (st == AA_OK) st = ingest_metrics_new(&ap.im, ctx->cfg, ctx->ms, err);
    if (st == AA_OK) st = ingest_new(&ap.in, ctx->cfg, err);
    if (st == AA_OK) st = aa_link_open(&ap.ln, AA_LINK_CONNECT, ctx->cfg->links.events, &keys, err);
    aa_link_export(ap.ln, ctx->ms, "events");
    if (st == AA_OK && has_fetchers(ctx->cfg)) st = crew_open(&ap.cr, ctx->cfg, ctx->ms, err);
    if (st == AA_OK) st = connect_kafka(&ap, err);
    if (st == AA_OK) {
        if (!source_has_partitions(ap.so)) ingest_abandon(ap.in); /* until the group deals */
        st = loop(&ap, err);
    }
    if (st == AA_EAGAIN && aa_stop_requested()) st = AA_OK; /* stopped while there was no broker */
    letters_close(&ap.le);
    announce_close(&ap.an);
    source_close(&ap.so);
    crew_close(&ap.cr);
    aa_link_close(&ap.ln);
    ingest_free(&ap.in);
    ingest_metrics_free(&ap.im);
    aa_bytes_fini(&ap.out);
    return st;
}

static size_t
threads_needed(const aa_conf *cfg)
{
    /* and those of the schema registry: its own, and one that looks up its address */
    return AA_PROGRAM_THREADS + aa_kafka_threads(cfg, 4) + (*cfg->event.schema_registry ? 2 : 0);
}

/* Paths, for instance. */
static aa_status
check_decoding(const aa_conf *cfg, aa_err *err)
{
    decode   *dc = NULL;
    aa_status st = decode_new(&dc, cfg, err);
    decode_free(&dc);
    return st;
}

int
main(int argc, char **argv)
{
    static const aa_program program = {
        .name = "ingest",
        .summary = "reads events from Kafka, orders and batches them, owns the committed offset",
        .run = run_ingest,
        .threads = threads_needed,
        .check = check_decoding,
        .trial = trial_run,
    };
    return aa_program_main(&program, argc, argv);
}
