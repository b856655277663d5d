/* record - load files of interactions into the topic that ingest reads. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"
#include "common/service/tool.h"
#include "tools/encode.h"
#include "tools/load.h"

enum { DELIVERY_MS = 300000 };

static const char usage_text[] =
    "record - load files of interactions into the topic that ingest reads\n"
    "\n"
    "usage: record [option]... FILE...\n"
    "       record --describe [--sample N] FILE...\n"
    "  FILE                     user,item,label,timestamp with , ; | tabs or :: between them, with "
    "or\n"
    "                           without a header (CSV, MovieLens' ratings.csv, ratings.dat, "
    "u.data,\n"
    "                           RecBole's .inter), or JSON lines; each also as .gz\n"
    "  --user COL, --item COL, --label COL, --time COL\n"
    "                           the column to take: its number from 1, or its name in the header\n"
    "                           (told from the header's names; without a header the four in "
    "order)\n"
    "  --header yes|no          is the first line one? (told from what is in it)\n"
    "  --ids text|numbers       IDs as they stand, or 1.0 as 1 (a file that has both is refused)\n"
    "  --quotes yes|no          take quotes around a cell off, or keep them (with tabs an ID that "
    "has\n"
    "                           them in one row and not in another is refused)\n"
    "  --skip-bad               leave out rows that are no event, and count them, instead of "
    "ending\n"
    "  -c FILE                  the pipeline's configuration, for topics.interactions and kafka\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --partitions N           make the topic with N partitions (its events are kept for ever);\n"
    "                           without it, as many as the broker gives\n"
    "  --topic NAME             instead of topics.interactions\n"
    "  --json                   send JSON with the configuration's names, instead of protobuf\n"
    "                           (what event.format: json in the configuration says too)\n"
    "  --time-unit s|ms|us|ns   unit of the files' timestamps (told from their size; a column\n"
    "                           timestamp_ms is in ms)\n"
    "  --limit N                send only the first N events\n"
    "  --rate N                 send N events per second instead of all at once\n"
    "  --describe               print what is in the files as JSON, and send nothing\n"
    "  --sample N               with --describe: also up to N users and items of the end\n"
    "  --help, --version\n"
    "\n"
    "The columns that were taken are printed, one line a file. What could be read in two ways is "
    "an\n"
    "error that names the option which decides.\n"
    "Events are sorted by time and keyed by user. Their time becomes Kafka's timestamp unless it "
    "is\n"
    "before 1970 or yet to come.\n"
    "Exit codes: 0 all delivered, 1 not all, 2 usage, configuration or a file that makes no "
    "sense.\n";

typedef struct {
    const char  *topic;
    int64_t      partitions, limit, rate, sample;
    load_options how; /* to read the files */
    bool         json, describe;
    load        *ld;    /* what is in the files */
    json_t      *files; /* what was taken of each, for --describe */
} options;

/* ---- what a person sees ---- */

static void
show_progress(uint64_t done, uint64_t total, int64_t started_ms, bool last)
{
    static int64_t next_ms;
    int64_t        now_ms = aa_now_ms();
    bool           terminal = isatty(STDERR_FILENO) != 0;

    if (!last && now_ms < next_ms) return;
    next_ms = now_ms + (terminal ? 200 : 5000);
    fprintf(stderr, "%srecord: %" PRIu64 " of %" PRIu64 " events, %.0f events/s%s",
            terminal ? "\r\033[K" : "", done, total,
            (double)done * 1000 / (double)(now_ms - started_ms + 1), terminal && !last ? "" : "\n");
}

static void
print_column(const load_taken *taken, load_column w)
{
    const load_taken_column *tc = &taken->column[w];
    fprintf(stderr, "%s %s =", w == LOAD_USER ? "" : ",", load_column_name(w));
    if (tc->number > 0) fprintf(stderr, " column %zu", tc->number);
    if (tc->name[0]) fprintf(stderr, " \"%s\"", tc->name);
}

static void
format_day(int64_t time_ms, char out[16])
{
    const time_t s = (time_t)(time_ms / 1000);
    struct tm    tm;
    if (!gmtime_r(&s, &tm) || strftime(out, 16, "%Y-%m-%d", &tm) == 0) snprintf(out, 16, "?");
}

