/* assigner/policy/price - the default mode's budget, and the price of a row that clears it.
 *
 * Rows of all fields come from one budget: agent.rows_share of the IDs seen at least twice, at
 * least agent.rows_least. It is hard: when it is used up nobody gets a row. Whom it goes to is up
 * to the price (the dual variable of the budget): an ID takes a row if its index
 * (assigner/policy/row_actor) is worth agent.swap_margin times the price, and gives it back when
 * its index is below the price.
 *
 * Once per round over all holders the price is set to the index of the target-th best of them, the
 * target being the budget less room for the demand of a round. When fewer hold a row, it falls.
 * A field with a limit of its own (fields.<f>.budget_rows) has a price of its own in the same way;
 * the higher of the two counts. agent.row_cost is the least price.
 *
 * A round is: count (the index of each holder goes into a histogram and beside its slot), clear
 * (prices), release (those below the price). Walking over the holders is
 * assigner/policy/price_round's.
 */
#ifndef AA_ASSIGNER_POLICY_PRICE_H
#define AA_ASSIGNER_POLICY_PRICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/state/checkpoint.h"

typedef struct {
    double   price;    /* worth of a row, per event of the stream */
    double   expected; /* demand of a round, as a moving mean */
    uint64_t asked;    /* rows asked for since the last clearing, given or not */
} price_market;

enum { PRICE_IDLE, PRICE_COUNT, PRICE_RELEASE };

/* Saved and digested in the order of its members. */
typedef struct {
    price_market all, field[AA_MAX_FIELDS];
    uint64_t     returned;   /* IDs seen at least twice, all fields together */
    uint64_t     round_from; /* number of the event at which the round began, or the last one */
    uint64_t     next_step;  /* event after which the round goes on */
    uint64_t     rounds;     /* cleared */
    float        cut[AA_MAX_FIELDS]; /* RELEASE: rows of a lower index go back */
    uint32_t counted[AA_MAX_FIELDS]; /* indices kept in this round, from the first unique slot */
    uint32_t phase, f, at, unused;   /* where the round stands */
} price_state;

typedef struct {
    const aa_conf *cfg;
    size_t         F;
    price_state    ps;
    uint64_t       held, budget;         /* rows of all fields */
    uint64_t       used[AA_MAX_FIELDS];  /* by field */
    uint64_t       limit[AA_MAX_FIELDS]; /* of the field itself; 0: none */
    float          ask[AA_MAX_FIELDS];   /* what an ID's index is compared with; 0: anyone may */
    float         *index[AA_MAX_FIELDS]; /* (counted) INFINITY: nobody held the row */
    size_t         cap[AA_MAX_FIELDS];
    uint32_t      *hist; /* (F,bins) of the indices counted so far */
} price;

/** @param limit  (F) most rows of each field, 0: none */
aa_status price_init(price *pr, const aa_conf *cfg, const uint64_t *limit, aa_err *err)
    __attribute__((warn_unused_result));
void price_fini(price *pr); /* also on zeroed memory */

/** From here on a field has no memory for more rows than this: a limit of its own, and a price. */
void price_bind(price *pr, uint32_t f, uint64_t rows);
/** An ID that would pay the price wants a row: is there one to be had? */
bool price_admits(price *pr, uint32_t f);
void price_took(price *pr, uint32_t f);
void price_gave(price *pr, uint32_t f);
/** An ID was seen for the second time (+1); an ID seen more than once was forgotten (-1). */
void price_returned(price *pr, int change);
/** Price of a row in the field now. */
double price_of(const price *pr, uint32_t f);

/** A new round: nothing counted. */
void price_begin(price *pr, uint64_t now);
/** The index of the next row of a field, INFINITY if nobody holds it. */
aa_status price_count(price *pr, uint32_t f, float index, aa_err *err)
    __attribute__((warn_unused_result));
/** All holders were counted: set the prices and cuts. */
void price_clear(price *pr);

size_t price_bytes(const price *pr);
/** The most for one field, if it never held more rows than this. */
uint64_t  price_most_bytes(uint64_t rows);
uint64_t  price_digest(const price *pr, uint64_t d);
aa_status price_save(const price *pr, aa_ckpt_writer *w, aa_err *err)
    __attribute__((warn_unused_result));
/** @param end   (F) unique slots ever used; used: (F) in use now
 *  @param events  so far */
aa_status price_restore(price *pr, const size_t *end, const size_t *used, uint64_t events,
                        aa_ckpt_reader *r, aa_err *err) __attribute__((warn_unused_result));

#endif
