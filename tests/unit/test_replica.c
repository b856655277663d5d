/* The replica against records in every order, and its scores against the model itself. */
#include "scorer/replica/replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/messages/batch.h"
#include "common/model/model.h"
#include "common/model/signal.h"
#include "tests/check.h"

enum { K = 5, W = K + 1, F = 2, USER = 0, ITEM = 1 };

typedef struct {
    aa_conf         cfg;
    replica        *rp;
    replica_reader *rr;
    aa_bytes        by;
    aa_err          err;
} fixture;

static int
set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    aa_conf_defaults(&fx->cfg);
    fx->cfg.model.dim = K;
    fx->cfg.hidden_count = 2;
    fx->cfg.hidden[0] = 7;
    fx->cfg.hidden[1] = 3;
    assert_int_equal(replica_new(&fx->rp, &fx->cfg, &fx->err), AA_OK);
    assert_int_equal(replica_reader_open(&fx->rr, fx->rp, &fx->err), AA_OK);
    *state = fx;
    return 0;
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    replica_reader_close(&fx->rr);
    replica_free(&fx->rp);
    aa_bytes_fini(&fx->by);
    free(fx);
    return 0;
}

/* ---- records ---- */

static aa_status
send(fixture *fx, uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *value,
     replica_effect *effect)
{
    uint8_t      key[AA_TOPIC_KEY_BYTES];
    aa_topic_key k = {.kind = kind, .field = field, .id = id};
    aa_topic_key_put(key, &k);
    return replica_apply(fx->rp, key, sizeof key, value ? value->data : NULL,
                         value ? value->len : 0, effect, &fx->err);
}

static replica_effect
put_assignment(fixture *fx, uint8_t kind, uint32_t field, uint64_t id, aa_assignment a)
{
    replica_effect effect;
    assert_int_equal(aa_wire_pack_assignment(&fx->by, &a, &fx->err), AA_OK);
    assert_int_equal(send(fx, kind, field, id, &fx->by, &effect), AA_OK);
    return effect;
}

/* A row whose values all depend on `mark`. */
static void
row_of(float mark, float *w)
{
    for (int k = 0; k < W; k++)
        w[k] = mark + 0.125f * (float)k;
}

static replica_effect
put_row(fixture *fx, uint32_t field, uint32_t slot, aa_row_head rh, float mark)
{
    float          w[W];
    replica_effect effect;
    row_of(mark, w);
    assert_int_equal(aa_wire_pack_row(&fx->by, &rh, w, W, &fx->err), AA_OK);
    assert_int_equal(send(fx, AA_KEY_ROW, field, slot, &fx->by, &effect), AA_OK);
    return effect;
}

static replica_effect
delete_key(fixture *fx, uint8_t kind, uint32_t field, uint64_t id)
{
    replica_effect effect;
    assert_int_equal(send(fx, kind, field, id, NULL, &effect), AA_OK);
    return effect;
}

/* Dense weights of the configured model, drawn from seed; returns them (malloc'd). */
static float *
put_dense_of(fixture *fx, uint64_t run_id, uint64_t version, uint64_t seed, bool residual_rows,
             replica_effect *effect)
{
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(fx->cfg.model.kind);
    aa_model_shape_of(&sh, &fx->cfg);
    size_t           count = kind->weight_count(&sh);
    float           *w = calloc(count, sizeof *w);
    aa_dense_message d = {.run_id = run_id,
                          .version = version,
                          .F = F,
                          .K = K,
                          .hidden = {7, 3},
                          .hidden_count = 2,
                          .w = w,
                          .w_count = count,
                          .residual_rows = residual_rows,
                          .newest_kafka_ms = 777};
    snprintf(d.model, sizeof d.model, "%s", kind->name);
    kind->init(&sh, w, seed);
    assert_int_equal(aa_wire_pack_dense(&fx->by, &d, &fx->err), AA_OK);
    assert_int_equal(send(fx, AA_KEY_DENSE, 0, 0, &fx->by, effect), AA_OK);
    return w;
}

static float *
put_dense(fixture *fx, uint64_t run_id, uint64_t version, uint64_t seed, replica_effect *effect)
{
    return put_dense_of(fx, run_id, version, seed, false, effect);
}

/* Everything a score needs: new-ID records (slots 0 with mix 0.25), shared rows, dense weights. */
static float *
put_basics(fixture *fx)
{
    replica_effect effect;
    for (uint32_t f = 0; f < F; f++) {
        put_assignment(fx, AA_KEY_NEW_ID, f, 0,
                       (aa_assignment){.run_id = 1, .version = 1, .mix = 0.25f, .position = 1});
        for (uint32_t slot = 0; slot < 4; slot++)
            put_row(fx, f, slot, (aa_row_head){.run_id = 1, .version = 1},
                    (float)(f + 1) * 0.1f + (float)slot * 0.01f);
    }
    return put_dense(fx, 1, 1, 42, &effect);
}

static float
score_one(fixture *fx, uint64_t user, uint64_t item, aa_score_reading rd[2], replica_answer *answer)
{
    float    score = -1;
    uint64_t key[F] = {user, 0};
    assert_int_equal(replica_score(fx->rr, key, &item, 1, &score, rd, answer, &fx->err), AA_OK);
    return score;
}

