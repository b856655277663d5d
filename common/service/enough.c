#define _DEFAULT_SOURCE /* anonymous maps */
#include "common/service/enough.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
    BESIDE_BYTES = 48 << 20, /* what the libraries allocate at the start, about */
    STACK_BYTES = 8 << 20    /* of a thread, where nothing else is set */
};

/* The threads wait until the last one has been started. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    bool            over;
} gate;

static void *
wait_at(void *arg)
{
    gate *ga = arg;
    pthread_mutex_lock(&ga->lock);
    while (!ga->over)
        pthread_cond_wait(&ga->changed, &ga->lock);
    pthread_mutex_unlock(&ga->lock);
    return NULL;
}

static void
open_gate(gate *ga)
{
    pthread_mutex_lock(&ga->lock);
    ga->over = true;
    pthread_cond_broadcast(&ga->changed);
    pthread_mutex_unlock(&ga->lock);
}

/* Address space: nothing of it is touched. */
static bool
can_map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return false;
    munmap(at, bytes);
    return true;
}

/* malloc keeps 64 MiB of address space for each of the first threads: where it is limited, those
 * would take what later threads need for their stacks. */
static void
share_the_heap(void)
{
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        mallopt(M_ARENA_MAX, 1);
}

aa_status
aa_enough_threads(size_t count, aa_err *err)
{
    gate       ga = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    pthread_t *thread = calloc(count + 1, sizeof *thread);
    size_t     started = 0;
    int        code = 0;
    bool       space;

    if (!thread) return aa_fail(err, AA_ENOMEM, "%zu threads", count);
    share_the_heap();
    while (started < count && (code = pthread_create(&thread[started], NULL, wait_at, &ga)) == 0)
        started++;
    space = can_map(started < count ? STACK_BYTES : BESIDE_BYTES);
    open_gate(&ga);
    for (size_t i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    free(thread);
    if (!space)
        return aa_fail(err, AA_ENOMEM,
                       "too little address space (ulimit -v) for %zu threads and what belongs to "
                       "them",
                       count);
    if (started < count)
        return aa_fail(
            err, AA_EIO,
            "%zu threads are needed, and no more than %zu can be started (%s): the limit "
            "of the user's processes (ulimit -u), or the container's of pids, is too low",
            count, started, strerror(code));
    return AA_OK;
}
