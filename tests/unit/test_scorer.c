/* The step from request to reply, through bytes and through HTTP's JSON. */
#include "scorer/scorer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/model/model.h"
#include "scorer/api/score_http.h"

enum { K = 3, W = K + 1 };

typedef struct {
    aa_conf      cfg;
    replica     *rp;
    scorer      *sc;
    aa_bytes     in, out;
    scorer_tally tally;
    aa_err       err;
} fixture;

static void
feed(fixture *fx, uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *value)
{
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.kind = kind, .field = field, .id = id};
    replica_effect effect;
    aa_topic_key_put(key, &k);
    assert_int_equal(
        replica_apply(fx->rp, key, sizeof key, value->data, value->len, &effect, &fx->err), AA_OK);
}

/* A replica that can score: item "i1" is known, the rest is not. */
static void
fill(fixture *fx)
{
    const aa_model_kind *kind = aa_model_find(AA_MODEL_FM);
    aa_model_shape       sh;
    float                w[32] = {0}, row[W] = {0.5f, 0.25f, -1, 0.125f};
    aa_bytes             by = {0};
    aa_assignment        a = {.run_id = 1, .version = 3, .position = 1};
    aa_model_shape_of(&sh, &fx->cfg);
    aa_dense_message d = {.run_id = 1,
                          .version = 12,
                          .model = "fm",
                          .F = fx->cfg.field_count,
                          .K = K,
                          .w = w,
                          .w_count = kind->weight_count(&sh)};
    assert_true(d.w_count <= 32);
    for (uint32_t f = 0; f < fx->cfg.field_count; f++) {
        assert_int_equal(aa_wire_pack_assignment(&by, &a, &fx->err), AA_OK);
        feed(fx, AA_KEY_NEW_ID, f, 0, &by);
        assert_int_equal(
            aa_wire_pack_row(&by, &(aa_row_head){.run_id = 1, .version = 4}, row, W, &fx->err),
            AA_OK);
        feed(fx, AA_KEY_ROW, f, 0, &by);
    }
    a.born = 4;
    a.slot = 9;
    a.position = 6;
    assert_int_equal(aa_wire_pack_assignment(&by, &a, &fx->err), AA_OK);
    feed(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key("i1", 2), &by);
    row[0] = -2;
    assert_int_equal(aa_wire_pack_row(&by, &(aa_row_head){.run_id = 1, .version = 5, .born = 4},
                                      row, W, &fx->err),
                     AA_OK);
    feed(fx, AA_KEY_ROW, REPLICA_ITEM, 9, &by);
    assert_int_equal(aa_wire_pack_dense(&by, &d, &fx->err), AA_OK);
    feed(fx, AA_KEY_DENSE, 0, 0, &by);
    aa_bytes_fini(&by);
}

static int
set_up_fields(void **state, size_t fields)
{
    fixture *fx = calloc(1, sizeof *fx);
    aa_conf_defaults(&fx->cfg);
    fx->cfg.model.dim = K;
    fx->cfg.model.kind = AA_MODEL_FM;
    fx->cfg.hidden_count = 0;
    fx->cfg.field_count = fields;
    fx->cfg.scorer.max_items = 5;
    fx->cfg.scorer.max_request_bytes = 1024;
    fx->cfg.event.id_max_bytes = 10;
    assert_int_equal(replica_new(&fx->rp, &fx->cfg, &fx->err), AA_OK);
    assert_int_equal(scorer_new(&fx->sc, &fx->cfg, fx->rp, &fx->err), AA_OK);
    fill(fx);
    *state = fx;
    return 0;
}

static int
set_up(void **state)
{
    return set_up_fields(state, 2);
}

static int
set_up_with_context(void **state)
{
    return set_up_fields(state, 3);
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    scorer_free(&fx->sc);
    replica_free(&fx->rp);
    aa_bytes_fini(&fx->in);
    aa_bytes_fini(&fx->out);
    free(fx);
    return 0;
}

static aa_text
text(const char *s)
{
    return (aa_text){s, strlen(s)};
}

