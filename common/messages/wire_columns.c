#include "common/messages/wire_columns.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/messages/batch.h"
#include "common/messages/wire_proto.h"
#include "common/model/signal.h"

static size_t
member_count(const void *msg, const wire_member *me)
{
    size_t count;
    memcpy(&count, (const char *)msg + me->count_at, sizeof count);
    return count;
}

static const void *
member_array(const void *msg, const wire_member *me)
{
    const void *array;
    memcpy(&array, (const char *)msg + me->array_at, sizeof array);
    return array;
}

void
wire_columns_point(void *msg, const wire_columns *wc, const void *holder, size_t n, size_t F)
{
    for (size_t i = 0; i < wc->table->count; i++) {
        const aa_column   *c = &wc->table->column[i];
        const wire_member *me = &wc->member[i];
        const void        *array = aa_column_array(c, holder);
        size_t             count = aa_column_values(c, n, F);
        if (c->presence == AA_OPTIONAL && aa_column_is_default(c, array, count)) count = 0;
        memcpy((char *)msg + me->count_at, &count, sizeof count);
        memcpy((char *)msg + me->array_at, &array, sizeof array);
    }
}

/* ---- checks of values ---- */

static aa_status
check_ids(const char *name, const uint64_t *x, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] == 0) return aa_fail(err, AA_EPARSE, "%s[%zu]: 0 is no ID's", name, i);
    return AA_OK;
}

static aa_status
check_not_infinite(const char *name, const float *x, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (isinf(x[i])) return aa_fail(err, AA_EPARSE, "%s[%zu] is infinite", name, i);
    return AA_OK;
}

static aa_status
check_signals(const char *name, const uint32_t *x, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] > AA_SIGNAL_CODE)
            return aa_fail(err, AA_EPARSE, "%s[%zu]=%#" PRIx32 " is no code", name, i, x[i]);
    return AA_OK;
}

aa_status
wire_check_states(const char *name, const uint32_t *w, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (AA_STATE_ACTION(w[i]) >= AA_ACTIONS && w[i] != AA_NO_STATE)
            return aa_fail(err, AA_EPARSE, "%s[%zu]=%#" PRIx32 " has no such action", name, i,
                           w[i]);
    return AA_OK;
}

aa_status
wire_check_next_states(const char *name, const uint32_t *w, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (AA_STATE_ACTION(w[i]) != 0 && w[i] != AA_NO_STATE)
            return aa_fail(err, AA_EPARSE, "%s[%zu]=%#" PRIx32 " is no state index", name, i, w[i]);
    return AA_OK;
}

static aa_status
check_values(const aa_column *c, const void *x, size_t n, aa_err *err)
{
    switch (c->check) {
    case AA_CHECK_ANY: break;
    case AA_CHECK_ID: return check_ids(c->name, x, n, err);
    case AA_CHECK_FINITE: return wire_check_finite(c->name, x, n, err);
    case AA_CHECK_NOT_INFINITE: return check_not_infinite(c->name, x, n, err);
    case AA_CHECK_MIX: return wire_check_mix(c->name, x, n, err);
    case AA_CHECK_SIGNAL: return check_signals(c->name, x, n, err);
    case AA_CHECK_STATE: return wire_check_states(c->name, x, n, err);
    case AA_CHECK_NEXT_STATE: return wire_check_next_states(c->name, x, n, err);
    }
    return AA_OK;
}

aa_status
wire_columns_check(const void *msg, const wire_columns *wc, size_t n, size_t F, aa_err *err)
{
    for (size_t i = 0; i < wc->table->count; i++) {
        const aa_column *c = &wc->table->column[i];
        const size_t     count = member_count(msg, &wc->member[i]);
        if (count == 0 && c->presence == AA_OPTIONAL) continue;
        aa_status st = wire_check_count(c->name, count, aa_column_values(c, n, F), err);
        if (st == AA_OK) st = check_values(c, member_array(msg, &wc->member[i]), count, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

void
wire_columns_copy(void *holder, const wire_columns *wc, const void *msg, size_t n, size_t F)
{
    for (size_t i = 0; i < wc->table->count; i++) {
        const aa_column   *c = &wc->table->column[i];
        const wire_member *me = &wc->member[i];
        const size_t       count = member_count(msg, me);
        void              *array = aa_column_array(c, holder);
        if (count > 0)
            memcpy(array, member_array(msg, me), count * c->element_bytes);
        else
            aa_column_set_default(c, array, aa_column_values(c, n, F));
    }
}
