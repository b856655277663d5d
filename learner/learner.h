/* learner/learner - predict, record, then train; rewards; the critic.
 *
 * Owns the embedding rows and their optimizer state, the dense weights, the critic and the
 * prequential quality. Sees slots, never IDs. A step has no I/O, no clock and no globals.
 */
#ifndef AA_LEARNER_LEARNER_H
#define AA_LEARNER_LEARNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/model/model.h"
#include "common/state/checkpoint.h"
#include "learner/quality.h"

typedef struct learner learner;

/** cfg is kept (borrowed) for the learner's life. */
aa_status learner_new(learner **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void learner_free(learner **le_p);

/**
 * One batch: for each optimizer step (model.step events): apply the ops that come before its
 * events, predict all of them, record, train. Then rewards, and the critic's update.
 * @param out         overwritten; out->hd = in->hd
 * @param prediction  (n) written if not NULL
 * @errors AA_EPARSE a slot or state out of range or an op that does not fit: nothing changed;
 *         AA_ENOMEM, or AA_EDIVERGED: a prediction, reward or weight is not finite: do not use the
 *         learner any more
 */
aa_status learner_step(learner *le, const aa_assigned_batch *in, aa_reward_batch *out,
                       float *prediction, aa_err *err) __attribute__((warn_unused_result));

/** The rewards of one of the last pipeline.depth+1 batches once more; NULL: not kept. */
const aa_reward_batch *learner_rewards(const learner *le, uint64_t seq);
uint64_t               learner_next_batch(const learner *le);

/** Prequential quality so far. */
void learner_quality(const learner *le, quality_summary *out);
/** Those of the events since the last call (quality_window). Does not show in the digest. */
void learner_window(learner *le, quality_values *out);

/* Rows that changed since the last call, for the model topic. */
typedef struct {
    uint32_t     field, slot;
    bool         deleted;
    uint64_t     born; /* seq of the batch whose op (PROMOTE, INIT) made the row; 0: a shared row */
    const float *w;    /* (K+1), the learner's, until the next step or call */
} learner_change;
/** Up to max of them. Fields take turns: a caller that takes fewer than there are gets some of each field.
 *  @param all  begin again with every row there is */
aa_status    learner_changes(learner *le, bool all, learner_change *out, size_t max, size_t *count,
                             aa_err *err) __attribute__((warn_unused_result));
const float *learner_dense(const learner *le, size_t *count);

typedef struct {
    uint64_t events;
    uint64_t rows_live, rows_allocated; /* all fields */
    uint64_t row_bytes; /* live rows and base rows with their optimizer state; peak below */
    uint64_t row_bytes_peak;
    uint64_t rows_held_bytes;     /* tables of rows as they are in memory, free rows too */
    uint64_t row_optimizer_bytes; /* among them */
    uint64_t in_flight_bytes;     /* rewards that may be asked for again, and a step's scratch */
    uint64_t dense_bytes, critic_bytes;
    double   td_error_mean_abs, reward_mean;
} learner_stats;
void learner_stats_get(const learner *le, learner_stats *out);

/* ---- a table from outside (the tool `import`), into a learner without events: the shared rows, a
 * batch without events whose ops make the own rows, then those ---- */
size_t learner_shared_rows(const learner *le); /* of each field */
/** w (shared,W) */
void learner_import_shared(learner *le, uint32_t field, const float *w);
/** The row of an ID that is to read x (W), shared reading (alt_slot, alt_mix) included.
 *  @errors AA_EPARSE no such row; AA_ENOMEM */
aa_status learner_import_row(learner *le, uint32_t field, uint32_t slot, uint32_t alt_slot,
                             float alt_mix, const float *x, aa_err *err)
    __attribute__((warn_unused_result));
/** @errors AA_EPARSE another number than the model has */
aa_status learner_import_dense(learner *le, const float *w, size_t count, aa_err *err)
    __attribute__((warn_unused_result));

/** Digest of rows, dense weights, optimizers, critic and quality. */
uint64_t learner_digest(const learner *le);
/** Digest of what scorers hold: shared rows as they are read, base rows added. From d = 0,
 *    for each live row in order of (field, slot)
 *        d = aa_digest(d, (uint32_t[2]){field, slot}, 8)
 *        d = aa_digest(d, w, (K+1) floats)
 *    d = aa_digest(d, dense weights) */
uint64_t learner_served_digest(const learner *le);
/** After a snapshot: make the next piece of memory ready for another (common/state/arena).
 *  False: done. */
bool      learner_tidy(learner *le);
aa_status learner_save(const learner *le, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** On error the learner is as it was. After success every row counts as changed. */
aa_status learner_restore(learner *le, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
