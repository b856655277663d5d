#include "common/stage/stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASK_MS = 200,    /* of silence below, then it is asked; the same for a RESET said again */
    GAP_ASK_MS = 50, /* between questions for rewards when later ones show a gap */
    ACTS = 8         /* more than any message brings about */
};

typedef enum { IDLE, RESTORING, OPENING, RUNNING, ENDED, LEFT } stage_phase;

/* What /readyz says, by whether this is the last stage. HTTP's thread may read it at any time. */
typedef enum { NO_RUN, NOT_OPENED, SILENT_BELOW, SILENT_ABOVE, READY, UNSAID } readiness;
static const char *const WHY[2][5] = {{"no run is open: waiting for ingest",
                                       "waiting for the learner to open the run",
                                       "the learner has been silent for more than 3 s",
                                       "ingest has been silent for more than 3 s", ""},
                                      {"no run is open: waiting for the assigner", "", "",
                                       "the assigner has been silent for more than 3 s", ""}};

struct aa_stage {
    const aa_conf *cfg;
    const char    *name;
    bool           last;
    uint64_t       depth, config_digest;
    stage_phase    phase;
    readiness      said;

    uint64_t    run_id;        /* 0: none under way */
    uint64_t    newest_run_id; /* greatest that was taken here, or named from below */
    aa_control  open;          /* as it came */
    uint64_t    next_batch;    /* from above */
    uint64_t    next_reward;   /* from below */
    aa_control  barrier;       /* under way: its epoch is not 0 */
    bool        begun;         /* ... our part is being saved, those below know of it */
    bool        saved;         /* ... our part is on disk */
    bool        saved_below;   /* ... theirs is */
    aa_control  answer;        /* to the last barrier; epoch 0: none */
    aa_msg_kind answer_kind;
    uint64_t reset_run_id; /* of the last RESET, and when: a run that is over is told so now and */
    int64_t  reset_ms;     /* then, not once per message of it */
    int64_t  asked_ms, heard_down_ms, heard_up_ms;

    aa_stage_stats stats;
    aa_stage_act   act[ACTS]; /* from `taken` on: to be done */
    size_t         taken, count;
};

aa_status
aa_stage_new(aa_stage **out, const aa_conf *cfg, const char *name, bool last, aa_err *err)
{
    aa_stage *sg = calloc(1, sizeof *sg);
    if (!sg) return aa_fail(err, AA_ENOMEM, "stage");
    sg->cfg = cfg;
    sg->name = name;
    sg->last = last;
    sg->depth = (uint64_t)cfg->pipeline.depth;
    sg->config_digest = aa_conf_digest(cfg);
    sg->said = UNSAID;
    *out = sg;
    return AA_OK;
}

void
aa_stage_free(aa_stage **sg_p)
{
    free(*sg_p);
    *sg_p = NULL;
}

/* ---- actions ---- */

static aa_stage_act *
push_act(aa_stage *sg, aa_stage_act_kind kind)
{
    AA_REQUIRE(sg->count < ACTS);
    aa_stage_act *act = &sg->act[sg->count++];
    *act = (aa_stage_act){.act = kind};
    return act;
}

static void
push_control(aa_stage *sg, aa_stage_act_kind where, aa_msg_kind kind, const aa_control *c)
{
    aa_stage_act *act = push_act(sg, where);
    act->kind = kind;
    act->control = *c;
}

const aa_stage_act *
aa_stage_next(aa_stage *sg)
{
    static const aa_stage_act nothing = {.act = AA_STAGE_NOTHING};
    if (sg->taken < sg->count) return &sg->act[sg->taken++];
    sg->taken = sg->count = 0;
    return &nothing;
}

/* Before a message is looked at. */
static void
require_all_done(const aa_stage *sg)
{
    AA_REQUIRE(sg->count == 0 && sg->phase != RESTORING);
}

/* ---- a run ends here without its stream having ended ---- */

