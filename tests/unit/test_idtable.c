#include "assigner/field/idtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"

enum { OWN = 9, ROWS = 100 };
#define BASE (UINT32_MAX - 200) /* of slots: all their bits count */

/* With ROWS rows that are held. */
static void
init_slots(slots *sl, uint32_t tag)
{
    uint32_t slot;
    assert_int_equal(slots_init(sl, BASE, 0, NULL), AA_OK);
    for (uint32_t i = 0; i < ROWS; i++)
        assert_int_equal(slots_take(sl, tag, &slot, NULL), AA_OK);
}

/* Reference: a plain list of the hashes that are in, each with what was put there as `seen`. */
typedef struct {
    uint64_t *hash;
    uint32_t *seen;
    size_t    count, cap;
} ref;

static void
ref_init(ref *rf, size_t cap)
{
    *rf = (ref){
        .hash = malloc(cap * sizeof *rf->hash), .seen = malloc(cap * sizeof *rf->seen), .cap = cap};
    assert_true(rf->hash && rf->seen);
}

static void
ref_fini(ref *rf)
{
    free(rf->hash);
    free(rf->seen);
}

static void
check_all(const idtable *tbl, const ref *rf)
{
    id_entry e;
    idtable_check(tbl);
    assert_int_equal(tbl->count, rf->count);
    for (size_t i = 0; i < rf->count; i++) {
        const uint64_t place = idtable_find(tbl, rf->hash[i]);
        assert_true(place != IDTABLE_NONE);
        idtable_get(tbl, rf->hash[i], place, 1, &e);
        assert_int_equal(e.seen, rf->seen[i]);
        assert_true(e.key == idtable_key(rf->hash[i]));
        if (tbl->extra_bytes > 0)
            assert_int_equal(*(unsigned char *)idtable_extra(tbl, place), rf->seen[i]);
    }
}

static void
insert(idtable *tbl, ref *rf, uint64_t hash)
{
    uint64_t place;
    id_entry e;
    assert_true(idtable_find(tbl, hash) == IDTABLE_NONE);
    assert_int_equal(idtable_insert(tbl, hash, &place, NULL), AA_OK);
    assert_true(place == idtable_find(tbl, hash));
    idtable_get(tbl, hash, place, 1, &e);
    assert_int_equal(e.slot, AA_NO_SLOT);
    assert_int_equal(e.position, 1);
    assert_int_equal(e.seen, 0);
    assert_true(e.lean == 0.0f && e.gap == 0.0f && e.frequency == 0.0f);
    assert_true(rf->count < rf->cap);
    e.seen = (uint32_t)(hash >> 30) % 100 + 1;
    idtable_put(tbl, hash, place, &e, 0);
    if (tbl->extra_bytes > 0) {
        assert_int_equal(*(unsigned char *)idtable_extra(tbl, place), 0);
        *(unsigned char *)idtable_extra(tbl, place) = (unsigned char)e.seen;
    }
    rf->hash[rf->count] = hash;
    rf->seen[rf->count++] = e.seen;
}

static void
remove_at(idtable *tbl, ref *rf, size_t i)
{
    const uint64_t hash = rf->hash[i];
    idtable_remove(tbl, hash, idtable_find(tbl, hash));
    rf->count--;
    rf->hash[i] = rf->hash[rf->count];
    rf->seen[i] = rf->seen[rf->count];
    assert_true(idtable_find(tbl, hash) == IDTABLE_NONE);
}

/* Random insertions and removals; hashes come from hash_of(number), numbers are never reused. */
static void
churn(uint64_t seed, size_t ops, double p_insert, size_t extra, uint64_t (*hash_of)(uint64_t))
{
    print_message("seed %llu\n", (unsigned long long)seed);
    idtable tbl;
    ref     rf;
    assert_int_equal(idtable_init(&tbl, extra, OWN, NULL, NULL), AA_OK);
    ref_init(&rf, ops);
    for (uint64_t op = 0; op < ops; op++) {
        const double u = aa_rng_uniform(seed, AA_RNG_TEST, op, 0);
        if (rf.count == 0 || u < p_insert)
            insert(&tbl, &rf, hash_of(op + 1));
        else
            remove_at(&tbl, &rf, aa_rng_bits(seed, AA_RNG_TEST, op, 1) % rf.count);
        if (op % (ops / 16) == 0) check_all(&tbl, &rf);
        if (op % 256 == 0) idtable_check(&tbl);
    }
    check_all(&tbl, &rf);
    while (rf.count > 0)
        remove_at(&tbl, &rf, rf.count - 1);
    check_all(&tbl, &rf);
    ref_fini(&rf);
    idtable_fini(&tbl);
}