/* The score of two given readings and signals, straight from the model. */
static float
model_score_of(const fixture *fx, const float *dense, const float user[W], const float item[W],
               const uint32_t code[F])
{
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(fx->cfg.model.kind);
    float                x[F * W], signal[F * AA_SIGNALS], logit;
    for (size_t f = 0; f < F; f++)
        aa_signal_read(code[f], signal + f * AA_SIGNALS);
    aa_model_shape_of(&sh, &fx->cfg);
    float *scratch = calloc(kind->scratch_count(&sh, 1) + 1, sizeof *scratch);
    memcpy(x, user, W * sizeof *x);
    memcpy(x + W, item, W * sizeof *x);
    kind->forward(&sh, dense, x, signal, 1, &logit, scratch);
    free(scratch);
    return aa_sigmoid(logit);
}

/* Without signals. */
static float
model_score(const fixture *fx, const float *dense, const float user[W], const float item[W])
{
    return model_score_of(fx, dense, user, item, (const uint32_t[F]){0});
}

static void
mixed(float mark0, float mark1, float mix, float out[W])
{
    float a[W], b[W];
    row_of(mark0, a);
    row_of(mark1, b);
    for (int k = 0; k < W; k++)
        out[k] = (1 - mix) * a[k] + mix * b[k];
}

/* Slot that an item reads, through its explanation. */
static aa_score_reading
reading_of_item(fixture *fx, uint64_t item)
{
    aa_score_reading rd[2];
    replica_answer   answer;
    score_one(fx, 1, item, rd, &answer);
    return rd[1];
}

/* ---- tests ---- */

static void
nothing_is_scored_before_dense_weights_and_new_id_records(void **state)
{
    fixture       *fx = *state;
    float          score;
    uint64_t       key[F] = {1, 2}, item = 2;
    replica_answer answer;
    replica_effect effect;
    assert_non_null(replica_missing(fx->rp));
    assert_int_equal(replica_score(fx->rr, key, &item, 1, &score, NULL, &answer, &fx->err),
                     AA_EAGAIN);
    free(put_dense(fx, 1, 1, 1, &effect));
    assert_non_null(strstr(replica_missing(fx->rp), "new-ID"));
    for (uint32_t f = 0; f < F; f++)
        put_assignment(fx, AA_KEY_NEW_ID, f, 0, (aa_assignment){.run_id = 1, .position = 1});
    assert_null(replica_missing(fx->rp));
    assert_int_equal(delete_key(fx, AA_KEY_DENSE, 0, 0), REPLICA_APPLIED);
    assert_non_null(replica_missing(fx->rp));
    assert_int_equal(delete_key(fx, AA_KEY_DENSE, 0, 0), REPLICA_OLD);
}

static void
unknown_ids_read_what_a_new_id_reads(void **state)
{
    fixture         *fx = *state;
    float           *dense = put_basics(fx), user[W], item[W];
    aa_score_reading rd[2];
    replica_answer   answer;
    float            score = score_one(fx, 900, 901, rd, &answer);
    mixed(0.1f, 0.11f, 0.25f, user);
    mixed(0.2f, 0.21f, 0.25f, item);
    float want = model_score(fx, dense, user, item);
    assert_memory_equal(&score, &want, sizeof score);
    assert_false(rd[0].known);
    assert_int_equal(rd[0].position, 1);
    assert_int_equal(answer.unknown, 2);
    assert_int_equal(answer.version, 1);
    assert_int_equal(answer.newest_kafka_ms, 777);
    free(dense);
}

static void
unknown_ids_of_hash_mode_read_the_row_their_key_falls_on(void **state)
{
    fixture *fx = *state;
    free(put_basics(fx));
    put_assignment(fx, AA_KEY_NEW_ID, ITEM, 0,
                   (aa_assignment){.run_id = 1, .version = 2, .modulo = 3, .position = 1});
    assert_int_equal(reading_of_item(fx, 10).slot, 1);
    assert_int_equal(reading_of_item(fx, 11).slot, 2);
    assert_int_equal(reading_of_item(fx, 12).slot, 0);
}

static void
records_of_an_older_run_or_rows_below_the_held_version_change_nothing(void **state)
{
    fixture *fx = *state;
    free(put_basics(fx));
    aa_assignment a = {.run_id = 5, .version = 10, .slot = 2, .position = 2};
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_APPLIED);
    uint64_t digest = replica_assignments_digest(fx->rp);
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_APPLIED);
    assert_int_equal(replica_assignments_digest(fx->rp), digest); /* twice is once */
    a.slot = 3;
    a.run_id = 1;
    a.version = 1000;
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_OLD);
    assert_int_equal(replica_assignments_digest(fx->rp), digest);
    assert_int_equal(reading_of_item(fx, 77).slot, 2);
    a.run_id = 6; /* a newer run wins with a lower version */
    a.version = 1;
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_APPLIED);
    assert_int_equal(reading_of_item(fx, 77).slot, 3);
    a.slot =
        4; /* within a run the one that comes later: Kafka keeps the order of a key's records */
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_APPLIED);
    assert_int_equal(reading_of_item(fx, 77).slot, 4);

    assert_int_equal(put_row(fx, ITEM, 2, (aa_row_head){.run_id = 1, .version = 0}, 9),
                     REPLICA_OLD);
    assert_int_equal(put_row(fx, ITEM, 2, (aa_row_head){.run_id = 0, .version = 9}, 9),
                     REPLICA_OLD);
    assert_int_equal(put_row(fx, ITEM, 2, (aa_row_head){.run_id = 2, .version = 0}, 9),
                     REPLICA_APPLIED);
    replica_effect effect;
    free(put_dense(fx, 1, 0, 1, &effect));
    assert_int_equal(effect, REPLICA_OLD);
    free(put_dense(fx, 1, 1, 1, &effect));
    assert_int_equal(effect, REPLICA_APPLIED);
    free(put_dense(fx, 2, 0, 1, &effect));
    assert_int_equal(effect, REPLICA_APPLIED);
}

