/* Each run of a program is a child of its own: signals and exit codes belong to a process. */
#include "common/service/program.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a program that ended has left. */
typedef struct {
    int  status; /* of waitpid */
    char out[65536], err[65536];
} outcome;

static void
read_all(FILE *file, char *buf, size_t size)
{
    rewind(file);
    size_t n = fread(buf, 1, size - 1, file);
    buf[n] = '\0';
    fclose(file);
}

static aa_status (*own_check)(const aa_conf *cfg, aa_err *err); /* of the program under test */

static outcome *
run_main(aa_status (*run)(aa_context *ctx, aa_err *err), int argc, const char *const *args)
{
    char             name[] = "/usr/local/bin/autoassign-ingest", *argv[16] = {name};
    const aa_program program = {
        .name = "ingest", .summary = "reads events", .run = run, .check = own_check};
    FILE *out = tmpfile(), *err = tmpfile();
    assert_true(out && err && argc < 15);
    for (int i = 0; i < argc; i++)
        argv[i + 1] = strdup(args[i]);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        _exit(aa_program_main(&program, argc + 1, argv));
    }
    outcome *oc = calloc(1, sizeof *oc); /* after the fork: the child has no leak to report */
    assert_non_null(oc);
    assert_true(waitpid(pid, &oc->status, 0) == pid);
    read_all(out, oc->out, sizeof oc->out);
    read_all(err, oc->err, sizeof oc->err);
    for (int i = 0; i < argc; i++)
        free(argv[i + 1]);
    return oc;
}

#define RUN(run, ...)                                                                              \
    run_main(run, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                   \
             (const char *[]){__VA_ARGS__})

static void
check_exit(const outcome *oc, int want)
{
    if (!WIFEXITED(oc->status) || WEXITSTATUS(oc->status) != want)
        fail_msg("wait status 0x%x, want exit code %d\n%s\n%s", (unsigned)oc->status, want, oc->out,
                 oc->err);
}

static void
check_has(const char *text, const char *want)
{
    if (!strstr(text, want)) fail_msg("want: %s\nin:\n%s", want, text);
}

static aa_status
run_never(aa_context *ctx, aa_err *err)
{
    (void)ctx;
    return aa_fail(err, AA_EBUG, "must not run");
}

static aa_status
run_well(aa_context *ctx, aa_err *err)
{
    aa_set_ready(ctx, true, "");
    if (aa_http_port(ctx) != 0) return aa_fail(err, AA_EIO, "there is no HTTP server");
    if (!ctx->ms || ctx->cfg->model.dim != 8) return aa_fail(err, AA_EIO, "context");
    return aa_stop_requested() ? aa_fail(err, AA_EIO, "stopped") : AA_OK;
}

static aa_status
run_io(aa_context *ctx, aa_err *err)
{
    (void)ctx;
    return aa_fail(err, AA_EIO, "broker \"b\" is away");
}

static aa_status
run_config(aa_context *ctx, aa_err *err)
{
    (void)ctx;
    return aa_fail(err, AA_ECONFIG, "kafka.x: unknown");
}

static aa_status
run_nomem(aa_context *ctx, aa_err *err)
{
    (void)ctx;
    return aa_fail(err, AA_ENOMEM, "rows");
}

static bool
stop_fd_is_readable(void)
{
    struct pollfd pfd = {.fd = aa_stop_fd(), .events = POLLIN};
    return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN);
}

static aa_status
run_until_stopped(aa_context *ctx, aa_err *err)
{
    (void)ctx;
    if (aa_stop_requested() || stop_fd_is_readable()) return aa_fail(err, AA_EIO, "too early");
    raise(SIGTERM);
    if (!aa_stop_requested()) return aa_fail(err, AA_EIO, "flag");
    if (!stop_fd_is_readable() || !stop_fd_is_readable()) return aa_fail(err, AA_EIO, "fd");
    return AA_OK;
}

static aa_status
run_deaf(aa_context *ctx, aa_err *err)
{
    (void)ctx;
    (void)err;
    raise(SIGINT);
    raise(SIGTERM);
    return AA_OK; /* never reached */
}

static aa_status
run_broken_pipe(aa_context *ctx, aa_err *err)
{
    int fd[2];
    (void)ctx;
    if (pipe(fd) != 0) return aa_fail(err, AA_EIO, "pipe");
    close(fd[0]);
    bool failed = write(fd[1], "x", 1) < 0;
    close(fd[1]);
    return failed ? AA_OK : aa_fail(err, AA_EIO, "write");
}

