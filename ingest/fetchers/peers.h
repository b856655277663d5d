/* ingest/fetchers/peers - who reads which partition for this lane: the sequencer itself and its fetchers.
 *
 * A state machine without I/O or clock. The group deals partitions to the sequencer (peers_own) and
 * to fetchers, who say so (peers_offer). The union of these is what a run reads: peers_take makes
 * it the next run's, peers_begin opens that. Whenever the union or an owner differs from the run's,
 * peers_changed says so: the run is drained and committed, and another begins.
 *
 * In a run each partition of a fetcher is a stream of messages numbered 1, 2, ... Only the next one
 * is taken; after a gap the sequencer asks again from where it stands, in a new attempt. So what a
 * fetcher sends late, twice, or for another run changes nothing, and as every fetcher reads the
 * same bytes from Kafka it does not matter who sent them.
 *
 * What may be under way is told to the fetcher in numbers that only grow within an attempt: records
 * (as far as the order has space for them) and messages that were taken (it may be PEERS_MESSAGES
 * ahead; while the order is full of dead letters, no more are said to be taken). When nothing
 * leaves the order, fetchers stop.
 *
 * An offer carries its term, the number of the dealing that it is of, and what a fetcher is told
 * carries the term of the offer that it answers: a word to one dealing is none to the next, and
 * with another term all its streams begin a new attempt.
 */
#ifndef AA_INGEST_FETCHERS_PEERS_H
#define AA_INGEST_FETCHERS_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/messages/wire_fetch.h"
#include "ingest/order.h"

typedef struct peers peers;

#define PEERS_SELF     0     /* the sequencer's own number among the owners */
#define PEERS_MAX      256   /* it and its fetchers */
#define PEERS_WINDOW   16384 /* records of a partition under way or in the order */
#define PEERS_MESSAGES 8     /* messages of a partition sent and not known to be taken */
/* Before a run is opened the union has to stand still for so long, unless it is the whole topic. */
#define PEERS_SETTLE_US 1500000

typedef struct {
    int32_t partition;
    size_t  owner;
} peers_part;

/** cfg is kept (borrowed). @errors AA_ENOMEM */
aa_status peers_new(peers **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void peers_free(peers **pe_p);

/* ---- who has what ---- */

/** Partitions that the topic has: with all of them there is nobody to wait for. */
void peers_topic(peers *pe, size_t partitions);
/** What the group dealt to the sequencer, ascending. known: false from giving them back to the next
 *  dealing; no run can be opened meanwhile. @errors AA_ENOMEM */
aa_status peers_own(peers *pe, const int32_t *partition, size_t n, bool known, int64_t now_us,
                    aa_err *err) __attribute__((warn_unused_result));

typedef enum { PEERS_SAME, PEERS_DEALT, PEERS_WITHDRAWS, PEERS_LEAVES } peers_news;
/** A fetcher's offer, which is answered by peers_step. *news: what is new in it.
 *  @errors AA_ECONFIG it is of another pipeline, lane or decoding; AA_EFULL too many; AA_ENOMEM */
aa_status peers_offer(peers *pe, const aa_link_peer *from, const aa_offer *of, int64_t now_us,
                      peers_news *news, aa_err *err) __attribute__((warn_unused_result));
/** Give up one fetcher that has been silent for too long: its name until the next call, or NULL. */
const char *peers_silent(peers *pe, int64_t now_us);
/** Fetchers that are heard from; those of them with a partition in the run. */
size_t peers_count(const peers *pe);
size_t peers_working(const peers *pe);

/* ---- runs ---- */

/** The union is not the open run's any more. */
bool peers_changed(const peers *pe);
/** There is something to read, and it has stood still long enough to begin. */
bool peers_settled(const peers *pe, int64_t now_us);
/** A fetcher was asked for offsets that Kafka has no more: once in a run. */
bool peers_lost(peers *pe);
/** Partitions of the union. */
size_t peers_wanted(const peers *pe);
/** End what is open; the union as it is now is the next run's: *part (*n), ascending, valid until
 *  the next call. @errors AA_ENOMEM */
aa_status peers_take(peers *pe, const peers_part **part, size_t *n, aa_err *err)
    __attribute__((warn_unused_result));
/** Open it. @param position  (n) offset of each partition's next event */
void peers_begin(peers *pe, uint64_t run_id, const int64_t *position);
/** The run is over, drained or not: who withdraws is released. */
void peers_end(peers *pe);

typedef enum { PEERS_TAKEN, PEERS_STRAY, PEERS_GAP } peers_verdict;
/** TAKEN: the message's records are to be pushed into partition *idx of the order, which has space.
 *  STRAY: nobody asked for it. GAP: something before it is missing, it will be asked for again. */
peers_verdict peers_fetched(peers *pe, const order *od, const aa_link_peer *from,
                            const aa_fetched *fe, size_t *idx);
/** Messages of a partition to its end, as its owner last said; -1: not known. */
int64_t peers_lag(const peers *pe, int32_t partition, int64_t position);

/* ---- what to tell them ---- */

typedef struct {
    aa_msg_kind     kind; /* FETCH: `fetch`; RELEASED: `hd`, of which seq is the offer's */
    aa_link_peer    to;
    const aa_fetch *fetch;
    aa_header       hd;
} peers_act;
/** The next message to send, valid until the next call; false: nothing now. One that gets lost is
 *  repeated: each offer is answered. @param od  the open run's order */
bool peers_step(peers *pe, const order *od, peers_act *act);

#endif
