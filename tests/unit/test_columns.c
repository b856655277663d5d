/* Every column of an event, whatever the description holds, on the whole way: a new column is
 * tested by these tests without a change of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/messages/columns.h"
#include "ingest/order.h"
#include "tests/one_event.h"
#include "tests/wire_samples.h"

enum { N = 57, F = 3 };

/* Column `name` of both: event j of a is event i of b, bit by bit. */
static void
check_same(const aa_column *ca, const void *a, size_t j, const aa_column *cb, const void *b,
           size_t i)
{
    const size_t bytes = aa_column_values(ca, 1, F) * ca->element_bytes;
    assert_string_equal(ca->name, cb->name);
    assert_int_equal(ca->element_bytes, cb->element_bytes);
    assert_int_equal(ca->per_field, cb->per_field);
    if (memcmp((const char *)aa_column_array(ca, a) + j * bytes,
               (const char *)aa_column_array(cb, b) + i * bytes, bytes) != 0)
        fail_msg("%s: event %zu is not as it was", ca->name, j);
}

static const aa_column *
find_column(const aa_column_table *ct, const char *name)
{
    for (size_t k = 0; k < ct->count; k++)
        if (strcmp(ct->column[k].name, name) == 0) return &ct->column[k];
    return NULL;
}

/* All columns that both have; how many. */
static size_t
check_all_same(const aa_column_table *ta, const void *a, size_t j, const aa_column_table *tb,
               const void *b, size_t i)
{
    size_t same = 0;
    for (size_t k = 0; k < ta->count; k++) {
        const aa_column *other = find_column(tb, ta->column[k].name);
        if (!other) continue;
        check_same(&ta->column[k], a, j, other, b, i);
        same++;
    }
    return same;
}

static void
no_two_columns_have_one_name(void **state)
{
    (void)state;
    const aa_column_table *tables[] = {&aa_event_columns, &aa_assigned_columns,
                                       &aa_fetched_columns};
    for (size_t t = 0; t < 3; t++)
        for (size_t k = 0; k < tables[t]->count; k++)
            assert_ptr_equal(find_column(tables[t], tables[t]->column[k].name),
                             &tables[t]->column[k]);
}

static void
columns_survive_growing(void **state)
{
    (void)state;
    sample_rng     rng = {.seed = 1};
    aa_event_batch all = {0}, grown = {0};
    aa_err         err = AA_ERR_INIT;
    sample_events(&all, &rng, N, F);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(aa_event_batch_reserve(&grown, i + 1, F, &err), AA_OK);
        aa_columns_copy(&grown.columns, i, &all.columns, i, F);
    }
    for (size_t i = 0; i < N; i++)
        assert_int_equal(check_all_same(&aa_event_columns, &grown, i, &aa_event_columns, &all, i),
                         aa_event_columns.count);
    aa_event_batch_fini(&all);
    aa_event_batch_fini(&grown);
}

