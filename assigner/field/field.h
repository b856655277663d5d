/* assigner/field/field - one ID field: its IDs, rows, policy and what scorers know of them.
 *
 * An event goes through: find (insert), assign (the policy's move, rows, the reading), observe
 * (frequency, gap and lean take the event in). The sweep visits IDs between events. All moves
 * between positions, and with them every op, pass through promote and demote here, so that the
 * budget, the slots and the counts hold in every mode.
 */
#ifndef AA_ASSIGNER_FIELD_FIELD_H
#define AA_ASSIGNER_FIELD_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assigner/assigner.h"
#include "assigner/field/idtable.h"
#include "assigner/field/publish.h"
#include "assigner/field/slots.h"
#include "assigner/field/victims.h"
#include "assigner/inflight.h"
#include "assigner/policy/actor.h"
#include "assigner/policy/policy.h"
#include "assigner/policy/price.h"
#include "assigner/policy/row_actor.h"
#include "common/agent/mode.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"

/* Counters and cursors: plain state, saved and digested as it stands. */
typedef struct {
    uint64_t ids_seen;
    uint64_t ids_peak;                             /* most IDs at once so far */
    uint64_t actions[AA_FREQ_BUCKETS][AA_ACTIONS]; /* by the frequency they met */
    uint64_t own_reads;
    uint64_t promotions, demotions, swept, forgotten;
    uint64_t visits; /* of sweep and price rounds so far: the sweep's counter of random numbers */
    uint64_t gap_count;
    double   gap_sum;              /* of all gaps between two events of an ID */
    uint64_t next_id, next_forget; /* the sweep's cursors: hashes, */
    uint32_t next_slot;            /* ... and from the first unique slot */
    uint32_t unused;
    victims  vi;
} field_state;

typedef struct {
    const aa_mode *mode;
    policy         policy;
    policy_env     env;
    uint32_t       p;        /* lean bins */
    bool           residual; /* own rows add to the shared reading */
    bool           signals;  /* the model reads what is known of IDs beside their rows */
    uint32_t       rows;     /* own rows by key (hash): how many; else 0 */
    size_t         window;   /* reward by the drop of the loss: T; else 0 */
    idtable        tbl;
    slots          sl;
    actor          ac; /* AA_ACTOR_NETWORK */
    row_actor      ra; /* AA_ACTOR_ROW */
    publish        pb;
    field_state    fs;
    uint64_t       ids_at[17]; /* by position */
} field;

/* Where a step is: what all fields share while a batch is assigned. */
typedef struct {
    aa_assigned_batch *out;
    inflight          *fl;
    inflight_batch    *ib;
    uint64_t           seq;  /* of the batch */
    uint64_t           now;  /* number of the event; between events: of the last one */
    size_t             i;    /* its index; between events: one after the last one's */
    uint64_t           draw; /* start of the event's random bits, for rounding */
} field_step;

/* An ID that is worked on. Nothing of its field may be inserted or removed meanwhile. */
typedef struct {
    uint64_t hash, place; /* in the table */
    id_entry e;
    float    frequency;  /* decayed to the event under way: field_assign's, for field_observe */
    publish_reading was; /* what it read when it was loaded, unless it is queued for publication */
} field_id;

/** Most unique rows of a field, from fields.<f>.budget_rows and budget_bytes; 0: no limit.
 *  @errors AA_ECONFIG fewer bytes than a row has */
aa_status field_row_limit(const aa_conf *cfg, uint32_t f, uint64_t *limit, aa_err *err)
    __attribute__((warn_unused_result));
/** Bytes that the mode keeps beside each ID. */
size_t field_extra_bytes(const aa_conf *cfg);
/** @param pr  what rows cost, shared by the fields of a mode that has prices (borrowed)
 *  @param bb  what all fields may hold (borrowed)
 *  @errors AA_ECONFIG a setting that does not fit the mode */
aa_status field_init(field *fd, const aa_conf *cfg, uint32_t f, price *pr, byte_budget *bb,
                     aa_err *err) __attribute__((warn_unused_result));
void      field_fini(field *fd); /* also on zeroed memory */

/** Ops at the very start of the stream. */
aa_status field_open(field *fd, const field_step *sp, aa_err *err)
    __attribute__((warn_unused_result));
/** Load the ID of a key, which is inserted if need be. hint: where it was found a moment ago. */
aa_status field_find(field *fd, const field_step *sp, uint64_t key, uint64_t hint, field_id *id,
                     aa_err *err) __attribute__((warn_unused_result));
