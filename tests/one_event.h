/* tests/one_event - the columns of one event, without a batch. */
#ifndef AA_TESTS_ONE_EVENT_H
#define AA_TESTS_ONE_EVENT_H

#include "common/config/conf.h"
#include "common/messages/columns.h"

/* A value, or one per field: ev.key[f], ev.label[0]. */
typedef struct {
#define X(name, type, per, ...) type name[per(AA_MAX_FIELDS)];
    AA_EVENT_COLUMNS(X, X)
#undef X
} one_event;

static inline aa_columns
one_event_columns(one_event *ev)
{
    return (aa_columns){
#define X(name, ...) .name = ev->name,
        AA_EVENT_COLUMNS(X, X)
#undef X
    };
}

/* Every column's default, but for these. */
static inline one_event
one_event_of(const uint64_t *key, size_t F, float label, int64_t time_ms)
{
    one_event        ev = {.key = {0}};
    const aa_columns col = one_event_columns(&ev);
    aa_columns_default(&col, 0, F);
    memcpy(ev.key, key, F * sizeof *key);
    ev.label[0] = label;
    ev.time_ms[0] = time_ms;
    return ev;
}

#endif
