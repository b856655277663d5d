/* common/messages/columns - what travels with an event from decoding to the model, said once.
 *
 * A column is an array: (n) with a value per event, or (n,F), row-major, with one per event and
 * field. AA_EVENT_COLUMNS is the one description of an event's columns. From it come the members of
 * every struct that holds events (aa_event_batch, aa_fetched, a line of ingest/order), storage and
 * copies, the messages between processes with their checks, and the tests' samples.
 *
 * To add a column: a line in AA_EVENT_COLUMNS, and a member of that name in schemas/batch.proto and
 * schemas/fetch.proto. Then who sets it (ingest/decode) and who reads it.
 */
#ifndef AA_COMMON_MESSAGES_COLUMNS_H
#define AA_COMMON_MESSAGES_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/status.h"

/* Values of an event of F fields in a column. */
#define AA_PER_EVENT(F) ((size_t)1)
#define AA_PER_FIELD(F) (F)

/* What a column's values have to be, or the message is refused. */
typedef enum {
    AA_CHECK_ANY,
    AA_CHECK_ID,           /* not 0 */
    AA_CHECK_FINITE,       /* float */
    AA_CHECK_NOT_INFINITE, /* float; NaN says that there is none */
    AA_CHECK_MIX,          /* float in [0,1) */
    AA_CHECK_SIGNAL,       /* a code of common/model/signal */
    AA_CHECK_STATE,        /* AA_STATE_WORD or AA_NO_STATE */
    AA_CHECK_NEXT_STATE    /* index of a state, or AA_NO_STATE */
} aa_column_check;

/* An optional column is left out of a message when all its values are the default; what a message
 * does not hold is the default. So an older sender, and a column that nobody uses, cost nothing. */
typedef enum { AA_NEEDED, AA_OPTIONAL } aa_column_presence;

/* name, element type, values per event, check, presence, default
 *   X: a column that ends with the assigner
 *   P: one that the assigner passes on to the learner as it is, in aa_assigned_batch too */
#define AA_EVENT_COLUMNS(X, P)                                                                     \
    /* aa_id_key of the field's ID */                                                              \
    X(key, uint64_t, AA_PER_FIELD, AA_CHECK_ID, AA_NEEDED, 0)                                      \
    /* target */                                                                                   \
    P(label, float, AA_PER_EVENT, AA_CHECK_FINITE, AA_NEEDED, 0)                                   \
    /* event time */                                                                               \
    X(time_ms, int64_t, AA_PER_EVENT, AA_CHECK_ANY, AA_NEEDED, 0)

/* ---- the arrays of an event's columns ---- */

#define AA_COLUMN_MEMBER(name, type, ...) type *name;
#define AA_COLUMN_SKIP(...)

typedef struct {
    AA_EVENT_COLUMNS(AA_COLUMN_MEMBER, AA_COLUMN_MEMBER)
} aa_columns;

/* In a struct that holds events: `b->label` is `b->columns.label`. */
#define AA_EVENT_COLUMN_MEMBERS                                                                    \
    union {                                                                                        \
        aa_columns columns;                                                                        \
        struct {                                                                                   \
            AA_EVENT_COLUMNS(AA_COLUMN_MEMBER, AA_COLUMN_MEMBER)                                   \
        };                                                                                         \
    }

/** Event j of `to` = event i of `from`, each of F fields. */
static inline void
aa_columns_copy(const aa_columns *to, size_t j, const aa_columns *from, size_t i, size_t F)
{
#define X(name, type, per, ...)                                                                    \
    memcpy(&to->name[j * per(F)], &from->name[i * per(F)], per(F) * sizeof(type));
    AA_EVENT_COLUMNS(X, X)
#undef X
}

/** Event j of `to`: every column's default. */
static inline void
aa_columns_default(const aa_columns *to, size_t j, size_t F)
{
#define X(name, type, per, check, presence, value)                                                 \
    for (size_t f = 0; f < per(F); f++)                                                            \
        to->name[j * per(F) + f] = (value);
    AA_EVENT_COLUMNS(X, X)
#undef X
}

/* ---- any struct of columns, by a table ---- */

typedef struct {
    const char        *name;
    size_t             at; /* of the array's pointer in the struct that holds it */
    size_t             element_bytes;
    bool               per_field;
    aa_column_check    check;
    aa_column_presence presence;
    const void        *value; /* the default */
} aa_column;

typedef struct {
    const aa_column *column; /* (count) */
    size_t           count;
} aa_column_table;

#define AA_COLUMN(holder, name, type, per, check, presence, value)                                 \
    {#name,    offsetof(holder, name), sizeof(type), per(2) == 2, check,                           \
     presence, &(const type){value}},

/** The array of column c in `holder`. */
void *aa_column_array(const aa_column *c, const void *holder);
/** Values of n events of F fields. */
size_t aa_column_values(const aa_column *c, size_t n, size_t F);
/** All `values` of x are the default, bit by bit. */
bool aa_column_is_default(const aa_column *c, const void *x, size_t values);
void aa_column_set_default(const aa_column *c, void *x, size_t values);

/** Every array of `holder` gets room for n events of F fields; contents stay.
 *  @errors AA_ENOMEM: contents stay; some arrays may be larger than before */
aa_status aa_columns_grow(void *holder, const aa_column_table *ct, size_t n, size_t F, aa_err *err)
    __attribute__((warn_unused_result));
/** Free every array of `holder`. */
void aa_columns_fini(void *holder, const aa_column_table *ct);

/** For structs of arrays that grow together: the array that array_p (a T **) points to gets room
 * for count elements; contents stay. @errors AA_ENOMEM: it is as it was */
aa_status aa_array_grow(void *array_p, size_t count, size_t element_bytes, aa_err *err)
    __attribute__((warn_unused_result));

/* No array of ours may be larger than this: far above any message, far below any overflow. */
#define AA_ARRAY_MAX_BYTES (SIZE_MAX / 4)

#endif
