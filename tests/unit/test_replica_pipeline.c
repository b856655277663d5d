/* Assigner, learner and replica in one process, joined by the bytes of the compacted topics: what
 * is published makes a replica that scores as the learner predicts. */
#include "scorer/replica/replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assigner/assigner.h"
#include "common/agent/mode.h"
#include "common/base/rng.h"
#include "learner/learner.h"
#include "tests/check.h"

enum { EVENTS = 4000, USERS = 60, ITEMS = 40, F = 2, MAX_CHANGES = 256, MAX_KEY = 6000 };

typedef struct {
    aa_conf           cfg;
    assigner         *as;
    learner          *le;
    replica          *rp;
    replica_reader   *rr;
    aa_event_batch    ev;
    aa_assigned_batch assigned;
    aa_reward_batch   rewards;
    aa_bytes          by;
    aa_err            err;
    uint64_t          seq, run_id, own_compared; /* readings of own rows among those compared */
    aa_assignment     told[F][MAX_KEY];          /* what was published last of each ID */
} fixture;

static void
open_all(fixture *fx, enum aa_agent_mode mode, enum aa_model_id kind, bool small_rows)
{
    aa_conf_defaults(&fx->cfg);
    fx->cfg.model.row_format = small_rows ? AA_ROW_BF16 : AA_ROW_FLOAT;
    fx->cfg.model.row_optimizer = small_rows ? AA_ROW_ROWWISE : AA_ROW_ADAGRAD;
    fx->cfg.model.dim = 8;
    fx->cfg.agent.mode = mode;
    fx->cfg.model.kind = kind;
    for (size_t f = 0; f < fx->cfg.field_count; f++)
        if (!fx->cfg.fields[f].hash_rows) fx->cfg.fields[f].hash_rows = 16;
    check_ok(fx, assigner_new(&fx->as, &fx->cfg, &fx->err));
    check_ok(fx, learner_new(&fx->le, &fx->cfg, &fx->err));
    check_ok(fx, replica_new(&fx->rp, &fx->cfg, &fx->err));
    check_ok(fx, replica_reader_open(&fx->rr, fx->rp, &fx->err));
    check_ok(fx, aa_event_batch_reserve(&fx->ev, 1, F, &fx->err));
    fx->run_id = 1;
}

static void
close_all(fixture *fx)
{
    replica_reader_close(&fx->rr);
    replica_free(&fx->rp);
    learner_free(&fx->le);
    assigner_free(&fx->as);
    aa_event_batch_fini(&fx->ev);
    aa_assigned_batch_fini(&fx->assigned);
    aa_reward_batch_fini(&fx->rewards);
    aa_bytes_fini(&fx->by);
}

static void
put(fixture *fx, uint8_t kind, uint32_t field, uint64_t id, bool deleted)
{
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.kind = kind, .field = field, .id = id};
    replica_effect effect;
    aa_topic_key_put(key, &k);
    check_ok(fx, replica_apply(fx->rp, key, sizeof key, deleted ? NULL : fx->by.data,
                               deleted ? 0 : fx->by.len, &effect, &fx->err));
}

static void
publish_assignments(fixture *fx, bool all)
{
    assigner_change change[MAX_CHANGES];
    size_t          count;
    do {
        check_ok(fx, assigner_changes(fx->as, all, change, MAX_CHANGES, &count, &fx->err));
        all = false;
        for (size_t i = 0; i < count; i++) {
            change[i].a.run_id = fx->run_id;
            if (!change[i].deleted)
                check_ok(fx, aa_wire_pack_assignment(&fx->by, &change[i].a, &fx->err));
            fx->told[change[i].field][change[i].key] = change[i].a;
            put(fx, AA_KEY_ASSIGNMENT, change[i].field, change[i].key, change[i].deleted);
        }
    } while (count == MAX_CHANGES);
    for (uint32_t f = 0; f < F; f++) {
        aa_assignment a = {0};
        assigner_new_id(fx->as, f, &a);
        a.run_id = fx->run_id;
        a.version = fx->seq;
        check_ok(fx, aa_wire_pack_assignment(&fx->by, &a, &fx->err));
        put(fx, AA_KEY_NEW_ID, f, 0, false);
    }
}

static void
publish_model(fixture *fx, bool all)
{
    learner_change change[MAX_CHANGES];
    size_t         count, w_count;
    do {
        check_ok(fx, learner_changes(fx->le, all, change, MAX_CHANGES, &count, &fx->err));
        all = false;
        for (size_t i = 0; i < count; i++) {
            aa_row_head rh = {.run_id = fx->run_id, .version = fx->seq, .born = change[i].born};
            if (!change[i].deleted)
                check_ok(fx, aa_wire_pack_row(&fx->by, &rh, change[i].w,
                                              (size_t)fx->cfg.model.dim + 1, &fx->err));
            put(fx, AA_KEY_ROW, change[i].field, change[i].slot, change[i].deleted);
        }
    } while (count == MAX_CHANGES);
    aa_dense_message d = {.run_id = fx->run_id,
                          .version = fx->seq,
                          .F = F,
                          .K = (size_t)fx->cfg.model.dim,
                          .hidden_count = fx->cfg.hidden_count,
                          .residual_rows = aa_residual_rows(&fx->cfg)};
    d.w = learner_dense(fx->le, &w_count);
    d.w_count = w_count;
    memcpy(d.hidden, fx->cfg.hidden, sizeof d.hidden);
    snprintf(d.model, sizeof d.model, "%.31s", aa_model_id_text(fx->cfg.model.kind));
    check_ok(fx, aa_wire_pack_dense(&fx->by, &d, &fx->err));
    put(fx, AA_KEY_DENSE, 0, 0, false);
}