/* Step the bytes in fx->in; the caller finishes *reply. */
static void
step(fixture *fx, const char *not_ready, aa_score_reply *reply)
{
    assert_int_equal(
        scorer_step(fx->sc, not_ready, fx->in.data, fx->in.len, &fx->out, &fx->tally, &fx->err),
        AA_OK);
    assert_int_equal(aa_score_unpack_reply(reply, fx->out.data, fx->out.len, &fx->err), AA_OK);
    assert_int_equal(reply->status, fx->tally.status);
}

static void
ask(fixture *fx, const aa_score_request *rq, const char *not_ready, aa_score_reply *reply)
{
    assert_int_equal(aa_score_pack_request(&fx->in, rq, &fx->err), AA_OK);
    step(fx, not_ready, reply);
}

static void
expect_refusal(fixture *fx, const aa_score_request *rq, const char *not_ready, uint32_t status,
               const char *words)
{
    aa_score_reply reply;
    ask(fx, rq, not_ready, &reply);
    assert_int_equal(reply.status, status);
    if (!strstr(reply.error, words)) fail_msg("\"%s\" lacks \"%s\"", reply.error, words);
    assert_int_equal(reply.score_count, 0);
    assert_int_equal(reply.request_id, rq->request_id);
    assert_int_equal(fx->tally.items, 0);
    aa_score_reply_fini(&reply);
}

static void
a_list_is_scored_and_explained(void **state)
{
    fixture         *fx = *state;
    aa_text          item[] = {text("i1"), text("nobody")};
    aa_score_request rq = {
        .user = text("u"), .item = item, .item_count = 2, .explain = true, .request_id = 99};
    aa_score_reply reply;
    ask(fx, &rq, NULL, &reply);
    assert_int_equal(reply.status, 0);
    assert_string_equal(reply.error, "");
    assert_int_equal(reply.request_id, 99);
    assert_int_equal(reply.version, 12);
    assert_int_equal(reply.score_count, 2);
    assert_true(reply.score[0] > 0 && reply.score[0] < 1);
    assert_true(reply.score[0] != reply.score[1]);
    assert_int_equal(reply.reading_count, 3);
    assert_false(reply.reading[0].known);
    assert_true(reply.reading[1].known && reply.reading[1].unique);
    assert_int_equal(reply.reading[1].slot, 9);
    assert_int_equal(reply.reading[1].position, 6);
    assert_int_equal(reply.reading[1].version, 5);
    assert_false(reply.reading[2].known || reply.reading[2].unique);
    assert_int_equal(reply.reading[2].position, 1);
    assert_int_equal(fx->tally.items, 2);
    assert_int_equal(fx->tally.unknown, 2);
    aa_score_reply_fini(&reply);
}

static void
an_empty_list_has_no_scores(void **state)
{
    fixture         *fx = *state;
    aa_score_request rq = {.user = text("u"), .explain = true};
    aa_score_reply   reply;
    ask(fx, &rq, NULL, &reply);
    assert_int_equal(reply.status, 0);
    assert_int_equal(reply.score_count, 0);
    assert_int_equal(reply.version, 12);
    assert_int_equal(reply.reading_count, 1);
    aa_score_reply_fini(&reply);
}

static void
what_is_wrong_with_a_request_is_said(void **state)
{
    fixture         *fx = *state;
    aa_text          item[6] = {text("a"), text("b"), text("c"), text("d"), text("e"), text("f")};
    aa_score_request rq = {.user = text("u"), .item = item, .item_count = 6, .request_id = 5};
    expect_refusal(fx, &rq, NULL, 413, "6 items, at most 5");
    rq.item_count = 5;
    expect_refusal(fx, &rq, "catching up", 503, "catching up");
    item[3] = text("");
    expect_refusal(fx, &rq, NULL, 400, "items[3]: empty ID");
    item[3] = text("01234567890");
    expect_refusal(fx, &rq, NULL, 400, "items[3]: ID longer than");
    item[3] = text("0123456789");
    rq.user = text("");
    expect_refusal(fx, &rq, NULL, 400, "user: empty ID");
    rq.user = text("u");
    rq.context = item;
    rq.context_count = 1;
    expect_refusal(fx, &rq, NULL, 400, "context: 1 IDs, expected 0");
    rq.context_count = 0;
    rq.exclude = item;
    rq.exclude_count = 5;
    expect_refusal(fx, &rq, NULL, 400, "exclude: only in a ranking");
    rq.rank = true;
    item[4] = text("");
    rq.item_count = 2;
    expect_refusal(fx, &rq, NULL, 400, "exclude[4]: empty ID");
}

