#include "scorer/pool.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    pool     *pl;
    scorer   *sc;
    pthread_t thread;
    bool      runs;
} worker;

/* Jobs by the time they came. */
typedef struct {
    pool_job *head, **tail;
} job_list;

struct pool {
    pthread_mutex_t lock; /* of what follows, up to ending */
    pthread_cond_t  some; /* there is a job to take, or the end */
    job_list        fast, slow;
    size_t          waiting, room;
    size_t          slow_running, slow_most;
    bool            ending;
    size_t          threads;
    worker         *wk; /* (threads) */
};

static void
append_job(job_list *ls, pool_job *job)
{
    job->next = NULL;
    *ls->tail = job;
    ls->tail = &job->next;
}

static pool_job *
remove_head(job_list *ls)
{
    pool_job *job = ls->head;
    ls->head = job->next;
    if (!ls->head) ls->tail = &ls->head;
    return job;
}

/* Whichever came first and may run; NULL: none. @pre locked */
static pool_job *
next_job(pool *pl)
{
    const pool_job *fast = pl->fast.head;
    const pool_job *slow = pl->slow_running < pl->slow_most ? pl->slow.head : NULL;
    if (!fast && !slow) return NULL;
    pl->waiting--;
    if (fast && (!slow || fast->arrived_us <= slow->arrived_us)) return remove_head(&pl->fast);
    pl->slow_running++;
    return remove_head(&pl->slow);
}

/* The next job; NULL: the end. */
static pool_job *
take_job(pool *pl)
{
    pool_job *job;
    pthread_mutex_lock(&pl->lock);
    while (!(job = next_job(pl)) && !(pl->ending && pl->waiting == 0))
        pthread_cond_wait(&pl->some, &pl->lock);
    pthread_mutex_unlock(&pl->lock);
    return job;
}

/* A long job is done: another one may run. */
static void
let_next_slow_run(pool *pl)
{
    pthread_mutex_lock(&pl->lock);
    pl->slow_running--;
    bool more = pl->slow.head || pl->ending;
    pthread_mutex_unlock(&pl->lock);
    if (more) pthread_cond_broadcast(&pl->some);
}

static void *
work_jobs(void *arg)
{
    worker   *wk = arg;
    pool_job *job;
    while ((job = take_job(wk->pl))) {
        bool was_slow = job->is_long;
        job->run(job, wk->sc);
        if (was_slow) let_next_slow_run(wk->pl);
    }
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
    pl->fast.tail = &pl->fast.head;
    pl->slow.tail = &pl->slow.head;
    pl->slow_most = threads > 1 ? threads - 1 : 1;
    pl->room = room;
    pl->threads = threads;
    pl->wk = calloc(threads, sizeof *pl->wk);
    if (!pl->wk) st = aa_fail(err, AA_ENOMEM, "pool");
    for (size_t i = 0; i < threads && st == AA_OK; i++) {
        worker *wk = &pl->wk[i];
        wk->pl = pl;
        st = scorer_new(&wk->sc, cfg, rp, err);
        if (st != AA_OK) break;
        wk->runs = pthread_create(&wk->thread, NULL, work_jobs, wk) == 0;
        if (!wk->runs) st = aa_fail(err, AA_EIO, "no thread to score with");
    }
    if (st != AA_OK) pool_free(&pl);
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

aa_status
pool_move(pool *pl, replica *rp, aa_err *err)
{
    aa_status st = AA_OK;
    for (size_t i = 0; i < pl->threads && st == AA_OK; i++)
        st = scorer_move(pl->wk[i].sc, rp, err);
    return st;
}

bool
pool_push(pool *pl, pool_job *job)
{
    pthread_mutex_lock(&pl->lock);
    bool there_is_room = pl->waiting < pl->room && !pl->ending;
    if (there_is_room) {
        append_job(job->is_long ? &pl->slow : &pl->fast, job);
        pl->waiting++;
    }
    pthread_mutex_unlock(&pl->lock);
    if (there_is_room) pthread_cond_signal(&pl->some);
    return there_is_room;
}

void
pool_put_back(pool *pl, pool_job *job)
{
    AA_REQUIRE(!job->is_long);
    job->is_long = true;
    pthread_mutex_lock(&pl->lock);
    append_job(&pl->slow, job);
    pl->waiting++;
    pthread_mutex_unlock(&pl->lock);
    pthread_cond_signal(&pl->some);
}

size_t
pool_waiting(pool *pl)
{
    pthread_mutex_lock(&pl->lock);
    size_t waiting = pl->waiting;
    pthread_mutex_unlock(&pl->lock);
    return waiting;
}
