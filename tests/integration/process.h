/* tests/integration/process - our programs as processes of their own,
 * and an HTTP client for them. */
#ifndef AA_TESTS_INTEGRATION_PROCESS_H
#define AA_TESTS_INTEGRATION_PROCESS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { PROCESS_DEADLINE_MS = 30000 };

typedef struct {
    pid_t pid;
    char  out_path[300]; /* standard output and error */
} process;

static inline void
process_pause(void)
{
    const struct timespec ts = {.tv_nsec = 5000000};
    nanosleep(&ts, NULL);
}

/* Evaluate `condition` again and again until it holds or the time is over. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        int64_t deadline_ = aa_now_ms() + PROCESS_DEADLINE_MS;                                     \
        while (!(condition)) {                                                                     \
            if (aa_now_ms() > deadline_)                                                           \
                fail_msg("not within %d ms: %s", PROCESS_DEADLINE_MS, #condition);                 \
            process_pause();                                                                       \
        }                                                                                          \
    } while (0)

/* Path of a program of the build that this test belongs to: ../../bin/<name> from the test. */
static inline void
process_path(char *out, size_t size, const char *name)
{
    char    self[PATH_MAX] = "";
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(len > 0);
    for (int up = 0; up < 3; up++)
        *strrchr(self, '/') = '\0';
    snprintf(out, size, "%s/bin/%s", self, name);
}

/* argv[0] is the program's name in bin/; its output goes to <dir>/<name>.out. */
static inline void
process_start(process *pc, const char *dir, const char *const *argv)
{
    char path[PATH_MAX + 64];
    process_path(path, sizeof path, argv[0]);
    snprintf(pc->out_path, sizeof pc->out_path, "%s/%s.out", dir, argv[0]);
    pc->pid = fork();
    assert_true(pc->pid >= 0);
    if (pc->pid == 0) {
        int fd = open(pc->out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) _exit(126);
        execv(path, (char **)(uintptr_t)argv);
        _exit(127);
    }
}

/* Exit code, or 1000 + the signal that ended it. Kills it when the time is over. */
static inline int
process_wait(process *pc)
{
    int64_t deadline_ms = aa_now_ms() + PROCESS_DEADLINE_MS;
    int     status = 0;
    while (waitpid(pc->pid, &status, WNOHANG) == 0) {
        if (aa_now_ms() > deadline_ms) kill(pc->pid, SIGKILL);
        process_pause();
    }
    pc->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* A file's text, malloc'd; "" if there is none. */
static inline char *
file_text(const char *path)
{
    FILE  *in = fopen(path, "r");
    char  *text = calloc(1, 1 << 20);
    size_t len = in ? fread(text, 1, (1 << 20) - 1, in) : 0;
    text[len] = '\0';
    if (in) fclose(in);
    return text;
}

/* What follows `mark` in the process's output, into out; false: the mark is not there yet. */
static inline bool
process_said(const process *pc, const char *mark, char *out, size_t size)
{
    char       *text = file_text(pc->out_path);
    const char *at = strstr(text, mark);
    /* a whole line, or the value may be cut */
    bool said = at && strchr(at, '\n');
    if (said && out) snprintf(out, size, "%s", at + strlen(mark));
    free(text);
    return said;
}

/* One request on a connection of its own; the status, 0 if there was no answer. body gets the
 * answer's (cut to size). */
static inline int
http_ask(int port, const char *method, const char *path, const char *headers, const char *content,
         char *body, size_t size)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval     patience = {.tv_sec = 10};
    static char        text[1 << 18];
    size_t             len = 0;
    ssize_t            n;
    int                status = 0, fd = socket(AF_INET, SOCK_STREAM, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int asked = snprintf(text, sizeof text,
                         "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: "
                         "%zu\r\n\r\n%s",
                         method, path, headers, strlen(content), content);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 &&
        send(fd, text, (size_t)asked, MSG_NOSIGNAL) == asked) {
        while ((n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
            len += (size_t)n;
        text[len] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (strncmp(text, "HTTP/1.1 ", 9) == 0 && end) {
            status = atoi(text + 9);
            if (body) snprintf(body, size, "%s", end + 4);
        }
    }
    close(fd);
    return status;
}

#endif
