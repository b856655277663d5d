/* common/model/lanes - 16 floats as one value, for kernels (common/model/kernel.h).
 *
 * The compiler splits it into what the target has. Passed by address only, so that no calling
 * convention depends on the instruction set.
 */
#ifndef AA_COMMON_MODEL_LANES_H
#define AA_COMMON_MODEL_LANES_H

#include <stddef.h>
#include <string.h>

#define LANES ((size_t)16)

typedef float lanes __attribute__((vector_size(16 * sizeof(float))));

static inline void
lanes_load(lanes *v, const float *p)
{
    memcpy(v, p, sizeof *v);
}

static inline void
lanes_store(float *p, const lanes *v)
{
    memcpy(p, v, sizeof *v);
}

/* The first n <= 16 floats, then zeros. */
static inline void
lanes_load_first(lanes *v, const float *p, size_t n)
{
    float t[LANES] = {0};
    if (n == LANES) {
        lanes_load(v, p);
        return;
    }
    for (size_t j = 0; j < n; j++)
        t[j] = p[j];
    lanes_load(v, t);
}

static inline void
lanes_store_first(float *p, const lanes *v, size_t n)
{
    float t[LANES];
    if (n == LANES) {
        lanes_store(p, v);
        return;
    }
    lanes_store(t, v);
    for (size_t j = 0; j < n; j++)
        p[j] = t[j];
}

/* max(0, v), 0 for NaN. */
static inline void
lanes_relu(lanes *v)
{
    typedef int mask __attribute__((vector_size(16 * sizeof(int))));
    mask        bits;
    memcpy(&bits, v, sizeof bits);
    bits &= (mask)(*v > 0.0f);
    memcpy(v, &bits, sizeof bits);
}

/* Tree: element j with element j+8, then 4, 2, 1. */
static inline float
lanes_sum(const lanes *v)
{
    typedef float quad __attribute__((vector_size(4 * sizeof(float))));
    float         t[LANES];
    quad          a, b, c, d;
    lanes_store(t, v);
    memcpy(&a, t, sizeof a), memcpy(&b, t + 4, sizeof b);
    memcpy(&c, t + 8, sizeof c), memcpy(&d, t + 12, sizeof d);
    a = (a + c) + (b + d);
    return (a[0] + a[2]) + (a[1] + a[3]);
}

#endif
