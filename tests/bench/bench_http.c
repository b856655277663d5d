/* bench_http - score requests over loopback HTTP while updates stream in.
 *
 *   bench_http [section.key=value]...
 *
 * The scorer's endpoints as they are, in this process: a replica of ITEMS items with rows of their
 * own, an updater that applies UPDATES_PER_S rows a second and the dense weights, in bursts as
 * publications come, and a client with CONNECTIONS keep-alive connections that sends RATE requests
 * a second of CANDIDATES random items.
 *
 * The client is an open loop: a request is due by the clock whether or not the last was answered,
 * and its time counts from when it was due, so that nothing is hidden by waiting (no coordinated
 * omission). Starting up does not count: WARM requests go first, are waited for, and a new clock
 * begins. ROUNDS rounds of a second each are measured, all of them in the p50 and p99; the best
 * round's p99 is what a machine that others use allowed at its quietest. Beside it: the same client
 * and connections asking for /healthz (what the server, loopback and the client cost with nothing
 * scored), the forward pass with nothing around it, how late the client itself was, CPU time of
 * client and server, how long this process's threads waited for a processor, and what others took
 * of the machine meanwhile. Where others are busy, `chrt -r 10 bench_http` shows what is the
 * scorer's own.
 *
 * Then rankings of all NAMED known items: what one takes, and the score requests' times while one
 * ranking follows the other. Everything is bounded, and stays on this machine. Prints one JSON
 * object.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/model/dense.h"
#include "scorer/serve.h"
#include "tests/loaded_replica.h"

enum {
    ITEMS = 200000,
    NAMED = 100000,
    CANDIDATES = 100,
    RATE = 2000,
    WARM = 1000, /* requests that do not count */
    ROUND = RATE,
    ROUNDS = 8,
    REQUESTS = ROUNDS * ROUND,
    CONNECTIONS = 16,
    BODIES = 256,
    REPLY_BYTES = 16384,
    UPDATES_PER_S = 20000,
    PUBLISH_MS = 500,
    UPDATE_TURN = 256, /* as scorer/main has it */
    RANKINGS = 15,
    FORWARDS = 2000,
    PATIENCE_S = 30 /* for one run of the client */
};

typedef struct {
    char  *text; /* a whole request */
    size_t len;
} ask;

typedef struct {
    aa_conf        cfg;
    loaded_replica lr;
    aa_context     ctx;
    scorer_metrics sm;
    serve         *se;
    ask            score[BODIES], health;
    atomic_bool    stop, stop_rankings;
    uint64_t       updates;
    double         update_s, update_cpu_s;
    double         ranking_ms[RANKINGS];
} bench;

typedef struct {
    int    fd;
    bool   busy;
    double due_s;
    char   reply[REPLY_BYTES];
    size_t len;
} connection;

/* What a run of the client found. */
typedef struct {
    size_t n, failed;
    double ms[REQUESTS];      /* (n) from due to answered, in order of their answers */
    double late_ms[REQUESTS]; /* (n) from due to sent */
} times;

/* What the machine did between two looks at it, in seconds of CPU time. */
typedef struct {
    double at_s, all_s, own_s, client_s, waited_s;
} usage;

/* ---- the machine ---- */

/* Time that this process's threads were ready to run and did not. */
static double
waited_s(void)
{
    double         sum = 0;
    DIR           *tasks = opendir("/proc/self/task");
    struct dirent *task;
    while (tasks && (task = readdir(tasks))) {
        char     path[300];
        uint64_t ran_ns, waited_ns;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        if (fscanf(f, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns) == 2)
            sum += (double)waited_ns / 1e9;
        fclose(f);
    }
    if (tasks) closedir(tasks);
    return sum;
}

/* Of all processors, what was not idle. */
static double
machine_s(void)
{
    double busy = 0;
    FILE  *f = fopen("/proc/stat", "r");
    double user, nice, sys, idle, wait, irq, soft, steal;
    if (f && fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &sys, &idle, &wait,
                    &irq, &soft, &steal) == 8)
        busy = (user + nice + sys + irq + soft + steal) / (double)sysconf(_SC_CLK_TCK);
    if (f) fclose(f);
    return busy;
}