static uint64_t
spread_hash(uint64_t n)
{
    return aa_rng_bits(1, AA_RNG_TEST, n, 7) | 1;
}

/* Of keys 1, 2, 3 .. */
static uint64_t
plain_hash(uint64_t n)
{
    return idtable_hash(n);
}

/* All of these have one home, the last there is. */
static uint64_t
colliding_hash(uint64_t n)
{
    return UINT64_C(0xffffffff) << 32 | n;
}

/* One home in the middle, and one for every second. */
static uint64_t
half_colliding_hash(uint64_t n)
{
    return n % 2 ? spread_hash(n) : UINT64_C(0x7fffffff) << 32 | (n * 7919 & 0xffffffff);
}

/* Up and down, so that growth goes on over few and over many. */
static uint64_t
crowded_hash(uint64_t n)
{
    return spread_hash(n) >> (n % 3 * 8) | 1;
}

static void
random_operations_agree_with_a_plain_list(void **state)
{
    (void)state;
    churn(1, 40000, 0.7, 0, spread_hash);
    churn(2, 40000, 0.5, 12, spread_hash);
    churn(3, 40000, 0.6, 3, plain_hash);
    churn(5, 30000, 0.9, 0, spread_hash);
}

static void
keys_that_all_share_one_home_are_still_found(void **state)
{
    (void)state;
    assert_true(idtable_hash(idtable_key(colliding_hash(1))) == colliding_hash(1));
    churn(4, 4000, 0.8, 0, colliding_hash);
    churn(6, 6000, 0.8, 0, half_colliding_hash);
    churn(7, 6000, 0.9, 4, crowded_hash);
}

static void
a_walk_sees_every_id_once_in_the_order_of_hashes_while_others_go(void **state)
{
    (void)state;
    idtable      tbl;
    idtable_walk wk;
    uint64_t     place, seen = 0, last = 0, n = 20000;
    assert_int_equal(idtable_init(&tbl, 0, OWN, NULL, NULL), AA_OK);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(idtable_insert(&tbl, spread_hash(i), &place, NULL), AA_OK);
    for (bool there = idtable_walk_from(&tbl, 0, &wk); there;) {
        assert_true(wk.hash > last);
        last = wk.hash;
        if (++seen % 2) idtable_remove(&tbl, wk.hash, wk.place);
        there = idtable_walk_from(&tbl, last + 1, &wk);
    }
    assert_int_equal(seen, n);
    assert_int_equal(tbl.count, n / 2);
    idtable_check(&tbl);
    idtable_fini(&tbl);
}

static void
memory_per_id_stays_below_twenty_four_bytes_even_while_growing(void **state)
{
    (void)state;
    idtable tbl;
    assert_int_equal(idtable_init(&tbl, 0, OWN, NULL, NULL), AA_OK);
    for (uint64_t i = 1; i <= 1000000; i++) {
        uint64_t place;
        assert_int_equal(idtable_insert(&tbl, spread_hash(i), &place, NULL), AA_OK);
        if (i > 100000) assert_true((double)idtable_bytes(&tbl) / (double)i < 24.0);
    }
    idtable_check(&tbl);
    idtable_fini(&tbl);
}

