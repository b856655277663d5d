/* ingest as a process, between a broker and an assigner that this test plays.
 * Every test runs on librdkafka's mock broker,
 * and again on the real one in AUTOASSIGN_TEST_BROKER. */
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

#define check_ok(fx, call)                                                                         \
    do {                                                                                           \
        aa_status st_ = (call);                                                                    \
        if (st_ != AA_OK) fail_msg("%s: %s", aa_status_name(st_), (fx)->err.text);                 \
    } while (0)

/* ---- the assigner that this test plays ---- */

static void
answer(fixture *fx, aa_msg_kind kind, uint64_t seq, uint64_t epoch)
{
    downstream *ds = &fx->ds;
    aa_control  c = {.hd = {.run_id = ds->control.hd.run_id, .seq = seq}, .epoch = epoch};
    if (kind == AA_MSG_RESET) c.newest_run_id = ds->newest_run_id;
    snprintf(c.reason, sizeof c.reason, "%s", kind == AA_MSG_RESET ? "the test wants it" : "");
    check_ok(fx, aa_wire_pack_control(&ds->by, &c, &fx->err));
    check_ok(fx, aa_link_send(ds->ln, kind, ds->by.data, ds->by.len, &fx->err));
}

static void
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

static void
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
static bool
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

static bool
ingest_is_over(fixture *fx)
{
    siginfo_t info = {0};
    play(fx);
    assert_int_equal(waitid(P_PID, (id_t)fx->ingest.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid != 0;
}

/* ---- start and stop ---- */

static void
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

static int
start_mock(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    fixture_start(fx, NULL);
    *state = fx;
    return 0;
}

static int
start_real(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    *state = fx;
    if (real_broker()) fixture_start(fx, real_broker());
    return 0;
}

static int
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
static void
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

static const char *const replay[] = {"ingest.run=replay", "ingest.batch_events=16",
                                     "checkpoint.every_events=50", NULL};
/* The mock does not know static members: it waits for one that left until its session is over. */
static const char *const live[] = {"ingest.run=live", "ingest.batch_events=16",
                                   "ingest.batch_wait_ms=20", "checkpoint.every_ms=200", NULL};
static const char *const live_on_mock[] = {"ingest.run=live",
                                           "ingest.batch_events=16",
                                           "ingest.batch_wait_ms=20",
                                           "checkpoint.every_ms=200",
                                           "kafka.session.timeout.ms=3000",
                                           "kafka.heartbeat.interval.ms=500",
                                           NULL};

static void
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

static json_int_t
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

static void
make_topic(fixture *fx, int partitions)
{
    if (fx->real)
        check_ok(fx, aa_topic_create(&fx->cfg, fx->topic, partitions, NULL, 0, NULL, &fx->err));
    else
        rd_kafka_mock_topic_create(fx->mb.mc, fx->topic, partitions, 1);
}

/* Event i of a partition: times go up slowly and are often equal in all partitions. */
static seen_event
event_of(int partition, int i)
{
    char user[32], item[32];
    snprintf(user, sizeof user, "u%d-%d", partition, i);
    snprintf(item, sizeof item, "%d", i % 7);
    return (seen_event){aa_id_key(user, strlen(user)), aa_id_key(item, strlen(item)),
                        (float)(i % 2), 1000 + i / 3 * 10 + i % 5 - i * partition % 4};
}

static void
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

static void
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
static void
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

static const int three[] = {300, 500, 200};

/* ---- tests; each on both brokers ---- */

#define needs_broker(fx)                                                                           \
    if (!(fx)->dir[0]) {                                                                           \
        print_message("skipped: AUTOASSIGN_TEST_BROKER is not set\n");                             \
        skip();                                                                                    \
    }

static void
replay_merges_partitions_and_ends_at_their_ends(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, three, 3);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_true(fx->ds.ended);
    check_merged(fx, three, 3);
    assert_int_equal(summary(fx, "events"), 1000);
    assert_int_equal(summary(fx, "batches"), 63);
    assert_int_equal(summary(fx, "dead_letters"), 0);
    assert_true(fx->ds.barriers > 10);

    aa_consumer    *cs = NULL;
    aa_kafka_offset po[3] = {{.partition = 0}, {.partition = 1}, {.partition = 2}};
    uint64_t        epoch = 0, seq = 0;
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, fx->topic, false, &fx->err));
    check_ok(fx, aa_consumer_committed(cs, po, 3, &fx->err));
    for (int p = 0; p < 3; p++) {
        assert_int_equal(po[p].offset, three[p]);
        assert_true(resume_parse(po[p].metadata, 0, &epoch, &seq));
        assert_int_equal(epoch, summary(fx, "epoch"));
        assert_int_equal(seq, 63);
    }
    aa_consumer_free(&cs);

    start_ingest(fx, replay); /* once more: there is nothing left, and the end is the same */
    expect_exit(fx, 0);
    check_merged(fx, three, 3);
    assert_int_equal(summary(fx, "events"), 1000);
}

