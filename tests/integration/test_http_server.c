/* The HTTP server over real sockets, requests written byte by byte: a client library would repair
 * what these tests break. */
#include "common/service/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/program.h"

#define DEADLINE_MS 20000
#define CONNECTIONS 20

typedef struct {
    aa_metrics     *ms;
    aa_http_server *hs;
} fixture;

static int
open_server(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    aa_err   err = AA_ERR_INIT;
    assert_non_null(fx);
    fx->ms = aa_metrics_new();
    assert_non_null(fx->ms);
    aa_counter_add(aa_metrics_counter(fx->ms, "x_total", "", "h"), 42);
    if (aa_http_server_open(&fx->hs, "127.0.0.1", 0, &(aa_http_limits){CONNECTIONS, 15000, 10000},
                            fx->ms, &err))
        fail_msg("%s", err.text);
    assert_in_range(aa_http_server_port(fx->hs), 1, 65535);
    *state = fx;
    return 0;
}

static int
close_server(void **state)
{
    fixture *fx = *state;
    aa_http_server_close(&fx->hs);
    assert_null(fx->hs);
    aa_metrics_free(&fx->ms);
    free(fx);
    return 0;
}

static void
pause_ms(long ms)
{
    const struct timespec ts = {.tv_nsec = ms * 1000000};
    nanosleep(&ts, NULL);
}

/* ---- a client ---- */

static int
connect_to(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval     wait = {.tv_sec = DEADLINE_MS / 1000};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

/* false: the other side has closed */
static bool
send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Everything until the server closes; malloc'd. */
static char *
receive_all(int fd)
{
    size_t  len = 0, room = 1 << 16;
    char   *text = malloc(room);
    ssize_t n;
    assert_non_null(text);
    while ((n = recv(fd, text + len, room - len - 1, 0)) > 0) {
        len += (size_t)n;
        if (room - len < 2) {
            room *= 2;
            text = realloc(text, room);
            assert_non_null(text);
        }
    }
    text[len] = '\0';
    return text;
}

/* One request on a connection of its own; the reply, malloc'd. */
static char *
exchange(int port, const char *text)
{
    int fd = connect_to(port);
    assert_true(send_all(fd, text, strlen(text)));
    char *reply = receive_all(fd);
    close(fd);
    return reply;
}

static char *
get(int port, const char *path)
{
    char text[256];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path);
    return exchange(port, text);
}

static void
check_reply(char *reply, const char *status, const char *header, const char *body)
{
    const char *at = strstr(reply, "\r\n\r\n");
    bool        good = strncmp(reply, "HTTP/1.1 ", 9) == 0 && at &&
                strncmp(reply + 9, status, strlen(status)) == 0 && strstr(reply, header) &&
                (!body || strcmp(at + 4, body) == 0);
    if (!good) fail_msg("want %s, %s, %s\ngot\n%.2000s", status, header, body ? body : "", reply);
    free(reply);
}

/* ---- tests ---- */

static void
healthz_is_ok_while_the_process_lives(void **state)
{
    int port = aa_http_server_port(((fixture *)*state)->hs);
    check_reply(get(port, "/healthz"), "200", "text/plain", "ok\n");
}

static void
readyz_follows_set_ready(void **state)
{
    fixture *fx = *state;
    int      port = aa_http_server_port(fx->hs);
    check_reply(get(port, "/readyz"), "503", "text/plain", "not ready: starting\n");
    aa_http_server_set_ready(fx->hs, true, "");
    check_reply(get(port, "/readyz"), "200", "text/plain", "ok\n");
    aa_http_server_set_ready(fx->hs, false, "restoring");
    check_reply(get(port, "/readyz?verbose"), "503", "text/plain", "not ready: restoring\n");
}

static void
metrics_are_rendered(void **state)
{
    char *reply = get(aa_http_server_port(((fixture *)*state)->hs), "/metrics");
    assert_non_null(strstr(reply, "\n# TYPE x_total counter\nx_total 42\n"));
    check_reply(reply, "200", "Content-Type: text/plain; version=0.0.4", NULL);
}

