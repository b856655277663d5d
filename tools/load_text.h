/* tools/load_text - the records of a text file, plain or .gz, and the cells of a record.
 *
 * A record is a line; where cells may be quoted as in RFC 4180, a quoted cell may hold line breaks.
 * The file is read through one buffer: a record that does not fit in is wrong, not kept.
 *
 *   , ; |   a cell that begins with a quote is quoted to its end; "" within it is a quote
 *   TAB     a cell that begins and ends with a quote is quoted too, on one line; any other quote is
 *           text ("Heroes" is Heroes, 5" and "a" or b are what they are)
 *   ::      quotes are text
 *
 * Blanks around a cell are no part of it; within quotes they are.
 */
#ifndef AA_TOOLS_LOAD_TEXT_H
#define AA_TOOLS_LOAD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

#define LOAD_TEXT_CELLS 256

typedef struct load_text load_text;

typedef struct {
    char  *text; /* not NUL-terminated */
    size_t len;
    bool   quoted; /* quotes were taken off */
} load_cell;

typedef struct {
    size_t    count;
    load_cell cell[LOAD_TEXT_CELLS];
} load_cells;

/** @errors AA_EIO; AA_ENOMEM */
aa_status load_text_open(load_text **out, const char *path, aa_err *err)
    __attribute__((warn_unused_result));
/** @errors AA_EPARSE the compressed file is cut off */
aa_status load_text_close(load_text **tx_p, aa_err *err) __attribute__((warn_unused_result));

/** The next record, NUL-terminated in the buffer and the caller's to change; NULL at the end. A byte
 *  order mark at the file's beginning is skipped. After AA_EPARSE the next call reads on behind the
 *  line that is wrong.
 *  @param separator  of its cells; NULL: the record is a line
 *  @errors AA_EPARSE file:line: too long, NUL bytes, a quote that is not closed; AA_EIO */
aa_status load_text_record(load_text *tx, const char *separator, char **record, size_t *len,
                           aa_err *err) __attribute__((warn_unused_result));
/** The last record will be read once more. It must not have been changed. */
void load_text_again(load_text *tx);

/** err is "file:line: ...", the line at which the last record began. @return code */
aa_status load_text_wrong(const load_text *tx, aa_err *err, aa_status code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#ifdef __clang_analyzer__ /* as aa_fail: what is returned is code, which is not AA_OK */
#define load_text_wrong(tx, err, code, ...)                                                        \
    ((void)load_text_wrong(tx, err, code, __VA_ARGS__), (code))
#endif

/** The cells of a record, unquoted in place.
 *  @param quotes  false: quotes are text
 *  @return NULL; or what is wrong, in words */
const char *load_text_split(char *record, size_t len, const char *separator, bool quotes,
                            load_cells *out);
/** A finite number, and nothing else in the cell. */
bool load_text_number(const load_cell *ce, double *value);

#endif
