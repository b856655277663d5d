#include "tools/table.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "common/model/signal.h"
#include "tools/npy.h"

enum { PATH_BYTES = 1024 };

void
aa_table_fini(aa_table *tb)
{
    for (size_t i = 0; i < tb->n && tb->text; i++)
        free(tb->text[i]);
    free(tb->text);
    free(tb->id);
    free(tb->w);
    free(tb->shared);
    *tb = (aa_table){0};
}

static aa_status
grow_rows(aa_table *tb, aa_err *err)
{
    if (tb->n < tb->cap) return AA_OK;
    size_t       cap = tb->cap ? 2 * tb->cap : 1024;
    aa_table_id *id = realloc(tb->id, cap * sizeof *id);
    if (id) tb->id = id;
    char **text = realloc(tb->text, cap * sizeof(char *));
    if (text) tb->text = text;
    float *w = realloc(tb->w, cap * tb->W * sizeof *w);
    if (w) tb->w = w;
    if (!id || !text || !w) return aa_fail(err, AA_ENOMEM, "table of %zu IDs", cap);
    tb->cap = cap;
    return AA_OK;
}

aa_status
aa_table_add(aa_table *tb, const aa_table_id *id, const char *text, size_t text_len, const float *w,
             aa_err *err)
{
    char     *copy = NULL;
    aa_status st = grow_rows(tb, err);
    if (st != AA_OK) return st;
    if (text) {
        copy = malloc(text_len + 1);
        if (!copy) return aa_fail(err, AA_ENOMEM, "an ID of %zu bytes", text_len);
        memcpy(copy, text, text_len);
        copy[text_len] = '\0';
    }
    tb->id[tb->n] = *id;
    tb->text[tb->n] = copy;
    memcpy(tb->w + tb->n * tb->W, w, tb->W * sizeof *w);
    tb->n++;
    return AA_OK;
}

/* ---- IDs as text ---- */

bool
aa_table_key(const char *text, size_t len, uint64_t *key)
{
    if (len == 0) return false;
    if (len == 17 && text[0] == '#' && strspn(text + 1, "0123456789abcdef") >= 16) {
        char digits[17];
        memcpy(digits, text + 1, 16);
        digits[16] = '\0';
        *key = strtoull(digits, NULL, 16);
        return *key != 0;
    }
    if (len >= 2 && text[0] == '#' && text[1] == '#') {
        text++;
        len--;
    }
    *key = aa_id_key(text, len);
    return true;
}

/* The ID's own text in a file's; NULL: it has none. */
static const char *
own_text(const char *text, size_t len, uint64_t key)
{
    if (text[0] != '#') return text;
    if (len >= 2 && text[1] == '#') return text + 1;
    return aa_id_key(text, len) == key ? text : NULL;
}

static void
write_id(FILE *f, const aa_table *tb, size_t i, bool quoted)
{
    const char *text = tb->text[i];
    bool        mark = text && !quoted && i == 0 && aa_utf8_mark(text, strlen(text)) > 0;
    if (!text || text[0] == '\0' || mark || strpbrk(text, "\r\n")) {
        fprintf(f, "#%016" PRIx64, tb->id[i].key);
        return;
    }
    bool quote = quoted && strpbrk(text, ",\"");
    if (quote) putc('"', f);
    if (text[0] == '#') putc('#', f);
    for (; *text; text++) {
        if (quote && *text == '"') putc('"', f);
        putc(*text, f);
    }
    if (quote) putc('"', f);
}

/* ---- writing ---- */

static aa_status
path_of(char out[PATH_BYTES], const char *dir, const char *field, const char *ending, aa_err *err)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s%s", dir, field, ending);
    if (n > 0 && n < PATH_BYTES) return AA_OK;
    return aa_fail(err, AA_EIO, "%s/%s%s: name too long", dir, field, ending);
}

static aa_status
close_file(FILE *f, const char *path, aa_err *err)
{
    bool bad = ferror(f) != 0;
    if (fclose(f) == 0 && !bad) return AA_OK;
    return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
}

