#include "common/service/program.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/config/conf_table.h"
#include "common/kafka/kafka_conf.h"
#include "common/links/link.h"
#include "common/service/enough.h"
#include "common/service/tool.h"
#include "common/state/checkpoint.h"

/* ---- signals ---- */

static volatile sig_atomic_t stop_flag;
static int                   stop_pipe[2] = {-1, -1}; /* written once, never read: stays readable */

static void
on_stop_signal(int sig)
{
    int why = errno;
    if (stop_flag) { /* the second one: the default action, once this handler returns */
        signal(sig, SIG_DFL);
        raise(sig);
    } else {
        stop_flag = 1;
        ssize_t done = write(stop_pipe[1], "x", 1);
        (void)done;
    }
    errno = why;
}

static aa_status
catch_signals(aa_err *err)
{
    struct sigaction stop = {.sa_handler = on_stop_signal}, ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    if (pipe(stop_pipe) != 0) return aa_fail(err, AA_EIO, "pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        if (fcntl(stop_pipe[i], F_SETFD, FD_CLOEXEC) || fcntl(stop_pipe[i], F_SETFL, O_NONBLOCK))
            return aa_fail(err, AA_EIO, "pipe: %s", strerror(errno));
    if (sigaction(SIGTERM, &stop, NULL) || sigaction(SIGINT, &stop, NULL) ||
        sigaction(SIGPIPE, &ignore, NULL))
        return aa_fail(err, AA_EIO, "sigaction: %s", strerror(errno));
    return AA_OK;
}

bool
aa_stop_requested(void)
{
    return stop_flag != 0;
}

int
aa_stop_fd(void)
{
    return stop_pipe[0];
}

/* ---- command line ---- */

typedef struct {
    const char  *path;
    const char **overrides; /* owned array of borrowed texts */
    size_t       override_count;
    bool         check, print, reference, help, version;
    size_t       trial;  /* messages; 0: none is asked for */
    const char  *called; /* aa_tool_called */
} options;

static void
print_help(const aa_program *program, const char *called, FILE *out)
{
    size_t            count;
    const aa_section *sc = aa_conf_table_sections(&count);
    fprintf(out,
            "%s - %s\n\n"
            "usage: %s [option]...\n"
            "  -c FILE                  configuration (YAML); without it, the defaults\n"
            "  -o section.key=value     set one key; again and again if need be\n"
            "  --check-config           load the configuration and exit: 0 good, 2 bad\n"
            "  --print-config           print the configuration in effect as YAML and exit\n"
            "  --print-reference        print what every key means (Markdown) and exit\n"
            "%s"
            "  --help, --version\n\n"
            "Later wins: defaults, file, environment (AUTOASSIGN_SECTION_KEY), -o.\n"
            "Sections of the configuration; --print-reference and docs/CONFIGURATION.md have the "
            "keys:\n",
            called, program->summary, called,
            program->trial ? "  --try N                  print what the topic's first N messages "
                             "become, and exit: nothing is committed\n"
                           : "");
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-12s %s\n", sc[i].name, sc[i].help);
    fprintf(out, "  %-12s %s\n", aa_conf_table_field()->name, aa_conf_table_field()->help);
    fprintf(out,
            "  %-12s properties of librdkafka, passed on as they stand\n\n"
            "Exit codes: 0 done or drained, 1 run-time failure, 2 configuration or usage, "
            "3 out of memory.\n"
            "SIGTERM and SIGINT drain; a second one ends the program at once.\n",
            "kafka");
}

static bool
parse_trial(const char *text, size_t *n)
{
    char      *end;
    const long value = strtol(text, &end, 10);
    *n = value > 0 ? (size_t)value : 0;
    return *end == '\0' && value >= 1 && value <= 1000000;
}

/* false: usage error, already said on stderr by getopt or here */
static bool
parse_options(const aa_program *program, int argc, char **argv, options *opt)
{
    enum { CHECK = 1000, PRINT, REFERENCE, TRY };
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"option", required_argument, NULL, 'o'},
        {"check-config", no_argument, NULL, CHECK},
        {"print-config", no_argument, NULL, PRINT},
        {"print-reference", no_argument, NULL, REFERENCE},
        {"try", required_argument, NULL, TRY},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "c:o:hV", longs, NULL)) != -1) {
        switch (c) {
        case 'c': opt->path = optarg; break;
        case 'o': opt->overrides[opt->override_count++] = optarg; break;
        case CHECK: opt->check = true; break;
        case PRINT: opt->print = true; break;
        case REFERENCE: opt->reference = true; break;
        case TRY:
            if (!program->trial || !parse_trial(optarg, &opt->trial)) {
                fprintf(stderr, "%s: --try: %s\n", argv[0],
                        program->trial ? "expected a number of messages, 1 to 1000000"
                                       : "only ingest has it");
                return false;
            }
            break;
        case 'h': opt->help = true; break;
        case 'V': opt->version = true; break;
        default: return false;
        }
    }
    if (optind < argc) fprintf(stderr, "%s: unexpected argument \"%s\"\n", argv[0], argv[optind]);
    return optind >= argc;
}

