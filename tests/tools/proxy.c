/* proxy - a bad network between two processes of this machine; for the chaos tests.
 *
 *   proxy LISTEN_PORT TARGET_PORT
 *
 * What connects to 127.0.0.1:LISTEN_PORT is connected to 127.0.0.1:TARGET_PORT. Standard input says
 * how the network is, one word or two a line, and its end ends the proxy:
 *   delay MS   every byte arrives MS later, in order (0: at once)
 *   stall      nothing arrives, no connection ends, as when packets are lost
 *   cut        all connections are reset, new ones are reset at once
 *   heal       no delay, no stall, no cut
 * One thread, one poll. What is on its way is bounded (WINDOW_BYTES a direction): then the sender
 * waits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { PAIRS = 64, CHUNK_BYTES = 65536, WINDOW_BYTES = 1 << 20 };

typedef struct chunk chunk;
struct chunk {
    chunk  *next;
    int64_t due_ms;
    size_t  len, sent;
    char    data[];
};

/* Bytes from one socket to the other. */
typedef struct {
    chunk *first, *last;
    size_t bytes;
    bool   ended; /* the sender has sent all; told to the receiver once nothing is on its way */
} lane;

typedef struct {
    int  fd[2];   /* who connected, the target; -1: no pair */
    lane from[2]; /* what fd[i] sent */
} pair;

static struct {
    int64_t delay_ms;
    bool    stalled, cut;
    int     port;
    pair    pr[PAIRS];
} px;

