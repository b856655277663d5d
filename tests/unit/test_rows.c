#include "learner/rows/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent/mode.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "learner/rows/rowform.h"
#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"

enum { K = 5, W = K + 1, SHARED = 15 };

static aa_conf cfg;

/* With `positions` shared positions, learning in steps of so many events. */
static rows *
table_of(enum aa_agent_mode mode, int64_t positions, int64_t step)
{
    rows  *ro = NULL;
    aa_err err = AA_ERR_INIT;
    aa_conf_defaults(&cfg);
    cfg.model.row_format = AA_ROW_FLOAT; /* plain rows; the other forms have tests below */
    cfg.model.row_optimizer = AA_ROW_ADAGRAD;
    cfg.model.row_forget = 0.0;
    cfg.agent.mode = mode;
    cfg.agent.positions = positions;
    cfg.model.step = step;
    cfg.model.dim = K;
    assert_int_equal(aa_shared_rows(&cfg), SHARED);
    assert_int_equal(rows_new(&ro, 1, &cfg, &err), AA_OK);
    return ro;
}

/* Plain: shared rows stand for themselves, own rows are copies. */
static rows *
table(void)
{
    return table_of(AA_MODE_PAPER, SHARED, 1);
}

/* Residual rows, shared rows that are sums: 5 positions of 3 bins. */
static rows *
residual_table(int64_t step)
{
    return table_of(AA_MODE_DEFAULT, 5, step);
}

static aa_op
promote(uint32_t slot, uint32_t source, float mix)
{
    return (aa_op){
        .kind = AA_OP_PROMOTE, .field = 1, .slot = slot, .source = source, .source_mix = mix};
}

static aa_op
plain_op(aa_op_kind kind, uint32_t slot)
{
    return (aa_op){.kind = (uint8_t)kind, .field = 1, .slot = slot};
}

static void
do_op(rows *ro, aa_op op, uint64_t seq)
{
    aa_err err = AA_ERR_INIT;
    if (rows_plan(ro, &op, &err)) fail_msg("%s", err.text);
    rows_apply(ro, &op, seq, 0);
}

static void
refuse(rows *ro, aa_op op)
{
    aa_err         err = AA_ERR_INIT;
    const uint64_t before = rows_digest(ro, 0);
    assert_int_equal(rows_plan(ro, &op, &err), AA_EPARSE);
    assert_true(rows_digest(ro, 0) == before);
}

/* A step of one reading. */
static void
learn(rows *ro, uint32_t slot, float mix, const float *dx)
{
    assert_int_equal(rows_reserve(ro, 1, NULL), AA_OK);
    rows_learn(ro, slot, mix, 1.0f, dx);
    rows_update(ro);
}

static void
shared_rows_exist_from_the_start_and_differ(void **state)
{
    (void)state;
    rows  *ro = table();
    float  x[SHARED][W];
    double sum = 0.0, square = 0.0;
    for (uint32_t s = 0; s < SHARED; s++) {
        assert_true(rows_planned(ro, s, 0.0f));
        rows_read(ro, s, 0.0f, x[s]);
        for (size_t i = 0; i < W; i++) {
            sum += (double)x[s][i];
            square += (double)x[s][i] * (double)x[s][i];
        }
        if (s) assert_memory_not_equal(x[s], x[s - 1], sizeof x[s]);
    }
    const double n = SHARED * W; /* 90 draws: mean within 4 sd, sd within 40 % */
    check_close(sum / n, 0.0, 4.0 * 0.01 / sqrt(n), 0.0, 0);
    check_close(sqrt(square / n), 0.01, 0.004, 0.0, 0);
    assert_false(rows_planned(ro, SHARED, 0.0f));
    assert_false(rows_planned(ro, SHARED - 1, 0.5f));
    rows_free(&ro);
}

static void
modes_without_shared_rows_start_empty(void **state)
{
    (void)state;
    rows      *ro = NULL;
    rows_stats rs;
    aa_err     err = AA_ERR_INIT;
    aa_conf_defaults(&cfg);
    cfg.model.row_format = AA_ROW_FLOAT; /* plain rows; the other forms have tests below */
    cfg.model.row_optimizer = AA_ROW_ADAGRAD;
    cfg.model.row_forget = 0.0;
    cfg.agent.mode = AA_MODE_UNIQUE;
    assert_int_equal(rows_new(&ro, 0, &cfg, &err), AA_OK);
    rows_stats_get(ro, &rs);
    assert_int_equal(rs.live, 0);
    assert_int_equal(rs.allocated, 0);
    assert_false(rows_planned(ro, 0, 0.0f));
    do_op(ro, (aa_op){.kind = AA_OP_INIT, .slot = 0}, 1);
    assert_true(rows_planned(ro, 0, 0.0f));
    rows_free(&ro);
}

static void
reading_interpolates_between_neighbours(void **state)
{
    (void)state;
    rows *ro = table();
    float low[W], high[W], x[W];
    rows_read(ro, 3, 0.0f, low);
    rows_read(ro, 4, 0.0f, high);
    rows_read(ro, 3, 0.3f, x);
    for (size_t i = 0; i < W; i++)
        check_close((double)x[i], 0.7 * (double)low[i] + 0.3 * (double)high[i], 1e-9, 1e-6, i);
    rows_read(ro, AA_NO_SLOT, 0.0f, x);
    for (size_t i = 0; i < W; i++)
        assert_true(x[i] == 0.0f);
    rows_free(&ro);
}

