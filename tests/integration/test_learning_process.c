/* assigner and learner as processes. The test plays ingest, and stands between the two as a relay
 * that loses what it is told to lose. No broker: publishing is off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/messages/wire.h"
#include "tests/check.h"
#include "tests/integration/process.h"

enum { F = 2, EVENTS = 64, LINKS = 6 };

/* ingest --events--> assigner --assigned-- [relay] --served--> learner
 *                    assigner <--rewards-- [relay] <--told---- learner            */
typedef struct {
    char        dir[64], endpoint[5][128];
    process     assigner, learner;
    aa_conf     cfg;
    aa_err      err;
    aa_link    *events, *assigned, *served, *rewards, *told;
    aa_bytes    by;
    aa_control  got; /* last control message that ingest got, and its kind */
    char        got_kind;
    uint64_t    credited, resends, rewards_seen;
    uint64_t    lose_reward, lose_assigned; /* sequence number to lose once; 0: none */
    char        lose_kind;                  /* of message to lose once; 0: none */
    char        want_kind;                  /* stop looking at such a message; 0: none */
    bool        http;                       /* each process serves HTTP */
    float       label;                      /* of all events; 0: as they come */
    const char *loss;                       /* model.loss=... */
} fixture;

/* ---- processes ---- */

static void
stop_now(process *pc)
{
    if (pc->pid <= 0) return;
    kill(pc->pid, SIGKILL);
    process_wait(pc);
}

/* Has not ended by itself? (A process that has is left to process_wait.) */
static bool
running(const process *pc)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pc->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

static void
start(fixture *fx, process *pc, const char *name, const char *assigned, const char *rewards)
{
    char events[160], down[160], up[160], ckpt[128], seed[64], http[64], port[64];
    snprintf(events, sizeof events, "links.events=%s", fx->endpoint[0]);
    snprintf(down, sizeof down, "links.assigned=%s", assigned);
    snprintf(up, sizeof up, "links.rewards=%s", rewards);
    snprintf(ckpt, sizeof ckpt, "checkpoint.dir=%s", fx->dir);
    snprintf(seed, sizeof seed, "pipeline.seed=%d", (int)fx->cfg.pipeline.seed);
    snprintf(http, sizeof http, "http.enabled=%s", fx->http ? "true" : "false");
    snprintf(port, sizeof port, "http.%s_port=0", name);
    const char *argv[] = {name,
                          "-o",
                          events,
                          "-o",
                          down,
                          "-o",
                          up,
                          "-o",
                          ckpt,
                          "-o",
                          seed,
                          "-o",
                          "publish.enabled=false",
                          "-o",
                          fx->loss,
                          "-o",
                          http,
                          "-o",
                          port,
                          NULL};
    process_start(pc, fx->dir, argv);
}

static void
start_assigner(fixture *fx)
{
    start(fx, &fx->assigner, "assigner", fx->endpoint[1], fx->endpoint[2]);
}

static void
start_learner(fixture *fx)
{
    start(fx, &fx->learner, "learner", fx->endpoint[3], fx->endpoint[4]);
}

static int
setup(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    *state = fx;
    fx->loss = "model.loss=logloss";
    aa_conf_defaults(&fx->cfg);
    char dir[] = "/tmp/test_learning.XXXXXX";
    if (!mkdtemp(dir)) return -1;
    snprintf(fx->dir, sizeof fx->dir, "%s", dir);
    for (int i = 0; i < 5; i++)
        snprintf(fx->endpoint[i], sizeof fx->endpoint[i], "ipc://%s/%d.ipc", dir, i);
    check_ok(fx, aa_link_open(&fx->events, AA_LINK_CONNECT, fx->endpoint[0], NULL, &fx->err));
    check_ok(fx, aa_link_open(&fx->assigned, AA_LINK_BIND, fx->endpoint[1], NULL, &fx->err));
    check_ok(fx, aa_link_open(&fx->rewards, AA_LINK_PUBLISH, fx->endpoint[2], NULL, &fx->err));
    check_ok(fx, aa_link_open(&fx->served, AA_LINK_CONNECT, fx->endpoint[3], NULL, &fx->err));
    check_ok(fx, aa_link_open(&fx->told, AA_LINK_SUBSCRIBE, fx->endpoint[4], NULL, &fx->err));
    start_assigner(fx);
    start_learner(fx);
    return 0;
}