static void
a_deleted_id_leaves_nothing_and_can_come_back(void **state)
{
    fixture      *fx = *state;
    aa_assignment a = {.run_id = 1, .version = 10, .slot = 2, .position = 2};
    replica_stats rs;
    free(put_basics(fx));
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);
    replica_stats_get(fx->rp, &rs);
    assert_int_equal(rs.assignments[ITEM], 1);
    assert_int_equal(delete_key(fx, AA_KEY_ASSIGNMENT, ITEM, 77), REPLICA_APPLIED);
    assert_int_equal(delete_key(fx, AA_KEY_ASSIGNMENT, ITEM, 77), REPLICA_OLD);
    assert_false(reading_of_item(fx, 77).known);
    replica_stats_get(fx->rp, &rs);
    assert_int_equal(rs.assignments[ITEM], 0);
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_APPLIED);
    assert_true(reading_of_item(fx, 77).known);
}

/* A topic that is read again from its beginning ends in the same state. */
static void
the_same_records_once_more_end_in_the_same_state(void **state)
{
    enum { RECORDS = 5000, IDS = 300 };
    fixture *fx = *state;
    uint64_t digest[2];
    for (int turn = 0; turn < 2; turn++) {
        for (uint64_t i = 0; i < RECORDS; i++) {
            const uint64_t pick = aa_rng_bits(77, AA_RNG_TEST, i, 0), key = 1 + (pick >> 8) % IDS;
            aa_assignment  a = {.run_id = 1, .version = i, .slot = (uint32_t)(pick >> 40) % 24};
            a.position = a.slot / 3 + 1;
            a.alt_slot = AA_NO_SLOT;
            if (pick % 5 == 0) {
                delete_key(fx, AA_KEY_ASSIGNMENT, ITEM, key);
                continue;
            }
            if (pick % 3 == 0) a.born = i, a.position = 9;
            put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, key, a);
        }
        digest[turn] = replica_assignments_digest(fx->rp);
    }
    assert_int_equal(digest[0], digest[1]);
}

/* Runs are told apart by two bits: what is older than the three newest is served still, but for own
 * rows, and any record replaces it. */
static void
records_of_many_runs_ago_bridge_the_gap(void **state)
{
    fixture      *fx = *state;
    aa_assignment a = {
        .slot = 30, .position = 9, .born = 18, .alt_slot = 2, .alt_mix = 0.5f, .run_id = 1};
    free(put_basics(fx));
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);
    put_row(fx, ITEM, 30, (aa_row_head){.run_id = 1, .version = 18, .born = 18}, 0.7f);
    const uint64_t first = replica_assignments_digest(fx->rp);
    for (uint64_t run_id = 2; run_id <= 5; run_id++) {
        assert_true(reading_of_item(fx, 77).unique == (run_id <= 4));
        put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 100 + run_id,
                       (aa_assignment){.run_id = run_id, .slot = 1, .position = 1});
    }
    aa_score_reading rd = reading_of_item(fx, 77);
    assert_true(rd.known && !rd.unique);
    assert_int_equal(rd.slot, 2);
    assert_int_not_equal(replica_assignments_digest(fx->rp), first);
    a.run_id = 5;
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);
    put_row(fx, ITEM, 30, (aa_row_head){.run_id = 5, .version = 18, .born = 18}, 0.7f);
    assert_true(reading_of_item(fx, 77).unique);
    a.run_id = 4;
    assert_int_equal(put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a), REPLICA_OLD);
}

static void
a_deleted_row_leaves_nothing_and_can_come_back(void **state)
{
    fixture      *fx = *state;
    replica_stats rs;
    float         w[W];
    free(put_basics(fx));
    aa_row_head rh = {.run_id = 1, .version = 10, .born = 3};
    replica_stats_get(fx->rp, &rs);
    const uint64_t bytes = rs.bytes;
    put_row(fx, ITEM, 50, rh, 1);
    put_row(fx, ITEM, 5000, rh, 1);
    replica_stats_get(fx->rp, &rs);
    assert_int_equal(rs.rows[ITEM], 6);
    assert_true(rs.bytes > bytes);
    assert_int_equal(delete_key(fx, AA_KEY_ROW, ITEM, 50), REPLICA_APPLIED);
    assert_int_equal(delete_key(fx, AA_KEY_ROW, ITEM, 50), REPLICA_OLD);
    assert_int_equal(delete_key(fx, AA_KEY_ROW, ITEM, 51), REPLICA_OLD);
    assert_int_equal(delete_key(fx, AA_KEY_ROW, ITEM, 5000000), REPLICA_OLD);
    assert_false(replica_read_row(fx->rr, ITEM, 50, w));
    assert_int_equal(delete_key(fx, AA_KEY_ROW, ITEM, 5000), REPLICA_APPLIED);
    replica_stats_get(fx->rp, &rs);
    assert_int_equal(rs.rows[ITEM], 4);
    assert_int_equal(rs.bytes, bytes);
    assert_int_equal(put_row(fx, ITEM, 50, rh, 1), REPLICA_APPLIED);
    assert_true(replica_read_row(fx->rr, ITEM, 50, w));
}

