/* Rankings and batches through JSON, deadlines, the pool of threads; and that
 * scorer/api/openapi.yaml says what the HTTP endpoint does. */
#include "scorer/api/score_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <sched.h>
#include <stdatomic.h>
#include <yaml.h>

#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/model/model.h"
#include "scorer/pool.h"
#include "tests/check.h"

enum { K = 3, W = K + 1, ITEMS = 3000, SEED = 5 };

extern const unsigned char openapi_yaml[];
extern const unsigned long openapi_yaml_bytes;

typedef struct {
    aa_conf         cfg;
    replica        *rp;
    scorer         *sc;
    scorer_tally    tally;
    aa_err          err;
    yaml_document_t doc;
} fixture;

static void
feed(fixture *fx, uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *value)
{
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.kind = kind, .field = field, .id = id};
    replica_effect effect;
    aa_topic_key_put(key, &k);
    assert_int_equal(replica_apply(fx->rp, key, sizeof key, value ? value->data : NULL,
                                   value ? value->len : 0, &effect, &fx->err),
                     AA_OK);
}

static void
name_item(fixture *fx, uint32_t i, aa_bytes *by)
{
    char text[16];
    int  len = snprintf(text, sizeof text, "%u", i);
    assert_int_equal(aa_wire_pack_name(by, text, (size_t)len, &fx->err), AA_OK);
    feed(fx, AA_KEY_NAME, REPLICA_ITEM, aa_id_key_number(i), by);
}

/* The assigner holds an item, with its own row. */
static void
hold_item(fixture *fx, uint32_t i, uint64_t version, aa_bytes *by)
{
    aa_assignment a = {
        .run_id = 1, .version = 1 + version, .slot = 9 + i, .born = 2, .position = 9};
    assert_int_equal(aa_wire_pack_assignment(by, &a, &fx->err), AA_OK);
    feed(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key_number(i), by);
}

/* ITEMS items with rows of their own, all named. */
static void
fill(fixture *fx)
{
    const aa_model_kind *kind = aa_model_find(AA_MODEL_FM);
    aa_model_shape       sh;
    float                w[8] = {0}, row[W];
    aa_bytes             by = {0};
    aa_model_shape_of(&sh, &fx->cfg);
    aa_dense_message d = {.run_id = 1,
                          .version = 12,
                          .model = "fm",
                          .F = 2,
                          .K = K,
                          .w = w,
                          .w_count = kind->weight_count(&sh)};
    for (uint32_t f = 0; f < 2; f++) {
        aa_assignment a = {.run_id = 1, .version = 3, .position = 1};
        aa_row_head   rh = {.run_id = 1, .version = 4};
        aa_rng_normal(row, W, 1, SEED, AA_RNG_TEST, f);
        assert_int_equal(aa_wire_pack_assignment(&by, &a, &fx->err), AA_OK);
        feed(fx, AA_KEY_NEW_ID, f, 0, &by);
        assert_int_equal(aa_wire_pack_row(&by, &rh, row, W, &fx->err), AA_OK);
        feed(fx, AA_KEY_ROW, f, 0, &by);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        aa_row_head rh = {.run_id = 1, .version = 4, .born = 2};
        aa_rng_normal(row, W, 1, SEED, AA_RNG_TEST, 10 + i);
        hold_item(fx, i, 2, &by);
        assert_int_equal(aa_wire_pack_row(&by, &rh, row, W, &fx->err), AA_OK);
        feed(fx, AA_KEY_ROW, REPLICA_ITEM, 9 + i, &by);
        name_item(fx, i, &by);
    }
    assert_int_equal(aa_wire_pack_dense(&by, &d, &fx->err), AA_OK);
    feed(fx, AA_KEY_DENSE, 0, 0, &by);
    aa_bytes_fini(&by);
}

