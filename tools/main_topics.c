/* topics - makes and checks the topics that the pipeline needs, and lists the permissions.
 *
 * One table (needs) says who needs what; making, checking and the list of ACLs all come from it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_conf.h"
#include "common/kafka/kafka_topics.h"
#include "common/kafka/owners.h"
#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"
#include "common/service/tool.h"
#include "ingest/decode/deadletter.h"

static const char usage_text[] =
    "topics - make and check the topics of a pipeline, and list the permissions it needs\n"
    "\n"
    "usage: topics [option]...\n"
    "  -c FILE                  the pipeline's configuration, for topics and kafka\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --create                 make what is missing (what is there is not changed)\n"
    "  --partitions N           of topics that are made; without it, the broker's default\n"
    "  --replication N          same\n"
    "  --dead-letter-days N     how long dead letters are kept (14)\n"
    "  --check                  check topics and access with this configuration's credentials; "
    "this\n"
    "                           is what it does when nothing else is asked\n"
    "  --write                  check also writing, with a tombstone that nobody reads, to\n"
    "                           assignments and model\n"
    "  --role ROLE              only what ingest, assigner, learner or scorer needs\n"
    "  --acls                   print kafka-acls.sh commands, and do nothing\n"
    "  --principal P            of these: P stands for each process (User:autoassign-<process>)\n"
    "  --help, --version\n"
    "\n"
    "Prints one line per topic and permission: ok, note or BAD, and what to do.\n"
    "Exit codes: 0 all is well, 1 something is BAD, 2 usage or configuration, 3 out of memory.\n";

typedef struct {
    const char *role, *principal;
    int64_t     partitions, replication, letter_days;
    bool        create, check, write, acls;
} options;

typedef enum { TOPIC_EVENTS, TOPIC_LETTERS, TOPIC_COMPACTED, TOPIC_LOG } topic_kind;

/* A topic, who reads it and who writes it; "": nobody of ours. */
typedef struct {
    char        name[AA_CONF_STR + 8];
    topic_kind  kind;
    const char *reader, *writer;
} need;

enum { NEEDS_MAX = 5 };

static size_t
needs(const aa_conf *cfg, need *nd)
{
    size_t n = 0;
    nd[n] = (need){.kind = TOPIC_EVENTS, .reader = "ingest", .writer = ""};
    snprintf(nd[n++].name, sizeof nd->name, "%s", cfg->topics.interactions);
    nd[n] = (need){.kind = TOPIC_LETTERS, .reader = "", .writer = "ingest"};
    deadletter_topic(nd[n++].name, cfg);
    if (cfg->publish.enabled) {
        nd[n] = (need){.kind = TOPIC_COMPACTED, .reader = "scorer", .writer = "assigner"};
        snprintf(nd[n++].name, sizeof nd->name, "%s", cfg->topics.assignments);
        nd[n] = (need){.kind = TOPIC_COMPACTED, .reader = "scorer", .writer = "learner"};
        snprintf(nd[n++].name, sizeof nd->name, "%s", cfg->topics.model);
    }
    if (cfg->topics.predictions[0]) {
        nd[n] = (need){.kind = TOPIC_LOG, .reader = "", .writer = "learner"};
        snprintf(nd[n++].name, sizeof nd->name, "%s", cfg->topics.predictions);
    }
    return n;
}

static bool
concerns(const options *opt, const char *process)
{
    return process[0] && (!opt->role || strcmp(opt->role, process) == 0);
}

/* ---- making ---- */

/* Of the two compacted topics the one with the rows and dense weights. */
static bool
is_model(const need *nd)
{
    return nd->kind == TOPIC_COMPACTED && strcmp(nd->writer, "learner") == 0;
}

