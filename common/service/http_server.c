/* libmicrohttpd calls handle_request once per request when the headers are there, once per piece of
 * the body, and once more at the end; `request` is what is remembered in between. A body that is
 * announced too long is refused at the first call, one that turns out too long at the last. */
#include "common/service/http_server.h"

#include <errno.h>
#include <fcntl.h>
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
#include <unistd.h>

#include <microhttpd.h>

#include "common/base/log.h"

#define CONNECTION_BYTES (64 << 10) /* request line and headers must fit */
#define IDLE_S           15

struct aa_http_server {
    struct MHD_Daemon    *daemon;
    aa_metrics           *ms;
    int                   port;
    _Atomic(const char *) not_ready; /* why; NULL when ready */
    pthread_mutex_t       lock;      /* of the two below; held while the handler runs */
    aa_http_handler       handler;
    void                 *arg;
};

struct aa_http_call {
    char                  *query; /* owned */
    char                  *body;  /* owned */
    size_t                 len, room;
    bool                   begun, too_long;
    struct MHD_Connection *conn;
    bool                   later; /* the handler answers later */
    aa_http_reply          reply; /* that answer, as soon as it is there */
};
typedef aa_http_call request;

/* ---- replies ---- */

static enum MHD_Result
send_http_reply(struct MHD_Connection *conn, int status, const char *type, const char *allow,
                char *body, size_t len)
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
    enum MHD_Result done = MHD_queue_response(conn, (unsigned)status, rp);
    MHD_destroy_response(rp);
    return done;
}

static enum MHD_Result
send_text(struct MHD_Connection *conn, int status, const char *allow, const char *text,
          const char *more)
{
    size_t size = strlen(text) + strlen(more) + 2;
    char  *body = malloc(size);
    if (!body) return MHD_NO;
    snprintf(body, size, "%s%s\n", text, more);
    return send_http_reply(conn, status, "text/plain; charset=utf-8", allow, body, size - 1);
}

static enum MHD_Result
send_metrics(struct MHD_Connection *conn, aa_http_server *hs)
{
    size_t len;
    char  *text = aa_metrics_render(hs->ms, &len);
    if (!text) return send_text(conn, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, "out of memory", "");
    return send_http_reply(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", NULL,
                           text, len);
}

static enum MHD_Result
send_too_long(struct MHD_Connection *conn)
{
    return send_text(conn, MHD_HTTP_CONTENT_TOO_LARGE, NULL, "the body is too long", "");
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
answer_request(aa_http_server *hs, struct MHD_Connection *conn, const char *path,
               const char *method, request *req)
{
    bool own = !strcmp(path, "/healthz") || !strcmp(path, "/readyz") || !strcmp(path, "/metrics");
    if (!own) {
        aa_http_reply         rp = {.status = MHD_HTTP_OK, .content_type = "text/plain"};
        const aa_http_request rq = {.method = method,
                                    .path = path,
                                    .query = req->query ? req->query : "",
                                    .token = bearer_token(conn),
                                    .body = req->body ? req->body : "",
                                    .body_len = req->len,
                                    .call = req};
        bool                  there = call_handler(hs, &rq, &rp);
        if (req->later) return MHD_YES;
        if (there)
            return send_http_reply(conn, rp.status, rp.content_type, NULL, rp.body, rp.body_len);
        return send_text(conn, MHD_HTTP_NOT_FOUND, NULL, "there is no ", path);
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_text(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD", "GET or HEAD only", "");
    if (strcmp(path, "/metrics") == 0) return send_metrics(conn, hs);
    const char *why = strcmp(path, "/readyz") == 0 ? atomic_load(&hs->not_ready) : NULL;
    if (why) return send_text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, "not ready: ", why);
    return send_text(conn, MHD_HTTP_OK, NULL, "ok", "");
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

static enum MHD_Result
keep_piece(request *req, const char *data, size_t len)
{
    if (req->too_long) return MHD_NO; /* it was let run on once; enough */
    if (len > AA_HTTP_BODY_BYTES - req->len) {
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

static enum MHD_Result
handle_request(void *arg, struct MHD_Connection *conn, const char *path, const char *method,
               const char *version, const char *data, size_t *data_len, void **state)
{
    aa_http_server *hs = arg;
    request        *req = *state;
    (void)version;
    if (!req) return MHD_NO; /* out of memory in begin_request */
    if (!req->begun) {
        req->begun = true;
        return announces_too_much(conn) ? send_too_long(conn) : MHD_YES;
    }
    if (*data_len) {
        enum MHD_Result st = keep_piece(req, data, *data_len);
        *data_len = 0;
        return st;
    }
    if (req->too_long) return send_too_long(conn);
    if (req->later) {
        aa_http_reply rp = req->reply;
        req->reply.body = NULL;
        return send_http_reply(conn, rp.status, rp.content_type, NULL, rp.body, rp.body_len);
    }
    return answer_request(hs, conn, path, method, req);
}

/* The only call that sees the query as it was sent; what it returns becomes *state. */
static void *
begin_request(void *arg, const char *uri, struct MHD_Connection *conn)
{
    request    *req = calloc(1, sizeof *req);
    const char *mark = strchr(uri, '?');
    (void)arg;
    if (req) req->conn = conn;
    if (req && mark && !(req->query = strdup(mark + 1))) {
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

aa_status
aa_http_server_open(aa_http_server **out, const char *address, int port, int64_t max_connections,
                    aa_metrics *ms, aa_err *err)
{
    aa_status       st = AA_OK;
    int             fd = -1;
    aa_http_server *hs = calloc(1, sizeof *hs);
    if (!hs) return aa_fail(err, AA_ENOMEM, "http");
    hs->ms = ms;
    atomic_init(&hs->not_ready, "starting");
    pthread_mutex_init(&hs->lock, NULL);

    if ((st = listen_on(address, port, &fd, err)) != AA_OK) goto out;
    hs->port = port_of(fd);
    hs->daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        handle_request, hs, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_URI_LOG_CALLBACK, begin_request, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL, MHD_OPTION_END);
    if (!hs->daemon) {
        st = aa_fail(err, AA_EIO, "http: cannot start the server on %s port %d", address, hs->port);
        goto out;
    }
    fd = -1; /* taken by the daemon */
    *out = hs;
    hs = NULL;
out:
    if (fd >= 0) close(fd);
    aa_http_server_close(&hs);
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

void
aa_http_server_close(aa_http_server **hs_p)
{
    aa_http_server *hs = *hs_p;
    if (!hs) return;
    if (hs->daemon) MHD_stop_daemon(hs->daemon);
    pthread_mutex_destroy(&hs->lock);
    free(hs);
    *hs_p = NULL;
}
