/* ingest/letters - the dead-letter topic as ingest writes it: sends letters, and knows whether all
 * that were sent are durable. Never waits long: who is put off comes again.
 *
 * A letter never stops the stream. It is cut to what the client takes and, when the topic refuses
 * it, to what that takes, as far as that is known, then by half again and again. What it takes in
 * no form is lost: said and counted, or, with ingest.on_lost_letter=fail, the end of the process.
 */
#ifndef AA_INGEST_LETTERS_H
#define AA_INGEST_LETTERS_H

#include <stdint.h>

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
/** Queue a letter, which is cut where it has to be; lost ones count as sent.
 *  @errors AA_EAGAIN the broker is behind, or away; AA_EIO one is lost, and that is to end the
 *  process, or the producer is of no more use; AA_ENOMEM */
aa_status letters_send(letters *le, deadletter *dl, aa_err *err)
    __attribute__((warn_unused_result));
/** Is everything durable that was sent, or lost? Waits for some milliseconds.
 *  @errors AA_EAGAIN not yet; as letters_send */
aa_status letters_durable(letters *le, aa_err *err) __attribute__((warn_unused_result));
/** Letters that the topic took in no form. */
uint64_t letters_lost(const letters *le);

#endif
