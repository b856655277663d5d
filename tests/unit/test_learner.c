#include "learner/learner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/model/row.h"
#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"
#include "tests/fakes/stream.h"

static aa_conf cfg;

static void
use_defaults(enum aa_model_id kind, int64_t step)
{
    aa_conf_defaults(&cfg);
    cfg.agent.positions = 5;
    cfg.model.dense_rate = 0.001; /* streams are short */
    cfg.model.kind = kind;
    cfg.model.step = step;
}

/* Shared rows that stand for themselves, own rows that are copies; as many rows as otherwise. */
static void
use_plain_rows(void)
{
    cfg.agent.mode = AA_MODE_PAPER;
    cfg.agent.positions = 15;
}

static learner *
fresh(void)
{
    learner *le = NULL;
    aa_err   err = AA_ERR_INIT;
    if (learner_new(&le, &cfg, &err)) fail_msg("%s", err.text);
    return le;
}

static void
take(learner *le, const aa_assigned_batch *b, aa_reward_batch *out, float *prediction)
{
    aa_err err = AA_ERR_INIT;
    if (learner_step(le, b, out, prediction, &err)) fail_msg("%s", err.text);
}

/* Batches from .. to-1 of the stream of `seed`, 200 events each. */
static void
feed(learner *le, uint64_t seed, size_t from, size_t to)
{
    stream            sr;
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    stream_init(&sr, &cfg, seed);
    for (size_t i = 0; i < to; i++) {
        stream_next(&sr, &b, 200);
        if (i >= from) take(le, &b, &out, NULL);
    }
    stream_fini(&sr);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

/* n events that all read shared slot `slot`, or what the caller puts there. */
static void
plain_batch(aa_assigned_batch *b, uint64_t seq, size_t n, uint32_t slot)
{
    aa_err err = AA_ERR_INIT;
    assert_int_equal(aa_assigned_batch_reserve(b, n, cfg.field_count, &err), AA_OK);
    b->hd = (aa_header){.run_id = 1, .seq = seq};
    b->n = n;
    b->op_count = b->sweep_count = 0;
    for (size_t i = 0; i < n; i++) {
        b->label[i] = (float)(i % 2);
        b->seen[i] = 3;
        for (size_t f = 0; f < b->F; f++) {
            const size_t at = i * b->F + f;
            b->slot[at] = slot;
            b->alt_slot[at] = AA_NO_SLOT;
            b->state[at] = b->next_state[at] = AA_NO_STATE;
            b->mix[at] = b->alt_mix[at] = 0.0f;
            b->signal[at] = 0;
            b->baseline[at] = NAN;
        }
    }
}

static void
add_op(aa_assigned_batch *b, uint32_t event_idx, aa_op_kind kind, uint32_t slot)
{
    aa_op op = {.event_idx = event_idx, .kind = (uint8_t)kind, .slot = slot, .source = 2};
    assert_int_equal(aa_assigned_batch_op(b, op, NULL), AA_OK);
}

/* ---- it learns, and the same way each time ---- */

static void
every_model_learns_and_repeats_bit_by_bit(void **state)
{
    (void)state;
    static const int64_t steps[] = {1, 7, 64};
    for (unsigned kind = 0; kind < aa_model_id_count; kind++)
        for (size_t s = 0; s < 3; s++) {
            use_defaults(kind, steps[s]);
            learner *a = fresh(), *b = fresh();
            feed(a, 5, 0, 100);
            feed(b, 5, 0, 100);
            quality_summary ms;
            learner_quality(a, &ms);
            assert_int_equal(ms.slice[QUALITY_ALL].events, 20000);
            /* chance is 0.5 with a standard deviation of 0.004 (recent: 0.01) */
            if (!(ms.slice[QUALITY_ALL].auc > 0.55 && ms.recent.auc > 0.57))
                fail_msg("%s, step %zu: auc %g, recent %g", aa_model_id_text(kind),
                         (size_t)steps[s], ms.slice[QUALITY_ALL].auc, ms.recent.auc);
            assert_true(learner_digest(a) == learner_digest(b));
            assert_true(learner_served_digest(a) == learner_served_digest(b));
            learner_free(&a);
            learner_free(&b);
        }
}

static void
digest_tells_streams_and_seeds_apart(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 1);
    learner *a = fresh(), *b = fresh();
    feed(a, 5, 0, 3);
    feed(b, 6, 0, 3);
    assert_false(learner_digest(a) == learner_digest(b));
    cfg.pipeline.seed = 2;
    learner *c = fresh();
    feed(c, 5, 0, 3);
    assert_false(learner_digest(a) == learner_digest(c));
    learner_free(&a);
    learner_free(&b);
    learner_free(&c);
}

