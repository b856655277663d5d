/* ingest/committer - makes an epoch count: letters durable, then ingest's own checkpoint, then the
 * commit to Kafka, in this order. Each call does what can be done without waiting long, so that the
 * loop goes on meanwhile; who calls again with the same epoch goes on where it stood. */
#ifndef AA_INGEST_COMMITTER_H
#define AA_INGEST_COMMITTER_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "ingest/letters.h"
#include "ingest/resume.h"
#include "ingest/source.h"

typedef enum {
    COMMITTER_DONE,
    COMMITTER_LATER,   /* not yet: again at committer_again_us */
    COMMITTER_UNSAVED, /* the checkpoint cannot be written (disk full, perhaps): err */
    COMMITTER_REFUSED, /* read again from the last commit: err */
    COMMITTER_FAILED   /* the process cannot go on: err */
} committer_result;

typedef struct {
    const aa_conf *cfg;
    uint64_t       run, epoch; /* whose checkpoint was written last */
    bool           sent;       /* a commit without an answer yet */
    int64_t        sent_us, again_us, said_us;
} committer;

committer_result committer_try(committer *co, letters *le, source *so, const resume *re,
                               int64_t now_us, aa_err *err);
/** No commit is without an answer, or it has been waited for long enough. Before the commits are
 *  asked for again: an answer that comes later would say otherwise. */
bool committer_settled(committer *co, source *so, int64_t now_us);

#endif
