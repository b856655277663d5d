/* The scorer's live page: what it is made of, with and without anything that flows, and in a real
 * browser if chromium is installed. The other processes are played by HTTP servers of this test. */
#include "common/service/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/integration/process.h"

enum { PEERS = 3, DOM_BYTES = 1 << 20 };

typedef struct {
    char            dir[64];
    process         scorer;
    int             port;
    aa_metrics     *ms[PEERS];
    aa_http_server *server[PEERS];
} fixture;

static void
start_scorer(fixture *fx, const char *peers)
{
    char        listen[160], setting[160], port[16];
    const char *argv[] = {"scorer", "-o",   "kafka.bootstrap.servers=127.0.0.1:1",
                          "-o",     listen, "-o",
                          setting,  "-o",   "scorer.page_every_ms=100",
                          NULL};
    snprintf(listen, sizeof listen, "scorer.listen=ipc://%s/score", fx->dir);
    snprintf(setting, sizeof setting, "scorer.peers=%s", peers);
    process_start(&fx->scorer, fx->dir, argv);
    wait_until(process_said(&fx->scorer, "id=HTTP-LISTEN bind=127.0.0.1 port=", port, sizeof port));
    fx->port = atoi(port);
    wait_until(process_said(&fx->scorer, "id=LISTEN ", NULL, 0)); /* the scoring resources too */
}

static int
set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/autoassign-test-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    *state = fx;
    return 0;
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    char     command[100];
    if (fx->scorer.pid > 0) {
        kill(fx->scorer.pid, SIGTERM);
        assert_int_equal(process_wait(&fx->scorer), 0);
    }
    for (size_t p = 0; p < PEERS; p++) {
        aa_http_server_close(&fx->server[p]);
        aa_metrics_free(&fx->ms[p]);
    }
    snprintf(command, sizeof command, "rm -r '%s'", fx->dir);
    int code = system(command);
    free(fx);
    return code;
}

static void
gauge(aa_metrics *ms, const char *name, const char *labels, double value)
{
    aa_gauge_set(aa_metrics_gauge(ms, name, labels, "Played."), value);
}

/* ingest, assigner and learner, each an HTTP server with some metrics. */
static void
play_the_others(fixture *fx, char *peers, size_t size)
{
    static const char *name[] = {"ingest", "assigner", "learner"};
    size_t             len = 0;
    for (size_t p = 0; p < PEERS; p++) {
        aa_err err = AA_ERR_INIT;
        fx->ms[p] = aa_metrics_new();
        assert_int_equal(aa_http_server_open(&fx->server[p], "127.0.0.1", 0,
                                             &(aa_http_limits){100, 15000, 10000}, fx->ms[p], &err),
                         AA_OK);
        len += (size_t)snprintf(peers + len, size - len, "%s%s=127.0.0.1:%d", p ? "," : "", name[p],
                                aa_http_server_port(fx->server[p]));
    }
    gauge(fx->ms[0], "autoassign_consumer_lag", "topic=\"t\"", 4321);
    gauge(fx->ms[1], "autoassign_ids", "field=\"user\"", 1000);
    gauge(fx->ms[1], "autoassign_ids_seen", "field=\"user\"", 1000);
    gauge(fx->ms[1], "autoassign_ids_at_position", "field=\"user\",position=\"1\"", 777);
    gauge(fx->ms[1], "autoassign_ids_at_position", "field=\"user\",position=\"9\"", 223);
    gauge(fx->ms[1], "autoassign_ids_at_position", "field=\"item\",position=\"1\"", 55);
    gauge(fx->ms[1], "autoassign_actions", "field=\"user\",action=\"unchanged\"", 31415);
    gauge(fx->ms[2], "autoassign_auc", "window=\"recent\"", 0.7654);
    gauge(fx->ms[2], "autoassign_row_bytes", "", 64000);
    gauge(fx->ms[2], "autoassign_rows_live", "", 500);
    aa_counter_add(aa_metrics_counter(fx->ms[2], "autoassign_events_total", "", "Played."), 98765);
}

static json_t *
status(fixture *fx)
{
    static char body[DOM_BYTES];
    if (http_ask(fx->port, "GET", "/v1/status", "", "", body, sizeof body) != 200) return NULL;
    return json_loads(body, 0, NULL);
}

static size_t
points(fixture *fx)
{
    json_t *root = status(fx);
    size_t  n = json_array_size(json_object_get(json_object_get(root, "history"), "time_s"));
    json_decref(root);
    return n;
}

static double
figure(const json_t *root, const char *of_process, const char *name)
{
    const json_t *of = json_object_get(json_object_get(root, "processes"), of_process);
    assert_true(json_is_true(json_object_get(of, "up")));
    return json_number_value(json_object_get(json_object_get(of, "metrics"), name));
}

static bool
chromium_is_there(void)
{
    return system("command -v chromium >/dev/null 2>&1") == 0;
}

/* The page as the browser has it after its scripts ran. */
static char *
dom(fixture *fx, const char *query)
{
    char command[700], path[100];
    snprintf(path, sizeof path, "%s/dom.html", fx->dir);
    snprintf(command, sizeof command,
             "HOME='%s' timeout 60 chromium --headless --no-sandbox --disable-gpu "
             "--disable-dev-shm-usage --user-data-dir='%s/chromium' --virtual-time-budget=5000 "
             "--dump-dom 'http://127.0.0.1:%d/%s' >'%s' 2>'%s/chromium.log'",
             fx->dir, fx->dir, fx->port, query, path, fx->dir);
    assert_int_equal(system(command), 0);
    return file_text(path);
}

