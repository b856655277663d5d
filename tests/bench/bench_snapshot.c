/* What a checkpoint costs a learner with a large table: how long the fork holds it up, how long the
 * child writes, how long batches take meanwhile, when pages are copied as they are written to, and
 * what making huge pages of them again takes (common/state/arena), a piece between two batches.
 *
 *   bench_snapshot [GIGABYTES] [FOLDER]     (1 GB of rows, checkpoint under /tmp)
 *
 * Prints one JSON object; times in milliseconds. The table is filled with rows of their own
 * (dimension 16), then every batch reads and updates rows all over it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/agent/mode.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/config/conf.h"
#include "common/state/checkpoint.h"
#include "common/state/snapshot.h"
#include "learner/learner.h"

enum { FILL = 4096, BATCH = 512, SNAPSHOTS = 5, MOST = 200000 };

typedef struct {
    aa_conf           cfg;
    learner          *le;
    aa_assigned_batch in;
    aa_reward_batch   out;
    uint64_t          rows, seq; /* rows of each field */
    double            ms[MOST];  /* of batches */
    size_t            count;
} bench;

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_snapshot: %s\n", err->text);
    exit(1);
}

/* n events; fill: each with new rows, else of rows that are there. */
static void
next_batch(bench *be, size_t n, bool fill)
{
    aa_assigned_batch *b = &be->in;
    const size_t       F = be->cfg.field_count;
    aa_err             err = AA_ERR_INIT;
    check(aa_assigned_batch_reserve(b, n, F, &err), &err);
    b->n = n;
    b->F = F;
    b->op_count = b->sweep_count = 0;
    b->hd = (aa_header){1, ++be->seq, 0};
    for (size_t i = 0; i < n; i++) {
        b->label[i] = (float)(i % 2);
        b->seen[i] = 10;
        for (size_t f = 0; f < F; f++) {
            const uint64_t any = aa_rng_bits(7, AA_RNG_TEST, be->seq, i * F + f);
            const uint64_t row = fill ? be->rows + i : any % be->rows;
            const size_t   at = i * F + f;
            b->slot[at] = (uint32_t)(aa_shared_rows(&be->cfg) + row);
            b->mix[at] = b->alt_mix[at] = 0.0f;
            b->signal[at] = 0;
            b->alt_slot[at] = AA_NO_SLOT;
            b->state[at] = b->next_state[at] = AA_NO_STATE;
            b->baseline[at] = NAN;
            if (!fill) continue;
            const aa_op op = {.event_idx = (uint32_t)i,
                              .kind = AA_OP_INIT,
                              .field = (uint8_t)f,
                              .slot = b->slot[at],
                              .source = AA_NO_SLOT};
            check(aa_assigned_batch_op(b, op, &err), &err);
        }
    }
    if (fill) be->rows += n;
}

static double
step(bench *be)
{
    aa_err        err = AA_ERR_INIT;
    const int64_t start_us = aa_now_us();
    check(learner_step(be->le, &be->in, &be->out, NULL, &err), &err);
    return (double)(aa_now_us() - start_us) / 1e3;
}

static aa_status
save(const void *arg, uint64_t epoch, aa_err *err)
{
    const bench    *be = arg;
    aa_ckpt_writer *w = NULL;
    aa_status       st = aa_ckpt_create(&w, &be->cfg, "learner", epoch, err);
    if (st == AA_OK) st = learner_save(be->le, w, err);
    if (st == AA_OK) st = aa_ckpt_commit(&w, 0, err);
    aa_ckpt_abort(&w);
    return st;
}

static int
compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static json_t *
quantiles(bench *be)
{
    qsort(be->ms, be->count, sizeof *be->ms, compare);
    json_t *js = json_pack("{s:I, s:f, s:f, s:f}", "batches", (json_int_t)be->count, "p50",
                           be->ms[be->count / 2], "p99", be->ms[be->count * 99 / 100], "max",
                           be->ms[be->count - 1]);
    be->count = 0;
    return js;
}

static void
measure_step(bench *be)
{
    next_batch(be, BATCH, false);
    const double ms = step(be);
    if (be->count < MOST) be->ms[be->count++] = ms;
}

/* Between batches, as the learner's loop does it. */
static void
tidy(bench *be, double *sum, double *most)
{
    bool more = true;
    while (more) {
        const int64_t start_us = aa_now_us();
        more = learner_tidy(be->le);
        const double ms = (double)(aa_now_us() - start_us) / 1e3;
        *sum += ms;
        if (ms > *most) *most = ms;
        next_batch(be, BATCH, false);
        (void)step(be);
    }
}

int
main(int argc, char **argv)
{
    static bench  be;
    const double  gb = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    char          folder[] = "/tmp/bench-snapshot-XXXXXX";
    double        pause_most = 0, write_sum = 0, tidy_sum = 0, tidy_most = 0;
    learner_stats stats = {0};
    aa_err        err = AA_ERR_INIT;

    aa_conf_defaults(&be.cfg);
    be.cfg.agent.mode = AA_MODE_UNIQUE;
    be.cfg.model.step = 64;
    if (argc <= 2 && !mkdtemp(folder)) return 1;
    snprintf(be.cfg.checkpoint.dir, sizeof be.cfg.checkpoint.dir, "%s",
             argc > 2 ? argv[2] : folder);
    check(aa_conf_finish(&be.cfg, &err), &err);
    check(learner_new(&be.le, &be.cfg, &err), &err);
    while ((double)stats.row_bytes < gb * 1e9) {
        next_batch(&be, FILL, true);
        (void)step(&be);
        learner_stats_get(be.le, &stats);
    }
    for (int i = 0; i < 200; i++)
        measure_step(&be);
    json_t *js = json_pack("{s:f, s:I, s:o, s:[]}", "row_gb", (double)stats.row_bytes / 1e9, "rows",
                           (json_int_t)(be.rows * be.cfg.field_count), "batch_ms_undisturbed",
                           quantiles(&be), "pause_ms");
    for (uint64_t epoch = 1; epoch <= SNAPSHOTS; epoch++) {
        aa_snapshot   sn = {0};
        bool          done = false;
        const int64_t start_us = aa_now_us();
        check(aa_snapshot_start(&sn, epoch, save, &be, &err), &err);
        const double pause_ms = (double)sn.pause_us / 1e3;
        if (pause_ms > pause_most) pause_most = pause_ms;
        json_array_append_new(json_object_get(js, "pause_ms"), json_real(pause_ms));
        while (!done) {
            measure_step(&be);
            check(aa_snapshot_poll(&sn, false, &done, &err), &err);
        }
        write_sum += (double)(aa_now_us() - start_us) / 1e3;
        tidy(&be, &tidy_sum, &tidy_most);
    }
    json_object_set_new(js, "pause_ms_max", json_real(pause_most));
    json_object_set_new(js, "batch_ms_meanwhile", quantiles(&be));
    json_object_set_new(js, "write_ms_mean", json_real(write_sum / SNAPSHOTS));
    json_object_set_new(js, "tidy_ms_mean", json_real(tidy_sum / SNAPSHOTS));
    json_object_set_new(js, "tidy_ms_max", json_real(tidy_most));
    json_dumpf(js, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
    putchar('\n');
    json_decref(js);
    learner_free(&be.le);
    if (argc <= 2) {
        char command[128];
        snprintf(command, sizeof command, "rm -rf '%s'", folder);
        if (system(command) != 0) return 1;
    }
    return 0;
}
