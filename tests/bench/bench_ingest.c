/* bench_ingest - how fast a replay can be: Kafka to packed batches, with nobody downstream to wait
 * for.
 *
 *   bench_ingest [section.key=value]...      reads topics.interactions from the beginning
 *
 * Runs the parts of ingest in this thread and answers every batch with a credit. Prints one JSON
 * object: rates by the clock and by this thread's processor time (librdkafka's own threads, which
 * fetch and unpack, are in process_cpu_s).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/messages/wire.h"
#include "ingest/ingest.h"
#include "ingest/source.h"

typedef struct {
    aa_conf  cfg;
    source  *so;
    ingest  *in;
    aa_bytes out;
    uint64_t wire_bytes;
    double   pump_s, step_s, pack_s; /* this thread's time by part */
} bench;

static double
now_s(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_ingest: %s\n", err->text);
    exit(1);
}

static void
answer(bench *be, aa_msg_kind kind, uint64_t run_id, uint64_t seq, uint64_t epoch)
{
    aa_control c = {.hd = {.run_id = run_id, .seq = seq}, .epoch = epoch};
    ingest_control(be->in, kind, &c, aa_now_us());
}

/* false: nothing to do */
static bool
step(bench *be, bool *ended)
{
    ingest_act act;
    aa_err     err = AA_ERR_INIT;
    double     t = now_s(CLOCK_MONOTONIC);

    ingest_step(be->in, aa_now_us(), &act);
    be->step_s += now_s(CLOCK_MONOTONIC) - t;
    if (act.act == INGEST_DRAINED) *ended = true;
    if (act.act == INGEST_WAIT || act.act == INGEST_DRAINED) return false;
    if (act.act == INGEST_SEND && act.kind == AA_MSG_EVENTS) {
        t = now_s(CLOCK_MONOTONIC);
        check(aa_wire_pack_events(&be->out, act.batch, &err), &err);
        be->pack_s += now_s(CLOCK_MONOTONIC) - t;
        be->wire_bytes += be->out.len;
        aa_header hd = act.batch->hd;
        ingest_done(be->in, &act, aa_now_us());
        answer(be, AA_MSG_CREDIT, hd.run_id, hd.seq, 0);
        return true;
    }
    if (act.act == INGEST_SEND) {
        aa_control c = *act.control;
        ingest_done(be->in, &act, aa_now_us());
        if (act.kind == AA_MSG_OPEN) answer(be, AA_MSG_OPENED, c.hd.run_id, 0, 0);
        if (act.kind == AA_MSG_BARRIER) answer(be, AA_MSG_DURABLE, c.hd.run_id, 0, c.epoch);
        return true;
    }
    ingest_done(be->in, &act, aa_now_us()); /* letters and commits go nowhere */
    return true;
}

static void
replay(bench *be)
{
    aa_err err = AA_ERR_INIT;
    bool   ended = false;
    while (!ended) {
        size_t got = 0;
        double t = now_s(CLOCK_MONOTONIC);
        if (ingest_running(be->in))
            check(source_pump(be->so, ingest_order(be->in), &got, &err), &err);
        be->pump_s += now_s(CLOCK_MONOTONIC) - t;
        bool progress = got > 0;
        while (step(be, &ended))
            progress = true;
        if (progress || ended) continue;
        struct timespec ts = {0, 200000}; /* Kafka is slower than we are */
        nanosleep(&ts, NULL);
    }
}

int
main(int argc, char **argv)
{
    static bench be;
    aa_err       err = AA_ERR_INIT;
    resume       re = {0};
    ingest_stats is;
    char         unique[64];
    const char **settings = calloc((size_t)argc + 2, sizeof *settings);
    size_t       n = 0;

    if (!settings) return 3;
    snprintf(unique, sizeof unique, "pipeline.name=bench-%lld", (long long)aa_wall_ms());
    settings[n++] = unique; /* no commits of earlier runs */
    settings[n++] = "ingest.run=replay";
    for (int i = 1; i < argc; i++)
        settings[n++] = argv[i];
    check(aa_conf_load(&be.cfg, NULL, settings, n, &err), &err);
    aa_log_init("bench_ingest", AA_WARN, false);
    check(source_open(&be.so, &be.cfg, &err), &err);
    check(ingest_new(&be.in, &be.cfg, &err), &err);
    check(source_lookup(be.so, &re, 0, &err), &err);
    check(ingest_begin(be.in, &re, 1, aa_now_us(), &err), &err);
    double wall = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_THREAD_CPUTIME_ID),
           all = now_s(CLOCK_PROCESS_CPUTIME_ID);
    check(source_start(be.so, &re, 1, &err), &err);
    replay(&be);
    wall = now_s(CLOCK_MONOTONIC) - wall;
    cpu = now_s(CLOCK_THREAD_CPUTIME_ID) - cpu;
    all = now_s(CLOCK_PROCESS_CPUTIME_ID) - all;
    ingest_stats_get(be.in, &is);
    printf("{\"events\": %" PRIu64 ", \"dead_letters\": %" PRIu64 ", \"digest\": \"%016" PRIx64
           "\", \"wall_s\": %.3f, \"events_per_s\": %.0f, \"thread_cpu_s\": %.3f, "
           "\"events_per_core_s\": %.0f, \"process_cpu_s\": %.3f, \"pump_s\": %.3f, \"step_s\": "
           "%.3f, \"pack_s\": %.3f, \"wire_bytes\": %" PRIu64 "}\n",
           is.events, is.letters, is.digest, wall, (double)is.events / wall, cpu,
           (double)is.events / cpu, all, be.pump_s, be.step_s, be.pack_s, be.wire_bytes);
    resume_fini(&re);
    source_close(&be.so);
    ingest_free(&be.in);
    aa_bytes_fini(&be.out);
    free(settings);
    return 0;
}
