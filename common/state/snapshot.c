#include "common/state/snapshot.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define STUCK_S 30 /* none takes as long to save in a test */

/* AddressSanitizer's malloc, unlike glibc's, may be left locked in a child when another thread was
 * in it at the fork: such a child stands still, and the epoch is given up. */
static void
end_if_stuck(void)
{
#ifdef __SANITIZE_ADDRESS__
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGALRM, SIG_DFL);
    alarm(STUCK_S);
#endif
}

/* In the child: save, report an error as its bytes, end without running anybody's exit handlers. It
 * ends with its parent, however that ends: an epoch of the same number may soon be written by a
 * successor, and must not be replaced by this one. */
_Noreturn static void
child(pid_t parent, int fd, uint64_t epoch, aa_snapshot_save save, const void *arg)
{
    aa_err err = AA_ERR_INIT;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(2);
    end_if_stuck();
    aa_status st = save(arg, epoch, &err);
    if (st == AA_OK) _exit(0);
    err.code = st;
    ssize_t written = write(fd, &err, sizeof err); /* below PIPE_BUF: whole or nothing */
    _exit(written == (ssize_t)sizeof err ? 1 : 2);
}

aa_status
aa_snapshot_start(aa_snapshot *sn, uint64_t epoch, aa_snapshot_save save, const void *arg,
                  aa_err *err)
{
    AA_REQUIRE(sn->pid == 0);
    int           fds[2];
    const int64_t start_us = aa_now_us();
    const pid_t   parent = getpid();
    if (pipe(fds))
        return aa_fail(err, AA_EIO, "checkpoint %llu: pipe: %s", (unsigned long long)epoch,
                       strerror(errno));
    pid_t pid = fork();
    if (pid < 0) {
        int fork_errno = errno;
        close(fds[0]);
        close(fds[1]);
        return aa_fail(err, AA_EIO, "checkpoint %llu: fork: %s", (unsigned long long)epoch,
                       strerror(fork_errno));
    }
    if (pid == 0) {
        close(fds[0]);
        child(parent, fds[1], epoch, save, arg);
    }
    close(fds[1]);
    sn->pid = pid;
    sn->fd = fds[0];
    sn->epoch = epoch;
    sn->pause_us = aa_now_us() - start_us;
    return AA_OK;
}

aa_status
aa_snapshot_poll(aa_snapshot *sn, bool wait, bool *done, aa_err *err)
{
    *done = false;
    if (!sn->pid) return AA_OK;
    int   wstatus = 0;
    pid_t got;
    do
        got = waitpid((pid_t)sn->pid, &wstatus, wait ? 0 : WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == 0) return AA_OK;

    aa_status st = AA_OK;
    aa_err    told;
    ssize_t   told_bytes = read(sn->fd, &told, sizeof told);
    close(sn->fd);
    sn->pid = 0;
    if (got < 0) {
        st = aa_fail(err, AA_EIO, "checkpoint: waitpid: %s", strerror(errno));
    } else if (told_bytes == (ssize_t)sizeof told) {
        told.text[sizeof told.text - 1] = '\0';
        st = aa_fail(err, told.code, "%s", told.text);
    } else if (!WIFEXITED(wstatus) || WEXITSTATUS(wstatus) != 0) {
        st = aa_fail(err, AA_EIO, "checkpoint %llu: its process ended with status %d",
                     (unsigned long long)sn->epoch, wstatus);
    } else {
        *done = true;
    }
    return st;
}

void
aa_snapshot_cancel(aa_snapshot *sn)
{
    if (!sn->pid) return;
    kill((pid_t)sn->pid, SIGKILL);
    while (waitpid((pid_t)sn->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(sn->fd);
    sn->pid = 0;
}
