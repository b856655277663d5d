#include "tools/load_form.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAME_BYTES = 64 };

/* In the order in which they are tried: the rarer within a cell of another form, the earlier. */
static const char *const separators[] = {"::", "\t", ";", "|", ","};
enum { SEPARATORS = sizeof separators / sizeof *separators };

static const char *const column_names[LOAD_COLUMNS] = {"user", "item", "label", "time"};

const char *
load_column_name(load_column column)
{
    AA_REQUIRE(column < LOAD_COLUMNS);
    return column_names[column];
}

const char *
load_form_name(const load_form *fo)
{
    if (!fo->separator) return "JSON lines";
    switch (*fo->separator) {
    case ':': return "cells between ::";
    case '\t': return "cells between tabs";
    case ';': return "cells between ;";
    case '|': return "cells between |";
    default: return "CSV";
    }
}

void
load_form_fini(load_form *fo)
{
    for (int w = 0; w < LOAD_COLUMNS; w++)
        free(fo->name[w]);
    *fo = (load_form){0};
}

/* ---- names ---- */

/* As column_key makes them: small letters without _ - and blanks. */
static const char *const known_names[LOAD_COLUMNS][12] = {
    [LOAD_USER] = {"user", "userid", "uid", "visitorid", "reviewerid", "customerid"},
    [LOAD_ITEM] = {"item", "itemid", "iid", "movieid", "productid", "bookid", "trackid", "videoid",
                   "articleid", "asin"},
    [LOAD_LABEL] = {"label", "rating", "value", "score", "click", "clicked", "isclick", "target"},
    [LOAD_TIME] = {"timestamp", "time", "ts", "unixtime", "eventtime", "unixreviewtime"},
};

/* RecBole's `user_id:token` is user_id. */
static size_t
without_type(const char *text, size_t len)
{
    static const char *const types[] = {":token", ":float", ":token_seq", ":float_seq"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i]);
        if (len > n && memcmp(text + len - n, types[i], n) == 0) return len - n;
    }
    return len;
}

static void
column_key(const char *text, size_t len, char key[NAME_BYTES])
{
    size_t n = 0;
    len = without_type(text, len);
    for (size_t i = 0; i < len && n < NAME_BYTES - 1; i++)
        if (!strchr("_- \r\n", text[i]) || text[i] == '\0')
            key[n++] = (char)tolower((unsigned char)text[i]);
    key[n] = '\0';
}

/* Is it a name of the column? Of a time also its unit: timestamp_ms. */
static bool
names_column(load_column w, const char *text, size_t len, load_unit *unit)
{
    char key[NAME_BYTES];
    column_key(text, len, key);
    size_t n = strlen(key);
    *unit = LOAD_UNIT_TOLD;
    for (load_unit un = LOAD_UNIT_MS; w == LOAD_TIME && n > 2 && un < LOAD_UNITS; un++)
        if (strcmp(key + n - 2, load_unit_name(un)) == 0) *unit = un;
    if (*unit != LOAD_UNIT_TOLD) key[n - 2] = '\0';
    const char *const *known = known_names[w];
    while (*known && strcmp(*known, key) != 0)
        known++;
    return *known != NULL;
}

static bool
same_name(const load_cell *ce, const char *name)
{
    size_t len = strlen(name), plain = without_type(ce->text, ce->len);
    return (len == ce->len || len == plain) && strncasecmp(ce->text, name, len) == 0;
}

/* A column given by its number: that, from 1; 0: by a name. */
static size_t
given_number(const char *given)
{
    if (!given || strspn(given, "0123456789") != strlen(given)) return 0;
    return strlen(given) < 9 ? (size_t)strtoul(given, NULL, 10) : SIZE_MAX;
}

/* ---- columns of a header ---- */

/* The cells that could be column w: how many, and the first two. */
static size_t
find_candidates(const load_cells *cs, load_column w, const char *given, size_t at[2])
{
    size_t    found = 0;
    load_unit unit;
    for (size_t c = 0; c < cs->count; c++) {
        const load_cell *ce = &cs->cell[c];
        bool is = given ? same_name(ce, given) : names_column(w, ce->text, ce->len, &unit);
        if (is && found < 2) at[found] = c;
        found += is;
    }
    return found;
}

