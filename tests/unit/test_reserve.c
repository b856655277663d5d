#include "common/state/reserve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void
an_array_grows_where_it_is_zeroed_and_keeps_what_is_in_it(void **state)
{
    (void)state;
    aa_reserve rs;
    assert_int_equal(aa_reserve_init(&rs, (size_t)1 << 36, NULL), AA_OK);
    char  *start = rs.start;
    size_t filled = 0;
    for (size_t bytes = 1000; bytes < (size_t)12 << 20; bytes += bytes / 3) {
        assert_int_equal(aa_reserve_grow(&rs, bytes, NULL), AA_OK);
        assert_ptr_equal(rs.start, start);
        assert_in_range(rs.ready, bytes, bytes + bytes / 64 + 4096);
        for (; filled < bytes; filled++) {
            if (start[filled]) fail_msg("byte %zu is not 0", filled);
            start[filled] = (char)(filled % 251 + 1);
        }
    }
    for (size_t i = 0; i < filled; i++)
        if (start[i] != (char)(i % 251 + 1)) fail_msg("byte %zu has changed", i);
    aa_reserve_fini(&rs);
    aa_reserve_fini(&rs);
}

static void
more_than_was_reserved_is_an_error_that_changes_nothing(void **state)
{
    (void)state;
    aa_reserve rs;
    aa_err     err = AA_ERR_INIT;
    assert_int_equal(aa_reserve_init(&rs, (size_t)2 << 20, NULL), AA_OK);
    assert_int_equal(aa_reserve_grow(&rs, 5000, NULL), AA_OK);
    const size_t ready = rs.ready;
    assert_int_equal(aa_reserve_grow(&rs, ((size_t)2 << 20) + 1, &err), AA_ENOMEM);
    assert_true(strlen(err.text) > 0 && rs.ready == ready);
    assert_int_equal(aa_reserve_grow(&rs, (size_t)2 << 20, NULL), AA_OK);
    rs.start[((size_t)2 << 20) - 1] = 1;
    aa_reserve_fini(&rs);
}

/* What a snapshot does: fork, write on, and tidy up when the child is gone. */
static void
contents_survive_tidying_after_a_fork(void **state)
{
    (void)state;
    aa_reserve   rs;
    const size_t bytes = (size_t)9 << 20;
    assert_int_equal(aa_reserve_init(&rs, bytes, NULL), AA_OK);
    assert_int_equal(aa_reserve_grow(&rs, bytes, NULL), AA_OK);
    memset(rs.start, 1, bytes);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(rs.start[bytes - 1] == 1 ? 0 : 1);
    for (size_t i = 0; i < bytes; i += 4096)
        rs.start[i] = 2;
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (size_t n = 0; aa_reserve_tidy(&rs); n++)
        assert_true(n < 100);
    for (size_t i = 0; i < bytes; i++)
        if (rs.start[i] != (i % 4096 ? 1 : 2)) fail_msg("byte %zu has changed", i);
    aa_reserve_fini(&rs);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_grows_where_it_is_zeroed_and_keeps_what_is_in_it),
        cmocka_unit_test(more_than_was_reserved_is_an_error_that_changes_nothing),
        cmocka_unit_test(contents_survive_tidying_after_a_fork),
    };
    return cmocka_run_group_tests_name("common/state/reserve", tests, NULL, NULL);
}