static void
empty_partitions_and_an_empty_topic_end_too(void **state)
{
    fixture  *fx = *state;
    const int counts[] = {0, 40, 0};
    needs_broker(fx);
    fill_topic(fx, counts, 3);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    check_merged(fx, counts, 3);
    snprintf(fx->topic + strlen(fx->topic), 8, "-empty");
    snprintf(fx->group + strlen(fx->group), 8, "-empty"); /* another pipeline */
    make_topic(fx, 2);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 0);
    assert_true(fx->ds.ended);
}

static void
killed_and_reset_replay_counts_every_event_once(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, three, 3);
    fx->ds.reset_at = 130;
    start_ingest(fx, replay);
    wait_until(play(fx) && fx->ds.reset_at == 0 && fx->ds.count > 300);
    kill(fx->ingest.pid, SIGKILL);
    assert_int_equal(process_wait(&fx->ingest), 1000 + SIGKILL);
    play(fx);
    fx->ds.knows = false; /* downstream was killed too */
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    check_merged(fx, three, 3);
    assert_true(fx->ds.opens >= 3);
    assert_int_equal(summary(fx, "events"), 1000);
    assert_int_equal(summary(fx, "batches"), 63);
}

static void
stopped_replay_goes_on_with_the_same_batches(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, three, 3);
    start_ingest(fx, replay);
    wait_until(play(fx) && fx->ds.count > 150);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    if (!fx->ds.ended) {
        assert_int_equal(fx->ds.count % 16, 0);
        assert_int_equal(fx->ds.count, summary(fx, "events"));
        start_ingest(fx, replay);
        expect_exit(fx, 0);
    }
    check_merged(fx, three, 3);
    assert_int_equal(summary(fx, "batches"), 63);
}

/* The value behind a name with its labels in /metrics; -1: not ready, or no such line. */
static double
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

static void
live_pipeline_shows_its_events_lag_and_letters(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;
    char         lag[200], part_lag[200];
    needs_broker(fx);
    snprintf(lag, sizeof lag, "autoassign_consumer_lag{topic=\"%s\"}", fx->topic);
    snprintf(part_lag, sizeof part_lag,
             "autoassign_consumer_partition_lag{topic=\"%s\",partition=\"1\"}", fx->topic);
    fill_topic(fx, (int[]){50, 0}, 2);
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    check_ok(fx, aa_producer_send(pr, fx->topic, 1, NULL, 0, "{", 1, 0, NULL, 0, &fx->err));
    aa_producer_free(&pr, PROCESS_DEADLINE_MS);
    start_ingest(fx, fx->real ? live : live_on_mock);
    wait_until(shown(fx, "autoassign_events_total") == 50);
    wait_until(shown(fx, "autoassign_dead_letters_total{reason=\"malformed\"}") == 1);
    wait_until(shown(fx, lag) == 0);
    wait_until(shown(fx, part_lag) == 0);
    wait_until(shown(fx, "autoassign_in_flight_batches") == 0);
    wait_until(shown(fx, "autoassign_credit_wait_seconds_count") ==
               shown(fx, "autoassign_batches_total"));
    wait_until(shown(fx, "autoassign_epoch") >= 1 && shown(fx, "autoassign_commits_total") >= 1);
    assert_true(shown(fx, "autoassign_resets_total") == 0);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
}

static void
live_commits_by_time_drains_and_goes_on(void **state)
{
    fixture           *fx = *state;
    const char *const *settings = fx->real ? live : live_on_mock;
    needs_broker(fx);
    fill_topic(fx, (int[]){50, 0}, 2);
    start_ingest(fx, settings);
    wait_until(play(fx) && fx->ds.count == 50);
    wait_until(play(fx) && fx->ds.barriers > 0);
    aa_producer *pr = NULL;
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    send_events(fx, pr, 1, 0, 7);
    wait_until(play(fx) && fx->ds.count == 57); /* a batch that is not full leaves too */
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_int_equal(summary(fx, "events"), 57);
    send_events(fx, pr, 0, 50, 3);
    aa_producer_free(&pr, PROCESS_DEADLINE_MS);
    start_ingest(fx, settings);
    wait_until(play(fx) && fx->ds.count == 60);
    for (int i = 0; i < 3; i++)
        assert_true(fx->ds.ev[57 + i].user == event_of(0, 50 + i).user);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_int_equal(summary(fx, "events"), 60);
}

static void
stop_before_downstream_has_answered_ends_with_zero(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, (int[]){50}, 1);
    fx->ds.silent = true; /* never OPENED */
    start_ingest(fx, live);
    wait_until(process_said(&fx->ingest, "id=RUN-OPEN ", NULL, 0));
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
}

