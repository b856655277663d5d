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

#include "common/model/dense.h"
#include "scorer/scorer.h"
#include "tests/loaded_replica.h"

enum { ITEMS = 500000, CANDIDATES = 100, REQUESTS = 5000 };

typedef struct {
    aa_conf        cfg;
    loaded_replica lr;
    scorer        *sc;
    atomic_bool    stop;
    uint64_t       updates;
    double         update_s;
} bench;

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
            int len = snprintf(text[i], sizeof text[i], "%u", loaded_candidate(&b->lr, r, i));
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

/* The mean forward pass of CANDIDATES, in the blocks that the replica uses; rows and signals as they
 * come. */
static double
time_forward(const bench *b)
{
    const aa_model_kind *kind = aa_model_find(b->cfg.model.kind);
    aa_model_shape       sh;
    size_t               block = 8;
    aa_model_shape_of(&sh, &b->cfg);
    float *x = calloc(CANDIDATES * sh.F * b->lr.W, sizeof *x), logit[CANDIDATES];
    float *scratch = calloc(kind->scratch_count(&sh, block) + 1, sizeof *scratch);
    aa_rng_normal(x, CANDIDATES * sh.F * b->lr.W, 0.1, LOADED_SEED, AA_RNG_TEST, 77);
    double from_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    for (int r = 0; r < REQUESTS; r++)
        for (size_t i = 0; i < CANDIDATES; i += block) {
            size_t B = CANDIDATES - i < block ? CANDIDATES - i : block;
            kind->forward(&sh, b->lr.dense, x + i * sh.F * b->lr.W, x, B, logit + i, scratch);
        }
    double us = (cpu_s(CLOCK_THREAD_CPUTIME_ID) - from_s) * 1e6 / REQUESTS;
    free(x);
    free(scratch);
    return us;
}

/* Applies one row after the other. */
static void *
update(void *arg)
{
    bench *b = arg;
    double from_s = now_s();
    for (; !atomic_load(&b->stop); b->updates++)
        loaded_update(&b->lr, b->updates);
    b->update_s = now_s() - from_s;
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
    check(replica_reader_open(&rr, b->lr.rp, &err), &err);
    for (uint64_t r = 0; r < REQUESTS; r++) {
        for (uint64_t i = 0; i < CANDIDATES; i++)
            item[i] = aa_id_key_number(loaded_candidate(&b->lr, r, i));
        double from_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        check(replica_score(rr, key, item, CANDIDATES, score, NULL, &answer, &err), &err);
        sum_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - from_s;
    }
    replica_reader_close(&rr);
    return sum_s * 1e6 / REQUESTS;
}

/* The same look-ups in the plainest full table: keys in open addressing at half load, one array of
 * rows, nobody who updates. What assignment adds to a prediction is the difference. */
static double
time_full_table(const bench *b)
{
    const size_t cells = (size_t)1 << 20, W = b->lr.W;
    uint64_t    *key = calloc(cells, sizeof *key);
    uint32_t    *row = calloc(cells, sizeof *row);
    float       *rows = calloc((size_t)ITEMS * W, sizeof *rows);
    float       *x = calloc((size_t)CANDIDATES * W, sizeof *x);
    AA_REQUIRE(key && row && rows && x);
    aa_rng_normal(rows, (size_t)ITEMS * W, 0.1, LOADED_SEED, AA_RNG_TEST, 78);
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
            item[i] = aa_id_key_number(loaded_candidate(&b->lr, r, i));
        double from_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        for (uint64_t i = 0; i < CANDIDATES; i++) {
            size_t at = (size_t)(item[i] >> 44);
            while (key[at] != item[i])
                at = (at + 1) & (cells - 1);
            memcpy(x + i * W, rows + (size_t)row[at] * W, W * sizeof *x);
        }
        sum_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - from_s;
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
    loaded_replica_init(&b.lr, &b.cfg, ITEMS, 0);
    check(scorer_new(&b.sc, &b.cfg, b.lr.rp, &err), &err);
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
    loaded_replica_fini(&b.lr);
    free(us);
    return 0;
}
