#include "tools/load_text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "common/base/utf8.h"

enum { BUFFER_BYTES = 1 << 18 };

struct load_text {
    const char *path;
    gzFile      gz;
    size_t      line;       /* at which the last record began */
    size_t      lines;      /* of the last record */
    size_t      begin, end; /* what is in the buffer and not yet taken */
    size_t      back;       /* where the last record began */
    char       *cut;        /* its end, where its NUL is instead of was; NULL: at the file's end */
    char        was;
    bool        at_eof, started;
    bool        dropping; /* the rest of a line that was too long */
    char        buffer[BUFFER_BYTES];
};

aa_status
load_text_open(load_text **out, const char *path, aa_err *err)
{
    load_text *tx = calloc(1, sizeof *tx);
    *out = NULL;
    if (!tx) return aa_fail(err, AA_ENOMEM, "reading %s", path);
    tx->path = path;
    errno = 0;
    tx->gz = gzopen(path, "rb"); /* reads what is not gzip as it stands */
    if (!tx->gz) {
        free(tx);
        return aa_fail(err, AA_EIO, "%s: %s", path, errno ? strerror(errno) : "cannot be opened");
    }
    gzbuffer(tx->gz, 1 << 17);
    *out = tx;
    return AA_OK;
}

aa_status
load_text_close(load_text **tx_p, aa_err *err)
{
    load_text *tx = *tx_p;
    aa_status  st = AA_OK;
    if (!tx) return AA_OK;
    /* a cut-off gzip file reads as a shorter one until it is closed */
    if (gzclose(tx->gz) != Z_OK)
        st = load_text_wrong(tx, err, AA_EPARSE, "the compressed file is cut off");
    free(tx);
    *tx_p = NULL;
    return st;
}

/* ---- records ---- */

static aa_status
fill_buffer(load_text *tx, aa_err *err)
{
    memmove(tx->buffer, tx->buffer + tx->begin, tx->end - tx->begin);
    tx->end -= tx->begin;
    tx->begin = 0;
    int n = gzread(tx->gz, tx->buffer + tx->end, (unsigned)(sizeof tx->buffer - 1 - tx->end));
    if (n < 0) {
        int         code;
        const char *why = gzerror(tx->gz, &code);
        return aa_fail(err, AA_EIO, "%s: %s", tx->path, code == Z_ERRNO ? strerror(errno) : why);
    }
    tx->end += (size_t)n;
    tx->at_eof = n == 0;
    return AA_OK;
}

/* The line break at or behind *at; both count from `begin`. Without one: *at is the end of what
 * there is, and *found false. That is the end of the file, or of the buffer. */
static aa_status
find_break(load_text *tx, size_t *at, bool *found, aa_err *err)
{
    for (;;) {
        const char *from = tx->buffer + tx->begin;
        size_t      have = tx->end - tx->begin;
        const char *newline = *at < have ? memchr(from + *at, '\n', have - *at) : NULL;
        *found = newline != NULL;
        *at = newline ? (size_t)(newline - from) : have;
        if (newline || tx->at_eof || have == sizeof tx->buffer - 1) return AA_OK;
        aa_status st = fill_buffer(tx, err);
        if (st != AA_OK) return st;
    }
}

/* Where a scan for quoted cells stands. */
typedef struct {
    size_t at;
    enum { CELL_BEGINS, CELL_PLAIN, CELL_QUOTED, CELL_CLOSED } state;
} quote_scan;

/* @return text (up to len) ends within a quoted cell */
static bool
scan_quotes(quote_scan *qs, const char *text, size_t len, char separator)
{
    for (; qs->at < len; qs->at++) {
        const char c = text[qs->at];
        if (qs->state == CELL_QUOTED) {
            if (c == '"') qs->state = CELL_CLOSED; /* or the first of two */
        } else if (c == '"' && qs->state != CELL_PLAIN) {
            qs->state = CELL_QUOTED;
        } else if (c == separator) {
            qs->state = CELL_BEGINS;
        } else if ((c != ' ' && c != '\t') || qs->state == CELL_CLOSED) {
            qs->state = CELL_PLAIN;
        }
    }
    return qs->state == CELL_QUOTED;
}

