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
#include "common/messages/batch.h"

/* Reference: a plain list of the keys that are in, with their handles. */
typedef struct {
    uint64_t *key;
    uint32_t *handle;
    size_t    count, cap;
} ref;

static void
ref_init(ref *rf, size_t cap)
{
    *rf = (ref){.key = malloc(cap * sizeof(uint64_t)),
                .handle = malloc(cap * sizeof(uint32_t)),
                .cap = cap};
    assert_true(rf->key && rf->handle);
}

static void
ref_fini(ref *rf)
{
    free(rf->key);
    free(rf->handle);
}

static void
check_all(const idtable *tbl, const ref *rf)
{
    assert_int_equal(tbl->count, rf->count);
    for (size_t i = 0; i < rf->count; i++) {
        assert_int_equal(idtable_find(tbl, rf->key[i]), rf->handle[i]);
        assert_int_equal(idtable_at(tbl, rf->handle[i])->key, rf->key[i]);
    }
    size_t in_use = 0;
    for (uint32_t h = 0; h < tbl->end; h++)
        in_use += idtable_at(tbl, h)->key != 0;
    assert_int_equal(in_use, rf->count);
}

static void
insert(idtable *tbl, ref *rf, uint64_t key)
{
    uint32_t h;
    assert_int_equal(idtable_find(tbl, key), IDTABLE_NONE);
    assert_int_equal(idtable_insert(tbl, key, &h, NULL), AA_OK);
    const id_entry *e = idtable_at(tbl, h);
    assert_int_equal(e->slot, AA_NO_SLOT);
    assert_int_equal(e->position, 1);
    assert_int_equal(e->seen, 0);
    assert_true(rf->count < rf->cap);
    rf->key[rf->count] = key;
    rf->handle[rf->count++] = h;
}

static void
remove_at(idtable *tbl, ref *rf, size_t i)
{
    uint64_t key = rf->key[i];
    idtable_remove(tbl, rf->handle[i]);
    rf->count--;
    rf->key[i] = rf->key[rf->count];
    rf->handle[i] = rf->handle[rf->count];
    assert_int_equal(idtable_find(tbl, key), IDTABLE_NONE);
}

/* Random insertions and removals; keys come from key_of(number), numbers are never reused. */
static void
churn(uint64_t seed, size_t ops, double p_insert, uint64_t (*key_of)(uint64_t))
{
    print_message("seed %llu\n", (unsigned long long)seed);
    idtable tbl;
    ref     rf;
    assert_int_equal(idtable_init(&tbl, 12, NULL), AA_OK);
    ref_init(&rf, ops);
    for (uint64_t op = 0; op < ops; op++) {
        double u = aa_rng_uniform(seed, AA_RNG_TEST, op, 0);
        if (rf.count == 0 || u < p_insert)
            insert(&tbl, &rf, key_of(op + 1));
        else
            remove_at(&tbl, &rf, aa_rng_bits(seed, AA_RNG_TEST, op, 1) % rf.count);
        if (op % (ops / 16) == 0) check_all(&tbl, &rf);
    }
    check_all(&tbl, &rf);
    while (rf.count > 0)
        remove_at(&tbl, &rf, rf.count - 1);
    check_all(&tbl, &rf);
    ref_fini(&rf);
    idtable_fini(&tbl);
}

static uint64_t
spread_key(uint64_t n)
{
    return aa_rng_bits(1, AA_RNG_TEST, n, 7) | 1;
}

static uint64_t
plain_key(uint64_t n)
{
    return n;
}

/* Inverse of the table's multiplier: all of these have the same 32 hash bits, of the last cell. */
static uint64_t
colliding_key(uint64_t n)
{
    return UINT64_C(0xF1DE83E19937733D) * (UINT64_C(0xffffffff) << 32 | n);
}

static void
random_operations_agree_with_a_plain_list(void **state)
{
    (void)state;
    churn(1, 40000, 0.7, spread_key);
    churn(2, 40000, 0.5, spread_key);
    churn(3, 40000, 0.6, plain_key);
}