static void
readings_of_bad_mix_or_dead_rows_are_not_planned(void **state)
{
    (void)state;
    rows *ro = table();
    assert_true(rows_planned(ro, AA_NO_SLOT, 0.0f));
    assert_false(rows_planned(ro, AA_NO_SLOT, 0.5f));
    assert_true(rows_planned(ro, 2, 0.99f));
    assert_false(rows_planned(ro, 2, 1.0f));
    assert_false(rows_planned(ro, 2, -0.1f));
    assert_false(rows_planned(ro, 2, NAN));
    assert_false(rows_planned(ro, AA_NO_SLOT - 1, 0.0f));
    rows_free(&ro);
}

/* Adagrad and the penalty, in double, for both rows of an interpolated reading. */
static void
learning_equals_adagrad_in_double(void **state)
{
    (void)state;
    rows  *ro = table();
    double w[2][W], acc[2][W];
    float  x[W], dx[W];
    for (uint32_t r = 0; r < 2; r++) {
        rows_read(ro, 6 + r, 0.0f, x);
        for (size_t i = 0; i < W; i++) {
            w[r][i] = (double)x[i];
            acc[r][i] = cfg.model.row_accumulator;
        }
    }
    for (uint64_t t = 0; t < 200; t++) {
        const float mix = t % 4 ? (float)aa_rng_uniform(1, AA_RNG_TEST, 1, t) : 0.0f;
        aa_rng_normal(dx, W, 0.5, 1, AA_RNG_TEST, t);
        learn(ro, 6, mix, dx);
        double share[2] = {1.0 - (double)mix, (double)mix};
        for (size_t i = 0; i < W; i++) {
            for (size_t r = 0; r < 2; r++) {
                double g = share[r] * ((double)dx[i] + cfg.model.row_l2 * w[r][i]);
                acc[r][i] += g * g;
                w[r][i] -= cfg.model.row_rate * g / sqrt(acc[r][i]);
            }
        }
    }
    for (uint32_t r = 0; r < 2; r++) {
        rows_read(ro, 6 + r, 0.0f, x);
        for (size_t i = 0; i < W; i++) /* 200 steps of up to 0.2, float rounding 6e-8 of each */
            check_close((double)x[i], w[r][i], 2e-6, 1e-5, i);
    }
    rows_free(&ro);
}

static void
a_step_moves_each_row_once_by_the_sum_of_its_gradients(void **state)
{
    (void)state;
    enum { READINGS = 3000 };
    rows  *ro = table_of(AA_MODE_PAPER, SHARED, READINGS);
    double w[SHARED][W], g[SHARED][W] = {{0}};
    float  x[W], dx[W];
    aa_err err = AA_ERR_INIT;
    for (uint32_t s = 0; s < SHARED; s++) {
        rows_read(ro, s, 0.0f, x);
        for (size_t i = 0; i < W; i++)
            w[s][i] = (double)x[i];
    }
    assert_int_equal(rows_reserve(ro, READINGS, &err), AA_OK);
    for (uint64_t t = 0; t < READINGS; t++) {
        const uint32_t slot = (uint32_t)(aa_rng_bits(1, AA_RNG_TEST, 8, t) % (SHARED - 2));
        const float    mix = t % 3 ? 0.75f : 0.0f;
        aa_rng_normal(dx, W, 0.5, 1, AA_RNG_TEST, t);
        rows_learn(ro, slot, mix, 1.0f, dx);
        for (size_t i = 0; i < W; i++) {
            g[slot][i] += (1.0 - (double)mix) * ((double)dx[i] + cfg.model.row_l2 * w[slot][i]);
            g[slot + 1][i] += (double)mix * ((double)dx[i] + cfg.model.row_l2 * w[slot + 1][i]);
        }
    }
    rows_update(ro);
    for (uint32_t s = 0; s < SHARED; s++) {
        rows_read(ro, s, 0.0f, x);
        for (size_t i = 0; i < W; i++)
            check_close((double)x[i],
                        w[s][i] - cfg.model.row_rate * g[s][i] / sqrt(0.1 + g[s][i] * g[s][i]),
                        1e-5, 1e-5, s * W + i);
    }
    const uint64_t before = rows_digest(ro, 0);
    rows_update(ro); /* nothing is left over */
    assert_true(rows_digest(ro, 0) == before);
    rows_free(&ro);
}

