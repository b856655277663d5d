/* Readers score while the updater writes: nobody ever sees half a record. Run it under
 * ThreadSanitizer too (make SAN=thread test). */
#include "scorer/replica/replica.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "scorer/replica/idmap.h"
#include "scorer/replica/reclaim.h"
#include "scorer/replica/rowset.h"
#include "scorer/replica/runtags.h"
#include "scorer/replica/seqlock.h"

enum { WIDTH = 17, SLOTS = 4, WIDE = 65536, WRITES = 60000, READS = 100000, READERS = 3 };

typedef struct {
    reclaim         *rl;
    rowset          *rs;
    idmap           *im;
    atomic_bool      stop;
    _Atomic uint64_t torn, reads, found;
} shared;

/* Each record is made of one number, so that a mixture of two shows. */
static bool
row_is_whole(const aa_row_head *rh, const float *w)
{
    for (size_t k = 0; k < WIDTH; k++)
        if (w[k] < (float)rh->version || w[k] > (float)rh->version) return false;
    return rh->born == rh->version;
}

/* Of every form that a map has for an assignment: a shared reading, a row of its own, one that is
 * kept at length. */
static aa_assignment
assignment_of(uint64_t version)
{
    const uint32_t n = (uint32_t)(version % 960), slot = n % 24;
    const float    mix = (float)n / 1024;
    if (version % 3 == 0)
        return (aa_assignment){.run_id = 1,
                               .slot = slot,
                               .mix = mix,
                               .position = slot / 3 + 1,
                               .alt_slot = AA_NO_SLOT};
    const bool own = version % 3 == 1;
    return (aa_assignment){.run_id = 1,
                           .slot = (uint32_t)version,
                           .born = version,
                           .alt_slot = slot,
                           .alt_mix = mix,
                           .position = own ? 9 : 8};
}

static bool
assignment_is_whole(const aa_assignment *a)
{
    const bool     is_shared = a->born == 0;
    const float    mix = is_shared ? a->mix : a->alt_mix;
    const uint32_t n = (uint32_t)(mix * 1024), slot = is_shared ? a->slot : a->alt_slot;
    if (n % 24 != slot || a->run_id != 1) return false;
    if (is_shared) return a->position == slot / 3 + 1 && a->alt_slot == AA_NO_SLOT;
    return a->slot == a->born && a->born % 960 == n && a->position == (a->born % 3 == 1 ? 9 : 8);
}

static void *
read_on(void *arg)
{
    shared *sh = arg;
    int     place = reclaim_join(sh->rl);
    for (uint64_t n = 0; !atomic_load(&sh->stop); n++) {
        aa_row_head   rh;
        aa_assignment a;
        float         w[WIDTH];
        reclaim_enter(sh->rl, place);
        if (rowset_get(sh->rs, (uint32_t)(n * 31 % WIDE), &rh, w))
            atomic_fetch_add(&sh->torn, !row_is_whole(&rh, w));
        if (rowset_get(sh->rs, (uint32_t)(n % SLOTS), &rh, w)) {
            atomic_fetch_add(&sh->found, 1);
            atomic_fetch_add(&sh->torn, !row_is_whole(&rh, w));
        }
        if (idmap_get(sh->im, 1 + n * 2654435761u % WRITES, &a))
            atomic_fetch_add(&sh->torn, !assignment_is_whole(&a));
        if (idmap_get(sh->im, 1 + n % SLOTS, &a)) {
            atomic_fetch_add(&sh->found, 1);
            atomic_fetch_add(&sh->torn, !assignment_is_whole(&a));
        }
        reclaim_exit(sh->rl, place);
        atomic_fetch_add(&sh->reads, 1);
    }
    reclaim_leave(sh->rl, place);
    return NULL;
}

static void
write_one(shared *sh, uint64_t version)
{
    aa_err        err = AA_ERR_INIT;
    float         w[WIDTH];
    bool          applied;
    aa_row_head   rh = {.run_id = 1, .version = version, .born = version};
    aa_assignment a = assignment_of(version);
    /* half the writes go to a few busy places, half make the tables grow */
    bool     busy = version % 2;
    uint32_t slot = (uint32_t)(busy ? version % SLOTS : version * 31 % WIDE);
    for (size_t k = 0; k < WIDTH; k++) /* a row of floats now and then: its chunk gets wider */
        w[k] = (float)version;
    assert_int_equal(rowset_put(sh->rs, slot, &rh, w, &applied, &err), AA_OK);
    assert_int_equal(
        idmap_put(sh->im, busy ? 1 + version % SLOTS : 1 + version, &a, &applied, &err), AA_OK);
    if (version % 37 == 0) rowset_delete(sh->rs, slot);
    if (version % 41 == 0) idmap_delete(sh->im, 1 + version % SLOTS);
    if (version % 43 == 0) idmap_delete(sh->im, 1 + version / 2);
}

