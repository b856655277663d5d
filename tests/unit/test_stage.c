/* The run protocol: a table of every message in every state, for a stage in the middle (the
 * assigner) and for the last one (the learner), and the stories of what may be lost on its way. */
#include "common/stage/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RUN = 10, BEGUN_MS = 1000000, DEPTH = 4 };

typedef struct {
    aa_conf    cfg;
    aa_err     err;
    aa_stage  *sg;
    int64_t    now_ms;
    bool       last, cannot_restore, cannot_save, cannot_settle;
    char       did[256]; /* what it wanted done */
    aa_control sent;     /* the last control message */
    char       why[128]; /* of the last readiness */
} fixture;

static fixture *
make(bool last)
{
    fixture *fx = calloc(1, sizeof *fx);
    assert_non_null(fx);
    aa_conf_defaults(&fx->cfg);
    fx->cfg.pipeline.depth = DEPTH;
    fx->last = last;
    fx->now_ms = BEGUN_MS;
    assert_int_equal(aa_stage_new(&fx->sg, &fx->cfg, last ? "learner" : "assigner", last, &fx->err),
                     AA_OK);
    return fx;
}

static void
unmake(fixture *fx)
{
    aa_stage_free(&fx->sg);
    free(fx);
}

/* ---- what it wants done, in words; it is done at once ---- */

static void
add_word(fixture *fx, const char *word)
{
    const size_t len = strlen(fx->did);
    snprintf(fx->did + len, sizeof fx->did - len, "%s%s", len > 0 ? " " : "", word);
}

/* Up ^, down v, and the kind of the message; of a RESET what it names beside the run. */
static void
add_message(fixture *fx, const aa_stage_act *act)
{
    char word[64];
    int  len = snprintf(word, sizeof word, "%c%c", act->act == AA_STAGE_UP ? '^' : 'v', act->kind);
    fx->sent = act->control;
    if (act->kind == AA_MSG_RESET) {
        assert_non_null(strchr(act->control.reason, ':'));
        if (act->control.epoch > 0) len += snprintf(word + len, 20, "/%d", (int)act->control.epoch);
        if (act->control.newest_run_id > 0)
            len += snprintf(word + len, 20, ">%d", (int)act->control.newest_run_id);
        snprintf(word + len, 2, "%s", act->refused ? "!" : "");
    }
    add_word(fx, word);
}

static void
do_act(fixture *fx, const aa_stage_act *act)
{
    const uint64_t next = act->control.hd.seq + 1;
    switch (act->act) {
    case AA_STAGE_NOTHING: return;
    case AA_STAGE_FORGET: add_word(fx, "forget"); return;
    case AA_STAGE_RESTORE:
        add_word(fx, "restore");
        if (fx->cannot_restore)
            aa_stage_unrestored(fx->sg, "damaged", fx->now_ms);
        else
            aa_stage_restored(fx->sg, next, next, fx->now_ms);
        return;
    case AA_STAGE_STEP:
        add_word(fx, "step");
        aa_stage_stepped(fx->sg);
        return;
    case AA_STAGE_KEEP: add_word(fx, "keep"); return;
    case AA_STAGE_SNAPSHOT:
        add_word(fx, "save");
        if (fx->cannot_save)
            aa_stage_unsaved(fx->sg, "disk full");
        else
            aa_stage_saving(fx->sg);
        return;
    case AA_STAGE_CANCEL: add_word(fx, "cancel"); return;
    case AA_STAGE_SETTLE:
        add_word(fx, "settle");
        if (!fx->cannot_settle) aa_stage_settled(fx->sg, fx->now_ms);
        return;
    case AA_STAGE_UP:
    case AA_STAGE_DOWN: add_message(fx, act); return;
    case AA_STAGE_RESEND:
        fx->sent = act->control;
        add_word(fx, "resend");
        return;
    case AA_STAGE_READY:
        add_word(fx, act->ready ? "ready" : "unready");
        snprintf(fx->why, sizeof fx->why, "%s", act->why);
        return;
    case AA_STAGE_LEAVE: add_word(fx, "leave"); return;
    }
}

static const char *
did(fixture *fx)
{
    for (;;) {
        const aa_stage_act *act = aa_stage_next(fx->sg);
        if (act->act == AA_STAGE_NOTHING) return fx->did;
        do_act(fx, act);
    }
}

/* ---- messages ---- */

typedef enum { UP, BATCH, DOWN, REWARDS, TIME } source;

typedef struct {
    source      from;
    aa_msg_kind kind;
    int         run_off; /* RUN + this: another one */
    bool        no_run;
    uint64_t    seq, epoch, to_seq;
    bool        final, foreign;
    int64_t     after_ms;
} message;

/* What it does about a message. */
static const char *
on(fixture *fx, message m)
{
    aa_control c = {.hd = {.run_id = m.no_run ? 0 : (uint64_t)(RUN + m.run_off), .seq = m.seq},
                    .epoch = m.epoch,
                    .to_seq = m.to_seq,
                    .final = m.final,
                    .config_digest = aa_conf_digest(&fx->cfg)};
    aa_status  st = AA_OK;
    snprintf(c.pipeline, sizeof c.pipeline, "%s", m.foreign ? "other" : fx->cfg.pipeline.name);
    if (m.kind == AA_MSG_RESET) snprintf(c.reason, sizeof c.reason, "learner: below");
    fx->did[0] = '\0';
    fx->sent = (aa_control){0};
    fx->now_ms += m.after_ms;
    switch (m.from) {
    case UP: st = aa_stage_from_up(fx->sg, m.kind, &c, fx->now_ms, &fx->err); break;
    case BATCH: aa_stage_batch(fx->sg, &c.hd, fx->now_ms); break;
    case DOWN: st = aa_stage_from_down(fx->sg, m.kind, &c, fx->now_ms, &fx->err); break;
    case REWARDS: st = aa_stage_rewards(fx->sg, &c.hd, fx->now_ms, &fx->err); break;
    case TIME: aa_stage_tick(fx->sg, fx->now_ms); break;
    }
    if (st != AA_OK) {
        assert_int_equal(st, AA_EPARSE);
        add_word(fx, "refused");
    }
    return did(fx);
}

