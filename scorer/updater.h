/* scorer/updater - reads the two compacted topics and applies them to the replica, from the start
 * to the last record; decides whether the scorer is ready.
 *
 * On the main thread: it is the replica's one updater. It shares the replica, the metrics and one
 * pointer (why the scorer is not ready) with the threads that score.
 */
#ifndef AA_SCORER_UPDATER_H
#define AA_SCORER_UPDATER_H

#include "common/service/program.h"
#include "scorer/replica/replica.h"
#include "scorer/scorer_metrics.h"
#include "scorer/serve.h"

typedef struct updater updater;

/** All are kept (borrowed). *rp_p is replaced, and the one before freed, when the topics were read
 *  anew: free it after serve_close and updater_free. @errors AA_ENOMEM */
aa_status updater_new(updater **out, aa_context *ctx, replica **rp_p, serve *se, scorer_metrics *sm,
                      aa_err *err) __attribute__((warn_unused_result));
/** Wait for the topics, follow them until the process is asked to stop, read what is left, write
 *  the summary. @errors AA_EIO, AA_ENOMEM, AA_ECONFIG */
aa_status updater_run(updater *up, aa_err *err) __attribute__((warn_unused_result));
void      updater_free(updater **up_p);

#endif
