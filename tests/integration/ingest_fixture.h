/* tests/integration/ingest_fixture - ingest as a process, between a broker and an assigner that the
 * test plays. A test runs on librdkafka's mock broker, or on the real one in
 * AUTOASSIGN_TEST_BROKER, or on both. */
#ifndef AA_TESTS_INTEGRATION_INGEST_FIXTURE_H
#define AA_TESTS_INTEGRATION_INGEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/hash.h"
#include "common/kafka/kafka_consumer.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_reader.h"
#include "common/kafka/kafka_topics.h"
#include "common/links/link.h"
#include "common/messages/wire.h"
#include "ingest/resume.h"
#include "tests/check.h"
#include "tests/integration/broker.h"
#include "tests/integration/process.h"
#include "tools/encode.h"

enum { EVENTS_MAX = 4000, EPOCHS_MAX = 500 };

typedef struct {
    uint64_t user, item;
    float    label;
    int64_t  time_ms;
} seen_event;

/* What an assigner and a learner would know, and an assigner's answers. */
typedef struct {
    aa_link       *ln;
    aa_event_batch batch;
    aa_control     control;
    aa_bytes       by;
    seen_event     ev[EVENTS_MAX];
    size_t         count, count_at[EPOCHS_MAX], seq_at[EPOCHS_MAX];
    uint64_t       run_id, next_seq, opens, barriers, pings;
    bool           knows, ended, silent;
    uint64_t       newest_run_id; /* refuse runs that are not above it */
    int            broker_down;   /* of the mock: it goes down with the final barrier */
    size_t         reset_at;      /* answer RESET once when this many events are there */
} downstream;

typedef struct {
    mock_broker mb;
    bool        real;
    aa_conf     cfg; /* for the test's own clients */
    aa_err      err;
    char        dir[64], topic[80], group[80];
    process     ingest;
    downstream  ds;
} fixture;

/* ---- the assigner that this test plays ---- */

static inline void
answer(fixture *fx, aa_msg_kind kind, uint64_t seq, uint64_t epoch)
{
    downstream *ds = &fx->ds;
    aa_control  c = {.hd = {.run_id = ds->control.hd.run_id, .seq = seq}, .epoch = epoch};
    if (kind == AA_MSG_RESET) c.newest_run_id = ds->newest_run_id;
    snprintf(c.reason, sizeof c.reason, "%s", kind == AA_MSG_RESET ? "the test wants it" : "");
    check_ok(fx, aa_wire_pack_control(&ds->by, &c, &fx->err));
    check_ok(fx, aa_link_send(ds->ln, kind, ds->by.data, ds->by.len, &fx->err));
}

static inline void
take_batch(fixture *fx, const void *buf, size_t len)
{
    downstream *ds = &fx->ds;
    check_ok(fx, aa_wire_unpack_events(&ds->batch, buf, len, &fx->err));
    ds->control.hd.run_id = ds->batch.hd.run_id;
    if (!ds->knows || ds->batch.hd.run_id != ds->run_id) return;
    if (ds->reset_at > 0 && ds->count >= ds->reset_at) {
        ds->reset_at = 0;
        ds->knows = false;
        answer(fx, AA_MSG_RESET, 0, 0);
        return;
    }
    assert_int_equal(ds->batch.hd.seq, ds->next_seq);
    assert_int_equal(ds->batch.F, 2);
    ds->next_seq++;
    for (size_t i = 0; i < ds->batch.n; i++) {
        assert_true(ds->count < EVENTS_MAX);
        ds->ev[ds->count++] = (seen_event){ds->batch.key[2 * i], ds->batch.key[2 * i + 1],
                                           ds->batch.label[i], ds->batch.time_ms[i]};
    }
    answer(fx, AA_MSG_CREDIT, ds->batch.hd.seq, 0);
}

