#include "assigner/field/publish.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"

typedef struct {
    idtable tbl;
    publish pb;
} fixture;

static void
begin(fixture *fx)
{
    assert_int_equal(idtable_init(&fx->tbl, 0, 9, NULL, NULL), AA_OK);
    publish_init(&fx->pb, true);
    fx->pb.unseen = publish_reads(1, 0.0f, false, 0);
}

static void
end(fixture *fx)
{
    publish_fini(&fx->pb);
    idtable_fini(&fx->tbl);
}

static id_entry
at(const fixture *fx, uint64_t hash)
{
    id_entry e;
    idtable_get(&fx->tbl, hash, idtable_find(&fx->tbl, hash), 1, &e);
    return e;
}

static void
note(fixture *fx, uint64_t hash, float was, float is)
{
    id_entry e = at(fx, hash);
    if (publish_queued(e.flags)) return;
    assert_int_equal(publish_note(&fx->pb, &e,
                                  publish_reads((uint32_t)was, fmodf(was, 1), false, 0),
                                  publish_reads((uint32_t)is, fmodf(is, 1), false, 0), NULL),
                     AA_OK);
    idtable_put(&fx->tbl, hash, idtable_find(&fx->tbl, hash), &e, 0);
}

/* Takes what is to be sent; all of it reads `is`. */
static size_t
listen(fixture *fx, float is)
{
    idtable_walk wk;
    size_t       n = 0;
    for (; publish_next(&fx->pb, &fx->tbl, &wk); n++) {
        id_entry e = at(fx, wk.hash);
        publish_sent(&e, publish_reads((uint32_t)is, fmodf(is, 1), false, 0));
        idtable_put(&fx->tbl, wk.hash, wk.place, &e, 0);
    }
    return n;
}

static void
insert(fixture *fx, uint64_t hash)
{
    uint64_t place;
    assert_int_equal(idtable_insert(&fx->tbl, hash, &place, NULL), AA_OK);
}

static void
a_reading_is_sent_again_before_it_is_far_off_and_not_for_a_little(void **state)
{
    (void)state;
    fixture fx;
    begin(&fx);
    insert(&fx, 5);
    float  is = 2.5f, told = NAN;
    size_t sent = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        const float was = is;
        is += ((float)aa_rng_uniform(1, AA_RNG_TEST, i, 0) - 0.5f) * 0.02f;
        note(&fx, 5, was, is);
        if (listen(&fx, is) > 0) {
            assert_true(isnan(told) || fabsf(is - told) > 0.02f);
            told = is;
            sent++;
        }
        assert_true(fabsf(is - told) < 0.08f);
    }
    assert_in_range(sent, 10, 2000);
    end(&fx);
}

static void
an_id_that_reads_what_unseen_ones_do_is_sent_with_the_exact_ones_only(void **state)
{
    (void)state;
    fixture fx;
    begin(&fx);
    for (uint64_t id = 1; id <= 100; id++) {
        insert(&fx, id << 50);
        note(&fx, id << 50, 1.0f, 1.01f);
    }
    assert_int_equal(listen(&fx, 1.01f), 0);
    publish_exact(&fx.pb);
    assert_int_equal(listen(&fx, 1.01f), 100);
    publish_exact(&fx.pb);
    assert_int_equal(listen(&fx, 1.01f), 0);
    note(&fx, UINT64_C(7) << 50, 1.01f, 1.0101f);
    assert_int_equal(listen(&fx, 1.0101f), 0);
    publish_exact(&fx.pb);
    assert_int_equal(listen(&fx, 1.0101f), 1);
    publish_all(&fx.pb);
    assert_int_equal(listen(&fx, 1.0101f), 100);
    end(&fx);
}

static void
many_changes_are_all_sent_though_the_queue_is_short(void **state)
{
    (void)state;
    enum { IDS = 50000 };
    fixture fx;
    begin(&fx);
    for (uint64_t id = 1; id <= IDS; id++) {
        insert(&fx, aa_rng_bits(1, AA_RNG_TEST, id, 0) | 1);
        note(&fx, aa_rng_bits(1, AA_RNG_TEST, id, 0) | 1, 1.0f, 2.0f);
    }
    assert_true(publish_bytes(&fx.pb) < IDS * 4);
    assert_int_equal(listen(&fx, 2.0f), IDS);
    assert_int_equal(listen(&fx, 2.0f), 0);
    for (uint64_t id = 1; id <= IDS; id += 2) /* and once more, of half of them */
        note(&fx, aa_rng_bits(1, AA_RNG_TEST, id, 0) | 1, 2.0f, 3.0f);
    assert_int_equal(listen(&fx, 3.0f), IDS / 2);
    end(&fx);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_is_sent_again_before_it_is_far_off_and_not_for_a_little),
        cmocka_unit_test(an_id_that_reads_what_unseen_ones_do_is_sent_with_the_exact_ones_only),
        cmocka_unit_test(many_changes_are_all_sent_though_the_queue_is_short),
    };
    return cmocka_run_group_tests_name("assigner/field/publish", tests, NULL, NULL);
}
