#include "assigner/assigner_stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/leakage.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum {
    FLUSH_MS = 500,
    LAST_FLUSH_MS = 60000,
    CLOCKS_APART_MS = 60000 /* this machine's and Kafka's, at most */
};

aa_status
assigner_stage_init(assigner_stage *sg, const aa_conf *cfg, aa_err *err)
{
    *sg = (assigner_stage){.cfg = cfg};
    sg->waiting = calloc((size_t)cfg->pipeline.depth, sizeof *sg->waiting);
    return sg->waiting ? AA_OK : aa_fail(err, AA_ENOMEM, "ring of rewards");
}

void
assigner_stage_fini(assigner_stage *sg)
{
    assigner_free(&sg->as);
    aa_event_batch_fini(&sg->in);
    aa_assigned_batch_fini(&sg->out);
    aa_reward_batch_fini(&sg->rw);
    for (int64_t i = 0; sg->waiting && i < sg->cfg->pipeline.depth; i++)
        aa_reward_batch_fini(&sg->waiting[i]);
    free(sg->waiting);
    aa_bytes_fini(&sg->bytes);
}

/* ---- the state ---- */

static aa_status
renew_assigner(void *arg, aa_err *err)
{
    assigner_stage *sg = arg;
    assigner_free(&sg->as);
    return assigner_new(&sg->as, sg->cfg, err);
}

static void
drop_assigner(void *arg)
{
    assigner_stage *sg = arg;
    assigner_free(&sg->as);
}

static aa_status
restore_assigner(void *arg, aa_ckpt_reader *r, aa_err *err)
{
    assigner_stage *sg = arg;
    return assigner_restore(sg->as, r, err);
}

static aa_status
save_assigner(const void *arg, aa_ckpt_writer *w, aa_err *err)
{
    const assigner_stage *sg = arg;
    return assigner_save(sg->as, w, err);
}

static bool
tidy_assigner(void *arg)
{
    assigner_stage *sg = arg;
    return sg->as && assigner_tidy(sg->as);
}

static uint64_t
next_batch(const void *arg)
{
    const assigner_stage *sg = arg;
    return assigner_next_batch(sg->as);
}

static uint64_t
next_reward(const void *arg)
{
    const assigner_stage *sg = arg;
    return assigner_next_reward(sg->as);
}

/* ---- the run ---- */

static aa_status
begin_run(void *arg, uint64_t run_id, aa_err *err)
{
    assigner_stage *sg = arg;
    aa_status       st = assigner_metrics_begin(sg->am, sg->as, err);
    if (st != AA_OK) return st;
    sg->run_id = run_id;
    sg->publish_all = true;
    sg->held = sg->cfg->publish.hold; /* until the learner says */
    sg->run_wall_ms = aa_wall_ms();
    sg->tell_new = sg->cfg->ingest.run == AA_RUN_LIVE; /* a replay ends with exact values */
    assigner_tell_new(sg->as, sg->tell_new);
    return AA_OK;
}

static void
forget_run(void *arg)
{
    assigner_stage *sg = arg;
    sg->run_id = 0;
    sg->ending = false;
}

static aa_status
take_rewards(void *arg, const void *buf, size_t len, aa_header *hd, aa_err *err)
{
    assigner_stage *sg = arg;
    aa_status       st = aa_wire_unpack_rewards(&sg->rw, buf, len, err);
    *hd = sg->rw.hd;
    return st;
}

static void
keep_rewards(void *arg)
{
    assigner_stage       *sg = arg;
    aa_reward_batch      *place = &sg->waiting[sg->rw.hd.seq % (uint64_t)sg->cfg->pipeline.depth];
    const aa_reward_batch freed = *place;
    *place = sg->rw;
    sg->rw = freed;
}

/* Learn, in order, from the rewards of batches before `seq`; they have arrived. */
static aa_status
learn_rewards(assigner_stage *sg, uint64_t seq, aa_err *err)
{
    while (assigner_next_reward(sg->as) < seq) {
        const uint64_t next = assigner_next_reward(sg->as);
        const int64_t  start_us = aa_now_us();
        aa_status      st =
            assigner_learn(sg->as, &sg->waiting[next % (uint64_t)sg->cfg->pipeline.depth], err);
        if (st != AA_OK) return st;
        assigner_metrics_learned(sg->am, aa_now_us() - start_us);
    }
    return AA_OK;
}

static aa_status
take_events(void *arg, const void *buf, size_t len, aa_header *hd, aa_err *err)
{
    assigner_stage *sg = arg;
    aa_status       st = aa_wire_unpack_events(&sg->in, buf, len, err);
    *hd = sg->in.hd;
    return st;
}

/* What no learner would take is no bad message from outside: it would come again for ever. */
static aa_status
pack_assigned(assigner_stage *sg, aa_err *err)
{
    aa_status st = aa_wire_pack_assigned(&sg->bytes, &sg->out, err);
    if (st != AA_EPARSE) return st;
    const aa_err why = *err;
    st = aa_fail(err, AA_EDIVERGED, "batch %" PRIu64 " as assigned: %.200s", sg->out.hd.seq,
                 why.text);
    aa_error("MODEL-DIVERGED", "%s", err->text);
    return st;
}

/* Once per field: what was learned with it is not worth much, but the stream continues. */
static void
warn_of_leaks(assigner_stage *sg)
{
    for (uint32_t f = 0; f < sg->cfg->field_count; f++) {
        const double auc = assigner_lean_auc(sg->as, f);
        if (sg->leaks[f] || !(auc >= LEAKAGE_AUC)) continue;
        char kv[128] = "";
        snprintf(kv, sizeof kv, "field=%s auc=%.4f", sg->cfg->fields[f].name, auc);
        aa_log_write(AA_WARN, "FIELD-LEAKS", kv,
                     "the field alone predicts the label: is it the label under another name, or "
                     "made from it? Scores are asked for before the label is known");
        sg->leaks[f] = true;
    }
}

