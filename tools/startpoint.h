/* tools/startpoint - sets where a pipeline goes on: for the tools `import` and `rollback`.
 *
 * The same as ingest does at every checkpoint: its own checkpoint of the epoch first, then the
 * commit that names the epoch. The group must have no members: Kafka refuses the commit otherwise.
 */
#ifndef AA_TOOLS_STARTPOINT_H
#define AA_TOOLS_STARTPOINT_H

#include "common/base/status.h"
#include "common/config/conf.h"
#include "ingest/resume.h"

/** The partitions of topics.interactions in re->part, each at `from`: "beginning", "end" or
 *  "time:MS". A replay (ingest.run) ends where the topic ends now.
 *  @errors AA_ECONFIG `from`, or no such topic; AA_EIO; AA_ENOMEM */
aa_status startpoint_find(resume *re, const aa_conf *cfg, const char *from, aa_err *err)
    __attribute__((warn_unused_result));
/** The group's newest epoch of this lane, 0: none. Errors as above. */
aa_status startpoint_committed(const aa_conf *cfg, uint64_t *epoch, uint64_t *seq, aa_err *err)
    __attribute__((warn_unused_result));
/** Commit re->part with the name of re->epoch.
 *  @errors AA_EAGAIN, AA_EIO refused: an ingest of this group is running */
aa_status startpoint_commit(const resume *re, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));

#endif
