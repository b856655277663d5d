/* The texts of items, and which are ranked. */
#include "scorer/replica/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/hash.h"

enum { MANY = 200000, GONE_MS = (NAMES_KEEP_S + 2) * 1000 };

typedef struct {
    reclaim *rl;
    names   *nm;
} fixture;

static int
set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    fx->rl = reclaim_new();
    fx->nm = names_new(fx->rl);
    assert_non_null(fx->nm);
    *state = fx;
    return 0;
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    names_free(&fx->nm);
    reclaim_free(&fx->rl);
    free(fx);
    return 0;
}

static void
put(names *nm, const char *text, bool shown, bool want_applied)
{
    aa_err err = AA_ERR_INIT;
    bool   applied;
    assert_int_equal(names_put(nm, text, strlen(text), shown, &applied, &err), AA_OK);
    assert_int_equal(applied, want_applied);
}

static uint64_t
key_of(const char *text)
{
    return aa_id_key(text, strlen(text));
}

static void
put_number(names *nm, uint64_t n, bool shown)
{
    char text[32];
    snprintf(text, sizeof text, "n%llu", (unsigned long long)n);
    put(nm, text, shown, true);
}

static void
show_number(names *nm, uint64_t n, bool shown)
{
    char text[32];
    snprintf(text, sizeof text, "n%llu", (unsigned long long)n);
    names_show(nm, key_of(text), shown);
}

static void
tick(names *nm, int64_t now_ms)
{
    aa_err err = AA_ERR_INIT;
    assert_int_equal(names_tick(nm, now_ms, &err), AA_OK);
}

static void
an_item_is_ranked_while_it_is_shown(void **state)
{
    names   *nm = ((fixture *)*state)->nm;
    uint64_t key = 0;
    aa_text  text;
    put(nm, "seven", true, true);
    put(nm, "seven", true, false);
    put(nm, "eight", false, true); /* its assignment has not come yet */
    const names_list *nl = names_now(nm);
    assert_int_equal(names_count(nm), 1);
    assert_int_equal(names_end(nl), 2);
    assert_false(names_get(nl, 1, &key, &text));
    names_show(nm, key_of("eight"), true);
    assert_true(names_get(nl, 1, &key, &text));
    assert_int_equal(key, key_of("eight"));
    names_show(nm, key_of("seven"), false);
    names_show(nm, key_of("seven"), false);
    names_show(nm, key_of("nine"), true); /* nobody knows it */
    assert_int_equal(names_count(nm), 1);
    assert_false(names_get(nl, 0, &key, &text));
    names_show(nm, key_of("seven"), true); /* has come back: its text is still there */
    assert_true(names_get(nl, 0, &key, &text));
    assert_int_equal(text.len, 5);
    assert_memory_equal(text.data, "seven", 5);
    assert_int_equal(names_end(nl), 2);
}

static void
memory_of_items_that_are_gone_is_used_again(void **state)
{
    enum { ITEMS = 5000, ROUNDS = 20 };
    names   *nm = ((fixture *)*state)->nm;
    int64_t  now_ms = 1000;
    size_t   most = 0, first = 0;
    uint64_t key;
    aa_text  text;
    tick(nm, now_ms);
    put_number(nm, 1, true); /* stays */
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        for (uint64_t i = 0; i < ITEMS; i++)
            put_number(nm, round * 100000 + i, true);
        for (uint64_t i = 0; i < ITEMS; i++)
            show_number(nm, round * 100000 + i, false);
        tick(nm, now_ms += GONE_MS);
        if (names_bytes(nm) > most) most = names_bytes(nm);
        if (round == 2) first = most;
    }
    assert_int_equal(names_count(nm), 1);
    assert_true(names_end(names_now(nm)) < 2 * ITEMS + 2);
    assert_true(most <= first);
    assert_true(names_get(names_now(nm), 0, &key, &text));
    assert_int_equal(key, key_of("n1"));
    put_number(nm, 100000, true); /* of the first round: as if never seen */
    assert_int_equal(names_count(nm), 2);
}