static int
set_up(void **state)
{
    fixture      *fx = calloc(1, sizeof *fx);
    yaml_parser_t parser;
    aa_conf_defaults(&fx->cfg);
    fx->cfg.model.dim = K;
    fx->cfg.model.kind = AA_MODEL_FM;
    fx->cfg.hidden_count = 0;
    assert_int_equal(fx->cfg.field_count, 2);
    assert_int_equal(replica_new(&fx->rp, &fx->cfg, &fx->err), AA_OK);
    assert_int_equal(scorer_new(&fx->sc, &fx->cfg, fx->rp, &fx->err), AA_OK);
    fill(fx);
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, openapi_yaml, openapi_yaml_bytes);
    assert_true(yaml_parser_load(&parser, &fx->doc));
    yaml_parser_delete(&parser);
    *state = fx;
    return 0;
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    yaml_document_delete(&fx->doc);
    scorer_free(&fx->sc);
    replica_free(&fx->rp);
    free(fx);
    return 0;
}

/* ---- what openapi.yaml says ---- */

static yaml_node_t *
member(fixture *fx, yaml_node_t *map, const char *name)
{
    assert_non_null(map);
    assert_int_equal(map->type, YAML_MAPPING_NODE);
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = yaml_document_get_node(&fx->doc, p->key);
        if (strcmp((const char *)key->data.scalar.value, name) == 0)
            return yaml_document_get_node(&fx->doc, p->value);
    }
    return NULL;
}

/* Follow a "$ref": "#/components/<kind>/<name>". */
static yaml_node_t *
resolve(fixture *fx, yaml_node_t *node)
{
    yaml_node_t *ref = node ? member(fx, node, "$ref") : NULL;
    char         path[128], *save = NULL;
    if (!ref) return node;
    snprintf(path, sizeof path, "%s", (const char *)ref->data.scalar.value);
    assert_memory_equal(path, "#/", 2);
    node = yaml_document_get_root_node(&fx->doc);
    for (char *part = strtok_r(path + 2, "/", &save); part; part = strtok_r(NULL, "/", &save))
        node = member(fx, node, part);
    return resolve(fx, node);
}

static yaml_node_t *
operation(fixture *fx, const char *path, const char *method)
{
    char         lower[8];
    yaml_node_t *at = member(fx, member(fx, yaml_document_get_root_node(&fx->doc), "paths"), path);
    for (size_t i = 0; i <= strlen(method); i++)
        lower[i] = (char)(method[i] | (method[i] ? 0x20 : 0));
    return at ? member(fx, at, lower) : NULL;
}

/* An object that holds what the schema requires, and nothing that it does not know. */
static void
check_object(fixture *fx, yaml_node_t *schema, const json_t *object)
{
    const char  *name;
    json_t      *value;
    yaml_node_t *required = member(fx, schema, "required");
    yaml_node_t *properties = member(fx, schema, "properties");
    assert_non_null(properties);
    json_object_foreach((json_t *)(uintptr_t)object, name, value) if (!member(fx, properties, name))
        fail_msg("%s is not in openapi.yaml", name);
    for (yaml_node_item_t *it = required->data.sequence.items.start;
         it < required->data.sequence.items.top; it++) {
        yaml_node_t *node = yaml_document_get_node(&fx->doc, *it);
        if (!json_object_get(object, (const char *)node->data.scalar.value))
            fail_msg("%s is required by openapi.yaml", (const char *)node->data.scalar.value);
    }
    value = json_object_get(object, "explanations");
    yaml_node_t *list = value ? resolve(fx, member(fx, properties, "explanations")) : NULL;
    for (size_t i = 0; i < json_array_size(value); i++)
        check_object(fx, resolve(fx, member(fx, list, "items")), json_array_get(value, i));
}

