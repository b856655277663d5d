/* The learner with residual rows against the same in double: an FM whose shared rows are sums, own
 * rows beside them, the gain of each own row, and what the critic makes of the gains. */
#include "learner/learner.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent/agent_state.h"
#include "common/base/rng.h"
#include "tests/check.h"

enum { K = 4, W = K + 1, F = 2, P = 5, BINS = 3, SHARED = P * BINS, OWN = 6, EVENTS = 400 };

static aa_conf cfg;

typedef struct {
    double w[W], acc[W];
} ref_row;

typedef struct {
    ref_row base[F][BINS], added[F][SHARED], own[F][OWN];
    double  bias, m, v;
    double  worth[F][AA_FREQ_BUCKETS], count[F][AA_FREQ_BUCKETS];
    size_t  steps;
} ref;

static learner *
fresh(enum aa_agent_mode mode)
{
    learner *le = NULL;
    aa_err   err = AA_ERR_INIT;
    aa_conf_defaults(&cfg);
    cfg.model.row_format = AA_ROW_FLOAT; /* the oracle does not round */
    cfg.model.row_optimizer = AA_ROW_ADAGRAD;
    cfg.model.row_forget = 0.0;
    cfg.agent.mode = mode;
    cfg.model.kind = AA_MODEL_FM;
    cfg.agent.positions = P;
    cfg.model.dense_step = 1;
    cfg.model.dim = K;
    if (learner_new(&le, &cfg, &err)) fail_msg("%s", err.text);
    return le;
}

static void
load(ref *re, learner *le)
{
    learner_change ch[F * SHARED];
    size_t         count;
    assert_int_equal(learner_changes(le, true, ch, F * SHARED, &count, NULL), AA_OK);
    assert_int_equal(count, F * SHARED);
    memset(re, 0, sizeof *re);
    for (size_t c = 0; c < count; c++)
        for (size_t i = 0; i < W; i++) {
            ref_row *base = &re->base[ch[c].field][ch[c].slot % BINS];
            base->w[i] = (double)ch[c].w[i];
            base->acc[i] = 0.1;
            re->added[ch[c].field][ch[c].slot].acc[i] = 0.3;
            re->own[ch[c].field][ch[c].slot % OWN].acc[i] = i < K ? 0.3 : 5.0;
        }
    for (size_t f = 0; f < F; f++)
        for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
            re->worth[f][b] = aa_worth_prior(&cfg, b);
}

/* Event e of batch seq: about half of the readings have an own row. Its slots are made before event
 * 0 of the first batch. */
static void
make_batch(aa_assigned_batch *b, uint64_t seq)
{
    assert_int_equal(aa_assigned_batch_reserve(b, EVENTS, F, NULL), AA_OK);
    b->hd = (aa_header){.run_id = 1, .seq = seq};
    b->n = EVENTS;
    b->op_count = b->sweep_count = 0;
    for (uint32_t i = 0; seq == 1 && i < F * OWN; i++) {
        aa_op op = {.kind = AA_OP_PROMOTE, .field = (uint8_t)(i % F), .slot = SHARED + i / F};
        assert_int_equal(aa_assigned_batch_op(b, op, NULL), AA_OK);
    }
    for (uint64_t at = 0; at < EVENTS * F; at++) {
        const uint64_t bits = aa_rng_bits(seq, AA_RNG_TEST, 1, at);
        const uint32_t shared = (uint32_t)(bits % P) * BINS + (bits >> 8 & 1);
        const uint32_t bucket = (uint32_t)(bits >> 16) % 20;
        const float    mix = bits >> 24 & 3 ? (float)(bits >> 28 & 255) / 256.0f : 0.0f;
        const bool     own = bits >> 40 & 1;
        b->slot[at] = own ? SHARED + (uint32_t)(bits >> 44) % OWN : shared;
        b->mix[at] = own ? 0.0f : mix;
        b->alt_slot[at] = own ? shared : AA_NO_SLOT;
        b->alt_mix[at] = own ? mix : 0.0f;
        b->state[at] = AA_STATE_WORD(aa_state_idx(bucket, own ? P + 1 : 1, P), AA_UNCHANGED);
        b->next_state[at] = aa_state_idx(bucket + (bits >> 60 & 1), own ? P + 1 : 1, P);
        b->signal[at] = 0;
        b->baseline[at] = NAN;
        b->seen[at / F] = 3;
        b->label[at / F] = (b->slot[at] * 7 + seq) % 5 < 2 ? 1.0f : 0.0f;
    }
}

