/* (seed, stream, a) choose a starting point by the SplitMix64 finaliser; b then walks the
 * SplitMix64 sequence from there. Source: Steele, Lea, Flood 2014, constants of variant 13. */
#include "common/base/rng.h"

#include <math.h>

#include "common/base/elementary.h"

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)

static uint64_t
mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t
aa_rng_start(uint64_t seed, uint32_t stream, uint64_t a)
{
    uint64_t s = mix(seed + GOLDEN);
    s = mix(s + GOLDEN * ((uint64_t)stream + 1));
    return mix(s + GOLDEN * (a + 1));
}

/* [0,1), 53 bits */
static double
to_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

uint64_t
aa_rng_bits(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    return aa_rng_at(aa_rng_start(seed, stream, a), b);
}

double
aa_rng_uniform(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b)
{
    return to_unit(aa_rng_bits(seed, stream, a, b));
}

/* Box-Muller: counters (2j, 2j+1) make the pair out[2j], out[2j+1]. */
void
aa_rng_normal(float *out, uint64_t n, double sd, uint64_t seed, uint32_t stream, uint64_t a)
{
    uint64_t s = aa_rng_start(seed, stream, a);
    for (uint64_t i = 0; i < n; i += 2) {
        double u = 1.0 - to_unit(mix(s + GOLDEN * (i + 1))); /* (0,1]: its logarithm is finite */
        double v = to_unit(mix(s + GOLDEN * (i + 2)));
        double cosine, sine, r = sd * sqrt(-2.0 * aa_log(u));
        aa_turn(v, &cosine, &sine);
        out[i] = (float)(r * cosine);
        if (i + 1 < n) out[i + 1] = (float)(r * sine);
    }
}
