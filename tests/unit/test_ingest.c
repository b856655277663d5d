#include "ingest/ingest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/one_event.h"

enum { S = 1000000 };

typedef struct {
    aa_conf    cfg;
    aa_err     err;
    ingest    *in;
    ingest_act act;
    int64_t    now_us, pushed;
} fixture;

static fixture *
make(enum aa_run_kind run, size_t partitions, const resume *from)
{
    fixture    *fx = calloc(1, sizeof *fx);
    resume_part part[4] = {0};
    resume      fresh = {.part = part, .part_count = partitions};
    assert_non_null(fx);
    aa_conf_defaults(&fx->cfg);
    fx->cfg.ingest.run = run;
    fx->cfg.ingest.batch_events = 10;
    fx->cfg.links.in_flight = 2;
    fx->cfg.checkpoint.every_events = 0;
    fx->now_us = 5 * S;
    for (size_t i = 0; i < partitions; i++)
        part[i] = (resume_part){(int32_t)i, 0, run == AA_RUN_REPLAY ? 1000 : RESUME_NO_END};
    assert_int_equal(ingest_new(&fx->in, &fx->cfg, &fx->err), AA_OK);
    assert_int_equal(ingest_begin(fx->in, from ? from : &fresh, 100, fx->now_us, &fx->err), AA_OK);
    return fx;
}

static void
unmake(fixture *fx)
{
    ingest_free(&fx->in);
    free(fx);
}

/* The next action must be this one; it is done. */
static void
expect(fixture *fx, ingest_act_kind act, aa_msg_kind kind)
{
    ingest_step(fx->in, fx->now_us, &fx->act);
    if (fx->act.act != act || (act == INGEST_SEND && fx->act.kind != kind))
        fail_msg("action %d kind %c, not %d %c", fx->act.act, fx->act.kind ? fx->act.kind : '-',
                 act, kind ? kind : '-');
    ingest_done(fx->in, &fx->act, fx->now_us);
}
#define expect_send(fx, kind) expect(fx, INGEST_SEND, kind)
#define expect_wait(fx)       expect(fx, INGEST_WAIT, 0)

static void
tell(fixture *fx, aa_msg_kind kind, uint64_t seq, uint64_t epoch)
{
    aa_control c = {.hd = {.run_id = 100, .seq = seq}, .epoch = epoch};
    ingest_control(fx->in, kind, &c, fx->now_us);
}

static void
open_up(fixture *fx)
{
    expect_send(fx, AA_MSG_OPEN);
    tell(fx, AA_MSG_OPENED, 0, 0);
    assert_true(ingest_running(fx->in));
}

/* n more events into partition 0 */
static void
push(fixture *fx, int n)
{
    while (n-- > 0) {
        const uint64_t   key[2] = {(uint64_t)fx->pushed + 1, 7};
        one_event        ev = one_event_of(key, 2, 1, fx->pushed);
        const aa_columns col = one_event_columns(&ev);
        order_push(ingest_order(fx->in), 0, fx->pushed, &col, 0, 3);
        fx->pushed++;
    }
}

static void
end(fixture *fx)
{
    order_end(ingest_order(fx->in), 0, fx->pushed);
}

static void
open_names_the_commit_and_comes_again_each_second_until_answered(void **state)
{
    (void)state;
    resume_part part[1] = {{0, 30, 1000}};
    resume      from = {.epoch = 4, .seq = 3, .part = part, .part_count = 1};
    fixture    *fx = make(AA_RUN_REPLAY, 1, &from);
    fx->pushed = 30;
    push(fx, 20);
    for (int i = 0; i < 3; i++) {
        expect_send(fx, AA_MSG_OPEN);
        assert_int_equal(fx->act.control->hd.run_id, 100);
        assert_int_equal(fx->act.control->hd.seq, 3);
        assert_int_equal(fx->act.control->epoch, 4);
        assert_true(fx->act.control->config_digest == aa_conf_digest(&fx->cfg));
        assert_string_equal(fx->act.control->pipeline, fx->cfg.pipeline.name);
        expect_wait(fx);
        assert_int_equal(fx->act.due_us, fx->now_us + S);
        fx->now_us += S;
    }
    assert_false(ingest_running(fx->in));
    tell(fx, AA_MSG_OPENED, 0, 0);
    expect_send(fx, AA_MSG_EVENTS);
    assert_int_equal(fx->act.batch->hd.seq, 4);
    unmake(fx);
}

static void
batches_are_cut_by_count_and_held_back_without_credit(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    push(fx, 35);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        ingest_step(fx->in, fx->now_us, &fx->act);
        assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
        assert_int_equal(fx->act.batch->n, 10);
        assert_int_equal(fx->act.batch->hd.seq, seq);
        assert_int_equal(fx->act.batch->hd.run_id, 100);
        assert_int_equal(fx->act.batch->key[0], (seq - 1) * 10 + 1);
        assert_int_equal(fx->act.batch->oldest_kafka_ms, 3);
        ingest_done(fx->in, &fx->act, fx->now_us);
    }
    expect_wait(fx);
    fx->now_us += 70;
    tell(fx, AA_MSG_CREDIT, 3, 0); /* not sent yet: nonsense */
    expect_wait(fx);
    tell(fx, AA_MSG_CREDIT, 1, 0);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
    assert_int_equal(fx->act.waited_us, 70);
    ingest_done(fx->in, &fx->act, fx->now_us);
    tell(fx, AA_MSG_CREDIT, 3, 0);
    expect_wait(fx); /* 5 events: not full, and the replay has not ended */
    ingest_stats is;
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.events, 30);
    assert_int_equal(is.in_flight, 0);
    unmake(fx);
}