static void
promotion_copies_the_reading_adds_noise_and_starts_a_fresh_optimizer(void **state)
{
    (void)state;
    rows  *ro = table();
    float  x[W], dx[W], source[W], copy[W];
    double square = 0.0;
    for (uint64_t t = 0; t < 100; t++) {
        aa_rng_normal(dx, W, 0.5, 1, AA_RNG_TEST, t);
        learn(ro, 9, 0.25f, dx);
    }
    rows_read(ro, 9, 0.25f, source);
    for (uint32_t slot = SHARED; slot < SHARED + 50; slot++) {
        do_op(ro, promote(slot, 9, 0.25f), 7);
        rows_read(ro, slot, 0.0f, copy);
        for (size_t i = 0; i < W; i++)
            square += pow((double)copy[i] - (double)source[i], 2.0);
    }
    check_close(sqrt(square / (50 * W)), 0.01, 0.002, 0.0, 0);
    const double g = 0.3, step = 0.2 * g / sqrt(0.1 + g * g); /* of a fresh accumulator */
    cfg.model.row_l2 = 0.0;
    for (size_t i = 0; i < W; i++)
        dx[i] = (float)g;
    rows_read(ro, SHARED, 0.0f, copy);
    learn(ro, SHARED, 0.0f, dx);
    rows_read(ro, SHARED, 0.0f, x);
    for (size_t i = 0; i < W; i++) /* the penalty adds up to 0.003 * 2 to the gradient */
        check_close((double)(copy[i] - x[i]), step, 4e-3, 0.0, i);
    rows_free(&ro);
}

static void
noise_depends_on_slot_batch_and_op(void **state)
{
    (void)state;
    rows *a = table(), *b = table();
    float x[W], y[W];
    do_op(a, promote(20, 2, 0.0f), 5);
    do_op(b, promote(20, 2, 0.0f), 5);
    assert_true(rows_digest(a, 0) == rows_digest(b, 0));
    do_op(a, promote(21, 2, 0.0f), 5);
    rows_read(a, 20, 0.0f, x);
    rows_read(a, 21, 0.0f, y);
    assert_memory_not_equal(x, y, sizeof x);
    do_op(a, plain_op(AA_OP_FREE, 20), 6);
    do_op(a, promote(20, 2, 0.0f), 6);
    rows_read(a, 20, 0.0f, y);
    assert_memory_not_equal(x, y, sizeof x);
    rows_free(&a);
    rows_free(&b);
}

static void
ops_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    rows *ro = table();
    do_op(ro, promote(20, 2, 0.5f), 1);
    refuse(ro, promote(20, 2, 0.5f)); /* live already */
    refuse(ro, plain_op(AA_OP_INIT, 20));
    refuse(ro, promote(3, 2, 0.0f));       /* a shared row */
    refuse(ro, promote(21, SHARED, 0.0f)); /* source is not shared */
    refuse(ro, promote(21, 20, 0.0f));
    refuse(ro, promote(21, SHARED - 1, 0.5f)); /* nor is its neighbour */
    refuse(ro, promote(21, 2, 1.0f));
    refuse(ro, promote(21, 2, NAN));
    refuse(ro, promote(ROWS_SLOT_END, 2, 0.0f));
    refuse(ro, promote(AA_NO_SLOT, 2, 0.0f));
    refuse(ro, plain_op(AA_OP_FREE, 21)); /* not live */
    refuse(ro, plain_op(AA_OP_FREE, 3));  /* shared */
    refuse(ro, plain_op(AA_OP_FREE, AA_NO_SLOT));
    refuse(ro, (aa_op){.kind = 0, .slot = 30});
    refuse(ro, (aa_op){.kind = 9, .slot = 30});
    rows_free(&ro);
}

static void
a_plan_can_be_taken_back(void **state)
{
    (void)state;
    rows  *ro = table();
    aa_err err = AA_ERR_INIT;
    do_op(ro, promote(20, 2, 0.0f), 1);
    const aa_op ops[] = {plain_op(AA_OP_FREE, 20), promote(20, 4, 0.0f), promote(5000, 4, 0.0f)};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rows_plan(ro, &ops[i], &err), AA_OK);
    assert_true(rows_planned(ro, 5000, 0.0f));
    for (size_t i = 3; i-- > 0;)
        rows_unplan(ro, &ops[i]);
    assert_true(rows_planned(ro, 20, 0.0f));
    assert_false(rows_planned(ro, 5000, 0.0f));
    refuse(ro, promote(20, 2, 0.0f));
    do_op(ro, promote(5000, 2, 0.0f), 1);
    rows_free(&ro);
}

static void
changes_name_each_row_once_until_it_changes_again(void **state)
{
    (void)state;
    rows          *ro = table();
    learner_change ch[64];
    assert_int_equal(rows_changes(ro, ch, 64), SHARED); /* new rows are changes */
    assert_int_equal(rows_changes(ro, ch, 64), 0);
    float x[W], dx[W] = {1.0f};
    do_op(ro, promote(20, 2, 0.0f), 9);
    for (size_t i = 0; i < 3; i++)
        learn(ro, 7, 0.5f, dx);
    do_op(ro, promote(21, 2, 0.0f), 9);
    do_op(ro, plain_op(AA_OP_FREE, 21), 9);
    assert_int_equal(rows_changes(ro, ch, 2), 2); /* in pieces */
    assert_int_equal(rows_changes(ro, ch + 2, 62), 2);
    const uint32_t slots[] = {20, 21, 7, 8}; /* the last call ended with 14 */
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ch[i].field, 1);
        assert_int_equal(ch[i].slot, slots[i]);
        assert_int_equal(ch[i].deleted, slots[i] == 21);
        assert_int_equal(ch[i].born, slots[i] == 20 ? 9 : 0);
    }
    rows_read(ro, 7, 0.0f, x);
    assert_memory_equal(ch[2].w, x, sizeof x);
    rows_touch_all(ro);
    assert_int_equal(rows_changes(ro, ch, 64), SHARED + 1);
    rows_free(&ro);
}