static aa_status
two_columns(const load_text *tx, const load_cells *cs, load_column w, const size_t at[2],
            aa_err *err)
{
    const load_cell *a = &cs->cell[at[0]], *b = &cs->cell[at[1]];
    return load_text_wrong(tx, err, AA_ECONFIG,
                           "columns %zu \"%.*s\" and %zu \"%.*s\" could both be the %s: --%s COL "
                           "decides",
                           at[0] + 1, a->len < 24 ? (int)a->len : 24, a->text, at[1] + 1,
                           b->len < 24 ? (int)b->len : 24, b->text, column_names[w],
                           column_names[w]);
}

static aa_status
find_header_column(load_form *fo, const load_text *tx, const load_cells *cs, load_column w,
                   const char *given, aa_err *err)
{
    size_t at[2] = {0}, number = given_number(given);
    size_t found = number ? number <= cs->count : find_candidates(cs, w, given, at);
    if (number) at[0] = number - 1;
    if (found > 1) return two_columns(tx, cs, w, at, err);
    if (found == 0 && given)
        return load_text_wrong(tx, err, AA_ECONFIG, "--%s %.40s: there is no such column",
                               column_names[w], given);
    if (found == 0)
        return load_text_wrong(tx, err, AA_ECONFIG,
                               "the header has no column \"%s\" or the like: --%s COL names it",
                               known_names[w][0], column_names[w]);
    const load_cell *ce = &cs->cell[at[0]];
    if (w == LOAD_TIME) (void)names_column(w, ce->text, ce->len, &fo->unit);
    fo->column[w] = at[0];
    fo->name[w] = strndup(ce->text, ce->len);
    return fo->name[w] ? AA_OK : aa_fail(err, AA_ENOMEM, "a column's name");
}

/* ---- columns of a row ---- */

static aa_status
find_row_column(load_form *fo, const load_text *tx, const load_options *opt, load_column w,
                aa_err *err)
{
    const char *given = opt->column[w];
    fo->column[w] = given ? given_number(given) - 1 : (size_t)w;
    if (given && fo->column[w] >= fo->columns)
        return load_text_wrong(tx, err, AA_ECONFIG,
                               "--%s %.40s: there is no header, and no column of that number",
                               column_names[w], given);
    if (!given && fo->columns != LOAD_COLUMNS)
        return load_text_wrong(tx, err, AA_ECONFIG,
                               "%zu columns and no header: --user, --item, --label and --time "
                               "decide, by number",
                               fo->columns);
    return AA_OK;
}

static aa_status
check_different(const load_form *fo, const load_text *tx, aa_err *err)
{
    for (int a = 0; a < LOAD_COLUMNS; a++)
        for (int b = a + 1; b < LOAD_COLUMNS; b++)
            if (fo->column[a] == fo->column[b])
                return load_text_wrong(tx, err, AA_ECONFIG,
                                       "column %zu would be both %s and %s: --%s or --%s decides",
                                       fo->column[a] + 1, column_names[a], column_names[b],
                                       column_names[a], column_names[b]);
    return AA_OK;
}

/* ---- header or row ---- */

static size_t
count_numbers(const load_cells *cs)
{
    size_t n = 0;
    double number;
    for (size_t c = 0; c < cs->count; c++)
        n += load_text_number(&cs->cell[c], &number);
    return n;
}

/* Columns of the four that the line's cells name. */
static size_t
count_named(const load_cells *cs, const load_options *opt)
{
    size_t n = 0, at[2];
    for (load_column w = 0; w < LOAD_COLUMNS; w++)
        n += given_number(opt->column[w]) ? given_number(opt->column[w]) <= cs->count
                                          : find_candidates(cs, w, opt->column[w], at) > 0;
    return n;
}

/* Numbers where a row has its label and its time. */
static bool
fits_row(const load_cells *cs, const load_options *opt)
{
    for (load_column w = LOAD_LABEL; w <= LOAD_TIME; w++) {
        double number;
        size_t c = opt->column[w] ? given_number(opt->column[w]) - 1 : (size_t)w;
        if (c >= cs->count || !load_text_number(&cs->cell[c], &number)) return false;
    }
    return cs->count >= LOAD_COLUMNS;
}