static void
action_that_was_not_done_comes_again_unchanged(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    push(fx, 25);
    for (int i = 0; i < 3; i++) {
        ingest_step(fx->in, fx->now_us, &fx->act);
        assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
        assert_int_equal(fx->act.batch->hd.seq, 1);
        assert_int_equal(fx->act.batch->n, 10);
        assert_int_equal(fx->act.batch->key[9 * 2], 10);
    }
    unmake(fx);
}

static void
replay_ends_with_the_rest_a_final_barrier_and_a_commit(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    push(fx, 13);
    expect_send(fx, AA_MSG_EVENTS);
    expect_wait(fx);
    end(fx);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    assert_true(fx->act.control->final);
    assert_int_equal(fx->act.control->epoch, 1);
    assert_int_equal(fx->act.control->hd.seq, 2);
    expect_wait(fx);
    tell(fx, AA_MSG_DURABLE, 0, 2); /* not this one */
    expect_wait(fx);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.act, INGEST_COMMIT);
    assert_int_equal(fx->act.commit->epoch, 1);
    assert_int_equal(fx->act.commit->seq, 2);
    assert_int_equal(fx->act.commit->events, 13);
    assert_true(fx->act.commit->final);
    assert_int_equal(fx->act.commit->part[0].position, 13);
    assert_false(ingest_ended(fx->in));
    ingest_done(fx->in, &fx->act, fx->now_us);
    assert_true(ingest_ended(fx->in));
    expect_send(fx, AA_MSG_END); /* those downstream may end too */
    expect(fx, INGEST_DRAINED, 0);
    unmake(fx);
}

static void
empty_replay_ends_at_once(void **state)
{
    (void)state;
    resume_part part[2] = {{0, 50, 50}, {1, 0, 0}};
    resume      from = {.epoch = 9, .seq = 5, .digest = 77, .part = part, .part_count = 2};
    fixture    *fx = make(AA_RUN_REPLAY, 2, &from);
    open_up(fx);
    expect_send(fx, AA_MSG_BARRIER);
    assert_true(fx->act.control->final);
    assert_int_equal(fx->act.control->epoch, 10);
    tell(fx, AA_MSG_DURABLE, 0, 10);
    expect(fx, INGEST_COMMIT, 0);
    expect_send(fx, AA_MSG_END);
    expect(fx, INGEST_DRAINED, 0);
    ingest_stats is;
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.digest, 77);
    unmake(fx);
}

static void
barriers_stand_at_event_counts_and_one_is_under_way_at_a_time(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    fx->cfg.checkpoint.every_events = 15;
    fx->cfg.links.in_flight = 100;
    open_up(fx);
    push(fx, 60);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 1);
    assert_int_equal(fx->act.control->hd.seq, 2);
    assert_false(fx->act.control->final);
    expect_send(fx, AA_MSG_EVENTS); /* the stream goes on */
    expect_send(fx, AA_MSG_EVENTS);
    expect_wait(fx); /* the next barrier is due, the first not durable */
    tell(fx, AA_MSG_DURABLE, 0, 1);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.act, INGEST_COMMIT);
    assert_int_equal(fx->act.commit->part[0].position, 20); /* as of the barrier, not of now */
    assert_int_equal(fx->act.commit->seq, 2);
    assert_int_equal(fx->act.commit->events, 20);
    ingest_done(fx->in, &fx->act, fx->now_us);
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 2);
    assert_int_equal(fx->act.control->hd.seq, 4);
    expect_send(fx, AA_MSG_EVENTS);
    unmake(fx);
}

static void
stopped_replay_leaves_the_unfinished_batch_unsent(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    push(fx, 17);
    expect_send(fx, AA_MSG_EVENTS);
    expect_wait(fx);
    ingest_stop(fx->in, fx->now_us);
    expect_send(fx, AA_MSG_BARRIER);
    assert_false(fx->act.control->final);
    end(fx); /* even if the end is found now */
    expect_wait(fx);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.commit->part[0].position, 10);
    assert_int_equal(fx->act.commit->events, 10);
    assert_false(fx->act.commit->final);
    ingest_done(fx->in, &fx->act, fx->now_us);
    expect(fx, INGEST_DRAINED, 0);
    assert_false(ingest_ended(fx->in));
    unmake(fx);
}

static void
stopped_live_pipeline_sends_the_unfinished_batch(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    open_up(fx);
    push(fx, 3);
    expect_wait(fx);
    ingest_stop(fx->in, fx->now_us);
    expect_send(fx, AA_MSG_EVENTS);
    assert_int_equal(fx->act.control == NULL, 1);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.commit->part[0].position, 3);
    ingest_done(fx->in, &fx->act, fx->now_us);
    expect(fx, INGEST_DRAINED, 0);
    unmake(fx);
}