static void
drain_that_nobody_answers_ends_with_one(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, (int[]){50}, 1);
    start_ingest(fx, (const char *[]){"ingest.run=live", "ingest.batch_wait_ms=20",
                                      "checkpoint.every_ms=60000", NULL});
    wait_until(play(fx) && fx->ds.count == 50);
    fx->ds.silent = true; /* before anything is committed */
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 1);
    assert_true(process_said(&fx->ingest, "id=DRAIN ", NULL, 0));
    assert_true(process_said(&fx->ingest, "the drain was given up: no answer", NULL, 0));
}

/* Those downstream leave when they hear nothing for 10 s after the last barrier. */
static void
replay_whose_broker_is_away_at_its_end_is_not_silent(void **state)
{
    fixture *fx = *state;
    fill_topic(fx, three, 3);
    fx->ds.broker_down = 1;
    start_ingest(fx, replay);
    wait_until(play(fx) && fx->ds.ended);
    const uint64_t before = fx->ds.pings;
    const int64_t  since_ms = aa_now_ms();
    wait_until(play(fx) && fx->ds.pings >= before + 20);
    assert_in_range(aa_now_ms() - since_ms, 3000, 15000);
    assert_false(process_said(&fx->ingest, "id=SILENCE", NULL, 0));
    assert_false(ingest_is_over(fx));
    rd_kafka_mock_broker_set_up(fx->mb.mc, 1);
    expect_exit(fx, 0);
    check_merged(fx, three, 3);
}

/* The clock has stepped back by an hour: what downstream knows and what was committed count. */
static void
run_ids_stay_above_those_that_downstream_knows(void **state)
{
    fixture       *fx = *state;
    const uint64_t ahead = (uint64_t)(aa_wall_ms() + 3600000) * 1000;
    needs_broker(fx);
    fill_topic(fx, three, 3);
    fx->ds.newest_run_id = ahead;
    start_ingest(fx, replay);
    wait_until(play(fx) && fx->ds.count > 150);
    assert_int_equal(fx->ds.opens, 2);
    assert_true(fx->ds.run_id == ahead + 1);
    assert_true(process_said(&fx->ingest, "the next run is opened above", NULL, 0));
    assert_true(process_said(&fx->ingest, "id=RUN-CLOCK", NULL, 0));
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    fx->ds.newest_run_id = 0; /* nobody tells it any more: the commit does */
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_true(fx->ds.run_id == ahead + 2);
    check_merged(fx, three, 3);
}

/* ---- dead letters ---- */

typedef struct {
    const char *key, *value, *reason;
    size_t      len;
} bad_message;

static const bad_message bad[] = {
    {"k1", "{\"user\":\"a\",\"item\":\"b\"}", "label-missing", 23},
    {NULL, "\x00\x01\xff garbage", "malformed", 11},
    {"k3", "{\"user\":\"\",\"item\":\"b\",\"label\":1}", "id-missing", 32},
    {"k4", "{\"user\":1,\"item\":2,\"label\":7}", "label-range", 29},
    {"k5", NULL, "empty", 0},
    {"k6", "{\"user\":1,\"item\":2,\"label\":1,\"timestamp_ms\":4102444800001}", "time-range", 58},
};
enum { BAD = sizeof bad / sizeof *bad };
static const int64_t         BAD_MS = 1500000000000; /* of the first one in Kafka */
static const aa_kafka_header trace = {"trace", "t-1", 3};

static void
check_header(const rd_kafka_headers_t *hdrs, const char *name, const char *want)
{
    const void *value = NULL;
    size_t      size = 0;
    if (rd_kafka_header_get_last(hdrs, name, &value, &size)) fail_msg("no header %s", name);
    if (!want) return;
    if (size != strlen(want) || memcmp(value, want, size) != 0)
        fail_msg("%s: %.*s, not %s", name, (int)size, (const char *)value, want);
}

static void
check_letter(fixture *fx, const aa_kafka_record *rec, int partition, int64_t first_offset)
{
    rd_kafka_headers_t *hdrs = NULL;
    const void         *at = NULL;
    size_t              size = 0;
    char                offset[24] = "", number[16];
    assert_int_equal(rd_kafka_message_headers(rec->opaque, &hdrs), 0);
    assert_int_equal(rd_kafka_header_get_last(hdrs, "autoassign.offset", &at, &size), 0);
    assert_true(size < sizeof offset);
    memcpy(offset, at, size);
    int64_t which = strtoll(offset, NULL, 10) - first_offset;
    assert_true(which >= 0 && which < BAD);
    const bad_message *bm = &bad[which];
    assert_int_equal(rec->len, bm->len);
    assert_int_equal(rec->value == NULL, bm->value == NULL);
    if (bm->value) assert_memory_equal(rec->value, bm->value, bm->len);
    assert_int_equal(rec->key == NULL, bm->key == NULL);
    if (bm->key) assert_memory_equal(rec->key, bm->key, 2);
    snprintf(number, sizeof number, "%d", partition);
    assert_int_equal(rec->timestamp_ms, BAD_MS + which);
    check_header(hdrs, "trace", "t-1");
    check_header(hdrs, "autoassign.reason", bm->reason);
    check_header(hdrs, "autoassign.topic", fx->topic);
    check_header(hdrs, "autoassign.partition", number);
    check_header(hdrs, "autoassign.pipeline", fx->group);
    check_header(hdrs, "autoassign.error_time_ms", NULL);
    check_header(hdrs, "autoassign.detail", NULL);
}