static void
a_ranking_without_the_excluded_comes_through_protobuf(void **state)
{
    fixture         *fx = *state;
    aa_text          item[] = {text("i1"), text("b"), text("a")}, out[] = {text("i1"), text("x")};
    aa_score_request rq = {.user = text("u"),
                           .item = item,
                           .item_count = 3,
                           .rank = true,
                           .exclude = out,
                           .exclude_count = 2};
    aa_score_reply   reply;
    ask(fx, &rq, NULL, &reply);
    assert_int_equal(reply.status, 0);
    assert_int_equal(reply.item_count, 2);
    assert_memory_equal(reply.item[0].data, "a", 1);
    assert_memory_equal(reply.item[1].data, "b", 1);
    assert_int_equal(fx->tally.items, 2);
    aa_score_reply_fini(&reply);
}

static void
context_ids_are_asked_for_and_checked(void **state)
{
    fixture         *fx = *state;
    aa_text          item[] = {text("i1")}, context[] = {text("")};
    aa_score_request rq = {.user = text("u"), .item = item, .item_count = 1, .explain = true};
    expect_refusal(fx, &rq, NULL, 400, "context: 0 IDs, expected 1");
    rq.context = context;
    rq.context_count = 1;
    expect_refusal(fx, &rq, NULL, 400, "context[0]: empty ID");
    context[0] = text("phone");
    aa_score_reply reply;
    ask(fx, &rq, NULL, &reply);
    assert_int_equal(reply.status, 0);
    assert_int_equal(reply.reading_count, 3);
    assert_true(reply.reading[1].known);
    assert_false(reply.reading[2].known);
    aa_score_reply_fini(&reply);
}

static void
only_the_right_token_is_let_in(void **state)
{
    fixture           *fx = *state;
    aa_text            item[] = {text("i1")};
    aa_score_request   rq = {.user = text("u"), .item = item, .item_count = 1};
    static const char *wrong[] = {"s", "secre", "secretx", "secretsecret", "Secret", "\x01"};
    snprintf(fx->cfg.scorer.token, sizeof fx->cfg.scorer.token, "secret");
    expect_refusal(fx, &rq, NULL, 401, "a token is needed");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rq.token = text(wrong[i]);
        expect_refusal(fx, &rq, NULL, 401, "wrong token");
        expect_refusal(fx, &rq, "not yet", 401, "wrong token");
    }
    rq.token = text("secret");
    aa_score_reply reply;
    ask(fx, &rq, NULL, &reply);
    assert_int_equal(reply.status, 0);
    aa_score_reply_fini(&reply);
}

static void
bytes_that_are_no_request_are_answered_too(void **state)
{
    fixture       *fx = *state;
    aa_score_reply reply;
    uint8_t        big[2000] = {0}, junk[] = {0xff, 0xff, 0xff};
    fx->in = (aa_bytes){.data = junk, .len = sizeof junk};
    step(fx, NULL, &reply);
    assert_int_equal(reply.status, 400);
    aa_score_reply_fini(&reply);
    fx->in = (aa_bytes){.data = big, .len = sizeof big};
    step(fx, NULL, &reply);
    assert_int_equal(reply.status, 413);
    aa_score_reply_fini(&reply);
    fx->in = (aa_bytes){.data = big, .len = 0}; /* an empty message has an empty user */
    step(fx, NULL, &reply);
    assert_int_equal(reply.status, 400);
    aa_score_reply_fini(&reply);
    fx->in = (aa_bytes){0};
}

