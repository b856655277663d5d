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

static void
metadata_is_read_back_and_only_for_its_lane(void **state)
{
    (void)state;
    char     text[AA_KAFKA_METADATA];
    uint64_t epoch = 0, seq = 0;
    resume_metadata(text, 12, UINT64_MAX, 3);
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
    char           dir[] = "/tmp/autoassign-resume-XXXXXX", remove[128];
    resume         got = {0}, re = {.epoch = 7,
                                    .seq = 70,
                                    .events = 1000,
                                    .letters = 3,
                                    .batches = 70,
                                    .digest = 0xfeedfacecafebeef,
                                    .final = true};
    assert_non_null(mkdtemp(dir));
    aa_conf_defaults(&cfg);
    snprintf(cfg.checkpoint.dir, sizeof cfg.checkpoint.dir, "%s", dir);
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
    assert_int_equal(got.part_count, 2);
    assert_int_equal(got.part[1].partition, 5);
    assert_int_equal(got.part[0].end, 600);
    assert_true(got.part[1].end == RESUME_NO_END);
    resume_fini(&got);
    resume_fini(&re);
    snprintf(remove, sizeof remove, "rm -rf '%s'", dir);
    assert_int_equal(system(remove), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_read_back_and_only_for_its_lane),
        cmocka_unit_test(foreign_metadata_is_no_commit_of_ours),
        cmocka_unit_test(newest_epoch_of_the_lane_counts),
        cmocka_unit_test(commit_counts_unless_it_is_older_than_the_state),
        cmocka_unit_test(replay_keeps_its_ends_and_takes_no_partition_that_came_later),
        cmocka_unit_test(checkpoint_gives_back_what_was_saved),
    };
    return cmocka_run_group_tests_name("ingest/resume", tests, NULL, NULL);
}
