#include "tools/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/decode/json_reader.h"
#include "tools/load_form.h"
#include "tools/load_names.h"
#include "tools/load_text.h"

enum {
    ID_BYTES = 1 << 18, /* of an ID in JSON: the longest record */
    COUNTED_ROWS = 3,   /* so many users in a row that are the rows' numbers are an index... */
    COUNTED_ROWS_MOST = 1000, /* ...if all of the file's are, or so many */
};

#define LABEL_MOST 1e8 /* of a column that nobody has named; as a time, 1973 in seconds */

/* How an ID is written. */
enum { ID_WHOLE = 1, ID_POINT_ZERO = 2 };

/* IDs, by number, that stood in quotes between tabs. */
typedef struct {
    bool  *is; /* (cap) */
    size_t cap;
} quoted_ids;

struct load {
    load_names users, items;
    quoted_ids users_quoted, items_quoted;
    unsigned   users_are, items_are; /* ID_... of any of them */
    load_row  *row;                  /* (count of cap) */
    size_t     count, cap;
};

/* One file while it is read. */
typedef struct {
    load               *ld;
    const load_options *opt;
    load_taken         *out;
    load_text          *tx;
    load_form           form;
    json_reader        *jr; /* of JSON lines */
    load_unit           unit;
    bool                told;     /* unit is what a timestamp before this looked like */
    bool                counting; /* all users so far are 0, 1, 2... or 1, 2, 3... */
    double              count_from;
    load_cells          cells;
} reading;

/* A row before its IDs have numbers. */
typedef struct {
    load_cell id[2]; /* LOAD_USER, LOAD_ITEM */
    double    label, time;
} row_values;

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
    free(ld->users_quoted.is);
    free(ld->items_quoted.is);
    free(ld->row);
    free(ld);
    *ld_p = NULL;
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

/* ---- IDs ---- */

/* 1.0 is 1 with a fraction that says nothing. @return its length without it; 0: it is no such */
static size_t
without_point_zero(const load_cell *ce)
{
    size_t n = ce->len, digits = 0;
    while (n > 0 && ce->text[n - 1] == '0')
        n--;
    if (n == ce->len || n < 2 || ce->text[--n] != '.') return 0;
    for (size_t i = ce->text[0] == '-'; i < n; i++, digits++)
        if (ce->text[i] < '0' || ce->text[i] > '9') return 0;
    return digits > 0 ? n : 0;
}

static bool
is_whole(const load_cell *ce)
{
    size_t i = ce->text[0] == '-';
    if (i == ce->len) return false;
    while (i < ce->len && ce->text[i] >= '0' && ce->text[i] <= '9')
        i++;
    return i == ce->len;
}

static aa_status
set_quoted(quoted_ids *qi, uint32_t number, aa_err *err)
{
    if (number >= qi->cap) {
        size_t cap = 2 * (size_t)number + 1024;
        bool  *is = realloc(qi->is, cap * sizeof *is);
        if (!is) return aa_fail(err, AA_ENOMEM, "%zu IDs", cap);
        memset(is + qi->cap, 0, (cap - qi->cap) * sizeof *is);
        qi->is = is;
        qi->cap = cap;
    }
    qi->is[number] = true;
    return AA_OK;
}

/* Between tabs "Heroes" may be Heroes in quotes or a name of its own. */
static aa_status
check_quotes(reading *rd, load_column w, const load_cell *ce, uint32_t number, bool known,
             aa_err *err)
{
    quoted_ids *qi = w == LOAD_USER ? &rd->ld->users_quoted : &rd->ld->items_quoted;
    if (!rd->form.separator || *rd->form.separator != '\t' || rd->opt->quotes != LOAD_QUOTES_TOLD)
        return AA_OK;
    if (!known) return ce->quoted ? set_quoted(qi, number, err) : AA_OK;
    if (ce->quoted == (number < qi->cap && qi->is[number])) return AA_OK;
    return load_text_wrong(
        rd->tx, err, AA_ECONFIG,
        "the %s %.*s stands with and without quotes: --quotes yes (they are one) "
        "or no (two) decides",
        load_column_name(w), ce->len < 40 ? (int)ce->len : 40, ce->text);
}

