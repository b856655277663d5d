/* Embedding tables in files: round trips in both formats, IDs as text, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "tests/check.h"
#include "tools/npy.h"
#include "tools/table.h"

enum { W = 3 };
static char folder[] = "/tmp/aa-table-XXXXXX";

static const char *
path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void
remove_files(void)
{
    static const char *const name[] = {"user.csv", "user.ids", "user.npy", "user.reads.npy",
                                       "user.shared.npy"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        remove(path_of(name[i]));
}

static int
make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    (void)state;
    remove_files();
    return rmdir(folder);
}

static void
write_text(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* IDs of every kind of text, and one without. */
static const char *const ids[] = {"42", "a,b", "say \"hi\"", "#tag", "two\nlines", NULL};
enum { IDS = sizeof ids / sizeof *ids };

static uint64_t
key_of(size_t i)
{
    return ids[i] ? aa_id_key(ids[i], strlen(ids[i])) : 0x0123456789abcdefu;
}

static void
fill(aa_table *tb)
{
    aa_err err = AA_ERR_INIT;
    *tb = (aa_table){.W = W};
    for (size_t i = 0; i < IDS; i++) {
        const aa_table_id id = {key_of(i), i % 2 == 0, (uint32_t)(1 + i), 0.25f * (float)i,
                                (uint32_t)(i * 9973) & 0xFFFF};
        const float       w[W] = {(float)i, 0.1f, -1e-7f};
        assert_int_equal(aa_table_add(tb, &id, ids[i], ids[i] ? strlen(ids[i]) : 0, w, &err),
                         AA_OK);
    }
    tb->shared = calloc(2 * W, sizeof(float));
    assert_non_null(tb->shared);
    tb->shared_count = 2;
    tb->shared[4] = 9.0f;
}

static void
round_trip(aa_table_format format)
{
    aa_table tb, got;
    aa_err   err = AA_ERR_INIT;
    remove_files();
    fill(&tb);
    assert_int_equal(aa_table_write(&tb, folder, "user", format, &err), AA_OK);
    assert_int_equal(aa_table_read(&got, W, folder, "user", &err), AA_OK);
    assert_int_equal(got.n, IDS);
    for (size_t i = 0; i < IDS; i++) {
        assert_true(got.id[i].key == key_of(i));
        if (ids[i] && !strchr(ids[i], '\n'))
            assert_string_equal(got.text[i], ids[i]);
        else
            assert_null(got.text[i]);
        assert_int_equal(got.id[i].own, tb.id[i].own);
        assert_int_equal(got.id[i].position, tb.id[i].position);
        check_close(got.id[i].place, tb.id[i].place, 0, 0, i);
        assert_int_equal(got.id[i].signal, tb.id[i].signal);
    }
    assert_memory_equal(got.w, tb.w, IDS * W * sizeof(float));
    assert_int_equal(got.shared_count, 2);
    assert_memory_equal(got.shared, tb.shared, 2 * W * sizeof(float));
    aa_table_fini(&tb);
    aa_table_fini(&got);
}

static void
npy_comes_back_as_it_was(void **state)
{
    (void)state;
    round_trip(AA_TABLE_NPY);
}

static void
csv_comes_back_as_it_was(void **state)
{
    (void)state;
    round_trip(AA_TABLE_CSV);
}

static void
a_table_of_strangers_needs_ids_and_rows_only(void **state)
{
    (void)state;
    aa_table tb;
    aa_err   err = AA_ERR_INIT;
    remove_files();
    write_text("user.csv", "id,a,b\r\n7,1,2\r\n8,3,4\r\n");
    assert_int_equal(aa_table_read(&tb, W, folder, "user", &err), AA_OK);
    assert_int_equal(tb.n, 2);
    assert_true(tb.id[0].own);
    assert_int_equal(tb.id[0].position, 1);
    assert_true(tb.id[0].place < 0.0f);
    const float want[2 * W] = {1, 2, 0, 3, 4, 0}; /* no linear weight in the file */
    assert_memory_equal(tb.w, want, sizeof want);
    assert_null(tb.shared);
    assert_true(tb.id[0].key == aa_id_key("7", 1));
    aa_table_fini(&tb);
}

