/* Who reads which partition, run by run: the sequencer's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/decode/deadletter.h"
#include "ingest/fetchers/members.h"

enum { S = 1000000, F = 2, ROOM = 64 };

typedef struct {
    aa_conf             cfg;
    aa_err              err;
    members            *mb;
    order              *od;
    aa_offer            offer;
    aa_fetched          fetched;
    const members_part *part;
    size_t              n;
    int64_t             now_us;
} fixture;

static fixture *
make(void)
{
    fixture *fx = calloc(1, sizeof *fx);
    assert_non_null(fx);
    aa_conf_defaults(&fx->cfg);
    fx->now_us = 100 * (int64_t)S;
    assert_int_equal(members_new(&fx->mb, &fx->cfg, &fx->err), AA_OK);
    members_topic(fx->mb, 4);
    assert_int_equal(order_new(&fx->od, F, false, &fx->err), AA_OK);
    assert_int_equal(aa_fetched_reserve(&fx->fetched, 4 * ROOM, F, &fx->err), AA_OK);
    return fx;
}

static void
unmake(fixture *fx)
{
    members_free(&fx->mb);
    order_free(&fx->od);
    aa_portions_fini(&fx->offer.po);
    aa_fetched_fini(&fx->fetched);
    free(fx);
}

static aa_link_peer
fetcher(char name)
{
    aa_link_peer id = {.id = {'p', (uint8_t)name}, .len = 17};
    return id;
}

static void
own(fixture *fx, const int32_t *partition, size_t n)
{
    assert_int_equal(members_own(fx->mb, partition, n, true, fx->now_us, &fx->err), AA_OK);
}

/* The offer of fetcher `name`, of partitions as digits: "13". It is sent by `offer`. */
static aa_offer *
prepare(fixture *fx, char name, const char *partitions)
{
    aa_offer    *of = &fx->offer;
    const size_t n = strlen(partitions);
    aa_portions  po = of->po;
    assert_int_equal(aa_portions_reserve(&po, n, &fx->err), AA_OK);
    *of = (aa_offer){.hd = {.seq = 7}, .name = {name}, .po = po};
    snprintf(of->pipeline, sizeof of->pipeline, "%.127s", fx->cfg.pipeline.name);
    of->decoding_digest = aa_conf_decoding_digest(&fx->cfg);
    of->po.n = n;
    for (size_t i = 0; i < n; i++) {
        of->po.partition[i] = partitions[i] - '0';
        of->po.offset[i] = 1000;
        of->po.attempt[i] = 0;
        of->po.messages[i] = of->po.records[i] = 0;
    }
    return of;
}

static members_news
offer(fixture *fx)
{
    const aa_link_peer from = fetcher(fx->offer.name[0]);
    members_news       news;
    assert_int_equal(members_offer(fx->mb, &from, &fx->offer, fx->now_us, &news, &fx->err), AA_OK);
    return news;
}
static members_news
offers(fixture *fx, char name, const char *partitions)
{
    prepare(fx, name, partitions);
    return offer(fx);
}

/* Open a run of the union; every partition begins at offset 100. */
static void
begin(fixture *fx, uint64_t run_id)
{
    int64_t position[10];
    assert_int_equal(members_take(fx->mb, &fx->part, &fx->n, &fx->err), AA_OK);
    assert_in_range(fx->n, 1, 10);
    for (size_t i = 0; i < fx->n; i++)
        position[i] = 100;
    assert_int_equal(order_begin(fx->od, position, fx->n, ROOM, &fx->err), AA_OK);
    members_begin(fx->mb, run_id, position);
}

/* A sequencer without partitions of its own; fetcher 'a' has these; run 50 is open. */
static fixture *
make_run(const char *partitions)
{
    fixture *fx = make();
    own(fx, NULL, 0);
    offers(fx, 'a', partitions);
    begin(fx, 50);
    return fx;
}

