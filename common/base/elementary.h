/* common/base/elementary - exp, log, sine and powers with the same bits everywhere.
 *
 * C libraries differ in the last bits of these functions, and so would everything that is learned
 * from them. Here they are plain double arithmetic in a written order (additions, products,
 * divisions, each rounded once; compiled with -ffp-contract=off): the same bits on every x86-64,
 * with every compiler and C library. No branches where arrays are processed, so that loops over
 * them vectorise. Series, not fitted coefficients: the number of terms follows from the range.
 *
 *   function         error, against the exact value        special values
 *   aa_expf, aa_exp2f      0.51 ulp of float               as C's; subnormal results too
 *   aa_log1pf              0.51 ulp of float               as C's
 *   aa_log1p_unit          0.51 ulp of float               for 0 <= e <= 1
 *   aa_exp                 2 ulp of double                 as C's; subnormal results within 1 unit
 *   aa_log                 2 ulp of double                 as C's
 *   aa_power               n/2 ulp of double               b^0 is 1
 *   aa_turn                2^-52, absolute                 for finite v
 */
#ifndef AA_COMMON_BASE_ELEMENTARY_H
#define AA_COMMON_BASE_ELEMENTARY_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/bits.h"

#define AA_LN2    0x1.62e42fefa39efp-1
#define AA_LN2_HI 0x1.62e42fefa38p-1 /* 42 bits: times an exponent it is exact */
#define AA_LN2_LO 0x1.ef35793c7673p-45
#define AA_LOG2_E 0x1.71547652b82fep+0

/* Added and taken away again: rounds to an integer, whose low bits are then those of the sum. */
#define AA_ROUNDER 0x1.8p52

/* 2^n, where n is the integer in the low bits of a number that AA_ROUNDER was added to. */
static inline double
aa_two_to(double rounded)
{
    return aa_double_of((aa_double_bits(rounded) + 1023) << 52);
}

/* e^r for |r| <= ln(2)/2: terms up to r^8/8!, remainder 2e-10. */
static inline double
aa_exp_short(double r)
{
    const double r2 = r * r, r4 = r2 * r2;
    const double a = 1.0 + r, b = 1.0 / 2 + r * (1.0 / 6);
    const double c = 1.0 / 24 + r * (1.0 / 120), d = 1.0 / 720 + r * (1.0 / 5040);
    return (a + r2 * b) + r4 * ((c + r2 * d) + r4 * (1.0 / 40320));
}

/** e^x */
static inline float
aa_expf(float x)
{
    double c = x > 89.0f ? 89.0 : (double)x; /* e^89 is infinite as float, e^-104 is 0 */
    c = c < -104.0 ? -104.0 : c;
    const double rounded = c * AA_LOG2_E + AA_ROUNDER, n = rounded - AA_ROUNDER;
    return (float)(aa_exp_short(c - n * AA_LN2) * aa_two_to(rounded));
}

/** 2^x */
static inline float
aa_exp2f(float x)
{
    double c = x > 129.0f ? 129.0 : (double)x;
    c = c < -151.0 ? -151.0 : c;
    const double rounded = c + AA_ROUNDER, n = rounded - AA_ROUNDER;
    return (float)(aa_exp_short((c - n) * AA_LN2) * aa_two_to(rounded));
}

/** e^x */
static inline double
aa_exp(double x)
{
    double c = x > 710.0 ? 710.0 : x;
    c = c < -746.0 ? -746.0 : c;
    const double rounded = c * AA_LOG2_E + AA_ROUNDER, n = rounded - AA_ROUNDER;
    const double half = n * 0.5 + AA_ROUNDER; /* 2^n in two factors: n may be beyond exponents */
    const double rest = (n - (half - AA_ROUNDER)) + AA_ROUNDER;
    const double r = (c - n * AA_LN2_HI) - n * AA_LN2_LO;
    double       p = 1.0; /* 1 + r (1 + r/2 (1 + r/3 ...)): r^14/14! is 4e-18 */
    for (int k = 13; k >= 2; k--)
        p = 1.0 + p * r * (1.0 / k);
    return (1.0 + p * r) * aa_two_to(half) * aa_two_to(rest);
}

/* ln(m) for m in [sqrt 1/2, sqrt 2): 2 (s + s^3/3 + s^5/5 + ...), s = (m-1)/(m+1), |s| < 0.1716. */
static inline double
aa_log_short(double m)
{
    const double s = (m - 1.0) / (m + 1.0);
    const double z = s * s, z2 = z * z, z4 = z2 * z2;
    const double a = 1.0 / 3 + z * (1.0 / 5), b = 1.0 / 7 + z * (1.0 / 9);
    const double c = 1.0 / 11 + z * (1.0 / 13), d = 1.0 / 15 + z * (1.0 / 17);
    const double e = 1.0 / 19 + z * (1.0 / 21);
    const double sum = (a + z2 * b) + z4 * ((c + z2 * d) + z4 * e);
    return 2.0 * s + 2.0 * s * z * sum;
}

/** ln x */
static inline double
aa_log(double x)
{
    const bool     small = x < 0x1p-1022;
    const uint64_t from = UINT64_C(0x3FE6A09E667F3BCD); /* sqrt 1/2 */
    const uint64_t bits = aa_double_bits(small ? x * 0x1p54 : x);
    const uint64_t top = (bits - from + (UINT64_C(2048) << 52)) >> 52; /* exponent + 2048 */
    const double   m = aa_double_of(bits - ((top - 2048) << 52));
    const double   n = (double)(int32_t)top - (small ? 2048.0 + 54.0 : 2048.0);
    const double   y = n * AA_LN2_HI + (aa_log_short(m) + n * AA_LN2_LO);
    if (x > 0.0 && x < (double)INFINITY) return y;
    return x == 0.0 ? -(double)INFINITY : x > 0.0 ? x : (double)NAN;
}

/** ln(1 + x) */
static inline float
aa_log1pf(float x)
{
    const double d = (double)x, u = 1.0 + d;
    if (!(x > -1.0f && x < INFINITY)) return x == -1.0f ? -INFINITY : x > 0.0f ? x : NAN;
    return (float)(aa_log(u) + (d - (u - 1.0)) / u); /* what rounding took from u */
}

/** ln(1 + e) for e from 0 to 1, as float: 2 (s + s^3/3 + ...), s = e/(2+e), to s^17/17. */
static inline float
aa_log1p_unit(double e)
{
    const double s = e / (2.0 + e), z = s * s, z2 = z * z, z4 = z2 * z2;
    const double a = 1.0 / 3 + z * (1.0 / 5), b = 1.0 / 7 + z * (1.0 / 9);
    const double c = 1.0 / 11 + z * (1.0 / 13), d = 1.0 / 15 + z * (1.0 / 17);
    return (float)(2.0 * s + 2.0 * s * z * ((a + z2 * b) + z4 * (c + z2 * d)));
}

/** b^n */
double aa_power(double b, uint64_t n);

/** Cosine and sine of v turns, 2 pi v. @pre |v| < 2^50 */
void aa_turn(double v, double *cosine, double *sine);

#endif
