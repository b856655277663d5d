#include "tools/load.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <zlib.h>

#include "tools/load_names.h"

enum { BUFFER_BYTES = 1 << 18, COLUMNS_MAX = 64 };

typedef enum { USER, ITEM, LABEL, TIME, WANTED } wanted;

struct load {
    load_names users, items;
    load_row  *row; /* (count of cap) */
    size_t     count, cap;
};

/* One file while it is read. */
typedef struct {
    load       *ld;
    const char *path;
    gzFile      gz;
    size_t      line_number;
    const char *separator; /* "," "\t" "::" */
    size_t      column[WANTED];
    load_unit   unit;
    bool        told; /* unit is what a timestamp before this looked like */
    char        buffer[BUFFER_BYTES];
    size_t      begin, end; /* what is in the buffer and not yet taken */
    bool        at_eof;
} reading;

typedef struct {
    char  *text;
    size_t len;
} cell;

aa_status
load_new(load **out, aa_err *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? AA_OK : aa_fail(err, AA_ENOMEM, "loader");
}

void
load_free(load **ld_p)
{
    load *ld = *ld_p;
    if (!ld) return;
    load_names_fini(&ld->users);
    load_names_fini(&ld->items);
    free(ld->row);
    free(ld);
    *ld_p = NULL;
}

