#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <time.h>

#include "common/model/model.h"
#include "schemas/batch.pb-c.h"
#include "schemas/model.pb-c.h"
#include "tests/exact.h"
#include "tests/wire_samples.h"

#define WIDTH 17 /* of sample rows */

/* ---- every kind of message behind one interface ----
 * `held` is the object that a kind unpacks into and packs from; it lives through a test, so that a
 * refused message can be shown to have changed nothing. */
static struct {
    aa_event_batch    events;
    aa_assigned_batch assigned;
    aa_reward_batch   rewards;
    aa_control        control;
    aa_assignment     assignment;
    aa_row_head       row;
    float             row_w[WIDTH];
    aa_dense_message  dense;
    aa_prediction     prediction;
    aa_offer          offer;
    aa_fetch          fetch;
    aa_fetched        fetched;
} held;

typedef struct {
    const char *name;
    void (*fill)(sample_rng *rng); /* held = something random */
    aa_status (*pack)(aa_bytes *out, aa_err *err);
    aa_status (*unpack)(const void *buf, size_t len, aa_err *err);
} kind;

static void
fill_events(sample_rng *rng)
{
    sample_events(&held.events, rng, sample_below(rng, 40), 1 + sample_below(rng, 8));
}
static aa_status
pack_events(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_events(out, &held.events, err);
}
static aa_status
unpack_events(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_events(&held.events, buf, len, err);
}

static void
fill_assigned(sample_rng *rng)
{
    bool plain = sample_below(rng, 3) == 0;
    sample_assigned(&held.assigned, rng, sample_below(rng, 40), 1 + sample_below(rng, 8), plain);
}
static aa_status
pack_assigned(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_assigned(out, &held.assigned, err);
}
static aa_status
unpack_assigned(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_assigned(&held.assigned, buf, len, err);
}

static void
fill_rewards(sample_rng *rng)
{
    size_t n = sample_below(rng, 40);
    sample_rewards(&held.rewards, rng, n, n * 2 + sample_below(rng, 10));
}
static aa_status
pack_rewards(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_rewards(out, &held.rewards, err);
}
static aa_status
unpack_rewards(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_rewards(&held.rewards, buf, len, err);
}

static void
fill_control(sample_rng *rng)
{
    sample_control(&held.control, rng);
}
static aa_status
pack_control(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_control(out, &held.control, err);
}
static aa_status
unpack_control(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_control(&held.control, buf, len, err);
}

static void
fill_assignment(sample_rng *rng)
{
    sample_assignment(&held.assignment, rng);
}
static aa_status
pack_assignment(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_assignment(out, &held.assignment, err);
}
static aa_status
unpack_assignment(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_assignment(&held.assignment, buf, len, err);
}

static void
fill_row(sample_rng *rng)
{
    held.row = (aa_row_head){.run_id = sample_bits(rng),
                             .version = sample_bits(rng),
                             .born = sample_bits(rng),
                             .bf16 = sample_below(rng, 2)};
    for (size_t i = 0; i < WIDTH; i++) {
        uint32_t bits;
        held.row_w[i] = sample_real(rng);
        memcpy(&bits, &held.row_w[i], sizeof bits);
        bits &= 0xFFFF0000u;
        if (held.row.bf16) memcpy(&held.row_w[i], &bits, sizeof bits);
    }
}
static aa_status
pack_row(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_row(out, &held.row, held.row_w, WIDTH, err);
}
static aa_status
unpack_row(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_row(&held.row, held.row_w, WIDTH, buf, len, err);
}

static void
fill_dense(sample_rng *rng)
{
    static float     w[60];
    aa_bytes         by = {0};
    aa_dense_message d;
    aa_err           err = AA_ERR_INIT;
    sample_dense(&d, rng, w, sample_below(rng, 60));
    sample_must(aa_wire_pack_dense(&by, &d, &err), &err);
    sample_must(aa_wire_unpack_dense(&held.dense, by.data, by.len, &err), &err);
    aa_bytes_fini(&by);
}
static aa_status
pack_dense(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_dense(out, &held.dense, err);
}
static aa_status
unpack_dense(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_dense(&held.dense, buf, len, err);
}

static void
fill_prediction(sample_rng *rng)
{
    held.prediction = (aa_prediction){sample_bits(rng), (uint32_t)sample_bits(rng),
                                      sample_unit(rng), sample_real(rng)};
}
static aa_status
pack_prediction(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_prediction(out, &held.prediction, err);
}
static aa_status
unpack_prediction(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_prediction(&held.prediction, buf, len, err);
}

static void
fill_offer(sample_rng *rng)
{
    sample_offer(&held.offer, rng, sample_below(rng, 20));
}
static aa_status
pack_offer(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_offer(out, &held.offer, err);
}
static aa_status
unpack_offer(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_offer(&held.offer, buf, len, err);
}

static void
fill_fetch(sample_rng *rng)
{
    held.fetch.hd = sample_header(rng);
    sample_portions(&held.fetch.po, rng, sample_below(rng, 20), true);
}
static aa_status
pack_fetch(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_fetch(out, &held.fetch, err);
}
static aa_status
unpack_fetch(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_fetch(&held.fetch, buf, len, err);
}

static void
fill_fetched(sample_rng *rng)
{
    sample_fetched(&held.fetched, rng, sample_below(rng, 40), 1 + sample_below(rng, 8));
}
static aa_status
pack_fetched(aa_bytes *out, aa_err *err)
{
    return aa_wire_pack_fetched(out, &held.fetched, err);
}
static aa_status
unpack_fetched(const void *buf, size_t len, aa_err *err)
{
    return aa_wire_unpack_fetched(&held.fetched, buf, len, err);
}

