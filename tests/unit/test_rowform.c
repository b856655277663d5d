#include "learner/rows/rowform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

enum { W_MAX = 130, ROW_MAX = W_MAX * 8, MIDDLE = 0x8000 };

/* either side of vector widths, and past the blocks of 64 */
static const int64_t dims[] = {1, 2, 6, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129};

static rowform
form(enum aa_row_format format, enum aa_row_optimizer optimizer, int64_t dim)
{
    aa_conf cfg;
    aa_conf_defaults(&cfg);
    cfg.model.row_format = format;
    cfg.model.row_optimizer = optimizer;
    cfg.model.dim = dim;
    return rowform_of(&cfg);
}

static void
draw(float *x, size_t n, double sd, uint64_t a)
{
    aa_rng_normal(x, n, sd, 1, AA_RNG_TEST, a);
}

static void
a_row_of_16_factors_takes_136_102_76_or_42_bytes(void **state)
{
    (void)state;
    assert_int_equal(form(AA_ROW_FLOAT, AA_ROW_ADAGRAD, 16).bytes, 136);
    assert_int_equal(form(AA_ROW_BF16, AA_ROW_ADAGRAD, 16).bytes, 102);
    assert_int_equal(form(AA_ROW_FLOAT, AA_ROW_ROWWISE, 16).bytes, 76);
    assert_int_equal(form(AA_ROW_BF16, AA_ROW_ROWWISE, 16).bytes, 42);
    assert_true(rowform_plain(&(rowform){0}));
}

/* ---- rounding ---- */

/* Numbers of all magnitudes, denormal ones and zeros too. */
static float
any_number(uint64_t i)
{
    const uint64_t bits = aa_rng_bits(2, AA_RNG_TEST, 1, i);
    const float x = (float)ldexp(1.0 + (double)(bits >> 41) / 8388608.0, (int)(bits % 270) - 149);
    return i % 50 == 0 ? 0.0f : bits >> 32 & 1 ? -x : x;
}

static void
rounding_is_the_definitions_bit_for_bit_at_every_length(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        const rowform rf = form(AA_ROW_BF16, AA_ROW_ROWWISE, dims[d]);
        unsigned char row[ROW_MAX];
        float         w[W_MAX], got[W_MAX];
        for (uint64_t t = 0; t < 200; t++) {
            const uint64_t bits = aa_rng_bits(3, AA_RNG_TEST, d, t);
            for (size_t i = 0; i < rf.W; i++)
                w[i] = any_number(t * W_MAX + i);
            rowform_write(&rf, row, w, bits);
            rowform_read(&rf, row, got);
            for (size_t i = 0; i < rf.W; i++) {
                const float want = rowform_round_ref(w[i], rowform_bits_ref(bits, i));
                if (memcmp(&got[i], &want, sizeof want) != 0)
                    fail_msg("dim %d weight %zu: %.9g became %.9g, not %.9g", (int)dims[d], i,
                             (double)w[i], (double)got[i], (double)want);
            }
        }
    }
}

/* The error is at most 1/128 of the number and uniform enough: its mean over N is within 5 sd. */
static void
rounding_is_unbiased_and_its_bits_do_not_repeat(void **state)
{
    (void)state;
    enum { N = 40000, W = 17 };
    const rowform rf = form(AA_ROW_BF16, AA_ROW_ROWWISE, W - 1);
    unsigned char row[ROW_MAX];
    float         w[W], got[W];
    double        sum[W] = {0}, both[W] = {0};
    draw(w, W, 0.1, 5);
    for (uint64_t t = 0; t < N; t++) {
        rowform_write(&rf, row, w, aa_rng_bits(7, AA_RNG_ROUND, 20, t));
        rowform_read(&rf, row, got);
        for (size_t i = 0; i < W; i++) {
            const double unit = ldexp(1.0, ilogb((double)w[i]) - 7);
            const double error = (double)(got[i] - w[i]) / unit;
            const double before = (double)(got[(i + 1) % W] - w[(i + 1) % W]);
            assert_true(fabs(error) < 1.0);
            sum[i] += error;
            both[i] += error * before / ldexp(1.0, ilogb((double)w[(i + 1) % W]) - 7);
        }
    }
    for (size_t i = 0; i < W; i++) {
        check_close(sum[i] / N, 0.0, 5.0 * 0.5 / sqrt(N), 0.0, i);
        check_close(both[i] / N, 0.0, 5.0 * 0.25 / sqrt(N), 0.0, i); /* neighbours: independent */
    }
}

static void
what_fits_16_bits_is_stored_exactly_whatever_the_bits(void **state)
{
    (void)state;
    const rowform rf = form(AA_ROW_BF16, AA_ROW_ADAGRAD, 16);
    unsigned char row[ROW_MAX], again[ROW_MAX];
    float         w[17], got[17];
    draw(w, 17, 1.0, 6);
    rowform_write(&rf, row, w, 99);
    rowform_read(&rf, row, w);
    for (uint64_t t = 0; t < 1000; t++) {
        rowform_write(&rf, again, w, aa_rng_bits(8, AA_RNG_TEST, 0, t));
        rowform_read(&rf, again, got);
        assert_memory_equal(got, w, sizeof w);
    }
    rowform_write_nearest(&rf, again, w);
    assert_memory_equal(again, row, rf.w_bytes);
}

