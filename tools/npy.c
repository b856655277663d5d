#include "tools/npy.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
enum { MAGIC_BYTES = 6, HEAD_MAX = 4096, ALIGN = 64, BLOCK = 4096 };

aa_status
aa_npy_write(const char *path, const float *x, size_t rows, size_t columns, aa_err *err)
{
    char   head[256], part[1024], shape[64];
    size_t count = rows * (columns ? columns : 1);
    if (columns)
        snprintf(shape, sizeof shape, "%zu, %zu", rows, columns);
    else
        snprintf(shape, sizeof shape, "%zu,", rows);
    int n = snprintf(head, sizeof head, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }",
                     shape);
    size_t        fill = (ALIGN - (MAGIC_BYTES + 4 + (size_t)n + 1) % ALIGN) % ALIGN;
    size_t        len = (size_t)n + fill + 1;
    const uint8_t lead[4] = {1, 0, (uint8_t)(len & 255), (uint8_t)(len >> 8)};
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return aa_fail(err, AA_EIO, "%s: name too long", path);
    FILE *f = fopen(part, "wb");
    if (!f) return aa_fail(err, AA_EIO, "%s: %s", part, strerror(errno));
    bool ok = fwrite(MAGIC, 1, MAGIC_BYTES, f) == MAGIC_BYTES && fwrite(lead, 1, 4, f) == 4 &&
              fprintf(f, "%s%*s\n", head, (int)fill, "") == (int)len &&
              (count == 0 || fwrite(x, sizeof *x, count, f) == count);
    ok = fclose(f) == 0 && ok;
    if (ok && rename(part, path) == 0) return AA_OK;
    aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    remove(part);
    return AA_EIO;
}

/* ---- reading ---- */

/* Value of a key of the header's dictionary: what follows "'name':", NULL if it is not there. */
static const char *
value_of(const char *head, const char *name)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", name);
    const char *at = strstr(head, quoted);
    if (!at) return NULL;
    at += strlen(quoted);
    return at + strspn(at, " ");
}

static bool
take_npy_shape(const char *at, size_t *rows, size_t *columns)
{
    char *end;
    if (!at || *at++ != '(' || *at < '0' || *at > '9') return false;
    *rows = strtoull(at, &end, 10);
    *columns = 1;
    end += strspn(end, ", ");
    if (*rows > SIZE_MAX / 16) return false;
    if (*end == ')') return true;
    if (*end < '0' || *end > '9') return false;
    *columns = strtoull(end, &end, 10);
    end += strspn(end, ", ");
    return *end == ')' && *columns > 0 && *rows <= SIZE_MAX / 16 / *columns;
}

/* head (HEAD_MAX) becomes the dictionary's text. */
static aa_status
read_head(FILE *f, const char *path, char *head, aa_err *err)
{
    uint8_t lead[12];
    size_t  len, lead_len = 10;
    if (fread(lead, 1, 10, f) != 10 || memcmp(lead, MAGIC, MAGIC_BYTES) != 0)
        return aa_fail(err, AA_EPARSE, "%s: is not a .npy file", path);
    len = (size_t)lead[8] | (size_t)lead[9] << 8;
    if (lead[6] >= 2) {
        if (fread(lead + 10, 1, 2, f) != 2) return aa_fail(err, AA_EPARSE, "%s: cut off", path);
        len |= (size_t)lead[10] << 16 | (size_t)lead[11] << 24;
        lead_len = 12;
    }
    if (lead[6] < 1 || lead[6] > 3 || len >= HEAD_MAX)
        return aa_fail(err, AA_EPARSE, "%s: version %u with a head of %zu bytes", path, lead[6],
                       len + lead_len);
    if (fread(head, 1, len, f) != len) return aa_fail(err, AA_EPARSE, "%s: cut off", path);
    head[len] = '\0';
    return AA_OK;
}

/* Are there as many bytes left? True also where that cannot be told, as of a pipe. */
static bool
has_bytes(FILE *f, size_t bytes)
{
    const long at = ftell(f);
    if (at < 0 || fseek(f, 0, SEEK_END) != 0) return true;
    const long end = ftell(f);
    return fseek(f, at, SEEK_SET) == 0 && end >= at && (size_t)(end - at) >= bytes;
}

static aa_status
read_values(FILE *f, const char *path, bool wide, float *x, size_t count, aa_err *err)
{
    double block[BLOCK];
    for (size_t at = 0; at < count;) {
        size_t n = count - at < BLOCK ? count - at : BLOCK;
        size_t got = wide ? fread(block, sizeof *block, n, f) : fread(x + at, sizeof *x, n, f);
        if (got != n) return aa_fail(err, AA_EPARSE, "%s: cut off", path);
        for (size_t i = 0; i < n; i++, at++) {
            if (wide) x[at] = (float)block[i];
            if (!isfinite(x[at]))
                return aa_fail(err, AA_EPARSE, "%s: value %zu is not finite", path, at);
        }
    }
    return fgetc(f) == EOF ? AA_OK : aa_fail(err, AA_EPARSE, "%s: longer than its shape", path);
}

aa_status
aa_npy_read(const char *path, aa_npy *out, aa_err *err)
{
    char      head[HEAD_MAX];
    aa_npy    a = {0};
    FILE     *f = fopen(path, "rb");
    aa_status st;
    if (!f) return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    st = read_head(f, path, head, err);
    if (st != AA_OK) goto out;
    const char *descr = value_of(head, "descr"), *order = value_of(head, "fortran_order");
    bool        wide = descr && strncmp(descr, "'<f8'", 5) == 0;
    if (!wide && !(descr && strncmp(descr, "'<f4'", 5) == 0))
        st = aa_fail(err, AA_EPARSE, "%s: neither float32 nor float64, little-endian", path);
    else if (!order || strncmp(order, "False", 5) != 0)
        st = aa_fail(err, AA_EPARSE, "%s: is in Fortran order: save np.ascontiguousarray(x)", path);
    else if (!take_npy_shape(value_of(head, "shape"), &a.rows, &a.columns))
        st = aa_fail(err, AA_EPARSE, "%s: neither one nor two dimensions", path);
    else if (!has_bytes(f, a.rows * a.columns * (wide ? 8 : 4))) /* before there is memory for it */
        st = aa_fail(err, AA_EPARSE, "%s: cut off", path);
    if (st != AA_OK) goto out;
    a.x = malloc((a.rows * a.columns + 1) * sizeof *a.x);
    if (!a.x) {
        st = aa_fail(err, AA_ENOMEM, "%s: %zu values", path, a.rows * a.columns);
        goto out;
    }
    st = read_values(f, path, wide, a.x, a.rows * a.columns, err);
out:
    fclose(f);
    if (st != AA_OK)
        free(a.x);
    else
        *out = a;
    return st;
}
