/* scorer/replica/replica - a read-only copy of what the pipeline knows, built from its two
 * compacted topics.
 *
 * Kafka keeps the records of a key in order, so the later one wins, and a topic may be read twice.
 * A record of an older run than what is held changes nothing, and a newer run wins whatever its
 * version. After a restart the pipeline publishes everything again under its new run; what is left
 * of older runs only bridges the gap. The three newest runs are told apart (scorer/replica/runtags).
 *
 * What an ID reads:
 *   unknown                  the field's "new ID" record
 *   shared (born 0)          (1-mix)*row[slot] + mix*row[slot+1]
 *   unique (born > 0)        its own row, if that row is of the same run and was made by the same
 *                            batch (row.born == born; a row that does not say:
 *                            row.version >= born), else its shared alternative: never half a
 *                            row, never another owner's. With residual rows (the dense message
 *                            says so) the own row is added to the shared alternative.
 * A row that is not there (and slot AA_NO_SLOT) reads as zeros.
 *
 * Threads: one updater applies records; every thread that scores has a replica_reader of its own.
 * Readers take no lock. A reader waits only if the updater is inside a write of the very row or
 * entry that it reads (a few dozen stores; scorer/replica/seqlock), and never for memory to be freed
 * (scorer/replica/reclaim).
 */
#ifndef AA_SCORER_REPLICA_REPLICA_H
#define AA_SCORER_REPLICA_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/wire_score.h"
#include "common/messages/wire_topic.h"
#include "scorer/replica/names.h"

/* fields of a request; further ones are its context */
enum { REPLICA_USER = AA_USER_FIELD, REPLICA_ITEM = AA_RANKED_FIELD };

typedef struct replica        replica;
typedef struct replica_reader replica_reader;

/** @errors AA_ECONFIG fewer than two fields */
aa_status replica_check(const aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result));
/** cfg is kept (borrowed). @errors AA_ECONFIG fewer than two fields; AA_ENOMEM */
aa_status replica_new(replica **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** @pre no reader is open */
void replica_free(replica **rp_p);

/* ---- the updater's side ---- */

typedef enum {
    REPLICA_APPLIED,
    REPLICA_OLD,       /* a newer record is held, or the deleted key is not there */
    REPLICA_OLDER_RUN, /* dense weights of an older run than those that are held */
    REPLICA_OTHER_LANE /* not ours */
} replica_effect;

/** Apply one message of either topic, by the kind of its key. value NULL: delete.
 *  @errors AA_EPARSE damaged, out of range, or dense weights of another shape than the configured
 *          one; AA_ENOMEM. Nothing changed */
aa_status replica_apply(replica *rp, const void *key, size_t key_len, const void *value, size_t len,
                        replica_effect *effect, aa_err *err) __attribute__((warn_unused_result));
/* One kind each (assignments and new-ID records; names; rows; dense weights). Errors as above. */
aa_status replica_apply_assignment(replica *rp, const aa_topic_key *k, const void *value,
                                   size_t len, replica_effect *effect, aa_err *err)
    __attribute__((warn_unused_result));
aa_status replica_apply_name(replica *rp, const aa_topic_key *k, const void *value, size_t len,
                             replica_effect *effect, aa_err *err)
    __attribute__((warn_unused_result));
aa_status replica_apply_row(replica *rp, const aa_topic_key *k, const void *value, size_t len,
                            replica_effect *effect, aa_err *err)
    __attribute__((warn_unused_result));
aa_status replica_apply_dense(replica *rp, const void *value, size_t len, replica_effect *effect,
                              aa_err *err) __attribute__((warn_unused_result));

/** Time passes: memory of what went long ago is used again. @errors AA_ENOMEM nothing changed */
aa_status replica_tick(replica *rp, int64_t now_ms, aa_err *err)
    __attribute__((warn_unused_result));

typedef struct {
    uint64_t assignments[AA_MAX_FIELDS], rows[AA_MAX_FIELDS]; /* held now */
    uint64_t bytes;                                           /* tables and dense weights */
    uint64_t version, run_id, events;          /* of the dense weights; 0: none yet */
    uint64_t seen_version;                     /* of the newest record of any kind */
    int64_t  newest_kafka_ms, oldest_kafka_ms; /* see aa_dense_message */
    uint64_t names;                            /* of items, held now */
} replica_stats;
void replica_stats_get(const replica *rp, replica_stats *out);

/** Digest of what is served, equal to the learner's (learner_served_digest) when all has arrived:
 *  rows of the newest run in order of (field, slot), then the dense weights. */
uint64_t replica_served_digest(const replica *rp);
/** Digest of the assignments of the newest run: equal on every scorer that has read them all. */
uint64_t replica_assignments_digest(const replica *rp);

/* ---- the readers' side ---- */

/** What is still missing before anything can be scored (a literal), or NULL. @thread any */
const char *replica_missing(const replica *rp);

/** For one thread. @errors AA_EFULL too many readers; AA_ENOMEM */
aa_status replica_reader_open(replica_reader **out, replica *rp, aa_err *err)
    __attribute__((warn_unused_result));
void replica_reader_close(replica_reader **rr_p);

/** Between these two, replica_score and replica_read_id use the same dense weights. Not nested.
 *  @thread the reader's */
void replica_pin(replica_reader *rr);
void replica_unpin(replica_reader *rr);
/** The known items: those that the assigner holds and whose text has come. They and their texts stay
 *  until replica_unpin. @pre pinned. @thread the reader's */
const names_list *replica_items(const replica_reader *rr);

typedef struct {
    uint64_t version; /* of the dense weights */
    int64_t  newest_kafka_ms;
    uint32_t unknown;      /* IDs never seen */
    uint32_t fallbacks;    /* unique IDs that read their alternative, the own row not being there */
    uint32_t rows_missing; /* rows that were read as zeros */
} replica_answer;

/**
 * Predictions for one user with each of n items.
 *   score[i] = sigmoid(model(rows of the user, item i, the context))
 * An item's score does not depend on the rest of the list. It has the bits that the learner would
 * predict from the same rows and dense weights.
 * @param key      (F) ID keys; key[REPLICA_ITEM] is not read
 * @param item     (n) ID keys
 * @param score    (n) written
 * @param reading  (F-1+n) or NULL: what was read: user, items, context
 * @errors AA_EAGAIN no dense weights yet
 * @thread the reader's
 */
aa_status replica_score(replica_reader *rr, const uint64_t *key, const uint64_t *item, size_t n,
                        float *score, aa_score_reading *reading, replica_answer *answer,
                        aa_err *err) __attribute__((warn_unused_result));

/* ---- the table as a whole, for `export`; pinned or not ---- */
/** x (K+1): what an ID reads now; *a: its assignment. False: never seen. @thread the reader's */
bool replica_read_id(replica_reader *rr, size_t field, uint64_t key, float *x, aa_assignment *a,
                     aa_score_reading *rd);
/** x (K+1): what an ID that was never seen reads now. False: that depends on its key, or is not known
 *  yet. @thread the reader's */
bool replica_read_unseen(replica_reader *rr, size_t field, float *x);
/** w (K+1): a row. False: not there. @thread the reader's */
bool replica_read_row(replica_reader *rr, size_t field, uint32_t slot, float *w);
/** The dense weights, valid until the next update; NULL: none yet. @thread updater */
const float *replica_dense_weights(const replica *rp, size_t *count);

#endif
