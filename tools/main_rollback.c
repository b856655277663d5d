/* rollback - takes a pipeline back to an earlier checkpoint.
 *
 * The commit in Kafka names the epoch that a pipeline goes on from. This shows the epochs whose
 * three checkpoints are whole, and commits the one that is asked for, with the offsets that belong
 * to it. Ingest must not be running; assigner and learner may: the next run restores that epoch.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/conf.h"
#include "common/service/tool.h"
#include "common/state/checkpoint.h"
#include "tools/startpoint.h"

static const char usage_text[] =
    "rollback - take a pipeline back to an earlier checkpoint\n"
    "\n"
    "usage: rollback [option]...            list the epochs there are\n"
    "       rollback [option]... --to EPOCH\n"
    "  -c FILE                  the pipeline's configuration\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --to EPOCH               commit this epoch, with its offsets\n"
    "  --help, --version\n"
    "\n"
    "Stop ingest first: Kafka refuses the commit while the group has members (a killed one counts\n"
    "as a member until its session ends, kafka.session.timeout.ms). Run it where the checkpoints "
    "of\n"
    "all three processes are. Events since that epoch are read again.\n"
    "Exit codes: 0 done, 1 Kafka trouble or no such checkpoint, 2 usage or configuration, 3 out "
    "of\n"
    "memory.\n";

/* Every process's part is whole and of this configuration? */
static aa_status
check_epoch(const aa_conf *cfg, uint64_t epoch, aa_err *err)
{
    static const char *const process[] = {"ingest", "assigner", "learner"};
    aa_status                st = AA_OK;
    for (size_t i = 0; st == AA_OK && i < 3; i++) {
        aa_ckpt_reader *r = NULL;
        st = aa_ckpt_open(&r, cfg, process[i], epoch, err);
        aa_ckpt_close(&r);
    }
    return st;
}

static aa_status
list(const aa_conf *cfg, aa_err *err)
{
    uint64_t *epochs = NULL, committed = 0, seq = 0;
    size_t    count = 0;
    aa_status st = startpoint_committed(cfg, &committed, &seq, err);
    if (st == AA_OK) st = aa_ckpt_list(cfg, "ingest", &epochs, &count, err);
    if (st != AA_OK) return st;
    if (committed == 0) printf("nothing is committed by %s yet\n", cfg->pipeline.name);
    for (size_t i = 0; i < count; i++) {
        resume re = {0};
        aa_err why = AA_ERR_INIT;
        bool   good = check_epoch(cfg, epochs[i], &why) == AA_OK &&
                    resume_load(&re, cfg, epochs[i], &why) == AA_OK;
        printf("epoch %" PRIu64 ": ", epochs[i]);
        if (good)
            printf("%" PRIu64 " events, %" PRIu64 " batches%s\n", re.events, re.seq,
                   epochs[i] == committed ? "  (committed)" : "");
        else
            printf("not usable: %s\n", why.text);
        resume_fini(&re);
    }
    free(epochs);
    return AA_OK;
}

/* The epoch is among those of ingest; else the error names them. */
static aa_status
find_epoch(const aa_conf *cfg, uint64_t epoch, aa_err *err)
{
    uint64_t *epochs = NULL;
    size_t    count = 0, len = 0;
    bool      found = false;
    char      there[256] = "";
    aa_status st = aa_ckpt_list(cfg, "ingest", &epochs, &count, err);
    if (st != AA_OK) return st;
    for (size_t i = 0; i < count; i++) {
        if (epochs[i] == epoch) found = true;
        if (len < sizeof there)
            len += (size_t)snprintf(there + len, sizeof there - len, "%s%" PRIu64, i ? ", " : "",
                                    epochs[i]);
    }
    free(epochs);
    if (found) return AA_OK;
    if (count == 0)
        return aa_fail(err, AA_EIO, "no epoch %" PRIu64 "; there is none in checkpoint.dir (%s)",
                       epoch, cfg->checkpoint.dir);
    return aa_fail(err, AA_EIO, "no epoch %" PRIu64 "; there are %s%s", epoch, there,
                   len < sizeof there ? "" : "...");
}

static aa_status
commit_rollback(const resume *re, const aa_conf *cfg, aa_err *err)
{
    aa_err    why = AA_ERR_INIT;
    aa_status st = startpoint_commit(re, cfg, &why);
    if (st == AA_EAGAIN || st == AA_EIO)
        return aa_fail(err, st,
                       "the commit was refused: is ingest still running, or stopped less than "
                       "kafka.session.timeout.ms ago? (%s)",
                       why.text);
    return st == AA_OK ? AA_OK : aa_fail(err, st, "%s", why.text);
}

static aa_status
take_back(const aa_conf *cfg, uint64_t to, aa_err *err)
{
    resume    re = {0};
    uint64_t  epoch = 0, seq = 0;
    aa_status st = find_epoch(cfg, to, err);
    if (st == AA_OK) st = check_epoch(cfg, to, err);
    if (st == AA_OK) st = resume_load(&re, cfg, to, err);
    if (st == AA_OK) st = commit_rollback(&re, cfg, err);
    if (st == AA_OK) st = startpoint_committed(cfg, &epoch, &seq, err);
    if (st == AA_OK && epoch != to)
        st =
            aa_fail(err, AA_EIO,
                    "partitions that epoch %" PRIu64 " does not know have commits of epoch %" PRIu64
                    ": reset their offsets with kafka-consumer-groups.sh",
                    to, epoch);
    if (st == AA_OK)
        printf("epoch %" PRIu64 " is committed: start ingest, it continues after %" PRIu64
               " events\n",
               to, re.events);
    resume_fini(&re);
    return st;
}

/* ---- all together ---- */

static bool
take_epoch(void *arg, const char *value)
{
    uint64_t *to = arg;
    char     *end;
    errno = 0;
    *to = strtoull(value, &end, 10);
    return errno == 0 && end != value && *end == '\0' && *to != 0;
}

static aa_status
rollback(void *arg, const aa_conf *cfg, aa_tool_args none, aa_err *err)
{
    const uint64_t *to = arg;
    (void)none;
    return *to ? take_back(cfg, *to, err) : list(cfg, err);
}

int
main(int argc, char **argv)
{
    static const aa_tool_option own[] = {
        {.name = "to", .refuse = "not an epoch", .take = take_epoch}};
    uint64_t      to = 0; /* list */
    const aa_tool tool = {.name = "rollback",
                          .usage = usage_text,
                          .options = own,
                          .option_count = 1,
                          .run = rollback,
                          .arg = &to};
    return aa_tool_main(&tool, argc, argv);
}