/* The shared reading of place `at`. */
static void
ref_shared(const ref *re, const aa_assigned_batch *b, size_t at, double x[W])
{
    const bool     own = b->alt_slot[at] != AA_NO_SLOT;
    const size_t   f = at % F;
    const uint32_t slot = own ? b->alt_slot[at] : b->slot[at];
    const double   mix = (double)(own ? b->alt_mix[at] : b->mix[at]);
    for (size_t i = 0; i < W; i++) {
        x[i] = (1.0 - mix) * (re->base[f][slot % BINS].w[i] + re->added[f][slot].w[i]);
        if (mix > 0.0)
            x[i] += mix * (re->base[f][slot % BINS + 1].w[i] + re->added[f][slot + 1].w[i]);
    }
}

static double
ref_logit(const ref *re, double x[F][W])
{
    double z = re->bias + x[0][K] + x[1][K];
    for (size_t k = 0; k < K; k++)
        z += x[0][k] * x[1][k];
    return z;
}

static double
logloss(double z, double y)
{
    return y > 0.5 ? log1p(exp(-z)) : log1p(exp(z));
}

static void
ref_learn_row(ref_row *row, const double g[W], double share, double rate)
{
    for (size_t i = 0; i < W; i++) {
        double q = share * (g[i] + 0.003 * row->w[i]);
        row->acc[i] += q * q;
        row->w[i] -= rate * q / sqrt(row->acc[i]);
    }
}

static void
ref_learn(ref *re, const aa_assigned_batch *b, size_t at, const double g[W])
{
    const bool     own = b->alt_slot[at] != AA_NO_SLOT;
    const size_t   f = at % F;
    const uint32_t slot = own ? b->alt_slot[at] : b->slot[at];
    const double   mix = (double)(own ? b->alt_mix[at] : b->mix[at]), held = own ? 0.5 : 1.0;
    if (own) ref_learn_row(&re->own[f][b->slot[at] - SHARED], g, 1.0, 0.2);
    for (uint32_t r = 0; r < 2; r++) {
        const double share = held * (r ? mix : 1.0 - mix);
        if (share == 0.0) continue;
        ref_learn_row(&re->base[f][slot % BINS + r], g, share, 0.2);
        ref_learn_row(&re->added[f][slot + r], g, share, 0.1);
    }
}

/* The gain of the own row at place `at`, and the critic's step. */
static double
ref_gain(ref *re, const aa_assigned_batch *b, size_t at, double x[F][W], double shared[F][W])
{
    const size_t   f = at % F;
    const double   y = (double)b->label[at / F];
    const uint32_t bucket = aa_state_bucket(AA_STATE_IDX(b->state[at]), P);
    const uint32_t next = b->next_state[at] / (P + 1);
    double         other[F][W];
    memcpy(other, x, sizeof other);
    memcpy(other[f], shared[f], sizeof other[f]);
    const double gain = logloss(ref_logit(re, other), y) - logloss(ref_logit(re, x), y);
    const double rate = fmax(1.0 / (re->count[f][bucket]++ + 200.0), 0.002);
    re->worth[f][bucket] += rate * (0.1 * gain + 0.9 * re->worth[f][next] - re->worth[f][bucket]);
    return gain;
}

/* One event, before and after: predictions and gains are checked on the way. */
static void
ref_event(ref *re, const aa_assigned_batch *b, size_t e, float prediction, const float *reward)
{
    double x[F][W], shared[F][W], g[F][W];
    for (size_t f = 0; f < F; f++) {
        const size_t at = e * F + f;
        ref_shared(re, b, at, shared[f]);
        memcpy(x[f], shared[f], sizeof x[f]);
        for (size_t i = 0; b->alt_slot[at] != AA_NO_SLOT && i < W; i++)
            x[f][i] += re->own[f][b->slot[at] - SHARED].w[i];
    }
    const double p = 1.0 / (1.0 + exp(-ref_logit(re, x))), dz = p - (double)b->label[e];
    check_close((double)prediction, p, 2e-5, 0.0, e);
    for (size_t f = 0; f < F; f++) {
        const bool   own = b->alt_slot[e * F + f] != AA_NO_SLOT;
        const double gain = own ? ref_gain(re, b, e * F + f, x, shared) - cfg.agent.row_cost : 0.0;
        check_close((double)reward[f], gain, 1e-4, 0.0, e);
        for (size_t i = 0; i < W; i++)
            g[f][i] = dz * (i < K ? x[1 - f][i] : 1.0);
    }
    const double t = (double)++re->steps;
    re->m = 0.9 * re->m + 0.1 * dz;
    re->v = 0.999 * re->v + 0.001 * dz * dz;
    re->bias -= cfg.model.dense_rate * re->m / (1.0 - pow(0.9, t)) /
                (sqrt(re->v / (1.0 - pow(0.999, t))) + 1e-8);
    for (size_t f = 0; f < F; f++)
        ref_learn(re, b, e * F + f, g[f]);
}

