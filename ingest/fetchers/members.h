/* ingest/fetchers/members - which member of the lane reads which partition: the sequencer or a
 * fetcher.
 *
 * A state machine without I/O or clock. The group assigns partitions to the sequencer (members_own)
 * and to fetchers, which offer them (members_offer). A run reads the union of these: members_take
 * makes it the next run's, members_begin opens that run. When the union or an owner differs from
 * the run's, members_changed is true: the run is drained and committed, and another begins.
 *
 * In a run each partition of a fetcher is a stream of messages numbered 1, 2, ... Only the next one
 * is taken. After a gap the sequencer asks again from where it stands, with a new attempt. So a
 * message that comes late, twice or for another run changes nothing. Every fetcher reads the same
 * bytes from Kafka, so it does not matter which one sent them.
 *
 * The sequencer tells a fetcher what may be under way, as two numbers that only grow within an
 * attempt. Records: as many as the order has space for. Messages: those taken; the fetcher may be
 * MEMBERS_MESSAGES ahead. While the order is full of dead letters, no further message is reported
 * as taken. When nothing leaves the order, fetchers stop.
 *
 * An offer carries its term: the number of the assignment by the group. The reply carries the term
 * of the offer that it answers, and is ignored in any other term. An offer with a new term begins a
 * new attempt for all partitions of that fetcher.
 */
#ifndef AA_INGEST_FETCHERS_MEMBERS_H
#define AA_INGEST_FETCHERS_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/messages/wire_fetch.h"
#include "ingest/order.h"

typedef struct members members;

#define MEMBERS_SELF     0     /* the sequencer's own number among the owners */
#define MEMBERS_MAX      256   /* it and its fetchers */
#define MEMBERS_WINDOW   16384 /* records of a partition under way or in the order */
#define MEMBERS_MESSAGES 8     /* messages of a partition sent and not known to be taken */
/* Before a run is opened the union has to stand still for so long, unless it is the whole topic. */
#define MEMBERS_SETTLE_US 1500000

typedef struct {
    int32_t partition;
    size_t  owner;
} members_part;

/** cfg is kept (borrowed). @errors AA_ENOMEM */
aa_status members_new(members **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void members_free(members **pe_p);

/* ---- who has what ---- */

/** Partitions that the topic has: with all of them there is nobody to wait for. */
void members_topic(members *mb, size_t partitions);
/** What the group dealt to the sequencer, ascending. known: false from giving them back to the next
 *  dealing; no run can be opened meanwhile. @errors AA_ENOMEM */
aa_status members_own(members *mb, const int32_t *partition, size_t n, bool known, int64_t now_us,
                      aa_err *err) __attribute__((warn_unused_result));

typedef enum { MEMBERS_SAME, MEMBERS_DEALT, MEMBERS_WITHDRAWS, MEMBERS_LEAVES } members_news;
/** A fetcher's offer, which is answered by members_step. *news: what is new in it.
 *  @errors AA_ECONFIG it is of another pipeline, lane or decoding; AA_EFULL too many; AA_ENOMEM */
aa_status members_offer(members *mb, const aa_link_peer *from, const aa_offer *of, int64_t now_us,
                        members_news *news, aa_err *err) __attribute__((warn_unused_result));
/** Give up one fetcher that has been silent for too long: its name until the next call, or NULL. */
const char *members_silent(members *mb, int64_t now_us);
/** Fetchers that are heard from; those of them with a partition in the run. */
size_t members_count(const members *mb);
size_t members_working(const members *mb);

/* ---- runs ---- */

/** The union is not the open run's any more. */
bool members_changed(const members *mb);
/** There is something to read, and it has stood still long enough to begin. */
bool members_settled(const members *mb, int64_t now_us);
/** A fetcher was asked for offsets that Kafka has no more: once in a run. */
bool members_lost(members *mb);
/** Partitions of the union. */
size_t members_wanted(const members *mb);
/** End what is open; the union as it is now is the next run's: *part (*n), ascending, valid until
 *  the next call. @errors AA_ENOMEM */
aa_status members_take(members *mb, const members_part **part, size_t *n, aa_err *err)
    __attribute__((warn_unused_result));
/** Open it. @param position  (n) offset of each partition's next event */
void members_begin(members *mb, uint64_t run_id, const int64_t *position);
/** The run is over, drained or not: who withdraws is released. */
void members_end(members *mb);

typedef enum { MEMBERS_TAKEN, MEMBERS_STRAY, MEMBERS_GAP } members_verdict;
/** TAKEN: the message's records are to be pushed into partition *idx of the order, which has space.
 *  STRAY: nobody asked for it. GAP: something before it is missing, it will be asked for again. */
members_verdict members_fetched(members *mb, const order *od, const aa_link_peer *from,
                                const aa_fetched *fe, size_t *idx);
/** Messages of a partition to its end, as its owner last said; -1: not known. */
int64_t members_lag(const members *mb, int32_t partition, int64_t position);

/* ---- what to tell them ---- */

typedef struct {
    aa_msg_kind     kind; /* FETCH: `fetch`; RELEASED: `hd`, of which seq is the offer's */
    aa_link_peer    to;
    const aa_fetch *fetch;
    aa_header       hd;
} members_act;
/** The next message to send, valid until the next call; false: nothing now. One that gets lost is
 *  repeated: each offer is answered. @param od  the open run's order */
bool members_step(members *mb, const order *od, members_act *act);

#endif