/* FM and its optimizers written out in double: rows, bias, both losses. The second way. */
typedef struct {
    double row[2][15][2][5];     /* field, slot, weights and accumulators, K+1 */
    double bias, m, v, gathered; /* gradient of the bias since its last step */
    size_t events, seen;         /* gathered, all */
} fm_ref;

static void
fm_ref_bias(fm_ref *fm, double dz, bool last)
{
    fm->gathered += dz;
    if (++fm->events < (size_t)cfg.model.dense_step && !last) return;
    const double n = (double)fm->events, g = fm->gathered / n;
    const double t = (double)(fm->seen += fm->events), b1 = pow(0.9, n), b2 = pow(0.999, n);
    fm->m = b1 * fm->m + (1.0 - b1) * g;
    fm->v = b2 * fm->v + (1.0 - b2) * g * g;
    fm->bias -= cfg.model.dense_rate * sqrt(n) * fm->m / (1.0 - pow(0.9, t)) /
                (sqrt(fm->v / (1.0 - pow(0.999, t))) + 1e-8);
    fm->gathered = 0.0;
    fm->events = 0;
}

static double
fm_ref_event(fm_ref *fm, const aa_assigned_batch *b, size_t e, bool mse)
{
    enum { K = 4 };
    double x[2][5], p, dz, y = (double)b->label[e], z = fm->bias;
    for (size_t f = 0; f < 2; f++) {
        double mix = (double)b->mix[e * 2 + f];
        for (size_t i = 0; i <= K; i++)
            x[f][i] = (1.0 - mix) * fm->row[f][b->slot[e * 2 + f]][0][i] +
                      (mix > 0.0 ? mix * fm->row[f][b->slot[e * 2 + f] + 1][0][i] : 0.0);
        z += x[f][K];
    }
    for (size_t k = 0; k < K; k++)
        z += x[0][k] * x[1][k];
    p = 1.0 / (1.0 + exp(-z));
    dz = mse ? 2.0 * (p - y) * p * (1.0 - p) : p - y;
    fm_ref_bias(fm, dz, e + 1 == b->n);
    for (size_t f = 0; f < 2; f++)
        for (size_t r = 0; r < 2; r++) {
            double mix = (double)b->mix[e * 2 + f], share = r ? mix : 1.0 - mix;
            if (share == 0.0) continue;
            double(*row)[5] = fm->row[f][b->slot[e * 2 + f] + r];
            for (size_t i = 0; i <= K; i++) {
                double g = dz * (i < K ? x[1 - f][i] : 1.0) + cfg.model.row_l2 * row[0][i];
                g *= share;
                row[1][i] += g * g;
                row[0][i] -= cfg.model.row_rate * g / sqrt(row[1][i]);
            }
        }
    return p;
}

static void
load_rows(fm_ref *fm, learner *le)
{
    learner_change ch[30];
    size_t         count;
    aa_err         err = AA_ERR_INIT;
    assert_int_equal(learner_changes(le, true, ch, 30, &count, &err), AA_OK);
    assert_int_equal(count, 30);
    for (size_t c = 0; c < count; c++)
        for (size_t i = 0; i < 5; i++) {
            fm->row[ch[c].field][ch[c].slot][0][i] = (double)ch[c].w[i];
            fm->row[ch[c].field][ch[c].slot][1][i] = cfg.model.row_accumulator;
        }
}

