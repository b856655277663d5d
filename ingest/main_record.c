/* record - load files of interactions into the topic that ingest reads. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/kafka.h"
#include "common/log.h"
#include "ingest/encode.h"
#include "ingest/load.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_MEMORY = 3, DELIVERY_MS = 300000 };

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
    "  --time-unit s|ms         unit of the files' timestamps (s; a column timestamp_ms is in ms)\n"
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
    const char  *path, *topic;
    const char **override; /* (override_count) */
    size_t       override_count;
    int64_t      partitions, limit, rate, unit_ms;
    bool         json, describe, help, version;
} options;

static int
usage_error(const char *what, const char *value)
{
    fprintf(stderr, "record: %s%s\ntry record --help\n", what, value);
    return EXIT_USAGE;
}

static bool
take_count(const char *text, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out >= 1 && *out <= max;
}

/* 0 or EXIT_USAGE */
static int
parse_flags(int argc, char **argv, options *opt)
{
    static const struct option flags[] = {{"partitions", required_argument, NULL, 'p'},
                                          {"topic", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"time-unit", required_argument, NULL, 'u'},
                                          {"limit", required_argument, NULL, 'l'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"describe", no_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    int                        flag;

    while ((flag = getopt_long(argc, argv, "c:o:hV", flags, NULL)) != -1) {
        switch (flag) {
        case 'c': opt->path = optarg; break;
        case 'o': opt->override[opt->override_count++] = optarg; break;
        case 't': opt->topic = optarg; break;
        case 'j': opt->json = true; break;
        case 'd': opt->describe = true; break;
        case 'h': opt->help = true; break;
        case 'V': opt->version = true; break;
        case 'p':
            if (!take_count(optarg, 10000, &opt->partitions))
                return usage_error("--partitions: not a number from 1 to 10000: ", optarg);
            break;
        case 'l':
            if (!take_count(optarg, INT64_MAX, &opt->limit))
                return usage_error("--limit: not a positive number: ", optarg);
            break;
        case 'r':
            if (!take_count(optarg, 1000000000, &opt->rate))
                return usage_error("--rate: not a positive number: ", optarg);
            break;
        case 'u':
            if (strcmp(optarg, "s") != 0 && strcmp(optarg, "ms") != 0)
                return usage_error("--time-unit: neither s nor ms: ", optarg);
            opt->unit_ms = optarg[0] == 's' ? 1000 : 1;
            break;
        default: return usage_error("unknown option", "");
        }
    }
    if (!opt->help && !opt->version && optind >= argc) return usage_error("a FILE is needed", "");
    return 0;
}

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

static int
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
    return ferror(stdout) ? EXIT_FAILED : 0;
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
    st = opt->json ? encode_json(cfg, &ev, message, sizeof message, &len, err)
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

static int
fail(aa_status st, const aa_err *err)
{
    fprintf(stderr, "record: %s\n", err->text);
    if (st == AA_ENOMEM) return EXIT_MEMORY;
    return st == AA_ECONFIG || st == AA_EPARSE ? EXIT_USAGE : EXIT_FAILED;
}

static int
load_and_send(options *opt, char **files, int file_count, aa_conf *cfg)
{
    aa_err       err = AA_ERR_INIT;
    load        *ld = NULL;
    aa_log_level level = AA_WARN;
    aa_status    st = load_new(&ld, &err);
    int          code = 0;

    for (int i = 0; i < file_count && st == AA_OK; i++) {
        st = load_file(ld, files[i], opt->unit_ms, &err);
        if (st == AA_EIO) st = AA_ECONFIG; /* a wrong argument */
    }
    if (st == AA_OK && opt->describe) {
        code = print_facts(ld);
        goto out;
    }
    if (st == AA_OK) st = load_sort(ld, &err);
    if (st == AA_OK) st = aa_conf_load(cfg, opt->path, opt->override, opt->override_count, &err);
    if (st != AA_OK) goto out;
    if (strcmp(cfg->log.level, "debug") == 0) level = AA_DEBUG;
    aa_log_init("record", level, false);
    if (!opt->topic) opt->topic = cfg->topics.interactions;
    st = send_all(opt, cfg, ld, &err);
out:
    load_free(&ld);
    aa_log_flush_repeats();
    return st != AA_OK ? fail(st, &err) : code;
}

int
main(int argc, char **argv)
{
    options  opt = {.unit_ms = 1000};
    aa_conf *cfg = malloc(sizeof *cfg);
    int      code = EXIT_MEMORY;

    opt.override = calloc((size_t)argc, sizeof *opt.override);
    if (!cfg || !opt.override) goto out;
    code = parse_flags(argc, argv, &opt);
    if (code != 0) goto out;
    if (opt.help)
        fputs(usage_text, stdout);
    else if (opt.version)
        printf("record %s\n", AA_VERSION);
    else
        code = load_and_send(&opt, argv + optind, argc - optind, cfg);
out:
    free(opt.override);
    free(cfg);
    return code;
}