#define msg_up(...)                                                                                \
    {                                                                                              \
        .from = UP, .kind = AA_MSG_##__VA_ARGS__                                                   \
    }
#define msg_down(...)                                                                              \
    {                                                                                              \
        .from = DOWN, .kind = AA_MSG_##__VA_ARGS__                                                 \
    }
#define msg_batch(...)                                                                             \
    {                                                                                              \
        .from = BATCH, __VA_ARGS__                                                                 \
    }
#define msg_rewards(...)                                                                           \
    {                                                                                              \
        .from = REWARDS, __VA_ARGS__                                                               \
    }
#define msg_after(ms)                                                                              \
    {                                                                                              \
        .from = TIME, .after_ms = (ms)                                                             \
    }
#define up(...)      ((message)msg_up(__VA_ARGS__))
#define down(...)    ((message)msg_down(__VA_ARGS__))
#define batch(...)   ((message)msg_batch(__VA_ARGS__))
#define rewards(...) ((message)msg_rewards(__VA_ARGS__))
#define after(ms)    ((message)msg_after(ms))
#define expect(fx, m, want)                                                                        \
    do {                                                                                           \
        const char *got_ = on(fx, m);                                                              \
        if (strcmp(got_, want) != 0) fail_msg("%s: \"%s\", not \"%s\"", #m, got_, want);           \
    } while (0)

/* ---- states ---- */

typedef enum { IDLE, FORGOT, OPENING, RUNNING, BEHIND, SAVING, SAVED, HELD, ENDED, LEFT } state;
enum { STATES = 10 };
static const char *const STATE[STATES] = {"idle",   "forgot", "opening", "running", "behind",
                                          "saving", "saved",  "held",    "ended",   "left"};

/* Run 10 is open: three batches are done, their rewards are there if they are to be. */
static void
go_on(fixture *fx, bool with_rewards)
{
    on(fx, up(OPEN));
    if (!fx->last) on(fx, down(OPENED));
    for (uint64_t seq = 1; seq <= 3; seq++) {
        on(fx, batch(.seq = seq));
        if (!fx->last && (with_rewards || seq == 1)) on(fx, rewards(.seq = seq));
    }
    on(fx, after(0)); /* ready */
}

/* ... and epoch 2 is under way. */
static void
go_into(fixture *fx, state to)
{
    switch (to) {
    case IDLE: return;
    case FORGOT:
        go_on(fx, true);
        on(fx, batch(.seq = 7));
        return;
    case OPENING: on(fx, up(OPEN)); return;
    case RUNNING: go_on(fx, true); return;
    case BEHIND: go_on(fx, false); return;
    case SAVING:
    case SAVED:
        go_on(fx, true);
        on(fx, up(BARRIER, .seq = 3, .epoch = 2));
        fx->cannot_settle = true; /* the learner's predictions take their time */
        if (to == SAVED) aa_stage_saved(fx->sg);
        return;
    case HELD:
        go_on(fx, false);
        on(fx, up(BARRIER, .seq = 3, .epoch = 2, .final = true));
        return;
    case ENDED:
    case LEFT:
        go_on(fx, true);
        on(fx, up(BARRIER, .seq = 3, .epoch = 2, .final = true));
        aa_stage_saved(fx->sg);
        if (!fx->last) on(fx, down(DURABLE, .seq = 3, .epoch = 2));
        on(fx, after(0));
        if (to == LEFT) on(fx, up(END));
        return;
    }
}

/* ---- every message in every state ---- */

/* What is expected of a stage in the middle in all STATES, in their order, and of the last one in
 * LAST_STATES; it has nobody below. Words as do_act adds them: ^ up, v down, and the message's kind
 * (link.h); RESET: ^X, /epoch that cannot be used, >run to go above, ! an OPEN was refused. */
enum { LAST_STATES = 7 };
static const state LAST_STATE[LAST_STATES] = {IDLE, FORGOT, RUNNING, SAVING, SAVED, ENDED, LEFT};
typedef struct {
    const char *name;
    message     m;
    const char *middle[STATES], *last[LAST_STATES];
} matrix_row;

/* clang-format off */
static const matrix_row MATRIX[] = {
    {"OPEN again", msg_up(OPEN),
     {"restore vO", "restore vO", "vO", "^o", "^o", "^o", "^o", "^o", "^o", ""},
     {"restore ^o", "restore ^o", "^o", "^o", "^o", "^o", ""}},
    {"OPEN, older", msg_up(OPEN, .run_off = -1),
     {"restore vO", "^X>10!", "^X>10!", "^X>10!", "^X>10!", "^X>10!", "^X>10!", "^X>10!",
      "^X>10!", ""},
     {"restore ^o", "^X>10!", "^X>10!", "^X>10!", "^X>10!", "^X>10!", ""}},
    {"OPEN, newer", msg_up(OPEN, .run_off = 1),
     {"restore vO", "restore vO", "forget restore vO", "forget restore vO", "forget restore vO",
      "forget restore vO", "forget restore vO", "forget restore vO", "forget restore vO", ""},
     {"restore ^o", "restore ^o", "forget restore ^o", "forget restore ^o", "forget restore ^o",
      "forget restore ^o", ""}},
    {"OPEN, newer, of another pipeline", msg_up(OPEN, .run_off = 1, .foreign = true),
     {"^X!", "^X!", "^X!", "^X!", "^X!", "^X!", "^X!", "^X!", "^X!", ""},
     {"^X!", "^X!", "^X!", "^X!", "^X!", "^X!", ""}},
    {"OPEN, older, of another pipeline", msg_up(OPEN, .run_off = -1, .foreign = true),
     {"^X!", "^X!", "^X!", "^X!", "^X!", "^X!", "^X!", "^X!", "^X!", ""},
     {"^X!", "^X!", "^X!", "^X!", "^X!", "^X!", ""}},
    {"OPEN of no run", msg_up(OPEN, .no_run = true),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"refused", "refused", "refused", "refused", "refused", "refused", ""}},
    {"batch, the next", msg_batch(.seq = 4),
     {"^X", "^X", "^X forget", "step ^C", "step ^C", "step ^C", "step ^C", "^X forget",
      "^X forget", ""},
     {"^X", "^X", "step", "step", "step", "^X forget", ""}},
    {"batch, a gap", msg_batch(.seq = 5),
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget",
      "^X forget", ""},
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", ""}},
    {"batch, had already", msg_batch(.seq = 3),
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget",
      "^X forget", ""},
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", ""}},
    {"batch of an older run", msg_batch(.run_off = -1, .seq = 4),
     {"^X", "^X>10", "", "", "", "", "", "", "", ""},
     {"^X", "^X>10", "", "", "", "", ""}},
    {"batch of a newer run", msg_batch(.run_off = 1, .seq = 4),
     {"^X", "^X", "^X", "^X", "^X", "^X", "^X", "^X", "^X", ""},
     {"^X", "^X", "^X", "^X", "^X", "^X", ""}},
    {"batch of no run", msg_batch(.no_run = true, .seq = 4),
     {"", "", "", "", "", "", "", "", "", ""},
     {"", "", "", "", "", "", ""}},
    {"BARRIER", msg_up(BARRIER, .seq = 3, .epoch = 3),
     {"^X", "^X", "^X forget", "save vB", "save vB", "cancel save vB", "save vB", "save vB",
      "^X forget", ""},
     {"^X", "^X", "save", "cancel save", "save", "^X forget", ""}},
    {"BARRIER, final", msg_up(BARRIER, .seq = 3, .epoch = 3, .final = true),
     {"^X", "^X", "^X forget", "save vB", "", "cancel save vB", "save vB", "", "^X forget", ""},
     {"^X", "^X", "save", "cancel save", "save", "^X forget", ""}},
    {"BARRIER after a batch that is missing", msg_up(BARRIER, .seq = 4, .epoch = 3),
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget",
      "^X forget", ""},
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", ""}},
    {"BARRIER of no epoch", msg_up(BARRIER, .seq = 3),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"refused", "refused", "refused", "refused", "refused", "refused", ""}},
    {"BARRIER of an older run", msg_up(BARRIER, .run_off = -1, .seq = 3, .epoch = 3),
     {"^X", "^X>10", "", "", "", "", "", "", "", ""},
     {"^X", "^X>10", "", "", "", "", ""}},
    {"BARRIER of a newer run", msg_up(BARRIER, .run_off = 1, .seq = 3, .epoch = 3),
     {"^X", "^X", "^X", "^X", "^X", "^X", "^X", "^X", "^X", ""},
     {"^X", "^X", "^X", "^X", "^X", "^X", ""}},
    {"PING", msg_up(PING, .seq = 3),
     {"^X", "^X", "", "^C", "^C", "^C", "^C", "^C", "^C", ""},
     {"^X", "^X", "^C", "^C", "^C", "^C", ""}},
    {"PING that names the barrier", msg_up(PING, .seq = 3, .epoch = 2),
     {"^X", "^X", "", "^X forget", "^X forget", "^C", "^C", "^C", "^D ^C", ""},
     {"^X", "^X", "^X forget", "^C", "^C", "^D ^C", ""}},
    {"PING, a batch was lost", msg_up(PING, .seq = 4),
     {"^X", "^X", "", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget",
      "^X forget", ""},
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", ""}},
    {"PING, a barrier was lost", msg_up(PING, .seq = 3, .epoch = 7),
     {"^X", "^X", "", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget",
      "^X forget", ""},
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", ""}},
    {"PING of an older run", msg_up(PING, .run_off = -1, .seq = 3),
     {"^X", "^X>10", "", "", "", "", "", "", "", ""},
     {"^X", "^X>10", "", "", "", "", ""}},
    {"PING of a newer run", msg_up(PING, .run_off = 1, .seq = 3),
     {"^X", "^X", "^X", "^X", "^X", "^X", "^X", "^X", "^X", ""},
     {"^X", "^X", "^X", "^X", "^X", "^X", ""}},
    {"RESEND", msg_up(RESEND, .seq = 1, .to_seq = 3),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"^X", "^X", "resend", "resend", "resend", "resend", ""}},
    {"RESEND, a batch was lost", msg_up(RESEND, .seq = 1, .to_seq = 4),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"^X", "^X", "^X forget", "^X forget", "^X forget", "^X forget", ""}},
    {"RESEND of an older run", msg_up(RESEND, .run_off = -1, .seq = 1, .to_seq = 1),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"^X", "^X>10", "", "", "", "", ""}},
    {"RESEND of a newer run", msg_up(RESEND, .run_off = 1, .seq = 1, .to_seq = 1),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"^X", "^X", "^X", "^X", "^X", "^X", ""}},
    {"END", msg_up(END, .epoch = 2),
     {"", "", "", "", "", "", "", "", "vF leave", ""},
     {"", "", "", "", "", "leave", ""}},
    {"END of an older run", msg_up(END, .run_off = -1, .epoch = 2),
     {"", "", "", "", "", "", "", "", "", ""},
     {"", "", "", "", "", "", ""}},
    {"CREDIT from above", msg_up(CREDIT, .seq = 3),
     {"refused", "refused", "refused", "refused", "refused", "refused", "refused", "refused",
      "refused", ""},
     {"refused", "refused", "refused", "refused", "refused", "refused", ""}},
    {"OPENED", msg_down(OPENED),
     {"", "", "^o", "", "", "", "", "", "", ""}, {0}},
    {"OPENED of an older run", msg_down(OPENED, .run_off = -1),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"CREDIT", msg_down(CREDIT, .seq = 3),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"DURABLE", msg_down(DURABLE, .seq = 3, .epoch = 2),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"DURABLE of another epoch", msg_down(DURABLE, .seq = 3, .epoch = 1),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"UNSAVED", msg_down(UNSAVED, .seq = 3, .epoch = 2),
     {"", "", "", "", "", "cancel ^U", "^U", "", "", ""}, {0}},
    {"UNSAVED of another epoch", msg_down(UNSAVED, .seq = 3, .epoch = 1),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"RESET", msg_down(RESET),
     {"", "", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget", "^X forget",
      "^X forget", ""}, {0}},
    {"RESET, a bad epoch", msg_down(RESET, .epoch = 5),
     {"", "", "^X/5 forget", "^X/5 forget", "^X/5 forget", "^X/5 forget", "^X/5 forget",
      "^X/5 forget", "^X/5 forget", ""}, {0}},
    {"RESET of an older run", msg_down(RESET, .run_off = -1),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"BARRIER from below", msg_down(BARRIER, .seq = 3, .epoch = 3),
     {"", "", "refused", "refused", "refused", "refused", "refused", "refused", "refused", ""}, {0}},
    {"rewards, the next", msg_rewards(.seq = 2),
     {"", "", "refused", "", "keep", "", "", "keep", "", ""}, {0}},
    {"rewards, a gap", msg_rewards(.seq = 3),
     {"", "", "refused", "", "vr", "", "", "vr", "", ""}, {0}},
    {"rewards, had already", msg_rewards(.seq = 1),
     {"", "", "refused", "", "", "", "", "", "", ""}, {0}},
    {"rewards of a batch that was not sent", msg_rewards(.seq = 4),
     {"", "", "refused", "refused", "refused", "refused", "refused", "refused", "refused", ""}, {0}},
    {"rewards of an older run", msg_rewards(.run_off = -1, .seq = 2),
     {"", "", "", "", "", "", "", "", "", ""}, {0}},
    {"a moment", msg_after(10),
     {"unready", "unready", "unready", "", "", "", "", "", "", ""},
     {"unready", "unready", "", "", "settle", "", ""}},
    {"200 ms of silence", msg_after(200),
     {"unready", "unready", "vP unready", "vP", "vr", "vP", "vP", "vr", "vP", ""},
     {"unready", "unready", "", "", "settle", "", ""}},
    {"3 s of silence", msg_after(3000),
     {"unready", "unready", "vP unready", "vP unready", "vr unready", "vP unready", "vP unready",
      "vr unready", "vP unready", ""},
     {"unready", "unready", "unready", "unready", "settle unready", "unready", ""}},
    {"11 s of silence", msg_after(11000),
     {"unready", "unready", "vP unready", "vP unready", "vr unready", "vP unready", "vP unready",
      "vr unready", "vP unready leave", ""},
     {"unready", "unready", "unready", "unready", "settle unready", "unready leave", ""}},
};
/* clang-format on */

