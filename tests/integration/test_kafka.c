/* common/kafka on librdkafka's mock broker. */
#include "common/kafka/kafka_consumer.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_reader.h"
#include "common/kafka/kafka_topics.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/check.h"
#include "tests/integration/broker.h"

enum { DEADLINE_MS = 30000 };

typedef struct {
    mock_broker mb;
    aa_conf     cfg;
    aa_err      err;
} fixture;

static int
start(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    snprintf(fx->cfg.pipeline.name, sizeof fx->cfg.pipeline.name, "test");
    mock_broker_start(&fx->mb, &fx->cfg);
    *state = fx;
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    mock_broker_stop(&fx->mb);
    free(fx);
    return 0;
}

/* `count` messages "0", "1", ... to one partition, keyed by their text. */
static void
send_numbers(fixture *fx, const char *topic, int32_t partition, int from, int count)
{
    aa_producer *pr = NULL;
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    for (int i = from; i < from + count; i++) {
        char text[16];
        int  len = snprintf(text, sizeof text, "%d", i);
        check_ok(fx, aa_producer_send(pr, topic, partition, text, (size_t)len, text, (size_t)len,
                                      1000 + i, NULL, 0, &fx->err));
    }
    check_ok(fx, aa_producer_flush(pr, DEADLINE_MS, &fx->err));
    assert_int_equal(aa_producer_failed(pr), 0);
    aa_producer_free(&pr, 1000);
    assert_null(pr);
}

static int
number_of(const aa_kafka_record *rec)
{
    char text[16] = "";
    assert_true(rec->len < sizeof text);
    memcpy(text, rec->value, rec->len);
    return atoi(text);
}

static void
reader_returns_every_record_and_tombstone_then_says_caught_up(void **state)
{
    fixture    *fx = *state;
    const char *topics[] = {"one", "two"};
    aa_reader  *rd = NULL;
    int         got[2] = {0, 0}, sum = 0, tombstones = 0;
    int64_t     started_ms = aa_now_ms();

    rd_kafka_mock_topic_create(fx->mb.mc, "one", 3, 1);
    rd_kafka_mock_topic_create(fx->mb.mc, "two", 1, 1);
    send_numbers(fx, "one", 0, 0, 100);
    send_numbers(fx, "one", 2, 100, 50);
    aa_producer *pr = NULL;
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    check_ok(fx, aa_producer_send(pr, "two", -1, "gone", 4, NULL, 0, 0, NULL, 0, &fx->err));
    check_ok(fx, aa_producer_send(pr, "two", -1, "empty", 5, "", 0, 0, NULL, 0, &fx->err));
    aa_producer_free(&pr, DEADLINE_MS);

    check_ok(fx, aa_reader_open(&rd, &fx->cfg, topics, 2, &fx->err));
    assert_false(aa_reader_caught_up(rd));
    assert_int_equal(aa_reader_lag(rd), 152);
    while (!aa_reader_caught_up(rd) && aa_now_ms() - started_ms < DEADLINE_MS) {
        aa_kafka_record rec[64];
        size_t          n = 0;
        check_ok(fx, aa_reader_poll(rd, rec, 64, 100, &n, &fx->err));
        for (size_t i = 0; i < n; i++) {
            size_t topic = aa_reader_topic(rd, &rec[i]);
            got[topic]++;
            if (topic == 0) sum += number_of(&rec[i]);
            if (topic == 0) assert_int_equal(rec[i].timestamp_ms, 1000 + number_of(&rec[i]));
            if (topic == 1) {
                assert_int_equal(rec[i].len, 0);
                tombstones += !rec[i].value;
            }
        }
    }
    assert_true(aa_reader_caught_up(rd));
    assert_int_equal(got[0], 150);
    assert_int_equal(got[1], 2);
    assert_int_equal(tombstones, 1);
    assert_int_equal(sum, 149 * 150 / 2);
    assert_int_equal(aa_reader_lag(rd), 0);
    aa_reader_free(&rd);
}