static void
refused(const char *csv, const char *why)
{
    aa_table tb;
    aa_err   err = AA_ERR_INIT;
    remove_files();
    write_text("user.csv", csv);
    assert_int_equal(aa_table_read(&tb, W, folder, "user", &err), AA_EPARSE);
    if (!strstr(err.text, why)) fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void
what_does_not_fit_is_named_with_its_line(void **state)
{
    (void)state;
    refused("", "empty");
    refused("name,a,b,c\n", "user.csv:1");
    refused("id,a,b,c,d\n", "4 weights");
    refused("id,a,b,c\n7,1,2,3\n8,1,x,3\n", "user.csv:3: column 3");
    refused("id,a,b,c\n7,1,2\n", "3 columns, want 4");
    refused("id,a,b,c\n7,1,2,3,4\n", "user.csv:2");
    refused("id,a,b,c\n,1,2,3\n", "empty ID");
    refused("id,a,b,c\n7,1,2,inf\n", "not a number");
    refused("id,a,b,c\n7,1,2,3\n7,1,2,3\n", "twice");
    refused("id,own,own,a,b,c\n7,1,1,1,2,3\n", "user.csv:1: there are two columns \"own\"");
    refused("id,a,b,c\n\"7,1,2,3\n", "user.csv:2");
}

static void
arrays_and_ids_must_have_the_same_length(void **state)
{
    (void)state;
    const float w[2 * W] = {0};
    aa_table    tb;
    aa_err      err = AA_ERR_INIT;
    remove_files();
    assert_int_equal(aa_npy_write(path_of("user.npy"), w, 2, W, &err), AA_OK);
    write_text("user.ids", "1\n");
    assert_int_equal(aa_table_read(&tb, W, folder, "user", &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "fewer lines"));
    write_text("user.ids", "1\n2\n3\n");
    assert_int_equal(aa_table_read(&tb, W, folder, "user", &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "more lines"));
}

/* As Excel and PowerShell begin a text file. */
static void
a_byte_order_mark_is_no_part_of_the_first_id(void **state)
{
    (void)state;
    const float w[2 * W] = {0};
    aa_table    tb;
    aa_err      err = AA_ERR_INIT;
    remove_files();
    assert_int_equal(aa_npy_write(path_of("user.npy"), w, 2, W, &err), AA_OK);
    write_text("user.ids", "\xef\xbb\xbfu0\r\n\xef\xbb\xbfu1\r\n");
    assert_int_equal(aa_table_read(&tb, W, folder, "user", &err), AA_OK);
    assert_string_equal(tb.text[0], "u0");
    assert_true(tb.id[0].key == aa_id_key("u0", 2));
    assert_string_equal(tb.text[1], "\xef\xbb\xbfu1"); /* not at the beginning: text */
    aa_table_fini(&tb);
    remove_files();
    write_text("user.csv", "\xef\xbb\xbfid,a,b\n7,1,2\n");
    if (aa_table_read(&tb, W, folder, "user", &err) != AA_OK) fail_msg("%s", err.text);
    assert_int_equal(tb.n, 1);
    aa_table_fini(&tb);
}

static void
an_id_that_begins_with_a_byte_order_mark_is_exported_by_its_key(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfu0";
    const float       w[W] = {0};
    const aa_table_id id = {aa_id_key(text, 5), true, 1, -1.0f, 0};
    aa_table          tb = {.W = W}, got;
    aa_err            err = AA_ERR_INIT;
    remove_files();
    assert_int_equal(aa_table_add(&tb, &id, text, 5, w, &err), AA_OK);
    assert_int_equal(aa_table_write(&tb, folder, "user", AA_TABLE_NPY, &err), AA_OK);
    assert_int_equal(aa_table_read(&got, W, folder, "user", &err), AA_OK);
    assert_true(got.id[0].key == id.key);
    aa_table_fini(&tb);
    aa_table_fini(&got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_comes_back_as_it_was),
        cmocka_unit_test(csv_comes_back_as_it_was),
        cmocka_unit_test(a_table_of_strangers_needs_ids_and_rows_only),
        cmocka_unit_test(what_does_not_fit_is_named_with_its_line),
        cmocka_unit_test(arrays_and_ids_must_have_the_same_length),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_first_id),
        cmocka_unit_test(an_id_that_begins_with_a_byte_order_mark_is_exported_by_its_key),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
