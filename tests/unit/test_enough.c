/* Limits belong to a process: each check is a child of its own. */
#include "common/service/enough.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Sanitizers need terabytes of address space, and root may have as many threads as it likes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* The status with a limit of address space, 0: none; `words` are in its text. */
static int
status_within(size_t space_bytes, size_t count, const char *words)
{
    int   status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit limit = {space_bytes, space_bytes};
        aa_err              err = AA_ERR_INIT;
        if (space_bytes > 0 && setrlimit(RLIMIT_AS, &limit) != 0) _exit(100);
        const aa_status st = aa_enough_threads(count, &err);
        if (st != AA_OK && !strstr(err.text, words)) {
            fprintf(stderr, "%s\n", err.text);
            _exit(101);
        }
        _exit((int)st);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
few_threads_are_no_trouble(void **state)
{
    (void)state;
    assert_int_equal(status_within(0, 0, ""), AA_OK);
    assert_int_equal(status_within(0, 20, ""), AA_OK);
}

static void
too_little_address_space_is_out_of_memory(void **state)
{
    (void)state;
    if (SANITIZED) skip();
    assert_int_equal(
        status_within((size_t)200 << 20, 40, "out of memory: too little address space"), AA_ENOMEM);
    assert_int_equal(status_within((size_t)2 << 30, 40, ""), AA_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_threads_are_no_trouble),
        cmocka_unit_test(too_little_address_space_is_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
