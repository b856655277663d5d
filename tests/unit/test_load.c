#include "tools/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "tests/check.h"

typedef struct {
    char   dir[64], path[100];
    load  *ld;
    aa_err err;
} fixture;

static int
start(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    snprintf(fx->dir, sizeof fx->dir, "/tmp/autoassign-load-XXXXXX");
    if (!mkdtemp(fx->dir)) return -1;
    snprintf(fx->path, sizeof fx->path, "%s/file", fx->dir);
    *state = fx;
    return load_new(&fx->ld, &fx->err) == AA_OK ? 0 : -1;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    load_free(&fx->ld);
    unlink(fx->path);
    rmdir(fx->dir);
    free(fx);
    return 0;
}

static aa_status
load_bytes(fixture *fx, const void *data, size_t len)
{
    FILE *out = fopen(fx->path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
    return load_file(fx->ld, fx->path, NULL, NULL, &fx->err);
}

static aa_status
load_string(fixture *fx, const char *text)
{
    return load_bytes(fx, text, strlen(text));
}

/* Into a loader of its own. */
static aa_status
load_with(fixture *fx, const char *text, const load_options *opt, load_taken *out)
{
    load_free(&fx->ld);
    assert_int_equal(load_new(&fx->ld, &fx->err), AA_OK);
    FILE *file = fopen(fx->path, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return load_file(fx->ld, fx->path, opt, out, &fx->err);
}

static void
check_row(fixture *fx, size_t i, const char *user, const char *item, double label, int64_t time_ms)
{
    size_t          count, ul, il;
    const load_row *row = load_rows(fx->ld, &count);
    assert_true(i < count);
    const char *u = load_user(fx->ld, row[i].user, &ul), *t = load_item(fx->ld, row[i].item, &il);
    assert_int_equal(ul, strlen(user));
    assert_memory_equal(u, user, ul);
    assert_int_equal(il, strlen(item));
    assert_memory_equal(t, item, il);
    check_close(row[i].label, label, 0, 0, i);
    assert_int_equal(row[i].time_ms, time_ms);
}

static void
check_count(fixture *fx, size_t want)
{
    size_t count;
    load_rows(fx->ld, &count);
    assert_int_equal(count, want);
}

static void
check_said(const fixture *fx, size_t line, const char *what)
{
    char place[120];
    snprintf(place, sizeof place, "%s:%zu: ", fx->path, line);
    if (strncmp(fx->err.text, place, strlen(place)) != 0 || !strstr(fx->err.text, what))
        fail_msg("\"%s\" is not %s...%s", fx->err.text, place, what);
}

static void
check_wrong(fixture *fx, const char *text, size_t line, const char *what)
{
    assert_int_equal(load_string(fx, text), AA_EPARSE);
    check_said(fx, line, what);
}

/* What an option has to decide; skipping bad rows does not help. */
static void
check_undecided(fixture *fx, const char *text, size_t line, const char *what)
{
    const load_options skip = {.skip_bad = true};
    if (load_with(fx, text, &skip, NULL) != AA_ECONFIG)
        fail_msg("not refused for \"%s\": %s", what, text);
    check_said(fx, line, what);
}

/* One row: u, i, label 2, at 5 s. */
static void
check_reads(fixture *fx, const char *text, const load_options *opt)
{
    if (load_with(fx, text, opt, NULL) != AA_OK) fail_msg("%s: %s", text, fx->err.text);
    check_count(fx, 1);
    check_row(fx, 0, "u", "i", 2, 5000);
}

static void
csv_with_a_header(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "user,item,label,timestamp\n1,a,0.5,100\n2,b,1,200.25\n"),
                     AA_OK);
    check_count(fx, 2);
    check_row(fx, 0, "1", "a", 0.5, 100000);
    check_row(fx, 1, "2", "b", 1, 200250);
}

static void
csv_without_a_header_and_without_a_last_newline(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "u 1,i 1,4,-757382400\r\n\r\nu2,i2,1e-3,0,"), AA_OK);
    check_count(fx, 2);
    check_row(fx, 0, "u 1", "i 1", 4, -757382400000);
    check_row(fx, 1, "u2", "i2", 0.001, 0);
}