static void
a_change_is_told_of_though_others_keep_changing(void **state)
{
    (void)state;
    rows          *ro = table();
    learner_change ch[4];
    const float    dx[W] = {1.0f};
    bool           told = false;
    do_op(ro, promote(5000, 2, 0.0f), 1);
    for (size_t call = 0; call < 2 * SHARED && !told; call++) {
        for (uint32_t s = 0; s < SHARED; s++)
            learn(ro, s, 0.0f, dx);
        const size_t n = rows_changes(ro, ch, 4);
        for (size_t i = 0; i < n; i++)
            told = told || ch[i].slot == 5000;
    }
    assert_true(told);
    rows_free(&ro);
}

static void
many_rows_come_go_and_change_without_being_lost(void **state)
{
    (void)state;
    rows          *ro = table();
    static bool    live[3000];
    learner_change ch[7];
    static bool    told[3000];
    for (uint64_t t = 0; t < 40000; t++) {
        const uint64_t bits = aa_rng_bits(3, AA_RNG_TEST, 4, t);
        const uint32_t slot = SHARED + (uint32_t)(bits % 2900);
        do_op(ro, live[slot] ? plain_op(AA_OP_FREE, slot) : promote(slot, 1, 0.0f), t);
        live[slot] = !live[slot];
        size_t n = bits >> 40 & 1 ? rows_changes(ro, ch, 7) : 0;
        for (size_t i = 0; i < n; i++)
            told[ch[i].slot] = !ch[i].deleted;
    }
    for (size_t n; (n = rows_changes(ro, ch, 7)) > 0;)
        for (size_t i = 0; i < n; i++)
            told[ch[i].slot] = !ch[i].deleted;
    uint64_t count = SHARED;
    for (size_t s = SHARED; s < 3000; s++) {
        assert_int_equal(told[s], live[s]);
        assert_int_equal(rows_planned(ro, (uint32_t)s, 0.0f), live[s]);
        count += live[s];
    }
    rows_stats rs;
    rows_stats_get(ro, &rs);
    assert_int_equal(rs.live, count);
    assert_int_equal(rs.allocated, 3072);
    assert_int_equal(rs.row_bytes, 2 * W * sizeof(float));
    rows_free(&ro);
}

/* ---- residual rows, and shared rows that are sums ---- */

/* The table written out in double: base rows, what positions add, one own row; the second way. */
typedef struct {
    double base[3][2][W], added[SHARED][2][W], own[2][W];
} sums;

/* What the table holds; all positions of a bin read the same, for they have added nothing yet. */
static void
load_sums(const rows *ro, sums *su)
{
    float x[W];
    *su = (sums){0};
    for (uint32_t s = 0; s < SHARED; s++) {
        rows_read(ro, s, 0.0f, x);
        for (size_t i = 0; i < W; i++) {
            if (s >= 3) assert_true((double)x[i] == su->base[s % 3][0][i]);
            su->base[s % 3][0][i] = (double)x[i];
            su->base[s % 3][1][i] = 0.1;
            su->added[s][1][i] = 0.3;
            su->own[1][i] = i < K ? 0.3 : 5.0;
        }
    }
}

static double
sums_reading(const sums *su, uint32_t slot, double mix, size_t i)
{
    double low = su->base[slot % 3][0][i] + su->added[slot][0][i];
    if (mix == 0.0) return low;
    return (1.0 - mix) * low + mix * (su->base[(slot + 1) % 3][0][i] + su->added[slot + 1][0][i]);
}

static void
sums_learn_row(double row[2][W], double g[W], double rate)
{
    for (size_t i = 0; i < W; i++) {
        row[1][i] += g[i] * g[i];
        row[0][i] -= rate * g[i] / sqrt(row[1][i]);
    }
}

static void
sums_gradient(double g[W], double row[2][W], const float *dx, double share)
{
    for (size_t i = 0; i < W; i++)
        g[i] += share * ((double)dx[i] + 0.003 * row[0][i]);
}

