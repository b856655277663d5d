#include "assigner/sections.h"

#include <stdio.h>
#include <string.h>

static void
name_of(char out[AA_CKPT_NAME_BYTES], const char *prefix, const char *part)
{
    int n = snprintf(out, AA_CKPT_NAME_BYTES, "%s.%s", prefix, part);
    AA_REQUIRE(n > 0 && n < AA_CKPT_NAME_BYTES);
}

aa_status
sections_put(aa_ckpt_writer *w, const char *prefix, const char *part, const void *data,
             size_t len_bytes, aa_err *err)
{
    char name[AA_CKPT_NAME_BYTES];
    name_of(name, prefix, part);
    return aa_ckpt_section(w, name, data, len_bytes, err);
}

aa_status
sections_begin(aa_ckpt_writer *w, const char *prefix, const char *part, size_t len_bytes,
               aa_err *err)
{
    char name[AA_CKPT_NAME_BYTES];
    name_of(name, prefix, part);
    return aa_ckpt_begin(w, name, len_bytes, err);
}

aa_status
sections_get(aa_ckpt_reader *r, const char *prefix, const char *part, size_t unit_bytes,
             const void **data, size_t *len_bytes, aa_err *err)
{
    char name[AA_CKPT_NAME_BYTES];
    name_of(name, prefix, part);
    aa_status st = aa_ckpt_get(r, name, data, len_bytes, err);
    if (st == AA_OK && *len_bytes % unit_bytes != 0)
        st = aa_fail(err, AA_EPARSE, "section %s: %zu bytes, not whole records of %zu", name,
                     *len_bytes, unit_bytes);
    return st;
}

aa_status
sections_copy(aa_ckpt_reader *r, const char *prefix, const char *part, void *out, size_t len_bytes,
              aa_err *err)
{
    const void *data;
    size_t      len;
    aa_status   st = sections_get(r, prefix, part, 1, &data, &len, err);
    if (st != AA_OK) return st;
    if (len != len_bytes)
        return aa_fail(err, AA_EPARSE, "section %s.%s: %zu bytes, want %zu", prefix, part, len,
                       len_bytes);
    if (len > 0) memcpy(out, data, len);
    return AA_OK;
}