static void
movielens_ratings_csv(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n"),
                     AA_OK);
    check_count(fx, 1);
    check_row(fx, 0, "1", "31", 2.5, 1260759144000);
}

static void
movielens_ratings_dat(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "1::1193::5::978300760\n1::661::3::978302109\n"), AA_OK);
    check_count(fx, 2);
    check_row(fx, 1, "1", "661", 3, 978302109000);
}

static void
movielens_u_data(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "196\t242\t3\t881250949\n186\t302\t3\t891717742\n"), AA_OK);
    check_count(fx, 2);
    check_row(fx, 0, "196", "242", 3, 881250949000);
}

static void
header_names_may_be_in_any_order_with_other_columns(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "\xef\xbb\xbftimestamp_ms,x,Item_ID,\"rating\",uid\n"
                                     "1234,?,i,1,u\n"),
                     AA_OK);
    check_count(fx, 1);
    check_row(fx, 0, "u", "i", 1, 1234);
}

static void
quotes_may_hold_commas_and_quotes(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_string(fx, "\"a,b\",\"say \"\"hi\"\"\",1,5\n\"\"\"\",x,0,6\n"), AA_OK);
    check_row(fx, 0, "a,b", "say \"hi\"", 1, 5000);
    check_row(fx, 1, "\"", "x", 0, 6000);
}

static void
gzip_is_read_and_a_cut_off_one_is_refused(void **state)
{
    fixture *fx = *state;
    char     bytes[4096];
    gzFile   gz = gzopen(fx->path, "wb");
    for (int i = 0; i < 5000; i++)
        gzprintf(gz, "%d,%d,%d,%d\n", i * 7919 % 1000, i % 77, i % 2, i);
    assert_int_equal(gzclose(gz), Z_OK);
    assert_int_equal(load_file(fx->ld, fx->path, NULL, NULL, &fx->err), AA_OK);
    check_count(fx, 5000);
    check_row(fx, 4999, "81", "71", 1, 4999000);
    FILE  *in = fopen(fx->path, "rb");
    size_t len = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    assert_true(len > 1000);
    aa_status st = load_bytes(fx, bytes, len - 100);
    assert_true(st == AA_EPARSE || st == AA_EIO);
    assert_non_null(strstr(fx->err.text, fx->path));
}

static void
what_is_wrong_is_said_with_file_and_line(void **state)
{
    fixture *fx = *state;
    check_wrong(fx, "a,b,1,2\nc,d,x,3\n", 2, "label \"x\"");
    check_wrong(fx, "a,b,1,2\nc,d,nan,3\n", 2, "label");
    check_wrong(fx, "a,b,1,2\nc,d,1,later\n", 2, "timestamp \"later\"");
    check_wrong(fx, "a,b,1,2\nc,d,1,1e30\n", 2, "out of range");
    check_wrong(fx, "a,b,1,2\n,d,1,2\n", 2, "user is empty");
    check_wrong(fx, "a,b,1,2\nc,,1,2\n", 2, "item is empty");
    check_wrong(fx, "a,b,1,2\nc,d,1\n", 2, "3 columns, the first line has 4");
    check_wrong(fx, "a,b,1,2\nc,d,1,2,3\n", 2, "5 columns, the first line has 4");
    check_undecided(fx, "a,b\n", 1, "2 columns");
    check_undecided(fx, "user,item,stars,timestamp\n", 1, "no column \"label\"");
    check_wrong(fx, "a,b,1,2\n\"c,d,1,2\n", 2, "quote is not closed");
    check_wrong(fx, "a,b,1,2\n\"c\"x,d,1,2\n", 2, "follows a closing quote");
    check_wrong(fx, "196\t242\t3\t881250949\n186\t302\n", 2, "2 columns");
    check_wrong(fx, "\xff\xfeu", 1, "UTF-16");
    check_wrong(fx, "user,item,label,timestamp\ra,b,1,2\rc,d,0,3\r", 1, "CR alone");
    check_undecided(fx, "{\n \"user\": \"a\",\n \"item\": \"b\"\n}\n", 1, "over several lines");
    assert_int_equal(load_bytes(fx, "a,b,1,2\n\0\0,b,1,2\n", 18), AA_EPARSE);
    assert_non_null(strstr(fx->err.text, ":2: a NUL byte"));
}

