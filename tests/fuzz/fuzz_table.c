/* Files that people bring: embedding tables for `import`. The first byte picks which file of a
 * table holds the rest of the input; the others are good ones. A table is read, and is the same
 * after it was written and read again; or it is an error. */
#include <math.h>

#include "tests/fuzz/fuzz.h"
#include "tools/npy.h"
#include "tools/table.h"

enum { W = 3, ROWS = 2 };
enum { CSV, NPY, IDS, READS, SHARED, KINDS };

static const char *const files[] = {"x.csv", "x.npy", "x.ids", "x.reads.npy", "x.shared.npy"};
static char              folder[64];

static void
remove_files(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        fuzz_file_remove(folder, files[i]);
}

static void
finish(void)
{
    remove_files();
    rmdir(folder);
}

static void
start(void)
{
    if (folder[0]) return;
    fuzz_folder_make(folder);
    AA_REQUIRE(atexit(finish) == 0);
}

static void
write_npy(const char *name, const float *x, size_t rows, size_t columns)
{
    char   path[128];
    aa_err err = AA_ERR_INIT;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    AA_REQUIRE(aa_npy_write(path, x, rows, columns, &err) == AA_OK);
}

/* The good files beside the one that is tried. */
static void
write_others(unsigned kind)
{
    static const float x[ROWS * W] = {1, 2, 3, 4, 5, 6};
    if (kind == SHARED) fuzz_file_write(folder, "x.csv", "id,w0,w1\na,1,2\n", 16);
    if (kind != NPY && kind != IDS && kind != READS) return;
    if (kind != NPY) write_npy("x.npy", x, ROWS, W);
    if (kind != IDS) fuzz_file_write(folder, "x.ids", "a\nb\n", 4);
}

static void
check_same(const aa_table *a, const aa_table *b)
{
    AA_REQUIRE(a->n == b->n && a->W == b->W && a->shared_count == b->shared_count);
    for (size_t i = 0; i < a->n; i++) {
        AA_REQUIRE(a->id[i].key == b->id[i].key && a->id[i].own == b->id[i].own);
        AA_REQUIRE(a->id[i].position == b->id[i].position);
    }
    if (a->n > 0) AA_REQUIRE(memcmp(a->w, b->w, a->n * a->W * sizeof *a->w) == 0);
}

/* @pre the folder is empty */
static void
check_written(const aa_table *tb, aa_table_format format)
{
    aa_table again;
    aa_err   err = AA_ERR_INIT;
    AA_REQUIRE(aa_table_write(tb, folder, "x", format, &err) == AA_OK);
    AA_REQUIRE(aa_table_read(&again, tb->W, folder, "x", &err) == AA_OK);
    check_same(tb, &again);
    aa_table_fini(&again);
    remove_files();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aa_table tb;
    aa_err   err = AA_ERR_INIT;
    if (size == 0) return 0;
    const unsigned kind = data[0] % KINDS;
    start();
    remove_files();
    fuzz_file_write(folder, files[kind], data + 1, size - 1);
    write_others(kind);
    const aa_status st = aa_table_read(&tb, W, folder, "x", &err);
    remove_files();
    if (st != AA_OK) {
        AA_REQUIRE(err.text[0] && tb.n == 0 && !tb.w);
        return 0;
    }
    for (size_t i = 0; i < tb.n * tb.W; i++)
        AA_REQUIRE(isfinite(tb.w[i]));
    check_written(&tb, AA_TABLE_CSV);
    check_written(&tb, AA_TABLE_NPY);
    aa_table_fini(&tb);
    return 0;
}

/* Now and then begin anew from a good file, which only the encoder makes well. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const float x[ROWS * W] = {1, 2, 0.25f, 0, -0.5f, 1e-9f};
    char               path[128];
    if ((size > 1 && seed % 32) || max_size < 1024) return LLVMFuzzerMutate(data, size, max_size);
    const unsigned kind = NPY + seed / 32 % 2 * 2 + (seed / 64 % 4 == 0); /* or a bit of both */
    start();
    remove_files();
    write_npy("x.npy", x, ROWS, W - seed / 256 % 2);
    snprintf(path, sizeof path, "%s/x.npy", folder);
    FILE *f = fopen(path, "rb");
    AA_REQUIRE(f);
    const size_t got = fread(data + 1, 1, 1023, f);
    fclose(f);
    data[0] = (uint8_t)kind;
    return 1 + got;
}