/* fetcher -> message -> sequencer's order -> batch -> message -> assigner -> learner's batch */
static void
columns_come_through_from_fetcher_to_learner(void **state)
{
    (void)state;
    sample_rng        rng = {.seed = 2};
    aa_fetched        sent = {0}, got = {0};
    aa_event_batch    ordered = {0}, received = {0};
    aa_assigned_batch out = {0}, learned = {0};
    aa_bytes          by = {0};
    aa_err            err = AA_ERR_INIT;
    order            *od = NULL;
    const int64_t     position = 0;

    sample_fetched(&sent, &rng, N, F);
    assert_int_equal(aa_wire_pack_fetched(&by, &sent, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_fetched(&got, by.data, by.len, &err), AA_OK);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(
            check_all_same(&aa_fetched_columns, &got, i, &aa_fetched_columns, &sent, i),
            aa_fetched_columns.count);

    assert_int_equal(order_new(&od, F, false, &err), AA_OK);
    assert_int_equal(order_begin(od, &position, 1, N, &err), AA_OK);
    for (size_t i = 0; i < N; i++)
        order_push(od, 0, got.offset[i], &got.columns, i, got.arrival_ms[i]);
    assert_int_equal(aa_event_batch_reserve(&ordered, N, F, &err), AA_OK);
    assert_int_equal(order_take(od, &ordered, N), N);
    ordered.hd.seq = 1;

    assert_int_equal(aa_wire_pack_events(&by, &ordered, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_events(&received, by.data, by.len, &err), AA_OK);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(
            check_all_same(&aa_event_columns, &received, i, &aa_fetched_columns, &sent, i),
            aa_event_columns.count);

    sample_assigned(&out, &rng, N, F, false);
    aa_assigned_batch_pass(&out, &received);
    assert_int_equal(aa_wire_pack_assigned(&by, &out, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_assigned(&learned, by.data, by.len, &err), AA_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(
            check_all_same(&aa_assigned_columns, &learned, i, &aa_assigned_columns, &out, i),
            aa_assigned_columns.count);
        assert_true(
            check_all_same(&aa_assigned_columns, &learned, i, &aa_fetched_columns, &sent, i) > 0);
    }
    order_free(&od);
    aa_fetched_fini(&sent);
    aa_fetched_fini(&got);
    aa_event_batch_fini(&ordered);
    aa_event_batch_fini(&received);
    aa_assigned_batch_fini(&out);
    aa_assigned_batch_fini(&learned);
    aa_bytes_fini(&by);
}

/* Overwrite value v of column c by bytes that its check refuses; false: it takes everything. */
static bool
spoil(const aa_column *c, void *holder, size_t v)
{
    char          *x = (char *)aa_column_array(c, holder) + v * c->element_bytes;
    const float    infinite = INFINITY;
    const uint64_t zero = 0;
    const uint32_t state = AA_STATE_WORD(7, AA_ACTIONS);
    switch (c->check) {
    case AA_CHECK_ANY: return false;
    case AA_CHECK_ID: memcpy(x, &zero, c->element_bytes); break;
    case AA_CHECK_FINITE:
    case AA_CHECK_NOT_INFINITE:
    case AA_CHECK_MIX: memcpy(x, &infinite, sizeof infinite); break;
    case AA_CHECK_SIGNAL: /* above all codes */
    case AA_CHECK_STATE:
    case AA_CHECK_NEXT_STATE: memcpy(x, &state, sizeof state); break;
    }
    return true;
}

static void
a_value_that_fails_its_check_is_refused_by_its_columns_name(void **state)
{
    (void)state;
    sample_rng rng = {.seed = 3};
    aa_bytes   by = {0};
    for (size_t k = 0; k < aa_event_columns.count; k++) {
        const aa_column *c = &aa_event_columns.column[k];
        aa_event_batch   b = {0};
        aa_err           err = AA_ERR_INIT;
        sample_events(&b, &rng, N, F);
        if (spoil(c, &b, aa_column_values(c, N, F) - 1)) {
            assert_int_equal(aa_wire_pack_events(&by, &b, &err), AA_EPARSE);
            assert_non_null(strstr(err.text, c->name));
        }
        aa_event_batch_fini(&b);
    }
    for (size_t k = 0; k < aa_assigned_columns.count; k++) {
        const aa_column  *c = &aa_assigned_columns.column[k];
        aa_assigned_batch b = {0};
        aa_err            err = AA_ERR_INIT;
        sample_assigned(&b, &rng, N, F, false);
        if (spoil(c, &b, aa_column_values(c, N, F) - 1)) {
            assert_int_equal(aa_wire_pack_assigned(&by, &b, &err), AA_EPARSE);
            assert_non_null(strstr(err.text, c->name));
        }
        aa_assigned_batch_fini(&b);
    }
    aa_bytes_fini(&by);
}

static void
defaults_are_found_and_written_at_any_length(void **state)
{
    (void)state;
    const float      nothing = NAN;
    const aa_column  narrow = {"x", 0, sizeof(float), false, AA_CHECK_ANY, AA_OPTIONAL, &nothing};
    const int64_t    minus = -1;
    const aa_column  wide = {"y", 0, sizeof(int64_t), false, AA_CHECK_ANY, AA_OPTIONAL, &minus};
    const aa_column *both[] = {&narrow, &wide};
    for (size_t k = 0; k < 2; k++)
        for (size_t n = 0; n < 40; n++) {
            unsigned char x[41 * sizeof(int64_t)];
            memset(x, 7, sizeof x);
            aa_column_set_default(both[k], x, n);
            assert_true(aa_column_is_default(both[k], x, n));
            assert_int_equal(x[n * both[k]->element_bytes], 7); /* not beyond */
            for (size_t v = 0; v < n; v++) {
                x[v * both[k]->element_bytes] ^= 1;
                assert_false(aa_column_is_default(both[k], x, n));
                x[v * both[k]->element_bytes] ^= 1;
            }
        }
}

static void
an_event_begins_with_every_columns_default(void **state)
{
    (void)state;
    one_event        ev;
    const aa_columns col = one_event_columns(&ev);
    memset(&ev, 0xa5, sizeof ev);
    aa_columns_default(&col, 0, F);
    struct {
        AA_EVENT_COLUMN_MEMBERS;
    } holder = {.columns = col};
    for (size_t k = 0; k < aa_event_columns.count; k++) {
        aa_column c = aa_event_columns.column[k];
        c.at -= offsetof(aa_event_batch, columns);
        assert_true(
            aa_column_is_default(&c, aa_column_array(&c, &holder), aa_column_values(&c, 1, F)));
    }
}

/* Else a column that nobody uses would change the digest of every run before it. */
static void
digest_is_of_the_values_and_not_of_unused_columns(void **state)
{
    (void)state;
    sample_rng     rng = {.seed = 4};
    aa_event_batch b = {0};
    sample_events(&b, &rng, N, F);
    const uint64_t before = aa_event_batch_digest(&b, 1);
    assert_true(aa_event_batch_digest(&b, 2) != before);
    for (size_t k = 0; k < aa_event_columns.count; k++) {
        const aa_column *c = &aa_event_columns.column[k];
        char            *x = aa_column_array(c, &b);
        x[(aa_column_values(c, N, F) - 1) * c->element_bytes] ^= 1;
        assert_true(aa_event_batch_digest(&b, 1) != before);
        x[(aa_column_values(c, N, F) - 1) * c->element_bytes] ^= 1;
    }
    assert_true(aa_event_batch_digest(&b, 1) == before);
    aa_event_batch_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_columns_have_one_name),
        cmocka_unit_test(columns_survive_growing),
        cmocka_unit_test(columns_come_through_from_fetcher_to_learner),
        cmocka_unit_test(a_value_that_fails_its_check_is_refused_by_its_columns_name),
        cmocka_unit_test(defaults_are_found_and_written_at_any_length),
        cmocka_unit_test(an_event_begins_with_every_columns_default),
        cmocka_unit_test(digest_is_of_the_values_and_not_of_unused_columns),
    };
    return cmocka_run_group_tests_name("common/messages/columns", tests, NULL, NULL);
}