static void
missing_file_is_an_io_error(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_file(fx->ld, "/nowhere/at/all.csv", NULL, NULL, &fx->err), AA_EIO);
    assert_non_null(strstr(fx->err.text, "/nowhere/at/all.csv: No such file"));
    assert_int_equal(load_file(fx->ld, "/tmp", NULL, NULL, &fx->err), AA_EIO);
}

static void
line_without_an_end_is_refused_not_kept(void **state)
{
    fixture *fx = *state;
    size_t   len = 1 << 19;
    char    *big = malloc(len);
    assert_non_null(big);
    memset(big, 'x', len);
    memcpy(big, "a,b,1,2\n", 8);
    assert_int_equal(load_bytes(fx, big, len), AA_EPARSE);
    assert_non_null(strstr(fx->err.text, ":2: the line is too long"));
    free(big);
}

static void
empty_file_has_no_events(void **state)
{
    fixture   *fx = *state;
    load_facts facts;
    assert_int_equal(load_string(fx, ""), AA_OK);
    assert_int_equal(load_string(fx, "user,item,label,timestamp\n"), AA_OK);
    load_describe(fx->ld, &facts);
    assert_int_equal(facts.events, 0);
    assert_true(facts.sorted);
    assert_int_equal(load_sort(fx->ld, &fx->err), AA_OK);
}

static void
description_counts_what_is_there(void **state)
{
    fixture   *fx = *state;
    load_facts facts;
    assert_int_equal(load_string(fx, "a,x,0,5\nb,x,1,5\na,y,1,9\n"), AA_OK);
    load_describe(fx->ld, &facts);
    assert_int_equal(facts.events, 3);
    assert_int_equal(facts.users, 2);
    assert_int_equal(facts.items, 2);
    assert_true(facts.binary && facts.sorted);
    assert_int_equal(facts.time_min_ms, 5000);
    assert_int_equal(facts.time_max_ms, 9000);
    assert_int_equal(load_string(fx, "c,x,3.5,4\nd,x,-2,10\n"), AA_OK); /* appended */
    load_describe(fx->ld, &facts);
    assert_int_equal(facts.events, 5);
    assert_int_equal(facts.users, 4);
    check_close(facts.label_min, -2, 0, 0, 0);
    check_close(facts.label_max, 3.5, 0, 0, 0);
    assert_false(facts.binary);
    assert_false(facts.sorted);
}

static void
sort_is_by_time_and_stable(void **state)
{
    fixture *fx = *state;
    uint64_t seed = (uint64_t)time(NULL) | 1, s = seed;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t n = 1; n < 300; n += 13) {
        FILE *out = fopen(fx->path, "w");
        for (size_t i = 0; i < n; i++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            fprintf(out, "u%zu,i,%zu,%d\n", i, i, (int)(s >> 60));
        }
        fclose(out);
        load_free(&fx->ld);
        assert_int_equal(load_new(&fx->ld, &fx->err), AA_OK);
        assert_int_equal(load_file(fx->ld, fx->path, NULL, NULL, &fx->err), AA_OK);
        assert_int_equal(load_sort(fx->ld, &fx->err), AA_OK);
        size_t          count;
        const load_row *row = load_rows(fx->ld, &count);
        assert_int_equal(count, n);
        for (size_t i = 1; i < n; i++) {
            assert_true(row[i].time_ms >= row[i - 1].time_ms);
            if (row[i].time_ms == row[i - 1].time_ms) assert_true(row[i].label > row[i - 1].label);
        }
    }
}

