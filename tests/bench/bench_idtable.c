/* bench_idtable - the ID table as it is (idtable) against the compact one (idcompact), by number of IDs.
 *
 *   bench_idtable [IDS]...        (25000 250000 2200000)
 *
 * In turns, on the same keys: insertions; then visits of IDs drawn at random, in batches of 512 as the
 * assigner makes them: cells are prefetched, then entries, then each ID is found, read and written.
 * Rates are the best of ROUNDS, by this thread's CPU time. Prints one JSON object per number of IDs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "assigner/field/idcompact.h"
#include "assigner/field/idtable.h"
#include "assigner/field/lean.h"
#include "common/base/rng.h"
#include "common/messages/batch.h"

enum { BATCH = 512, ROUNDS = 5, VISITS = 4000 * BATCH };

static void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_idtable: %s\n", err->text);
    exit(1);
}

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t
key_of(uint64_t i)
{
    return aa_rng_bits(1, AA_RNG_TEST, 1, i) | 1;
}

typedef struct {
    double insert_s, longest_us, visit_s;
    size_t bytes, most_bytes;
} figures;

/* The same whatever the table: `visit` and `insert` are its own. */
#define MEASURE_INSERTS(fg, ids, insert, held)                                                     \
    do {                                                                                           \
        const double from_s = now_s();                                                             \
        double       at_s = from_s;                                                                \
        for (uint64_t i = 0; i < (ids); i++) {                                                     \
            insert;                                                                                \
            if (i % 64 != 63) continue;                                                            \
            const double then_s = now_s(), us = (then_s - at_s) * 1e6;                             \
            if (us > (fg)->longest_us) (fg)->longest_us = us;                                      \
            if ((held) > (fg)->most_bytes) (fg)->most_bytes = (held);                              \
            at_s = now_s();                                                                        \
        }                                                                                          \
        (fg)->insert_s = now_s() - from_s;                                                         \
        (fg)->bytes = (held);                                                                      \
    } while (0)

static volatile float sink; /* readings are made */

static void
visit_plain(idtable *tbl, const uint64_t *key, uint64_t now)
{
    uint32_t guess[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        idtable_prefetch(tbl, key[i]);
    for (size_t i = 0; i < BATCH; i++) {
        guess[i] = idtable_guess(tbl, key[i]);
        if (guess[i] != IDTABLE_NONE) __builtin_prefetch(idtable_at(tbl, guess[i]));
    }
    for (size_t i = 0; i < BATCH; i++) {
        uint32_t handle = guess[i];
        if (handle == IDTABLE_NONE || idtable_at(tbl, handle)->key != key[i])
            handle = idtable_find(tbl, key[i]);
        id_entry *e = idtable_at(tbl, handle);
        sink = lean_of(e);
        e->frequency = e->frequency * 0.99f + 1.0f;
        e->gap += 0.1f * ((float)(now - e->last) - e->gap);
        e->lean_sum += e->seen & 1 ? 0.5f : -0.5f;
        e->last = now;
        e->seen++;
    }
}

static void
visit_compact(idcompact *tbl, const uint64_t *key, uint64_t now)
{
    uint32_t       guess[BATCH];
    aa_err         err = AA_ERR_INIT;
    const uint64_t start = aa_rng_start(1, AA_RNG_ROUND, now);
    for (size_t i = 0; i < BATCH; i++)
        idcompact_prefetch(tbl, key[i]);
    for (size_t i = 0; i < BATCH; i++) {
        guess[i] = idcompact_guess(tbl, key[i]);
        if (guess[i] != IDINDEX_NONE) __builtin_prefetch(idcompact_at(tbl, guess[i]));
    }
    for (size_t i = 0; i < BATCH; i++) {
        uint32_t handle = guess[i]; /* of the same tag; with the rest it is the key */
        id_view  v;
        if (handle == IDINDEX_NONE ||
            idcompact_at(tbl, handle)->rest != (uint32_t)idindex_hash(key[i]))
            handle = idcompact_find(tbl, key[i]);
        idcompact_get(tbl, handle, now, &v);
        sink = v.lean;
        v.frequency = v.frequency * 0.99f + 1.0f;
        v.gap += 0.1f * ((float)(now - v.last) - v.gap);
        v.lean += ((v.seen & 1 ? 0.5f : -0.5f) - v.lean) / ((float)v.seen + 5.0f);
        v.fast_lean += 0.3f * (0.5f - v.fast_lean);
        v.last = now;
        v.seen++;
        check(idcompact_put(tbl, handle, &v, aa_rng_at(start, i), &err), &err);
    }
}

static void
measure(uint64_t ids)
{
    figures   plain = {0}, compact = {0};
    idtable   was;
    idcompact is;
    uint32_t  handle;
    aa_err    err = AA_ERR_INIT;
    uint64_t *keys = malloc((size_t)VISITS * sizeof *keys);
    if (!keys) check(aa_fail(&err, AA_ENOMEM, "keys"), &err);
    for (uint64_t i = 0; i < VISITS; i++)
        keys[i] = key_of(aa_rng_bits(1, AA_RNG_TEST, 2, i) % ids);
    check(idtable_init(&was, 0, &err), &err);
    check(idcompact_init(&is, &err), &err);
    MEASURE_INSERTS(&plain, ids, check(idtable_insert(&was, key_of(i), &handle, &err), &err),
                    idtable_bytes(&was));
    MEASURE_INSERTS(&compact, ids, check(idcompact_insert(&is, key_of(i), &handle, &err), &err),
                    idcompact_bytes(&is));
    for (size_t r = 0; r < ROUNDS; r++)
        for (int which = 0; which < 2; which++) {
            figures     *fg = which ? &compact : &plain;
            const double from_s = now_s();
            for (uint64_t at = 0; at < VISITS; at += BATCH) {
                const uint64_t now = r * VISITS + at + 64;
                if (which)
                    visit_compact(&is, keys + at, now);
                else
                    visit_plain(&was, keys + at, now);
            }
            const double s = now_s() - from_s;
            if (r == 0 || s < fg->visit_s) fg->visit_s = s;
        }
    const double n = (double)ids;
    printf("{\"ids\": %" PRIu64
           ", \"idtable\": {\"bytes_per_id\": %.1f, \"most_bytes_per_id\": %.1f, "
           "\"inserts_per_s\": %.0f, \"longest_64_inserts_us\": %.0f, \"visits_per_s\": %.0f}, "
           "\"idcompact\": {\"bytes_per_id\": %.1f, \"most_bytes_per_id\": %.1f, "
           "\"inserts_per_s\": %.0f, \"longest_64_inserts_us\": %.0f, \"visits_per_s\": %.0f}}\n",
           ids, (double)plain.bytes / n, (double)plain.most_bytes / n, n / plain.insert_s,
           plain.longest_us, VISITS / plain.visit_s, (double)compact.bytes / n,
           (double)compact.most_bytes / n, n / compact.insert_s, compact.longest_us,
           VISITS / compact.visit_s);
    free(keys);
    idtable_fini(&was);
    idcompact_fini(&is);
}

int
main(int argc, char **argv)
{
    static const uint64_t sizes[] = {25000, 250000, 2200000};
    for (int i = 1; i < argc; i++)
        measure(strtoull(argv[i], NULL, 10));
    for (size_t i = 0; argc == 1 && i < sizeof sizes / sizeof *sizes; i++)
        measure(sizes[i]);
    return 0;
}
