#include "common/service/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
addresses_are_taken_as_people_write_them(void **state)
{
    static const char *const good[][3] = {
        {"localhost:80", "localhost", "80"},
        {"10.0.0.1:8080", "10.0.0.1", "8080"},
        {"[::1]:8080", "::1", "8080"},
        {"http://host:8080/", "host", "8080"},
        {"http://[fe80::1]:80", "fe80::1", "80"},
    };
    static const char *const bad[] = {
        "",           "host",         ":80",     "host:",  "::1:80", "host:eighty",
        "http://:80", "host:80/path", "[::1]80", "http://"};
    char   host[AA_HTTP_HOST_BYTES], port[AA_HTTP_PORT_BYTES];
    aa_err err = AA_ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(aa_http_address(good[i][0], strlen(good[i][0]), host, port, &err), AA_OK);
        assert_string_equal(host, good[i][1]);
        assert_string_equal(port, good[i][2]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (aa_http_address(bad[i], strlen(bad[i]), host, port, &err) != AA_ECONFIG)
            fail_msg("\"%s\" is taken as \"%s\" and \"%s\"", bad[i], host, port);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses_are_taken_as_people_write_them)};
    return cmocka_run_group_tests_name("common/service/http_client", tests, NULL, NULL);
}