static void
event_by_event_fm_equals_plain_double(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        const bool mse = way % 2;
        use_defaults(AA_MODEL_FM, 1);
        cfg.model.dense_step = way < 2 ? 1 : 7; /* 500 is no multiple of it */
        use_plain_rows();
        cfg.model.dim = 4;
        cfg.model.signals = false;
        cfg.model.loss = mse ? AA_LOSS_MSE : AA_LOSS_LOGLOSS;
        learner          *le = fresh();
        fm_ref            fm = {0};
        aa_assigned_batch b = {0};
        aa_reward_batch   out = {0};
        float             prediction[500];
        load_rows(&fm, le);
        plain_batch(&b, 1, 500, 0);
        for (size_t at = 0; at < 1000; at++) {
            b.slot[at] = (uint32_t)(aa_rng_bits(1, AA_RNG_TEST, 1, at) % 14);
            b.mix[at] = at % 3 ? (float)aa_rng_uniform(1, AA_RNG_TEST, 2, at) : 0.0f;
            b.label[at / 2] = (b.slot[at] * 7) % 5 < 2 ? 1.0f : 0.0f;
        }
        take(le, &b, &out, prediction);
        for (size_t e = 0; e < 500; e++) {
            double p = fm_ref_event(&fm, &b, e, mse);
            double y = (double)b.label[e];
            double loss = mse ? (p - y) * (p - y) : -y * log(p) - (1.0 - y) * log(1.0 - p);
            check_close((double)prediction[e], p, 2e-5, 0.0, e);
            check_close((double)out.loss[e], loss, 1e-4, 1e-4, e);
        }
        learner_free(&le);
        aa_assigned_batch_fini(&b);
        aa_reward_batch_fini(&out);
    }
}

static uint64_t
digest_after(int64_t step, int64_t dense_step)
{
    use_defaults(AA_MODEL_DEEPFM, step);
    cfg.model.dense_step = dense_step;
    learner *le = fresh();
    feed(le, 5, 0, 3);
    const uint64_t d = learner_digest(le);
    learner_free(&le);
    return d;
}

/* So that checkpoints and scorers, which come between batches, miss nothing. */
static void
dense_gradients_do_not_outlast_a_batch(void **state)
{
    (void)state;
    assert_true(digest_after(1, 65536) == digest_after(1, 200)); /* batches are of 200 */
    assert_true(digest_after(1, 150) != digest_after(1, 200));
    assert_true(digest_after(1, 8) != digest_after(1, 1));
    assert_true(digest_after(8, 8) == digest_after(8, 1)); /* no less than a step */
}

/* ---- ops and rows ---- */

static void
copy_row(learner *le, uint32_t slot, float *w)
{
    learner_change *ch = malloc(4096 * sizeof *ch);
    size_t          count;
    aa_err          err = AA_ERR_INIT;
    assert_non_null(ch);
    assert_int_equal(learner_changes(le, true, ch, 4096, &count, &err), AA_OK);
    for (size_t c = 0; c < count; c++)
        if (ch[c].field == 0 && ch[c].slot == slot && !ch[c].deleted) {
            memcpy(w, ch[c].w, 17 * sizeof *w);
            free(ch);
            return;
        }
    fail_msg("no row %u", slot);
}

static void
gradient_of_a_row_given_away_in_the_same_step_is_dropped(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 8);
    use_plain_rows();
    cfg.model.row_init = 0.0; /* promoted rows are copies */
    learner          *le = fresh();
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    float             source[17], row[17];
    plain_batch(&b, 1, 8, 0); /* some numbers into shared row 0; row 2 stays 0 */
    take(le, &b, &out, NULL);
    plain_batch(&b, 2, 8, 0);
    add_op(&b, 0, AA_OP_PROMOTE, 15);
    b.slot[0] = b.slot[2] = 15; /* the first owner's events */
    add_op(&b, 3, AA_OP_FREE, 15);
    add_op(&b, 3, AA_OP_PROMOTE, 15); /* the next owner reads nothing yet */
    take(le, &b, &out, NULL);
    copy_row(le, 2, source);
    copy_row(le, 15, row);
    assert_memory_equal(row, source, sizeof row);
    plain_batch(&b, 3, 8, 0); /* without the change of owners the row does learn */
    b.slot[0] = 15;
    take(le, &b, &out, NULL);
    copy_row(le, 15, row);
    assert_memory_not_equal(row, source, sizeof row);
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

static void
ops_after_the_last_event_are_applied(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 64);
    learner          *le = fresh();
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    learner_stats     ls;
    plain_batch(&b, 1, 5, 0);
    add_op(&b, 5, AA_OP_PROMOTE, 15);
    take(le, &b, &out, NULL);
    learner_stats_get(le, &ls);
    assert_int_equal(ls.rows_live, 31);
    plain_batch(&b, 2, 0, 0); /* a batch may be ops only */
    add_op(&b, 0, AA_OP_FREE, 15);
    take(le, &b, &out, NULL);
    learner_stats_get(le, &ls);
    assert_int_equal(ls.rows_live, 30);
    const size_t base = 6; /* rows that shared rows are made of */
    assert_int_equal(ls.row_bytes, (30 + base) * 17 * 2 * sizeof(float));
    assert_int_equal(ls.row_bytes_peak, ls.row_bytes + aa_row_bytes(&cfg));
    assert_int_equal(ls.events, 5);
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

