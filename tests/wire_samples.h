/* tests/wire_samples - random but valid batches, for tests, benchmarks and fuzz seeds of
 * common/messages/wire. */
#ifndef AA_TESTS_WIRE_SAMPLES_H
#define AA_TESTS_WIRE_SAMPLES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/messages/wire.h"
#include "common/messages/wire_fetch.h"
#include "common/messages/wire_topic.h"
#include "common/model/signal.h"

/* A stream of draws. */
typedef struct {
    uint64_t seed, count;
} sample_rng;

static inline uint64_t
sample_bits(sample_rng *rng)
{
    return aa_rng_bits(rng->seed, AA_RNG_TEST, rng->count++, 0);
}

static inline uint32_t
sample_below(sample_rng *rng, uint32_t n)
{
    return (uint32_t)(sample_bits(rng) % n);
}

static inline float
sample_unit(sample_rng *rng) /* [0,1), with 0 now and then */
{
    uint32_t bits = sample_below(rng, 1u << 24);
    return bits % 16 == 0 ? 0.0f : (float)bits / 16777216.0f;
}

static inline float
sample_real(sample_rng *rng)
{
    return (sample_unit(rng) - 0.5f) * 1e3f;
}

static inline void
sample_must(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "sample: %s\n", err->text);
    abort();
}

static inline aa_header
sample_header(sample_rng *rng)
{
    return (aa_header){sample_bits(rng), sample_bits(rng), sample_below(rng, 65536)};
}

static inline uint32_t
sample_state(sample_rng *rng)
{
    if (sample_below(rng, 8) == 0) return AA_NO_STATE;
    return AA_STATE_WORD(sample_below(rng, 1u << 24), sample_below(rng, AA_ACTIONS));
}

static inline uint32_t
sample_next_state(sample_rng *rng)
{
    return sample_below(rng, 8) == 0 ? AA_NO_STATE : sample_below(rng, 1u << 24);
}

/* plain: optional arrays hold nothing but their defaults, no ops and no sweep */
/* A value that column c takes, at *x. */
static inline void
sample_column_value(const aa_column *c, void *x, sample_rng *rng)
{
    const float    real = sample_real(rng), unit = sample_unit(rng);
    const uint64_t bits = sample_bits(rng) | 1;
    uint32_t       state;
    switch (c->check) {
    case AA_CHECK_FINITE: memcpy(x, &real, sizeof real); return;
    case AA_CHECK_NOT_INFINITE:
    case AA_CHECK_MIX: memcpy(x, &unit, sizeof unit); return;
    case AA_CHECK_SIGNAL:
        state = (uint32_t)(bits & AA_SIGNAL_CODE);
        memcpy(x, &state, sizeof state);
        return;
    case AA_CHECK_STATE:
    case AA_CHECK_NEXT_STATE:
        state = c->check == AA_CHECK_STATE ? sample_state(rng) : sample_next_state(rng);
        memcpy(x, &state, sizeof state);
        return;
    case AA_CHECK_ANY:
    case AA_CHECK_ID: memcpy(x, &bits, c->element_bytes); return;
    }
}

/* Every column of holder's event i. An optional one holds its default in every second place, when
 * plain in all. */
static inline void
sample_columns(void *holder, const aa_column_table *ct, sample_rng *rng, size_t i, size_t F,
               bool plain)
{
    for (size_t k = 0; k < ct->count; k++) {
        const aa_column *c = &ct->column[k];
        const size_t     values = aa_column_values(c, 1, F);
        for (size_t v = 0; v < values; v++) {
            char *x = (char *)aa_column_array(c, holder) + (i * values + v) * c->element_bytes;
            if (c->presence == AA_OPTIONAL && (plain || sample_below(rng, 2)))
                memcpy(x, c->value, c->element_bytes);
            else
                sample_column_value(c, x, rng);
        }
    }
}