/* One line: how the file was read. */
static void
print_taken(const char *path, const load_taken *taken)
{
    char from[16], to[16];
    if (!taken->form) return;
    fprintf(stderr, "record: %s: %s%s:", path, taken->form, taken->header ? " with a header" : "");
    for (load_column w = 0; w < LOAD_COLUMNS; w++)
        print_column(taken, w);
    format_day(taken->time_min_ms, from);
    format_day(taken->time_max_ms, to);
    if (taken->rows > 0)
        fprintf(stderr, " in %s, from %s to %s", load_unit_name(taken->unit), from, to);
    fprintf(stderr, "; %" PRIu64 " events", taken->rows);
    for (load_column w = LOAD_USER; w <= LOAD_ITEM; w++)
        if (taken->point_zero[w])
            fprintf(stderr, "; %ss end in .0 (--ids numbers takes 1.0 as 1)", load_column_name(w));
    if (taken->skipped > 0)
        fprintf(stderr, "; %" PRIu64 " bad rows skipped, the first: %s", taken->skipped,
                taken->first_skipped);
    putc('\n', stderr);
}

static json_t *
describe_file(const char *path, const load_taken *taken)
{
    json_t *root = json_object(), *columns = json_object();
    for (load_column w = 0; taken->form && w < LOAD_COLUMNS; w++) {
        const load_taken_column *tc = &taken->column[w];
        json_t                  *column = json_object();
        if (tc->number > 0)
            json_object_set_new(column, "number", json_integer((json_int_t)tc->number));
        if (tc->name[0]) json_object_set_new(column, "name", json_string(tc->name));
        json_object_set_new(columns, load_column_name(w), column);
    }
    json_object_set_new(root, "file", json_string(path));
    json_object_set_new(root, "form", taken->form ? json_string(taken->form) : json_null());
    json_object_set_new(root, "header", json_boolean(taken->header));
    json_object_set_new(root, "columns", columns);
    if (taken->rows > 0)
        json_object_set_new(root, "time_unit", json_string(load_unit_name(taken->unit)));
    json_object_set_new(root, "events", json_integer((json_int_t)taken->rows));
    json_object_set_new(root, "skipped", json_integer((json_int_t)taken->skipped));
    return root;
}

/* Up to N different ones among the last events, in order; those that are one line of text. */
static json_t *
sample_ids(const load *ld, bool users, size_t n)
{
    enum { LAST = 500, MOST = 100 };
    uint32_t        taken[MOST];
    size_t          count, found = 0;
    const load_row *row = load_rows(ld, &count);
    json_t         *list = json_array();
    for (size_t i = count > LAST ? count - LAST : 0; i < count && found < n; i++) {
        size_t      len, k = 0;
        uint32_t    id = users ? row[i].user : row[i].item;
        const char *text = users ? load_user(ld, id, &len) : load_item(ld, id, &len);
        while (k < found && taken[k] != id)
            k++;
        for (size_t b = 0; k == found && b < len; b++)
            if ((unsigned char)text[b] < ' ' || text[b] == 127) k = MOST;
        if (k != found || !aa_utf8_is_text(text, len)) continue;
        taken[found++] = id;
        json_array_append_new(list, json_stringn(text, len));
    }
    return list;
}

static aa_status
print_facts(options *opt, aa_err *err)
{
    const load *ld = opt->ld;
    load_facts  facts;
    json_t     *root = json_object();

    load_describe(ld, &facts);
    json_object_set_new(root, "events", json_integer((json_int_t)facts.events));
    json_object_set_new(root, "users", json_integer((json_int_t)facts.users));
    json_object_set_new(root, "items", json_integer((json_int_t)facts.items));
    json_object_set_new(root, "label_min", json_real(facts.label_min));
    json_object_set_new(root, "label_max", json_real(facts.label_max));
    json_object_set_new(root, "binary", json_boolean(facts.binary));
    json_object_set_new(root, "sorted", json_boolean(facts.sorted));
    json_object_set_new(root, "time_min_ms", json_integer(facts.time_min_ms));
    json_object_set_new(root, "time_max_ms", json_integer(facts.time_max_ms));
    json_object_set(root, "files", opt->files);
    aa_status st = AA_OK;
    if (opt->sample > 0) {
        st = load_sort(opt->ld, err);
        json_object_set_new(root, "sample_users", sample_ids(ld, true, (size_t)opt->sample));
        json_object_set_new(root, "sample_items", sample_ids(ld, false, (size_t)opt->sample));
    }
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(root);
    return st == AA_OK && ferror(stdout) ? AA_EIO : st;
}

