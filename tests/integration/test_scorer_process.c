/* The scorer as a process: librdkafka's mock broker, both endpoints, the score client, SIGTERM. */
#include "scorer/replica/replica.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/kafka/kafka_producer.h"
#include "common/links/rpc.h"
#include "common/messages/wire_score.h"
#include "common/model/model.h"
#include "tests/check.h"
#include "tests/integration/broker.h"
#include "tests/integration/process.h"

enum { K = 4, W = K + 1, F = 2, SHORT_MS = 3000 };

typedef struct {
    mock_broker    mb;
    aa_conf        cfg;
    process        scorer;
    char           dir[64], listen[128];
    int            port;
    aa_producer   *pr;
    aa_rpc_client *cl;
    replica       *rp;              /* fed with what the process is fed with */
    int32_t        partition;       /* that what is published goes to; -1: by key */
    int64_t        newest_kafka_ms; /* of the next dense weights */
    uint64_t       older;           /* the run of the next dense weights is 1 less this */
    uint32_t       lane;            /* of what is published */
    aa_bytes       by;
    aa_err         err;
} fixture;

static void
start_scorer(fixture *fx, const char *bootstrap)
{
    char        brokers[1100], listen[160], summary[100], retention[64], port[16];
    const char *argv[] = {"scorer",
                          "-o",
                          brokers,
                          "-o",
                          listen,
                          "-o",
                          summary,
                          "-o",
                          "model.dim=4",
                          "-o",
                          "model.kind=fm",
                          "-o",
                          "scorer.max_request_bytes=2000",
                          "-o",
                          "scorer.token=secret",
                          "-o",
                          retention,
                          NULL};
    snprintf(retention, sizeof retention, "scorer.delete_retention_ms=%" PRId64,
             fx->cfg.scorer.delete_retention_ms);
    snprintf(brokers, sizeof brokers, "kafka.bootstrap.servers=%s", bootstrap);
    snprintf(listen, sizeof listen, "scorer.listen=%s", fx->listen);
    snprintf(summary, sizeof summary, "pipeline.summary_dir=%s", fx->dir);
    process_start(&fx->scorer, fx->dir, argv);
    wait_until(process_said(&fx->scorer, "id=HTTP-LISTEN bind=127.0.0.1 port=", port, sizeof port));
    fx->port = atoi(port);
    wait_until(process_said(&fx->scorer, "id=LISTEN ", NULL, 0)); /* the scoring resources too */
}

/* All but the scorer. */
static int
prepare(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    aa_conf_defaults(&fx->cfg);
    mock_brokers_start(&fx->mb, &fx->cfg, 2);
    fx->partition = -1;
    fx->cfg.model.dim = K;
    fx->cfg.model.kind = AA_MODEL_FM;
    snprintf(fx->dir, sizeof fx->dir, "/tmp/autoassign-test-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    snprintf(fx->listen, sizeof fx->listen, "ipc://%s/score", fx->dir);
    check_ok(fx, aa_producer_open(&fx->pr, &fx->cfg, &fx->err));
    check_ok(fx, aa_rpc_connect(&fx->cl, fx->listen, NULL, &fx->err));
    check_ok(fx, replica_new(&fx->rp, &fx->cfg, &fx->err));
    *state = fx;
    return 0;
}

static int
start(void **state)
{
    prepare(state);
    start_scorer(*state, ((fixture *)*state)->cfg.kafka[0].value);
    return 0;
}

/* The mock broker does not say how long a topic keeps deletions. */
static int
start_with_short_retention(void **state)
{
    prepare(state);
    ((fixture *)*state)->cfg.scorer.delete_retention_ms = SHORT_MS;
    start_scorer(*state, ((fixture *)*state)->cfg.kafka[0].value);
    return 0;
}

static int
start_where_no_broker_is(void **state)
{
    prepare(state);
    start_scorer(*state, "127.0.0.1:1");
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    char     command[100];
    if (fx->scorer.pid > 0) {
        kill(fx->scorer.pid, SIGKILL);
        process_wait(&fx->scorer);
    }
    aa_rpc_disconnect(&fx->cl);
    aa_producer_free(&fx->pr, 1000);
    replica_free(&fx->rp);
    mock_broker_stop(&fx->mb);
    aa_bytes_fini(&fx->by);
    snprintf(command, sizeof command, "rm -r '%s'", fx->dir);
    int code = system(command);
    free(fx);
    return code;
}

/* ---- publishing, as assigner and learner do ---- */

static void
publish(fixture *fx, uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *value)
{
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.lane = fx->lane, .kind = kind, .field = field, .id = id};
    replica_effect effect;
    const char    *topic = kind == AA_KEY_ASSIGNMENT || kind == AA_KEY_NEW_ID || kind == AA_KEY_NAME
                               ? fx->cfg.topics.assignments
                               : fx->cfg.topics.model;
    const void    *data = value ? value->data : NULL;
    size_t         len = value ? value->len : 0;
    aa_topic_key_put(key, &k);
    check_ok(fx, aa_producer_send(fx->pr, topic, fx->partition, key, sizeof key, data, len, 0, NULL,
                                  0, &fx->err));
    check_ok(fx, replica_apply(fx->rp, key, sizeof key, data, len, &effect, &fx->err));
}