/* Ask, and hold status and body against openapi.yaml. */
static json_t *
ask(fixture *fx, const char *path, const char *method, const char *body, int want_status)
{
    char            status[8];
    aa_http_request hq = {.method = method,
                          .path = path,
                          .query = "",
                          .token = "",
                          .body = body,
                          .body_len = strlen(body)};
    aa_http_reply   hp = {0};
    score_http_answer(fx->sc, NULL, 1 << 20, &hq, &hp, &fx->tally);
    if (hp.status != want_status)
        fail_msg("%s: %d: %.*s", body, hp.status, (int)hp.body_len, hp.body);
    json_t *root = json_loadb(hp.body, hp.body_len, 0, NULL);
    assert_non_null(root);
    free(hp.body);
    snprintf(status, sizeof status, "%d", hp.status);
    yaml_node_t *said = operation(fx, path, strcmp(method, "GET") == 0 ? "POST" : method);
    assert_non_null(said);
    yaml_node_t *response = resolve(fx, member(fx, member(fx, said, "responses"), status));
    if (!response) fail_msg("openapi.yaml does not say that %s may answer %s", path, status);
    yaml_node_t *content = member(fx, member(fx, response, "content"), "application/json");
    check_object(fx, resolve(fx, member(fx, content, "schema")), root);
    return root;
}

/* ---- tests ---- */

static float
score_of(fixture *fx, const char *item)
{
    char body[100];
    snprintf(body, sizeof body, "{\"user\":\"u\",\"items\":[\"%s\"]}", item);
    json_t *root = ask(fx, "/v1/score", "POST", body, 200);
    float   score = (float)json_real_value(json_array_get(json_object_get(root, "scores"), 0));
    json_decref(root);
    return score;
}

static int
by_score(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void
all_known_items_are_ranked_as_their_scores_say(void **state)
{
    fixture *fx = *state;
    float   *all = calloc(ITEMS, sizeof *all);
    char     item[16];
    for (uint32_t i = 0; i < ITEMS; i++) {
        snprintf(item, sizeof item, "%u", i);
        all[i] = score_of(fx, item);
    }
    qsort(all, ITEMS, sizeof *all, by_score);
    json_t *root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":50,\"explain\":true}", 200);
    json_t *items = json_object_get(root, "items"), *scores = json_object_get(root, "scores");
    assert_int_equal(json_array_size(items), 50);
    assert_int_equal(json_array_size(scores), 50);
    assert_int_equal(json_array_size(json_object_get(root, "explanations")), 51);
    for (size_t i = 0; i < 50; i++) {
        float got = (float)json_real_value(json_array_get(scores, i));
        assert_memory_equal(&got, &all[i], sizeof got);
        got = score_of(fx, json_string_value(json_array_get(items, i)));
        assert_memory_equal(&got, &all[i], sizeof got);
    }
    assert_int_equal(json_integer_value(json_object_get(root, "version")), 12);
    json_decref(root);
    free(all);
}

static void
a_body_may_begin_with_a_byte_order_mark(void **state)
{
    fixture *fx = *state;
    json_decref(
        ask(fx, "/v1/score", "POST", "\xef\xbb\xbf{\"user\":\"u\",\"items\":[\"x\"]}", 200));
    json_decref(ask(fx, "/v1/score", "POST", "\xef\xbb\xbf", 400));
}

static void
equal_scores_of_a_list_are_ranked_by_id(void **state)
{
    fixture *fx = *state;
    json_t  *root = ask(fx, "/v1/rank", "POST",
                        "{\"user\":\"u\",\"top\":9,\"items\":[\"z\",5,\"y\",\"x\"]}", 200);
    json_t  *items = json_object_get(root, "items");
    bool     five_first = score_of(fx, "5") > score_of(fx, "x");
    assert_int_equal(json_array_size(items), 4);
    assert_string_equal(json_string_value(json_array_get(items, five_first ? 0 : 3)), "5");
    for (size_t i = 0; i < 3; i++) /* never seen: all read the same */
        assert_string_equal(json_string_value(json_array_get(items, i + five_first)), i == 0 ? "x"
                                                                                      : i == 1
                                                                                          ? "y"
                                                                                          : "z");
    json_decref(root);
}

