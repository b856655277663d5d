#include "common/base/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
aa_base64_length(size_t n)
{
    return (n + 2) / 3 * 4;
}

void
aa_base64_put(char *out, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i += 3, out += 4) {
        const size_t   left = n - i;
        const uint32_t bits = (uint32_t)at[i] << 16 | (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
                              (left > 2 ? at[i + 2] : 0);
        out[0] = digits[bits >> 18];
        out[1] = digits[bits >> 12 & 63];
        out[2] = '=';
        out[3] = '=';
        if (left > 1) out[2] = digits[bits >> 6 & 63];
        if (left > 2) out[3] = digits[bits & 63];
    }
}

bool
aa_base64_get(void *out, size_t *n, const char *text, size_t len)
{
    uint8_t *at = out;
    *n = 0;
    if (len % 4) return false;
    for (size_t i = 0; i < len; i += 4) {
        const bool last = i + 4 == len;
        size_t     pad = last && text[i + 3] == '=' ? 1 + (text[i + 2] == '=') : 0;
        uint32_t   bits = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *digit = k < 4 - pad && text[i + k] ? strchr(digits, text[i + k]) : NULL;
            if (k < 4 - pad && !digit) return false;
            bits = bits << 6 | (digit ? (uint32_t)(digit - digits) : 0);
        }
        for (size_t k = 0; k < 3 - pad; k++)
            at[(*n)++] = (uint8_t)(bits >> (16 - 8 * k));
        if (bits & ((1u << (8 * pad)) - 1)) return false; /* bits that no byte has */
    }
    return true;
}