static void
forget_run(aa_stage *sg)
{
    if (sg->run_id) push_act(sg, AA_STAGE_FORGET);
    sg->phase = IDLE;
    sg->run_id = 0;
    sg->barrier.epoch = sg->answer.epoch = 0;
    sg->begun = sg->saved = sg->saved_below = false;
}

/* Ask for a new beginning in place of run_id. NULL: it was said a moment ago. */
static aa_stage_act *
push_reset(aa_stage *sg, uint64_t run_id, const char *reason, int64_t now_ms)
{
    if (run_id == sg->reset_run_id && now_ms - sg->reset_ms < ASK_MS) return NULL;
    sg->reset_run_id = run_id;
    sg->reset_ms = now_ms;
    sg->stats.resets++;
    const aa_control c = {.hd = {.run_id = run_id, .lane = (uint32_t)sg->cfg->pipeline.lane},
                          .newest_run_id = run_id < sg->newest_run_id ? sg->newest_run_id : 0};
    push_control(sg, AA_STAGE_UP, AA_MSG_RESET, &c);
    aa_stage_act *act = &sg->act[sg->count - 1];
    snprintf(act->control.reason, sizeof act->control.reason, "%s: %s", sg->name, reason);
    return act;
}

void
aa_stage_give_up(aa_stage *sg, const char *reason, int64_t now_ms)
{
    if (!sg->run_id) return;
    push_reset(sg, sg->run_id, reason, now_ms);
    forget_run(sg);
}

/* Is this of the run under way? If not, its sender may need an answer. A message of an older run
 * gets none while messages of the present run arrive: its sender may be an ingest that is about to
 * end, and an answer would make it take the run over. */
static bool
is_ours(aa_stage *sg, uint64_t run_id, int64_t now_ms)
{
    if (sg->run_id && run_id == sg->run_id) {
        sg->heard_up_ms = now_ms;
        return true;
    }
    const bool older = run_id < sg->run_id;
    if (run_id == 0) return false;
    if (older && now_ms - sg->heard_up_ms < AA_STAGE_SILENCE_MS) return false;
    push_reset(sg, run_id, older ? "an older run" : "unknown run", now_ms);
    return false;
}

/* ---- a run begins ---- */

/* Which of the settings that must agree do not. */
static void
say_settings(const aa_conf *cfg, const aa_control *open, aa_err *why)
{
    char words[160];
    aa_conf_kept_differ(cfg, open->setting, open->setting_count, words, sizeof words);
    aa_fail(why, AA_ECONFIG, "the configuration differs from ingest's: %s must agree",
            words[0] ? words : "fields, agent, model, seed and depth");
}

/* Is this OPEN of our own pipeline and lane, with our configuration? What is not may be anybody's:
 * it ends neither this process nor a run that is under way. */
static bool
check_open(const aa_stage *sg, const aa_control *c, aa_err *why)
{
    const aa_conf *cfg = sg->cfg;
    if (strncmp(c->pipeline, cfg->pipeline.name, sizeof c->pipeline - 1) != 0)
        aa_fail(why, AA_ECONFIG, "this is pipeline \"%.60s\", not \"%.60s\"", cfg->pipeline.name,
                c->pipeline);
    else if ((int64_t)c->hd.lane != cfg->pipeline.lane)
        aa_fail(why, AA_ECONFIG, "this is lane %" PRId64 ", not %" PRIu32, cfg->pipeline.lane,
                c->hd.lane);
    else if (c->config_digest != sg->config_digest)
        say_settings(cfg, c, why);
    else
        return true;
    return false;
}

static void
refuse_open(aa_stage *sg, const aa_control *c, uint64_t newest, const char *why, int64_t now_ms)
{
    aa_stage_act *act = push_reset(sg, c->hd.run_id, why, now_ms);
    if (!act) return;
    act->refused = true;
    act->control.newest_run_id = newest;
}

static void
push_opened(aa_stage *sg)
{
    const aa_control opened = {.hd = sg->open.hd, .epoch = sg->open.epoch};
    push_control(sg, AA_STAGE_UP, AA_MSG_OPENED, &opened);
}