/* Readings of an ID's own row beside shared ones, and of shared ones alone; steps of `step`. */
static void
check_against_sums(int64_t step)
{
    rows  *ro = residual_table(step);
    sums   su;
    double g_base[3][W], g_added[SHARED][W], g_own[W];
    float  shared[W], x[W], dx[W];
    load_sums(ro, &su);
    do_op(ro, promote(SHARED, 4, 0.5f), 3);
    for (uint64_t t = 0; t < 600;) {
        memset(g_base, 0, sizeof g_base);
        memset(g_added, 0, sizeof g_added);
        memset(g_own, 0, sizeof g_own);
        assert_int_equal(rows_reserve(ro, (size_t)step, NULL), AA_OK);
        for (int64_t e = 0; e < step; e++, t++) {
            const uint64_t bits = aa_rng_bits(1, AA_RNG_TEST, 2, t);
            const uint32_t slot = (uint32_t)(bits % 5) * 3 + (bits >> 8) % 2;
            const float    mix = bits >> 16 & 3 ? (float)(bits >> 20 & 255) / 256.0f : 0.0f;
            const bool     own = bits >> 32 & 1;
            const float    share = own ? 0.5f : 1.0f;
            aa_rng_normal(dx, W, 0.5, 1, AA_RNG_TEST, t);
            rows_read(ro, slot, mix, shared);
            if (own) rows_read_own(ro, SHARED, shared, x);
            for (size_t i = 0; i < W; i++) {
                double want = sums_reading(&su, slot, (double)mix, i);
                check_close((double)shared[i], want, 3e-6, 1e-5, t);
                if (own) check_close((double)x[i], want + su.own[0][i], 3e-6, 1e-5, t);
            }
            rows_learn(ro, slot, mix, share, dx);
            if (own) rows_learn(ro, SHARED, 0.0f, 1.0f, dx);
            for (uint32_t r = 0; r < 2; r++) {
                double c = (double)share * (r ? (double)mix : 1.0 - (double)mix);
                sums_gradient(g_base[(slot + r) % 3], su.base[(slot + r) % 3], dx, c);
                sums_gradient(g_added[slot + r], su.added[slot + r], dx, c);
            }
            if (own) sums_gradient(g_own, su.own, dx, 1.0);
        }
        rows_update(ro);
        for (uint32_t b = 0; b < 3; b++)
            sums_learn_row(su.base[b], g_base[b], 0.2);
        for (uint32_t s = 0; s < SHARED; s++)
            sums_learn_row(su.added[s], g_added[s], 0.1);
        sums_learn_row(su.own, g_own, 0.2);
    }
    rows_free(&ro);
}

static void
residual_and_summed_rows_learn_as_in_double_event_by_event(void **state)
{
    (void)state;
    check_against_sums(1);
}

static void
residual_and_summed_rows_learn_as_in_double_in_steps(void **state)
{
    (void)state;
    check_against_sums(20);
}

static void
a_residual_row_begins_at_zero_whatever_the_op(void **state)
{
    (void)state;
    rows *ro = residual_table(1);
    float x[W], zeros[W] = {0}, dx[W] = {1.0f};
    do_op(ro, promote(20, 2, 0.0f), 5);
    do_op(ro, plain_op(AA_OP_INIT, 21), 5);
    for (uint32_t slot = 20; slot < 22; slot++) {
        rows_read(ro, slot, 0.0f, x);
        assert_memory_equal(x, zeros, sizeof x);
    }
    learn(ro, 20, 0.0f, dx);
    do_op(ro, plain_op(AA_OP_FREE, 20), 6);
    do_op(ro, promote(20, 2, 0.0f), 7); /* nothing of the former owner's is left */
    rows_read(ro, 20, 0.0f, x);
    assert_memory_equal(x, zeros, sizeof x);
    rows_free(&ro);
}

/* What is served of a shared row is its sum, and it changes with its base row. */
static void
a_base_row_that_learned_changes_its_bin_at_every_position(void **state)
{
    (void)state;
    rows          *ro = residual_table(1);
    learner_change ch[64];
    float          x[W], dx[W] = {1.0f};
    assert_int_equal(rows_changes(ro, ch, 64), SHARED);
    learn(ro, 7, 0.0f, dx); /* bin 1 at position 3 */
    const size_t n = rows_changes(ro, ch, 64);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ch[i].slot % 3, 1);
        rows_read(ro, ch[i].slot, 0.0f, x);
        assert_memory_equal(ch[i].w, x, sizeof x);
    }
    assert_int_equal(rows_changes(ro, ch, 64), 0);
    rows_free(&ro);
}