static void
publish_row(fixture *fx, uint32_t field, uint32_t slot, uint64_t version, uint64_t born, float mark)
{
    float       w[W] = {mark, -mark, 0.5f, 0.1f, mark / 2};
    aa_row_head rh = {.run_id = 1, .version = version, .born = born};
    check_ok(fx, aa_wire_pack_row(&fx->by, &rh, w, W, &fx->err));
    publish(fx, AA_KEY_ROW, field, slot, &fx->by);
}

static void
publish_assignment(fixture *fx, uint8_t kind, uint32_t field, uint64_t key, uint32_t slot,
                   uint64_t born)
{
    aa_assignment a = {
        .run_id = 1, .version = 1, .slot = slot, .born = born, .position = 1, .alt_slot = 0};
    check_ok(fx, aa_wire_pack_assignment(&fx->by, &a, &fx->err));
    publish(fx, kind, field, key, &fx->by);
}

static void
publish_model(fixture *fx, uint64_t version)
{
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(AA_MODEL_FM);
    float                w[16] = {0.25f};
    aa_model_shape_of(&sh, &fx->cfg);
    aa_dense_message d = {.run_id = 1 - fx->older,
                          .version = version,
                          .model = "fm",
                          .F = F,
                          .K = K,
                          .w = w,
                          .w_count = kind->weight_count(&sh),
                          .events = 1000,
                          .newest_kafka_ms = fx->newest_kafka_ms};
    assert_true(d.w_count <= 16);
    d.hidden_count = sh.H;
    for (size_t h = 0; h < sh.H; h++)
        d.hidden[h] = sh.hidden[h];
    check_ok(fx, aa_wire_pack_dense(&fx->by, &d, &fx->err));
    publish(fx, AA_KEY_DENSE, 0, 0, &fx->by);
}

static void
publish_everything(fixture *fx)
{
    for (uint32_t f = 0; f < F; f++) {
        publish_assignment(fx, AA_KEY_NEW_ID, f, 0, 0, 0);
        publish_row(fx, f, 0, 1, 0, 0.3f);
    }
    publish_assignment(fx, AA_KEY_ASSIGNMENT, REPLICA_USER, aa_id_key("u1", 2), 20, 5);
    publish_assignment(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key("i1", 2), 21, 6);
    publish_row(fx, REPLICA_USER, 20, 5, 5, 0.9f);
    publish_row(fx, REPLICA_ITEM, 21, 6, 6, 0.8f);
    publish_model(fx, 7);
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
}

static void
create_topics(fixture *fx)
{
    rd_kafka_mock_topic_create(fx->mb.mc, fx->cfg.topics.assignments, 2, 1);
    rd_kafka_mock_topic_create(fx->mb.mc, fx->cfg.topics.model, 3, 1);
}

static bool
is_ready(const fixture *fx)
{
    return http_ask(fx->port, "GET", "/readyz", "", "", NULL, 0) == 200;
}

/* ---- asking ---- */

static void
ask(fixture *fx, const void *buf, size_t len, aa_score_reply *reply)
{
    const void *answer;
    size_t      answer_len;
    check_ok(fx, aa_rpc_ask(fx->cl, buf, len, 10000, &answer, &answer_len, &fx->err));
    check_ok(fx, aa_score_unpack_reply(reply, answer, answer_len, &fx->err));
}