static void
stop_with_nothing_new_needs_no_barrier(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    open_up(fx);
    ingest_stop(fx->in, fx->now_us);
    expect(fx, INGEST_DRAINED, 0);
    unmake(fx);
    fx = make(AA_RUN_LIVE, 1, NULL);
    ingest_stop(fx->in, fx->now_us); /* not even opened */
    expect(fx, INGEST_DRAINED, 0);
    unmake(fx);
}

static void
drain_that_nobody_answers_is_given_up(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    open_up(fx);
    push(fx, 3);
    expect_wait(fx);
    ingest_stop(fx->in, fx->now_us);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    for (int i = 0; i < 14 * 5; i++) {
        fx->now_us += S / 5;
        expect_send(fx, AA_MSG_PING);
    }
    fx->now_us += S;
    expect(fx, INGEST_GIVEN_UP, 0);
    unmake(fx);
}

static void
live_batch_leaves_when_it_has_waited(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    fx->cfg.ingest.batch_wait_ms = 50;
    open_up(fx);
    push(fx, 2);
    expect_wait(fx);
    assert_int_equal(fx->act.due_us, fx->now_us + 50000);
    fx->now_us += 49999;
    push(fx, 1);
    expect_wait(fx);
    fx->now_us += 1;
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
    assert_int_equal(fx->act.batch->n, 3);
    ingest_done(fx->in, &fx->act, fx->now_us);
    unmake(fx);
}

static void
live_barriers_come_by_time_and_only_when_something_moved(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    fx->cfg.checkpoint.every_ms = 1000;
    open_up(fx);
    fx->now_us += 3 * S;
    expect_send(fx, AA_MSG_PING);
    expect_wait(fx);
    push(fx, 10);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_CREDIT, 1, 0);
    fx->now_us += S;
    push(fx, 1);
    expect_send(fx, AA_MSG_PING); /* the first is not durable: no second */
    tell(fx, AA_MSG_DURABLE, 0, 1);
    expect(fx, INGEST_COMMIT, 0);
    expect_wait(fx);
    fx->now_us += fx->cfg.ingest.batch_wait_ms * 1000;
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 2);
    unmake(fx);
}

static void
pings_go_out_while_nothing_else_does(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    expect_wait(fx);
    assert_int_equal(fx->act.due_us, fx->now_us + S / 5);
    for (int i = 0; i < 3; i++) {
        fx->now_us += S / 5;
        expect_send(fx, AA_MSG_PING);
        assert_int_equal(fx->act.control->hd.run_id, 100);
        expect_wait(fx);
    }
    unmake(fx);
}

static void
reset_begins_again_after_a_bounded_growing_backoff(void **state)
{
    (void)state;
    fixture    *fx = make(AA_RUN_REPLAY, 1, NULL);
    uint64_t    run_id = 100;
    int64_t     waited = 0;
    aa_control  c = {.hd = {.run_id = 99}, .reason = "unknown run"};
    resume_part part[1] = {{0, 0, 1000}};
    resume      re = {.part = part, .part_count = 1};

    open_up(fx);
    push(fx, 20);
    expect_send(fx, AA_MSG_EVENTS);
    ingest_control(fx->in, AA_MSG_RESET, &c, fx->now_us);
    assert_true(ingest_running(fx->in)); /* that was of a run before */
    for (int i = 0; i < 12; i++) {
        c.hd.run_id = run_id;
        ingest_control(fx->in, AA_MSG_RESET, &c, fx->now_us);
        assert_false(ingest_running(fx->in));
        assert_string_equal(ingest_reason(fx->in), "unknown run");
        expect_wait(fx);
        assert_true(fx->act.due_us - fx->now_us >= waited);
        assert_true(fx->act.due_us - fx->now_us <= 5 * S);
        waited = fx->act.due_us - fx->now_us;
        fx->now_us = fx->act.due_us;
        expect(fx, INGEST_REOPEN, 0);
        assert_int_equal(ingest_begin(fx->in, &re, ++run_id, fx->now_us, &fx->err), AA_OK);
        expect_send(fx, AA_MSG_OPEN);
        assert_int_equal(fx->act.control->hd.run_id, run_id);
    }
    assert_int_equal(waited, 5 * S);
    ingest_stats is;
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.resets, 12);
    assert_int_equal(is.events, 0); /* as of the commit that it began from */
    unmake(fx);
}

/* A full disk downstream: the stream goes on, and the next barrier has a number of its own, so that
 * a late answer to the first is not taken for one to it. */