static aa_status
write_csv(const aa_table *tb, const char *path, aa_err *err)
{
    FILE *f = fopen(path, "w");
    if (!f) return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    fputs("id,own,position,place,signal", f);
    for (size_t k = 0; k < tb->W; k++)
        fprintf(f, ",w%zu", k);
    putc('\n', f);
    for (size_t i = 0; i < tb->n; i++) {
        const aa_table_id *id = &tb->id[i];
        write_id(f, tb, i, true);
        fprintf(f, ",%d,%" PRIu32 ",%.9g,%" PRIu32, id->own, id->position, (double)id->place,
                id->signal);
        for (size_t k = 0; k < tb->W; k++)
            fprintf(f, ",%.9g", (double)tb->w[i * tb->W + k]);
        putc('\n', f);
    }
    return close_file(f, path, err);
}

static aa_status
write_ids(const aa_table *tb, const char *path, aa_err *err)
{
    FILE *f = fopen(path, "w");
    if (!f) return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    for (size_t i = 0; i < tb->n; i++) {
        write_id(f, tb, i, false);
        putc('\n', f);
    }
    return close_file(f, path, err);
}

static aa_status
write_reads(const aa_table *tb, const char *path, aa_err *err)
{
    float *x = malloc((4 * tb->n + 1) * sizeof *x);
    if (!x) return aa_fail(err, AA_ENOMEM, "%s", path);
    for (size_t i = 0; i < tb->n; i++) {
        x[4 * i] = tb->id[i].own ? 1.0f : 0.0f;
        x[4 * i + 1] = (float)tb->id[i].position;
        x[4 * i + 2] = tb->id[i].place;
        x[4 * i + 3] = (float)tb->id[i].signal;
    }
    aa_status st = aa_npy_write(path, x, tb->n, 4, err);
    free(x);
    return st;
}

aa_status
aa_table_write(const aa_table *tb, const char *dir, const char *field, aa_table_format format,
               aa_err *err)
{
    char      path[PATH_BYTES];
    aa_status st;
    if (format == AA_TABLE_CSV) {
        st = path_of(path, dir, field, ".csv", err);
        if (st == AA_OK) st = write_csv(tb, path, err);
    } else {
        st = path_of(path, dir, field, ".ids", err);
        if (st == AA_OK) st = write_ids(tb, path, err);
        if (st == AA_OK) st = path_of(path, dir, field, ".npy", err);
        if (st == AA_OK) st = aa_npy_write(path, tb->w, tb->n, tb->W, err);
        if (st == AA_OK) st = path_of(path, dir, field, ".reads.npy", err);
        if (st == AA_OK) st = write_reads(tb, path, err);
    }
    if (st == AA_OK) st = path_of(path, dir, field, ".shared.npy", err);
    if (st == AA_OK && tb->shared)
        st = aa_npy_write(path, tb->shared, tb->shared_count, tb->W, err);
    return st;
}

/* ---- reading ---- */

/* Next field of a CSV line, unquoted in place; *at moves on, to NULL at the line's end. */
static char *
take_cell(char **at)
{
    char *from = *at, *to, *start;
    if (*from != '"') {
        *at = strchr(from, ',');
        if (*at) *(*at)++ = '\0';
        return from;
    }
    for (start = to = ++from; *from; from++) {
        if (*from == '"' && from[1] != '"') break;
        if (*from == '"') from++;
        *to++ = *from;
    }
    if (*from == '"') from++;
    *at = *from == ',' ? from + 1 : NULL;
    *to = '\0';
    return start;
}

/* Which column is what; weights are the remaining ones, in their order. */
typedef struct {
    size_t columns, own, position, place, signal; /* SIZE_MAX: not there */
} csv_shape;

static bool
take_cell_number(const char *cell, float *x)
{
    char *end;
    *x = strtof(cell, &end);
    return end != cell && *end == '\0' && isfinite(*x);
}

