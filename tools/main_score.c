/* score - ask a scorer from the command line. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/config/conf.h"
#include "common/links/link.h"
#include "common/links/rpc.h"
#include "common/messages/wire_score.h"
#include "common/service/http_client.h"
#include "common/service/tool.h"
#include "scorer/api/score_json.h"

static const char usage_text[] =
    "score - ask a scorer what a user would think of some items\n"
    "\n"
    "usage: score [option]... USER [ITEM]...\n"
    "  USER ITEM...             IDs; an ITEM of - reads further ones from standard input, one a "
    "line\n"
    "  --top N                  the best N, best first; without items, of all known items\n"
    "  --exclude ID             with --top: leave this item out; again and again if need be\n"
    "  --http HOST:PORT         ask the HTTP endpoint there, not the ZeroMQ one ([IPV6]:PORT and\n"
    "                           http://HOST:PORT/ are taken as well)\n"
    "  -c FILE                  the pipeline's configuration, for scorer.listen, scorer.token and "
    "keys\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --endpoint ENDPOINT      ZeroMQ endpoint to ask, instead of scorer.listen\n"
    "  --token TOKEN            instead of scorer.token\n"
    "  --context ID             ID of a further field, in the order of the configuration's fields\n"
    "  --timeout MS             how long to wait for the answer (5000)\n"
    "  --explain                also print what each ID reads\n"
    "  --json                   print the reply as JSON, as the HTTP endpoint would give it\n"
    "  --help, --version\n"
    "\n"
    "Prints one line for each item: the ID, a tab, the score.\n"
    "Exit codes: 0 answered, 1 no answer or refused, 2 usage or configuration.\n";

typedef struct {
    const char  *path, *endpoint, *token;
    const char **override; /* (override_count) */
    size_t       override_count;
    const char **context; /* (context_count) */
    size_t       context_count;
    const char **exclude; /* (exclude_count) */
    size_t       exclude_count;
    const char  *http;
    int          timeout_ms, top;
    bool         explain, json, help, version;
    const char  *user;
    char       **item; /* (item_count) owned texts */
    size_t       item_count, item_cap;
} score_options;

static const char *called = "score"; /* as the person at the shell calls it */

static int
usage_error(const char *what, const char *value)
{
    return aa_tool_usage_error(called, what, value);
}

static bool
add_item(score_options *opt, const char *text, size_t len)
{
    if (opt->item_count == opt->item_cap) {
        size_t cap = opt->item_cap ? 2 * opt->item_cap : 64;
        char **grown = realloc(opt->item, cap * sizeof *grown);
        if (!grown) return false;
        opt->item = grown;
        opt->item_cap = cap;
    }
    char *copy = malloc(len + 1);
    if (!copy) return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    opt->item[opt->item_count++] = copy;
    return true;
}

/* One ID a line; empty lines are none, and a byte order mark in front belongs to no ID. */
static bool
add_items_from(score_options *opt, FILE *in)
{
    char   *line = NULL;
    size_t  cap = 0;
    bool    good = true, first = true;
    ssize_t got;
    while (good && (got = getline(&line, &cap, in)) >= 0) {
        size_t len = (size_t)got, from = first ? aa_utf8_mark(line, len) : 0;
        first = false;
        while (len > from && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len > from) good = add_item(opt, line + from, len - from);
    }
    free(line);
    return good && !ferror(in);
}

static bool
take_item_count(const char *text, int *out)
{
    int64_t value;
    bool    good = aa_tool_take_count(text, INT_MAX, &value);
    if (good) *out = (int)value;
    return good;
}

/* The flags; 0 or AA_EXIT_USAGE. */
static int
parse_flags(int argc, char **argv, score_options *opt)
{
    static const struct option flags[] = {
        {"endpoint", required_argument, NULL, 'e'}, {"http", required_argument, NULL, 'H'},
        {"top", required_argument, NULL, 'n'},      {"exclude", required_argument, NULL, 'X'},
        {"token", required_argument, NULL, 't'},    {"context", required_argument, NULL, 'x'},
        {"timeout", required_argument, NULL, 'w'},  {"explain", no_argument, NULL, 'E'},
        {"json", no_argument, NULL, 'j'},           {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},        {NULL, 0, NULL, 0}};
    int flag;
    while ((flag = getopt_long(argc, argv, "+c:o:h", flags, NULL)) != -1) {
        switch (flag) {
        case 'c': opt->path = optarg; break;
        case 'o': opt->override[opt->override_count++] = optarg; break;
        case 'e': opt->endpoint = optarg; break;
        case 'H': opt->http = optarg; break;
        case 'n':
            if (!take_item_count(optarg, &opt->top))
                return usage_error("--top: not a number of items: ", optarg);
            break;
        case 't': opt->token = optarg; break;
        case 'x': opt->context[opt->context_count++] = optarg; break;
        case 'X': opt->exclude[opt->exclude_count++] = optarg; break;
        case 'w':
            if (!take_item_count(optarg, &opt->timeout_ms))
                return usage_error("--timeout: not a number of milliseconds: ", optarg);
            break;
        case 'E': opt->explain = true; break;
        case 'j': opt->json = true; break;
        case 'h': opt->help = true; break;
        case 'V': opt->version = true; break;
        default: return usage_error(NULL, ""); /* getopt said what */
        }
    }
    return 0;
}