static uint32_t
ask_for(fixture *fx, const char *token, const char *item, float *score, uint64_t *version)
{
    aa_text          items[] = {{item, strlen(item)}, {"nobody", 6}};
    aa_score_request rq = {
        .token = {token, strlen(token)}, .user = {"u1", 2}, .item = items, .item_count = 2};
    aa_score_reply reply;
    check_ok(fx, aa_score_pack_request(&fx->by, &rq, &fx->err));
    ask(fx, fx->by.data, fx->by.len, &reply);
    uint32_t status = reply.status;
    if (!status) {
        assert_int_equal(reply.score_count, 2);
        memcpy(score, reply.score, 2 * sizeof *score);
        *version = reply.version;
    }
    aa_score_reply_fini(&reply);
    return status;
}

/* What a replica that was told the same says. */
static void
expected(fixture *fx, const char *item, float score[2])
{
    replica_reader *rr = NULL;
    replica_answer  answer;
    uint64_t        key[F] = {aa_id_key("u1", 2), 0};
    uint64_t        items[] = {aa_id_key(item, strlen(item)), aa_id_key("nobody", 6)};
    check_ok(fx, replica_reader_open(&rr, fx->rp, &fx->err));
    check_ok(fx, replica_score(rr, key, items, 2, score, NULL, &answer, &fx->err));
    replica_reader_close(&rr);
}

static double
metric_value(fixture *fx, const char *name)
{
    static char body[1 << 18];
    assert_int_equal(http_ask(fx->port, "GET", "/metrics", "", "", body, sizeof body), 200);
    for (const char *at = body; (at = strstr(at, name)); at++)
        if ((at == body || at[-1] == '\n') && at[strlen(name)] == ' ')
            return atof(at + strlen(name) + 1);
    fail_msg("no metric %s", name);
    return 0;
}

/* ---- tests ---- */

static void
without_kafka_every_endpoint_says_not_yet(void **state)
{
    fixture *fx = *state;
    float    score[2];
    uint64_t version;
    char     body[1000];
    assert_int_equal(ask_for(fx, "secret", "i1", score, &version), 503);
    assert_int_equal(http_ask(fx->port, "GET", "/healthz", "", "", NULL, 0), 200);
    assert_int_equal(http_ask(fx->port, "GET", "/readyz", "", "", NULL, 0), 503);
    assert_int_equal(http_ask(fx->port, "POST", "/v1/score", "Authorization: Bearer secret\r\n",
                              "{\"user\":\"u1\",\"items\":[]}", body, sizeof body),
                     503);
    assert_non_null(strstr(body, "the topics are not there yet"));
    wait_until(process_said(&fx->scorer, "id=WAIT-TOPICS", NULL, 0));
    kill(fx->scorer.pid, SIGTERM); /* and it can be told to go */
    assert_int_equal(process_wait(&fx->scorer), 0);
}

static void
both_endpoints_and_the_client_give_the_replicas_scores(void **state)
{
    fixture *fx = *state;
    float    got[2], want[2];
    uint64_t version = 0;
    char     body[1000], text[300];
    create_topics(fx);
    publish_everything(fx);
    wait_until(is_ready(fx));

    expected(fx, "i1", want);
    assert_int_equal(ask_for(fx, "secret", "i1", got, &version), 0);
    assert_memory_equal(got, want, sizeof got);
    assert_true(got[0] != got[1]);
    assert_int_equal(version, 7);
    assert_int_equal(ask_for(fx, "wrong", "i1", got, &version), 401);

    const char *content = "{\"user\":\"u1\",\"items\":[\"i1\",\"nobody\"]}";
    assert_int_equal(http_ask(fx->port, "POST", "/v1/score", "Authorization: Bearer secret\r\n",
                              content, body, sizeof body),
                     200);
    json_t *root = json_loads(body, 0, NULL);
    json_t *scores = json_object_get(root, "scores");
    for (size_t i = 0; i < 2; i++) {
        float value = (float)json_real_value(json_array_get(scores, i));
        assert_memory_equal(&value, &want[i], sizeof value);
    }
    json_decref(root);
    assert_int_equal(http_ask(fx->port, "POST", "/v1/score", "", content, body, sizeof body), 401);

    process     client;
    const char *argv[] = {"score", "--endpoint", fx->listen, "--token", "secret",
                          "u1",    "i1",         "nobody",   NULL};
    process_start(&client, fx->dir, argv);
    assert_int_equal(process_wait(&client), 0);
    char *said = file_text(client.out_path);
    snprintf(text, sizeof text, "i1\t%.9g\nnobody\t%.9g\n", (double)want[0], (double)want[1]);
    assert_string_equal(said, text);
    free(said);
    argv[4] = "wrong";
    process_start(&client, fx->dir, argv);
    assert_int_equal(process_wait(&client), 1);
    assert_true(process_said(&client, "score: 401: wrong token", NULL, 0));

    assert_int_equal((int)metric_value(fx, "autoassign_scorer_requests_total{endpoint=\"zmq\","
                                           "status=\"200\"}"),
                     2);
    assert_int_equal((int)metric_value(fx, "autoassign_scorer_requests_total{endpoint=\"http\","
                                           "status=\"401\"}"),
                     1);
    wait_until(metric_value(fx, "autoassign_scorer_lag") < 1);
    wait_until((int)metric_value(fx, "autoassign_scorer_rows{field=\"item\"}") == 2);
    assert_int_equal((int)metric_value(fx, "autoassign_scorer_version"), 7);
}

