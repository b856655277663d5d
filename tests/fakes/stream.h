/* tests/fakes/stream - a stream of assigned batches without an assigner: Zipf IDs with hidden
 * vectors, labels drawn from them, and the simplest rule: a row of its own at the third event of an
 * ID (copied from the shared rows), given back now and then. A function of its seed. */
#ifndef AA_TESTS_FAKES_STREAM_H
#define AA_TESTS_FAKES_STREAM_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/agent_state.h"
#include "common/agent/mode.h"
#include "common/base/rng.h"
#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/batch.h"

enum { STREAM_IDS = 20000, STREAM_TASTE = 4, STREAM_OWN_AT = 3 };

typedef struct {
    const aa_conf *cfg;
    uint64_t       seed, event; /* events so far */
    uint64_t       seq;
    uint32_t       shared;
    double        *zipf;                     /* (IDS) cumulative */
    uint32_t      *seen[AA_MAX_FIELDS];      /* (IDS) events of each ID */
    uint32_t      *slot[AA_MAX_FIELDS];      /* (IDS) or AA_NO_SLOT */
    uint32_t       next_slot[AA_MAX_FIELDS]; /* lowest slot never used */
    uint32_t      *spare[AA_MAX_FIELDS];     /* freed slots */
    size_t         spare_count[AA_MAX_FIELDS];
} stream;

static inline void
stream_init(stream *sr, const aa_conf *cfg, uint64_t seed)
{
    *sr = (stream){.cfg = cfg, .seed = seed, .shared = aa_shared_rows(cfg)};
    AA_REQUIRE(sr->zipf = malloc(STREAM_IDS * sizeof *sr->zipf));
    double sum = 0.0;
    for (size_t i = 0; i < STREAM_IDS; i++)
        sr->zipf[i] = sum += 1.0 / (double)(i + 10);
    for (size_t f = 0; f < cfg->field_count; f++) {
        AA_REQUIRE(sr->seen[f] = calloc(STREAM_IDS, sizeof *sr->seen[f]));
        AA_REQUIRE(sr->slot[f] = malloc(STREAM_IDS * sizeof *sr->slot[f]));
        AA_REQUIRE(sr->spare[f] = malloc(STREAM_IDS * sizeof *sr->spare[f]));
        memset(sr->slot[f], 0xff, STREAM_IDS * sizeof *sr->slot[f]);
        sr->next_slot[f] = sr->shared;
    }
}

static inline void
stream_fini(stream *sr)
{
    free(sr->zipf);
    for (size_t f = 0; f < sr->cfg->field_count; f++) {
        free(sr->seen[f]);
        free(sr->slot[f]);
        free(sr->spare[f]);
    }
}

