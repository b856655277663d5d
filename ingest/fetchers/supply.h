/* ingest/fetchers/supply - what a fetcher has been dealt, what it was asked for, and what it may
 * send.
 *
 * The fetcher's side of ingest/fetchers/members: no I/O, no clock. Per partition the newest (run,
 * attempt) that was asked for counts; a newer one begins at the offset that comes with it. A reply
 * to an offer of another assignment (term) is ignored.
 */
#ifndef AA_INGEST_FETCHERS_SUPPLY_H
#define AA_INGEST_FETCHERS_SUPPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/kafka/kafka_consumer.h"
#include "common/messages/wire_fetch.h"

#define SUPPLY_NOT_READ SIZE_MAX
#define SUPPLY_CAREFUL  1024 /* records without a full message: letters are not large any more */

typedef struct {
    int32_t  partition;
    size_t   slot; /* the consumer's number of it; SUPPLY_NOT_READ */
    uint64_t run_id;
    uint32_t attempt;           /* 0: never asked */
    uint64_t messages, records; /* sent in it */
    uint64_t taken, allowed;    /* messages that have come; records that may be sent, in all */
    int64_t  next;              /* offset to go on from */
    size_t   careful;           /* records to go of which each may be a message of its own */
    bool     held;              /* the next message waits for a schema: */
    uint32_t waits_for;
    bool     gone; /* Kafka has no more what was asked for */
} supply_part;

typedef struct {
    supply_part *part; /* (n) owned, ascending */
    size_t       n;
    uint64_t     term;     /* counts dealings */
    uint64_t     run_id;   /* the newest asked for */
    uint64_t     lost_run; /* in which something was gone */
} supply;

/** The group deals these (in any order); nothing is asked of them yet. @errors AA_ENOMEM */
aa_status supply_deal(supply *su, const aa_kafka_offset *po, size_t n, aa_err *err)
    __attribute__((warn_unused_result));
/** They are the group's again. */
void supply_clear(supply *su);
void supply_fini(supply *su);

/** @return some partition begins again: read from each part's `next` */
bool supply_asked(supply *su, const aa_fetch *ft);
/** Records of this partition that may be sent now, at most `most`; where letters are large, no more
 *  than there may be messages. */
size_t supply_may(const supply_part *part, size_t most);
/** A message with so many records was sent; the next begins at offset next. */
void supply_sent(supply_part *part, size_t records, int64_t next);
/** A message was full of letters before it had all records that were read. */
void supply_large(supply_part *part);
/** What was asked for is gone: nothing more is sent of it in this attempt. */
void supply_gone(supply *su, supply_part *part);
/** Messages sent and not known to have come. */
uint64_t supply_in_flight(const supply *su);
/** Fill the offer's list, `end` apart. @errors AA_ENOMEM */
aa_status supply_offer(const supply *su, aa_offer *of, aa_err *err)
    __attribute__((warn_unused_result));

#endif