static void
what_is_published_later_shows_in_the_scores(void **state)
{
    fixture *fx = *state;
    float    got[2], want[2];
    uint64_t version = 0;
    create_topics(fx);
    publish_everything(fx);
    wait_until(is_ready(fx));
    publish_row(fx, REPLICA_ITEM, 21, 8, 6, -0.7f);
    publish_model(fx, 8);
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    expected(fx, "i1", want);
    wait_until(ask_for(fx, "secret", "i1", got, &version) == 0 &&
               memcmp(got, want, sizeof got) == 0 && version == 8);
    publish(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key("i1", 2), NULL);
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    wait_until(ask_for(fx, "secret", "i1", got, &version) == 0 && !(got[0] < got[1]) &&
               !(got[0] > got[1])); /* forgotten: reads what nobody reads */
}

static void
garbage_in_topics_and_requests_is_counted_and_survived(void **state)
{
    fixture       *fx = *state;
    float          got[2], want[2];
    uint64_t       version;
    aa_score_reply reply;
    static char    big[3000];
    create_topics(fx);
    publish_everything(fx);
    check_ok(fx, aa_producer_send(fx->pr, fx->cfg.topics.model, 0, "short", 5, "x", 1, 0, NULL, 0,
                                  &fx->err));
    check_ok(fx, aa_producer_send(fx->pr, fx->cfg.topics.assignments, 0, NULL, 0, NULL, 0, 0, NULL,
                                  0, &fx->err));
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    wait_until(is_ready(fx));
    ask(fx, "\xff\xff", 2, &reply);
    assert_int_equal(reply.status, 400);
    aa_score_reply_fini(&reply);
    ask(fx, big, sizeof big, &reply);
    assert_int_equal(reply.status, 413);
    aa_score_reply_fini(&reply);
    wait_until(metric_value(fx, "autoassign_scorer_records_total{effect=\"bad\"}") > 1.5);
    expected(fx, "i1", want);
    assert_int_equal(ask_for(fx, "secret", "i1", got, &version), 0);
    assert_memory_equal(got, want, sizeof got);
}

static void
publish_name(fixture *fx, const char *item)
{
    check_ok(fx, aa_wire_pack_name(&fx->by, item, strlen(item), &fx->err));
    publish(fx, AA_KEY_NAME, REPLICA_ITEM, aa_id_key(item, strlen(item)), &fx->by);
}

/* What the client prints for the best of all known items but one. */
static void
check_ranking(fixture *fx, const char *option, const char *address, const char *exclude,
              const char *want)
{
    process     client;
    const char *argv[] = {"score", option,      address, "--token", "secret", "--top",
                          "2",     "--exclude", exclude, "u1",      NULL};
    process_start(&client, fx->dir, argv);
    assert_int_equal(process_wait(&client), 0);
    char *said = file_text(client.out_path);
    assert_string_equal(said, want);
    free(said);
}