static inline void
sample_events(aa_event_batch *b, sample_rng *rng, size_t n, size_t F)
{
    aa_err err = AA_ERR_INIT;
    sample_must(aa_event_batch_reserve(b, n, F, &err), &err);
    b->hd = sample_header(rng);
    b->n = n;
    b->oldest_kafka_ms = (int64_t)sample_bits(rng);
    for (size_t i = 0; i < n; i++)
        sample_columns(b, &aa_event_columns, rng, i, F, false);
}

static inline void
sample_assigned(aa_assigned_batch *b, sample_rng *rng, size_t n, size_t F, bool plain)
{
    aa_err err = AA_ERR_INIT;
    sample_must(aa_assigned_batch_reserve(b, n, F, &err), &err);
    b->hd = sample_header(rng);
    b->n = n;
    b->op_count = b->sweep_count = 0;
    b->oldest_kafka_ms = (int64_t)sample_bits(rng);
    for (size_t i = 0; i < n; i++)
        sample_columns(b, &aa_assigned_columns, rng, i, F, plain);
    for (size_t i = 0; !plain && i <= n; i++) {
        if (sample_below(rng, 8)) continue;
        aa_op op = {.event_idx = (uint32_t)i,
                    .kind = (uint8_t)(1 + sample_below(rng, 3)),
                    .field = (uint8_t)sample_below(rng, (uint32_t)F),
                    .slot = sample_below(rng, AA_NO_SLOT),
                    .source = sample_below(rng, AA_NO_SLOT),
                    .source_mix = sample_unit(rng)};
        sample_must(aa_assigned_batch_op(b, op, &err), &err);
    }
    for (size_t i = 0; !plain && i < n / 4; i++)
        sample_must(aa_assigned_batch_sweep(b, sample_below(rng, (uint32_t)F), sample_state(rng),
                                            sample_next_state(rng), &err),
                    &err);
}

static inline void
sample_rewards(aa_reward_batch *b, sample_rng *rng, size_t n, size_t m)
{
    aa_err err = AA_ERR_INIT;
    sample_must(aa_reward_batch_reserve(b, n, m, &err), &err);
    b->hd = sample_header(rng);
    b->n = n;
    b->m = m;
    for (size_t i = 0; i < n; i++)
        b->loss[i] = sample_unit(rng);
    for (size_t i = 0; i < m; i++) {
        b->reward[i] = sample_real(rng);
        b->advantage[i] = sample_real(rng);
    }
}

static inline void
sample_text(char *out, size_t size, sample_rng *rng)
{
    size_t len = sample_below(rng, (uint32_t)size);
    for (size_t i = 0; i < len; i++)
        out[i] = (char)('a' + sample_below(rng, 26));
    memset(out + len, 0, size - len);
}

static inline void
sample_control(aa_control *c, sample_rng *rng)
{
    *c = (aa_control){.hd = sample_header(rng),
                      .epoch = sample_bits(rng),
                      .final = sample_below(rng, 2),
                      .config_digest = sample_bits(rng),
                      .to_seq = sample_bits(rng),
                      .base_epoch = sample_bits(rng),
                      .newest_run_id = sample_bits(rng)};
    sample_text(c->pipeline, sizeof c->pipeline, rng);
    sample_text(c->reason, sizeof c->reason, rng);
}

/* n partitions; asked: none has attempt 0 or offset -1 */
static inline void
sample_portions(aa_portions *po, sample_rng *rng, size_t n, bool asked)
{
    aa_err  err = AA_ERR_INIT;
    int32_t partition = -1;
    sample_must(aa_portions_reserve(po, n, &err), &err);
    po->n = n;
    for (size_t i = 0; i < n; i++) {
        partition += 1 + (int32_t)sample_below(rng, 9);
        po->partition[i] = partition;
        po->attempt[i] = (asked ? 1 : 0) + sample_below(rng, 5);
        po->offset[i] = (int64_t)sample_below(rng, 1u << 30) - (asked ? 0 : 1);
        po->messages[i] = sample_bits(rng);
        po->records[i] = sample_bits(rng);
    }
}

