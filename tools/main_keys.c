/* keys - a new CURVE key pair for the links between the processes, as a piece of configuration. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/links/link.h"
#include "common/service/tool.h"

static const char usage[] =
    "usage: keys [--env]\n"
    "Print a new key pair for links.curve_*: as YAML, or as lines for the environment.\n"
    "All processes of a pipeline share it. Exit codes: 0 printed, 1 no CURVE here, 2 usage.\n";

int
main(int argc, char **argv)
{
    const char *called = aa_tool_called(argc, argv, "keys");
    char        public_key[AA_LINK_KEY_BYTES], secret_key[AA_LINK_KEY_BYTES];
    aa_err      err = AA_ERR_INIT;
    bool        env = argc == 2 && strcmp(argv[1], "--env") == 0;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        aa_tool_print_usage(stdout, usage, "keys", called);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", called, AA_VERSION);
        return 0;
    }
    if (argc > 1 && !env) {
        aa_tool_print_usage(stderr, usage, "keys", called);
        return 2;
    }
    if (aa_link_new_keys(public_key, secret_key, &err) != AA_OK) {
        fprintf(stderr, "keys: %s\n", err.text);
        return 1;
    }
    /* Z85 has no quote, no backslash, but # and $: single quotes keep all of it as it stands */
    printf(env ? "AUTOASSIGN_LINKS_CURVE_PUBLIC_KEY='%s'\nAUTOASSIGN_LINKS_CURVE_SECRET_KEY='%s'\n"
               : "links:\n  curve_public_key: '%s'\n  curve_secret_key: '%s'\n",
           public_key, secret_key);
    return 0;
}