static void
reader_of_an_empty_topic_has_caught_up_at_once(void **state)
{
    fixture    *fx = *state;
    const char *topics[] = {"one"};
    aa_reader  *rd = NULL;
    rd_kafka_mock_topic_create(fx->mb.mc, "one", 3, 1);
    check_ok(fx, aa_reader_open(&rd, &fx->cfg, topics, 1, &fx->err));
    assert_true(aa_reader_caught_up(rd));
    assert_int_equal(aa_reader_lag(rd), 0);
    aa_reader_free(&rd);
}

static void
bad_property_names_file_line_and_key(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;
    aa_consumer *cs = NULL;

    snprintf(fx->cfg.path, sizeof fx->cfg.path, "my.yaml");
    set_kafka(&fx->cfg, "lingre.ms", "5");
    fx->cfg.kafka[1].line = 17;
    assert_int_equal(aa_producer_open(&pr, &fx->cfg, &fx->err), AA_ECONFIG);
    assert_null(pr);
    assert_non_null(strstr(fx->err.text, "my.yaml:17: kafka.lingre.ms: "));

    fx->cfg.kafka_count = 1;
    set_kafka(&fx->cfg, "enable.auto.commit", "true");
    assert_int_equal(aa_consumer_open(&cs, &fx->cfg, "one", false, &fx->err), AA_ECONFIG);
    assert_non_null(strstr(fx->err.text, "kafka.enable.auto.commit: the pipeline depends on"));

    fx->cfg.kafka_count = 0;
    assert_int_equal(aa_producer_open(&pr, &fx->cfg, &fx->err), AA_ECONFIG);
    assert_non_null(strstr(fx->err.text, "kafka.bootstrap.servers"));
}

static void
fewer_acks_switch_idempotence_off_instead_of_failing(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;
    set_kafka(&fx->cfg, "acks", "1");
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    aa_producer_free(&pr, 0);
}

/* Take from a partition until its end is met; returns the sum of the numbers. */
static int
take_until_end(fixture *fx, aa_consumer *cs, size_t idx, int *count, int64_t *end)
{
    int     sum = 0;
    int64_t started_ms = aa_now_ms();
    *count = 0;
    *end = AA_KAFKA_NO_OFFSET;
    while (*end < 0 && aa_now_ms() - started_ms < DEADLINE_MS) {
        aa_kafka_record rec[32];
        size_t          n = 0;
        struct pollfd   pf = {aa_consumer_fd(cs), POLLIN, 0};
        check_ok(fx, aa_consumer_batch(cs, idx, rec, 32, &n, end, &fx->err));
        for (size_t i = 0; i < n; i++)
            sum += number_of(&rec[i]);
        *count += (int)n;
        if (n == 0 && *end < 0) {
            poll(&pf, 1, 100);
            aa_consumer_clear_fd(cs);
        }
    }
    return sum;
}

static void
chosen_partitions_are_read_from_their_offsets_to_their_ends(void **state)
{
    fixture        *fx = *state;
    aa_consumer    *cs = NULL;
    aa_kafka_offset po[2] = {{.partition = 1, .offset = 40}, {.partition = 0, .offset = 0}};
    int             count = 0;
    int64_t         end = 0, low = 0, high = 0;

    rd_kafka_mock_topic_create(fx->mb.mc, "one", 3, 1);
    send_numbers(fx, "one", 0, 0, 20);
    send_numbers(fx, "one", 1, 0, 50);
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, "one", false, &fx->err));
    assert_int_equal(aa_consumer_partition_count(cs), 3);
    check_ok(fx, aa_consumer_watermarks(cs, 1, &low, &high, &fx->err));
    assert_int_equal(low, 0);
    assert_int_equal(high, 50);
    check_ok(fx, aa_consumer_assign(cs, po, 2, &fx->err));
    assert_int_equal(take_until_end(fx, cs, 0, &count, &end), 445);
    assert_int_equal(count, 10);
    assert_int_equal(end, 50);
    assert_int_equal(take_until_end(fx, cs, 1, &count, &end), 190);
    assert_int_equal(end, 20);
    assert_int_equal(aa_consumer_lag(cs, 1, 30), 20);

    /* again, from elsewhere, on the same client: nothing of the first time is left over */
    po[0].offset = 49;
    po[1].offset = 15;
    check_ok(fx, aa_consumer_assign(cs, po, 2, &fx->err));
    assert_int_equal(take_until_end(fx, cs, 0, &count, &end), 49);
    assert_int_equal(take_until_end(fx, cs, 1, &count, &end), 15 + 16 + 17 + 18 + 19);
    assert_int_equal(count, 5);
    aa_consumer_free(&cs);
}