static int
check_cell(const matrix_row *row, bool last, state in, const char *want)
{
    fixture *fx = make(last);
    message  m = row->m;
    go_into(fx, in);
    if (m.from != TIME) m.after_ms = 500;
    const char *got = on(fx, m);
    const int   wrong = strcmp(got, want) != 0;
    if (wrong)
        print_error("%s: %s, %s: \"%s\", not \"%s\"\n", last ? "last" : "middle", row->name,
                    STATE[in], got, want);
    unmake(fx);
    return wrong;
}

static void
every_message_in_every_state_of_a_stage_in_the_middle(void **unused)
{
    int wrong = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof MATRIX / sizeof *MATRIX; i++)
        for (int s = 0; s < STATES; s++)
            wrong += check_cell(&MATRIX[i], false, (state)s, MATRIX[i].middle[s]);
    assert_int_equal(wrong, 0);
}

static void
every_message_in_every_state_of_the_last_stage(void **unused)
{
    int wrong = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof MATRIX / sizeof *MATRIX; i++)
        for (int s = 0; MATRIX[i].last[0] && s < LAST_STATES; s++)
            wrong += check_cell(&MATRIX[i], true, LAST_STATE[s], MATRIX[i].last[s]);
    assert_int_equal(wrong, 0);
}

/* ---- a run begins ---- */