static bool
took_letters(fixture *fx, aa_reader *rd, int *letters)
{
    aa_kafka_record rec[16];
    size_t          n = 0;
    check_ok(fx, aa_reader_poll(rd, rec, 16, 50, &n, &fx->err));
    for (size_t i = 0; i < n; i++)
        check_letter(fx, &rec[i], 1, 20);
    *letters += (int)n;
    return aa_reader_caught_up(rd);
}

static void
bad_messages_become_letters_with_their_bytes_and_origin(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;
    aa_reader   *rd = NULL;
    const int    counts[] = {0, 60};
    char         dlq[90];
    const char  *topics[] = {dlq};
    int          letters = 0;
    needs_broker(fx);
    snprintf(dlq, sizeof dlq, "%s.dlq", fx->topic);
    if (!fx->real) rd_kafka_mock_topic_create(fx->mb.mc, dlq, 2, 1);
    make_topic(fx, 2);
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    send_events(fx, pr, 1, 0, 20);
    for (int i = 0; i < BAD; i++)
        check_ok(fx, aa_producer_send(pr, fx->topic, 1, bad[i].key, bad[i].key ? 2 : 0,
                                      bad[i].value, bad[i].len, BAD_MS + i, &trace, 1, &fx->err));
    send_events(fx, pr, 1, 20, 40);
    aa_producer_free(&pr, PROCESS_DEADLINE_MS);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    check_merged(fx, counts, 2);
    assert_int_equal(summary(fx, "dead_letters"), BAD);
    assert_true(process_said(&fx->ingest, "id=EVENT-BAD partition=1 offset=20 reason=label-missing",
                             NULL, 0));

    check_ok(fx, aa_reader_open(&rd, &fx->cfg, topics, 1, &fx->err));
    wait_until(took_letters(fx, rd, &letters));
    assert_int_equal(letters, BAD);
    aa_reader_free(&rd);
}

/* ---- dead letters that their topic does not take ---- */

static void
make_letter_topic(fixture *fx, char dlq[90], const char *max_message_bytes)
{
    const char *const settings[] = {"max.message.bytes", max_message_bytes};
    snprintf(dlq, 90, "%s.dlq", fx->topic);
    check_ok(fx, aa_topic_create(&fx->cfg, dlq, 1, settings, 2, NULL, &fx->err));
}

/* An event that is none, and that no compression makes smaller; after that one good event. */
static void
send_large_bad(fixture *fx, size_t len)
{
    aa_producer *pr = NULL;
    char        *value = malloc(len);
    uint64_t     random = 88172645463325252u;
    assert_non_null(value);
    for (size_t i = 0; i < len; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value[i] = (char)(random >> 32);
    }
    value[0] = '{';
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    check_ok(fx, aa_producer_send(pr, fx->topic, 0, "key", 3, value, len, 0, NULL, 0, &fx->err));
    send_events(fx, pr, 0, (int)fx->ds.count, 1);
    check_ok(fx, aa_producer_flush(pr, PROCESS_DEADLINE_MS, &fx->err));
    aa_producer_free(&pr, 0);
    free(value);
}

/* Takes letters: *len of the last one's value. */
static int
read_letters(fixture *fx, const char *dlq, size_t *len, const char *full_bytes)
{
    aa_reader *rd = NULL;
    int        letters = 0;
    check_ok(fx, aa_reader_open(&rd, &fx->cfg, &dlq, 1, &fx->err));
    while (!aa_reader_caught_up(rd)) {
        aa_kafka_record     rec[16];
        size_t              n = 0;
        rd_kafka_headers_t *hdrs = NULL;
        check_ok(fx, aa_reader_poll(rd, rec, 16, 50, &n, &fx->err));
        letters += (int)n;
        if (n == 0) continue;
        *len = rec[n - 1].len;
        assert_int_equal(rd_kafka_message_headers(rec[n - 1].opaque, &hdrs), 0);
        if (full_bytes && aa_reader_caught_up(rd))
            check_header(hdrs, "autoassign.full_bytes", full_bytes);
    }
    aa_reader_free(&rd);
    return letters;
}

