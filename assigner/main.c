/* assigner - the Identity Agent's process: IDs in, slots out; learns from the rewards.
 *
 * Wiring only. What is decided about IDs is assigner/assigner.c's, about the run common/stage's. The
 * rule that makes a replay reproducible is theirs, too: batch n is assigned after learning from the
 * rewards of batch n - depth, and from none that is younger, however early they arrive.
 */
#include "assigner/assigner_metrics.h"
#include "assigner/assigner_stage.h"
#include "assigner/field/field.h"
#include "assigner/publish_assignments.h"
#include "common/kafka/kafka_conf.h"
#include "common/links/link.h"
#include "common/service/program.h"
#include "common/service/retry.h"
#include "common/stage/stage_run.h"
#include "common/state/checkpoint.h"

typedef struct {
    const aa_conf       *cfg;
    aa_link             *up;      /* ingest talks to us here */
    aa_link             *down;    /* to the learner */
    aa_link             *rewards; /* from the learner */
    publish_assignments *pa;      /* NULL: publish.enabled is off */
    assigner_metrics    *am;
    assigner_stage       sg;
} app;

static aa_status
open_publisher(void *arg, aa_err *err)
{
    app *ap = arg;
    return publish_assignments_open(&ap->pa, ap->cfg, err);
}

static aa_status
open_all(app *ap, aa_metrics *ms, aa_err *err)
{
    const aa_conf     *cfg = ap->cfg;
    const aa_link_keys keys = aa_link_keys_of(cfg);
    aa_status          st = assigner_stage_init(&ap->sg, cfg, err);
    if (st == AA_OK) st = aa_ckpt_lock(cfg, "assigner", err);
    if (st == AA_OK) st = aa_link_open(&ap->up, AA_LINK_BIND, cfg->links.events, &keys, err);
    if (st == AA_OK) st = aa_link_open(&ap->down, AA_LINK_CONNECT, cfg->links.assigned, &keys, err);
    if (st == AA_OK)
        st = aa_link_open(&ap->rewards, AA_LINK_SUBSCRIBE, cfg->links.rewards, &keys, err);
    if (st == AA_OK && cfg->publish.enabled) st = aa_retry("KAFKA-WAIT", open_publisher, ap, err);
    if (st == AA_OK) st = assigner_metrics_new(&ap->am, ms, cfg, err);
    if (st == AA_OK) {
        aa_link_export(ap->up, ms, "events");
        aa_link_export(ap->down, ms, "assigned");
        aa_link_export(ap->rewards, ms, "rewards");
    }
    ap->sg.down = ap->down;
    ap->sg.pa = ap->pa;
    ap->sg.am = ap->am;
    return st;
}

static void
close_all(app *ap)
{
    assigner_metrics_free(&ap->am);
    publish_assignments_close(&ap->pa);
    aa_link_close(&ap->up);
    aa_link_close(&ap->down);
    aa_link_close(&ap->rewards);
    assigner_stage_fini(&ap->sg);
}

static aa_status
run_assigner(aa_context *ctx, aa_err *err)
{
    app  ap = {.cfg = ctx->cfg};
    bool ended = false;
    aa_set_ready(ctx, false, "starting");
    aa_status            st = open_all(&ap, ctx->ms, err);
    const aa_stage_setup su = {.ctx = ctx,
                               .name = "assigner",
                               .batch_kind = AA_MSG_EVENTS,
                               .up = ap.up,
                               .down = ap.down,
                               .rewards = ap.rewards,
                               .ops = &assigner_stage_ops,
                               .arg = &ap.sg};
    if (st == AA_OK) st = aa_stage_run(&su, &ended, err);
    if (st == AA_OK) st = assigner_stage_finish(&ap.sg, ended, err);
    if (st == AA_EAGAIN && aa_stop_requested()) st = AA_OK; /* stopped while there was no broker */
    close_all(&ap);
    return st;
}

static size_t
threads_needed(const aa_conf *cfg)
{
    return AA_PROGRAM_THREADS + aa_kafka_threads(cfg, 2);
}

static aa_status
check_assigner(const aa_conf *cfg, aa_err *err)
{
    uint64_t    limit;
    byte_budget bb;
    aa_status   st = byte_budget_init(&bb, cfg, err);
    for (uint32_t f = 0; st == AA_OK && f < cfg->field_count; f++)
        st = field_row_limit(cfg, f, &limit, err);
    return st;
}

int
main(int argc, char **argv)
{
    const aa_program program = {
        .name = "assigner",
        .summary = "the Identity Agent: gives IDs shared or unique rows",
        .run = run_assigner,
        .threads = threads_needed,
        .check = check_assigner,
    };
    return aa_program_main(&program, argc, argv);
}