static aa_status
make_topic(const options *opt, const aa_conf *cfg, const need *nd, aa_err *err)
{
    char                     keep[24];
    const char *const        letters[] = {"retention.ms", keep, "cleanup.policy", "delete"};
    static const char *const events[] = {"cleanup.policy", "delete"};
    aa_topic_model_settings  model;
    int                      existing = 0;
    aa_topic_spec            sp = {.name = nd->name,
                                   .partitions = (int)opt->partitions,
                                   .replication = (int)opt->replication,
                                   .settings = events,
                                   .setting_count = 2};
    snprintf(keep, sizeof keep, "%" PRId64, opt->letter_days * 86400000);
    if (nd->kind == TOPIC_LETTERS) {
        sp.settings = letters;
        sp.setting_count = 4;
    } else if (is_model(nd)) {
        aa_topic_model_settings_of(&model, cfg);
        sp.settings = model.pair;
        sp.setting_count = model.count;
    } else if (nd->kind == TOPIC_COMPACTED) {
        sp.settings = aa_topic_compacted;
        sp.setting_count = aa_topic_compacted_count;
    }
    aa_status st = aa_topic_make(cfg, &sp, &existing, err);
    if (st == AA_OK)
        printf("ok   topic %s: %s\n", nd->name, existing ? "is there already" : "made");
    return st;
}

/* A broker tells of a topic some moments after it has made it, just after its own start up to
 * seconds: who comes next (--check, the pipeline) is to find it. Not an error when it takes longer,
 * or when this client may not ask. */
static void
await_topics(const aa_conf *cfg, const need *nd, size_t n)
{
    enum { AWAIT_US = 10000000, LOOK_EVERY_NS = 200000000 };
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_NS};
    const int64_t         until_us = aa_now_us() + AWAIT_US;
    for (size_t i = 0; i < n; i++) {
        aa_topic_facts tf;
        aa_err         err = AA_ERR_INIT;
        while (aa_topic_describe(cfg, nd[i].name, &tf, &err) == AA_OK && tf.partitions == 0 &&
               aa_now_us() < until_us)
            nanosleep(&pause, NULL);
    }
}

/* ---- checking ---- */

static bool
bad(const char *what, const char *why)
{
    printf("BAD  %s: %s\n", what, why);
    return false;
}

static bool
check_settings(const aa_conf *cfg, const need *nd, const aa_topic_facts *tf)
{
    aa_err err = AA_ERR_INIT;
    if (!tf->settings_known) {
        printf("note topic %s: its settings may not be asked for (DescribeConfigs): check "
               "cleanup.policy yourself\n",
               nd->name);
        return true;
    }
    if (nd->kind == TOPIC_COMPACTED && !tf->compacted)
        return bad(nd->name, "is not compacted: scorers would lose what is older than its "
                             "retention; set cleanup.policy=compact");
    if (nd->kind != TOPIC_COMPACTED && tf->compacted)
        return bad(nd->name, "is compacted: events would be lost; set cleanup.policy=delete");
    if (is_model(nd) && aa_topic_check_model(cfg, tf->max_message_bytes, &err) != AA_OK)
        return bad(nd->name, err.text);
    if (nd->kind == TOPIC_EVENTS && tf->retention_ms >= 0 && tf->retention_ms < 3600000)
        printf("note topic %s: keeps events for %" PRId64
               " s: ingest must not be down for longer\n",
               nd->name, tf->retention_ms / 1000);
    return true;
}

static bool
check_topic(const aa_conf *cfg, const need *nd, bool *nobody)
{
    aa_topic_facts tf;
    aa_err         err = AA_ERR_INIT;
    if (aa_topic_describe(cfg, nd->name, &tf, &err) != AA_OK) {
        *nobody = strstr(err.text, "Local:") != NULL; /* the client's own words: no broker spoke */
        return bad(nd->name, err.text);
    }
    if (tf.partitions == 0) return bad(nd->name, "there is no such topic; --create makes it");
    if (!check_settings(cfg, nd, &tf)) return false;
    printf("ok   topic %s: %d partitions, %d replicas%s\n", nd->name, tf.partitions, tf.replication,
           tf.compacted ? ", compacted" : "");
    return true;
}

