/* tests/exact - bytes in a block of exactly their size: a sanitizer sees a read beyond it. */
#ifndef AA_TESTS_EXACT_H
#define AA_TESTS_EXACT_H

#include <stdlib.h>
#include <string.h>

/* The caller frees it. */
static inline void *
exact_copy(const void *bytes, size_t len)
{
    void *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0) memcpy(copy, bytes, len);
    return copy;
}

#endif