/* From the first line's end to that of the record, which a quoted cell may put further away. */
static aa_status
find_end(load_text *tx, char separator, size_t *end, bool *found, aa_err *err)
{
    const size_t first = *end;
    quote_scan   qs = {0, CELL_BEGINS};
    if (!memchr(tx->buffer + tx->begin, '"', first)) return AA_OK;
    while (scan_quotes(&qs, tx->buffer + tx->begin, *end, separator)) {
        bool more = *found;
        if (more) {
            ++*end;
            tx->lines++;
            aa_status st = find_break(tx, end, found, err);
            if (st != AA_OK) return st;
            more = *found || tx->at_eof;
        }
        if (more) continue;
        tx->begin += first; /* only its first line is wrong */
        if (tx->begin < tx->end) tx->begin++;
        tx->lines = 1;
        return load_text_wrong(tx, err, AA_EPARSE, "a quote is not closed");
    }
    return AA_OK;
}

/* Behind the line that was too long. */
static aa_status
drop_line(load_text *tx, aa_err *err)
{
    bool found = false;
    while (!found) {
        size_t    at = 0;
        aa_status st = find_break(tx, &at, &found, err);
        if (st != AA_OK) return st;
        tx->begin += at + found;
        if (tx->at_eof) break;
    }
    tx->dropping = false;
    return AA_OK;
}

/* Lines that end in CR alone, as on old Macs and from some spreadsheets: all of it is one line. */
static bool
has_no_newline_but_cr(const load_text *tx)
{
    const char *cr = memchr(tx->buffer, '\r', tx->end);
    return cr && cr + 1 < tx->buffer + tx->end && !memchr(tx->buffer, '\n', tx->end);
}

static aa_status
start_file(load_text *tx, aa_err *err)
{
    aa_status st = AA_OK;
    tx->started = true;
    while (st == AA_OK && tx->end < 3 && !tx->at_eof)
        st = fill_buffer(tx, err);
    if (st != AA_OK) return st;
    if (tx->end >= 2 &&
        (memcmp(tx->buffer, "\xff\xfe", 2) == 0 || memcmp(tx->buffer, "\xfe\xff", 2) == 0)) {
        tx->line = 1;
        return load_text_wrong(tx, err, AA_EPARSE, "this is UTF-16: save it as UTF-8");
    }
    tx->begin = aa_utf8_mark(tx->buffer, tx->end);
    if (has_no_newline_but_cr(tx)) {
        tx->line = 1;
        return load_text_wrong(tx, err, AA_EPARSE,
                               "lines end in CR alone: tr '\\r' '\\n' makes them what is read");
    }
    return AA_OK;
}

/* What was cut out at `begin`. */
static aa_status
take_record(load_text *tx, size_t len, bool found, char **record, size_t *record_len, aa_err *err)
{
    char *from = tx->buffer + tx->begin;
    tx->back = tx->begin;
    tx->begin += len + found;
    if (len > 0 && found && from[len - 1] == '\r') len--;
    tx->cut = from + len;
    tx->was = *tx->cut;
    *tx->cut = '\0';
    if (memchr(from, '\0', len))
        return load_text_wrong(tx, err, AA_EPARSE, "a NUL byte: this is not a text file");
    *record = from;
    *record_len = len;
    return AA_OK;
}

aa_status
load_text_record(load_text *tx, const char *separator, char **record, size_t *len, aa_err *err)
{
    const bool quotes = separator && strchr(",;|", *separator);
    size_t     end = 0;
    bool       found;
    aa_status  st = AA_OK;
    *record = NULL;
    *len = 0;
    if (!tx->started) st = start_file(tx, err);
    if (st == AA_OK && tx->dropping) st = drop_line(tx, err);
    if (st != AA_OK) return st;
    st = find_break(tx, &end, &found, err);
    if (st != AA_OK) return st;
    if (end == 0 && !found) return AA_OK;
    tx->line = tx->line == 0 ? 1 : tx->line + tx->lines;
    tx->lines = 1;
    if (!found && !tx->at_eof) {
        tx->begin = tx->end;
        tx->dropping = true;
        return load_text_wrong(tx, err, AA_EPARSE, "the line is too long");
    }
    if (quotes) st = find_end(tx, *separator, &end, &found, err);
    return st == AA_OK ? take_record(tx, end, found, record, len, err) : st;
}