static void
assert_shows(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("the page does not show: %s", part);
}

/* ---- tests ---- */

static void
page_and_description_are_in_the_binary_and_need_no_other_host(void **state)
{
    fixture    *fx = *state;
    static char body[DOM_BYTES];
    start_scorer(fx, "");
    assert_int_equal(http_ask(fx->port, "GET", "/", "", "", body, sizeof body), 200);
    assert_shows(body, "</html>");
    assert_null(strstr(body, "http://"));
    assert_null(strstr(body, "https://"));
    assert_null(strstr(body, "src="));
    assert_int_equal(http_ask(fx->port, "POST", "/", "", "x", NULL, 0), 405);
    assert_int_equal(http_ask(fx->port, "GET", "/v1/openapi.yaml", "", "", body, sizeof body), 200);
    assert_shows(body, "openapi: 3");
}

static void
status_tells_who_is_not_there(void **state)
{
    fixture *fx = *state;
    start_scorer(fx, "ingest=127.0.0.1:1,learner=localhost:1");
    wait_until(points(fx) >= 2);
    json_t       *root = status(fx);
    const json_t *all = json_object_get(root, "processes");
    const char   *want[] = {"ingest", "127.0.0.1:1", "learner", "localhost:1", "assigner", ""};
    for (size_t i = 0; i < 6; i += 2) {
        const json_t *of = json_object_get(all, want[i]);
        assert_true(json_is_false(json_object_get(of, "up")));
        assert_string_equal(json_string_value(json_object_get(of, "address")), want[i + 1]);
        assert_true(json_string_length(json_object_get(of, "error")) > 0);
    }
    assert_true(json_is_true(json_object_get(json_object_get(all, "scorer"), "up")));
    json_decref(root);
}

static void
status_holds_the_others_figures_and_their_past(void **state)
{
    fixture *fx = *state;
    char     peers[300];
    play_the_others(fx, peers, sizeof peers);
    start_scorer(fx, peers);
    wait_until(points(fx) >= 3);
    json_t       *root = status(fx);
    const json_t *history = json_object_get(root, "history");
    assert_true(figure(root, "ingest", "autoassign_consumer_lag{topic=\"t\"}") > 4320);
    assert_true(figure(root, "learner", "autoassign_events_total") > 98764);
    assert_true(json_number_value(json_array_get(json_object_get(history, "auc"), 1)) > 0.7653);
    assert_int_equal(json_array_size(json_object_get(history, "events")),
                     json_array_size(json_object_get(history, "time_s")));
    json_decref(root);
}

static void
peers_that_make_no_sense_are_a_configuration_error(void **state)
{
    fixture    *fx = *state;
    const char *argv[] = {"scorer", "-o", "scorer.peers=nobody=127.0.0.1:1", NULL};
    process     scorer;
    process_start(&scorer, fx->dir, argv);
    assert_int_equal(process_wait(&scorer), 2);
    assert_true(process_said(&scorer, "scorer.peers: ", NULL, 0));
}

static void
browser_shows_that_nothing_flows_yet(void **state)
{
    fixture *fx = *state;
    if (!chromium_is_there()) {
        print_message("chromium is not installed: the page was not seen in a browser\n");
        skip();
    }
    start_scorer(fx, "");
    wait_until(points(fx) >= 2);
    char *text = dom(fx, "?user=u1");
    assert_shows(text, "ingest, assigner, learner do not answer");
    assert_shows(text, "Nothing has flowed yet.");
    assert_shows(text, "No ID has been assigned yet.");
    assert_shows(text, "No row has been made yet.");
    assert_shows(text, "the topics are not there yet"); /* what the try for u1 got */
    assert_null(strstr(text, "NaN"));
    assert_null(strstr(text, ">undefined"));
    free(text);
}

static void
browser_shows_the_flow(void **state)
{
    fixture *fx = *state;
    char     peers[300];
    if (!chromium_is_there()) {
        print_message("chromium is not installed: the page was not seen in a browser\n");
        skip();
    }
    play_the_others(fx, peers, sizeof peers);
    start_scorer(fx, peers);
    wait_until(points(fx) >= 3);
    char *text = dom(fx, "");
    assert_shows(text, "all four answer");
    assert_shows(text, "data-process=\"assigner\"");
    assert_shows(text, "lag 4,321");
    assert_shows(text, "98.8 k events");
    assert_shows(text, "AUC 0.7654");
    assert_shows(text, ">777</td>");
    assert_shows(text, ">31,415</td>");
    assert_shows(text, "500 rows for 1,000 IDs: 50 % of a full table");
    assert_shows(text, "<path d=\"M"); /* a chart's line */
    assert_null(strstr(text, "NaN"));
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(page_and_description_are_in_the_binary_and_need_no_other_host),
        TEST(status_tells_who_is_not_there),
        TEST(status_holds_the_others_figures_and_their_past),
        TEST(peers_that_make_no_sense_are_a_configuration_error),
        TEST(browser_shows_that_nothing_flows_yet),
        TEST(browser_shows_the_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