static int
parse_ids(int argc, char **argv, score_options *opt)
{
    if (argc - optind < (opt->top ? 1 : 2))
        return usage_error("a USER and at least one ITEM are needed", "");
    if (opt->exclude_count && !opt->top) return usage_error("--exclude needs --top", "");
    opt->user = argv[optind++];
    for (; optind < argc; optind++) {
        bool good = strcmp(argv[optind], "-") == 0
                        ? add_items_from(opt, stdin)
                        : add_item(opt, argv[optind], strlen(argv[optind]));
        if (good) continue;
        fprintf(stderr, "score: reading items: %s\n", strerror(errno));
        return AA_EXIT_FAILED;
    }
    return 0;
}

/* Where to connect to reach what listens there: any address means this machine. */
static void
endpoint_of(const char *listen, char *out, size_t size)
{
    static const char *any[] = {"tcp://*:", "tcp://0.0.0.0:"};
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        size_t len = strlen(any[i]);
        if (strncmp(listen, any[i], len) != 0) continue;
        snprintf(out, size, "tcp://127.0.0.1:%s", listen + len);
        return;
    }
    snprintf(out, size, "%s", listen);
}

static aa_text
reply_text_of(const char *text)
{
    return (aa_text){text, strlen(text)};
}

static aa_status
ask_http(const score_options *opt, const aa_score_request *rq, aa_score_reply *reply, aa_err *err)
{
    char   host[AA_HTTP_HOST_BYTES], port[AA_HTTP_PORT_BYTES], token[AA_CONF_STR];
    aa_err why = AA_ERR_INIT;
    char  *question = NULL, *answer = NULL;
    int    status = 0;
    if (aa_http_address(opt->http, strlen(opt->http), host, port, &why) != AA_OK)
        return aa_fail(err, AA_ECONFIG, "--http: %s", why.text);
    snprintf(token, sizeof token, "%.*s", (int)rq->token.len, rq->token.data);
    aa_status st = score_json_ask(&question, rq, err);
    if (st == AA_OK)
        st = aa_http_ask(&answer, &status, host, port, rq->rank ? "/v1/rank" : "/v1/score", token,
                         question, opt->timeout_ms, err);
    if (st == AA_OK) st = score_json_read_reply(reply, answer, strlen(answer), err);
    free(question);
    free(answer);
    return st;
}

static aa_status
ask_scorer(const score_options *opt, const aa_conf *cfg, aa_score_reply *reply, aa_err *err)
{
    char             endpoint[AA_CONF_STR + 16];
    aa_rpc_client   *cl = NULL;
    aa_bytes         question = {0};
    const void      *answer;
    size_t           answer_len;
    aa_link_keys     keys = aa_link_keys_of(cfg);
    aa_score_request rq = {.token = reply_text_of(opt->token ? opt->token : cfg->scorer.token),
                           .user = reply_text_of(opt->user),
                           .item = calloc(opt->item_count + 1, sizeof(aa_text)),
                           .item_count = opt->item_count,
                           .context = calloc(opt->context_count + 1, sizeof(aa_text)),
                           .context_count = opt->context_count,
                           .exclude = calloc(opt->exclude_count + 1, sizeof(aa_text)),
                           .exclude_count = opt->exclude_count,
                           .rank = opt->top > 0,
                           .top = (uint32_t)opt->top,
                           .explain = opt->explain};
    aa_status        st = AA_OK;
    if (!rq.item || !rq.context || !rq.exclude) {
        st = aa_fail(err, AA_ENOMEM, "%zu items", opt->item_count);
        goto out;
    }
    for (size_t i = 0; i < opt->item_count; i++)
        rq.item[i] = reply_text_of(opt->item[i]);
    for (size_t i = 0; i < opt->context_count; i++)
        rq.context[i] = reply_text_of(opt->context[i]);
    for (size_t i = 0; i < opt->exclude_count; i++)
        rq.exclude[i] = reply_text_of(opt->exclude[i]);
    if (opt->http) {
        st = ask_http(opt, &rq, reply, err);
        goto out;
    }
    endpoint_of(opt->endpoint ? opt->endpoint : cfg->scorer.listen, endpoint, sizeof endpoint);
    if ((st = aa_score_pack_request(&question, &rq, err)) != AA_OK) goto out;
    if ((st = aa_rpc_connect(&cl, endpoint, &keys, err)) != AA_OK) goto out;
    st = aa_rpc_ask(cl, question.data, question.len, opt->timeout_ms, &answer, &answer_len, err);
    if (st == AA_EAGAIN)
        aa_fail(err, AA_EAGAIN,
                "no answer from %s within %d ms: does a scorer run there, with %s? (links.curve_*)",
                endpoint, opt->timeout_ms,
                keys.public_key[0] ? "the same keys" : "no keys, as there are none here");
    if (st == AA_OK) st = aa_score_unpack_reply(reply, answer, answer_len, err);
out:
    aa_rpc_disconnect(&cl);
    aa_bytes_fini(&question);
    aa_score_request_fini(&rq);
    return st;
}

