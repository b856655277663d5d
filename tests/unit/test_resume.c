#include "ingest/resume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/state/checkpoint.h"
#include "tests/fakes/ckpt_folder.h"

static void
metadata_is_read_back_and_only_for_its_lane(void **state)
{
    (void)state;
    char     text[AA_KAFKA_METADATA];
    uint64_t epoch = 0, seq = 0;
    aa_err   err = AA_ERR_INIT;
    assert_int_equal(resume_metadata(text, 12, UINT64_MAX, 3, 0, "", &err), AA_OK);
    assert_true(resume_parse(text, 3, &epoch, &seq));
    assert_int_equal(epoch, 12);
    assert_true(seq == UINT64_MAX);
    assert_false(resume_parse(text, 0, &epoch, &seq));
}

static void
foreign_metadata_is_no_commit_of_ours(void **state)
{
    (void)state;
    const char *const foreign[] = {"",
                                   "epoch=",
                                   "epoch=5",
                                   "epoch=5 seq=",
                                   "epoch=5 seq=6",
                                   "epoch=5 seq=6 lane=0 ",
                                   "epoch=-5 seq=6 lane=0",
                                   "epoch=0 seq=6 lane=0",
                                   " epoch=5 seq=6 lane=0",
                                   "epoch=5 seq=6 lane=0;",
                                   "epoch=5 seq=6 lane=0 run=",
                                   "epoch=5 seq=6 lane=0 run=-1",
                                   "epoch=5 seq=6 lane=0 run=7 ",
                                   ";epoch=5 seq=6 lane=0",
                                   "epoch=5 seq=6 lane=1;epoch=5 seq=6 lane=0",
                                   "seq=6 epoch=5 lane=0",
                                   "somebody else's"};
    uint64_t          epoch = 77, seq = 78;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(resume_parse(foreign[i], 0, &epoch, &seq));
    assert_int_equal(epoch, 77);
    assert_int_equal(seq, 78);
}

static void
newest_epoch_of_the_lane_counts(void **state)
{
    (void)state;
    aa_kafka_offset po[] = {{0, 10, "epoch=3 seq=30 lane=0"},
                            {1, 10, "epoch=9 seq=90 lane=1"},
                            {2, 10, "epoch=4 seq=40 lane=0"},
                            {3, AA_KAFKA_NO_OFFSET, ""}};
    uint64_t        seq = 0;
    assert_int_equal(resume_epoch(po, 4, 0, &seq), 4);
    assert_int_equal(seq, 40);
    assert_int_equal(resume_epoch(po, 4, 1, &seq), 9);
    assert_int_equal(resume_epoch(po, 4, 2, &seq), 0);
    assert_int_equal(seq, 0);
}

/* A lane whose partitions are another's now still finds its epoch on them. */
static void
commit_keeps_the_tags_of_lanes_that_were_there_before(void **state)
{
    (void)state;
    char            text[AA_KAFKA_METADATA], without[AA_KAFKA_METADATA];
    aa_err          err = AA_ERR_INIT;
    aa_kafka_offset po[] = {{0, 10, ""}, {1, 10, "epoch=2 seq=20 lane=0"}};
    uint64_t        epoch = 0, seq = 0;
    assert_int_equal(resume_metadata(text, 3, 30, 0, 0, "somebody else's", &err), AA_OK);
    assert_string_equal(text, "epoch=3 seq=30 lane=0");
    snprintf(po[0].metadata, sizeof po[0].metadata, "%s", text);
    assert_int_equal(resume_metadata(text, 1, 5, 7, 0, po[0].metadata, &err), AA_OK);
    assert_string_equal(text, "epoch=1 seq=5 lane=7;epoch=3 seq=30 lane=0");
    snprintf(po[0].metadata, sizeof po[0].metadata, "%s", text);
    assert_int_equal(resume_metadata(text, 2, 9, 7, 0, po[0].metadata, &err), AA_OK);
    assert_string_equal(text, "epoch=2 seq=9 lane=7;epoch=3 seq=30 lane=0");
    assert_true(resume_parse(text, 7, &epoch, &seq)); /* its own offset */
    assert_false(resume_parse(text, 0, &epoch, &seq));
    assert_int_equal(resume_epoch(po, 2, 0, &seq), 3);
    assert_int_equal(seq, 30);
    assert_int_equal(resume_epoch(po, 2, 7, &seq), 1);

    assert_true(resume_metadata_without(without, 0, text));
    assert_string_equal(without, "epoch=2 seq=9 lane=7");
    assert_true(resume_metadata_without(without, 7, text));
    assert_string_equal(without, "epoch=3 seq=30 lane=0");
    assert_false(resume_metadata_without(without, 5, text));
}