/* ---- sending ---- */

static aa_status
make_topic(const options *opt, const aa_conf *cfg, aa_err *err)
{
    /* recorded events are old: a broker that deletes by age would delete them at once */
    static const char *const settings[] = {
        "retention.ms", "-1", "segment.ms", "9223372036854775807", "cleanup.policy", "delete"};
    int       existing = 0;
    aa_status st = aa_topic_create(cfg, opt->topic, (int)opt->partitions, settings,
                                   sizeof settings / sizeof *settings, &existing, err);

    if (st == AA_OK && opt->partitions > 0 && existing > 0 && existing != opt->partitions)
        st = aa_fail(err, AA_ECONFIG, "topic %s has %d partitions already, not %d", opt->topic,
                     existing, (int)opt->partitions);
    return st;
}

static void
pace(int64_t rate, uint64_t sent, int64_t started_us)
{
    int64_t due_us = started_us + (int64_t)((double)sent * 1e6 / (double)rate);
    int64_t wait_us = due_us - aa_now_us();
    if (wait_us <= 1000) return;
    struct timespec ts = {wait_us / 1000000, wait_us % 1000000 * 1000};
    nanosleep(&ts, NULL);
}

static aa_status
send_row(aa_producer *pr, const options *opt, const aa_conf *cfg, const load *ld,
         const load_row *row, int64_t now_ms, aa_err *err)
{
    static char  message[1 << 19];
    size_t       len = 0;
    encode_event ev = {.label = row->label, .time_ms = row->time_ms};
    aa_status    st;

    ev.user = load_user(ld, row->user, &ev.user_len);
    ev.item = load_item(ld, row->item, &ev.item_len);
    st = opt->json || cfg->event.format == AA_EVENT_FORMAT_JSON
             ? encode_json(cfg, &ev, message, sizeof message, &len, err)
             : encode_protobuf(&ev, message, sizeof message, &len, err);
    if (st != AA_OK) return st;
    return aa_producer_send(pr, opt->topic, -1, ev.user, ev.user_len, message, len,
                            row->time_ms >= 0 && row->time_ms <= now_ms ? row->time_ms : 0, NULL, 0,
                            err);
}

static aa_status
send_all(const options *opt, const aa_conf *cfg, const load *ld, aa_err *err)
{
    size_t          count;
    const load_row *row = load_rows(ld, &count);
    aa_producer    *pr = NULL;
    int64_t         started_us = aa_now_us(), now_ms = aa_wall_ms();
    aa_status       st = make_topic(opt, cfg, err);

    if (st != AA_OK) return st;
    st = aa_producer_open(&pr, cfg, err);
    if (st != AA_OK) return st;
    if (opt->limit > 0 && (uint64_t)opt->limit < count) count = (size_t)opt->limit;
    for (size_t i = 0; i < count && st == AA_OK; i++) {
        st = send_row(pr, opt, cfg, ld, &row[i], now_ms, err);
        if (opt->rate > 0) pace(opt->rate, i + 1, started_us);
        if (i % 1024 != 0 && opt->rate == 0) continue;
        aa_producer_poll(pr);
        if (aa_producer_failed(pr) > 0) break; /* the flush says what */
        show_progress(i, count, started_us / 1000, false);
    }
    if (st == AA_OK) st = aa_producer_flush(pr, DELIVERY_MS, err);
    if (st == AA_OK && aa_producer_failed(pr) > 0)
        st = aa_fail(err, AA_EIO, "%" PRIu64 " events were not delivered", aa_producer_failed(pr));
    if (st == AA_OK) show_progress(count, count, started_us / 1000, true);
    aa_producer_free(&pr, 1000);
    return st;
}

/* ---- all together ---- */

static bool
take_unit(void *arg, const char *value)
{
    options *opt = arg;
    for (load_unit unit = LOAD_UNIT_S; unit < LOAD_UNITS; unit++)
        if (strcmp(value, load_unit_name(unit)) == 0) opt->how.unit = unit;
    return opt->how.unit != LOAD_UNIT_TOLD;
}

