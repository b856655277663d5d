/* assigner/assigner - the Identity Agent's side of the pipeline: IDs to slots.
 *
 * Owns, per field, the ID table (key -> frequency, position, slot, last seen, lean), the free
 * slots, and the actor; in the default mode, above the fields, the budget of rows and their price.
 * A step has no I/O, no clock and no globals: what it does depends on the configuration, the
 * batches and the rewards, in their order, and on nothing else.
 *
 * Slots of a field: 0 .. k*p-1 are the shared rows (k positions x p lean bins; slot = (pos-1)*p +
 * bin), from k*p on unique rows, lowest free slot first.
 */
#ifndef AA_ASSIGNER_ASSIGNER_H
#define AA_ASSIGNER_ASSIGNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/messages/wire_topic.h"
#include "common/state/checkpoint.h"

typedef struct assigner assigner;

/** cfg is kept (borrowed) for the assigner's life. */
aa_status assigner_new(assigner **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void assigner_free(assigner **as_p);

/**
 * Assign one batch: for every event and field look the ID up (insert it at position 1), take the
 * agent's action, and write what row to read; then, every agent.sweep_every events, one step of the
 * sweep over quiet IDs (default: of a price round over the holders of rows). The rewards
 * of batch in->hd.seq - pipeline.depth must have been learned.
 * @param out  overwritten; out->hd = in->hd
 * @errors AA_EPARSE wrong field count or seq, or rewards are missing: nothing changed;
 *         AA_ENOMEM: the assigner must not be used any more
 */
aa_status assigner_step(assigner *as, const aa_event_batch *in, aa_assigned_batch *out, aa_err *err)
    __attribute__((warn_unused_result));

/** Learn from the rewards of batch rw->hd.seq: must be the next one in order.
 *  @errors AA_EPARSE wrong seq or counts: nothing changed */
aa_status assigner_learn(assigner *as, const aa_reward_batch *rw, aa_err *err)
    __attribute__((warn_unused_result));
/** Sequence number of the next rewards that assigner_learn takes; of the next batch to assign. */
uint64_t assigner_next_reward(const assigner *as);
uint64_t assigner_next_batch(const assigner *as);
uint64_t assigner_events(const assigner *as); /* assigned so far */

/* What changed for scorers since the last call: at most max assignments. *deleted[i]:
 * forgotten ID. */
typedef struct {
    uint32_t      field;
    uint64_t      key;
    bool          deleted;
    aa_assignment a; /* run_id is left to the caller */
} assigner_change;
/** Up to max of them. Fields take turns: a caller that takes fewer than there are gets some of each
 * field.
 *  @param all  begin again with every ID there is (after a restore) */
aa_status assigner_changes(assigner *as, bool all, assigner_change *out, size_t max, size_t *count,
                           aa_err *err) __attribute__((warn_unused_result));
/** Before a last round of assigner_changes: nothing is held back for being small. Without this a
 * mix is sent only when it moved by 0.025 to 0.076 (assigner/field/publish.h), and an ID that reads
 * as an unseen one not at all. */
void assigner_changes_exact(assigner *as);
/** Is it time to publish, whatever the clock shows? Only with agent.budget_bytes, which bounds the
 *  lists of what was forgotten. */
bool assigner_crowded(const assigner *as);
/** From here on (or no more) an ID that is new is sent in any case: for events that a run before
 * may have got to, since scorers may hold what that one made of their IDs. */
void assigner_tell_new(assigner *as, bool on);
/** What an ID that was never seen reads (position 1, no lean; control modes: see aa_assignment). */
void assigner_new_id(const assigner *as, uint32_t field, aa_assignment *out);

/* ---- IDs from outside (the tool `import`), before the first event ---- */
typedef struct {
    uint64_t key;
    bool     own;      /* gets a row of its own, if the budget has one */
    uint32_t position; /* 1..k, of its shared reading; above: k */
    float    place;    /* among the lean bins, see lean.h; < 0: no lean */
    uint32_t signal;   /* common/model/signal; a lean outside of the bins comes from it too */
} aa_import_id;
/** Insert an ID. *out: what it reads; slot and alt_slot tell the learner's rows.
 *  @pre a new assigner: no batch yet
 *  @errors AA_EPARSE twice, or out of range; AA_ECONFIG; AA_ENOMEM */
aa_status assigner_import(assigner *as, uint32_t field, const aa_import_id *id, aa_assignment *out,
                          aa_err *err) __attribute__((warn_unused_result));
/** The imported IDs count as batch 1, of one event whose label was label_mean. */
void assigner_import_end(assigner *as, double label_mean);

/* Counts, per field. */
typedef struct {
    uint64_t ids_seen;    /* distinct IDs ever inserted */
    uint64_t ids;         /* in the table now */
    uint64_t rows_shared; /* k*p, or the mode's own */
    uint64_t rows_unique, rows_unique_peak;
    uint64_t actions[AA_ACTIONS]; /* as taken, by kind */
    uint64_t promotions, demotions;
    uint64_t swept;       /* moves between events (sweep, price round) among them */
    uint64_t visits;      /* of sweep and price rounds, to IDs of any kind */
    uint64_t own_reads;   /* events that read a row of the ID's own */
    uint64_t forgotten;   /* IDs dropped after agent.forget_events */
    uint64_t ids_at[17];  /* IDs by position; [k+1] is unique */
    uint64_t table_bytes; /* ids_bytes, slots_bytes and publish_bytes together */
    uint64_t ids_bytes, slots_bytes, publish_bytes; /* ID table; who holds rows; what to publish */
    uint64_t agent_bytes;                           /* actor, prices, and in_flight_bytes */
    uint64_t
        in_flight_bytes;  /* of all fields, told with the first: decisions without rewards yet */
    uint64_t unannounced; /* forgotten IDs that scorers were not told of (agent.budget_bytes) */
    double   price;       /* default: of a row, in loss saved per event of the stream */
    double   lean_auc;    /* assigner_lean_auc */
    uint64_t budget;      /* default: most rows of all fields together now; 0: none */
    uint64_t bytes_budget,
        bytes_used; /* agent.budget_bytes; what counts towards it, told likewise */
} assigner_stats;
void assigner_stats_get(const assigner *as, uint32_t field, assigner_stats *out);

/* IDs of one frequency (AA_FREQ_BUCKETS of them, common/agent/agent_state.h), as of now: reports
 * over time. */
typedef struct {
    uint64_t ids_at[17];          /* by position; [k+1] is unique */
    uint64_t actions[AA_ACTIONS]; /* so far, at events and visits, by the frequency they met */
    double   ascend, descend; /* mean probability that the actor gives to IDs without, with a row;
                                 NaN: no such IDs, or the mode has no actor */
} assigner_bucket;
/** Looks at every ID: for a report now and then. */
void assigner_buckets_get(const assigner *as, uint32_t field, assigner_bucket *out);

/** The policy now: (states,3) probabilities by aa_state_idx and action, the assigner's until the
 * next assigner_learn; NULL: the mode has no such actor. For reports: does it learn, and what? */
const float *assigner_policy(const assigner *as, uint32_t field, size_t *states);

/** Default: what its actor takes a row to be worth per event of an ID, (AA_FREQ_BUCKETS) by bucket
 * of frequency, until the next assigner_learn; NULL in other modes. */
const float *assigner_worth(const assigner *as, uint32_t field);

/** How well the field's IDs alone tell the label: assigner/leakage. NaN: too few events since this
 *  assigner began or was restored. */
double assigner_lean_auc(const assigner *as, uint32_t field);

/** Digest of the whole state; equal states have equal digests. */
uint64_t assigner_digest(const assigner *as);
/** After a snapshot: make the next piece of memory ready for another (common/state/arena).
 *  False: done. */
bool assigner_tidy(assigner *as);
/** Everything, into sections of a checkpoint, and back. Restoring checks every value; it needs a
 * new assigner, which after an error must not be used. The next assigner_changes sends every ID. */
aa_status assigner_save(const assigner *as, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
aa_status assigner_restore(assigner *as, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
