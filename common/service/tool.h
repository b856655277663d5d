/* common/service/tool - what the small programs for operators have in common: command line,
 * configuration, logs, exit codes. (What runs for long has common/service/program.)
 *
 *   <tool> [-c FILE] [-o section.key=value]... [own option]... [--help] [--version] [argument]...
 *
 * Exit codes: those of common/base/status. What goes wrong is one line on stderr, with the tool's
 * name. Only level debug of log.level counts; otherwise a tool logs warnings and errors.
 */
#ifndef AA_COMMON_SERVICE_TOOL_H
#define AA_COMMON_SERVICE_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/status.h"
#include "common/config/conf.h"

#define AA_TOOL_MAX_OPTIONS 16

/** A long option of the tool's own. One of the four targets says what it takes: nothing (flag), a
 *  text (text), a number from 1 to max (count), or what `take` makes of it. */
typedef struct {
    const char *name; /* "partitions" */
    const char
         *refuse; /* "not a number from 1 to 10000": said of a value that count or take refuse */
    bool *flag;   /* set to true */
    const char **text; /* borrows from argv */
    int64_t     *count;
    int64_t      max; /* of count */
    /** @return false: refused */
    bool (*take)(void *arg, const char *value);
} aa_tool_option;

/* The arguments that are not options. */
typedef struct {
    char *const *text; /* (count) */
    size_t       count;
} aa_tool_args;

/** A failure whose err->text is empty has been told already: only its exit code is used. */
typedef struct {
    const char           *name;         /* "record" */
    const char           *usage;        /* the text of --help */
    const aa_tool_option *options;      /* (option_count) */
    size_t                option_count; /* <= AA_TOOL_MAX_OPTIONS */
    size_t                min_args, max_args;
    const char           *args_needed; /* "a FILE is needed"; NULL when max_args is 0 */
    /** Before the configuration is loaded; *done: that was all. NULL: nothing to prepare. */
    aa_status (*prepare)(void *arg, aa_tool_args args, bool *done, aa_err *err);
    aa_status (*run)(void *arg, const aa_conf *cfg, aa_tool_args args, aa_err *err);
    void *arg; /* of the three callbacks */
} aa_tool;

/** All of main(). @return the exit code */
int aa_tool_main(const aa_tool *tool, int argc, char **argv);

/** What the person at the shell called this: the last part of argv[0], "autoassign-record" for an
 *  installed record; name without an argv[0]. It becomes argv[0], which getopt's complaints begin
 *  with. The log's proc stays the plain name. */
const char *aa_tool_called(int argc, char **argv, const char *name);

/** Print the text of --help, with `called` where a line of its usage begins with name. */
void aa_tool_print_usage(FILE *out, const char *usage, const char *name, const char *called);

/** Say "<called>: <what><value>", unless what is NULL, and where the help is.
 *  @return AA_EXIT_USAGE */
int aa_tool_usage_error(const char *called, const char *what, const char *value);

/** @return false unless all of text is a number from 1 to max */
bool aa_tool_take_count(const char *text, int64_t max, int64_t *out);

#endif
