/* libmicrohttpd calls handle_request once per request when the headers are there, once per piece of
 * the body, and once more at the end; `request` is what is remembered in between. A body that is
 * announced too long is refused at the first call, one that turns out too long at the last. */
#include "common/service/http_server.h"

#include <asm/socket.h> /* SO_ATTACH_FILTER */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/http_fault.h"

#define CONNECTION_BYTES (64 << 10) /* request line and headers must fit */
#define SLOW_LOOK_MS     250
#define OTHER_FILES      256 /* descriptors that the process needs beside connections */
#define LEAST            16  /* connections, however few descriptors there may be */
#define DISCARD_FACTOR   2   /* a body is read at most to so many times its limit */
#define DRAIN_LOOK_MS    10
#define HANDSHAKE_MS     100 /* that are under way when the server stops end within */

struct aa_http_server {
    struct MHD_Daemon    *daemon;
    aa_metrics           *ms;
    int                   port;
    _Atomic(const char *) not_ready; /* why; NULL when ready */
    pthread_mutex_t       lock;      /* of the two below; held while the handler runs */
    aa_http_handler       handler;
    void                 *arg;
    aa_http_connections  *cs;
    int                   listen_fd; /* until it is the daemon's */
    atomic_bool           lingers;
    pthread_t             watcher;
    bool                  watches;
    atomic_bool           watch_stop;
};

struct aa_http_call {
    char                  *query; /* owned */
    char                  *body;  /* owned */
    size_t                 len, room;
    size_t                 taken; /* of the body, what was thrown away included */
    aa_http_server        *hs;
    aa_http_connection    *cn;
    bool                   begun, too_long;
    bool                   nul_in_target; /* the rest of which nobody would see */
    bool                   close;         /* the answer ends the connection */
    struct MHD_Connection *conn;
    bool                   later; /* the handler answers later */
    aa_http_reply          reply; /* that answer, as soon as it is there */
};
typedef aa_http_call request;

/* ---- replies ---- */