/* What the fetcher is told next; all others' messages are passed over. */
static bool
told(fixture *fx, char name, members_act *act)
{
    const aa_link_peer to = fetcher(name);
    while (members_step(fx->mb, fx->od, act))
        if (memcmp(act->to.id, to.id, to.len) == 0) return true;
    return false;
}

/* Message number seq of partition, of n records from offset on; TAKEN ones go into the order. */
static members_verdict
sends(fixture *fx, char name, uint64_t run_id, int32_t partition, uint32_t attempt, uint64_t seq,
      int64_t offset, size_t n)
{
    const aa_link_peer from = fetcher(name);
    aa_fetched        *fe = &fx->fetched;
    size_t             idx = 99;
    members_verdict    verdict;
    assert_int_equal(aa_fetched_reserve(fe, n, F, &fx->err), AA_OK);
    aa_fetched_clear(fe);
    fe->hd = (aa_header){.run_id = run_id, .seq = seq};
    fe->partition = partition;
    fe->attempt = attempt;
    fe->n = n;
    for (size_t i = 0; i < n; i++) {
        aa_columns_default(&fe->columns, i, F);
        fe->offset[i] = offset + (int64_t)i;
        fe->key[i * F] = fe->key[i * F + 1] = 1;
        fe->arrival_ms[i] = 0;
    }
    verdict = members_fetched(fx->mb, fx->od, &from, fe, &idx);
    if (verdict != MEMBERS_TAKEN) return verdict;
    assert_int_equal(fx->part[idx].partition, partition);
    for (size_t i = 0; i < n; i++)
        order_push(fx->od, idx, fe->offset[i], &fe->columns, i, 0);
    return verdict;
}

