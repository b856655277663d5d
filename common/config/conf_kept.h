/* common/config/conf_kept - the settings that a state stands on, as text that is kept with it.
 *
 * One line each, "agent.mode=default". Some shape the state: with others it would be nonsense. The
 * rest (learning rates, limits) only say how it goes on, and may change where a state is restored.
 */
#ifndef AA_COMMON_CONFIG_CONF_KEPT_H
#define AA_COMMON_CONFIG_CONF_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

/** The settings of cfg; *text is the caller's to free. @errors AA_ENOMEM */
aa_status aa_conf_kept_text(const aa_conf *cfg, char **text, aa_err *err)
    __attribute__((warn_unused_result));

/* "agent.gamma (0.9, now 0.8), ..." cut with "..." where it gets too long; "": none */
typedef struct {
    char shaping[160], free[400];
} aa_conf_kept_diff;
/** What differs between a state's settings and cfg. A setting that the state's text does not name
 *  is newer than that: it counts as what builds before it did, which is its default as a rule. */
void aa_conf_kept_compare(const aa_conf *cfg, const char *text, size_t len, aa_conf_kept_diff *out);

/* One number for each of these settings, in one order: two processes of one program find out which
 * of them differ without sending the values. */
#define AA_CONF_KEPT_MAX (64 + 4 * AA_MAX_FIELDS)
size_t aa_conf_kept_marks(const aa_conf *cfg, uint32_t mark[AA_CONF_KEPT_MAX]);
/** The settings of cfg of which the mark is another, "agent.mode, model.dim" into words (size), cut
 *  with "..."; what cannot be compared (another number of them): "". */
void aa_conf_kept_differ(const aa_conf *cfg, const uint32_t *mark, size_t count, char *words,
                         size_t size);

#endif