/* 0,1,2,3 or 1,2,3,4: as a program names columns that have no names. */
static bool
counts_up(const load_cells *cs)
{
    const size_t from = cs->cell[0].len == 0; /* that of an index has none */
    double       first, number;
    if (cs->count < from + 1 || !load_text_number(&cs->cell[from], &first)) return false;
    for (size_t c = from; c < cs->count; c++)
        if (!load_text_number(&cs->cell[c], &number) || number != first + (double)(c - from))
            return false;
    return first == 0 || first == 1;
}

/* A name by number says nothing of a header. */
static size_t
count_words(const load_cells *cs, const load_options *opt)
{
    load_options names = *opt;
    for (int w = 0; w < LOAD_COLUMNS; w++)
        if (given_number(names.column[w])) names.column[w] = NULL;
    return count_named(cs, &names);
}

static aa_status
decide_header(load_form *fo, const load_text *tx, const load_cells *cs, const load_options *opt,
              aa_err *err)
{
    fo->header = opt->header == LOAD_HEADER_YES;
    if (opt->header != LOAD_HEADER_TOLD) return AA_OK;
    if (counts_up(cs))
        return load_text_wrong(tx, err, AA_ECONFIG,
                               "a first line that counts (%.*s, ...) may be a header or an event: "
                               "--header yes or no decides",
                               (int)cs->cell[0].len, cs->cell[0].text);
    fo->header = count_words(cs, opt) >= 2 || count_numbers(cs) < 2;
    return AA_OK;
}

/* The columns of the line; a header of numbers names none. */
static aa_status
find_columns(load_form *fo, const load_text *tx, const load_cells *cs, const load_options *opt,
             aa_err *err)
{
    aa_status st = AA_OK;
    fo->columns = cs->count;
    if (cs->count < LOAD_COLUMNS)
        return load_text_wrong(tx, err, AA_ECONFIG,
                               "%zu columns; user, item, label and timestamp are needed",
                               cs->count);
    const bool names = fo->header && (count_numbers(cs) < cs->count || count_words(cs, opt) > 0);
    for (load_column w = 0; st == AA_OK && w < LOAD_COLUMNS; w++)
        st = names ? find_header_column(fo, tx, cs, w, opt->column[w], err)
                   : find_row_column(fo, tx, opt, w, err);
    return st == AA_OK ? check_different(fo, tx, err) : st;
}

/* ---- the separator ---- */

/* A line and its cells with one separator after the other. */
typedef struct {
    char      *copy; /* (len+1) splitting unquotes in place */
    load_cells cells;
} line_trial;

static bool
try_separator(line_trial *tr, const char *line, size_t len, const char *separator, bool quotes)
{
    memcpy(tr->copy, line, len);
    tr->copy[len] = '\0';
    return load_text_split(tr->copy, len, separator, quotes, &tr->cells) == NULL;
}

static void
trial_free(line_trial **tr_p)
{
    if (*tr_p) free((*tr_p)->copy);
    free(*tr_p);
    *tr_p = NULL;
}

static aa_status
trial_new(line_trial **out, size_t len, aa_err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->copy = malloc(len + 1);
    if (*out && (*out)->copy) return AA_OK;
    trial_free(out);
    return aa_fail(err, AA_ENOMEM, "a line of %zu bytes", len);
}

typedef enum { FITS_NOT, FITS_ROW, FITS_HEADER } fit;

/* What the line is with the separator that suits it best. */
static fit
choose_separator(line_trial *tr, const char *line, size_t len, const load_options *opt,
                 const char **separator)
{
    fit    best = FITS_NOT;
    size_t most = 0;
    for (size_t i = 0; i < SEPARATORS; i++) {
        bool whole = try_separator(tr, line, len, separators[i], opt->quotes != LOAD_QUOTES_NO);
        fit  is = FITS_NOT;
        if (whole && fits_row(&tr->cells, opt)) is = FITS_ROW;
        if (opt->header != LOAD_HEADER_NO && tr->cells.count >= LOAD_COLUMNS &&
            count_words(&tr->cells, opt) > 1 && count_named(&tr->cells, opt) == LOAD_COLUMNS)
            is = FITS_HEADER;
        if (is > best || (is == FITS_NOT && best == FITS_NOT && tr->cells.count >= most)) {
            *separator = separators[i];
            most = tr->cells.count;
        }
        if (is > best) best = is;
    }
    return best;
}

