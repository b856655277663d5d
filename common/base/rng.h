/* common/base/rng - counter-based random numbers: a value is a function of (seed, stream, counter), so
 * it does not depend on what else was drawn, and a checkpoint needs no generator state. */
#ifndef AA_COMMON_BASE_RNG_H
#define AA_COMMON_BASE_RNG_H

#include <stdint.h>

/* streams, so that two uses never share numbers */
enum {
    AA_RNG_ACTION = 1,
    AA_RNG_ROW = 2,
    AA_RNG_DENSE = 3,
    AA_RNG_ACTOR = 4,
    AA_RNG_CRITIC = 5,
    AA_RNG_SWEEP = 6,
    AA_RNG_WARM = 7,
    AA_RNG_ROUND = 8,
    AA_RNG_ID = 9,
    AA_RNG_TEST = 100
};

/** 64 random bits of (seed, stream, a, b). */
uint64_t aa_rng_bits(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b);
/** The same in two parts, for loops over b: aa_rng_at(aa_rng_start(seed, stream, a), b). */
uint64_t aa_rng_start(uint64_t seed, uint32_t stream, uint64_t a);
static inline uint64_t
aa_rng_at(uint64_t start, uint64_t b)
{
    uint64_t z = start + UINT64_C(0x9E3779B97F4A7C15) * (b + 1);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
/** Uniform in [0,1). */
double aa_rng_uniform(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b);
/** out[0..n) ~ N(0, sd^2), drawn at counters (a, 0..n). */
void aa_rng_normal(float *out, uint64_t n, double sd, uint64_t seed, uint32_t stream, uint64_t a);

#endif