/* Scorers hear of items in different orders, and are to rank alike. */
static void
equal_scores_of_known_items_are_ranked_by_id(void **state)
{
    static const char *const tied[] = {"tie-c", "tie-a", "tie-b", "tie-aa"};
    fixture                 *fx = *state;
    aa_bytes                 by = {0};
    char                     order[64] = "";
    for (size_t i = 0; i < 4; i++) { /* all read the same shared row */
        aa_assignment a = {.run_id = 1, .version = 3, .position = 1};
        const size_t  len = strlen(tied[i]);
        assert_int_equal(aa_wire_pack_assignment(&by, &a, &fx->err), AA_OK);
        feed(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key(tied[i], len), &by);
        assert_int_equal(aa_wire_pack_name(&by, tied[i], len, &fx->err), AA_OK);
        feed(fx, AA_KEY_NAME, REPLICA_ITEM, aa_id_key(tied[i], len), &by);
    }
    json_t *root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":10000}", 200), *item;
    size_t  i;
    json_array_foreach(json_object_get(root, "items"), i, item)
    {
        const char *text = json_string_value(item);
        if (strncmp(text, "tie-", 4) == 0) strcat(strcat(order, text), " ");
    }
    assert_string_equal(order, "tie-a tie-aa tie-b tie-c ");
    json_decref(root);
    aa_bytes_fini(&by);
}

/* Without the best, the rest moves up; the count that was asked for is given all the same. */
static void
excluded_items_are_left_out_of_a_ranking_and_the_next_best_take_their_places(void **state)
{
    fixture *fx = *state;
    char     body[4000] =
        "{\"user\":\"u\",\"top\":50,\"explain\":true,\"exclude\":[\"nobody\",{\"base64\":\"Tfxu\"}";
    json_t *full = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":100}", 200), *item;
    json_t *all = json_object_get(full, "items"), *want = json_array(), *want_scores = json_array();
    size_t  i;
    json_array_foreach(all, i, item)
    {
        const char *quote = i % 4 ? "" : "\""; /* as an integer, and as text */
        if (i % 2 == 0)
            snprintf(body + strlen(body), 20, ",%s%s%s", quote, json_string_value(item), quote);
        else {
            json_array_append(want, item);
            json_array_append(want_scores, json_array_get(json_object_get(full, "scores"), i));
        }
    }
    strcat(body, "]}");
    json_t *root = ask(fx, "/v1/rank", "POST", body, 200);
    assert_true(json_equal(json_object_get(root, "items"), want));
    assert_true(json_equal(json_object_get(root, "scores"), want_scores));
    assert_int_equal(json_array_size(json_object_get(root, "explanations")), 51);
    json_decref(root);
    root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":100}", 200);
    assert_true(json_equal(json_object_get(root, "items"), all)); /* it holds for one request */
    json_decref(root);
    json_decref(want_scores);
    json_decref(want);
    json_decref(full);
}

static void
excluded_items_are_left_out_of_a_ranked_list_too(void **state)
{
    fixture *fx = *state;
    json_t  *root =
        ask(fx, "/v1/rank", "POST",
            "{\"user\":\"u\",\"items\":[\"z\",\"y\",\"z\",\"x\",\"w\"],\"exclude\":[\"z\",\"w\"]}",
            200);
    json_t *items = json_object_get(root, "items");
    assert_int_equal(json_array_size(items), 2); /* equal scores: by ID */
    assert_string_equal(json_string_value(json_array_get(items, 0)), "x");
    assert_string_equal(json_string_value(json_array_get(items, 1)), "y");
    json_decref(root);
    root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"items\":[1],\"exclude\":[\"1\"]}", 200);
    assert_int_equal(json_array_size(json_object_get(root, "scores")), 0);
    assert_int_equal(json_integer_value(json_object_get(root, "version")), 12);
    json_decref(root);
}

/* More than one chunk of the walk over all items is excluded from end to end. */
static void
a_ranking_goes_on_behind_a_long_row_of_excluded_items(void **state)
{
    fixture *fx = *state;
    aa_text  exclude[ITEMS - 1];
    char     number[ITEMS - 1][8];
    for (size_t i = 0; i < ITEMS - 1; i++) {
        int len = snprintf(number[i], sizeof number[i], "%zu", i);
        exclude[i] = (aa_text){number[i], (size_t)len};
    }
    aa_score_request rq = {
        .user = {"u", 1}, .rank = true, .exclude = exclude, .exclude_count = ITEMS - 1};
    aa_score_reply reply;
    scorer_answer(fx->sc, NULL, &rq, &reply, &fx->tally);
    assert_int_equal(reply.status, 0);
    assert_int_equal(reply.item_count, 1);
    assert_int_equal(reply.item[0].len, 4);
    assert_memory_equal(reply.item[0].data, "2999", 4);
    assert_int_equal(fx->tally.items, 1); /* the others were not scored */
}

