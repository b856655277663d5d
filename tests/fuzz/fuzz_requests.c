/* A scorer's endpoints, with a small model behind them: whatever a body or a protobuf says, there
 * is a reply, of a known status, that its reader takes. First byte: which resource, or the ZeroMQ
 * endpoint; second: with which token, and whether the model is there yet. */
#include <jansson.h>

#include "common/base/hash.h"
#include "scorer/api/score_http.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire_samples.h"

enum { K = 2, IDS = 6, MAX_BODY = 1 << 16, RIGHT_TOKEN = 1, WRONG_TOKEN = 2, NOT_READY = 4 };

static aa_conf  cfg;
static replica *rp;
static scorer  *sc;

static void
put(uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *by)
{
    uint8_t            key[AA_TOPIC_KEY_BYTES];
    const aa_topic_key k = {.kind = kind, .field = field, .id = id};
    replica_effect     effect;
    aa_err             err = AA_ERR_INIT;
    aa_topic_key_put(key, &k);
    sample_must(replica_apply(rp, key, sizeof key, by->data, by->len, &effect, &err), &err);
}

/* Dense weights, a shared and an own row per field, six IDs "0" .. "5" with their names. */
static void
fill_replica(aa_bytes *by)
{
    sample_rng  rng = {.seed = 5};
    aa_err      err = AA_ERR_INIT;
    const float w[K + 1] = {0.5f, -0.25f, 1.0f},
                      dense_w[7] = {0.1f, 1, -1, 2, 1, -1, 2}; /* FM: bias, signals */
    const aa_row_head shared = {.run_id = 1, .version = 1},
                      own = {.run_id = 1, .version = 1, .born = 1};
    aa_dense_message dense = {.run_id = 1,
                              .version = 4,
                              .model = "fm",
                              .F = 2,
                              .K = K,
                              .w = dense_w,
                              .w_count = 7,
                              .residual_rows = true};
    dense.hidden_count = cfg.hidden_count;
    memcpy(dense.hidden, cfg.hidden, sizeof dense.hidden);
    sample_must(aa_wire_pack_dense(by, &dense, &err), &err);
    put(AA_KEY_DENSE, 0, 0, by);
    for (uint32_t f = 0; f < 2; f++) {
        sample_must(aa_wire_pack_row(by, &shared, w, K + 1, &err), &err);
        put(AA_KEY_ROW, f, 0, by);
        sample_must(aa_wire_pack_row(by, &own, w, K + 1, &err), &err);
        put(AA_KEY_ROW, f, 20, by);
        const aa_assignment new_id = {
            .run_id = 1, .version = 1, .alt_slot = AA_NO_SLOT, .position = 1};
        sample_must(aa_wire_pack_assignment(by, &new_id, &err), &err);
        put(AA_KEY_NEW_ID, f, 0, by);
        for (size_t i = 0; i < IDS; i++) {
            const char          text[1] = {(char)('0' + i)};
            const aa_assignment a = {.run_id = 1,
                                     .version = 1,
                                     .born = i % 2,
                                     .slot = i % 2 ? 20 : 0,
                                     .alt_slot = i % 2 ? 0 : AA_NO_SLOT,
                                     .mix = i == 2 ? 0.5f : 0.0f,
                                     .position = 1 + sample_below(&rng, 3),
                                     .signal = sample_below(&rng, 1u << 16)};
            sample_must(aa_wire_pack_assignment(by, &a, &err), &err);
            put(AA_KEY_ASSIGNMENT, f, aa_id_key(text, 1), by);
            sample_must(aa_wire_pack_name(by, text, 1, &err), &err);
            put(AA_KEY_NAME, f, aa_id_key(text, 1), by);
        }
    }
}

static void
finish(void)
{
    scorer_free(&sc);
    replica_free(&rp);
}

static void
start(void)
{
    aa_err   err = AA_ERR_INIT;
    aa_bytes by = {0};
    if (sc) return;
    aa_conf_defaults(&cfg);
    cfg.model.dim = K;
    cfg.scorer.max_items = 40;
    cfg.model.kind = AA_MODEL_FM;
    snprintf(cfg.scorer.token, sizeof cfg.scorer.token, "secret");
    sample_must(aa_conf_finish(&cfg, &err), &err);
    sample_must(replica_new(&rp, &cfg, &err), &err);
    fill_replica(&by);
    sample_must(scorer_new(&sc, &cfg, rp, &err), &err);
    aa_bytes_fini(&by);
    AA_REQUIRE(atexit(finish) == 0);
}