/* The clock's value stands in it: it must not fall with the clock, nor with a rollback. */
static void
commit_keeps_the_newest_run_of_its_lane(void **state)
{
    (void)state;
    char            text[AA_KAFKA_METADATA];
    aa_err          err = AA_ERR_INIT;
    uint64_t        epoch = 0, seq = 0;
    aa_kafka_offset po[] = {{0, 10, "epoch=3 seq=30 lane=0 run=900;epoch=1 seq=1 lane=1 run=990"},
                            {1, 10, "epoch=2 seq=20 lane=0"}}; /* of an older program */
    assert_true(resume_parse(po[0].metadata, 0, &epoch, &seq));
    assert_int_equal(epoch, 3);
    assert_int_equal(seq, 30);
    assert_true(resume_parse(po[1].metadata, 0, &epoch, &seq));
    assert_true(resume_newest_run(po, 2, 0) == 900);
    assert_true(resume_newest_run(po, 2, 1) == 990);
    assert_true(resume_newest_run(&po[1], 1, 0) == 0);
    assert_int_equal(resume_metadata(text, 4, 40, 0, 1000, po[0].metadata, &err), AA_OK);
    assert_string_equal(text, "epoch=4 seq=40 lane=0 run=1000;epoch=1 seq=1 lane=1 run=990");
    assert_int_equal(resume_metadata(text, 2, 20, 0, 500, po[0].metadata, &err), AA_OK);
    assert_string_equal(text, "epoch=2 seq=20 lane=0 run=900;epoch=1 seq=1 lane=1 run=990");
}

static void
more_lanes_than_fit_are_an_error(void **state)
{
    (void)state;
    char      text[AA_KAFKA_METADATA], before[AA_KAFKA_METADATA] = "";
    aa_err    err = AA_ERR_INIT;
    int64_t   lane = 0;
    aa_status st = AA_OK;
    for (; lane < 1000 && st == AA_OK; lane++) {
        st = resume_metadata(text, 1000000000, 1000000000, lane, UINT64_MAX / 2, before, &err);
        snprintf(before, sizeof before, "%s", text);
    }
    assert_int_equal(st, AA_EPARSE);
    assert_in_range(lane, 30, 60);
}

static void
commit_counts_unless_it_is_older_than_the_state(void **state)
{
    (void)state;
    aa_err          err = AA_ERR_INIT;
    resume          re = {.epoch = 4};
    aa_kafka_offset po[] = {{0, 11, "epoch=4 seq=40 lane=0"}, /* the checkpoint's own */
                            {1, 12, "epoch=3 seq=30 lane=0"}, /* the commit got half-way */
                            {2, 13, ""},                      /* moved by hand */
                            {3, AA_KAFKA_NO_OFFSET, ""},      /* new */
                            {4, AA_KAFKA_NO_OFFSET, ""}};     /* expired */
    assert_int_equal(resume_reserve(&re, 4, &err), AA_OK);
    re.part[0] = (resume_part){0, 11, 100};
    re.part[1] = (resume_part){1, 22, 100};
    re.part[2] = (resume_part){2, 23, 100};
    re.part[3] = (resume_part){4, 24, 100};
    assert_int_equal(resume_merge(&re, po, 5, 0, false, &err), AA_OK);
    const int64_t want[] = {11, 22, 13, AA_KAFKA_NO_OFFSET, 24};
    assert_int_equal(re.part_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(re.part[i].position, want[i]);
        assert_true(re.part[i].end == RESUME_NO_END);
    }
    resume_fini(&re);
}

