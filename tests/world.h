/* tests/world - an assigner with a stand-in for everything around it: it is fed events, answers
 * with made-up rewards at the pipeline's depth, and keeps its own account of rows from the ops
 * alone. Every batch is checked on the way: ops in order and fitting, readings of rows that are
 * there, the budget. Include after <cmocka.h>. */
#ifndef AA_TESTS_WORLD_H
#define AA_TESTS_WORLD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/assigner.h"
#include "common/agent/agent_state.h"
#include "common/agent/mode.h"
#include "common/base/rng.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"
#include "common/state/checkpoint.h"

#define WORLD_ROWS 65536u /* slots of a field that a test may use */

typedef struct {
    aa_conf           cfg;
    assigner         *as;
    aa_event_batch    in;
    aa_assigned_batch out;
    aa_reward_batch   rw;
    size_t            n[128], m[128];      /* of batch seq % 128 */
    unsigned char    *live[AA_MAX_FIELDS]; /* (WORLD_ROWS) unique rows, from the ops */
    size_t            rows[AA_MAX_FIELDS], most[AA_MAX_FIELDS];
    size_t            ops[4]; /* by kind */
} world;

static inline void
world_conf(world *wo, enum aa_agent_mode mode)
{
    memset(wo, 0, sizeof *wo);
    aa_conf_defaults(&wo->cfg);
    wo->cfg.agent.mode = mode;
    for (size_t f = 0; f < wo->cfg.field_count; f++)
        wo->cfg.fields[f].hash_rows = 16;
    wo->cfg.agent.sweep_every = 10;
    wo->cfg.agent.positions = 5;
    wo->cfg.agent.half_life_events = 0;
    wo->cfg.agent.price = 0; /* rows are limited, they cost nothing */
}

static inline void
world_open(world *wo)
{
    aa_err err = AA_ERR_INIT;
    if (assigner_new(&wo->as, &wo->cfg, &err) != AA_OK) fail_msg("%s", err.text);
    for (size_t f = 0; f < wo->cfg.field_count; f++) {
        wo->live[f] = calloc(WORLD_ROWS, 1);
        assert_non_null(wo->live[f]);
    }
}

static inline void
world_close(world *wo)
{
    assigner_free(&wo->as);
    aa_event_batch_fini(&wo->in);
    aa_assigned_batch_fini(&wo->out);
    aa_reward_batch_fini(&wo->rw);
    for (size_t f = 0; f < AA_MAX_FIELDS; f++)
        free(wo->live[f]);
}

static inline assigner_stats
world_stats(const world *wo, uint32_t f)
{
    assigner_stats st;
    assigner_stats_get(wo->as, f, &st);
    return st;
}

/* The assigner as checkpoint 1, in the folder that the configuration names. */
static inline void
world_save(const world *wo)
{
    aa_ckpt_writer *w;
    aa_err          err = AA_ERR_INIT;
    aa_status       st = aa_ckpt_create(&w, &wo->cfg, "assigner", 1, &err);
    if (st == AA_OK) st = assigner_save(wo->as, w, &err);
    if (st == AA_OK) st = aa_ckpt_commit(&w, 0, &err);
    if (st != AA_OK) fail_msg("%s", err.text);
}

/* ... and another one from it. */
static inline aa_status
world_restore(const aa_conf *cfg, assigner **out, aa_err *err)
{
    aa_ckpt_reader *r;
    aa_status       st = aa_ckpt_open(&r, cfg, "assigner", 1, err);
    if (st != AA_OK) return st;
    st = assigner_new(out, cfg, err);
    if (st == AA_OK) st = assigner_restore(*out, r, err);
    aa_ckpt_close(&r);
    return st;
}

/* Append an event of one key per field to the batch that world_step assigns. */
static inline void
world_event(world *wo, const uint64_t *key, float label)
{
    size_t F = wo->cfg.field_count, i = wo->in.n;
    assert_int_equal(aa_event_batch_reserve(&wo->in, i + 1, F, NULL), AA_OK);
    memcpy(wo->in.key + i * F, key, F * sizeof *key);
    wo->in.label[i] = label;
    wo->in.time_ms[i] = (int64_t)i;
    wo->in.n++;
}

static inline void
world_apply(world *wo, const aa_op *op)
{
    size_t f = op->field, limit = (size_t)wo->cfg.fields[f].budget_rows;
    assert_true(f < wo->cfg.field_count && op->kind >= AA_OP_PROMOTE && op->kind <= AA_OP_INIT);
    assert_true(op->slot >= aa_shared_rows(&wo->cfg) && op->slot < WORLD_ROWS);
    assert_int_equal(wo->live[f][op->slot], op->kind == AA_OP_FREE);
    if (op->kind == AA_OP_PROMOTE) {
        assert_true(op->source < aa_shared_rows(&wo->cfg));
        assert_true(op->source_mix >= 0.0f && op->source_mix < 1.0f);
    }
    wo->live[f][op->slot] = op->kind != AA_OP_FREE;
    wo->rows[f] += op->kind == AA_OP_FREE ? (size_t)-1 : 1;
    if (wo->rows[f] > wo->most[f]) wo->most[f] = wo->rows[f];
    if (limit > 0) assert_true(wo->rows[f] <= limit);
    wo->ops[op->kind]++;
}

