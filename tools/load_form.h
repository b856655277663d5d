/* tools/load_form - what a file's first line says of its form: separator, header, columns.
 *
 * Before the first line there may be blank lines, `sep=;` (Excel) and comments (#). A comment that
 * is a header with all four names is one. The separator is the one with which the line is a header
 * with all names, or a row with numbers where label and time are. Without a header the columns are
 * user, item, label, time, and no others.
 */
#ifndef AA_TOOLS_LOAD_FORM_H
#define AA_TOOLS_LOAD_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/load.h"
#include "tools/load_text.h"

typedef struct {
    const char *separator; /* "," "\t" "::" ";" "|"; NULL: JSON lines */
    bool        header;
    size_t      columns;              /* of a row */
    size_t      column[LOAD_COLUMNS]; /* from 0 */
    load_unit   unit;                 /* what the time's name says; else LOAD_UNIT_TOLD */
    char       *name[LOAD_COLUMNS];   /* malloc'd; NULL: there is no header */
} load_form;

/** "CSV", "JSON lines", ... */
const char *load_form_name(const load_form *fo);
void        load_form_fini(load_form *fo);

/** Read up to the first row.
 *  @param there  false: the file has no first line
 *  @errors AA_ECONFIG file:line: what has to be decided by an option; those of load_text_record */
aa_status load_form_read(load_form *fo, load_text *tx, const load_options *opt, bool *there,
                         aa_err *err) __attribute__((warn_unused_result));

#endif
