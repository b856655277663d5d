/* Clients from the configuration: properties, logs, and the questions that every client asks. */
#include "common/kafka/kafka_conf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/kafka/kafka_internal.h"
#include "common/messages/wire_topic.h"

/* librdkafka's levels are syslog's. A broker that cannot be reached is an "error" there; here it is
 * a warning, since the client tries again by itself. Properties of the other kind of client
 * (linger.ms in a consumer) are not worth a word: one section serves all clients. */
static void
on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    aa_log_level lvl = level <= 2   ? AA_ERROR
                       : level <= 4 ? AA_WARN
                       : level <= 6 ? AA_INFO
                                    : AA_DEBUG;
    char         kv[128];

    if (strcmp(facility, "GETPID") == 0 && strstr(text, "retrying"))
        lvl = AA_DEBUG; /* a broker just up */
    if (strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "AUTOCREATE") == 0) lvl = AA_DEBUG;
    if (!aa_log_on(lvl)) return;
    snprintf(kv, sizeof kv, "client=%s facility=%s", rk ? rd_kafka_name(rk) : "-", facility);
    aa_log_write(lvl, "KAFKA-LOG", kv, "%s", text);
}

const char *
aa_kafka_property_of(const aa_conf *cfg, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < cfg->kafka_count; i++)
        if (strcmp(cfg->kafka[i].key, key) == 0) value = cfg->kafka[i].value;
    return value;
}

size_t
aa_kafka_threads(const aa_conf *cfg, size_t clients)
{
    const char *brokers = aa_kafka_property_of(cfg, "bootstrap.servers");
    size_t      count = 1;

    if (!brokers) brokers = aa_kafka_property_of(cfg, "metadata.broker.list");
    for (; brokers && *brokers; brokers++)
        count += *brokers == ',';
    return clients * (2 + count) + 1; /* its own, an internal broker's; and a group's coordinator */
}

static aa_status
refuse(aa_err *err, const aa_conf *cfg, const aa_conf_kafka *kp, const char *why)
{
    if (kp->line > 0)
        return aa_fail(err, AA_ECONFIG, "%s:%d: kafka.%s: %s", cfg->path, kp->line, kp->key, why);
    return aa_fail(err, AA_ECONFIG, "kafka.%s: %s", kp->key, why);
}

/* What no kind of client can be used with here. */
static const char *
refusal_of(const aa_conf_kafka *kp)
{
    if (strcmp(kp->key, "transactional.id") == 0 && kp->value[0])
        return "the pipeline uses no transactions";
    if (strcmp(kp->key, "group.protocol") == 0 && strcmp(kp->value, "consumer") == 0)
        return "the pipeline depends on classic: it holds partitions until they are committed";
    return NULL;
}

static aa_status
set_user_properties(rd_kafka_conf_t *conf, const aa_conf *cfg, const aa_kafka_property *defaults,
                    size_t count, aa_err *err)
{
    for (size_t i = 0; i < cfg->kafka_count; i++) {
        const aa_conf_kafka *kp = &cfg->kafka[i];
        char                 why[200] = "";
        const char          *refusal = refusal_of(kp);

        if (refusal) return refuse(err, cfg, kp, refusal);
        for (size_t d = 0; d < count; d++) {
            if (!defaults[d].fixed || strcmp(defaults[d].key, kp->key) != 0) continue;
            if (strcmp(defaults[d].value, kp->value) == 0) continue;
            snprintf(why, sizeof why, "the pipeline depends on %s", defaults[d].value);
            return refuse(err, cfg, kp, why);
        }
        if (rd_kafka_conf_set(conf, kp->key, kp->value, why, sizeof why) != RD_KAFKA_CONF_OK)
            return refuse(err, cfg, kp, why);
    }
    return AA_OK;
}

static bool
names_broker(const aa_conf *cfg, const char *key)
{
    const char *value = aa_kafka_property_of(cfg, key);
    return value && value[strspn(value, ", ")];
}