/* bf16 takes half the memory, and a row of floats among them keeps its bits. */
static void
rows_are_as_published_and_small_if_they_can_be(void **state)
{
    fixture      *fx = *state;
    replica_stats rs[3];
    float         w[W], got[W];
    replica_stats_get(fx->rp, &rs[0]);
    for (uint32_t slot = 100; slot < 200; slot++)
        put_row(fx, ITEM, slot, (aa_row_head){.run_id = 1, .version = 1}, 0.5f);
    replica_stats_get(fx->rp, &rs[1]);
    put_row(fx, ITEM, 150, (aa_row_head){.run_id = 1, .version = 2}, 0.1f);
    replica_stats_get(fx->rp, &rs[2]);
    assert_true(rs[2].bytes > rs[1].bytes && rs[1].bytes > rs[0].bytes);
    for (uint32_t slot = 100; slot < 200; slot++) {
        row_of(slot == 150 ? 0.1f : 0.5f, w);
        assert_true(replica_read_row(fx->rr, ITEM, slot, got));
        assert_memory_equal(got, w, sizeof w);
    }
}

static void
a_unique_row_is_read_only_by_its_owner(void **state)
{
    fixture      *fx = *state;
    float        *dense = put_basics(fx), user[W], item[W];
    aa_assignment a = {.run_id = 1,
                       .version = 20,
                       .slot = 30,
                       .position = 6,
                       .born = 18,
                       .alt_slot = 2,
                       .alt_mix = 0.5f};
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);

    /* not there yet: the alternative, and the score is the alternative's */
    aa_score_reading rd[2];
    replica_answer   answer;
    float            score = score_one(fx, 900, 77, rd, &answer);
    mixed(0.1f, 0.11f, 0.25f, user);
    mixed(0.22f, 0.23f, 0.5f, item);
    float want = model_score(fx, dense, user, item);
    assert_memory_equal(&score, &want, sizeof score);
    assert_false(rd[1].unique);
    assert_int_equal(rd[1].slot, 2);
    assert_int_equal(answer.fallbacks, 1);

    static const struct {
        aa_row_head rh;
        bool        owned;
        const char *why;
    } row[] = {
        {{.run_id = 1, .version = 10, .born = 4}, false, "a former owner's"},
        {{.run_id = 1, .version = 18, .born = 18}, true, "its own"},
        {{.run_id = 1, .version = 25, .born = 18}, true, "its own, trained further"},
        {{.run_id = 1, .version = 30, .born = 27}, false, "the next owner's"},
        {{.run_id = 2, .version = 18, .born = 18}, false, "of another run"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        put_row(fx, ITEM, 30, row[i].rh, 0.7f);
        aa_score_reading got = reading_of_item(fx, 77);
        if (got.unique != row[i].owned)
            fail_msg("row %zu (%s): unique is %d", i, row[i].why, got.unique);
        assert_int_equal(got.slot, row[i].owned ? 30 : 2);
    }
    a.run_id = 2; /* the new run's assignment arrives */
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);
    score = score_one(fx, 900, 77, rd, &answer);
    row_of(0.7f, item);
    want = model_score(fx, dense, user, item);
    assert_memory_equal(&score, &want, sizeof score);
    assert_true(rd[1].unique);
    assert_int_equal(rd[1].version, 18);
    assert_int_equal(answer.fallbacks, 0);
    free(dense);
}

/* Those of the user, of the item and of one that was never seen. */
static void
signals_of_both_ids_are_inputs_of_the_model(void **state)
{
    fixture         *fx = *state;
    replica_effect   effect;
    float            user[W], item[W];
    aa_score_reading rd[2];
    replica_answer   answer;
    free(put_basics(fx));
    float         *dense = put_dense(fx, 1, 2, 7, &effect); /* whose tower is not all off here */
    const uint32_t of_user = aa_signal_code(0.5f, -0.3f, 0.9f),
                   of_item = aa_signal_code(-0.7f, 0.2f, -1.0f);
    aa_assignment a = {.run_id = 1, .version = 20, .slot = 1, .position = 2, .signal = of_user};
    put_assignment(fx, AA_KEY_ASSIGNMENT, 0, 900, a);
    a.slot = 2;
    a.signal = of_item;
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);
    row_of(0.11f, user);
    row_of(0.22f, item);
    float score = score_one(fx, 900, 77, rd, &answer);
    float want = model_score_of(fx, dense, user, item, (const uint32_t[F]){of_user, of_item});
    assert_memory_equal(&score, &want, sizeof score);
    mixed(0.1f, 0.11f, 0.25f, user);
    score = score_one(fx, 901, 77, rd, &answer);
    want = model_score_of(fx, dense, user, item, (const uint32_t[F]){0, of_item});
    assert_memory_equal(&score, &want, sizeof score);
    const float without = model_score(fx, dense, user, item);
    assert_memory_not_equal(&score, &without, sizeof score);
    free(dense);
}

