#include "common/base/elementary.h"

#define TWO_PI 0x1.921fb54442d18p+2

double
aa_power(double b, uint64_t n)
{
    double y = 1.0;
    for (; n > 0; n >>= 1) {
        if (n & 1) y *= b;
        b *= b;
    }
    return y;
}

/* Eighths of a turn to each side of a quarter: x is within pi/4, where x^19/19! is 1e-19. */
void
aa_turn(double v, double *cosine, double *sine)
{
    const double   rounded = v * 4.0 + AA_ROUNDER;
    const uint64_t quarter = aa_double_bits(rounded) & 3;
    const double   x = (v - (rounded - AA_ROUNDER) * 0.25) * TWO_PI, x2 = x * x;
    double         s = 1.0, c = 1.0; /* 1 - x^2/(2.3) (1 - x^2/(4.5) ...), and likewise */
    for (int k = 16; k >= 2; k -= 2) {
        s = 1.0 - s * x2 * (1.0 / (k * (k + 1)));
        c = 1.0 - c * x2 * (1.0 / (k * (k - 1)));
    }
    s *= x;
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
    *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
}