static void
a_pack_goes_back_in_as_it_came_out_whatever_the_bits(void **state)
{
    (void)state;
    idtable  tbl;
    slots    sl;
    uint64_t place;
    init_slots(&sl, 0);
    assert_int_equal(idtable_init(&tbl, 0, OWN, &sl, NULL), AA_OK);
    assert_int_equal(idtable_insert(&tbl, 77, &place, NULL), AA_OK);
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t x = aa_rng_bits(1, AA_RNG_TEST, i, 0), y = aa_rng_bits(1, AA_RNG_TEST, i, 1);
        id_entry       e = {.last = i + 1,
                            .frequency = 1.0f + (float)(x & 0xFFFFF) / 37.0f,
                            .gap = (float)(x >> 20 & 0xFFFFF) * 1.7f,
                            .lean = (float)(x >> 40 & 0xFFF) / 1024.0f - 2.0f,
                            .seen = 1 + (uint32_t)(y & 0x3FF),
                            .slot = y >> 60 & 1 ? AA_NO_SLOT : BASE + (uint32_t)(y >> 20) % ROWS,
                            .born = y >> 60 & 1 ? 0 : x >> 16,
                            .position = y >> 60 & 1 ? 1 + (uint8_t)(y >> 56 & 7) : OWN,
                            .flags = (uint8_t)(y >> 53 & 7)};
        id_entry       got, again;
        idtable_put(&tbl, 77, place, &e, y);
        idtable_get(&tbl, 77, place, i + 1, &got);
        assert_true(got.last == e.last && got.slot == e.slot && got.position == e.position);
        assert_true(got.flags == e.flags && got.born == e.born);
        assert_true(got.frequency > e.frequency * 0.98f && got.frequency < e.frequency * 1.02f);
        assert_true(e.gap == 0.0f || (got.gap > e.gap * 0.96f && got.gap < e.gap * 1.04f));
        assert_true(got.lean > e.lean - 1e-4f && got.lean < e.lean + 1e-4f);
        if (e.slot != AA_NO_SLOT) {
            idtable_get_holder(&tbl, e.slot, i + 1, &again);
            assert_true(again.last == got.last && again.gap == got.gap && again.lean == got.lean);
            assert_true(again.slot == got.slot && again.position == got.position);
        }
        idtable_put(&tbl, 77, place, &got, x);
        idtable_get(&tbl, 77, place, i + 1, &again);
        assert_true(again.frequency == got.frequency && again.gap == got.gap);
        assert_true(again.seen == got.seen && again.lean == got.lean && again.slot == got.slot);
    }
    idtable_fini(&tbl);
    slots_fini(&sl);
}

/* x grows by `step` of itself, or by 1, a thousand times over. */
static void
small_steps_count_in_the_mean(void **state)
{
    (void)state;
    double   frequency = 0.0, gap = 0.0, lean = 0.0, seen = 0.0;
    idtable  tbl;
    uint64_t place;
    enum { RUNS = 300, STEPS = 1000 };
    assert_int_equal(idtable_init(&tbl, 0, OWN, NULL, NULL), AA_OK);
    assert_int_equal(idtable_insert(&tbl, 77, &place, NULL), AA_OK);
    for (uint64_t run = 0; run < RUNS; run++) {
        id_entry e = {.last = 1, .frequency = 1, .gap = 5000, .slot = AA_NO_SLOT, .position = 1};
        e.seen = 1;
        for (uint64_t i = 0; i < STEPS; i++) {
            e.frequency += 1.0f;
            e.gap += 1.0f;
            e.lean += 1e-5f;
            e.seen++;
            idtable_put(&tbl, 77, place, &e, aa_rng_bits(3, AA_RNG_TEST, run, i));
            idtable_get(&tbl, 77, place, 1, &e);
        }
        frequency += (double)e.frequency / RUNS;
        gap += (double)e.gap / RUNS;
        lean += (double)e.lean / RUNS;
        seen += (double)e.seen / RUNS;
    }
    print_message("%.1f %.1f %.5f %.1f\n", frequency, gap, lean, seen);
    assert_true(frequency > 985 && frequency < 1017);
    assert_true(gap > 5960 && gap < 6040);
    assert_true(lean > 0.0098 && lean < 0.0102);
    assert_true(seen > 980 && seen < 1022);
    idtable_fini(&tbl);
}

