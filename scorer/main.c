/* scorer - answers score requests from a replica of the two compacted topics.
 *
 * Threads: the main thread reads the topics and applies them (scorer/updater). Behind the two
 * endpoints (scorer/serve) scorer.threads others score. One thread gathers the other processes'
 * metrics for the page (scorer/api/page).
 */
#include "common/kafka/kafka_conf.h"
#include "common/service/program.h"
#include "scorer/api/page.h"
#include "scorer/replica/replica.h"
#include "scorer/scorer_metrics.h"
#include "scorer/serve.h"
#include "scorer/updater.h"

static aa_status
run_scorer(aa_context *ctx, aa_err *err)
{
    scorer_metrics sm;
    replica       *rp = NULL;
    page          *pg = NULL;
    serve         *se = NULL;
    updater       *up = NULL;
    scorer_metrics_init(&sm, ctx->ms, ctx->cfg);
    aa_status st = replica_new(&rp, ctx->cfg, err);
    if (st == AA_OK) st = page_open(&pg, ctx, err);
    if (st == AA_OK) st = serve_open(&se, ctx, rp, &sm, page_answer, pg, err);
    if (st == AA_OK) st = updater_new(&up, ctx, &rp, se, &sm, err);
    if (st == AA_OK) st = updater_run(up, err);
    serve_close(&se); /* its threads read one of the updater's replicas */
    page_close(&pg);
    updater_free(&up);
    replica_free(&rp);
    return st;
}

/* Besides those that score: for the page, the ZeroMQ endpoint and the requests that wait. */
static size_t
threads_needed(const aa_conf *cfg)
{
    return AA_PROGRAM_THREADS + aa_kafka_threads(cfg, 2) + (size_t)cfg->scorer.threads + 3;
}

static aa_status
check_scorer(const aa_conf *cfg, aa_err *err)
{
    aa_status st = replica_check(cfg, err);
    return st == AA_OK ? page_check(cfg, err) : st;
}

int
main(int argc, char **argv)
{
    static const aa_program program = {
        .name = "scorer",
        .summary = "answer score requests from a replica of the compacted topics",
        .run = run_scorer,
        .threads = threads_needed,
        .check = check_scorer,
    };
    return aa_program_main(&program, argc, argv);
}