static void
cut_and_random_requests_get_a_reply(void **state)
{
    const uint64_t   seed = 99;
    fixture         *fx = *state;
    uint8_t          bytes[300];
    aa_bytes         whole = {0};
    aa_score_reply   reply;
    aa_text          item[] = {text("i1"), text("i2"), text("i3")};
    aa_score_request rq = {.user = text("user"),
                           .item = item,
                           .item_count = 3,
                           .explain = true,
                           .token = text("t"),
                           .request_id = 77};
    printf("seed %llu\n", (unsigned long long)seed);
    assert_int_equal(aa_score_pack_request(&whole, &rq, &fx->err), AA_OK);
    assert_true(whole.len <= sizeof bytes);
    size_t answered[2] = {0};
    for (uint64_t n = 0; n < 20000; n++) {
        size_t len = n <= whole.len ? (size_t)n : whole.len;
        memcpy(bytes, whole.data, whole.len);
        if (n > whole.len && n % 2) {
            for (uint64_t i = 0; i < 1 + n % 4; i++)
                bytes[aa_rng_bits(seed, AA_RNG_TEST, n, i) % len] =
                    (uint8_t)aa_rng_bits(seed, AA_RNG_TEST, n, 9 + i);
        } else if (n > whole.len) {
            len = aa_rng_bits(seed, AA_RNG_TEST, n, 0) % sizeof bytes;
            for (size_t i = 0; i < len; i++)
                bytes[i] = (uint8_t)aa_rng_bits(seed, AA_RNG_TEST, n, 1 + i);
        }
        fx->in = (aa_bytes){.data = bytes, .len = len};
        step(fx, NULL, &reply);
        assert_true(reply.status == 0 || reply.status == 400 || reply.status == 413);
        answered[reply.status == 0]++;
        aa_score_reply_fini(&reply);
    }
    assert_true(answered[0] > 1000 && answered[1] > 1000);
    fx->in = (aa_bytes){0};
    aa_bytes_fini(&whole);
}

/* ---- HTTP ---- */

static json_t *
post(fixture *fx, const char *body, const char *token, int want_status)
{
    aa_http_request hq = {.method = "POST",
                          .path = "/v1/score",
                          .query = "",
                          .token = token,
                          .body = body,
                          .body_len = strlen(body)};
    aa_http_reply   hp = {0};
    json_error_t    je;
    score_http_answer(fx->sc, NULL, 1024, &hq, &hp, &fx->tally);
    assert_non_null(hp.body);
    if (hp.status != want_status)
        fail_msg("%s: status %d, want %d: %.*s", body, hp.status, want_status, (int)hp.body_len,
                 hp.body);
    assert_string_equal(hp.content_type, "application/json");
    assert_int_equal(hp.body[hp.body_len - 1], '\n');
    json_t *root = json_loadb(hp.body, hp.body_len, 0, &je);
    assert_non_null(root);
    if (want_status != 200) {
        assert_int_equal(json_integer_value(json_object_get(root, "status")), want_status);
        assert_true(json_is_string(json_object_get(root, "error")));
    }
    free(hp.body);
    return root;
}

static void
json_gives_the_scores_that_protobuf_gives(void **state)
{
    fixture         *fx = *state;
    aa_text          item[] = {text("i1"), text("42")};
    aa_score_request rq = {.user = text("7"), .item = item, .item_count = 2};
    aa_score_reply   reply;
    json_t          *root = post(fx,
                                 "{\"user\": 7, \"items\": [\"i1\", 42], \"request_id\": 3,"
                                          " \"explain\": true}",
                                 "", 200);
    json_t          *scores = json_object_get(root, "scores");
    json_t          *explanations = json_object_get(root, "explanations");
    ask(fx, &rq, NULL, &reply);
    assert_int_equal(json_array_size(scores), 2);
    for (size_t i = 0; i < 2; i++) {
        float got = (float)json_real_value(json_array_get(scores, i));
        assert_memory_equal(&got, &reply.score[i], sizeof got);
    }
    assert_int_equal(json_integer_value(json_object_get(root, "version")), 12);
    assert_int_equal(json_integer_value(json_object_get(root, "request_id")), 3);
    assert_int_equal(json_array_size(explanations), 3);
    json_t *i1 = json_array_get(explanations, 1);
    assert_int_equal(json_integer_value(json_object_get(i1, "slot")), 9);
    assert_true(json_is_true(json_object_get(i1, "unique")));
    assert_true(json_is_false(json_object_get(json_array_get(explanations, 2), "known")));
    aa_score_reply_fini(&reply);
    json_decref(root);
}