static void
an_id_without_any_row_reads_zeros_and_teaches_none(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_FM, 1);
    cfg.agent.mode = AA_MODE_HASH; /* no shared rows */
    learner          *le = fresh();
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    float             prediction[1];
    plain_batch(&b, 1, 1, AA_NO_SLOT);
    take(le, &b, &out, prediction);
    check_close((double)prediction[0], 0.5, 0.0, 0.0, 0); /* bias 0 and zeros */
    learner_stats ls;
    learner_stats_get(le, &ls);
    assert_int_equal(ls.rows_live, 0);
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

/* A broker that is always behind: each call takes less than changed since the last one. */
static void
under_lasting_pressure_rows_of_each_field_are_published(void **state)
{
    (void)state;
    enum { CALLS = 20, TAKEN = 4 };
    size_t sent[2] = {0, 0};
    use_defaults(AA_MODEL_DEEPFM, 1);
    learner *le = fresh();
    for (size_t call = 0; call < CALLS; call++) {
        learner_change ch[TAKEN];
        size_t         count;
        aa_err         err = AA_ERR_INIT;
        feed(le, 3, call, call + 1);
        assert_int_equal(learner_changes(le, false, ch, TAKEN, &count, &err), AA_OK);
        assert_int_equal(count, TAKEN);
        for (size_t c = 0; c < count; c++)
            sent[ch[c].field]++;
    }
    assert_int_equal(sent[0], CALLS * TAKEN / 2);
    assert_int_equal(sent[1], CALLS * TAKEN / 2);
    learner_free(&le);
}

/* Whoever collects changes holds the learner's rows: the digest of scorers, made from them. */
static void
changes_rebuild_what_is_served(void **state)
{
    (void)state;
    enum { SLOTS = 4000, W = 17 };
    use_defaults(AA_MODEL_DEEPFM, 1);
    learner *le = fresh();
    float(*copy)[SLOTS][W] = calloc(2, sizeof *copy);
    bool(*live)[SLOTS] = calloc(2, sizeof *live);
    assert_true(copy && live);
    for (size_t i = 0; i < 20; i++) {
        learner_change ch[100];
        size_t         count;
        aa_err         err = AA_ERR_INIT;
        feed(le, 3, i, i + 1);
        do {
            assert_int_equal(learner_changes(le, false, ch, 100, &count, &err), AA_OK);
            for (size_t c = 0; c < count; c++) {
                assert_true(ch[c].slot < SLOTS);
                live[ch[c].field][ch[c].slot] = !ch[c].deleted;
                memcpy(copy[ch[c].field][ch[c].slot], ch[c].w, W * sizeof(float));
            }
        } while (count == 100);
    }
    uint64_t d = 0;
    for (uint32_t f = 0; f < 2; f++)
        for (uint32_t s = 0; s < SLOTS; s++)
            if (live[f][s]) {
                d = aa_digest(d, (const uint32_t[2]){f, s}, 8);
                d = aa_digest(d, copy[f][s], sizeof copy[f][s]);
            }
    size_t       P;
    const float *dense = learner_dense(le, &P);
    assert_int_equal(P, 38 * 64 + 64 + 64 * 32 + 32 + 32 + 1 + 6);
    assert_true(aa_digest(d, dense, P * sizeof *dense) == learner_served_digest(le));
    learner_free(&le);
    free(copy);
    free(live);
}

/* ---- rewards ---- */

/* Two learners of equal past; one reads the ID's own row and compares,
 * the other reads the shared. */
