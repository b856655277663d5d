/* The list of known items. */
#include "scorer/replica/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MANY = 200000 };

static void
put(names *nm, uint64_t key, const char *text, bool want_applied)
{
    aa_err err = AA_ERR_INIT;
    bool   applied;
    assert_int_equal(names_put(nm, key, text, strlen(text), &applied, &err), AA_OK);
    assert_int_equal(applied, want_applied);
}

static void
a_name_comes_once_goes_and_comes_back(void **state)
{
    names   *nm = names_new();
    uint64_t key = 0;
    aa_text  text;
    (void)state;
    put(nm, 7, "seven", true);
    put(nm, 7, "seven", false);
    put(nm, 8, "eight", true);
    assert_int_equal(names_count(nm), 2);
    assert_int_equal(names_end(nm), 2);
    assert_true(names_delete(nm, 7));
    assert_false(names_delete(nm, 7));
    assert_false(names_delete(nm, 9));
    assert_false(names_get(nm, 0, &key, &text));
    assert_true(names_get(nm, 1, &key, &text));
    assert_int_equal(key, 8);
    put(nm, 7, "seven", true);
    assert_int_equal(names_end(nm), 2); /* in its old place */
    assert_true(names_get(nm, 0, &key, &text));
    assert_int_equal(text.len, 5);
    assert_memory_equal(text.data, "seven", 5);
    names_free(&nm);
    assert_null(nm);
}

static void *
walk(void *arg)
{
    names   *nm = arg;
    uint64_t key;
    aa_text  text;
    char     want[32];
    for (size_t seen = 0; seen < MANY; seen = names_end(nm))
        for (size_t i = 0, end = names_end(nm); i < end; i += 1 + end / 100) {
            assert_true(names_get(nm, i, &key, &text));
            int len = snprintf(want, sizeof want, "n%llu", (unsigned long long)key);
            assert_int_equal(text.len, len);
            assert_memory_equal(text.data, want, text.len);
        }
    return NULL;
}

static void
a_reader_sees_whole_names_while_the_list_grows(void **state)
{
    names    *nm = names_new();
    pthread_t reader;
    char      text[32];
    (void)state;
    assert_int_equal(pthread_create(&reader, NULL, walk, nm), 0);
    for (uint64_t i = 1; i <= MANY; i++) {
        snprintf(text, sizeof text, "n%llu", (unsigned long long)(i * 2654435761u));
        put(nm, i * 2654435761u, text, true);
    }
    pthread_join(reader, NULL);
    assert_int_equal(names_count(nm), MANY);
    assert_true(names_bytes(nm) < MANY * 80);
    names_free(&nm);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_comes_once_goes_and_comes_back),
        cmocka_unit_test(a_reader_sees_whole_names_while_the_list_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