static void
commit_keeps_offsets_and_metadata_for_the_next_consumer(void **state)
{
    fixture        *fx = *state;
    aa_consumer    *cs = NULL;
    aa_kafka_offset po[2] = {{.partition = 0, .offset = 7, .metadata = "epoch=3 seq=12"},
                             {.partition = 1, .offset = 0, .metadata = "epoch=3 seq=12"}};
    aa_kafka_offset got[3] = {{.partition = 2}, {.partition = 1}, {.partition = 0}};

    rd_kafka_mock_topic_create(fx->mb.mc, "one", 3, 1);
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, "one", false, &fx->err));
    check_ok(fx, aa_consumer_committed(cs, got, 3, &fx->err));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(got[i].offset, AA_KAFKA_NO_OFFSET);
        assert_string_equal(got[i].metadata, "");
    }
    check_ok(fx, aa_consumer_assign(cs, po, 2, &fx->err));
    check_ok(fx, aa_consumer_commit(cs, po, 2, &fx->err));
    aa_consumer_free(&cs);

    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, "one", false, &fx->err));
    check_ok(fx, aa_consumer_committed(cs, got, 3, &fx->err));
    assert_int_equal(got[0].offset, AA_KAFKA_NO_OFFSET);
    assert_int_equal(got[1].offset, 0);
    assert_string_equal(got[1].metadata, "epoch=3 seq=12");
    assert_int_equal(got[2].offset, 7);
    assert_string_equal(got[2].metadata, "epoch=3 seq=12");
    aa_consumer_free(&cs);
}

static void
group_deals_out_all_partitions_to_its_only_member(void **state)
{
    fixture               *fx = *state;
    aa_consumer           *cs = NULL;
    aa_consumer_event      event = AA_CONSUMER_NOTHING;
    const aa_kafka_offset *po = NULL;
    size_t                 n = 0;
    int                    count = 0;
    int64_t                end = 0, started_ms = aa_now_ms();

    rd_kafka_mock_topic_create(fx->mb.mc, "one", 2, 1);
    send_numbers(fx, "one", 1, 0, 10);
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, "one", true, &fx->err));
    while (event == AA_CONSUMER_NOTHING && aa_now_ms() - started_ms < DEADLINE_MS) {
        struct pollfd pf = {aa_consumer_fd(cs), POLLIN, 0};
        poll(&pf, 1, 100);
        aa_consumer_clear_fd(cs);
        check_ok(fx, aa_consumer_poll(cs, &event, &po, &n, &fx->err));
    }
    assert_int_equal(event, AA_CONSUMER_ASSIGNED);
    assert_int_equal(n, 2);
    aa_kafka_offset from[2] = {po[0], po[1]};
    check_ok(fx, aa_consumer_committed(cs, from, 2, &fx->err));
    from[0].offset = from[1].offset = 0;
    check_ok(fx, aa_consumer_assign(cs, from, 2, &fx->err));
    assert_int_equal(take_until_end(fx, cs, from[0].partition == 1 ? 0 : 1, &count, &end), 45);
    snprintf(from[0].metadata, sizeof from[0].metadata, "epoch=1 seq=1");
    snprintf(from[1].metadata, sizeof from[1].metadata, "epoch=1 seq=1");
    check_ok(fx, aa_consumer_commit(cs, from, 2, &fx->err));
    check_ok(fx, aa_consumer_release(cs, &fx->err));
    aa_consumer_free(&cs);
}

