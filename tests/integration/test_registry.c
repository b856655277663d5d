/* Schemas from a registry over HTTP: a stand-in gives what Confluent's client has registered
 * (tests/formats/make_fixtures.py). */
#include "ingest/registry/registry.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/service/http_server.h"
#include "ingest/registry/schema_cache.h"
#include "tests/formats/registry_answers.h"

enum { DEADLINE_MS = 20000 };

/* ---- a registry ---- */

typedef struct {
    json_t         *rows;
    aa_metrics     *ms;
    aa_http_server *hs;
    int             port;
    atomic_int      requests;
    const char     *token;   /* that requests must carry; NULL: none */
    const char     *instead; /* of every answer; NULL: what there is */
    aa_conf         cfg;
    char            folder[64];
    registry       *rg;
} fixture;

static void
answer_request(void *arg, const aa_http_request *rq, aa_http_reply *rp)
{
    fixture *fx = arg;
    char     path[300];
    atomic_fetch_add(&fx->requests, 1);
    snprintf(path, sizeof path, "%s%s%s", rq->path, *rq->query ? "?" : "", rq->query);
    const json_t *answer = registry_answer(fx->rows, path);
    rp->content_type = "application/json";
    rp->status = fx->token && strcmp(rq->token, fx->token) != 0 ? 401
                 : answer || fx->instead                        ? 200
                                                                : 404;
    rp->body = fx->instead ? strdup(fx->instead)
               : answer    ? json_dumps(answer, 0)
                           : strdup("{\"error_code\":40403}");
    rp->body_len = strlen(rp->body);
}

static void
open_server(fixture *fx)
{
    aa_err err = AA_ERR_INIT;
    aa_metrics_free(&fx->ms);
    fx->ms = aa_metrics_new();
    if (aa_http_server_open(&fx->hs, "127.0.0.1", fx->port, &(aa_http_limits){20, 15000, 10000},
                            fx->ms, &err) != AA_OK)
        fail_msg("%s", err.text);
    fx->port = aa_http_server_port(fx->hs);
    aa_http_server_set_handler(fx->hs, answer_request, fx);
}

static void
open_registry(fixture *fx)
{
    aa_err err = AA_ERR_INIT;
    if (registry_open(&fx->rg, &fx->cfg, &err) != AA_OK) fail_msg("%s", err.text);
}

static int
start(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    assert_non_null(fx);
    fx->rows = fixture_lines("registry.jsonl");
    open_server(fx);
    aa_conf_defaults(&fx->cfg);
    snprintf(fx->folder, sizeof fx->folder, "/tmp/aa-registry-XXXXXX");
    assert_non_null(mkdtemp(fx->folder));
    snprintf(fx->cfg.checkpoint.dir, AA_CONF_STR, "%s/a/b", fx->folder);
    snprintf(fx->cfg.event.schema_registry, AA_CONF_STR, "http://127.0.0.1:%d/", fx->port);
    *state = fx;
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    char     command[100];
    registry_close(&fx->rg);
    aa_http_server_close(&fx->hs);
    aa_metrics_free(&fx->ms);
    json_decref(fx->rows);
    snprintf(command, sizeof command, "rm -rf '%s'", fx->folder);
    assert_int_equal(system(command), 0);
    free(fx);
    return 0;
}

/* ---- asking ---- */

static schema_answer
ask(fixture *fx, uint32_t id, const schema_texts **sx, aa_err *err)
{
    const schema_source *so = registry_source(fx->rg);
    return so->get(so->arg, id, sx, err);
}