/* Whose records there are. What may not be read is somebody else's to check. */
static bool
check_owners(const aa_conf *cfg, const need *nd)
{
    enum { BUDGET_MS = 20000 };
    aa_owners ow;
    aa_err    err = AA_ERR_INIT;
    char      name[192], text[800];
    if (nd->kind != TOPIC_COMPACTED) return true;
    if (aa_owners_read(&ow, cfg, nd->name, 0, BUDGET_MS, 0, &err) != AA_OK) {
        printf("note topic %s: whose records it holds is not known: %s\n", nd->name, err.text);
        return true;
    }
    if (ow.count == 0) return true;
    aa_owners_name(&ow.owner[0], name, sizeof name);
    snprintf(text, sizeof text,
             "holds records of %s, this pipeline is '%s': each pipeline needs topics.assignments "
             "and topics.model of its own",
             name, cfg->pipeline.name);
    return bad(nd->name, text);
}

static bool
report(aa_status st, const char *process, const char *operation, const char *name,
       const aa_err *err)
{
    char what[2048];
    snprintf(what, sizeof what, "%s: %s %s", process, operation, name);
    if (st != AA_OK) return bad(what, err->text);
    printf("ok   %s\n", what);
    return true;
}

/* The last lane, field and slot there can be:
 * every scorer passes over it, and it deletes nothing. */
static aa_status
try_write(const aa_conf *cfg, const need *nd, aa_err *err)
{
    uint8_t            key[AA_TOPIC_KEY_BYTES];
    const aa_topic_key k = {.lane = 65535,
                            .kind = strcmp(nd->writer, "assigner") == 0 ? AA_KEY_ASSIGNMENT
                                                                        : AA_KEY_ROW,
                            .field = AA_MAX_FIELDS - 1,
                            .id = (1u << 30) - 1};
    aa_topic_key_put(key, &k);
    return aa_topic_try_write(cfg, nd->name, key, sizeof key, err);
}

static bool
check_access(const options *opt, const aa_conf *cfg, const need *nd)
{
    aa_err err = AA_ERR_INIT;
    bool   good = true;
    if (concerns(opt, nd->reader)) {
        aa_status st = aa_topic_try_read(cfg, nd->name, &err);
        good = report(st, nd->reader, "read topic", nd->name, &err);
    }
    if (concerns(opt, nd->reader) && nd->kind == TOPIC_EVENTS) {
        aa_status st = aa_topic_try_group(cfg, nd->name, &err);
        good = report(st, nd->reader, "group", aa_kafka_property_of(cfg, "group.id"), &err) && good;
    }
    if (!concerns(opt, nd->writer)) return good;
    if (opt->write && nd->kind == TOPIC_COMPACTED) {
        aa_status st = try_write(cfg, nd, &err);
        return report(st, nd->writer, "write topic", nd->name, &err) && good;
    }
    printf("note %s: write topic %s: not tried%s\n", nd->writer, nd->name,
           nd->kind == TOPIC_COMPACTED ? " (--write)" : "");
    return good;
}

static bool
check_all(const options *opt, const aa_conf *cfg, const need *nd, size_t n)
{
    bool good = true, nobody = false;
    for (size_t i = 0; i < n && !nobody; i++) {
        if (!concerns(opt, nd[i].reader) && !concerns(opt, nd[i].writer)) continue;
        good = (check_topic(cfg, &nd[i], &nobody) && check_owners(cfg, &nd[i]) &&
                check_access(opt, cfg, &nd[i])) &&
               good;
    }
    return good;
}

/* ---- the list of permissions ---- */

static void
print_acl(const options *opt, const aa_conf *cfg, const char *process, const char *operations,
          const char *kind, const char *name)
{
    char principal[AA_CONF_STR];
    if (!concerns(opt, process)) return;
    snprintf(principal, sizeof principal, "User:autoassign-%s", process);
    printf("kafka-acls.sh --bootstrap-server %s --add --allow-principal %s %s --%s %s\n",
           aa_kafka_property_of(cfg, "bootstrap.servers"),
           opt->principal ? opt->principal : principal, operations, kind, name);
}

