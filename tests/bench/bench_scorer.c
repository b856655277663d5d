/* bench_scorer - what one request costs inside the scorer, while updates stream in.
 *
 *   bench_scorer [section.key=value]...
 *
 * A replica of ITEMS items with rows of their own; requests of CANDIDATES random items, as protobuf
 * bytes in and out. Measured: the whole step; the look-ups alone (ID to assignment to row); the
 * forward pass alone (these two as CPU time, and the look-ups of a plain full table beside them).
 * Then the whole step again beside an updater that applies records as fast as it can. Prints one
 * JSON object; times in microseconds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/batch.h"
#include "common/conf.h"
#include "common/dense.h"
#include "common/hash.h"
#include "common/model.h"
#include "common/rng.h"
#include "scorer/scorer.h"

enum { ITEMS = 500000, CANDIDATES = 100, REQUESTS = 5000, SEED = 1 };

typedef struct {
    aa_conf     cfg;
    replica    *rp;
    scorer     *sc;
    size_t      W;
    float      *dense;
    size_t      dense_count;
    atomic_bool stop;
    uint64_t    updates;
    double      update_s;
} bench;

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_scorer: %s\n", err->text);
    exit(1);
}

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Of this thread: what other processes take does not count. */
static double
cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
apply(bench *b, uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *by)
{
    aa_err         err = AA_ERR_INIT;
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.kind = kind, .field = field, .id = id};
    replica_effect effect;
    aa_topic_key_put(key, &k);
    check(replica_apply(b->rp, key, sizeof key, by->data, by->len, &effect, &err), &err);
}

static void
put_row(bench *b, uint32_t field, uint32_t slot, uint64_t version, uint64_t born, aa_bytes *by)
{
    aa_err      err = AA_ERR_INIT;
    float       w[1025];
    aa_row_head rh = {.run_id = 1, .version = version, .born = born};
    aa_rng_normal(w, b->W, 0.1, SEED, AA_RNG_TEST, slot);
    check(aa_wire_pack_row(by, &rh, w, b->W, &err), &err);
    apply(b, AA_KEY_ROW, field, slot, by);
}

static void
fill(bench *b)
{
    aa_err               err = AA_ERR_INIT;
    aa_bytes             by = {0};
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(b->cfg.model.kind);
    aa_model_shape_of(&sh, &b->cfg);
    for (uint32_t f = 0; f < 2; f++) {
        aa_assignment fresh = {.run_id = 1, .version = 1, .position = 1};
        check(aa_wire_pack_assignment(&by, &fresh, &err), &err);
        apply(b, AA_KEY_NEW_ID, f, 0, &by);
        put_row(b, f, 0, 1, 0, &by);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        aa_assignment a = {.run_id = 1, .version = 1, .slot = 16 + i, .born = 1, .position = 6};
        check(aa_wire_pack_assignment(&by, &a, &err), &err);
        apply(b, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key_number(i), &by);
        put_row(b, REPLICA_ITEM, 16 + i, 1, 1, &by);
    }
    b->dense_count = kind->weight_count(&sh);
    b->dense = calloc(b->dense_count, sizeof *b->dense);
    kind->init(&sh, b->dense, SEED);
    aa_dense_message d = {.run_id = 1,
                          .version = 1,
                          .F = sh.F,
                          .K = sh.K,
                          .hidden_count = sh.H,
                          .w = b->dense,
                          .w_count = b->dense_count};
    memcpy(d.hidden, sh.hidden, sizeof sh.hidden);
    snprintf(d.model, sizeof d.model, "%s", kind->name);
    check(aa_wire_pack_dense(&by, &d, &err), &err);
    apply(b, AA_KEY_DENSE, 0, 0, &by);
    aa_bytes_fini(&by);
}