static void
on_open(aa_stage *sg, const aa_control *c, int64_t now_ms)
{
    aa_err why = AA_ERR_INIT;
    if (!check_open(sg, c, &why)) {
        refuse_open(sg, c, 0, why.text, now_ms);
        return;
    }
    if (c->hd.run_id == sg->run_id) { /* said again: so is the answer */
        sg->heard_up_ms = now_ms;
        if (sg->phase == OPENING)
            push_control(sg, AA_STAGE_DOWN, AA_MSG_OPEN, &sg->open);
        else
            push_opened(sg);
        return;
    }
    if (c->hd.run_id < sg->newest_run_id) {
        aa_fail(&why, AA_EPARSE,
                "run %" PRIu64 " is older than run %" PRIu64 ", the newest known here",
                c->hd.run_id, sg->newest_run_id);
        refuse_open(sg, c, sg->newest_run_id, why.text, now_ms);
        return;
    }
    forget_run(sg);
    sg->newest_run_id = c->hd.run_id;
    sg->open = *c;
    sg->phase = RESTORING;
    push_act(sg, AA_STAGE_RESTORE)->control = *c;
}

void
aa_stage_restored(aa_stage *sg, uint64_t next_batch, uint64_t next_reward, int64_t now_ms)
{
    AA_REQUIRE(sg->phase == RESTORING);
    sg->run_id = sg->open.hd.run_id;
    sg->next_batch = next_batch;
    sg->next_reward = next_reward;
    sg->heard_down_ms = sg->heard_up_ms = now_ms;
    sg->phase = sg->last ? RUNNING : OPENING;
    if (sg->last)
        push_opened(sg);
    else
        push_control(sg, AA_STAGE_DOWN, AA_MSG_OPEN, &sg->open);
}

void
aa_stage_unrestored(aa_stage *sg, const char *reason, int64_t now_ms)
{
    AA_REQUIRE(sg->phase == RESTORING);
    sg->phase = IDLE;
    aa_stage_act *act = push_reset(sg, sg->open.hd.run_id, reason, now_ms);
    if (act) act->control.epoch = sg->open.epoch; /* that cannot be used */
}

/* ---- rewards ---- */

static bool
rewards_missing(const aa_stage *sg)
{
    return !sg->last && sg->next_reward < sg->next_batch;
}

static void
ask_for_rewards(aa_stage *sg, uint64_t to_seq, int64_t now_ms)
{
    const aa_control c = {.hd = {.run_id = sg->run_id, .seq = sg->next_reward}, .to_seq = to_seq};
    sg->asked_ms = now_ms;
    push_control(sg, AA_STAGE_DOWN, AA_MSG_RESEND, &c);
}

aa_status
aa_stage_rewards(aa_stage *sg, const aa_header *hd, int64_t now_ms, aa_err *err)
{
    require_all_done(sg);
    AA_REQUIRE(!sg->last);
    if (sg->phase == LEFT || !sg->run_id || hd->run_id != sg->run_id) return AA_OK;
    if (hd->seq >= sg->next_batch)
        return aa_fail(err, AA_EPARSE, "rewards of batch %" PRIu64 ", which was not sent", hd->seq);
    sg->heard_down_ms = now_ms;
    if (hd->seq < sg->next_reward) return AA_OK; /* had them already */
    if (hd->seq == sg->next_reward) {
        push_act(sg, AA_STAGE_KEEP);
        sg->next_reward++;
        return AA_OK;
    }
    sg->stats.reward_gaps++;
    sg->stats.rewards_missed += hd->seq - sg->next_reward;
    if (now_ms - sg->asked_ms >= GAP_ASK_MS) ask_for_rewards(sg, hd->seq, now_ms);
    return AA_OK;
}