/* The answer, however slow this machine is. */
static schema_answer
ask_until(fixture *fx, uint32_t id, const schema_texts **sx, aa_err *err)
{
    const int64_t until_ms = aa_now_ms() + DEADLINE_MS;
    schema_answer an;
    while ((an = ask(fx, id, sx, err)) == SCHEMA_LATER && aa_now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return an;
}

static void
check_order(fixture *fx)
{
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    if (ask_until(fx, 3, &sx, &err) != SCHEMA_FOUND) fail_msg("%s", err.text);
    assert_int_equal(sx->kind, SCHEMA_AVRO);
    assert_int_equal(sx->count, 2);
    assert_non_null(strstr(sx->text[0].bytes, "User2")); /* first what it refers to */
    assert_non_null(strstr(sx->text[1].bytes, "Order"));
}

static void
a_schema_is_fetched_once_with_what_it_refers_to(void **state)
{
    fixture            *fx = *state;
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    uint64_t            fetched, failed;
    open_registry(fx);
    check_order(fx);
    const int requests = atomic_load(&fx->requests);
    check_order(fx);
    assert_int_equal(atomic_load(&fx->requests), requests);
    assert_int_equal(ask_until(fx, 5, &sx, &err), SCHEMA_FOUND);
    assert_int_equal(sx->kind, SCHEMA_PROTOBUF);
    assert_int_equal(sx->count, 2);
    assert_memory_equal(sx->text[0].bytes, "\x0a\x11shop/common.proto", 19); /* compiled */
    assert_int_equal(ask_until(fx, 7, &sx, &err), SCHEMA_FOUND);
    assert_int_equal(sx->kind, SCHEMA_JSON);
    registry_counts(fx->rg, &fetched, &failed);
    assert_int_equal(fetched, 3);
    assert_int_equal(failed, 0);
    assert_null(registry_trouble(fx->rg));
}

static void
a_number_that_is_not_there_is_unknown(void **state)
{
    fixture            *fx = *state;
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    open_registry(fx);
    assert_int_equal(ask_until(fx, 99, &sx, &err), SCHEMA_UNKNOWN);
    const int requests = atomic_load(&fx->requests);
    assert_int_equal(ask(fx, 99, &sx, &err), SCHEMA_UNKNOWN); /* believed for a while */
    assert_int_equal(atomic_load(&fx->requests), requests);
    assert_null(registry_trouble(fx->rg));
}

static void
a_restart_needs_no_registry(void **state)
{
    fixture *fx = *state;
    open_registry(fx);
    check_order(fx);
    registry_close(&fx->rg);
    aa_http_server_close(&fx->hs);
    open_registry(fx);
    check_order(fx);
}

/* The path of the cache's file of schema 3. */
static void
cached_path(const fixture *fx, char out[AA_CONF_STR * 2])
{
    char           folder[AA_CONF_STR + 20];
    struct dirent *e;
    snprintf(folder, sizeof folder, "%s/schemas", fx->cfg.checkpoint.dir);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    out[0] = '\0';
    while ((e = readdir(dir)))
        if (e->d_name[0] != '.')
            snprintf(out, (size_t)AA_CONF_STR * 2, "%s/%.20s/3", folder, e->d_name);
    closedir(dir);
    assert_int_equal(access(out, R_OK), 0);
}

static void
a_damaged_file_of_the_cache_is_refused_and_fetched_again(void **state)
{
    fixture     *fx = *state;
    char         path[AA_CONF_STR * 2];
    schema_texts sx;
    struct stat  is;
    open_registry(fx);
    check_order(fx);
    registry_close(&fx->rg);
    cached_path(fx, path);
    assert_int_equal(stat(path, &is), 0);
    for (long at = 0; at < is.st_size; at += 7) {
        aa_err err = AA_ERR_INIT;
        FILE  *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, at, SEEK_SET);
        const int was = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(was ^ 0x10, file);
        fclose(file);
        assert_int_equal(schema_cache_get(&fx->cfg, 3, &sx, &err), AA_EPARSE);
        assert_int_equal(sx.count, 0);
        file = fopen(path, "r+b");
        fseek(file, at, SEEK_SET);
        fputc(was, file);
        fclose(file);
    }
    assert_int_equal(truncate(path, is.st_size / 2), 0);
    const int requests = atomic_load(&fx->requests);
    open_registry(fx);
    check_order(fx);
    assert_true(atomic_load(&fx->requests) > requests);
    registry_close(&fx->rg);
    aa_http_server_close(&fx->hs); /* and it is whole again */
    open_registry(fx);
    check_order(fx);
}

static void
an_absent_registry_is_asked_again_and_nobody_waits_for_it(void **state)
{
    fixture            *fx = *state;
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    uint64_t            fetched, failed = 0;
    aa_http_server_close(&fx->hs);
    open_registry(fx);
    const int64_t until_ms = aa_now_ms() + DEADLINE_MS;
    while (!registry_trouble(fx->rg) && aa_now_ms() < until_ms)
        assert_int_equal(ask(fx, 3, &sx, &err), SCHEMA_LATER);
    assert_string_equal(registry_trouble(fx->rg), "the schema registry does not answer");
    registry_counts(fx->rg, &fetched, &failed);
    assert_true(failed > 0);
    const int64_t from_ms = aa_now_ms();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ask(fx, 3, &sx, &err), SCHEMA_LATER);
    assert_true(aa_now_ms() - from_ms < 10 * REGISTRY_WAIT_MS); /* not 1000 times */
    open_server(fx);
    check_order(fx);
    assert_null(registry_trouble(fx->rg));
}

