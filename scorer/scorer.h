/* scorer/scorer - one request in, one reply out: who may ask, what is asked, the answer.
 *
 * No I/O, and no clock but the one it is given (scorer_arrived): long requests look at it now and
 * then, and give up past their deadline. A request reads one set of dense weights from its first to
 * its last item, whatever is applied meanwhile. A scorer belongs to one thread; any number of them
 * share a replica. Whatever is wrong with a request becomes the reply's status and error text,
 * never a failure of ours.
 */
#ifndef AA_SCORER_SCORER_H
#define AA_SCORER_SCORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/wire.h"
#include "common/messages/wire_score.h"
#include "scorer/replica/replica.h"

typedef struct scorer scorer;

/* When the next requests came in, and a clock to hold against their deadlines. */
void scorer_arrived(scorer *sc, int64_t arrived_us, int64_t (*now_us)(void));

/* Longer requests, and rankings of all known items, keep a thread for milliseconds. */
#define SCORER_SHORT_ITEMS 1000
/* Status of a reply, never sent: the request is a long one, and only short ones are answered. */
#define SCORER_LONG 1

/** From now on long requests (of one body: together) are not answered, but SCORER_LONG. */
void scorer_only_short(scorer *sc, bool only_short);
/** n requests of one body are a long one, and only short ones are answered. */
bool scorer_puts_off(const scorer *sc, const aa_score_request *rq, size_t n);

/* What happened, for the metrics. */
typedef struct {
    uint32_t status;
    size_t   items;                            /* scored */
    uint32_t unknown, fallbacks, rows_missing; /* see replica_answer */
} scorer_tally;

/** cfg and rp are kept (borrowed). @errors AA_EFULL too many readers of the replica; AA_ENOMEM */
aa_status scorer_new(scorer **out, const aa_conf *cfg, replica *rp, aa_err *err)
    __attribute__((warn_unused_result));
void scorer_free(scorer **sc_p);
/** From now on answers from rp; nothing of the replica before is used any more. Waits for an answer
 *  that is being found. @errors as scorer_new: nothing changed. @thread any */
aa_status scorer_move(scorer *sc, replica *rp, aa_err *err) __attribute__((warn_unused_result));

/**
 * Answer a request.
 * @param not_ready  why nothing can be scored yet (a literal), or NULL
 * @param reply      overwritten; its arrays are the scorer's, until its next answer
 */
void scorer_answer(scorer *sc, const char *not_ready, const aa_score_request *rq,
                   aa_score_reply *reply, scorer_tally *tally);

/** A reply that says what is wrong. */
void scorer_refuse(aa_score_reply *reply, scorer_tally *tally, uint32_t status, const char *fmt,
                   ...) __attribute__((format(printf, 4, 5)));

/** The same from bytes to bytes (schemas/score.proto): what is not a request is answered with 400.
 *  @errors AA_ENOMEM: no reply */
aa_status scorer_step(scorer *sc, const char *not_ready, const void *buf, size_t len, aa_bytes *out,
                      scorer_tally *tally, aa_err *err) __attribute__((warn_unused_result));

#endif