static void
a_forgotten_item_is_not_ranked_until_it_is_held_again(void **state)
{
    fixture *fx = *state;
    aa_bytes by = {0};
    json_t  *root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":1}", 200);
    uint32_t best =
        (uint32_t)atoi(json_string_value(json_array_get(json_object_get(root, "items"), 0)));
    json_decref(root);
    feed(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key_number(best), NULL);
    feed(fx, AA_KEY_NAME, REPLICA_ITEM, aa_id_key_number(best), NULL);
    root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":1}", 200);
    assert_int_not_equal(atoi(json_string_value(json_array_get(json_object_get(root, "items"), 0))),
                         best);
    json_decref(root);
    hold_item(fx, best, 3, &by); /* the text is still known: ingest need not send it again */
    root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":1}", 200);
    assert_int_equal(atoi(json_string_value(json_array_get(json_object_get(root, "items"), 0))),
                     best);
    json_decref(root);
    aa_bytes_fini(&by);
}

static void
a_batch_is_answered_request_by_request(void **state)
{
    fixture *fx = *state;
    json_t  *root = ask(fx, "/v1/batch", "POST",
                        "{\"requests\":[{\"user\":\"u\",\"items\":[1],\"request_id\":7},"
                         "{\"user\":\"u\",\"top\":2},{\"user\":\"\",\"items\":[]}]}",
                        200);
    json_t  *replies = json_object_get(root, "replies");
    assert_int_equal(json_array_size(replies), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(replies, 0), "request_id")),
                     7);
    assert_int_equal(json_array_size(json_object_get(json_array_get(replies, 1), "items")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(replies, 2), "status")),
                     400);
    json_decref(root);
    assert_int_equal(fx->tally.items, 1 + ITEMS);
}

static void
every_refusal_is_one_that_the_description_names(void **state)
{
    fixture *fx = *state;
    static const struct {
        const char *path, *method, *body;
        int         status;
    } wrong[] = {{"/v1/score", "POST", "{", 400},
                 {"/v1/score", "POST", "{\"user\":\"u\",\"items\":[],\"top\":3}", 400},
                 {"/v1/score", "GET", "", 405},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"items\":[]}", 400},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"top\":0}", 400},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"top\":99999}", 413},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"deadline_ms\":-1}", 400},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"exclude\":\"a\"}", 400},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"exclude\":[1.5]}", 400},
                 {"/v1/rank", "POST", "{\"user\":\"u\",\"exclude\":[\"\"]}", 400},
                 {"/v1/score", "POST", "{\"user\":\"u\",\"items\":[],\"exclude\":[]}", 400},
                 {"/v1/batch", "POST", "{\"requests\":[{\"user\":\"u\"}]}", 400},
                 {"/v1/batch", "POST", "[]", 400}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *root = ask(fx, wrong[i].path, wrong[i].method, wrong[i].body, wrong[i].status);
        assert_int_equal(json_integer_value(json_object_get(root, "status")), wrong[i].status);
        json_decref(root);
    }
}

static void
every_resource_of_the_endpoint_is_described(void **state)
{
    fixture    *fx = *state;
    const char *get[] = {"/", "/v1/status", "/v1/openapi.yaml", "/healthz", "/readyz", "/metrics"};
    for (size_t i = 0; i < sizeof get / sizeof get[0]; i++)
        if (!operation(fx, get[i], "GET")) fail_msg("openapi.yaml does not describe %s", get[i]);
    yaml_node_t *paths = member(fx, yaml_document_get_root_node(&fx->doc), "paths");
    assert_int_equal(paths->data.mapping.pairs.top - paths->data.mapping.pairs.start,
                     3 + sizeof get / sizeof get[0]);
}