static int
teardown(void **state)
{
    fixture *fx = *state;
    stop_now(&fx->assigner);
    stop_now(&fx->learner);
    aa_link_close(&fx->events);
    aa_link_close(&fx->assigned);
    aa_link_close(&fx->rewards);
    aa_link_close(&fx->served);
    aa_link_close(&fx->told);
    aa_bytes_fini(&fx->by);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", fx->dir);
    int rc = system(command);
    free(fx);
    return rc;
}

/* ---- the relay ---- */

static uint64_t
seq_of(fixture *fx, aa_msg_kind kind, const void *buf, size_t len)
{
    uint64_t seq = 0;
    if (kind == AA_MSG_REWARDS) {
        aa_reward_batch rw = {0};
        check_ok(fx, aa_wire_unpack_rewards(&rw, buf, len, &fx->err));
        seq = rw.hd.seq;
        aa_reward_batch_fini(&rw);
    } else if (kind == AA_MSG_ASSIGNED) {
        aa_assigned_batch b = {0};
        check_ok(fx, aa_wire_unpack_assigned(&b, buf, len, &fx->err));
        seq = b.hd.seq;
        aa_assigned_batch_fini(&b);
    }
    return seq;
}

static void
relay(fixture *fx, aa_link *from, aa_link *to)
{
    aa_msg_kind kind;
    const void *buf = NULL;
    size_t      len = 0;
    aa_status   st = aa_link_recv(from, &kind, &buf, &len, &fx->err);
    if (st == AA_EAGAIN) return;
    check_ok(fx, st);
    uint64_t *lose = kind == AA_MSG_REWARDS    ? &fx->lose_reward
                     : kind == AA_MSG_ASSIGNED ? &fx->lose_assigned
                                               : NULL;
    fx->resends += kind == AA_MSG_RESEND;
    fx->rewards_seen += kind == AA_MSG_REWARDS;
    if (lose && *lose && seq_of(fx, kind, buf, len) == *lose) {
        *lose = 0;
        return;
    }
    if (fx->lose_kind == (char)kind) {
        fx->lose_kind = 0;
        return;
    }
    st = aa_link_send(to, kind, buf, len, &fx->err);
    if (st != AA_EFULL) check_ok(fx, st); /* nobody there: as lost as it would be without us */
}

/* Hand on what is there and note what ingest hears; true, so that it can stand in a condition. */
static bool
turn(fixture *fx)
{
    for (int i = 0; i < 50; i++) {
        relay(fx, fx->assigned, fx->served);
        relay(fx, fx->served, fx->assigned);
        relay(fx, fx->told, fx->rewards);
        aa_msg_kind kind;
        const void *buf = NULL;
        size_t      len = 0;
        aa_status   st = aa_link_recv(fx->events, &kind, &buf, &len, &fx->err);
        if (st == AA_EAGAIN) continue;
        check_ok(fx, st);
        check_ok(fx, aa_wire_unpack_control(&fx->got, buf, len, &fx->err));
        fx->got_kind = (char)kind;
        if (kind == AA_MSG_CREDIT) fx->credited = fx->got.hd.seq;
        if (fx->want_kind && fx->want_kind == (char)kind) break;
    }
    return true;
}

/* The same until a message of this kind has come. */
static bool
turn_until(fixture *fx, aa_msg_kind kind, bool *came)
{
    fx->want_kind = (char)kind;
    turn(fx);
    fx->want_kind = 0;
    *came = fx->got_kind == (char)kind;
    return true;
}

/* ---- ingest ---- */

static void
tell(fixture *fx, aa_msg_kind kind, const aa_control *c)
{
    check_ok(fx, aa_wire_pack_control(&fx->by, c, &fx->err));
    check_ok(fx, aa_link_send(fx->events, kind, fx->by.data, fx->by.len, &fx->err));
}

static void
open_run(fixture *fx, uint64_t run_id, uint64_t epoch, uint64_t seq)
{
    aa_control c = {.hd = {.run_id = run_id, .seq = seq},
                    .epoch = epoch,
                    .config_digest = aa_conf_digest(&fx->cfg)};
    snprintf(c.pipeline, sizeof c.pipeline, "%s", fx->cfg.pipeline.name);
    fx->got_kind = 0;
    fx->credited = seq;
    tell(fx, AA_MSG_OPEN, &c);
}