static void
letter_that_is_too_large_for_its_topic_is_cut(void **state)
{
    fixture *fx = *state;
    char     dlq[90];
    size_t   len = 0;
    needs_broker(fx);
    make_topic(fx, 1);
    make_letter_topic(fx, dlq, "20000");
    send_large_bad(fx, 19844);   /* with its headers more than that */
    for (int i = 0; i < 40; i++) /* each fits, all together do not */
        send_large_bad(fx, 1000);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 41);
    assert_int_equal(summary(fx, "dead_letters"), 41);
    assert_int_equal(summary(fx, "dead_letters_lost"), 0);
    assert_int_equal(summary(fx, "resets"), 0);
    assert_int_equal(read_letters(fx, dlq, &len, NULL), 41);
    send_large_bad(fx, 100000); /* the client's limit is the smaller */
    snprintf(fx->group + strlen(fx->group), 8, "-again");
    start_ingest(fx, (const char *[]){"ingest.run=replay", "kafka.message.max.bytes=5000",
                                      "ingest.replay_from=offset:82", NULL});
    expect_exit(fx, 0);
    assert_int_equal(read_letters(fx, dlq, &len, "100000"), 42);
    assert_in_range(len, 4000, 5000);
}

static void
letter_that_its_topic_takes_in_no_form_stops_nothing_unless_it_is_to(void **state)
{
    fixture *fx = *state;
    char     dlq[90];
    size_t   len = 0;
    needs_broker(fx);
    make_topic(fx, 1);
    make_letter_topic(fx, dlq, "200"); /* not even the headers */
    send_large_bad(fx, 1000);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 1);
    assert_int_equal(summary(fx, "dead_letters_lost"), 1);
    assert_int_equal(summary(fx, "resets"), 0);
    assert_true(process_said(&fx->ingest, "id=LETTER-LOST partition=0 offset=0", NULL, 0));
    assert_int_equal(read_letters(fx, dlq, &len, NULL), 0);
    snprintf(fx->group + strlen(fx->group), 8, "-fail");
    start_ingest(fx, (const char *[]){"ingest.run=replay", "ingest.on_lost_letter=fail", NULL});
    expect_exit(fx, 1);
    assert_true(process_said(&fx->ingest, "ingest.on_lost_letter=log goes on without", NULL, 0));
}

/* ---- where a replay begins, and what ends it ---- */

static void
replay_begins_at_the_offset_asked_for(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, (int[]){30, 10}, 2);
    start_ingest(fx, (const char *[]){"ingest.run=replay", "ingest.replay_from=offset:25", NULL});
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 5);
    assert_true(fx->ds.ev[0].user == event_of(0, 25).user);
}

static void
replay_begins_at_the_time_asked_for(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, (int[]){30}, 1); /* Kafka's timestamps are the event times */
    start_ingest(fx, (const char *[]){"ingest.run=replay", "ingest.replay_from=time:1050", NULL});
    expect_exit(fx, 0);
    int first = 0;
    while (event_of(0, first).time_ms < 1050)
        first++;
    assert_int_equal(fx->ds.count, 30 - first);
    assert_true(fx->ds.ev[0].user == event_of(0, first).user);
}

static rd_kafka_t *
transactional_producer(fixture *fx)
{
    char             why[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", fx->cfg.kafka[0].value, NULL, 0);
    rd_kafka_conf_set(conf, "transactional.id", fx->topic, NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(rk);
    assert_null(rd_kafka_init_transactions(rk, PROCESS_DEADLINE_MS));
    return rk;
}

/* One transaction of n events of which the users are r<round>-0, r<round>-1 ... */
static void
transact(fixture *fx, rd_kafka_t *rk, int round, int n, bool commit)
{
    assert_null(rd_kafka_begin_transaction(rk));
    for (int i = 0; i < n; i++) {
        char text[100];
        int  len = snprintf(text, sizeof text,
                            "{\"user\":\"r%d-%d\",\"item\":1,\"label\":1,\"timestamp_ms\":%d}",
                            round, i, round * 10 + i);
        assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(fx->topic), RD_KAFKA_V_PARTITION(0),
                                           RD_KAFKA_V_VALUE(text, (size_t)len),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(rk, PROCESS_DEADLINE_MS), 0);
    assert_null(commit ? rd_kafka_commit_transaction(rk, PROCESS_DEADLINE_MS)
                       : rd_kafka_abort_transaction(rk, PROCESS_DEADLINE_MS));
}

static void
replay_ends_behind_transaction_markers_and_skips_aborted_events(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    make_topic(fx, 1);
    rd_kafka_t *rk = transactional_producer(fx);
    for (int round = 0; round < 4; round++) /* the last two are aborted, at the very end */
        transact(fx, rk, round, 5, round < 2);
    rd_kafka_destroy(rk);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 10);
    assert_true(fx->ds.ended);
    assert_true(fx->ds.ev[9].user == aa_id_key("r1-4", 4));
}

static int64_t
committed_offset(fixture *fx)
{
    aa_consumer    *cs = NULL;
    aa_kafka_offset po = {.partition = 0};
    play(fx);
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, fx->topic, false, &fx->err));
    check_ok(fx, aa_consumer_committed(cs, &po, 1, &fx->err));
    aa_consumer_free(&cs);
    return po.offset;
}

