/* ingest/letters - the dead-letter topic as ingest writes it: sends letters, and knows whether all
 * that were sent are durable. Never waits long: who is put off comes again. */
#ifndef AA_INGEST_LETTERS_H
#define AA_INGEST_LETTERS_H

#include "common/base/status.h"
#include "common/config/conf.h"
#include "ingest/decode/deadletter.h"

typedef struct letters letters;

/** Makes the topic unless it is there. cfg is kept (borrowed).
 *  @errors AA_EIO no broker, or making the topic is not allowed; AA_ECONFIG; AA_ENOMEM */
aa_status letters_open(letters **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void letters_close(letters **le_p); /* waits some seconds for what is under way */

/** Serve deliveries. */
void letters_poll(letters *le);
/** Queue a letter. @errors AA_EAGAIN the broker is behind, or away; AA_EIO */
aa_status letters_send(letters *le, const deadletter *dl, aa_err *err)
    __attribute__((warn_unused_result));
/** Is everything durable that was sent? Waits for some milliseconds.
 *  @errors AA_EAGAIN not yet; AA_EIO some are lost to the producer: their events are to be read
 *  again */
aa_status letters_durable(letters *le, aa_err *err) __attribute__((warn_unused_result));

#endif