static void
an_older_run_is_refused_and_told_what_to_go_above_also_when_the_newer_is_forgotten(void **unused)
{
    (void)unused;
    for (int last = 0; last < 2; last++) {
        fixture *fx = make(last);
        go_into(fx, RUNNING);
        expect(fx, up(OPEN, .run_off = -3, .after_ms = 500), "^X>10!");
        assert_int_equal(fx->sent.hd.run_id, 7);
        assert_int_equal(fx->sent.newest_run_id, 10);
        assert_non_null(strstr(fx->sent.reason, "run 7 is older than run 10"));
        assert_int_equal(aa_stage_run_id(fx->sg), RUN); /* goes on */
        expect(fx, batch(.seq = 4), last ? "step" : "step ^C");
        expect(fx, batch(.seq = 9), "^X forget");
        assert_int_equal(aa_stage_run_id(fx->sg), 0);
        expect(fx, up(OPEN, .run_off = -3, .after_ms = 500), "^X>10!");
        expect(fx, up(OPEN, .run_off = 1), last ? "restore ^o" : "restore vO");
        unmake(fx);
    }
}

/* An ingest that is about to end, beside its replacement, must not be told to take the run over. */
static void
an_older_run_is_left_alone_until_the_one_under_way_is_not_heard_any_more(void **unused)
{
    (void)unused;
    for (int last = 0; last < 2; last++) {
        fixture *fx = make(last);
        go_into(fx, RUNNING);
        for (int i = 0; i < 10; i++) {
            expect(fx, up(PING, .run_off = -1, .seq = 3, .after_ms = 1000), "");
            expect(fx, up(PING, .seq = 3, .after_ms = 1000), "^C");
        }
        expect(fx, batch(.run_off = -1, .seq = 4, .after_ms = 2999), "");
        expect(fx, batch(.run_off = -1, .seq = 4, .after_ms = 1), "^X>10");
        assert_int_equal(aa_stage_run_id(fx->sg), RUN);
        expect(fx, up(PING, .run_off = -1, .seq = 4, .after_ms = 199), ""); /* told a moment ago */
        expect(fx, up(PING, .run_off = -1, .seq = 4, .after_ms = 1), "^X>10");
        unmake(fx);
    }
}