static uint32_t
candidate(uint64_t request, uint64_t i)
{
    return (uint32_t)(aa_rng_bits(SEED, AA_RNG_TEST, request, i) % ITEMS);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* us (REQUESTS) of whole steps, sorted. */
static void
time_steps(bench *b, double *us)
{
    aa_err       err = AA_ERR_INIT;
    aa_bytes     in = {0}, out = {0};
    scorer_tally tally;
    char         text[CANDIDATES][12];
    aa_text      item[CANDIDATES];
    for (uint64_t r = 0; r < REQUESTS; r++) {
        for (uint64_t i = 0; i < CANDIDATES; i++) {
            int len = snprintf(text[i], sizeof text[i], "%u", candidate(r, i));
            item[i] = (aa_text){text[i], (size_t)len};
        }
        aa_score_request rq = {.user = {"u", 1}, .item = item, .item_count = CANDIDATES};
        check(aa_score_pack_request(&in, &rq, &err), &err);
        double from_s = now_s();
        check(scorer_step(b->sc, NULL, in.data, in.len, &out, &tally, &err), &err);
        us[r] = (now_s() - from_s) * 1e6;
        if (tally.status || tally.items != CANDIDATES || tally.fallbacks || tally.rows_missing)
            check(aa_fail(&err, AA_EBUG, "status %u", tally.status), &err);
    }
    qsort(us, REQUESTS, sizeof *us, by_value);
    aa_bytes_fini(&in);
    aa_bytes_fini(&out);
}

/* The mean forward pass of CANDIDATES, in the blocks that the replica uses; rows as they come. */
static double
time_forward(const bench *b)
{
    const aa_model_kind *kind = aa_model_find(b->cfg.model.kind);
    aa_model_shape       sh;
    size_t               block = AA_DENSE_SMALL - 1;
    aa_model_shape_of(&sh, &b->cfg);
    float *x = calloc(CANDIDATES * sh.F * b->W, sizeof *x), logit[CANDIDATES];
    float *scratch = calloc(kind->scratch_count(&sh, block) + 1, sizeof *scratch);
    aa_rng_normal(x, CANDIDATES * sh.F * b->W, 0.1, SEED, AA_RNG_TEST, 77);
    double from_s = cpu_s();
    for (int r = 0; r < REQUESTS; r++)
        for (size_t i = 0; i < CANDIDATES; i += block) {
            size_t B = CANDIDATES - i < block ? CANDIDATES - i : block;
            kind->forward(&sh, b->dense, x + i * sh.F * b->W, B, logit + i, scratch);
        }
    double us = (cpu_s() - from_s) * 1e6 / REQUESTS;
    free(x);
    free(scratch);
    return us;
}

/* Applies one row after the other. */
static void *
update(void *arg)
{
    bench   *b = arg;
    aa_bytes by = {0};
    double   from_s = now_s();
    for (; !atomic_load(&b->stop); b->updates++)
        put_row(b, REPLICA_ITEM, 16 + candidate(b->updates, 1), 2 + b->updates, 1, &by);
    b->update_s = now_s() - from_s;
    aa_bytes_fini(&by);
    return NULL;
}

/* Look-ups and forward pass, without the messages. */
static double
time_replica(bench *b)
{
    aa_err          err = AA_ERR_INIT;
    replica_reader *rr = NULL;
    replica_answer  answer;
    uint64_t        key[AA_MAX_FIELDS] = {1}, item[CANDIDATES];
    float           score[CANDIDATES];
    double          sum_s = 0;
    check(replica_reader_open(&rr, b->rp, &err), &err);
    for (uint64_t r = 0; r < REQUESTS; r++) {
        for (uint64_t i = 0; i < CANDIDATES; i++)
            item[i] = aa_id_key_number(candidate(r, i));
        double from_s = cpu_s();
        check(replica_score(rr, key, item, CANDIDATES, score, NULL, &answer, &err), &err);
        sum_s += cpu_s() - from_s;
    }
    replica_reader_close(&rr);
    return sum_s * 1e6 / REQUESTS;
}

/* The same look-ups in the plainest full table: keys in open addressing at half load, one array of
 * rows, nobody who updates. What assignment adds to a prediction is the difference. */
static double
time_full_table(const bench *b)
{
    const size_t cells = (size_t)1 << 20, W = b->W;
    uint64_t    *key = calloc(cells, sizeof *key);
    uint32_t    *row = calloc(cells, sizeof *row);
    float       *rows = calloc((size_t)ITEMS * W, sizeof *rows);
    float       *x = calloc((size_t)CANDIDATES * W, sizeof *x);
    AA_REQUIRE(key && row && rows && x);
    aa_rng_normal(rows, (size_t)ITEMS * W, 0.1, SEED, AA_RNG_TEST, 78);
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint64_t k = aa_id_key_number(i);
        size_t   at = (size_t)(k >> 44);
        while (key[at])
            at = (at + 1) & (cells - 1);
        key[at] = k;
        row[at] = i;
    }
    double   sum_s = 0;
    uint64_t item[CANDIDATES];
    for (uint64_t r = 0; r < REQUESTS; r++) {
        for (uint64_t i = 0; i < CANDIDATES; i++)
            item[i] = aa_id_key_number(candidate(r, i));
        double from_s = cpu_s();
        for (uint64_t i = 0; i < CANDIDATES; i++) {
            size_t at = (size_t)(item[i] >> 44);
            while (key[at] != item[i])
                at = (at + 1) & (cells - 1);
            memcpy(x + i * W, rows + (size_t)row[at] * W, W * sizeof *x);
        }
        sum_s += cpu_s() - from_s;
    }
    free(key);
    free(row);
    free(rows);
    free(x);
    return sum_s * 1e6 / REQUESTS;
}

int
main(int argc, char **argv)
{
    aa_err       err = AA_ERR_INIT;
    static bench b;
    pthread_t    updater;
    double      *us = calloc(REQUESTS, sizeof *us);
    check(us ? AA_OK : aa_fail(&err, AA_ENOMEM, "times"), &err);
    check(aa_conf_load(&b.cfg, NULL, (const char *const *)argv + 1, (size_t)argc - 1, &err), &err);
    check(replica_new(&b.rp, &b.cfg, &err), &err);
    check(scorer_new(&b.sc, &b.cfg, b.rp, &err), &err);
    b.W = (size_t)b.cfg.model.dim + 1;
    fill(&b);
    time_steps(&b, us); /* warm */
    time_steps(&b, us);
    double alone_p50 = us[REQUESTS / 2], alone_p99 = us[REQUESTS * 99 / 100];
    double forward = time_forward(&b), replica_us = time_replica(&b);
    check(pthread_create(&updater, NULL, update, &b) ? AA_EIO : AA_OK, &err);
    time_steps(&b, us);
    atomic_store(&b.stop, true);
    pthread_join(updater, NULL);
    printf("{\"score_candidates\": %d, \"score_step_p50_us\": %.1f, \"score_step_p99_us\": %.1f, "
           "\"score_step_beside_updates_p50_us\": %.1f, "
           "\"score_step_beside_updates_p99_us\": %.1f, \"score_updates_per_s\": %.0f, "
           "\"score_forward_us\": %.1f, \"score_lookup_us\": %.1f, "
           "\"score_full_table_lookup_us\": %.1f}\n",
           CANDIDATES, alone_p50, alone_p99, us[REQUESTS / 2], us[REQUESTS * 99 / 100],
           (double)b.updates / b.update_s, forward, replica_us - forward, time_full_table(&b));
    scorer_free(&b.sc);
    replica_free(&b.rp);
    free(b.dense);
    free(us);
    return 0;
}
