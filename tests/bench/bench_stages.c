/* bench_stages - how fast each stage is by itself, in one thread and one process.
 *
 *   bench_stages [section.key=value]... < stream.csv        user,item,label,timestamp with a header
 *
 * The stages run in turns on the same batches, in the pipeline's own order (assign, learn, and the
 * rewards pipeline.depth batches later), each with its own stop watch; so the assigner gets real
 * rewards and the learner real assignments. Packing and unpacking of the messages between them is
 * timed too. Prints one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "assigner/assigner.h"
#include "common/base/hash.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/messages/wire.h"
#include "learner/learner.h"

typedef enum { ASSIGN, LEARN, PACK, UNPACK, STAGES } stage;

typedef struct {
    aa_conf           cfg;
    assigner         *as;
    learner          *le;
    aa_event_batch    events, events_in; /* _in: as unpacked by the receiver */
    aa_assigned_batch assigned, assigned_in;
    aa_reward_batch  *rewards; /* ring of depth + 1 */
    aa_reward_batch   rewards_in;
    aa_bytes          bytes;
    uint64_t          seq, event_count, wire_bytes;
    double            seconds[STAGES];
} bench;

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_stages: %s\n", err->text);
    exit(1);
}

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* other load on the machine counts little */
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Run `call`, add its time to a stage. */
#define TIMED(b, which, call)                                                                      \
    do {                                                                                           \
        double timed_from_s = now_s();                                                             \
        check((call), &err);                                                                       \
        (b)->seconds[which] += now_s() - timed_from_s;                                             \
    } while (0)

/* What the batch in b->events goes through, links included. */
static void
run_batch(bench *b)
{
    aa_err           err = AA_ERR_INIT;
    uint64_t         depth = (uint64_t)b->cfg.pipeline.depth;
    aa_reward_batch *rw = &b->rewards[b->seq % (depth + 1)];

    TIMED(b, PACK, aa_wire_pack_events(&b->bytes, &b->events, &err));
    b->wire_bytes += b->bytes.len;
    TIMED(b, UNPACK, aa_wire_unpack_events(&b->events_in, b->bytes.data, b->bytes.len, &err));

    if (b->seq > depth)
        TIMED(b, ASSIGN, assigner_learn(b->as, &b->rewards[(b->seq - depth) % (depth + 1)], &err));
    TIMED(b, ASSIGN, assigner_step(b->as, &b->events_in, &b->assigned, &err));
    TIMED(b, PACK, aa_wire_pack_assigned(&b->bytes, &b->assigned, &err));
    b->wire_bytes += b->bytes.len;
    TIMED(b, UNPACK, aa_wire_unpack_assigned(&b->assigned_in, b->bytes.data, b->bytes.len, &err));

    TIMED(b, LEARN, learner_step(b->le, &b->assigned_in, rw, NULL, &err));
    TIMED(b, PACK, aa_wire_pack_rewards(&b->bytes, rw, &err));
    b->wire_bytes += b->bytes.len;
    TIMED(b, UNPACK, aa_wire_unpack_rewards(&b->rewards_in, b->bytes.data, b->bytes.len, &err));

    b->event_count += b->events.n;
    b->events.n = 0;
    b->events.hd.seq = ++b->seq;
}

/* False: not an event (the header). */
static int
parse_line(char *line, uint64_t key[2], float *label, int64_t *time_ms)
{
    char *item = strchr(line, ','), *rest = item ? strchr(item + 1, ',') : NULL, *end;
    if (!rest) return 0;
    *label = strtof(rest + 1, &end);
    if (end == rest + 1) return 0;
    *time_ms = *end == ',' ? (int64_t)(strtod(end + 1, NULL) * 1000) : 0;
    key[0] = aa_id_key(line, (size_t)(item - line));
    key[1] = aa_id_key(item + 1, (size_t)(rest - item - 1));
    return 1;
}

static void
read_stream(bench *b, FILE *in)
{
    char    line[4096];
    aa_err  err = AA_ERR_INIT;
    size_t  batch = (size_t)b->cfg.ingest.batch_events;
    int64_t time_ms;
    check(aa_event_batch_reserve(&b->events, batch, 2, &err), &err);
    b->events.hd = (aa_header){.run_id = 1, .seq = b->seq = 1};
    while (fgets(line, sizeof line, in)) {
        size_t i = b->events.n;
        if (!parse_line(line, b->events.key + 2 * i, b->events.label + i, &time_ms)) continue;
        b->events.time_ms[i] = time_ms;
        if (++b->events.n == batch) run_batch(b);
    }
    if (b->events.n) run_batch(b);
}

static void
print(const bench *b)
{
    quality_summary q;
    double          n = (double)b->event_count;
    uint64_t        rows = 0, ids = 0;
    for (uint32_t f = 0; f < 2; f++) {
        assigner_stats st;
        assigner_stats_get(b->as, f, &st);
        rows += st.rows_unique;
        ids += st.ids_seen;
    }
    learner_quality(b->le, &q);
    printf("{\"events\": %" PRIu64
           ", \"assigner_ids_per_s\": %.0f, \"learner_events_per_s\": %.0f, "
           "\"wire_pack_events_per_s\": %.0f, \"wire_unpack_events_per_s\": %.0f, "
           "\"wire_bytes_per_event\": %.1f, \"auc\": %.5f, \"rows_share\": %.3f}\n",
           b->event_count, 2 * n / b->seconds[ASSIGN], n / b->seconds[LEARN], n / b->seconds[PACK],
           n / b->seconds[UNPACK], (double)b->wire_bytes / n, q.slice[QUALITY_ALL].auc,
           (double)rows / (double)ids);
}

int
main(int argc, char **argv)
{
    static bench b;
    aa_err       err = AA_ERR_INIT;
    check(aa_conf_load(&b.cfg, NULL, (const char *const *)argv + 1, (size_t)argc - 1, &err), &err);
    check(assigner_new(&b.as, &b.cfg, &err), &err);
    check(learner_new(&b.le, &b.cfg, &err), &err);
    size_t ring = (size_t)b.cfg.pipeline.depth + 1;
    b.rewards = calloc(ring, sizeof *b.rewards);
    if (!b.rewards) check(aa_fail(&err, AA_ENOMEM, "rewards"), &err);

    read_stream(&b, stdin);
    if (!b.event_count) check(aa_fail(&err, AA_EPARSE, "no events on standard input"), &err);
    print(&b);

    for (size_t i = 0; i < ring; i++)
        aa_reward_batch_fini(&b.rewards[i]);
    free(b.rewards);
    aa_reward_batch_fini(&b.rewards_in);
    aa_event_batch_fini(&b.events);
    aa_event_batch_fini(&b.events_in);
    aa_assigned_batch_fini(&b.assigned);
    aa_assigned_batch_fini(&b.assigned_in);
    aa_bytes_fini(&b.bytes);
    learner_free(&b.le);
    assigner_free(&b.as);
    return 0;
}
