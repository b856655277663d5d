#include "common/messages/mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/messages/wire_topic.h"

static void
pipelines_have_different_marks_and_none_has_mark_0(void **state)
{
    (void)state;
    assert_int_not_equal(aa_mark_of("production"), aa_mark_of("trial"));
    assert_int_equal(aa_mark_of("production"), aa_mark_of("production"));
    assert_int_not_equal(aa_mark_of(""), 0);
}

/* Readers that do not know the mark read the record as before, and say the same of it. */
static void
each_kind_of_value_carries_a_mark_and_reads_as_before(void **state)
{
    (void)state;
    aa_err           err = AA_ERR_INIT;
    aa_bytes         by = {0}, text = {0};
    const uint32_t   mark = aa_mark_of("production");
    const float      w[3] = {0.5f, -1.0f, 2.0f};
    float            got[3];
    const void      *name;
    size_t           len;
    aa_row_head      rh = {.run_id = 5, .version = 6, .born = 7}, row;
    aa_assignment    as = {.run_id = 5, .version = 6, .slot = 3, .mix = 0.5f}, back;
    aa_dense_message d = {.run_id = 5, .F = 2, .K = 2, .w = w, .w_count = 3}, whole = {0};

    assert_int_equal(aa_wire_pack_assignment(&by, &as, &err), AA_OK);
    assert_int_equal(aa_mark_get(by.data, by.len), 0); /* of a version without marks */
    len = by.len;
    assert_int_equal(aa_mark_put(&by, mark, &err), AA_OK);
    assert_int_equal(by.len, len + 5);
    assert_int_equal(aa_mark_get(by.data, by.len), mark);
    assert_int_equal(aa_wire_unpack_assignment(&back, by.data, by.len, &err), AA_OK);
    assert_memory_equal(&back, &as, offsetof(aa_assignment, signal) + sizeof as.signal);

    assert_int_equal(aa_wire_pack_row(&by, &rh, w, 3, &err), AA_OK);
    assert_int_equal(aa_mark_put(&by, mark, &err), AA_OK);
    assert_int_equal(aa_mark_get(by.data, by.len), mark);
    assert_int_equal(aa_wire_unpack_row(&row, got, 3, by.data, by.len, &err), AA_OK);
    assert_memory_equal(got, w, sizeof w);

    assert_int_equal(aa_wire_pack_name(&by, "}abcd", 5, &err), AA_OK);
    assert_int_equal(aa_mark_get(by.data, by.len), 0); /* its last five bytes look like one */
    assert_int_equal(aa_mark_put(&by, mark, &err), AA_OK);
    assert_int_equal(aa_mark_get(by.data, by.len), mark);
    assert_int_equal(aa_wire_unpack_name(&text, &name, &len, by.data, by.len, &err), AA_OK);
    assert_int_equal(len, 5);

    strcpy(d.model, "fm");
    strcpy(d.pipeline, "production");
    assert_int_equal(aa_wire_pack_dense(&by, &d, &err), AA_OK);
    assert_int_equal(aa_mark_put(&by, mark, &err), AA_OK);
    assert_int_equal(aa_mark_get(by.data, by.len), mark);
    assert_int_equal(aa_wire_unpack_dense(&whole, by.data, by.len, &err), AA_OK);
    assert_string_equal(whole.pipeline, "production");
    aa_dense_message_fini(&whole);
    aa_bytes_fini(&by);
    aa_bytes_fini(&text);
}

static void
a_tombstones_header_holds_the_mark(void **state)
{
    (void)state;
    uint8_t header[AA_MARK_HEADER_BYTES];
    aa_mark_to_header(header, 0xfedcba98u);
    assert_true(aa_mark_from_header(header, sizeof header) == 0xfedcba98u);
    assert_int_equal(aa_mark_from_header(header, 3), 0);
    assert_int_equal(aa_mark_from_header(NULL, 0), 0);
}

static void
damaged_values_have_no_mark_and_do_no_harm(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 20000; n++) {
        uint8_t      bytes[24];
        const size_t len = aa_rng_bits(1, AA_RNG_TEST, n, 99) % (sizeof bytes + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)aa_rng_bits(1, AA_RNG_TEST, n, i);
        (void)aa_mark_get(bytes, len); /* the sanitizers watch */
    }
    const uint8_t cut[] = {0x7d, 1, 2, 3}, long_skip[] = {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1};
    assert_int_equal(aa_mark_get(cut, sizeof cut), 0);
    assert_int_equal(aa_mark_get(long_skip, sizeof long_skip), 0);
    assert_int_equal(aa_mark_get(NULL, 0), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelines_have_different_marks_and_none_has_mark_0),
        cmocka_unit_test(each_kind_of_value_carries_a_mark_and_reads_as_before),
        cmocka_unit_test(a_tombstones_header_holds_the_mark),
        cmocka_unit_test(damaged_values_have_no_mark_and_do_no_harm),
    };
    return cmocka_run_group_tests_name("common/messages/mark", tests, NULL, NULL);
}