static void
epoch_that_could_not_be_saved_is_given_up_and_the_next_barrier_tries_again(void **state)
{
    (void)state;
    ingest_stats is;
    fixture     *fx = make(AA_RUN_REPLAY, 1, NULL);
    fx->cfg.checkpoint.every_events = 10;
    open_up(fx);
    push(fx, 60);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_CREDIT, 1, 0);
    tell(fx, AA_MSG_UNSAVED, 0, 2); /* not this one */
    tell(fx, AA_MSG_UNSAVED, 0, 1);
    tell(fx, AA_MSG_UNSAVED, 0, 1); /* twice is once */
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.unsaved_in_row, 1);
    expect_send(fx, AA_MSG_EVENTS);
    tell(fx, AA_MSG_CREDIT, 2, 0);
    expect_send(fx, AA_MSG_EVENTS); /* not in the same moment again */
    fx->now_us += S;
    tell(fx, AA_MSG_CREDIT, 3, 0);
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 2);
    assert_int_equal(fx->act.control->base_epoch, 0); /* nothing is committed yet */
    assert_int_equal(fx->act.control->hd.seq, 3);
    tell(fx, AA_MSG_DURABLE, 0, 1); /* too late */
    expect_send(fx, AA_MSG_EVENTS);
    tell(fx, AA_MSG_DURABLE, 0, 2);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.act, INGEST_COMMIT);
    assert_int_equal(fx->act.commit->epoch, 2);
    assert_int_equal(fx->act.commit->seq, 3);
    ingest_unsaved(fx->in, "ingest's own disk", fx->now_us); /* its own part can fail as well */
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.unsaved_in_row, 2);
    assert_int_equal(is.commits, 0);
    fx->now_us += S;
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 3);
    tell(fx, AA_MSG_DURABLE, 0, 3);
    expect(fx, INGEST_COMMIT, 0);
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.unsaved_in_row, 0);
    assert_int_equal(is.unsaved, 2);
    tell(fx, AA_MSG_CREDIT, 4, 0);
    expect_send(fx, AA_MSG_EVENTS);
    tell(fx, AA_MSG_CREDIT, 5, 0);
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 4);
    assert_int_equal(fx->act.control->base_epoch, 3); /* what all processes would go back to now */
    unmake(fx);
}

static void
stop_after_an_epoch_that_was_not_saved_still_sets_a_barrier(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    open_up(fx);
    push(fx, 10);
    expect_send(fx, AA_MSG_EVENTS);
    ingest_stop(fx->in, fx->now_us);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_UNSAVED, 0, 1);
    expect_wait(fx);
    fx->now_us += S;
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 2);
    expect(fx, INGEST_COMMIT, 0);
    expect(fx, INGEST_DRAINED, 0);
    unmake(fx);
}

/* Going back to an older checkpoint: which one cannot be used is known until something newer is
 * committed, and new epochs are above all that were. */
static void
epoch_that_downstream_cannot_restore_is_remembered_until_the_next_commit(void **state)
{
    (void)state;
    ingest_stats is;
    resume_part  part[1] = {{0, 50, 1000}};
    resume       last = {.epoch = 9, .seq = 5, .last_epoch = 9, .part = part, .part_count = 1};
    resume       older = {.epoch = 8, .seq = 4, .last_epoch = 9, .part = part, .part_count = 1};
    aa_control   c = {.hd = {.run_id = 100}, .epoch = 9, .reason = "learner: damaged"};
    fixture     *fx = make(AA_RUN_REPLAY, 1, &last);
    expect_send(fx, AA_MSG_OPEN);
    ingest_control(fx->in, AA_MSG_RESET, &c, fx->now_us);
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.bad_epoch, 9);
    fx->now_us += 5 * S;
    expect(fx, INGEST_REOPEN, 0);
    assert_int_equal(ingest_begin(fx->in, &older, 101, fx->now_us, &fx->err), AA_OK);
    expect_send(fx, AA_MSG_OPEN);
    assert_int_equal(fx->act.control->epoch, 8);
    c = (aa_control){.hd = {.run_id = 101}};
    ingest_control(fx->in, AA_MSG_OPENED, &c, fx->now_us);
    end(fx);
    expect_send(fx, AA_MSG_BARRIER);
    assert_int_equal(fx->act.control->epoch, 10);
    assert_int_equal(fx->act.control->base_epoch, 8);
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.bad_epoch, 9);
    c.epoch = 10;
    ingest_control(fx->in, AA_MSG_DURABLE, &c, fx->now_us);
    expect(fx, INGEST_COMMIT, 0);
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.bad_epoch, 0);
    unmake(fx);
}

static void
ping_names_what_was_sent_last_and_the_barrier_without_an_answer(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    fx->cfg.checkpoint.every_events = 10;
    open_up(fx);
    push(fx, 15);
    expect_send(fx, AA_MSG_EVENTS);
    expect_send(fx, AA_MSG_BARRIER);
    fx->now_us += S;
    expect_send(fx, AA_MSG_PING);
    assert_int_equal(fx->act.control->hd.seq, 1);
    assert_int_equal(fx->act.control->epoch, 1);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    expect(fx, INGEST_COMMIT, 0);
    fx->now_us += S;
    expect_send(fx, AA_MSG_PING);
    assert_int_equal(fx->act.control->epoch, 0);
    unmake(fx);
}

static void
silence_of_downstream_is_noticed_and_so_is_its_return(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    assert_false(ingest_answered(fx->in, fx->now_us)); /* no run yet */
    open_up(fx);
    push(fx, 10);
    expect_send(fx, AA_MSG_EVENTS);
    for (int i = 0; i < 29; i++) {
        fx->now_us += S / 10;
        ingest_step(fx->in, fx->now_us, &fx->act);
        ingest_done(fx->in, &fx->act, fx->now_us);
    }
    assert_true(ingest_answered(fx->in, fx->now_us));
    fx->now_us += S / 10;
    assert_false(ingest_answered(fx->in, fx->now_us));
    assert_true(ingest_running(fx->in));
    tell(fx, AA_MSG_CREDIT, 1, 0);
    assert_true(ingest_answered(fx->in, fx->now_us));
    unmake(fx);
}