static void
union_is_of_the_sequencer_and_its_fetchers(void **state)
{
    (void)state;
    fixture      *fx = make();
    const int32_t mine[] = {0, 3};
    assert_false(
        members_settled(fx->mb, fx->now_us + 60 * (int64_t)S)); /* the group has not dealt */
    own(fx, mine, 2);
    assert_int_equal(offers(fx, 'a', "12"), MEMBERS_DEALT);
    assert_true(members_settled(fx->mb, fx->now_us)); /* the whole topic: nobody to wait for */
    begin(fx, 50);
    assert_int_equal(fx->n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(fx->part[i].partition, i);
    assert_int_equal(fx->part[0].owner, MEMBERS_SELF);
    assert_int_not_equal(fx->part[1].owner, MEMBERS_SELF);
    assert_int_equal(fx->part[3].owner, MEMBERS_SELF);
    assert_false(members_changed(fx->mb));
    assert_int_equal(offers(fx, 'a', "12"), MEMBERS_SAME); /* its heartbeat */
    assert_false(members_changed(fx->mb));
    assert_int_equal(members_working(fx->mb), 1);
    unmake(fx);
}

static void
less_than_the_topic_waits_until_it_stands_still(void **state)
{
    (void)state;
    fixture      *fx = make();
    const int32_t mine[] = {0};
    own(fx, mine, 1);
    assert_false(members_settled(fx->mb, fx->now_us + MEMBERS_SETTLE_US - 1));
    assert_true(members_settled(fx->mb, fx->now_us + MEMBERS_SETTLE_US));
    fx->now_us += MEMBERS_SETTLE_US - 1;
    offers(fx, 'a', "1");
    assert_false(members_settled(fx->mb, fx->now_us + 1));
    assert_true(members_settled(fx->mb, fx->now_us + MEMBERS_SETTLE_US));
    unmake(fx);
}

static void
who_comes_and_goes_without_partitions_holds_up_nothing(void **state)
{
    (void)state;
    fixture      *fx = make();
    const int32_t mine[] = {0};
    own(fx, mine, 1);
    fx->now_us += MEMBERS_SETTLE_US - 1;
    offers(fx, 'a', "");
    prepare(fx, 'a', "")->withdrawing = true;
    assert_int_equal(offer(fx), MEMBERS_LEAVES);
    assert_true(members_settled(fx->mb, fx->now_us + 1));
    assert_int_equal(members_own(fx->mb, mine, 1, false, fx->now_us, &fx->err), AA_OK);
    own(fx, mine, 1); /* but a dealing may have more news to come */
    assert_false(members_settled(fx->mb, fx->now_us + 1));
    unmake(fx);
}

static void
sequencer_without_partitions_runs_on_its_fetchers(void **state)
{
    (void)state;
    fixture *fx = make();
    own(fx, NULL, 0);
    assert_false(members_settled(fx->mb, fx->now_us + 60 * (int64_t)S)); /* nothing to read */
    offers(fx, 'a', "0123");
    assert_true(members_settled(fx->mb, fx->now_us));
    begin(fx, 50);
    assert_int_equal(fx->n, 4);
    unmake(fx);
}

static void
any_change_of_the_union_ends_the_run(void **state)
{
    (void)state;
    fixture      *fx = make();
    const int32_t mine[] = {0}, less[] = {1};
    own(fx, mine, 1);
    offers(fx, 'a', "1");
    begin(fx, 50);
    offers(fx, 'b', "2"); /* more */
    assert_true(members_changed(fx->mb));
    begin(fx, 51);
    assert_false(members_changed(fx->mb));
    offers(fx, 'a', ""); /* less */
    assert_true(members_changed(fx->mb));
    begin(fx, 52);
    offers(fx, 'b', "3"); /* others */
    assert_true(members_changed(fx->mb));
    begin(fx, 53);
    own(fx, less, 1);
    assert_true(members_changed(fx->mb));
    members_end(fx->mb);
    assert_false(members_changed(fx->mb)); /* no run, nothing to end */
    unmake(fx);
}

static void
silent_fetcher_is_gone_and_its_partitions_with_it(void **state)
{
    (void)state;
    fixture      *fx = make();
    const int32_t mine[] = {0};
    const int64_t silence_us = fx->cfg.ingest.fetcher_silence_ms * 1000;
    own(fx, mine, 1);
    offers(fx, 'a', "12");
    begin(fx, 50);
    fx->now_us += silence_us - 1;
    assert_null(members_silent(fx->mb, fx->now_us));
    offers(fx, 'b', "3");
    begin(fx, 51);
    fx->now_us += 1;
    assert_string_equal(members_silent(fx->mb, fx->now_us), "a");
    assert_null(members_silent(fx->mb, fx->now_us));
    assert_true(members_changed(fx->mb));
    assert_int_equal(members_count(fx->mb), 1);
    begin(fx, 52);
    assert_int_equal(fx->n, 2); /* 0 and 3 */
    assert_int_equal(sends(fx, 'a', 52, 1, 1, 1, 100, 1), MEMBERS_STRAY);
    unmake(fx);
}

static void
present_owner_keeps_a_partition_while_it_is_heard(void **state)
{
    (void)state;
    fixture *fx = make();
    size_t   owner;
    own(fx, NULL, 0);
    offers(fx, 'a', "0");
    offers(fx, 'b', "1");
    begin(fx, 50);
    owner = fx->part[1].owner;
    offers(fx, 'a', "01"); /* the group may have dealt it anew; 'b' does not know yet */
    assert_false(members_changed(fx->mb));
    begin(fx, 51);
    members_act act;
    assert_true(told(fx, 'a', &act));
    offers(fx, 'b', "");
    assert_true(members_changed(fx->mb));
    begin(fx, 52);
    assert_int_equal(fx->n, 2);
    assert_int_not_equal(fx->part[1].owner, owner);
    unmake(fx);
}

static void
what_the_group_deals_to_the_sequencer_is_its_own(void **state)
{
    (void)state;
    fixture      *fx = make_run("01");
    const int32_t mine[] = {1};
    own(fx, mine, 1); /* 'a' has not heard of it */
    assert_true(members_changed(fx->mb));
    begin(fx, 51);
    assert_int_equal(fx->part[1].owner, MEMBERS_SELF);
    unmake(fx);
}

static void
fetcher_is_told_where_to_read_and_how_much(void **state)
{
    (void)state;
    fixture    *fx = make();
    members_act act;
    own(fx, NULL, 0);
    offers(fx, 'a', "02");
    assert_true(told(fx, 'a', &act)); /* heard, but no run is open */
    assert_int_equal(act.kind, AA_MSG_FETCH);
    assert_int_equal(act.fetch->hd.run_id, 0);
    assert_int_equal(act.fetch->po.n, 0);
    begin(fx, 50);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->hd.run_id, 50);
    assert_int_equal(act.fetch->po.n, 2);
    assert_int_equal(act.fetch->po.partition[1], 2);
    assert_int_equal(act.fetch->po.attempt[1], 1);
    assert_int_equal(act.fetch->po.offset[1], 100);
    assert_int_equal(act.fetch->po.records[1], ROOM);
    assert_false(told(fx, 'a', &act)); /* once, until it is heard again */
    offers(fx, 'a', "02");
    assert_true(told(fx, 'a', &act));
    unmake(fx);
}

