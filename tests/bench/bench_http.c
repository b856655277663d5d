/* bench_http - score requests over loopback HTTP while updates stream in.
 *
 *   bench_http [section.key=value]...
 *
 * The scorer's doors as they are, in this process: a replica of ITEMS items with rows of their own,
 * an updater that applies UPDATES_PER_S rows a second, and a client with CONNECTIONS keep-alive
 * connections that sends RATE requests a second of CANDIDATES random items, for SECONDS. The client
 * is an open loop: a request is due by the clock whether or not the last was answered, and its time
 * counts from when it was due. Everything is bounded, and stays on this machine. Prints one JSON
 * object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"
#include "common/model.h"
#include "common/rng.h"
#include "scorer/serve.h"

enum {
    ITEMS = 200000,
    CANDIDATES = 100,
    RATE = 2000,
    WARM = 1000, /* requests that do not count */
    REQUESTS = 16000,
    CONNECTIONS = 16,
    BODIES = 256,
    REPLY_BYTES = 16384,
    UPDATES_PER_S = 20000,
    PATIENCE_S = 30, /* the bench ends by then */
    SEED = 1
};

typedef struct {
    aa_conf     cfg;
    replica    *rp;
    aa_context  ctx;
    meters      me;
    serve      *se;
    size_t      W;
    char       *ask[BODIES]; /* whole requests */
    size_t      ask_len[BODIES];
    atomic_bool stop;
    uint64_t    updates;
    double      update_s;
} bench;

typedef struct {
    int    fd;
    bool   busy;
    double due_s;
    char   reply[REPLY_BYTES];
    size_t len;
} connection;

/* Of all threads of this process: the server's, the client's and the updater's. */
static double
cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_http: %s\n", err->text);
    exit(1);
}

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- the replica ---- */

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
put_dense(bench *b, aa_bytes *by)
{
    aa_err               err = AA_ERR_INIT;
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(b->cfg.model.kind);
    aa_model_shape_of(&sh, &b->cfg);
    size_t count = kind->weight_count(&sh);
    float *w = calloc(count + 1, sizeof *w);
    AA_REQUIRE(w);
    kind->init(&sh, w, SEED);
    aa_dense_message d = {.run_id = 1,
                          .version = 1,
                          .F = sh.F,
                          .K = sh.K,
                          .hidden_count = sh.H,
                          .w = w,
                          .w_count = count};
    memcpy(d.hidden, sh.hidden, sizeof sh.hidden);
    snprintf(d.model, sizeof d.model, "%s", kind->name);
    check(aa_wire_pack_dense(by, &d, &err), &err);
    apply(b, AA_KEY_DENSE, 0, 0, by);
    free(w);
}

static void
fill(bench *b)
{
    aa_err   err = AA_ERR_INIT;
    aa_bytes by = {0};
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
    put_dense(b, &by);
    aa_bytes_fini(&by);
}

static uint32_t
candidate(uint64_t request, uint64_t i)
{
    return (uint32_t)(aa_rng_bits(SEED, AA_RNG_TEST, request, i) % ITEMS);
}

/* UPDATES_PER_S, in small portions. */
static void *
update(void *arg)
{
    bench   *b = arg;
    aa_bytes by = {0};
    double   from_s = now_s();
    while (!atomic_load(&b->stop)) {
        const struct timespec pause = {.tv_nsec = 2000000};
        nanosleep(&pause, NULL);
        uint64_t due = (uint64_t)((now_s() - from_s) * UPDATES_PER_S);
        for (; b->updates < due; b->updates++)
            put_row(b, REPLICA_ITEM, 16 + candidate(b->updates, 1), 2 + b->updates, 1, &by);
    }
    b->update_s = now_s() - from_s;
    aa_bytes_fini(&by);
    return NULL;
}

/* ---- the client ---- */

static void
make_requests(bench *b)
{
    char body[CANDIDATES * 10 + 64];
    for (uint64_t r = 0; r < BODIES; r++) {
        size_t len = (size_t)snprintf(body, sizeof body, "{\"user\":\"u\",\"items\":[");
        for (uint64_t i = 0; i < CANDIDATES; i++)
            len += (size_t)snprintf(body + len, sizeof body - len, "%s%u", i ? "," : "",
                                    candidate(r, i));
        len += (size_t)snprintf(body + len, sizeof body - len, "]}");
        b->ask[r] = malloc(len + 200);
        AA_REQUIRE(b->ask[r]);
        b->ask_len[r] = (size_t)snprintf(b->ask[r], len + 200,
                                         "POST /v1/score HTTP/1.1\r\nHost: localhost\r\n"
                                         "Content-Type: application/json\r\n"
                                         "Content-Length: %zu\r\n\r\n%s",
                                         len, body);
    }
}