static inline void
take_control(fixture *fx, aa_msg_kind kind, const void *buf, size_t len)
{
    downstream *ds = &fx->ds;
    aa_control *c = &ds->control;
    check_ok(fx, aa_wire_unpack_control(c, buf, len, &fx->err));
    if (kind == AA_MSG_OPEN) {
        assert_true(c->epoch < EPOCHS_MAX);
        assert_true(c->hd.run_id >= ds->run_id);
        assert_string_equal(c->pipeline, fx->group);
        ds->opens++;
        if (c->hd.run_id <= ds->newest_run_id) {
            answer(fx, AA_MSG_RESET, 0, 0);
            return;
        }
        ds->run_id = c->hd.run_id;
        ds->knows = true;
        ds->count = c->epoch > 0 ? ds->count_at[c->epoch] : 0;
        if (c->epoch > 0) assert_int_equal(c->hd.seq, ds->seq_at[c->epoch]);
        ds->next_seq = c->hd.seq + 1;
        answer(fx, AA_MSG_OPENED, 0, c->epoch);
    } else if (!ds->knows || c->hd.run_id != ds->run_id) {
        answer(fx, AA_MSG_RESET, 0, 0);
    } else if (kind == AA_MSG_BARRIER) {
        assert_true(c->epoch < EPOCHS_MAX);
        assert_int_equal(c->hd.seq, ds->next_seq - 1);
        ds->count_at[c->epoch] = ds->count;
        ds->seq_at[c->epoch] = c->hd.seq;
        ds->barriers++;
        ds->ended = ds->ended || c->final;
        if (c->final && ds->broker_down > 0)
            rd_kafka_mock_broker_set_down(fx->mb.mc, ds->broker_down);
        answer(fx, AA_MSG_DURABLE, c->hd.seq, c->epoch);
    } else if (kind == AA_MSG_PING) {
        ds->pings++;
        answer(fx, AA_MSG_CREDIT, ds->next_seq - 1, 0);
    }
}

/* Take what has come; true, so that it can stand in a condition. */
static inline bool
play(fixture *fx)
{
    for (;;) {
        aa_msg_kind kind;
        const void *buf = NULL;
        size_t      len = 0;
        aa_status   st = aa_link_recv(fx->ds.ln, &kind, &buf, &len, &fx->err);
        if (st == AA_EAGAIN) return true;
        check_ok(fx, st);
        if (fx->ds.silent) continue;
        if (kind == AA_MSG_EVENTS)
            take_batch(fx, buf, len);
        else
            take_control(fx, kind, buf, len);
    }
}