static void
on_resend(aa_stage *sg, const aa_control *c, int64_t now_ms)
{
    if (!is_ours(sg, c->hd.run_id, now_ms)) return;
    if (c->to_seq >= sg->next_batch) { /* it was sent before this message */
        aa_stage_give_up(sg, "a batch was lost on its way", now_ms);
        return;
    }
    /* Older ones than are kept: a question that waited while we were held up. Whoever sent batch n
     * had the rewards of n - depth, so it has these by now. */
    const uint64_t kept = sg->next_batch > sg->depth + 1 ? sg->next_batch - sg->depth - 1 : 1;
    aa_stage_act  *act = push_act(sg, AA_STAGE_RESEND);
    act->control = *c;
    if (act->control.hd.seq < kept) act->control.hd.seq = kept;
}

/* ---- the stream ---- */

static bool
stream_is_over(const aa_stage *sg)
{
    return sg->phase == ENDED || (sg->barrier.epoch && sg->barrier.final);
}

void
aa_stage_batch(aa_stage *sg, const aa_header *hd, int64_t now_ms)
{
    require_all_done(sg);
    if (sg->phase == LEFT || !is_ours(sg, hd->run_id, now_ms)) return;
    const char *why = hd->seq != sg->next_batch ? "a batch is missing"
                      : stream_is_over(sg)      ? "a batch came after the last barrier"
                                                : NULL;
    if (why) {
        aa_stage_give_up(sg, why, now_ms);
        return;
    }
    push_act(sg, AA_STAGE_STEP)->learn_before =
        !sg->last && hd->seq > sg->depth ? hd->seq - sg->depth + 1 : 0;
}

static void
push_credit(aa_stage *sg)
{
    const aa_control credit = {.hd = {.run_id = sg->run_id,
                                      .seq = sg->next_batch - 1,
                                      .lane = (uint32_t)sg->cfg->pipeline.lane}};
    push_control(sg, AA_STAGE_UP, AA_MSG_CREDIT, &credit);
}

void
aa_stage_stepped(aa_stage *sg)
{
    sg->next_batch++;
    if (!sg->last) push_credit(sg); /* the last one's rewards say as much */
}

/* ---- barriers ---- */

static void
answer_barrier(aa_stage *sg, aa_msg_kind kind)
{
    sg->answer = sg->barrier;
    sg->answer_kind = kind;
    sg->barrier.epoch = 0;
    push_control(sg, AA_STAGE_UP, kind, &sg->answer);
}

static void
begin_saving(aa_stage *sg)
{
    push_act(sg, AA_STAGE_SNAPSHOT)->control = sg->barrier;
    sg->begun = true;
}

static void
cancel_saving(aa_stage *sg)
{
    if (sg->barrier.epoch && sg->begun && !sg->saved) push_act(sg, AA_STAGE_CANCEL);
}

/* The stream's last barrier waits for the last rewards: behind it those below end, and could not
 * send them again. */
static aa_status
on_barrier(aa_stage *sg, const aa_control *c, int64_t now_ms, aa_err *err)
{
    if (c->epoch == 0) return aa_fail(err, AA_EPARSE, "a barrier without an epoch");
    if (!is_ours(sg, c->hd.run_id, now_ms)) return AA_OK;
    const char *why = c->hd.seq != sg->next_batch - 1 ? "a batch before the barrier is missing"
                      : sg->phase == ENDED            ? "a barrier came after the last one"
                                                      : NULL;
    if (why) {
        aa_stage_give_up(sg, why, now_ms);
        return AA_OK;
    }
    cancel_saving(sg); /* of an epoch that was given up */
    sg->barrier = *c;
    sg->begun = sg->saved = false;
    sg->saved_below = sg->last;
    if (!c->final || !rewards_missing(sg)) begin_saving(sg);
    return AA_OK;
}

void
aa_stage_saving(aa_stage *sg)
{
    if (!sg->last) push_control(sg, AA_STAGE_DOWN, AA_MSG_BARRIER, &sg->barrier);
}

void
aa_stage_saved(aa_stage *sg)
{
    sg->saved = sg->begun;
}

/* Our part of the epoch, or one below, could not be saved: it is given up, and the stream goes on.
 * Ingest tries again with the next. */