/* The same events for the same seq, always: 16 users, 16 items. */
static void
send_events(fixture *fx, uint64_t run_id, uint64_t seq)
{
    aa_event_batch b = {0};
    check_ok(fx, aa_event_batch_reserve(&b, EVENTS, F, &fx->err));
    b.hd = (aa_header){.run_id = run_id, .seq = seq};
    b.n = EVENTS;
    b.F = F;
    for (size_t i = 0; i < EVENTS; i++) {
        uint64_t draw = (seq * EVENTS + i) * 2654435761u;
        b.key[i * F] = 1 + draw % 16;
        b.key[i * F + 1] = 1000 + (draw >> 8) % 16;
        b.label[i] = fx->label != 0.0f ? fx->label : (draw >> 16) % 3 ? 0.0f : 1.0f;
        b.time_ms[i] = (int64_t)(seq * EVENTS + i);
    }
    check_ok(fx, aa_wire_pack_events(&fx->by, &b, &fx->err));
    check_ok(fx, aa_link_send(fx->events, AA_MSG_EVENTS, fx->by.data, fx->by.len, &fx->err));
    aa_event_batch_fini(&b);
}

static void
send_range(fixture *fx, uint64_t run_id, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++)
        send_events(fx, run_id, seq);
}

static void
barrier(fixture *fx, uint64_t run_id, uint64_t epoch, uint64_t seq, bool final)
{
    aa_control c = {.hd = {.run_id = run_id, .seq = seq}, .epoch = epoch, .final = final};
    tell(fx, AA_MSG_BARRIER, &c);
}

static void
hears(fixture *fx, aa_msg_kind kind, uint64_t run_id)
{
    bool came; /* what comes behind it in the same turn must not hide it */
    wait_until(turn_until(fx, kind, &came) && came && fx->got.hd.run_id == run_id);
}

/* Both digests, as the processes print them at the end of the stream. */
static void
final_digests(fixture *fx, char *out, size_t size)
{
    char of_assigner[1024] = "", of_learner[1024] = "";
    assert_true(process_said(&fx->assigner, "id=FINAL", of_assigner, sizeof of_assigner));
    assert_true(process_said(&fx->learner, "id=FINAL", of_learner, sizeof of_learner));
    const char *a = strstr(of_assigner, " digest="), *l = strstr(of_learner, " digest=");
    assert_non_null(a);
    assert_non_null(l);
    snprintf(out, size, "%.24s%.24s", a, l);
}

/* The last epoch is committed: both may end. */
static void
end_stream(fixture *fx, uint64_t run_id)
{
    const aa_control end = {.hd = {.run_id = run_id}, .final = true};
    tell(fx, AA_MSG_END, &end);
    wait_until(turn(fx) && !running(&fx->assigner) && !running(&fx->learner));
    assert_int_equal(process_wait(&fx->assigner), 0);
    assert_int_equal(process_wait(&fx->learner), 0);
}

/* Batches 1..last from a fresh start to the final barrier. */
static void
whole_run(fixture *fx, uint64_t run_id, uint64_t last, char *digests, size_t size)
{
    open_run(fx, run_id, 0, 0);
    hears(fx, AA_MSG_OPENED, run_id);
    send_range(fx, run_id, 1, last);
    barrier(fx, run_id, 1, last, true);
    hears(fx, AA_MSG_DURABLE, run_id);
    end_stream(fx, run_id);
    final_digests(fx, digests, size);
}

/* ---- tests ---- */

static void
a_lost_reward_is_asked_for_again_and_changes_nothing(void **state)
{
    fixture *fx = *state;
    char     undisturbed[64], disturbed[64];
    whole_run(fx, 10, 12, undisturbed, sizeof undisturbed);
    assert_true(fx->rewards_seen >= 12);

    start_assigner(fx);
    start_learner(fx);
    fx->lose_reward = 5;
    fx->resends = 0;
    whole_run(fx, 20, 12, disturbed, sizeof disturbed);
    assert_int_equal(fx->lose_reward, 0);
    assert_true(fx->resends >= 1);
    assert_string_equal(disturbed, undisturbed);
}

