#include "assigner/field/idcompact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/messages/batch.h"
#include "tests/check.h"

static uint64_t
draw(uint64_t a, uint64_t b)
{
    return aa_rng_bits(1, AA_RNG_TEST, a, b);
}

static idcompact *
table(void)
{
    static idcompact tbl;
    aa_err           err = AA_ERR_INIT;
    if (idcompact_init(&tbl, &err)) fail_msg("%s", err.text);
    return &tbl;
}

static uint32_t
insert(idcompact *tbl, uint64_t key)
{
    uint32_t handle;
    aa_err   err = AA_ERR_INIT;
    if (idcompact_insert(tbl, key, &handle, &err)) fail_msg("%s", err.text);
    return handle;
}

static void
put(idcompact *tbl, uint32_t handle, const id_view *v, uint64_t bits)
{
    aa_err err = AA_ERR_INIT;
    if (idcompact_put(tbl, handle, v, bits, &err)) fail_msg("%s", err.text);
}

/* ---- the table against a plain one: an array of all keys that are ever used ---- */

enum { KEYS = 60000, OPS = 400000 };

typedef struct {
    uint64_t key;
    bool     there;
    uint32_t handle, slot;
    float    lean;
} plain_id;

/* Every eighth key shares its upper half of the hash with the one before: look-ups have to tell them
 * apart by the lower half, in the entry. */
static uint64_t
key_of(uint64_t i)
{
    const uint64_t hash = i % 8 == 7 ? idindex_hash(draw(0, i - 1)) + (1 + i % 5) : 0;
    return hash ? idindex_key(hash) : draw(0, i);
}

static void
one_op(idcompact *tbl, plain_id *id, uint64_t t, bool growing)
{
    id_view v = {.last = t & ~63ull, .position = 1, .slot = AA_NO_SLOT};
    assert_int_equal(idcompact_find(tbl, id->key), id->there ? id->handle : IDINDEX_NONE);
    if (!id->there) {
        if (!growing && draw(2, t) % 2) return;
        id->handle = insert(tbl, id->key);
        id->there = true;
        id->slot = AA_NO_SLOT;
        id->lean = 0.0f;
        return;
    }
    idcompact_get(tbl, id->handle, t, &v);
    assert_true(v.lean == id->lean);
    assert_int_equal(v.slot, id->slot);
    switch (draw(3, t) % (growing ? 8 : 3)) {
    case 0:
        if (id->slot != AA_NO_SLOT) break;
        idcompact_remove(tbl, id->key, id->handle);
        id->there = false;
        return;
    case 1: id->slot = id->slot == AA_NO_SLOT ? (uint32_t)(draw(4, t) % 5000) : AA_NO_SLOT; break;
    default: id->lean = (float)(int)(draw(5, t) % 128) / 64.0f; break;
    }
    v.slot = id->slot;
    v.lean = id->lean;
    put(tbl, id->handle, &v, draw(6, t));
}

/* Two IDs with one slot would overwrite each other's leans: slots are drawn, so they are let be. */
static void
finds_what_was_put_through_growth_and_removal(void **state)
{
    (void)state;
    idcompact *tbl = table();
    plain_id  *ids = calloc(KEYS, sizeof *ids);
    uint32_t   holder[5000];
    uint64_t   there = 0;
    assert_non_null(ids);
    memset(holder, 0xFF, sizeof holder);
    for (size_t i = 0; i < KEYS; i++)
        ids[i] = (plain_id){.key = key_of(i), .slot = AA_NO_SLOT};
    for (uint64_t t = 1; t <= OPS; t++) {
        const uint32_t i = (uint32_t)(draw(1, t) % (t < OPS / 2 ? 1 + t / 4 : KEYS));
        plain_id      *id = &ids[i % KEYS];
        const uint32_t had = id->there ? id->slot : AA_NO_SLOT;
        if (id->there && had == AA_NO_SLOT && draw(3, t) % (t < OPS / 2 ? 8 : 3) == 1 &&
            holder[draw(4, t) % 5000] != UINT32_MAX)
            continue; /* the slot is another's */
        one_op(tbl, id, t, t < OPS / 2);
        if (had != AA_NO_SLOT && id->slot == AA_NO_SLOT) holder[had] = UINT32_MAX;
        if (id->there && id->slot != AA_NO_SLOT) holder[id->slot] = i;
        if (t % 1009 == 0) idindex_check(&tbl->ix);
    }
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(idcompact_find(tbl, ids[i].key),
                         ids[i].there ? ids[i].handle : IDINDEX_NONE);
        there += ids[i].there;
    }
    assert_true(there > KEYS / 4);
    assert_int_equal(tbl->ix.count, there);
    /* a walk by hash meets each once, with its key */
    uint64_t hash = 0, last = 0, key, walked = 0;
    uint32_t handle;
    for (; idcompact_after(tbl, &hash, &key, &handle); walked++) {
        assert_true(hash > last);
        last = hash;
        assert_int_equal(idcompact_find(tbl, key), handle);
    }
    assert_int_equal(walked, there);
    free(ids);
    idcompact_fini(tbl);
}