static void
many_ids_are_kept_apart(void **state)
{
    fixture   *fx = *state;
    load_facts facts;
    FILE      *out = fopen(fx->path, "w");
    for (int i = 0; i < 100000; i++)
        fprintf(out, "user-%d,%d,1,%d\n", i % 30000, i % 7, i);
    fclose(out);
    assert_int_equal(load_file(fx->ld, fx->path, NULL, NULL, &fx->err), AA_OK);
    load_describe(fx->ld, &facts);
    assert_int_equal(facts.users, 30000);
    assert_int_equal(facts.items, 7);
    check_row(fx, 99999, "user-9999", "4", 1, 99999000);
}

static void
random_bytes_are_survived(void **state)
{
    fixture *fx = *state;
    uint64_t seed = (uint64_t)time(NULL) | 1, s = seed;
    char     bytes[400];
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 500; round++) {
        size_t len;
        s = s * 6364136223846793005u + 1442695040888963407u;
        len = (size_t)(s >> 40) % sizeof bytes;
        for (size_t i = 0; i < len; i++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = "a,1\n\":\t\r.-"[(s >> 50) % 10];
            if (round % 4 == 0) bytes[i] = (char)(s >> 50);
        }
        aa_status st = load_bytes(fx, bytes, len);
        assert_true(st == AA_OK || st == AA_EPARSE || st == AA_ECONFIG || st == AA_EIO);
        if (st != AA_OK) assert_non_null(strstr(fx->err.text, fx->path));
    }
}

static void
units_are_told_from_the_size_of_timestamps(void **state)
{
    fixture          *fx = *state;
    const char *const files[] = {
        "a,b,1,1588687728\na,b,1,99\n", "user,item,rating,timestamp\na,b,1,1588687728923\n",
        "a,b,1,1588687728923456\n", "a,b,1,1588687728923456789\n", "a,b,1,-751075200000\n"};
    const int64_t want_ms[] = {1588687728000, 1588687728923, 1588687728923, 1588687728923,
                               -751075200000};
    for (size_t i = 0; i < 5; i++) {
        load_free(&fx->ld);
        assert_int_equal(load_new(&fx->ld, &fx->err), AA_OK);
        if (load_string(fx, files[i]) != AA_OK) fail_msg("%s", fx->err.text);
        size_t          count;
        const load_row *row = load_rows(fx->ld, &count);
        assert_int_equal(row[0].time_ms, want_ms[i]);
    }
}

static void
timestamps_that_look_like_two_units_are_refused_unless_one_is_said(void **state)
{
    fixture *fx = *state;
    check_undecided(fx, "a,b,1,1588687728923\na,b,1,1588687728\n", 2, "--time-unit");
    check_undecided(fx, "a,b,1,1588687728\na,b,1,1588687728923\n", 2, "--time-unit");
    check_wrong(fx, "user,item,label,timestamp_ms\na,b,1,1588687728923456\n", 2, "out of range");
    assert_int_equal(load_string(fx, "a,b,1,1588687728923\n"), AA_OK);
    assert_int_equal(
        load_file(fx->ld, fx->path, &(load_options){.unit = LOAD_UNIT_S}, NULL, &fx->err),
        AA_EPARSE);
    assert_int_equal(
        load_file(fx->ld, fx->path, &(load_options){.unit = LOAD_UNIT_MS}, NULL, &fx->err), AA_OK);
    assert_int_equal(load_string(fx, "user,item,label,timestamp_ms\na,b,1,5\n"), AA_OK);
}

static void
columns_that_were_taken_are_told(void **state)
{
    fixture   *fx = *state;
    load_taken got;
    assert_int_equal(load_with(fx,
                               "timestamp,item_id,user_id,label\n1500000000,i,u,1\n"
                               "1500000009,j,v,0\n",
                               NULL, &got),
                     AA_OK);
    assert_string_equal(got.form, "CSV");
    assert_true(got.header);
    assert_int_equal(got.column[LOAD_USER].number, 3);
    assert_string_equal(got.column[LOAD_USER].name, "user_id");
    assert_int_equal(got.column[LOAD_TIME].number, 1);
    assert_int_equal(got.unit, LOAD_UNIT_S);
    assert_int_equal(got.rows, 2);
    assert_int_equal(got.skipped, 0);
    assert_int_equal(got.time_min_ms, 1500000000000);
    assert_int_equal(got.time_max_ms, 1500000009000);
    assert_int_equal(load_with(fx, "u\ti\t1\t5\n", NULL, &got), AA_OK);
    assert_false(got.header);
    assert_string_equal(got.column[LOAD_USER].name, "");
    assert_int_equal(got.column[LOAD_TIME].number, 4);
}