static int64_t fake_us;
static int64_t
fake_now_us(void)
{
    return fake_us += 1000; /* every look costs a millisecond */
}

static void
past_its_deadline_a_request_is_refused_and_not_finished(void **state)
{
    fixture *fx = *state;
    fake_us = 0;
    scorer_arrived(fx->sc, 0, fake_now_us);
    json_decref(ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"deadline_ms\":10}", 200));
    fake_us = 0;
    json_t *root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"deadline_ms\":2}", 503);
    assert_string_equal(json_string_value(json_object_get(root, "error")),
                        "the deadline has passed");
    json_decref(root);
    fake_us = fx->cfg.scorer.deadline_ms * 1000;
    json_decref(
        ask(fx, "/v1/score", "POST", "{\"user\":\"u\",\"items\":[],\"deadline_ms\":4000000}", 503));
    scorer_arrived(fx->sc, 0, NULL);
}

/* ---- the pool ---- */

/* A long one keeps its thread until it may go; it says that it runs. */
typedef struct {
    pool_job     job;
    atomic_int  *running, *done;
    atomic_bool *go;
} long_job;

static void
run_long(pool_job *job, scorer *sc)
{
    long_job *lj = (long_job *)job;
    assert_non_null(sc);
    atomic_fetch_add(lj->running, 1);
    while (!atomic_load(lj->go))
        sched_yield();
    atomic_fetch_add(lj->done, 1);
    free(lj);
}

typedef struct {
    pool_job     job;
    atomic_int  *done;
    atomic_bool *go; /* NULL: at once */
} counted_job;

static void
count_job(pool_job *job, scorer *sc)
{
    counted_job *cj = (counted_job *)job;
    assert_non_null(sc);
    while (cj->go && !atomic_load(cj->go))
        ;
    atomic_fetch_add(cj->done, 1);
    free(cj);
}

static bool
push(pool *pl, atomic_int *done, atomic_bool *go)
{
    counted_job *cj = malloc(sizeof *cj);
    *cj = (counted_job){.job = {.run = count_job}, .done = done, .go = go};
    bool taken = pool_push(pl, &cj->job);
    if (!taken) free(cj);
    return taken;
}

static void
a_full_queue_refuses_and_an_ending_pool_answers_what_it_took(void **state)
{
    fixture    *fx = *state;
    pool       *pl = NULL;
    atomic_int  done = 0;
    atomic_bool go = false;
    int         taken = 0;
    assert_int_equal(pool_new(&pl, &fx->cfg, fx->rp, 1, 4, &fx->err), AA_OK);
    assert_true(push(pl, &done, &go)); /* keeps the only thread */
    while (pool_waiting(pl) > 0)
        ;
    while (push(pl, &done, NULL))
        taken++;
    assert_int_equal(taken, 4);
    assert_int_equal(pool_waiting(pl), 4);
    assert_int_equal(atomic_load(&done), 0);
    atomic_store(&go, true);
    pool_free(&pl);
    assert_null(pl);
    assert_int_equal(atomic_load(&done), 5);
}

static void
several_threads_answer_everything_once(void **state)
{
    fixture   *fx = *state;
    pool      *pl = NULL;
    atomic_int done = 0;
    assert_int_equal(pool_new(&pl, &fx->cfg, fx->rp, 4, 10000, &fx->err), AA_OK);
    for (int i = 0; i < 10000; i++)
        assert_true(push(pl, &done, NULL));
    pool_free(&pl);
    assert_int_equal(atomic_load(&done), 10000);
}

