#include "tools/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/one_event.h"

#include "common/base/hash.h"
#include "ingest/decode/decode.h"
#include "tests/check.h"

static aa_conf cfg;

static encode_event
event_of(const char *user, const char *item, double label, int64_t time_ms)
{
    return (encode_event){user, item, strlen(user), strlen(item), label, time_ms};
}

/* Encoded both ways and decoded, it is the same event. */
static void
check_round_trip(const char *user, const char *item, double label, int64_t time_ms)
{
    aa_err       err = AA_ERR_INIT;
    decode      *dc = NULL;
    encode_event ev = event_of(user, item, label, time_ms);
    assert_int_equal(decode_new(&dc, &cfg, &err), AA_OK);
    for (int json = 0; json < 2; json++) {
        char             message[1000];
        size_t           len = 0;
        one_event        got;
        const aa_columns col = one_event_columns(&got);
        if (json)
            assert_int_equal(encode_json(&cfg, &ev, message, sizeof message, &len, &err), AA_OK);
        else
            assert_int_equal(encode_protobuf(&ev, message, sizeof message, &len, &err), AA_OK);
        decode_reason why = decode_message(dc, message, len, -1, &col, 0);
        if (why != DECODE_OK) fail_msg("%s: %s", decode_slug(why), decode_why(dc));
        assert_true(got.key[0] == aa_id_key(user, strlen(user)));
        assert_true(got.key[1] == aa_id_key(item, strlen(item)));
        check_close(got.label[0], label, 0, 1e-6, json);
        assert_int_equal(got.time_ms[0], time_ms);
    }
    decode_free(&dc);
}

static void
encoded_event_decodes_to_itself(void **state)
{
    (void)state;
    aa_conf_defaults(&cfg);
    check_round_trip("u1", "i1", 1, 1700000000123);
    check_round_trip("42", "-7", 0, -5);
    check_round_trip("042", "-0", 0.25, 0);
    check_round_trip("0", "+1", 0.1, 1);
    check_round_trip("999999999999999999", "9999999999999999999999", 1, 1);
    check_round_trip("say \"hi\"\\", "\xc3\xa9t\xc3\xa9", 1, 1);
    check_round_trip("-", "1e5", 1, 1);
}

static void
json_follows_the_configured_names_and_unit(void **state)
{
    (void)state;
    aa_err       err = AA_ERR_INIT;
    char         message[200];
    size_t       len = 0;
    encode_event ev = event_of("u", "7", 4.5, 1500);
    aa_conf_defaults(&cfg);
    snprintf(cfg.fields[0].path, sizeof cfg.fields[0].path, "uid");
    snprintf(cfg.event.label_field, sizeof cfg.event.label_field, "stars");
    snprintf(cfg.event.time_field, sizeof cfg.event.time_field, "at");
    cfg.event.time_unit = AA_TIME_UNIT_S;
    assert_int_equal(encode_json(&cfg, &ev, message, sizeof message - 1, &len, &err), AA_OK);
    message[len] = '\0';
    assert_string_equal(message, "{\"uid\":\"u\",\"item\":7,\"stars\":4.5,\"at\":1.5}");
}

static void
what_does_not_fit_or_is_not_utf8_is_refused(void **state)
{
    (void)state;
    aa_err       err = AA_ERR_INIT;
    char         message[20];
    size_t       len = 0;
    encode_event ev = event_of("a-rather-long-user", "and-an-item", 1, 1);
    aa_conf_defaults(&cfg);
    assert_int_equal(encode_protobuf(&ev, message, sizeof message, &len, &err), AA_EFULL);
    assert_int_equal(encode_json(&cfg, &ev, message, sizeof message, &len, &err), AA_EFULL);
    ev = event_of("\xff", "i", 1, 1);
    assert_int_equal(encode_json(&cfg, &ev, message, sizeof message, &len, &err), AA_EPARSE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded_event_decodes_to_itself),
        cmocka_unit_test(json_follows_the_configured_names_and_unit),
        cmocka_unit_test(what_does_not_fit_or_is_not_utf8_is_refused),
    };
    return cmocka_run_group_tests_name("tools/encode", tests, NULL, NULL);
}