static void
good_run_exits_0_between_start_and_exit_records(void **state)
{
    (void)state;
    outcome *oc = RUN(run_well, "-o", "http.enabled=false", "-o", "model.dim=8");
    check_exit(oc, 0);
    check_has(oc->err, " lvl=info proc=ingest id=START version=");
    check_has(oc->err, " config=\"\" digest=");
    check_has(oc->err, " id=EXIT msg=\"done\"\n");
    assert_null(strstr(oc->err, "id=CONFIG"));
    assert_string_equal(oc->out, "");
    free(oc);
}

static void
debug_level_logs_the_configuration_without_secrets(void **state)
{
    (void)state;
    outcome *oc =
        RUN(run_well, "-o", "http.enabled=false", "-o", "model.dim=8", "-o", "log.level=debug",
            "-o", "kafka.sasl.password=HIDEME", "-o", "scorer.token=HIDEME");
    check_exit(oc, 0);
    check_has(oc->err, " id=CONFIG-MODEL kind=deepfm dim=8 hidden=64-32 ");
    check_has(oc->err, " id=CONFIG-LOG level=debug ");
    check_has(oc->err, " id=CONFIG-ITEM path=item missing=reject threshold=10 ");
    check_has(oc->err, " sasl.password=*** ");
    assert_null(strstr(oc->err, "HIDEME"));
    assert_null(strstr(oc->err, "suppressed"));
    free(oc);
}

static void
json_format_reaches_the_log(void **state)
{
    (void)state;
    outcome *oc = RUN(run_io, "-o", "http.enabled=false", "-o", "log.format=json");
    check_exit(oc, 1);
    check_has(oc->err, ",\"lvl\":\"error\",\"proc\":\"ingest\",\"id\":\"FAILED\","
                       "\"status\":\"AA_EIO\",\"msg\":\"broker \\\"b\\\" is away\"}\n");
    free(oc);
}

static void
exit_code_tells_what_kind_of_failure_it_was(void **state)
{
    (void)state;
    outcome *oc = RUN(run_io, "-o", "http.enabled=false");
    check_exit(oc, 1);
    check_has(oc->err, " lvl=error proc=ingest id=FAILED status=AA_EIO msg=\"broker");
    free(oc);
    oc = RUN(run_config, "-o", "http.enabled=false");
    check_exit(oc, 2);
    free(oc);
    oc = RUN(run_nomem, "-o", "http.enabled=false");
    check_exit(oc, 3);
    free(oc);
}

static void
first_signal_asks_to_stop(void **state)
{
    (void)state;
    outcome *oc = RUN(run_until_stopped, "-o", "http.enabled=false");
    check_exit(oc, 0);
    free(oc);
}

static void
second_signal_ends_at_once(void **state)
{
    (void)state;
    outcome *oc = RUN(run_deaf, "-o", "http.enabled=false");
    assert_true(WIFSIGNALED(oc->status));
    assert_int_equal(WTERMSIG(oc->status), SIGTERM);
    free(oc);
}

static void
broken_pipe_is_an_error_not_a_signal(void **state)
{
    (void)state;
    outcome *oc = RUN(run_broken_pipe, "-o", "http.enabled=false");
    check_exit(oc, 0);
    free(oc);
}

static void
bad_configuration_exits_2_and_says_why(void **state)
{
    (void)state;
    outcome *oc = RUN(run_never, "-o", "model.dimm=8");
    check_exit(oc, 2);
    assert_string_equal(oc->err,
                        "autoassign-ingest: -o: model.dimm: unknown key (did you mean dim?)\n");
    free(oc);
    oc = RUN(run_never, "-c", "/nonexistent/a.yaml");
    check_exit(oc, 2);
    assert_string_equal(oc->err,
                        "autoassign-ingest: /nonexistent/a.yaml: No such file or directory\n");
    free(oc);
}

static void
bad_usage_exits_2(void **state)
{
    (void)state;
    static const char *const bad[] = {"--nonsense", "-x", "-c", "stray"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        outcome *oc = run_main(run_never, 1, &bad[i]);
        check_exit(oc, 2);
        check_has(oc->err, "try autoassign-ingest --help\n");
        free(oc);
    }
}