/* The dense message says that rows are residual: shared reading + own row, or the former alone. */
static void
a_residual_row_is_added_to_the_shared_reading(void **state)
{
    fixture       *fx = *state;
    float          user[W], item[W], own[W];
    aa_assignment  a = {.run_id = 1,
                        .version = 20,
                        .slot = 30,
                        .position = 6,
                        .born = 18,
                        .alt_slot = 2,
                        .alt_mix = 0.5f};
    replica_effect effect;
    free(put_basics(fx));
    float *dense = put_dense_of(fx, 1, 2, 42, true, &effect);
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77, a);
    mixed(0.1f, 0.11f, 0.25f, user);
    static const struct {
        uint64_t born, version;
        bool     added;
    } row[] = {{18, 1, true}, {27, 30, false}}; /* its own; the next owner's */
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        aa_score_reading rd[2];
        replica_answer   answer;
        put_row(fx, ITEM, 30,
                (aa_row_head){.run_id = 1, .version = row[i].version, .born = row[i].born}, 0.7f);
        float score = score_one(fx, 900, 77, rd, &answer);
        mixed(0.22f, 0.23f, 0.5f, item);
        row_of(0.7f, own);
        for (int k = 0; row[i].added && k < W; k++)
            item[k] += own[k];
        float want = model_score(fx, dense, user, item);
        assert_memory_equal(&score, &want, sizeof score);
        assert_int_equal(rd[1].unique, row[i].added);
        assert_int_equal(rd[1].slot, row[i].added ? 30 : 2);
        assert_int_equal(rd[1].version, 1); /* the newest of what was read */
        assert_int_equal(answer.fallbacks, !row[i].added);
    }
    free(dense);
}

static void
a_row_that_does_not_say_when_it_was_born_goes_by_its_version(void **state)
{
    fixture *fx = *state;
    free(put_basics(fx));
    put_assignment(
        fx, AA_KEY_ASSIGNMENT, ITEM, 77,
        (aa_assignment){
            .run_id = 1, .version = 20, .slot = 30, .position = 6, .born = 18, .alt_slot = 2});
    put_row(fx, ITEM, 30, (aa_row_head){.run_id = 1, .version = 17}, 1);
    assert_false(reading_of_item(fx, 77).unique);
    put_row(fx, ITEM, 30, (aa_row_head){.run_id = 1, .version = 18}, 1);
    assert_true(reading_of_item(fx, 77).unique);
}

static void
rows_that_are_not_there_read_as_zeros(void **state)
{
    fixture         *fx = *state;
    float           *dense = put_basics(fx), user[W], item[W] = {0};
    aa_score_reading rd[2];
    replica_answer   answer;
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77,
                   (aa_assignment){.run_id = 1, .slot = 3999999, .position = 2});
    float score = score_one(fx, 900, 77, rd, &answer);
    mixed(0.1f, 0.11f, 0.25f, user);
    float want = model_score(fx, dense, user, item);
    assert_memory_equal(&score, &want, sizeof score);
    assert_int_equal(answer.rows_missing, 1);
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 77,
                   (aa_assignment){.run_id = 1, .slot = AA_NO_SLOT, .mix = 0.5f, .position = 2});
    score = score_one(fx, 900, 77, rd, &answer);
    assert_memory_equal(&score, &want, sizeof score);
    assert_int_equal(answer.rows_missing, 0);
    free(dense);
}

static void
other_lanes_are_left_alone(void **state)
{
    fixture       *fx = *state;
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.lane = 3, .kind = AA_KEY_ASSIGNMENT, .field = ITEM, .id = 77};
    aa_assignment  a = {.run_id = 1, .slot = 2, .position = 2};
    replica_effect effect;
    free(put_basics(fx));
    aa_topic_key_put(key, &k);
    assert_int_equal(aa_wire_pack_assignment(&fx->by, &a, &fx->err), AA_OK);
    assert_int_equal(
        replica_apply(fx->rp, key, sizeof key, fx->by.data, fx->by.len, &effect, &fx->err), AA_OK);
    assert_int_equal(effect, REPLICA_OTHER_LANE);
    assert_false(reading_of_item(fx, 77).known);
}

