/* common/messages/columns - sizes come from messages, so every product is checked before it is
 * used. */
#include "common/messages/columns.h"

#include <stdlib.h>

aa_status
aa_array_grow(void *array_p, size_t count, size_t element_bytes, aa_err *err)
{
    void *old;
    memcpy(&old, array_p, sizeof old);
    if (count > AA_ARRAY_MAX_BYTES / element_bytes)
        return aa_fail(err, AA_ENOMEM, "batch of %zu elements is too large", count);
    void *grown = realloc(old, count * element_bytes);
    if (!grown)
        return aa_fail(err, AA_ENOMEM, "out of memory: %zu bytes for a batch",
                       count * element_bytes);
    memcpy(array_p, &grown, sizeof grown);
    return AA_OK;
}

void *
aa_column_array(const aa_column *c, const void *holder)
{
    void *array;
    memcpy(&array, (const char *)holder + c->at, sizeof array);
    return array;
}

size_t
aa_column_values(const aa_column *c, size_t n, size_t F)
{
    return c->per_field ? n * F : n;
}

/* The first value is the default, and every other one is as the one before it. */
bool
aa_column_is_default(const aa_column *c, const void *x, size_t values)
{
    const size_t size = c->element_bytes;
    if (values == 0) return true;
    if (memcmp(x, c->value, size) != 0) return false;
    return memcmp(x, (const char *)x + size, (values - 1) * size) == 0;
}

/* What is done is copied behind itself, again and again: twice as much each time. */
void
aa_column_set_default(const aa_column *c, void *x, size_t values)
{
    const size_t size = c->element_bytes;
    if (values == 0) return;
    memcpy(x, c->value, size);
    for (size_t done = 1; done < values; done *= 2) {
        const size_t more = values - done < done ? values - done : done;
        memcpy((char *)x + done * size, x, more * size);
    }
}

aa_status
aa_columns_grow(void *holder, const aa_column_table *ct, size_t n, size_t F, aa_err *err)
{
    AA_REQUIRE(F > 0);
    if (n > AA_ARRAY_MAX_BYTES / F)
        return aa_fail(err, AA_ENOMEM, "batch of %zu x %zu is too large", n, F);
    for (size_t i = 0; i < ct->count; i++) {
        const aa_column *c = &ct->column[i];
        aa_status        st =
            aa_array_grow((char *)holder + c->at, aa_column_values(c, n, F), c->element_bytes, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

void
aa_columns_fini(void *holder, const aa_column_table *ct)
{
    for (size_t i = 0; i < ct->count; i++) {
        const aa_column *c = &ct->column[i];
        free(aa_column_array(c, holder));
        memset((char *)holder + c->at, 0, sizeof(void *));
    }
}
