#include "common/base/hash.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"

static void
number_and_its_decimal_text_are_the_same_id(void **state)
{
    (void)state;
    const int64_t fixed[] = {
        0,         1,         -1,           7,     9,         10,        42,
        99,        100,       -100,         12345, INT32_MAX, INT32_MIN, INT64_MAX - 1,
        INT64_MAX, INT64_MIN, INT64_MIN + 1};
    char text[32];
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        int n = snprintf(text, sizeof text, "%" PRId64, fixed[i]);
        assert_true(aa_id_key_number(fixed[i]) == aa_id_key(text, (size_t)n));
    }
    for (uint64_t i = 0; i < 10000; i++) {
        int64_t number = (int64_t)aa_rng_bits(1, AA_RNG_TEST, 0, i) >> (i % 64);
        int     n = snprintf(text, sizeof text, "%" PRId64, number);
        assert_true(aa_id_key_number(number) == aa_id_key(text, (size_t)n));
    }
}

static void
keys_are_xxh3_as_published(void **state)
{
    (void)state;
    /* `printf 'x' | xxhsum -H3`: keys are part of the compacted topics, so they may never change */
    assert_true(aa_id_key("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(aa_id_key("42", 2) == aa_id_key_number(42));
    assert_true(aa_id_key("42", 2) != aa_id_key("042", 3));
    assert_true(aa_id_key("a\0b", 3) != aa_id_key("a", 1));
}

static void
digest_depends_on_every_byte_and_on_what_came_before(void **state)
{
    (void)state;
    char     data[64];
    uint64_t first, second;
    memset(data, 0, sizeof data);
    first = aa_digest(0, data, sizeof data);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = 1;
        assert_true(aa_digest(0, data, sizeof data) != first);
        data[i] = 0;
    }
    second = aa_digest(first, data, sizeof data);
    assert_true(second != first);
    assert_true(second == aa_digest(aa_digest(0, data, sizeof data), data, sizeof data));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_and_its_decimal_text_are_the_same_id),
        cmocka_unit_test(keys_are_xxh3_as_published),
        cmocka_unit_test(digest_depends_on_every_byte_and_on_what_came_before),
    };
    return cmocka_run_group_tests_name("common/base/hash", tests, NULL, NULL);
}