static void
gain_is_the_loss_difference_of_the_two_readings(void **state)
{
    (void)state;
    static const int64_t steps[] = {1, 64};
    for (size_t s = 0; s < 2; s++) {
        use_defaults(AA_MODEL_DEEPFM, steps[s]);
        cfg.agent.row_cost = 0.01;
        learner          *own = fresh(), *shared = fresh();
        aa_assigned_batch b = {0};
        aa_reward_batch   out[2] = {{.n = 0}, {.n = 0}};
        const size_t      n = (size_t)steps[s];
        feed(own, 4, 0, 30);
        feed(shared, 4, 0, 30);
        plain_batch(&b, 31, n, 3);
        for (size_t i = 0; i < n; i++) {
            b.slot[2 * i] = 16 + (uint32_t)i;
            b.alt_slot[2 * i] = 4;
            b.alt_mix[2 * i] = 0.25f;
        }
        take(own, &b, &out[0], NULL);
        for (size_t i = 0; i < n; i++) {
            b.slot[2 * i] = 4;
            b.mix[2 * i] = 0.25f;
            b.alt_slot[2 * i] = AA_NO_SLOT;
        }
        take(shared, &b, &out[1], NULL);
        for (size_t i = 0; i < n; i++) {
            double gain = (double)out[1].loss[i] - (double)out[0].loss[i] - 0.01;
            check_close((double)out[0].reward[2 * i], gain, 1e-5, 1e-5, i);
            check_close((double)out[0].reward[2 * i + 1], 0.0, 0.0, 0.0, i);
            check_close((double)out[1].reward[2 * i], 0.0, 0.0, 0.0, i);
        }
        learner_free(&own);
        learner_free(&shared);
        aa_assigned_batch_fini(&b);
        aa_reward_batch_fini(&out[0]);
        aa_reward_batch_fini(&out[1]);
    }
}

static void
paper_mode_rewards_the_drop_of_the_loss(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 1);
    cfg.agent.mode = AA_MODE_PAPER;
    cfg.agent.row_cost = 0.1;
    learner          *le = fresh();
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    plain_batch(&b, 1, 3, 0);
    add_op(&b, 0, AA_OP_PROMOTE, 5); /* the first unique row of a field: k, without lean bins */
    b.slot[0] = 5;
    for (size_t at = 0; at < 4; at++)
        b.baseline[at] = 0.9f;
    take(le, &b, &out, NULL);
    check_close((double)out.reward[0], 0.9 - (double)out.loss[0] - 0.1, 1e-6, 0.0, 0);
    check_close((double)out.reward[1], 0.9 - (double)out.loss[0], 1e-6, 0.0, 1);
    check_close((double)out.reward[2], 0.9 - (double)out.loss[1], 1e-6, 0.0, 2);
    double mean = 0.5 * ((double)out.loss[0] + (double)out.loss[1]);
    check_close((double)out.reward[4], mean - (double)out.loss[2], 1e-6, 0.0, 4);
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

static void
sweep_decisions_follow_those_of_the_events(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 1);
    cfg.agent.row_cost = 0.1;
    learner          *le = fresh();
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    const uint32_t    k = (uint32_t)cfg.agent.positions, s = aa_state_idx(3, k + 1, k);
    plain_batch(&b, 1, 2, 0);
    assert_int_equal(aa_assigned_batch_sweep(&b, 1, AA_STATE_WORD(s, AA_UNCHANGED), s, NULL),
                     AA_OK);
    assert_int_equal(aa_assigned_batch_sweep(&b, 1, AA_STATE_WORD(s, AA_DESCEND), s - 1, NULL),
                     AA_OK);
    take(le, &b, &out, NULL);
    assert_int_equal(out.m, 6);
    check_close((double)out.reward[4], -0.1, 1e-7, 0.0, 0);
    check_close((double)out.reward[5], 0.0, 0.0, 0.0, 1);
    assert_true(out.advantage[4] != 0.0f);
    assert_true(out.advantage[0] == 0.0f); /* no state */
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
}

static void
rewards_of_the_last_batches_are_kept(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 1);
    cfg.pipeline.depth = 2;
    learner          *le = fresh();
    stream            sr;
    aa_assigned_batch b = {0};
    aa_reward_batch   out[4] = {{.n = 0}};
    stream_init(&sr, &cfg, 1);
    assert_null(learner_rewards(le, 0));
    assert_null(learner_rewards(le, 1));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(learner_next_batch(le), i + 1);
        stream_next(&sr, &b, 50 + i);
        take(le, &b, &out[i], NULL);
        assert_memory_equal(&out[i].hd, &b.hd, sizeof b.hd);
    }
    assert_null(learner_rewards(le, 1));
    assert_null(learner_rewards(le, 5));
    for (uint64_t seq = 2; seq <= 4; seq++) {
        const aa_reward_batch *kept = learner_rewards(le, seq), *want = &out[seq - 1];
        assert_non_null(kept);
        assert_int_equal(kept->n, want->n);
        assert_int_equal(kept->m, want->m);
        assert_memory_equal(kept->loss, want->loss, want->n * sizeof(float));
        assert_memory_equal(kept->reward, want->reward, want->m * sizeof(float));
        assert_memory_equal(kept->advantage, want->advantage, want->m * sizeof(float));
    }
    stream_fini(&sr);
    learner_free(&le);
    aa_assigned_batch_fini(&b);
    for (size_t i = 0; i < 4; i++)
        aa_reward_batch_fini(&out[i]);
}

