/* Runs a fuzz target over its corpus and its regressions, without libFuzzer: part of `make test`
 * and `make check`. Linked with one tests/fuzz/fuzz_<name>.c into replay_<name>, which finds its
 * files by that name. The name of each file is printed before it runs, so that one which ends the
 * process is the last in the log.
 *
 * Every file is also run cut off at several lengths: what a peer that dies leaves behind. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

#define CUTS      4 /* of each file */
#define MAX_BYTES ((size_t)1 << 20)

size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    (void)data;
    (void)max_size;
    return size;
}

/* The input in memory of exactly its size, so that a sanitizer sees who reads past its end. */
static void
run_bytes(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size + (size == 0));
    assert_non_null(exact);
    memcpy(exact, data, size);
    assert_int_equal(LLVMFuzzerTestOneInput(exact, size), 0);
    free(exact);
}

static void
run_file(const char *folder, const char *name)
{
    static uint8_t data[MAX_BYTES];
    char           path[1024];
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: %s", path, strerror(errno));
    const size_t size = fread(data, 1, sizeof data, f);
    assert_true(fclose(f) == 0 && size < sizeof data);
    printf("%s: %zu bytes\n", path, size);
    fflush(stdout);
    run_bytes(data, size);
    for (size_t cut = 0; cut < CUTS && cut < size; cut++)
        run_bytes(data, size < CUTS ? cut : size * cut / CUTS);
}

/* How many files were run. */
static size_t
run_folder(const char *kind)
{
    const char *name = program_invocation_short_name;
    char        path[512];
    size_t      count = 0;
    assert_int_equal(strncmp(name, "replay_", 7), 0);
    snprintf(path, sizeof path, "tests/fuzz/%s/%s", kind, name + 7);
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        run_file(path, e->d_name);
        count++;
    }
    if (dir) closedir(dir);
    return count;
}

static void
every_input_of_the_corpus_is_handled(void **state)
{
    (void)state;
    assert_true(run_folder("corpus") > 0);
}

static void
what_fuzzing_once_found_stays_mended(void **state)
{
    (void)state;
    run_folder("regressions"); /* there may be none */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_of_the_corpus_is_handled),
        cmocka_unit_test(what_fuzzing_once_found_stays_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