/* ---- running ---- */

static int64_t
http_port(const aa_conf *cfg, const char *program)
{
    char    key[64];
    int64_t port = 0;
    snprintf(key, sizeof key, "%s_port", program);
    const aa_setting *se = aa_conf_table_setting(aa_conf_table_find("http"), key);
    if (se) memcpy(&port, (const char *)&cfg->http + se->offset, sizeof port);
    return port;
}

static aa_status
open_http(aa_context *ctx, const aa_program *program, aa_err *err)
{
    char kv[AA_CONF_STR + 32];
    if (!ctx->cfg->http.enabled) return AA_OK;
    const aa_http_limits limits = {.max_connections = ctx->cfg->http.max_connections,
                                   .keepalive_ms = ctx->cfg->http.keepalive_ms,
                                   .request_ms = ctx->cfg->http.request_ms};
    aa_status            st =
        aa_http_server_open(&ctx->http, ctx->cfg->http.bind,
                            (int)http_port(ctx->cfg, program->name), &limits, ctx->ms, err);
    if (st != AA_OK) return st;
    snprintf(kv, sizeof kv, "bind=%s port=%d", ctx->cfg->http.bind, aa_http_server_port(ctx->http));
    aa_log_write(AA_INFO, "HTTP-LISTEN", kv, "healthz, readyz and metrics are served");
    return AA_OK;
}

void
aa_program_metrics(aa_metrics *ms, const char *process)
{
    char labels[128] = "";
    aa_metrics_label(labels, sizeof labels, "process", process);
    aa_metrics_label(labels, sizeof labels, "version", AA_VERSION);
    aa_gauge_set(aa_metrics_gauge(ms, "autoassign_build_info", labels, "Which build this is."), 1);
}

/* The folder that dir is in. */
static void
parent_of(const char *dir, char parent[AA_CONF_STR + 2])
{
    size_t len = strlen(dir);
    while (len > 0 && dir[len - 1] == '/') /* trailing ones */
        len--;
    while (len > 0 && dir[len - 1] != '/') /* the name */
        len--;
    if (len > 0)
        snprintf(parent, AA_CONF_STR + 2, "%.*s", (int)len, dir);
    else
        snprintf(parent, AA_CONF_STR + 2, "%s", dir[0] == '/' ? "/" : ".");
}

/* A process that cannot write its summary would fail only at its end. Makes the folder,
 * its own level only, when it is missing; without `make` it is enough that this could be done. */
static aa_status
check_summary_dir(const aa_conf *cfg, bool make, aa_err *err)
{
    char        parent[AA_CONF_STR + 2];
    const char *dir = cfg->pipeline.summary_dir;
    if (!dir[0] || access(dir, W_OK | X_OK) == 0) return AA_OK;
    if (errno == ENOENT && make) {
        /* EEXIST: another process of the pipeline was first */
        if ((mkdir(dir, S_IRWXU) == 0 || errno == EEXIST) && access(dir, W_OK | X_OK) == 0)
            return AA_OK;
    } else if (errno == ENOENT) {
        parent_of(dir, parent);
        if (access(parent, W_OK | X_OK) == 0) return AA_OK;
    }
    return aa_fail(err, AA_ECONFIG, "pipeline.summary_dir: %s: %s", dir, strerror(errno));
}