static const kind kinds[] = {
    {"events", fill_events, pack_events, unpack_events},
    {"assigned", fill_assigned, pack_assigned, unpack_assigned},
    {"rewards", fill_rewards, pack_rewards, unpack_rewards},
    {"control", fill_control, pack_control, unpack_control},
    {"assignment", fill_assignment, pack_assignment, unpack_assignment},
    {"row", fill_row, pack_row, unpack_row},
    {"dense", fill_dense, pack_dense, unpack_dense},
    {"prediction", fill_prediction, pack_prediction, unpack_prediction},
    {"offer", fill_offer, pack_offer, unpack_offer},
    {"fetch", fill_fetch, pack_fetch, unpack_fetch},
    {"fetched", fill_fetched, pack_fetched, unpack_fetched},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static int
fini_held(void **state)
{
    (void)state;
    aa_event_batch_fini(&held.events);
    aa_assigned_batch_fini(&held.assigned);
    aa_reward_batch_fini(&held.rewards);
    aa_dense_message_fini(&held.dense);
    aa_portions_fini(&held.offer.po);
    aa_portions_fini(&held.fetch.po);
    aa_fetched_fini(&held.fetched);
    return 0;
}

static sample_rng
new_rng(void)
{
    const char *given = getenv("SEED");
    sample_rng  rng = {given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL), 0};
    print_message("SEED=%" PRIu64 "\n", rng.seed);
    return rng;
}

static void
pack_held(const kind *k, aa_bytes *out)
{
    aa_err err = AA_ERR_INIT;
    if (k->pack(out, &err)) fail_msg("%s: %s", k->name, err.text);
}

/* Offer bytes to a kind whose held object packs to `before`. They must be refused without a trace,
 * or give an object that packs and is read back as itself. */
static aa_status
offer(const kind *k, const void *buf, size_t len, const aa_bytes *before)
{
    aa_err    err = AA_ERR_INIT;
    aa_bytes  after = {0}, again = {0};
    uint8_t  *exact = exact_copy(buf, len);
    aa_status st = k->unpack(exact, len, &err);
    free(exact);
    pack_held(k, &after);
    if (st != AA_OK) {
        assert_int_equal(st, AA_EPARSE);
        assert_true(err.text[0] != '\0');
        assert_int_equal(after.len, before->len);
        assert_memory_equal(after.data, before->data, before->len);
    } else {
        if (k->unpack(after.data, after.len, &err)) fail_msg("%s: %s", k->name, err.text);
        pack_held(k, &again);
        assert_int_equal(again.len, after.len);
        assert_memory_equal(again.data, after.data, after.len);
        if (k->unpack(before->data, before->len, &err)) fail_msg("%s: %s", k->name, err.text);
    }
    aa_bytes_fini(&after);
    aa_bytes_fini(&again);
    return st;
}

/* ---- round trips ---- */

static void
every_message_survives_its_round_trip(void **state)
{
    (void)state;
    sample_rng rng = new_rng();
    for (size_t i = 0; i < KINDS; i++) {
        for (int round = 0; round < 200; round++) {
            const kind *k = &kinds[i];
            aa_bytes    first = {0}, second = {0};
            aa_err      err = AA_ERR_INIT;
            k->fill(&rng);
            pack_held(k, &first);
            k->fill(&rng); /* something else is overwritten */
            if (k->unpack(first.data, first.len, &err)) fail_msg("%s: %s", k->name, err.text);
            pack_held(k, &second);
            assert_int_equal(first.len, second.len);
            assert_memory_equal(first.data, second.data, first.len);
            aa_bytes_fini(&first);
            aa_bytes_fini(&second);
        }
    }
}