static void
json_that_is_no_request_is_refused_with_a_reason(void **state)
{
    fixture *fx = *state;
    static const struct {
        const char *body;
        int         status;
        const char *words;
    } bad[] = {
        {"", 400, "not JSON"},
        {"{", 400, "not JSON"},
        {"[]", 400, "expected a JSON object"},
        {"{\"items\": []}", 400, "user is missing"},
        {"{\"user\": 1}", 400, "items is missing"},
        {"{\"user\": 1.5, \"items\": []}", 400,
         "user: an ID is text, an integer or {\"base64\": \"...\"}"},
        {"{\"user\": \"\", \"items\": []}", 400, "user: empty ID"},
        {"{\"user\": 1, \"items\": \"a\"}", 400, "items: expected a list"},
        {"{\"user\": 1, \"items\": [1, null]}", 400,
         "items[1]: an ID is text, an integer or {\"base64\": \"...\"}"},
        {"{\"user\": 1, \"items\": [], \"explain\": 1}", 400, "explain: expected true or false"},
        {"{\"user\": 1, \"items\": [], \"request_id\": \"x\"}", 400, "request_id: expected"},
        {"{\"user\": 1, \"items\": [], \"itmes\": 1}", 400, "unknown member \"itmes\""},
        {"{\"user\": 1, \"items\": [], \"\xc3\xa4\": 1}", 400, "unknown member"},
        {"{\"user\": 1, \"user\": 2, \"items\": []}", 400, "not JSON"},
        {"{\"user\": \"\xff\", \"items\": []}", 400, "not JSON"},
        {"{\"user\": 99999999999999999999, \"items\": []}", 400, "not JSON"},
        {"{\"user\": 1, \"items\": [], \"context\": [1]}", 400, "context: 1 IDs"},
        {"{\"user\": 1, \"items\": [1,2,3,4,5,6]}", 413, "6 items"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t     *root = post(fx, bad[i].body, "", bad[i].status);
        const char *error = json_string_value(json_object_get(root, "error"));
        if (!strstr(error, bad[i].words))
            fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].body, error, bad[i].words);
        json_decref(root);
    }
    char long_name[400] = "{\"user\": 1, \"items\": [], \""; /* cut in the middle of a letter */
    for (int i = 0; i < 100; i++)
        strcat(long_name, "\xc3\xa4");
    strcat(long_name, "\": 1}");
    json_decref(post(fx, long_name, "", 400));
}

static void
http_has_one_resource_one_method_a_limit_and_a_token(void **state)
{
    fixture        *fx = *state;
    aa_http_request hq = {.method = "GET",
                          .path = "/v1/score",
                          .query = "",
                          .token = "",
                          .body = "{}",
                          .body_len = 2};
    aa_http_reply   hp = {0};
    score_http_answer(fx->sc, NULL, 1024, &hq, &hp, &fx->tally);
    assert_int_equal(hp.status, 405);
    free(hp.body);
    hq.path = "/v1/scores";
    score_http_answer(fx->sc, NULL, 1024, &hq, &hp, &fx->tally);
    assert_int_equal(hp.status, 404);
    free(hp.body);
    hq.path = "/v1/score";
    hq.method = "POST";
    score_http_answer(fx->sc, NULL, 1, &hq, &hp, &fx->tally);
    assert_int_equal(hp.status, 413);
    free(hp.body);
    hq.body = "{\"user\": 1, \"items\": []}";
    hq.body_len = strlen(hq.body);
    score_http_answer(fx->sc, "not yet", 1024, &hq, &hp, &fx->tally);
    assert_int_equal(hp.status, 503);
    free(hp.body);
    snprintf(fx->cfg.scorer.token, sizeof fx->cfg.scorer.token, "secret");
    json_decref(post(fx, hq.body, "", 401));
    json_decref(post(fx, hq.body, "sacred", 401));
    json_decref(post(fx, hq.body, "secret", 200));
}

