/* learner/rows/rows - the embedding table of one field: rows, their Adagrad state, who is live.
 *
 * A row is W = K+1 weights and, next to them, accumulators: one place in memory per ID. How rows of
 * an ID's own are stored is rowform's; shared rows are floats with an accumulator each. Rows live in
 * chunks that never move, so that a table grows without copying and a fork shares what does not
 * change. Slots are given out by the assigner; this file only checks that its ops make sense.
 *
 * Shared rows of modes with lean bins (rows_composed) are sums: slot (position-1)*p + bin is what
 * the bin's base row and the position's own row add up to, so that a position nobody has trained
 * yet reads what the others have learned of the bin. Readers, scorers included, see the sums only.
 *
 * In modes with residual rows (aa_residual_rows) an ID's own row begins at 0 and is read as shared
 * reading + row, else it begins as a copy of the shared reading with noise.
 *
 * Ops are checked for a whole batch before any is applied: rows_plan marks what would be live,
 * rows_unplan takes that back, and rows_apply does it. Between batches plan and truth are equal.
 */
#ifndef AA_LEARNER_ROWS_ROWS_H
#define AA_LEARNER_ROWS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/agent/mode.h"
#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/state/checkpoint.h"
#include "learner/learner.h"

#define ROWS_SLOT_END (1u << 30) /* slots are below this */

typedef struct rows rows;

/** Are shared rows sums? */
static inline bool
rows_composed(const aa_conf *cfg)
{
    return aa_lean_bins(cfg) > 1 && aa_shared_rows(cfg) > 0;
}

/** A table with its shared rows (aa_shared_rows). They, or the base rows that they are made of, are
 *  drawn from N(0, model.row_init^2). */
aa_status rows_new(rows **out, uint32_t field, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void rows_free(rows **ro_p);
/** After a snapshot: make the next piece of memory ready for another (common/state/arena).
 *  False: done. */
bool rows_tidy(rows *ro);

/* ---- one batch: plan, then apply ---- */
/** A batch begins; its number chooses how what is stored is rounded (model.row_format). */
void rows_begin(rows *ro, uint64_t seq);
/** Would op fit after those planned so far? If so it is planned, and there is memory for it.
 *  @errors AA_EPARSE: nothing planned; AA_ENOMEM */
aa_status rows_plan(rows *ro, const aa_op *op, aa_err *err) __attribute__((warn_unused_result));
/** Take the last planned op back. */
void rows_unplan(rows *ro, const aa_op *op);
/** May (slot, mix) be read after the ops planned so far? AA_NO_SLOT may: it reads as zeros. */
bool rows_planned(const rows *ro, uint32_t slot, float mix);
/** Do what was planned. seq and op_idx choose the noise of new rows. */
void rows_apply(rows *ro, const aa_op *op, uint64_t seq, uint64_t op_idx);

/** Ask memory for a row that is read soon. */
void rows_prefetch(const rows *ro, uint32_t slot);
/** x (W) = (1-mix) row[slot] + mix row[slot+1]; zeros for AA_NO_SLOT. */
void rows_read(const rows *ro, uint32_t slot, float mix, float *x);
/** x (W) = shared (W) + row[slot]. x may not be shared. */
void rows_read_own(const rows *ro, uint32_t slot, const float *shared, float *x);
/** Room for the gradients of a step of so many readings. */
aa_status rows_reserve(rows *ro, size_t readings, aa_err *err) __attribute__((warn_unused_result));
/**
 * Note the gradient dx (W) towards what was read, of which this reading gets a share. Each row r
 * that the reading is made of, with weight c = share * (1-mix) or share * mix, gets
 *     g = c (dx + l2 r)        l2: model.row_l2, a penalty on the row
 *   In sums both parts get it, the position's row and the base row.
 */
void rows_learn(rows *ro, uint32_t slot, float mix, float share, const float *dx);
/** End of the step: Adagrad for each row that was read, with the sum of its gradients:
 *    acc += g^2,  row -= rate g / sqrt(acc)
 *  One update per row and step cannot overshoot, however often the step read the row. With steps of
 *  one event (model.step 1) rows_learn does this at once: then no row is read twice. */
void rows_update(rows *ro);

/* ---- weights from outside ---- */
/** Shared rows w (shared,W); their optimizer state stays as new. */
void rows_import_shared(rows *ro, const float *w);
/** A live row of an ID's own, of which x (W) is to be read; beside (W): its shared reading. */
void rows_import_own(rows *ro, uint32_t slot, const float *x, const float *beside);

/* ---- what there is ---- */
typedef struct {
    uint64_t live, allocated;
    size_t   row_bytes;  /* of an ID's own row with its optimizer state */
    size_t   base_bytes; /* of base rows, and what shared rows have beyond row_bytes each */
    size_t   held_bytes, optimizer_bytes; /* all that the table takes; accumulators among it */
} rows_stats;
void rows_stats_get(const rows *ro, rows_stats *out);

/** Room for the weights of max changes; what earlier ones point at is gone. */
aa_status rows_reserve_changes(rows *ro, size_t max, aa_err *err)
    __attribute__((warn_unused_result));
/** Up to max rows that changed since they were last taken, in order of slot. A call begins where the
 *  last one ended and goes around, so that none waits for ever.
 *  @pre rows_reserve_changes(max), unless own rows are plain */
size_t rows_changes(rows *ro, learner_change *out, size_t max);
/** Every live row counts as changed. */
void rows_touch_all(rows *ro);

/** Live rows in order of slot, with optimizer state. */
uint64_t rows_digest(const rows *ro, uint64_t d);
/** As learner_served_digest has it. */
uint64_t  rows_served_digest(const rows *ro, uint64_t d);
aa_status rows_save(const rows *ro, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** Into a fresh table; every row counts as changed. On error the table is not to be used. */
aa_status rows_restore(rows *ro, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