static void
http(const char *path, const char *token, const char *not_ready, const uint8_t *body, size_t len)
{
    const aa_http_request hq = {
        .method = "POST", .path = path, .query = "", .token = token, .body = body, .body_len = len};
    aa_http_reply hp = {0};
    scorer_tally  tally = {0};
    json_error_t  why;
    score_http_answer(sc, not_ready, MAX_BODY, &hq, &hp, &tally);
    AA_REQUIRE(hp.status >= 200 && hp.status < 600 && hp.content_type && hp.body);
    json_t *root = json_loadb(hp.body, hp.body_len, 0, &why);
    AA_REQUIRE(root && json_is_object(root));
    AA_REQUIRE(hp.status == 200 || json_is_string(json_object_get(root, "error")));
    AA_REQUIRE(hp.status != 200 || strcmp(path, "/v1/batch") == 0 || strcmp(token, "secret") == 0);
    json_decref(root);
    free(hp.body);
}

static void
protobuf(const char *not_ready, const uint8_t *data, size_t size)
{
    static aa_bytes out; /* kept between inputs */
    aa_score_reply  reply;
    scorer_tally    tally = {0};
    aa_err          err = AA_ERR_INIT;
    AA_REQUIRE(scorer_step(sc, not_ready, data, size, &out, &tally, &err) == AA_OK);
    AA_REQUIRE(aa_score_unpack_reply(&reply, out.data, out.len, &err) == AA_OK);
    AA_REQUIRE(reply.status == tally.status && (reply.status == 0) == (reply.error[0] == '\0'));
    aa_score_reply_fini(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    start();
    const char *token = data[1] & RIGHT_TOKEN ? "secret" : data[1] & WRONG_TOKEN ? "secre" : "";
    const char *not_ready = data[1] & NOT_READY ? "still reading" : NULL;
    switch (data[0] % 5) {
    case 0: http("/v1/score", token, not_ready, data + 2, size - 2); break;
    case 1: http("/v1/rank", token, not_ready, data + 2, size - 2); break;
    case 2: http("/v1/batch", token, not_ready, data + 2, size - 2); break;
    case 3: http("/v1/nothing", token, not_ready, data + 2, size - 2); break;
    default: protobuf(not_ready, data + 2, size - 2); break;
    }
    return 0;
}

/* Now and then begin anew from a valid request. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const body[] = {
        "{\"user\": \"1\", \"items\": [\"0\", 5, \"new\"], \"explain\": true, \"request_id\": 7}",
        "{\"user\": 2, \"top\": 3}",
        "{\"requests\": [{\"user\": \"1\", \"items\": [3]}, {\"user\": 9, \"top\": 2}]}",
        "{}",
    };
    static aa_bytes by;
    aa_text         item[3] = {{"0", 1}, {"5", 1}, {"new", 3}};
    aa_err          err = AA_ERR_INIT;
    if ((size > 2 && seed % 16) || max_size < 256) return LLVMFuzzerMutate(data, size, max_size);
    const unsigned which = seed / 16 % 5;
    data[0] = (uint8_t)which;
    data[1] = seed / 128 % 8 ? RIGHT_TOKEN : (uint8_t)(seed / 1024 % 8);
    if (which < 4) {
        memcpy(data + 2, body[which], strlen(body[which]));
        return 2 + strlen(body[which]);
    }
    const aa_score_request rq = {.token = {"secret", 6},
                                 .user = {"1", 1},
                                 .item = item,
                                 .item_count = seed / 128 % 4,
                                 .explain = seed & 1024,
                                 .rank = seed & 2048,
                                 .top = seed / 4096 % 5,
                                 .request_id = seed};
    sample_must(aa_score_pack_request(&by, &rq, &err), &err);
    memcpy(data + 2, by.data, by.len);
    return 2 + by.len;
}