static void
records_are_taken_in_sequence_and_once(void **state)
{
    (void)state;
    fixture    *fx = make();
    members_act act;
    own(fx, NULL, 0);
    offers(fx, 'a', "01");
    offers(fx, 'b', "2");
    begin(fx, 50);
    while (members_step(fx->mb, fx->od, &act)) {
    }
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 1, 100, 3), MEMBERS_TAKEN);
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 1, 100, 3), MEMBERS_STRAY); /* twice */
    assert_int_equal(sends(fx, 'a', 49, 1, 1, 2, 103, 3), MEMBERS_STRAY); /* another run */
    assert_int_equal(sends(fx, 'b', 50, 1, 1, 2, 103, 3), MEMBERS_STRAY); /* not its partition */
    assert_int_equal(sends(fx, 'a', 50, 3, 1, 1, 100, 3), MEMBERS_STRAY); /* nobody's */
    assert_int_equal(sends(fx, 'c', 50, 1, 1, 2, 103, 3), MEMBERS_STRAY); /* never heard of */
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 2, 120, 2),
                     MEMBERS_TAKEN); /* offsets may have gaps */
    assert_int_equal(order_held(fx->od, 1), 5);
    unmake(fx);
}

static void
gap_is_asked_for_again_from_where_it_is(void **state)
{
    (void)state;
    fixture    *fx = make_run("1");
    members_act act;
    assert_true(told(fx, 'a', &act));
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 1, 100, 3), MEMBERS_TAKEN);
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 3, 106, 3), MEMBERS_GAP);
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 4, 109, 3), MEMBERS_STRAY); /* of the old attempt */
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.attempt[0], 2);
    assert_int_equal(act.fetch->po.offset[0], 103);
    assert_int_equal(act.fetch->po.messages[0], 0);
    assert_int_equal(act.fetch->po.records[0], ROOM - 3);
    assert_int_equal(sends(fx, 'a', 50, 1, 2, 1, 102, 3), MEMBERS_GAP); /* not what was asked for */
    assert_true(told(fx, 'a', &act));
    assert_int_equal(sends(fx, 'a', 50, 1, 3, 1, 103, 3), MEMBERS_TAKEN);
    assert_int_equal(order_held(fx->od, 0), 6);
    unmake(fx);
}

static void
last_message_that_got_lost_is_noticed_by_the_offer(void **state)
{
    (void)state;
    fixture    *fx = make_run("1");
    members_act act;
    assert_true(told(fx, 'a', &act));
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 1, 100, 3), MEMBERS_TAKEN);
    prepare(fx, 'a', "1");
    fx->offer.hd.run_id = 50;
    fx->offer.po.attempt[0] = 1;
    fx->offer.po.messages[0] = 1;
    offer(fx);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.attempt[0], 1); /* all is there */
    fx->offer.po.messages[0] = 2;
    offer(fx);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.attempt[0], 2);
    assert_int_equal(act.fetch->po.offset[0], 103);
    offer(fx); /* sent before it knew */
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.attempt[0], 2);
    unmake(fx);
}