static void
what_could_be_read_in_two_ways_is_refused_with_the_option_that_decides(void **state)
{
    fixture *fx = *state;
    check_undecided(fx, "0,303,103,4,881250949\n1,303,104,2,881250950\n", 1, "--user");
    check_undecided(fx, "0,1,2,3\n196,242,3,881250949\n", 1, "--header");
    check_undecided(fx, ",0,1,2,3\n0,196,242,3,881250949\n", 1, "--header");
    check_undecided(fx, "0,9,4,50\n1,9,3,51\n2,8,4,52\n", 3, "--user");
    check_undecided(fx, "1\t9\t4\t50\n2\t9\t3\t51\n3\t8\t4\t52\n", 3, "--user");
    check_undecided(fx, "user,item,label,time,timestamp\n", 1, "4 \"time\" and 5 \"timestamp\"");
    check_undecided(fx, "user,item,label,time,timestamp\n", 1, "--time COL");
    check_undecided(fx, "user,user_id,item,label,ts\n", 1, "--user COL");
    check_undecided(fx, "user,item,click,rating,ts\n", 1, "--label COL");
    check_undecided(fx, "user,item,rating,rating,ts\n", 1, "--label COL");
    check_undecided(fx, "u,i,1588687728,4\n", 1, "--time");
    check_undecided(fx, "1.0,i,1,5\n1,i,1,6\n", 2, "--ids");
    check_undecided(fx, "u,7,1,5\nu,-3.00,1,6\n", 2, "--ids");
    check_undecided(fx, "{\"user\":1,\"uid\":2,\"item\":3,\"label\":1,\"ts\":5}\n", 1,
                    "--user NAME");
    check_undecided(fx, "[{\"user\":1}]\n", 1, "an object on each line");
}

static void
an_option_decides_what_could_be_read_in_two_ways(void **state)
{
    fixture *fx = *state;
#define WITH(...)        &(load_options){__VA_ARGS__}
#define FOUR(u, i, l, t) .column = {u, i, l, t}
    check_reads(fx, "0,u,i,2,5\n", WITH(FOUR("2", "3", "4", "5")));
    check_reads(fx, "0,1,2,3\nu,i,2,5\n", WITH(.header = LOAD_HEADER_YES));
    check_reads(fx, ",0,1,2,3\n0,u,i,2,5\n",
                WITH(FOUR("2", "3", "4", "5"), .header = LOAD_HEADER_YES));
    check_reads(fx, "user,item,label,time,timestamp\nu,i,2,8,5\n",
                WITH(FOUR(0, 0, 0, "timestamp")));
    check_reads(fx, "user,item,label,time,timestamp\nu,i,2,8,5\n", WITH(FOUR(0, 0, 0, "5")));
    check_reads(fx, "who,what,much,when\nu,i,2,5\n", WITH(FOUR("who", "WHAT", "3", "when")));
    check_reads(fx, "{\"a\":\"u\",\"b\":\"i\",\"c\":2,\"d\":5}\n", WITH(FOUR("a", "b", "c", "d")));
    assert_int_equal(load_with(fx, "0,1,2,3\n", WITH(.header = LOAD_HEADER_NO), NULL), AA_OK);
    check_row(fx, 0, "0", "1", 2, 3000);
    assert_int_equal(
        load_with(fx, "1,9,4,50\n2,9,3,51\n3,8,4,52\n", WITH(FOUR("1", 0, 0, 0)), NULL), AA_OK);
    check_count(fx, 3);
    assert_int_equal(load_with(fx, "1.0,i,1,5\n1,i,1,6\n", WITH(.ids = LOAD_IDS_TEXT), NULL),
                     AA_OK);
    check_row(fx, 0, "1.0", "i", 1, 5000);
    assert_int_equal(
        load_with(fx, "1.0,i,1,5\n1,i,1,6\n10,i,1,6\n", WITH(.ids = LOAD_IDS_NUMBERS), NULL),
        AA_OK);
    check_row(fx, 0, "1", "i", 1, 5000);
    check_row(fx, 2, "10", "i", 1, 6000);
    assert_int_equal(load_with(fx, "u,i,2,5\n", WITH(FOUR("2", 0, 0, 0)), NULL), AA_ECONFIG);
    check_said(fx, 1, "column 2 would be both user and item");
    assert_int_equal(load_with(fx, "u,i,2,5\n", WITH(FOUR("name", 0, 0, 0)), NULL), AA_ECONFIG);
    check_said(fx, 1, "--user name");
    assert_int_equal(load_with(fx, "user,item,label,ts\n", WITH(FOUR(0, "9", 0, 0)), NULL),
                     AA_ECONFIG);
    check_said(fx, 1, "--item 9");
}

