/* The scorer's endpoints in this process, over real sockets: what is queued, what is refused, what
 * a long request may keep from others; all beside an updater. Clean under ThreadSanitizer. */
#include "scorer/serve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/links/rpc.h"
#include "tests/integration/process.h"
#include "tests/loaded_replica.h"

enum {
    ITEMS = 20000,
    MANY = 40,
    REPLY_BYTES = 1 << 16,
    LOAD_CONNECTIONS = 4,
    LOAD_ROUNDS = 50,
    RANKINGS = 20,
    LONG_BODIES = 8
};

typedef struct {
    aa_conf        cfg;
    loaded_replica lr;
    aa_context     ctx;
    scorer_metrics sm;
    serve         *se;
    pthread_t      updater;
    atomic_bool    stop;
    aa_err         err;
} fixture;

/* Rows all the time, the dense weights now and then, so that old ones are retired under readers. */
static void *
update(void *arg)
{
    fixture *fx = arg;
    for (uint64_t i = 0; !atomic_load(&fx->stop); i++) {
        loaded_update(&fx->lr, i);
        if (i % 100 == 99) {
            loaded_put_dense(&fx->lr, 2 + i);
            process_pause();
        }
    }
    return NULL;
}

static int
open_endpoints_at(void **state, int threads, int queue, double max_per_s)
{
    fixture *fx = calloc(1, sizeof *fx);
    assert_non_null(fx);
    aa_log_init("test_serve", AA_WARN, false);
    aa_conf_defaults(&fx->cfg);
    fx->cfg.model.dim = 4;
    fx->cfg.scorer.threads = threads;
    fx->cfg.scorer.queue = queue;
    fx->cfg.scorer.max_per_s = max_per_s;
    fx->cfg.scorer.deadline_ms = 60000; /* a slow machine is no failure */
    snprintf(fx->cfg.scorer.listen, sizeof fx->cfg.scorer.listen, "tcp://127.0.0.1:*");
    loaded_replica_init(&fx->lr, &fx->cfg, ITEMS, ITEMS);
    fx->ctx = (aa_context){.cfg = &fx->cfg, .ms = aa_metrics_new()};
    scorer_metrics_init(&fx->sm, fx->ctx.ms, &fx->cfg);
    assert_int_equal(aa_http_server_open(&fx->ctx.http, "127.0.0.1", 0,
                                         &(aa_http_limits){1024, 15000, 10000}, fx->ctx.ms,
                                         &fx->err),
                     AA_OK);
    assert_int_equal(serve_open(&fx->se, &fx->ctx, fx->lr.rp, &fx->sm, NULL, NULL, &fx->err),
                     AA_OK);
    serve_set_not_ready(fx->se, NULL, false);
    assert_int_equal(pthread_create(&fx->updater, NULL, update, fx), 0);
    *state = fx;
    return 0;
}

static int
open_endpoints(void **state, int threads, int queue)
{
    return open_endpoints_at(state, threads, queue, 0);
}

static int
three_requests_a_second(void **state)
{
    return open_endpoints_at(state, 2, 256, 3);
}

static int
two_threads(void **state)
{
    return open_endpoints(state, 2, 256);
}

static int
a_short_queue(void **state)
{
    return open_endpoints(state, 1, 2);
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    atomic_store(&fx->stop, true);
    pthread_join(fx->updater, NULL);
    serve_close(&fx->se);
    aa_http_server_close(&fx->ctx.http);
    aa_metrics_free(&fx->ctx.ms);
    loaded_replica_fini(&fx->lr);
    free(fx);
    return 0;
}

/* ---- a client ---- */

static int
connect_to(const fixture *fx)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)aa_http_server_port(fx->ctx.http))};
    struct timeval     patience = {.tv_sec = 60};
    int                fd = socket(AF_INET, SOCK_STREAM, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void
send_to(int fd, const char *path, const char *body)
{
    char head[256];
    int  len =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 path, strlen(body));
    assert_int_equal(send(fd, head, (size_t)len, MSG_NOSIGNAL | MSG_MORE), len);
    assert_int_equal(send(fd, body, strlen(body), MSG_NOSIGNAL), strlen(body));
}

/* One whole reply: its status, and its body (or NULL: freed). 0: none came. */
static int
receive(int fd, json_t **body)
{
    char   *text = malloc(REPLY_BYTES), *end = NULL;
    size_t  len = 0, want = SIZE_MAX;
    ssize_t n = 1;
    int     status = 0;
    while (len < want && (n = recv(fd, text + len, REPLY_BYTES - 1 - len, 0)) > 0) {
        len += (size_t)n;
        text[len] = '\0';
        if (!end && (end = strstr(text, "\r\n\r\n")))
            want =
                (size_t)(end + 4 - text) + strtoul(strstr(text, "Content-Length: ") + 16, NULL, 10);
    }
    if (len >= want) status = atoi(text + 9);
    if (body) *body = status ? json_loads(end + 4, 0, NULL) : NULL;
    free(text);
    return status;
}