void
load_text_again(load_text *tx)
{
    *tx->cut = tx->was;
    tx->begin = tx->back;
    tx->lines = 0;
}

/* ---- cells ---- */

/* A quoted cell, made plain in place: "a ""b"" c". @return after the closing quote; NULL: none */
static char *
unquote_cell(char *at, const char *stop, load_cell *out)
{
    char *to = at;
    out->text = at;
    out->quoted = true;
    for (char *from = at + 1; from < stop; from++) {
        if (*from == '"' && (from + 1 == stop || from[1] != '"')) {
            out->len = (size_t)(to - at);
            return from + 1;
        }
        if (*from == '"') from++;
        *to++ = *from;
    }
    return NULL;
}

static char *
skip_blanks(char *at, const char *stop)
{
    while (at < stop && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

static void
plain_cell(char *from, char *to, load_cell *out)
{
    from = skip_blanks(from, to);
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    *out = (load_cell){from, (size_t)(to - from), false};
}

/* The cell of TAB that begins with a quote and ends at `end`. */
static void
take_tab_cell(char *from, char *end, load_cell *out)
{
    plain_cell(from, end, out);
    end = out->text + out->len;
    for (char *quote = out->text + 1; quote < end; quote++) {
        if (*quote != '"') continue;
        if (quote + 1 == end) unquote_cell(out->text, end, out);
        if (quote + 1 == end || quote[1] != '"') return;
        quote++;
    }
}

const char *
load_text_split(char *record, size_t len, const char *separator, bool quotes, load_cells *out)
{
    const size_t sep_len = strlen(separator);
    const bool   tab = *separator == '\t';
    char *at = record, *const stop = record + len;

    for (out->count = 0;;) {
        load_cell *ce = &out->cell[out->count];
        char      *next;
        if (out->count == LOAD_TEXT_CELLS) return "more than 256 columns";
        char *begin = sep_len > 1 || tab ? at : skip_blanks(at, stop);
        if (quotes && begin < stop && *begin == '"' && sep_len == 1 && !tab) {
            next = unquote_cell(begin, stop, ce);
            if (!next) return "a quote is not closed";
            next = skip_blanks(next, stop);
            if (next < stop && *next != *separator) return "something follows a closing quote";
        } else {
            next =
                sep_len > 1 ? strstr(at, separator) : memchr(at, *separator, (size_t)(stop - at));
            if (!next) next = stop;
            if (quotes && tab && at < next && *at == '"')
                take_tab_cell(at, next, ce);
            else
                plain_cell(at, next, ce);
        }
        out->count++;
        if (next >= stop) return NULL;
        at = next + sep_len;
    }
}

bool
load_text_number(const load_cell *ce, double *value)
{
    uint64_t whole = 0;
    size_t   i = 0;
    if (ce->len == 0) return false;
    if (ce->len <= 15) /* exact as a double; most are such */
        for (; i < ce->len && ce->text[i] >= '0' && ce->text[i] <= '9'; i++)
            whole = 10 * whole + (uint64_t)(ce->text[i] - '0');
    *value = (double)whole;
    if (i == ce->len) return true;
    const char kept = ce->text[ce->len];
    ce->text[ce->len] = '\0';
    char *end;
    *value = strtod(ce->text, &end);
    bool good = end == ce->text + ce->len && isfinite(*value);
    ce->text[ce->len] = kept;
    return good;
}

/* ---- errors ---- */

#undef load_text_wrong
aa_status
load_text_wrong(const load_text *tx, aa_err *err, aa_status code, const char *fmt, ...)
{
    char    what[192];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return aa_fail(err, code, "%s:%zu: %s", tx->path, tx->line, what);
}