static void
readers_never_see_half_a_record_while_tables_grow(void **state)
{
    (void)state;
    pthread_t thread[READERS];
    shared    sh = {.rl = reclaim_new()};
    runtags   rt = {.run = {0, 1, 0, 0}};
    aa_conf   cfg;
    aa_conf_defaults(&cfg);
    sh.rs = rowset_new(WIDTH, sh.rl, &rt);
    sh.im = idmap_new(&cfg, sh.rl, &rt);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_on, &sh), 0);
    for (uint64_t version = 1; version <= WRITES || atomic_load(&sh.reads) < READS; version++)
        write_one(&sh, version);
    atomic_store(&sh.stop, true);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(atomic_load(&sh.torn), 0);
    assert_true(atomic_load(&sh.found) > 0);
    idmap_free(&sh.im);
    rowset_free(&sh.rs);
    reclaim_free(&sh.rl);
}

/* ---- a writer that loses the processor within a write ---- */

typedef struct {
    seqlock          lock;
    _Atomic uint32_t word;
    atomic_bool      begun;
    uint32_t         got;
    int64_t          cpu_us; /* that the reading took */
} stalled;

static int64_t
thread_cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void *
read_stalled(void *arg)
{
    stalled      *sd = arg;
    uint32_t      seq;
    unsigned      tries = 0;
    const int64_t from_us = thread_cpu_us();
    atomic_store(&sd->begun, true);
    do {
        seq = seqlock_read_begin(&sd->lock, &tries);
        sd->got = atomic_load_explicit(&sd->word, memory_order_acquire);
    } while (seqlock_read_again(&sd->lock, seq));
    sd->cpu_us = thread_cpu_us() - from_us;
    return NULL;
}

static void
a_reader_that_meets_a_stalled_writer_leaves_it_the_processor(void **state)
{
    (void)state;
    const struct timespec stall = {.tv_nsec = 200 * 1000000L};
    stalled               sd = {.word = 1};
    pthread_t             thread;
    seqlock_write_begin(&sd.lock);
    assert_int_equal(pthread_create(&thread, NULL, read_stalled, &sd), 0);
    while (!atomic_load(&sd.begun))
        sched_yield();
    nanosleep(&stall, NULL); /* the stall itself */
    atomic_store_explicit(&sd.word, 2, memory_order_release);
    seqlock_write_end(&sd.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sd.got, 2);
    assert_true(sd.cpu_us < 60000); /* it slept for most of the stall */
}

/* ---- reclamation by itself ---- */

typedef struct {
    reclaim_node node;
    int         *destroyed;
} thing;

static void
thing_destroy(reclaim_node *node)
{
    thing *th = (thing *)node;
    (*th->destroyed)++;
    free(th);
}

static void
retire_one(reclaim *rl, int *destroyed)
{
    thing *th = calloc(1, sizeof *th);
    th->destroyed = destroyed;
    reclaim_retire(rl, &th->node, thing_destroy);
}

static void
what_a_reader_may_hold_is_not_freed(void **state)
{
    (void)state;
    int      destroyed = 0;
    reclaim *rl = reclaim_new();
    int      early = reclaim_join(rl), late = reclaim_join(rl);
    retire_one(rl, &destroyed);
    assert_int_equal(destroyed, 1); /* nobody inside */
    reclaim_enter(rl, early);
    retire_one(rl, &destroyed);
    reclaim_enter(rl, late); /* after it was taken out: cannot hold it */
    reclaim_now(rl);
    assert_int_equal(destroyed, 1);
    reclaim_exit(rl, early);
    reclaim_now(rl);
    assert_int_equal(destroyed, 2);
    retire_one(rl, &destroyed);
    assert_int_equal(destroyed, 2);
    reclaim_exit(rl, late);
    reclaim_leave(rl, late);
    reclaim_leave(rl, early);
    reclaim_free(&rl);
    assert_int_equal(destroyed, 3);
}

static void
there_is_a_limit_of_readers_and_places_are_used_again(void **state)
{
    (void)state;
    reclaim *rl = reclaim_new();
    for (int i = 0; i < RECLAIM_READERS; i++)
        assert_int_equal(reclaim_join(rl), i);
    assert_int_equal(reclaim_join(rl), -1);
    reclaim_leave(rl, 7);
    assert_int_equal(reclaim_join(rl), 7);
    reclaim_free(&rl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_never_see_half_a_record_while_tables_grow),
        cmocka_unit_test(a_reader_that_meets_a_stalled_writer_leaves_it_the_processor),
        cmocka_unit_test(what_a_reader_may_hold_is_not_freed),
        cmocka_unit_test(there_is_a_limit_of_readers_and_places_are_used_again),
    };
    return cmocka_run_group_tests_name("scorer/replica/replica, threads", tests, NULL, NULL);
}
