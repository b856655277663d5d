#include "learner/rows/rowform.h"

#include <math.h>
#include <string.h>

#include "common/base/bits.h"
#include "common/model/kernel.h"
#include "common/model/row.h"
#include "learner/rows/adagrad.h"

enum { BLOCK = 64, LANES = 8 };

rowform
rowform_of(const aa_conf *cfg)
{
    const rowform rf = {.format = cfg->model.row_format,
                        .optimizer = cfg->model.row_optimizer,
                        .W = aa_row_width((size_t)cfg->model.dim),
                        .acc_count = aa_row_accumulators(cfg),
                        .w_bytes = aa_row_weight_bytes(cfg),
                        .bytes = aa_row_bytes(cfg)};
    return rf;
}

static void *
accumulators(const rowform *rf, void *row)
{
    return (unsigned char *)row + rf->w_bytes;
}

/* ---- bf16 ---- */

AA_KERNEL static void
widen(float *restrict w, const uint16_t *restrict half, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w[i] = aa_float_of((uint32_t)half[i] << 16);
}

AA_KERNEL static void
widen_and_add(float *restrict x, const float *restrict shared, const uint16_t *restrict half,
              size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = shared[i] + aa_float_of((uint32_t)half[i] << 16);
}

/* Random bits are a 32-bit integer hash (xorshift, multiply; constants as published by the
 * hash-prospector project) of the weight's number and the row's bits: vector units have 32-bit
 * lanes. That bits go in at the second step as well is our choice; test_rowform checks it. */
AA_KERNEL static void
narrow(uint16_t *restrict half, const float *restrict w, size_t n, uint32_t low, uint32_t high)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x = low + (uint32_t)i * 0x9E3779B9u;
        x = (x ^ x >> 16) * 0x21F0AAADu;
        x ^= high;
        x = (x ^ x >> 15) * 0xD35A2D97u;
        x = (x ^ x >> 15) >> 16;
        half[i] = (uint16_t)((aa_float_bits(w[i]) + x) >> 16);
    }
}

void
rowform_read(const rowform *rf, const void *row, float *w)
{
    if (rf->format == AA_ROW_BF16)
        widen(w, row, rf->W);
    else
        memcpy(w, row, rf->w_bytes);
}

void
rowform_read_own(const rowform *rf, const void *row, const float *shared, float *x)
{
    if (rf->format == AA_ROW_BF16) {
        widen_and_add(x, shared, row, rf->W);
        return;
    }
    memcpy(x, row, rf->w_bytes);
    for (size_t i = 0; i < rf->W; i++)
        x[i] = shared[i] + x[i];
}

void
rowform_write(const rowform *rf, void *row, const float *w, uint64_t bits)
{
    if (rf->format == AA_ROW_BF16)
        narrow(row, w, rf->W, (uint32_t)bits, (uint32_t)(bits >> 32));
    else
        memcpy(row, w, rf->w_bytes);
}

void
rowform_write_nearest(const rowform *rf, void *row, const float *w)
{
    uint16_t *half = row;
    if (rf->format != AA_ROW_BF16) {
        memcpy(row, w, rf->w_bytes);
        return;
    }
    for (size_t i = 0; i < rf->W; i++) {
        const uint32_t bits = aa_float_bits(w[i]);
        half[i] = (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
    }
}

/* ---- learning ---- */

void
rowform_fresh(const rowform *rf, void *row, const adagrad *ad)
{
    unsigned char *acc = accumulators(rf, row);
    for (size_t i = 0; i < rf->acc_count; i++)
        memcpy(acc + i * sizeof(float), i + 1 < rf->acc_count ? &ad->start : &ad->linear_start,
               sizeof(float));
}

/* Sum of g[i]^2: LANES partial sums, then pairs of them; the order is this, whatever the CPU. */
AA_KERNEL static float
sum_of_squares(const float *g, size_t n)
{
    float  part[LANES] = {0};
    size_t at = 0;
    for (; at + LANES <= n; at += LANES)
        for (size_t j = 0; j < LANES; j++)
            part[j] += g[at + j] * g[at + j];
    for (size_t j = 0; at + j < n; j++)
        part[j] += g[at + j] * g[at + j];
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t j = 0; j < half; j++)
            part[j] += part[j + half];
    return part[0];
}

AA_KERNEL static void
descend(float *restrict w, const float *restrict g, size_t n, float by)
{
    for (size_t i = 0; i < n; i++)
        w[i] -= by * g[i];
}

static void
learn_rowwise(const rowform *rf, void *acc_at, float *w, const float *g, const adagrad *ad)
{
    const size_t K = rf->W - 1;
    float        acc[2];
    memcpy(acc, acc_at, sizeof acc);
    acc[0] = adagrad_decayed(ad, acc[0]) + sum_of_squares(g, K) / (float)K;
    acc[1] += g[K] * g[K];
    descend(w, g, K, ad->rate / sqrtf(acc[0]));
    w[K] -= ad->rate * g[K] / sqrtf(acc[1]);
    memcpy(acc_at, acc, sizeof acc);
}

/* In blocks, for the accumulators are not aligned. */
static void
learn_adagrad(const rowform *rf, unsigned char *acc_at, float *w, const float *g, const adagrad *ad)
{
    float acc[BLOCK];
    for (size_t at = 0; at < rf->W; at += BLOCK, acc_at += sizeof acc) {
        const size_t n = rf->W - at < BLOCK ? rf->W - at : BLOCK;
        memcpy(acc, acc_at, n * sizeof *acc);
        for (size_t i = 0; i < n && at + i + 1 < rf->W; i++)
            acc[i] = adagrad_decayed(ad, acc[i]);
        adagrad_step(w + at, acc, g + at, n, ad->rate);
        memcpy(acc_at, acc, n * sizeof *acc);
    }
}

void
rowform_learn(const rowform *rf, void *row, float *w, const float *g, const adagrad *ad,
              uint64_t bits)
{
    if (rf->optimizer == AA_ROW_ROWWISE)
        learn_rowwise(rf, accumulators(rf, row), w, g, ad);
    else
        learn_adagrad(rf, accumulators(rf, row), w, g, ad);
    rowform_write(rf, row, w, bits);
}