static void
no_more_is_under_way_than_the_order_has_space_for(void **state)
{
    (void)state;
    fixture       *fx = make_run("1");
    aa_event_batch b = {0};
    members_act    act;
    assert_int_equal(aa_event_batch_reserve(&b, ROOM, F, &fx->err), AA_OK);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 1, 100, ROOM - 4), MEMBERS_TAKEN);
    offers(fx, 'a', "1");
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.records[0], ROOM); /* nothing has left: no more than before */
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 2, 100 + ROOM - 4, 5), MEMBERS_GAP); /* too much */
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.records[0], 4);
    assert_int_equal(sends(fx, 'a', 50, 1, 2, 1, 100 + ROOM - 4, 4), MEMBERS_TAKEN);
    offers(fx, 'a', "1");
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.records[0], 4); /* full: a stalled learner stops it */
    assert_int_equal(order_take(fx->od, &b, 10), 10);
    offers(fx, 'a', "1");
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.records[0], 14);
    aa_event_batch_fini(&b);
    unmake(fx);
}

/* A flood of bad messages is bounded like one of good ones. */
static void
letters_count_as_records(void **state)
{
    (void)state;
    fixture           *fx = make_run("1");
    const aa_link_peer from = fetcher('a');
    aa_fetched        *fe = &fx->fetched;
    members_act        act;
    size_t             idx;
    assert_true(told(fx, 'a', &act));
    aa_fetched_clear(fe);
    fe->F = F;
    fe->hd = (aa_header){.run_id = 50, .seq = 1};
    fe->partition = 1;
    fe->attempt = 1;
    for (int64_t i = 0; i <= ROOM; i++) {
        const aa_fetched_letter le = {.offset = 100 + i};
        assert_int_equal(aa_fetched_add_letter(fe, &le, "", "", "", &fx->err), AA_OK);
    }
    assert_int_equal(members_fetched(fx->mb, fx->od, &from, fe, &idx), MEMBERS_GAP);
    fe->attempt = 2;
    fe->letter_count = ROOM;
    assert_true(told(fx, 'a', &act));
    assert_int_equal(members_fetched(fx->mb, fx->od, &from, fe, &idx), MEMBERS_TAKEN);
    unmake(fx);
}

/* One letter of LARGE bytes, message seq of partition 1, goes into the order if it is taken. */
enum { LARGE = 900000 };
static members_verdict
sends_large_letter(fixture *fx, const aa_fetch *ft, uint64_t seq, const char *value)
{
    const aa_link_peer      from = fetcher('a');
    aa_fetched             *fe = &fx->fetched;
    const int64_t           offset = ft->po.offset[0] + (int64_t)(seq - ft->po.messages[0]) - 1;
    const aa_fetched_letter le = {
        .offset = offset, .has_value = true, .len = LARGE, .full_len = LARGE};
    const aa_kafka_record rec = {.partition = 1, .offset = offset, .value = value, .len = LARGE};
    deadletter           *dl;
    members_verdict       verdict;
    size_t                idx;

    aa_fetched_clear(fe);
    fe->F = F;
    fe->hd = (aa_header){.run_id = 50, .seq = seq};
    fe->partition = 1;
    fe->attempt = ft->po.attempt[0];
    assert_int_equal(aa_fetched_add_letter(fe, &le, NULL, value, NULL, &fx->err), AA_OK);
    verdict = members_fetched(fx->mb, fx->od, &from, fe, &idx);
    if (verdict != MEMBERS_TAKEN) return verdict;
    dl = deadletter_new(&rec, DECODE_MALFORMED, "test");
    assert_non_null(dl);
    order_push_letter(fx->od, idx, &dl);
    return verdict;
}

/* All that a fetcher may send after what it was told; returns how much was taken. */
static size_t
sends_all_it_may(fixture *fx, const aa_fetch *ft, const char *value)
{
    const uint64_t first = ft->po.messages[0] + 1;
    size_t         count = 0;
    for (uint64_t seq = first; seq < first + MEMBERS_MESSAGES; seq++)
        count += sends_large_letter(fx, ft, seq, value) == MEMBERS_TAKEN;
    return count;
}