/* Digest of what is served as learner_served_digest defines it, from the changes alone. */
static void
the_served_digest_is_that_of_the_sums(void **state)
{
    (void)state;
    rows          *ro = residual_table(1);
    learner_change ch[64];
    float          dx[W] = {1.0f, 2.0f}, copy[64][W];
    uint64_t       d = 0;
    do_op(ro, promote(SHARED, 2, 0.0f), 5);
    learn(ro, 7, 0.25f, dx);
    learn(ro, SHARED, 0.0f, dx);
    const size_t n = rows_changes(ro, ch, 64);
    assert_int_equal(n, SHARED + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(copy[ch[i].slot], ch[i].w, sizeof copy[0]);
    for (uint32_t s = 0; s <= SHARED; s++) {
        d = aa_digest(d, (const uint32_t[2]){1, s}, 8);
        d = aa_digest(d, copy[s], sizeof copy[s]);
    }
    assert_true(d == rows_served_digest(ro, 0));
    rows_free(&ro);
}

static void
only_modes_with_lean_bins_have_sums(void **state)
{
    (void)state;
    static const struct {
        enum aa_agent_mode mode;
        bool               sums;
    } cases[] = {{AA_MODE_DEFAULT, true},     {AA_MODE_RULE, true},       {AA_MODE_RANDOM, true},
                 {AA_MODE_SHARED_ONLY, true}, {AA_MODE_THRESHOLD, false}, {AA_MODE_PAPER, false},
                 {AA_MODE_UNIQUE, false},     {AA_MODE_HASH, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        rows      *ro = NULL;
        rows_stats rs;
        aa_conf_defaults(&cfg);
        cfg.model.row_format = AA_ROW_FLOAT; /* plain rows; the other forms have tests below */
        cfg.model.row_optimizer = AA_ROW_ADAGRAD;
        cfg.model.row_forget = 0.0;
        cfg.agent.mode = cases[c].mode;
        assert_int_equal(rows_composed(&cfg), cases[c].sums);
        assert_int_equal(rows_new(&ro, 0, &cfg, NULL), AA_OK);
        rows_stats_get(ro, &rs);
        assert_int_equal(rs.base_bytes, cases[c].sums ? 3 * rs.row_bytes : 0);
        rows_free(&ro);
    }
    cfg.agent.lean_bins = 1;
    cfg.agent.mode = AA_MODE_DEFAULT;
    assert_false(rows_composed(&cfg));
}

static void
write_checkpoint(const rows *ro, uint64_t epoch)
{
    aa_ckpt_writer *w = NULL;
    aa_err          err = AA_ERR_INIT;
    if (aa_ckpt_create(&w, &cfg, "learner", epoch, &err) || rows_save(ro, w, &err) ||
        aa_ckpt_commit(&w, 0, &err))
        fail_msg("%s", err.text);
}

static void
a_table_comes_back_from_a_checkpoint(void **state)
{
    (void)state;
    rows           *a = residual_table(1), *b = NULL;
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    const float     dx[W] = {1.0f, -2.0f};
    ckpt_folder_make(&cfg);
    learn(a, 4, 0.25f, dx);
    do_op(a, promote(16, 2, 0.5f), 3);
    do_op(a, promote(70000, 2, 0.5f), 4);
    do_op(a, plain_op(AA_OP_FREE, 16), 5);
    write_checkpoint(a, 1);
    assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_OK);
    assert_int_equal(rows_new(&b, 1, &cfg, &err), AA_OK);
    assert_int_equal(rows_restore(b, r, &err), AA_OK);
    assert_true(rows_digest(a, 0) == rows_digest(b, 0));
    assert_true(rows_served_digest(a, 0) == rows_served_digest(b, 0));
    learner_change ch[64];
    assert_int_equal(rows_changes(b, ch, 64), SHARED + 1);
    refuse(b, promote(70000, 2, 0.0f));
    do_op(b, promote(16, 2, 0.0f), 6);
    rows_free(&b);
    cfg.model.dim = K + 1; /* another shape */
    assert_int_equal(rows_new(&b, 1, &cfg, &err), AA_OK);
    assert_int_equal(rows_restore(b, r, &err), AA_EPARSE);
    rows_free(&b);
    cfg.model.dim = K; /* as many shared rows, but no sums */
    cfg.agent.positions = SHARED;
    cfg.agent.mode = AA_MODE_PAPER;
    assert_int_equal(rows_new(&b, 1, &cfg, &err), AA_OK);
    assert_int_equal(rows_restore(b, r, &err), AA_EPARSE);
    rows_free(&b);
    rows_free(&a);
    aa_ckpt_close(&r);
    ckpt_folder_remove(&cfg);
}

/* ---- forms in which own rows are stored ---- */

static const struct {
    enum aa_row_format    format;
    enum aa_row_optimizer optimizer;
} forms[] = {{AA_ROW_BF16, AA_ROW_ADAGRAD},
             {AA_ROW_FLOAT, AA_ROW_ROWWISE},
             {AA_ROW_BF16, AA_ROW_ROWWISE},
             {AA_ROW_FLOAT, AA_ROW_ADAGRAD}};

#define FORMS (sizeof forms / sizeof *forms - 1) /* the last one is the plain form */

static rows *
formed_table(size_t form, enum aa_agent_mode mode, int64_t step)
{
    rows  *ro = table_of(mode, mode == AA_MODE_PAPER ? SHARED : 5, step), *formed = NULL;
    aa_err err = AA_ERR_INIT;
    rows_free(&ro); /* for the configuration */
    cfg.model.row_format = forms[form].format;
    cfg.model.row_optimizer = forms[form].optimizer;
    cfg.model.row_forget = 0.01;
    assert_int_equal(rows_new(&formed, 1, &cfg, &err), AA_OK);
    return formed;
}

/* One own row, compared at each step with the definition from what was stored before it. */
static void
check_own_row(size_t form, int64_t step)
{
    rows         *ro = formed_table(form, AA_MODE_DEFAULT, step);
    const rowform rf = rowform_of(&cfg);
    const adagrad ad = {0.2f, 0.3f, 5.0f, 0.01f};
    const float   zeros[W] = {0};
    float         x[W], dx[W], was[W];
    double        acc[W], g[W], w[W];
    do_op(ro, promote(SHARED + 3, 4, 0.5f), 3);
    for (size_t a = 0; a < rf.acc_count; a++)
        acc[a] = a + 1 < rf.acc_count ? 0.3 : 5.0;
    for (uint64_t t = 0; t < 300; t++) {
        rows_begin(ro, 4 + t);
        rows_read_own(ro, SHARED + 3, zeros, x);
        memcpy(was, x, sizeof was);
        memset(g, 0, sizeof g);
        assert_int_equal(rows_reserve(ro, (size_t)step, NULL), AA_OK);
        for (int64_t e = 0; e < step; e++) {
            aa_rng_normal(dx, W, 0.5, 1, AA_RNG_TEST, t * 64 + (uint64_t)e);
            rows_learn(ro, SHARED + 3, 0.0f, 1.0f, dx);
            for (size_t i = 0; i < W; i++)
                g[i] += (double)dx[i] + 0.003 * (double)was[i];
        }
        rows_update(ro);
        for (size_t i = 0; i < W; i++)
            w[i] = (double)was[i];
        rowform_learn_ref(&rf, w, acc, g, &ad);
        rows_read(ro, SHARED + 3, 0.0f, x);
        for (size_t i = 0; i < W; i++) /* less than a unit in the last place of 8 bits away */
            check_close((double)x[i], w[i], 1e-6, rf.format == AA_ROW_BF16 ? 1.0 / 128.0 : 1e-5, i);
    }
    rows_free(&ro);
}

static void
own_rows_of_every_form_learn_as_the_definition(void **state)
{
    (void)state;
    for (size_t form = 0; form <= FORMS; form++) {
        check_own_row(form, 1);
        check_own_row(form, 20);
    }
}

/* Batch `seq`: an op now and then, and readings of shared and own rows that learn. */
static void
one_batch(rows *ro, uint64_t seq)
{
    float dx[W];
    rows_begin(ro, seq);
    if (seq <= 40) do_op(ro, promote(SHARED + (uint32_t)seq, (uint32_t)seq % 3, 0.5f), seq);
    if (seq > 10 && seq <= 40) do_op(ro, plain_op(AA_OP_FREE, SHARED + (uint32_t)seq - 10), seq);
    for (uint64_t e = 0; e < 20; e++) {
        aa_rng_normal(dx, W, 0.5, 1, AA_RNG_TEST, seq * 64 + e);
        learn(ro, (uint32_t)(e % 13), 0.25f, dx);
        learn(ro, SHARED + (uint32_t)(seq < 40 ? seq : 40), 0.0f, dx);
    }
}

static void
a_table_of_every_form_goes_on_from_a_checkpoint_bit_by_bit(void **state)
{
    (void)state;
    static const enum aa_agent_mode modes[] = {AA_MODE_DEFAULT, AA_MODE_PAPER};
    for (size_t form = 0; form < FORMS; form++)
        for (size_t m = 0; m < 2; m++) {
            rows           *a = formed_table(form, modes[m], 1), *b = NULL;
            aa_ckpt_reader *r = NULL;
            aa_err          err = AA_ERR_INIT;
            ckpt_folder_make(&cfg);
            for (uint64_t seq = 1; seq <= 30; seq++)
                one_batch(a, seq);
            write_checkpoint(a, 1);
            assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_OK);
            assert_int_equal(rows_new(&b, 1, &cfg, &err), AA_OK);
            assert_int_equal(rows_restore(b, r, &err), AA_OK);
            assert_true(rows_digest(a, 0) == rows_digest(b, 0));
            for (uint64_t seq = 31; seq <= 60; seq++) {
                one_batch(a, seq);
                one_batch(b, seq);
            }
            assert_true(rows_digest(a, 0) == rows_digest(b, 0));
            assert_true(rows_served_digest(a, 0) == rows_served_digest(b, 0));
            rows_free(&b);
            rows_free(&a);
            aa_ckpt_close(&r);
            ckpt_folder_remove(&cfg);
        }
}

