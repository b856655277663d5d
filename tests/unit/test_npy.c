/* NumPy's format: what is written can be read, and everything else is refused with a reason. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/check.h"
#include "tools/npy.h"

static char folder[] = "/tmp/aa-npy-XXXXXX";
static char path[64];

static int
make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.npy", folder);
    return 0;
}

static int
remove_folder(void **state)
{
    (void)state;
    remove(path);
    return rmdir(folder);
}

/* A file with this head (version 1) and these bytes. */
static void
write_raw(const char *head, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    const size_t  n = strlen(head);
    const uint8_t lead[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(n & 255), (uint8_t)(n >> 8)};
    assert_int_equal(fwrite(lead, 1, 10, f), 10);
    assert_int_equal(fwrite(head, 1, n, f), n);
    if (len > 0) assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static void
what_is_written_is_read(void **state)
{
    (void)state;
    const float x[6] = {1.5f, -2.0f, 0.0f, 1e-30f, 3e30f, 7.0f};
    aa_npy      a = {0};
    aa_err      err = AA_ERR_INIT;
    assert_int_equal(aa_npy_write(path, x, 2, 3, &err), AA_OK);
    assert_int_equal(aa_npy_read(path, &a, &err), AA_OK);
    assert_int_equal(a.rows, 2);
    assert_int_equal(a.columns, 3);
    assert_memory_equal(a.x, x, sizeof x);
    free(a.x);
    assert_int_equal(aa_npy_write(path, x, 6, 0, &err), AA_OK);
    assert_int_equal(aa_npy_read(path, &a, &err), AA_OK);
    assert_int_equal(a.rows, 6);
    assert_int_equal(a.columns, 1);
    free(a.x);
}

static void
the_data_begins_at_a_multiple_of_64(void **state)
{
    (void)state;
    const float x[1] = {1.0f};
    aa_err      err = AA_ERR_INIT;
    assert_int_equal(aa_npy_write(path, x, 1, 1, &err), AA_OK);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    assert_int_equal((ftell(f) - 4) % 64, 0);
    fclose(f);
}

static void
doubles_become_floats(void **state)
{
    (void)state;
    const double x[2] = {0.1, -4.0};
    aa_npy       a = {0};
    aa_err       err = AA_ERR_INIT;
    write_raw("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }\n", x, sizeof x);
    assert_int_equal(aa_npy_read(path, &a, &err), AA_OK);
    check_close(a.x[0], 0.1f, 1e-9, 0, 0);
    check_close(a.x[1], -4.0f, 1e-9, 0, 0);
    free(a.x);
}

static void
refused(const char *head, const void *data, size_t len, const char *why)
{
    aa_npy a = {0};
    aa_err err = AA_ERR_INIT;
    write_raw(head, data, len);
    assert_int_equal(aa_npy_read(path, &a, &err), AA_EPARSE);
    if (!strstr(err.text, why)) fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    assert_null(a.x);
}

static void
everything_else_is_refused_with_a_reason(void **state)
{
    (void)state;
    const float x[2] = {1.0f, NAN};
    refused("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", x, 8, "float32");
    refused("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", x, 8, "Fortran");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 1), }", x, 8, "dimensions");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", x, 4, "dimensions");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", x, 8, "cut off");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", x, 4, "cut off");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", x, 8, "longer");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", x, 8, "not finite");
    refused("", x, 0, "float32");
    /* shapes whose bytes no memory holds, or no number */
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", x, 8,
            "dimensions");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", x, 8,
            "dimensions");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,), }", x, 8,
            "cut off");
}

static void
a_missing_file_is_an_io_error(void **state)
{
    (void)state;
    aa_npy a = {0};
    aa_err err = AA_ERR_INIT;
    remove(path);
    assert_int_equal(aa_npy_read(path, &a, &err), AA_EIO);
    assert_int_equal(aa_npy_write("/nowhere/at/all.npy", NULL, 0, 1, &err), AA_EIO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_data_begins_at_a_multiple_of_64),
        cmocka_unit_test(doubles_become_floats),
        cmocka_unit_test(everything_else_is_refused_with_a_reason),
        cmocka_unit_test(a_missing_file_is_an_io_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