static usage
look(void)
{
    return (usage){.at_s = now_s(),
                   .all_s = machine_s(),
                   .own_s = cpu_s(CLOCK_PROCESS_CPUTIME_ID),
                   .client_s = cpu_s(CLOCK_THREAD_CPUTIME_ID),
                   .waited_s = waited_s()};
}

static usage
since(const usage *was)
{
    usage now = look();
    return (usage){.at_s = now.at_s - was->at_s,
                   .all_s = now.all_s - was->all_s,
                   .own_s = now.own_s - was->own_s,
                   .client_s = now.client_s - was->client_s,
                   .waited_s = now.waited_s - was->waited_s};
}

/* ---- beside the client ---- */

/* UPDATES_PER_S, and the dense weights, in bursts as publications come (publish.every_ms), applied
 * as scorer/main does. */
static void *
update(void *arg)
{
    bench                *b = arg;
    double                from_s = now_s();
    const struct timespec pause = {.tv_nsec = PUBLISH_MS * 1000000};
    while (!atomic_load(&b->stop)) {
        nanosleep(&pause, NULL);
        uint64_t due = (uint64_t)((now_s() - from_s) * UPDATES_PER_S);
        for (; b->updates < due; b->updates++) {
            loaded_update(&b->lr, b->updates);
            if (b->updates % UPDATE_TURN == 0) sched_yield();
        }
        loaded_put_dense(&b->lr, b->updates);
    }
    b->update_s = now_s() - from_s;
    b->update_cpu_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

static int
connect_to(int port)
{
    int                one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        perror("bench_http: connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* One ranking of all known items on a connection of its own; ms. */
static double
rank_once(int fd)
{
    static const char question[] = "POST /v1/rank HTTP/1.1\r\nHost: localhost\r\n"
                                   "Content-Length: 22\r\n\r\n{\"user\":\"u\",\"top\":10 }";
    char              reply[4096];
    double            from_s = now_s();
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) != (ssize_t)sizeof question - 1) {
        perror("bench_http: send");
        exit(1);
    }
    ssize_t n = recv(fd, reply, sizeof reply - 1, 0);
    if (n < 12 || strncmp(reply, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "bench_http: no ranking\n");
        exit(1);
    }
    return (now_s() - from_s) * 1e3;
}

/* RANKINGS one after the other, or more, until told to stop. */
static void *
rank(void *arg)
{
    bench *b = arg;
    int    fd = connect_to(aa_http_server_port(b->ctx.http));
    for (size_t i = 0; i < RANKINGS || !atomic_load(&b->stop_rankings); i++)
        b->ranking_ms[i % RANKINGS] = rank_once(fd);
    close(fd);
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
                                    loaded_candidate(&b->lr, r, i));
        len += (size_t)snprintf(body + len, sizeof body - len, "]}");
        b->score[r].text = malloc(len + 200);
        AA_REQUIRE(b->score[r].text);
        b->score[r].len = (size_t)snprintf(b->score[r].text, len + 200,
                                           "POST /v1/score HTTP/1.1\r\nHost: localhost\r\n"
                                           "Content-Type: application/json\r\n"
                                           "Content-Length: %zu\r\n\r\n%s",
                                           len, body);
    }
    b->health.text = strdup("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    AA_REQUIRE(b->health.text);
    b->health.len = strlen(b->health.text);
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
send_request(const ask *as, connection *cn, double due_s)
{
    if (send(cn->fd, as->text, as->len, MSG_NOSIGNAL) != (ssize_t)as->len) {
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

/* n requests at RATE, ask[i % asks] the i-th. What is not answered within PATIENCE_S failed. */
static void
run_client(connection *cn, const ask *as, size_t asks, size_t n, times *ti)
{
    const double from_s = now_s() + 0.001;
    size_t       next = 0;
    *ti = (times){0};
    while (ti->n < n && now_s() < from_s + PATIENCE_S) {
        for (size_t c = 0; c < CONNECTIONS && next < n; c++) {
            double due_s = from_s + (double)next / RATE, time_s = now_s();
            if (due_s > time_s) break;
            if (cn[c].busy) continue;
            ti->late_ms[next] = (time_s - due_s) * 1e3;
            send_request(&as[next++ % asks], &cn[c], due_s);
        }
        fd_set readable;
        if (wait_for_replies(cn, from_s + (double)next / RATE, &readable) <= 0) continue;
        for (size_t c = 0; c < CONNECTIONS; c++) {
            bool good = false;
            if (!FD_ISSET(cn[c].fd, &readable) || !cn[c].busy || !read_reply(&cn[c], &good))
                continue;
            ti->ms[ti->n++] = (now_s() - cn[c].due_s) * 1e3;
            ti->failed += !good;
        }
    }
    ti->failed += n - ti->n;
    ti->n = n;
}

/* ---- figures ---- */

/* Sorts ms (n). */
static double
quantile(double *ms, size_t n, size_t percent)
{
    qsort(ms, n, sizeof *ms, by_value);
    return ms[n * percent / 100];
}

/* Sorts each round, so ask before all are sorted together. */
static double
best_round(times *ti)
{
    double best = 1e9;
    for (size_t r = 0; r + ROUND <= ti->n; r += ROUND) {
        double p99 = quantile(ti->ms + r, ROUND, 99);
        best = p99 < best ? p99 : best;
    }
    return best;
}

/* The forward pass of CANDIDATES alone, in the blocks that the replica uses; us of CPU time. */
static double
time_forward(const bench *b)
{
    const aa_model_kind *kind = aa_model_find(b->cfg.model.kind);
    aa_model_shape       sh;
    const size_t         block = 8;
    aa_model_shape_of(&sh, &b->cfg);
    const size_t per_item = sh.F * b->lr.W;
    float       *x = calloc(CANDIDATES * per_item, sizeof *x), logit[CANDIDATES];
    float       *scratch = calloc(kind->scratch_count(&sh, block) + 1, sizeof *scratch);
    AA_REQUIRE(x && scratch);
    aa_rng_normal(x, CANDIDATES * per_item, 0.1, LOADED_SEED, AA_RNG_TEST, 77);
    double from_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    for (int r = 0; r < FORWARDS; r++)
        for (size_t i = 0; i < CANDIDATES; i += block) {
            size_t B = CANDIDATES - i < block ? CANDIDATES - i : block;
            kind->forward(&sh, b->lr.dense, x + i * per_item, x, B, logit + i, scratch);
        }
    double us = (cpu_s(CLOCK_THREAD_CPUTIME_ID) - from_s) * 1e6 / FORWARDS;
    free(x);
    free(scratch);
    return us;
}

/* ---- the whole ---- */

static void
open_server(bench *b)
{
    aa_err err = AA_ERR_INIT;
    snprintf(b->cfg.scorer.listen, sizeof b->cfg.scorer.listen, "tcp://127.0.0.1:*");
    b->ctx = (aa_context){.cfg = &b->cfg, .ms = aa_metrics_new()};
    AA_REQUIRE(b->ctx.ms);
    scorer_metrics_init(&b->sm, b->ctx.ms, &b->cfg);
    check(aa_http_server_open(&b->ctx.http, "127.0.0.1", 0, &(aa_http_limits){1024, 15000, 10000},
                              b->ctx.ms, &err),
          &err);
    check(serve_open(&b->se, &b->ctx, b->lr.rp, &b->sm, NULL, NULL, &err), &err);
    serve_set_not_ready(b->se, NULL, false);
}

static void
begin(bench *b, pthread_t *thread, void *(*body)(void *))
{
    aa_err err = AA_ERR_INIT;
    if (pthread_create(thread, NULL, body, b)) check(aa_fail(&err, AA_EIO, "no thread"), &err);
}

static void
close_all(bench *b, const connection *cn)
{
    for (size_t c = 0; c < CONNECTIONS; c++)
        close(cn[c].fd);
    for (size_t r = 0; r < BODIES; r++)
        free(b->score[r].text);
    free(b->health.text);
    serve_close(&b->se);
    aa_http_server_close(&b->ctx.http);
    aa_metrics_free(&b->ctx.ms);
    loaded_replica_fini(&b->lr);
}

static size_t
measure_scores(bench *b, connection *cn, times *ti)
{
    run_client(cn, b->score, BODIES, WARM, ti);
    usage from = look();
    run_client(cn, b->score, BODIES, REQUESTS, ti);
    usage  used = since(&from);
    double best = best_round(ti), p50 = quantile(ti->ms, ti->n, 50);
    printf("{\"score_http_p50_ms\": %.3f, \"score_http_p99_ms\": %.3f, \"score_http_max_ms\": "
           "%.3f, \"score_http_best_round_p99_ms\": %.3f, \"score_http_sent_late_p99_ms\": %.3f, "
           "\"score_http_requests_per_s\": %d, \"score_http_failed\": %zu",
           p50, quantile(ti->ms, ti->n, 99), ti->ms[ti->n - 1], best,
           quantile(ti->late_ms, ti->n, 99), RATE, ti->failed);
    printf(", \"score_http_cores\": %.2f, \"score_http_client_cores\": %.2f, "
           "\"score_http_others_cores\": %.2f, \"score_http_waited_share\": %.4f",
           used.own_s / used.at_s, used.client_s / used.at_s, (used.all_s - used.own_s) / used.at_s,
           used.waited_s / used.at_s);
    return ti->failed;
}

static void
measure_healthz(const bench *b, connection *cn, times *ti)
{
    run_client(cn, &b->health, 1, 2 * RATE, ti);
    double p50 = quantile(ti->ms, ti->n, 50);
    printf(", \"score_http_healthz_p50_ms\": %.3f, \"score_http_healthz_p99_ms\": %.3f, "
           "\"score_http_forward_us\": %.1f",
           p50, quantile(ti->ms, ti->n, 99), time_forward(b));
}

static size_t
measure_rankings(bench *b, connection *cn, times *ti)
{
    pthread_t ranker;
    atomic_store(&b->stop_rankings, true);
    rank(b);
    double alone_ms = quantile(b->ranking_ms, RANKINGS, 50);
    atomic_store(&b->stop_rankings, false);
    begin(b, &ranker, rank);
    run_client(cn, b->score, BODIES, 2 * RATE, ti);
    atomic_store(&b->stop_rankings, true);
    pthread_join(ranker, NULL);
    double p50 = quantile(ti->ms, ti->n, 50);
    printf(", \"rank_all_items\": %d, \"rank_all_ms\": %.1f, \"score_http_beside_ranking_p50_ms\": "
           "%.3f, \"score_http_beside_ranking_p99_ms\": %.3f",
           NAMED, alone_ms, p50, quantile(ti->ms, ti->n, 99));
    return ti->failed;
}

int
main(int argc, char **argv)
{
    aa_err            err = AA_ERR_INIT;
    static bench      b;
    static connection cn[CONNECTIONS];
    static times      ti;
    pthread_t         updater;
    aa_log_init("bench_http", AA_WARN, false);
    check(aa_conf_load(&b.cfg, NULL, (const char *const *)argv + 1, (size_t)argc - 1, &err), &err);
    loaded_replica_init(&b.lr, &b.cfg, ITEMS, NAMED);
    make_requests(&b);
    open_server(&b);
    for (size_t c = 0; c < CONNECTIONS; c++) {
        cn[c].fd = connect_to(aa_http_server_port(b.ctx.http));
        if (fcntl(cn[c].fd, F_SETFL, O_NONBLOCK) < 0) perror("bench_http: fcntl");
    }
    begin(&b, &updater, update);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* be on time: this thread's sleeps, only */
    size_t failed = measure_scores(&b, cn, &ti);
    measure_healthz(&b, cn, &ti);
    failed += measure_rankings(&b, cn, &ti);
    atomic_store(&b.stop, true);
    pthread_join(updater, NULL);
    printf(", \"score_http_updates_per_s\": %.0f, \"score_http_updater_cores\": %.2f}\n",
           (double)b.updates / b.update_s, b.update_cpu_s / b.update_s);
    close_all(&b, cn);
    return failed ? 1 : 0;
}
