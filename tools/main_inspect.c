/* inspect - look into checkpoint files: verify them, and print what they hold.
 *
 *   inspect [-c FILE] [-o section.key=value]... CHECKPOINT...
 *
 * With -c or -o it says which of the settings that a checkpoint was made with are others there.
 *
 * Exit codes: 0 all whole, 1 a file is damaged or cannot be read, 2 usage.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/conf_kept.h"
#include "common/service/tool.h"
#include "common/state/checkpoint.h"

static const char usage[] =
    "usage: inspect [-c FILE] [-o section.key=value]... CHECKPOINT...\n"
    "Verify checkpoint files; list their sections, the settings they were made with, and what the\n"
    "process says of its state. With -c or -o: which settings differ from that configuration.\n"
    "Exit codes: 0 all whole, 1 damaged or unreadable, 2 usage.\n";

/* The lines of a section of text; files of other programs may hold none. */
static void
print_lines(aa_ckpt_reader *r, const char *section, const char *title)
{
    const void *text;
    size_t      len;
    aa_err      err = AA_ERR_INIT;
    if (aa_ckpt_get(r, section, &text, &len, &err) != AA_OK) return;
    puts(title);
    for (const char *at = text, *end = at + len; at < end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *stop = line_end ? line_end : end;
        printf("  %.*s\n", (int)(stop - at), at);
        at = stop + 1;
    }
}

static void
print_differences(aa_ckpt_reader *r, const aa_conf *cfg)
{
    aa_conf_kept_diff diff;
    const void       *text;
    size_t            len;
    aa_err            err = AA_ERR_INIT;
    if (aa_ckpt_get(r, AA_CKPT_SETTINGS, &text, &len, &err) != AA_OK) return;
    aa_conf_kept_compare(cfg, text, len, &diff);
    printf("differs        %s\n",
           diff.shaping[0] ? diff.shaping : "in nothing that shapes the state");
    if (diff.free[0]) printf("may differ     %s\n", diff.free);
}

static void
print_checkpoint(const char *path, aa_ckpt_reader *r, const aa_conf *cfg)
{
    aa_ckpt_info info;
    aa_ckpt_info_get(r, &info);
    printf("file           %s\n", path);
    printf("process        %s\n", info.process);
    printf("pipeline       %s\n", info.pipeline);
    printf("lane           %" PRIu32 "\n", info.lane);
    printf("epoch          %" PRIu64 "\n", info.epoch);
    printf("format_version %" PRIu32 "\n", info.format_version);
    printf("config_digest  %016" PRIx64 "\n", info.config_digest);
    printf("file_bytes     %" PRIu64 "\n", info.file_bytes);
    printf("file_digest    %016" PRIx64 "\n", info.file_digest);
    printf("sections       %zu\n", info.section_count);
    for (size_t i = 0; i < info.section_count; i++) {
        const char *name;
        size_t      len_bytes;
        uint64_t    digest;
        aa_ckpt_section_at(r, i, &name, &len_bytes, &digest);
        printf("  %-39s %14zu bytes  %016" PRIx64 "\n", name, len_bytes, digest);
    }
    print_lines(r, AA_CKPT_SETTINGS, "settings");
    print_lines(r, AA_CKPT_ABOUT, "state");
    if (cfg) print_differences(r, cfg);
    printf("verified       yes\n");
}

static int
inspect_all(char **path, int count, const aa_conf *cfg)
{
    int code = 0;
    for (int i = 0; i < count; i++) {
        aa_err          err = AA_ERR_INIT;
        aa_ckpt_reader *r = NULL;
        if (aa_ckpt_open_path(&r, path[i], &err) == AA_OK) {
            if (i > 0) putchar('\n');
            print_checkpoint(path[i], r, cfg);
        } else {
            fflush(stdout);
            fprintf(stderr, "inspect: %s\n", err.text);
            code = 1;
        }
        aa_ckpt_close(&r);
    }
    return code;
}

/* -c FILE and -o KEY=VALUE before the checkpoints; *at: the first of these. False: wrong usage. */
static bool
take_options(int argc, char **argv, int *at, const char **path, const char **overrides,
             size_t *count)
{
    for (*at = 1; *at + 1 < argc && argv[*at][0] == '-'; *at += 2) {
        if (strcmp(argv[*at], "-c") == 0)
            *path = argv[*at + 1];
        else if (strcmp(argv[*at], "-o") == 0)
            overrides[(*count)++] = argv[*at + 1];
        else
            return false;
    }
    return *at < argc && argv[*at][0] != '-';
}

static int
run_inspect(int argc, char **argv, const char *called)
{
    const char  *path = NULL;
    const char **overrides = calloc((size_t)argc, sizeof *overrides);
    aa_conf     *cfg = malloc(sizeof *cfg);
    size_t       count = 0;
    int          at = 1, code = 2;
    aa_err       err = AA_ERR_INIT;

    if (!overrides || !cfg) {
        code = AA_EXIT_MEMORY;
    } else if (!take_options(argc, argv, &at, &path, overrides, &count)) {
        aa_tool_print_usage(stderr, usage, "inspect", called);
    } else if (!path && count == 0) {
        code = inspect_all(argv + at, argc - at, NULL);
    } else if (aa_conf_load(cfg, path, overrides, count, &err) != AA_OK) {
        fprintf(stderr, "inspect: %s\n", err.text);
    } else {
        code = inspect_all(argv + at, argc - at, cfg);
    }
    free(cfg);
    free(overrides);
    return code;
}

int
main(int argc, char **argv)
{
    const char *called = aa_tool_called(argc, argv, "inspect");
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        aa_tool_print_usage(stdout, usage, "inspect", called);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", called, AA_VERSION);
        return 0;
    }
    return run_inspect(argc, argv, called);
}
