#include "common/service/tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

typedef struct {
    const char  *path;
    const char **override; /* (override_count) owned array of borrowed texts */
    size_t       override_count;
    bool         help, version;
    const char  *called; /* aa_tool_called */
    aa_tool_args args;
} command_line;

/* ---- command line ---- */

const char *
aa_tool_called(int argc, char **argv, const char *name)
{
    if (argc < 1 || !argv[0] || !*argv[0]) return name;
    char *slash = strrchr(argv[0], '/');
    if (slash && slash[1]) argv[0] = slash + 1;
    return argv[0];
}

void
aa_tool_print_usage(FILE *out, const char *usage, const char *name, const char *called)
{
    static const char *const begins[] = {"usage: ", "       "};
    const size_t             len = strlen(name);
    while (*usage) {
        size_t line = strcspn(usage, "\n") + 1, skip = 0;
        if (usage[line - 1] == '\0') line--; /* the last one, without an end */
        for (size_t i = 0; i < 2 && skip == 0; i++) {
            const char *at = usage + strlen(begins[i]);
            if (strncmp(usage, begins[i], strlen(begins[i])) == 0 && strncmp(at, name, len) == 0 &&
                at[len] == ' ')
                skip = strlen(begins[i]) + len;
        }
        if (skip) fprintf(out, "%.7s%s", usage, called);
        fwrite(usage + skip, 1, line - skip, out);
        usage += line;
    }
}

int
aa_tool_usage_error(const char *called, const char *what, const char *value)
{
    if (what) fprintf(stderr, "%s: %s%s\n", called, what, value);
    fprintf(stderr, "try %s --help\n", called);
    return AA_EXIT_USAGE;
}

bool
aa_tool_take_count(const char *text, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out >= 1 && *out <= max;
}

static bool
takes_value(const aa_tool_option *to)
{
    return !to->flag;
}

/* value: NULL for a flag. Returns 0 or AA_EXIT_USAGE. */
static int
take_option(const aa_tool *tool, const char *called, const aa_tool_option *to, const char *value)
{
    char what[160];
    bool good = true;
    if (to->flag)
        *to->flag = true;
    else if (to->text)
        *to->text = value;
    else if (to->count)
        good = aa_tool_take_count(value, to->max, to->count);
    else
        good = to->take(tool->arg, value);
    if (good) return 0;
    snprintf(what, sizeof what, "--%s: %s: ", to->name, to->refuse);
    return aa_tool_usage_error(called, what, value);
}

/* 0 or AA_EXIT_USAGE */
static int
parse_options(const aa_tool *tool, int argc, char **argv, command_line *cl)
{
    enum { FIRST_OWN = 1000 };
    struct option longs[AA_TOOL_MAX_OPTIONS + 3] = {{0}};
    const int     n = (int)tool->option_count;
    int           c, code = 0;
    AA_REQUIRE(tool->option_count <= AA_TOOL_MAX_OPTIONS);
    for (int i = 0; i < n; i++)
        longs[i] = (struct option){tool->options[i].name,
                                   takes_value(&tool->options[i]) ? required_argument : no_argument,
                                   NULL, FIRST_OWN + i};
    longs[n] = (struct option){"help", no_argument, NULL, 'h'};
    longs[n + 1] = (struct option){"version", no_argument, NULL, 'V'};
    optind = 1;
    while (code == 0 && (c = getopt_long(argc, argv, "c:o:hV", longs, NULL)) != -1) {
        switch (c) {
        case 'c': cl->path = optarg; break;
        case 'o': cl->override[cl->override_count++] = optarg; break;
        case 'h': cl->help = true; break;
        case 'V': cl->version = true; break;
        case '?': return aa_tool_usage_error(cl->called, NULL, ""); /* getopt said what */
        default: code = take_option(tool, cl->called, &tool->options[c - FIRST_OWN], optarg);
        }
    }
    cl->args = (aa_tool_args){argv + optind, (size_t)(argc - optind)};
    return code;
}

/* 0 or AA_EXIT_USAGE */
static int
check_args(const aa_tool *tool, const command_line *cl)
{
    const size_t n = cl->args.count;
    if (tool->max_args == 0 && n > 0)
        return aa_tool_usage_error(cl->called, "unexpected: ", cl->args.text[0]);
    if (cl->help || cl->version || (n >= tool->min_args && n <= tool->max_args)) return 0;
    return aa_tool_usage_error(cl->called, tool->args_needed, "");
}

/* ---- running ---- */

static aa_status
load_and_run(const aa_tool *tool, const command_line *cl, aa_conf *cfg, aa_err *err)
{
    aa_status st = aa_conf_load(cfg, cl->path, cl->override, cl->override_count, err);
    if (st == AA_EIO) return AA_ECONFIG; /* its file cannot be read */
    if (st != AA_OK) return st;
    aa_log_init(tool->name, cfg->log.level == AA_LOG_LEVEL_DEBUG ? AA_DEBUG : AA_WARN, false);
    return tool->run(tool->arg, cfg, cl->args, err);
}

static int
work(const aa_tool *tool, const command_line *cl)
{
    aa_err    err = AA_ERR_INIT;
    bool      done = false;
    aa_status st = AA_OK;
    aa_conf  *cfg = malloc(sizeof *cfg);
    if (!cfg) return AA_EXIT_MEMORY;
    if (tool->prepare) st = tool->prepare(tool->arg, cl->args, &done, &err);
    if (st == AA_OK && !done) st = load_and_run(tool, cl, cfg, &err);
    free(cfg);
    aa_log_flush_repeats();
    if (st != AA_OK && err.text[0]) fprintf(stderr, "%s: %s\n", cl->called, err.text);
    return aa_status_exit_code(st);
}

int
aa_tool_main(const aa_tool *tool, int argc, char **argv)
{
    command_line cl = {.override = calloc((size_t)argc + 1, sizeof *cl.override)};
    int          code = AA_EXIT_MEMORY;
    if (!cl.override) goto out;
    cl.called = aa_tool_called(argc, argv, tool->name);
    if ((code = parse_options(tool, argc, argv, &cl)) || (code = check_args(tool, &cl))) goto out;
    if (cl.help)
        aa_tool_print_usage(stdout, tool->usage, tool->name, cl.called);
    else if (cl.version)
        printf("%s %s\n", cl.called, AA_VERSION);
    else
        code = work(tool, &cl);
out:
    free(cl.override);
    return code;
}