static aa_status
take_table_header(char *line, const char *path, size_t W, csv_shape *cs, aa_err *err)
{
    size_t special = 1, i = 0;
    *cs = (csv_shape){0, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    for (char *at = line; at; i++) {
        const char *cell = take_cell(&at);
        if (i == 0 && strcmp(cell, "id") != 0)
            return aa_fail(err, AA_EPARSE, "%s:1: the first column is \"%.40s\", not id", path,
                           cell);
        size_t *is = strcmp(cell, "own") == 0        ? &cs->own
                     : strcmp(cell, "position") == 0 ? &cs->position
                     : strcmp(cell, "place") == 0    ? &cs->place
                     : strcmp(cell, "signal") == 0   ? &cs->signal
                                                     : NULL;
        if (!is) continue;
        if (*is != SIZE_MAX)
            return aa_fail(err, AA_EPARSE, "%s:1: there are two columns \"%s\"", path, cell);
        *is = i;
        special++;
    }
    cs->columns = i;
    if (i - special == W || i - special + 1 == W) return AA_OK;
    return aa_fail(err, AA_EPARSE, "%s:1: %zu weights, want %zu (model.dim) or %zu", path,
                   i - special, W - 1, W);
}

/* What is no code becomes one that an import refuses. */
static uint32_t
signal_in_file(float x)
{
    return x >= 0.0f && x <= (float)AA_SIGNAL_CODE ? (uint32_t)x : UINT32_MAX;
}

static aa_status
take_line(aa_table *tb, char *line, const char *path, size_t number, const csv_shape *cs, float *w,
          aa_err *err)
{
    aa_table_id id = {.own = true, .position = 1, .place = -1.0f};
    size_t      i = 1, k = 0;
    char       *at = line;
    const char *text = take_cell(&at);
    if (!aa_table_key(text, strlen(text), &id.key))
        return aa_fail(err, AA_EPARSE, "%s:%zu: empty ID", path, number);
    w[tb->W - 1] = 0.0f;
    for (; at; i++) {
        float       x;
        const char *cell = take_cell(&at);
        if (i >= cs->columns || !take_cell_number(cell, &x))
            return aa_fail(err, AA_EPARSE, "%s:%zu: column %zu: \"%.40s\" is not a number", path,
                           number, i + 1, cell);
        if (i == cs->own)
            id.own = x != 0.0f;
        else if (i == cs->position)
            id.position = x >= 0.0f && x < 256.0f ? (uint32_t)x : 0;
        else if (i == cs->place)
            id.place = x;
        else if (i == cs->signal)
            id.signal = signal_in_file(x);
        else
            w[k++] = x;
    }
    if (i != cs->columns)
        return aa_fail(err, AA_EPARSE, "%s:%zu: %zu columns, want %zu", path, number, i,
                       cs->columns);
    text = own_text(text, strlen(text), id.key);
    return aa_table_add(tb, &id, text, text ? strlen(text) : 0, w, err);
}

/* Without its end and without the file's byte order mark; NULL at the end of the file. */
static char *
take_text_line(FILE *f, char **line, size_t *cap)
{
    const bool first = !*line; /* no buffer yet */
    ssize_t    len = getline(line, cap, f);
    while (len > 0 && ((*line)[len - 1] == '\n' || (*line)[len - 1] == '\r'))
        (*line)[--len] = '\0';
    if (len < 0) return NULL;
    return *line + (first ? aa_utf8_mark(*line, (size_t)len) : 0);
}

static aa_status
read_csv(aa_table *tb, const char *path, aa_err *err)
{
    char     *buffer = NULL, *line;
    size_t    cap = 0, number = 1;
    csv_shape cs;
    float    *w = calloc(tb->W + 1, sizeof *w);
    FILE     *f = fopen(path, "r");
    aa_status st = AA_OK;
    if (!w) st = aa_fail(err, AA_ENOMEM, "%s", path);
    if (!f) st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    if (st != AA_OK) goto out;
    line = take_text_line(f, &buffer, &cap);
    if (!line) st = aa_fail(err, AA_EPARSE, "%s: empty", path);
    if (st == AA_OK) st = take_table_header(line, path, tb->W, &cs, err);
    while (st == AA_OK && (line = take_text_line(f, &buffer, &cap)) != NULL) {
        number++;
        if (line[0]) st = take_line(tb, line, path, number, &cs, w, err);
    }
    if (st == AA_OK && ferror(f)) st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
out:
    if (f) fclose(f);
    free(buffer);
    free(w);
    return st;
}

/* Rows of `a` with a line of the .ids file each. */
static aa_status
read_ids(aa_table *tb, const char *path, const aa_npy *a, const aa_npy *reads, aa_err *err)
{
    char     *buffer = NULL;
    size_t    cap = 0, i = 0;
    aa_status st = AA_OK;
    float    *w = calloc(tb->W + 1, sizeof *w);
    FILE     *f = fopen(path, "r");
    if (!w) st = aa_fail(err, AA_ENOMEM, "%s", path);
    if (!f) st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    for (; st == AA_OK && i < a->rows; i++) {
        const char *line = take_text_line(f, &buffer, &cap);
        if (!line) break;
        aa_table_id id = {.own = true, .position = 1, .place = -1.0f};
        if (!aa_table_key(line, strlen(line), &id.key)) {
            st = aa_fail(err, AA_EPARSE, "%s:%zu: empty ID", path, i + 1);
            break;
        }
        if (reads->x) {
            const float *r = reads->x + reads->columns * i;
            id = (aa_table_id){.key = id.key,
                               .own = r[0] != 0.0f,
                               .position = r[1] >= 0.0f && r[1] < 256.0f ? (uint32_t)r[1] : 0,
                               .place = r[2],
                               .signal = reads->columns > 3 ? signal_in_file(r[3]) : 0};
        }
        memcpy(w, a->x + i * a->columns, a->columns * sizeof *w);
        const char *text = own_text(line, strlen(line), id.key);
        st = aa_table_add(tb, &id, text, text ? strlen(text) : 0, w, err);
    }
    if (st == AA_OK && (i != a->rows || take_text_line(f, &buffer, &cap)))
        st = aa_fail(err, AA_EPARSE, "%s: %s lines than the array has rows (%zu)", path,
                     i == a->rows ? "more" : "fewer", a->rows);
    if (f) fclose(f);
    free(buffer);
    free(w);
    return st;
}

/* A file that may be missing: out->x stays NULL then. */
static aa_status
read_if_there(const char *path, aa_npy *out, aa_err *err)
{
    FILE *f = fopen(path, "rb");
    if (!f) return AA_OK;
    fclose(f);
    return aa_npy_read(path, out, err);
}

static aa_status
read_npy(aa_table *tb, const char *dir, const char *field, const aa_npy *a, aa_err *err)
{
    char      path[PATH_BYTES];
    aa_npy    reads = {0};
    aa_status st = path_of(path, dir, field, ".reads.npy", err);
    if (st == AA_OK) st = read_if_there(path, &reads, err);
    const bool fits = reads.rows == a->rows && (reads.columns == 3 || reads.columns == 4);
    if (st == AA_OK && reads.x && !fits)
        st = aa_fail(err, AA_EPARSE, "%s: %zu x %zu, want %zu x 4, or 3", path, reads.rows,
                     reads.columns, a->rows);
    if (st == AA_OK) st = path_of(path, dir, field, ".ids", err);
    if (st == AA_OK) st = read_ids(tb, path, a, &reads, err);
    free(reads.x);
    return st;
}

static int
compare_row_names(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static aa_status
check_twice(const aa_table *tb, const char *field, aa_err *err)
{
    uint64_t *key = malloc((tb->n + 1) * sizeof *key);
    aa_status st = AA_OK;
    if (!key) return aa_fail(err, AA_ENOMEM, "%zu keys", tb->n);
    for (size_t i = 0; i < tb->n; i++)
        key[i] = tb->id[i].key;
    qsort(key, tb->n, sizeof *key, compare_row_names);
    for (size_t i = 1; st == AA_OK && i < tb->n; i++)
        if (key[i] == key[i - 1])
            st = aa_fail(err, AA_EPARSE, "field %s: an ID comes twice (key %016" PRIx64 ")", field,
                         key[i]);
    free(key);
    return st;
}

aa_status
aa_table_read(aa_table *tb, size_t W, const char *dir, const char *field, aa_err *err)
{
    char   path[PATH_BYTES];
    aa_npy a = {0}, shared = {0};
    *tb = (aa_table){.W = W};
    aa_status st = path_of(path, dir, field, ".npy", err);
    if (st == AA_OK) st = read_if_there(path, &a, err);
    if (st == AA_OK && a.x) {
        if (a.columns != W && a.columns + 1 != W)
            st = aa_fail(err, AA_EPARSE, "%s: %zu columns, want %zu (model.dim) or %zu", path,
                         a.columns, W - 1, W);
        if (st == AA_OK) st = read_npy(tb, dir, field, &a, err);
    } else if (st == AA_OK) {
        st = path_of(path, dir, field, ".csv", err);
        if (st == AA_OK) st = read_csv(tb, path, err);
    }
    if (st == AA_OK) st = path_of(path, dir, field, ".shared.npy", err);
    if (st == AA_OK) st = read_if_there(path, &shared, err);
    if (st == AA_OK && shared.x && shared.columns != W)
        st = aa_fail(err, AA_EPARSE, "%s: %zu columns, want %zu", path, shared.columns, W);
    if (st == AA_OK) st = check_twice(tb, field, err);
    tb->shared = shared.x;
    tb->shared_count = shared.rows;
    free(a.x);
    if (st != AA_OK) aa_table_fini(tb);
    return st;
}
