#include "common/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"

/* The test vectors of RFC 4648, section 10. */
static void
the_vectors_of_the_rfc(void **state)
{
    static const char *const pair[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        char         text[16], bytes[16];
        size_t       n;
        const size_t len = aa_base64_length(strlen(pair[i][0]));
        aa_base64_put(text, pair[i][0], strlen(pair[i][0]));
        assert_int_equal(len, strlen(pair[i][1]));
        assert_memory_equal(text, pair[i][1], len);
        assert_true(aa_base64_get(bytes, &n, text, len));
        assert_int_equal(n, strlen(pair[i][0]));
        assert_memory_equal(bytes, pair[i][0], n);
    }
}

static void
any_bytes_come_back(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 1000; round++) {
        uint8_t      bytes[50], back[60];
        char         text[80];
        size_t       n, len = aa_rng_bits(1, AA_RNG_TEST, round, 99) % sizeof bytes;
        const size_t text_len = aa_base64_length(len);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)aa_rng_bits(1, AA_RNG_TEST, round, i);
        aa_base64_put(text, bytes, len);
        assert_true(aa_base64_get(back, &n, text, text_len));
        assert_int_equal(n, len);
        assert_memory_equal(back, bytes, n);
    }
}

static void
text_that_is_not_the_one_way_to_write_bytes_is_refused(void **state)
{
    static const char *const bad[] = {"Zg",   "Zg=",  "Z===", "====",     "Zh==",     "Zm9=",
                                      "Zm.v", "Zm v", "=Zm9", "Zg==Zg==", "Zm9vYg=a", "Zm-_"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char   bytes[16];
        size_t n;
        if (aa_base64_get(bytes, &n, bad[i], strlen(bad[i]))) fail_msg("%s is taken", bad[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(text_that_is_not_the_one_way_to_write_bytes_is_refused),
    };
    return cmocka_run_group_tests_name("common/base/base64", tests, NULL, NULL);
}
