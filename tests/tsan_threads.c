/* tests/tsan_threads - C11's threads by way of POSIX's, for builds under ThreadSanitizer only.
 *
 * librdkafka uses <threads.h>, which the sanitizers of gcc 12 and clang 14 do not know: a thread
 * made with thrd_create crashes at its first look at the sanitizer's state, and whatever mtx_lock
 * and cnd_wait order would be reported as a race. These definitions take glibc's place in the
 * program; underneath glibc has the same objects (so the sizes agree, asserted below) and the
 * sanitizer sees every call. Linked by the Makefile when SAN has "thread".
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "a mutex of either kind");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "a condition of either kind");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "a thread of either kind");

typedef struct {
    thrd_start_t body;
    void        *arg;
} start;

static void *
run(void *arg)
{
    start st = *(start *)arg;
    free(arg);
    return (void *)(intptr_t)st.body(st.arg);
}

static int
status_of(int error)
{
    switch (error) {
    case 0: return thrd_success;
    case ENOMEM: return thrd_nomem;
    case EBUSY: return thrd_busy;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}

int
thrd_create(thrd_t *thread, thrd_start_t body, void *arg)
{
    start *st = malloc(sizeof *st);
    if (!st) return thrd_nomem;
    *st = (start){body, arg};
    int error = pthread_create(thread, NULL, run, st);
    if (error) free(st);
    return status_of(error);
}

int
thrd_join(thrd_t thread, int *result)
{
    void *value = NULL;
    int   error = pthread_join(thread, &value);
    if (result) *result = (int)(intptr_t)value;
    return status_of(error);
}

int
mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    int error = pthread_mutex_init((pthread_mutex_t *)mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return status_of(error);
}

int
mtx_lock(mtx_t *mutex)
{
    return status_of(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int
mtx_unlock(mtx_t *mutex)
{
    return status_of(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

void
mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int
cnd_init(cnd_t *condition)
{
    return status_of(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

int
cnd_signal(cnd_t *condition)
{
    return status_of(pthread_cond_signal((pthread_cond_t *)condition));
}

int
cnd_broadcast(cnd_t *condition)
{
    return status_of(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int
cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return status_of(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int
cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    return status_of(
        pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

void
cnd_destroy(cnd_t *condition)
{
    pthread_cond_destroy((pthread_cond_t *)condition);
}
