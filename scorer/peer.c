#include "scorer/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

/* 0: ready; else why not. */
static int
wait_for(int fd, short events, int64_t deadline_ms)
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
        why = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline_ms) : errno;
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
            char *grown = cap > 2 * PEER_MAX_BYTES ? NULL : realloc(*text, cap);
            if (!grown) return aa_fail(err, AA_EIO, "an answer of more than %zu bytes", *len);
            *text = grown;
        }
        ssize_t n = recv(fd, *text + *len, cap - 1 - *len, 0);
        if (n < 0 && errno == EAGAIN) {
            int why = wait_for(fd, POLLIN, deadline_ms);
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
peer_get(char **text, const char *host, const char *port, const char *path, int timeout_ms,
         aa_err *err)
{
    char             ask[512];
    int64_t          deadline_ms = aa_now_ms() + timeout_ms;
    struct addrinfo  hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    size_t           len = 0;
    int              fd = -1, bad = getaddrinfo(host, port, &hints, &list);
    *text = NULL;
    if (bad) return aa_fail(err, AA_EIO, "%s: %s", host, gai_strerror(bad));
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
        fd = connect_to(ai, deadline_ms);
    int why = errno;
    freeaddrinfo(list);
    if (fd < 0) return aa_fail(err, AA_EIO, "%s:%s: %s", host, port, strerror(why));
    int       asked = snprintf(ask, sizeof ask, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, host);
    aa_status st = AA_OK;
    if (asked >= (int)sizeof ask || send(fd, ask, (size_t)asked, MSG_NOSIGNAL) != asked)
        st = aa_fail(err, AA_EIO, "%s:%s: cannot ask", host, port);
    if (!st) st = read_all(fd, text, &len, deadline_ms, err);
    close(fd);
    char *body = st ? NULL : strstr(*text, "\r\n\r\n");
    if (!st && (!body || len < 12 || strncmp(*text, "HTTP/1.", 7) != 0 ||
                strncmp(*text + 8, " 200", 4) != 0))
        st = aa_fail(err, AA_EIO, "%s:%s%s: %.40s", host, port, path, len ? *text : "no answer");
    if (!st) memmove(*text, body + 4, strlen(body + 4) + 1);
    if (st) {
        free(*text);
        *text = NULL;
    }
    return st;
}