/* As retention does. */
static void
delete_before(fixture *fx, int64_t offset)
{
    char                             why[200];
    rd_kafka_conf_t                 *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_conf_set(conf, "bootstrap.servers", fx->cfg.kafka[0].value, NULL, 0);
    rd_kafka_t               *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    rd_kafka_queue_t         *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteRecords_t *dr;
    rd_kafka_topic_partition_list_add(list, fx->topic, 0)->offset = offset;
    dr = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &dr, 1, NULL, queue);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, PROCESS_DEADLINE_MS);
    assert_non_null(ev);
    assert_int_equal(rd_kafka_event_error(ev), 0);
    rd_kafka_event_destroy(ev);
    rd_kafka_DeleteRecords_destroy(dr);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

/* Markers and aborted events are at the end; they are deleted; the run begins again. */
static void
live_pipeline_steps_over_offsets_that_hold_no_event(void **state)
{
    fixture *fx = *state;
    char     lag[200];
    needs_broker(fx);
    snprintf(lag, sizeof lag, "autoassign_consumer_lag{topic=\"%s\"}", fx->topic);
    make_topic(fx, 1);
    rd_kafka_t *rk = transactional_producer(fx);
    transact(fx, rk, 0, 10, true);
    start_ingest(fx, live);
    wait_until(play(fx) && fx->ds.count == 10);
    wait_until(shown(fx, lag) == 0);
    wait_until(committed_offset(fx) == 11); /* behind the marker */
    transact(fx, rk, 1, 10, false);
    transact(fx, rk, 2, 10, false);
    wait_until(committed_offset(fx) == 33); /* nothing came, and it is not read again for ever */
    wait_until(shown(fx, lag) == 0);
    delete_before(fx, 33);
    fx->ds.knows = false; /* the assigner is another */
    wait_until(play(fx) && fx->ds.opens == 2);
    transact(fx, rk, 3, 10, true);
    rd_kafka_destroy(rk);
    wait_until(play(fx) && fx->ds.count == 20);
    wait_until(committed_offset(fx) == 44);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_false(process_said(&fx->ingest, "OFFSET-LOST", NULL, 0));
    assert_int_equal(summary(fx, "events_lost"), 0);
}

/* ---- what cannot go on says so ---- */

static void
missing_topic_and_wrong_settings_exit_with_two(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    if (!fx->real)
        rd_kafka_mock_topic_set_error(fx->mb.mc, fx->topic,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    start_ingest(fx, replay);
    expect_exit(fx, 2);
    assert_true(process_said(&fx->ingest, "does not exist", NULL, 0));
    start_ingest(fx, (const char *[]){"ingest.run=replay", "ingest.replay_from=yesterday", NULL});
    expect_exit(fx, 2);
    assert_true(process_said(&fx->ingest, "ingest.replay_from", NULL, 0));
    start_ingest(fx, (const char *[]){"kafka.lingre.ms=1", NULL});
    expect_exit(fx, 2);
    assert_true(process_said(&fx->ingest, "kafka.lingre.ms", NULL, 0));
}

static void
offset_that_is_gone_is_an_error_unless_it_is_to_be_skipped(void **state)
{
    fixture        *fx = *state;
    aa_consumer    *cs = NULL;
    aa_kafka_offset po = {.partition = 0, .offset = 1000};
    needs_broker(fx);
    fill_topic(fx, (int[]){50}, 1);
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, fx->topic, false, &fx->err));
    check_ok(fx, aa_consumer_commit(cs, &po, 1, &fx->err));
    aa_consumer_free(&cs);
    start_ingest(fx, fx->real ? live : live_on_mock);
    expect_exit(fx, 2);
    assert_true(process_said(&fx->ingest, "events are lost", NULL, 0));
    if (!fx->real) return; /* the mock does not let a member that failed come back */
    start_ingest(fx, (const char *[]){"ingest.run=live", "ingest.on_lost_offset=skip",
                                      "ingest.batch_wait_ms=5", NULL});
    wait_until(play(fx) && fx->ds.count == 50);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
}

static void
commit_whose_checkpoint_is_lost_is_an_error(void **state)
{
    fixture *fx = *state;
    char     command[200];
    needs_broker(fx);
    fill_topic(fx, (int[]){50}, 1);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    snprintf(command, sizeof command, "rm -rf '%s/%s'", fx->dir, fx->group);
    assert_int_equal(system(command), 0);
    start_ingest(fx, replay);
    expect_exit(fx, 1);
    assert_true(process_said(&fx->ingest, "no checkpoint before epoch", NULL, 0));
}