static bool
has_replied(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    return poll(&pfd, 1, 0) == 1;
}

static json_t *
score_once(const fixture *fx, const char *body)
{
    json_t *reply;
    int     fd = connect_to(fx);
    send_to(fd, "/v1/score", body);
    assert_int_equal(receive(fd, &reply), 200);
    close(fd);
    assert_non_null(reply);
    return reply;
}

static const char rank_all[] = "{\"user\":\"u\",\"top\":5}";
static const char score_two[] = "{\"user\":\"u\",\"items\":[1,\"nobody\"]}";

/* ---- tests ---- */

/* Bodies beyond a few KB never are; this one is mostly blanks. */
static void
a_request_is_scored_the_same_on_https_thread_and_on_another(void **state)
{
    fixture *fx = *state;
    char     long_body[8000];
    atomic_store(&fx->stop, true); /* so that the rows stay */
    pthread_join(fx->updater, NULL);
    snprintf(long_body, sizeof long_body, "%-7000s", score_two);
    json_t *here = score_once(fx, score_two), *there = score_once(fx, long_body);
    assert_int_equal(json_array_size(json_object_get(here, "scores")), 2);
    assert_true(json_equal(here, there));
    json_decref(here);
    json_decref(there);
    assert_int_equal(pthread_create(&fx->updater, NULL, update, fx), 0);
}

/* A body of RANKINGS rankings of all items, malloc'd. */
static char *
many_rankings(void)
{
    char  *body = malloc(RANKINGS * sizeof rank_all + 100);
    size_t len = (size_t)sprintf(body, "{\"requests\":[%s", rank_all);
    for (int i = 1; i < RANKINGS; i++)
        len += (size_t)sprintf(body + len, ",%s", rank_all);
    memcpy(body + len, "]}", 3);
    return body;
}

/* The rankings come first and take all the threads that rankings may have. */
static void
short_requests_are_answered_while_rankings_wait_for_each_other(void **state)
{
    fixture *fx = *state;
    int      ranking[LONG_BODIES], other = connect_to(fx);
    char    *rankings = many_rankings(), queued[8000];
    json_t  *reply;
    for (size_t i = 0; i < LONG_BODIES; i++) {
        ranking[i] = connect_to(fx);
        send_to(ranking[i], "/v1/batch", rankings);
    }
    wait_until(serve_waiting(fx->se) >= LONG_BODIES / 2);
    snprintf(queued, sizeof queued, "%-7000s", score_two); /* not for HTTP's own thread */
    send_to(other, "/v1/score", queued);
    assert_int_equal(receive(other, &reply), 200);
    assert_false(has_replied(ranking[LONG_BODIES / 2 + 1])); /* was waiting, too */
    json_decref(reply);
    for (size_t i = 0; i < LONG_BODIES; i++) {
        assert_int_equal(receive(ranking[i], &reply), 200);
        assert_int_equal(json_array_size(json_object_get(reply, "replies")), RANKINGS);
        json_decref(reply);
        close(ranking[i]);
    }
    close(other);
    free(rankings);
}

static void
what_the_queue_has_no_room_for_is_refused_at_once_and_nothing_stays_unanswered(void **state)
{
    fixture *fx = *state;
    int      fd[MANY], answered = 0, refused = 0;
    for (size_t i = 0; i < MANY; i++)
        fd[i] = connect_to(fx);
    for (size_t i = 0; i < MANY; i++)
        send_to(fd[i], "/v1/rank", rank_all);
    assert_int_equal(
        http_ask(aa_http_server_port(fx->ctx.http), "GET", "/healthz", "", "", NULL, 0), 200);
    for (size_t i = 0; i < MANY; i++) {
        int status = receive(fd[i], NULL);
        answered += status == 200;
        refused += status == 429;
        close(fd[i]);
    }
    assert_int_equal(answered + refused, MANY);
    assert_true(answered >= 1);
    assert_true(refused >= 1);
}

/* One millisecond, and 20,000 items. */
static void
a_ranking_past_its_deadline_stops_with_503(void **state)
{
    fixture *fx = *state;
    json_t  *reply;
    int      fd = connect_to(fx);
    send_to(fd, "/v1/rank", "{\"user\":\"u\",\"top\":5,\"deadline_ms\":1}");
    assert_int_equal(receive(fd, &reply), 503);
    assert_string_equal(json_string_value(json_object_get(reply, "error")),
                        "the deadline has passed");
    json_decref(reply);
    close(fd);
}

