/* Files that people bring: interactions for `record` (every form that it reads, each also as .gz). The
 * first byte picks the options. A file is rows, whose IDs have a text, or an error that names it; what
 * was taken agrees with the rows. Bad rows that are skipped leave those that are good. Sorted rows
 * stay the same rows. */
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

static load_options
options_of(uint8_t byte)
{
    /* names and numbers of columns; most often none, or all is refused */
    static const load_options forms[] = {{.unit = LOAD_UNIT_TOLD},
                                         {.unit = LOAD_UNIT_TOLD},
                                         {.header = LOAD_HEADER_YES, .ids = LOAD_IDS_NUMBERS},
                                         {.column = {"1", "2", "3", "4"},
                                          .header = LOAD_HEADER_NO,
                                          .ids = LOAD_IDS_TEXT,
                                          .quotes = LOAD_QUOTES_NO},
                                         {.column = {"2", "", "rating", "ts"}}};
    load_options              opt = forms[byte / LOAD_UNITS / 2 % (sizeof forms / sizeof *forms)];
    opt.unit = byte % LOAD_UNITS;
    opt.skip_bad = byte / LOAD_UNITS % 2 == 1;
    return opt;
}

static void
check_taken(const load *ld, const load_taken *taken, const load_options *opt)
{
    load_facts facts;
    load_describe(ld, &facts);
    AA_REQUIRE(taken->rows == facts.events);
    AA_REQUIRE(taken->rows == 0 || (taken->form && taken->unit != LOAD_UNIT_TOLD));
    AA_REQUIRE(taken->time_min_ms == facts.time_min_ms && taken->time_max_ms == facts.time_max_ms);
    AA_REQUIRE(taken->skipped == 0 || (opt->skip_bad && taken->first_skipped[0]));
    for (int a = 0; taken->form && a < LOAD_COLUMNS; a++)
        for (int b = a + 1; b < LOAD_COLUMNS && taken->column[a].number > 0; b++)
            AA_REQUIRE(taken->column[a].number != taken->column[b].number);
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
    const load_options opt = options_of(data[0]);
    load_taken         taken;
    if (load_file(ld, path, &opt, &taken, &err) != AA_OK) {
        AA_REQUIRE(strncmp(err.text, path, strlen(path)) == 0);
        goto out;
    }
    check_taken(ld, &taken, &opt);
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