static enum MHD_Result
send_http_reply(request *req, int status, const char *type, const char *allow, char *body,
                size_t len)
{
    struct MHD_Response *rp =
        MHD_create_response_from_buffer(body ? len : 0, body, MHD_RESPMEM_MUST_FREE);
    if (!rp) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(rp, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (allow) MHD_add_response_header(rp, MHD_HTTP_HEADER_ALLOW, allow);
    if (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(rp, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (req->close || atomic_load(&req->hs->lingers))
        MHD_add_response_header(rp, MHD_HTTP_HEADER_CONNECTION, "close");
    aa_http_connections_state(req->hs->cs, req->cn, AA_HTTP_TAKES, aa_now_ms());
    enum MHD_Result done = MHD_queue_response(req->conn, (unsigned)status, rp);
    MHD_destroy_response(rp);
    return done;
}

static enum MHD_Result
send_text(request *req, int status, const char *allow, const char *text, const char *more)
{
    size_t size = strlen(text) + strlen(more) + 2;
    char  *body = malloc(size);
    if (!body) return MHD_NO;
    snprintf(body, size, "%s%s\n", text, more);
    return send_http_reply(req, status, "text/plain; charset=utf-8", allow, body, size - 1);
}

static enum MHD_Result
send_metrics(request *req)
{
    size_t len;
    char  *text = aa_metrics_render(req->hs->ms, &len);
    if (!text) return send_text(req, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, "out of memory", "");
    return send_http_reply(req, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", NULL, text,
                           len);
}

static enum MHD_Result
send_too_long(request *req)
{
    req->close = true;
    return send_text(req, MHD_HTTP_CONTENT_TOO_LARGE, NULL, "the body is too long", "");
}

/* The path of an absolute-form target (http://host/path), else the target itself. */
static const char *
path_of(const char *target)
{
    if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
        return target;
    const char *slash = strchr(strstr(target, "://") + 3, '/');
    return slash ? slash : "/";
}

/* ---- requests ---- */

static const char *
bearer_token(struct MHD_Connection *conn)
{
    const char *auth =
        MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (!auth || strncasecmp(auth, "Bearer ", 7) != 0) return "";
    return auth + 7 + strspn(auth + 7, " ");
}

/* What the process adds; false: nothing. */
static bool
call_handler(aa_http_server *hs, const aa_http_request *rq, aa_http_reply *rp)
{
    pthread_mutex_lock(&hs->lock);
    bool there = hs->handler != NULL;
    if (there) hs->handler(hs->arg, rq, rp);
    pthread_mutex_unlock(&hs->lock);
    return there;
}

/* libmicrohttpd looks away from a suspended connection, and calls handle_request again when it is
 * resumed. */
void
aa_http_later(aa_http_call *call)
{
    call->later = true;
    MHD_suspend_connection(call->conn);
}

void
aa_http_finish(aa_http_call *call, const aa_http_reply *rp)
{
    call->reply = *rp;
    MHD_resume_connection(call->conn);
}

static enum MHD_Result
send_handlers(request *req, const aa_http_reply *rp)
{
    return send_http_reply(req, rp->status, rp->content_type, rp->allow, rp->body, rp->body_len);
}

/* A resource of the process's own. */
static enum MHD_Result
answer_process(request *req, const char *path, const char *method)
{
    aa_http_reply         rp = {.status = MHD_HTTP_OK, .content_type = "text/plain"};
    const aa_http_request rq = {.method = method,
                                .path = path,
                                .query = req->query ? req->query : "",
                                .token = bearer_token(req->conn),
                                .body = req->body ? req->body : "",
                                .body_len = req->len,
                                .call = req};
    if (aa_http_connections_extra(req->hs->cs, req->cn)) {
        req->close = true;
        return send_text(req, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, "too many connections", "");
    }
    const bool there = call_handler(req->hs, &rq, &rp);
    if (req->later) return MHD_YES;
    if (there) return send_handlers(req, &rp);
    if (atomic_load(&req->hs->lingers))
        return send_text(req, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, "stopping", "");
    return send_text(req, MHD_HTTP_NOT_FOUND, NULL, "there is no ", path);
}

static enum MHD_Result
answer_request(request *req, const char *path, const char *method)
{
    bool own = !strcmp(path, "/healthz") || !strcmp(path, "/readyz") || !strcmp(path, "/metrics");
    if (!own) return answer_process(req, path, method);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_text(req, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD", "GET or HEAD only", "");
    if (strcmp(path, "/metrics") == 0) return send_metrics(req);
    const char *why = strcmp(path, "/readyz") == 0 ? atomic_load(&req->hs->not_ready) : NULL;
    if (why) return send_text(req, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, "not ready: ", why);
    return send_text(req, MHD_HTTP_OK, NULL, "ok", "");
}

/* The announced length of the body is beyond the limit, or no number. */
static bool
announces_too_much(struct MHD_Connection *conn)
{
    const char *text =
        MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!text) return false;
    errno = 0;
    unsigned long long n = strtoull(text, NULL, 10);
    return errno || n > AA_HTTP_BODY_BYTES;
}

/* A body that turns out too long is read to its end, but not kept, so that its sender gets to read
 * the answer; one that has no end in sight is cut off. */
static enum MHD_Result
keep_piece(request *req, const char *data, size_t len)
{
    req->taken += len;
    if (req->taken > AA_HTTP_BODY_BYTES * (size_t)DISCARD_FACTOR) return MHD_NO;
    if (req->taken > AA_HTTP_BODY_BYTES) {
        req->too_long = true;
        req->len = 0;
        return MHD_YES;
    }
    if (req->len + len > req->room) {
        size_t room = req->room ? req->room * 2 : 4096;
        while (room < req->len + len)
            room *= 2;
        char *grown = realloc(req->body, room);
        if (!grown) return MHD_NO;
        req->body = grown;
        req->room = room;
    }
    memcpy(req->body + req->len, data, len);
    req->len += len;
    return MHD_YES;
}

/* The headers are there. */
static enum MHD_Result
begin_body(request *req, const char *version)
{
    const char *wrong = aa_http_fault(req->conn, version);
    if (!wrong && req->nul_in_target) wrong = "%00 in the target";
    req->begun = true;
    if (wrong) {
        req->close = true;
        return send_text(req, MHD_HTTP_BAD_REQUEST, NULL, "bad request: ", wrong);
    }
    return announces_too_much(req->conn) ? send_too_long(req) : MHD_YES;
}

static enum MHD_Result
handle_request(void *arg, struct MHD_Connection *conn, const char *target, const char *method,
               const char *version, const char *data, size_t *data_len, void **state)
{
    request *req = *state;
    (void)arg;
    (void)conn;
    if (!req) return MHD_NO; /* out of memory in begin_request */
    if (!req->begun) return begin_body(req, version);
    if (*data_len) {
        enum MHD_Result st = keep_piece(req, data, *data_len);
        *data_len = 0;
        return st;
    }
    if (req->too_long) return send_too_long(req);
    if (req->later) {
        aa_http_reply rp = req->reply;
        req->reply.body = NULL;
        return send_handlers(req, &rp);
    }
    aa_http_connections_state(req->hs->cs, req->cn, AA_HTTP_WAITS, aa_now_ms());
    return answer_request(req, path_of(target), method);
}

static aa_http_connection *
connection_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void
on_connection(void *arg, struct MHD_Connection *conn, void **context,
              enum MHD_ConnectionNotificationCode what)
{
    aa_http_server *hs = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info) *context = aa_http_connections_open(hs->cs, info->connect_fd, aa_now_ms());
    } else {
        aa_http_connections_close(hs->cs, *context);
        *context = NULL;
    }
}

/* The only call that sees the query as it was sent; what it returns becomes *state. */
static void *
begin_request(void *arg, const char *uri, struct MHD_Connection *conn)
{
    request    *req = calloc(1, sizeof *req);
    const char *mark = strchr(uri, '?');
    if (!req) return NULL;
    req->conn = conn;
    req->hs = arg;
    req->cn = connection_of(conn);
    req->nul_in_target = strstr(uri, "%00") != NULL;
    aa_http_connections_state(req->hs->cs, req->cn, AA_HTTP_SENDS, aa_now_ms());
    if (mark && !(req->query = strdup(mark + 1))) {
        free(req);
        req = NULL;
    }
    return req;
}

static void
end_request(void *arg, struct MHD_Connection *conn, void **state,
            enum MHD_RequestTerminationCode how)
{
    request *req = *state;
    (void)arg;
    (void)conn;
    (void)how;
    if (!req) return;
    aa_http_connections_state(req->hs->cs, req->cn, AA_HTTP_IDLE, aa_now_ms());
    free(req->query);
    free(req->body);
    free(req->reply.body);
    free(req);
    *state = NULL;
}

__attribute__((format(printf, 2, 0))) static void
log_library(void *arg, const char *fmt, va_list ap)
{
    char text[256];
    (void)arg;
    if (!aa_log_on(AA_DEBUG)) return;
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    aa_debug("HTTP-LIBRARY", "%s", text);
}

/* ---- opening and closing ---- */

static int
bind_one(const struct addrinfo *ai)
{
    int one = 1;
    int fd = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* connections inherit it */
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static aa_status
listen_on(const char *address, int port, int *out_fd, aa_err *err)
{
    char             service[16];
    struct addrinfo  hints = {.ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    snprintf(service, sizeof service, "%d", port);
    int bad = getaddrinfo(address, service, &hints, &list);
    if (bad) return aa_fail(err, AA_EIO, "http.bind: %s: %s", address, gai_strerror(bad));
    int fd = -1;
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
        fd = bind_one(ai);
    int why = errno;
    freeaddrinfo(list);
    if (fd < 0)
        return aa_fail(err, AA_EIO, "http: cannot listen on %s port %d: %s", address, port,
                       strerror(why));
    *out_fd = fd;
    return AA_OK;
}

static int
port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t               len = sizeof sa;
    char                    service[16];
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
        getnameinfo((struct sockaddr *)&sa, len, NULL, 0, service, sizeof service,
                    NI_NUMERICSERV) != 0)
        return 0;
    return (int)strtol(service, NULL, 10);
}

/* ---- what takes too long ---- */

static void *
watch_connections(void *arg)
{
    aa_http_server       *hs = arg;
    const struct timespec pause = {.tv_nsec = SLOW_LOOK_MS * 1000000L};
    while (!atomic_load(&hs->watch_stop)) {
        nanosleep(&pause, NULL);
        aa_http_connections_close_slow(hs->cs, aa_now_ms());
    }
    return NULL;
}

/* As many connections as there are descriptors for. */
static int64_t
affordable(int64_t max_connections)
{
    const int64_t room = aa_http_connections_room(max_connections + AA_HTTP_EXTRA + OTHER_FILES) -
                         AA_HTTP_EXTRA - OTHER_FILES;
    if (room >= max_connections) return max_connections;
    const int64_t left = room > LEAST ? room : LEAST;
    if (left >= max_connections) return max_connections;
    aa_warn("HTTP-CONNECTIONS",
            "at most %lld connections instead of %lld (http.max_connections): the limit of open "
            "files (ulimit -n) leaves room for no more",
            (long long)left, (long long)max_connections);
    return left;
}

static aa_status
start_daemon(aa_http_server *hs, const aa_http_limits *limits, aa_err *err)
{
    const int64_t keepalive_s = (limits->keepalive_ms + 999) / 1000;
    hs->daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        handle_request, hs, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_LISTEN_SOCKET,
        hs->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(limits->max_connections + AA_HTTP_EXTRA), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)keepalive_s,
        MHD_OPTION_URI_LOG_CALLBACK, begin_request, hs, MHD_OPTION_NOTIFY_COMPLETED, end_request,
        NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, hs, MHD_OPTION_END);
    if (!hs->daemon)
        return aa_fail(err, AA_EIO, "http: cannot start the server on port %d", hs->port);
    hs->listen_fd = -1; /* the daemon's */
    hs->watches = pthread_create(&hs->watcher, NULL, watch_connections, hs) == 0;
    return hs->watches ? AA_OK : aa_fail(err, AA_EIO, "http: no thread");
}