/* ---- before the first line ---- */

static bool
is_blank_line(const char *line, size_t len)
{
    return strspn(line, " \t\r") >= len;
}

/* `sep=;` as Excel writes it. */
static bool
takes_sep_line(load_form *fo, const char *line, size_t len)
{
    if (len > 1 && line[0] == '"' && line[len - 1] == '"') {
        line++;
        len -= 2;
    }
    if (len != 5 || strncasecmp(line, "sep=", 4) != 0) return false;
    for (size_t i = 0; i < SEPARATORS; i++)
        if (separators[i][0] == line[4] && separators[i][1] == '\0') fo->separator = separators[i];
    return fo->separator != NULL;
}

/* A line with # in front: a comment, or the header, or a row whose user begins so. */
static aa_status
take_comment(load_form *fo, load_text *tx, const char *line, size_t len, const load_options *opt,
             bool *is_comment, aa_err *err)
{
    const char *separator = fo->separator;
    line_trial *tr = NULL;
    aa_status   st = trial_new(&tr, len, err);
    if (st != AA_OK) return st;
    *is_comment = choose_separator(tr, line, len, opt, &separator) != FITS_ROW;
    const size_t skip = 1 + strspn(line + 1, " \t");
    if (*is_comment &&
        choose_separator(tr, line + skip, len - skip, opt, &separator) == FITS_HEADER) {
        fo->separator = separator;
        fo->header = true;
        (void)try_separator(tr, line + skip, len - skip, separator, opt->quotes != LOAD_QUOTES_NO);
        st = find_columns(fo, tx, &tr->cells, opt, err);
    }
    trial_free(&tr);
    return st;
}

/* ---- JSON ---- */

static bool
begins_object(const char *line, size_t len)
{
    size_t at = strspn(line, " \t");
    if (at >= len || line[at] != '{') return false;
    at += 1 + strspn(line + at + 1, " \t");
    return at < len && (line[at] == '"' || line[at] == '}');
}

static bool
begins_array(const char *line, size_t len)
{
    size_t at = strspn(line, " \t");
    if (at >= len || line[at] != '[') return false;
    at += 1 + strspn(line + at + 1, " \t");
    return at >= len || line[at] == '{' || line[at] == '[' || line[at] == ']';
}

/* The first line of an object that goes on in the next ones. */
static bool
begins_long_object(const char *line, size_t len)
{
    const size_t at = strspn(line, " \t");
    return at < len && line[at] == '{' && at + 1 + strspn(line + at + 1, " \t") >= len;
}

/* The names of an object's members, one after the other. What is no JSON gives names that mean
 * nothing; rows are judged by json_reader.
 * @return at which the search goes on; NULL: no more */
static const char *
next_member(const char *at, const char *stop, int *depth, load_cell *name)
{
    for (const char *from; at < stop; at++) {
        *depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        if (*at != '"') continue;
        for (from = ++at; at < stop && *at != '"'; at++)
            if (*at == '\\') at++;
        if (at >= stop) return NULL;
        *name = (load_cell){(char *)(uintptr_t)from, (size_t)(at - from), true};
        at++;
        at += strspn(at, " \t\r");
        if (*depth == 1 && *at == ':') return at;
        at--;
    }
    return NULL;
}

static aa_status
find_member(load_form *fo, const load_text *tx, const load_cell *object, load_column w,
            const char *given, aa_err *err)
{
    load_cell   name = {(char *)(uintptr_t)given, given ? strlen(given) : 0, false}, key;
    const char *at = given ? NULL : object->text, *stop = object->text + object->len;
    int         depth = 0;
    load_unit   unit;
    while (at && (at = next_member(at, stop, &depth, &key)) != NULL) {
        if (!names_column(w, key.text, key.len, &unit)) continue;
        if (name.text)
            return load_text_wrong(tx, err, AA_ECONFIG,
                                   "\"%.*s\" and \"%.*s\" could both be the %s: --%s NAME decides",
                                   (int)name.len, name.text, (int)key.len, key.text,
                                   column_names[w], column_names[w]);
        name = key;
    }
    if (!name.text)
        return load_text_wrong(tx, err, AA_ECONFIG,
                               "the first object has no \"%s\" or the like: --%s NAME names it",
                               known_names[w][0], column_names[w]);
    if (w == LOAD_TIME) (void)names_column(w, name.text, name.len, &fo->unit);
    fo->name[w] = strndup(name.text, name.len);
    return fo->name[w] ? AA_OK : aa_fail(err, AA_ENOMEM, "a member's name");
}

