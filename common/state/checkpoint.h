/* common/state/checkpoint - one process's state of one epoch in one file.
 *
 *   <dir>/<pipeline>/<lane>/<process>/epoch-<20 digits>.ckpt
 *   magic, format version, process, pipeline, epoch, config digest, then named sections
 *   (name, length, bytes, XXH3-64 of the bytes), then an end mark with a digest of the whole.
 *
 * Written to a temporary file, fsync, rename, fsync of the folder: a file with the final name is
 * whole or was damaged later, and damage is found by the digests. Files are 0600, folders 0700.
 * The bytes are laid out in checkpoint_format.h.
 *
 * Cleaning up: the last checkpoint.keep epochs are kept, and in any case the one that the run
 * stands on, its base: until the offset commit names the new epoch, a crash goes back to it. Epochs
 * between the base and the new one were given up, in this process or another, and count for
 * nothing: they are deleted. Files of later epochs (a run that was rolled back) stay until they are
 * overwritten. Making a new file deletes unfinished ones, so that a writer left over from a killed
 * process can no longer commit.
 */
#ifndef AA_COMMON_STATE_CHECKPOINT_H
#define AA_COMMON_STATE_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

#define AA_CKPT_FORMAT_VERSION 2
#define AA_CKPT_MAX_SECTIONS   1024
#define AA_CKPT_MAX_BYTES      ((uint64_t)1 << 40)
#define AA_CKPT_NAME_BYTES     40 /* of a section's name, with its end */

/* ---- writing ---- */
typedef struct aa_ckpt_writer aa_ckpt_writer;

/** @errors AA_EPARSE epoch 0 (means: nothing yet); AA_ECONFIG name unfit for a path; AA_EIO;
 * AA_ENOMEM */
aa_status aa_ckpt_create(aa_ckpt_writer **out, const aa_conf *cfg, const char *process,
                         uint64_t epoch, aa_err *err) __attribute__((warn_unused_result));
/** A section in one piece. Names are unique, 1..39 bytes. @errors AA_EIO: abort then */
aa_status aa_ckpt_section(aa_ckpt_writer *w, const char *name, const void *data, size_t len_bytes,
                          aa_err *err) __attribute__((warn_unused_result));
/** A section of known length in pieces: begin, then appends that add up to len_bytes. */
aa_status aa_ckpt_begin(aa_ckpt_writer *w, const char *name, size_t len_bytes, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_ckpt_append(aa_ckpt_writer *w, const void *data, size_t len_bytes, aa_err *err)
    __attribute__((warn_unused_result));
#define AA_CKPT_SETTINGS "settings" /* common/config/conf_kept's text; each checkpoint has it */
#define AA_CKPT_ABOUT    "about"
/** The section "about": lines for people, which `inspect` prints and no restore reads. */
aa_status aa_ckpt_about(aa_ckpt_writer *w, const char *lines, aa_err *err)
    __attribute__((warn_unused_result));
/** fsync, rename into place, fsync the folder, then clean up. Frees w, also on failure.
 *  @param base  epoch of the last offset commit, below this one; 0: none, nothing is deleted
 *  @errors AA_EIO: the epoch is not durable (also after any earlier error of this writer) */
aa_status aa_ckpt_commit(aa_ckpt_writer **w_p, uint64_t base, aa_err *err)
    __attribute__((warn_unused_result));
/** Give up: removes the temporary file. NULL-safe. */
void aa_ckpt_abort(aa_ckpt_writer **w_p);

/* ---- one process at a time ---- */
/** Keep other processes from the folder until this one ends. A folder that cannot be made or written
 *  is no error here: saving will say so.
 *  @errors AA_EIO in use by another process, which the text names; AA_ECONFIG as aa_ckpt_create */
aa_status aa_ckpt_lock(const aa_conf *cfg, const char *process, aa_err *err)
    __attribute__((warn_unused_result));

/* ---- reading ---- */
typedef struct aa_ckpt_reader aa_ckpt_reader;

typedef struct {
    uint32_t    format_version, lane;
    uint64_t    epoch, config_digest, file_bytes, file_digest;
    const char *process, *pipeline; /* the reader's */
    size_t      section_count;
} aa_ckpt_info;

/** Open and verify all of it.
 *  @errors AA_EIO missing or unreadable; AA_EPARSE damaged, another epoch or format version;
 *          AA_ECONFIG whole, but of another pipeline, lane or process, or made with settings that
 *          shape the state and are others now. Of those that do not, changes are logged. */
aa_status aa_ckpt_open(aa_ckpt_reader **out, const aa_conf *cfg, const char *process,
                       uint64_t epoch, aa_err *err) __attribute__((warn_unused_result));
/** The same for any checkpoint file, of any pipeline. */
aa_status aa_ckpt_open_path(aa_ckpt_reader **out, const char *path, aa_err *err)
    __attribute__((warn_unused_result));
/** The same for bytes in memory, which must outlive the reader. */
aa_status aa_ckpt_open_bytes(aa_ckpt_reader **out, const void *buf, size_t len_bytes, aa_err *err)
    __attribute__((warn_unused_result));
/** Bytes of a section, valid until close, 64-byte aligned (open_bytes: as buf is).
 *  @errors AA_EPARSE not there */
aa_status aa_ckpt_get(aa_ckpt_reader *r, const char *name, const void **data, size_t *len_bytes,
                      aa_err *err) __attribute__((warn_unused_result));
void      aa_ckpt_info_get(const aa_ckpt_reader *r, aa_ckpt_info *out);
/** Section i in file order; name is the reader's. */
void aa_ckpt_section_at(const aa_ckpt_reader *r, size_t i, const char **name, size_t *len_bytes,
                        uint64_t *digest);
void aa_ckpt_close(aa_ckpt_reader **r_p);

/* ---- the folder ---- */
/** mkdir -p with 0700, each new folder made durable in its parent. @errors AA_EIO */
aa_status aa_ckpt_make_folders(const char *path, aa_err *err) __attribute__((warn_unused_result));
/** Epochs there are, ascending. *epochs is the caller's to free. No folder: count 0. */
aa_status aa_ckpt_list(const aa_conf *cfg, const char *process, uint64_t **epochs, size_t *count,
                       aa_err *err) __attribute__((warn_unused_result));
/** Greatest epoch there is, 0 for none. What to restore is said by the committed offset, not by
 * this. */
aa_status aa_ckpt_latest(const aa_conf *cfg, const char *process, uint64_t *epoch, aa_err *err)
    __attribute__((warn_unused_result));
/** Is checkpoint.dir a folder, or can it be made? Leaves nothing behind. Whether one that exists can be
 *  written now is not asked: a full or read-only disk may get better, and saving says so.
 *  @errors AA_ECONFIG no, and why */
aa_status aa_ckpt_check_folder(const aa_conf *cfg, const char *process, aa_err *err)
    __attribute__((warn_unused_result));
/** Path of an epoch's file. @errors AA_ECONFIG name unfit for a path, or too long */
aa_status aa_ckpt_path(char *out, size_t size, const aa_conf *cfg, const char *process,
                       uint64_t epoch, aa_err *err) __attribute__((warn_unused_result));

#endif