static void
keys_that_all_share_one_cell_are_still_found(void **state)
{
    (void)state;
    assert_int_equal(idtable_hash(colliding_key(1)), UINT32_MAX);
    assert_int_equal(idtable_hash(colliding_key(99)), UINT32_MAX);
    churn(4, 4000, 0.8, colliding_key);
}

static void
handles_are_in_order_and_stay_valid_over_growth(void **state)
{
    (void)state;
    idtable tbl;
    assert_int_equal(idtable_init(&tbl, 0, NULL), AA_OK);
    const uint32_t n = 5 * IDTABLE_SEGMENT + 3;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t h;
        assert_int_equal(idtable_insert(&tbl, spread_key(i), &h, NULL), AA_OK);
        assert_int_equal(h, i);
        idtable_at(&tbl, h)->seen = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(idtable_find(&tbl, spread_key(i)), i);
        assert_int_equal(idtable_at(&tbl, i)->seen, i);
    }
    idtable_fini(&tbl);
}

static void
a_removed_handle_is_the_next_one_handed_out_and_comes_back_empty(void **state)
{
    (void)state;
    idtable  tbl;
    uint32_t h;
    assert_int_equal(idtable_init(&tbl, 8, NULL), AA_OK);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(idtable_insert(&tbl, i, &h, NULL), AA_OK);
    memset(idtable_extra(&tbl, 2), 0xff, 8);
    idtable_at(&tbl, 2)->lean_sum = 3.0f;
    idtable_remove(&tbl, 2);
    idtable_remove(&tbl, 4);
    assert_int_equal(idtable_insert(&tbl, 10, &h, NULL), AA_OK);
    assert_int_equal(h, 4);
    assert_int_equal(idtable_insert(&tbl, 11, &h, NULL), AA_OK);
    assert_int_equal(h, 2);
    assert_true(idtable_at(&tbl, 2)->lean_sum == 0.0f);
    const unsigned char zero[8] = {0};
    assert_memory_equal(idtable_extra(&tbl, 2), zero, 8);
    idtable_fini(&tbl);
}

static void
memory_per_id_stays_below_ninety_bytes_even_while_growing(void **state)
{
    (void)state;
    idtable tbl;
    assert_int_equal(idtable_init(&tbl, 0, NULL), AA_OK);
    for (uint64_t i = 1; i <= 200000; i++) {
        uint32_t h;
        assert_int_equal(idtable_insert(&tbl, spread_key(i), &h, NULL), AA_OK);
        if (i > 100000) assert_true((double)idtable_bytes(&tbl) / (double)i < 90.0);
    }
    idtable_fini(&tbl);
}

static void
digest_sees_every_value_but_not_what_publication_left(void **state)
{
    (void)state;
    idtable  tbl;
    uint32_t h;
    assert_int_equal(idtable_init(&tbl, 4, NULL), AA_OK);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_int_equal(idtable_insert(&tbl, i, &h, NULL), AA_OK);
    uint64_t d = idtable_digest(&tbl, 0);
    idtable_at(&tbl, 700)->flags = 3;
    idtable_at(&tbl, 701)->published = 9;
    assert_true(idtable_digest(&tbl, 0) == d);
    idtable_at(&tbl, 999)->gap = 1.5f;
    assert_true(idtable_digest(&tbl, 0) != d);
    idtable_at(&tbl, 999)->gap = 0.0f;
    ((unsigned char *)idtable_extra(&tbl, 3))[1] = 1;
    assert_true(idtable_digest(&tbl, 0) != d);
    idtable_fini(&tbl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_a_plain_list),
        cmocka_unit_test(keys_that_all_share_one_cell_are_still_found),
        cmocka_unit_test(handles_are_in_order_and_stay_valid_over_growth),
        cmocka_unit_test(a_removed_handle_is_the_next_one_handed_out_and_comes_back_empty),
        cmocka_unit_test(memory_per_id_stays_below_ninety_bytes_even_while_growing),
        cmocka_unit_test(digest_sees_every_value_but_not_what_publication_left),
    };
    return cmocka_run_group_tests_name("assigner/field/idtable", tests, NULL, NULL);
}
