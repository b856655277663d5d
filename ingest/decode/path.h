/* ingest/decode/path - where in a message a value stands: names and indexes from the outside in.
 *
 *   user                  a member, a field, a map's key
 *   payload.user.id       within others
 *   items[0].id           an array's element, counted from 0; items.0.id is the same
 *   a\.b                  a name with a dot in it: a backslash takes the next character as it is
 *
 * The paths of a configuration become one tree, so that a reader walks a message once.
 */
#ifndef AA_INGEST_DECODE_PATH_H
#define AA_INGEST_DECODE_PATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/status.h"

#define PATH_DEPTH  16 /* steps of a path */
#define PATH_VALUES 64 /* paths of a tree */

typedef struct path_node path_node;
struct path_node {
    const char *text; /* (text_len) the path up to here, as it was written */
    size_t      text_len;
    char       *name; /* (len) owned: the last step */
    size_t      len;
    int64_t     index; /* the last step as an array's index; -1: it is none */
    int         value; /* which path ends here, -1: none */
    uint32_t    id;    /* of the tree's nodes, from 0 */
    uint64_t    below; /* a bit per path that ends here or further on */
    path_node  *child; /* (count) owned */
    size_t      count;
};

typedef struct {
    path_node root;
    char     *text[PATH_VALUES]; /* (value_count) owned: the paths */
    size_t    value_count, node_count;
} path_tree;

/** @errors AA_ECONFIG a path is empty, too deep, twice, or within another; AA_ENOMEM */
aa_status path_tree_new(path_tree **out, const char *const *paths, size_t count, aa_err *err)
    __attribute__((warn_unused_result));
/** Names of members at the top, whatever characters they have.
 *  @errors AA_ECONFIG a name stands twice; AA_ENOMEM */
aa_status path_tree_names(path_tree **out, const char *const *names, size_t count, aa_err *err)
    __attribute__((warn_unused_result));
void path_tree_free(path_tree **pt_p);

/** A member at the top whose name is a whole path of more than one step is found too. */
aa_status path_tree_whole_names(path_tree *pt, aa_err *err) __attribute__((warn_unused_result));

/** NULL: nobody wants it. */
static inline path_node *
path_child(const path_node *pn, const void *name, size_t len)
{
    for (size_t i = 0; i < pn->count; i++)
        if (pn->child[i].len == len && memcmp(pn->child[i].name, name, len) == 0)
            return &pn->child[i];
    return NULL;
}
path_node *path_element(const path_node *pn, int64_t index);

#endif
