/* What a fetcher has been asked for and may send;
 * and both sides together over a link that loses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/one_event.h"

#include "common/base/rng.h"
#include "ingest/fetchers/members.h"
#include "ingest/fetchers/supply.h"

/* A fetch of partition 3 only. */
typedef struct {
    int32_t  partition;
    uint32_t attempt;
    int64_t  offset;
    uint64_t messages, records;
    aa_fetch ft;
} ask;

static const aa_fetch *
fetch(ask *as, uint64_t run_id, uint32_t attempt, int64_t offset, uint64_t messages,
      uint64_t records)
{
    *as = (ask){.partition = 3,
                .attempt = attempt,
                .offset = offset,
                .messages = messages,
                .records = records};
    as->ft.hd = (aa_header){.run_id = run_id, .seq = 1}; /* of the first dealing */
    as->ft.po = (aa_portions){.n = 1,
                              .partition = &as->partition,
                              .attempt = &as->attempt,
                              .offset = &as->offset,
                              .messages = &as->messages,
                              .records = &as->records};
    return &as->ft;
}

static void
deal(supply *su)
{
    const aa_kafka_offset po[] = {{.partition = 7}, {.partition = 3}};
    aa_err                err = AA_ERR_INIT;
    assert_int_equal(supply_deal(su, po, 2, &err), AA_OK);
    assert_int_equal(su->part[0].partition, 3);
}

static void
nothing_is_sent_that_was_not_asked_for(void **state)
{
    (void)state;
    supply su = {0};
    ask    as;
    deal(&su);
    assert_int_equal(supply_may(&su.part[0], 1000), 0);
    assert_true(supply_asked(&su, fetch(&as, 50, 1, 100, 0, 40)));
    assert_int_equal(supply_may(&su.part[0], 1000), 0); /* not read yet */
    su.part[0].slot = 0;
    assert_int_equal(su.part[0].next, 100);
    assert_int_equal(supply_may(&su.part[0], 1000), 40);
    assert_int_equal(supply_may(&su.part[0], 10), 10);
    assert_int_equal(supply_may(&su.part[1], 1000), 0);
    supply_fini(&su);
}

static void
newer_run_or_attempt_begins_anew_and_older_ones_change_nothing(void **state)
{
    (void)state;
    supply su = {0};
    ask    as;
    deal(&su);
    assert_true(supply_asked(&su, fetch(&as, 50, 1, 100, 0, 40)));
    su.part[0].slot = 0;
    supply_sent(&su.part[0], 5, 105);
    assert_false(supply_asked(&su, fetch(&as, 50, 1, 105, 1, 60))); /* the same: more may come */
    assert_int_equal(su.part[0].next, 105);
    assert_int_equal(supply_may(&su.part[0], 1000), 55);
    assert_false(supply_asked(&su, fetch(&as, 49, 9, 0, 0, 900)));
    assert_false(supply_asked(&su, fetch(&as, 50, 1, 100, 0, 40))); /* late */
    assert_int_equal(supply_may(&su.part[0], 1000), 55);
    assert_true(supply_asked(&su, fetch(&as, 50, 2, 103, 0, 30)));
    assert_int_equal(su.part[0].next, 103);
    assert_int_equal(su.part[0].messages, 0);
    assert_true(supply_asked(&su, fetch(&as, 51, 1, 90, 0, 30)));
    assert_int_equal(su.part[0].next, 90);
    assert_false(supply_asked(&su, fetch(&as, 0, 1, 0, 0, 30))); /* no run is open */
    supply_fini(&su);
}

static void
what_was_said_to_another_dealing_changes_nothing(void **state)
{
    (void)state;
    supply   su = {0};
    ask      as;
    aa_fetch next;
    deal(&su);
    assert_true(supply_asked(&su, fetch(&as, 50, 1, 100, 0, 40)));
    supply_clear(&su);
    deal(&su);
    assert_false(supply_asked(&su, fetch(&as, 50, 1, 130, 3, 40))); /* was under way */
    assert_int_equal(su.part[0].attempt, 0);
    next = *fetch(&as, 50, 2, 130, 0, 40);
    next.hd.seq = su.term;
    assert_true(supply_asked(&su, &next));
    assert_int_equal(su.part[0].next, 130);
    supply_fini(&su);
}

