/* common/checkpoint - one process's state of one epoch in one file.
 *
 *   <dir>/<pipeline>/<lane>/<process>/epoch-<20 digits>.ckpt
 *   magic, format version, process, pipeline, epoch, config digest, then named sections
 *   (name, length, bytes, XXH3-64 of the bytes), then an end mark with a digest of the whole.
 *
 * Written to a temporary file, fsync, rename, fsync of the folder: a file with the final name is
 * whole or was damaged later, and damage is found by the digests. Mode 0600.
 */
#ifndef AA_COMMON_CHECKPOINT_H
#define AA_COMMON_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/status.h"

typedef struct aa_ckpt_writer aa_ckpt_writer;
typedef struct aa_ckpt_reader aa_ckpt_reader;

aa_status aa_ckpt_create(aa_ckpt_writer **out, const aa_conf *cfg, const char *process,
                         uint64_t epoch, aa_err *err) __attribute__((warn_unused_result));
/** A section of known length; may be written in pieces between begin and end. */
aa_status aa_ckpt_section(aa_ckpt_writer *w, const char *name, const void *data, size_t len_bytes,
                          aa_err *err) __attribute__((warn_unused_result));
/** fsync, rename into place, fsync the folder, delete all but the last cfg->checkpoint.keep. Frees w. */
aa_status aa_ckpt_commit(aa_ckpt_writer **w_p, aa_err *err) __attribute__((warn_unused_result));
/** Give up: removes the temporary file. NULL-safe. */
void      aa_ckpt_abort(aa_ckpt_writer **w_p);

/** Open and verify. @errors AA_EIO missing; AA_EPARSE damaged, other pipeline, version or digest */
aa_status aa_ckpt_open(aa_ckpt_reader **out, const aa_conf *cfg, const char *process,
                       uint64_t epoch, aa_err *err) __attribute__((warn_unused_result));
/** Bytes of a section, valid until close. @errors AA_EPARSE not there */
aa_status aa_ckpt_get(aa_ckpt_reader *r, const char *name, const void **data, size_t *len_bytes,
                      aa_err *err) __attribute__((warn_unused_result));
void      aa_ckpt_close(aa_ckpt_reader **r_p);

#endif