/* Every model, every length around the block: each score has the bits of the model asked alone. */
static void
scores_are_the_models_own_whatever_the_length_of_the_list(void **state)
{
    static const size_t length[] = {1, 2, 63, 64, 65, 129, 200};
    (void)state;
    for (unsigned kind = 0; kind < aa_model_id_count; kind++) {
        void    *fixture_state = NULL;
        float    score[200];
        uint64_t item[200], key[F] = {900, 0};
        set_up(&fixture_state);
        fixture *fx = fixture_state;
        replica_reader_close(&fx->rr);
        replica_free(&fx->rp);
        fx->cfg.model.kind = kind;
        assert_int_equal(replica_new(&fx->rp, &fx->cfg, &fx->err), AA_OK);
        assert_int_equal(replica_reader_open(&fx->rr, fx->rp, &fx->err), AA_OK);
        float *dense = put_basics(fx), user[W], x[W];
        mixed(0.1f, 0.11f, 0.25f, user);
        for (uint32_t i = 0; i < 200; i++) {
            item[i] = 1000 + i;
            put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, item[i],
                           (aa_assignment){.run_id = 1, .slot = 100 + i, .position = 6, .born = 1});
            put_row(fx, ITEM, 100 + i, (aa_row_head){.run_id = 1, .version = 1, .born = 1},
                    (float)i * 0.01f - 1);
        }
        for (size_t l = 0; l < sizeof length / sizeof length[0]; l++) {
            replica_answer answer;
            assert_int_equal(
                replica_score(fx->rr, key, item, length[l], score, NULL, &answer, &fx->err), AA_OK);
            for (size_t i = 0; i < length[l]; i++) {
                row_of((float)i * 0.01f - 1, x);
                float want = model_score(fx, dense, user, x);
                if (memcmp(&score[i], &want, sizeof want) != 0)
                    fail_msg("%s, %zu of %zu: got %.9g want %.9g", aa_model_id_text(kind), i,
                             length[l], (double)score[i], (double)want);
            }
        }
        free(dense);
        tear_down(&fixture_state);
    }
}

/* The same records in several orders, in which only each ID's assignments keep theirs, as in a
 * topic; rows come in any order and more than once: equal digests. */
static void
the_order_of_arrival_does_not_matter(void **state)
{
    enum { RECORDS = 3000, IDS = 400, SLOTS = 200 };
    const uint64_t seed = 20240611;
    fixture       *fx = *state;
    printf("seed %llu\n", (unsigned long long)seed);
    uint64_t want_served = 0, want_assigned = 0;
    for (uint64_t order = 0; order < 3; order++) {
        void *other_state = NULL;
        set_up(&other_state);
        fixture *other = other_state;
        for (uint64_t n = 0; n < 2 * RECORDS; n++) {
            uint64_t i =
                order == 0 ? n % RECORDS : aa_rng_bits(seed, AA_RNG_TEST, order, n) % RECORDS;
            if (order && n >= RECORDS) i = n - RECORDS; /* each at least once */
            uint64_t pick = aa_rng_bits(seed, AA_RNG_TEST, 9, i);
            put_row(other, (uint32_t)(pick & 1), (uint32_t)((pick >> 8) % SLOTS),
                    (aa_row_head){.run_id = 1, .version = i + 1}, (float)i);
        }
        for (uint64_t part = 0; part < 7; part++) { /* partitions one after the other */
            const uint64_t mine = (part * (order + 1) + order) % 7;
            for (uint64_t i = 0; i < RECORDS; i++) {
                const uint64_t pick = aa_rng_bits(seed, AA_RNG_TEST, 9, i);
                const uint64_t key = 1 + (pick >> 8) % IDS;
                if (key % 7 != mine) continue;
                put_assignment(other, AA_KEY_ASSIGNMENT, (uint32_t)(pick & 1), key,
                               (aa_assignment){.run_id = 1, .slot = (uint32_t)i, .position = 3});
            }
        }
        if (order == 0) {
            want_served = replica_served_digest(other->rp);
            want_assigned = replica_assignments_digest(other->rp);
            assert_int_not_equal(want_served, replica_served_digest(fx->rp));
        }
        assert_int_equal(replica_served_digest(other->rp), want_served);
        assert_int_equal(replica_assignments_digest(other->rp), want_assigned);
        tear_down(&other_state);
    }
}

static void
the_served_digest_is_rows_by_field_and_slot_then_dense_weights(void **state)
{
    fixture       *fx = *state;
    float          w[W], *dense;
    uint64_t       want = 0;
    aa_model_shape sh;
    replica_effect effect;
    put_row(fx, ITEM, 1, (aa_row_head){.run_id = 7, .version = 1}, 0.3f);
    put_row(fx, USER, 2000, (aa_row_head){.run_id = 7, .version = 1}, 0.2f);
    put_row(fx, USER, 3, (aa_row_head){.run_id = 7, .version = 1}, 0.1f);
    put_row(fx, USER, 4, (aa_row_head){.run_id = 6, .version = 9}, 9); /* left by an older run */
    put_row(fx, USER, 5, (aa_row_head){.run_id = 7, .version = 1}, 9);
    delete_key(fx, AA_KEY_ROW, USER, 5);
    dense = put_dense(fx, 7, 1, 3, &effect);
    const uint32_t head[3][2] = {{USER, 3}, {USER, 2000}, {ITEM, 1}};
    const float    mark[3] = {0.1f, 0.2f, 0.3f};
    for (int i = 0; i < 3; i++) {
        row_of(mark[i], w);
        want = aa_digest(want, head[i], sizeof head[i]);
        want = aa_digest(want, w, sizeof w);
    }
    aa_model_shape_of(&sh, &fx->cfg);
    size_t count = aa_model_find(fx->cfg.model.kind)->weight_count(&sh);
    want = aa_digest(want, dense, count * sizeof *dense);
    assert_int_equal(replica_served_digest(fx->rp), want);
    free(dense);
}