aa_status
aa_kafka_conf_new(rd_kafka_conf_t **out, const aa_conf *cfg, const aa_kafka_property *defaults,
                  size_t count, aa_err *err)
{
    aa_status        st = AA_OK;
    char             why[200] = "";
    rd_kafka_conf_t *conf = NULL;

    if (!names_broker(cfg, "bootstrap.servers") && !names_broker(cfg, "metadata.broker.list"))
        return aa_fail(err, AA_ECONFIG, "kafka.bootstrap.servers: is not set: where is Kafka?");
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    for (size_t d = 0; d < count; d++) {
        rd_kafka_conf_res_t kr =
            rd_kafka_conf_set(conf, defaults[d].key, defaults[d].value, why, sizeof why);
        if (kr != RD_KAFKA_CONF_OK) {
            st = aa_fail(err, AA_ECONFIG, "kafka.%s: %s", defaults[d].key, why);
            goto out;
        }
    }
    st = set_user_properties(conf, cfg, defaults, count, err);
    if (st != AA_OK) goto out;
    *out = conf;
    conf = NULL;
out:
    if (conf) rd_kafka_conf_destroy(conf);
    return st;
}

aa_status
aa_kafka_client_new(rd_kafka_t **out, rd_kafka_type_t type, rd_kafka_conf_t **conf_p, aa_err *err)
{
    char        why[200] = "";
    rd_kafka_t *rk = rd_kafka_new(type, *conf_p, why, sizeof why);

    if (!rk) {
        const bool cannot = rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
        rd_kafka_conf_destroy(*conf_p);
        *conf_p = NULL;
        return aa_fail(err, cannot ? AA_EIO : AA_ECONFIG, "kafka: %s", why);
    }
    *conf_p = NULL; /* taken by rd_kafka_new */
    *out = rk;
    return AA_OK;
}

aa_status
aa_kafka_partition_count(rd_kafka_t *rk, const char *topic, int timeout_ms, size_t *count,
                         aa_err *err)
{
    aa_status                       st = AA_OK;
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t               *rkt = rd_kafka_topic_new(rk, topic, NULL);

    if (!rkt)
        return aa_fail(err, AA_ECONFIG, "topic %s: %s", topic,
                       rd_kafka_err2str(rd_kafka_last_error()));
    *count = 0;
    rd_kafka_resp_err_t ke = rd_kafka_metadata(rk, 0, rkt, &md, timeout_ms);
    if (ke) {
        st = aa_fail(err, AA_EIO, "topic %s: %s", topic, rd_kafka_err2str(ke));
        goto out;
    }
    for (int i = 0; i < md->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *mt = &md->topics[i];
        if (strcmp(mt->topic, topic) != 0) continue;
        ke = mt->err;
        if (ke == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) break;
        if (ke && ke != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
            st = aa_fail(err, AA_EIO, "topic %s: %s", topic, rd_kafka_err2str(ke));
            goto out;
        }
        *count = mt->partition_cnt > 0 ? (size_t)mt->partition_cnt : 0;
    }
out:
    if (md) rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
    return st;
}

/* ---- the largest message ---- */

int64_t
aa_kafka_model_bytes(const aa_conf *cfg)
{
    enum { BATCH_BYTES = 256 }; /* key and header of the record, header of its batch */
    return (int64_t)aa_wire_dense_bytes(cfg) + BATCH_BYTES;
}

/* The client refuses larger messages, and readers a fetch that is smaller. */
static aa_status
check_model_bytes(const aa_conf *cfg, aa_err *err)
{
    enum { CLIENT_MOST = 1000000000 };
    const int64_t need = aa_kafka_model_bytes(cfg);
    const struct {
        const char *key;
        int64_t     least;
    } limits[] = {{"message.max.bytes", need},
                  {"fetch.max.bytes", need},
                  {"receive.message.max.bytes", need + 512},
                  {"queue.buffering.max.kbytes", need / 1024 + 1}};

    if (!cfg->publish.enabled) return AA_OK;
    if (need > CLIENT_MOST)
        return aa_fail(err, AA_ECONFIG,
                       "model.hidden: the dense weights are one message of %" PRId64
                       " bytes; Kafka's clients take at most %d",
                       need, CLIENT_MOST);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const char     *value = aa_kafka_property_of(cfg, limits[i].key);
        char           *end = NULL;
        const long long number = value ? strtoll(value, &end, 10) : 0;
        if (value && end != value && *end == '\0' && number < limits[i].least)
            return aa_fail(err, AA_ECONFIG,
                           "kafka.%s: %.20s is too small: the dense weights (model.hidden) need "
                           "%" PRId64 ", and %" PRId64 " bytes in max.message.bytes of topic %.60s",
                           limits[i].key, value, limits[i].least, need, cfg->topics.model);
    }
    return AA_OK;
}

