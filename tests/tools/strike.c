/* strike - sends a signal at a chosen moment of a checkpoint; for the chaos test.
 *
 *   strike FOLDER begun|durable TIMEOUT_MS SIGNAL PID|writer
 *
 * FOLDER is where one process keeps its checkpoints (it may not be there yet). begun: the next file
 * has just been made and is being written. durable: the next file has just got its final name, so
 * what comes after it (DURABLE, the commit) has not happened. PID gets the signal; `writer` is the
 * process that writes the file: the forked child, whose number is in the name of the unfinished
 * file. Prints what was struck. Exit code 3: no such moment within the time, nothing was sent.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { NO_MOMENT = 3 };

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "strike: %s: %s\n", what, why);
    exit(1);
}

/* The folder is made by its process's first checkpoint: wait for it. -1: time is up. */
static int
watch(const char *folder, uint32_t mask, int64_t deadline_ms)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int                   fd = inotify_init1(IN_CLOEXEC);
    if (fd < 0) die("inotify", strerror(errno));
    while (inotify_add_watch(fd, folder, mask) < 0) {
        if (errno != ENOENT) die(folder, strerror(errno));
        if (aa_now_ms() > deadline_ms) return -1;
        nanosleep(&pause, NULL);
    }
    return fd;
}

static bool
is_checkpoint_event(const struct inotify_event *ev, bool begun)
{
    return ev->len > 0 && strncmp(ev->name, begun ? ".tmp-" : "epoch-", begun ? 5 : 6) == 0;
}

/* The name of the file whose moment has come, into name. false: time is up. */
static bool
await(int fd, bool begun, int64_t deadline_ms, char *name, size_t size)
{
    _Alignas(struct inotify_event) char buf[4096];
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int64_t       left_ms = deadline_ms - aa_now_ms();
        if (left_ms <= 0 || poll(&poll_fd, 1, (int)left_ms) == 0) return false;
        ssize_t len = read(fd, buf, sizeof buf);
        if (len < 0 && errno != EINTR) die("inotify", strerror(errno));
        for (ssize_t at = 0; at < len;) {
            const struct inotify_event *ev = (const void *)(buf + at);
            if (is_checkpoint_event(ev, begun)) {
                snprintf(name, size, "%s", ev->name);
                return true;
            }
            at += (ssize_t)(sizeof *ev + ev->len);
        }
    }
}

int
main(int argc, char **argv)
{
    char name[256];
    if (argc != 6) die("usage", "strike FOLDER begun|durable TIMEOUT_MS SIGNAL PID|writer");
    bool    begun = strcmp(argv[2], "begun") == 0;
    int64_t deadline_ms = aa_now_ms() + strtoll(argv[3], NULL, 10);
    int     fd = watch(argv[1], begun ? IN_CREATE : IN_MOVED_TO, deadline_ms);
    if (fd < 0 || !await(fd, begun, deadline_ms, name, sizeof name)) return NO_MOMENT;
    bool  writer = strcmp(argv[5], "writer") == 0;
    pid_t pid = (pid_t)strtol(writer ? name + 5 : argv[5], NULL, 10);
    if (pid <= 1 || (writer && !begun)) die(argv[5], "nobody to send a signal to");
    if (kill(pid, atoi(argv[4])) != 0) {
        if (errno != ESRCH) die("kill", strerror(errno));
        return NO_MOMENT; /* it had ended by itself */
    }
    printf("%s\n", name);
    close(fd);
    return 0;
}
