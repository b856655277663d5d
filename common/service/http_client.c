#include "common/service/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"

/* 0: ready; else why not. */
static int
wait_for_socket(int fd, short events, int64_t deadline_ms)
{
    struct pollfd pf = {.fd = fd, .events = events};
    int64_t       left = deadline_ms - aa_now_ms();
    int           n = left > 0 ? poll(&pf, 1, (int)left) : 0;
    return n > 0 ? 0 : n == 0 ? ETIMEDOUT : errno;
}

/* A connected socket, or -1 with errno set. */
static int
connect_to(const struct addrinfo *ai, int64_t deadline_ms)
{
    int       fd = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol);
    int       why = 0;
    socklen_t len = sizeof why;
    if (fd < 0) return -1;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) why = errno;
    if (!why && connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        why = errno == EINPROGRESS ? wait_for_socket(fd, POLLOUT, deadline_ms) : errno;
        if (!why && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0) why = errno;
    }
    if (!why) return fd;
    close(fd);
    errno = why;
    return -1;
}

static aa_status
read_all(int fd, char **text, size_t *len, int64_t deadline_ms, aa_err *err)
{
    size_t cap = 0;
    for (*len = 0;;) {
        if (*len + 1 >= cap) {
            cap = cap ? 2 * cap : 65536;
            char *grown = cap > 2 * AA_HTTP_REPLY_BYTES ? NULL : realloc(*text, cap);
            if (!grown) return aa_fail(err, AA_EIO, "an answer of more than %zu bytes", *len);
            *text = grown;
        }
        ssize_t n = recv(fd, *text + *len, cap - 1 - *len, 0);
        if (n < 0 && errno == EAGAIN) {
            int why = wait_for_socket(fd, POLLIN, deadline_ms);
            if (why) return aa_fail(err, AA_EIO, "%s", strerror(why));
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return aa_fail(err, AA_EIO, "%s", strerror(errno));
        if (n == 0) break;
        *len += (size_t)n;
    }
    (*text)[*len] = '\0';
    return AA_OK;
}

aa_status
aa_http_address(const char *text, size_t len, char host[AA_HTTP_HOST_BYTES],
                char port[AA_HTTP_PORT_BYTES], aa_err *err)
{
    const char *at = text, *end = text + len, *colon;
    if (len > 7 && strncmp(at, "http://", 7) == 0) at += 7;
    if (end > at && end[-1] == '/') end--;
    for (colon = end; colon > at && *colon != ':';)
        colon--;
    const bool   brackets = colon > at + 2 && *at == '[' && colon[-1] == ']';
    const char  *host_at = at + brackets, *host_end = colon - brackets;
    const size_t host_len = host_end > host_at ? (size_t)(host_end - host_at) : 0;
    const size_t port_len = colon < end && colon > at ? (size_t)(end - colon) - 1 : 0;
    bool         good = host_len > 0 && host_len < AA_HTTP_HOST_BYTES && port_len > 0 &&
                port_len < AA_HTTP_PORT_BYTES && (brackets || !memchr(host_at, ':', host_len)) &&
                !memchr(host_at, '/', host_len);
    for (size_t i = 0; good && i < port_len; i++)
        good = colon[1 + i] >= '0' && colon[1 + i] <= '9';
    if (!good) return aa_fail(err, AA_ECONFIG, "\"%.*s\" is not HOST:PORT", (int)len, text);
    snprintf(host, AA_HTTP_HOST_BYTES, "%.*s", (int)host_len, host_at);
    snprintf(port, AA_HTTP_PORT_BYTES, "%.*s", (int)port_len, colon + 1);
    return AA_OK;
}

/* The request as text, malloc'd. HTTP/1.0: the answer ends with the connection. */
static char *
request_text(const char *host, const char *path, const char *token, const char *body, size_t *len)
{
    size_t size = strlen(host) + strlen(path) + strlen(token) + (body ? strlen(body) : 0) + 256;
    char  *text = malloc(size);
    if (!text) return NULL;
    int n = snprintf(text, size,
                     strchr(host, ':') ? "%s %s HTTP/1.0\r\nHost: [%s]\r\n"
                                       : "%s %s HTTP/1.0\r\nHost: %s\r\n",
                     body ? "POST" : "GET", path, host);
    if (token[0]) n += snprintf(text + n, size - (size_t)n, "Authorization: Bearer %s\r\n", token);
    if (body)
        n += snprintf(text + n, size - (size_t)n,
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    n += snprintf(text + n, size - (size_t)n, "\r\n%s", body ? body : "");
    *len = (size_t)n;
    return text;
}

static aa_status
send_request(int fd, const char *at, size_t len, int64_t deadline_ms, aa_err *err)
{
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            int why = wait_for_socket(fd, POLLOUT, deadline_ms);
            if (why) return aa_fail(err, AA_EIO, "%s", strerror(why));
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return aa_fail(err, AA_EIO, "%s", strerror(errno));
        at += n;
        len -= (size_t)n;
    }
    return AA_OK;
}

aa_status
aa_http_ask(char **text, int *status, const char *host, const char *port, const char *path,
            const char *token, const char *body, int timeout_ms, aa_err *err)
{
    int64_t          deadline_ms = aa_now_ms() + timeout_ms;
    struct addrinfo  hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    size_t           ask_len = 0, len = 0;
    int              fd = -1, bad = getaddrinfo(host, port, &hints, &list);
    *text = NULL;
    if (bad) return aa_fail(err, AA_EIO, "%s: %s", host, gai_strerror(bad));
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
        fd = connect_to(ai, deadline_ms);
    int why = errno;
    freeaddrinfo(list);
    if (fd < 0) return aa_fail(err, AA_EIO, "%s:%s: %s", host, port, strerror(why));
    char     *ask = request_text(host, path, token, body, &ask_len);
    aa_status st = ask ? AA_OK : aa_fail(err, AA_ENOMEM, "request");
    if (st == AA_OK) st = send_request(fd, ask, ask_len, deadline_ms, err);
    if (st == AA_OK) st = read_all(fd, text, &len, deadline_ms, err);
    free(ask);
    close(fd);
    char *end = st == AA_OK ? strstr(*text, "\r\n\r\n") : NULL;
    if (st == AA_OK && (!end || strncmp(*text, "HTTP/1.", 7) != 0 || len < 13))
        st = aa_fail(err, AA_EIO, "%s:%s: not HTTP", host, port);
    if (st == AA_OK) {
        *status = (int)strtol(*text + 9, NULL, 10);
        memmove(*text, end + 4, strlen(end + 4) + 1);
        return AA_OK;
    }
    free(*text);
    *text = NULL;
    return st;
}

aa_status
aa_http_get(char **text, const char *host, const char *port, const char *path, int timeout_ms,
            aa_err *err)
{
    int       status = 0;
    aa_status st = aa_http_ask(text, &status, host, port, path, "", NULL, timeout_ms, err);
    if (st != AA_OK || status == 200) return st;
    free(*text);
    *text = NULL;
    return aa_fail(err, AA_EIO, "%s:%s%s: status %d", host, port, path, status);
}