static void
predictions_gains_and_worth_are_those_of_plain_double(void **state)
{
    (void)state;
    learner          *le = fresh(AA_MODE_DEFAULT);
    ref              *re = calloc(1, sizeof *re);
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    float             prediction[EVENTS];
    aa_err            err = AA_ERR_INIT;
    assert_non_null(re);
    load(re, le);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        make_batch(&b, seq);
        if (learner_step(le, &b, &out, prediction, &err)) fail_msg("%s", err.text);
        for (size_t e = 0; e < EVENTS; e++)
            ref_event(re, &b, e, prediction[e], out.reward + e * F);
        for (size_t at = 0; at < EVENTS * F; at++) /* worth as of the end of the batch */
            check_close((double)out.advantage[at],
                        re->worth[at % F][aa_state_bucket(AA_STATE_IDX(b.state[at]), P)], 1e-6,
                        1e-4, at);
    }
    assert_true(re->count[0][3] > 10.0);
    learner_free(&le);
    free(re);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

/* The same batch in another residual mode: the same rows and rewards, another critic. */
static void
the_mode_decides_about_the_critic_only(void **state)
{
    (void)state;
    aa_assigned_batch b = {0};
    aa_reward_batch   out[2] = {{.n = 0}, {.n = 0}};
    aa_err            err = AA_ERR_INIT;
    uint64_t          served[2];
    for (size_t m = 0; m < 2; m++) {
        learner *le = fresh(m ? AA_MODE_RANDOM : AA_MODE_DEFAULT);
        make_batch(&b, 1);
        if (learner_step(le, &b, &out[m], NULL, &err)) fail_msg("%s", err.text);
        served[m] = learner_served_digest(le);
        learner_free(&le);
    }
    assert_true(served[0] == served[1]);
    assert_memory_equal(out[0].reward, out[1].reward, EVENTS * F * sizeof(float));
    assert_memory_not_equal(out[0].advantage, out[1].advantage, EVENTS * F * sizeof(float));
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out[0]);
    aa_reward_batch_fini(&out[1]);
}

static void
a_price_of_rows_is_in_the_reward_and_not_in_their_worth(void **state)
{
    (void)state;
    aa_assigned_batch b = {0};
    aa_reward_batch   out[2] = {{.n = 0}, {.n = 0}};
    aa_err            err = AA_ERR_INIT;
    for (size_t m = 0; m < 2; m++) {
        learner *le = fresh(AA_MODE_DEFAULT);
        learner_free(&le);
        cfg.agent.row_cost = m ? 0.125 : 0.0;
        assert_int_equal(learner_new(&le, &cfg, &err), AA_OK);
        make_batch(&b, 1);
        if (learner_step(le, &b, &out[m], NULL, &err)) fail_msg("%s", err.text);
        learner_free(&le);
    }
    for (size_t at = 0; at < EVENTS * F; at++)
        check_close((double)(out[0].reward[at] - out[1].reward[at]),
                    b.alt_slot[at] != AA_NO_SLOT ? 0.125 : 0.0, 1e-6, 0.0, at);
    assert_memory_equal(out[0].advantage, out[1].advantage, EVENTS * F * sizeof(float));
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out[0]);
    aa_reward_batch_fini(&out[1]);
}

static void
own_rows_and_shared_readings_come_together_or_not_at_all(void **state)
{
    (void)state;
    learner          *le = fresh(AA_MODE_RULE);
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    aa_err            err = AA_ERR_INIT;
    const uint64_t    before = learner_digest(le);
    size_t            own = 0, shared = 0;
    make_batch(&b, 1);
    while (b.alt_slot[own] == AA_NO_SLOT)
        own++;
    while (b.alt_slot[shared] != AA_NO_SLOT)
        shared++;
    b.alt_slot[own] = AA_NO_SLOT;
    assert_int_equal(learner_step(le, &b, &out, NULL, &err), AA_EPARSE);
    make_batch(&b, 1);
    b.alt_slot[shared] = 0;
    assert_int_equal(learner_step(le, &b, &out, NULL, &err), AA_EPARSE);
    make_batch(&b, 1);
    b.slot[own] = AA_NO_SLOT; /* zeros beside a shared reading */
    assert_int_equal(learner_step(le, &b, &out, NULL, &err), AA_EPARSE);
    assert_true(learner_digest(le) == before);
    make_batch(&b, 1);
    assert_int_equal(learner_step(le, &b, &out, NULL, &err), AA_OK);
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictions_gains_and_worth_are_those_of_plain_double),
        cmocka_unit_test(the_mode_decides_about_the_critic_only),
        cmocka_unit_test(a_price_of_rows_is_in_the_reward_and_not_in_their_worth),
        cmocka_unit_test(own_rows_and_shared_readings_come_together_or_not_at_all),
    };
    return cmocka_run_group_tests_name("learner with residual rows", tests, NULL, NULL);
}