/* 8 MB of letters fill a partition's line: from then on only what was under way still comes. */
static void
large_letters_do_not_fill_the_memory(void **state)
{
    (void)state;
    fixture     *fx = make_run("1");
    const size_t most = (8u << 20) / LARGE + 1 + MEMBERS_MESSAGES;
    char        *value = calloc(1, LARGE);
    size_t       held = 0;
    members_act  act;
    uint64_t     told_messages;
    deadletter  *dl;
    assert_non_null(value);
    while (told(fx, 'a', &act)) { /* each time more messages were taken */
        assert_int_equal(act.fetch->po.attempt[0], 1);
        assert_true(act.fetch->po.records[0] >= ROOM); /* it is not these that stop it */
        held += sends_all_it_may(fx, act.fetch, value);
        assert_in_range(held, 1, most);
    }
    assert_int_equal(order_room(fx->od, 0), 0);
    offers(fx, 'a', "1");
    assert_true(told(fx, 'a', &act));
    told_messages = act.fetch->po.messages[0];
    assert_true(told_messages + MEMBERS_MESSAGES <= held);
    assert_false(told(fx, 'a', &act));
    assert_non_null(dl = order_take_letter(fx->od)); /* they move on: without a gap */
    while (dl) {
        deadletter_free(&dl);
        dl = order_take_letter(fx->od);
    }
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.attempt[0], 1);
    assert_int_equal(act.fetch->po.messages[0], held);
    assert_int_equal(sends_all_it_may(fx, act.fetch, value), MEMBERS_MESSAGES);
    assert_int_equal(sends_large_letter(fx, act.fetch, held + MEMBERS_MESSAGES + 1, value),
                     MEMBERS_GAP); /* more than it may */
    free(value);
    unmake(fx);
}

/* ... and so is space, when a good part of it is free again. */
static void
space_is_told_without_waiting_for_an_offer(void **state)
{
    (void)state;
    fixture       *fx = make_run("1");
    aa_event_batch b = {0};
    members_act    act;
    assert_int_equal(aa_event_batch_reserve(&b, ROOM, F, &fx->err), AA_OK);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 1, 100, ROOM), MEMBERS_TAKEN);
    assert_false(told(fx, 'a', &act));
    assert_int_equal(order_take(fx->od, &b, ROOM / 8), ROOM / 8);
    assert_false(told(fx, 'a', &act));
    assert_int_equal(order_take(fx->od, &b, ROOM / 8), ROOM / 8);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.records[0], ROOM + ROOM / 4);
    aa_event_batch_fini(&b);
    unmake(fx);
}

/* The group took its partition and gave it back, and the offer of none in between got lost: it
 * begins again with message 1, which must not be taken for one that has come before. */
static void
dealt_again_within_a_run_begins_a_new_attempt(void **state)
{
    (void)state;
    fixture    *fx = make();
    members_act act;
    own(fx, NULL, 0);
    offers(fx, 'a', "1");
    offers(fx, 'b', "2");
    begin(fx, 50);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->hd.seq, 7); /* the offer's */
    for (uint64_t seq = 1; seq <= 3; seq++)
        assert_int_equal(sends(fx, 'a', 50, 1, 1, seq, 99 + (int64_t)seq, 1), MEMBERS_TAKEN);
    prepare(fx, 'a', "1")->hd.seq = 9;
    assert_int_equal(offer(fx), MEMBERS_SAME);
    assert_false(members_changed(fx->mb));
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->hd.seq, 9);
    assert_int_equal(act.fetch->po.attempt[0], 2);
    assert_int_equal(act.fetch->po.offset[0], 103);
    assert_int_equal(sends(fx, 'a', 50, 1, 1, 4, 109, 1), MEMBERS_STRAY);
    assert_int_equal(sends(fx, 'a', 50, 1, 2, 1, 103, 1), MEMBERS_TAKEN);
    offer(fx); /* its heartbeat */
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.fetch->po.attempt[0], 2);
    offers(fx, 'b', "2"); /* that was nothing to others */
    assert_true(told(fx, 'b', &act));
    assert_int_equal(act.fetch->po.attempt[0], 1);
    unmake(fx);
}