static void
long_jobs_leave_a_thread_to_the_others(void **state)
{
    fixture    *fx = *state;
    pool       *pl = NULL;
    atomic_int  running = 0, long_done = 0, done = 0;
    atomic_bool go = false;
    assert_int_equal(pool_new(&pl, &fx->cfg, fx->rp, 3, 100, &fx->err), AA_OK);
    for (int i = 0; i < 5; i++) {
        long_job *lj = malloc(sizeof *lj);
        *lj = (long_job){{.run = run_long, .is_long = true}, &running, &long_done, &go};
        assert_true(pool_push(pl, &lj->job));
    }
    for (int i = 0; i < 50; i++)
        assert_true(push(pl, &done, NULL));
    while (atomic_load(&done) < 50 || atomic_load(&running) < 2)
        sched_yield();
    assert_int_equal(atomic_load(&running), 2); /* of three threads */
    assert_int_equal(atomic_load(&long_done), 0);
    assert_int_equal(pool_waiting(pl), 3);
    atomic_store(&go, true);
    pool_free(&pl);
    assert_int_equal(atomic_load(&long_done), 5);
}

typedef struct {
    pool_job    job;
    pool       *pl;
    atomic_int *short_runs, *long_runs;
} unsure_job;

static void
run_unsure(pool_job *job, scorer *sc)
{
    unsure_job *uj = (unsure_job *)job;
    assert_non_null(sc);
    atomic_fetch_add(job->is_long ? uj->long_runs : uj->short_runs, 1);
    if (job->is_long)
        free(uj);
    else
        pool_put_back(uj->pl, job);
}

static void
a_job_that_turns_out_to_be_long_is_run_again_as_one_even_at_the_end(void **state)
{
    fixture   *fx = *state;
    pool      *pl = NULL;
    atomic_int short_runs = 0, long_runs = 0;
    assert_int_equal(pool_new(&pl, &fx->cfg, fx->rp, 2, 100, &fx->err), AA_OK);
    for (int i = 0; i < 100; i++) {
        unsure_job *uj = malloc(sizeof *uj);
        *uj = (unsure_job){{.run = run_unsure}, pl, &short_runs, &long_runs};
        while (!pool_push(pl, &uj->job))
            sched_yield();
    }
    pool_free(&pl);
    assert_int_equal(atomic_load(&short_runs), 100);
    assert_int_equal(atomic_load(&long_runs), 100);
}

