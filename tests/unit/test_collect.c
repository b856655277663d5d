#include "learner/rows/collect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"

enum { W = 3, SLOTS = 500 };

static void
each_slot_has_one_gradient_that_starts_at_zero(void **state)
{
    (void)state;
    collect co = {0};
    aa_err  err = AA_ERR_INIT;
    assert_int_equal(collect_reserve(&co, W, SLOTS, &err), AA_OK);
    for (uint64_t round = 0; round < 20; round++) { /* cleared in between */
        float  want[SLOTS] = {0};
        size_t distinct = 0;
        for (uint64_t t = 0; t < 2000; t++) {
            /* neighbours, and slots that are far apart */
            uint32_t place = (uint32_t)(aa_rng_bits(1, AA_RNG_TEST, round, t) % SLOTS);
            uint32_t slot = place % 2 ? place : place * 65536;
            float   *g = collect_at(&co, slot);
            distinct += want[place] == 0.0f;
            assert_true(g[1] == want[place]);
            g[1] += 1.0f;
            want[place] += 1.0f;
            assert_int_equal(co.count, distinct);
            assert_int_equal(co.slot[(size_t)(g - co.g) / W], slot);
        }
        collect_clear(&co);
        assert_int_equal(co.count, 0);
    }
    for (size_t h = 0; h <= co.mask; h++)
        assert_int_equal(co.place[h], 0);
    collect_fini(&co);
}

static void
slots_are_in_order_of_their_first_reading(void **state)
{
    (void)state;
    collect        co = {0};
    aa_err         err = AA_ERR_INIT;
    const uint32_t read[] = {7, 3, 7, 4000000000u, 3, 0};
    assert_int_equal(collect_reserve(&co, W, 4, &err), AA_OK);
    for (size_t i = 0; i < 6; i++)
        collect_at(&co, read[i]);
    assert_int_equal(co.count, 4);
    assert_int_equal(co.slot[0], 7);
    assert_int_equal(co.slot[1], 3);
    assert_true(co.slot[2] == 4000000000u);
    assert_int_equal(co.slot[3], 0);
    collect_clear(&co);
    assert_int_equal(collect_reserve(&co, W, 1000, &err), AA_OK); /* grows */
    assert_int_equal(co.cap, 1000);
    collect_fini(&co);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_slot_has_one_gradient_that_starts_at_zero),
        cmocka_unit_test(slots_are_in_order_of_their_first_reading),
    };
    return cmocka_run_group_tests_name("learner/rows/collect", tests, NULL, NULL);
}
