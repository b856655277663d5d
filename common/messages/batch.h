/* common/messages/batch - batches in memory: arrays of events as they flow through the pipeline.
 *
 * (n,F) arrays are row-major: x[i*F + f] is event i, field f. Which arrays an event has is said in
 * common/messages/columns. The arrays are owned by the batch and grow as needed. Reserving changes
 * storage only: the counts (n, m, op_count, sweep_count) and hd are the caller's to set, so a loop
 * empties a batch with n = op_count = sweep_count = 0 and allocates once. common/messages/wire
 * turns batches into messages and back.
 */
#ifndef AA_COMMON_MESSAGES_BATCH_H
#define AA_COMMON_MESSAGES_BATCH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "common/agent/agent_state.h"
#include "common/base/status.h"
#include "common/messages/columns.h"

#define AA_NO_SLOT UINT32_MAX

typedef struct {
    uint64_t run_id; /* which (re)start of the pipeline; greater is newer */
    uint64_t seq;    /* 1, 2, 3, ... over the pipeline's life */
    uint32_t lane;
} aa_header;

/* ingest -> assigner */
typedef struct {
    aa_header hd;
    size_t    n, F, cap;
    AA_EVENT_COLUMN_MEMBERS;
    int64_t oldest_kafka_ms;
} aa_event_batch;
extern const aa_column_table aa_event_columns;

/* What happens to rows before event `event_idx` of the batch is predicted, in order.
 * event_idx == n: after the last event.
 *   PROMOTE  new unique row `slot` = source row (interpolated) + noise, with fresh optimizer state;
 *            a residual row (aa_residual_rows) begins at 0, whatever the source
 *   FREE     `slot` holds nothing any more
 *   INIT     new row `slot` drawn from the initial distribution (control modes) */
typedef enum { AA_OP_PROMOTE = 1, AA_OP_FREE = 2, AA_OP_INIT = 3 } aa_op_kind;

typedef struct {
    uint32_t event_idx;
    uint8_t  kind; /* aa_op_kind */
    uint8_t  field;
    uint32_t slot;
    uint32_t source; /* PROMOTE: shared slot copied from */
    float    source_mix;
} aa_op;

/* One reading of a field's table: (1-mix)*row[slot] + mix*row[slot+1]; mix is 0 for a unique
 * row. slot AA_NO_SLOT reads as zeros. */

/* What the assigner adds to the columns that it passes on. As AA_EVENT_COLUMNS.
 *
 * alt_slot is the shared reading of an ID that holds its own row, or AA_NO_SLOT. Residual rows
 * (aa_residual_rows): always there, and what is read is shared reading + row[slot]. In any mode the
 * learner also predicts with the shared reading alone (counterfactual) where it is given. */
#define AA_ASSIGNED_COLUMNS(X)                                                                     \
    X(slot, uint32_t, AA_PER_FIELD, AA_CHECK_ANY, AA_NEEDED, AA_NO_SLOT)                           \
    X(mix, float, AA_PER_FIELD, AA_CHECK_MIX, AA_OPTIONAL, 0)                                      \
    X(alt_slot, uint32_t, AA_PER_FIELD, AA_CHECK_ANY, AA_OPTIONAL, AA_NO_SLOT)                     \
    X(alt_mix, float, AA_PER_FIELD, AA_CHECK_MIX, AA_OPTIONAL, 0)                                  \
    /* what is known of the ID beside its rows (common/model/signal) */                            \
    X(signal, uint32_t, AA_PER_FIELD, AA_CHECK_SIGNAL, AA_OPTIONAL, 0)                             \
    /* AA_STATE_WORD, or AA_NO_STATE */                                                            \
    X(state, uint32_t, AA_PER_FIELD, AA_CHECK_STATE, AA_NEEDED, AA_NO_STATE)                       \
    /* index only */                                                                               \
    X(next_state, uint32_t, AA_PER_FIELD, AA_CHECK_NEXT_STATE, AA_NEEDED, AA_NO_STATE)             \
    /* mean of the ID's last T losses (paper's reward), NaN: none yet */                           \
    X(baseline, float, AA_PER_FIELD, AA_CHECK_NOT_INFINITE, AA_OPTIONAL, NAN)                      \
    /* least number of earlier events among the event's IDs */                                     \
    X(seen, uint32_t, AA_PER_EVENT, AA_CHECK_ANY, AA_NEEDED, 0)

/* assigner -> learner */
typedef struct {
    aa_header hd;
    size_t    n, F, cap;
    AA_ASSIGNED_COLUMNS(AA_COLUMN_MEMBER)
    AA_EVENT_COLUMNS(AA_COLUMN_SKIP, AA_COLUMN_MEMBER) /* passed on */
    aa_op    *op;                                      /* (op_count) sorted by event_idx */
    size_t    op_count, op_cap;
    uint32_t *sweep_state, *sweep_next_state, *sweep_field; /* (sweep_count) */
    size_t    sweep_count, sweep_cap;
    int64_t   oldest_kafka_ms;
} aa_assigned_batch;
extern const aa_column_table aa_assigned_columns;

/* learner -> assigner */
typedef struct {
    aa_header hd;
    size_t    n, m, cap_n, cap_m; /* m = n*F + sweep_count decisions */
    float    *loss;               /* (n) */
    float    *reward;             /* (m) */
    float    *advantage;          /* (m) */
} aa_reward_batch;

/** Room for n events of F fields, contents kept; sets F. cap counts elements of (n,F), and every
 * array of the batch has room for as many. Grows geometrically: calling it with n+1 per event is
 * cheap.
 *  @errors AA_ENOMEM: contents, counts and F unchanged */
aa_status aa_event_batch_reserve(aa_event_batch *b, size_t n, size_t F, aa_err *err)
    __attribute__((warn_unused_result));
void aa_event_batch_fini(aa_event_batch *b);
/** The batch's events, chained to digest d. An optional column that is at its default adds nothing:
 *  a column that nobody uses changes no digest. */
uint64_t aa_event_batch_digest(const aa_event_batch *b, uint64_t d);

aa_status aa_assigned_batch_reserve(aa_assigned_batch *b, size_t n, size_t F, aa_err *err)
    __attribute__((warn_unused_result));
/** Copy the columns of in's events that are passed on. @pre out has room for them */
void aa_assigned_batch_pass(aa_assigned_batch *out, const aa_event_batch *in);
/** Room for this many ops, sweep decisions; contents kept, counts unchanged. */
aa_status aa_assigned_batch_reserve_ops(aa_assigned_batch *b, size_t count, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_assigned_batch_reserve_sweep(aa_assigned_batch *b, size_t count, aa_err *err)
    __attribute__((warn_unused_result));
/** Append an op; grows. */
aa_status aa_assigned_batch_op(aa_assigned_batch *b, aa_op op, aa_err *err)
    __attribute__((warn_unused_result));
/** Append a decision of the sweep; grows. */
aa_status aa_assigned_batch_sweep(aa_assigned_batch *b, uint32_t field, uint32_t state,
                                  uint32_t next_state, aa_err *err)
    __attribute__((warn_unused_result));
void aa_assigned_batch_fini(aa_assigned_batch *b);

aa_status aa_reward_batch_reserve(aa_reward_batch *b, size_t n, size_t m, aa_err *err)
    __attribute__((warn_unused_result));
void aa_reward_batch_fini(aa_reward_batch *b);

#endif