static void
nearest_rounding_is_to_even_at_ties(void **state)
{
    (void)state;
    const rowform rf = form(AA_ROW_BF16, AA_ROW_ADAGRAD, 3);
    unsigned char row[ROW_MAX];
    const float unit = 0x1p-7f, w[4] = {1.0f + 0.5f * unit, 1.0f + 1.5f * unit, 1.0f + 0.51f * unit,
                                        -1.0f - 0.49f * unit};
    const float want[4] = {1.0f, 1.0f + 2.0f * unit, 1.0f + unit, -1.0f};
    float       got[4];
    rowform_write_nearest(&rf, row, w);
    rowform_read(&rf, row, got);
    assert_memory_equal(got, want, sizeof want);
    assert_true(rowform_round_ref(w[0], MIDDLE) == 1.0f + unit);
    assert_true(rowform_round_ref(w[0], MIDDLE - 1) == 1.0f);
}

/* A step of a thousandth of what 16 bits can tell apart moves a weight in the mean all the same. */
static void
steps_too_small_for_16_bits_are_not_lost(void **state)
{
    (void)state;
    enum { STEPS = 100000 };
    const rowform rf = form(AA_ROW_BF16, AA_ROW_ROWWISE, 1);
    unsigned char row[ROW_MAX];
    float         w[2] = {1.0f, 1.0f};
    const float   step = 0.001f * 0x1p-8f;
    rowform_write(&rf, row, w, 0);
    for (uint64_t t = 0; t < STEPS; t++) {
        rowform_read(&rf, row, w);
        w[0] -= step;
        rowform_write(&rf, row, w, aa_rng_bits(9, AA_RNG_ROUND, 1, t));
    }
    rowform_read(&rf, row, w);
    /* STEPS/1000 or so moves of 2^-8, give or take the root of their number */
    check_close((double)w[0], 1.0 - STEPS * (double)step, 5.0 * sqrt(STEPS / 1000.0) * 0x1p-8, 0,
                0);
}

/* ---- learning ---- */

/* Steps of a row as the definition has them. Floats: within float rounding. bf16: the definition
 * gets what is stored, so that each step is compared by itself, before it is rounded. */
static void
check_learning(enum aa_row_format format, enum aa_row_optimizer optimizer, int64_t dim,
               float forget)
{
    const rowform rf = form(format, optimizer, dim);
    unsigned char row[ROW_MAX];
    float         w[W_MAX], g[W_MAX], got[W_MAX];
    double        w_ref[W_MAX], acc_ref[W_MAX], g_ref[W_MAX];
    draw(w, rf.W, 0.1, 1);
    rowform_write(&rf, row, w, 4);
    const adagrad ad = {0.2f, 0.1f, 5.0f, forget};
    rowform_fresh(&rf, row, &ad);
    for (size_t a = 0; a < rf.acc_count; a++)
        acc_ref[a] = (double)(a + 1 < rf.acc_count ? 0.1f : 5.0f);
    for (uint64_t t = 0; t < 100; t++) {
        const uint64_t bits = aa_rng_bits(4, AA_RNG_TEST, 3, t);
        draw(g, rf.W, 0.5, 100 + t);
        rowform_read(&rf, row, w);
        for (size_t i = 0; i < rf.W; i++) {
            w_ref[i] = (double)w[i];
            g_ref[i] = (double)g[i];
        }
        rowform_learn_ref(&rf, w_ref, acc_ref, g_ref, &ad);
        rowform_learn(&rf, row, w, g, &ad, bits);
        rowform_read(&rf, row, got);
        for (size_t i = 0; i < rf.W; i++) {
            check_close((double)w[i], w_ref[i], 1e-6, 1e-5, i);
            const float stored =
                format == AA_ROW_BF16 ? rowform_round_ref(w[i], rowform_bits_ref(bits, i)) : w[i];
            assert_memory_equal(&got[i], &stored, sizeof stored);
        }
    }
    for (size_t a = 0; a < rf.acc_count; a++) {
        float acc;
        memcpy(&acc, row + rf.w_bytes + a * sizeof acc, sizeof acc);
        check_close((double)acc, acc_ref[a], 1e-6, 1e-5, a);
    }
}

static void
every_form_learns_as_the_definition_at_every_length(void **state)
{
    const float forgets[] = {0.0f, 0.003f, 1.0f};
    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (unsigned f = 0; f < aa_row_format_count; f++)
            for (unsigned o = 0; o < aa_row_optimizer_count; o++)
                for (int g = 0; g < 3; g++)
                    check_learning(f, o, dims[d], forgets[g]);
}

/* The kernels, compiled for several instruction sets, against the same sums in the same order
 * written out plainly. */