static void
head_is_get_without_a_body(void **state)
{
    int port = aa_http_server_port(((fixture *)*state)->hs);
    check_reply(exchange(port, "HEAD /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                "200", "Content-Length: 3", "");
}

static void
other_methods_and_paths_are_refused(void **state)
{
    int port = aa_http_server_port(((fixture *)*state)->hs);
    check_reply(exchange(port, "POST /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                               "Content-Length: 2\r\n\r\nhi"),
                "405", "Allow: GET, HEAD", "GET or HEAD only\n");
    check_reply(exchange(port, "DELETE /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                "405", "Allow: GET, HEAD", NULL);
    check_reply(get(port, "/"), "404", "text/plain", "there is no /\n");
    check_reply(get(port, "/healthz/"), "404", "text/plain", NULL);
    check_reply(get(port, "/../etc/passwd"), "404", "text/plain", NULL);
}

static void
several_requests_share_a_connection(void **state)
{
    int port = aa_http_server_port(((fixture *)*state)->hs);
    check_reply(exchange(port, "GET /nope HTTP/1.1\r\nHost: h\r\n\r\n"
                               "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                "404", "HTTP/1.1 200 OK", NULL);
}

/* What the handler saw, as one line, and the body's length back. */
static void
echo(void *arg, const aa_http_request *rq, aa_http_reply *rp)
{
    size_t sum = 0;
    for (size_t i = 0; i < rq->body_len; i++)
        sum += ((const unsigned char *)rq->body)[i];
    rp->status = 201;
    rp->content_type = "application/json";
    rp->body = malloc(512);
    assert_non_null(rp->body);
    rp->body_len = (size_t)snprintf(rp->body, 512, "%s %s %s [%s] [%s] %zu %zu", (const char *)arg,
                                    rq->method, rq->path, rq->query, rq->token, rq->body_len, sum);
}

static void
handler_sees_the_whole_request(void **state)
{
    fixture *fx = *state;
    int      port = aa_http_server_port(fx->hs);
    char     arg[] = "arg";
    aa_http_server_set_handler(fx->hs, echo, arg);
    check_reply(exchange(port, "POST /score%20it?user=a%20b&n=2 HTTP/1.1\r\nHost: h\r\n"
                               "Authorization: bearer s3cret\r\nConnection: close\r\n"
                               "Content-Length: 3\r\n\r\n\x01\x02\x03"),
                "201", "Content-Type: application/json",
                "arg POST /score it [user=a%20b&n=2] [s3cret] 3 6");
    check_reply(exchange(port, "PUT /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "2\r\n\x01\x01\r\n1\r\n\x05\r\n0\r\n\r\n"),
                "201", "", "arg PUT /x [] [] 3 7");
    check_reply(exchange(port, "GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Basic abc\r\n"
                               "Connection: close\r\n\r\n"),
                "201", "", "arg GET /x [] [] 0 0");
    check_reply(get(port, "/healthz"), "200", "", "ok\n"); /* the server answers its own itself */
    aa_http_server_set_handler(fx->hs, NULL, NULL);
    check_reply(get(port, "/x"), "404", "", NULL);
}

static void
body_of_the_longest_length_is_taken(void **state)
{
    fixture *fx = *state;
    int      fd = connect_to(aa_http_server_port(fx->hs));
    char     head[256], arg[] = "arg", want[64], *body = malloc(AA_HTTP_BODY_BYTES);
    assert_non_null(body);
    memset(body, 1, AA_HTTP_BODY_BYTES);
    aa_http_server_set_handler(fx->hs, echo, arg);
    snprintf(head, sizeof head,
             "POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
             AA_HTTP_BODY_BYTES);
    assert_true(send_all(fd, head, strlen(head)));
    assert_true(send_all(fd, body, AA_HTTP_BODY_BYTES));
    snprintf(want, sizeof want, "arg POST /x [] [] %d %d", AA_HTTP_BODY_BYTES, AA_HTTP_BODY_BYTES);
    check_reply(receive_all(fd), "201", "", want);
    close(fd);
    free(body);
}

static void
body_announced_too_long_is_refused_before_it_is_sent(void **state)
{
    static const char *const lengths[] = {"8388609", "99999999999999999"};
    fixture                 *fx = *state;
    char                     text[256], arg[] = "arg";
    aa_http_server_set_handler(fx->hs, echo, arg);
    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\n",
                 lengths[i]);
        check_reply(exchange(aa_http_server_port(fx->hs), text), "413", "",
                    "the body is too long\n");
    }
}

static void
body_that_grows_too_long_is_refused(void **state)
{
    fixture    *fx = *state;
    char        arg[] = "arg", chunk[65536];
    const char *head = "POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n";
    int         fd = connect_to(aa_http_server_port(fx->hs));
    bool        open = send_all(fd, head, strlen(head));
    size_t      sent = 0;
    memset(chunk, 'x', sizeof chunk);
    aa_http_server_set_handler(fx->hs, echo, arg);
    for (; open && sent < 4 * (size_t)AA_HTTP_BODY_BYTES; sent += sizeof chunk)
        open = send_all(fd, "10000\r\n", 7) && send_all(fd, chunk, sizeof chunk) &&
               send_all(fd, "\r\n", 2);
    close(fd);
    assert_false(open); /* the server hung up long before */
    check_reply(get(aa_http_server_port(fx->hs), "/healthz"), "200", "", "ok\n");
}

static void
malformed_requests_do_not_stop_the_server(void **state)
{
    static const char *const bad[] = {
        "\r\n\r\n",
        "GET\r\n\r\n",
        "\x16\x03\x01\x02\x00 a TLS client\r\n\r\n",
        "GET /x?q HTTP/9.9\r\n\r\n",
        "GET /x?q HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /x?q HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "POST /x?q HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /x?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /x?unfinished HTTP/1.1\r\nHost:",
    };
    int port = aa_http_server_port(((fixture *)*state)->hs);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct timeval wait = {.tv_usec = 200000}; /* for some there is no answer */
        int            fd = connect_to(port);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        assert_true(send_all(fd, bad[i], strlen(bad[i])));
        char *reply = receive_all(fd);
        if (strncmp(reply, "HTTP/1.1 2", 10) == 0) fail_msg("%s\naccepted: %s", bad[i], reply);
        free(reply);
        close(fd);
        check_reply(get(port, "/healthz"), "200", "", "ok\n");
    }
}

static void
request_line_and_headers_without_end_are_refused(void **state)
{
    int   port = aa_http_server_port(((fixture *)*state)->hs);
    int   fd = connect_to(port);
    char *big = malloc(1 << 20);
    assert_non_null(big);
    memset(big, 'a', 1 << 20);
    if (send_all(fd, "GET /", 5)) send_all(fd, big, 1 << 20); /* may be closed on the way */
    close(fd);
    fd = connect_to(port);
    const char *head = "GET /healthz HTTP/1.1\r\nX: ";
    if (send_all(fd, head, strlen(head))) send_all(fd, big, 1 << 20);
    close(fd);
    free(big);
    check_reply(get(port, "/healthz"), "200", "", "ok\n");
}

/* ---- too many connections, and slow ones ---- */

static const char health[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
static const char half[] = "POST /x HTTP/1.1\r\nHost: x\r\nX";

static double
metric(fixture *fx, const char *name)
{
    size_t len;
    char  *text = aa_metrics_render(fx->ms, &len), line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char  *at = strstr(text, line);
    const double value = at ? strtod(at + strlen(line), NULL) : -1;
    free(text);
    return value;
}

static void
an_idle_connection_gives_way_to_a_new_one(void **state)
{
    fixture *fx = *state;
    int      port = aa_http_server_port(fx->hs), fds[CONNECTIONS];
    char     byte;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_to(port);
        while (metric(fx, "autoassign_http_connections") < (double)(i + 1))
            pause_ms(1);
    }
    check_reply(exchange(port, health), "200", "", "ok\n");
    assert_int_equal(recv(fds[0], &byte, 1, 0), 0); /* the one that was idle longest */
    assert_int_equal((int)metric(fx, "autoassign_http_evicted_connections_total"), 1);
    for (size_t i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
}

static void
health_checks_are_answered_when_all_connections_are_busy(void **state)
{
    fixture *fx = *state;
    char     arg[] = "arg";
    int      port = aa_http_server_port(fx->hs), fds[CONNECTIONS];
    aa_http_server_set_handler(fx->hs, echo, arg);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_to(port);
        assert_true(send_all(fds[i], half, sizeof half - 1));
    }
    while (metric(fx, "autoassign_http_connections") < CONNECTIONS)
        pause_ms(1);
    pause_ms(100); /* their bytes have come too */
    check_reply(exchange(port, health), "200", "", "ok\n");
    check_reply(exchange(port, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"), "503", "",
                "too many connections\n");
    for (size_t i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
}

static void
a_request_that_takes_too_long_is_given_up(void **state)
{
    fixture             *fx = *state;
    aa_err               err = AA_ERR_INIT;
    aa_metrics          *ms = aa_metrics_new();
    const fixture        was = *fx;
    const int64_t        until_ms = aa_now_ms() + DEADLINE_MS;
    const aa_http_limits limits = {CONNECTIONS, 15000, 300};
    fx->ms = ms;
    assert_int_equal(aa_http_server_open(&fx->hs, "127.0.0.1", 0, &limits, ms, &err), AA_OK);
    int  fd = connect_to(aa_http_server_port(fx->hs));
    bool open = send_all(fd, half, sizeof half - 1);
    for (; open && aa_now_ms() < until_ms; pause_ms(20)) /* a byte now and then: never idle */
        open = send_all(fd, "a", 1);
    assert_false(open);
    assert_true(metric(fx, "autoassign_http_slow_requests_total") >= 1);
    close(fd);
    aa_http_server_close(&fx->hs);
    aa_metrics_free(&ms);
    *fx = was;
}

/* ---- RFC 9110, 9112 ---- */

static void
a_request_that_two_readers_could_read_differently_is_refused(void **state)
{
    static const char *const bad[] = {
        "Host: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "Host: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "Host: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Host: h\r\nHost: g\r\nContent-Length: 0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
        "Host: h\r\nContent-Length : 3\r\n\r\nabc", /* a blank before the colon */
        "Host: h\r\nContent-Length\t: 3\r\n\r\nabc",
        "Host: h\r\nContent-Length: +3\r\n\r\nabc",
        "Host: h\r\nContent-Length: 3, 3\r\n\r\nabc",
        "Host: h\r\nX(y): 1\r\nContent-Length: 0\r\n\r\n",
        "Host: h\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "Host: h i\r\nContent-Length: 0\r\n\r\n",
        "Host: h/p@g\r\nContent-Length: 0\r\n\r\n",
    };
    fixture *fx = *state;
    char     arg[] = "arg", text[512];
    aa_http_server_set_handler(fx->hs, echo, arg);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "POST /x HTTP/1.1\r\n%s", bad[i]);
        char *reply = exchange(aa_http_server_port(fx->hs), text); /* ends: it is closed */
        if (strncmp(reply, "HTTP/1.1 400", 12) != 0) fail_msg("%s\nanswer: %s", text, reply);
        free(reply);
    }
    const int port = aa_http_server_port(fx->hs);
    char *reply = exchange(port, "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_memory_equal(reply, "HTTP/1.1 400", 12);
    free(reply);
    check_reply(exchange(port, "GET /healthz HTTP/1.0\r\n\r\n"), "200", "", "ok\n");
    check_reply(exchange(port, "GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\nX-Y_z: a\tb\r\n"
                               "Connection: close\r\n\r\n"),
                "200", "", "ok\n");
}

static void
a_target_with_an_encoded_nul_is_refused(void **state)
{
    fixture *fx = *state;
    check_reply(
        exchange(aa_http_server_port(fx->hs), "GET /healthz%00/x HTTP/1.1\r\nHost: h\r\n\r\n"),
        "400", "", "bad request: %00 in the target\n");
}

static void
an_absolute_target_is_its_path(void **state)
{
    fixture *fx = *state;
    int      port = aa_http_server_port(fx->hs);
    check_reply(exchange(port, "GET http://h:80/healthz HTTP/1.1\r\nHost: h\r\n"
                               "Connection: close\r\n\r\n"),
                "200", "", "ok\n");
    check_reply(exchange(port, "GET http://h HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                "404", "", "there is no /\n");
}

static void
a_chunked_body_that_is_too_long_is_answered(void **state)
{
    fixture    *fx = *state;
    char        arg[] = "arg", chunk[65536];
    const char *head = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    int         fd = connect_to(aa_http_server_port(fx->hs));
    aa_http_server_set_handler(fx->hs, echo, arg);
    assert_true(send_all(fd, head, strlen(head)));
    memset(chunk, 'x', sizeof chunk);
    for (size_t sent = 0; sent <= AA_HTTP_BODY_BYTES; sent += sizeof chunk)
        assert_true(send_all(fd, "10000\r\n", 7) && send_all(fd, chunk, sizeof chunk) &&
                    send_all(fd, "\r\n", 2));
    assert_true(send_all(fd, "0\r\n\r\n", 5));
    check_reply(receive_all(fd), "413", "", "the body is too long\n");
    close(fd);
}

/* ---- the end ---- */

static void
a_lingering_server_answers_and_ends_connections(void **state)
{
    fixture *fx = *state;
    char     arg[] = "arg";
    aa_http_server_set_handler(fx->hs, echo, arg);
    aa_http_server_linger(fx->hs);
    char *reply = exchange(aa_http_server_port(fx->hs), "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(strncmp(reply, "HTTP/1.1 201", 12), 0);
    assert_non_null(strstr(reply, "Connection: close"));
    free(reply);
    aa_http_server_set_handler(fx->hs, NULL, NULL); /* never "there is no /x", which is for good */
    reply = exchange(aa_http_server_port(fx->hs), "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(strncmp(reply, "HTTP/1.1 503", 12), 0);
    free(reply);
}

typedef struct {
    int         port;
    atomic_bool stop;
    atomic_int  answered, refused, cut;
} asker;

static void *
ask_on(void *arg)
{
    asker *as = arg;
    while (!atomic_load(&as->stop)) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)as->port)};
        sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int  fd = socket(AF_INET, SOCK_STREAM, 0);
        char reply[16] = "";
        if (connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0)
            atomic_fetch_add(&as->refused, 1);
        else if (send_all(fd, health, sizeof health - 1) && recv(fd, reply, 12, MSG_WAITALL) == 12)
            atomic_fetch_add(&as->answered, 1);
        else
            atomic_fetch_add(&as->cut, 1);
        close(fd);
    }
    return NULL;
}

static void
a_client_of_a_server_that_drains_is_answered_or_refused_never_cut_off(void **state)
{
    enum { ASKERS = 8 };
    fixture  *fx = *state;
    asker     as = {.port = aa_http_server_port(fx->hs)};
    pthread_t thread[ASKERS];
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask_on, &as), 0);
    while (atomic_load(&as.answered) < 200)
        pause_ms(1);
    aa_http_server_drain(fx->hs, DEADLINE_MS);
    while (atomic_load(&as.refused) < ASKERS)
        pause_ms(1);
    atomic_store(&as.stop, true);
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(atomic_load(&as.cut), 0);
}

static void
port_in_use_is_an_error_that_names_it(void **state)
{
    fixture        *fx = *state;
    char            want[128];
    aa_err          err = AA_ERR_INIT;
    aa_http_server *second = NULL;
    int             port = aa_http_server_port(fx->hs);
    assert_int_equal(aa_http_server_open(&second, "127.0.0.1", port,
                                         &(aa_http_limits){CONNECTIONS, 15000, 10000}, fx->ms,
                                         &err),
                     AA_EIO);
    snprintf(want, sizeof want, "http: cannot listen on 127.0.0.1 port %d: Address already in use",
             port);
    assert_string_equal(err.text, want);
    assert_null(second);
    assert_int_equal(aa_http_server_open(&second, "192.0.2.1", 0,
                                         &(aa_http_limits){CONNECTIONS, 15000, 10000}, fx->ms,
                                         &err),
                     AA_EIO);
    assert_int_equal(aa_http_server_open(&second, "no such host", 0,
                                         &(aa_http_limits){CONNECTIONS, 15000, 10000}, fx->ms,
                                         &err),
                     AA_EIO);
    assert_int_equal(strncmp(err.text, "http.bind: no such host: ", 25), 0);
}

/* ---- handing the handler back while it runs ---- */

typedef struct {
    atomic_int begun, release, ended;
} slow_call;

static void
wait_for(atomic_int *flag)
{
    int64_t end_ms = aa_now_ms() + DEADLINE_MS;
    while (!atomic_load(flag) && aa_now_ms() < end_ms)
        pause_ms(1);
}

static void
slow_handler(void *arg, const aa_http_request *rq, aa_http_reply *rp)
{
    slow_call *sc = arg;
    (void)rq;
    atomic_store(&sc->begun, 1);
    wait_for(&sc->release);
    rp->status = 204;
    atomic_store(&sc->ended, 1);
}

static void *
request_slowly(void *arg)
{
    return get(*(int *)arg, "/slow");
}

static void *
release_later(void *arg)
{
    slow_call *sc = arg;
    pause_ms(20);
    atomic_store(&sc->release, 1);
    return NULL;
}

static void
taking_the_handler_back_waits_for_its_call(void **state)
{
    fixture  *fx = *state;
    int       port = aa_http_server_port(fx->hs);
    slow_call sc = {0};
    pthread_t client, timer;
    void     *reply;
    aa_http_server_set_handler(fx->hs, slow_handler, &sc);
    assert_int_equal(pthread_create(&client, NULL, request_slowly, &port), 0);
    wait_for(&sc.begun);
    assert_int_equal(pthread_create(&timer, NULL, release_later, &sc), 0);
    aa_http_server_set_ready(fx->hs, true, ""); /* must not wait */
    assert_int_equal(atomic_load(&sc.ended), 0);
    aa_http_server_set_handler(fx->hs, NULL, NULL);
    assert_int_equal(atomic_load(&sc.ended), 1);
    assert_int_equal(pthread_join(timer, NULL), 0);
    assert_int_equal(pthread_join(client, &reply), 0);
    check_reply(reply, "204", "", "");
}

/* ---- a whole program ---- */

static aa_status
run_until_signal(aa_context *ctx, aa_err *err)
{
    (void)err;
    aa_set_ready(ctx, true, "");
    while (!aa_stop_requested())
        pause_ms(1);
    return AA_OK;
}

static void
program_announces_its_port_and_stops_on_sigterm(void **state)
{
    (void)state;
    const aa_program program = {.name = "learner", .summary = "s", .run = run_until_signal};
    char             name[] = "learner", line[1024];
    char            *argv[] = {name, NULL};
    const char      *at = NULL;
    int              pipe_fd[2], port = 0, status = 0;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        _exit(aa_program_main(&program, 1, argv));
    }
    close(pipe_fd[1]);
    FILE *err = fdopen(pipe_fd[0], "r");
    assert_non_null(err);
    while (!at && fgets(line, sizeof line, err))
        if (strstr(line, " id=HTTP-LISTEN ")) at = strstr(line, " port=");
    assert_true(at && sscanf(at, " port=%d", &port) == 1);
    for (int ready = 0; !ready;) {
        char *reply = get(port, "/readyz");
        ready = strncmp(reply, "HTTP/1.1 200", 12) == 0;
        free(reply);
    }
    char *reply = get(port, "/metrics");
    assert_non_null(strstr(reply, "autoassign_build_info{process=\"learner\",version=\""));
    check_reply(reply, "200", "", NULL);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fclose(err);
}

/* ---- few descriptors: each in a process of its own, whose limits are lowered ---- */

enum { FLOOD = 400, OWN_FILES = 40 };

/* As a checkpoint does, and Kafka's clients: can so many more be opened? */
static bool
files_can_be_opened(int count)
{
    int  fd[FLOOD];
    int  n = 0;
    bool all;
    while (n < count && (fd[n] = open("/dev/null", O_RDONLY)) >= 0)
        n++;
    all = n == count;
    while (n > 0)
        close(fd[--n]);
    return all;
}

typedef struct {
    int    port;
    rlim_t soft; /* once the server is open */
} limited_server;

/* Serves until `until` is closed. Exit code 0: its own files could be opened all the time. */
static void
serve_with_limits(rlim_t soft, rlim_t hard, int tell, int until)
{
    const struct rlimit rl = {.rlim_cur = soft, .rlim_max = hard};
    aa_http_server     *hs = NULL;
    aa_err              err = AA_ERR_INIT;
    struct rlimit       now;
    limited_server      ls;
    bool                good = true;
    if (setrlimit(RLIMIT_NOFILE, &rl) != 0 ||
        aa_http_server_open(&hs, "127.0.0.1", 0, &(aa_http_limits){1024, 15000, 10000},
                            aa_metrics_new(), &err) != AA_OK ||
        getrlimit(RLIMIT_NOFILE, &now) != 0)
        _exit(2);
    ls = (limited_server){.port = aa_http_server_port(hs), .soft = now.rlim_cur};
    if (write(tell, &ls, sizeof ls) != (ssize_t)sizeof ls) _exit(3);
    for (struct pollfd end = {.fd = until}; good && poll(&end, 1, 5) == 0;)
        good = files_can_be_opened(OWN_FILES);
    _exit(good ? 0 : 1);
}

/* @param until  close it to end the process */
static pid_t
start_limited(rlim_t soft, rlim_t hard, limited_server *ls, int *until)
{
    int tell[2], end[2];
    assert_int_equal(pipe(tell), 0);
    assert_int_equal(pipe(end), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(end[1]);
        serve_with_limits(soft, hard, tell[1], end[0]);
    }
    close(tell[1]);
    close(end[0]);
    assert_int_equal(read(tell[0], ls, sizeof *ls), sizeof *ls);
    close(tell[0]);
    *until = end[1];
    return pid;
}

static void
end_limited(pid_t pid, int until)
{
    int status = 0;
    close(until);
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
soft_limit_of_open_files_is_raised_to_what_connections_need(void **state)
{
    limited_server ls;
    int            until = -1;
    (void)state;
    const pid_t pid = start_limited(128, 4096, &ls, &until);
    assert_in_range(ls.soft, 1024 + 16, 4096);
    check_reply(get(ls.port, "/healthz"), "200", "", "ok\n");
    end_limited(pid, until);
}

/* Connections are fewer instead: health checks are answered, and the process has files to open. */
static void
flood_of_connections_at_a_low_hard_limit_takes_no_descriptor_that_others_need(void **state)
{
    static const rlim_t hard[] = {320, 128};
    (void)state;
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        limited_server ls;
        int            until = -1, fds[FLOOD];
        const pid_t    pid = start_limited(hard[i] / 2, hard[i], &ls, &until);
        assert_int_equal(ls.soft, hard[i]);
        for (size_t c = 0; c < FLOOD; c++) {
            fds[c] = connect_to(ls.port);
            send_all(fds[c], half, sizeof half - 1);
            if (c % 50 == 49) check_reply(exchange(ls.port, health), "200", "", "ok\n");
        }
        for (size_t c = 0; c < FLOOD; c++)
            close(fds[c]);
        end_limited(pid, until);
    }
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)
    const struct CMUnitTest tests[] = {
        T(healthz_is_ok_while_the_process_lives),
        T(readyz_follows_set_ready),
        T(metrics_are_rendered),
        T(head_is_get_without_a_body),
        T(other_methods_and_paths_are_refused),
        T(several_requests_share_a_connection),
        T(handler_sees_the_whole_request),
        T(body_of_the_longest_length_is_taken),
        T(body_announced_too_long_is_refused_before_it_is_sent),
        T(body_that_grows_too_long_is_refused),
        T(malformed_requests_do_not_stop_the_server),
        T(request_line_and_headers_without_end_are_refused),
        T(an_idle_connection_gives_way_to_a_new_one),
        T(health_checks_are_answered_when_all_connections_are_busy),
        T(a_request_that_takes_too_long_is_given_up),
        T(a_request_that_two_readers_could_read_differently_is_refused),
        T(a_target_with_an_encoded_nul_is_refused),
        T(an_absolute_target_is_its_path),
        T(a_chunked_body_that_is_too_long_is_answered),
        T(a_lingering_server_answers_and_ends_connections),
        T(a_client_of_a_server_that_drains_is_answered_or_refused_never_cut_off),
        T(port_in_use_is_an_error_that_names_it),
        T(taking_the_handler_back_waits_for_its_call),
        cmocka_unit_test(soft_limit_of_open_files_is_raised_to_what_connections_need),
        cmocka_unit_test(
            flood_of_connections_at_a_low_hard_limit_takes_no_descriptor_that_others_need),
        cmocka_unit_test(program_announces_its_port_and_stops_on_sigterm),
    };
    return cmocka_run_group_tests_name("common/service/http_server", tests, NULL, NULL);
}
