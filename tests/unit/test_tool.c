/* Each run of a tool is a child of its own: getopt's state and the log belong to a process. */
#include "common/service/tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HELP_AS(called)                                                                            \
    "fetch - a tool of this test\nusage: " called " THING...\n       " called " --dry THING\n"     \
    "         fetch is no name here, nor is\nfetch\n"
#define HELP HELP_AS("fetch")

static const char *called_as = "fetch"; /* argv[0] */

typedef struct {
    int  code;
    char out[4096], err[4096];
} outcome;

/* What the tool under test was told; it prints them. */
typedef struct {
    const char *from;
    int64_t     parts;
    bool        dry, ready;
    char        colour;
} options;

static bool
take_colour(void *arg, const char *value)
{
    options *opt = arg;
    opt->colour = value[0];
    return strcmp(value, "red") == 0 || strcmp(value, "blue") == 0;
}

static aa_status
prepare(void *arg, aa_tool_args args, bool *done, aa_err *err)
{
    options *opt = arg;
    opt->ready = true;
    *done = strcmp(args.text[0], "nothing") == 0;
    return strcmp(args.text[0], "early") == 0 ? aa_fail(err, AA_EIO, "too early") : AA_OK;
}

static aa_status
run(void *arg, const aa_conf *cfg, aa_tool_args args, aa_err *err)
{
    const options *opt = arg;
    const char    *last = args.text[args.count - 1];
    printf("from=%s parts=%d dry=%d ready=%d colour=%c pipeline=%s lane=%d",
           opt->from ? opt->from : "-", (int)opt->parts, opt->dry, opt->ready, opt->colour,
           cfg->pipeline.name, (int)cfg->pipeline.lane);
    for (size_t i = 0; i < args.count; i++)
        printf(" %s", args.text[i]);
    if (strcmp(last, "config") == 0) return aa_fail(err, AA_ECONFIG, "wrong");
    if (strcmp(last, "memory") == 0) return aa_fail(err, AA_ENOMEM, "too much");
    if (strcmp(last, "io") == 0) return aa_fail(err, AA_EIO, "broken");
    return strcmp(last, "told") == 0 ? AA_EIO : AA_OK;
}

static void
read_all(FILE *file, char *buf, size_t size)
{
    rewind(file);
    size_t n = fread(buf, 1, size - 1, file);
    buf[n] = '\0';
    fclose(file);
}

/* `change` makes the tool another one. */
static outcome
run_tool(void (*change)(aa_tool *), int argc, const char *const *args)
{
    options              opt = {.colour = '-'};
    const aa_tool_option own[] = {
        {.name = "from", .text = &opt.from},
        {.name = "parts", .refuse = "not from 1 to 8", .count = &opt.parts, .max = 8},
        {.name = "dry", .flag = &opt.dry},
        {.name = "colour", .refuse = "neither red nor blue", .take = take_colour}};
    aa_tool tool = {.name = "fetch",
                    .usage = HELP,
                    .options = own,
                    .option_count = sizeof own / sizeof *own,
                    .min_args = 1,
                    .max_args = 2,
                    .args_needed = "one or two THINGs are needed",
                    .run = run,
                    .arg = &opt};
    outcome oc = {0};
    char    name[64], *argv[16] = {name};
    int     status;
    FILE   *out = tmpfile(), *err = tmpfile();
    assert_true(out && err && argc < 15);
    snprintf(name, sizeof name, "%s", called_as);
    if (change) change(&tool);
    for (int i = 0; i < argc; i++)
        argv[i + 1] = strdup(args[i]);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        int code = aa_tool_main(&tool, argc + 1, argv);
        fflush(NULL);
        _exit(code);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    oc.code = WEXITSTATUS(status);
    read_all(out, oc.out, sizeof oc.out);
    read_all(err, oc.err, sizeof oc.err);
    for (int i = 0; i < argc; i++)
        free(argv[i + 1]);
    return oc;
}

static void
check(outcome oc, int code, const char *out, const char *err)
{
    if (oc.code != code) fail_msg("exit code %d, not %d: %s%s", oc.code, code, oc.out, oc.err);
    assert_string_equal(oc.out, out);
    assert_string_equal(oc.err, err);
}
#define COUNT(...) (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))
#define CHANGED(change, code, out, err, ...)                                                       \
    check(run_tool(change, COUNT(__VA_ARGS__), (const char *[]){__VA_ARGS__}), code, out, err)
