#include "common/state/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCKS = 300 };

static size_t
size_of(size_t i)
{
    return i % 7 == 0 ? 300000 + i : 1 + i * 37;
}

static void
blocks_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    aa_arena      *ar = aa_arena_new();
    unsigned char *block[BLOCKS];
    assert_non_null(ar);
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = aa_arena_alloc(ar, size_of(i));
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 64, 0);
        for (size_t at = 0; at < size_of(i); at++)
            if (block[i][at]) fail_msg("block %zu byte %zu is not 0", i, at);
        memset(block[i], (int)(i % 250) + 1, size_of(i));
    }
    for (size_t i = 0; i < BLOCKS; i++) /* none has written into another */
        for (size_t at = 0; at < size_of(i); at++)
            assert_int_equal(block[i][at], i % 250 + 1);
    aa_arena_free(&ar);
    assert_null(ar);
    aa_arena_free(&ar);
}

static void
impossible_sizes_are_refused(void **state)
{
    (void)state;
    aa_arena *ar = aa_arena_new();
    assert_null(aa_arena_alloc(ar, 0));
    assert_null(aa_arena_alloc(ar, SIZE_MAX));
#ifndef __SANITIZE_ADDRESS__ /* which ends the process when asked for more than there can be */
    assert_null(aa_arena_alloc(ar, SIZE_MAX / 8));
#endif
    assert_non_null(aa_arena_alloc(ar, 100));
    aa_arena_free(&ar);
}

/* What a snapshot does: fork, write on, and tidy up when the child is gone. */
static void
tidying_ends_and_changes_nothing(void **state)
{
    (void)state;
    const size_t   bytes = (size_t)9 << 20;
    aa_arena      *ar = aa_arena_new();
    unsigned char *block = aa_arena_alloc(ar, bytes), *small = aa_arena_alloc(ar, 10);
    assert_non_null(block);
    assert_non_null(small);
    small[9] = 77;
    for (int round = 0; round < 2; round++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) _exit(0);
        for (size_t at = 0; at < bytes; at += 4096)
            block[at] = (unsigned char)(at >> 12);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        int pieces = 1;
        while (aa_arena_tidy(ar))
            pieces++;
        assert_in_range(pieces, 1, 8);
        for (size_t at = 0; at < bytes; at += 4096)
            assert_int_equal(block[at], (at >> 12) & 255);
        assert_int_equal(small[9], 77);
    }
    aa_arena_free(&ar);
}

static void
empty_arena_has_nothing_to_tidy(void **state)
{
    (void)state;
    aa_arena *ar = aa_arena_new();
    assert_false(aa_arena_tidy(ar));
    aa_arena_free(&ar);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_apart),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(tidying_ends_and_changes_nothing),
        cmocka_unit_test(empty_arena_has_nothing_to_tidy),
    };
    return cmocka_run_group_tests_name("common/state/arena", tests, NULL, NULL);
}