static void
a_run_that_nobody_opens_is_noticed(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    expect_send(fx, AA_MSG_OPEN);
    fx->now_us += 5 * S - 1;
    assert_false(ingest_silent(fx->in, fx->now_us)); /* checkpoints may be large */
    fx->now_us += 1;
    assert_true(ingest_silent(fx->in, fx->now_us));
    assert_false(ingest_answered(fx->in, fx->now_us));
    tell(fx, AA_MSG_OPENED, 0, 0);
    assert_false(ingest_silent(fx->in, fx->now_us));
    fx->now_us += 3 * S - 1;
    assert_false(ingest_silent(fx->in, fx->now_us));
    fx->now_us += 1;
    assert_true(ingest_silent(fx->in, fx->now_us));
    ingest_restart(fx->in, "test", fx->now_us);
    assert_false(ingest_silent(fx->in, fx->now_us + 60 * S)); /* nothing was asked */
    unmake(fx);
}

static void
an_open_that_could_not_be_sent_is_not_due_at_once(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    fx->now_us += 10 * S;
    ingest_step(fx->in, fx->now_us, &fx->act); /* and no ingest_done: the link was full */
    assert_int_equal(fx->act.act, INGEST_SEND);
    assert_int_equal(fx->act.kind, AA_MSG_OPEN);
    assert_true(fx->act.due_us > fx->now_us);
    unmake(fx);
}

static void
letters_go_out_in_order_and_are_behind_the_committed_position(void **state)
{
    (void)state;
    fixture        *fx = make(AA_RUN_REPLAY, 1, NULL);
    aa_kafka_record rec = {.offset = 10, .value = "?", .len = 1};
    deadletter     *dl = deadletter_new(&rec, DECODE_MALFORMED, "test");
    open_up(fx);
    push(fx, 10);
    order_push_letter(ingest_order(fx->in), 0, &dl);
    fx->pushed++;
    for (int i = 0; i < 2; i++) { /* not done at first */
        ingest_step(fx->in, fx->now_us, &fx->act);
        assert_int_equal(fx->act.act, INGEST_LETTER);
        assert_int_equal(fx->act.letter->offset, 10);
    }
    ingest_done(fx->in, &fx->act, fx->now_us);
    expect_send(fx, AA_MSG_EVENTS);
    end(fx);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.commit->letters, 1);
    assert_int_equal(fx->act.commit->part[0].position, 11);
    unmake(fx);
}

/* A transaction's marker, say, behind the last event: retention will delete it. */
static void
offsets_without_events_are_committed_though_nothing_else_comes(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    fx->cfg.checkpoint.every_ms = 1000;
    open_up(fx);
    push(fx, 10);
    expect_send(fx, AA_MSG_EVENTS);
    fx->now_us += 1 * S;
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    expect(fx, INGEST_COMMIT, 0);
    expect_wait(fx);
    order_pass(ingest_order(fx->in), 0, 11);
    fx->now_us += 1 * S;
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 2);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.act, INGEST_COMMIT);
    assert_int_equal(fx->act.commit->part[0].position, 11);
    ingest_done(fx->in, &fx->act, fx->now_us);
    fx->now_us += 5 * S;
    expect_send(fx, AA_MSG_PING); /* and only once */
    expect_wait(fx);
    unmake(fx);
}

/* ---- what cannot be done now ---- */

static void
pings_go_on_while_a_commit_is_tried_again(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    end(fx);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 1);
    for (int i = 0; i < 60; i++) { /* 12 s: longer than anybody downstream waits for a word */
        ingest_step(fx->in, fx->now_us, &fx->act);
        assert_int_equal(fx->act.act, INGEST_COMMIT);
        ingest_put_off(fx->in, fx->now_us + S / 5);
        if (i > 0) expect_send(fx, AA_MSG_PING);
        assert_int_equal(fx->act.kind == AA_MSG_PING ? fx->act.control->epoch : 0, 0);
        expect_wait(fx);
        assert_in_range(fx->act.due_us, fx->now_us + 1, fx->now_us + S / 5);
        fx->now_us += S / 5;
        tell(fx, AA_MSG_CREDIT, 0, 0);
        assert_false(ingest_silent(fx->in, fx->now_us));
    }
    expect(fx, INGEST_COMMIT, 0);
    expect_send(fx, AA_MSG_END);
    unmake(fx);
}

static void
pings_go_on_while_a_letter_is_tried_again_and_nothing_overtakes_it(void **state)
{
    (void)state;
    fixture        *fx = make(AA_RUN_LIVE, 1, NULL);
    aa_kafka_record rec = {.offset = 10, .value = "?", .len = 1};
    deadletter     *dl = deadletter_new(&rec, DECODE_MALFORMED, "test");
    open_up(fx);
    fx->pushed = 11;
    order_push_letter(ingest_order(fx->in), 0, &dl);
    push(fx, 10);
    for (int i = 0; i < 10; i++) {
        ingest_step(fx->in, fx->now_us, &fx->act);
        assert_int_equal(fx->act.act, INGEST_LETTER);
        ingest_put_off(fx->in, fx->now_us + S / 5);
        fx->now_us += S / 5 - 1;
        if (i > 0) expect_send(fx, AA_MSG_PING);
        expect_wait(fx);
        fx->now_us += 1;
    }
    expect(fx, INGEST_LETTER, 0);
    expect_send(fx, AA_MSG_EVENTS);
    unmake(fx);
}