static void
print_acls(const options *opt, const aa_conf *cfg, const need *nd, size_t n)
{
    static const char read[] = "--operation Read --operation Describe";
    static const char write[] = "--operation Write --operation Describe";
    const char       *group = aa_kafka_property_of(cfg, "group.id");
    for (size_t i = 0; i < n; i++) {
        print_acl(opt, cfg, nd[i].reader, read, "topic", nd[i].name);
        print_acl(opt, cfg, nd[i].writer, write, "topic", nd[i].name);
        /* to see whether another pipeline publishes there */
        if (nd[i].kind == TOPIC_COMPACTED) {
            print_acl(opt, cfg, "assigner", "--operation Read", "topic", nd[i].name);
            print_acl(opt, cfg, "learner", "--operation Read", "topic", nd[i].name);
        }
    }
    if (cfg->publish.enabled && cfg->publish.item_names)
        print_acl(opt, cfg, "ingest", write, "topic", cfg->topics.assignments);
    print_acl(opt, cfg, "ingest", "--operation Read", "group", group);
    /* it commits nothing, but the client asks for its group's coordinator */
    print_acl(opt, cfg, "scorer", "--operation Describe", "group", group);
    if (cfg->publish.enabled) {
        print_acl(opt, cfg, "assigner", "--operation Describe", "group", group);
        print_acl(opt, cfg, "learner", "--operation Describe", "group", group);
    }
}

/* ---- all together ---- */

static bool
take_role(void *arg, const char *value)
{
    static const char *const roles[] = {"ingest", "assigner", "learner", "scorer"};
    options                 *opt = arg;
    opt->role = value;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(value, roles[i]) == 0) return true;
    return false;
}

static aa_status
topics(void *arg, const aa_conf *cfg, aa_tool_args none, aa_err *err)
{
    const options *opt = arg;
    aa_status      st = AA_OK;
    need           nd[NEEDS_MAX];
    (void)none;
    if (!aa_kafka_property_of(cfg, "bootstrap.servers"))
        return aa_fail(err, AA_ECONFIG, "kafka.bootstrap.servers: is not set: where is Kafka?");
    st = aa_kafka_check(cfg, err);
    if (st != AA_OK) return st;
    size_t n = needs(cfg, nd);
    if (opt->acls) {
        print_acls(opt, cfg, nd, n);
        return AA_OK;
    }
    for (size_t i = 0; opt->create && st == AA_OK && i < n; i++)
        st = make_topic(opt, cfg, &nd[i], err);
    if (st != AA_OK) return st;
    if (opt->create) await_topics(cfg, nd, n);
    if (opt->create && !opt->check && !opt->write) return AA_OK;
    err->text[0] = '\0'; /* each BAD line says what is wrong */
    return check_all(opt, cfg, nd, n) ? AA_OK : AA_EIO;
}

int
main(int argc, char **argv)
{
    options              opt = {.letter_days = 14};
    const aa_tool_option own[] = {{.name = "create", .flag = &opt.create},
                                  {.name = "check", .flag = &opt.check},
                                  {.name = "write", .flag = &opt.write},
                                  {.name = "acls", .flag = &opt.acls},
                                  {.name = "partitions",
                                   .refuse = "not a number from 1 to 10000",
                                   .count = &opt.partitions,
                                   .max = 10000},
                                  {.name = "replication",
                                   .refuse = "not a number from 1 to 100",
                                   .count = &opt.replication,
                                   .max = 100},
                                  {.name = "dead-letter-days",
                                   .refuse = "not a number from 1 to 36500",
                                   .count = &opt.letter_days,
                                   .max = 36500},
                                  {.name = "role", .refuse = "no such process", .take = take_role},
                                  {.name = "principal", .text = &opt.principal}};
    const aa_tool        tool = {.name = "topics",
                                 .usage = usage_text,
                                 .options = own,
                                 .option_count = sizeof own / sizeof *own,
                                 .run = topics,
                                 .arg = &opt};
    return aa_tool_main(&tool, argc, argv);
}
