#include "ingest/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/one_event.h"

static order *
make(bool merge, size_t n, aa_event_batch *b)
{
    aa_err  err = AA_ERR_INIT;
    order  *od = NULL;
    int64_t position[16] = {0};
    assert_int_equal(order_new(&od, 1, merge, &err), AA_OK);
    assert_int_equal(order_begin(od, position, n, 50, &err), AA_OK);
    memset(b, 0, sizeof *b);
    assert_int_equal(aa_event_batch_reserve(b, 4096, 1, &err), AA_OK);
    b->F = 1;
    return od;
}

static void
unmake(order **od, aa_event_batch *b)
{
    order_free(od);
    aa_event_batch_fini(b);
}

static void
push(order *od, size_t idx, int64_t offset, int64_t time_ms)
{
    const uint64_t   key = idx * 1000 + (uint64_t)offset;
    one_event        ev = one_event_of(&key, 1, 0, time_ms);
    const aa_columns col = one_event_columns(&ev);
    order_push(od, idx, offset, &col, 0, 7 * time_ms);
}

static void
push_bad(order *od, size_t idx, int64_t offset)
{
    aa_kafka_record rec = {.partition = (int32_t)idx, .offset = offset, .value = "x", .len = 1};
    deadletter     *dl = deadletter_new(&rec, DECODE_MALFORMED, "test");
    assert_non_null(dl);
    order_push_letter(od, idx, &dl);
    assert_null(dl);
}

