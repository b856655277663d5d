#include "common/state/snapshot.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test_snapshot.XXXXXX";

typedef struct {
    int value;
} counter;

static aa_status
save_value(const void *arg, uint64_t epoch, aa_err *err)
{
    const counter *c = arg;
    FILE          *f = fopen(path, "w");
    if (!f) return aa_fail(err, AA_EIO, "open");
    fprintf(f, "%d %llu", c->value, (unsigned long long)epoch);
    return fclose(f) ? aa_fail(err, AA_EIO, "close") : AA_OK;
}

static aa_status
save_fails(const void *arg, uint64_t epoch, aa_err *err)
{
    (void)arg;
    return aa_fail(err, AA_EIO, "disk of epoch %llu is full", (unsigned long long)epoch);
}

static aa_status
save_dies(const void *arg, uint64_t epoch, aa_err *err)
{
    (void)arg, (void)epoch, (void)err;
    raise(SIGKILL);
    return AA_OK;
}

static aa_status
save_never_ends(const void *arg, uint64_t epoch, aa_err *err)
{
    (void)arg, (void)epoch, (void)err;
    for (;;)
        pause();
    return AA_OK; /* gcc wants one */
}

static void
child_saves_the_state_as_it_was_at_the_start(void **state)
{
    (void)state;
    aa_snapshot sn = {0};
    aa_err      err = AA_ERR_INIT;
    counter     c = {7};
    bool        done = false;
    assert_int_equal(aa_snapshot_start(&sn, 3, save_value, &c, &err), AA_OK);
    c.value = 8; /* the stream goes on */
    assert_int_equal(aa_snapshot_poll(&sn, true, &done, &err), AA_OK);
    assert_true(done);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char text[32] = "";
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_string_equal(text, "7 3");
    assert_int_equal(sn.pid, 0);
}

static void
error_of_the_child_reaches_the_parent(void **state)
{
    (void)state;
    aa_snapshot sn = {0};
    aa_err      err = AA_ERR_INIT;
    bool        done = true;
    assert_int_equal(aa_snapshot_start(&sn, 9, save_fails, NULL, &err), AA_OK);
    assert_int_equal(aa_snapshot_poll(&sn, true, &done, &err), AA_EIO);
    assert_false(done);
    assert_string_equal(err.text, "disk of epoch 9 is full");
}

static void
death_of_the_child_is_an_error(void **state)
{
    (void)state;
    aa_snapshot sn = {0};
    aa_err      err = AA_ERR_INIT;
    bool        done = true;
    assert_int_equal(aa_snapshot_start(&sn, 1, save_dies, NULL, &err), AA_OK);
    assert_int_equal(aa_snapshot_poll(&sn, true, &done, &err), AA_EIO);
    assert_false(done);
}

static void
cancelled_snapshot_leaves_no_child(void **state)
{
    (void)state;
    aa_snapshot sn = {0};
    aa_err      err = AA_ERR_INIT;
    bool        done = true;
    assert_int_equal(aa_snapshot_start(&sn, 1, save_never_ends, NULL, &err), AA_OK);
    pid_t pid = (pid_t)sn.pid;
    assert_int_equal(aa_snapshot_poll(&sn, false, &done, &err), AA_OK);
    assert_false(done);
    aa_snapshot_cancel(&sn);
    assert_int_equal(kill(pid, 0), -1);
    aa_snapshot_cancel(&sn); /* harmless */
}

/* A process forks a snapshot that never ends, and is killed: its number comes through the pipe. */
static void
killed_parent_takes_its_snapshot_along(void **state)
{
    (void)state;
    int   fds[2];
    pid_t writer = 0;
    char  byte;
    assert_int_equal(pipe(fds), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        aa_snapshot sn = {0};
        aa_err      err = AA_ERR_INIT;
        close(fds[0]);
        if (aa_snapshot_start(&sn, 1, save_never_ends, NULL, &err) != AA_OK) _exit(1);
        writer = (pid_t)sn.pid;
        if (write(fds[1], &writer, sizeof writer) != sizeof writer) _exit(1);
        raise(SIGKILL);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &writer, sizeof writer), sizeof writer);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    /* the writer holds the pipe's other end: it is closed when the writer is gone */
    alarm(20);
    assert_int_equal(read(fds[0], &byte, 1), 0);
    alarm(0);
    close(fds[0]);
}

int
main(void)
{
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_saves_the_state_as_it_was_at_the_start),
        cmocka_unit_test(error_of_the_child_reaches_the_parent),
        cmocka_unit_test(death_of_the_child_is_an_error),
        cmocka_unit_test(cancelled_snapshot_leaves_no_child),
        cmocka_unit_test(killed_parent_takes_its_snapshot_along),
    };
    int rc = cmocka_run_group_tests_name("common/state/snapshot", tests, NULL, NULL);
    unlink(path);
    return rc;
}