static aa_status
read_first_object(load_form *fo, const load_text *tx, const load_cell *object,
                  const load_options *opt, aa_err *err)
{
    aa_status st = AA_OK;
    for (load_column w = 0; st == AA_OK && w < LOAD_COLUMNS; w++)
        st = find_member(fo, tx, object, w, opt->column[w], err);
    for (int a = 0; st == AA_OK && a < LOAD_COLUMNS; a++)
        for (int b = a + 1; st == AA_OK && b < LOAD_COLUMNS; b++)
            if (strcmp(fo->name[a], fo->name[b]) == 0)
                st = load_text_wrong(tx, err, AA_ECONFIG, "\"%.40s\" would be both %s and %s",
                                     fo->name[a], column_names[a], column_names[b]);
    return st;
}

/* ---- all together ---- */

/* The first line, which has been read as a line and not yet as a record. */
static aa_status
read_first_line(load_form *fo, load_text *tx, const char *line, size_t len, const load_options *opt,
                aa_err *err)
{
    line_trial *tr = NULL;
    char       *record;
    size_t      record_len;
    aa_status   st = trial_new(&tr, len, err);
    if (st != AA_OK) return st;
    if (!fo->separator) (void)choose_separator(tr, line, len, opt, &fo->separator);
    trial_free(&tr);
    load_text_again(tx);
    const bool quotes = opt->quotes != LOAD_QUOTES_NO;
    st = load_text_record(tx, quotes ? fo->separator : NULL, &record, &record_len, err);
    if (st == AA_OK) st = trial_new(&tr, record_len, err);
    if (st != AA_OK) return st;
    memcpy(tr->copy, record, record_len + 1);
    const char *wrong = load_text_split(tr->copy, record_len, fo->separator, quotes, &tr->cells);
    if (wrong) st = load_text_wrong(tx, err, AA_ECONFIG, "%s", wrong);
    if (st == AA_OK) st = decide_header(fo, tx, &tr->cells, opt, err);
    if (st == AA_OK) st = find_columns(fo, tx, &tr->cells, opt, err);
    if (!fo->header) load_text_again(tx);
    trial_free(&tr);
    return st;
}

aa_status
load_form_read(load_form *fo, load_text *tx, const load_options *opt, bool *there, aa_err *err)
{
    *fo = (load_form){0};
    *there = true;
    for (;;) {
        char     *line;
        size_t    len;
        bool      comment = false;
        aa_status st = load_text_record(tx, NULL, &line, &len, err);
        if (st != AA_OK) return st;
        *there = line != NULL;
        if (!line) return AA_OK;
        if (is_blank_line(line, len)) continue;
        if (!fo->separator && takes_sep_line(fo, line, len)) continue;
        if (*line == '#') st = take_comment(fo, tx, line, len, opt, &comment, err);
        if (st != AA_OK || fo->header) return st;
        if (comment) continue;
        if (begins_array(line, len))
            return load_text_wrong(tx, err, AA_ECONFIG,
                                   "a JSON array: what is read has an object on each line (jq -c "
                                   "'.[]' makes that of it)");
        if (begins_long_object(line, len))
            return load_text_wrong(tx, err, AA_ECONFIG,
                                   "a JSON object over several lines: what is read has one on each "
                                   "line (jq -c . makes that of it)");
        if (!begins_object(line, len)) return read_first_line(fo, tx, line, len, opt, err);
        fo->separator = NULL;
        st = read_first_object(fo, tx, &(load_cell){line, len, false}, opt, err);
        load_text_again(tx);
        return st;
    }
}
