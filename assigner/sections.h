/* assigner/sections - checkpoint sections named <prefix>.<part>, as the parts of a field write
 * them. */
#ifndef AA_ASSIGNER_SECTIONS_H
#define AA_ASSIGNER_SECTIONS_H

#include <stddef.h>

#include "common/base/status.h"
#include "common/state/checkpoint.h"

aa_status sections_put(aa_ckpt_writer *w, const char *prefix, const char *part, const void *data,
                       size_t len_bytes, aa_err *err) __attribute__((warn_unused_result));
/** Begin a section that aa_ckpt_append fills. */
aa_status sections_begin(aa_ckpt_writer *w, const char *prefix, const char *part, size_t len_bytes,
                         aa_err *err) __attribute__((warn_unused_result));
/** A section of any length; len_bytes is a multiple of unit_bytes. */
aa_status sections_get(aa_ckpt_reader *r, const char *prefix, const char *part, size_t unit_bytes,
                       const void **data, size_t *len_bytes, aa_err *err)
    __attribute__((warn_unused_result));
/** Copy a section of exactly len_bytes. */
aa_status sections_copy(aa_ckpt_reader *r, const char *prefix, const char *part, void *out,
                        size_t len_bytes, aa_err *err) __attribute__((warn_unused_result));

#endif