/* One partition cannot be read for a while: all that is needed to score has come by another. */
static void
not_all_read_is_not_ready(void **state)
{
    enum { FETCH = 1, MANY = 1000 };
    const rd_kafka_resp_err_t moved = RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    fixture                  *fx = *state;
    float                     got[2], want[2];
    uint64_t                  version;
    char                      body[1000];
    const char               *model = fx->cfg.topics.model;
    create_topics(fx);
    for (int32_t p = 0; p < 2; p++)
        rd_kafka_mock_partition_set_leader(fx->mb.mc, fx->cfg.topics.assignments, p, 1);
    for (int32_t p = 0; p < 3; p++)
        rd_kafka_mock_partition_set_leader(fx->mb.mc, model, p, p == 1 ? 2 : 1);
    fx->partition = 0;
    publish_everything(fx);
    fx->partition = 1;
    publish_row(fx, REPLICA_USER, 20, 6, 5, 0.7f); /* the newest of what u1 reads */
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    for (int i = 0; i < MANY; i++)
        rd_kafka_mock_broker_push_request_error_rtts(fx->mb.mc, 2, FETCH, 1, moved, 0);
    start_scorer(fx, fx->cfg.kafka[0].value);

    wait_until((int)metric_value(fx, "autoassign_scorer_version") == 7);
    assert_false(is_ready(fx));
    assert_int_equal(ask_for(fx, "secret", "i1", got, &version), 503);
    assert_int_equal(http_ask(fx->port, "POST", "/v1/score", "Authorization: Bearer secret\r\n",
                              "{\"user\":\"u1\",\"items\":[]}", body, sizeof body),
                     503);
    assert_non_null(strstr(body, "catching up"));

    rd_kafka_mock_partition_set_leader(fx->mb.mc, model, 1, 1);
    wait_until(is_ready(fx));
    expected(fx, "i1", want);
    assert_int_equal(ask_for(fx, "secret", "i1", got, &version), 0); /* the first answer of all */
    assert_memory_equal(got, want, sizeof got);
}

static void
how_far_it_is_behind_is_said_in_seconds_and_versions(void **state)
{
    fixture *fx = *state;
    create_topics(fx);
    fx->newest_kafka_ms = aa_wall_ms() - 90000;
    publish_everything(fx);
    wait_until(is_ready(fx));
    wait_until(metric_value(fx, "autoassign_scorer_staleness_seconds") >= 90);
    assert_true(metric_value(fx, "autoassign_scorer_staleness_seconds") < 80000);
    assert_int_equal((int)metric_value(fx, "autoassign_scorer_versions_behind"), 0);

    publish_row(fx, REPLICA_USER, 20, 19, 5, 0.9f); /* a row of batch 19; the weights are of 7 */
    wait_until((int)metric_value(fx, "autoassign_scorer_versions_behind") == 12);
    fx->newest_kafka_ms = aa_wall_ms() - 1000;
    publish_model(fx, 19);
    wait_until((int)metric_value(fx, "autoassign_scorer_versions_behind") == 0);
    wait_until((int)metric_value(fx, "autoassign_scorer_version") == 19);
    wait_until(metric_value(fx, "autoassign_scorer_staleness_seconds") < 89);
    wait_until((int)metric_value(fx, "autoassign_scorer_lag") == 0);
}

/* What /readyz says. */
static bool
readyz_says(const fixture *fx, const char *what)
{
    char body[400] = "";
    return http_ask(fx->port, "GET", "/readyz", "", "", body, sizeof body) == 503 &&
           strstr(body, what);
}

static void
only_records_of_an_older_run_are_said_and_not_ready(void **state)
{
    fixture *fx = *state;
    float    got[2];
    uint64_t version;
    create_topics(fx);
    publish_everything(fx);
    wait_until(is_ready(fx));
    fx->older = 1; /* a clock was ahead, and has been set right */
    wait_until((publish_model(fx, 99), readyz_says(fx, "older run")));
    assert_int_equal((int)metric_value(fx, "autoassign_scorer_older_run"), 1);
    assert_int_equal(ask_for(fx, "secret", "i1", got, &version), 0); /* still scored */
    assert_int_equal(version, 7);
    fx->older = 0;
    publish_model(fx, 8);
    wait_until(is_ready(fx));
    assert_int_equal((int)metric_value(fx, "autoassign_scorer_older_run"), 0);
}

