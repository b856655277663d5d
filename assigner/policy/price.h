/* assigner/policy/price - the default mode's price of a row, and the limits on how many there are.
 *
 * An ID takes a row if its index (assigner/policy/row_actor), the loss that the row saves per event
 * of the stream, is worth agent.swap_margin times the price, and gives it back when its index is
 * below the price. The price is
 *
 *   agent.price / IDs in the tables of all fields
 *
 * so that rows for all IDs together cost agent.price per event: that number means the same whatever
 * the length of the stream, the number of IDs and the size of a row. agent.row_cost is the least
 * price of one row.
 *
 * Limits: agent.rows_share of the IDs seen at least twice, at least agent.rows_least, for all fields
 * together; fields.<f>.budget_rows for a field. They are hard: when one is used up nobody gets a
 * row. Once per round over all holders a market's price (the dual variable of its limit) is set to
 * the index of the target-th best holder, the target being the limit less room for the demand of a
 * round; when fewer hold a row, it falls. The highest of all these prices counts.
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
    uint64_t       ids;                  /* IDs of all fields */
    double         share;                /* of agent.price, for one of these */
    uint64_t       used[AA_MAX_FIELDS];  /* by field */
    uint64_t       limit[AA_MAX_FIELDS]; /* of the field itself; 0: none */
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
/** An ID came into a table (+1), or was forgotten (-1). */
void price_ids(price *pr, int change);
/** An ID was seen for the second time (+1); an ID seen more than once was forgotten (-1). */
void price_returned(price *pr, int change);
/** Price of a row in the field now. */
double price_of(const price *pr, uint32_t f);
/** What the index of an ID without a row is compared with; 0: anyone may have one. */
float price_ask(const price *pr, uint32_t f);

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
/** @param end  (F) unique slots ever used; used: (F) in use now
 *  @param ids  IDs in all tables; events: so far */
aa_status price_restore(price *pr, const size_t *end, const size_t *used, uint64_t ids,
                        uint64_t events, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));

#endif