static void
the_last_event_is_exact_at_first_and_never_far_off_later(void **state)
{
    (void)state;
    idtable  tbl;
    slots    sl;
    uint64_t place, hash[3] = {5, UINT64_C(1) << 40, UINT64_MAX};
    id_entry e = {.frequency = 1, .seen = 1, .slot = AA_NO_SLOT, .position = 1};
    init_slots(&sl, UINT32_MAX);
    assert_int_equal(idtable_init(&tbl, 0, OWN, &sl, NULL), AA_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(idtable_insert(&tbl, hash[i], &place, NULL), AA_OK);
    /* the first comes at every step, the second at the beginning only, the third now and then */
    uint64_t last[3] = {0}, step = 0;
    for (uint64_t now = 1; now < UINT64_C(1) << 36; now += 1 + now / 64, step++) {
        for (size_t i = 0; i < 3; i++) {
            if (i == 1 ? now > 100 : i == 2 && step % 32) continue;
            e.last = last[i] = now;
            e.slot = i == 2 ? BASE + 7 : AA_NO_SLOT;
            e.position = i == 2 ? OWN : 1;
            idtable_put(&tbl, hash[i], idtable_find(&tbl, hash[i]), &e, 0);
        }
        idtable_age(&tbl, now, 1 + step % 3);
        for (size_t i = 0; i < 3; i++) {
            idtable_get(&tbl, hash[i], idtable_find(&tbl, hash[i]), now, &e);
            const uint64_t unit = now < UINT64_C(1) << 23 ? 0 : 256, silence = now - last[i];
            const uint64_t most = UINT64_C(1) << 31;
            assert_true(e.last <= now);
            if (silence < most) assert_true(e.last + unit >= last[i] && e.last <= last[i] + unit);
            if (silence >= most) assert_true(now - e.last + now / 16 >= most);
        }
    }
    assert_int_equal(tbl.ck.shift, 8);
    idtable_fini(&tbl);
    slots_fini(&sl);
}

static void
digest_sees_every_value_but_not_what_publication_left_nor_the_order_of_coming(void **state)
{
    (void)state;
    idtable  tbl, other;
    uint64_t place;
    id_entry e;
    assert_int_equal(idtable_init(&tbl, 4, OWN, NULL, NULL), AA_OK);
    assert_int_equal(idtable_init(&other, 4, OWN, NULL, NULL), AA_OK);
    for (uint64_t i = 1; i <= 3000; i++) {
        assert_int_equal(idtable_insert(&tbl, spread_hash(i), &place, NULL), AA_OK);
        assert_int_equal(idtable_insert(&other, spread_hash(3001 - i), &place, NULL), AA_OK);
    }
    const uint64_t d = idtable_digest(&tbl, 0), hash = spread_hash(700);
    assert_true(idtable_digest(&other, 0) == d);
    place = idtable_find(&tbl, hash);
    idtable_get(&tbl, hash, place, 1, &e);
    e.flags = 3;
    idtable_put(&tbl, hash, place, &e, 0);
    assert_true(idtable_digest(&tbl, 0) == d);
    e.gap = 1.5f;
    idtable_put(&tbl, hash, place, &e, 0);
    assert_true(idtable_digest(&tbl, 0) != d);
    e.gap = 0.0f;
    idtable_put(&tbl, hash, place, &e, 0);
    assert_true(idtable_digest(&tbl, 0) == d);
    ((unsigned char *)idtable_extra(&tbl, place))[1] = 1;
    assert_true(idtable_digest(&tbl, 0) != d);
    idtable_fini(&tbl);
    idtable_fini(&other);
}

static void
a_holder_is_found_by_part_of_its_hash_and_its_slot(void **state)
{
    (void)state;
    idtable  tbl;
    slots    sl;
    uint64_t place;
    init_slots(&sl, 77);
    assert_int_equal(idtable_init(&tbl, 0, OWN, &sl, NULL), AA_OK);
    for (uint32_t i = 0; i < 2 * ROWS; i++) {
        const uint64_t hash = UINT64_C(77) << 32 | (i + 1);
        const uint32_t slot = i % 2 ? AA_NO_SLOT : BASE + i / 2;
        const id_entry e = {.slot = slot, .position = i % 2 ? 3 : OWN, .seen = 1};
        assert_int_equal(idtable_insert(&tbl, hash, &place, NULL), AA_OK);
        idtable_put(&tbl, hash, place, &e, 0);
    }
    idtable_walk wk;
    for (uint32_t i = 0; i < ROWS; i++) {
        idtable_holder(&tbl, BASE + i, &wk);
        assert_true(wk.hash == (UINT64_C(77) << 32 | (2 * i + 1)));
    }
    idtable_fini(&tbl);
    slots_fini(&sl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_a_plain_list),
        cmocka_unit_test(keys_that_all_share_one_home_are_still_found),
        cmocka_unit_test(a_walk_sees_every_id_once_in_the_order_of_hashes_while_others_go),
        cmocka_unit_test(memory_per_id_stays_below_twenty_four_bytes_even_while_growing),
        cmocka_unit_test(a_pack_goes_back_in_as_it_came_out_whatever_the_bits),
        cmocka_unit_test(small_steps_count_in_the_mean),
        cmocka_unit_test(the_last_event_is_exact_at_first_and_never_far_off_later),
        cmocka_unit_test(
            digest_sees_every_value_but_not_what_publication_left_nor_the_order_of_coming),
        cmocka_unit_test(a_holder_is_found_by_part_of_its_hash_and_its_slot),
    };
    return cmocka_run_group_tests_name("assigner/field/idtable", tests, NULL, NULL);
}