static void
a_lane_without_records_is_named_as_the_reason(void **state)
{
    fixture *fx = *state;
    create_topics(fx);
    fx->lane = 3;
    publish_everything(fx);
    wait_until(readyz_says(fx, "records of other lanes"));
    assert_int_equal((int)metric_value(fx, "autoassign_scorer_lane"), 0);
}

static void
both_endpoints_rank_all_known_items_but_the_excluded(void **state)
{
    fixture *fx = *state;
    float    score[2];
    char     want[200], address[40];
    create_topics(fx);
    publish_name(fx, "i1");
    publish_name(fx, "nobody");
    publish_name(fx, "gone"); /* the assigner does not hold it: not ranked */
    publish_assignment(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key("nobody", 6), 0, 0);
    publish_everything(fx);
    wait_until(is_ready(fx) && metric_value(fx, "autoassign_scorer_known_items") > 1);
    expected(fx, "i1", score);
    if (score[0] > score[1])
        snprintf(want, sizeof want, "i1\t%.9g\nnobody\t%.9g\n", (double)score[0], (double)score[1]);
    else
        snprintf(want, sizeof want, "nobody\t%.9g\ni1\t%.9g\n", (double)score[1], (double)score[0]);
    snprintf(address, sizeof address, "127.0.0.1:%d", fx->port);
    check_ranking(fx, "--endpoint", fx->listen, "another", want);
    check_ranking(fx, "--http", address, "another", want);
    snprintf(want, sizeof want, "i1\t%.9g\n", (double)score[0]);
    check_ranking(fx, "--endpoint", fx->listen, "nobody", want);
    check_ranking(fx, "--http", address, "nobody", want);
}

static void
sigterm_drains_and_says_what_was_served(void **state)
{
    fixture *fx = *state;
    char     path[100], want[17];
    create_topics(fx);
    publish_everything(fx);
    wait_until(is_ready(fx));
    for (uint32_t i = 0; i < 3000; i++) /* still coming in when it is told to stop */
        publish_row(fx, REPLICA_ITEM, 100 + i, 9, 9, (float)i / 3000);
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    kill(fx->scorer.pid, SIGTERM);
    assert_int_equal(process_wait(&fx->scorer), 0);

    snprintf(path, sizeof path, "%s/scorer.json", fx->dir);
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    snprintf(want, sizeof want, "%016llx", (unsigned long long)replica_served_digest(fx->rp));
    assert_string_equal(json_string_value(json_object_get(root, "served_digest")), want);
    snprintf(want, sizeof want, "%016llx", (unsigned long long)replica_assignments_digest(fx->rp));
    assert_string_equal(json_string_value(json_object_get(root, "assignments_digest")), want);
    assert_int_equal(json_integer_value(json_object_get(root, "rows")), 3004);
    json_decref(root);
    assert_true(process_said(&fx->scorer, "id=FINAL", NULL, 0));
    assert_true(process_said(&fx->scorer, "id=EXIT", NULL, 0));
}

static void
the_client_tells_usage_errors_from_refusals(void **state)
{
    fixture    *fx = *state;
    process     client;
    const char *no_item[] = {"score", "u1", NULL};
    const char *bad_flag[] = {"score", "--bogus", "u1", "i1", NULL};
    const char *bad_key[] = {"score", "-o", "scorer.bogus=1", "u1", "i1", NULL};
    const char *nobody[] = {"score",     "--endpoint", "ipc:///tmp/autoassign-nobody-listens",
                            "--timeout", "100",        "u1",
                            "i1",        NULL};
    const char *help[] = {"score", "--help", NULL};
    const struct {
        const char *const *argv;
        int                code;
        const char        *words;
    } call[] = {{no_item, 2, "ITEM"},
                {bad_flag, 2, "bogus"},
                {bad_key, 2, "scorer.bogus"},
                {nobody, 1, "no answer"},
                {help, 0, "usage: score"}};
    for (size_t i = 0; i < sizeof call / sizeof call[0]; i++) {
        process_start(&client, fx->dir, call[i].argv);
        assert_int_equal(process_wait(&client), call[i].code);
        assert_true(process_said(&client, call[i].words, NULL, 0));
    }
}