static aa_status
step_assigner(void *arg, uint64_t learn_before, aa_err *err)
{
    assigner_stage *sg = arg;
    aa_status       st = learn_rewards(sg, learn_before, err);
    if (st != AA_OK) return st;
    if (sg->tell_new && sg->in.oldest_kafka_ms > sg->run_wall_ms + CLOCKS_APART_MS)
        assigner_tell_new(sg->as, sg->tell_new = false); /* no run before can have had these */
    const int64_t start_us = aa_now_us();
    st = assigner_step(sg->as, &sg->in, &sg->out, err);
    if (st != AA_OK) return st;
    assigner_metrics_step(sg->am, &sg->in, aa_now_us() - start_us);
    warn_of_leaks(sg);
    st = assigner_metrics_series(sg->am, sg->as, false, err);
    if (st == AA_OK) st = pack_assigned(sg, err);
    if (st != AA_OK) return st;
    st = aa_link_send(sg->down, AA_MSG_ASSIGNED, sg->bytes.data, sg->bytes.len, err);
    return st == AA_EFULL ? aa_fail(err, AA_EFULL, "the learner does not take batches") : st;
}

/* ---- publishing ---- */

/* Assignments point at rows: they wait together with the learner's rows. */
static void
heed_hold(void *arg, bool hold)
{
    assigner_stage *sg = arg;
    sg->held = hold;
}

/* A broker that is behind or away holds up nothing: the rest is sent when it is back. */
static aa_status
publish_changes(assigner_stage *sg, aa_err *err)
{
    if (!sg->pa || !sg->run_id || sg->held) return AA_OK;
    aa_status st = publish_assignments_send(sg->pa, sg->as, sg->run_id, sg->publish_all, err);
    if (st == AA_EAGAIN || st == AA_EFULL) {
        aa_warn("PUBLISH-WAIT", "%s", err->text);
        sg->publish_all = sg->publish_all || st == AA_EFULL; /* a part of what changed was lost */
        return AA_OK;
    }
    if (st != AA_OK) return st;
    sg->publish_all = false;
    assigner_metrics_published(sg->am, publish_assignments_sent(sg->pa));
    return AA_OK;
}

/* The last publish left something to send. */
static bool
publish_pending(const assigner_stage *sg)
{
    return sg->pa && !sg->held && (sg->publish_all || publish_assignments_pending(sg->pa));
}

static aa_status
publish_in_time(void *arg, aa_err *err)
{
    assigner_stage *sg = arg;
    const int64_t   now_ms = aa_now_ms();
    const bool      due = now_ms - sg->published_ms >= sg->cfg->publish.every_ms;
    if (!due && !(sg->as && sg->pa && !sg->held && assigner_crowded(sg->as))) return AA_OK;
    sg->published_ms = now_ms;
    assigner_metrics_refresh(sg->am, sg->as);
    return publish_changes(sg, err);
}

/* What ingest takes as the end must be: nothing to learn any more, and scorers have it. */
static aa_status
settle_assigner(void *arg, const aa_control *barrier, uint64_t learn_before, aa_err *err)
{
    assigner_stage *sg = arg;
    if (!barrier->final) return AA_OK;
    aa_status st = learn_rewards(sg, learn_before, err);
    if (st == AA_OK && !sg->ending) assigner_changes_exact(sg->as);
    if (st == AA_OK && (!sg->ending || publish_pending(sg))) st = publish_changes(sg, err);
    if (st != AA_OK) return st;
    sg->ending = true;
    if (publish_pending(sg)) return AA_EAGAIN;
    st = sg->pa ? publish_assignments_flush(sg->pa, FLUSH_MS, err) : AA_OK;
    sg->ending = false; /* or again, in case something was lost for good */
    if (st != AA_EIO) return st;
    aa_warn("PUBLISH-WAIT", "%s", err->text);
    return AA_EAGAIN;
}

/* ---- the end ---- */

aa_status
assigner_stage_finish(assigner_stage *sg, bool ended, aa_err *err)
{
    aa_status st = AA_OK;
    if (!sg->as) return AA_OK;                  /* stopped before a run began */
    if (!ended) assigner_changes_exact(sg->as); /* scorers are to have these values */
    if (st == AA_OK && !ended) st = publish_changes(sg, err);
    if (st == AA_OK && sg->pa) st = publish_assignments_flush(sg->pa, LAST_FLUSH_MS, err);
    if (st == AA_OK && ended) st = assigner_metrics_series(sg->am, sg->as, true, err);
    if (st != AA_OK) return st;
    assigner_metrics_refresh(sg->am, sg->as);
    return assigner_metrics_final(sg->as, sg->cfg, err);
}

const aa_stage_ops assigner_stage_ops = {.renew = renew_assigner,
                                         .drop = drop_assigner,
                                         .restore = restore_assigner,
                                         .save = save_assigner,
                                         .tidy = tidy_assigner,
                                         .next_batch = next_batch,
                                         .next_reward = next_reward,
                                         .begin = begin_run,
                                         .forget = forget_run,
                                         .take_batch = take_events,
                                         .step = step_assigner,
                                         .take_rewards = take_rewards,
                                         .keep_rewards = keep_rewards,
                                         .settle = settle_assigner,
                                         .heed_hold = heed_hold,
                                         .turn = publish_in_time};
