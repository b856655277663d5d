#include "common/base/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/clock.h"

/* stderr goes to a file while the records are written, then comes back as text */
typedef struct {
    FILE *file;
    int   saved_fd;
    char *text;
} capture;

static void
capture_start(capture *cp)
{
    cp->file = tmpfile();
    assert_non_null(cp->file);
    fflush(stderr);
    cp->saved_fd = dup(STDERR_FILENO);
    assert_true(cp->saved_fd >= 0);
    assert_true(dup2(fileno(cp->file), STDERR_FILENO) >= 0);
}

static const char *
capture_stop(capture *cp)
{
    assert_true(dup2(cp->saved_fd, STDERR_FILENO) >= 0);
    close(cp->saved_fd);
    long len = (fseek(cp->file, 0, SEEK_END), ftell(cp->file));
    assert_true(len >= 0);
    rewind(cp->file);
    cp->text = calloc(1, (size_t)len + 1);
    assert_non_null(cp->text);
    assert_int_equal(fread(cp->text, 1, (size_t)len, cp->file), len);
    fclose(cp->file);
    return cp->text;
}

static size_t
count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void
record_is_one_logfmt_line(void **state)
{
    (void)state;
    capture cp;
    aa_log_init("assigner", AA_INFO, false);
    capture_start(&cp);
    aa_log_write(AA_WARN, "EVENT-PARSE", "part=3 off=991", "label \"%s\"\nmissing \\", "x");
    const char *text = capture_stop(&cp);
    assert_int_equal(strncmp(text, "ts_ms=", 6), 0);
    assert_non_null(strstr(text, " lvl=warn proc=assigner id=EVENT-PARSE part=3 off=991 "
                                 "msg=\"label \\\"x\\\"\\nmissing \\\\\"\n"));
    assert_int_equal(count_lines(text), 1);
    free(cp.text);
}

static int evaluated;
static int
evaluate(void)
{
    return ++evaluated;
}

static void
arguments_below_the_level_are_not_evaluated(void **state)
{
    (void)state;
    capture cp;
    aa_log_init("t", AA_WARN, false);
    capture_start(&cp);
    evaluated = 0;
    aa_info("T-INFO", "%d", evaluate());
    aa_debug("T-DEBUG", "%d", evaluate());
    assert_int_equal(evaluated, 0);
    aa_error("T-ERROR", "%d", evaluate());
    assert_int_equal(evaluated, 1);
    assert_int_equal(count_lines(capture_stop(&cp)), 1);
    assert_null(strstr(cp.text, "T-INFO"));
    assert_non_null(strstr(cp.text, "id=T-ERROR msg=\"1\""));
    free(cp.text);
}

static void
json_record_holds_the_same_values(void **state)
{
    (void)state;
    capture cp;
    aa_log_init("ingest", AA_DEBUG, true);
    capture_start(&cp);
    aa_log_write(AA_INFO, "STATS", "part=3 rate=-1.5e3 name=\"two words\" hex=0x12 zero=007 flag",
                 "bytes \xff \xc3\xa9 \x01 end");
    json_error_t je;
    json_t      *root = json_loads(capture_stop(&cp), 0, &je);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "lvl")), "info");
    assert_string_equal(json_string_value(json_object_get(root, "proc")), "ingest");
    assert_string_equal(json_string_value(json_object_get(root, "id")), "STATS");
    assert_int_equal(json_integer_value(json_object_get(root, "part")), 3);
    assert_true(json_real_value(json_object_get(root, "rate")) == -1500.0);
    assert_string_equal(json_string_value(json_object_get(root, "name")), "two words");
    assert_string_equal(json_string_value(json_object_get(root, "hex")), "0x12");
    assert_string_equal(json_string_value(json_object_get(root, "zero")), "007");
    assert_string_equal(json_string_value(json_object_get(root, "flag")), "");
    assert_string_equal(json_string_value(json_object_get(root, "msg")),
                        "bytes \xef\xbf\xbd \xc3\xa9 \x01 end");
    json_decref(root);
    free(cp.text);
}