static void
a_text_is_kept_until_ingest_would_announce_it_again(void **state)
{
    names *nm = ((fixture *)*state)->nm;
    tick(nm, 1000);
    for (uint64_t i = 1; i <= 5000; i++)
        put_number(nm, i, true);
    for (uint64_t i = 1; i <= 5000; i++)
        show_number(nm, i, false);
    tick(nm, 1000 + NAMES_KEEP_S * 1000 - 2000);
    show_number(nm, 5000, true);
    assert_int_equal(names_count(nm), 1);
}

/* What a reader holds stays, whatever goes meanwhile. */
static void
a_list_that_was_left_behind_stays_while_a_reader_is_inside(void **state)
{
    fixture *fx = *state;
    uint64_t key;
    aa_text  text;
    int      place = reclaim_join(fx->rl);
    tick(fx->nm, 1000);
    for (uint64_t i = 1; i <= 5000; i++)
        put_number(fx->nm, i, true);
    reclaim_enter(fx->rl, place);
    const names_list *nl = names_now(fx->nm);
    assert_true(names_get(nl, 41, &key, &text));
    for (uint64_t i = 1; i <= 5000; i++)
        show_number(fx->nm, i, false);
    tick(fx->nm, 1000 + GONE_MS);
    assert_ptr_not_equal(names_now(fx->nm), nl);
    assert_memory_equal(text.data, "n42", 3);
    reclaim_exit(fx->rl, place);
    reclaim_leave(fx->rl, place);
}

static void *
walk(void *arg)
{
    const names_list *nl = names_now(arg);
    uint64_t          key;
    aa_text           text;
    char              want[32];
    for (size_t seen = 0; seen < MANY; seen = names_end(nl))
        for (size_t i = 0, end = names_end(nl); i < end; i += 1 + end / 100) {
            assert_true(names_get(nl, i, &key, &text));
            int len =
                snprintf(want, sizeof want, "n%llu", (unsigned long long)(i + 1) * 2654435761u);
            assert_int_equal(text.len, len);
            assert_memory_equal(text.data, want, text.len);
            assert_int_equal(key, key_of(want));
        }
    return NULL;
}

static void
a_reader_sees_whole_names_while_the_list_grows(void **state)
{
    names    *nm = ((fixture *)*state)->nm;
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, walk, nm), 0);
    for (uint64_t i = 1; i <= MANY; i++)
        put_number(nm, i * 2654435761u, true);
    pthread_join(reader, NULL);
    assert_int_equal(names_count(nm), MANY);
    printf("%.1f bytes per name\n", (double)names_bytes(nm) / MANY);
    assert_true(names_bytes(nm) < MANY * (17 + 20)); /* a text takes 17 bytes */
}

/* Texts longer than a block of memory, and of every length of the number before them. */
static void
texts_of_any_length_are_kept(void **state)
{
    static const size_t length[] = {1, 127, 128, 16383, 16384, 1048575, 1048576, 3000000, 5};
    names              *nm = ((fixture *)*state)->nm;
    char               *text = malloc(3000000);
    aa_err              err = AA_ERR_INIT;
    uint64_t            key;
    aa_text             got;
    bool                applied;
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        memset(text, 'a' + (int)i, length[i]);
        assert_int_equal(names_put(nm, text, length[i], true, &applied, &err), AA_OK);
    }
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        memset(text, 'a' + (int)i, length[i]);
        assert_true(names_get(names_now(nm), i, &key, &got));
        assert_int_equal(got.len, length[i]);
        assert_memory_equal(got.data, text, length[i]);
        assert_int_equal(key, aa_id_key(text, length[i]));
    }
    free(text);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_item_is_ranked_while_it_is_shown),
        T(memory_of_items_that_are_gone_is_used_again),
        T(a_text_is_kept_until_ingest_would_announce_it_again),
        T(a_list_that_was_left_behind_stays_while_a_reader_is_inside),
        T(a_reader_sees_whole_names_while_the_list_grows),
        T(texts_of_any_length_are_kept),
    };
    return cmocka_run_group_tests_name("scorer/replica/names", tests, NULL, NULL);
}
