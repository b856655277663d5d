/* inspect - look into checkpoint files: verify them, and print what they hold.
 *
 *   inspect FILE...
 *
 * Exit codes: 0 all whole, 1 a file is damaged or cannot be read, 2 usage.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/service/tool.h"
#include "common/state/checkpoint.h"

static const char usage[] =
    "usage: inspect FILE...\n"
    "Verify checkpoint files; list their sections and what the process says of its state.\n"
    "Exit codes: 0 all whole, 1 damaged or unreadable, 2 usage.\n";

/* What the process says of its state; files of other programs may hold none. */
static void
print_about(aa_ckpt_reader *r)
{
    const void *text;
    size_t      len;
    aa_err      err = AA_ERR_INIT;
    if (aa_ckpt_get(r, AA_CKPT_ABOUT, &text, &len, &err) != AA_OK) return;
    puts("state");
    for (const char *at = text, *end = at + len; at < end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *stop = line_end ? line_end : end;
        printf("  %.*s\n", (int)(stop - at), at);
        at = stop + 1;
    }
}

static void
print_checkpoint(const char *path, aa_ckpt_reader *r)
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
    print_about(r);
    printf("verified       yes\n");
}

int
main(int argc, char **argv)
{
    const char *called = aa_tool_called(argc, argv, "inspect");
    int         code = 0;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        aa_tool_print_usage(stdout, usage, "inspect", called);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", called, AA_VERSION);
        return 0;
    }
    if (argc < 2 || argv[1][0] == '-') {
        aa_tool_print_usage(stderr, usage, "inspect", called);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        aa_err          err = AA_ERR_INIT;
        aa_ckpt_reader *r = NULL;
        if (aa_ckpt_open_path(&r, argv[i], &err) == AA_OK) {
            if (i > 1) putchar('\n');
            print_checkpoint(argv[i], r);
        } else {
            fflush(stdout);
            fprintf(stderr, "inspect: %s\n", err.text);
            code = 1;
        }
        aa_ckpt_close(&r);
    }
    return code;
}