static void
replay_keeps_its_ends_and_takes_no_partition_that_came_later(void **state)
{
    (void)state;
    aa_err          err = AA_ERR_INIT;
    resume          re = {.epoch = 4};
    aa_kafka_offset po[] = {{0, 11, "epoch=4 seq=40 lane=0"}, {1, AA_KAFKA_NO_OFFSET, ""}};
    assert_int_equal(resume_reserve(&re, 1, &err), AA_OK);
    re.part[0] = (resume_part){0, 11, 100};
    assert_int_equal(resume_merge(&re, po, 2, 0, true, &err), AA_OK);
    assert_int_equal(re.part[0].end, 100);
    assert_int_equal(re.part[1].end, 0);
    assert_int_equal(re.part[1].position, 0);
    resume_fini(&re);

    re = (resume){0}; /* fresh: ends are to be asked for */
    assert_int_equal(resume_merge(&re, po, 2, 0, true, &err), AA_OK);
    assert_true(re.part[0].end == RESUME_NO_END);
    assert_int_equal(re.part[1].position, AA_KAFKA_NO_OFFSET);
    resume_fini(&re);
}

static void
checkpoint_gives_back_what_was_saved(void **state)
{
    (void)state;
    static aa_conf cfg;
    aa_err         err = AA_ERR_INIT;
    resume         got = {0}, re = {.epoch = 7,
                                    .seq = 70,
                                    .events = 1000,
                                    .letters = 3,
                                    .batches = 70,
                                    .digest = 0xfeedfacecafebeef,
                                    .final = true,
                                    .run = 1234};
    aa_conf_defaults(&cfg);
    ckpt_folder_make(&cfg);
    assert_int_equal(resume_reserve(&re, 2, &err), AA_OK);
    re.part[0] = (resume_part){0, 500, 600};
    re.part[1] = (resume_part){5, 0, RESUME_NO_END};
    assert_int_equal(resume_save(&re, &cfg, &err), AA_OK);
    assert_int_equal(resume_load(&got, &cfg, 8, &err), AA_EIO);
    assert_int_equal(resume_load(&got, &cfg, 7, &err), AA_OK);
    assert_int_equal(got.epoch, 7);
    assert_int_equal(got.seq, 70);
    assert_int_equal(got.events, 1000);
    assert_int_equal(got.letters, 3);
    assert_int_equal(got.batches, 70);
    assert_true(got.digest == 0xfeedfacecafebeef);
    assert_true(got.final);
    assert_int_equal(got.run, 1234);
    assert_int_equal(got.part_count, 2);
    assert_int_equal(got.part[1].partition, 5);
    assert_int_equal(got.part[0].end, 600);
    assert_true(got.part[1].end == RESUME_NO_END);
    resume_fini(&got);
    resume_fini(&re);
    ckpt_folder_remove(&cfg);
}

static void
checkpoint_of_an_older_program_is_read(void **state)
{
    (void)state;
    const uint64_t  figures[6] = {70, 1000, 3, 70, 0xfeed, 1};
    const int64_t   part[3] = {2, 500, 600};
    aa_conf         cfg;
    aa_err          err = AA_ERR_INIT;
    aa_ckpt_writer *w = NULL;
    resume          got = {0};
    aa_conf_defaults(&cfg);
    ckpt_folder_make(&cfg);
    assert_int_equal(aa_ckpt_create(&w, &cfg, "ingest", 7, &err), AA_OK);
    assert_int_equal(aa_ckpt_section(w, "figures", figures, sizeof figures, &err), AA_OK);
    assert_int_equal(aa_ckpt_section(w, "partitions", part, sizeof part, &err), AA_OK);
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    assert_int_equal(resume_load(&got, &cfg, 7, &err), AA_OK);
    assert_int_equal(got.seq, 70);
    assert_true(got.digest == 0xfeed);
    assert_true(got.final);
    assert_true(got.run == 0); /* not known */
    assert_int_equal(got.part[0].position, 500);
    resume_fini(&got);
    ckpt_folder_remove(&cfg);
}

/* It stood still, and another ingest of the lane has gone on: its checkpoint is not overwritten. */
static void
checkpoint_of_a_newer_run_is_noticed(void **state)
{
    (void)state;
    aa_conf cfg;
    aa_err  err = AA_ERR_INIT;
    resume  re = {.epoch = 7, .seq = 70, .run = 500};
    aa_conf_defaults(&cfg);
    ckpt_folder_make(&cfg);
    assert_false(resume_overtaken(&cfg, 7, 400)); /* none there */
    assert_int_equal(resume_reserve(&re, 1, &err), AA_OK);
    re.part[0] = (resume_part){0, 500, 600};
    assert_int_equal(resume_save(&re, &cfg, &err), AA_OK);
    assert_true(resume_overtaken(&cfg, 7, 400));
    assert_false(resume_overtaken(&cfg, 7, 500));
    assert_false(resume_overtaken(&cfg, 7, 501)); /* after a rollback */
    assert_false(resume_overtaken(&cfg, 8, 400));
    resume_fini(&re);
    ckpt_folder_remove(&cfg);
}

