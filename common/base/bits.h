/* common/base/bits - the bits of floating-point numbers, and the numbers of bits. */
#ifndef AA_COMMON_BASE_BITS_H
#define AA_COMMON_BASE_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t
aa_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float
aa_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t
aa_double_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double
aa_double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
