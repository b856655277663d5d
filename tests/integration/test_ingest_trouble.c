/* ingest as a process: bad events, what a topic holds besides events, what it cannot go on from. */
#include "tests/integration/ingest_fixture.h"

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
    start_ingest(fx,
                 (const char *[]){"ingest.run=replay", "kafka.message.max.bytes=5000",
                                  "publish.enabled=false", "ingest.replay_from=offset:82", NULL});
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
    assert_true(process_said(&fx->ingest, "ingest.on_lost_letter=log continues without", NULL, 0));
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

/* A batch of so many events that the client will not unpack: with the limits below it takes
 * less. */
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
    assert_true(process_said(&fx->ingest, "ingest.on_lost_offset=skip continues", NULL, 0));

    start_ingest(fx, (const char *[]){TAKES_LITTLE, "ingest.on_lost_offset=skip", NULL});
    wait_until(play(fx) && fx->ds.count == 20);
    wait_until(shown(fx, "autoassign_events_lost_total") == 7);
    wait_until(shown(fx, "autoassign_offset_gaps_total") == 1);
    kill(fx->ingest.pid, SIGTERM);
    expect_exit(fx, 0);
    assert_int_equal(fx->ds.count, 20); /* and so is what is behind it, once */
    assert_int_equal(summary(fx, "events_lost"), 7);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
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
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one test alone: its name, * and ? allowed */
    return cmocka_run_group_tests_name("ingest, trouble", tests, NULL, NULL);
}