static void
a_refusal_below_is_passed_on_and_remembered(void **unused)
{
    (void)unused;
    fixture   *fx = make(false);
    aa_control c = {.hd = {.run_id = RUN}, .newest_run_id = 20, .reason = "learner: an older run"};
    go_into(fx, OPENING);
    fx->did[0] = '\0';
    assert_int_equal(aa_stage_from_down(fx->sg, AA_MSG_RESET, &c, fx->now_ms, &fx->err), AA_OK);
    assert_string_equal(did(fx), "^X>20 forget");
    assert_string_equal(fx->sent.reason, "learner: an older run");
    expect(fx, up(OPEN, .run_off = 5), "^X>20!");
    expect(fx, up(OPEN, .run_off = 11), "restore vO");
    unmake(fx);
}

static void
an_open_of_another_pipeline_lane_or_configuration_says_why(void **unused)
{
    (void)unused;
    fixture   *fx = make(true);
    aa_control c = {.hd = {.run_id = 11, .lane = 1}, .config_digest = aa_conf_digest(&fx->cfg)};
    go_into(fx, RUNNING);
    expect(fx, up(OPEN, .run_off = 1, .foreign = true), "^X!");
    assert_non_null(strstr(fx->sent.reason, "this is pipeline"));
    assert_int_equal(fx->sent.newest_run_id, 0);
    snprintf(c.pipeline, sizeof c.pipeline, "%s", fx->cfg.pipeline.name);
    for (int i = 0; i < 2; i++) {
        fx->now_ms += 500;
        assert_int_equal(aa_stage_from_up(fx->sg, AA_MSG_OPEN, &c, fx->now_ms, &fx->err), AA_OK);
        did(fx);
        assert_non_null(
            strstr(fx->sent.reason, i == 0 ? "this is lane 0" : "ingest's: model.dim must agree"));
        aa_conf other = fx->cfg;
        other.model.dim++;
        c.hd.lane = 0;
        c.config_digest = aa_conf_digest(&other);
        c.setting_count = aa_conf_kept_marks(&other, c.setting);
    }
    assert_int_equal(aa_stage_run_id(fx->sg), RUN);
    expect(fx, up(OPEN, .run_off = 1), "forget restore ^o"); /* the number is not used up */
    unmake(fx);
}

static void
an_epoch_that_cannot_be_restored_is_named(void **unused)
{
    (void)unused;
    for (int last = 0; last < 2; last++) {
        fixture *fx = make(last);
        fx->cannot_restore = true;
        expect(fx, up(OPEN, .seq = 100, .epoch = 7), "restore ^X/7");
        assert_int_equal(aa_stage_run_id(fx->sg), 0);
        expect(fx, up(OPEN, .seq = 100, .epoch = 7, .after_ms = 1000), "restore ^X/7"); /* again */
        fx->cannot_restore = false;
        expect(fx, up(OPEN, .run_off = 1, .seq = 50, .epoch = 6),
               last ? "restore ^o" : "restore vO");
        unmake(fx);
    }
}

static void
rewards_in_flight_at_the_checkpoint_are_asked_for_when_the_learner_has_opened(void **unused)
{
    (void)unused;
    fixture   *fx = make(false);
    aa_control open = {.hd = {.run_id = RUN, .seq = 6}, .epoch = 1};
    open.config_digest = aa_conf_digest(&fx->cfg);
    snprintf(open.pipeline, sizeof open.pipeline, "%s", fx->cfg.pipeline.name);
    assert_int_equal(aa_stage_from_up(fx->sg, AA_MSG_OPEN, &open, fx->now_ms, &fx->err), AA_OK);
    assert_int_equal(aa_stage_next(fx->sg)->act, AA_STAGE_RESTORE);
    aa_stage_restored(fx->sg, 7, 4, fx->now_ms);
    assert_string_equal(did(fx), "vO");
    expect(fx, down(OPENED), "^o vr");
    assert_int_equal(fx->sent.hd.seq, 4);
    assert_int_equal(fx->sent.to_seq, 6);
    unmake(fx);
}