/* ---- checkpoints ---- */

static void
write_checkpoint(const learner *le, uint64_t epoch)
{
    aa_ckpt_writer *w = NULL;
    aa_err          err = AA_ERR_INIT;
    if (aa_ckpt_create(&w, &cfg, "learner", epoch, &err) || learner_save(le, w, &err) ||
        aa_ckpt_commit(&w, 0, &err))
        fail_msg("%s", err.text);
}

static void
a_restored_learner_goes_on_bit_by_bit(void **state)
{
    (void)state;
    static const struct {
        int64_t               step;
        enum aa_row_format    format;
        enum aa_row_optimizer optimizer;
    } cases[] = {{1, AA_ROW_FLOAT, AA_ROW_ADAGRAD},
                 {64, AA_ROW_FLOAT, AA_ROW_ADAGRAD},
                 {1, AA_ROW_BF16, AA_ROW_ROWWISE},
                 {64, AA_ROW_BF16, AA_ROW_ROWWISE}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        use_defaults(AA_MODEL_DEEPFM, cases[c].step);
        cfg.model.row_format = cases[c].format;
        cfg.model.row_optimizer = cases[c].optimizer;
        ckpt_folder_make(&cfg);
        learner        *a = fresh(), *b = fresh();
        aa_ckpt_reader *r = NULL;
        aa_err          err = AA_ERR_INIT;
        feed(a, 8, 0, 12);
        feed(b, 9, 0, 20); /* another past, which the restore must forget */
        write_checkpoint(a, 1);
        assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_OK);
        if (learner_restore(b, r, &err)) fail_msg("%s", err.text);
        aa_ckpt_close(&r);
        assert_true(learner_digest(a) == learner_digest(b));
        for (uint64_t seq = 0; seq <= 13; seq++) {
            const aa_reward_batch *x = learner_rewards(a, seq), *y = learner_rewards(b, seq);
            assert_true((x == NULL) == (y == NULL));
            if (x) assert_memory_equal(x->advantage, y->advantage, x->m * sizeof(float));
        }
        feed(a, 8, 12, 30);
        feed(b, 8, 12, 30);
        assert_true(learner_digest(a) == learner_digest(b));
        quality_summary x, y;
        learner_quality(a, &x);
        learner_quality(b, &y);
        assert_memory_equal(&x, &y, sizeof x);
        learner_free(&a);
        learner_free(&b);
        ckpt_folder_remove(&cfg);
    }
}

/* Checkpoints of up to 8 fields are as they were when 8 was the most. */
static void
as_many_fields_as_are_allowed_are_learned_and_restored(void **state)
{
    (void)state;
    static const size_t counts[] = {8, AA_MAX_FIELDS};
    for (size_t i = 0; i < 2; i++) {
        use_defaults(AA_MODEL_DEEPFM, 16);
        cfg.field_count = counts[i];
        for (size_t f = 2; f < counts[i]; f++) {
            cfg.fields[f] = cfg.fields[1];
            snprintf(cfg.fields[f].name, sizeof cfg.fields[f].name, "f%zu", f);
        }
        ckpt_folder_make(&cfg);
        learner        *a = fresh(), *b = fresh();
        aa_ckpt_reader *r = NULL;
        aa_err          err = AA_ERR_INIT;
        const void     *data;
        size_t          len = 0;
        feed(a, 8, 0, 3);
        write_checkpoint(a, 1);
        assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_OK);
        assert_int_equal(aa_ckpt_get(r, "worth", &data, &len, &err), AA_OK);
        assert_int_equal(len, (2 * counts[i] * AA_FREQ_BUCKETS + 1) * sizeof(double));
        if (learner_restore(b, r, &err) != AA_OK) fail_msg("%s", err.text);
        aa_ckpt_close(&r);
        assert_true(learner_digest(a) == learner_digest(b));
        learner_free(&a);
        learner_free(&b);
        ckpt_folder_remove(&cfg);
    }
}