static void
message_that_the_link_does_not_take_comes_again_after_a_pause(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    push(fx, 10);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
    assert_int_equal(ingest_sent(fx->in, &fx->act, AA_EFULL, fx->now_us), AA_OK);
    expect_wait(fx);
    assert_int_equal(fx->act.due_us, fx->now_us + S / 5);
    fx->now_us = fx->act.due_us;
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
    assert_int_equal(fx->act.batch->hd.seq, 1);
    assert_int_equal(ingest_sent(fx->in, &fx->act, AA_OK, fx->now_us), AA_OK);
    expect_wait(fx);
    unmake(fx);
}

static void
message_that_cannot_be_sent_for_a_local_fault_ends_the_process(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_REPLAY, 1, NULL);
    open_up(fx);
    push(fx, 10);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.kind, AA_MSG_EVENTS);
    assert_int_equal(ingest_sent(fx->in, &fx->act, AA_EIO, fx->now_us), AA_EIO);
    assert_int_equal(ingest_sent(fx->in, &fx->act, AA_EPARSE, fx->now_us), AA_EPARSE);
    unmake(fx);
}

/* ---- stops and restarts that meet ---- */

static void
stop_while_a_run_is_opening_is_not_forgotten_by_a_restart(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    expect_send(fx, AA_MSG_OPEN);
    ingest_stop(fx->in, fx->now_us);
    ingest_restart(fx->in, "the next moment", fx->now_us);
    expect(fx, INGEST_DRAINED, 0);
    ingest_abandon(fx->in);
    assert_true(ingest_idle(fx->in));
    unmake(fx);
}

/* To give partitions back, main stops the run and abandons it when it has drained. Whatever comes in
 * between, the run that was opening is not opened again: its partitions belong to others. */
static void
revocation_while_a_run_is_opening_outlives_what_comes_from_downstream(void **state)
{
    (void)state;
    enum { RESET, RESET_BEFORE, RESTART, RESET_AND_RESTART, OPENED, CASES };
    for (int c = 0; c < CASES; c++) {
        resume_part part = {0, 0, RESUME_NO_END};
        resume      fresh = {.part = &part, .part_count = 1};
        fixture    *fx = make(AA_RUN_LIVE, 1, NULL);
        expect_send(fx, AA_MSG_OPEN);
        if (c == RESET_BEFORE) tell(fx, AA_MSG_RESET, 0, 0);
        ingest_stop(fx->in, fx->now_us);
        if (c == RESET || c == RESET_AND_RESTART) tell(fx, AA_MSG_RESET, 0, 0);
        if (c == RESTART || c == RESET_AND_RESTART) ingest_restart(fx->in, "lost", fx->now_us);
        if (c == OPENED) tell(fx, AA_MSG_OPENED, 0, 0);
        fx->now_us += 10 * S; /* longer than any pause before a run is opened again */
        expect(fx, INGEST_DRAINED, 0);
        ingest_abandon(fx->in);
        tell(fx, AA_MSG_RESET, 0, 0);
        fx->now_us += 10 * S;
        expect_wait(fx);
        assert_true(ingest_idle(fx->in));
        assert_int_equal(ingest_begin(fx->in, &fresh, 101, fx->now_us, &fx->err), AA_OK);
        expect_send(fx, AA_MSG_OPEN); /* of what the group has assigned since */
        unmake(fx);
    }
}

static void
drain_that_a_reset_ends_is_given_up(void **state)
{
    (void)state;
    fixture *fx = make(AA_RUN_LIVE, 1, NULL);
    open_up(fx);
    push(fx, 3);
    expect_wait(fx);
    ingest_stop(fx->in, fx->now_us);
    expect_send(fx, AA_MSG_EVENTS);
    ingest_restart(fx->in, "the commit was refused", fx->now_us);
    expect(fx, INGEST_GIVEN_UP, 0);
    assert_string_equal(ingest_reason(fx->in), "the commit was refused");
    ingest_abandon(fx->in);
    ingest_stop(fx->in, fx->now_us);
    expect(fx, INGEST_DRAINED, 0); /* nothing was sent since */
    unmake(fx);
}

/* ---- run ids only grow ---- */

static void
next_run_is_above_every_run_that_is_known_whatever_the_clock_says(void **state)
{
    (void)state;
    fixture   *fx = make(AA_RUN_LIVE, 1, NULL);
    resume     re = {.run = 0};
    aa_control c = {.hd = {.run_id = 100}, .newest_run_id = 5000, .reason = "an older run"};

    assert_true(ingest_next_run(fx->in, &re, 7777) == 7777); /* the clock is ahead */
    assert_true(ingest_next_run(fx->in, &re, 100) == 101);   /* it has stepped back */
    re.run = 400;                                            /* of the last commit */
    assert_true(ingest_next_run(fx->in, &re, 100) == 401);

    expect_send(fx, AA_MSG_OPEN);
    ingest_control(fx->in, AA_MSG_RESET, &c, fx->now_us); /* downstream knows a newer one */
    ingest_stats is;
    ingest_stats_get(fx->in, &is);
    assert_int_equal(is.newest_run, 5000);
    assert_true(ingest_next_run(fx->in, &re, 100) == 5001);
    assert_true(ingest_next_run(fx->in, &re, 6000) == 6000);
    expect_wait(fx);
    fx->now_us = fx->act.due_us;
    expect(fx, INGEST_REOPEN, 0);
    unmake(fx);
}