static bool
keeps_checkpoints(const aa_program *program, const aa_conf *cfg)
{
    static const char *const keepers[] = {"ingest", "assigner", "learner"};
    if (cfg->ingest.role == AA_ROLE_FETCHER && strcmp(program->name, "ingest") == 0) return false;
    for (size_t i = 0; i < sizeof keepers / sizeof *keepers; i++)
        if (strcmp(program->name, keepers[i]) == 0) return true;
    return false;
}

/* What the start refuses, --check-config refuses: by this function. It adds what only the libraries
 * and the file system know to what aa_conf_load has checked. make: folders that are missing. */
static aa_status
check_config(const aa_program *program, const aa_conf *cfg, bool make, aa_err *err)
{
    aa_status st = aa_kafka_check(cfg, err);
    if (st == AA_OK) st = aa_link_check(cfg, program->name, err);
    if (st == AA_OK) st = check_summary_dir(cfg, make, err);
    if (st == AA_OK && keeps_checkpoints(program, cfg))
        st = aa_ckpt_check_folder(cfg, program->name, err);
    if (st == AA_OK && program->check) {
        aa_err what = AA_ERR_INIT;
        st = program->check(cfg, &what);
        if (st != AA_OK) return aa_conf_fail_at(cfg, st, what.text, err);
    }
    return st;
}

/* Logs on: everything from here on, the error included, is a record. */
static aa_status
run_program(const aa_program *program, const aa_conf *cfg)
{
    static const aa_log_level levels[] = {[AA_LOG_LEVEL_DEBUG] = AA_DEBUG,
                                          [AA_LOG_LEVEL_INFO] = AA_INFO,
                                          [AA_LOG_LEVEL_WARN] = AA_WARN,
                                          [AA_LOG_LEVEL_ERROR] = AA_ERROR};
    aa_err                    err = AA_ERR_INIT;
    char                      kv[AA_CONF_STR + 96];
    aa_status                 st = AA_OK;
    bool                      libraries_whole = true;
    umask(S_IRWXG | S_IRWXO); /* checkpoints, summaries, sockets: for this user only */
    aa_log_init(program->name, levels[cfg->log.level], cfg->log.format == AA_LOG_FORMAT_JSON);
    snprintf(kv, sizeof kv, "version=%s pid=%ld config=\"%s\" digest=%016llx", AA_VERSION,
             (long)getpid(), cfg->path, (unsigned long long)aa_conf_digest(cfg));
    aa_log_write(AA_INFO, "START", kv, "%s", program->summary);
    aa_conf_log(cfg);

    aa_context ctx = {.cfg = cfg, .ms = aa_metrics_new()};
    if (!ctx.ms) {
        st = aa_fail(&err, AA_ENOMEM, "metrics");
        goto out;
    }
    aa_program_metrics(ctx.ms, program->name);
    if (program->threads) st = aa_enough_threads(program->threads(cfg), &err);
    if (st != AA_OK) {
        libraries_whole = false;
        goto out;
    }
    if ((st = check_config(program, cfg, true, &err)) != AA_OK ||
        (st = catch_signals(&err)) != AA_OK || (st = open_http(&ctx, program, &err)) != AA_OK)
        goto out;
    st = program->run(&ctx, &err);
    aa_set_ready(&ctx, false, "stopping");
out:
    aa_http_server_close(&ctx.http);
    aa_metrics_free(&ctx.ms);
    aa_log_flush_repeats();
    snprintf(kv, sizeof kv, "status=%s", aa_status_name(st));
    if (st != AA_OK)
        aa_log_write(AA_ERROR, "FAILED", kv, "%s", err.text);
    else
        aa_info("EXIT", "done");
    /* a library that could not start its threads may wait for them at the exit, for ever */
    if (!libraries_whole || st == AA_ENOMEM) {
        fflush(stdout);
        _exit(aa_status_exit_code(st));
    }
    return st;
}