/* Growth under way or not, where a cell lies is a function of what is in the index. */
static void
every_insertion_leaves_a_sorted_index_that_look_ups_do_not_miss(void **state)
{
    (void)state;
    idcompact *tbl = table();
    size_t     growing = 0;
    for (uint64_t i = 0; i < 6000; i++) {
        insert(tbl, draw(7, i));
        idindex_check(&tbl->ix);
        growing += tbl->ix.next != tbl->ix.size;
    }
    assert_in_range(growing, 2000, 5500); /* most of the time */
    for (uint64_t i = 0; i < 6000; i++)
        idcompact_remove(tbl, draw(7, i), (uint32_t)i);
    idindex_check(&tbl->ix);
    assert_int_equal(tbl->ix.count, 0);
    assert_int_equal(insert(tbl, 9), 5999); /* the handle removed last */
    idcompact_fini(tbl);
}

/* What a hostile client may choose: all IDs at one place, at the end of the index and elsewhere. */
static void
ids_that_all_share_a_tag_are_told_apart(void **state)
{
    (void)state;
    static const uint64_t tags[] = {0, 0x80000000, 0xFFFFFFFF};
    for (size_t t = 0; t < 3; t++) {
        idcompact *tbl = table();
        for (uint64_t i = 1; i <= 3000; i++) {
            insert(tbl, idindex_key(tags[t] << 32 | i));
            insert(tbl, draw(8, i));
        }
        idindex_check(&tbl->ix);
        for (uint64_t i = 1; i <= 3000; i++) {
            assert_int_equal(idcompact_find(tbl, idindex_key(tags[t] << 32 | i)), 2 * i - 2);
            assert_int_equal(idcompact_find(tbl, draw(8, i)), 2 * i - 1);
            assert_int_equal(idcompact_find(tbl, idindex_key(tags[t] << 32 | (i + 3000))),
                             IDINDEX_NONE);
        }
        for (uint64_t i = 1; i <= 3000; i += 2)
            idcompact_remove(tbl, idindex_key(tags[t] << 32 | i), (uint32_t)(2 * i - 2));
        idindex_check(&tbl->ix);
        assert_int_equal(tbl->ix.count, 4500);
        idcompact_fini(tbl);
    }
}

static void
a_guess_is_the_handle_or_a_neighbour_of_the_same_tag(void **state)
{
    (void)state;
    idcompact *tbl = table();
    for (uint64_t i = 1; i <= 5000; i++)
        insert(tbl, draw(9, i));
    for (uint64_t i = 1; i <= 5000; i++)
        assert_int_equal(idcompact_guess(tbl, draw(9, i)), i - 1);
    assert_int_equal(idcompact_guess(tbl, draw(9, 6000)), IDINDEX_NONE);
    idcompact_fini(tbl);
}

static void
an_id_takes_27_bytes_at_most_at_every_size_while_the_table_grows(void **state)
{
    (void)state;
    idcompact *tbl = table();
    for (uint64_t n = 1; n <= 1500000; n++) {
        insert(tbl, draw(10, n));
        /* huge pages: 2 MiB more or less */
        if (n > 300000) assert_true((double)idcompact_bytes(tbl) < 27.0 * (double)n + (2 << 20));
    }
    idcompact_fini(tbl);
}

/* ---- entries ---- */

static void
counts_are_exact_to_128_and_unbiased_from_there_on(void **state)
{
    (void)state;
    enum { RUNS = 400, EVENTS = 20000 };
    double sum = 0.0;
    for (uint32_t code = 0; code <= 128; code++)
        assert_int_equal(idpack_seen(code), code);
    for (uint32_t code = 129; code < 256; code++)
        assert_true(idpack_seen(code) > idpack_seen(code - 1));
    for (uint64_t run = 0; run < RUNS; run++) {
        id_packed e = {0};
        id_view   v = {.slot = AA_NO_SLOT};
        for (uint64_t t = 0; t < EVENTS; t++) {
            idpack_get(&e, 64, &v);
            if (t <= 128) assert_int_equal(v.seen, t);
            v.seen++;
            idpack_put(&e, &v, draw(11 + run, t));
        }
        idpack_get(&e, 64, &v);
        sum += v.seen;
    }
    check_close(sum / RUNS, EVENTS, 5.0 * 0.35 * EVENTS / sqrt(RUNS), 0, 0);
}