static void
commit_names_the_run_that_made_it(void **state)
{
    (void)state;
    resume_part part[1] = {{0, 30, 30}};
    resume      from = {.epoch = 4, .seq = 3, .run = 40, .part = part, .part_count = 1};
    fixture    *fx = make(AA_RUN_REPLAY, 1, &from);
    open_up(fx);
    expect_send(fx, AA_MSG_BARRIER);
    tell(fx, AA_MSG_DURABLE, 0, 5);
    ingest_step(fx->in, fx->now_us, &fx->act);
    assert_int_equal(fx->act.act, INGEST_COMMIT);
    assert_int_equal(fx->act.commit->run, 100);
    unmake(fx);
}

/* ---- exactly once: whatever happens, the end is the same ---- */

enum { EVENTS = 500, PARTITIONS = 3 };

/* Kafka and downstream, as far as ingest can see them. */
typedef struct {
    resume   committed;
    uint64_t run_id, next_seq, digest, digest_at[4096];
} world;

static void
feed_some(ingest *in, size_t read[PARTITIONS], uint64_t r)
{
    for (size_t p = 0; p < PARTITIONS; p++) {
        for (uint64_t n = r % 40; n > 0 && read[p] < EVENTS; n--, read[p]++) {
            const uint64_t   key[2] = {read[p] * PARTITIONS + p + 1, p + 1};
            one_event        ev = one_event_of(key, 2, 1, (int64_t)(read[p] / 3 * 7));
            const aa_columns col = one_event_columns(&ev);
            if (order_room(ingest_order(in), p) == 0) break;
            order_push(ingest_order(in), p, (int64_t)read[p], &col, 0, 0);
        }
        if (read[p] == EVENTS) order_end(ingest_order(in), p, EVENTS);
        r /= 3;
    }
}

static uint64_t
next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

static void
reopen(world *wd, ingest *in, size_t read[PARTITIONS], int64_t now_us)
{
    aa_err err = AA_ERR_INIT;
    wd->next_seq = wd->committed.seq + 1;
    wd->digest = wd->committed.epoch > 0 ? wd->digest_at[wd->committed.epoch] : 0;
    for (size_t p = 0; p < PARTITIONS; p++)
        read[p] = (size_t)wd->committed.part[p].position;
    assert_int_equal(ingest_begin(in, &wd->committed, ++wd->run_id, now_us, &err), AA_OK);
}

/* what downstream does with a message; it answers at random times, so this also tells ingest */
static void
downstream(world *wd, ingest *in, const ingest_act *act, int64_t now_us)
{
    aa_control c = {.hd = {.run_id = wd->run_id}};
    if (act->kind == AA_MSG_EVENTS) {
        assert_int_equal(act->batch->hd.seq, wd->next_seq);
        wd->next_seq++;
        for (size_t i = 0; i < act->batch->n; i++)
            wd->digest = wd->digest * 6364136223846793005u + act->batch->key[i * 2];
    }
    if (act->kind == AA_MSG_BARRIER) wd->digest_at[act->control->epoch % 4096] = wd->digest;
    if (act->kind == AA_MSG_OPEN) ingest_control(in, AA_MSG_OPENED, &c, now_us);
}

