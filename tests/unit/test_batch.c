#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/messages/batch.h"

static void
events_survive_growing_one_by_one(void **state)
{
    (void)state;
    aa_event_batch b = {0};
    aa_err         err = AA_ERR_INIT;
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(aa_event_batch_reserve(&b, i + 1, 3, &err), AA_OK);
        for (size_t f = 0; f < 3; f++)
            b.key[i * 3 + f] = i * 3 + f;
        b.label[i] = (float)i;
        b.time_ms[i] = -(int64_t)i;
        b.n = i + 1;
    }
    assert_int_equal(b.F, 3);
    assert_true(b.cap >= 3000);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(b.key[i * 3 + 2], i * 3 + 2);
        assert_true(b.label[i] == (float)i);
        assert_int_equal(b.time_ms[i], -(int64_t)i);
    }
    aa_event_batch_fini(&b);
    assert_null(b.key);
    assert_int_equal(b.cap, 0);
}

static void
more_fields_later_find_room(void **state)
{
    (void)state;
    aa_assigned_batch b = {0};
    aa_err            err = AA_ERR_INIT;
    assert_int_equal(aa_assigned_batch_reserve(&b, 100, 1, &err), AA_OK);
    b.F = 8; /* set too early by the caller: room is judged by elements, so this does no harm */
    assert_int_equal(aa_assigned_batch_reserve(&b, 100, 8, &err), AA_OK);
    for (size_t i = 0; i < 800; i++) {
        b.slot[i] = b.alt_slot[i] = b.state[i] = b.next_state[i] = (uint32_t)i;
        b.mix[i] = b.alt_mix[i] = b.baseline[i] = (float)i;
    }
    /* fewer fields, more events: the (n) arrays must have grown too */
    assert_int_equal(aa_assigned_batch_reserve(&b, 800, 1, &err), AA_OK);
    for (size_t i = 0; i < 800; i++) {
        b.label[i] = (float)i;
        b.seen[i] = (uint32_t)i;
    }
    assert_int_equal(b.slot[799], 799);
    aa_assigned_batch_fini(&b);
}

static void
ops_and_sweep_decisions_append_in_order(void **state)
{
    (void)state;
    aa_assigned_batch b = {0};
    aa_err            err = AA_ERR_INIT;
    for (uint32_t i = 0; i < 300; i++) {
        aa_op op = {.event_idx = i, .kind = AA_OP_PROMOTE, .field = 1, .slot = i + 7, .source = 2};
        assert_int_equal(aa_assigned_batch_op(&b, op, &err), AA_OK);
        assert_int_equal(aa_assigned_batch_sweep(&b, 1, i, i + 1, &err), AA_OK);
    }
    assert_int_equal(b.op_count, 300);
    assert_int_equal(b.sweep_count, 300);
    for (uint32_t i = 0; i < 300; i++) {
        assert_int_equal(b.op[i].event_idx, i);
        assert_int_equal(b.op[i].slot, i + 7);
        assert_int_equal(b.sweep_field[i], 1);
        assert_int_equal(b.sweep_state[i], i);
        assert_int_equal(b.sweep_next_state[i], i + 1);
    }
    aa_assigned_batch_fini(&b);
    assert_int_equal(b.op_count, 0);
    assert_null(b.op);
}

static void
sizes_that_overflow_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 4, SIZE_MAX / 8 + 1,
                                  SIZE_MAX / 16 + 1};
    aa_event_batch      ev = {0};
    aa_assigned_batch   as = {0};
    aa_reward_batch     rw = {0};
    aa_err              err = AA_ERR_INIT;
    assert_int_equal(aa_event_batch_reserve(&ev, 4, 2, &err), AA_OK);
    assert_int_equal(aa_assigned_batch_reserve(&as, 4, 2, &err), AA_OK);
    assert_int_equal(aa_reward_batch_reserve(&rw, 4, 8, &err), AA_OK);
    ev.key[7] = 77;
    size_t cap = ev.cap;
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        assert_int_equal(aa_event_batch_reserve(&ev, huge[i], 8, &err), AA_ENOMEM);
        assert_int_equal(aa_assigned_batch_reserve(&as, huge[i], 8, &err), AA_ENOMEM);
        assert_int_equal(aa_assigned_batch_reserve_ops(&as, huge[i], &err), AA_ENOMEM);
        assert_int_equal(aa_assigned_batch_reserve_sweep(&as, huge[i], &err), AA_ENOMEM);
        assert_int_equal(aa_reward_batch_reserve(&rw, huge[i], 1, &err), AA_ENOMEM);
        assert_int_equal(aa_reward_batch_reserve(&rw, 1, huge[i], &err), AA_ENOMEM);
    }
    assert_int_equal(ev.F, 2);
    assert_int_equal(ev.cap, cap);
    assert_int_equal(ev.key[7], 77);
    aa_event_batch_fini(&ev);
    aa_assigned_batch_fini(&as);
    aa_reward_batch_fini(&rw);
}

static void
empty_batches_still_get_arrays(void **state)
{
    (void)state;
    aa_event_batch  ev = {0};
    aa_reward_batch rw = {0};
    aa_err          err = AA_ERR_INIT;
    assert_int_equal(aa_event_batch_reserve(&ev, 0, 1, &err), AA_OK);
    assert_non_null(ev.key);
    assert_int_equal(aa_reward_batch_reserve(&rw, 0, 0, &err), AA_OK);
    assert_non_null(rw.loss);
    assert_non_null(rw.advantage);
    aa_event_batch_fini(&ev);
    aa_reward_batch_fini(&rw);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_survive_growing_one_by_one),
        cmocka_unit_test(more_fields_later_find_room),
        cmocka_unit_test(ops_and_sweep_decisions_append_in_order),
        cmocka_unit_test(sizes_that_overflow_are_refused_and_change_nothing),
        cmocka_unit_test(empty_batches_still_get_arrays),
    };
    return cmocka_run_group_tests_name("common/messages/batch", tests, NULL, NULL);
}