static void
check_keys(const aa_event_batch *b, const uint64_t *want, size_t n)
{
    assert_int_equal(b->n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(b->key[i], want[i]);
}

static void
events_leave_by_time_then_partition_then_offset(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(true, 3, &b);
    push(od, 2, 0, 5);
    push(od, 2, 1, 5);
    push(od, 0, 0, 5);
    push(od, 0, 1, 9);
    push(od, 1, 0, 1);
    push(od, 1, 1, 5);
    for (size_t i = 0; i < 3; i++)
        order_end(od, i, 2);
    assert_int_equal(order_take(od, &b, 100), 6);
    check_keys(&b, (uint64_t[]){1000, 0, 1001, 2000, 2001, 1}, 6);
    assert_int_equal(b.oldest_kafka_ms, 7);
    assert_true(order_finished(od));
    unmake(&od, &b);
}

static void
merge_waits_for_a_partition_that_has_not_ended(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(true, 2, &b);
    push(od, 0, 0, 1);
    push(od, 0, 1, 2);
    assert_int_equal(order_take(od, &b, 100), 0);
    push(od, 1, 0, 1);
    assert_int_equal(order_take(od, &b, 100), 2); /* then partition 1 is empty again */
    check_keys(&b, (uint64_t[]){0, 1000}, 2);
    order_end(od, 1, 8);
    assert_int_equal(order_take(od, &b, 100), 1);
    assert_int_equal(order_position(od, 0), 2);
    assert_int_equal(order_position(od, 1), 8);
    assert_false(order_finished(od));
    order_end(od, 0, 2);
    assert_true(order_finished(od));
    unmake(&od, &b);
}

static void
late_event_of_a_partition_is_taken_when_it_comes(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(true, 2, &b);
    push(od, 0, 0, 10);
    push(od, 0, 1, 3);
    push(od, 1, 0, 5);
    push(od, 1, 1, 11);
    order_end(od, 0, 2);
    order_end(od, 1, 2);
    order_take(od, &b, 100);
    check_keys(&b, (uint64_t[]){1000, 0, 1, 1001}, 4);
    unmake(&od, &b);
}

static void
empty_partitions_hold_nothing_up(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(true, 3, &b);
    order_end(od, 0, 0);
    order_end(od, 2, 17);
    push(od, 1, 4, 1);
    order_end(od, 1, 9); /* transaction markers after the last event */
    assert_int_equal(order_take(od, &b, 100), 1);
    assert_true(order_finished(od));
    assert_int_equal(order_position(od, 0), 0);
    assert_int_equal(order_position(od, 1), 9);
    assert_int_equal(order_position(od, 2), 17);
    unmake(&od, &b);
}

static void
letters_leave_in_their_place_and_move_the_position(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(true, 1, &b);
    deadletter    *dl;
    push(od, 0, 0, 1);
    push_bad(od, 0, 1);
    push_bad(od, 0, 2);
    push(od, 0, 3, 2);
    order_end(od, 0, 4);
    assert_null(order_take_letter(od)); /* an event is before it */
    assert_int_equal(order_take(od, &b, 100), 1);
    assert_int_equal(order_take(od, &b, 100), 0);
    assert_int_equal(order_position(od, 0), 1);
    for (int64_t offset = 1; offset <= 2; offset++) {
        dl = order_take_letter(od);
        assert_non_null(dl);
        assert_int_equal(dl->offset, offset);
        assert_int_equal(order_position(od, 0), offset + 1);
        deadletter_free(&dl);
    }
    assert_null(order_take_letter(od));
    assert_int_equal(order_take(od, &b, 100), 1);
    assert_true(order_finished(od));
    unmake(&od, &b);
}

static void
letters_alone_end_a_partition(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(true, 1, &b);
    deadletter    *dl;
    push_bad(od, 0, 0);
    order_end(od, 0, 1);
    assert_false(order_finished(od));
    dl = order_take_letter(od);
    assert_non_null(dl);
    deadletter_free(&dl);
    assert_true(order_finished(od));
    unmake(&od, &b);
}

static void
room_is_bounded_for_events_and_for_letters(void **state)
{
    (void)state;
    aa_event_batch  b;
    order          *od = make(true, 1, &b);
    static char     big[DEADLETTER_MAX_BYTES];
    aa_kafka_record rec = {.value = big, .len = sizeof big};
    for (int64_t i = 0; i < 64; i++) {
        assert_int_equal(order_room(od, 0), 64 - i);
        push(od, 0, i, i);
    }
    assert_int_equal(order_room(od, 0), 0);
    order_take(od, &b, 10);
    assert_int_equal(order_room(od, 0), 10);
    for (int64_t i = 0; i < 9; i++) {
        deadletter *dl = deadletter_new(&rec, DECODE_MALFORMED, "");
        assert_true(order_room(od, 0) > 0);
        order_push_letter(od, 0, &dl);
    }
    assert_int_equal(order_room(od, 0), 0); /* more than 8 MB of them */
    unmake(&od, &b);
}

static void
live_takes_what_has_arrived_without_waiting(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(false, 3, &b);
    push(od, 1, 0, 9);
    push(od, 1, 1, 1);
    assert_int_equal(order_take(od, &b, 100), 2);
    push(od, 0, 0, 5);
    push(od, 2, 0, 5);
    assert_int_equal(order_take(od, &b, 1), 1);
    assert_int_equal(order_take(od, &b, 100), 1);
    check_keys(&b, (uint64_t[]){1000, 1001, b.key[2], b.key[3]}, 4);
    assert_int_equal(b.key[2] + b.key[3], 2000);
    assert_false(order_finished(od));
    unmake(&od, &b);
}

static void
begin_forgets_everything_and_may_have_more_partitions(void **state)
{
    (void)state;
    aa_event_batch b;
    aa_err         err = AA_ERR_INIT;
    order         *od = make(true, 2, &b);
    int64_t        position[5] = {10, 20, 30, 40, 50};
    push(od, 0, 0, 1);
    push_bad(od, 1, 0);
    assert_int_equal(order_begin(od, position, 5, 128, &err), AA_OK);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(order_position(od, i), position[i]);
        assert_int_equal(order_room(od, i), 128);
    }
    assert_null(order_take_letter(od));
    for (size_t i = 0; i < 5; i++)
        push(od, i, 60, 5 - (int64_t)i);
    assert_int_equal(order_take(od, &b, 100), 1);
    check_keys(&b, (uint64_t[]){4060}, 1);
    unmake(&od, &b);
}

/* ---- against the definition: sort all heads, again and again ---- */

typedef struct {
    int64_t time_ms[200], offset[200];
    bool    bad[200];
    size_t  count, pushed, taken;
} script;

static uint64_t
next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

/* the next event of the merge, by looking at every partition's first good event */
static uint64_t
reference_next(script *sc, size_t P)
{
    size_t best = P;
    for (size_t p = 0; p < P; p++) {
        while (sc[p].taken < sc[p].count && sc[p].bad[sc[p].taken])
            sc[p].taken++;
        if (sc[p].taken == sc[p].count) continue;
        if (best == P || sc[p].time_ms[sc[p].taken] < sc[best].time_ms[sc[best].taken]) best = p;
    }
    assert_true(best < P);
    return best * 1000 + (uint64_t)sc[best].offset[sc[best].taken++];
}