/* Checkpoints of the epochs 5, 6 and 8; epoch E ends with batch 10 E and stands at offset 100 E. */
static void
save_some(aa_conf *cfg)
{
    aa_err err = AA_ERR_INIT;
    aa_conf_defaults(cfg);
    ckpt_folder_make(cfg);
    for (uint64_t epoch = 5; epoch <= 8; epoch++) {
        resume re = {.epoch = epoch, .seq = 10 * epoch};
        if (epoch == 7) continue;
        assert_int_equal(resume_reserve(&re, 1, &err), AA_OK);
        re.part[0] = (resume_part){0, (int64_t)(100 * epoch), RESUME_NO_END};
        assert_int_equal(resume_save(&re, cfg, &err), AA_OK);
        resume_fini(&re);
    }
}

/* Change a byte in the middle of an epoch's file. */
static void
damage(const aa_conf *cfg, uint64_t epoch)
{
    char   path[1024];
    aa_err err = AA_ERR_INIT;
    assert_int_equal(aa_ckpt_path(path, sizeof path, cfg, "ingest", epoch, &err), AA_OK);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 300, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, 300, SEEK_SET), 0);
    assert_true(fputc(byte ^ 1, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The epoch found, 0: fresh; the status otherwise negative. */
static int
find(const aa_conf *cfg, uint64_t epoch, uint64_t seq, uint64_t bad)
{
    aa_err    err = AA_ERR_INIT;
    resume    re = {0};
    aa_status st = resume_find(&re, cfg, epoch, &seq, bad, &err);
    int       found = st == AA_OK ? (int)re.epoch : -(int)st;
    if (st == AA_OK) assert_int_equal(re.last_epoch, epoch);
    if (found > 0) assert_int_equal(re.part[0].position, 100 * re.epoch);
    if (found == 0) assert_int_equal(re.part_count, 0);
    resume_fini(&re);
    return found;
}

static void
damaged_checkpoint_gives_way_to_the_one_before(void **state)
{
    (void)state;
    static aa_conf cfg;
    save_some(&cfg);
    assert_int_equal(find(&cfg, 8, 80, 0), 8);
    assert_int_equal(find(&cfg, 8, 81, 0), 6); /* not the commit's */
    assert_int_equal(find(&cfg, 8, 80, 8), 6); /* another process cannot use it */
    assert_int_equal(find(&cfg, 6, 60, 8), 6); /* what is bad is above */
    assert_int_equal(find(&cfg, 7, 70, 0), 6); /* missing; and 8 was never committed */
    assert_int_equal(find(&cfg, 8, 80, 6), 5);
    damage(&cfg, 8);
    assert_int_equal(find(&cfg, 8, 80, 0), 6);
    damage(&cfg, 6);
    assert_int_equal(find(&cfg, 8, 80, 0), 5);
    ckpt_folder_remove(&cfg);
}

static void
a_folder_without_checkpoints_is_asked_for_whatever_its_length(void **state)
{
    (void)state;
    static aa_conf cfg;
    aa_err         err = AA_ERR_INIT;
    resume         re = {0};
    uint64_t       seq = 80;
    aa_conf_defaults(&cfg);
    strcpy(cfg.checkpoint.dir, "/nowhere/");
    memset(cfg.checkpoint.dir + 9, 'x', 150);
    assert_int_equal(resume_find(&re, &cfg, UINT64_MAX, &seq, 0, &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "is checkpoint.dir (/nowhere/xxx"));
    assert_non_null(strstr(err.text, "on_damage=fresh begins from the stream's beginning"));
    resume_fini(&re);
}

static void
without_a_usable_checkpoint_nothing_begins_silently_from_scratch(void **state)
{
    (void)state;
    static aa_conf cfg;
    save_some(&cfg);
    for (uint64_t epoch = 5; epoch <= 8; epoch++)
        if (epoch != 7) damage(&cfg, epoch);
    assert_int_equal(find(&cfg, 8, 80, 0), -AA_EPARSE);
    assert_int_equal(find(&cfg, 8, 80, 5), -AA_EPARSE);
    cfg.checkpoint.on_damage = AA_ON_DAMAGE_FRESH;
    assert_int_equal(find(&cfg, 8, 80, 0), 0);
    ckpt_folder_remove(&cfg);
}

static void
policy_fail_never_goes_back(void **state)
{
    (void)state;
    static aa_conf cfg;
    save_some(&cfg);
    cfg.checkpoint.on_damage = AA_ON_DAMAGE_FAIL;
    assert_int_equal(find(&cfg, 8, 80, 0), 8);
    assert_int_equal(find(&cfg, 8, 80, 8), -AA_EPARSE);
    damage(&cfg, 8);
    assert_int_equal(find(&cfg, 8, 80, 0), -AA_EPARSE);
    ckpt_folder_remove(&cfg);
}

/* Not damage but a mistake of somebody's: going back would only hide it. */
static void
checkpoint_of_another_configuration_is_not_gone_back_from(void **state)
{
    (void)state;
    static aa_conf cfg;
    save_some(&cfg);
    cfg.agent.positions++;
    assert_int_equal(find(&cfg, 8, 80, 0), -AA_ECONFIG);
    cfg.checkpoint.on_damage = AA_ON_DAMAGE_FRESH;
    assert_int_equal(find(&cfg, 8, 80, 0), -AA_ECONFIG);
    ckpt_folder_remove(&cfg);
}

/* Going back to epoch 4 when 6 is committed: its positions count, not the commit's. */
static void
older_checkpoint_brings_its_own_positions(void **state)
{
    (void)state;
    aa_err          err = AA_ERR_INIT;
    resume          re = {.epoch = 4};
    aa_kafka_offset po[] = {{0, 900, "epoch=6 seq=60 lane=0"},
                            {1, 900, "epoch=6 seq=60 lane=0"}, /* came between the two */
                            {2, 13, ""}};
    assert_int_equal(resume_reserve(&re, 1, &err), AA_OK);
    re.part[0] = (resume_part){0, 11, 100};
    assert_int_equal(resume_merge(&re, po, 3, 0, false, &err), AA_OK);
    assert_int_equal(re.part[0].position, 11);
    assert_int_equal(re.part[1].position, AA_KAFKA_NO_OFFSET);
    assert_int_equal(re.part[2].position, 13);
    resume_fini(&re);

    re = (resume){.last_epoch = 6}; /* given up: from the beginning */
    assert_int_equal(resume_merge(&re, po, 2, 0, true, &err), AA_OK);
    assert_int_equal(re.part[0].position, AA_KAFKA_NO_OFFSET);
    assert_true(re.part[0].end == RESUME_NO_END);
    resume_fini(&re);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_read_back_and_only_for_its_lane),
        cmocka_unit_test(foreign_metadata_is_no_commit_of_ours),
        cmocka_unit_test(newest_epoch_of_the_lane_counts),
        cmocka_unit_test(commit_keeps_the_tags_of_lanes_that_were_there_before),
        cmocka_unit_test(commit_keeps_the_newest_run_of_its_lane),
        cmocka_unit_test(checkpoint_of_an_older_program_is_read),
        cmocka_unit_test(checkpoint_of_a_newer_run_is_noticed),
        cmocka_unit_test(more_lanes_than_fit_are_an_error),
        cmocka_unit_test(commit_counts_unless_it_is_older_than_the_state),
        cmocka_unit_test(replay_keeps_its_ends_and_takes_no_partition_that_came_later),
        cmocka_unit_test(checkpoint_gives_back_what_was_saved),
        cmocka_unit_test(damaged_checkpoint_gives_way_to_the_one_before),
        cmocka_unit_test(a_folder_without_checkpoints_is_asked_for_whatever_its_length),
        cmocka_unit_test(without_a_usable_checkpoint_nothing_begins_silently_from_scratch),
        cmocka_unit_test(policy_fail_never_goes_back),
        cmocka_unit_test(checkpoint_of_another_configuration_is_not_gone_back_from),
        cmocka_unit_test(older_checkpoint_brings_its_own_positions),
    };
    return cmocka_run_group_tests_name("ingest/resume", tests, NULL, NULL);
}
