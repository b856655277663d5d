/* What a process has loaded stays loaded, and limits belong to a process: each test is a child. */
#include "common/model/blas.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* has threads and address space of its own */
#else
enum { SANITIZED = 0 };
#endif

enum { SIDE = 512, WRONG = 100 };

/* What `child` returns, as the exit code of a process of its own. */
static int
in_a_child(int (*child)(void))
{
    int   status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20); /* it must not wait for ever */
        _exit(child());
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
threads_of_this_process(void)
{
    int  count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *de; tasks && (de = readdir(tasks));)
        count += de->d_name[0] != '.';
    if (tasks) closedir(tasks);
    return count;
}

/* A matrix of ones times itself: each element is SIDE. */
static int
multiply(void)
{
    static float ones[SIDE * SIDE], product[SIDE * SIDE];
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        ones[i] = 1.0f;
    aa_blas_get()->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1.0f, ones,
                         SIDE, ones, SIDE, 0.0f, product, SIDE);
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        if (product[i] < (float)SIDE - 0.5f || product[i] > (float)SIDE + 0.5f) return WRONG;
    return 0;
}

static int
open_and_count(void)
{
    aa_err    err = AA_ERR_INIT;
    const int before = threads_of_this_process();
    setenv("OPENBLAS_NUM_THREADS", "7", 1); /* as somebody may have it */
    if (before != 1 || aa_blas_open(1, &err) != AA_OK || multiply() != 0) return WRONG;
    return threads_of_this_process();
}

static void
it_computes_in_the_callers_thread_only(void **state)
{
    (void)state;
    if (SANITIZED) skip();
    assert_int_equal(in_a_child(open_and_count), 1);
}

static int
open_within(size_t bytes, size_t callers)
{
    aa_err              err = AA_ERR_INIT;
    const struct rlimit limit = {bytes, bytes};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return WRONG;
    const aa_status st = aa_blas_open(callers, &err);
    if (st == AA_OK) return multiply();
    return strstr(err.text, "out of memory: too little address space") ? (int)st : WRONG + 1;
}

static int
open_within_100_mb(void)
{
    return open_within((size_t)100 << 20, 1);
}

static int
open_within_200_mb(void)
{
    return open_within((size_t)200 << 20, 1);
}

static int
open_within_300_mb(void)
{
    return open_within((size_t)300 << 20, 1);
}

static int
open_within_300_mb_for_two(void)
{
    return open_within((size_t)300 << 20, 2);
}

static void
too_little_address_space_is_an_error_and_no_endless_wait(void **state)
{
    (void)state;
    if (SANITIZED) skip();
    assert_int_equal(in_a_child(open_within_100_mb), AA_ENOMEM);
    assert_int_equal(in_a_child(open_within_200_mb), AA_ENOMEM);
    assert_int_equal(in_a_child(open_within_300_mb), 0);
    assert_int_equal(in_a_child(open_within_300_mb_for_two), AA_ENOMEM);
}

static void
it_is_loaded_by_the_first_who_asks(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(multiply), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_computes_in_the_callers_thread_only),
        cmocka_unit_test(too_little_address_space_is_an_error_and_no_endless_wait),
        cmocka_unit_test(it_is_loaded_by_the_first_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