void
aa_stage_unsaved(aa_stage *sg, const char *reason)
{
    if (!sg->barrier.epoch) return;
    snprintf(sg->barrier.reason, sizeof sg->barrier.reason, "%s", reason);
    answer_barrier(sg, AA_MSG_UNSAVED);
}

void
aa_stage_settled(aa_stage *sg, int64_t now_ms)
{
    if (sg->barrier.final) sg->phase = ENDED;
    sg->heard_up_ms = now_ms;
    answer_barrier(sg, AA_MSG_DURABLE);
}

/* ---- pings ---- */

/* Sent in silence, after all else: whatever it names and we do not know was lost on its way. Our
 * answers may have been, too. */
static void
on_ping(aa_stage *sg, const aa_control *c, int64_t now_ms)
{
    if (!is_ours(sg, c->hd.run_id, now_ms) || sg->phase == OPENING) return;
    const bool answered = c->epoch != 0 && c->epoch == sg->answer.epoch;
    if (c->hd.seq >= sg->next_batch ||
        (c->epoch != 0 && c->epoch != sg->barrier.epoch && !answered)) {
        aa_stage_give_up(sg, "a batch or a barrier was lost on its way", now_ms);
        return;
    }
    if (answered) push_control(sg, AA_STAGE_UP, sg->answer_kind, &sg->answer);
    push_credit(sg);
}

/* ---- messages ---- */

aa_status
aa_stage_from_up(aa_stage *sg, aa_msg_kind kind, const aa_control *c, int64_t now_ms, aa_err *err)
{
    require_all_done(sg);
    if (sg->phase == LEFT) return AA_OK;
    if (c->hd.run_id == 0) return aa_fail(err, AA_EPARSE, "message of kind '%c' of no run", kind);
    switch (kind) {
    case AA_MSG_OPEN: on_open(sg, c, now_ms); return AA_OK;
    case AA_MSG_BARRIER: return on_barrier(sg, c, now_ms, err);
    case AA_MSG_PING: on_ping(sg, c, now_ms); return AA_OK;
    case AA_MSG_RESEND:
        if (!sg->last) break;
        on_resend(sg, c, now_ms);
        return AA_OK;
    case AA_MSG_END:
        if (sg->phase != ENDED || c->hd.run_id != sg->run_id) return AA_OK;
        if (!sg->last) push_control(sg, AA_STAGE_DOWN, AA_MSG_END, c);
        push_act(sg, AA_STAGE_LEAVE);
        sg->phase = LEFT;
        return AA_OK;
    default: break;
    }
    return aa_fail(err, AA_EPARSE, "message of kind '%c' is not for the %s", kind, sg->name);
}

/* A new beginning is wanted below. Its reason begins with its name. */
static void
on_reset_below(aa_stage *sg, const aa_control *c, int64_t now_ms)
{
    if (c->newest_run_id > sg->newest_run_id) sg->newest_run_id = c->newest_run_id;
    aa_stage_act *act = push_reset(sg, sg->run_id, "", now_ms);
    if (act) {
        act->control.epoch = c->epoch;
        snprintf(act->control.reason, sizeof act->control.reason, "%s", c->reason);
    }
    forget_run(sg);
}

aa_status
aa_stage_from_down(aa_stage *sg, aa_msg_kind kind, const aa_control *c, int64_t now_ms, aa_err *err)
{
    require_all_done(sg);
    AA_REQUIRE(!sg->last);
    if (sg->phase == LEFT || !sg->run_id || c->hd.run_id != sg->run_id) return AA_OK;
    sg->heard_down_ms = now_ms;
    const bool of_barrier = c->epoch != 0 && c->epoch == sg->barrier.epoch && sg->begun;
    switch (kind) {
    case AA_MSG_OPENED:
        if (sg->phase != OPENING) return AA_OK;
        sg->phase = RUNNING;
        push_opened(sg);
        if (rewards_missing(sg)) ask_for_rewards(sg, sg->next_batch - 1, now_ms);
        return AA_OK;
    case AA_MSG_CREDIT: return AA_OK; /* it is there: that is all it says */
    case AA_MSG_DURABLE:
        if (of_barrier && c->hd.seq == sg->barrier.hd.seq) sg->saved_below = true;
        return AA_OK;
    case AA_MSG_UNSAVED:
        if (!of_barrier) return AA_OK;
        cancel_saving(sg);
        aa_stage_unsaved(sg, c->reason);
        return AA_OK;
    case AA_MSG_RESET: on_reset_below(sg, c, now_ms); return AA_OK;
    default: return aa_fail(err, AA_EPARSE, "message of kind '%c' from below", kind);
    }
}