/* A batch of so many events that the client will not unpack: with the limits below it takes less. */
static void
send_bomb(fixture *fx, int events)
{
    char             why[200];
    const size_t     len = 40000;
    char            *value = malloc(len);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", fx->cfg.kafka[0].value, NULL, 0);
    rd_kafka_conf_set(conf, "compression.type", "zstd", NULL, 0);
    rd_kafka_conf_set(conf, "linger.ms", "200", NULL, 0);
    rd_kafka_conf_set(conf, "batch.size", "10000000", NULL, 0);
    rd_kafka_conf_set(conf, "message.max.bytes", "10000000", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(rk);
    assert_non_null(value);
    memset(value, ' ', len);
    for (int i = 0; i < events; i++)
        assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(fx->topic), RD_KAFKA_V_PARTITION(0),
                                           RD_KAFKA_V_VALUE(value, len),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_END),
                         0);
    assert_int_equal(rd_kafka_flush(rk, PROCESS_DEADLINE_MS), 0);
    rd_kafka_destroy(rk);
    free(value);
}

#define TAKES_LITTLE                                                                               \
    "ingest.run=live", "ingest.batch_wait_ms=20", "checkpoint.every_ms=200",                       \
        "kafka.fetch.max.bytes=100000", "kafka.message.max.bytes=100000",                          \
        "kafka.receive.message.max.bytes=110000"

static bool
is_not_ready(fixture *fx, const char *why)
{
    char body[1000] = "", port[32] = "";
    play(fx);
    if (!process_said(&fx->ingest, "id=HTTP-LISTEN bind=127.0.0.1 port=", port, sizeof port))
        return false;
    return http_ask(atoi(port), "GET", "/readyz", "", "", body, sizeof body) == 503 &&
           strstr(body, why);
}

static void
batch_that_cannot_be_unpacked_is_an_error_unless_it_is_to_be_skipped(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;
    needs_broker(fx);
    make_topic(fx, 1);
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    send_events(fx, pr, 0, 0, 10);
    check_ok(fx, aa_producer_flush(pr, PROCESS_DEADLINE_MS, &fx->err));
    send_bomb(fx, 7);
    send_events(fx, pr, 0, 10, 10);
    check_ok(fx, aa_producer_flush(pr, PROCESS_DEADLINE_MS, &fx->err));
    aa_producer_free(&pr, 0);

    start_ingest(fx, (const char *[]){TAKES_LITTLE, NULL});
    wait_until(is_not_ready(fx, "the messages at offset 10 cannot be read"));
    expect_exit(fx, 2);
    assert_int_equal(fx->ds.count, 10); /* what is before it is learned */
    assert_true(process_said(&fx->ingest, "partition 0: the messages at offset 10 cannot be read",
                             NULL, 0));
    assert_true(process_said(&fx->ingest, "ingest.on_lost_offset=skip goes on", NULL, 0));

    start_ingest(fx, (const char *[]){TAKES_LITTLE, "ingest.on_lost_offset=skip", NULL});
    wait_until(play(fx) && fx->ds.count == 20);
    wait_until(shown(fx, "autoassign_events_lost_total") == 7);
    wait_until(shown(fx, "autoassign_offset_gaps_total") == 1);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 20); /* and so is what is behind it, once */
    assert_int_equal(summary(fx, "events_lost"), 7);
}

/* ---- the group ---- */

static bool
is_assigned(fixture *fx, aa_consumer *cs, size_t count)
{
    aa_consumer_event      event = AA_CONSUMER_NOTHING;
    const aa_kafka_offset *po = NULL;
    size_t                 n = 0;
    play(fx);
    check_ok(fx, aa_consumer_poll(cs, &event, &po, &n, &fx->err));
    if (event == AA_CONSUMER_REVOKED) check_ok(fx, aa_consumer_release(cs, &fx->err));
    return event == AA_CONSUMER_ASSIGNED && n == count;
}

/* Another member (another lane) comes: ingest drains, commits, and goes on with what it keeps. */
static void
rebalance_drains_and_loses_or_repeats_nothing(void **state)
{
    fixture     *fx = *state;
    aa_consumer *other = NULL;
    aa_producer *pr = NULL;
    aa_conf      cfg;
    needs_broker(fx);
    fill_topic(fx, (int[]){40, 40}, 2);
    start_ingest(fx, live);
    wait_until(play(fx) && fx->ds.count == 80);
    cfg = fx->cfg;
    cfg.pipeline.lane = 1;
    check_ok(fx, aa_consumer_open(&other, &cfg, fx->topic, true, &fx->err));
    wait_until(is_assigned(fx, other, 1));
    wait_until(play(fx) && fx->ds.opens == 2);
    assert_int_equal(fx->ds.count, 80); /* restored: nothing was lost, nothing read again */
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    send_events(fx, pr, 0, 40, 10);
    send_events(fx, pr, 1, 40, 10);
    wait_until(play(fx) && fx->ds.count == 90); /* half of them are the other's */
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 90);
    aa_producer_free(&pr, 1000);
    aa_consumer_free(&other);
}

