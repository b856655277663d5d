/* The program `inspect` on checkpoint files, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/state/checkpoint.h"
#include "tests/integration/process.h"

static char    folder[64];
static aa_conf cfg;
static char    path[600];

static int
setup(void **state)
{
    aa_ckpt_writer *w = NULL;
    (void)state;
    strcpy(folder, "/tmp/aa-inspect-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    aa_conf_defaults(&cfg);
    strcpy(cfg.checkpoint.dir, folder);
    strcpy(cfg.pipeline.name, "films");
    if (aa_ckpt_create(&w, &cfg, "learner", 3, NULL) ||
        aa_ckpt_section(w, "rows.0", "hello", 5, NULL) ||
        aa_ckpt_section(w, "dense", NULL, 0, NULL) ||
        aa_ckpt_about(w, "batch 7\nevents 448\n", NULL) || aa_ckpt_commit(&w, 0, NULL))
        return -1;
    return aa_ckpt_path(path, sizeof path, &cfg, "learner", 3, NULL) == AA_OK ? 0 : -1;
}

static int
teardown(void **state)
{
    char out[128];
    (void)state;
    snprintf(out, sizeof out, "%s/inspect.out", folder);
    unlink(out);
    unlink(path);
    for (int up = 0; up < 4; up++) { /* the file, then learner, lane and pipeline */
        *strrchr(path, '/') = '\0';
        rmdir(path);
    }
    return access(folder, F_OK) == 0 ? -1 : 0;
}

/* Run it, and read what it said. */
static int
inspect_with(const char *const *argv, char *said, size_t size)
{
    process pc;
    process_start(&pc, folder, argv);
    const int code = process_wait(&pc);
    FILE     *f = fopen(pc.out_path, "r");
    assert_non_null(f);
    said[fread(said, 1, size - 1, f)] = '\0';
    fclose(f);
    return code;
}

static int
inspect(const char *argument, char *said, size_t size)
{
    const char *const argv[] = {"inspect", argument, NULL};
    return inspect_with(argv, said, size);
}

static void
whole_file_is_listed(void **state)
{
    char said[8192];
    (void)state;
    assert_int_equal(inspect(path, said, sizeof said), 0);
    assert_non_null(strstr(said, "process        learner\n"));
    assert_non_null(strstr(said, "pipeline       films\n"));
    assert_non_null(strstr(said, "epoch          3\n"));
    assert_non_null(strstr(said, "sections       4\n"));
    assert_non_null(strstr(said, "rows.0"));
    assert_non_null(strstr(said, "state\n  batch 7\n  events 448\n"));
    assert_non_null(strstr(said, "verified       yes\n"));
}

static void
settings_are_listed_and_compared_with_a_configuration(void **state)
{
    char        said[8192];
    const char *argv[] = {"inspect", "-o", "model.dim=8", "-o", "agent.gamma=0.5", path, NULL};
    (void)state;
    assert_int_equal(inspect_with(argv, said, sizeof said), 0);
    assert_non_null(strstr(said, "settings\n  fields=user,item\n"));
    assert_non_null(strstr(said, "\n  model.dim=16\n"));
    assert_non_null(strstr(said, "\ndiffers        model.dim (16, now 8)\n"));
    assert_non_null(strstr(said, "\nmay differ     agent.gamma (0.9, now 0.5)\n"));
    argv[2] = "model.dum=8";
    assert_int_equal(inspect_with(argv, said, sizeof said), 2);
    assert_non_null(strstr(said, "model.dum"));
}

static void
damaged_and_missing_files_are_refused(void **state)
{
    char said[8192];
    (void)state;
    assert_int_equal(truncate(path, 500), 0);
    assert_int_equal(inspect(path, said, sizeof said), 1);
    assert_non_null(strstr(said, "truncated or damaged"));
    assert_int_equal(inspect("/nowhere", said, sizeof said), 1);
    assert_non_null(strstr(said, "/nowhere: No such file"));
}

static void
format_of_another_version_is_refused_by_its_number(void **state)
{
    static const uint8_t version[] = {0, AA_CKPT_FORMAT_VERSION + 1, 200};
    char                 said[4096], words[64];
    (void)state;
    for (size_t i = 0; i < sizeof version; i++) {
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        assert_int_equal(fseek(f, 8, SEEK_SET), 0); /* behind the magic number */
        assert_int_equal(fputc(version[i], f), version[i]);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(inspect(path, said, sizeof said), 1);
        snprintf(words, sizeof words, "format version %d, this build reads %d", version[i],
                 AA_CKPT_FORMAT_VERSION);
        assert_non_null(strstr(said, words));
        assert_non_null(strstr(said, path)); /* which file */
    }
}

static void
usage_is_shown_when_there_is_nothing_to_do(void **state)
{
    char said[8192];
    (void)state;
    assert_int_equal(inspect(NULL, said, sizeof said), 2);
    assert_non_null(strstr(said, "usage: inspect [-c FILE]"));
    assert_int_equal(inspect("--help", said, sizeof said), 0);
    assert_int_equal(inspect("--nonsense", said, sizeof said), 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_file_is_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_are_listed_and_compared_with_a_configuration,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_and_missing_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(format_of_another_version_is_refused_by_its_number, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(usage_is_shown_when_there_is_nothing_to_do, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
