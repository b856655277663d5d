/* Files that people bring: interactions for `record` (CSV, MovieLens' forms, each also as .gz). The
 * first byte picks the unit of time. A file is rows, whose IDs have a text, or an error that names
 * it. Sorted rows stay the same rows. */
#include <math.h>

#include "tests/fuzz/fuzz.h"
#include "tools/load.h"

static char folder[64], path[80];

static void
finish(void)
{
    fuzz_file_remove(folder, "x");
    rmdir(folder);
}

static void
start(void)
{
    if (folder[0]) return;
    fuzz_folder_make(folder);
    snprintf(path, sizeof path, "%s/x", folder);
    AA_REQUIRE(atexit(finish) == 0);
}

static void
check_rows(const load *ld)
{
    size_t          count, len;
    load_facts      facts;
    const load_row *row = load_rows(ld, &count);
    double          labels = 0;
    load_describe(ld, &facts);
    AA_REQUIRE(facts.events == count);
    for (size_t i = 0; i < count; i++) {
        AA_REQUIRE(row[i].user < facts.users && row[i].item < facts.items);
        AA_REQUIRE(load_user(ld, row[i].user, &len) && len > 0);
        AA_REQUIRE(load_item(ld, row[i].item, &len) && len > 0);
        AA_REQUIRE(isfinite(row[i].label));
        AA_REQUIRE(row[i].label >= facts.label_min && row[i].label <= facts.label_max);
        AA_REQUIRE(row[i].time_ms >= facts.time_min_ms && row[i].time_ms <= facts.time_max_ms);
        AA_REQUIRE(!facts.sorted || i == 0 || row[i].time_ms >= row[i - 1].time_ms);
        labels += row[i].label;
    }
    (void)labels;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load      *ld = NULL;
    load_facts before, after;
    aa_err     err = AA_ERR_INIT;
    if (size == 0) return 0;
    start();
    fuzz_file_write(folder, "x", data + 1, size - 1);
    AA_REQUIRE(load_new(&ld, &err) == AA_OK);
    if (load_file(ld, path, data[0] % LOAD_UNITS, &err) != AA_OK) {
        AA_REQUIRE(strncmp(err.text, path, strlen(path)) == 0);
        goto out;
    }
    check_rows(ld);
    load_describe(ld, &before);
    AA_REQUIRE(load_sort(ld, &err) == AA_OK);
    check_rows(ld);
    load_describe(ld, &after);
    AA_REQUIRE(after.sorted && after.events == before.events);
    AA_REQUIRE(after.time_min_ms == before.time_min_ms && after.time_max_ms == before.time_max_ms);
out:
    load_free(&ld);
    return 0;
}