/* Is the shared reading beside an own row the one that was published? */
static bool
same_alternative(const fixture *fx, size_t f)
{
    const aa_assignment *a = &fx->told[f][fx->ev.key[f]];
    if (!aa_residual_rows(&fx->cfg) || fx->assigned.alt_slot[f] == AA_NO_SLOT) return true;
    return a->alt_slot == fx->assigned.alt_slot[f] &&
           memcmp(&a->alt_mix, &fx->assigned.alt_mix[f], sizeof a->alt_mix) == 0;
}

/* Event number n: what replica and learner say before it is learned from. True if both read the
 * same rows and signals, and then the predictions must have the same bits. */
static bool
one_event(fixture *fx, uint64_t n, uint64_t seed)
{
    float            prediction, score = -1;
    aa_score_reading rd[F];
    replica_answer   answer;
    uint64_t         pick = aa_rng_bits(seed, AA_RNG_TEST, n, 0);
    uint64_t         depth = (uint64_t)fx->cfg.pipeline.depth;
    fx->seq++;
    fx->ev.hd = (aa_header){.run_id = fx->run_id, .seq = fx->seq};
    fx->ev.n = 1;
    /* popular IDs and ever new ones */
    fx->ev.key[REPLICA_USER] = 1 + (pick % 16 ? (pick >> 8) % USERS : 1000 + n);
    fx->ev.key[REPLICA_ITEM] = 5001 + (pick >> 20) % ITEMS;
    fx->ev.label[0] = (float)(pick >> 63);
    fx->ev.time_ms[0] = (int64_t)n;
    if (replica_missing(fx->rp) == NULL)
        check_ok(fx, replica_score(fx->rr, fx->ev.key, &fx->ev.key[REPLICA_ITEM], 1, &score, rd,
                                   &answer, &fx->err));
    const aa_reward_batch *due = learner_rewards(fx->le, fx->seq - depth);
    if (fx->seq > depth) check_ok(fx, assigner_learn(fx->as, due, &fx->err));
    check_ok(fx, assigner_step(fx->as, &fx->ev, &fx->assigned, &fx->err));
    check_ok(fx, learner_step(fx->le, &fx->assigned, &fx->rewards, &prediction, &fx->err));
    bool same = score >= 0;
    for (size_t i = 0; i < fx->assigned.op_count; i++)
        same = same && fx->assigned.op[i].event_idx > 0;
    for (size_t f = 0; f < F; f++)
        same = same && rd[f].slot == fx->assigned.slot[f] &&
               memcmp(&rd[f].mix, &fx->assigned.mix[f], sizeof rd[f].mix) == 0 &&
               same_alternative(fx, f) &&
               fx->told[f][fx->ev.key[f]].signal == fx->assigned.signal[f];
    for (size_t f = 0; same && f < F; f++)
        fx->own_compared += rd[f].unique;
    if (same && memcmp(&score, &prediction, sizeof score) != 0)
        fail_msg("event %llu: scored %.9g, predicted %.9g", (unsigned long long)n, (double)score,
                 (double)prediction);
    return same;
}

static size_t
run_mode(enum aa_agent_mode mode, enum aa_model_id kind, bool small_rows, uint64_t seed)
{
    fixture *fx = calloc(1, sizeof *fx);
    size_t   compared = 0;
    open_all(fx, mode, kind, small_rows);
    for (uint64_t n = 0; n < EVENTS; n++) {
        compared += one_event(fx, n, seed);
        if (n % 2) assigner_changes_exact(fx->as);
        publish_assignments(fx, false);
        publish_model(fx, n == 0);
    }
    assert_int_equal(replica_served_digest(fx->rp), learner_served_digest(fx->le));
    assigner_changes_exact(fx->as);
    publish_assignments(fx, false);
    /* the pipeline is started anew: everything once more, under a new run */
    fx->run_id++;
    uint64_t assigned = replica_assignments_digest(fx->rp);
    publish_model(fx, true);
    assert_int_equal(replica_served_digest(fx->rp), learner_served_digest(fx->le));
    publish_assignments(fx, true);
    assert_int_equal(replica_assignments_digest(fx->rp), assigned);
    if (aa_residual_rows(&fx->cfg)) assert_true(fx->own_compared > EVENTS / 100);
    close_all(fx);
    free(fx);
    return compared;
}

static void
compare_in_every_mode(bool small_rows)
{
    const uint64_t seed = 31337;
    printf("seed %llu\n", (unsigned long long)seed);
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        const enum aa_model_id kind = mode % aa_model_id_count;
        const size_t           compared = run_mode(mode, kind, small_rows, seed);
        printf("%s, %s: %zu of %d events compared\n", aa_agent_mode_text(mode),
               aa_model_id_text(kind), compared, EVENTS);
        assert_true(compared > EVENTS / 100);
    }
}

static void
scores_are_the_learners_predictions_in_every_mode(void **state)
{
    (void)state;
    compare_in_every_mode(false);
}

static void
scores_are_the_learners_predictions_with_bf16_rows_too(void **state)
{
    (void)state;
    compare_in_every_mode(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_learners_predictions_in_every_mode),
        cmocka_unit_test(scores_are_the_learners_predictions_with_bf16_rows_too),
    };
    return cmocka_run_group_tests_name("scorer/replica/replica behind assigner and learner", tests,
                                       NULL, NULL);
}