static void
users_that_count_beyond_their_rows_are_no_index(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_with(fx, "1,9,4,50\n2,9,3,51\n2,8,4,52\n", NULL, NULL), AA_OK);
    assert_int_equal(load_with(fx, "1,9,4,50\n2,9,3,51\n", NULL, NULL), AA_OK);
    assert_int_equal(
        load_with(fx, "user,item,label,ts\n1,9,4,50\n2,9,3,51\n3,8,4,52\n", NULL, NULL), AA_OK);
}

static void
forms_that_are_common_are_read(void **state)
{
    fixture *fx = *state;
    check_reads(fx, "user_id,item_id,rating,timestamp,note: a::b\nu,i,2,5,c::d\n", NULL);
    check_reads(fx, "a::u,item,rating,timestamp\nu,i,2,5\n", WITH(FOUR("1", 0, 0, 0)));
    check_reads(fx, "user;item;label;timestamp;a,b\nu;i;2;5;c,d,e,f\n", NULL);
    check_reads(fx, "u;i;2;5\n", NULL);
    check_reads(fx, "u|i|2|5\n", NULL);
    check_reads(fx, "user::item::rating::timestamp\nu::i::2::5\n", NULL);
    check_reads(fx, "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ti\t2.0\t5\n",
                NULL);
    check_reads(fx, "sep=;\r\nuserId;movieId;rating;timestamp\r\nu;i;2;5\r\n", NULL);
    check_reads(fx, "\n\"sep=,\"\nuserId,movieId,rating,timestamp\nu,i,2,5\n", NULL);
    check_reads(fx, "# exported\n#\n\nuserId,movieId,rating,timestamp\nu,i,2,5\n", NULL);
    check_reads(fx, "# timestamp,item,user,label\n5,i,u,2\n", NULL);
    check_reads(fx, ",user_id,item_id,label,timestamp\n0,u,i,2,5\n", NULL);
    check_reads(
        fx,
        "{\"n\":1e999,\"user_id\":\"u\",\"o\":{\"user\":1},\"itemId\":\"i\",\"rating\":\"2\","
        "\"timestamp_ms\":5000}\n\n",
        NULL);
    assert_int_equal(load_with(fx, "#tag,i,1,5\n{7-a},i,1,5\n2001:db8::1,i,1,5\n", NULL, NULL),
                     AA_OK);
    check_row(fx, 0, "#tag", "i", 1, 5000);
    check_row(fx, 1, "{7-a}", "i", 1, 5000);
    check_row(fx, 2, "2001:db8::1", "i", 1, 5000);
    assert_int_equal(
        load_with(fx, "{\"user\":7,\"item\":12345678901234567890123,\"click\":true,\"ts\":5}", NULL,
                  NULL),
        AA_OK);
    check_row(fx, 0, "7", "12345678901234567890123", 1, 5000);
}