static int
connect_to(int port)
{
    int                one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        perror("bench_http: connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Read what is there; true: the reply is complete. *good: it is a 200 with all scores. */
static bool
read_reply(connection *cn, bool *good)
{
    ssize_t n = recv(cn->fd, cn->reply + cn->len, REPLY_BYTES - 1 - cn->len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) {
        fprintf(stderr, "bench_http: the server hung up\n");
        exit(1);
    }
    cn->len += (size_t)n;
    cn->reply[cn->len] = '\0';
    const char *end = strstr(cn->reply, "\r\n\r\n"),
               *length = strstr(cn->reply, "Content-Length: ");
    if (!end || !length) return false;
    if (cn->len < (size_t)(end + 4 - cn->reply) + strtoul(length + 16, NULL, 10)) return false;
    *good = strncmp(cn->reply, "HTTP/1.1 200", 12) == 0;
    cn->len = 0;
    cn->busy = false;
    return true;
}

static void
send_request(const bench *b, connection *cn, uint64_t request, double due_s)
{
    size_t len = b->ask_len[request % BODIES];
    if (send(cn->fd, b->ask[request % BODIES], len, MSG_NOSIGNAL) != (ssize_t)len) {
        perror("bench_http: send");
        exit(1);
    }
    cn->busy = true;
    cn->due_s = due_s;
}

/* Until something can be read, or the next request is due; poll's milliseconds are too coarse. */
static int
wait_for_replies(const connection *cn, double due_s, fd_set *readable)
{
    double          left_s = due_s - now_s();
    struct timespec ts = {.tv_nsec = 0};
    int             most = 0;
    if (left_s > 0.1) left_s = 0.1;
    if (left_s > 0) ts.tv_nsec = (long)(left_s * 1e9);
    FD_ZERO(readable);
    for (size_t c = 0; c < CONNECTIONS; c++) {
        FD_SET(cn[c].fd, readable);
        if (cn[c].fd > most) most = cn[c].fd;
    }
    return pselect(most + 1, readable, NULL, NULL, &ts, NULL);
}

/* ms (REQUESTS) from due to answered; returns how many were answered with something else than
 * scores, or not within PATIENCE_S. */
static size_t
run_client(const bench *b, connection *cn, double *ms)
{
    const double from_s = now_s();
    uint64_t     next = 0, done = 0;
    size_t       failed = 0;
    while (done < WARM + REQUESTS && now_s() < from_s + PATIENCE_S) {
        for (size_t c = 0; c < CONNECTIONS && next < WARM + REQUESTS; c++) {
            double due_s = from_s + (double)next / RATE;
            if (due_s > now_s()) break;
            if (!cn[c].busy) send_request(b, &cn[c], next++, due_s);
        }
        fd_set readable;
        if (wait_for_replies(cn, from_s + (double)next / RATE, &readable) <= 0) continue;
        for (size_t c = 0; c < CONNECTIONS; c++) {
            bool good = false;
            if (!FD_ISSET(cn[c].fd, &readable) || !cn[c].busy || !read_reply(&cn[c], &good))
                continue;
            if (done >= WARM) {
                ms[done - WARM] = (now_s() - cn[c].due_s) * 1e3;
                failed += !good;
            }
            done++;
        }
    }
    return failed + (WARM + REQUESTS - (size_t)done);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
open_server(bench *b)
{
    aa_err err = AA_ERR_INIT;
    snprintf(b->cfg.scorer.listen, sizeof b->cfg.scorer.listen, "tcp://127.0.0.1:*");
    b->ctx = (aa_context){.cfg = &b->cfg, .ms = aa_metrics_new()};
    AA_REQUIRE(b->ctx.ms);
    meters_init(&b->me, b->ctx.ms, &b->cfg);
    check(aa_door_open(&b->ctx.door, "127.0.0.1", 0, 1024, b->ctx.ms, &err), &err);
    check(serve_open(&b->se, &b->ctx, b->rp, &b->me, NULL, NULL, &err), &err);
    serve_set_not_ready(b->se, NULL);
}

int
main(int argc, char **argv)
{
    aa_err            err = AA_ERR_INIT;
    static bench      b;
    static connection cn[CONNECTIONS];
    static double     ms[REQUESTS];
    pthread_t         updater;
    aa_log_init("bench_http", AA_WARN, false);
    check(aa_conf_load(&b.cfg, NULL, (const char *const *)argv + 1, (size_t)argc - 1, &err), &err);
    check(replica_new(&b.rp, &b.cfg, &err), &err);
    b.W = (size_t)b.cfg.model.dim + 1;
    fill(&b);
    make_requests(&b);
    open_server(&b);
    for (size_t c = 0; c < CONNECTIONS; c++)
        cn[c].fd = connect_to(aa_door_port(b.ctx.door));
    check(pthread_create(&updater, NULL, update, &b) ? AA_EIO : AA_OK, &err);
    double from_s = now_s(), from_cpu_s = cpu_s();
    size_t failed = run_client(&b, cn, ms);
    double cores = (cpu_s() - from_cpu_s) / (now_s() - from_s);
    atomic_store(&b.stop, true);
    pthread_join(updater, NULL);
    qsort(ms, REQUESTS, sizeof *ms, by_value);
    printf(
        "{\"score_http_p50_ms\": %.3f, \"score_http_p99_ms\": %.3f, \"score_http_requests_per_s\": "
        "%d, \"score_http_failed\": %zu, \"score_http_updates_per_s\": %.0f, \"score_http_cores\": "
        "%.2f}\n",
        ms[REQUESTS / 2], ms[REQUESTS * 99 / 100], RATE, failed, (double)b.updates / b.update_s,
        cores);
    for (size_t c = 0; c < CONNECTIONS; c++)
        close(cn[c].fd);
    for (size_t r = 0; r < BODIES; r++)
        free(b.ask[r]);
    serve_close(&b.se);
    aa_door_close(&b.ctx.door);
    aa_metrics_free(&b.ctx.ms);
    replica_free(&b.rp);
    return failed ? 1 : 0;
}