static aa_status
take_id(reading *rd, load_column w, load_cell ce, uint32_t *number, aa_err *err)
{
    load_names  *nm = w == LOAD_USER ? &rd->ld->users : &rd->ld->items;
    unsigned    *are = w == LOAD_USER ? &rd->ld->users_are : &rd->ld->items_are;
    const size_t whole = without_point_zero(&ce);
    uint32_t     known = nm->count;
    if (whole > 0 && rd->opt->ids == LOAD_IDS_NUMBERS) ce.len = whole;
    aa_status st = load_names_number(nm, ce.text, ce.len, number, err);
    if (st == AA_OK) st = check_quotes(rd, w, &ce, *number, *number < known, err);
    if (st != AA_OK || nm->count == known || rd->opt->ids != LOAD_IDS_TOLD) return st;
    *are |= whole > 0 ? ID_POINT_ZERO : is_whole(&ce) ? ID_WHOLE : 0;
    if (*are != (ID_WHOLE | ID_POINT_ZERO)) return AA_OK;
    return load_text_wrong(
        rd->tx, err, AA_ECONFIG,
        "the %s \"%.*s\", and %ss written %s before: --ids numbers (1.0 is 1) or "
        "--ids text decides",
        load_column_name(w), ce.len < 40 ? (int)ce.len : 40, ce.text, load_column_name(w),
        whole > 0 ? "1" : "1.0");
}

static aa_status
looks_like_index(const reading *rd, aa_err *err)
{
    return load_text_wrong(
        rd->tx, err, AA_ECONFIG,
        "the users count up from %.0f as the rows do: an index? --user COL decides "
        "(--user 1: they are users)",
        rd->count_from);
}

/* Row numbers that a table program wrote in front look like users. */
static aa_status
watch_index(reading *rd, const load_cell *user, aa_err *err)
{
    const load_taken *out = rd->out;
    double            number;
    if (!rd->counting) return AA_OK;
    rd->counting = is_whole(user) && load_text_number(user, &number) &&
                   (out->rows > 0 || number == 0 || number == 1);
    if (!rd->counting) return AA_OK;
    if (out->rows == 0) rd->count_from = number;
    rd->counting = number == rd->count_from + (double)out->rows;
    if (!rd->counting || out->rows + 1 < COUNTED_ROWS_MOST) return AA_OK;
    return looks_like_index(rd, err);
}

/* user,item,timestamp,label is common too. */
static aa_status
check_label(const reading *rd, double label, aa_err *err)
{
    const load_options *opt = rd->opt;
    if (rd->out->rows > 0 || !rd->form.separator || rd->form.name[LOAD_LABEL] ||
        opt->column[LOAD_LABEL] || label < LABEL_MOST)
        return AA_OK;
    return load_text_wrong(rd->tx, err, AA_ECONFIG,
                           "column %zu, %.17g, looks like a time: --label and --time decide",
                           rd->form.column[LOAD_LABEL] + 1, label);
}