static void
events_wait_for_the_rewards_of_depth_batches_ago(void **state)
{
    fixture       *fx = *state;
    const uint64_t depth = (uint64_t)fx->cfg.pipeline.depth;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    kill(fx->learner.pid, SIGSTOP); /* no rewards come */
    send_range(fx, 10, 1, 3 * depth);
    wait_until(turn(fx) && fx->credited == depth);
    for (int64_t until_ms = aa_now_ms() + 500; aa_now_ms() < until_ms; process_pause())
        turn(fx);
    assert_int_equal(fx->credited, depth);
    kill(fx->learner.pid, SIGCONT);
    wait_until(turn(fx) && fx->credited == 3 * depth);
}

static void
an_old_question_for_rewards_is_harmless(void **state)
{
    fixture       *fx = *state;
    const uint64_t last = 3 * (uint64_t)fx->cfg.pipeline.depth;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, last);
    wait_until(turn(fx) && fx->credited == last);
    const aa_control question = {.hd = {.run_id = 10, .seq = 1}, .to_seq = 2}; /* no longer kept */
    check_ok(fx, aa_wire_pack_control(&fx->by, &question, &fx->err));
    check_ok(fx, aa_link_send(fx->served, AA_MSG_RESEND, fx->by.data, fx->by.len, &fx->err));
    send_range(fx, 10, last + 1, 2 * last);
    wait_until(turn(fx) && fx->credited == 2 * last);
    barrier(fx, 10, 1, 2 * last, true);
    hears(fx, AA_MSG_DURABLE, 10);
}

static void
a_lost_batch_resets_the_run(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    fx->lose_assigned = 2;
    send_range(fx, 10, 1, 4);
    hears(fx, AA_MSG_RESET, 10);
    assert_non_null(strstr(fx->got.reason, "learner: a batch is missing"));

    open_run(fx, 11, 0, 0); /* and a new run begins as if nothing had been */
    hears(fx, AA_MSG_OPENED, 11);
    send_range(fx, 11, 1, 2);
    wait_until(turn(fx) && fx->credited == 2);

    send_events(fx, 11, 4); /* ingest's own gap */
    hears(fx, AA_MSG_RESET, 11);
    assert_non_null(strstr(fx->got.reason, "assigner: a batch is missing"));
}

static void
a_killed_learner_or_assigner_resets_the_run_and_its_state_is_restored(void **state)
{
    fixture *fx = *state;
    char     undisturbed[64], disturbed[64];
    whole_run(fx, 10, 12, undisturbed, sizeof undisturbed);

    start_assigner(fx);
    start_learner(fx);
    open_run(fx, 20, 0, 0);
    hears(fx, AA_MSG_OPENED, 20);
    send_range(fx, 20, 1, 6);
    barrier(fx, 20, 1, 6, false);
    hears(fx, AA_MSG_DURABLE, 20);
    send_range(fx, 20, 7, 8);

    stop_now(&fx->learner);
    start_learner(fx);
    hears(fx, AA_MSG_RESET, 20);
    open_run(fx, 21, 1, 6);
    hears(fx, AA_MSG_OPENED, 21);
    send_range(fx, 21, 7, 9);

    stop_now(&fx->assigner);
    start_assigner(fx);
    const aa_control ping = {.hd = {.run_id = 21}};
    wait_until(turn(fx) && (tell(fx, AA_MSG_PING, &ping), fx->got_kind == AA_MSG_RESET));
    open_run(fx, 22, 1, 6);
    hears(fx, AA_MSG_OPENED, 22);
    send_range(fx, 22, 7, 12);
    barrier(fx, 22, 2, 12, true);
    hears(fx, AA_MSG_DURABLE, 22);
    end_stream(fx, 22);
    final_digests(fx, disturbed, sizeof disturbed);
    assert_string_equal(disturbed, undisturbed);
}

static void
a_checkpoint_that_is_missing_is_named_in_the_reset(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 7, 100);
    hears(fx, AA_MSG_RESET, 10);
    assert_int_equal(fx->got.epoch, 7);
    assert_non_null(strstr(fx->got.reason, "epoch-00000000000000000007"));
}

/* ---- lost on its way, with nothing behind it that would show the gap ---- */