static void
a_checkpoint_of_another_shape_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 1);
    ckpt_folder_make(&cfg);
    learner        *a = fresh(), *b;
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    feed(a, 8, 0, 3);
    write_checkpoint(a, 1);
    assert_int_equal(aa_ckpt_open(&r, &cfg, "learner", 1, &err), AA_OK);
    for (int change = 0; change < 4; change++) {
        const aa_conf was = cfg;
        if (change == 0) cfg.model.dim = 8;
        if (change == 1) cfg.hidden[0] = 63;
        if (change == 2) cfg.pipeline.depth = 7;
        if (change == 3) cfg.agent.positions = 4;
        b = fresh();
        const uint64_t before = learner_digest(b);
        assert_int_equal(learner_restore(b, r, &err), AA_EPARSE);
        assert_true(learner_digest(b) == before);
        feed(b, 8, 0, 1);
        learner_free(&b);
        cfg = was;
    }
    aa_ckpt_close(&r);
    learner_free(&a);
    ckpt_folder_remove(&cfg);
}

/* ---- bad batches ---- */

static void
spoil(aa_assigned_batch *b, size_t which)
{
    const uint32_t S = aa_state_count((uint32_t)cfg.agent.positions);
    const aa_op    bad_field = {.event_idx = 200, .kind = AA_OP_PROMOTE, .field = 2, .slot = 3900};
    switch (which) {
    case 0: b->hd.seq++; break;
    case 1: b->hd.seq--; break;
    case 2: b->F = 1; break;
    case 3: b->slot[399] = 3900; break; /* dead */
    case 4: b->slot[399] = AA_NO_SLOT - 1; break;
    case 5: b->slot[399] = 14, b->mix[399] = 0.5f; break;
    case 6: b->mix[399] = 1.0f; break;
    case 7: b->mix[399] = NAN; break;
    case 8: b->alt_slot[399] = 15; break; /* not shared */
    case 9: b->alt_slot[399] = 14, b->alt_mix[399] = 0.5f; break;
    case 10: b->alt_slot[399] = 2, b->alt_mix[399] = -1.0f; break;
    case 11: b->state[399] = AA_STATE_WORD(S, AA_UNCHANGED); break;
    case 12: b->state[399] = AA_STATE_WORD(0, AA_ACTIONS); break;
    case 13: b->next_state[399] = S; break;
    case 14: b->label[199] = NAN; break;
    case 15: b->label[199] = INFINITY; break;
    case 16: b->baseline[399] = INFINITY; break;
    case 17: b->sweep_field[2] = 2; break;
    case 18: b->sweep_state[2] = AA_STATE_WORD(S, 1); break;
    case 19: b->sweep_next_state[2] = S; break;
    case 20: b->op[b->op_count - 1].event_idx = 201; break;
    case 21: b->op[b->op_count - 1].event_idx = 0; break;
    case 22: b->op[b->op_count - 1].kind = 4; break;
    case 23: assert_int_equal(aa_assigned_batch_op(b, bad_field, NULL), AA_OK); break;
    case 24: add_op(b, 200, AA_OP_FREE, 3900); break;
    case 25: add_op(b, 200, AA_OP_FREE, 3); break;
    case 26: add_op(b, 200, AA_OP_PROMOTE, 3); break;
    case 27:
        add_op(b, 200, AA_OP_PROMOTE, 3900);
        add_op(b, 200, AA_OP_PROMOTE, 3900);
        break;
    default: fail_msg("no such case");
    }
}
enum { SPOILT = 28 };

