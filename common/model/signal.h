/* common/model/signal - what is known of an ID beside its rows, as inputs of every model.
 *
 *   lean     how far its labels lean (assigner/field/lean)
 *   recent   the same of about its last 20 events, beyond its lean (assigner/field/fastlean)
 *   fast     ... of about its last 3
 *
 * The three are a code of 16 bits. The assigner makes it, and the learner, the topic of assignments
 * and scorers have nothing else: all of them compute with the same numbers. Code 0 is that of an ID
 * that was never seen. Steps of a code are coarse on purpose: finer ones gain nothing
 * (docs/FINDINGS.md) and cost memory in every scorer.
 *
 *   bits 0..5: lean in steps of 1/31, 6..10: recent, 11..15: fast in steps of 1/15; all signed
 */
#ifndef AA_COMMON_MODEL_SIGNAL_H
#define AA_COMMON_MODEL_SIGNAL_H

#include <stdint.h>

#define AA_SIGNALS     3u      /* numbers in a code */
#define AA_SIGNAL_CODE 0xFFFFu /* greatest code */

/* x in steps of 1/top, in -top..top, as the lowest bits of a number; NaN: 0. */
static inline uint32_t
aa_signal_steps(float x, int top, uint32_t mask)
{
    const float most = (float)top;
    float       steps = x == x ? x * most : 0.0f;
    steps = steps > most ? most : steps < -most ? -most : steps;
    const int32_t whole = (int32_t)(steps + (steps < 0.0f ? -0.5f : 0.5f));
    return (uint32_t)whole & mask;
}

static inline uint32_t
aa_signal_code(float lean, float recent, float fast)
{
    return aa_signal_steps(lean, 31, 63) | aa_signal_steps(recent, 15, 31) << 6 |
           aa_signal_steps(fast, 15, 31) << 11;
}

/* The signed number in `bits` bits. */
static inline float
aa_signal_whole(uint32_t steps, unsigned bits)
{
    const uint32_t half = 1u << (bits - 1);
    return (float)(int32_t)((steps & (2 * half - 1)) ^ half) - (float)half;
}

/** x (AA_SIGNALS): the inputs of a code. */
static inline void
aa_signal_read(uint32_t code, float *x)
{
    x[0] = aa_signal_whole(code, 6) / 31.0f;
    x[1] = aa_signal_whole(code >> 6, 5) / 15.0f;
    x[2] = aa_signal_whole(code >> 11, 5) / 15.0f;
}

#endif