aa_status
aa_http_server_open(aa_http_server **out, const char *address, int port,
                    const aa_http_limits *limits, aa_metrics *ms, aa_err *err)
{
    aa_http_limits  some = *limits;
    aa_http_server *hs = calloc(1, sizeof *hs);
    if (!hs) return aa_fail(err, AA_ENOMEM, "http");
    hs->ms = ms;
    hs->listen_fd = -1;
    some.max_connections = affordable(limits->max_connections);
    atomic_init(&hs->not_ready, "starting");
    pthread_mutex_init(&hs->lock, NULL);
    aa_status st = listen_on(address, port, &hs->listen_fd, err);
    if (st == AA_OK) hs->cs = aa_http_connections_new(&some, ms);
    if (st == AA_OK && !hs->cs) st = aa_fail(err, AA_ENOMEM, "http");
    if (st == AA_OK) {
        hs->port = port_of(hs->listen_fd);
        st = start_daemon(hs, &some, err);
    }
    if (st != AA_OK) aa_http_server_close(&hs);
    *out = hs;
    return st;
}

int
aa_http_server_port(const aa_http_server *hs)
{
    return hs->port;
}

void
aa_http_server_set_ready(aa_http_server *hs, bool ready, const char *why)
{
    atomic_store(&hs->not_ready, ready ? NULL : why);
}

