/* scorer/pool - threads that answer requests, and the bounded queue before them.
 *
 * Both endpoints put jobs in; a thread takes each out, in order, and runs it with the thread's own
 * scorer. A full queue says so at once: an endpoint answers 429 rather than letting anybody wait
 * for what will not come. The queue's lock is held for a few instructions; scoring itself takes
 * none.
 *
 * Long jobs (a ranking of all known items takes as long as thousands of short requests) never have
 * all threads: one is left for the others, if there are two or more. Which job is long may show
 * only when it runs: it is then put back as a long one.
 */
#ifndef AA_SCORER_POOL_H
#define AA_SCORER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scorer/scorer.h"

typedef struct pool     pool;
typedef struct pool_job pool_job;

/* First member of what an endpoint queues. */
struct pool_job {
    pool_job *next;
    int64_t   arrived_us;
    bool      is_long;
    void (*run)(pool_job *job, scorer *sc); /* on a thread of the pool; owns the job from then on */
};

/** @param room  jobs that may wait. @errors AA_EIO no thread; of scorer_new */
aa_status pool_new(pool **out, const aa_conf *cfg, replica *rp, size_t threads, size_t room,
                   aa_err *err) __attribute__((warn_unused_result));
/** Runs what is queued, then ends the threads. @pre no endpoint puts anything in any more */
void pool_free(pool **pl_p);

/** Every thread's scorer goes on with rp; see scorer_move. @errors of scorer_move: some may have */
aa_status pool_move(pool *pl, replica *rp, aa_err *err) __attribute__((warn_unused_result));

/** False: full, the job is still the caller's. @thread any */
bool pool_push(pool *pl, pool_job *job);
/** From within run: this job turned out to be a long one. It will be run again, and is the pool's
 *  until then, however full the queue is. */
void   pool_put_back(pool *pl, pool_job *job);
size_t pool_waiting(pool *pl);

#endif