static void
messages_taken_are_told_without_waiting_for_an_offer(void **state)
{
    (void)state;
    fixture    *fx = make_run("1");
    members_act act;
    bool        heard = false;
    assert_true(told(fx, 'a', &act));
    for (uint64_t seq = 1; seq <= MEMBERS_MESSAGES; seq++) {
        assert_int_equal(sends(fx, 'a', 50, 1, 1, seq, 100 + (int64_t)seq, 1), MEMBERS_TAKEN);
        heard |= told(fx, 'a', &act);
    }
    assert_true(heard);
    unmake(fx);
}

static void
who_withdraws_is_released_when_the_run_is_over(void **state)
{
    (void)state;
    fixture    *fx = make_run("1");
    members_act act;
    prepare(fx, 'a', "1")->withdrawing = true;
    fx->offer.hd.seq = 9;
    assert_int_equal(offer(fx), MEMBERS_WITHDRAWS);
    assert_true(members_changed(fx->mb));
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.kind, AA_MSG_FETCH); /* not yet */
    members_end(fx->mb);
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.kind, AA_MSG_RELEASED);
    assert_int_equal(act.hd.seq, 9);
    offer(fx); /* that answer got lost */
    assert_true(told(fx, 'a', &act));
    assert_int_equal(act.kind, AA_MSG_RELEASED);
    assert_int_equal(members_wanted(fx->mb), 0);
    prepare(fx, 'a', "")->withdrawing = true;
    assert_int_equal(offer(fx), MEMBERS_LEAVES);
    assert_int_equal(members_count(fx->mb), 0);
    assert_false(told(fx, 'a', &act));
    unmake(fx);
}

static void
no_run_is_opened_between_release_and_the_next_dealing(void **state)
{
    (void)state;
    fixture *fx = make();
    offers(fx, 'a', "0123");
    assert_false(members_settled(fx->mb, fx->now_us + 60 * (int64_t)S));
    own(fx, NULL, 0);
    assert_true(members_settled(fx->mb, fx->now_us));
    assert_int_equal(members_own(fx->mb, NULL, 0, false, fx->now_us, &fx->err), AA_OK);
    assert_false(members_settled(fx->mb, fx->now_us + 60 * (int64_t)S));
    unmake(fx);
}

static void
strangers_are_refused_by_name(void **state)
{
    (void)state;
    fixture           *fx = make();
    const aa_link_peer from = fetcher('x'), nobody = {.len = 0};
    members_news       news;
    prepare(fx, 'x', "1");
    snprintf(fx->offer.pipeline, sizeof fx->offer.pipeline, "another");
    assert_int_equal(members_offer(fx->mb, &from, &fx->offer, fx->now_us, &news, &fx->err),
                     AA_ECONFIG);
    assert_non_null(strstr(fx->err.text, "another"));
    prepare(fx, 'x', "1")->hd.lane = 3;
    assert_int_equal(members_offer(fx->mb, &from, &fx->offer, fx->now_us, &news, &fx->err),
                     AA_ECONFIG);
    prepare(fx, 'x', "1")->decoding_digest++;
    assert_int_equal(members_offer(fx->mb, &from, &fx->offer, fx->now_us, &news, &fx->err),
                     AA_ECONFIG);
    assert_non_null(strstr(fx->err.text, "event"));
    prepare(fx, 'x', "1");
    assert_int_equal(members_offer(fx->mb, &nobody, &fx->offer, fx->now_us, &news, &fx->err),
                     AA_ECONFIG);
    assert_int_equal(members_wanted(fx->mb), 0);
    assert_int_equal(members_count(fx->mb), 0);
    unmake(fx);
}