static void
a_checkpoint_of_another_form_is_refused_by_name(void **state)
{
    (void)state;
    rows           *a = formed_table(2, AA_MODE_DEFAULT, 1), *b = NULL;
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    ckpt_folder_make(&cfg);
    write_checkpoint(a, 1);
    assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_OK);
    cfg.model.row_optimizer = AA_ROW_ADAGRAD;
    assert_int_equal(rows_new(&b, 1, &cfg, &err), AA_OK);
    assert_int_equal(rows_restore(b, r, &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "bf16 with rowwise, not bf16 with adagrad"));
    rows_free(&b);
    cfg.model.row_format = AA_ROW_FLOAT; /* plain: has no name in its section */
    assert_int_equal(rows_new(&b, 1, &cfg, &err), AA_OK);
    assert_int_equal(rows_restore(b, r, &err), AA_EPARSE);
    rows_free(&b);
    aa_ckpt_close(&r);
    assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_ECONFIG); /* the digest */
    rows_free(&a);
    ckpt_folder_remove(&cfg);
}

static uint64_t
digest_after(uint64_t seed, uint64_t batch, uint32_t slot, uint32_t before)
{
    rows       *ro = formed_table(2, AA_MODE_DEFAULT, 1), *other = NULL;
    const float dx[W] = {0.3f, -0.2f, 0.1f, 0.7f, 0.9f, -0.4f};
    float       x[W];
    rows_free(&ro);
    cfg.pipeline.seed = (int64_t)seed;
    assert_int_equal(rows_new(&other, 1, &cfg, NULL), AA_OK);
    do_op(other, plain_op(AA_OP_INIT, slot), 1);
    rows_begin(other, 1);
    for (uint32_t i = 0; i < before; i++)
        learn(other, 4, 0.0f, dx); /* shared rows are not rounded */
    rows_begin(other, batch);
    learn(other, slot, 0.0f, dx);
    rows_read(other, slot, 0.0f, x);
    rows_free(&other);
    return aa_digest(0, x, sizeof x);
}

