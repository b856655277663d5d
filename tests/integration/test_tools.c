/* record and generate as a person at a shell uses them; no broker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/integration/process.h"

typedef struct {
    char dir[64], file[100];
} fixture;

static int
start(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    snprintf(fx->dir, sizeof fx->dir, "/tmp/autoassign-tools-XXXXXX");
    if (!mkdtemp(fx->dir)) return -1;
    snprintf(fx->file, sizeof fx->file, "%s/stream.csv", fx->dir);
    *state = fx;
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    char     command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", fx->dir);
    int code = system(command);
    free(fx);
    return code;
}

/* Run to the end; the output is malloc'd. */
static char *
run(fixture *fx, int code, const char *const *argv)
{
    process pc;
    process_start(&pc, fx->dir, argv);
    int   got = process_wait(&pc);
    char *text = file_text(pc.out_path);
    if (got != code) fail_msg("%s exited with %d, not %d: %s", argv[0], got, code, text);
    return text;
}
#define RUN(fx, code, ...) run(fx, code, (const char *[]){__VA_ARGS__, NULL})

static void
write_file(fixture *fx, const char *text)
{
    FILE *out = fopen(fx->file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void
check_says(char *text, const char *what)
{
    if (!strstr(text, what)) fail_msg("\"%s\" is not in: %s", what, text);
    free(text);
}

static void
record_describes_a_file_as_json(void **state)
{
    fixture *fx = *state;
    write_file(fx, "user,item,label,timestamp\na,x,4,20\nb,x,2.5,10\na,y,5,30\n");
    char   *text = RUN(fx, 0, "record", "--describe", fx->file);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_integer_value(json_object_get(root, "events")), 3);
    assert_int_equal(json_integer_value(json_object_get(root, "users")), 2);
    assert_int_equal(json_integer_value(json_object_get(root, "items")), 2);
    assert_true(json_real_value(json_object_get(root, "label_min")) == 2.5);
    assert_true(json_real_value(json_object_get(root, "label_max")) == 5);
    assert_true(json_is_false(json_object_get(root, "binary")));
    assert_true(json_is_false(json_object_get(root, "sorted")));
    assert_int_equal(json_integer_value(json_object_get(root, "time_min_ms")), 10000);
    json_decref(root);
    free(text);
}

static void
record_says_file_and_line_of_what_is_wrong(void **state)
{
    fixture *fx = *state;
    write_file(fx, "a,x,1,10\nb,x,much,20\n");
    check_says(RUN(fx, 2, "record", "--describe", fx->file),
               "stream.csv:2: the label \"much\" is not a number");
    check_says(RUN(fx, 2, "record", "--describe", "/nowhere.csv"), "/nowhere.csv: No such file");
}

static void
record_refuses_wrong_usage_with_two(void **state)
{
    fixture *fx = *state;
    write_file(fx, "a,x,1,10\n");
    check_says(RUN(fx, 2, "record"), "a FILE is needed");
    check_says(RUN(fx, 2, "record", "--partitions", "none", fx->file), "--partitions");
    check_says(RUN(fx, 2, "record", "--time-unit", "h", fx->file), "--time-unit");
    check_says(RUN(fx, 2, "record", "-o", "kafka.lingre.ms=1", fx->file), "kafka.lingre.ms");
    check_says(RUN(fx, 2, "record", "-o", "topics.intractions=x", fx->file), "topics.intractions");
    check_says(RUN(fx, 0, "record", "--help"), "usage: record");
    free(RUN(fx, 0, "record", "--version"));
}

static void
generate_writes_the_same_csv_for_the_same_options(void **state)
{
    fixture *fx = *state;
    char    *first = RUN(fx, 0, "generate", "--events", "1000", "--seed", "5", "--flood", "100,50");
    char    *again = RUN(fx, 0, "generate", "--events", "1000", "--seed", "5", "--flood", "100,50");
    char    *other = RUN(fx, 0, "generate", "--events", "1000", "--seed", "6", "--flood", "100,50");
    size_t   lines = 0;
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    for (const char *at = first; *at; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 1001);
    assert_int_equal(strncmp(first, "user,item,label,timestamp\n", 26), 0);

    write_file(fx, first); /* and record reads it */
    check_says(RUN(fx, 0, "record", "--describe", fx->file), "\"events\": 1000");
    free(first);
    free(again);
    free(other);
}

static void
generate_refuses_wrong_usage_with_two(void **state)
{
    fixture *fx = *state;
    check_says(RUN(fx, 2, "generate", "--events", "-5"), "--events");
    check_says(RUN(fx, 2, "generate", "--zipf", "x"), "--zipf");
    check_says(RUN(fx, 2, "generate", "--flood", "100"), "--flood");
    check_says(RUN(fx, 2, "generate", "--positive-rate", "1.5"), "positive-rate");
    check_says(RUN(fx, 2, "generate", "stream.csv"), "unexpected argument stream.csv");
    check_says(RUN(fx, 0, "generate", "--help"), "usage: generate");
    free(RUN(fx, 0, "generate", "--version"));
}

static void
check_config_refuses_what_only_the_start_of_that_program_refuses(void **state)
{
    fixture *fx = *state;
    write_file(fx, "fields: {user: {}}\n"); /* good for the others */
    check_says(RUN(fx, 2, "scorer", "--check-config", "-c", fx->file),
               "fields: a scorer needs two");
    check_says(RUN(fx, 2, "scorer", "-c", fx->file), "fields: a scorer needs two");
    check_says(RUN(fx, 0, "learner", "--check-config", "-c", fx->file), "is good");
    check_says(RUN(fx, 2, "scorer", "--check-config", "-o", "scorer.peers=x=1:2"),
               "scorer.peers: ");
    check_says(RUN(fx, 2, "assigner", "--check-config", "-o", "fields.user.budget_bytes=3"),
               "fields.user.budget_bytes: less than one row");
    check_says(RUN(fx, 2, "assigner", "-o", "fields.user.budget_bytes=3"),
               "fields.user.budget_bytes: less than one row");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(check_config_refuses_what_only_the_start_of_that_program_refuses),
        TEST(record_describes_a_file_as_json),
        TEST(record_says_file_and_line_of_what_is_wrong),
        TEST(record_refuses_wrong_usage_with_two),
        TEST(generate_writes_the_same_csv_for_the_same_options),
        TEST(generate_refuses_wrong_usage_with_two),
    };
    return cmocka_run_group_tests_name("record, generate", tests, NULL, NULL);
}
