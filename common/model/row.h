/* common/model/row - the floats and bytes of an ID's row, counted in one place.
 *
 * A row as models and scorers see it: K embedding values, then the linear weight, so W = K+1 floats.
 * A plain row in the learner: those, then an Adagrad accumulator for each (2,W). Shared rows are
 * plain. Own rows may be smaller (model.row_format, model.row_optimizer): how they are read and
 * written is learner/rows/rowform.
 */
#ifndef AA_COMMON_MODEL_ROW_H
#define AA_COMMON_MODEL_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/conf.h"

/** W, from the width K of an embedding (model.dim). */
static inline size_t
aa_row_width(size_t K)
{
    return K + 1;
}

/* ---- plain rows ---- */

/** Floats of a row and its optimizer state. */
static inline size_t
aa_row_floats(size_t W)
{
    return 2 * W;
}

static inline size_t
aa_row_plain_bytes(size_t W)
{
    return aa_row_floats(W) * sizeof(float);
}

/* ---- own rows ---- */

/** Bytes of the weights. */
static inline size_t
aa_row_weight_bytes(const aa_conf *cfg)
{
    const size_t W = aa_row_width((size_t)cfg->model.dim);
    return W * (cfg->model.row_format == AA_ROW_BF16 ? sizeof(uint16_t) : sizeof(float));
}

/** Accumulators, which are floats. */
static inline size_t
aa_row_accumulators(const aa_conf *cfg)
{
    const size_t W = aa_row_width((size_t)cfg->model.dim);
    return cfg->model.row_optimizer == AA_ROW_ROWWISE ? 2 : W;
}

/** Bytes of a row and its optimizer state. */
static inline size_t
aa_row_bytes(const aa_conf *cfg)
{
    return aa_row_weight_bytes(cfg) + aa_row_accumulators(cfg) * sizeof(float);
}

/* ---- a table of rows in the learner: chunks that never move ---- */

#define AA_ROW_CHUNK       1024u               /* rows */
#define AA_ROW_CHUNK_WORDS (AA_ROW_CHUNK / 64) /* of a bit per row */
#define AA_ROW_CHUNK_HEAD  (3 * AA_ROW_CHUNK / 8 + AA_ROW_CHUNK * sizeof(uint64_t))

/** Bytes of a table whose slots below slot_count were used. */
static inline size_t
aa_rows_chunks_bytes(const aa_conf *cfg, size_t slot_count)
{
    const size_t chunks = (slot_count + AA_ROW_CHUNK - 1) / AA_ROW_CHUNK;
    return chunks * (AA_ROW_CHUNK_HEAD + AA_ROW_CHUNK * aa_row_bytes(cfg));
}

#endif