/* Stopped, as by SIGSTOP or with its machine, while records are written. */
static void
stop_for(fixture *fx, int64_t ms)
{
    kill(fx->scorer.pid, SIGSTOP);
    publish_row(fx, REPLICA_ITEM, 21, 8, 6, -0.7f);
    publish_model(fx, 8);
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    for (const int64_t until_ms = aa_now_ms() + ms; aa_now_ms() < until_ms;)
        process_pause();
    kill(fx->scorer.pid, SIGCONT);
}

static bool
serves_version(fixture *fx, uint64_t want)
{
    float    score[2];
    uint64_t version = 0;
    assert_int_equal(ask_for(fx, "secret", "i1", score, &version), 0); /* whatever is going on */
    return version == want;
}

static bool
serves_expected(fixture *fx)
{
    float    got[2], want[2];
    uint64_t version = 0;
    expected(fx, "i1", want);
    assert_int_equal(ask_for(fx, "secret", "i1", got, &version), 0);
    return memcmp(got, want, sizeof got) == 0;
}

static void
stopped_for_longer_than_deletions_are_kept_it_reads_anew_and_serves_meanwhile(void **state)
{
    fixture *fx = *state;
    create_topics(fx);
    publish_everything(fx);
    wait_until(is_ready(fx));
    wait_until(
        process_said(&fx->scorer, "id=DELETE-RETENTION msg=\"deletions are kept for 3 s", NULL, 0));
    const pid_t before = fx->scorer.pid;
    stop_for(fx, SHORT_MS + 1000);
    for (const int64_t until_ms = aa_now_ms() + PROCESS_DEADLINE_MS;
         !process_said(&fx->scorer, "id=READ-ANEW msg=\"done", NULL, 0);) {
        assert_true(aa_now_ms() < until_ms);
        serves_version(fx, 8);
        assert_int_equal(http_ask(fx->port, "GET", "/readyz", "", "", NULL, 0), 200);
        process_pause();
    }
    wait_until(serves_version(fx, 8));
    wait_until(serves_expected(fx));
    assert_true(metric_value(fx, "autoassign_scorer_read_anew_total") >= 1);
    wait_until(metric_value(fx, "autoassign_scorer_lag") < 1);
    publish_row(fx, REPLICA_ITEM, 21, 9, 6, 0.1f); /* and what comes next is read */
    publish_model(fx, 9);
    check_ok(fx, aa_producer_flush(fx->pr, 10000, &fx->err));
    wait_until(serves_version(fx, 9));
    wait_until(serves_expected(fx));
    assert_int_equal(fx->scorer.pid, before);
    kill(fx->scorer.pid, SIGTERM);
    assert_int_equal(process_wait(&fx->scorer), 0);
}

static void
stopped_for_a_moment_it_goes_on_where_it_was(void **state)
{
    fixture *fx = *state;
    create_topics(fx);
    publish_everything(fx);
    wait_until(is_ready(fx));
    stop_for(fx, 1000);
    wait_until(serves_version(fx, 8));
    wait_until(serves_expected(fx));
    assert_true(metric_value(fx, "autoassign_scorer_read_anew_total") < 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_kafka_every_endpoint_says_not_yet,
                                        start_where_no_broker_is, stop),
        TEST(both_endpoints_and_the_client_give_the_replicas_scores),
        TEST(what_is_published_later_shows_in_the_scores),
        cmocka_unit_test_setup_teardown(not_all_read_is_not_ready, prepare, stop),
        TEST(how_far_it_is_behind_is_said_in_seconds_and_versions),
        TEST(only_records_of_an_older_run_are_said_and_not_ready),
        TEST(a_lane_without_records_is_named_as_the_reason),
        TEST(both_endpoints_rank_all_known_items_but_the_excluded),
        TEST(garbage_in_topics_and_requests_is_counted_and_survived),
        TEST(sigterm_drains_and_says_what_was_served),
        cmocka_unit_test_setup_teardown(
            stopped_for_longer_than_deletions_are_kept_it_reads_anew_and_serves_meanwhile,
            start_with_short_retention, stop),
        TEST(stopped_for_a_moment_it_goes_on_where_it_was),
        TEST(the_client_tells_usage_errors_from_refusals),
    };
    return cmocka_run_group_tests_name("scorer, the process", tests, NULL, NULL);
}