static inline void
world_check_reading(const world *wo, size_t f, uint32_t slot, float mix)
{
    uint32_t shared = aa_shared_rows(&wo->cfg);
    assert_true(mix >= 0.0f && mix < 1.0f);
    if (slot >= shared) {
        assert_true(slot < WORLD_ROWS && wo->live[f][slot] && mix == 0.0f);
    } else if (mix > 0.0f) {
        assert_true(slot + 1 < shared);
        assert_int_equal(slot / aa_lean_bins(&wo->cfg), (slot + 1) / aa_lean_bins(&wo->cfg));
    }
}

/* Walk through the assigned batch as a learner would. */
static inline void
world_check(world *wo)
{
    const aa_assigned_batch *b = &wo->out;
    size_t                   F = wo->cfg.field_count, at = 0;
    uint32_t                 states = aa_state_count((uint32_t)wo->cfg.agent.positions);
    for (size_t i = 0; i <= b->n; i++) {
        for (; at < b->op_count && b->op[at].event_idx == i; at++)
            world_apply(wo, &b->op[at]);
        for (size_t f = 0; i < b->n && f < F; f++) {
            size_t j = i * F + f;
            world_check_reading(wo, f, b->slot[j], b->mix[j]);
            if (b->alt_slot[j] != AA_NO_SLOT) {
                assert_true(b->alt_slot[j] < aa_shared_rows(&wo->cfg));
                assert_true(b->slot[j] >= aa_shared_rows(&wo->cfg));
                world_check_reading(wo, f, b->alt_slot[j], b->alt_mix[j]);
            }
            if (b->state[j] == AA_NO_STATE) continue;
            assert_true(AA_STATE_IDX(b->state[j]) < states && b->next_state[j] < states);
            assert_true(AA_STATE_ACTION(b->state[j]) < AA_ACTIONS);
        }
    }
    assert_int_equal(at, b->op_count); /* sorted, none left over */
    for (size_t f = 0; f < F; f++) {
        const assigner_stats st = world_stats(wo, (uint32_t)f);
        assert_int_equal(st.rows_unique, wo->rows[f]);
        assert_int_equal(st.rows_unique_peak, wo->most[f]);
        uint64_t ids = 0;
        for (size_t p = 0; p < 17; p++)
            ids += st.ids_at[p];
        assert_int_equal(ids, st.ids);
    }
}

/* Rewards of batch seq: any numbers will do, but the same for the same batch. */
static inline void
world_rewards(world *wo, uint64_t seq)
{
    size_t n = wo->n[seq % 128], m = wo->m[seq % 128];
    assert_int_equal(aa_reward_batch_reserve(&wo->rw, n, m, NULL), AA_OK);
    wo->rw.hd.seq = seq;
    wo->rw.n = n;
    wo->rw.m = m;
    for (size_t i = 0; i < n; i++)
        wo->rw.loss[i] = (float)aa_rng_uniform(5, AA_RNG_TEST, seq, i);
    aa_rng_normal(wo->rw.reward, m, 0.1, 5, AA_RNG_TEST, seq << 32);
    aa_rng_normal(wo->rw.advantage, m, 0.1, 6, AA_RNG_TEST, seq << 32);
}

/* Learn what must be learned, assign the events appended, check; then the batch is empty again. */
static inline void
world_step(world *wo)
{
    aa_err   err = AA_ERR_INIT;
    uint64_t seq = assigner_next_batch(wo->as), depth = (uint64_t)wo->cfg.pipeline.depth;
    if (seq > depth) {
        world_rewards(wo, seq - depth);
        if (assigner_learn(wo->as, &wo->rw, &err) != AA_OK) fail_msg("%s", err.text);
    }
    assert_int_equal(aa_event_batch_reserve(&wo->in, wo->in.n, wo->cfg.field_count, NULL), AA_OK);
    wo->in.hd.seq = seq;
    if (assigner_step(wo->as, &wo->in, &wo->out, &err) != AA_OK) fail_msg("%s", err.text);
    wo->n[seq % 128] = wo->in.n;
    wo->m[seq % 128] = wo->in.n * wo->cfg.field_count + wo->out.sweep_count;
    wo->in.n = 0;
    world_check(wo);
}

/* One event in a batch of its own. */
static inline void
world_one(world *wo, uint64_t user, uint64_t item, float label)
{
    uint64_t key[2] = {user, item};
    world_event(wo, key, label);
    world_step(wo);
}

/* `batches` batches of n events: IDs Zipf over `ids` from `base`, labels by coin. */
static inline void
world_random(world *wo, uint64_t seed, uint64_t batches, size_t n, double ids, uint64_t base)
{
    for (uint64_t b = 0; b < batches; b++) {
        uint64_t seq = assigner_next_batch(wo->as);
        for (size_t i = 0; i < n; i++) {
            uint64_t key[AA_MAX_FIELDS];
            for (uint64_t f = 0; f < wo->cfg.field_count; f++)
                key[f] =
                    base + (uint64_t)pow(ids, aa_rng_uniform(seed, AA_RNG_TEST, seq << 20 | i, f));
            world_event(wo, key,
                        aa_rng_uniform(seed, AA_RNG_TEST, seq << 20 | i, 99) < 0.4 ? 1 : 0);
        }
        world_step(wo);
    }
}

#endif