static inline bool
ingest_is_over(fixture *fx)
{
    siginfo_t info = {0};
    play(fx);
    assert_int_equal(waitid(P_PID, (id_t)fx->ingest.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid != 0;
}

/* ---- start and stop ---- */

static inline void
fixture_start(fixture *fx, const char *bootstrap)
{
    static int number;
    aa_conf_defaults(&fx->cfg);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/autoassign-ingest-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    snprintf(fx->topic, sizeof fx->topic, "ingest-test-%ld-%d", (long)getpid(), ++number);
    snprintf(fx->group, sizeof fx->group, "%.60s-group", fx->topic);
    snprintf(fx->cfg.pipeline.name, sizeof fx->cfg.pipeline.name, "%s", fx->group);
    snprintf(fx->cfg.topics.interactions, sizeof fx->cfg.topics.interactions, "%s", fx->topic);
    if (bootstrap) {
        fx->real = true;
        fx->cfg.kafka_count = 0;
        set_kafka(&fx->cfg, "bootstrap.servers", bootstrap);
    } else {
        mock_broker_start(&fx->mb, &fx->cfg);
    }
    check_ok(fx, aa_conf_finish(&fx->cfg, &fx->err)); /* the group's name */
    char endpoint[80];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/events", fx->dir);
    check_ok(fx, aa_link_open(&fx->ds.ln, AA_LINK_BIND, endpoint, NULL, &fx->err));
}

static inline int
start_mock(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    fixture_start(fx, NULL);
    *state = fx;
    return 0;
}

static inline int
start_real(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    *state = fx;
    if (real_broker()) fixture_start(fx, real_broker());
    return 0;
}

static inline int
stop(void **state)
{
    fixture *fx = *state;
    char     command[100];
    if (fx->ingest.pid > 0) { /* the test failed: what did ingest say? */
        kill(fx->ingest.pid, SIGKILL);
        process_wait(&fx->ingest);
        char *text = file_text(fx->ingest.out_path);
        print_message("%s", text);
        free(text);
    }
    if (fx->mb.mc) mock_broker_stop(&fx->mb);
    aa_link_close(&fx->ds.ln);
    aa_event_batch_fini(&fx->ds.batch);
    aa_bytes_fini(&fx->ds.by);
    snprintf(command, sizeof command, "rm -rf '%s'", fx->dir);
    int code = fx->dir[0] ? system(command) : 0;
    free(fx);
    return code;
}

/* Started with settings "a.b=c", NULL at the end. */
static inline void
start_ingest(fixture *fx, const char *const *settings)
{
    const char *argv[64] = {"ingest"};
    char        own[6][1200];
    size_t      n = 1;
    snprintf(own[0], sizeof own[0], "kafka.bootstrap.servers=%s", fx->cfg.kafka[0].value);
    snprintf(own[1], sizeof own[1], "pipeline.name=%s", fx->group);
    snprintf(own[2], sizeof own[2], "topics.interactions=%s", fx->topic);
    snprintf(own[3], sizeof own[3], "links.events=ipc://%s/events", fx->dir);
    snprintf(own[4], sizeof own[4], "checkpoint.dir=%s", fx->dir);
    snprintf(own[5], sizeof own[5], "pipeline.summary_dir=%s", fx->dir);
    for (size_t i = 0; i < 6; i++) {
        argv[n++] = "-o";
        argv[n++] = own[i];
    }
    for (; *settings; settings++) {
        argv[n++] = "-o";
        argv[n++] = *settings;
    }
    fx->ds.ended = false;
    process_start(&fx->ingest, fx->dir, argv);
}

static const char *const replay[] __attribute__((unused)) = {
    "ingest.run=replay", "ingest.batch_events=16", "checkpoint.every_events=50", NULL};
/* The mock does not know static members: it waits for one that left until its session is over. */
static const char *const live[]
    __attribute__((unused)) = {"ingest.run=live", "ingest.batch_events=16",
                               "ingest.batch_wait_ms=20", "checkpoint.every_ms=200", NULL};
static const char *const live_on_mock[]
    __attribute__((unused)) = {"ingest.run=live",
                               "ingest.batch_events=16",
                               "ingest.batch_wait_ms=20",
                               "checkpoint.every_ms=200",
                               "kafka.session.timeout.ms=3000",
                               "kafka.heartbeat.interval.ms=500",
                               NULL};

static inline void
expect_exit(fixture *fx, int code)
{
    int64_t deadline_ms = aa_now_ms() + PROCESS_DEADLINE_MS;
    while (!ingest_is_over(fx) && aa_now_ms() < deadline_ms)
        process_pause();
    int got = process_wait(&fx->ingest);
    if (got != code) {
        char *text = file_text(fx->ingest.out_path);
        print_message("%s", text);
        free(text);
    }
    assert_int_equal(got, code);
}

static inline json_int_t
summary(fixture *fx, const char *key)
{
    char path[100];
    snprintf(path, sizeof path, "%s/ingest.json", fx->dir);
    json_t    *root = json_load_file(path, 0, NULL);
    json_int_t value = root ? json_integer_value(json_object_get(root, key)) : -1;
    json_decref(root);
    return value;
}

/* ---- what is in the topic ---- */

static inline void
make_topic(fixture *fx, int partitions)
{
    if (fx->real)
        check_ok(fx, aa_topic_create(&fx->cfg, fx->topic, partitions, NULL, 0, NULL, &fx->err));
    else
        rd_kafka_mock_topic_create(fx->mb.mc, fx->topic, partitions, 1);
}

/* Event i of a partition: times go up slowly and are often equal in all partitions. */
static inline seen_event
event_of(int partition, int i)
{
    char user[32], item[32];
    snprintf(user, sizeof user, "u%d-%d", partition, i);
    snprintf(item, sizeof item, "%d", i % 7);
    return (seen_event){aa_id_key(user, strlen(user)), aa_id_key(item, strlen(item)),
                        (float)(i % 2), 1000 + i / 3 * 10 + i % 5 - i * partition % 4};
}

static inline void
send_events(fixture *fx, aa_producer *pr, int partition, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        char         message[200], user[32], item[32];
        size_t       len = 0;
        encode_event ev = {.user = user, .item = item, .label = i % 2};
        ev.user_len = (size_t)snprintf(user, sizeof user, "u%d-%d", partition, i);
        ev.item_len = (size_t)snprintf(item, sizeof item, "%d", i % 7);
        ev.time_ms = event_of(partition, i).time_ms;
        check_ok(fx, i % 2 ? encode_json(&fx->cfg, &ev, message, sizeof message, &len, &fx->err)
                           : encode_protobuf(&ev, message, sizeof message, &len, &fx->err));
        check_ok(fx, aa_producer_send(pr, fx->topic, partition, user, ev.user_len, message, len,
                                      ev.time_ms, NULL, 0, &fx->err));
    }
}

static inline void
fill_topic(fixture *fx, const int *counts, int partitions)
{
    aa_producer *pr = NULL;
    make_topic(fx, partitions);
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    for (int p = 0; p < partitions; p++)
        send_events(fx, pr, p, 0, counts[p]);
    check_ok(fx, aa_producer_flush(pr, PROCESS_DEADLINE_MS, &fx->err));
    aa_producer_free(&pr, 0);
}

/* The merge by its definition: of the partitions' next events the earliest,
 * first partition first. */
static inline void
check_merged(fixture *fx, const int *counts, int partitions)
{
    int taken[8] = {0}, total = 0;
    for (int p = 0; p < partitions; p++)
        total += counts[p];
    assert_int_equal(fx->ds.count, total);
    for (int n = 0; n < total; n++) {
        int best = -1;
        for (int p = 0; p < partitions; p++) {
            if (taken[p] == counts[p]) continue;
            if (best < 0 || event_of(p, taken[p]).time_ms < event_of(best, taken[best]).time_ms)
                best = p;
        }
        assert_true(best >= 0);
        seen_event want = event_of(best, taken[best]++), got = fx->ds.ev[n];
        assert_true(got.user == want.user && got.item == want.item);
        assert_int_equal(got.time_ms, want.time_ms);
        assert_true(got.label == want.label);
    }
}

static const int three[] __attribute__((unused)) = {300, 500, 200};

#define needs_broker(fx)                                                                           \
    if (!(fx)->dir[0]) {                                                                           \
        print_message("skipped: AUTOASSIGN_TEST_BROKER is not set\n");                             \
        skip();                                                                                    \
    }

/* The value behind a name with its labels in /metrics; -1: not ready, or no such line. */
static inline double
shown(fixture *fx, const char *name)
{
    static char body[1 << 18];
    char        port[32] = "", line[260];
    play(fx);
    if (!process_said(&fx->ingest, "id=HTTP-LISTEN bind=127.0.0.1 port=", port, sizeof port))
        return -1;
    if (http_ask(atoi(port), "GET", "/readyz", "", "", NULL, 0) != 200) return -1;
    if (http_ask(atoi(port), "GET", "/metrics", "", "", body, sizeof body) != 200) return -1;
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(body, line);
    return at ? strtod(at + strlen(line), NULL) : -1;
}

#define MOCK(f) cmocka_unit_test_setup_teardown(f, start_mock, stop)
#define REAL(f)                                                                                    \
    {                                                                                              \
        "real_broker_" #f, f, start_real, stop, NULL                                               \
    }
#define BOTH(f) MOCK(f), REAL(f)

#endif