/** Insert the ID at id->hash, at position 1, and load it. @pre it is not there; there is room for it:
 *  field_id_fits, field_make_place */
aa_status field_insert(field *fd, uint64_t now, field_id *id, aa_err *err)
    __attribute__((warn_unused_result));
/** Move the ID and write what the event reads in this field. */
aa_status field_assign(field *fd, const field_step *sp, field_id *id, aa_err *err)
    __attribute__((warn_unused_result));
/** Take the event in, and store the ID. others: sum of the other fields' leans before it. */
aa_status field_observe(field *fd, const field_step *sp, field_id *id, float label, double mean,
                        float others, aa_err *err) __attribute__((warn_unused_result));
/** One step of the sweep. */
aa_status field_sweep(field *fd, const field_step *sp, aa_err *err)
    __attribute__((warn_unused_result));
/** Index (assigner/policy/row_actor) of the holder of a row, after the last event. */
float field_index(const field *fd, uint32_t slot, uint64_t now);
/** A holder gives its row back. */
aa_status field_release(field *fd, const field_step *sp, uint32_t slot, aa_err *err)
    __attribute__((warn_unused_result));
/** Load the ID at id->hash and id->place; of the holder of a row; and store it. bits: 64 random
 *  ones, 0 if nothing changed that is rounded. */
void field_load(const field *fd, uint64_t now, field_id *id);
void field_holder(const field *fd, uint32_t slot, uint64_t now, field_id *id);
void field_store(field *fd, const field_id *id, uint64_t bits);
/** Scorers have heard of it. */
void field_sent(field *fd, field_id *id);
static inline uint32_t
field_tag(const field_id *id)
{
    return (uint32_t)(id->hash >> 32);
}
/** For assigner/field/field_sweep.c: carry out a move (what cannot be is turned into staying); tell
 *  publication that the ID's reading may have changed. */
aa_status field_apply(field *fd, const field_step *sp, field_id *id, float frequency,
                      policy_move *mv, aa_err *err) __attribute__((warn_unused_result));
aa_status field_note(field *fd, field_id *id, aa_err *err) __attribute__((warn_unused_result));
/** For assigner/field/field_evict.c: does the mode have shared rows? The ID gives its row back,
 *  without a decision of the policy; an ID without a row is removed. */
bool      field_has_shared_rows(const field *fd);
aa_status field_take_row(field *fd, const field_step *sp, field_id *id, aa_err *err)
    __attribute__((warn_unused_result));
aa_status field_forget(field *fd, const field_id *id, aa_err *err)
    __attribute__((warn_unused_result));
/** Before an ID is inserted: claim its bytes (agent.budget_bytes), or let the least ID go. */
aa_status field_make_place(field *fd, const field_step *sp, aa_err *err)
    __attribute__((warn_unused_result));
/** Does the budget in bytes have room for another ID; another own row? If so it is claimed. */
bool field_id_fits(field *fd);
bool field_row_fits(field *fd);
/** Most own rows of the field from here on, where the budget in bytes is used up; 0: it is not. */
uint64_t field_rows_bound(const field *fd);
/** The next ID of a walk that goes round and round, at *cursor (a hash) or behind it: hash and place
 *  of it; *cursor moves on. @pre there is an ID */
field_id field_walk_round(const field *fd, uint64_t *cursor);
/** Reward by the drop of the loss: an event's loss goes into the ID's window, if the ID is still
 * there. */
void field_loss(field *fd, uint64_t key, float loss);

/** What an ID reads now, as scorers are told. */
void field_reading(const field *fd, const id_entry *e, aa_assignment *out);
/** What an ID that was never seen reads. */
void field_unseen(const field *fd, aa_assignment *out);

/** Insert an ID that comes from outside, in batch seq, at event now; *out: what it reads.
 *  @errors AA_EPARSE twice, or out of range; AA_ECONFIG the mode has no such rows; AA_ENOMEM */
aa_status field_import(field *fd, const aa_import_id *id, uint64_t seq, uint64_t now,
                       aa_assignment *out, aa_err *err) __attribute__((warn_unused_result));

void      field_stats(const field *fd, assigner_stats *out);
void      field_buckets(const field *fd, uint64_t now, assigner_bucket *out);
uint64_t  field_digest(const field *fd, uint64_t d, uint64_t first, uint64_t last);
aa_status field_save(const field *fd, uint64_t first, uint64_t last, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** @param events  events so far: nothing may be from after them */
aa_status field_restore(field *fd, uint64_t first, uint64_t last, uint64_t events,
                        aa_ckpt_reader *r, aa_err *err) __attribute__((warn_unused_result));

#endif
