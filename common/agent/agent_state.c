#include "common/agent/agent_state.h"

#include <math.h>

#include "common/base/elementary.h"
#include "common/base/status.h"

/* 0 .. 3 one bucket each, then 4 per doubling: 4,5,6,7, 8,10,12,14, 16,20,24,28, ... 448 */
#define PER_DOUBLING   4u
#define FIRST_DOUBLING 4u /* both the bucket and the frequency where doublings begin */

uint32_t
aa_freq_bucket(float frequency)
{
    if (!(frequency >= 1.0f)) /* NaN counts as never seen */
        return 0;
    float top = aa_freq_bucket_floor(AA_FREQ_BUCKETS - 1);
    if (frequency >= top) return AA_FREQ_BUCKETS - 1;
    uint32_t whole = (uint32_t)frequency;
    if (whole < FIRST_DOUBLING) return whole;
    uint32_t octave = 29u - (uint32_t)__builtin_clz(whole); /* 4..7 is octave 0 */
    return FIRST_DOUBLING + octave * PER_DOUBLING + ((whole >> octave) - FIRST_DOUBLING);
}

float
aa_freq_bucket_floor(uint32_t bucket)
{
    AA_REQUIRE(bucket < AA_FREQ_BUCKETS);
    if (bucket < FIRST_DOUBLING) return (float)bucket;
    uint32_t octave = (bucket - FIRST_DOUBLING) / PER_DOUBLING;
    uint32_t quarter = (bucket - FIRST_DOUBLING) % PER_DOUBLING;
    return (float)((FIRST_DOUBLING + quarter) << octave);
}

void
aa_state_input(uint32_t state, uint32_t k, float x[AA_STATE_INPUTS])
{
    AA_REQUIRE(state < aa_state_count(k));
    float floor_f = aa_freq_bucket_floor(aa_state_bucket(state, k));
    float top = aa_freq_bucket_floor(AA_FREQ_BUCKETS - 1);
    float position = (float)aa_state_position(state, k);
    x[0] = 2.0f * aa_log1pf(floor_f) / aa_log1pf(top) - 1.0f; /* how often, on a log scale */
    x[1] = 2.0f * (position - 1.0f) / (float)k - 1.0f;        /* how far up: 1 is position k+1 */
    x[2] = position > (float)k ? 1.0f : -1.0f;                /* holds a row of its own? */
    x[3] = 2.0f / (1.0f + floor_f) - 1.0f;                    /* resolves the rare end */
}