/* ---- time ---- */

/* Whoever has been silent for too long is asked: one that lost the run says RESET. */
static void
ask_below(aa_stage *sg, int64_t now_ms)
{
    if (sg->last || !sg->run_id || now_ms - sg->heard_down_ms < ASK_MS ||
        now_ms - sg->asked_ms < ASK_MS)
        return;
    if (sg->phase != OPENING && rewards_missing(sg)) {
        ask_for_rewards(sg, sg->next_batch - 1, now_ms);
        return;
    }
    const aa_control ping = {.hd = {.run_id = sg->run_id, .seq = sg->next_batch - 1},
                             .epoch = sg->begun ? sg->barrier.epoch : 0};
    sg->asked_ms = now_ms;
    push_control(sg, AA_STAGE_DOWN, AA_MSG_PING, &ping);
}

static readiness
readiness_of(const aa_stage *sg, int64_t now_ms)
{
    if (!sg->run_id) return NO_RUN;
    if (sg->phase == OPENING) return NOT_OPENED;
    if (!sg->last && now_ms - sg->heard_down_ms >= AA_STAGE_SILENCE_MS) return SILENT_BELOW;
    if (now_ms - sg->heard_up_ms >= AA_STAGE_SILENCE_MS) return SILENT_ABOVE;
    return READY;
}

static void
say_readiness(aa_stage *sg, int64_t now_ms)
{
    const readiness is = readiness_of(sg, now_ms);
    if (is == sg->said) return;
    sg->said = is;
    aa_stage_act *act = push_act(sg, AA_STAGE_READY);
    act->ready = is == READY;
    act->why = WHY[sg->last][is];
}

void
aa_stage_tick(aa_stage *sg, int64_t now_ms)
{
    require_all_done(sg);
    if (sg->phase == LEFT) return;
    if (!aa_stage_takes_events(sg)) sg->heard_up_ms = now_ms; /* what they said waits on the link */
    if (sg->barrier.epoch && !sg->begun && !rewards_missing(sg)) {
        begin_saving(sg); /* those below know of it only then: no question may name it before */
        return;
    }
    if (sg->barrier.epoch && sg->saved && sg->saved_below) {
        aa_stage_act *act = push_act(sg, AA_STAGE_SETTLE);
        act->control = sg->barrier;
        act->learn_before = sg->barrier.final && !sg->last ? sg->next_reward : 0;
    }
    ask_below(sg, now_ms);
    say_readiness(sg, now_ms);
    /* the others have left without END: they have what they need, or will open a new run */
    if (sg->phase == ENDED && now_ms - sg->heard_up_ms > AA_STAGE_END_WAIT_MS) {
        push_act(sg, AA_STAGE_LEAVE);
        sg->phase = LEFT;
    }
}

bool
aa_stage_takes_events(const aa_stage *sg)
{
    if (sg->last || !sg->run_id) return true; /* to answer, and to see the next OPEN */
    if (sg->phase == OPENING || (sg->barrier.epoch && sg->barrier.final)) return false;
    return sg->next_reward + sg->depth > sg->next_batch;
}

uint64_t
aa_stage_run_id(const aa_stage *sg)
{
    return sg->run_id;
}

void
aa_stage_stats_get(const aa_stage *sg, aa_stage_stats *out)
{
    *out = sg->stats;
}
