/* bench_sink - stands in for everything after ingest: takes its batches and does nothing with them.
 *
 *   bench_sink ENDPOINT      binds it, answers ingest's protocol, ends after the final barrier
 *
 * With it, a replay of a topic by the real ingest measures ingest alone: fetching, decoding,
 * ordering, batching and packing. Prints one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/links/link.h"
#include "common/messages/wire.h"

enum { IDLE_MS = 60000 };

typedef struct {
    aa_link       *ln;
    aa_event_batch events;
    aa_bytes       bytes;
    uint64_t       event_count, batch_count;
    bool           final;
} sink;

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_sink: %s\n", err->text);
    exit(1);
}

static void
answer(sink *sk, aa_msg_kind kind, const aa_control *c)
{
    aa_err err = AA_ERR_INIT;
    check(aa_wire_pack_control(&sk->bytes, c, &err), &err);
    check(aa_link_send(sk->ln, kind, sk->bytes.data, sk->bytes.len, &err), &err);
}

static void
take(sink *sk, aa_msg_kind kind, const void *buf, size_t len)
{
    aa_err     err = AA_ERR_INIT;
    aa_control c = {0};
    if (kind == AA_MSG_EVENTS) {
        check(aa_wire_unpack_events(&sk->events, buf, len, &err), &err);
        sk->event_count += sk->events.n;
        sk->batch_count++;
        c.hd = sk->events.hd;
        answer(sk, AA_MSG_CREDIT, &c);
        return;
    }
    check(aa_wire_unpack_control(&c, buf, len, &err), &err);
    if (kind == AA_MSG_OPEN) answer(sk, AA_MSG_OPENED, &c);
    if (kind == AA_MSG_BARRIER) {
        answer(sk, AA_MSG_DURABLE, &c);
        sk->final = c.final;
    }
}

int
main(int argc, char **argv)
{
    sink    sk = {0};
    aa_err  err = AA_ERR_INIT;
    int64_t first_us = 0, last_us = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: bench_sink ENDPOINT\n");
        return 2;
    }
    check(aa_link_open(&sk.ln, AA_LINK_BIND, argv[1], NULL, &err), &err);
    while (!sk.final) {
        aa_msg_kind kind;
        const void *buf;
        size_t      len;
        unsigned    ready = 0;
        aa_status   st = aa_link_recv(sk.ln, &kind, &buf, &len, &err);
        if (st == AA_EAGAIN) {
            check(aa_link_poll(&sk.ln, 1, NULL, 0, IDLE_MS, &ready, &err), &err);
            if (!ready) check(aa_fail(&err, AA_EIO, "no message for %d ms", IDLE_MS), &err);
            continue;
        }
        check(st, &err);
        take(&sk, kind, buf, len);
        last_us = aa_now_us();
        if (!first_us && sk.batch_count) first_us = last_us;
    }
    double seconds = (double)(last_us - first_us) / 1e6;
    printf("{\"events\": %" PRIu64 ", \"batches\": %" PRIu64 ", \"seconds\": %.3f, "
           "\"events_per_s\": %.0f}\n",
           sk.event_count, sk.batch_count, seconds, (double)sk.event_count / seconds);
    aa_link_close(&sk.ln);
    aa_event_batch_fini(&sk.events);
    aa_bytes_fini(&sk.bytes);
    return 0;
}
