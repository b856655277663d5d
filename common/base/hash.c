#include "common/base/hash.h"

#include <xxhash.h>

#define DECIMAL_BYTES 20 /* "-9223372036854775808" */

uint64_t
aa_id_key(const void *text, size_t len_bytes)
{
    uint64_t key = XXH3_64bits(text, len_bytes);
    return key ? key : 1; /* 0 marks an empty place in tables */
}

/* Writes number right-aligned into buf; returns where it starts. */
static const char *
format_decimal(char buf[DECIMAL_BYTES], int64_t number)
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char    *p = buf + DECIMAL_BYTES;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--p = '-';
    return p;
}

uint64_t
aa_id_key_number(int64_t number)
{
    char        buf[DECIMAL_BYTES];
    const char *text = format_decimal(buf, number);
    return aa_id_key(text, (size_t)(buf + DECIMAL_BYTES - text));
}

uint64_t
aa_digest(uint64_t d, const void *data, size_t len_bytes)
{
    return XXH3_64bits_withSeed(data, len_bytes, d);
}
