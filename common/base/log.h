/* common/base/log - one logfmt (or JSON) line per record on stderr.
 *
 *   ts_ms=… lvl=warn proc=assigner id=EVENT-PARSE part=3 off=991 msg="label missing"
 *
 * The level is tested before arguments are evaluated. A record's id is stable (listed in
 * ARCHITECTURE.md). Records of one id beyond a few per second are counted and summarised.
 * The format string after msg holds the words; further key=value pairs go into `kv`.
 */
#ifndef AA_COMMON_BASE_LOG_H
#define AA_COMMON_BASE_LOG_H

#include <stdbool.h>

#include "common/base/status.h"

typedef enum { AA_DEBUG, AA_INFO, AA_WARN, AA_ERROR } aa_log_level;

/** Set up once, before any thread starts. proc is kept (a literal). */
void aa_log_init(const char *proc, aa_log_level level, bool json);
bool aa_log_on(aa_log_level level);

/** kv: "part=3 off=991" or "". @thread any */
void aa_log_write(aa_log_level level, const char *id, const char *kv, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Write what was held back; call now and then and at exit. */
void aa_log_flush_repeats(void);

#define aa_log(level, id, ...)                                                                     \
    do {                                                                                           \
        if (aa_log_on(level)) aa_log_write(level, id, "", __VA_ARGS__);                            \
    } while (0)
#define aa_debug(id, ...) aa_log(AA_DEBUG, id, __VA_ARGS__)
#define aa_info(id, ...)  aa_log(AA_INFO, id, __VA_ARGS__)
#define aa_warn(id, ...)  aa_log(AA_WARN, id, __VA_ARGS__)
#define aa_error(id, ...) aa_log(AA_ERROR, id, __VA_ARGS__)

#endif