static void
rounding_depends_on_seed_batch_and_slot_and_on_nothing_else(void **state)
{
    (void)state;
    const uint64_t want = digest_after(1, 5, 20, 0);
    assert_true(digest_after(1, 5, 20, 0) == want);
    assert_true(digest_after(1, 5, 20, 7) == want);
    assert_true(digest_after(2, 5, 20, 0) != want);
    assert_true(digest_after(1, 6, 20, 0) != want);
    assert_true(digest_after(1, 5, 21, 0) != want);
}

/* All at once: each change points at weights of its own. */
static void
changes_of_every_form_hold_what_is_read(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        rows          *ro = formed_table(form, AA_MODE_DEFAULT, 1);
        learner_change ch[64];
        float          x[W];
        for (uint64_t seq = 1; seq <= 40; seq++)
            one_batch(ro, seq);
        assert_int_equal(rows_reserve_changes(ro, 64, NULL), AA_OK);
        const size_t n = rows_changes(ro, ch, 64);
        assert_in_range(n, SHARED + 10, 63);
        for (size_t i = 0; i < n; i++) {
            if (ch[i].deleted) continue;
            rows_read(ro, ch[i].slot, 0.0f, x);
            assert_memory_equal(ch[i].w, x, sizeof x);
        }
        rows_free(&ro);
    }
}

static void
rows_from_outside_are_read_as_they_were_given_if_they_fit(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        rows       *ro = formed_table(form, AA_MODE_DEFAULT, 1);
        const float beside[W] = {0.5f, 0.25f, -0.5f, 1.0f, 0.0f, 2.0f};
        const float own[W] = {1.0f, -0.75f, 0.125f, 0.0f, 3.0f, -2.0f};
        float       x[W], got[W];
        do_op(ro, promote(SHARED, 2, 0.0f), 1);
        for (size_t i = 0; i < W; i++)
            x[i] = beside[i] + own[i];
        rows_import_own(ro, SHARED, x, beside);
        rows_read_own(ro, SHARED, beside, got);
        assert_memory_equal(got, x, sizeof x);
        rows_free(&ro);
    }
}

static void
the_figures_count_shared_rows_as_they_are(void **state)
{
    (void)state;
    rows      *ro = formed_table(2, AA_MODE_DEFAULT, 1);
    rows_stats rs;
    rows_stats_get(ro, &rs);
    assert_int_equal(rs.row_bytes, 2 * W + 8);
    assert_int_equal(rs.live * rs.row_bytes + rs.base_bytes, (SHARED + 3) * 2 * W * sizeof(float));
    rows_free(&ro);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_rows_exist_from_the_start_and_differ),
        cmocka_unit_test(modes_without_shared_rows_start_empty),
        cmocka_unit_test(reading_interpolates_between_neighbours),
        cmocka_unit_test(readings_of_bad_mix_or_dead_rows_are_not_planned),
        cmocka_unit_test(learning_equals_adagrad_in_double),
        cmocka_unit_test(a_step_moves_each_row_once_by_the_sum_of_its_gradients),
        cmocka_unit_test(promotion_copies_the_reading_adds_noise_and_starts_a_fresh_optimizer),
        cmocka_unit_test(noise_depends_on_slot_batch_and_op),
        cmocka_unit_test(ops_that_do_not_fit_are_refused),
        cmocka_unit_test(a_plan_can_be_taken_back),
        cmocka_unit_test(changes_name_each_row_once_until_it_changes_again),
        cmocka_unit_test(a_change_is_told_of_though_others_keep_changing),
        cmocka_unit_test(many_rows_come_go_and_change_without_being_lost),
        cmocka_unit_test(residual_and_summed_rows_learn_as_in_double_event_by_event),
        cmocka_unit_test(residual_and_summed_rows_learn_as_in_double_in_steps),
        cmocka_unit_test(a_residual_row_begins_at_zero_whatever_the_op),
        cmocka_unit_test(a_base_row_that_learned_changes_its_bin_at_every_position),
        cmocka_unit_test(the_served_digest_is_that_of_the_sums),
        cmocka_unit_test(only_modes_with_lean_bins_have_sums),
        cmocka_unit_test(a_table_comes_back_from_a_checkpoint),
        cmocka_unit_test(own_rows_of_every_form_learn_as_the_definition),
        cmocka_unit_test(a_table_of_every_form_goes_on_from_a_checkpoint_bit_by_bit),
        cmocka_unit_test(a_checkpoint_of_another_form_is_refused_by_name),
        cmocka_unit_test(rounding_depends_on_seed_batch_and_slot_and_on_nothing_else),
        cmocka_unit_test(changes_of_every_form_hold_what_is_read),
        cmocka_unit_test(rows_from_outside_are_read_as_they_were_given_if_they_fit),
        cmocka_unit_test(the_figures_count_shared_rows_as_they_are),
    };
    return cmocka_run_group_tests_name("learner/rows/rows", tests, NULL, NULL);
}
