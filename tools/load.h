/* tools/load - recorded interactions from files, for the `record` tool.
 *
 *   user,item,label,timestamp CSV with or without a header (MovieLens' ratings.csv as well), also
 *   with ; or | between the cells, or tabs (u.data, RecBole's .inter); MovieLens' ratings.dat
 *   (user::item::rating::timestamp); JSON lines; each also as .gz.
 *
 * The form is told from the first line (load_form.h, load_text.h). A header's names may be in any
 * order, and further columns are left alone. What could be read in two ways is refused, and the
 * error names the option that decides. IDs are text and kept once each. Errors name file and line.
 */
#ifndef AA_TOOLS_LOAD_H
#define AA_TOOLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    uint32_t user, item; /* numbers of the IDs, in order of appearance */
    double   label;
    int64_t  time_ms;
} load_row;

typedef struct load load;

/** @errors AA_ENOMEM */
aa_status load_new(load **out, aa_err *err) __attribute__((warn_unused_result));
void      load_free(load **ld_p);

/* What is taken of a file. */
typedef enum { LOAD_USER, LOAD_ITEM, LOAD_LABEL, LOAD_TIME, LOAD_COLUMNS } load_column;
/** "user", "item", "label", "time". */
const char *load_column_name(load_column column);

/* Of timestamps. LOAD_UNIT_TOLD: by their size, since dates of our time tell the units apart; a file
 * whose timestamps do not agree is refused. A column timestamp_ms (_us, _ns) has its unit in any
 * case. */
typedef enum {
    LOAD_UNIT_TOLD,
    LOAD_UNIT_S,
    LOAD_UNIT_MS,
    LOAD_UNIT_US,
    LOAD_UNIT_NS,
    LOAD_UNITS
} load_unit;
/** "s", "ms", "us", "ns". */
const char *load_unit_name(load_unit unit);

typedef enum { LOAD_HEADER_TOLD, LOAD_HEADER_YES, LOAD_HEADER_NO, LOAD_HEADERS } load_header;

/* LOAD_IDS_TOLD: as they stand, but a column with both 1 and 1.0 is refused; LOAD_IDS_NUMBERS: 1.0 is
 * 1, as a table program that once had a gap in the column writes it. */
typedef enum { LOAD_IDS_TOLD, LOAD_IDS_TEXT, LOAD_IDS_NUMBERS, LOAD_IDS } load_ids;

/* LOAD_QUOTES_TOLD: taken off as load_text.h says, but between tabs an ID that stands with and without
 * quotes is refused; LOAD_QUOTES_NO: they are text. */
typedef enum { LOAD_QUOTES_TOLD, LOAD_QUOTES_YES, LOAD_QUOTES_NO, LOAD_QUOTES } load_quotes;

/* All 0: everything is told from the file, and a bad row is an error. */
typedef struct {
    const char *column[LOAD_COLUMNS]; /* a header's name, or digits: a number from 1; NULL: told */
    load_unit   unit;
    load_header header;
    load_ids    ids;
    load_quotes quotes;
    bool        skip_bad; /* a row that is no event is counted and left out */
} load_options;

typedef struct {
    size_t number;   /* from 1; 0: JSON */
    char   name[64]; /* "": there is no header. Cut if it is longer */
} load_taken_column;

/* What load_file took. */
typedef struct {
    const char       *form; /* "CSV", "TSV", ...; NULL: there is no first line */
    bool              header;
    load_taken_column column[LOAD_COLUMNS];
    load_unit         unit; /* LOAD_UNIT_TOLD: no row */
    uint64_t          rows, skipped;
    int64_t           time_min_ms, time_max_ms; /* 0, 0: no row */
    bool              point_zero[2]; /* all whole numbers among the users, the items end in .0 */
    char              first_skipped[256]; /* file:line: why; "": none */
} load_taken;

/** Append a file.
 *  @param opt  what is not to be told from the file; NULL: nothing
 *  @param out  written on an error too, as far as it came; may be NULL
 *  @errors AA_EPARSE file:line: a row that is no event; AA_ECONFIG file:line: what an option has to
 *          decide, which skip_bad does not help; AA_EIO; AA_ENOMEM */
aa_status load_file(load *ld, const char *path, const load_options *opt, load_taken *out,
                    aa_err *err) __attribute__((warn_unused_result));
/** Sort by time; rows of the same time keep their order. @errors AA_ENOMEM */
aa_status load_sort(load *ld, aa_err *err) __attribute__((warn_unused_result));

const load_row *load_rows(const load *ld, size_t *count);
/** The text of an ID. */
const char *load_user(const load *ld, uint32_t user, size_t *len);
const char *load_item(const load *ld, uint32_t item, size_t *len);

typedef struct {
    uint64_t events, users, items;
    double   label_min, label_max; /* 0, 0 if there are no events */
    int64_t  time_min_ms, time_max_ms;
    bool     binary, sorted; /* every label is 0 or 1; times never decrease */
} load_facts;
void load_describe(const load *ld, load_facts *out);

#endif
