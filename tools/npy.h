/* tools/npy - NumPy's .npy files: float32 arrays of one or two dimensions, in C order.
 *
 * Written as version 1.0, little-endian '<f4'. Read: versions 1 to 3, '<f4' and '<f8' (rounded to
 * float). Anything else is refused by name, never guessed.
 */
#ifndef AA_TOOLS_NPY_H
#define AA_TOOLS_NPY_H

#include <stddef.h>

#include "common/base/status.h"

typedef struct {
    float *x; /* (rows,columns) the caller's to free */
    size_t rows, columns;
} aa_npy;

/** Write x (rows,columns); columns 0: one dimension, x (rows). Whole or not at all.
 *  @errors AA_EIO */
aa_status aa_npy_write(const char *path, const float *x, size_t rows, size_t columns, aa_err *err)
    __attribute__((warn_unused_result));
/** Read a file; one dimension gives columns 1.
 *  @errors AA_EIO cannot be read; AA_EPARSE not such a file, cut off, or a value that is not
 *          finite; AA_ENOMEM */
aa_status aa_npy_read(const char *path, aa_npy *out, aa_err *err)
    __attribute__((warn_unused_result));

#endif