static void
malformed_batches_are_refused_and_change_nothing(void **state)
{
    (void)state;
    use_defaults(AA_MODEL_DEEPFM, 1);
    learner *a = fresh(), *control = fresh();
    feed(a, 2, 0, 10);
    feed(control, 2, 0, 10);
    for (size_t which = 0; which < SPOILT; which++) {
        stream            sr;
        aa_assigned_batch b = {0};
        aa_reward_batch   out = {0};
        aa_err            err = AA_ERR_INIT;
        const uint64_t    before = learner_digest(a);
        stream_init(&sr, &cfg, 2);
        for (size_t i = 0; i < 11; i++)
            stream_next(&sr, &b, 200);
        assert_true(b.op_count > 5 && b.op[b.op_count - 1].event_idx > 0);
        spoil(&b, which);
        if (learner_step(a, &b, &out, NULL, &err) != AA_EPARSE) fail_msg("case %zu", which);
        assert_true(strlen(err.text) > 0);
        assert_true(learner_digest(a) == before);
        assert_int_equal(learner_next_batch(a), 11);
        b.F = cfg.field_count;
        stream_fini(&sr);
        aa_assigned_batch_fini(&b);
        aa_reward_batch_fini(&out);
    }
    feed(a, 2, 10, 20); /* and it goes on as if nothing had come */
    feed(control, 2, 10, 20);
    assert_true(learner_digest(a) == learner_digest(control));
    learner_free(&a);
    learner_free(&control);
}

/* ---- a model that is not finite any more ---- */

/* Weights near the end of float's range: the first prediction overflows. */
static void
a_model_that_has_diverged_is_no_bad_batch(void **state)
{
    (void)state;
    stream            sr;
    size_t            count;
    aa_assigned_batch b = {0};
    aa_reward_batch   out = {0};
    aa_err            err = AA_ERR_INIT;
    use_defaults(AA_MODEL_DEEPFM, 1);
    learner *le = fresh();
    learner_dense(le, &count);
    float *w = malloc(count * sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < count; i++)
        w[i] = 1e38f;
    assert_int_equal(learner_import_dense(le, w, count, &err), AA_OK);
    stream_init(&sr, &cfg, 3);
    stream_next(&sr, &b, 200);
    assert_int_equal(learner_step(le, &b, &out, NULL, &err), AA_EDIVERGED);
    assert_non_null(strstr(err.text, "batch 1: loss"));
    free(w);
    stream_fini(&sr);
    aa_assigned_batch_fini(&b);
    aa_reward_batch_fini(&out);
    learner_free(&le);
}

static void
one_to_three_fields_and_modes_without_shared_rows_run(void **state)
{
    (void)state;
    static const enum aa_agent_mode modes[] = {AA_MODE_DEFAULT, AA_MODE_PAPER, AA_MODE_UNIQUE};
    for (size_t F = 1; F <= 3; F++)
        for (size_t m = 0; m < 3; m++) {
            use_defaults(AA_MODEL_DEEPFM, F == 2 ? 1 : 16);
            cfg.field_count = F;
            cfg.agent.mode = modes[m];
            learner *le = fresh();
            feed(le, 11, 0, 5);
            quality_summary ms;
            learner_quality(le, &ms);
            assert_int_equal(ms.slice[QUALITY_ALL].events, 1000);
            assert_true(isfinite(ms.slice[QUALITY_ALL].logloss));
            learner_free(&le);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_learns_and_repeats_bit_by_bit),
        cmocka_unit_test(digest_tells_streams_and_seeds_apart),
        cmocka_unit_test(event_by_event_fm_equals_plain_double),
        cmocka_unit_test(dense_gradients_do_not_outlast_a_batch),
        cmocka_unit_test(gradient_of_a_row_given_away_in_the_same_step_is_dropped),
        cmocka_unit_test(ops_after_the_last_event_are_applied),
        cmocka_unit_test(an_id_without_any_row_reads_zeros_and_teaches_none),
        cmocka_unit_test(under_lasting_pressure_rows_of_each_field_are_published),
        cmocka_unit_test(changes_rebuild_what_is_served),
        cmocka_unit_test(gain_is_the_loss_difference_of_the_two_readings),
        cmocka_unit_test(paper_mode_rewards_the_drop_of_the_loss),
        cmocka_unit_test(sweep_decisions_follow_those_of_the_events),
        cmocka_unit_test(rewards_of_the_last_batches_are_kept),
        cmocka_unit_test(a_restored_learner_goes_on_bit_by_bit),
        cmocka_unit_test(as_many_fields_as_are_allowed_are_learned_and_restored),
        cmocka_unit_test(a_checkpoint_of_another_shape_is_refused_and_changes_nothing),
        cmocka_unit_test(malformed_batches_are_refused_and_change_nothing),
        cmocka_unit_test(a_model_that_has_diverged_is_no_bad_batch),
        cmocka_unit_test(one_to_three_fields_and_modes_without_shared_rows_run),
    };
    return cmocka_run_group_tests_name("learner/learner", tests, NULL, NULL);
}
