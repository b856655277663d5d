#include "assigner/field/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"

static uint32_t
take(slots *sl, uint32_t holder)
{
    uint32_t slot;
    assert_int_equal(slots_take(sl, holder, &slot, NULL), AA_OK);
    assert_true(slots_held(sl, slot));
    assert_int_equal(slots_at(sl, slot)->tag, holder);
    return slot;
}

static void
slots_begin_after_the_shared_rows_and_the_lowest_free_one_is_next(void **state)
{
    (void)state;
    slots sl;
    assert_int_equal(slots_init(&sl, 15, 0, NULL), AA_OK);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(take(&sl, i), 15 + i);
    slots_give_back(&sl, 19);
    slots_give_back(&sl, 16);
    slots_give_back(&sl, 18);
    assert_false(slots_held(&sl, 18));
    assert_false(slots_held(&sl, 3));
    assert_false(slots_held(&sl, 500));
    assert_int_equal(take(&sl, 7), 16);
    assert_int_equal(take(&sl, 8), 18);
    assert_int_equal(take(&sl, 9), 19);
    assert_int_equal(take(&sl, 10), 21);
    assert_int_equal(sl.used, 7);
    assert_int_equal(sl.peak, 7);
    slots_fini(&sl);
}

static void
random_takes_and_returns_agree_with_a_plain_search(void **state)
{
    (void)state;
    enum { LIMIT = 5000 };
    const uint64_t seed = 5;
    print_message("seed %llu\n", (unsigned long long)seed);
    uint32_t held[LIMIT];
    for (size_t i = 0; i < LIMIT; i++)
        held[i] = UINT32_MAX;
    slots sl;
    assert_int_equal(slots_init(&sl, 3, LIMIT, NULL), AA_OK);
    size_t used = 0;
    for (uint64_t op = 0; op < 60000; op++) {
        double u = aa_rng_uniform(seed, AA_RNG_TEST, op, 0);
        if (u < 0.55 && !slots_full(&sl)) {
            size_t want = 0;
            while (held[want] != UINT32_MAX)
                want++;
            assert_int_equal(take(&sl, (uint32_t)op), 3 + want);
            held[want] = (uint32_t)op;
            used++;
        } else if (used > 0) {
            size_t i = aa_rng_bits(seed, AA_RNG_TEST, op, 1) % LIMIT;
            while (held[i] == UINT32_MAX)
                i = (i + 1) % LIMIT;
            slots_give_back(&sl, 3 + (uint32_t)i);
            held[i] = UINT32_MAX;
            used--;
        }
        assert_int_equal(sl.used, used);
    }
    assert_int_equal(sl.peak, LIMIT);
    slots_fini(&sl);
}

static void
a_full_field_says_so(void **state)
{
    (void)state;
    slots sl;
    assert_int_equal(slots_init(&sl, 0, 2, NULL), AA_OK);
    assert_false(slots_full(&sl));
    take(&sl, 1);
    take(&sl, 2);
    assert_true(slots_full(&sl));
    slots_give_back(&sl, 0);
    assert_false(slots_full(&sl));
    slots_fini(&sl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_begin_after_the_shared_rows_and_the_lowest_free_one_is_next),
        cmocka_unit_test(random_takes_and_returns_agree_with_a_plain_search),
        cmocka_unit_test(a_full_field_says_so),
    };
    return cmocka_run_group_tests_name("assigner/field/slots", tests, NULL, NULL);
}
