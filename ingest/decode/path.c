#include "ingest/decode/path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One step: its name without backslashes, in a buffer that is as long as the path. */
typedef struct {
    char   *name;
    size_t  len;
    int64_t index;
} path_step;

/* Up to nine digits and nothing else. */
static int64_t
index_of(const char *text, size_t len)
{
    int64_t value = 0;
    if (len == 0 || len > 9) return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* [12] at the front. @return behind it, NULL: it is no index */
static const char *
take_index(const char *at, path_step *ps)
{
    const char *end = strchr(at, ']');
    if (!end) return NULL;
    ps->len = (size_t)(end - at - 1);
    memcpy(ps->name, at + 1, ps->len);
    ps->index = index_of(ps->name, ps->len);
    return ps->index < 0 ? NULL : end + 1;
}

/* A name up to a dot, a bracket or the end. @return behind it, NULL: it is empty */
static const char *
take_step_name(const char *at, path_step *ps)
{
    bool plain = true;
    ps->len = 0;
    while (*at && *at != '.' && *at != '[') {
        if (*at == '\\' && at[1]) {
            at++;
            plain = false;
        }
        ps->name[ps->len++] = *at++;
    }
    ps->index = plain ? index_of(ps->name, ps->len) : -1;
    return ps->len > 0 ? at : NULL;
}

static aa_status
init_node(path_tree *pt, path_node *pn, const path_step *ps, aa_err *err)
{
    *pn = (path_node){
        .len = ps->len, .index = ps->index, .value = -1, .id = (uint32_t)pt->node_count++};
    pn->name = malloc(ps->len + 1);
    if (!pn->name) return aa_fail(err, AA_ENOMEM, "paths");
    memcpy(pn->name, ps->name, ps->len);
    pn->name[ps->len] = '\0';
    return AA_OK;
}

/* The child of that name, a new one if need be. */
static aa_status
step_down(path_tree *pt, path_node *pn, const path_step *ps, path_node **out, aa_err *err)
{
    *out = path_child(pn, ps->name, ps->len);
    if (*out) return AA_OK;
    path_node *child = realloc(pn->child, (pn->count + 1) * sizeof *child);
    if (!child) return aa_fail(err, AA_ENOMEM, "paths");
    pn->child = child;
    aa_status st = init_node(pt, &child[pn->count], ps, err);
    if (st == AA_OK) *out = &child[pn->count++];
    return st;
}

static aa_status
end_path(path_node *pn, size_t value, const char *path, aa_err *err)
{
    if (pn->value >= 0) return aa_fail(err, AA_ECONFIG, "\"%.100s\" stands twice", path);
    if (pn->count > 0)
        return aa_fail(err, AA_ECONFIG, "\"%.100s\" holds another path's value", path);
    pn->value = (int)value;
    return AA_OK;
}

static aa_status
add_path(path_tree *pt, size_t value, char *name, aa_err *err)
{
    const char *path = pt->text[value], *at = path;
    path_node  *pn = &pt->root;
    path_step   ps = {.name = name};
    pn->below |= (uint64_t)1 << value;
    for (size_t depth = 1;; depth++) {
        const char *behind =
            *at == '[' && depth > 1 ? take_index(at, &ps) : take_step_name(at, &ps);
        if (!behind)
            return aa_fail(err, AA_ECONFIG, "\"%.100s\": expected names with dots between them",
                           path);
        if (depth > PATH_DEPTH)
            return aa_fail(err, AA_ECONFIG, "\"%.100s\": more than %d steps", path, PATH_DEPTH);
        if (pn->value >= 0)
            return aa_fail(err, AA_ECONFIG, "\"%.100s\" is within another path's value", path);
        aa_status st = step_down(pt, pn, &ps, &pn, err);
        if (st != AA_OK) return st;
        pn->below |= (uint64_t)1 << value;
        pn->text = path;
        pn->text_len = (size_t)(behind - path);
        at = behind;
        if (!*at) return end_path(pn, value, path, err);
        if (*at == '.') at++;
    }
}

static aa_status
add_name(path_tree *pt, size_t value, aa_err *err)
{
    char           *text = pt->text[value];
    const path_step ps = {.name = text, .len = strlen(text), .index = -1};
    path_node      *pn = NULL;
    aa_status       st = step_down(pt, &pt->root, &ps, &pn, err);
    if (st != AA_OK) return st;
    pn->below = (uint64_t)1 << value;
    pn->text = text;
    pn->text_len = ps.len;
    return end_path(pn, value, text, err);
}

static aa_status
fill_tree(path_tree *pt, const char *const *paths, size_t count, bool names, aa_err *err)
{
    aa_status st = AA_OK;
    pt->root.index = pt->root.value = -1;
    pt->node_count = 1;
    for (size_t i = 0; st == AA_OK && i < count; i++) {
        const size_t len = strlen(paths[i]);
        char        *scratch = malloc(len + 1);
        pt->text[i] = malloc(len + 1);
        pt->value_count = i + 1;
        if (scratch && pt->text[i]) {
            memcpy(pt->text[i], paths[i], len + 1);
            st = names ? add_name(pt, i, err) : add_path(pt, i, scratch, err);
        } else {
            st = aa_fail(err, AA_ENOMEM, "paths");
        }
        free(scratch);
    }
    return st;
}

static aa_status
make_tree(path_tree **out, const char *const *paths, size_t count, bool names, aa_err *err)
{
    path_tree *pt = calloc(1, sizeof *pt);
    if (!pt) return aa_fail(err, AA_ENOMEM, "paths");
    AA_REQUIRE(count <= PATH_VALUES);
    aa_status st = fill_tree(pt, paths, count, names, err);
    if (st != AA_OK) {
        path_tree_free(&pt);
        return st;
    }
    *out = pt;
    return AA_OK;
}

aa_status
path_tree_new(path_tree **out, const char *const *paths, size_t count, aa_err *err)
{
    return make_tree(out, paths, count, false, err);
}

aa_status
path_tree_names(path_tree **out, const char *const *names, size_t count, aa_err *err)
{
    return make_tree(out, names, count, true, err);
}

static void
fini_node(path_node *pn) /* recursive as deep as a path is: PATH_DEPTH */
{
    for (size_t i = 0; i < pn->count; i++)
        fini_node(&pn->child[i]);
    free(pn->child);
    free(pn->name);
}

void
path_tree_free(path_tree **pt_p)
{
    path_tree *pt = *pt_p;
    if (!pt) return;
    fini_node(&pt->root);
    for (size_t i = 0; i < pt->value_count; i++)
        free(pt->text[i]);
    free(pt);
    *pt_p = NULL;
}

aa_status
path_tree_whole_names(path_tree *pt, aa_err *err)
{
    for (size_t i = 0; i < pt->value_count; i++) {
        if (path_child(&pt->root, pt->text[i], strlen(pt->text[i]))) continue;
        aa_status st = add_name(pt, i, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

path_node *
path_element(const path_node *pn, int64_t index)
{
    for (size_t i = 0; i < pn->count; i++)
        if (pn->child[i].index == index) return &pn->child[i];
    return NULL;
}