/* Runs are numbered by the clock of the sequencer's machine. */
static void
sequencer_whose_clock_went_back_is_heard_after_a_dealing(void **state)
{
    (void)state;
    supply   su = {0};
    ask      as;
    aa_fetch next;
    deal(&su);
    assert_true(supply_asked(&su, fetch(&as, 50, 1, 100, 0, 40)));
    supply_clear(&su);
    deal(&su);
    next = *fetch(&as, 20, 1, 130, 0, 40);
    next.hd.seq = su.term;
    assert_true(supply_asked(&su, &next));
    supply_fini(&su);
}

static void
messages_that_are_not_taken_stop_it(void **state)
{
    (void)state;
    supply su = {0};
    ask    as;
    deal(&su);
    assert_true(supply_asked(&su, fetch(&as, 50, 1, 100, 0, 4000)));
    su.part[0].slot = 0;
    for (int i = 0; i < MEMBERS_MESSAGES; i++) {
        assert_int_equal(supply_may(&su.part[0], 10), 10);
        supply_sent(&su.part[0], 1, 101 + i);
    }
    assert_int_equal(supply_may(&su.part[0], 10), 0);
    assert_int_equal(supply_in_flight(&su), MEMBERS_MESSAGES);
    assert_false(supply_asked(&su, fetch(&as, 50, 1, 100, 1, 4000)));
    assert_int_equal(supply_may(&su.part[0], 10), 10);
    supply_gone(&su, &su.part[0]);
    assert_int_equal(supply_may(&su.part[0], 10), 0);
    assert_int_equal(su.lost_run, 50);
    supply_fini(&su);
}

/* A large letter is a message of its own: no more is read than there may be messages. */
static void
large_letters_are_read_with_care(void **state)
{
    (void)state;
    supply       su = {0};
    supply_part *part;
    ask          as;
    deal(&su);
    part = &su.part[0];
    assert_true(supply_asked(&su, fetch(&as, 50, 1, 0, 0, 4000)));
    part->slot = 0;
    supply_sent(part, 3, 3);
    supply_large(part);
    assert_int_equal(supply_may(part, 1000), MEMBERS_MESSAGES - 1);
    assert_int_equal(supply_may(part, 2), 2);
    assert_true(
        supply_asked(&su, fetch(&as, 50, 2, 3, 0, 4000))); /* what it is about is the same */
    part->slot = 0;
    assert_int_equal(supply_may(part, 1000), MEMBERS_MESSAGES);
    supply_sent(part, SUPPLY_CAREFUL - 1, 1026);
    assert_int_equal(supply_may(part, 1000), MEMBERS_MESSAGES - 1);
    supply_sent(part, MEMBERS_MESSAGES - 1, 1033);
    assert_int_equal(supply_may(part, 1000), 1000); /* for so long there was none */
    supply_fini(&su);
}