static void
a_lost_durable_comes_again(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, 3);
    fx->lose_kind = AA_MSG_DURABLE;
    barrier(fx, 10, 1, 3, false);
    hears(fx, AA_MSG_DURABLE, 10); /* the assigner has asked the learner again */
    assert_int_equal(fx->lose_kind, 0);

    fx->got_kind = 0; /* suppose that we had not heard it either */
    const aa_control ping = {.hd = {.run_id = 10, .seq = 3}, .epoch = 1};
    tell(fx, AA_MSG_PING, &ping);
    wait_until(turn(fx) && fx->got_kind == AA_MSG_CREDIT);
    fx->got_kind = 0;
    tell(fx, AA_MSG_PING, &ping);
    bool again = false;
    wait_until(turn_until(fx, AA_MSG_DURABLE, &again) && again);
    assert_int_equal(fx->got.epoch, 1);
}

static void
a_lost_barrier_resets_the_run(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, 3);
    wait_until(turn(fx) && fx->credited == 3);
    fx->lose_kind = AA_MSG_BARRIER;
    barrier(fx, 10, 1, 3, false);
    hears(fx, AA_MSG_RESET, 10);
    assert_non_null(strstr(fx->got.reason, "learner: a batch or a barrier was lost on its way"));
}

static void
a_lost_last_batch_resets_the_run(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    fx->lose_assigned = 3;
    send_range(fx, 10, 1, 3);
    hears(fx, AA_MSG_RESET, 10);
    assert_non_null(strstr(fx->got.reason, "learner: a batch was lost on its way"));

    open_run(fx, 11, 0, 0);
    hears(fx, AA_MSG_OPENED, 11);
    send_range(fx, 11, 1, 2);
    const aa_control ping = {.hd = {.run_id = 11, .seq = 3}}; /* we have sent a third */
    tell(fx, AA_MSG_PING, &ping);
    hears(fx, AA_MSG_RESET, 11);
    assert_non_null(strstr(fx->got.reason, "assigner: a batch or a barrier was lost on its way"));
}

/* ---- checkpoints that cannot be written ---- */

static void
an_epoch_that_cannot_be_saved_is_given_up_and_the_next_is_saved(void **state)
{
    static const char *const who[] = {"learner", "assigner"};
    fixture                 *fx = *state;
    uint64_t                 seq = 0, epoch = 0;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    for (size_t i = 0; i < 2; i++) {
        char command[700], path[200];
        snprintf(path, sizeof path, "%s/autoassign/0/%s", fx->dir, who[i]);
        snprintf(command, sizeof command, "mkdir -p '%s' && rm -rf '%s' && touch '%s'", path, path,
                 path);
        assert_int_equal(system(command), 0);
        send_range(fx, 10, seq + 1, seq + 2);
        barrier(fx, 10, ++epoch, seq += 2, false);
        hears(fx, AA_MSG_UNSAVED, 10);
        assert_int_equal(fx->got.epoch, epoch);
        assert_non_null(strstr(fx->got.reason, who[i]));
        assert_int_equal(unlink(path), 0);
        send_range(fx, 10, seq + 1, seq + 2);
        barrier(fx, 10, ++epoch, seq += 2, false);
        hears(fx, AA_MSG_DURABLE, 10);
        assert_int_equal(fx->got.epoch, epoch);
    }
}

/* An ingest that was pointed at the wrong port must not take a run over, nor end anything. */
static void
somebody_elses_open_is_refused_and_the_run_goes_on(void **state)
{
    fixture    *fx = *state;
    aa_control  strange[3];
    const char *why[3] = {"configuration differs", "this is pipeline", "this is lane 0"};
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, 2);
    for (uint64_t i = 0; i < 3; i++) {
        strange[i] =
            (aa_control){.hd = {.run_id = 11 + i}, .config_digest = aa_conf_digest(&fx->cfg)};
        snprintf(strange[i].pipeline, sizeof strange[i].pipeline, "%s", fx->cfg.pipeline.name);
    }
    strange[0].config_digest++;
    snprintf(strange[1].pipeline, sizeof strange[1].pipeline, "another");
    strange[2].hd.lane = 1;
    for (int i = 0; i < 3; i++) {
        tell(fx, AA_MSG_OPEN, &strange[i]);
        hears(fx, AA_MSG_RESET, strange[i].hd.run_id);
        assert_non_null(strstr(fx->got.reason, why[i]));
        check_ok(fx, aa_link_send(fx->served, AA_MSG_OPEN, fx->by.data, fx->by.len, &fx->err));
    }
    send_range(fx, 10, 3, 4);
    wait_until(turn(fx) && fx->credited == 4);
    wait_until(turn(fx) && process_said(&fx->learner, "id=RUN-REFUSED", NULL, 0));
    barrier(fx, 10, 1, 4, false);
    hears(fx, AA_MSG_DURABLE, 10);
}