static void
die(const char *what)
{
    fprintf(stderr, "proxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in
address(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int
listen_at(int port)
{
    struct sockaddr_in at = address(port);
    const int          yes = 1;
    int                fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, PAIRS) != 0)
        die("listen");
    return fd;
}

static void
reset(int fd)
{
    const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void
drop_pair(pair *pr)
{
    for (int i = 0; i < 2; i++) {
        while (pr->from[i].first) {
            chunk *ch = pr->from[i].first;
            pr->from[i].first = ch->next;
            free(ch);
        }
        pr->from[i] = (lane){0};
        reset(pr->fd[i]);
        pr->fd[i] = -1;
    }
}

static void
accept_one(int listener)
{
    struct sockaddr_in to = address(px.port);
    int                fd = accept(listener, NULL, NULL), out = -1, slot = 0;
    if (fd < 0) return;
    while (slot < PAIRS && px.pr[slot].fd[0] >= 0)
        slot++;
    if (!px.cut && slot < PAIRS) out = socket(AF_INET, SOCK_STREAM, 0);
    if (out < 0 || connect(out, (struct sockaddr *)&to, sizeof to) != 0) {
        if (out >= 0) close(out);
        reset(fd);
        return;
    }
    px.pr[slot].fd[0] = fd;
    px.pr[slot].fd[1] = out;
}

/* False: the connection is broken. */
static bool
take(lane *ln, int fd)
{
    chunk *ch = malloc(sizeof *ch + CHUNK_BYTES);
    if (!ch) die("memory");
    ssize_t n = recv(fd, ch->data, CHUNK_BYTES, MSG_DONTWAIT);
    if (n <= 0) {
        free(ch);
        ln->ended = n == 0;
        return n == 0 || errno == EAGAIN || errno == EINTR;
    }
    ch->next = NULL;
    ch->due_ms = aa_now_ms() + px.delay_ms;
    ch->len = (size_t)n;
    ch->sent = 0;
    if (ln->first) {
        if (ch->due_ms < ln->last->due_ms) ch->due_ms = ln->last->due_ms; /* in order */
        ln->last->next = ch;
    } else {
        ln->first = ch;
    }
    ln->last = ch;
    ln->bytes += ch->len;
    return true;
}

static bool
give(lane *ln, int fd)
{
    while (ln->first && ln->first->due_ms <= aa_now_ms()) {
        chunk  *ch = ln->first;
        ssize_t n = send(fd, ch->data + ch->sent, ch->len - ch->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        ch->sent += (size_t)n;
        if (ch->sent < ch->len) return true;
        ln->bytes -= ch->len;
        ln->first = ch->next;
        free(ch);
    }
    if (ln->ended && !ln->first) return shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN;
    return true;
}

/* False: end of input. */
static bool
obey(void)
{
    char line[64];
    if (!fgets(line, sizeof line, stdin)) return false;
    if (strncmp(line, "delay ", 6) == 0) px.delay_ms = strtoll(line + 6, NULL, 10);
    if (strcmp(line, "stall\n") == 0) px.stalled = true;
    if (strcmp(line, "cut\n") == 0) px.cut = true;
    if (strcmp(line, "heal\n") == 0) px.stalled = px.cut = false, px.delay_ms = 0;
    for (pair *pr = px.pr; px.cut && pr < px.pr + PAIRS; pr++)
        if (pr->fd[0] >= 0) drop_pair(pr);
    return true;
}

/* What to wait for at fd[i] of a pair; shortens wait_ms to the next byte that is due there. */
static short
wanted(const pair *pr, int i, int *wait_ms)
{
    const lane *in = &pr->from[i], *out = &pr->from[1 - i];
    short       events = 0;
    if (!in->ended && in->bytes < WINDOW_BYTES) events |= POLLIN;
    if (out->first) {
        const int64_t left_ms = out->first->due_ms - aa_now_ms();
        if (left_ms <= 0)
            events |= POLLOUT;
        else if (left_ms < *wait_ms)
            *wait_ms = (int)left_ms;
    }
    return events;
}

static void
serve_pair(pair *pr, const struct pollfd *pfd)
{
    bool good = true;
    for (int i = 0; i < 2 && good; i++) {
        if (pfd[i].fd >= 0 && (pfd[i].revents & (POLLIN | POLLHUP | POLLERR)) && !pr->from[i].ended)
            good = take(&pr->from[i], pr->fd[i]);
        if (good) good = give(&pr->from[i], pr->fd[1 - i]);
    }
    const bool over = pr->from[0].ended && pr->from[1].ended;
    if (!good || (over && !pr->from[0].first && !pr->from[1].first)) drop_pair(pr);
}

int
main(int argc, char **argv)
{
    static struct pollfd pfd[2 + 2 * PAIRS];
    if (argc != 3) {
        fprintf(stderr, "usage: proxy LISTEN_PORT TARGET_PORT\n");
        return 2;
    }
    const int listener = listen_at((int)strtol(argv[1], NULL, 10));
    px.port = (int)strtol(argv[2], NULL, 10);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdin, NULL, _IONBF, 0);
    for (int s = 0; s < PAIRS; s++)
        px.pr[s].fd[0] = px.pr[s].fd[1] = -1;
    for (;;) {
        int wait_ms = 1000;
        pfd[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        pfd[1] = (struct pollfd){.fd = px.stalled ? -1 : listener, .events = POLLIN};
        for (int s = 0; s < PAIRS; s++)
            for (int i = 0; i < 2; i++) {
                const bool     used = px.pr[s].fd[0] >= 0 && !px.stalled;
                const short    events = used ? wanted(&px.pr[s], i, &wait_ms) : 0;
                struct pollfd *at = &pfd[2 + 2 * s + i];
                *at = (struct pollfd){.fd = events ? px.pr[s].fd[i] : -1, .events = events};
            }
        if (poll(pfd, sizeof pfd / sizeof *pfd, wait_ms) < 0 && errno != EINTR) die("poll");
        for (int s = 0; s < PAIRS && !px.stalled; s++)
            if (px.pr[s].fd[0] >= 0) serve_pair(&px.pr[s], &pfd[2 + 2 * s]);
        if (pfd[1].fd >= 0 && pfd[1].revents) accept_one(listener);
        if (pfd[0].revents && !obey()) return 0;
    }
}