/* ---- the stream ---- */

/* Batch n waits for the rewards of batch n - depth and learns from no younger ones. */
static void
events_wait_for_the_rewards_of_depth_batches_ago(void **unused)
{
    (void)unused;
    fixture  *fx = make(false);
    aa_header hd = {.run_id = RUN};
    expect(fx, up(OPEN), "restore vO");
    assert_false(aa_stage_takes_events(fx->sg));
    expect(fx, down(OPENED), "^o");
    for (hd.seq = 1; hd.seq <= DEPTH; hd.seq++) {
        assert_true(aa_stage_takes_events(fx->sg));
        aa_stage_batch(fx->sg, &hd, fx->now_ms);
        assert_int_equal(aa_stage_next(fx->sg)->learn_before, 0);
        aa_stage_stepped(fx->sg);
        did(fx);
    }
    assert_false(aa_stage_takes_events(fx->sg));
    for (uint64_t seq = 1; seq <= 3; seq++) /* more than the next batch may learn from */
        expect(fx, rewards(.seq = seq), "keep");
    assert_true(aa_stage_takes_events(fx->sg));
    aa_stage_batch(fx->sg, &hd, fx->now_ms);
    assert_int_equal(aa_stage_next(fx->sg)->learn_before, 2);
    aa_stage_stepped(fx->sg);
    fx->did[0] = '\0';
    assert_string_equal(did(fx), "^C");
    assert_int_equal(fx->sent.hd.seq, DEPTH + 1);
    unmake(fx);
}

static void
a_refused_batch_is_not_counted(void **unused)
{
    (void)unused;
    fixture  *fx = make(true);
    aa_header hd = {.run_id = RUN, .seq = 4};
    go_into(fx, RUNNING);
    aa_stage_batch(fx->sg, &hd, fx->now_ms);
    assert_int_equal(aa_stage_next(fx->sg)->act, AA_STAGE_STEP); /* and no aa_stage_stepped */
    assert_int_equal(aa_stage_next(fx->sg)->act, AA_STAGE_NOTHING);
    expect(fx, batch(.seq = 5), "^X forget");
    unmake(fx);
}

static void
a_gap_in_the_rewards_is_asked_for_but_not_at_each_message(void **unused)
{
    (void)unused;
    aa_stage_stats stats;
    fixture       *fx = make(false);
    go_into(fx, BEHIND);
    expect(fx, rewards(.seq = 3), "vr");
    assert_int_equal(fx->sent.hd.seq, 2);
    assert_int_equal(fx->sent.to_seq, 3);
    expect(fx, rewards(.seq = 3, .after_ms = 49), "");
    expect(fx, rewards(.seq = 3, .after_ms = 1), "vr");
    aa_stage_stats_get(fx->sg, &stats);
    assert_int_equal(stats.reward_gaps, 3);
    assert_int_equal(stats.rewards_missed, 3);
    expect(fx, rewards(.seq = 2), "keep");
    expect(fx, rewards(.seq = 3), "keep");
    expect(fx, after(500), "vP"); /* nothing is missing */
    unmake(fx);
}

static void
rewards_that_are_no_longer_kept_are_not_looked_for(void **unused)
{
    (void)unused;
    fixture *fx = make(true);
    go_into(fx, RUNNING);
    for (uint64_t seq = 4; seq <= 20; seq++)
        expect(fx, batch(.seq = seq), "step");
    expect(fx, up(RESEND, .seq = 1, .to_seq = 20), "resend");
    assert_int_equal(fx->sent.hd.seq, 20 - DEPTH);
    assert_int_equal(fx->sent.to_seq, 20);
    unmake(fx);
}

static void
what_a_step_or_a_commit_needs_is_lost_and_the_run_begins_again(void **unused)
{
    (void)unused;
    fixture *fx = make(true);
    go_into(fx, SAVED);
    fx->did[0] = '\0';
    aa_stage_give_up(fx->sg, "predictions could not be delivered", fx->now_ms);
    assert_string_equal(did(fx), "^X forget");
    assert_string_equal(fx->sent.reason, "learner: predictions could not be delivered");
    unmake(fx);
}

/* ---- barriers ---- */

static void
an_epoch_is_durable_when_it_is_here_and_below_and_settled(void **unused)
{
    (void)unused;
    for (int below_first = 0; below_first < 2; below_first++) {
        fixture *fx = make(false);
        go_into(fx, RUNNING);
        expect(fx, up(BARRIER, .seq = 3, .epoch = 2), "save vB");
        if (below_first)
            expect(fx, down(DURABLE, .seq = 3, .epoch = 2), "");
        else
            aa_stage_saved(fx->sg);
        expect(fx, after(1), "");
        if (below_first)
            aa_stage_saved(fx->sg);
        else
            expect(fx, down(DURABLE, .seq = 3, .epoch = 2), "");
        fx->cannot_settle = true;
        expect(fx, after(1), "settle");
        fx->cannot_settle = false;
        expect(fx, after(1), "settle ^D");
        assert_int_equal(fx->sent.epoch, 2);
        expect(fx, after(1), "");
        unmake(fx);
    }
}

