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
    AA_RNG_TEST = 100
};

/** 64 random bits of (seed, stream, a, b). */
uint64_t aa_rng_bits(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b);
/** Uniform in [0,1). */
double aa_rng_uniform(uint64_t seed, uint32_t stream, uint64_t a, uint64_t b);
/** out[0..n) ~ N(0, sd^2), drawn at counters (a, 0..n). */
void aa_rng_normal(float *out, uint64_t n, double sd, uint64_t seed, uint32_t stream, uint64_t a);

#endif