static void
check_config_does_not_run(void **state)
{
    (void)state;
    outcome *oc = RUN(run_never, "--check-config");
    check_exit(oc, 0);
    assert_string_equal(oc->out, "defaults: configuration is good\n");
    free(oc);
    oc = RUN(run_never, "--check-config", "-o", "model.dim=0");
    check_exit(oc, 2);
    free(oc);
    oc = RUN(run_never, "--check-config", "-o",
             "kafka.bootstrap.serverz=x"); /* the library's keys too */
    check_exit(oc, 2);
    assert_non_null(strstr(oc->err, "kafka.bootstrap.serverz: No such configuration property"));
    free(oc);
}

#define PUBLIC "links.curve_public_key=rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define SECRET "links.curve_secret_key=JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"

static void
check_refused(const char *one, const char *two, const char *want)
{
    outcome *oc = RUN(run_never, "--check-config", "-o", one, "-o", two);
    check_exit(oc, 2);
    check_has(oc->err, want);
    assert_null(strstr(oc->err, "JTKV")); /* no secret in it */
    free(oc);
}

static void
check_config_knows_links_and_keys(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"links.events=tcp://0.0.0.0:5701", "links.assigned=tcp://[::1]:1"},
        {"links.assigned=tcp://*:*", "links.rewards=ipc://rewards.ipc"},
        {"http.bind=::1", "links.events=ipc://e"},
        {"http.bind=my-host_1.example.com", "links.events=ipc://e"},
        {"links.assigned=tcp://[fe80::1%lo]:5000", "links.events=tcp://br-0.100:5"},
        {"kafka.bootstrap.servers=a,b:1,[::1]:9092", "links.events=tcp://my_host.example.com:5"},
        {"kafka.bootstrap.servers=SSL://a:65535, PLAINTEXT://b", "links.events=ipc://@name"},
        {PUBLIC, SECRET},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        outcome *oc = RUN(run_never, "--check-config", "-o", good[i][0], "-o", good[i][1]);
        check_exit(oc, 0);
        free(oc);
    }
    static const char *const bad[] = {
        "bogus",           "tcp://",           "tcp://host",      "tcp://host:x",
        "tcp://:5701",     "tcp://host:65536", "tcp://host:57 1", "ipc://",
        "udp://host:5701", "inproc://x",       "tcp://-x:5",      "tcp://127.0.0.1;127.0.0.2:99",
        "tcp://a b:5",     "tcp://[::1;::1]:5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char one[64];
        snprintf(one, sizeof one, "links.events=%s", bad[i]);
        check_refused(one, "model.dim=8", "autoassign-ingest: links.events: \"");
    }
    static const char *const unconnectable[] = {"tcp://*:5701", "tcp://host:*", "tcp://host:0"};
    for (size_t i = 0; i < sizeof unconnectable / sizeof *unconnectable; i++) {
        char one[64];
        snprintf(one, sizeof one, "links.events=%s", unconnectable[i]); /* ingest connects there */
        check_refused(one, "model.dim=8", "this end connects");
    }
    check_refused("links.events=ipc://Makefile", "model.dim=8", "it is no socket");
    check_refused("scorer.listen=ipc://tests", "model.dim=8", "it is no socket");
    char path[200] = "scorer.listen=ipc://";
    memset(path + strlen(path), 'a', 108);
    check_refused(path, "model.dim=8", "scorer.listen: ");
    check_refused(PUBLIC, "model.dim=8", "links.curve_secret_key: is empty");
    check_refused(SECRET, "model.dim=8", "links.curve_public_key: is empty");
    check_refused(PUBLIC, "links.curve_secret_key=JTKVshort",
                  "links.curve_secret_key: 9 characters");
    check_refused(PUBLIC, "links.curve_secret_key=D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs",
                  "is not the public key of");
}

