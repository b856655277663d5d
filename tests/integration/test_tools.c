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

/* The JSON behind what went to stderr. */
static json_t *
output_of(const char *text)
{
    const char *from = strstr(text, "\n{\n");
    json_t     *root = from ? json_loads(from, 0, NULL) : NULL;
    if (!root) fail_msg("no JSON: %s", text);
    return root;
}

static void
record_describes_a_file_as_json(void **state)
{
    fixture *fx = *state;
    write_file(fx, "user,item,label,timestamp\na,x,4,20\nb,x,2.5,10\na,y,5,30\n");
    char   *text = RUN(fx, 0, "record", "--describe", fx->file);
    json_t *root = output_of(text);
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
record_prints_the_columns_it_took(void **state)
{
    fixture *fx = *state;
    write_file(fx,
               "timestamp,item_id,user_id,label\n1500000000,\"i,1\",u1,1\n1500000001,i2,u2,0\n");
    char *text = RUN(fx, 0, "record", "--describe", "--sample", "2", fx->file);
    if (!strstr(text,
                "stream.csv: CSV with a header: user = column 3 \"user_id\", item = column 2 "
                "\"item_id\", label = column 4 \"label\", time = column 1 \"timestamp\" in s, "
                "from 2017-07-14 to 2017-07-14; 2 events\n"))
        fail_msg("%s", text);
    json_t       *root = output_of(text);
    const json_t *file = json_array_get(json_object_get(root, "files"), 0);
    const json_t *user = json_object_get(json_object_get(file, "columns"), "user");
    assert_int_equal(json_integer_value(json_object_get(user, "number")), 3);
    assert_string_equal(json_string_value(json_object_get(user, "name")), "user_id");
    assert_string_equal(json_string_value(json_object_get(file, "time_unit")), "s");
    assert_int_equal(json_integer_value(json_object_get(file, "skipped")), 0);
    const json_t *items = json_object_get(root, "sample_items");
    assert_int_equal(json_array_size(items), 2);
    assert_string_equal(json_string_value(json_array_get(items, 0)), "i,1");
    json_decref(root);
    free(text);
}

static void
record_reads_what_could_be_read_in_two_ways_as_its_options_say(void **state)
{
    fixture *fx = *state;
    write_file(fx, "user,item,click,rating,time,timestamp\n1.0,2,1,3.5,8,5\n1,2,x,4,9,6\n");
    check_says(RUN(fx, 2, "record", "--describe", fx->file), "--label COL decides");
    check_says(RUN(fx, 2, "record", "--describe", "--label", "rating", fx->file),
               "--time COL decides");
    check_says(RUN(fx, 2, "record", "--describe", "--label", "rating", "--time", "6", fx->file),
               "--ids text decides");
    check_says(RUN(fx, 0, "record", "--describe", "--label", "rating", "--time", "6", "--ids",
                   "numbers", fx->file),
               "\"users\": 1");
    check_says(RUN(fx, 0, "record", "--describe", "--label", "click", "--time", "6", "--ids",
                   "numbers", "--skip-bad", fx->file),
               "1 bad rows skipped, the first: ");
    check_says(RUN(fx, 2, "record", "--describe", "--header", "maybe", fx->file), "--header");
    check_says(RUN(fx, 2, "record", "--describe", "--ids", "maybe", fx->file), "--ids");
    check_says(RUN(fx, 2, "record", "--describe", "--quotes", "maybe", fx->file), "--quotes");
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
    write_file(fx, "fields: {user: {}}\nagent:\n  budget_bytes: 1000000\n");
    char *said = RUN(fx, 2, "assigner", "--check-config", "-c", fx->file);
    assert_non_null(strstr(said, fx->file));
    check_says(said, ":3: agent.budget_bytes: 1000000 is too little");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(check_config_refuses_what_only_the_start_of_that_program_refuses),
        TEST(record_describes_a_file_as_json),
        TEST(record_says_file_and_line_of_what_is_wrong),
        TEST(record_prints_the_columns_it_took),
        TEST(record_reads_what_could_be_read_in_two_ways_as_its_options_say),
        TEST(record_refuses_wrong_usage_with_two),
        TEST(generate_writes_the_same_csv_for_the_same_options),
        TEST(generate_refuses_wrong_usage_with_two),
    };
    return cmocka_run_group_tests_name("record, generate", tests, NULL, NULL);
}