/* Which ones are long, and that what would be refused is refused without waiting. */
static void
a_scorer_told_to_answer_only_short_requests_puts_the_long_ones_off(void **state)
{
    fixture *fx = *state;
    char     many[SCORER_SHORT_ITEMS * 2 + 100], excluding[sizeof many + 30];
    size_t   len = (size_t)snprintf(many, sizeof many, "{\"user\":\"u\",\"items\":[0");
    for (size_t i = 0; i < SCORER_SHORT_ITEMS; i++)
        len += (size_t)snprintf(many + len, sizeof many - len, ",1");
    snprintf(many + len, sizeof many - len, "]}");
    snprintf(excluding, sizeof excluding, "{\"user\":\"u\",\"items\":[2],\"exclude\":%s",
             strchr(many, '['));
    const struct {
        const char *path, *body;
        bool        is_long;
    } of[] = {{"/v1/score", "{\"user\":\"u\",\"items\":[1,2]}", false},
              {"/v1/rank", "{\"user\":\"u\",\"items\":[1,2]}", false},
              {"/v1/rank", "{\"user\":\"u\"}", true},
              {"/v1/rank", "{\"user\":\"u\",\"top\":10001}", false}, /* 413 */
              {"/v1/score", many, true},
              {"/v1/rank", excluding, true},
              {"/v1/batch", "{\"requests\":[{\"user\":\"u\",\"items\":[1]}]}", false},
              {"/v1/batch", "{\"requests\":[{\"user\":\"u\",\"top\":1}]}", true}};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
        for (int only_short = 0; only_short < 2; only_short++) {
            aa_http_request hq = {.method = "POST",
                                  .path = of[i].path,
                                  .token = "",
                                  .body = of[i].body,
                                  .body_len = strlen(of[i].body)};
            aa_http_reply   hp = {0};
            scorer_only_short(fx->sc, only_short);
            score_http_answer(fx->sc, NULL, 1 << 20, &hq, &hp, &fx->tally);
            assert_int_equal(fx->tally.status == SCORER_LONG, only_short && of[i].is_long);
            free(hp.body);
        }
    scorer_only_short(fx->sc, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Latin-1 names, UUIDs as bytes: what a ranking answers is what can be asked for. */
static void
ids_that_are_no_text_go_and_come_as_base64(void **state)
{
    static const struct {
        const char *bytes;
        size_t      len;
        const char *base64;
    } id[] = {
        {"M\xfcnchen", 7, "TfxuY2hlbg=="}, {"\x12\0\x34\xff", 4, "EgA0/w=="}, {"a\0b", 3, "YQBi"}};
    fixture *fx = *state;
    aa_bytes by = {0};
    for (size_t i = 0; i < 3; i++) {
        aa_assignment  a = {.run_id = 1, .version = 3, .position = 1};
        const uint64_t key = aa_id_key(id[i].bytes, id[i].len);
        assert_int_equal(aa_wire_pack_assignment(&by, &a, &fx->err), AA_OK);
        feed(fx, AA_KEY_ASSIGNMENT, REPLICA_ITEM, key, &by);
        assert_int_equal(aa_wire_pack_name(&by, id[i].bytes, id[i].len, &fx->err), AA_OK);
        feed(fx, AA_KEY_NAME, REPLICA_ITEM, key, &by);
    }
    json_t *root = ask(fx, "/v1/rank", "POST", "{\"user\":\"u\",\"top\":10000}", 200), *item;
    size_t  i, met = 0;
    json_array_foreach(json_object_get(root, "items"), i,
                       item) for (size_t k = 0; json_is_object(item) && k < 3; k++)
    {
        const char *text = json_string_value(json_object_get(item, "base64"));
        met += text && strcmp(text, id[k].base64) == 0;
    }
    assert_int_equal(met, 3);
    json_decref(root);
    for (size_t k = 0; k < 3; k++) {
        char body[160];
        snprintf(body, sizeof body,
                 "{\"user\":\"u\",\"items\":[{\"base64\":\"%s\"}],\"explain\":true}", id[k].base64);
        root = ask(fx, "/v1/score", "POST", body, 200);
        const json_t *of_item = json_array_get(json_object_get(root, "explanations"), 1);
        assert_true(json_is_true(json_object_get(of_item, "known")));
        json_decref(root);
    }
    json_decref(ask(fx, "/v1/score", "POST", "{\"user\":{\"base64\":\"TQ=\"},\"items\":[1]}", 400));
    json_decref(ask(fx, "/v1/score", "POST", "{\"user\":{\"base64\":\"\"},\"items\":[1]}", 400));
    json_decref(ask(fx, "/v1/score", "POST",
                    "{\"user\":{\"base64\":\"TQ==\",\"x\":1},\"items\":[1]}", 400));
    aa_bytes_fini(&by);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_known_items_are_ranked_as_their_scores_say),
        TEST(equal_scores_of_a_list_are_ranked_by_id),
        TEST(a_body_may_begin_with_a_byte_order_mark),
        TEST(equal_scores_of_known_items_are_ranked_by_id),
        TEST(excluded_items_are_left_out_of_a_ranking_and_the_next_best_take_their_places),
        TEST(excluded_items_are_left_out_of_a_ranked_list_too),
        TEST(a_ranking_goes_on_behind_a_long_row_of_excluded_items),
        TEST(ids_that_are_no_text_go_and_come_as_base64),
        TEST(a_forgotten_item_is_not_ranked_until_it_is_held_again),
        TEST(a_batch_is_answered_request_by_request),
        TEST(every_refusal_is_one_that_the_description_names),
        TEST(every_resource_of_the_endpoint_is_described),
        TEST(past_its_deadline_a_request_is_refused_and_not_finished),
        TEST(a_full_queue_refuses_and_an_ending_pool_answers_what_it_took),
        TEST(several_threads_answer_everything_once),
        TEST(long_jobs_leave_a_thread_to_the_others),
        TEST(a_job_that_turns_out_to_be_long_is_run_again_as_one_even_at_the_end),
        TEST(a_scorer_told_to_answer_only_short_requests_puts_the_long_ones_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