static void
offer_says_what_was_sent_in_the_newest_run(void **state)
{
    (void)state;
    supply   su = {0};
    aa_offer of = {.name = "f"};
    aa_err   err = AA_ERR_INIT;
    ask      as;
    deal(&su);
    supply_asked(&su, fetch(&as, 50, 2, 100, 0, 4000));
    supply_sent(&su.part[0], 30, 130);
    assert_int_equal(supply_offer(&su, &of, &err), AA_OK);
    assert_int_equal(of.hd.run_id, 50);
    assert_int_equal(of.hd.seq, su.term);
    assert_int_equal(of.po.n, 2);
    assert_int_equal(of.po.attempt[0], 2);
    assert_int_equal(of.po.messages[0], 1);
    assert_int_equal(of.po.attempt[1], 0);
    as.partition = 7; /* the newest run is one that partition 3 is not in */
    assert_true(supply_asked(&su, fetch(&as, 50, 2, 100, 0, 4000)) == false);
    fetch(&as, 51, 1, 5, 0, 10);
    as.partition = 7;
    assert_true(supply_asked(&su, &as.ft));
    assert_int_equal(supply_offer(&su, &of, &err), AA_OK);
    assert_int_equal(of.hd.run_id, 51);
    assert_int_equal(of.po.attempt[0], 0);
    assert_int_equal(of.po.messages[0], 0);
    assert_int_equal(of.po.attempt[1], 1);
    const uint64_t before = su.term;
    supply_clear(&su);
    assert_true(su.term > before); /* a word to the dealing before does not count for the next */
    aa_portions_fini(&of.po);
    supply_fini(&su);
}

/* ---- both sides over a link that loses one message in four; within a direction it is in order.
 * Now and then the group deals again, and no offer says so until the next gets through ---- */

enum { PARTS = 3, MESSAGES_OFFSETS = 4000, ROOM = 512 };

typedef struct {
    aa_conf      cfg;
    aa_err       err;
    members     *mb;
    order       *od;
    supply       su;
    aa_offer     offer;
    aa_fetched   fe;
    uint64_t     seed, draws;
    int64_t      want[PARTS]; /* offset of the event that has to come next out of the order */
    size_t       lost, dealt;
    aa_link_peer id;
} world;

static bool
lost(world *w)
{
    const bool gone = aa_rng_bits(w->seed, AA_RNG_TEST, w->draws++, 0) % 4 == 0;
    w->lost += gone;
    return gone;
}

static void
fetcher_hears(world *w)
{
    members_act act;
    while (members_step(w->mb, w->od, &act))
        if (!lost(w) && supply_asked(&w->su, act.fetch))
            for (size_t i = 0; i < w->su.n; i++)
                w->su.part[i].slot = i;
}

static void
fetcher_offers(world *w, int64_t now_us)
{
    members_news news;
    assert_int_equal(supply_offer(&w->su, &w->offer, &w->err), AA_OK);
    if (lost(w)) return;
    assert_int_equal(members_offer(w->mb, &w->id, &w->offer, now_us, &news, &w->err), AA_OK);
}

/* Every third offset is no record: of a compacted topic, say. */
static void
fetcher_sends(world *w, supply_part *part)
{
    aa_fetched *fe = &w->fe;
    size_t      most = supply_may(part, 1 + aa_rng_bits(w->seed, AA_RNG_TEST, w->draws++, 1) % 90);
    size_t      idx = 0;
    int64_t     at = part->next;

    aa_fetched_clear(fe);
    while (fe->n < most && at < MESSAGES_OFFSETS) {
        if (at % 3 != 2) fe->offset[fe->n++] = at;
        at++;
    }
    if (fe->n == 0) return;
    fe->hd = (aa_header){.run_id = part->run_id, .seq = part->messages + 1};
    fe->partition = part->partition;
    fe->attempt = part->attempt;
    supply_sent(part, fe->n, aa_fetched_next(fe));
    if (lost(w) || members_fetched(w->mb, w->od, &w->id, fe, &idx) != MEMBERS_TAKEN) return;
    for (size_t i = 0; i < fe->n; i++) { /* the offset travels as the key */
        const uint64_t   key[2] = {(uint64_t)idx, (uint64_t)fe->offset[i]};
        one_event        ev = one_event_of(key, 2, 0, 0);
        const aa_columns col = one_event_columns(&ev);
        assert_true(order_held(w->od, idx) < order_capacity(w->od));
        order_push(w->od, idx, fe->offset[i], &col, 0, 0);
    }
}

