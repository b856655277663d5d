/* tools/table - one field's embedding table in files, for people who come and go.
 *
 *   <dir>/<field>.csv           id,own,position,place,signal,w0..wK     one line per ID; or instead
 *   <dir>/<field>.ids           one ID per line
 *   <dir>/<field>.npy           (n,W) float32, row i is the ID of line i
 *   <dir>/<field>.reads.npy     (n,4) own, position, place, signal  may be missing
 *   <dir>/<field>.shared.npy    (k*p,W) the shared rows          may be missing
 *
 * w is what the model reads for the ID, the linear weight last (W = K+1); a file with K columns has
 * linear weights of 0. own: 1 when the ID holds a row of its own. position and place are where the
 * ID stands among the shared rows: position 1..k, place 0..p-1 between its lean bins (lean.h).
 * signal is what is known of the ID beside its rows (common/model/signal). Columns own, position,
 * place and signal may be missing: every ID holds a row, at position 1, in the middle, and nothing
 * is known of it.
 *
 * An ID is text. One whose text is not known (only its key) is written #<16 hex digits>; text that
 * begins with # is written ##..., text with line breaks by its key. A byte order mark at a text
 * file's beginning is skipped; an ID of the first line that begins with one is written by its key.
 */
#ifndef AA_TOOLS_TABLE_H
#define AA_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    uint64_t key;
    bool     own;
    uint32_t position;
    float    place;  /* < 0: the middle */
    uint32_t signal; /* common/model/signal */
} aa_table_id;

typedef struct {
    size_t       n, W, cap;
    aa_table_id *id;     /* (n) */
    char       **text;   /* (n) NULL: not known */
    float       *w;      /* (n,W) */
    float       *shared; /* (shared_count,W) or NULL */
    size_t       shared_count;
} aa_table;

void aa_table_fini(aa_table *tb);
/** Append an ID and its row w (tb->W); text may be NULL. @errors AA_ENOMEM */
aa_status aa_table_add(aa_table *tb, const aa_table_id *id, const char *text, size_t text_len,
                       const float *w, aa_err *err) __attribute__((warn_unused_result));

typedef enum { AA_TABLE_NPY, AA_TABLE_CSV } aa_table_format;
aa_status aa_table_write(const aa_table *tb, const char *dir, const char *field,
                         aa_table_format format, aa_err *err) __attribute__((warn_unused_result));
/**
 * Read a field's table of W = K+1 columns, from .npy if there is one, else from .csv.
 * @errors AA_EIO no such file; AA_EPARSE with file and line: another width, a bad number, an ID
 *         that comes twice; AA_ENOMEM
 */
aa_status aa_table_read(aa_table *tb, size_t W, const char *dir, const char *field, aa_err *err)
    __attribute__((warn_unused_result));

/** An ID's text in the files: what aa_id_key makes a key of, or #hex. False: an empty one. */
bool aa_table_key(const char *text, size_t len, uint64_t *key);

#endif
