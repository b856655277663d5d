/* generate - a synthetic stream of interactions on standard output. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/service/tool.h"
#include "tools/synthetic/generator.h"

enum { LINE_MAX_BYTES = 96 };

static const char usage_text[] =
    "generate - a synthetic stream of interactions, as user,item,label,timestamp CSV\n"
    "\n"
    "usage: generate [option]... > stream.csv\n"
    "  --events N               length of the stream (1000000)\n"
    "  --users N, --items N     alive at a time (20000, 5000)\n"
    "  --seed N                 same options, same stream (1)\n"
    "  --zipf S                 exponent of the items' popularity; users' is 0.6 of it (1)\n"
    "  --arrivals P             share of events after which a user and an item leave and new\n"
    "                           ones take their places (0.01)\n"
    "  --one-time P             share of events by a user who comes only once (0.05)\n"
    "  --positive-rate P        share of label 1 (0.4)\n"
    "  --drift T                turns of the items' traits per million events (0.1)\n"
    "  --jump-every N           every N events the hottest 1 % of users and items go cold (never)\n"
    "  --burst N                every N events a new item takes a third of the next N/10 (never)\n"
    "  --flood AT,COUNT         an attack: from event AT on, COUNT events of IDs never seen "
    "before,\n"
    "                           one after each ordinary event (none)\n"
    "  --rate R                 events per second of stream time (10)\n"
    "  --start S                time of the first event, seconds since 1970 (1700000000)\n"
    "  --help, --version\n"
    "\n"
    "A label can be learned as far as noise allows: the best possible AUC is about 0.80.\n";

static const char *called = "generate"; /* as the person at the shell calls it */

static int
usage_error(const char *option, const char *value)
{
    char what[64];
    snprintf(what, sizeof what, "--%s: makes no sense: ", option);
    return aa_tool_usage_error(called, what, value);
}

static bool
take_count(const char *text, char until, const char **rest, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (rest) *rest = end + 1;
    return errno == 0 && *end == until;
}

static bool
take_number(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0';
}

static bool
take_flood(const char *text, generator_options *go)
{
    const char *rest = text;
    return take_count(text, ',', &rest, &go->flood_at) &&
           take_count(rest, '\0', NULL, &go->flood_count);
}

typedef struct {
    const char *name;
    uint64_t   *count; /* one of these */
    double     *number;
} target;

/* 0, AA_EXIT_USAGE, or -1: nothing more to do */
static int
parse_options(int argc, char **argv, generator_options *go)
{
    const target targets[] = {{"events", &go->events, NULL},
                              {"users", &go->users, NULL},
                              {"items", &go->items, NULL},
                              {"seed", &go->seed, NULL},
                              {"jump-every", &go->jump_every, NULL},
                              {"burst", &go->burst_every, NULL},
                              {"start", &go->start_s, NULL},
                              {"zipf", NULL, &go->zipf},
                              {"arrivals", NULL, &go->arrivals},
                              {"one-time", NULL, &go->one_time},
                              {"positive-rate", NULL, &go->positive_rate},
                              {"drift", NULL, &go->drift},
                              {"rate", NULL, &go->rate}};
    enum { TARGETS = sizeof targets / sizeof *targets };
    struct option flags[TARGETS + 4] = {{"flood", required_argument, NULL, 'F'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'}};
    int           which = 0, flag;

    for (int i = 0; i < TARGETS; i++)
        flags[3 + i] = (struct option){targets[i].name, required_argument, NULL, 0};
    while ((flag = getopt_long(argc, argv, "h", flags, &which)) != -1) {
        const target *tg = &targets[which >= 3 ? which - 3 : 0];
        switch (flag) {
        case 0:
            if (tg->count ? !take_count(optarg, '\0', NULL, tg->count)
                          : !take_number(optarg, tg->number))
                return usage_error(tg->name, optarg);
            break;
        case 'F':
            if (!take_flood(optarg, go)) return usage_error("flood", optarg);
            break;
        case 'h': aa_tool_print_usage(stdout, usage_text, "generate", called); return -1;
        case 'V': printf("%s %s\n", called, AA_VERSION); return -1;
        default: return aa_tool_usage_error(called, NULL, ""); /* getopt said what */
        }
    }
    if (optind == argc) return 0;
    return aa_tool_usage_error(called, "unexpected argument ", argv[optind]);
}

static char *
put_number(char *at, uint64_t number)
{
    char digits[20];
    int  n = 0;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

static bool
write_stream(generator *gn)
{
    static char     buffer[1 << 20];
    char           *at = buffer;
    generator_event ev;

    fputs("user,item,label,timestamp\n", stdout);
    while (generator_next(gn, &ev)) {
        at = put_number(at, ev.user);
        *at++ = ',';
        at = put_number(at, ev.item);
        *at++ = ',';
        *at++ = (char)('0' + ev.label);
        *at++ = ',';
        at = put_number(at, (uint64_t)ev.time_ms / 1000);
        *at++ = '\n';
        if ((size_t)(at - buffer) < sizeof buffer - LINE_MAX_BYTES) continue;
        if (fwrite(buffer, 1, (size_t)(at - buffer), stdout) != (size_t)(at - buffer)) return false;
        at = buffer;
    }
    return fwrite(buffer, 1, (size_t)(at - buffer), stdout) == (size_t)(at - buffer) &&
           fflush(stdout) == 0;
}

int
main(int argc, char **argv)
{
    generator_options go;
    generator        *gn = NULL;
    aa_err            err = AA_ERR_INIT;
    aa_status         st;
    bool              written;
    int               code;

    generator_defaults(&go);
    called = aa_tool_called(argc, argv, called);
    code = parse_options(argc, argv, &go);
    if (code != 0) return code < 0 ? 0 : code;
    st = generator_new(&gn, &go, &err);
    if (st != AA_OK) {
        fprintf(stderr, "generate: %s\n", err.text);
        return st == AA_ENOMEM ? AA_EXIT_MEMORY : AA_EXIT_USAGE;
    }
    written = write_stream(gn);
    if (!written) fprintf(stderr, "generate: %s\n", strerror(errno));
    generator_free(&gn);
    return written ? 0 : AA_EXIT_FAILED;
}