static void
a_reply_travels_unchanged(void **state)
{
    fixture         *fx = *state;
    float            score[] = {0.25f, 1e-30f};
    aa_score_reading rd[] = {
        {.slot = 1, .mix = 0.5f, .position = 2, .unique = false, .known = true, .version = 8},
        {.slot = UINT32_MAX, .position = 16, .unique = true, .version = UINT64_MAX}};
    aa_score_reply sent = {.status = 503,
                           .error = "why",
                           .score = score,
                           .score_count = 2,
                           .reading = rd,
                           .reading_count = 2,
                           .version = 1,
                           .request_id = 2};
    aa_score_reply got;
    assert_int_equal(aa_score_pack_reply(&fx->out, &sent, &fx->err), AA_OK);
    assert_int_equal(aa_score_unpack_reply(&got, fx->out.data, fx->out.len, &fx->err), AA_OK);
    assert_int_equal(got.status, 503);
    assert_string_equal(got.error, "why");
    assert_int_equal(got.score_count, 2);
    assert_memory_equal(got.score, score, sizeof score);
    assert_int_equal(got.reading_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(got.reading[i].slot, rd[i].slot);
        assert_memory_equal(&got.reading[i].mix, &rd[i].mix, sizeof rd[i].mix);
        assert_int_equal(got.reading[i].position, rd[i].position);
        assert_int_equal(got.reading[i].unique, rd[i].unique);
        assert_int_equal(got.reading[i].known, rd[i].known);
        assert_int_equal(got.reading[i].version, rd[i].version);
    }
    assert_int_equal(got.version, 1);
    assert_int_equal(got.request_id, 2);
    aa_score_reply_fini(&got);
    assert_int_equal(aa_score_unpack_reply(&got, "\xff", 1, &fx->err), AA_EPARSE);
    assert_null(got.owned[0]);
    /* found by fuzzing: values that no JSON can hold */
    const float nan_score[] = {0.5f, NAN};
    sent.score = nan_score;
    assert_int_equal(aa_score_pack_reply(&fx->out, &sent, &fx->err), AA_OK);
    assert_int_equal(aa_score_unpack_reply(&got, fx->out.data, fx->out.len, &fx->err), AA_EPARSE);
    assert_null(got.owned[0]);
    sent.score = score;
    strcpy(sent.error, "\xff\xfe");
    assert_int_equal(aa_score_pack_reply(&fx->out, &sent, &fx->err), AA_OK);
    assert_int_equal(aa_score_unpack_reply(&got, fx->out.data, fx->out.len, &fx->err), AA_EPARSE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static uint32_t
ask_status(fixture *fx)
{
    aa_text          item[] = {text("i1")};
    aa_score_request rq = {.user = text("u"), .item = item, .item_count = 1};
    aa_score_reply   reply;
    ask(fx, &rq, NULL, &reply);
    const uint32_t status = reply.status;
    aa_score_reply_fini(&reply);
    return status;
}

/* What was read anew takes the place of what served until then. */
static void
a_scorer_moves_to_another_replica_and_lets_go_of_the_one_before(void **state)
{
    fixture *fx = *state;
    replica *before = fx->rp;
    assert_int_equal(ask_status(fx), 0);
    fx->rp = NULL;
    assert_int_equal(replica_new(&fx->rp, &fx->cfg, &fx->err), AA_OK);
    assert_int_equal(scorer_move(fx->sc, fx->rp, &fx->err), AA_OK);
    replica_free(&before);                                /* no reader is open there any more */
    assert_int_equal(ask_status(fx), AA_SCORE_NOT_READY); /* it is empty */
    fill(fx);
    assert_int_equal(ask_status(fx), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_is_scored_and_explained),
        TEST(an_empty_list_has_no_scores),
        TEST(what_is_wrong_with_a_request_is_said),
        TEST(a_ranking_without_the_excluded_comes_through_protobuf),
        cmocka_unit_test_setup_teardown(context_ids_are_asked_for_and_checked, set_up_with_context,
                                        tear_down),
        TEST(a_scorer_moves_to_another_replica_and_lets_go_of_the_one_before),
        TEST(only_the_right_token_is_let_in),
        TEST(bytes_that_are_no_request_are_answered_too),
        TEST(cut_and_random_requests_get_a_reply),
        TEST(json_gives_the_scores_that_protobuf_gives),
        TEST(json_that_is_no_request_is_refused_with_a_reason),
        TEST(http_has_one_resource_one_method_a_limit_and_a_token),
        TEST(a_reply_travels_unchanged),
    };
    return cmocka_run_group_tests_name("scorer/scorer", tests, NULL, NULL);
}