static void
missing_topic_and_lost_offsets_are_clear_errors(void **state)
{
    fixture        *fx = *state;
    aa_consumer    *cs = NULL;
    aa_reader      *rd = NULL;
    const char     *topics[] = {"nowhere"};
    aa_kafka_offset po = {.partition = 0, .offset = 1000};
    int64_t         started_ms = aa_now_ms(), end = 0;
    aa_status       st = AA_OK;
    size_t          n = 0;

    rd_kafka_mock_topic_set_error(fx->mb.mc, "nowhere", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    assert_int_equal(aa_consumer_open(&cs, &fx->cfg, "nowhere", false, &fx->err), AA_ECONFIG);
    assert_non_null(strstr(fx->err.text, "nowhere does not exist"));
    assert_int_equal(aa_reader_open(&rd, &fx->cfg, topics, 1, &fx->err), AA_EIO);

    rd_kafka_mock_topic_create(fx->mb.mc, "one", 1, 1);
    send_numbers(fx, "one", 0, 0, 10);
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, "one", false, &fx->err));
    check_ok(fx, aa_consumer_assign(cs, &po, 1, &fx->err));
    while (st == AA_OK && aa_now_ms() - started_ms < DEADLINE_MS) {
        aa_kafka_record rec[8];
        struct pollfd   pf = {aa_consumer_fd(cs), POLLIN, 0};
        poll(&pf, 1, 100);
        aa_consumer_clear_fd(cs);
        st = aa_consumer_batch(cs, 0, rec, 8, &n, &end, &fx->err);
    }
    assert_int_equal(st, AA_ECONFIG);
    assert_non_null(strstr(fx->err.text, "one partition 0: the events to go on from are gone"));
    assert_non_null(strstr(fx->err.text, "ingest.on_lost_offset"));
    aa_consumer_free(&cs);
}

static void
broker_that_is_not_there_is_an_io_error(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;

    fx->cfg.kafka_count = 0;
    set_kafka(&fx->cfg, "bootstrap.servers", "127.0.0.1:1");
    set_kafka(&fx->cfg, "message.timeout.ms", "300");
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    check_ok(fx, aa_producer_send(pr, "one", -1, "k", 1, "v", 1, 0, NULL, 0, &fx->err));
    assert_int_equal(aa_producer_flush(pr, DEADLINE_MS, &fx->err), AA_EIO);
    assert_int_equal(aa_producer_failed(pr), 1);
    aa_producer_free(&pr, 100);
}

/* A message may be given up long before anybody asks: the flush must still tell. */
static void
flush_tells_of_messages_that_were_lost_before_it(void **state)
{
    fixture     *fx = *state;
    aa_producer *pr = NULL;
    int64_t      end_ms = aa_now_ms() + DEADLINE_MS;

    fx->cfg.kafka_count = 0;
    set_kafka(&fx->cfg, "bootstrap.servers", "127.0.0.1:1");
    set_kafka(&fx->cfg, "message.timeout.ms", "100");
    check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
    check_ok(fx, aa_producer_send(pr, "one", -1, "k", 1, "v", 1, 0, NULL, 0, &fx->err));
    while (aa_producer_failed(pr) == 0) {
        assert_true(aa_now_ms() < end_ms);
        aa_producer_poll(pr);
    }
    assert_int_equal(aa_producer_flush(pr, DEADLINE_MS, &fx->err), AA_EIO);
    assert_non_null(strstr(fx->err.text, "1 messages not delivered"));
    assert_int_equal(aa_producer_flush(pr, DEADLINE_MS, &fx->err), AA_OK); /* once is enough */
    aa_producer_free(&pr, 100);
}