static void
blanks_around_values_belong_to_none(void **state)
{
    fixture *fx = *state;
    check_reads(fx, " user , item,label , timestamp\n u, i ,2 , 5 \n", NULL);
    check_reads(fx, "u , \"i\" , 2, 5\n", NULL);
    check_reads(fx, "u \t i\t 2 \t5 \n", NULL);
    check_reads(fx, "u :: i::2 :: 5\n", NULL);
    assert_int_equal(load_with(fx, "\" u\",i 1,2,5\n", NULL, NULL), AA_OK);
    check_row(fx, 0, " u", "i 1", 2, 5000);
    check_wrong(fx, "u, ,2,5\n", 1, "item is empty");
}

static void
quoted_cells_of_csv_may_hold_line_breaks(void **state)
{
    fixture *fx = *state;
    check_reads(fx, "user,item,\"no\nte\",timestamp,label\nu,i,0,5,2\n", NULL);
    assert_int_equal(
        load_with(fx,
                  "user,item,label,timestamp,text\nu,i,2,5,\"good\r\n\"\"but\"\"\n\nlong\"\n"
                  "v,\"a\nb\",1,6,x\nw,i,bad,7,\"\n\"\n",
                  WITH(.skip_bad = true), NULL),
        AA_OK);
    check_count(fx, 2);
    check_row(fx, 0, "u", "i", 2, 5000);
    check_row(fx, 1, "v", "a\nb", 1, 6000);
    check_wrong(fx, "u,i,1,5\n\"v\nw\",i,1,5\nx,i,bad,5\n", 4, "label \"bad\"");
}

static void
quotes_between_tabs_are_taken_off_if_they_are_the_whole_cell(void **state)
{
    fixture *fx = *state;
    assert_int_equal(load_with(fx,
                               "u\t\"Low\"\t1\t5\nu\tHeroes\t1\t5\nu\t\"a\" or b\t1\t5\n"
                               "u\t\"\t1\t5\nu\t5\" disk\t1\t5\nu\t\"say \"\"hi\"\"\"\t1\t5\n",
                               NULL, NULL),
                     AA_OK);
    check_row(fx, 0, "u", "Low", 1, 5000);
    check_row(fx, 1, "u", "Heroes", 1, 5000);
    check_row(fx, 2, "u", "\"a\" or b", 1, 5000);
    check_row(fx, 3, "u", "\"", 1, 5000);
    check_row(fx, 4, "u", "5\" disk", 1, 5000);
    check_row(fx, 5, "u", "say \"hi\"", 1, 5000);
}

static void
an_id_between_tabs_with_and_without_quotes_is_refused_unless_told(void **state)
{
    fixture    *fx = *state;
    const char *heroes = "u1\t\"Heroes\"\t5\t9\nu2\tHeroes\t4\t9\n";
    check_undecided(fx, heroes, 2, "--quotes yes");
    check_undecided(fx, "u\ti\t5\t9\n\"v\"\ti\t5\t9\n\"u\"\ti\t5\t9\n", 3, "--quotes yes");
    assert_int_equal(load_with(fx, heroes, WITH(.quotes = LOAD_QUOTES_YES), NULL), AA_OK);
    check_row(fx, 0, "u1", "Heroes", 5, 9000);
    assert_int_equal(load_with(fx, heroes, WITH(.quotes = LOAD_QUOTES_NO), NULL), AA_OK);
    check_row(fx, 0, "u1", "\"Heroes\"", 5, 9000);
    check_row(fx, 1, "u2", "Heroes", 4, 9000);
    assert_int_equal(load_with(fx, "\"u\ti\t5\t9\n", WITH(.quotes = LOAD_QUOTES_NO), NULL), AA_OK);
    assert_int_equal(load_with(fx, "\"u,\"i\",5,9\n", WITH(.quotes = LOAD_QUOTES_NO), NULL), AA_OK);
    check_row(fx, 0, "\"u", "\"i\"", 5, 9000);
    assert_int_equal(load_with(fx, "u,\"i\",5,9\nu,i,5,9\n", NULL, NULL),
                     AA_OK); /* CSV has one meaning */
}

