/* learner - predicts, records, then trains; rewards go back, rows and weights go to the scorers.
 *
 * Wiring only. What is computed is learner/learner.c's, what is decided about the run
 * common/stage's.
 */
#include "common/kafka/kafka_conf.h"
#include "common/links/link.h"
#include "common/service/program.h"
#include "common/service/retry.h"
#include "common/stage/stage_run.h"
#include "common/state/checkpoint.h"
#include "learner/hold.h"
#include "learner/learner_metrics.h"
#include "learner/learner_stage.h"
#include "learner/publish_model.h"
#include "learner/publish_predictions.h"

typedef struct {
    const aa_conf       *cfg;
    aa_link             *up;      /* the assigner talks to us here */
    aa_link             *rewards; /* to all subscribers */
    publish_model       *pm;      /* NULL: publish.enabled is off */
    publish_predictions *pp;      /* NULL: no topic */
    learner_metrics     *lm;
    hold                *ho; /* NULL: publish.hold is off */
    learner_stage        sg;
} app;

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
open_all(app *ap, aa_metrics *ms, aa_err *err)
{
    const aa_conf     *cfg = ap->cfg;
    const aa_link_keys keys = aa_link_keys_of(cfg);
    learner_stage_init(&ap->sg, cfg);
    aa_status st = aa_ckpt_lock(cfg, "learner", err);
    if (st == AA_OK && cfg->publish.hold) st = hold_open(&ap->ho, cfg, err);
    if (st == AA_OK) st = aa_link_open(&ap->up, AA_LINK_BIND, cfg->links.assigned, &keys, err);
    if (st == AA_OK)
        st = aa_link_open(&ap->rewards, AA_LINK_PUBLISH, cfg->links.rewards, &keys, err);
    if (st == AA_OK) st = aa_retry("KAFKA-WAIT", open_publishers, ap, err);
    if (st == AA_OK) st = learner_metrics_new(&ap->lm, ms, cfg, err);
    if (st == AA_OK) {
        aa_link_export(ap->up, ms, "assigned");
        aa_link_export(ap->rewards, ms, "rewards");
    }
    ap->sg.up = ap->up;
    ap->sg.rewards = ap->rewards;
    ap->sg.pm = ap->pm;
    ap->sg.pp = ap->pp;
    ap->sg.lm = ap->lm;
    ap->sg.ho = ap->ho;
    return st;
}

static void
close_all(app *ap)
{
    learner_metrics_free(&ap->lm);
    hold_close(&ap->ho);
    publish_predictions_close(&ap->pp);
    publish_model_close(&ap->pm);
    aa_link_close(&ap->up);
    aa_link_close(&ap->rewards);
    learner_stage_fini(&ap->sg);
}

static aa_status
run_learner(aa_context *ctx, aa_err *err)
{
    app  ap = {.cfg = ctx->cfg};
    bool ended = false;
    aa_set_ready(ctx, false, "starting");
    aa_status            st = open_all(&ap, ctx->ms, err);
    const aa_stage_setup su = {.ctx = ctx,
                               .name = "learner",
                               .batch_kind = AA_MSG_ASSIGNED,
                               .up = ap.up,
                               .ops = &learner_stage_ops,
                               .arg = &ap.sg};
    if (st == AA_OK) st = aa_stage_run(&su, &ended, err);
    if (st == AA_OK) st = learner_stage_finish(&ap.sg, ended, err);
    if (st == AA_EAGAIN && aa_stop_requested()) st = AA_OK; /* stopped while there was no broker */
    close_all(&ap);
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
        .run = run_learner,
        .threads = threads_needed,
    };
    return aa_program_main(&program, argc, argv);
}