static void
another_address_is_asked_where_one_does_not_answer(void **state)
{
    fixture *fx = *state;
    snprintf(fx->cfg.event.schema_registry, AA_CONF_STR, "http://127.0.0.1:1, http://127.0.0.1:%d",
             fx->port);
    open_registry(fx);
    check_order(fx);
}

static void
credentials_come_from_the_environment(void **state)
{
    fixture            *fx = *state;
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    fx->token = "secret";
    open_registry(fx);
    const int64_t until_ms = aa_now_ms() + DEADLINE_MS;
    while (!registry_trouble(fx->rg) && aa_now_ms() < until_ms)
        assert_int_equal(ask(fx, 3, &sx, &err), SCHEMA_LATER);
    assert_int_equal(ask(fx, 3, &sx, &err), SCHEMA_LATER); /* no dead letter */
    assert_non_null(strstr(err.text, "answers 401"));
    registry_close(&fx->rg);
    setenv("AUTOASSIGN_SCHEMA_REGISTRY_TOKEN", "secret", 1);
    open_registry(fx);
    unsetenv("AUTOASSIGN_SCHEMA_REGISTRY_TOKEN");
    check_order(fx);
}

static void
answers_that_are_none_are_not_taken(void **state)
{
    fixture            *fx = *state;
    const schema_texts *sx = NULL;
    static const struct {
        const char   *instead;
        schema_answer want;
    } bad[] = {
        {"<html>", SCHEMA_LATER}, /* a proxy's page: it will pass */
        {"[]", SCHEMA_LATER},
        {"{}", SCHEMA_UNFIT},
        {"{\"schema\":1}", SCHEMA_UNFIT},
        {"{\"schema\":\"x\",\"references\":[{}]}", SCHEMA_UNFIT},
        {"{\"schema\":\"x\",\"references\":[{\"subject\":\"s\",\"version\":1}]}", SCHEMA_UNFIT},
        {"{\"schema\":\"x\",\"id\":3,\"references\":[{\"subject\":\"s\",\"version\":1}]}",
         SCHEMA_UNFIT}, /* it refers to itself */
        {"{\"schema\":\"message X {}\",\"schemaType\":\"PROTOBUF\"}", SCHEMA_UNFIT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err        err = AA_ERR_INIT;
        schema_answer an;
        fx->instead = bad[i].instead;
        open_registry(fx);
        const int64_t until_ms = aa_now_ms() + DEADLINE_MS;
        while ((an = ask(fx, 3, &sx, &err)) == SCHEMA_LATER && !registry_trouble(fx->rg) &&
               aa_now_ms() < until_ms)
            continue;
        if (an != bad[i].want || !err.text[0])
            fail_msg("%s: %d (%s)", bad[i].instead, (int)an, err.text);
        registry_close(&fx->rg);
    }
}

static void
addresses_that_are_none_are_an_error_of_the_configuration(void **state)
{
    fixture *fx = *state;
    aa_err   err = AA_ERR_INIT;
    snprintf(fx->cfg.event.schema_registry, AA_CONF_STR, "http://a,b:8081");
    assert_int_equal(registry_open(&fx->rg, &fx->cfg, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "\"b:8081\""));
    snprintf(fx->cfg.event.schema_registry, AA_CONF_STR, "https://a");
    snprintf(fx->cfg.event.schema_ca, AA_CONF_STR, "/nowhere");
    assert_int_equal(registry_open(&fx->rg, &fx->cfg, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "event.schema_ca: /nowhere"));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_schema_is_fetched_once_with_what_it_refers_to),
        TEST(a_number_that_is_not_there_is_unknown),
        TEST(a_restart_needs_no_registry),
        TEST(a_damaged_file_of_the_cache_is_refused_and_fetched_again),
        TEST(an_absent_registry_is_asked_again_and_nobody_waits_for_it),
        TEST(another_address_is_asked_where_one_does_not_answer),
        TEST(credentials_come_from_the_environment),
        TEST(answers_that_are_none_are_not_taken),
        TEST(addresses_that_are_none_are_an_error_of_the_configuration),
    };
    return cmocka_run_group_tests_name("ingest/registry", tests, NULL, NULL);
}
