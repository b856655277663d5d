/* Which item names ingest sends, and when again. */
#include "ingest/decode/announce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    announce *an;
    uint64_t  last;
    size_t    sent, len;
    bool      refuse;
} fixture;

static bool
keep(void *arg, uint64_t key, const char *text, size_t len)
{
    fixture *fx = arg;
    (void)text;
    if (fx->refuse) return false;
    fx->last = key;
    fx->len = len;
    fx->sent++;
    return true;
}

static int
set_up(void **state)
{
    aa_err   err = AA_ERR_INIT;
    fixture *fx = calloc(1, sizeof *fx);
    assert_int_equal(announce_new(&fx->an, keep, fx, &err), AA_OK);
    announce_tick(fx->an, 1000);
    *state = fx;
    return 0;
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    announce_close(&fx->an);
    free(fx);
    return 0;
}

static void
an_item_is_named_once(void **state)
{
    fixture *fx = *state;
    for (int i = 0; i < 3; i++) {
        announce_item(fx->an, 42, "abc", 3);
        announce_item(fx->an, 43, "abcd", 4);
    }
    assert_int_equal(fx->sent, 2);
    assert_int_equal(fx->last, 43);
    assert_int_equal(fx->len, 4);
    assert_int_equal(announce_sent(fx->an), 2);
}

static void
what_could_not_be_sent_is_sent_at_the_next_event(void **state)
{
    fixture *fx = *state;
    fx->refuse = true;
    announce_item(fx->an, 42, "abc", 3);
    fx->refuse = false;
    announce_item(fx->an, 42, "abc", 3);
    assert_int_equal(fx->sent, 1);
}

static void
no_more_than_the_rate_is_sent(void **state)
{
    fixture *fx = *state;
    for (uint64_t i = 1; i <= 2 * ANNOUNCE_PER_S; i++)
        announce_item(fx->an, i, "x", 1);
    assert_int_equal(fx->sent, ANNOUNCE_PER_S);
    announce_tick(fx->an, 1100);
    for (uint64_t i = 1; i <= 2 * ANNOUNCE_PER_S; i++)
        announce_item(fx->an, i, "x", 1);
    assert_int_equal(fx->sent, ANNOUNCE_PER_S + ANNOUNCE_PER_S / 10);
}

static void
all_are_named_again_after_an_hour(void **state)
{
    fixture *fx = *state;
    announce_item(fx->an, 42, "abc", 3);
    announce_tick(fx->an, 1000 + ANNOUNCE_AGAIN_MS - 1);
    announce_item(fx->an, 42, "abc", 3);
    assert_int_equal(fx->sent, 1);
    announce_tick(fx->an, 1000 + ANNOUNCE_AGAIN_MS);
    announce_item(fx->an, 42, "abc", 3);
    assert_int_equal(fx->sent, 2);
}

static void
more_items_than_are_remembered_are_still_named(void **state)
{
    fixture *fx = *state;
    int64_t  now_ms = 1000;
    for (uint64_t i = 1; i <= 20; i++) /* one set holds eight */
        announce_item(fx->an, i * (ANNOUNCE_IDS / 8), "x", 1);
    assert_int_equal(fx->sent, 20);
    announce_tick(fx->an, ++now_ms);
    announce_item(fx->an, 20 * (ANNOUNCE_IDS / 8), "x", 1); /* among the last eight */
    assert_int_equal(fx->sent, 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_item_is_named_once),
        TEST(what_could_not_be_sent_is_sent_at_the_next_event),
        TEST(no_more_than_the_rate_is_sent),
        TEST(all_are_named_again_after_an_hour),
        TEST(more_items_than_are_remembered_are_still_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