static void
bad_rows_are_counted_and_left_out_on_request(void **state)
{
    fixture   *fx = *state;
    load_taken got;
    load_facts facts;
    assert_int_equal(load_with(fx,
                               "user,item,label,timestamp\nu,i,2,5\nstray,j,x,5\nv,i\nw,,1,5\n"
                               "x,i,1,1e30\n\"y,i,1,5\nz,i,1,5\n",
                               WITH(.skip_bad = true), &got),
                     AA_OK);
    assert_int_equal(got.rows, 2);
    assert_int_equal(got.skipped, 5);
    assert_non_null(strstr(got.first_skipped, "file:3: the label \"x\" is not a number"));
    load_describe(fx->ld, &facts);
    assert_int_equal(facts.users, 2); /* those of skipped rows are none */
    assert_int_equal(facts.items, 1);
    check_row(fx, 1, "z", "i", 1, 5000);
    assert_int_equal(load_with(fx,
                               "{\"user\":1,\"item\":2,\"label\":1,\"ts\":5}\n{\n{\"user\":1}\n",
                               WITH(.skip_bad = true), &got),
                     AA_OK);
    assert_int_equal(got.skipped, 2);
    assert_int_equal(
        load_with(fx, "user,item,label,timestamp\nu,i\n", WITH(.skip_bad = true), &got), AA_EPARSE);
    check_said(fx, 2, "all rows are bad");
}

static void
line_that_is_too_long_is_skipped_whole(void **state)
{
    fixture   *fx = *state;
    size_t     len = 1 << 20;
    char      *big = malloc(len + 1);
    load_taken got;
    assert_non_null(big);
    memset(big, 'x', len);
    memcpy(big, "u,i,2,5\n", 8);
    memcpy(big + len - 10, "\nv,i,2,5\n\n", 11);
    assert_int_equal(load_with(fx, big, WITH(.skip_bad = true), &got), AA_OK);
    free(big);
    assert_int_equal(got.rows, 2);
    assert_int_equal(got.skipped, 1);
    check_row(fx, 1, "v", "i", 2, 5000);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(csv_with_a_header),
        TEST(csv_without_a_header_and_without_a_last_newline),
        TEST(movielens_ratings_csv),
        TEST(movielens_ratings_dat),
        TEST(movielens_u_data),
        TEST(header_names_may_be_in_any_order_with_other_columns),
        TEST(quotes_may_hold_commas_and_quotes),
        TEST(gzip_is_read_and_a_cut_off_one_is_refused),
        TEST(what_is_wrong_is_said_with_file_and_line),
        TEST(missing_file_is_an_io_error),
        TEST(line_without_an_end_is_refused_not_kept),
        TEST(empty_file_has_no_events),
        TEST(description_counts_what_is_there),
        TEST(sort_is_by_time_and_stable),
        TEST(many_ids_are_kept_apart),
        TEST(random_bytes_are_survived),
        TEST(units_are_told_from_the_size_of_timestamps),
        TEST(timestamps_that_look_like_two_units_are_refused_unless_one_is_said),
        TEST(columns_that_were_taken_are_told),
        TEST(what_could_be_read_in_two_ways_is_refused_with_the_option_that_decides),
        TEST(an_option_decides_what_could_be_read_in_two_ways),
        TEST(users_that_count_beyond_their_rows_are_no_index),
        TEST(forms_that_are_common_are_read),
        TEST(blanks_around_values_belong_to_none),
        TEST(quoted_cells_of_csv_may_hold_line_breaks),
        TEST(quotes_between_tabs_are_taken_off_if_they_are_the_whole_cell),
        TEST(an_id_between_tabs_with_and_without_quotes_is_refused_unless_told),
        TEST(bad_rows_are_counted_and_left_out_on_request),
        TEST(line_that_is_too_long_is_skipped_whole),
    };
    return cmocka_run_group_tests_name("tools/load", tests, NULL, NULL);
}