static void
a_lost_durable_is_said_again_when_a_ping_asks(void **unused)
{
    (void)unused;
    for (int last = 0; last < 2; last++) {
        fixture *fx = make(last);
        go_into(fx, SAVED);
        fx->cannot_settle = false;
        if (!last) expect(fx, down(DURABLE, .seq = 3, .epoch = 2), "");
        expect(fx, after(1), "settle ^D");
        expect(fx, up(PING, .seq = 3, .epoch = 2), "^D ^C");
        expect(fx, up(PING, .seq = 3, .epoch = 1), "^X forget"); /* another one than that */
        unmake(fx);
    }
}

/* Epoch 2 of this run and of the one before are not the same. */
static void
an_answer_is_forgotten_with_its_run(void **unused)
{
    (void)unused;
    fixture *fx = make(true);
    go_into(fx, SAVED);
    fx->cannot_settle = false;
    expect(fx, after(1), "settle ^D");
    expect(fx, up(OPEN, .run_off = 1), "forget restore ^o");
    expect(fx, up(PING, .run_off = 1, .epoch = 2), "^X forget");
    unmake(fx);
}

static void
a_durable_of_another_batch_is_not_the_barriers(void **unused)
{
    (void)unused;
    fixture *fx = make(false);
    go_into(fx, SAVED);
    fx->cannot_settle = false;
    expect(fx, down(DURABLE, .seq = 2, .epoch = 2), "");
    expect(fx, after(1), "");
    expect(fx, down(DURABLE, .seq = 3, .epoch = 2), "");
    expect(fx, after(1), "settle ^D");
    unmake(fx);
}

static void
the_middle_asks_below_for_the_durable_that_does_not_come(void **unused)
{
    (void)unused;
    fixture *fx = make(false);
    go_into(fx, SAVED);
    expect(fx, after(200), "vP");
    assert_int_equal(fx->sent.epoch, 2);
    assert_int_equal(fx->sent.hd.seq, 3);
    unmake(fx);
}

static void
an_epoch_that_cannot_be_saved_here_or_below_is_given_up_and_the_stream_goes_on(void **unused)
{
    (void)unused;
    fixture *fx = make(false);
    go_into(fx, RUNNING);
    fx->cannot_save = true; /* no process to be had */
    expect(fx, up(BARRIER, .seq = 3, .epoch = 2), "save ^U");
    assert_string_equal(fx->sent.reason, "disk full");
    fx->cannot_save = false;
    expect(fx, up(BARRIER, .seq = 3, .epoch = 3), "save vB");
    fx->did[0] = '\0';
    aa_stage_unsaved(fx->sg, "disk full"); /* the child says so */
    assert_string_equal(did(fx), "^U");
    expect(fx, down(DURABLE, .seq = 3, .epoch = 3), ""); /* below it was */
    expect(fx, up(PING, .seq = 3, .epoch = 3), "^U ^C");
    expect(fx, up(BARRIER, .seq = 3, .epoch = 4), "save vB");
    expect(fx, down(UNSAVED, .seq = 3, .epoch = 4), "cancel ^U");
    expect(fx, batch(.seq = 4), "step ^C");
    unmake(fx);
}

/* Behind its last barrier the learner ends, and could not send rewards again. */
static void
the_final_barrier_waits_for_the_last_rewards(void **unused)
{
    (void)unused;
    fixture *fx = make(false);
    go_into(fx, HELD);
    assert_false(aa_stage_takes_events(fx->sg));
    expect(fx, after(10), "");
    expect(fx, after(200), "vr"); /* not a ping: it would name a barrier that they have not */
    expect(fx, rewards(.seq = 2), "keep");
    expect(fx, after(10), "");
    expect(fx, rewards(.seq = 3), "keep");
    expect(fx, after(300), "save vB"); /* and no ping before the barrier */
    aa_stage_saved(fx->sg);
    expect(fx, down(DURABLE, .seq = 3, .epoch = 2), "");
    aa_stage_tick(fx->sg, fx->now_ms);
    const aa_stage_act *act = aa_stage_next(fx->sg);
    assert_int_equal(act->act, AA_STAGE_SETTLE);
    assert_int_equal(act->learn_before, 4); /* from all there are */
    aa_stage_settled(fx->sg, fx->now_ms);
    fx->did[0] = '\0';
    assert_string_equal(did(fx), "^D");
    assert_true(aa_stage_takes_events(fx->sg)); /* END */
    expect(fx, up(END, .epoch = 2), "vF leave");
    unmake(fx);
}

static void
after_the_end_silence_is_taken_for_the_end_but_a_ping_is_not_silence(void **unused)
{
    (void)unused;
    for (int last = 0; last < 2; last++) {
        fixture *fx = make(last);
        go_into(fx, ENDED);
        on(fx, after(9000));
        expect(fx, up(PING, .seq = 3, .epoch = 2), "^D ^C");
        assert_null(strstr(on(fx, after(AA_STAGE_END_WAIT_MS)), "leave"));
        assert_non_null(strstr(on(fx, after(1)), "leave"));
        unmake(fx);
    }
}

/* The broker was away for long: whoever waits for the answer hears it before we leave. */
static void
a_last_commit_that_took_long_to_settle_is_not_followed_by_leaving_at_once(void **unused)
{
    (void)unused;
    fixture *fx = make(true);
    go_into(fx, RUNNING);
    expect(fx, up(BARRIER, .seq = 3, .epoch = 2, .final = true), "save");
    aa_stage_saved(fx->sg);
    expect(fx, after(60000), "settle unready ^D");
    expect(fx, after(AA_STAGE_END_WAIT_MS), "");
    expect(fx, after(1), "leave");
    unmake(fx);
}

/* ---- readiness ---- */