static void
events_that_are_gone_are_said_once_in_a_run(void **state)
{
    (void)state;
    fixture *fx = make_run("1");
    assert_false(members_lost(fx->mb));
    prepare(fx, 'a', "1")->lost_run = 50;
    fx->offer.hd.run_id = 50;
    offer(fx);
    assert_true(members_lost(fx->mb));
    offer(fx);
    assert_false(members_lost(fx->mb));
    begin(fx, 51);
    offer(fx); /* still of the run before */
    assert_false(members_lost(fx->mb));
    unmake(fx);
}

static void
lag_is_what_the_owner_says(void **state)
{
    (void)state;
    fixture *fx = make_run("1");
    assert_int_equal(members_lag(fx->mb, 1, 990), 10);
    assert_int_equal(members_lag(fx->mb, 1, 1001), 0);
    assert_int_equal(members_lag(fx->mb, 2, 0), -1);
    prepare(fx, 'a', "1")->po.offset[0] = -1;
    offer(fx);
    assert_int_equal(members_lag(fx->mb, 1, 990), -1);
    unmake(fx);
}

/* Places are used again, and who comes new is not taken for who was there before. */
static void
many_fetchers_come_and_go(void **state)
{
    (void)state;
    fixture      *fx = make();
    const int64_t silence_us = fx->cfg.ingest.fetcher_silence_ms * 1000;
    aa_link_peer  from = {.len = 17};
    members_news  news;
    own(fx, NULL, 0);
    prepare(fx, 'm', "1");
    for (uint32_t i = 0; i < 3 * MEMBERS_MAX; i++) {
        memcpy(from.id, &i, sizeof i);
        assert_int_equal(members_offer(fx->mb, &from, &fx->offer, fx->now_us, &news, &fx->err),
                         AA_OK);
        assert_int_equal(news, MEMBERS_DEALT);
        if (i % 2) begin(fx, 100 + i);
        fx->now_us += silence_us;
        assert_non_null(members_silent(fx->mb, fx->now_us));
    }
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        aa_status st;
        memcpy(from.id, &i, sizeof i);
        st = members_offer(fx->mb, &from, &fx->offer, fx->now_us, &news, &fx->err);
        assert_int_equal(st, i < MEMBERS_MAX - 2 ? AA_OK : AA_EFULL); /* [0], and the run's owner */
    }
    unmake(fx);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(union_is_of_the_sequencer_and_its_fetchers),
        cmocka_unit_test(less_than_the_topic_waits_until_it_stands_still),
        cmocka_unit_test(who_comes_and_goes_without_partitions_holds_up_nothing),
        cmocka_unit_test(sequencer_without_partitions_runs_on_its_fetchers),
        cmocka_unit_test(any_change_of_the_union_ends_the_run),
        cmocka_unit_test(silent_fetcher_is_gone_and_its_partitions_with_it),
        cmocka_unit_test(present_owner_keeps_a_partition_while_it_is_heard),
        cmocka_unit_test(what_the_group_deals_to_the_sequencer_is_its_own),
        cmocka_unit_test(fetcher_is_told_where_to_read_and_how_much),
        cmocka_unit_test(records_are_taken_in_sequence_and_once),
        cmocka_unit_test(gap_is_asked_for_again_from_where_it_is),
        cmocka_unit_test(last_message_that_got_lost_is_noticed_by_the_offer),
        cmocka_unit_test(no_more_is_under_way_than_the_order_has_space_for),
        cmocka_unit_test(letters_count_as_records),
        cmocka_unit_test(large_letters_do_not_fill_the_memory),
        cmocka_unit_test(dealt_again_within_a_run_begins_a_new_attempt),
        cmocka_unit_test(space_is_told_without_waiting_for_an_offer),
        cmocka_unit_test(messages_taken_are_told_without_waiting_for_an_offer),
        cmocka_unit_test(who_withdraws_is_released_when_the_run_is_over),
        cmocka_unit_test(no_run_is_opened_between_release_and_the_next_dealing),
        cmocka_unit_test(strangers_are_refused_by_name),
        cmocka_unit_test(events_that_are_gone_are_said_once_in_a_run),
        cmocka_unit_test(lag_is_what_the_owner_says),
        cmocka_unit_test(many_fetchers_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
