/* ingest/source - Kafka's side of ingest: where to begin, what has arrived, what is committed.
 *
 * Replay assigns itself every partition of the topic; live is a member of the group and gets some.
 * Messages become events here and go into the order; what does not decode goes there as a letter.
 *
 * With fetchers (source_share) a run also has the partitions that the group dealt to them: where
 * they go on and what is committed is found and done here too, but they are not read here.
 */
#ifndef AA_INGEST_SOURCE_H
#define AA_INGEST_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_consumer.h"
#include "ingest/decode/announce.h"
#include "ingest/fetchers/members.h"
#include "ingest/order.h"
#include "ingest/resume.h"

typedef struct source source;

/** cfg is kept (borrowed).
 *  @errors AA_ECONFIG properties, ingest.replay_from, or no such topic; AA_EIO no broker;
 *  AA_ENOMEM */
aa_status source_open(source **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void source_close(source **so_p);
/** Items seen from now on are told to it (borrowed); NULL: to nobody. */
void source_announce(source *so, announce *an);
/** Live: the lane's partitions are those of mb's union (borrowed). */
void source_share(source *so, members *mb);

/** Serve the group. @errors AA_EIO the consumer is of no more use */
aa_status source_poll(source *so, aa_consumer_event *event, aa_err *err)
    __attribute__((warn_unused_result));
/** There are partitions to read (replay: always; live: between ASSIGNED and release, or while
 *  fetchers have some). */
bool source_has_partitions(const source *so);
/** Where the partitions go on: the last commit, or the one before when its checkpoint cannot be
 *  used (resume_find), or the configured start (re->epoch 0).
 *  @param bad  an epoch that a process downstream cannot use, 0: none
 *  @errors AA_EIO broker trouble; AA_EPARSE no checkpoint can be used; AA_ECONFIG; AA_ENOMEM */
aa_status source_lookup(source *so, resume *re, uint64_t bad, aa_err *err)
    __attribute__((warn_unused_result));
/** ingest.on_lost_offset: events that Kafka has no more are skipped instead of being an error. */
bool source_skips_losses(const source *so);
/** A partition stands still because its messages cannot be unpacked, or their schema cannot be had,
 *  in words; NULL: none. */
const char *source_trouble(const source *so);
/** The schema registry cannot be reached; schemas that came from it, tries that failed. */
bool source_registry_away(const source *so, uint64_t *fetched, uint64_t *failed);
/** Events in the gaps that were skipped, as far as their number can be known; *gaps: of gaps. */
uint64_t source_lost(const source *so, uint64_t *gaps);
/** Messages that the configuration passes over (event.label_other, fields.<f>.missing: skip), those
 *  read again included. */
uint64_t source_passed_over(const source *so);
/** Read from there; the run's fetchers are asked to. */
aa_status source_start(source *so, const resume *re, uint64_t run_id, aa_err *err)
    __attribute__((warn_unused_result));
/** Move what has arrived into the order as far as it has room; *got: messages and ends.
 *  @errors AA_ECONFIG the events to go on from are gone, or cannot be unpacked; AA_EIO; AA_ENOMEM */
aa_status source_pump(source *so, order *od, size_t *got, aa_err *err)
    __attribute__((warn_unused_result));
/** @errors as aa_consumer_commit_send and aa_consumer_commit_answer */
aa_status source_commit(source *so, const resume *re, aa_err *err)
    __attribute__((warn_unused_result));
aa_status source_committed(source *so, bool *answered, aa_err *err)
    __attribute__((warn_unused_result));
/** Give our own partitions back to the group. */
aa_status source_release(source *so, aa_err *err) __attribute__((warn_unused_result));

/** Readable when something has arrived; cleared before looking. */
int  source_fd(const source *so);
void source_clear_fd(source *so);

/** Partitions that the group dealt to us last. */
size_t source_dealt(const source *so);
/** Number of partitions of the run, and of each its number in Kafka. */
size_t  source_partition_count(const source *so);
int32_t source_partition(const source *so, size_t idx);
/** Messages of partition idx from position to its end (replay: the replay's); -1: not known yet. */
int64_t source_lag(const source *so, size_t idx, int64_t position);

#endif