#define CHECK(code, out, err, ...) CHANGED(NULL, code, out, err, __VA_ARGS__)
#define TRY                        "\ntry fetch --help\n"

static void
options_reach_the_tool_wherever_they_stand(void **state)
{
    (void)state;
    CHECK(0, "from=- parts=0 dry=0 ready=0 colour=- pipeline=autoassign lane=0 a", "", "a");
    CHECK(0, "from=x parts=8 dry=1 ready=0 colour=b pipeline=autoassign lane=0 a b", "", "a",
          "--from", "x", "--dry", "--parts=8", "b", "--colour", "blue");
}

static void
configuration_comes_from_a_file_and_each_o(void **state)
{
    (void)state;
    char  path[] = "/tmp/autoassign-test-tool-XXXXXX";
    int   fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert_non_null(file);
    assert_true(fputs("pipeline:\n  name: filed\n  lane: 3\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    CHECK(0, "from=- parts=0 dry=0 ready=0 colour=- pipeline=filed lane=3 a", "", "-c", path, "a");
    CHECK(0, "from=- parts=0 dry=0 ready=0 colour=- pipeline=given lane=7 a", "", "-o",
          "pipeline.lane=7", "a", "-c", path, "-o", "pipeline.name=given");
    assert_int_equal(unlink(path), 0);
}

static void
a_wrong_configuration_is_two_and_names_the_key(void **state)
{
    (void)state;
    const char *args[] = {"-o", "pipeline.nmae=x", "a"};
    outcome     oc = run_tool(NULL, 3, args);
    assert_int_equal(oc.code, 2);
    assert_string_equal(oc.out, "");
    assert_int_equal(strncmp(oc.err, "fetch: ", 7), 0);
    assert_non_null(strstr(oc.err, "pipeline.nmae"));
}

static void
a_configuration_file_that_cannot_be_read_is_a_configuration_error(void **state)
{
    (void)state;
    const char *args[] = {"-c", "/nowhere/at/all.yaml", "a"};
    outcome     oc = run_tool(NULL, 3, args);
    assert_int_equal(oc.code, 2);
    assert_non_null(strstr(oc.err, "/nowhere/at/all.yaml"));
}

static void
help_and_version_need_no_argument(void **state)
{
    (void)state;
    CHECK(0, HELP, "", "--help");
    CHECK(0, HELP, "", "-h", "a", "b", "c");
    CHECK(0, "fetch " AA_VERSION "\n", "", "--version");
    CHECK(0, "fetch " AA_VERSION "\n", "", "--dry", "-V");
    CHECK(0, HELP, "", "--version", "--help");
}

static void
an_installed_tool_says_the_name_it_has_on_the_path(void **state)
{
    (void)state;
    called_as = "/usr/local/bin/autoassign-fetch";
#define TRY_INSTALLED "try autoassign-fetch --help\n"
    CHECK(0, HELP_AS("autoassign-fetch"), "", "--help");
    CHECK(0, "autoassign-fetch " AA_VERSION "\n", "", "--version");
    CHECK(2, "", "autoassign-fetch: one or two THINGs are needed\n" TRY_INSTALLED, "--dry");
    CHECK(2, "", "autoassign-fetch: unrecognized option '--wet'\n" TRY_INSTALLED, "--wet");
    called_as = "fetch";
}

static void
too_few_and_too_many_arguments_are_usage_errors(void **state)
{
    (void)state;
    CHECK(2, "", "fetch: one or two THINGs are needed" TRY, "--dry");
    CHECK(2, "", "fetch: one or two THINGs are needed" TRY, "a", "b", "c");
}

static void
take_no_argument(aa_tool *tool)
{
    tool->min_args = tool->max_args = 0;
    tool->args_needed = NULL;
}

static void
an_argument_that_nobody_wants_is_named_even_beside_help(void **state)
{
    (void)state;
    CHANGED(take_no_argument, 2, "", "fetch: unexpected: a" TRY, "a", "b");
    CHANGED(take_no_argument, 2, "", "fetch: unexpected: a" TRY, "--help", "a");
    CHANGED(take_no_argument, 0, HELP, "", "--help");
}

static void
unknown_options_are_usage_errors(void **state)
{
    (void)state;
    CHECK(2, "", "fetch: unrecognized option '--wet'" TRY, "--wet", "a");
    CHECK(2, "", "fetch: invalid option -- 'x'" TRY, "-x", "a");
    CHECK(2, "", "fetch: option '--from' requires an argument" TRY, "a", "--from");
    CHECK(2, "", "fetch: option requires an argument -- 'o'" TRY, "a", "-o");
    CHECK(2, "", "fetch: option '--dry' doesn't allow an argument" TRY, "--dry=1", "a");
}

static void
a_refused_value_is_said_with_the_option_before_help_is(void **state)
{
    (void)state;
    CHECK(2, "", "fetch: --parts: not from 1 to 8: 9" TRY, "--parts", "9", "--help");
    CHECK(2, "", "fetch: --parts: not from 1 to 8: " TRY, "--parts", "", "a");
    CHECK(2, "", "fetch: --colour: neither red nor blue: green" TRY, "--colour", "green", "a");
}

static void
the_exit_code_says_what_kind_of_failure_it_was(void **state)
{
    (void)state;
#define SEEN "from=- parts=0 dry=0 ready=0 colour=- pipeline=autoassign lane=0 "
    CHECK(1, SEEN "io", "fetch: broken\n", "io");
    CHECK(2, SEEN "config", "fetch: wrong\n", "config");
    CHECK(3, SEEN "memory", "fetch: out of memory: too much\n", "memory");
    CHECK(1, SEEN "told", "", "told"); /* the tool said it itself */
}

static void
every_status_has_its_exit_code(void **state)
{
    (void)state;
    assert_int_equal(aa_status_exit_code(AA_OK), 0);
    assert_int_equal(aa_status_exit_code(AA_EAGAIN), 1);
    assert_int_equal(aa_status_exit_code(AA_EPARSE), 1);
    assert_int_equal(aa_status_exit_code(AA_EIO), 1);
    assert_int_equal(aa_status_exit_code(AA_ECONFIG), 2);
    assert_int_equal(aa_status_exit_code(AA_ENOMEM), 3);
}

static void
prepare_first(aa_tool *tool)
{
    tool->prepare = prepare;
}

static void
what_comes_before_the_configuration_may_be_all_or_fail(void **state)
{
    (void)state;
    CHANGED(prepare_first, 0, "from=- parts=0 dry=0 ready=1 colour=- pipeline=autoassign lane=0 a",
            "", "a");
    CHANGED(prepare_first, 0, "", "", "nothing", "-o", "no.such=key");
    CHANGED(prepare_first, 1, "", "fetch: too early\n", "early", "-o", "no.such=key");
}

static void
counts_are_whole_numbers_from_one_to_the_maximum(void **state)
{
    (void)state;
    const char *const wrong[] = {"", "0", "-1", "6", "2x", "x", "1.5", "99999999999999999999"};
    int64_t           n = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (aa_tool_take_count(wrong[i], 5, &n)) fail_msg("\"%s\" is taken", wrong[i]);
    assert_true(aa_tool_take_count("1", 5, &n) && n == 1);
    assert_true(aa_tool_take_count("5", 5, &n) && n == 5);
    assert_true(aa_tool_take_count("9223372036854775807", INT64_MAX, &n) && n == INT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_reach_the_tool_wherever_they_stand),
        cmocka_unit_test(configuration_comes_from_a_file_and_each_o),
        cmocka_unit_test(a_wrong_configuration_is_two_and_names_the_key),
        cmocka_unit_test(a_configuration_file_that_cannot_be_read_is_a_configuration_error),
        cmocka_unit_test(help_and_version_need_no_argument),
        cmocka_unit_test(an_installed_tool_says_the_name_it_has_on_the_path),
        cmocka_unit_test(too_few_and_too_many_arguments_are_usage_errors),
        cmocka_unit_test(an_argument_that_nobody_wants_is_named_even_beside_help),
        cmocka_unit_test(unknown_options_are_usage_errors),
        cmocka_unit_test(a_refused_value_is_said_with_the_option_before_help_is),
        cmocka_unit_test(the_exit_code_says_what_kind_of_failure_it_was),
        cmocka_unit_test(every_status_has_its_exit_code),
        cmocka_unit_test(what_comes_before_the_configuration_may_be_all_or_fail),
        cmocka_unit_test(counts_are_whole_numbers_from_one_to_the_maximum),
    };
    return cmocka_run_group_tests_name("tool", tests, NULL, NULL);
}