static void
second_ingest_of_a_lane_ends_the_first(void **state)
{
    fixture *fx = *state;
    needs_broker(fx);
    fill_topic(fx, (int[]){40}, 1);
    start_ingest(fx, live);
    wait_until(play(fx) && fx->ds.count == 40);
    wait_until(play(fx) && fx->ds.barriers > 0);
    process first = fx->ingest;
    char    first_out[320];
    snprintf(first_out, sizeof first_out, "%s.first", first.out_path);
    assert_int_equal(rename(first.out_path, first_out), 0);
    snprintf(first.out_path, sizeof first.out_path, "%.290s", first_out);
    start_ingest(fx, live);
    process second = fx->ingest;
    fx->ingest = first;
    expect_exit(fx, 1);
    assert_true(process_said(&first, "another ingest of this pipeline and lane", NULL, 0));
    fx->ingest = second;
    /* the first may have been ended before its commit: then the second reads them again */
    wait_until(play(fx) && fx->ds.opens >= 2 && fx->ds.count == 40);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 40);
}

/* ---- the record tool ---- */

static void
recorded_file_is_ingested_to_the_last_event(void **state)
{
    fixture *fx = *state;
    char     path[100], brokers[1200], topic[120];
    needs_broker(fx);
    snprintf(path, sizeof path, "%s/stream.csv", fx->dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (int i = 0; i < 500; i++)
        fprintf(out, "user%d,%d,%d,%d\n", i % 37, i % 11, i % 2, 1000000 - i);
    fclose(out);
    snprintf(brokers, sizeof brokers, "kafka.bootstrap.servers=%s", fx->cfg.kafka[0].value);
    snprintf(topic, sizeof topic, "topics.interactions=%s", fx->topic);
    if (!fx->real) make_topic(fx, 4);
    process     record;
    const char *argv[] = {"record", "-o", brokers, "-o", topic, "--partitions", "4", path, NULL};
    process_start(&record, fx->dir, argv);
    assert_int_equal(process_wait(&record), 0);
    start_ingest(fx, replay);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 500);
    for (int i = 0; i < 500; i++) { /* the file was backwards */
        char user[16];
        int  n = 499 - i, len = snprintf(user, sizeof user, "user%d", n % 37);
        assert_true(fx->ds.ev[i].user == aa_id_key(user, (size_t)len));
        assert_true(fx->ds.ev[i].item == aa_id_key_number(n % 11));
        assert_int_equal(fx->ds.ev[i].time_ms, (1000000 - n) * 1000LL);
    }
}

int
main(int argc, char **argv)
{
#define MOCK(f) cmocka_unit_test_setup_teardown(f, start_mock, stop)
#define REAL(f)                                                                                    \
    {                                                                                              \
        "real_broker_" #f, f, start_real, stop, NULL                                               \
    }
#define BOTH(f) MOCK(f), REAL(f)
    const struct CMUnitTest tests[] = {
        BOTH(replay_merges_partitions_and_ends_at_their_ends),
        BOTH(empty_partitions_and_an_empty_topic_end_too),
        BOTH(killed_and_reset_replay_counts_every_event_once),
        BOTH(stopped_replay_goes_on_with_the_same_batches),
        BOTH(live_pipeline_shows_its_events_lag_and_letters),
        BOTH(live_commits_by_time_drains_and_goes_on),
        BOTH(stop_before_downstream_has_answered_ends_with_zero),
        REAL(drain_that_nobody_answers_ends_with_one),
        MOCK(replay_whose_broker_is_away_at_its_end_is_not_silent),
        BOTH(run_ids_stay_above_those_that_downstream_knows),
        BOTH(bad_messages_become_letters_with_their_bytes_and_origin),
        REAL(letter_that_is_too_large_for_its_topic_is_cut),
        REAL(letter_that_its_topic_takes_in_no_form_stops_nothing_unless_it_is_to),
        BOTH(replay_begins_at_the_offset_asked_for),
        REAL(replay_begins_at_the_time_asked_for),
        REAL(replay_ends_behind_transaction_markers_and_skips_aborted_events),
        REAL(live_pipeline_steps_over_offsets_that_hold_no_event),
        BOTH(missing_topic_and_wrong_settings_exit_with_two),
        BOTH(offset_that_is_gone_is_an_error_unless_it_is_to_be_skipped),
        REAL(batch_that_cannot_be_unpacked_is_an_error_unless_it_is_to_be_skipped),
        BOTH(commit_whose_checkpoint_is_lost_is_an_error),
        REAL(rebalance_drains_and_loses_or_repeats_nothing),
        REAL(second_ingest_of_a_lane_ends_the_first),
        BOTH(recorded_file_is_ingested_to_the_last_event),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one test alone: its name, * and ? allowed */
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