/* The same function refuses at the start: run_never is not reached, and the text is the same. */
static void
what_the_start_refuses_check_config_refuses_in_the_same_words(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"kafka.enable.auto.commit=true", "kafka.enable.auto.commit: "},
        {"kafka.enable.partition.eof=false", "kafka.enable.partition.eof: "},
        {"kafka.partition.assignment.strategy=cooperative-sticky",
         "kafka.partition.assignment.strategy: "},
        {"kafka.partition.assignment.strategy=bogus", "partition.assignment.strategy"},
        {"kafka.transactional.id=x", "kafka.transactional.id: "},
        {"kafka.allow.auto.create.topics=true", "kafka.allow.auto.create.topics: "},
        {"kafka.delivery.report.only.error=true", "kafka.delivery.report.only.error: "},
        {"kafka.max.in.flight.requests.per.connection=7", "max.in.flight"},
        {"kafka.session.timeout.ms=400000", "session.timeout.ms"},
        {"kafka.message.max.bytes=9000", "kafka.message.max.bytes: 9000 is too small"},
        {"kafka.message.max.bytes=abc", "kafka.message.max.bytes: "},
        {"kafka.heartbeat.interval.ms=60000", "kafka.heartbeat.interval.ms: 60000 must be less"},
        {"kafka.bootstrap.servers=", "kafka.bootstrap.servers: "},
        {"kafka.bootstrap.servers=a:9092,b:99999", "kafka.bootstrap.servers: "},
        {"kafka.bootstrap.servers=a:0", "kafka.bootstrap.servers: "},
        {"kafka.bootstrap.servers=a:9092 ssl://b:x", "kafka.bootstrap.servers: "},
        {"kafka.bootstrap.servers=[::1]:-1", "kafka.bootstrap.servers: "},
        {"links.events=tcp://*:5701", "links.events: "},
        {"links.curve_public_key=short", "links.curve_"},
        {"checkpoint.dir=/dev/null/checkpoints", "checkpoint.dir: "},
        {"checkpoint.dir=/proc/checkpoints", "checkpoint.dir: "},
        {"pipeline.summary_dir=/dev/null/x", "pipeline.summary_dir: "},
        {"topics.model=bad/topic", "topics.model: "},
        {"http.learner_port=1", "http.learner_port: "},
        {"http.bind=", "http.bind: "},
        {"http.bind=[::1]", "http.bind: "},
        {"http.bind=a b", "http.bind: "},
        {"http.bind=999.1.1.1", "http.bind: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        outcome *oc[2] = {
            RUN(run_never, "--check-config", "-o", "http.ingest_port=1", "-o", bad[i][0]),
            RUN(run_never, "-o", "http.ingest_port=1", "-o", bad[i][0])};
        for (int at = 0; at < 2; at++) {
            check_exit(oc[at], 2);
            check_has(oc[at]->err, bad[i][1]);
            free(oc[at]);
        }
    }
}

static void
messages_may_be_larger_or_smaller_than_kafkas_usual_limit(void **state)
{
    (void)state;
    static const char *const good[] = {"kafka.message.max.bytes=10000000",
                                       "kafka.message.max.bytes=500000", "model.hidden=1024-512"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        outcome *oc = RUN(run_never, "--check-config", "-o", good[i]);
        assert_string_equal(oc->err, "");
        check_exit(oc, 0);
        free(oc);
    }
}

static aa_status
refuse_dim_8(const aa_conf *cfg, aa_err *err)
{
    return cfg->model.dim == 8 ? aa_fail(err, AA_ECONFIG, "model.dim: 8 is not mine") : AA_OK;
}

static void
a_programs_own_check_is_asked_by_the_start_and_by_check_config(void **state)
{
    (void)state;
    own_check = refuse_dim_8;
    outcome *oc = RUN(run_never, "--check-config", "-o", "model.dim=8");
    check_exit(oc, 2);
    assert_string_equal(oc->err, "autoassign-ingest: model.dim: 8 is not mine\n");
    free(oc);
    oc = RUN(run_never, "-o", "http.enabled=false", "-o", "model.dim=8");
    check_exit(oc, 2);
    check_has(oc->err, "model.dim: 8 is not mine");
    free(oc);
    oc = RUN(run_never, "--check-config");
    check_exit(oc, 0);
    free(oc);
    own_check = NULL;
}

/* A folder of this test. */
static void
make_folder(char base[64])
{
    snprintf(base, 64, "/tmp/autoassign-test-program-XXXXXX");
    assert_non_null(mkdtemp(base));
}

static outcome *
run_with_summaries_in(const char *folder, bool only_check)
{
    char        option[256];
    const char *args[] = {"-o",   "http.enabled=false", "-o", "model.dim=8", "-o",
                          option, "--check-config"};
    snprintf(option, sizeof option, "pipeline.summary_dir=%s", folder);
    return run_main(run_well, only_check ? 7 : 6, args);
}

