#include "ingest/decode/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static path_tree *
tree_of(const char *const *paths, size_t count)
{
    aa_err     err = AA_ERR_INIT;
    path_tree *pt = NULL;
    if (path_tree_new(&pt, paths, count, &err) != AA_OK) fail_msg("%s", err.text);
    return pt;
}

static const path_node *
down(const path_node *pn, const char *name)
{
    const path_node *child = path_child(pn, name, strlen(name));
    assert_non_null(child);
    return child;
}

static void
paths_share_their_first_steps(void **state)
{
    (void)state;
    const char *const paths[] = {"payload.user.id", "payload.item", "label"};
    path_tree        *pt = tree_of(paths, 3);
    const path_node  *payload = down(&pt->root, "payload");
    assert_int_equal(pt->root.count, 2);
    assert_int_equal(payload->value, -1);
    assert_int_equal(payload->below, 3);
    assert_int_equal(down(down(payload, "user"), "id")->value, 0);
    assert_int_equal(down(payload, "item")->value, 1);
    assert_int_equal(down(&pt->root, "label")->value, 2);
    assert_int_equal(down(payload, "user")->text_len, strlen("payload.user"));
    assert_null(path_child(&pt->root, "pay", 3));
    path_tree_free(&pt);
}

static void
an_index_is_written_in_brackets_or_as_a_step(void **state)
{
    (void)state;
    const char *const paths[] = {"items[0].id", "items.12", "m[3][4]", "0x"};
    path_tree        *pt = tree_of(paths, 4);
    const path_node  *items = down(&pt->root, "items");
    assert_int_equal(down(path_element(items, 0), "id")->value, 0);
    assert_int_equal(path_element(items, 12)->value, 1);
    assert_int_equal(down(items, "12")->value, 1); /* a map's key too */
    assert_int_equal(path_element(path_element(down(&pt->root, "m"), 3), 4)->value, 2);
    assert_int_equal(down(&pt->root, "0x")->index, -1);
    assert_null(path_element(items, 1));
    path_tree_free(&pt);
}

static void
a_backslash_takes_a_dot_into_the_name(void **state)
{
    (void)state;
    const char *const paths[] = {"a\\.b.c", "x\\[0]", "b\\\\"};
    path_tree        *pt = tree_of(paths, 3);
    assert_int_equal(down(down(&pt->root, "a.b"), "c")->value, 0);
    assert_int_equal(down(&pt->root, "x[0]")->value, 1);
    assert_int_equal(down(&pt->root, "b\\")->value, 2);
    path_tree_free(&pt);
}

static void
a_whole_path_is_a_name_too_where_that_is_wanted(void **state)
{
    (void)state;
    aa_err            err = AA_ERR_INIT;
    const char *const paths[] = {"user.id", "label"};
    path_tree        *pt = tree_of(paths, 2);
    assert_null(path_child(&pt->root, "user.id", 7));
    assert_int_equal(path_tree_whole_names(pt, &err), AA_OK);
    assert_int_equal(down(&pt->root, "user.id")->value, 0);
    assert_int_equal(down(down(&pt->root, "user"), "id")->value, 0);
    assert_int_equal(pt->root.count, 3);
    path_tree_free(&pt);
}

static void
what_is_no_path_is_refused_by_its_text(void **state)
{
    (void)state;
    static const struct {
        const char *paths[2], *says;
    } bad[] = {
        {{"a", ""}, "\"\": expected names"},
        {{"a", "b..c"}, "\"b..c\": expected names"},
        {{"a", ".b"}, "\".b\": expected names"},
        {{"a", "b."}, "\"b.\": expected names"},
        {{"a", "b[x]"}, "\"b[x]\": expected names"},
        {{"a", "b[0"}, "\"b[0\": expected names"},
        {{"a", "b[-1]"}, "\"b[-1]\": expected names"},
        {{"a", "a"}, "\"a\" stands twice"},
        {{"a", "a.b"}, "\"a.b\" is within another path's value"},
        {{"a.b", "a"}, "\"a\" holds another path's value"},
        {{"a", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"}, "more than 16 steps"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err     err = AA_ERR_INIT;
        path_tree *pt = NULL;
        assert_int_equal(path_tree_new(&pt, bad[i].paths, 2, &err), AA_ECONFIG);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s, not %s", err.text, bad[i].says);
        assert_null(pt);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_share_their_first_steps),
        cmocka_unit_test(an_index_is_written_in_brackets_or_as_a_step),
        cmocka_unit_test(a_backslash_takes_a_dot_into_the_name),
        cmocka_unit_test(a_whole_path_is_a_name_too_where_that_is_wanted),
        cmocka_unit_test(what_is_no_path_is_refused_by_its_text),
    };
    return cmocka_run_group_tests_name("ingest/decode/path", tests, NULL, NULL);
}
