/* scorer/replica/seqlock - one writer changes a few words, readers see all of the change or none.
 *
 *   writer: write_begin, store every word with memory_order_release, write_end
 *   reader: unsigned tries = 0;
 *           do { s = read_begin(&tries); load every word with memory_order_acquire }
 *           while (read_again(s));
 *
 * The words are atomics, so nothing here is a data race. Instead of fences (which ThreadSanitizer
 * does not know) the words' own order does the work: a reader that saw one new word has also seen
 * the odd count that was stored before it, and so reads again.
 *
 * A reader that meets a write waits until the write ends. A write is a few dozen stores, so the
 * wait is long only if the writer loses the processor inside one. Then the reader spins, yields,
 * and at last sleeps SEQLOCK_SLEEP_US at a time, so that the writer runs whatever the two threads'
 * priorities are.
 */
#ifndef AA_SCORER_REPLICA_SEQLOCK_H
#define AA_SCORER_REPLICA_SEQLOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Even: at rest. Odd: a write is under way. */
typedef _Atomic uint32_t seqlock;

#define SEQLOCK_SPINS    64  /* tries before the first sched_yield */
#define SEQLOCK_YIELDS   128 /* tries before the first sleep */
#define SEQLOCK_SLEEP_US 50

static inline void
seqlock_wait(unsigned tries)
{
    const struct timespec pause = {.tv_nsec = SEQLOCK_SLEEP_US * 1000L};
    if (tries < SEQLOCK_SPINS) return;
    if (tries < SEQLOCK_YIELDS)
        sched_yield();
    else
        nanosleep(&pause, NULL);
}

/** @param tries  of this reading so far, 0 at first: counted here */
static inline uint32_t
seqlock_read_begin(const seqlock *lock, unsigned *tries)
{
    for (;;) {
        if (*tries > 0) seqlock_wait(*tries);
        ++*tries;
        uint32_t seq = atomic_load_explicit(lock, memory_order_acquire);
        if (!(seq & 1)) return seq;
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