static bool
take_header(void *arg, const char *value)
{
    options *opt = arg;
    if (strcmp(value, "yes") == 0) opt->how.header = LOAD_HEADER_YES;
    if (strcmp(value, "no") == 0) opt->how.header = LOAD_HEADER_NO;
    return opt->how.header != LOAD_HEADER_TOLD;
}

static bool
take_quotes(void *arg, const char *value)
{
    options *opt = arg;
    if (strcmp(value, "yes") == 0) opt->how.quotes = LOAD_QUOTES_YES;
    if (strcmp(value, "no") == 0) opt->how.quotes = LOAD_QUOTES_NO;
    return opt->how.quotes != LOAD_QUOTES_TOLD;
}

static bool
take_ids(void *arg, const char *value)
{
    options *opt = arg;
    if (strcmp(value, "text") == 0) opt->how.ids = LOAD_IDS_TEXT;
    if (strcmp(value, "numbers") == 0) opt->how.ids = LOAD_IDS_NUMBERS;
    return opt->how.ids != LOAD_IDS_TOLD;
}

/* A file that is not there or makes no sense is a wrong argument. */
static aa_status
read_files(void *arg, aa_tool_args files, bool *done, aa_err *err)
{
    options  *opt = arg;
    aa_status st = load_new(&opt->ld, err);
    opt->files = json_array();
    for (size_t i = 0; i < files.count && st == AA_OK; i++) {
        load_taken taken;
        st = load_file(opt->ld, files.text[i], &opt->how, &taken, err);
        if (st == AA_EIO) st = AA_ECONFIG;
        print_taken(files.text[i], &taken);
        json_array_append_new(opt->files, describe_file(files.text[i], &taken));
    }
    *done = opt->describe;
    if (st == AA_OK) st = opt->describe ? print_facts(opt, err) : load_sort(opt->ld, err);
    return st == AA_EPARSE ? AA_ECONFIG : st;
}

static aa_status
record(void *arg, const aa_conf *cfg, aa_tool_args files, aa_err *err)
{
    options *opt = arg;
    (void)files; /* read_files has read them */
    if (!opt->topic) opt->topic = cfg->topics.interactions;
    aa_status st = send_all(opt, cfg, opt->ld, err);
    return st == AA_EPARSE ? AA_ECONFIG : st; /* an event that cannot be sent as it stands */
}

int
main(int argc, char **argv)
{
    options              opt = {0};
    const aa_tool_option own[] = {
        {.name = "partitions",
         .refuse = "not a number from 1 to 10000",
         .count = &opt.partitions,
         .max = 10000},
        {.name = "topic", .text = &opt.topic},
        {.name = "json", .flag = &opt.json},
        {.name = "user", .text = &opt.how.column[LOAD_USER]},
        {.name = "item", .text = &opt.how.column[LOAD_ITEM]},
        {.name = "label", .text = &opt.how.column[LOAD_LABEL]},
        {.name = "time", .text = &opt.how.column[LOAD_TIME]},
        {.name = "header", .refuse = "neither yes nor no", .take = take_header},
        {.name = "ids", .refuse = "neither text nor numbers", .take = take_ids},
        {.name = "quotes", .refuse = "neither yes nor no", .take = take_quotes},
        {.name = "skip-bad", .flag = &opt.how.skip_bad},
        {.name = "sample",
         .refuse = "not a number from 1 to 100",
         .count = &opt.sample,
         .max = 100},
        {.name = "time-unit", .refuse = "none of s, ms, us and ns", .take = take_unit},
        {.name = "limit", .refuse = "not a positive number", .count = &opt.limit, .max = INT64_MAX},
        {.name = "rate", .refuse = "not a positive number", .count = &opt.rate, .max = 1000000000},
        {.name = "describe", .flag = &opt.describe}};
    const aa_tool tool = {.name = "record",
                          .usage = usage_text,
                          .options = own,
                          .option_count = sizeof own / sizeof *own,
                          .min_args = 1,
                          .max_args = SIZE_MAX,
                          .args_needed = "a FILE is needed",
                          .prepare = read_files,
                          .run = record,
                          .arg = &opt};
    int           code = aa_tool_main(&tool, argc, argv);
    load_free(&opt.ld);
    json_decref(opt.files);
    return code;
}