static inline void
sample_offer(aa_offer *of, sample_rng *rng, size_t n)
{
    of->hd = sample_header(rng);
    of->decoding_digest = sample_bits(rng);
    of->withdrawing = sample_below(rng, 2);
    of->lost_run = sample_bits(rng);
    sample_text(of->name, sizeof of->name, rng);
    sample_text(of->pipeline, sizeof of->pipeline, rng);
    sample_portions(&of->po, rng, n, false);
}

/* n events and about n / 2 letters, together at least one */
static inline void
sample_fetched(aa_fetched *fe, sample_rng *rng, size_t n, size_t F)
{
    aa_err  err = AA_ERR_INIT;
    int64_t offset = -1;
    sample_must(aa_fetched_reserve(fe, n, F, &err), &err);
    aa_fetched_clear(fe);
    fe->hd = sample_header(rng);
    fe->hd.seq |= 1;
    fe->partition = (int32_t)sample_below(rng, 65536);
    fe->attempt = 1 + sample_below(rng, 9);
    while (fe->n < n || fe->letter_count == 0) {
        const size_t i = fe->n;
        offset += 1 + (int64_t)sample_below(rng, 3);
        if (i == n || sample_below(rng, 3) == 0) {
            aa_fetched_letter le = {.offset = offset, .reason = 1 + sample_below(rng, 12)};
            char              key[20], value[40], headers[30];
            sample_text(key, sizeof key, rng);
            sample_text(value, sizeof value, rng);
            sample_text(le.why, sizeof le.why, rng);
            le.has_key = sample_below(rng, 2);
            le.has_value = sample_below(rng, 2);
            le.key_len = le.has_key ? strlen(key) : 0;
            le.len = le.has_value ? strlen(value) : 0;
            le.full_len = le.len + sample_below(rng, 2);
            le.time_ms = (int64_t)sample_below(rng, 1000) - 1;
            le.headers_len = sample_below(rng, (uint32_t)sizeof headers);
            memset(headers, (int)sample_below(rng, 256), sizeof headers);
            sample_must(aa_fetched_add_letter(fe, &le, key, value, headers, &err), &err);
            continue;
        }
        sample_columns(fe, &aa_fetched_columns, rng, i, F, false);
        fe->offset[i] = offset;
        fe->n++;
    }
}

static inline void
sample_assignment(aa_assignment *a, sample_rng *rng)
{
    *a = (aa_assignment){.run_id = sample_bits(rng),
                         .version = sample_bits(rng),
                         .born = sample_bits(rng),
                         .slot = (uint32_t)sample_bits(rng),
                         .alt_slot = (uint32_t)sample_bits(rng),
                         .mix = sample_unit(rng),
                         .alt_mix = sample_unit(rng),
                         .position = sample_below(rng, 17),
                         .modulo = (uint32_t)sample_bits(rng),
                         .signal = sample_below(rng, 1u << 16)};
}

/* w (w_count) is the caller's */
static inline void
sample_dense(aa_dense_message *d, sample_rng *rng, float *w, size_t w_count)
{
    *d = (aa_dense_message){.run_id = sample_bits(rng),
                            .version = sample_bits(rng),
                            .F = 1 + sample_below(rng, 8),
                            .K = 1 + sample_below(rng, 1024),
                            .hidden_count = sample_below(rng, 9),
                            .w = w,
                            .w_count = w_count,
                            .events = sample_bits(rng),
                            .newest_kafka_ms = (int64_t)sample_bits(rng),
                            .residual_rows = sample_bits(rng) & 1};
    sample_text(d->model, sizeof d->model, rng);
    for (size_t i = 0; i < d->hidden_count; i++)
        d->hidden[i] = 1 + sample_below(rng, 65536);
    for (size_t i = 0; i < w_count; i++)
        w[i] = sample_real(rng);
}

#endif
