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
    "       record --describe FILE...\n"
    "  FILE                     user,item,label,timestamp CSV with or without a header, "
    "MovieLens'\n"
    "                           ratings.csv, ratings.dat or u.data; each also as .gz\n"
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
    "  --help, --version\n"
    "\n"
    "Events are sorted by time and keyed by user. Their time becomes Kafka's timestamp unless it "
    "is\n"
    "before 1970 or yet to come.\n"
    "Exit codes: 0 all delivered, 1 not all, 2 usage, configuration or a file that makes no "
    "sense.\n";

typedef struct {
    const char *topic;
    int64_t     partitions, limit, rate;
    load_unit   unit;
    bool        json, describe;
    load       *ld; /* what is in the files */
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

static aa_status
print_facts(const load *ld)
{
    load_facts facts;
    json_t    *root = json_object();

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
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(root);
    return ferror(stdout) ? AA_EIO : AA_OK;
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
        if (strcmp(value, load_unit_name(unit)) == 0) opt->unit = unit;
    return opt->unit != LOAD_UNIT_TOLD;
}

/* A file that is not there or makes no sense is a wrong argument. */
static aa_status
read_files(void *arg, aa_tool_args files, bool *done, aa_err *err)
{
    options  *opt = arg;
    aa_status st = load_new(&opt->ld, err);
    for (size_t i = 0; i < files.count && st == AA_OK; i++) {
        st = load_file(opt->ld, files.text[i], opt->unit, err);
        if (st == AA_EIO) st = AA_ECONFIG;
    }
    *done = opt->describe;
    if (st == AA_OK) st = opt->describe ? print_facts(opt->ld) : load_sort(opt->ld, err);
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
    options              opt = {.unit = LOAD_UNIT_TOLD};
    const aa_tool_option own[] = {
        {.name = "partitions",
         .refuse = "not a number from 1 to 10000",
         .count = &opt.partitions,
         .max = 10000},
        {.name = "topic", .text = &opt.topic},
        {.name = "json", .flag = &opt.json},
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
    return code;
}