/* ---- checking without a broker ---- */

/* The client takes any number, and then waits for ever. Hosts are separated by commas or blanks. */
static aa_status
check_ports(const aa_conf *cfg, const char *key, aa_err *err)
{
    const char *list = aa_kafka_property_of(cfg, key);
    for (const char *at = list; at && *at; at += strspn(at, ", ")) {
        const char *host = at, *colon = NULL;
        at += strcspn(at, ", ");
        for (const char *c = host; c < at; c++) {
            if (*c == ']') colon = NULL; /* those before are of an IPv6 address */
            if (*c == ':' && strncmp(c, "://", 3) != 0) colon = c;
        }
        char      *end = NULL;
        const long port = colon ? strtol(colon + 1, &end, 10) : 1;
        if (colon && (end != at || port < 1 || port > 65535 || colon[1] < '0' || colon[1] > '9'))
            return aa_fail(err, AA_ECONFIG,
                           "kafka.%s: \"%.*s\": a port is a number from 1 to 65535", key,
                           (int)(at - host), host);
    }
    return AA_OK;
}

/* The client takes it too, and its group member is thrown out again and again. */
static aa_status
check_heartbeat(const rd_kafka_conf_t *conf, aa_err *err)
{
    static const char *const key[2] = {"heartbeat.interval.ms", "session.timeout.ms"};
    long                     ms[2];
    for (size_t i = 0; i < 2; i++) {
        char   text[32] = "";
        size_t size = sizeof text;
        if (rd_kafka_conf_get(conf, key[i], text, &size) != RD_KAFKA_CONF_OK) return AA_OK;
        ms[i] = strtol(text, NULL, 10);
    }
    if (ms[0] < ms[1]) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "kafka.%s: %ld must be less than kafka.%s, which is %ld",
                   key[0], ms[0], key[1], ms[1]);
}

/* The library compares properties with one another, and reads files of keys, when a client is made.
 * This one knows no broker and asks nothing. */
static aa_status
try_client(rd_kafka_type_t type, rd_kafka_conf_t **conf_p, aa_err *err)
{
    static const char *const brokers[] = {"bootstrap.servers", "metadata.broker.list"};
    rd_kafka_t              *rk = NULL;

    for (size_t i = 0; i < sizeof brokers / sizeof *brokers; i++)
        rd_kafka_conf_set(*conf_p, brokers[i], "", NULL, 0);
    rd_kafka_conf_set(*conf_p, "log_level", "0", NULL, 0); /* what it has to tell is in err */
    aa_status st = aa_kafka_client_new(&rk, type, conf_p, err);
    if (rk) rd_kafka_destroy(rk);
    return st;
}

aa_status
aa_kafka_check(const aa_conf *cfg, aa_err *err)
{
    enum { CONSUMER, READER, ADMIN, PRODUCER, CLIENTS };
    aa_status st = check_model_bytes(cfg, err);
    if (st == AA_OK) st = check_ports(cfg, "bootstrap.servers", err);
    if (st == AA_OK) st = check_ports(cfg, "metadata.broker.list", err);

    for (int c = 0; st == AA_OK && c < CLIENTS; c++) {
        rd_kafka_conf_t *conf = NULL;
        if (c == CONSUMER) st = aa_kafka_consumer_conf(&conf, cfg, true, err);
        if (c == CONSUMER && st == AA_OK) st = check_heartbeat(conf, err);
        if (c == READER) st = aa_kafka_reader_conf(&conf, cfg, err);
        if (c == ADMIN) st = aa_kafka_admin_conf(&conf, cfg, err);
        if (c == PRODUCER)
            st = aa_kafka_producer_conf(&conf, cfg, 0, aa_kafka_model_bytes(cfg), err);
        if (st == AA_OK)
            st = try_client(c == PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, &conf, err);
        if (conf) rd_kafka_conf_destroy(conf);
    }
    return st;
}