static uint64_t
run_to_end(uint64_t seed, bool trouble, uint64_t *ingest_digest)
{
    fixture *fx = make(AA_RUN_REPLAY, PARTITIONS, NULL);
    world    wd = {.run_id = 1000};
    size_t   read[PARTITIONS];
    uint64_t s = seed | 1, barrier_epoch = 0;
    aa_err   err = AA_ERR_INIT;

    fx->cfg.checkpoint.every_events = 70;
    assert_int_equal(resume_reserve(&wd.committed, PARTITIONS, &err), AA_OK);
    for (size_t p = 0; p < PARTITIONS; p++)
        wd.committed.part[p] = (resume_part){(int32_t)p, 0, EVENTS};
    reopen(&wd, fx->in, read, fx->now_us);
    for (int step = 0; !ingest_ended(fx->in); step++) {
        ingest_act act;
        aa_control c = {.hd = {.run_id = wd.run_id, .seq = wd.next_seq - 1},
                        .epoch = barrier_epoch};
        assert_true(step < 1000000);
        fx->now_us += 1000;
        if (ingest_running(fx->in)) feed_some(fx->in, read, next_random(&s));
        ingest_step(fx->in, fx->now_us, &act);
        if (trouble && next_random(&s) % 200 == 0)
            ingest_restart(fx->in, "trouble", fx->now_us);
        else if (trouble && next_random(&s) % 300 == 0)
            ingest_stop(fx->in, fx->now_us);
        else if (act.act == INGEST_SEND && next_random(&s) % 8 != 0) {
            if (act.kind == AA_MSG_BARRIER) barrier_epoch = act.control->epoch;
            downstream(&wd, fx->in, &act, fx->now_us);
            ingest_done(fx->in, &act, fx->now_us);
        } else if (act.act == INGEST_COMMIT && trouble && next_random(&s) % 2 == 0)
            ingest_put_off(fx->in, fx->now_us + 300000);
        else if (act.act == INGEST_COMMIT) {
            bool lost = trouble && next_random(&s) % 4 == 0; /* committed, but we never heard */
            assert_int_equal(resume_copy(&wd.committed, act.commit, &err), AA_OK);
            if (lost)
                ingest_restart(fx->in, "lost", fx->now_us);
            else
                ingest_done(fx->in, &act, fx->now_us);
        } else if (act.act == INGEST_REOPEN || act.act == INGEST_DRAINED ||
                   act.act == INGEST_GIVEN_UP)
            reopen(&wd, fx->in, read, fx->now_us); /* drained: the process is started again */
        if (next_random(&s) % 3 == 0) ingest_control(fx->in, AA_MSG_CREDIT, &c, fx->now_us);
        if (trouble && next_random(&s) % 60 == 0)
            ingest_control(fx->in, AA_MSG_UNSAVED, &c, fx->now_us);
        if (next_random(&s) % 20 == 0) ingest_control(fx->in, AA_MSG_DURABLE, &c, fx->now_us);
    }
    assert_int_equal(wd.committed.events, EVENTS * PARTITIONS);
    assert_true(wd.committed.final);
    *ingest_digest = wd.committed.digest;
    resume_fini(&wd.committed);
    unmake(fx);
    return wd.digest;
}

static void
resets_stops_lost_commits_and_failed_checkpoints_change_nothing_in_the_end(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL), want_in, got_in;
    uint64_t want = run_to_end(1, false, &want_in);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < 60; i++) {
        assert_true(run_to_end(seed * 100 + i, i > 0, &got_in) == want);
        assert_true(got_in == want_in);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_names_the_commit_and_comes_again_each_second_until_answered),
        cmocka_unit_test(batches_are_cut_by_count_and_held_back_without_credit),
        cmocka_unit_test(action_that_was_not_done_comes_again_unchanged),
        cmocka_unit_test(replay_ends_with_the_rest_a_final_barrier_and_a_commit),
        cmocka_unit_test(empty_replay_ends_at_once),
        cmocka_unit_test(barriers_stand_at_event_counts_and_one_is_under_way_at_a_time),
        cmocka_unit_test(stopped_replay_leaves_the_unfinished_batch_unsent),
        cmocka_unit_test(stopped_live_pipeline_sends_the_unfinished_batch),
        cmocka_unit_test(stop_with_nothing_new_needs_no_barrier),
        cmocka_unit_test(drain_that_nobody_answers_is_given_up),
        cmocka_unit_test(live_batch_leaves_when_it_has_waited),
        cmocka_unit_test(live_barriers_come_by_time_and_only_when_something_moved),
        cmocka_unit_test(pings_go_out_while_nothing_else_does),
        cmocka_unit_test(reset_begins_again_after_a_bounded_growing_backoff),
        cmocka_unit_test(
            epoch_that_could_not_be_saved_is_given_up_and_the_next_barrier_tries_again),
        cmocka_unit_test(stop_after_an_epoch_that_was_not_saved_still_sets_a_barrier),
        cmocka_unit_test(epoch_that_downstream_cannot_restore_is_remembered_until_the_next_commit),
        cmocka_unit_test(ping_names_what_was_sent_last_and_the_barrier_without_an_answer),
        cmocka_unit_test(silence_of_downstream_is_noticed_and_so_is_its_return),
        cmocka_unit_test(a_run_that_nobody_opens_is_noticed),
        cmocka_unit_test(an_open_that_could_not_be_sent_is_not_due_at_once),
        cmocka_unit_test(letters_go_out_in_order_and_are_behind_the_committed_position),
        cmocka_unit_test(offsets_without_events_are_committed_though_nothing_else_comes),
        cmocka_unit_test(pings_go_on_while_a_commit_is_tried_again),
        cmocka_unit_test(pings_go_on_while_a_letter_is_tried_again_and_nothing_overtakes_it),
        cmocka_unit_test(message_that_the_link_does_not_take_comes_again_after_a_pause),
        cmocka_unit_test(message_that_cannot_be_sent_for_a_local_fault_ends_the_process),
        cmocka_unit_test(stop_while_a_run_is_opening_is_not_forgotten_by_a_restart),
        cmocka_unit_test(revocation_while_a_run_is_opening_outlives_what_comes_from_downstream),
        cmocka_unit_test(drain_that_a_reset_ends_is_given_up),
        cmocka_unit_test(next_run_is_above_every_run_that_is_known_whatever_the_clock_says),
        cmocka_unit_test(commit_names_the_run_that_made_it),
        cmocka_unit_test(
            resets_stops_lost_commits_and_failed_checkpoints_change_nothing_in_the_end),
    };
    return cmocka_run_group_tests_name("ingest/ingest", tests, NULL, NULL);
}