void
aa_http_server_set_handler(aa_http_server *hs, aa_http_handler handler, void *arg)
{
    pthread_mutex_lock(&hs->lock);
    hs->handler = handler;
    hs->arg = arg;
    pthread_mutex_unlock(&hs->lock);
}

/* ---- the end ---- */

void
aa_http_server_linger(aa_http_server *hs)
{
    atomic_store(&hs->lingers, true);
}

/* Connections that the kernel has made, but nobody has accepted, are reset when their socket is
 * closed, and with them requests that no balancer may send a second time. So first let no new
 * handshake begin: its SYN is dropped, and comes again a second later, when it is refused. Those
 * that are under way end, and are accepted. */
static void
refuse_handshakes(int listen_fd)
{
    struct sock_filter code[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 13}, /* flags of the TCP header */
                                 {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x12}, /* SYN and ACK */
                                 {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x02}, /* SYN alone */
                                 {BPF_RET | BPF_K, 0, 0, 0},
                                 {BPF_RET | BPF_K, 0, 0, 0xffffffff}};
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    (void)!setsockopt(listen_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static void
pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

void
aa_http_server_drain(aa_http_server *hs, int64_t wait_ms)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(hs->daemon, MHD_DAEMON_INFO_LISTEN_FD);
    const int64_t               until_ms = aa_now_ms() + wait_ms;
    aa_http_server_linger(hs);
    if (info) refuse_handshakes(info->listen_fd);
    pause_ms(HANDSHAKE_MS);
    const int fd = MHD_quiesce_daemon(hs->daemon);
    if (fd >= 0) close(fd);
    do {
        aa_http_connections_close_idle(hs->cs);
        if (aa_http_connections_count(hs->cs) == 0) break;
        pause_ms(DRAIN_LOOK_MS);
    } while (aa_now_ms() < until_ms);
}

void
aa_http_server_close(aa_http_server **hs_p)
{
    aa_http_server *hs = *hs_p;
    if (!hs) return;
    atomic_store(&hs->watch_stop, true);
    if (hs->watches) pthread_join(hs->watcher, NULL);
    if (hs->daemon) MHD_stop_daemon(hs->daemon);
    if (hs->listen_fd >= 0) close(hs->listen_fd);
    aa_http_connections_free(&hs->cs);
    pthread_mutex_destroy(&hs->lock);
    free(hs);
    *hs_p = NULL;
}
