/* ingest/fetchers/crew - the sequencer's link to its fetchers: received messages go into
 * ingest/fetchers/members and into the order; what members decides is sent. */
#ifndef AA_INGEST_FETCHERS_CREW_H
#define AA_INGEST_FETCHERS_CREW_H

#include <stddef.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/service/metrics.h"
#include "ingest/fetchers/members.h"
#include "ingest/order.h"

typedef struct crew crew;

/** Binds links.fetchers. cfg and ms are kept (borrowed). @errors as aa_link_open; AA_ENOMEM */
aa_status crew_open(crew **out, const aa_conf *cfg, aa_metrics *ms, aa_err *err)
    __attribute__((warn_unused_result));
void     crew_close(crew **cr_p);
members *crew_members(crew *cr);
aa_link *crew_link(crew *cr); /* to wait for */

/** Take a bounded number of messages, push records into the order of the open run, give up who is
 *  silent, and tell fetchers what they have to know. *got: messages. @errors AA_EIO; AA_ENOMEM */
aa_status crew_serve(crew *cr, order *od, size_t *got, aa_err *err)
    __attribute__((warn_unused_result));
/** The run is over: who withdraws is released at once. @errors AA_EIO */
aa_status crew_end(crew *cr, const order *od, aa_err *err) __attribute__((warn_unused_result));

#endif