static void
oversize_record_is_cut_and_stays_valid_json(void **state)
{
    (void)state;
    capture cp;
    char    big[9000];
    aa_log_init("t", AA_DEBUG, true);
    for (int with_quotes = 0; with_quotes < 2; with_quotes++) {
        memset(big, with_quotes ? '\x01' : 'x', sizeof big - 1);
        big[sizeof big - 1] = '\0';
        memcpy(big, "k=", 2);
        capture_start(&cp);
        aa_log_write(AA_INFO, "BIG", big, "%s", big);
        json_error_t je;
        json_t      *root = json_loads(capture_stop(&cp), 0, &je);
        assert_non_null(root);
        assert_true(strlen(cp.text) <= 4096);
        assert_true(strlen(json_string_value(json_object_get(root, "msg"))) > 100);
        json_decref(root);
        free(cp.text);
    }
}

static uint64_t
sum_suppressed(const char *text)
{
    uint64_t sum = 0;
    for (const char *p = text; (p = strstr(p, "suppressed=")); p++)
        sum += strtoull(p + strlen("suppressed="), NULL, 10);
    return sum;
}

static size_t
count_text(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

static void
repeats_are_counted_and_none_is_lost(void **state)
{
    (void)state;
    enum { records = 1000 };
    capture cp;
    aa_log_init("t", AA_INFO, false);
    capture_start(&cp);
    int64_t start_ms = aa_now_ms();
    for (int i = 0; i < records; i++)
        aa_warn("FLOOD", "again");
    aa_info("OTHER", "not held back by the flood");
    aa_error("FLOOD", "nor is a worse one of its id");
    aa_log_flush_repeats();
    size_t seconds = (size_t)(aa_now_ms() - start_ms) / 1000 + 2;
    aa_log_flush_repeats(); /* nothing left to say */
    const char *text = capture_stop(&cp);
    size_t      written = count_text(text, "msg=\"again\"");
    assert_in_range(written, 10, 10 * seconds);
    assert_int_equal(written + sum_suppressed(text), records);
    assert_int_equal(count_text(text, "id=OTHER"), 1);
    assert_int_equal(count_text(text, "nor is a worse one of its id"), 1);
    assert_non_null(strstr(text, "lvl=warn proc=t id=FLOOD suppressed="));
    free(cp.text);
}

static void
more_ids_than_the_table_holds_lose_nothing(void **state)
{
    (void)state;
    enum { ids = 200, each = 15 };
    capture cp;
    char    id[16];
    aa_log_init("t", AA_INFO, false);
    capture_start(&cp);
    for (int i = 0; i < ids; i++) {
        snprintf(id, sizeof id, "ID-%d", i);
        for (int k = 0; k < each; k++)
            aa_info(id, "again");
    }
    aa_log_flush_repeats();
    const char *text = capture_stop(&cp);
    assert_int_equal(count_text(text, "msg=\"again\"") + sum_suppressed(text), ids * each);
    free(cp.text);
}

static void *
write_many(void *arg)
{
    for (int i = 0; i < 500; i++)
        aa_info(arg, "a fairly long message, so that torn writes would show");
    return NULL;
}

static void
threads_write_whole_lines(void **state)
{
    (void)state;
    char      ids[4][8] = {"TA", "TB", "TC", "TA"};
    pthread_t th[4];
    capture   cp;
    aa_log_init("t", AA_INFO, false);
    capture_start(&cp);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&th[i], NULL, write_many, ids[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(th[i], NULL), 0);
    aa_log_flush_repeats();
    const char *text = capture_stop(&cp);
    assert_int_equal(count_text(text, "would show\"\n") + sum_suppressed(text), 2000);
    assert_int_equal(count_text(text, "ts_ms="), count_lines(text));
    free(cp.text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_is_one_logfmt_line),
        cmocka_unit_test(arguments_below_the_level_are_not_evaluated),
        cmocka_unit_test(json_record_holds_the_same_values),
        cmocka_unit_test(oversize_record_is_cut_and_stays_valid_json),
        cmocka_unit_test(repeats_are_counted_and_none_is_lost),
        cmocka_unit_test(more_ids_than_the_table_holds_lose_nothing),
        cmocka_unit_test(threads_write_whole_lines),
    };
    return cmocka_run_group_tests_name("common/base/log", tests, NULL, NULL);
}
