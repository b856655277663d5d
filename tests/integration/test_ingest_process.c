/* ingest as a process: replays, live pipelines, the group, the record tool. */
#include "tests/integration/ingest_fixture.h"

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

/* Both would work on one state, and take the run away from each other. */
static void
second_replay_with_the_same_checkpoints_is_refused_and_names_the_first(void **state)
{
    fixture *fx = *state;
    char     in_use[40];
    needs_broker(fx);
    fill_topic(fx, three, 3);
    start_ingest(fx, replay);
    wait_until(play(fx) && fx->ds.count > 150);
    process first = fx->ingest;
    char    first_out[320];
    snprintf(first_out, sizeof first_out, "%s.first", first.out_path);
    assert_int_equal(rename(first.out_path, first_out), 0);
    snprintf(first.out_path, sizeof first.out_path, "%.290s", first_out);
    kill(first.pid, SIGSTOP); /* it is not over before the second has begun */
    start_ingest(fx, replay);
    expect_exit(fx, 1);
    snprintf(in_use, sizeof in_use, "is in use by pid %ld", (long)first.pid);
    assert_true(process_said(&fx->ingest, in_use, NULL, 0));
    fx->ingest = first;
    kill(first.pid, SIGCONT);
    expect_exit(fx, 0);
    check_merged(fx, three, 3);
    assert_int_equal(fx->ds.opens, 1);
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
        REAL(rebalance_drains_and_loses_or_repeats_nothing),
        BOTH(second_replay_with_the_same_checkpoints_is_refused_and_names_the_first),
        REAL(second_ingest_of_a_lane_ends_the_first),
        BOTH(recorded_file_is_ingested_to_the_last_event),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one test alone: its name, * and ? allowed */
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