static aa_status
report_check(const aa_program *program, const options *opt, const aa_conf *cfg)
{
    aa_err    err = AA_ERR_INIT;
    aa_status st = check_config(program, cfg, false, &err);
    if (st == AA_OK)
        printf("%s: configuration is good\n", opt->path ? opt->path : "defaults");
    else
        fprintf(stderr, "%s: %s\n", opt->called, err.text);
    return st;
}

static aa_status
try_messages(const aa_program *program, const options *opt, const aa_conf *cfg)
{
    aa_err    err = AA_ERR_INIT;
    aa_status st = aa_kafka_check(cfg, &err);
    aa_log_init(program->name, AA_WARN, cfg->log.format == AA_LOG_FORMAT_JSON);
    if (st == AA_OK) st = program->trial(cfg, opt->trial, stdout, &err);
    if (st != AA_OK) fprintf(stderr, "%s: %s\n", opt->called, err.text);
    return st;
}

static aa_status
load_and_run(const aa_program *program, const options *opt)
{
    aa_err    err = AA_ERR_INIT;
    aa_status st = AA_OK;
    aa_conf  *cfg = malloc(sizeof *cfg);
    if (!cfg) return AA_ENOMEM;
    if ((st = aa_conf_load(cfg, opt->path, opt->overrides, opt->override_count, &err)) != AA_OK) {
        fprintf(stderr, "%s: %s\n", opt->called, err.text);
        if (st == AA_EIO) st = AA_ECONFIG; /* a file that is not there is a wrong -c */
        goto out;
    }
    if (opt->print)
        aa_conf_print(cfg, stdout);
    else if (opt->check)
        st = report_check(program, opt, cfg);
    else if (opt->trial > 0)
        st = try_messages(program, opt, cfg);
    else
        st = run_program(program, cfg);
out:
    free(cfg);
    return st;
}

/* A broken invariant leaves a core, not an exit code. */
static int
end_code(aa_status st)
{
    if (st == AA_EBUG) abort();
    return aa_status_exit_code(st);
}

int
aa_program_main(const aa_program *program, int argc, char **argv)
{
    int     code;
    options opt = {.overrides = calloc((size_t)argc + 1, sizeof *opt.overrides)};
    if (!opt.overrides) return AA_EXIT_MEMORY;
    opt.called = aa_tool_called(argc, argv, program->name);
    if (!parse_options(program, argc, argv, &opt)) {
        code = aa_tool_usage_error(opt.called, NULL, "");
        goto out;
    }
    code = 0;
    if (opt.help)
        print_help(program, opt.called, stdout);
    else if (opt.version)
        printf("%s %s\n", opt.called, AA_VERSION);
    else if (opt.reference)
        aa_conf_print_reference(stdout);
    else
        code = end_code(load_and_run(program, &opt));
    if (fflush(stdout) != 0 && !code) code = AA_EXIT_FAILED;
out:
    free(opt.overrides);
    return code;
}

/* ---- what a running program may ask of its frame ---- */

void
aa_set_ready(aa_context *ctx, bool ready, const char *why)
{
    if (ctx->http) aa_http_server_set_ready(ctx->http, ready, why);
}

int
aa_http_port(const aa_context *ctx)
{
    return ctx->http ? aa_http_server_port(ctx->http) : 0;
}

void
aa_http_set_handler(aa_context *ctx, aa_http_handler handler, void *arg)
{
    if (ctx->http) aa_http_server_set_handler(ctx->http, handler, arg);
}

void
aa_http_linger(aa_context *ctx)
{
    if (ctx->http) aa_http_server_linger(ctx->http);
}

void
aa_http_drain(aa_context *ctx, int64_t wait_ms)
{
    if (ctx->http) aa_http_server_drain(ctx->http, wait_ms);
}