static void
group_deals(world *w)
{
    const aa_kafka_offset po[PARTS] = {{.partition = 0}, {.partition = 1}, {.partition = 2}};
    supply_clear(&w->su);
    assert_int_equal(supply_deal(&w->su, po, PARTS, &w->err), AA_OK);
    w->dealt++;
}

static size_t
sequencer_takes(world *w, aa_event_batch *b, size_t most)
{
    b->n = 0;
    order_take(w->od, b, most);
    for (size_t i = 0; i < b->n; i++) {
        const uint64_t idx = b->key[2 * i];
        assert_int_equal(b->key[2 * i + 1], w->want[idx]);
        w->want[idx] += w->want[idx] % 3 == 1 ? 2 : 1;
    }
    return b->n;
}

static void
every_record_comes_once_and_in_order_over_a_link_that_loses(void **state)
{
    (void)state;
    const char         *given = getenv("SEED");
    world               w = {.id = {.id = {'p', 1}, .len = 17}};
    aa_event_batch      b = {0};
    const int64_t       position[PARTS] = {0};
    const members_part *part;
    size_t              n, taken = 0;
    const size_t        all = PARTS * ((size_t)MESSAGES_OFFSETS * 2 / 3 + 1);
    w.seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("SEED=%llu\n", (unsigned long long)w.seed);
    aa_conf_defaults(&w.cfg);
    snprintf(w.offer.pipeline, sizeof w.offer.pipeline, "%.127s", w.cfg.pipeline.name);
    w.offer.decoding_digest = aa_conf_decoding_digest(&w.cfg);
    assert_int_equal(aa_event_batch_reserve(&b, ROOM, 2, &w.err), AA_OK);
    assert_int_equal(aa_fetched_reserve(&w.fe, ROOM, 2, &w.err), AA_OK);
    assert_int_equal(members_new(&w.mb, &w.cfg, &w.err), AA_OK);
    assert_int_equal(order_new(&w.od, 2, false, &w.err), AA_OK);
    assert_int_equal(members_own(w.mb, NULL, 0, true, 0, &w.err), AA_OK);
    group_deals(&w);
    while (members_wanted(w.mb) == 0)
        fetcher_offers(&w, 0);
    assert_int_equal(members_take(w.mb, &part, &n, &w.err), AA_OK);
    assert_int_equal(order_begin(w.od, position, n, ROOM, &w.err), AA_OK);
    members_begin(w.mb, 50, position);
    for (int round = 0; taken < all && round < 100000; round++) {
        fetcher_hears(&w);
        if (aa_rng_bits(w.seed, AA_RNG_TEST, w.draws++, 3) % 20 == 0) group_deals(&w);
        for (size_t i = 0; i < PARTS; i++)
            fetcher_sends(&w, &w.su.part[i]);
        if (round % 5 == 0) fetcher_offers(&w, round);
        taken += sequencer_takes(&w, &b, aa_rng_bits(w.seed, AA_RNG_TEST, w.draws++, 2) % 200);
    }
    assert_int_equal(taken, all);
    assert_in_range(w.lost, 20, SIZE_MAX);
    assert_in_range(w.dealt, 2, SIZE_MAX);
    aa_event_batch_fini(&b);
    aa_fetched_fini(&w.fe);
    aa_portions_fini(&w.offer.po);
    supply_fini(&w.su);
    order_free(&w.od);
    members_free(&w.mb);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_that_was_not_asked_for),
        cmocka_unit_test(newer_run_or_attempt_begins_anew_and_older_ones_change_nothing),
        cmocka_unit_test(what_was_said_to_another_dealing_changes_nothing),
        cmocka_unit_test(sequencer_whose_clock_went_back_is_heard_after_a_dealing),
        cmocka_unit_test(messages_that_are_not_taken_stop_it),
        cmocka_unit_test(large_letters_are_read_with_care),
        cmocka_unit_test(offer_says_what_was_sent_in_the_newest_run),
        cmocka_unit_test(every_record_comes_once_and_in_order_over_a_link_that_loses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
