/* bench_freshness - from an event's way into Kafka to a score that reflects it, end to end.
 *
 *   bench_freshness TRIALS [section.key=value]...
 *
 * Beside a live pipeline that nobody else sends to (kafka, topics.interactions and scorer.listen
 * say where). TRIALS times: an event is sent, and the scorer asked until its version is newer: only
 * that event can have made it so. The pauses between are random, so that no trial knows when the
 * pipeline publishes. How fresh scores are while much streams in, the scorer's own histogram says.
 * Prints one JSON object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/kafka/kafka_producer.h"
#include "common/links/link.h"
#include "common/links/rpc.h"
#include "common/messages/wire_score.h"

enum { MAX_TRIALS = 10000, QUIET_MS = 3000, PAUSE_MS = 700, ASK_MS = 2, PATIENCE_MS = 60000 };

typedef struct {
    aa_conf        cfg;
    aa_producer   *pr;
    aa_rpc_client *cl;
    aa_bytes       question;
} bench;

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_freshness: %s\n", err->text);
    exit(1);
}

static void
pause_ms(int64_t ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

static void
send_event(bench *b, int label)
{
    aa_err err = AA_ERR_INIT;
    char   text[160];
    int    len = snprintf(text, sizeof text,
                          "{\"user\":\"fresh-user\",\"item\":\"fresh-item\",\"label\":%d,"
                             "\"timestamp_ms\":%lld}",
                          label, (long long)aa_wall_ms());
    check(aa_producer_send(b->pr, b->cfg.topics.interactions, -1, "fresh-user", 10, text,
                           (size_t)len, 0, NULL, 0, &err),
          &err);
    aa_producer_poll(b->pr);
}

/* The batch that the scores reflect; 0: the scorer is not ready. */
static uint64_t
version_now(bench *b)
{
    aa_err         err = AA_ERR_INIT;
    const void    *answer;
    size_t         len;
    aa_score_reply reply;
    if (aa_rpc_ask(b->cl, b->question.data, b->question.len, 1000, &answer, &len, &err)) return 0;
    check(aa_score_unpack_reply(&reply, answer, len, &err), &err);
    uint64_t version = reply.status ? 0 : reply.version;
    aa_score_reply_fini(&reply);
    return version;
}

/* Wait until the scores are newer than that; ms since the start. */
static double
wait_for_newer(bench *b, uint64_t version, int64_t from_us)
{
    while (version_now(b) <= version) {
        if (aa_now_us() - from_us > PATIENCE_MS * 1000LL) {
            fprintf(stderr, "bench_freshness: nothing newer within %d ms\n", PATIENCE_MS);
            exit(1);
        }
        pause_ms(ASK_MS);
    }
    return (double)(aa_now_us() - from_us) / 1e3;
}

/* Until scores are served, and nothing is under way. */
static void
warm(bench *b)
{
    uint64_t seen;
    send_event(b, 1);
    wait_for_newer(b, 0, aa_now_us());
    do {
        seen = version_now(b);
        pause_ms(QUIET_MS);
    } while (version_now(b) != seen);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
    static bench  b;
    static double ms[MAX_TRIALS];
    aa_err        err = AA_ERR_INIT;
    size_t        trials = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    if (trials < 1 || trials > MAX_TRIALS) {
        fprintf(stderr, "usage: bench_freshness TRIALS [section.key=value]...\n");
        return 2;
    }
    aa_log_init("bench_freshness", AA_WARN, false);
    check(aa_conf_load(&b.cfg, NULL, (const char *const *)argv + 2, (size_t)argc - 2, &err), &err);
    aa_link_keys     keys = aa_link_keys_of(&b.cfg);
    aa_text          item = {"fresh-item", 10};
    aa_score_request rq = {.token = {b.cfg.scorer.token, strlen(b.cfg.scorer.token)},
                           .user = {"fresh-user", 10},
                           .item = &item,
                           .item_count = 1};
    check(aa_score_pack_request(&b.question, &rq, &err), &err);
    check(aa_producer_open(&b.pr, &b.cfg, &err), &err);
    check(aa_rpc_connect(&b.cl, b.cfg.scorer.listen, &keys, &err), &err);
    warm(&b);
    for (size_t t = 0; t < trials; t++) {
        pause_ms((int64_t)(aa_rng_bits(1, AA_RNG_TEST, t, 0) % PAUSE_MS));
        uint64_t version = version_now(&b);
        int64_t  from_us = aa_now_us();
        send_event(&b, (int)(t % 2));
        ms[t] = wait_for_newer(&b, version, from_us);
    }
    qsort(ms, trials, sizeof *ms, by_value);
    printf("{\"freshness_p50_ms\": %.0f, \"freshness_p99_ms\": %.0f, \"freshness_trials\": %zu}\n",
           ms[trials / 2], ms[trials * 99 / 100], trials);
    aa_rpc_disconnect(&b.cl);
    aa_producer_free(&b.pr, 1000);
    aa_bytes_fini(&b.question);
    return 0;
}