/* By messages and by bytes: a quarter of what the queue takes. */
static void
producer_without_a_broker_falls_behind_and_loses_nothing(void **state)
{
    static const char *const limit[] = {"queue.buffering.max.messages",
                                        "queue.buffering.max.kbytes"};
    static char              value[512];
    fixture                 *fx = *state;
    for (size_t i = 0; i < 2; i++) {
        aa_producer *pr = NULL;
        size_t       sent = 0;
        fx->cfg.kafka_count = 0;
        set_kafka(&fx->cfg, "bootstrap.servers", "127.0.0.1:1");
        set_kafka(&fx->cfg, limit[i], i == 0 ? "400" : "200");
        check_ok(fx, aa_producer_open(&pr, &fx->cfg, &fx->err));
        for (; !aa_producer_behind(pr); sent++) {
            assert_true(sent < 1000);
            check_ok(fx, aa_producer_send(pr, "one", -1, "k", 1, value, i == 0 ? 1 : sizeof value,
                                          0, NULL, 0, &fx->err));
        }
        assert_in_range(sent, 99, 102); /* of 400 messages, or of 200 KiB */
        assert_int_equal(aa_producer_failed(pr), 0);
        aa_producer_free(&pr, 0);
    }
}

/* ---- a leader that is gone, and that the metadata names still ---- */

enum { ELECTION_MS = 2500, LATE_MS = 9000 };

static void *
elect_later(void *arg)
{
    fixture *fx = arg;
    poll(NULL, 0, ELECTION_MS);
    rd_kafka_mock_partition_set_leader(fx->mb.mc, "three", 1, 2);
    return NULL;
}

/* Three brokers; the leader of one of the topic's partitions ends, and another is chosen only later. */
static void
lose_leader(fixture *fx, pthread_t *election)
{
    mock_broker_stop(&fx->mb);
    mock_brokers_start(&fx->mb, &fx->cfg, 3);
    rd_kafka_mock_topic_create(fx->mb.mc, "three", 3, 3);
    for (int32_t p = 0; p < 3; p++)
        rd_kafka_mock_partition_set_leader(fx->mb.mc, "three", p, p == 1 ? 1 : 3);
    for (int32_t p = 0; p < 3; p++)
        send_numbers(fx, "three", p, 100 * p, 10);
    rd_kafka_mock_broker_set_down(fx->mb.mc, 1);
    assert_int_equal(pthread_create(election, NULL, elect_later, fx), 0);
}

static void
reader_opens_soon_after_a_killed_leader_is_replaced(void **state)
{
    fixture        *fx = *state;
    const char     *topics[] = {"three"};
    aa_reader      *rd = NULL;
    aa_kafka_record rec[100];
    size_t          got = 0;
    pthread_t       election;

    lose_leader(fx, &election);
    const int64_t begun_ms = aa_now_ms();
    check_ok(fx, aa_reader_open(&rd, &fx->cfg, topics, 1, &fx->err));
    assert_in_range(aa_now_ms() - begun_ms, 0, LATE_MS);
    while (!aa_reader_caught_up(rd)) {
        size_t count = 0;
        assert_true(aa_now_ms() < begun_ms + DEADLINE_MS);
        check_ok(fx, aa_reader_poll(rd, rec, 100, 100, &count, &fx->err));
        got += count;
    }
    assert_int_equal(got, 30);
    assert_null(aa_reader_lost(rd));
    aa_reader_free(&rd);
    pthread_join(election, NULL);
}

static void
consumer_learns_where_a_partition_ends_soon_after_a_killed_leader_is_replaced(void **state)
{
    fixture     *fx = *state;
    aa_consumer *cs = NULL;
    int64_t      low = -1, high = -1;
    pthread_t    election;

    lose_leader(fx, &election);
    const int64_t begun_ms = aa_now_ms();
    check_ok(fx, aa_consumer_open(&cs, &fx->cfg, "three", false, &fx->err));
    check_ok(fx, aa_consumer_watermarks(cs, 1, &low, &high, &fx->err));
    assert_in_range(aa_now_ms() - begun_ms, 0, LATE_MS);
    assert_int_equal(low, 0);
    assert_int_equal(high, 10);
    aa_consumer_free(&cs);
    pthread_join(election, NULL);
}

