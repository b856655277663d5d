/* bench_assigner - IDs per second of assigner_step and assigner_learn, in one thread.
 *
 *   bench_assigner [events [ids_per_field [section.key=value]...]]
 *
 * Two fields, IDs drawn from a Zipf distribution (exponent 1), rewards as noise, batches of
 * ingest.batch_events. For each mode (or the one of agent.mode=...) one line "assigner_ids_per_s
 * <value> mode=... ...", after a head of the stream that fills the table (a quarter of the events,
 * not timed). Seconds are those of the thread's CPU time, so that other load on the machine counts
 * as little as it can.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "assigner/assigner.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"

enum { F = 2 };

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_assigner: %s\n", err->text);
    exit(1);
}

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Zipf(1) over 1..ids by the inverse of the continuous distribution: ids^u. */
static uint64_t *
make_keys(size_t events, uint64_t ids)
{
    uint64_t *key = malloc(events * F * sizeof *key);
    if (!key) exit(1);
    for (size_t i = 0; i < events * F; i++) {
        double u = aa_rng_uniform(1, AA_RNG_TEST, i, 0);
        key[i] = aa_id_key_number((int64_t)pow((double)ids, u));
    }
    return key;
}

typedef struct {
    aa_event_batch    in;
    aa_assigned_batch out;
    aa_reward_batch   rw;
} batches;

/* What a learner would answer, as noise: the assigner's work does not depend on the values. */
static void
answer(batches *b, uint64_t seq, size_t n, size_t m)
{
    aa_err err = AA_ERR_INIT;
    check(aa_reward_batch_reserve(&b->rw, n, m, &err), &err);
    b->rw.hd.seq = seq;
    b->rw.n = n;
    b->rw.m = m;
    for (size_t i = 0; i < n; i++)
        b->rw.loss[i] = 0.5f;
    for (size_t j = 0; j < m; j++)
        b->rw.reward[j] = b->rw.advantage[j] = (float)(j % 7) * 0.01f - 0.03f;
}

static void
run(const aa_conf *cfg, const uint64_t *key, size_t events)
{
    const size_t B = (size_t)cfg->ingest.batch_events, depth = (size_t)cfg->pipeline.depth;
    aa_err       err = AA_ERR_INIT;
    assigner    *as;
    batches      b = {0};
    double       seconds = 0.0, slowest = 0.0;
    size_t       timed = 0, m[65] = {0}, from = events / 4;
    check(assigner_new(&as, cfg, &err), &err);
    check(aa_event_batch_reserve(&b.in, B, F, &err), &err);
    for (uint64_t seq = 1; seq * B <= events; seq++) {
        const size_t at = (size_t)(seq - 1) * B;
        b.in.hd.seq = seq;
        b.in.n = B;
        memcpy(b.in.key, key + at * F, B * F * sizeof *key);
        for (size_t i = 0; i < B; i++)
            b.in.label[i] = (float)((at + i) % 2);
        if (seq > depth) answer(&b, seq - depth, B, m[(seq - depth) % 65]);
        double start = now_s();
        if (seq > depth) check(assigner_learn(as, &b.rw, &err), &err);
        check(assigner_step(as, &b.in, &b.out, &err), &err);
        double took = now_s() - start;
        m[seq % 65] = B * F + b.out.sweep_count;
        if (at < from) continue;
        seconds += took;
        slowest = took > slowest ? took : slowest;
        timed += B * F;
    }
    assigner_stats st[F];
    for (uint32_t f = 0; f < F; f++)
        assigner_stats_get(as, f, &st[f]);
    printf("assigner_ids_per_s %.0f mode=%s ids=%" PRIu64 " rows=%" PRIu64 " bytes_per_id=%.1f "
           "slowest_batch_ms=%.2f digest=%016" PRIx64 "\n",
           (double)timed / seconds, aa_agent_mode_text(cfg->agent.mode), st[0].ids + st[1].ids,
           st[0].rows_unique + st[1].rows_unique,
           (double)(st[0].table_bytes + st[1].table_bytes) / (double)(st[0].ids + st[1].ids),
           slowest * 1e3, assigner_digest(as));
    aa_event_batch_fini(&b.in);
    aa_assigned_batch_fini(&b.out);
    aa_reward_batch_fini(&b.rw);
    assigner_free(&as);
}

int
main(int argc, char **argv)
{
    static const enum aa_agent_mode mode[] = {AA_MODE_DEFAULT,   AA_MODE_PAPER,      AA_MODE_RULE,
                                              AA_MODE_THRESHOLD, AA_MODE_UNIQUE,     AA_MODE_HASH,
                                              AA_MODE_RANDOM,    AA_MODE_SHARED_ONLY};
    size_t                          events = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    uint64_t                        ids = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    uint64_t                       *key = make_keys(events, ids);
    for (size_t i = 0; i < sizeof mode / sizeof *mode; i++) {
        aa_conf cfg;
        aa_err  err = AA_ERR_INIT;
        size_t  given = argc > 3 ? (size_t)argc - 3 : 0;
        bool    one = false;
        for (size_t a = 0; a < given; a++)
            one |= strncmp(argv[3 + a], "agent.mode=", 11) == 0;
        check(aa_conf_load(&cfg, NULL, (const char *const *)argv + 3, given, &err), &err);
        if (one && cfg.agent.mode != mode[i]) continue;
        cfg.agent.mode = mode[i];
        cfg.fields[0].hash_rows = cfg.fields[1].hash_rows = (int64_t)ids / 10;
        run(&cfg, key, events);
    }
    free(key);
    return 0;
}