static void
a_missing_summary_folder_is_made_for_this_user_only(void **state)
{
    (void)state;
    char        base[64], dir[100];
    struct stat what;
    make_folder(base);
    snprintf(dir, sizeof dir, "%s/trial", base);
    for (int i = 0; i < 2; i++) { /* made, then there already */
        outcome *oc = run_with_summaries_in(dir, false);
        check_exit(oc, 0);
        free(oc);
        assert_int_equal(stat(dir, &what), 0);
        assert_int_equal(what.st_mode & 0777, 0700);
    }
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(rmdir(base), 0);
}

static void
a_summary_folder_that_cannot_be_made_is_said_with_its_name(void **state)
{
    (void)state;
    char base[64], dir[100];
    make_folder(base);
    snprintf(dir, sizeof dir, "%s/not/there", base); /* one level is made, not two */
    for (int i = 0; i < 2; i++) {
        outcome *oc = run_with_summaries_in(dir, i == 0);
        check_exit(oc, 2);
        check_has(oc->err, "pipeline.summary_dir: ");
        check_has(oc->err, "/not/there: No such file or directory");
        free(oc);
    }
    assert_int_equal(rmdir(base), 0);
}

static void
check_config_makes_no_folder(void **state)
{
    (void)state;
    char base[64], dir[100];
    make_folder(base);
    snprintf(dir, sizeof dir, "%s/trial/", base);
    outcome *oc = run_with_summaries_in(dir, true);
    check_exit(oc, 0);
    free(oc);
    assert_int_equal(rmdir(base), 0); /* it is empty */
}

static void
print_config_prints_what_is_in_effect(void **state)
{
    (void)state;
    outcome *oc = RUN(run_never, "--print-config", "-o", "model.dim=24");
    check_exit(oc, 0);
    check_has(oc->out, "\n  dim: 24\n");
    check_has(oc->out, "\n  dead_letters: \"interactions.dlq\"\n");
    free(oc);
}

static void
help_version_and_reference_print_and_exit_0(void **state)
{
    (void)state;
    outcome *oc = RUN(run_never, "--help");
    check_exit(oc, 0);
    check_has(oc->out,
              "autoassign-ingest - reads events\n\nusage: autoassign-ingest [option]...\n");
    check_has(oc->out, "\n  checkpoint ");
    free(oc);
    oc = RUN(run_never, "--version");
    check_exit(oc, 0);
    assert_string_equal(oc->out, "autoassign-ingest " AA_VERSION "\n");
    free(oc);
    oc = RUN(run_never, "--print-reference");
    check_exit(oc, 0);
    check_has(oc->out, "# Configuration\n");
    free(oc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_run_exits_0_between_start_and_exit_records),
        cmocka_unit_test(debug_level_logs_the_configuration_without_secrets),
        cmocka_unit_test(json_format_reaches_the_log),
        cmocka_unit_test(exit_code_tells_what_kind_of_failure_it_was),
        cmocka_unit_test(first_signal_asks_to_stop),
        cmocka_unit_test(second_signal_ends_at_once),
        cmocka_unit_test(broken_pipe_is_an_error_not_a_signal),
        cmocka_unit_test(bad_configuration_exits_2_and_says_why),
        cmocka_unit_test(bad_usage_exits_2),
        cmocka_unit_test(check_config_does_not_run),
        cmocka_unit_test(check_config_knows_links_and_keys),
        cmocka_unit_test(what_the_start_refuses_check_config_refuses_in_the_same_words),
        cmocka_unit_test(messages_may_be_larger_or_smaller_than_kafkas_usual_limit),
        cmocka_unit_test(a_programs_own_check_is_asked_by_the_start_and_by_check_config),
        cmocka_unit_test(a_missing_summary_folder_is_made_for_this_user_only),
        cmocka_unit_test(a_summary_folder_that_cannot_be_made_is_said_with_its_name),
        cmocka_unit_test(check_config_makes_no_folder),
        cmocka_unit_test(print_config_prints_what_is_in_effect),
        cmocka_unit_test(help_version_and_reference_print_and_exit_0),
    };
    return cmocka_run_group_tests_name("common/service/program", tests, NULL, NULL);
}