static void
feed(order *od, size_t p, script *sc, size_t n)
{
    while (n-- > 0 && sc->pushed < sc->count && order_room(od, p) > 0) {
        size_t i = sc->pushed++;
        if (sc->bad[i])
            push_bad(od, p, sc->offset[i]);
        else
            push(od, p, sc->offset[i], sc->time_ms[i]);
    }
    if (sc->pushed == sc->count) order_end(od, p, 1000);
}

static void
any_arrival_gives_the_same_order(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL) | 1, s = seed;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 200; round++) {
        size_t         P = 1 + next_random(&s) % 7, letters = 0, want_letters = 0;
        static script  sc[8];
        aa_event_batch b;
        order         *od = make(true, P, &b);
        memset(sc, 0, sizeof sc);
        for (size_t p = 0; p < P; p++) {
            int64_t offset = 0, time_ms = 0;
            sc[p].count = next_random(&s) % 200;
            for (size_t i = 0; i < sc[p].count; i++) {
                sc[p].offset[i] = offset += 1 + (int64_t)(next_random(&s) % 3);
                sc[p].time_ms[i] = time_ms += (int64_t)(next_random(&s) % 5) - 1;
                sc[p].bad[i] = next_random(&s) % 10 == 0;
                want_letters += sc[p].bad[i];
            }
        }
        for (size_t p = 0; p < P; p++)
            feed(od, p, &sc[p], 0);
        while (!order_finished(od)) {
            size_t      p = next_random(&s) % P;
            deadletter *dl;
            feed(od, p, &sc[p], next_random(&s) % 50);
            order_take(od, &b, next_random(&s) % 40);
            while ((dl = order_take_letter(od))) {
                letters++;
                deadletter_free(&dl);
            }
        }
        for (size_t i = 0; i < b.n; i++)
            assert_int_equal(b.key[i], reference_next(sc, P));
        for (size_t p = 0; p < P; p++)
            assert_int_equal(order_position(od, p), 1000);
        assert_int_equal(letters, want_letters);
        unmake(&od, &b);
    }
}

static void
position_steps_over_offsets_that_hold_no_event(void **state)
{
    (void)state;
    aa_event_batch b;
    order         *od = make(false, 2, &b);
    order_pass(od, 1, 7); /* nothing but markers */
    assert_int_equal(order_position(od, 1), 7);
    push(od, 0, 0, 5);
    push(od, 0, 1, 5);
    push_bad(od, 0, 3);
    order_pass(od, 0, 9);
    assert_int_equal(order_position(od, 0), 0); /* what has come has not left */
    assert_int_equal(order_take(od, &b, 1), 1);
    assert_int_equal(order_position(od, 0), 1);
    assert_int_equal(order_take(od, &b, 9), 1);
    assert_int_equal(order_position(od, 0), 2); /* the letter is next */
    deadletter *dl = order_take_letter(od);
    assert_non_null(dl);
    deadletter_free(&dl);
    assert_int_equal(order_position(od, 0), 9);
    push(od, 0, 12, 5);
    order_pass(od, 0, 4); /* older: nothing new */
    assert_int_equal(order_position(od, 0), 9);
    assert_int_equal(order_take(od, &b, 9), 1);
    assert_int_equal(order_position(od, 0), 13);
    unmake(&od, &b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_leave_by_time_then_partition_then_offset),
        cmocka_unit_test(merge_waits_for_a_partition_that_has_not_ended),
        cmocka_unit_test(late_event_of_a_partition_is_taken_when_it_comes),
        cmocka_unit_test(empty_partitions_hold_nothing_up),
        cmocka_unit_test(letters_leave_in_their_place_and_move_the_position),
        cmocka_unit_test(letters_alone_end_a_partition),
        cmocka_unit_test(room_is_bounded_for_events_and_for_letters),
        cmocka_unit_test(live_takes_what_has_arrived_without_waiting),
        cmocka_unit_test(begin_forgets_everything_and_may_have_more_partitions),
        cmocka_unit_test(any_arrival_gives_the_same_order),
        cmocka_unit_test(position_steps_over_offsets_that_hold_no_event),
    };
    return cmocka_run_group_tests_name("ingest/order", tests, NULL, NULL);
}
