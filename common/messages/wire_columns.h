/* common/messages/wire_columns - columns to and from the generated protobuf structs. A column's
 * member there has the column's name. Private to common/messages/wire*. */
#ifndef AA_COMMON_MESSAGES_WIRE_COLUMNS_H
#define AA_COMMON_MESSAGES_WIRE_COLUMNS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/columns.h"

/* Where a repeated member stands in its struct: size_t n_<name>, and T *<name>. */
typedef struct {
    size_t count_at, array_at;
} wire_member;
#define WIRE_MEMBER(message, name, ...) {offsetof(message, n_##name), offsetof(message, name)},
/* At compile time: the member has the column's type. */
#define WIRE_TYPE_CHECK(message, name, type, ...)                                                  \
    static_assert(_Generic(((message *)0)->name, type * : 1, default : 0),                         \
                  #message "." #name " is not repeated " #type);

/* The columns of a struct, and the member of each in its message. */
typedef struct {
    const aa_column_table *table;
    const wire_member     *member; /* (table->count) */
} wire_columns;

/** msg's members point at holder's arrays, n events of F fields; an optional column at its default
 *  is left out. */
void wire_columns_point(void *msg, const wire_columns *wc, const void *holder, size_t n, size_t F);
/** msg holds n events of F fields, and every value passes its column's check. @errors AA_EPARSE */
aa_status wire_columns_check(const void *msg, const wire_columns *wc, size_t n, size_t F,
                             aa_err *err);
/* As those of AA_CHECK_STATE and AA_CHECK_NEXT_STATE, for arrays that are no columns: w (n). */
aa_status wire_check_states(const char *name, const uint32_t *w, size_t n, aa_err *err);
aa_status wire_check_next_states(const char *name, const uint32_t *w, size_t n, aa_err *err);
/** Copy into holder's arrays, which have room. @pre msg passed the check */
void wire_columns_copy(void *holder, const wire_columns *wc, const void *msg, size_t n, size_t F);

#endif