static void
garbage_and_foreign_messages_are_refused_and_the_stream_goes_on(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    check_ok(fx, aa_link_send(fx->events, AA_MSG_EVENTS, "\xff\xff\xff", 3, &fx->err));
    check_ok(fx, aa_link_send(fx->events, AA_MSG_OPEN, "\x0a", 1, &fx->err));
    check_ok(fx, aa_link_send(fx->events, (aa_msg_kind)'?', "x", 1, &fx->err));
    check_ok(fx, aa_link_send(fx->served, AA_MSG_ASSIGNED, "\xff\xff\xff", 3, &fx->err));
    check_ok(fx, aa_link_send(fx->served, AA_MSG_DURABLE, "", 0, &fx->err));
    send_range(fx, 10, 1, 3);
    wait_until(turn(fx) && fx->credited == 3);
    assert_true(running(&fx->assigner));
    assert_true(running(&fx->learner));
}

/* Both once more, with HTTP servers and this loss. */
static void
start_again(fixture *fx, const char *loss)
{
    stop_now(&fx->assigner);
    stop_now(&fx->learner);
    fx->http = true;
    fx->loss = loss;
    check_ok(fx, aa_conf_load(&fx->cfg, NULL, &loss, 1, &fx->err));
    start_assigner(fx);
    start_learner(fx);
}

/* The square of such an error is more than a float holds. */
static void
a_model_that_has_diverged_ends_the_learner_and_is_not_called_a_bad_message(void **state)
{
    fixture *fx = *state;
    start_again(fx, "model.loss=mse");
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, 2);
    fx->label = 3e38f;
    send_events(fx, 10, 3);
    wait_until(turn(fx) && !running(&fx->learner));
    assert_int_equal(process_wait(&fx->learner), 1);
    assert_true(process_said(&fx->learner, "id=MODEL-DIVERGED", NULL, 0));
    assert_true(process_said(&fx->learner, "status=AA_EDIVERGED", NULL, 0));
    assert_false(process_said(&fx->learner, "id=MESSAGE-REFUSED", NULL, 0));
}

/* ---- runs of old, and what /readyz says ---- */

/* The clock of an ingest that was restarted has stepped back. */
static void
an_open_of_an_older_run_is_refused_and_told_what_to_go_above(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, 2);
    wait_until(turn(fx) && fx->credited == 2);
    open_run(fx, 7, 0, 0);
    hears(fx, AA_MSG_RESET, 7);
    assert_int_equal(fx->got.newest_run_id, 10);
    assert_true(process_said(&fx->assigner, "id=RUN-REFUSED", NULL, 0));
    assert_true(process_said(&fx->assigner, "run 7 is older than run 10", NULL, 0));
    fx->credited = 2;
    send_range(fx, 10, 3, 4); /* the run that is under way goes on */
    wait_until(turn(fx) && fx->credited == 4);

    stop_now(&fx->assigner); /* a new one knows of no run, but the learner does */
    start_assigner(fx);
    open_run(fx, 8, 0, 0);
    hears(fx, AA_MSG_RESET, 8);
    assert_int_equal(fx->got.newest_run_id, 10);
    assert_non_null(strstr(fx->got.reason, "learner: run 8 is older than run 10"));
    open_run(fx, 11, 0, 0);
    hears(fx, AA_MSG_OPENED, 11);
    send_range(fx, 11, 1, 2);
    wait_until(turn(fx) && fx->credited == 2);
}

/* What /readyz of pc says. */
static bool
says_ready(const process *pc, const char *want)
{
    char port[16] = "", body[200] = "";
    if (!process_said(pc, "bind=127.0.0.1 port=", port, sizeof port)) return false;
    http_ask(atoi(port), "GET", "/readyz", "", "", body, sizeof body);
    return strncmp(body, want, strlen(want)) == 0;
}