static void
events_arrive_as_they_were(void **state)
{
    (void)state;
    sample_rng     rng = new_rng();
    aa_event_batch a = {0}, b = {0};
    aa_bytes       by = {0};
    aa_err         err = AA_ERR_INIT;
    sample_events(&a, &rng, 513, 3);
    a.hd = (aa_header){.run_id = UINT64_MAX, .seq = 77, .lane = 65535};
    a.time_ms[5] = INT64_MIN;
    assert_int_equal(aa_wire_pack_events(&by, &a, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_events(&b, by.data, by.len, &err), AA_OK);
    assert_int_equal(b.hd.run_id, UINT64_MAX);
    assert_int_equal(b.hd.seq, 77);
    assert_int_equal(b.hd.lane, 65535);
    assert_int_equal(b.n, 513);
    assert_int_equal(b.F, 3);
    assert_int_equal(b.oldest_kafka_ms, a.oldest_kafka_ms);
    assert_memory_equal(a.key, b.key, 513 * 3 * sizeof *a.key);
    assert_memory_equal(a.label, b.label, 513 * sizeof *a.label);
    assert_memory_equal(a.time_ms, b.time_ms, 513 * sizeof *a.time_ms);
    aa_event_batch_fini(&a);
    aa_event_batch_fini(&b);
    aa_bytes_fini(&by);
}

static void
assigned_batch_arrives_as_it_was(void **state)
{
    (void)state;
    sample_rng        rng = new_rng();
    aa_assigned_batch a = {0}, b = {0};
    aa_bytes          by = {0};
    aa_err            err = AA_ERR_INIT;
    sample_assigned(&a, &rng, 200, 2, false);
    assert_true(a.op_count > 0);
    assert_int_equal(aa_wire_pack_assigned(&by, &a, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_assigned(&b, by.data, by.len, &err), AA_OK);
    assert_int_equal(b.n, 200);
    assert_int_equal(b.F, 2);
    assert_memory_equal(a.slot, b.slot, 400 * 4);
    assert_memory_equal(a.mix, b.mix, 400 * 4);
    assert_memory_equal(a.alt_slot, b.alt_slot, 400 * 4);
    assert_memory_equal(a.alt_mix, b.alt_mix, 400 * 4);
    assert_memory_equal(a.state, b.state, 400 * 4);
    assert_memory_equal(a.next_state, b.next_state, 400 * 4);
    assert_memory_equal(a.baseline, b.baseline, 400 * 4);
    assert_memory_equal(a.label, b.label, 200 * 4);
    assert_memory_equal(a.seen, b.seen, 200 * 4);
    assert_int_equal(a.op_count, b.op_count);
    for (size_t i = 0; i < a.op_count; i++) {
        assert_int_equal(a.op[i].event_idx, b.op[i].event_idx);
        assert_int_equal(a.op[i].kind, b.op[i].kind);
        assert_int_equal(a.op[i].field, b.op[i].field);
        assert_int_equal(a.op[i].slot, b.op[i].slot);
        assert_int_equal(a.op[i].source, b.op[i].source);
        assert_true(a.op[i].source_mix == b.op[i].source_mix);
    }
    assert_int_equal(b.sweep_count, 50);
    assert_memory_equal(a.sweep_state, b.sweep_state, 50 * 4);
    assert_memory_equal(a.sweep_next_state, b.sweep_next_state, 50 * 4);
    assert_memory_equal(a.sweep_field, b.sweep_field, 50 * 4);
    aa_assigned_batch_fini(&a);
    aa_assigned_batch_fini(&b);
    aa_bytes_fini(&by);
}

static void
defaults_cost_no_bytes_and_come_back(void **state)
{
    (void)state;
    sample_rng        rng = new_rng();
    aa_assigned_batch full = {0}, plain = {0};
    aa_bytes          by_full = {0}, by_plain = {0};
    aa_err            err = AA_ERR_INIT;
    sample_assigned(&full, &rng, 100, 2, false);
    sample_assigned(&plain, &rng, 100, 2, true);
    assert_int_equal(aa_wire_pack_assigned(&by_full, &full, &err), AA_OK);
    assert_int_equal(aa_wire_pack_assigned(&by_plain, &plain, &err), AA_OK);
    /* mix, alt_slot, alt_mix and baseline are left out */
    assert_true(by_plain.len + 4 * 200 * 4 < by_full.len);
    assert_int_equal(aa_wire_unpack_assigned(&full, by_plain.data, by_plain.len, &err), AA_OK);
    assert_int_equal(full.op_count, 0);
    assert_int_equal(full.sweep_count, 0);
    for (size_t i = 0; i < 200; i++) {
        assert_true(full.mix[i] == 0.0f && full.alt_mix[i] == 0.0f && isnan(full.baseline[i]));
        assert_int_equal(full.alt_slot[i], AA_NO_SLOT);
    }
    aa_assigned_batch_fini(&full);
    aa_assigned_batch_fini(&plain);
    aa_bytes_fini(&by_full);
    aa_bytes_fini(&by_plain);
}

static void
control_arrives_as_it_was(void **state)
{
    (void)state;
    aa_control c = {.hd = {5, 6, 7},
                    .epoch = 8,
                    .final = true,
                    .config_digest = 9,
                    .to_seq = 10,
                    .base_epoch = 11,
                    .newest_run_id = 12,
                    .hold = true,
                    .setting_count = AA_CONF_KEPT_MAX};
    aa_control got;
    aa_bytes   by = {0};
    aa_err     err = AA_ERR_INIT;
    memset(c.pipeline, 'p', sizeof c.pipeline - 1); /* the longest that fits */
    memset(c.reason, 'r', sizeof c.reason - 1);
    for (size_t i = 0; i < c.setting_count; i++)
        c.setting[i] = (uint32_t)i * 2654435761u;
    assert_int_equal(aa_wire_pack_control(&by, &c, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_control(&got, by.data, by.len, &err), AA_OK);
    assert_int_equal(got.hd.run_id, 5);
    assert_int_equal(got.hd.seq, 6);
    assert_int_equal(got.hd.lane, 7);
    assert_int_equal(got.epoch, 8);
    assert_true(got.final);
    assert_int_equal(got.config_digest, 9);
    assert_int_equal(got.to_seq, 10);
    assert_int_equal(got.base_epoch, 11);
    assert_int_equal(got.newest_run_id, 12);
    assert_true(got.hold);
    assert_int_equal(got.setting_count, AA_CONF_KEPT_MAX);
    assert_memory_equal(got.setting, c.setting, sizeof c.setting);
    assert_string_equal(got.pipeline, c.pipeline);
    assert_string_equal(got.reason, c.reason);
    aa_bytes_fini(&by);
}

static void
dense_bytes_bound_the_packed_weights_of_every_model(void **state)
{
    (void)state;
    static const enum aa_model_id id[] = {AA_MODEL_FM, AA_MODEL_MLP, AA_MODEL_WIDEDEEP,
                                          AA_MODEL_DEEPFM, AA_MODEL_DCN};
    aa_conf                      *cfg = malloc(sizeof *cfg);
    aa_bytes                      by = {0};
    aa_err                        err = AA_ERR_INIT;
    assert_non_null(cfg);
    aa_conf_defaults(cfg);
    cfg->model.dim = 64;
    cfg->hidden_count = 4;
    for (size_t h = 0; h < cfg->hidden_count; h++)
        cfg->hidden[h] = 257;
    for (size_t i = 0; i < sizeof id / sizeof *id; i++) {
        aa_model_shape sh;
        cfg->model.kind = id[i];
        aa_model_shape_of(&sh, cfg);
        const size_t     count = aa_model_find(id[i])->weight_count(&sh);
        aa_dense_message d = {.run_id = UINT64_MAX,
                              .version = UINT64_MAX,
                              .F = cfg->field_count,
                              .K = 64,
                              .hidden_count = 4,
                              .events = UINT64_MAX,
                              .residual_rows = true,
                              .newest_kafka_ms = -1, /* a varint at its longest */
                              .oldest_kafka_ms = -1,
                              .w_count = count};
        float           *w = calloc(count + 1, sizeof *w);
        assert_non_null(w);
        d.w = w;
        memset(d.model, 'm', sizeof d.model - 1);
        memset(d.pipeline, 'p', sizeof d.pipeline - 1);
        for (size_t h = 0; h < 4; h++)
            d.hidden[h] = 65536;
        assert_int_equal(aa_wire_pack_dense(&by, &d, &err), AA_OK);
        assert_in_range(aa_wire_dense_bytes(cfg), by.len, by.len + 512);
        free(w);
    }
    aa_bytes_fini(&by);
    free(cfg);
}

static void
dense_weights_are_owned_and_replaced(void **state)
{
    (void)state;
    sample_rng       rng = new_rng();
    float            w[500];
    aa_dense_message d, got = {0};
    aa_bytes         by = {0};
    aa_err           err = AA_ERR_INIT;
    for (size_t count = 0; count <= 500; count += 250) {
        sample_dense(&d, &rng, w, count);
        assert_int_equal(aa_wire_pack_dense(&by, &d, &err), AA_OK);
        assert_int_equal(aa_wire_unpack_dense(&got, by.data, by.len, &err), AA_OK);
        assert_int_equal(got.w_count, count);
        assert_ptr_equal(got.w, got.owned);
        assert_memory_equal(got.w, w, count * sizeof *w);
        assert_int_equal(got.F, d.F);
        assert_int_equal(got.K, d.K);
        assert_int_equal(got.hidden_count, d.hidden_count);
        assert_memory_equal(got.hidden, d.hidden, d.hidden_count * sizeof *d.hidden);
        assert_string_equal(got.model, d.model);
        assert_int_equal(got.events, d.events);
        assert_int_equal(got.newest_kafka_ms, d.newest_kafka_ms);
        assert_int_equal(got.residual_rows, d.residual_rows);
    }
    aa_dense_message_fini(&got);
    aa_dense_message_fini(&got);
    aa_bytes_fini(&by);
}

/* ---- damage ---- */

static void
truncated_anywhere_is_refused_or_harmless(void **state)
{
    (void)state;
    sample_rng rng = new_rng();
    for (size_t i = 0; i < KINDS; i++) {
        aa_bytes whole = {0};
        size_t   accepted = 0;
        kinds[i].fill(&rng);
        pack_held(&kinds[i], &whole);
        for (size_t cut = 0; cut < whole.len; cut++)
            accepted += offer(&kinds[i], whole.data, cut, &whole) == AA_OK;
        /* proto3 has no end mark: a cut between two fields can leave a message. Few are; each
         * letter of fetched records ends a field, too. */
        size_t letters = kinds[i].fill == fill_fetched ? held.fetched.letter_count : 0;
        assert_true(accepted <= 12 + letters);
        aa_bytes_fini(&whole);
    }
}

static void
flipped_bits_are_refused_or_harmless(void **state)
{
    (void)state;
    sample_rng rng = new_rng();
    for (size_t i = 0; i < KINDS; i++) {
        aa_bytes whole = {0};
        kinds[i].fill(&rng);
        pack_held(&kinds[i], &whole);
        uint8_t *bytes = malloc(whole.len);
        assert_non_null(bytes);
        memcpy(bytes, whole.data, whole.len);
        for (size_t bit = 0; bit < whole.len * 8; bit += 1 + sample_below(&rng, 4)) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            offer(&kinds[i], bytes, whole.len, &whole);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(bytes);
        aa_bytes_fini(&whole);
    }
}

static void
random_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    sample_rng rng = new_rng();
    uint8_t    noise[300];
    for (size_t i = 0; i < KINDS; i++) {
        aa_bytes whole = {0};
        kinds[i].fill(&rng);
        pack_held(&kinds[i], &whole);
        for (int round = 0; round < 2000; round++) {
            size_t len = sample_below(&rng, sizeof noise);
            for (size_t b = 0; b < len; b++)
                noise[b] = (uint8_t)sample_bits(&rng);
            offer(&kinds[i], noise, len, &whole);
        }
        aa_bytes_fini(&whole);
    }
}

/* A short message of very many unknown fields would cost protobuf-c 40 bytes for each 2. */
static void
message_that_asks_for_much_memory_is_refused(void **state)
{
    (void)state;
    static uint8_t flood[1 << 20];
    aa_control     c;
    aa_err         err = AA_ERR_INIT;
    for (size_t i = 0; i < sizeof flood; i += 2) {
        flood[i] = 0x78; /* field 15, varint */
        flood[i + 1] = 1;
    }
    assert_int_equal(aa_wire_unpack_control(&c, flood, sizeof flood, &err), AA_EPARSE);
    aa_event_batch b = {0};
    assert_int_equal(aa_wire_unpack_events(&b, flood, AA_WIRE_MAX_BYTES + 1, &err), AA_EPARSE);
    assert_null(b.key);
}

/* ---- messages that parse but do not fit together ---- */

static uint32_t three[3] = {0, 1, 2};
static float    three_floats[3] = {0.25f, 0.5f, 0.75f}, beyond[4] = {0, 1.0f, 0, 0},
             negative[4] = {0, -0.1f, 0, 0}, nans[4] = {0, NAN, 0, 0}, infinite[4] = {0, INFINITY};
static uint32_t bad_action[4] = {0, AA_STATE_WORD(0, AA_ACTIONS), 0, 0},
                bad_index[4] = {0, 1u << 24, 0, 0};
static uint32_t no_slots[4] = {AA_NO_SLOT, AA_NO_SLOT, AA_NO_SLOT, AA_NO_SLOT};
static uint32_t op_late[4] = {3, 1 << 8, 5, 0}, op_kind_0[4] = {0, 0, 5, 0},
                op_kind_4[4] = {0, 4 << 8, 5, 0}, op_field[4] = {0, (1 << 8) | 2, 5, 0},
                op_no_slot[4] = {0, 2 << 8, AA_NO_SLOT, 0},
                op_no_source[4] = {0, 1 << 8, 5, AA_NO_SLOT},
                op_unsorted[8] = {1, 2 << 8, 5, 0, 0, 2 << 8, 5, 0};

#define ARRAY(field, array, count) (m->n_##field = (count), m->field = (array))
typedef Autoassign__AssignedBatch assigned;
#define CASE(name, what)                                                                           \
    static void name(assigned *m)                                                                  \
    {                                                                                              \
        what;                                                                                      \
    }
CASE(no_header, m->header = NULL)
CASE(lane_too_large, m->header->lane = 65536)
CASE(no_fields, m->field_count = 0)
CASE(nine_fields, m->field_count = 9)
CASE(fields_differ, m->field_count = 1)
CASE(fields_overflow, m->field_count = UINT32_MAX)
CASE(slots_short, ARRAY(slot, three, 3))
CASE(slots_none, ARRAY(slot, NULL, 0))
CASE(labels_short, m->n_label = 1)
CASE(seen_short, m->n_seen = 1)
CASE(states_short, ARRAY(state, three, 3))
CASE(next_states_short, ARRAY(next_state, three, 3))
CASE(mix_short, ARRAY(mix, three_floats, 3))
CASE(mix_one, ARRAY(mix, beyond, 4))
CASE(mix_negative, ARRAY(mix, negative, 4))
CASE(mix_nan, ARRAY(mix, nans, 4))
CASE(alt_slots_short, ARRAY(alt_slot, three, 3))
CASE(alt_mix_alone, ARRAY(alt_mix, beyond + 2, 2))
CASE(alt_mix_short, (ARRAY(alt_slot, no_slots, 4), ARRAY(alt_mix, three_floats, 3)))
CASE(alt_mix_one, (ARRAY(alt_slot, no_slots, 4), ARRAY(alt_mix, beyond, 4)))
CASE(baseline_short, ARRAY(baseline, three_floats, 3))
CASE(baseline_infinite, ARRAY(baseline, infinite, 4))
CASE(label_nan, m->label = nans)
CASE(label_infinite, m->label = infinite)
CASE(state_action, ARRAY(state, bad_action, 4))
CASE(next_state_action, ARRAY(next_state, bad_index, 4))
CASE(op_not_four, ARRAY(op, three, 3))
CASE(op_mix_alone, (ARRAY(op, NULL, 0), ARRAY(op_mix, three_floats, 1)))
CASE(op_mix_short, (ARRAY(op, op_unsorted + 4, 4), ARRAY(op_mix, three_floats, 2)))
CASE(op_mix_one, ARRAY(op_mix, beyond + 1, 1))
CASE(op_event_beyond, ARRAY(op, op_late, 4))
CASE(op_of_kind_0, ARRAY(op, op_kind_0, 4))
CASE(op_of_kind_4, ARRAY(op, op_kind_4, 4))
CASE(op_of_field_2, ARRAY(op, op_field, 4))
CASE(op_without_slot, ARRAY(op, op_no_slot, 4))
CASE(op_without_source, ARRAY(op, op_no_source, 4))
CASE(ops_unsorted, ARRAY(op, op_unsorted, 8))
CASE(sweep_fields_short, (ARRAY(sweep_state, three, 2), ARRAY(sweep_next_state, three, 2),
                          ARRAY(sweep_field, three, 1)))
CASE(sweep_next_short, (ARRAY(sweep_state, three, 2), ARRAY(sweep_next_state, three, 1),
                        ARRAY(sweep_field, three, 2)))
CASE(sweep_field_2, (ARRAY(sweep_state, three, 3), ARRAY(sweep_next_state, three, 3),
                     ARRAY(sweep_field, three, 3)))
CASE(sweep_action, (ARRAY(sweep_state, bad_action, 2), ARRAY(sweep_next_state, three, 2),
                    ARRAY(sweep_field, three, 2)))
CASE(sweep_next_action, (ARRAY(sweep_state, three, 2), ARRAY(sweep_next_state, bad_index, 2),
                         ARRAY(sweep_field, three, 2)))

static void
assigned_batch_that_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    static void (*const spoil[])(assigned *) = {
        no_header,         lane_too_large,    no_fields,          nine_fields,      fields_differ,
        fields_overflow,   slots_short,       slots_none,         labels_short,     seen_short,
        states_short,      next_states_short, mix_short,          mix_one,          mix_negative,
        mix_nan,           alt_slots_short,   alt_mix_alone,      alt_mix_short,    alt_mix_one,
        baseline_short,    baseline_infinite, label_nan,          label_infinite,   state_action,
        next_state_action, op_not_four,       op_mix_alone,       op_mix_short,     op_mix_one,
        op_event_beyond,   op_of_kind_0,      op_of_kind_4,       op_of_field_2,    op_without_slot,
        op_without_source, ops_unsorted,      sweep_fields_short, sweep_next_short, sweep_field_2,
        sweep_action,      sweep_next_action,
    };
    const kind *k = &kinds[1];
    sample_rng  rng = new_rng();
    aa_bytes    before = {0};
    k->fill(&rng);
    pack_held(k, &before);
    for (size_t i = 0; i <= sizeof spoil / sizeof *spoil; i++) {
        /* 2 events of 2 fields, valid; then one thing is wrong with it; the last one is left as it
         * is */
        uint32_t           words[4] = {1, 2, 3, 4}, ops[4] = {2, 2 << 8, 5, 0};
        float              floats[4] = {0.5f, 0.25f, 0, 0};
        Autoassign__Header hd = AUTOASSIGN__HEADER__INIT;
        assigned           m = AUTOASSIGN__ASSIGNED_BATCH__INIT;
        uint8_t            bytes[1000];
        m.header = &hd;
        m.field_count = 2;
        m.n_slot = m.n_state = m.n_next_state = m.n_mix = m.n_baseline = m.n_op = 4;
        m.n_label = m.n_seen = 2;
        m.slot = m.state = m.next_state = m.seen = words;
        m.mix = m.baseline = m.label = floats;
        m.op = ops;
        bool last = i == sizeof spoil / sizeof *spoil;
        if (!last) spoil[i](&m);
        size_t len = protobuf_c_message_pack(&m.base, bytes);
        assert_true(len < sizeof bytes);
        aa_status st = offer(k, bytes, len, &before);
        if (st != (last ? AA_OK : AA_EPARSE)) fail_msg("case %zu: %s", i, aa_status_name(st));
    }
    aa_bytes_fini(&before);
}

static void
events_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    const kind *k = &kinds[0];
    sample_rng  rng = new_rng();
    aa_bytes    before = {0};
    k->fill(&rng);
    pack_held(k, &before);
    static const struct {
        uint32_t  F;
        size_t    n_key, n_label, n_time;
        float     label;
        bool      header;
        aa_status want;
        uint64_t  last_key; /* of the first four, 0 in none but one case */
    } cases[] = {
        {2, 4, 2, 2, 1, true, AA_OK, 4},
        {2, 0, 0, 0, 1, true, AA_OK, 4},
        {4, 4, 1, 1, 1, true, AA_OK, 4},
        {2, 4, 2, 2, 1, false, AA_EPARSE, 4},
        {0, 4, 2, 2, 1, true, AA_EPARSE, 4},
        {0, 0, 0, 0, 1, true, AA_EPARSE, 4},
        {9, 18, 2, 2, 1, true, AA_EPARSE, 4},
        {2, 3, 2, 2, 1, true, AA_EPARSE, 4},
        {2, 5, 2, 2, 1, true, AA_EPARSE, 4},
        {2, 4, 1, 2, 1, true, AA_EPARSE, 4},
        {2, 4, 2, 1, 1, true, AA_EPARSE, 4},
        {2, 4, 2, 3, 1, true, AA_EPARSE, 4},
        {2, 4, 0, 0, 1, true, AA_EPARSE, 4},
        {2, 4, 2, 2, NAN, true, AA_EPARSE, 4},
        {2, 4, 2, 2, INFINITY, true, AA_EPARSE, 4},
        {2, 4, 2, 2, 1, true, AA_EPARSE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t               keys[18] = {1, 2, 3, cases[i].last_key, 5, 6};
        float                  labels[4] = {0, cases[i].label, 1, 1};
        int64_t                times[4] = {1, 2, 3, 4};
        uint8_t                bytes[1000];
        Autoassign__Header     hd = AUTOASSIGN__HEADER__INIT;
        Autoassign__EventBatch m = AUTOASSIGN__EVENT_BATCH__INIT;
        m.header = cases[i].header ? &hd : NULL;
        m.field_count = cases[i].F;
        m.n_key = cases[i].n_key;
        m.key = keys;
        m.n_label = cases[i].n_label;
        m.label = labels;
        m.n_time_ms = cases[i].n_time;
        m.time_ms = times;
        size_t    len = protobuf_c_message_pack(&m.base, bytes);
        aa_status st = offer(k, bytes, len, &before);
        if (st != cases[i].want) fail_msg("case %zu: %s", i, aa_status_name(st));
    }
    aa_bytes_fini(&before);
}

static void
rewards_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    const kind *k = &kinds[2];
    sample_rng  rng = new_rng();
    aa_bytes    before = {0};
    k->fill(&rng);
    pack_held(k, &before);
    static const struct {
        size_t    n_loss, n_reward, n_advantage;
        float     loss, reward, advantage;
        aa_status want;
    } cases[] = {
        {2, 4, 4, 1, 1, 1, AA_OK},
        {0, 0, 0, 1, 1, 1, AA_OK},
        {0, 3, 3, 1, 1, 1, AA_OK},
        {2, 4, 3, 1, 1, 1, AA_EPARSE},
        {2, 3, 4, 1, 1, 1, AA_EPARSE},
        {2, 1, 1, 1, 1, 1, AA_EPARSE},
        {2, 4, 4, NAN, 1, 1, AA_EPARSE},
        {2, 4, 4, 1, NAN, 1, AA_EPARSE},
        {2, 4, 4, 1, 1, NAN, AA_EPARSE},
        {2, 4, 4, INFINITY, 1, 1, AA_EPARSE},
        {2, 4, 4, 1, -INFINITY, 1, AA_EPARSE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float loss[4] = {0, cases[i].loss}, reward[4] = {0, cases[i].reward},
              advantage[4] = {0, cases[i].advantage};
        uint8_t                 bytes[1000];
        Autoassign__Header      hd = AUTOASSIGN__HEADER__INIT;
        Autoassign__RewardBatch m = AUTOASSIGN__REWARD_BATCH__INIT;
        m.header = &hd;
        m.n_loss = cases[i].n_loss;
        m.loss = loss;
        m.n_reward = cases[i].n_reward;
        m.reward = reward;
        m.n_advantage = cases[i].n_advantage;
        m.advantage = advantage;
        size_t    len = protobuf_c_message_pack(&m.base, bytes);
        aa_status st = offer(k, bytes, len, &before);
        if (st != cases[i].want) fail_msg("case %zu: %s", i, aa_status_name(st));
    }
    aa_bytes_fini(&before);
}

static void
control_with_long_text_is_refused(void **state)
{
    (void)state;
    const kind *k = &kinds[3];
    sample_rng  rng = new_rng();
    aa_bytes    before = {0};
    char        text[257];
    uint8_t     bytes[1000];
    k->fill(&rng);
    pack_held(k, &before);
    memset(text, 'x', 256);
    text[256] = '\0';
    for (int i = 0; i < 4; i++) {
        Autoassign__Header  hd = AUTOASSIGN__HEADER__INIT;
        Autoassign__Control m;
        autoassign__control__init(&m);
        if (i != 2) m.header = &hd;
        if (i == 0) m.pipeline = text + 256 - 128;
        if (i == 1) m.reason = text;
        if (i == 3) m.reason = text + 1;
        size_t len = protobuf_c_message_pack(&m.base, bytes);
        assert_int_equal(offer(k, bytes, len, &before), i == 3 ? AA_OK : AA_EPARSE);
    }
    aa_bytes_fini(&before);
}

/* A model that diverged shows where it happens, not at the receiver. */
static void
values_no_receiver_takes_are_refused_on_packing(void **state)
{
    (void)state;
    sample_rng        rng = new_rng();
    aa_bytes          by = {0};
    aa_err            err = AA_ERR_INIT;
    aa_reward_batch   rw = {0};
    aa_assigned_batch as = {0};
    float             w[3] = {0, NAN, 0};
    aa_row_head       rh = {.run_id = 1, .version = 2, .born = 3};
    sample_rewards(&rw, &rng, 4, 8);
    rw.reward[7] = NAN;
    assert_int_equal(aa_wire_pack_rewards(&by, &rw, &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "reward[7]"));
    sample_assigned(&as, &rng, 4, 2, false);
    as.mix[3] = 1.0f;
    assert_int_equal(aa_wire_pack_assigned(&by, &as, &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "mix[3]"));
    assert_int_equal(aa_wire_pack_row(&by, &rh, w, 3, &err), AA_EPARSE);
    aa_assignment a = {.mix = NAN};
    assert_int_equal(aa_wire_pack_assignment(&by, &a, &err), AA_EPARSE);
    aa_reward_batch_fini(&rw);
    aa_assigned_batch_fini(&as);
    aa_bytes_fini(&by);
}

static void
row_of_another_width_is_refused(void **state)
{
    (void)state;
    float       w[5] = {1, 2, 3, 4, 5}, got[6] = {9, 9, 9, 9, 9, 9};
    aa_row_head rh = {.run_id = 1, .version = 2, .born = 3}, got_rh = {0};
    aa_bytes    by = {0};
    aa_err      err = AA_ERR_INIT;
    assert_int_equal(aa_wire_pack_row(&by, &rh, w, 5, &err), AA_OK);
    assert_int_equal(aa_wire_unpack_row(&got_rh, got, 4, by.data, by.len, &err), AA_EPARSE);
    assert_int_equal(aa_wire_unpack_row(&got_rh, got, 6, by.data, by.len, &err), AA_EPARSE);
    assert_int_equal(got_rh.version, 0);
    assert_true(got[0] == 9.0f);
    assert_int_equal(aa_wire_unpack_row(&got_rh, got, 5, by.data, by.len, &err), AA_OK);
    assert_int_equal(got_rh.run_id, 1);
    assert_int_equal(got_rh.version, 2);
    assert_int_equal(got_rh.born, 3);
    assert_memory_equal(got, w, sizeof w);
    assert_true(got[5] == 9.0f);
    aa_bytes_fini(&by);
}

/* ---- keys ---- */

static void
topic_keys_are_13_bytes_big_endian(void **state)
{
    (void)state;
    aa_topic_key k = {
        .lane = 0x0102, .kind = AA_KEY_ASSIGNMENT, .field = 3, .id = 0x0405060708090a0b};
    uint8_t              bytes[AA_TOPIC_KEY_BYTES];
    static const uint8_t want[] = {1, 2, 'a', 0, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    aa_topic_key         got;
    aa_err               err = AA_ERR_INIT;
    aa_topic_key_put(bytes, &k);
    assert_memory_equal(bytes, want, sizeof want);
    assert_int_equal(aa_topic_key_get(&got, bytes, sizeof bytes, &err), AA_OK);
    assert_int_equal(got.lane, k.lane);
    assert_int_equal(got.kind, k.kind);
    assert_int_equal(got.field, k.field);
    assert_int_equal(got.id, k.id);
}

/* ---- the decoders without memory ---- */

/* protobuf-c's answer, as the decoders give it. */
static bool
protobuf_reads_assignment(const uint8_t *buf, size_t len, aa_assignment *a)
{
    Autoassign__Assignment *m = autoassign__assignment__unpack(NULL, len, buf);
    if (!m) return false;
    *a = (aa_assignment){.run_id = m->run_id,
                         .version = m->version,
                         .born = m->born,
                         .slot = m->slot,
                         .alt_slot = m->alt_slot,
                         .mix = m->mix,
                         .alt_mix = m->alt_mix,
                         .position = m->position,
                         .modulo = m->modulo,
                         .signal = m->signal};
    autoassign__assignment__free_unpacked(m, NULL);
    return a->mix >= 0 && a->mix < 1 && a->alt_mix >= 0 && a->alt_mix < 1 && a->position <= 16 &&
           a->signal <= 0xFFFF;
}

static bool
protobuf_reads_row(const uint8_t *buf, size_t len, aa_row_head *rh, float w[WIDTH])
{
    Autoassign__Row *m = autoassign__row__unpack(NULL, len, buf);
    if (!m) return false;
    *rh = (aa_row_head){.run_id = m->run_id, .version = m->version, .born = m->born};
    rh->bf16 = m->half.len > 0;
    bool good = rh->bf16 ? m->half.len == 2 * WIDTH && m->n_w == 0 : m->n_w == WIDTH;
    for (size_t i = 0; good && i < WIDTH; i++) {
        const uint32_t bits =
            rh->bf16 ? (uint32_t)m->half.data[2 * i] << 16 | (uint32_t)m->half.data[2 * i + 1] << 24
                     : 0;
        if (rh->bf16)
            memcpy(&w[i], &bits, sizeof bits);
        else
            w[i] = m->w[i];
        good = isfinite(w[i]);
    }
    autoassign__row__free_unpacked(m, NULL);
    return good;
}

/* Records with bits turned, cut short and with something behind them. */
static void
records_are_read_as_protobuf_reads_them(void **state)
{
    (void)state;
    const uint64_t seed = 90125;
    sample_rng     rng = {.seed = seed};
    aa_err         err = AA_ERR_INIT;
    aa_bytes       by = {0};
    size_t         read = 0, refused = 0;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int n = 0; n < 40000; n++) {
        const bool    is_row = n % 2;
        uint8_t       buf[300];
        aa_assignment a, want_a;
        aa_row_head   rh, want_rh;
        float         w[WIDTH], want_w[WIDTH];
        if (is_row)
            fill_row(&rng);
        else
            fill_assignment(&rng);
        assert_int_equal(is_row ? pack_row(&by, &err) : pack_assignment(&by, &err), AA_OK);
        size_t len = by.len;
        assert_true(len + 8 < sizeof buf);
        memcpy(buf, by.data, len);
        for (uint32_t flips = sample_below(&rng, 3); flips > 0; flips--)
            buf[sample_below(&rng, (uint32_t)len)] ^= (uint8_t)(1u << sample_below(&rng, 8));
        if (sample_below(&rng, 8) == 0) len = sample_below(&rng, (uint32_t)len);
        for (uint32_t more = sample_below(&rng, 16); more > 8; more--)
            buf[len++] = (uint8_t)sample_bits(&rng);
        const bool      good = is_row ? protobuf_reads_row(buf, len, &want_rh, want_w)
                                      : protobuf_reads_assignment(buf, len, &want_a);
        const aa_status st = is_row ? aa_wire_unpack_row(&rh, w, WIDTH, buf, len, &err)
                                    : aa_wire_unpack_assignment(&a, buf, len, &err);
        if ((st == AA_OK) != good) fail_msg("record %d: %s", n, aa_status_name(st));
        read += good;
        refused += !good;
        if (!good) continue;
        if (is_row) {
            assert_memory_equal(w, want_w, sizeof w);
            assert_true(rh.run_id == want_rh.run_id && rh.version == want_rh.version &&
                        rh.born == want_rh.born && rh.bf16 == want_rh.bf16);
        } else {
            assert_true(a.run_id == want_a.run_id && a.version == want_a.version &&
                        a.born == want_a.born && a.slot == want_a.slot &&
                        a.alt_slot == want_a.alt_slot && a.position == want_a.position &&
                        a.modulo == want_a.modulo && a.signal == want_a.signal);
            assert_memory_equal(&a.mix, &want_a.mix, sizeof a.mix);
            assert_memory_equal(&a.alt_mix, &want_a.alt_mix, sizeof a.alt_mix);
        }
    }
    assert_true(read > 5000 && refused > 5000);
    aa_bytes_fini(&by);
}

static void
keys_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    static const struct {
        aa_topic_key k;
        aa_status    want;
    } cases[] = {
        {{0, AA_KEY_ASSIGNMENT, 7, UINT64_MAX}, AA_OK},
        {{65535, AA_KEY_ROW, 1, AA_NO_SLOT - 1}, AA_OK},
        {{0, AA_KEY_NEW_ID, 1, 0}, AA_OK},
        {{0, AA_KEY_DENSE, 0, 0}, AA_OK},
        {{0, AA_KEY_ROW, 1, AA_NO_SLOT}, AA_EPARSE},
        {{0, AA_KEY_NEW_ID, 1, 1}, AA_EPARSE},
        {{0, AA_KEY_DENSE, 1, 0}, AA_EPARSE},
        {{0, AA_KEY_DENSE, 0, 1}, AA_EPARSE},
        {{0, 'z', 0, 0}, AA_EPARSE},
        {{0, 0, 0, 0}, AA_EPARSE},
    };
    uint8_t      bytes[AA_TOPIC_KEY_BYTES + 1] = {0};
    aa_topic_key got = {.id = 99};
    aa_err       err = AA_ERR_INIT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        got.id = 99;
        aa_topic_key_put(bytes, &cases[i].k);
        assert_int_equal(aa_topic_key_get(&got, bytes, AA_TOPIC_KEY_BYTES, &err), cases[i].want);
        assert_int_equal(got.id, cases[i].want == AA_OK ? cases[i].k.id : 99);
    }
    for (size_t len = 0; len <= AA_TOPIC_KEY_BYTES + 1; len++) {
        if (len == AA_TOPIC_KEY_BYTES) continue;
        assert_int_equal(aa_topic_key_get(&got, bytes, len, &err), AA_EPARSE);
    }
    assert_int_equal(aa_topic_key_get(&got, NULL, 0, &err), AA_EPARSE); /* a message without key */
    bytes[3] = 1;                                                       /* field 256 and more */
    bytes[2] = AA_KEY_ROW;
    assert_int_equal(aa_topic_key_get(&got, bytes, AA_TOPIC_KEY_BYTES, &err), AA_EPARSE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_survives_its_round_trip),
        cmocka_unit_test(events_arrive_as_they_were),
        cmocka_unit_test(assigned_batch_arrives_as_it_was),
        cmocka_unit_test(defaults_cost_no_bytes_and_come_back),
        cmocka_unit_test(control_arrives_as_it_was),
        cmocka_unit_test(dense_bytes_bound_the_packed_weights_of_every_model),
        cmocka_unit_test(dense_weights_are_owned_and_replaced),
        cmocka_unit_test(truncated_anywhere_is_refused_or_harmless),
        cmocka_unit_test(flipped_bits_are_refused_or_harmless),
        cmocka_unit_test(random_bytes_are_refused_or_harmless),
        cmocka_unit_test(message_that_asks_for_much_memory_is_refused),
        cmocka_unit_test(assigned_batch_that_does_not_fit_together_is_refused),
        cmocka_unit_test(events_that_do_not_fit_together_are_refused),
        cmocka_unit_test(rewards_that_do_not_fit_together_are_refused),
        cmocka_unit_test(control_with_long_text_is_refused),
        cmocka_unit_test(values_no_receiver_takes_are_refused_on_packing),
        cmocka_unit_test(row_of_another_width_is_refused),
        cmocka_unit_test(topic_keys_are_13_bytes_big_endian),
        cmocka_unit_test(records_are_read_as_protobuf_reads_them),
        cmocka_unit_test(keys_that_mean_nothing_are_refused),
    };
    return cmocka_run_group_tests_name("common/messages/wire", tests, NULL, fini_held);
}
