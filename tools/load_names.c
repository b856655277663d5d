#include "tools/load_names.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

void
load_names_fini(load_names *nm)
{
    free(nm->text);
    free(nm->start);
    free(nm->table);
    *nm = (load_names){0};
}

const char *
load_names_text(const load_names *nm, uint32_t number, size_t *len)
{
    *len = nm->start[number + 1] - nm->start[number];
    return nm->text + nm->start[number];
}

/* Where the text is in the table, or where it would go. */
static size_t
find_text(const load_names *nm, const char *text, size_t len)
{
    size_t mask = nm->table_size - 1, at = (size_t)aa_id_key(text, len) & mask;
    while (nm->table[at]) {
        size_t      known_len;
        const char *known = load_names_text(nm, nm->table[at] - 1, &known_len);
        if (known_len == len && memcmp(known, text, len) == 0) break;
        at = (at + 1) & mask;
    }
    return at;
}

/* A table that is at most half full. */
static aa_status
grow_table(load_names *nm, aa_err *err)
{
    size_t    size = nm->table_size ? 2 * nm->table_size : 1024;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table) return aa_fail(err, AA_ENOMEM, "%u IDs", nm->count);
    free(nm->table);
    nm->table = table;
    nm->table_size = size;
    for (uint32_t n = 0; n < nm->count; n++) {
        size_t      len;
        const char *text = load_names_text(nm, n, &len);
        nm->table[find_text(nm, text, len)] = n + 1;
    }
    return AA_OK;
}

static aa_status
grow_texts(load_names *nm, size_t len, aa_err *err)
{
    if (nm->text_len + len > nm->text_cap) {
        size_t cap = 2 * nm->text_cap + len + 4096;
        char  *text = realloc(nm->text, cap);
        if (!text) return aa_fail(err, AA_ENOMEM, "%u IDs", nm->count);
        nm->text = text;
        nm->text_cap = cap;
    }
    if ((size_t)nm->count + 2 > nm->start_cap) {
        size_t  cap = 2 * nm->start_cap + 1024;
        size_t *start = realloc(nm->start, cap * sizeof *start);
        if (!start) return aa_fail(err, AA_ENOMEM, "%u IDs", nm->count);
        nm->start = start;
        nm->start_cap = cap;
    }
    return AA_OK;
}

aa_status
load_names_number(load_names *nm, const char *text, size_t len, uint32_t *number, aa_err *err)
{
    aa_status st = AA_OK;
    if (2 * ((size_t)nm->count + 1) > nm->table_size) st = grow_table(nm, err);
    if (st != AA_OK) return st;
    size_t at = find_text(nm, text, len);
    if (nm->table[at]) {
        *number = nm->table[at] - 1;
        return AA_OK;
    }
    if (nm->count >= UINT32_MAX - 2) return aa_fail(err, AA_EFULL, "too many IDs");
    st = grow_texts(nm, len, err);
    if (st != AA_OK) return st;
    if (nm->count == 0) nm->start[0] = 0;
    if (len > 0) memcpy(nm->text + nm->text_len, text, len);
    nm->text_len += len;
    nm->start[nm->count + 1] = nm->text_len;
    *number = nm->count++;
    nm->table[at] = *number + 1;
    return AA_OK;
}