static void
many_ids_and_rows_are_found_again(void **state)
{
    enum { IDS = 20000 };
    fixture *fx = *state;
    free(put_basics(fx));
    for (uint32_t i = 0; i < IDS; i++) {
        put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, aa_id_key_number(i),
                       (aa_assignment){.run_id = 1, .slot = 4 + i, .position = 6, .born = 1 + i});
        put_row(fx, ITEM, 4 + i, (aa_row_head){.run_id = 1, .version = 9, .born = 1 + i}, 1);
        if (i % 3 == 0) delete_key(fx, AA_KEY_ASSIGNMENT, ITEM, aa_id_key_number(i));
    }
    for (uint32_t i = 0; i < IDS; i++) {
        aa_score_reading rd = reading_of_item(fx, aa_id_key_number(i));
        assert_int_equal(rd.known, i % 3 != 0);
        assert_int_equal(rd.unique, i % 3 != 0);
        if (rd.known) assert_int_equal(rd.slot, 4 + i);
    }
    replica_stats rs;
    replica_stats_get(fx->rp, &rs);
    assert_int_equal(rs.assignments[ITEM], IDS - (IDS + 2) / 3);
    assert_int_equal(rs.rows[ITEM], IDS + 4);
}

static void
damaged_records_are_refused_and_change_nothing(void **state)
{
    fixture       *fx = *state;
    replica_effect effect;
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.kind = AA_KEY_ROW, .field = ITEM, .id = 1};
    free(put_basics(fx));
    uint64_t served = replica_served_digest(fx->rp);
    aa_topic_key_put(key, &k);

    assert_int_equal(replica_apply(fx->rp, NULL, 0, "x", 1, &effect, &fx->err), AA_EPARSE);
    assert_int_equal(replica_apply(fx->rp, key, 5, "x", 1, &effect, &fx->err), AA_EPARSE);
    assert_int_equal(replica_apply(fx->rp, key, sizeof key, "x", 1, &effect, &fx->err), AA_EPARSE);
    assert_int_equal(replica_apply(fx->rp, key, sizeof key, "", 0, &effect, &fx->err), AA_EPARSE);

    /* a row of another width, a field that is not configured, a slot beyond any table, ID key 0 */
    float wide[W + 1] = {0};
    assert_int_equal(aa_wire_pack_row(&fx->by, &(aa_row_head){.run_id = 9}, wide, W + 1, &fx->err),
                     AA_OK);
    assert_int_equal(send(fx, AA_KEY_ROW, ITEM, 1, &fx->by, &effect), AA_EPARSE);
    assert_int_equal(aa_wire_pack_row(&fx->by, &(aa_row_head){.run_id = 9}, wide, W, &fx->err),
                     AA_OK);
    assert_int_equal(send(fx, AA_KEY_ROW, 5, 1, &fx->by, &effect), AA_EPARSE);
    assert_int_equal(send(fx, AA_KEY_ROW, ITEM, 4000000000u, &fx->by, &effect), AA_EPARSE);
    aa_assignment a = {.run_id = 9, .position = 1};
    assert_int_equal(aa_wire_pack_assignment(&fx->by, &a, &fx->err), AA_OK);
    assert_int_equal(send(fx, AA_KEY_ASSIGNMENT, ITEM, 0, &fx->by, &effect), AA_EPARSE);

    /* dense weights of another shape */
    float            w[3] = {0};
    aa_dense_message d = {.run_id = 9,
                          .model = "deepfm",
                          .F = F,
                          .K = K,
                          .w = w,
                          .w_count = 3,
                          .hidden = {7, 3},
                          .hidden_count = 2};
    assert_int_equal(aa_wire_pack_dense(&fx->by, &d, &fx->err), AA_OK);
    assert_int_equal(send(fx, AA_KEY_DENSE, 0, 0, &fx->by, &effect), AA_EPARSE);
    d.hidden[1] = 4;
    assert_int_equal(aa_wire_pack_dense(&fx->by, &d, &fx->err), AA_OK);
    assert_int_equal(send(fx, AA_KEY_DENSE, 0, 0, &fx->by, &effect), AA_EPARSE);
    snprintf(d.model, sizeof d.model, "fm");
    assert_int_equal(aa_wire_pack_dense(&fx->by, &d, &fx->err), AA_OK);
    assert_int_equal(send(fx, AA_KEY_DENSE, 0, 0, &fx->by, &effect), AA_EPARSE);
    assert_non_null(strstr(fx->err.text, "configured model is a deepfm"));
    assert_int_equal(replica_served_digest(fx->rp), served);
}