static void
the_vector_kernels_have_the_bits_of_plain_loops(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        const rowform  rf = form(AA_ROW_FLOAT, AA_ROW_ROWWISE, dims[d]);
        const size_t   K = rf.W - 1;
        unsigned char  row[ROW_MAX];
        float          w[W_MAX], g[W_MAX], want[W_MAX], acc[2];
        volatile float part[8] = {0}; /* volatile: one at a time */
        draw(w, rf.W, 0.1, d);
        draw(g, rf.W, 0.5, 1000 + d);
        memcpy(want, w, sizeof want);
        rowform_write(&rf, row, w, 0);
        const adagrad ad = {0.2f, 0.3f, 5.0f, 0.0f};
        rowform_fresh(&rf, row, &ad);
        for (size_t i = 0; i < K; i++)
            part[i % 8] = part[i % 8] + g[i] * g[i];
        const float four[4] = {part[0] + part[4], part[1] + part[5], part[2] + part[6],
                               part[3] + part[7]};
        const float sum = (four[0] + four[2]) + (four[1] + four[3]);
        acc[0] = 0.3f + sum / (float)K;
        acc[1] = 5.0f + g[K] * g[K];
        for (size_t i = 0; i < K; i++) {
            volatile float by = 0.2f / sqrtf(acc[0]), step = by * g[i];
            want[i] = want[i] - step;
        }
        want[K] -= 0.2f * g[K] / sqrtf(acc[1]);
        rowform_learn(&rf, row, w, g, &ad, 0);
        assert_memory_equal(w, want, rf.W * sizeof *w);
        assert_memory_equal(row + rf.w_bytes, acc, sizeof acc);
        rowform_read_own(&rf, row, g, w);
        for (size_t i = 0; i < rf.W; i++) {
            const float x = g[i] + want[i];
            assert_memory_equal(&w[i], &x, sizeof x);
        }
    }
}

/* loss(w) = log(1 + exp(-w.v)); its gradient at the weights that 16 bits hold is what they move by:
 * finite differences there, and the mean of many rounded steps. */
static void
rounded_rows_descend_along_the_finite_differences_of_the_loss(void **state)
{
    (void)state;
    enum { W = 17, N = 20000 };
    const rowform rf = form(AA_ROW_BF16, AA_ROW_ROWWISE, W - 1);
    unsigned char first[ROW_MAX], row[ROW_MAX];
    float         w[W], v[W], g[W];
    double        mean[W] = {0}, at[W], dot = 0.0;
    draw(w, W, 0.3, 11);
    draw(v, W, 0.5, 12);
    rowform_write(&rf, first, w, 5);
    const adagrad ad = {0.2f, 0.3f, 0.3f, 0.0f};
    rowform_fresh(&rf, first, &ad);
    rowform_read(&rf, first, w);
    for (size_t i = 0; i < W; i++)
        dot += (double)w[i] * (double)v[i];
    for (size_t i = 0; i < W; i++) {
        const double h = 1e-4, up = log1p(exp(-(dot + h * (double)v[i])));
        g[i] = (float)((up - log1p(exp(-(dot - h * (double)v[i])))) / (2.0 * h));
        check_close((double)g[i], -(double)v[i] / (1.0 + exp(dot)), 1e-6, 1e-4, i);
        at[i] = (double)w[i];
    }
    double acc[2] = {0.3, 0.3}, g_ref[W];
    for (size_t i = 0; i < W; i++)
        g_ref[i] = (double)g[i];
    rowform_learn_ref(&rf, at, acc, g_ref, &ad);
    for (uint64_t t = 0; t < N; t++) {
        float moved[W];
        memcpy(row, first, sizeof row);
        memcpy(moved, w, sizeof moved);
        rowform_learn(&rf, row, moved, g, &ad, aa_rng_bits(6, AA_RNG_ROUND, 2, t));
        rowform_read(&rf, row, moved);
        for (size_t i = 0; i < W; i++)
            mean[i] += (double)moved[i] / N;
    }
    for (size_t i = 0; i < W; i++) /* a unit in the last place is below |w|/128 */
        check_close(mean[i], at[i], 5.0 * fmax(fabs(at[i]), 0.01) / 128.0 / sqrt(N), 1e-6, i);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_of_16_factors_takes_136_102_76_or_42_bytes),
        cmocka_unit_test(rounding_is_the_definitions_bit_for_bit_at_every_length),
        cmocka_unit_test(rounding_is_unbiased_and_its_bits_do_not_repeat),
        cmocka_unit_test(what_fits_16_bits_is_stored_exactly_whatever_the_bits),
        cmocka_unit_test(nearest_rounding_is_to_even_at_ties),
        cmocka_unit_test(steps_too_small_for_16_bits_are_not_lost),
        cmocka_unit_test(every_form_learns_as_the_definition_at_every_length),
        cmocka_unit_test(the_vector_kernels_have_the_bits_of_plain_loops),
        cmocka_unit_test(rounded_rows_descend_along_the_finite_differences_of_the_loss),
    };
    return cmocka_run_group_tests_name("learner/rows/rowform", tests, NULL, NULL);
}
