/* The set of excluded keys. */
#include "scorer/keyset.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "common/base/rng.h"

enum { SEED = 3 };

static uint64_t
key_at(uint64_t i)
{
    return aa_rng_bits(SEED, AA_RNG_TEST, i, 0) | 1;
}

static void
it_has_what_was_added_and_nothing_else(void **state)
{
    static const size_t sizes[] = {1, 2, 7, 8, 9, 1000, 3};
    keyset              ks = {0};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const size_t n = sizes[s];
        assert_true(keyset_begin(&ks, n));
        for (size_t i = 0; i < n; i++)
            assert_false(keyset_has(&ks, key_at(i))); /* nothing stays of the request before */
        for (size_t i = 0; i < n; i++)
            keyset_add(&ks, key_at(i));
        for (size_t i = 0; i < n; i++)
            assert_true(keyset_has(&ks, key_at(i)));
        for (size_t i = n; i < n + 1000; i++)
            assert_false(keyset_has(&ks, key_at(i)));
    }
    keyset_fini(&ks);
}

static void
an_empty_set_has_nothing_and_takes_no_memory(void **state)
{
    keyset ks = {0};
    (void)state;
    assert_false(keyset_has(&ks, 1));
    assert_true(keyset_begin(&ks, 0));
    assert_null(ks.place);
    assert_false(keyset_has(&ks, 1));
    assert_true(keyset_begin(&ks, 1));
    keyset_add(&ks, 1);
    assert_true(keyset_begin(&ks, 0));
    assert_false(keyset_has(&ks, 1));
    keyset_fini(&ks);
}

/* A client may send one ID any number of times, and keys that agree in many bits. */
static void
repeated_and_similar_keys_fit(void **state)
{
    keyset ks = {0};
    (void)state;
    assert_true(keyset_begin(&ks, 64));
    for (int i = 0; i < 1000; i++)
        keyset_add(&ks, 42);
    for (uint64_t i = 1; i < 64; i++)
        keyset_add(&ks, i << 40);
    for (uint64_t i = 1; i < 64; i++)
        assert_true(keyset_has(&ks, i << 40));
    assert_true(keyset_has(&ks, 42));
    assert_false(keyset_has(&ks, 64ull << 40));
    keyset_fini(&ks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_what_was_added_and_nothing_else),
        cmocka_unit_test(an_empty_set_has_nothing_and_takes_no_memory),
        cmocka_unit_test(repeated_and_similar_keys_fit),
    };
    return cmocka_run_group_tests_name("scorer/keyset", tests, NULL, NULL);
}