/* ---- a topic that is not what was read ---- */

static void
remove_topic(fixture *fx, const char *topic)
{
    rd_kafka_conf_t        *conf = rd_kafka_conf_new();
    rd_kafka_DeleteTopic_t *request = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_conf_set(conf, "bootstrap.servers", fx->cfg.kafka[0].value, NULL, 0);
    rd_kafka_t       *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopics(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, DEADLINE_MS);
    assert_non_null(ev);
    assert_int_equal(rd_kafka_event_error(ev), 0);
    rd_kafka_event_destroy(ev);
    rd_kafka_DeleteTopic_destroy(request);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

/* The same shows after an unclean leader election has cut it. Whether the client or the question for
 * the ends is first to see it, does not matter. */
static void
reader_tells_that_a_topic_does_not_hold_any_more_what_it_has_read(void **state)
{
    fixture        *fx = *state;
    aa_reader      *rd = NULL;
    aa_kafka_record rec[100];
    char            topic[64];
    const char     *topics[] = {topic};
    const int64_t   until_ms = aa_now_ms() + DEADLINE_MS;

    if (!real_broker()) skip();
    fx->cfg.kafka_count = 0;
    set_kafka(&fx->cfg, "bootstrap.servers", real_broker());
    snprintf(topic, sizeof topic, "kafka-test-%lld", (long long)aa_wall_ms());
    check_ok(fx, aa_topic_ensure(&fx->cfg, topic, 1, true, &fx->err));
    send_numbers(fx, topic, 0, 0, 10);
    check_ok(fx, aa_reader_open(&rd, &fx->cfg, topics, 1, &fx->err));
    assert_int_equal(aa_reader_delete_retention_ms(rd, DEADLINE_MS), 86400000);
    for (size_t count = 0; !aa_reader_caught_up(rd);)
        check_ok(fx, aa_reader_poll(rd, rec, 100, 100, &count, &fx->err));
    check_ok(fx, aa_reader_refresh(rd, DEADLINE_MS, &fx->err));
    assert_null(aa_reader_lost(rd));
    remove_topic(fx, topic);
    while (aa_topic_ensure(&fx->cfg, topic, 1, true, &fx->err) != AA_OK)
        assert_true(aa_now_ms() < until_ms);
    send_numbers(fx, topic, 0, 0, 3);
    while (!aa_reader_lost(rd)) {
        size_t count;
        aa_err none = AA_ERR_INIT;
        assert_true(aa_now_ms() < until_ms);
        check_ok(fx, aa_reader_poll(rd, rec, 100, 100, &count, &fx->err));
        (void)!aa_reader_refresh(rd, 1000, &none);
    }
    assert_non_null(strstr(aa_reader_lost(rd), "read to 10"));
    aa_reader_free(&rd);
    remove_topic(fx, topic);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(reader_returns_every_record_and_tombstone_then_says_caught_up),
        TEST(reader_of_an_empty_topic_has_caught_up_at_once),
        TEST(bad_property_names_file_line_and_key),
        TEST(fewer_acks_switch_idempotence_off_instead_of_failing),
        TEST(chosen_partitions_are_read_from_their_offsets_to_their_ends),
        TEST(commit_keeps_offsets_and_metadata_for_the_next_consumer),
        TEST(group_deals_out_all_partitions_to_its_only_member),
        TEST(missing_topic_and_lost_offsets_are_clear_errors),
        TEST(broker_that_is_not_there_is_an_io_error),
        TEST(flush_tells_of_messages_that_were_lost_before_it),
        TEST(reader_opens_soon_after_a_killed_leader_is_replaced),
        TEST(consumer_learns_where_a_partition_ends_soon_after_a_killed_leader_is_replaced),
        TEST(reader_tells_that_a_topic_does_not_hold_any_more_what_it_has_read),
        TEST(producer_without_a_broker_falls_behind_and_loses_nothing),
    };
    return cmocka_run_group_tests_name("common/kafka", tests, NULL, NULL);
}
