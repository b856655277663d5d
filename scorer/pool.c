#include "scorer/pool.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    pool     *pl;
    scorer   *sc;
    pthread_t thread;
    bool      runs;
} worker;

struct pool {
    pthread_mutex_t lock; /* of the next five */
    pthread_cond_t  some; /* there is a job, or the end */
    pool_job       *head, **tail;
    size_t          waiting, room;
    bool            ending;
    size_t          threads;
    worker         *wk; /* (threads) */
};

/* The next job; NULL: the end. */
static pool_job *
take(pool *pl)
{
    pthread_mutex_lock(&pl->lock);
    while (!pl->head && !pl->ending)
        pthread_cond_wait(&pl->some, &pl->lock);
    pool_job *job = pl->head;
    if (job) {
        pl->head = job->next;
        if (!pl->head) pl->tail = &pl->head;
        pl->waiting--;
    }
    pthread_mutex_unlock(&pl->lock);
    return job;
}

static void *
work(void *arg)
{
    worker   *wk = arg;
    pool_job *job;
    while ((job = take(wk->pl)))
        job->run(job, wk->sc);
    return NULL;
}

aa_status
pool_new(pool **out, const aa_conf *cfg, replica *rp, size_t threads, size_t room, aa_err *err)
{
    pool *pl = calloc(1, sizeof *pl);
    if (!pl) return aa_fail(err, AA_ENOMEM, "pool");
    aa_status st = AA_OK;
    pthread_mutex_init(&pl->lock, NULL);
    pthread_cond_init(&pl->some, NULL);
    pl->tail = &pl->head;
    pl->room = room;
    pl->threads = threads;
    pl->wk = calloc(threads, sizeof *pl->wk);
    if (!pl->wk) st = aa_fail(err, AA_ENOMEM, "pool");
    for (size_t i = 0; i < threads && !st; i++) {
        worker *wk = &pl->wk[i];
        wk->pl = pl;
        st = scorer_new(&wk->sc, cfg, rp, err);
        if (st) break;
        wk->runs = pthread_create(&wk->thread, NULL, work, wk) == 0;
        if (!wk->runs) st = aa_fail(err, AA_EIO, "no thread to score with");
    }
    if (st) pool_free(&pl);
    *out = pl;
    return st;
}

void
pool_free(pool **pl_p)
{
    pool *pl = *pl_p;
    if (!pl) return;
    pthread_mutex_lock(&pl->lock);
    pl->ending = true;
    pthread_cond_broadcast(&pl->some);
    pthread_mutex_unlock(&pl->lock);
    for (size_t i = 0; pl->wk && i < pl->threads; i++) {
        if (pl->wk[i].runs) pthread_join(pl->wk[i].thread, NULL);
        scorer_free(&pl->wk[i].sc);
    }
    pthread_cond_destroy(&pl->some);
    pthread_mutex_destroy(&pl->lock);
    free(pl->wk);
    free(pl);
    *pl_p = NULL;
}

bool
pool_push(pool *pl, pool_job *job)
{
    pthread_mutex_lock(&pl->lock);
    bool there_is_room = pl->waiting < pl->room && !pl->ending;
    if (there_is_room) {
        job->next = NULL;
        *pl->tail = job;
        pl->tail = &job->next;
        pl->waiting++;
        pthread_cond_signal(&pl->some);
    }
    pthread_mutex_unlock(&pl->lock);
    return there_is_room;
}

size_t
pool_waiting(pool *pl)
{
    pthread_mutex_lock(&pl->lock);
    size_t waiting = pl->waiting;
    pthread_mutex_unlock(&pl->lock);
    return waiting;
}