static void
readyz_is_false_without_a_run_and_while_neighbours_are_silent(void **unused)
{
    (void)unused;
    fixture *fx = make(false);
    expect(fx, after(0), "unready");
    assert_string_equal(fx->why, "no run is open: waiting for ingest");
    on(fx, up(OPEN));
    expect(fx, after(0), "unready");
    assert_string_equal(fx->why, "waiting for the learner to open the run");
    on(fx, down(OPENED));
    expect(fx, after(0), "ready");
    on(fx, up(PING, .after_ms = 2900));
    expect(fx, after(100), "vP unready");
    assert_string_equal(fx->why, "the learner has been silent for more than 3 s");
    on(fx, down(CREDIT));
    expect(fx, after(0), "ready");
    on(fx, down(CREDIT, .after_ms = 2899));
    expect(fx, after(1), "unready");
    assert_string_equal(fx->why, "ingest has been silent for more than 3 s");
    on(fx, up(PING));
    expect(fx, after(0), "ready");
    on(fx, batch(.seq = 9));
    expect(fx, after(0), "unready");
    assert_string_equal(fx->why, "no run is open: waiting for ingest");
    unmake(fx);
}

static void
the_last_stage_names_the_assigner(void **unused)
{
    (void)unused;
    fixture *fx = make(true);
    expect(fx, after(0), "unready");
    assert_string_equal(fx->why, "no run is open: waiting for the assigner");
    on(fx, up(OPEN));
    expect(fx, after(0), "ready");
    expect(fx, after(3000), "unready");
    assert_string_equal(fx->why, "the assigner has been silent for more than 3 s");
    unmake(fx);
}

/* Nothing comes for a minute but ingest's pings: both stages hear of each other and stay ready. */
static void
an_idle_pipeline_stays_ready(void **unused)
{
    (void)unused;
    fixture *middle = make(false), *last = make(true);
    go_into(middle, RUNNING);
    go_into(last, RUNNING);
    for (int i = 0; i < 60000 / 50; i++) {
        if (i % 4 == 0) expect(middle, up(PING, .seq = 3), "^C");
        const char *asked = on(middle, after(50));
        assert_null(strstr(asked, "ready"));
        if (strcmp(asked, "vP") == 0) {
            expect(last, up(PING, .seq = 3), "^C");
            expect(middle, down(CREDIT, .seq = 3), "");
        }
        expect(last, after(50), "");
    }
    unmake(middle);
    unmake(last);
}

/* While the learner is behind, nothing is read from ingest: it is not silent. */
static void
who_is_not_listened_to_is_not_called_silent(void **unused)
{
    (void)unused;
    fixture *fx = make(false);
    go_into(fx, RUNNING);
    for (uint64_t seq = 4; seq < 4 + DEPTH; seq++)
        on(fx, batch(.seq = seq));
    assert_false(aa_stage_takes_events(fx->sg));
    for (int i = 0; i < 100; i++) {
        on(fx, down(CREDIT));
        assert_null(strstr(on(fx, after(100)), "ready"));
    }
    unmake(fx);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_in_every_state_of_a_stage_in_the_middle),
        cmocka_unit_test(every_message_in_every_state_of_the_last_stage),
        cmocka_unit_test(
            an_older_run_is_refused_and_told_what_to_go_above_also_when_the_newer_is_forgotten),
        cmocka_unit_test(an_older_run_is_left_alone_until_the_one_under_way_is_not_heard_any_more),
        cmocka_unit_test(a_refusal_below_is_passed_on_and_remembered),
        cmocka_unit_test(an_open_of_another_pipeline_lane_or_configuration_says_why),
        cmocka_unit_test(an_epoch_that_cannot_be_restored_is_named),
        cmocka_unit_test(
            rewards_in_flight_at_the_checkpoint_are_asked_for_when_the_learner_has_opened),
        cmocka_unit_test(events_wait_for_the_rewards_of_depth_batches_ago),
        cmocka_unit_test(a_refused_batch_is_not_counted),
        cmocka_unit_test(a_gap_in_the_rewards_is_asked_for_but_not_at_each_message),
        cmocka_unit_test(rewards_that_are_no_longer_kept_are_not_looked_for),
        cmocka_unit_test(what_a_step_or_a_commit_needs_is_lost_and_the_run_begins_again),
        cmocka_unit_test(an_epoch_is_durable_when_it_is_here_and_below_and_settled),
        cmocka_unit_test(a_lost_durable_is_said_again_when_a_ping_asks),
        cmocka_unit_test(an_answer_is_forgotten_with_its_run),
        cmocka_unit_test(a_durable_of_another_batch_is_not_the_barriers),
        cmocka_unit_test(the_middle_asks_below_for_the_durable_that_does_not_come),
        cmocka_unit_test(
            an_epoch_that_cannot_be_saved_here_or_below_is_given_up_and_the_stream_goes_on),
        cmocka_unit_test(the_final_barrier_waits_for_the_last_rewards),
        cmocka_unit_test(after_the_end_silence_is_taken_for_the_end_but_a_ping_is_not_silence),
        cmocka_unit_test(a_last_commit_that_took_long_to_settle_is_not_followed_by_leaving_at_once),
        cmocka_unit_test(readyz_is_false_without_a_run_and_while_neighbours_are_silent),
        cmocka_unit_test(the_last_stage_names_the_assigner),
        cmocka_unit_test(an_idle_pipeline_stays_ready),
        cmocka_unit_test(who_is_not_listened_to_is_not_called_silent),
    };
    return cmocka_run_group_tests_name("common/stage/stage", tests, NULL, NULL);
}