/* The limit is of both endpoints together: what one takes, the other has not. */
static void
more_a_second_than_the_limit_are_refused_at_both_endpoints(void **state)
{
    enum { ASKED = 60 };
    fixture         *fx = *state;
    aa_rpc_client   *cl = NULL;
    aa_bytes         by = {0};
    aa_text          item[] = {{"3", 1}};
    aa_score_request rq = {.user = {"u", 1}, .item = item, .item_count = 1};
    size_t           answered = 0, refused[2] = {0};
    int              fd = connect_to(fx);
    const int64_t    began_us = aa_now_us();
    assert_int_equal(aa_score_pack_request(&by, &rq, &fx->err), AA_OK);
    assert_int_equal(aa_rpc_connect(&cl, serve_endpoint(fx->se), NULL, &fx->err), AA_OK);
    for (size_t i = 0; i < ASKED; i++) {
        const void    *answer;
        size_t         len;
        aa_score_reply rp;
        assert_int_equal(aa_rpc_ask(cl, by.data, by.len, 60000, &answer, &len, &fx->err), AA_OK);
        assert_int_equal(aa_score_unpack_reply(&rp, answer, len, &fx->err), AA_OK);
        answered += rp.status == 0;
        refused[0] += rp.status == 429;
        aa_score_reply_fini(&rp);
        send_to(fd, "/v1/score", score_two);
        const int status = receive(fd, NULL);
        answered += status == 200;
        refused[1] += status == 429;
    }
    assert_int_equal(answered + refused[0] + refused[1], 2 * ASKED);
    assert_true(answered >= 3);
    /* however slow the machine: no more than the bucket and what has dripped into it since */
    assert_true((double)answered <= 3 + 3 * (double)(aa_now_us() - began_us) / 1e6 + 1);
    if (aa_now_us() - began_us < 10000000) assert_true(refused[0] > 0 && refused[1] > 0);
    aa_rpc_disconnect(&cl);
    aa_bytes_fini(&by);
    close(fd);
}

/* ---- everything at once ---- */

static void *
load(void *arg)
{
    const fixture *fx = arg;
    static const struct {
        const char *path, *body;
    } ask[] = {{"/v1/score", score_two},
               {"/v1/score", "{\"user\":\"u\",\"items\":[3,4,5],\"explain\":true}"},
               {"/v1/rank", "{\"user\":7,\"items\":[3,4,5]}"},
               {"/v1/batch", "{\"requests\":[{\"user\":1,\"items\":[2]},{\"user\":2,\"top\":3}]}"},
               {"/v1/rank", rank_all},
               {"/v1/score", "{\"user\":"}};
    size_t kinds = sizeof ask / sizeof ask[0];
    int    fd = connect_to(fx);
    size_t bad = 0;
    for (size_t i = 0; i < LOAD_ROUNDS; i++) {
        send_to(fd, ask[i % kinds].path, ask[i % kinds].body);
        bad += receive(fd, NULL) != (i % kinds == kinds - 1 ? 400 : 200);
    }
    close(fd);
    return (void *)(uintptr_t)bad;
}

static void
every_kind_of_request_is_answered_beside_each_other_and_updates(void **state)
{
    fixture  *fx = *state;
    pthread_t client[LOAD_CONNECTIONS];
    for (size_t i = 0; i < LOAD_CONNECTIONS; i++)
        assert_int_equal(pthread_create(&client[i], NULL, load, fx), 0);
    for (size_t i = 0; i < LOAD_CONNECTIONS; i++) {
        void *bad;
        pthread_join(client[i], &bad);
        assert_null(bad);
    }
    assert_int_equal(scorer_metrics_requests(&fx->sm, SCORER_HTTP), LOAD_CONNECTIONS * LOAD_ROUNDS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_scored_the_same_on_https_thread_and_on_another,
                                        two_threads, tear_down),
        cmocka_unit_test_setup_teardown(
            short_requests_are_answered_while_rankings_wait_for_each_other, two_threads, tear_down),
        cmocka_unit_test_setup_teardown(
            what_the_queue_has_no_room_for_is_refused_at_once_and_nothing_stays_unanswered,
            a_short_queue, tear_down),
        cmocka_unit_test_setup_teardown(more_a_second_than_the_limit_are_refused_at_both_endpoints,
                                        three_requests_a_second, tear_down),
        cmocka_unit_test_setup_teardown(a_ranking_past_its_deadline_stops_with_503, two_threads,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            every_kind_of_request_is_answered_beside_each_other_and_updates, two_threads,
            tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