/* ingest's pings every 200 ms, for so long; true: both were ready all the time. */
static bool
stay_ready(fixture *fx, const aa_control *ping, int64_t for_ms)
{
    bool ready = true;
    for (int64_t until_ms = aa_now_ms() + for_ms, next_ms = 0; aa_now_ms() < until_ms;) {
        turn(fx);
        process_pause();
        if (aa_now_ms() < next_ms) continue;
        next_ms = aa_now_ms() + 200;
        tell(fx, AA_MSG_PING, ping);
        ready = ready && says_ready(&fx->assigner, "ok") && says_ready(&fx->learner, "ok");
    }
    return ready;
}

static void
readyz_follows_the_run_and_who_is_heard(void **state)
{
    fixture         *fx = *state;
    const aa_control ping = {.hd = {.run_id = 10, .seq = 2}};
    start_again(fx, "model.loss=logloss");
    wait_until(turn(fx) &&
               says_ready(&fx->assigner, "not ready: no run is open: waiting for ingest") &&
               says_ready(&fx->learner, "not ready: no run is open: waiting for the assigner"));
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    send_range(fx, 10, 1, 2);
    wait_until(turn(fx) && fx->credited == 2);
    wait_until(turn(fx) && says_ready(&fx->assigner, "ok") && says_ready(&fx->learner, "ok"));
    assert_true(stay_ready(fx, &ping, 5000)); /* idle, longer than is taken for silence */

    wait_until(turn(fx) && says_ready(&fx->assigner, "not ready: ingest has been silent"));
    assert_true(says_ready(&fx->learner, "ok")); /* it hears the assigner */
    tell(fx, AA_MSG_PING, &ping);
    wait_until(turn(fx) && says_ready(&fx->assigner, "ok"));

    kill(fx->learner.pid, SIGSTOP);
    wait_until(turn(fx) && (tell(fx, AA_MSG_PING, &ping),
                            says_ready(&fx->assigner, "not ready: the learner has been silent")));
    kill(fx->learner.pid, SIGCONT);
    wait_until(turn(fx) && (tell(fx, AA_MSG_PING, &ping), says_ready(&fx->assigner, "ok")));

    send_events(fx, 10, 9); /* a gap */
    hears(fx, AA_MSG_RESET, 10);
    wait_until(turn(fx) && says_ready(&fx->assigner, "not ready: no run is open"));
    wait_until(turn(fx) && says_ready(&fx->learner, "not ready: the assigner has been silent"));
}

static void
sigterm_drains_with_exit_code_0(void **state)
{
    fixture *fx = *state;
    open_run(fx, 10, 0, 0);
    hears(fx, AA_MSG_OPENED, 10);
    kill(fx->assigner.pid, SIGTERM);
    kill(fx->learner.pid, SIGTERM);
    assert_int_equal(process_wait(&fx->assigner), 0);
    assert_int_equal(process_wait(&fx->learner), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_lost_reward_is_asked_for_again_and_changes_nothing),
        TEST(events_wait_for_the_rewards_of_depth_batches_ago),
        TEST(an_old_question_for_rewards_is_harmless),
        TEST(a_lost_batch_resets_the_run),
        TEST(a_killed_learner_or_assigner_resets_the_run_and_its_state_is_restored),
        TEST(a_checkpoint_that_is_missing_is_named_in_the_reset),
        TEST(a_lost_durable_comes_again),
        TEST(a_lost_barrier_resets_the_run),
        TEST(a_lost_last_batch_resets_the_run),
        TEST(an_epoch_that_cannot_be_saved_is_given_up_and_the_next_is_saved),
        TEST(somebody_elses_open_is_refused_and_the_run_goes_on),
        TEST(garbage_and_foreign_messages_are_refused_and_the_stream_goes_on),
        TEST(a_model_that_has_diverged_ends_the_learner_and_is_not_called_a_bad_message),
        TEST(an_open_of_an_older_run_is_refused_and_told_what_to_go_above),
        TEST(readyz_follows_the_run_and_who_is_heard),
        TEST(sigterm_drains_with_exit_code_0),
    };
    return cmocka_run_group_tests_name("assigner and learner", tests, NULL, NULL);
}