static void
sums_that_grow_in_small_steps_keep_their_mean(void **state)
{
    (void)state;
    enum { RUNS = 2000, EVENTS = 500 };
    double frequency = 0.0, gap = 0.0, lean = 0.0, fast = 0.0;
    for (uint64_t run = 0; run < RUNS; run++) {
        uint32_t  leans = 0;
        id_packed e = {0};
        id_view   v = {.slot = AA_NO_SLOT, .frequency = 100.0f, .gap = 1000.0f};
        idpack_put(&e, &v, draw(12, run));
        for (uint64_t t = 0; t < EVENTS; t++) {
            idpack_get(&e, 64, &v);
            idpack_get_leans(leans, &v);
            v.frequency += 0.01f; /* a fiftieth of a unit in the last place */
            v.gap -= 0.1f;
            v.lean += 0.0001f;
            v.fast_lean -= 0.0002f;
            idpack_put(&e, &v, draw(100 + run, t));
            leans = idpack_leans(&v, draw(5000 + run, t));
        }
        idpack_get(&e, 64, &v);
        idpack_get_leans(leans, &v);
        frequency += (double)v.frequency / RUNS;
        gap += (double)v.gap / RUNS;
        lean += (double)v.lean / RUNS;
        fast += (double)v.fast_lean / RUNS;
    }
    /* an error per event of up to half a unit, 2^-8 of the value, uncorrelated */
    const double sd = sqrt(EVENTS / 4.0) / 128.0 / sqrt(RUNS);
    check_close(frequency, 100.0 + EVENTS * 0.01, 5.0 * 105.0 * sd, 0, 0);
    check_close(gap, 1000.0 - EVENTS * 0.1, 5.0 * 1000.0 * sd, 0, 1);
    check_close(lean, EVENTS * 0.0001, 5.0 * 0.05 * sd, 0, 2);
    check_close(fast, -EVENTS * 0.0002, 5.0 * 0.1 * sd, 0, 3);
}

static void
numbers_out_of_range_are_stored_as_the_nearest_there_is(void **state)
{
    (void)state;
    id_packed e = {0};
    id_view   v = {.slot = AA_NO_SLOT, .frequency = 1e-9f, .gap = 1e30f, .seen = UINT32_MAX};
    idpack_put(&e, &v, UINT64_MAX);
    idpack_get(&e, 64, &v);
    assert_true(v.frequency == 0.0f);
    check_close((double)v.gap, ldexp(1.0, 31), 0, 0.01, 0);
    assert_int_equal(v.seen, IDPACK_SEEN_MOST);
    v.frequency = 1e9f;
    v.gap = 0.0f;
    idpack_put(&e, &v, UINT64_MAX);
    idpack_get(&e, 64, &v);
    check_close((double)v.frequency, ldexp(1.0, 19), 0, 0.01, 0);
    assert_true(v.gap == 0.0f);
}

static void
the_last_event_is_known_within_64_for_2_to_the_32_events(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10000; i++) {
        const uint64_t now = draw(13, i) >> 20, silence = draw(14, i) % (IDPACK_WINDOW - 64);
        const uint64_t last = silence < now ? now - silence : now;
        id_packed      e = {0};
        id_view        v = {.slot = AA_NO_SLOT, .last = last, .position = 7, .queued = i % 2};
        idpack_put(&e, &v, i);
        v = (id_view){0};
        idpack_get(&e, now, &v);
        assert_int_equal(v.last, last / 64 * 64);
        assert_int_equal(v.position, 7);
        assert_int_equal(v.queued, i % 2);
    }
}

/* An ID that never comes back stays silent, instead of looking as if it had come a moment ago. */
static void
silence_beyond_the_window_is_kept_by_the_walk(void **state)
{
    (void)state;
    idcompact *tbl = table();
    id_view    v = {.slot = AA_NO_SLOT, .position = 1, .last = 640, .frequency = 3.0f};
    uint32_t   handles[100];
    for (uint64_t i = 0; i < 100; i++) {
        handles[i] = insert(tbl, draw(15, i));
        put(tbl, handles[i], &v, i);
    }
    for (uint64_t now = 640; now < 5 * IDPACK_WINDOW; now += IDPACK_WINDOW / 400)
        idcompact_age(tbl, now, 1);
    idcompact_get(tbl, handles[3], 5 * IDPACK_WINDOW, &v);
    assert_true(5 * IDPACK_WINDOW - v.last >= IDPACK_WINDOW / 2);
    assert_int_equal(v.position, 1);
    check_close((double)v.frequency, 3.0, 0, 0, 0);
    idcompact_fini(tbl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_put_through_growth_and_removal),
        cmocka_unit_test(every_insertion_leaves_a_sorted_index_that_look_ups_do_not_miss),
        cmocka_unit_test(ids_that_all_share_a_tag_are_told_apart),
        cmocka_unit_test(a_guess_is_the_handle_or_a_neighbour_of_the_same_tag),
        cmocka_unit_test(an_id_takes_27_bytes_at_most_at_every_size_while_the_table_grows),
        cmocka_unit_test(counts_are_exact_to_128_and_unbiased_from_there_on),
        cmocka_unit_test(sums_that_grow_in_small_steps_keep_their_mean),
        cmocka_unit_test(numbers_out_of_range_are_stored_as_the_nearest_there_is),
        cmocka_unit_test(the_last_event_is_known_within_64_for_2_to_the_32_events),
        cmocka_unit_test(silence_beyond_the_window_is_kept_by_the_walk),
    };
    return cmocka_run_group_tests_name("assigner/field/idcompact", tests, NULL, NULL);
}