static void
print_reading(const aa_score_reading *rd)
{
    printf("\tslot=%u mix=%.6g position=%u %s %s version=%llu", rd->slot, (double)rd->mix,
           rd->position, rd->unique ? "unique" : "shared", rd->known ? "known" : "unknown",
           (unsigned long long)rd->version);
}

/* 0, or AA_EXIT_FAILED when the reply is a refusal or not what was asked for. */
static int
print_reply(const score_options *opt, const aa_score_reply *reply)
{
    size_t len = 0;
    if (opt->json) {
        char *text = score_json_reply(reply, &len);
        if (text) fwrite(text, 1, len, stdout);
        free(text);
        return text && !reply->status ? AA_EXIT_DONE : AA_EXIT_FAILED;
    }
    if (reply->status) {
        fprintf(stderr, "score: %u: %s\n", reply->status, reply->error);
        return AA_EXIT_FAILED;
    }
    bool explained = reply->reading_count >= 1 + reply->score_count;
    bool whole =
        opt->top ? reply->score_count == reply->item_count : reply->score_count == opt->item_count;
    if (!whole || (opt->explain && !explained)) {
        fprintf(stderr, "score: asked for %zu scores, got %zu\n", opt->item_count,
                reply->score_count);
        return AA_EXIT_FAILED;
    }
    if (opt->explain) {
        printf("# user %s", opt->user);
        print_reading(&reply->reading[0]);
        printf(" model_version=%llu\n", (unsigned long long)reply->version);
    }
    for (size_t i = 0; i < reply->score_count; i++) {
        if (opt->top)
            fwrite(reply->item[i].data, 1, reply->item[i].len, stdout);
        else
            fputs(opt->item[i], stdout);
        printf("\t%.9g", (double)reply->score[i]);
        if (opt->explain) print_reading(&reply->reading[1 + i]);
        putchar('\n');
    }
    return AA_EXIT_DONE;
}

static int
load_and_ask(const score_options *opt)
{
    aa_err         err = AA_ERR_INIT;
    aa_score_reply reply = {0};
    int            code;
    aa_conf       *cfg = malloc(sizeof *cfg);
    if (!cfg) return AA_EXIT_FAILED;
    aa_status st = aa_conf_load(cfg, opt->path, opt->override, opt->override_count, &err);
    code = st == AA_OK ? AA_EXIT_FAILED : AA_EXIT_USAGE;
    if (st == AA_OK) st = ask_scorer(opt, cfg, &reply, &err);
    if (st == AA_ECONFIG) code = AA_EXIT_USAGE;
    if (st != AA_OK)
        fprintf(stderr, "score: %s\n", err.text);
    else
        code = print_reply(opt, &reply);
    aa_score_reply_fini(&reply);
    free(cfg);
    return code;
}

int
main(int argc, char **argv)
{
    score_options opt = {.user = "",
                         .timeout_ms = 5000,
                         .override = calloc((size_t)argc, sizeof *opt.override),
                         .context = calloc((size_t)argc, sizeof *opt.context),
                         .exclude = calloc((size_t)argc, sizeof *opt.exclude)};
    int           code = AA_EXIT_FAILED;
    if (!opt.override || !opt.context || !opt.exclude) goto out;
    called = aa_tool_called(argc, argv, called);
    code = parse_flags(argc, argv, &opt);
    if (code) goto out;
    if (opt.help) {
        aa_tool_print_usage(stdout, usage_text, "score", called);
    } else if (opt.version) {
        printf("%s %s\n", called, AA_VERSION);
    } else {
        code = parse_ids(argc, argv, &opt);
        if (!code) code = load_and_ask(&opt);
    }
    if (fflush(stdout) != 0 && !code) code = AA_EXIT_FAILED;
out:
    for (size_t i = 0; i < opt.item_count; i++)
        free(opt.item[i]);
    free(opt.item);
    free(opt.override);
    free(opt.context);
    free(opt.exclude);
    return code;
}