static aa_status
not_a_number(const reading *rd, const load_cell *ce, const char *what, aa_err *err)
{
    return load_text_wrong(rd->tx, err, AA_EPARSE, "the %s \"%.*s\" is not a number", what,
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
        return load_text_wrong(rd->tx, err, AA_EPARSE, "the timestamp %.17g %s is out of range",
                               time, rd->unit == LOAD_UNIT_TOLD ? "" : units[rd->unit].name);
    if (rd->told && looks != rd->unit)
        return load_text_wrong(rd->tx, err, AA_ECONFIG,
                               "the timestamp %.17g looks like %s, those before like %s: "
                               "--time-unit decides",
                               time, units[looks].name, units[rd->unit].name);
    return AA_OK;
}

static aa_status
take_cells(reading *rd, char *record, size_t len, row_values *out, aa_err *err)
{
    const load_form *fo = &rd->form;
    load_cells      *cs = &rd->cells;
    const char      *wrong =
        load_text_split(record, len, fo->separator, rd->opt->quotes != LOAD_QUOTES_NO, cs);
    if (wrong) return load_text_wrong(rd->tx, err, AA_EPARSE, "%s", wrong);
    while (cs->count > fo->columns && cs->cell[cs->count - 1].len == 0)
        cs->count--;
    if (cs->count != fo->columns)
        return load_text_wrong(rd->tx, err, AA_EPARSE, "%zu columns, the first line has %zu",
                               cs->count, fo->columns);
    out->id[LOAD_USER] = cs->cell[fo->column[LOAD_USER]];
    out->id[LOAD_ITEM] = cs->cell[fo->column[LOAD_ITEM]];
    const load_cell *label = &cs->cell[fo->column[LOAD_LABEL]];
    const load_cell *time = &cs->cell[fo->column[LOAD_TIME]];
    if (!load_text_number(label, &out->label)) return not_a_number(rd, label, "label", err);
    if (!load_text_number(time, &out->time)) return not_a_number(rd, time, "timestamp", err);
    return AA_OK;
}

/* A number, a boolean or a text that is a number. */
static bool
take_member_number(const picked *va, double *out)
{
    char text[64];
    if (va->kind == PICKED_INTEGER || va->kind == PICKED_REAL) {
        *out = va->real;
        return isfinite(va->real);
    }
    *out = va->kind == PICKED_BOOL && va->truth ? 1.0 : 0.0;
    if (va->kind != PICKED_TEXT || va->len >= sizeof text) return va->kind == PICKED_BOOL;
    memcpy(text, va->text, va->len);
    return load_text_number(&(load_cell){text, va->len, false}, out);
}

/* Texts are the reader's until the next object. */
static aa_status
take_object(reading *rd, const char *record, size_t len, row_values *out, aa_err *err)
{
    size_t      at;
    const char *wrong = json_reader_read(rd->jr, record, len, &at);
    if (wrong) return load_text_wrong(rd->tx, err, AA_EPARSE, "byte %zu: %s", at + 1, wrong);
    for (load_column w = 0; w < LOAD_COLUMNS; w++) {
        const picked *va = json_reader_value_of(rd->jr, w);
        bool          good;
        if (w == LOAD_LABEL || w == LOAD_TIME)
            good = take_member_number(va, w == LOAD_LABEL ? &out->label : &out->time);
        else
            good = va->kind == PICKED_TEXT || va->kind == PICKED_INTEGER || va->kind == PICKED_REAL;
        if (!good)
            return load_text_wrong(rd->tx, err, AA_EPARSE, "\"%.60s\" is %s", rd->form.name[w],
                                   va->kind == PICKED_ABSENT ? "not there"
                                   : w == LOAD_LABEL || w == LOAD_TIME
                                       ? "not a number"
                                       : "neither a text nor a number");
        if (w <= LOAD_ITEM) out->id[w] = (load_cell){(char *)(uintptr_t)va->text, va->len, false};
    }
    return AA_OK;
}

/* IDs get their numbers last: those of a row that is skipped are none. */
static aa_status
take_row(reading *rd, char *record, size_t len, aa_err *err)
{
    load_taken *out = rd->out;
    row_values  rv;
    load_row    row;
    aa_status   st =
        rd->jr ? take_object(rd, record, len, &rv, err) : take_cells(rd, record, len, &rv, err);
    if (st != AA_OK) return st;
    for (load_column w = LOAD_USER; w <= LOAD_ITEM; w++)
        if (rv.id[w].len == 0)
            return load_text_wrong(rd->tx, err, AA_EPARSE, "the %s is empty", load_column_name(w));
    st = check_label(rd, rv.label, err);
    if (st == AA_OK) st = take_unit_of(rd, rv.time, err);
    if (st == AA_OK) st = watch_index(rd, &rv.id[LOAD_USER], err);
    if (st == AA_OK) st = take_id(rd, LOAD_USER, rv.id[LOAD_USER], &row.user, err);
    if (st == AA_OK) st = take_id(rd, LOAD_ITEM, rv.id[LOAD_ITEM], &row.item, err);
    if (st != AA_OK) return st;
    row.label = rv.label;
    row.time_ms = (int64_t)llround(rv.time * units[rd->unit].ms);
    if (out->rows == 0 || row.time_ms < out->time_min_ms) out->time_min_ms = row.time_ms;
    if (out->rows == 0 || row.time_ms > out->time_max_ms) out->time_max_ms = row.time_ms;
    out->rows++;
    return append_row(rd->ld, &row, err);
}

/* ---- files ---- */

static void
skip_row(load_taken *out, const aa_err *err)
{
    if (out->skipped++ == 0)
        snprintf(out->first_skipped, sizeof out->first_skipped, "%s", err->text);
}

static aa_status
read_rows(reading *rd, aa_err *err)
{
    const char *separator = rd->opt->quotes != LOAD_QUOTES_NO ? rd->form.separator : NULL;
    for (;;) {
        char     *record;
        size_t    len;
        aa_status st = load_text_record(rd->tx, separator, &record, &len, err);
        if (st == AA_OK && !record) return AA_OK;
        if (st == AA_OK && strspn(record, " ") == len) continue;
        if (st == AA_OK) st = take_row(rd, record, len, err);
        if (st == AA_EPARSE && rd->opt->skip_bad)
            skip_row(rd->out, err);
        else if (st != AA_OK)
            return st;
    }
}

static void
fill_taken(const reading *rd)
{
    load_taken *out = rd->out;
    out->form = load_form_name(&rd->form);
    out->header = rd->form.header;
    for (int w = 0; w < LOAD_COLUMNS; w++) {
        load_taken_column *tc = &out->column[w];
        if (rd->form.separator) tc->number = rd->form.column[w] + 1;
        if (rd->form.name[w]) snprintf(tc->name, sizeof tc->name, "%s", rd->form.name[w]);
        for (char *c = tc->name; *c; c++)
            if ((unsigned char)*c < ' ') *c = ' ';
    }
}

/* What only the whole file shows. */
static aa_status
check_file(const reading *rd, aa_err *err)
{
    load_taken *out = rd->out;
    out->point_zero[LOAD_USER] = rd->ld->users_are == ID_POINT_ZERO;
    out->point_zero[LOAD_ITEM] = rd->ld->items_are == ID_POINT_ZERO;
    if (rd->counting && out->rows >= COUNTED_ROWS) return looks_like_index(rd, err);
    if (out->rows == 0 && out->skipped > 0)
        return aa_fail(err, AA_EPARSE, "%s: all rows are bad", out->first_skipped);
    return AA_OK;
}

static aa_status
read_file(reading *rd, aa_err *err)
{
    bool      there;
    aa_status st = load_form_read(&rd->form, rd->tx, rd->opt, &there, err);
    if (st != AA_OK || !there) return st;
    fill_taken(rd);
    if (rd->form.unit != LOAD_UNIT_TOLD) rd->unit = rd->form.unit;
    rd->counting = rd->form.separator && !rd->form.name[LOAD_USER] && !rd->opt->column[LOAD_USER];
    if (!rd->form.separator)
        st = json_reader_names(&rd->jr, (const char *const *)rd->form.name, LOAD_COLUMNS, ID_BYTES,
                               err);
    if (st == AA_OK) st = read_rows(rd, err);
    if (st == AA_OK) st = check_file(rd, err);
    rd->out->unit = rd->unit;
    return st;
}

aa_status
load_file(load *ld, const char *path, const load_options *opt, load_taken *out, aa_err *err)
{
    static const load_options all_told;
    load_taken                taken;
    aa_err                    cut_off = AA_ERR_INIT;
    reading                  *rd = calloc(1, sizeof *rd);
    if (!out) out = &taken;
    *out = (load_taken){0};
    if (!rd) return aa_fail(err, AA_ENOMEM, "reading %s", path);
    rd->ld = ld;
    rd->opt = opt ? opt : &all_told;
    rd->unit = rd->opt->unit;
    rd->out = out;
    aa_status st = load_text_open(&rd->tx, path, err);
    if (st == AA_OK) st = read_file(rd, err);
    if (load_text_close(&rd->tx, &cut_off) != AA_OK && st == AA_OK) {
        st = cut_off.code;
        if (err) *err = cut_off;
    }
    load_form_fini(&rd->form);
    json_reader_free(&rd->jr);
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
