/* common/model/row - the floats of an ID's row, counted in one place.
 *
 * A row as models and scorers see it: K embedding values, then the linear weight, so W = K+1 floats.
 * As the learner holds it: those, then an Adagrad accumulator for each (2,W).
 */
#ifndef AA_COMMON_MODEL_ROW_H
#define AA_COMMON_MODEL_ROW_H

#include <stddef.h>

/** W, from the width K of an embedding (model.dim). */
static inline size_t
aa_row_width(size_t K)
{
    return K + 1;
}

/** Floats of a row and its optimizer state. */
static inline size_t
aa_row_floats(size_t W)
{
    return 2 * W;
}

/** Bytes of a row in the learner. */
static inline size_t
aa_row_bytes(size_t W)
{
    return aa_row_floats(W) * sizeof(float);
}

#endif
