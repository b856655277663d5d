/* common/state/holdfile - two small files beside the learner's checkpoints, about publication.
 *
 *   publish-word   what the operator wants: auto, hold or resume. Written by the tool `publish`,
 *                  read by the learner; no file: auto.
 *   publish-state  what the learner does, and why. Written by the learner, read by the tool, and
 *                  by the learner after a restart.
 *
 * Who may write to the folder may decide: 0700 as the checkpoints' are.
 */
#ifndef AA_COMMON_STATE_HOLDFILE_H
#define AA_COMMON_STATE_HOLDFILE_H

#include <stdbool.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef enum { AA_HOLD_AUTO, AA_HOLD_HOLD, AA_HOLD_RESUME, AA_HOLD_WORDS } aa_hold_word;

typedef struct {
    bool held; /* nothing is published */
    bool bad;  /* the guard's verdict, whatever the operator wants */
    char why[16];
} aa_hold_state;

const char *aa_hold_word_text(aa_hold_word word);
/** @errors AA_EIO; AA_ECONFIG as aa_ckpt_path */
aa_status aa_hold_word_write(const aa_conf *cfg, aa_hold_word word, aa_err *err)
    __attribute__((warn_unused_result));
/** @errors AA_EPARSE no word; AA_EIO; AA_ECONFIG */
aa_status aa_hold_word_read(const aa_conf *cfg, aa_hold_word *word, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_hold_state_write(const aa_conf *cfg, const aa_hold_state *hs, aa_err *err)
    __attribute__((warn_unused_result));
/** No file: all zero, and *known (NULL: not asked) false. */
aa_status aa_hold_state_read(const aa_conf *cfg, aa_hold_state *hs, bool *known, aa_err *err)
    __attribute__((warn_unused_result));

#endif
