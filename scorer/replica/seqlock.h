/* scorer/replica/seqlock - one writer changes a few words, readers see all of the change or none of it.
 *
 *   writer: write_begin, store every word with memory_order_release, write_end
 *   reader: do { s = read_begin; load every word with memory_order_acquire } while (read_again(s))
 *
 * The words are atomics, so nothing here is a data race. Instead of fences (which ThreadSanitizer
 * does not know) the words' own order does the work: a reader that saw one new word has also seen
 * the odd count that was stored before it, and so reads again.
 */
#ifndef AA_SCORER_REPLICA_SEQLOCK_H
#define AA_SCORER_REPLICA_SEQLOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Even: at rest. Odd: a write is under way. */
typedef _Atomic uint32_t seqlock;

#define SEQLOCK_SPINS 64 /* then give the writer the processor */

static inline uint32_t
seqlock_read_begin(const seqlock *lock)
{
    for (unsigned spins = 0;; spins++) {
        uint32_t seq = atomic_load_explicit(lock, memory_order_acquire);
        if (!(seq & 1)) return seq;
        if (spins >= SEQLOCK_SPINS) sched_yield();
    }
}

static inline bool
seqlock_read_again(const seqlock *lock, uint32_t seq)
{
    return atomic_load_explicit(lock, memory_order_relaxed) != seq;
}

static inline void
seqlock_write_begin(seqlock *lock)
{
    atomic_store_explicit(lock, atomic_load_explicit(lock, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static inline void
seqlock_write_end(seqlock *lock)
{
    atomic_store_explicit(lock, atomic_load_explicit(lock, memory_order_relaxed) + 1,
                          memory_order_release);
}

#endif