static inline size_t
stream_draw_id(const stream *sr, size_t f)
{
    double u = aa_rng_uniform(sr->seed, AA_RNG_TEST, sr->event, f) * sr->zipf[STREAM_IDS - 1];
    size_t low = 0, high = STREAM_IDS - 1;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (sr->zipf[mid] <= u)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Taste of an ID in its field, N(0,1) each; [0] is also its own inclination. */
static inline void
stream_taste(const stream *sr, size_t f, size_t id, float out[STREAM_TASTE])
{
    aa_rng_normal(out, STREAM_TASTE, 1.0, sr->seed, AA_RNG_TEST + 1, f * STREAM_IDS + id);
}

static inline float
stream_label(const stream *sr, const size_t *id)
{
    float  sum[STREAM_TASTE] = {0}, taste[STREAM_TASTE];
    double logit = 0.0, square = 0.0;
    for (size_t f = 0; f < sr->cfg->field_count; f++) {
        stream_taste(sr, f, id[f], taste);
        logit += (double)taste[0];
        for (size_t k = 0; k < STREAM_TASTE; k++) {
            sum[k] += taste[k];
            square += (double)taste[k] * (double)taste[k];
        }
    }
    for (size_t k = 0; k < STREAM_TASTE; k++)
        logit += 0.5 * (double)sum[k] * (double)sum[k];
    logit -= 0.5 * square;
    double u = aa_rng_uniform(sr->seed, AA_RNG_TEST + 2, sr->event, 0);
    return u < 1.0 / (1.0 + exp(-logit)) ? 1.0f : 0.0f;
}

static inline void
stream_op(aa_assigned_batch *b, aa_op_kind kind, size_t f, uint32_t slot, uint32_t source,
          float mix)
{
    aa_op op = {(uint32_t)b->n, (uint8_t)kind, (uint8_t)f, slot, source, mix};
    AA_REQUIRE(aa_assigned_batch_op(b, op, NULL) == AA_OK);
}

/* Field f of event b->n: what ID id reads now. */
static inline void
stream_assign(stream *sr, aa_assigned_batch *b, size_t f, size_t id)
{
    const size_t   at = b->n * b->F + f;
    const uint32_t k = (uint32_t)sr->cfg->agent.positions;
    const uint32_t seen = sr->seen[f][id]++;
    uint32_t      *slot = &sr->slot[f][id];
    uint32_t       base = (uint32_t)(id % (sr->shared > 1 ? sr->shared - 1 : 1));
    const float    mix = sr->shared > 1 ? (float)(id % 8) / 8.0f : 0.0f;
    const bool     free_now = *slot != AA_NO_SLOT && (seen + id) % 97 == 0;
    const bool     own_now = *slot == AA_NO_SLOT && seen >= STREAM_OWN_AT;
    uint32_t       position = *slot == AA_NO_SLOT ? 1 + seen % k : k + 1, action = AA_UNCHANGED;
    b->state[at] = aa_state_idx(aa_freq_bucket((float)seen), position, k);
    if (free_now) {
        stream_op(b, AA_OP_FREE, f, *slot, 0, 0.0f);
        sr->spare[f][sr->spare_count[f]++] = *slot;
        *slot = AA_NO_SLOT;
        position = k;
        action = AA_DESCEND;
    } else if (own_now) {
        *slot = sr->spare_count[f] ? sr->spare[f][--sr->spare_count[f]] : sr->next_slot[f]++;
        stream_op(b, sr->shared ? AA_OP_PROMOTE : AA_OP_INIT, f, *slot, base, mix);
        position = k + 1;
        action = AA_ASCEND;
    }
    b->state[at] = AA_STATE_WORD(b->state[at], action);
    b->next_state[at] = aa_state_idx(aa_freq_bucket((float)seen + 1.0f), position, k);
    if (sr->shared == 0) base = AA_NO_SLOT;
    b->slot[at] = *slot == AA_NO_SLOT ? base : *slot;
    b->mix[at] = *slot == AA_NO_SLOT && sr->shared ? mix : 0.0f;
    b->alt_slot[at] = *slot == AA_NO_SLOT ? AA_NO_SLOT : base;
    b->alt_mix[at] = *slot == AA_NO_SLOT ? 0.0f : mix;
    b->signal[at] = seen == 0 ? 0 : (uint32_t)((id + seen) % 3 | (seen % 2) << 11);
    b->baseline[at] = seen == 0 ? NAN : 0.6f;
    if (seen < b->seen[b->n]) b->seen[b->n] = seen;
}

/* The next batch of n events; b is overwritten. */
static inline void
stream_next(stream *sr, aa_assigned_batch *b, size_t n)
{
    const size_t F = sr->cfg->field_count;
    AA_REQUIRE(aa_assigned_batch_reserve(b, n, F, NULL) == AA_OK);
    b->hd = (aa_header){.run_id = 1, .seq = ++sr->seq};
    b->op_count = b->sweep_count = 0;
    for (b->n = 0; b->n < n; b->n++, sr->event++) {
        size_t id[AA_MAX_FIELDS];
        b->seen[b->n] = UINT32_MAX;
        for (size_t f = 0; f < F; f++) {
            id[f] = stream_draw_id(sr, f);
            stream_assign(sr, b, f, id[f]);
        }
        b->label[b->n] = stream_label(sr, id);
    }
    const uint32_t k = (uint32_t)sr->cfg->agent.positions;
    for (uint32_t s = 0; s < 3; s++)
        AA_REQUIRE(aa_assigned_batch_sweep(b, s % (uint32_t)F, AA_STATE_WORD(k, AA_UNCHANGED), k,
                                           NULL) == AA_OK);
}

#endif
