/* common/service/program - what every process has in common: command line, configuration, logs, signals,
 * the HTTP server for operators, exit codes.
 *
 *   <program> [-c FILE] [-o section.key=value]... [--check-config] [--print-config]
 *             [--print-reference] [--help] [--version]
 *
 * Exit codes: 0 done or drained, 1 run-time failure, 2 configuration or usage, 3 out of memory.
 * SIGTERM and SIGINT set a flag that `run` polls; a second one ends the process at once.
 */
#ifndef AA_COMMON_SERVICE_PROGRAM_H
#define AA_COMMON_SERVICE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/service/http_server.h"
#include "common/service/metrics.h"

typedef struct aa_program aa_program;

/* Handed to run(); the program frame owns all of it. */
typedef struct {
    const aa_conf  *cfg;
    aa_metrics     *ms;
    aa_http_server *http; /* NULL when http.enabled is false */
} aa_context;

struct aa_program {
    const char *name;    /* "ingest" */
    const char *summary; /* one line for --help */
    /** Start, restore, be ready, run, drain. The frame logs the error and picks the exit code. */
    aa_status (*run)(aa_context *ctx, aa_err *err);
    /** Threads that it and its libraries start; the frame looks whether there may be so many before
     *  any is. NULL: it does not look. */
    size_t (*threads)(const aa_conf *cfg);
    /** What of the configuration only this process knows to be wrong; --check-config asks it too.
     *  NULL: nothing. @errors AA_ECONFIG */
    aa_status (*check)(const aa_conf *cfg, aa_err *err);
    /** --try N, instead of run: without logs and HTTP. NULL: the program has no such option. */
    aa_status (*trial)(const aa_conf *cfg, size_t n, FILE *out, aa_err *err);
};
/** Of the frame and the links of every process. */
enum { AA_PROGRAM_THREADS = 3 };

/** Register what every process has; aa_program_main does it. */
void aa_program_metrics(aa_metrics *ms, const char *process);

int aa_program_main(const aa_program *program, int argc, char **argv);

/** True once SIGTERM or SIGINT arrived: finish what is in flight and return. */
bool aa_stop_requested(void);
/** File descriptor that becomes readable on SIGTERM or SIGINT, for poll loops. */
int aa_stop_fd(void);
/** What /readyz says; `why` is shown while not ready (a literal). @thread any */
void aa_set_ready(aa_context *ctx, bool ready, const char *why);
/** The port the HTTP server got, 0 if there is none. */
int aa_http_port(const aa_context *ctx);

/** From now on each answer ends its connection. @thread any */
void aa_http_linger(aa_context *ctx);
/** Take no more connections, and wait for at most wait_ms until those there are have ended. */
void aa_http_drain(aa_context *ctx, int64_t wait_ms);

/** Requests that are not the frame's own go to handler, on HTTP's thread. NULL: 404 again; returns
 *  when no call is under way, so that arg may be freed. `run` must do that before it returns. */
void aa_http_set_handler(aa_context *ctx, aa_http_handler handler, void *arg);

#endif