#define wrong_line(rd, err, ...) wrong_at((rd)->path, (rd)->line_number, err, __VA_ARGS__)
static aa_status wrong_at(const char *path, size_t line, aa_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static aa_status
wrong_at(const char *path, size_t line, aa_err *err, const char *fmt, ...)
{
    char    what[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return aa_fail(err, AA_EPARSE, "%s:%zu: %s", path, line, what);
}

/* ---- lines and columns ---- */

static aa_status
fill_buffer(reading *rd, aa_err *err)
{
    memmove(rd->buffer, rd->buffer + rd->begin, rd->end - rd->begin);
    rd->end -= rd->begin;
    rd->begin = 0;
    if (rd->end == sizeof rd->buffer - 1) return wrong_line(rd, err, "the line is too long");
    int n = gzread(rd->gz, rd->buffer + rd->end, (unsigned)(sizeof rd->buffer - 1 - rd->end));
    if (n < 0) {
        int         code;
        const char *why = gzerror(rd->gz, &code);
        return aa_fail(err, AA_EIO, "%s: %s", rd->path, code == Z_ERRNO ? strerror(errno) : why);
    }
    rd->end += (size_t)n;
    rd->at_eof = n == 0;
    return AA_OK;
}

/* The next line, without its end, NUL-terminated in the buffer; NULL at the end of the file. */
static aa_status
next_line(reading *rd, char **line, size_t *len, aa_err *err)
{
    size_t searched = 0;

    *line = NULL;
    for (;;) {
        char  *from = rd->buffer + rd->begin;
        size_t have = rd->end - rd->begin;
        char  *newline = memchr(from + searched, '\n', have - searched);
        if (newline || (rd->at_eof && have > 0)) {
            *len = newline ? (size_t)(newline - from) : have;
            rd->begin += *len + (newline ? 1 : 0);
            rd->line_number++;
            if (*len > 0 && from[*len - 1] == '\r') (*len)--;
            from[*len] = '\0';
            *line = from;
            return AA_OK;
        }
        if (rd->at_eof) return AA_OK;
        searched = have;
        rd->line_number++; /* for an error here */
        aa_status st = fill_buffer(rd, err);
        rd->line_number--;
        if (st != AA_OK) return st;
    }
}

/* A quoted cell, made plain in place: "a ""b"" c". @return after the closing quote; NULL: none */
static char *
unquote_cell(char *at, cell *out)
{
    char *to = at;
    out->text = at;
    for (char *from = at + 1; *from; from++) {
        if (*from == '"' && from[1] != '"') {
            out->len = (size_t)(to - at);
            return from + 1;
        }
        if (*from == '"') from++;
        *to++ = *from;
    }
    return NULL;
}

static aa_status
split_line(const reading *rd, char *line, size_t len, cell cells[COLUMNS_MAX], size_t *count,
           aa_err *err)
{
    size_t sep_len = strlen(rd->separator);
    char  *at = line, *stop = line + len;

    *count = 0;
    if (memchr(line, '\0', len)) return wrong_line(rd, err, "a NUL byte: this is not a text file");
    for (;;) {
        cell *ce = &cells[*count];
        char *next;
        if (*count == COLUMNS_MAX) return wrong_line(rd, err, "more than %d columns", COLUMNS_MAX);
        if (*at == '"' && sep_len == 1) {
            next = unquote_cell(at, ce);
            if (!next) return wrong_line(rd, err, "a quote is not closed");
            if (next < stop && *next != *rd->separator)
                return wrong_line(rd, err, "something follows a closing quote");
        } else {
            next = strstr(at, rd->separator);
            if (!next) next = stop;
            *ce = (cell){at, (size_t)(next - at)};
        }
        (*count)++;
        if (next >= stop) return AA_OK;
        at = next + sep_len;
    }
}

/* ---- the form ---- */

static bool
cell_is_number(const cell *ce, double *value)
{
    if (ce->len == 0) return false;
    const char kept = ce->text[ce->len];
    ce->text[ce->len] = '\0';
    char *end;
    *value = strtod(ce->text, &end);
    bool good = end == ce->text + ce->len && isfinite(*value);
    ce->text[ce->len] = kept;
    return good;
}

static const char *const header_names[WANTED][8] = {
    [USER] = {"user", "user_id", "userid", "uid"},
    [ITEM] = {"item", "item_id", "itemid", "movie_id", "movieid", "iid"},
    [LABEL] = {"label", "rating", "value", "score", "click"},
    [TIME] = {"timestamp", "timestamp_ms", "time", "time_ms", "ts"},
};

static aa_status
take_header_row(reading *rd, const cell *cells, size_t count, aa_err *err)
{
    for (int w = 0; w < WANTED; w++) {
        size_t c = 0;
        for (; c < count; c++) {
            const char *const *name = header_names[w];
            while (*name && (strncasecmp(*name, cells[c].text, cells[c].len) != 0 ||
                             (*name)[cells[c].len] != '\0'))
                name++;
            if (!*name) continue;
            if (w == TIME && strstr(*name, "_ms")) rd->unit = LOAD_UNIT_MS;
            break;
        }
        if (c == count)
            return wrong_line(rd, err, "the header has no column \"%s\"", header_names[w][0]);
        rd->column[w] = c;
    }
    return AA_OK;
}

/* From the first line: separator, columns, header or not. */
static aa_status
detect_form(reading *rd, char *line, size_t len, bool *header, aa_err *err)
{
    rd->separator = strstr(line, "::") ? "::" : memchr(line, '\t', len) ? "\t" : ",";
    for (int w = 0; w < WANTED; w++)
        rd->column[w] = (size_t)w;
    cell      cells[COLUMNS_MAX];
    size_t    count = 0;
    aa_status st = split_line(rd, line, len, cells, &count, err);
    if (st != AA_OK) return st;
    if (count < WANTED)
        return wrong_line(rd, err, "%zu columns; user, item, label and timestamp are needed",
                          count);
    double number;
    *header = !cell_is_number(&cells[LABEL], &number) && !cell_is_number(&cells[TIME], &number);
    return *header ? take_header_row(rd, cells, count, err) : AA_OK;
}

/* ---- rows ---- */

static aa_status
append_row(load *ld, const load_row *row, aa_err *err)
{
    if (ld->count == ld->cap) {
        size_t    cap = ld->cap ? ld->cap + ld->cap / 2 : 4096;
        load_row *grown = realloc(ld->row, cap * sizeof *grown);
        if (!grown) return aa_fail(err, AA_ENOMEM, "%zu events", ld->count);
        ld->row = grown;
        ld->cap = cap;
    }
    ld->row[ld->count++] = *row;
    return AA_OK;
}

static aa_status
take_cell_id(reading *rd, load_names *nm, const cell *ce, const char *what, uint32_t *number,
             aa_err *err)
{
    if (ce->len == 0) return wrong_line(rd, err, "the %s is empty", what);
    return load_names_number(nm, ce->text, ce->len, number, err);
}

static aa_status
not_a_number(const reading *rd, const cell *ce, const char *what, aa_err *err)
{
    return wrong_line(rd, err, "the %s \"%.*s\" is not a number", what,
                      ce->len < 40 ? (int)ce->len : 40, ce->text);
}

/* most: the year 5138, which the next smaller unit reaches in 1973. */
static const struct {
    const char *name;
    double      ms, most;
} units[LOAD_UNITS] = {
    [LOAD_UNIT_S] = {"s", 1e3, 1e11},
    [LOAD_UNIT_MS] = {"ms", 1, 1e14},
    [LOAD_UNIT_US] = {"us", 1e-3, 1e17},
    [LOAD_UNIT_NS] = {"ns", 1e-6, 1e20},
};

const char *
load_unit_name(load_unit unit)
{
    AA_REQUIRE(unit > LOAD_UNIT_TOLD && unit < LOAD_UNITS);
    return units[unit].name;
}

/* The timestamp's unit: the file's, or what it looks like. */
static aa_status
take_unit_of(reading *rd, double time, aa_err *err)
{
    load_unit looks = LOAD_UNIT_S;
    while (looks < LOAD_UNITS && fabs(time) >= units[looks].most)
        looks++;
    if (looks < LOAD_UNITS && rd->unit == LOAD_UNIT_TOLD) {
        rd->unit = looks;
        rd->told = true;
    }
    if (looks == LOAD_UNITS || (!rd->told && fabs(time) >= units[rd->unit].most))
        return wrong_line(rd, err, "the timestamp %.17g %s is out of range", time,
                          rd->unit == LOAD_UNIT_TOLD ? "" : units[rd->unit].name);
    if (rd->told && looks != rd->unit)
        return wrong_line(rd, err,
                          "the timestamp %.17g looks like %s, those before like %s: --time-unit "
                          "decides",
                          time, units[looks].name, units[rd->unit].name);
    return AA_OK;
}

static aa_status
take_row(reading *rd, char *line, size_t len, aa_err *err)
{
    cell      cells[COLUMNS_MAX];
    size_t    count = 0;
    aa_status st = split_line(rd, line, len, cells, &count, err);
    if (st != AA_OK) return st;
    for (int w = 0; w < WANTED; w++)
        if (rd->column[w] >= count)
            return wrong_line(rd, err, "%zu columns, no %s", count, header_names[w][0]);
    load_row row;
    st = take_cell_id(rd, &rd->ld->users, &cells[rd->column[USER]], "user", &row.user, err);
    if (st == AA_OK)
        st = take_cell_id(rd, &rd->ld->items, &cells[rd->column[ITEM]], "item", &row.item, err);
    if (st != AA_OK) return st;
    if (!cell_is_number(&cells[rd->column[LABEL]], &row.label))
        return not_a_number(rd, &cells[rd->column[LABEL]], "label", err);
    double time = 0;
    if (!cell_is_number(&cells[rd->column[TIME]], &time))
        return not_a_number(rd, &cells[rd->column[TIME]], "timestamp", err);
    st = take_unit_of(rd, time, err);
    if (st != AA_OK) return st;
    row.time_ms = (int64_t)llround(time * units[rd->unit].ms);
    return append_row(rd->ld, &row, err);
}

static aa_status
read_rows(reading *rd, aa_err *err)
{
    bool first = true;
    for (;;) {
        char     *line;
        size_t    len = 0;
        aa_status st = next_line(rd, &line, &len, err);
        if (st != AA_OK || !line) return st;
        if (rd->line_number == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
            line += 3; /* byte order mark */
            len -= 3;
        }
        if (len == 0) continue;
        bool header = false;
        if (first) {
            char *copy = malloc(len + 1); /* looking unquotes in place */
            if (!copy) return aa_fail(err, AA_ENOMEM, "line");
            memcpy(copy, line, len + 1);
            st = detect_form(rd, copy, len, &header, err);
            free(copy);
            first = false;
        }
        if (st == AA_OK && !header) st = take_row(rd, line, len, err);
        if (st != AA_OK) return st;
    }
}

aa_status
load_file(load *ld, const char *path, load_unit unit, aa_err *err)
{
    reading *rd = calloc(1, sizeof *rd);
    if (!rd) return aa_fail(err, AA_ENOMEM, "reading %s", path);
    rd->ld = ld;
    rd->path = path;
    rd->unit = unit;
    aa_status st = AA_OK;
    errno = 0;
    rd->gz = gzopen(path, "rb"); /* reads what is not gzip as it stands */
    if (!rd->gz) {
        st = aa_fail(err, AA_EIO, "%s: %s", path, errno ? strerror(errno) : "cannot be opened");
        goto out;
    }
    gzbuffer(rd->gz, 1 << 17);
    st = read_rows(rd, err);
    /* a cut-off gzip file reads as a shorter one until it is closed */
    if (gzclose(rd->gz) != Z_OK && st == AA_OK)
        st = aa_fail(err, AA_EPARSE, "%s:%zu: the compressed file is cut off", path,
                     rd->line_number);
out:
    free(rd);
    return st;
}

/* ---- order and facts ---- */

static bool
is_sorted(const load *ld)
{
    for (size_t i = 1; i < ld->count; i++)
        if (ld->row[i].time_ms < ld->row[i - 1].time_ms) return false;
    return true;
}

/* to = the two sorted halves of from, equal times in order */
static void
merge_halves(load_row *to, const load_row *from, size_t half, size_t n)
{
    size_t a = 0, b = half;
    for (size_t i = 0; i < n; i++) {
        bool left = b >= n || (a < half && from[a].time_ms <= from[b].time_ms);
        to[i] = from[left ? a++ : b++];
    }
}

aa_status
load_sort(load *ld, aa_err *err)
{
    if (is_sorted(ld)) return AA_OK;
    load_row *from = ld->row;
    load_row *to = malloc(ld->count * sizeof *to);
    if (!to) return aa_fail(err, AA_ENOMEM, "sorting %zu events", ld->count);
    for (size_t width = 1; width < ld->count; width *= 2) {
        load_row *swap = from;
        for (size_t i = 0; i < ld->count; i += 2 * width) {
            size_t left = ld->count - i, n = left < 2 * width ? left : 2 * width;
            merge_halves(to + i, from + i, left < width ? left : width, n);
        }
        from = to;
        to = swap;
    }
    free(to);
    ld->row = from;
    ld->cap = ld->count;
    return AA_OK;
}

const load_row *
load_rows(const load *ld, size_t *count)
{
    *count = ld->count;
    return ld->row;
}

const char *
load_user(const load *ld, uint32_t user, size_t *len)
{
    return load_names_text(&ld->users, user, len);
}

const char *
load_item(const load *ld, uint32_t item, size_t *len)
{
    return load_names_text(&ld->items, item, len);
}

void
load_describe(const load *ld, load_facts *out)
{
    *out = (load_facts){.events = ld->count,
                        .users = ld->users.count,
                        .items = ld->items.count,
                        .binary = true,
                        .sorted = is_sorted(ld)};
    for (size_t i = 0; i < ld->count; i++) {
        const load_row *row = &ld->row[i];
        if (i == 0 || row->label < out->label_min) out->label_min = row->label;
        if (i == 0 || row->label > out->label_max) out->label_max = row->label;
        if (i == 0 || row->time_ms < out->time_min_ms) out->time_min_ms = row->time_ms;
        if (i == 0 || row->time_ms > out->time_max_ms) out->time_max_ms = row->time_ms;
        if (!(row->label == 0 || row->label == 1)) out->binary = false;
    }
}