static void
random_bytes_and_bit_flips_never_break_the_replica(void **state)
{
    const uint64_t seed = 4711;
    fixture       *fx = *state;
    size_t         refused = 0;
    printf("seed %llu\n", (unsigned long long)seed);
    free(put_basics(fx));
    for (uint64_t n = 0; n < 20000; n++) {
        uint8_t        key[AA_TOPIC_KEY_BYTES], value[200];
        replica_effect effect;
        uint64_t       bits = aa_rng_bits(seed, AA_RNG_TEST, n, 0);
        const char     kinds[] = "arnd";
        aa_topic_key   k = {.kind = (uint8_t)kinds[bits & 3], .field = (bits >> 2) & 1};
        if (k.kind == AA_KEY_ASSIGNMENT || k.kind == AA_KEY_ROW) k.id = (bits >> 3) % 5000;
        if (k.kind == AA_KEY_DENSE) k.field = 0;
        size_t len = (bits >> 20) % sizeof value;
        if (bits >> 63) { /* a good row with some bits turned */
            float w[W] = {0};
            assert_int_equal(aa_wire_pack_row(&fx->by, &(aa_row_head){.run_id = 1, .version = n}, w,
                                              W, &fx->err),
                             AA_OK);
            len = fx->by.len;
            memcpy(value, fx->by.data, len);
            for (uint64_t flip = 0; flip < 3; flip++) {
                uint64_t at = aa_rng_bits(seed, AA_RNG_TEST, n, 1 + flip) % (len * 8);
                value[at / 8] ^= (uint8_t)(1u << (at % 8));
            }
        } else {
            for (size_t i = 0; i < len; i++)
                value[i] = (uint8_t)aa_rng_bits(seed, AA_RNG_TEST, n, 10 + i);
        }
        aa_topic_key_put(key, &k);
        if ((bits >> 40) % 10 == 0) key[(bits >> 44) % sizeof key] ^= (uint8_t)(bits >> 50);
        aa_status st = replica_apply(fx->rp, key, sizeof key, value, len, &effect, &fx->err);
        assert_true(st == AA_OK || st == AA_EPARSE);
        refused += st == AA_EPARSE;
    }
    assert_true(refused > 1000);
    aa_score_reading rd[2];
    replica_answer   answer;
    float            score = score_one(fx, 1, 2, rd, &answer);
    assert_true(score >= 0 && score <= 1);
}

static void
a_scorer_needs_a_user_and_an_item_field(void **state)
{
    fixture *fx = *state;
    replica *rp = NULL;
    fx->cfg.field_count = 1;
    assert_int_equal(replica_new(&rp, &fx->cfg, &fx->err), AA_ECONFIG);
    fx->cfg.field_count = 2;
    assert_null(rp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- pinned readers ---- */

static void
reading_the_table_while_pinned_keeps_the_pinned_weights(void **state)
{
    fixture         *fx = *state;
    replica_effect   effect;
    replica_answer   answer;
    aa_score_reading rd[2];
    aa_assignment    a;
    float            x[W];
    free(put_basics(fx));
    put_assignment(fx, AA_KEY_ASSIGNMENT, ITEM, 9, (aa_assignment){.run_id = 1, .version = 1});
    const float before = score_one(fx, 1, 9, rd, &answer);
    replica_pin(fx->rr);
    assert_true(replica_read_row(fx->rr, ITEM, 0, x));
    assert_true(replica_read_id(fx->rr, ITEM, 9, x, &a, rd));
    for (uint64_t version = 2; version < 6; version++) /* would be put where the pinned ones were */
        free(put_dense(fx, 1, version, version, &effect));
    check_close((double)score_one(fx, 1, 9, rd, &answer), (double)before, 0, 0, 0);
    assert_int_equal(answer.version, 1);
    replica_unpin(fx->rr);
    score_one(fx, 1, 9, rd, &answer);
    assert_int_equal(answer.version, 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_scored_before_dense_weights_and_new_id_records),
        TEST(unknown_ids_read_what_a_new_id_reads),
        TEST(unknown_ids_of_hash_mode_read_the_row_their_key_falls_on),
        TEST(records_of_an_older_run_or_rows_below_the_held_version_change_nothing),
        TEST(a_deleted_id_leaves_nothing_and_can_come_back),
        TEST(the_same_records_once_more_end_in_the_same_state),
        TEST(records_of_many_runs_ago_bridge_the_gap),
        TEST(a_deleted_row_leaves_nothing_and_can_come_back),
        TEST(rows_are_as_published_and_small_if_they_can_be),
        TEST(a_unique_row_is_read_only_by_its_owner),
        TEST(signals_of_both_ids_are_inputs_of_the_model),
        TEST(a_residual_row_is_added_to_the_shared_reading),
        TEST(a_row_that_does_not_say_when_it_was_born_goes_by_its_version),
        TEST(rows_that_are_not_there_read_as_zeros),
        TEST(reading_the_table_while_pinned_keeps_the_pinned_weights),
        TEST(other_lanes_are_left_alone),
        TEST(scores_are_the_models_own_whatever_the_length_of_the_list),
        TEST(the_order_of_arrival_does_not_matter),
        TEST(the_served_digest_is_rows_by_field_and_slot_then_dense_weights),
        TEST(many_ids_and_rows_are_found_again),
        TEST(damaged_records_are_refused_and_change_nothing),
        TEST(random_bytes_and_bit_flips_never_break_the_replica),
        TEST(a_scorer_needs_a_user_and_an_item_field),
    };
    return cmocka_run_group_tests_name("scorer/replica/replica", tests, NULL, NULL);
}
