/* common/service/summary - what a process has to say at its end:
 * <pipeline.summary_dir>/<process>.json. */
#ifndef AA_COMMON_SERVICE_SUMMARY_H
#define AA_COMMON_SERVICE_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct aa_summary aa_summary;

/** NULL: out of memory; the setters and _write take that NULL. */
aa_summary *aa_summary_new(void);
void        aa_summary_int(aa_summary *su, const char *key, uint64_t value);
void        aa_summary_num(aa_summary *su, const char *key, double value); /* not finite: null */
void        aa_summary_nums(aa_summary *su, const char *key, const double *value, size_t count);
void        aa_summary_str(aa_summary *su, const char *key, const char *value);
void        aa_summary_hex(aa_summary *su, const char *key, uint64_t digest); /* 16 hex digits */

/** Add peak_resident_bytes and resident_bytes, write the file (whole or not at all) if summary_dir
 * is set; frees su either way.
 *  @errors AA_EIO, AA_ENOMEM */
aa_status aa_summary_write(aa_summary **su_p, const aa_conf *cfg, const char *process, aa_err *err)
    __attribute__((warn_unused_result));

/** Memory of this process by Linux's name: VmRSS what it has now, VmHWM the most it ever had; 0: not
 *  known here. */
uint64_t aa_resident_bytes(const char *name);

#endif
