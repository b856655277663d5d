/* Events of learner_step per second of CPU time (one thread; other load on the machine counts
 * little), per model and events per optimizer step, over batches of 512 events that are made
 * beforehand. One line each: name value. An argument is the least seconds per figure. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/config/conf.h"
#include "learner/learner.h"
#include "tests/fakes/stream.h"

enum { BATCH = 512, BATCHES = 400 };

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static aa_assigned_batch *
make_batches(const aa_conf *cfg)
{
    aa_assigned_batch *all = calloc(BATCHES, sizeof *all);
    stream             sr;
    AA_REQUIRE(all);
    stream_init(&sr, cfg, 1);
    for (size_t i = 0; i < BATCHES; i++)
        stream_next(&sr, &all[i], BATCH);
    stream_fini(&sr);
    return all;
}

/* Passes over the batches, each with a new learner, until least_s were measured. */
static void
measure(const aa_conf *cfg, const aa_assigned_batch *all, double least_s)
{
    aa_reward_batch out = {0};
    aa_err          err = AA_ERR_INIT;
    double          spent = 0.0, auc = 0.0;
    size_t          events = 0;
    while (spent < least_s) {
        learner *le = NULL;
        AA_REQUIRE(learner_new(&le, cfg, &err) == AA_OK);
        double start = now_s();
        for (size_t i = 0; i < BATCHES; i++)
            AA_REQUIRE(learner_step(le, &all[i], &out, NULL, &err) == AA_OK);
        spent += now_s() - start;
        events += (size_t)BATCH * BATCHES;
        quality_summary ms;
        learner_quality(le, &ms);
        auc = ms.slice[QUALITY_ALL].auc;
        learner_free(&le);
    }
    printf("learner_events_per_s{model=\"%s\",step=\"%lld\"} %.0f\n",
           aa_model_id_text(cfg->model.kind), (long long)cfg->model.step, (double)events / spent);
    printf("learner_auc{model=\"%s\",step=\"%lld\"} %.4f\n", aa_model_id_text(cfg->model.kind),
           (long long)cfg->model.step, auc);
    fflush(stdout);
    aa_reward_batch_fini(&out);
}

int
main(int argc, char **argv)
{
    static const enum aa_model_id models[] = {AA_MODEL_DEEPFM, AA_MODEL_FM, AA_MODEL_MLP,
                                              AA_MODEL_WIDEDEEP, AA_MODEL_DCN};
    static const int64_t          steps[] = {1, 8, 64, 256};
    const double                  least_s = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    static aa_conf                cfg;
    aa_conf_defaults(&cfg);
    aa_assigned_batch *all = make_batches(&cfg);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            cfg.model.kind = models[m];
            cfg.model.step = steps[s];
            measure(&cfg, all, least_s);
        }
    for (size_t i = 0; i < BATCHES; i++)
        aa_assigned_batch_fini(&all[i]);
    free(all);
    return 0;
}
