#include "common/kafka/kafka_topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/kafka/kafka_consumer.h"
#include "common/kafka/kafka_internal.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_reader.h"

static const aa_kafka_property admin_defaults[] = {
    {"client.id", "autoassign", false},
    {"allow.auto.create.topics", "false", true},
};

aa_status
aa_kafka_admin_conf(rd_kafka_conf_t **out, const aa_conf *cfg, aa_err *err)
{
    return aa_kafka_conf_new(out, cfg, admin_defaults,
                             sizeof admin_defaults / sizeof *admin_defaults, err);
}

/* A consumer: asking a broker about a topic must not make it with the wrong settings. */
static aa_status
admin_new(rd_kafka_t **out, const aa_conf *cfg, aa_err *err)
{
    rd_kafka_conf_t *conf = NULL;
    aa_status        st = aa_kafka_admin_conf(&conf, cfg, err);
    if (st != AA_OK) return st;
    return aa_kafka_client_new(out, RD_KAFKA_CONSUMER, &conf, err);
}

/* The outcome of one CreateTopics request. Another process may have been faster: that is fine. */
static aa_status
check_created(rd_kafka_event_t *ev, const char *topic, aa_err *err)
{
    size_t count = 0;

    if (!ev) return aa_fail(err, AA_EIO, "creating topic %s: no answer", topic);
    if (rd_kafka_event_error(ev))
        return aa_fail(err, AA_EIO, "creating topic %s: %s", topic,
                       rd_kafka_event_error_string(ev));
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t ke = rd_kafka_topic_result_error(results[i]);
        const char         *why = rd_kafka_topic_result_error_string(results[i]);
        if (ke && ke != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return aa_fail(err, AA_EIO, "creating topic %s: %s", topic,
                           why ? why : rd_kafka_err2str(ke));
    }
    return AA_OK;
}

static aa_status
create_topic(rd_kafka_t *rk, const aa_topic_spec *sp, aa_err *err)
{
    const char              *topic = sp->name;
    aa_status                st;
    char                     why[200] = "";
    rd_kafka_AdminOptions_t *options = NULL;
    rd_kafka_queue_t        *queue = NULL;
    rd_kafka_event_t        *ev = NULL;
    rd_kafka_NewTopic_t     *nt =
        rd_kafka_NewTopic_new(topic, sp->partitions > 0 ? sp->partitions : -1,
                              sp->replication > 0 ? sp->replication : -1, why, sizeof why);

    if (!nt) return aa_fail(err, AA_ECONFIG, "topic %s: %s", topic, why);
    for (size_t i = 0; i + 1 < sp->setting_count; i += 2)
        rd_kafka_NewTopic_set_config(nt, sp->settings[i], sp->settings[i + 1]);
    options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    queue = rd_kafka_queue_new(rk);
    /* operation timeout: the answer comes when the topic is known everywhere */
    if (rd_kafka_AdminOptions_set_request_timeout(options, AA_KAFKA_ASK_MS, why, sizeof why) ||
        rd_kafka_AdminOptions_set_operation_timeout(options, AA_KAFKA_ASK_MS, why, sizeof why)) {
        st = aa_fail(err, AA_EBUG, "topic %s: %s", topic, why);
        goto out;
    }
    rd_kafka_CreateTopics(rk, &nt, 1, options, queue);
    ev = rd_kafka_queue_poll(queue, 2 * AA_KAFKA_ASK_MS);
    st = check_created(ev, topic, err);
out:
    if (ev) rd_kafka_event_destroy(ev);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(nt);
    return st;
}

/* Segments end early, since only ended ones are compacted. A scorer that starts reads all of them. */
const char *const aa_topic_compacted[] = {
    "cleanup.policy", "compact", "segment.bytes", "67108864", "min.cleanable.dirty.ratio", "0.3"};
const size_t aa_topic_compacted_count = sizeof aa_topic_compacted / sizeof *aa_topic_compacted;

aa_status
aa_topic_make(const aa_conf *cfg, const aa_topic_spec *sp, int *existing, aa_err *err)
{
    size_t      count = 0;
    rd_kafka_t *rk = NULL;

    aa_status st = admin_new(&rk, cfg, err);
    if (st != AA_OK) return st;
    st = aa_kafka_partition_count(rk, sp->name, AA_KAFKA_ASK_MS, &count, err);
    if (st != AA_OK) goto out;
    if (existing) *existing = (int)count;
    if (count > 0) goto out;
    st = create_topic(rk, sp, err);
    if (st == AA_OK) aa_info("TOPIC-CREATED", "topic %s", sp->name);
out:
    rd_kafka_destroy(rk);
    return st;
}

aa_status
aa_topic_create(const aa_conf *cfg, const char *topic, int partitions, const char *const *settings,
                size_t setting_count, int *existing, aa_err *err)
{
    const aa_topic_spec sp = {.name = topic,
                              .partitions = partitions,
                              .settings = settings,
                              .setting_count = setting_count};
    return aa_topic_make(cfg, &sp, existing, err);
}

aa_status
aa_topic_ensure(const aa_conf *cfg, const char *topic, int partitions, bool compacted, aa_err *err)
{
    return aa_topic_create(cfg, topic, partitions, aa_topic_compacted,
                           compacted ? aa_topic_compacted_count : 0, NULL, err);
}

/* A batch of rows is as large as a broker's usual limit; the dense weights may be larger. */
void
aa_topic_model_settings_of(aa_topic_model_settings *ts, const aa_conf *cfg)
{
    enum { USUAL_BYTES = 1048588 };
    const int64_t need = aa_kafka_model_bytes(cfg);

    AA_REQUIRE(aa_topic_compacted_count + 2 <= sizeof ts->pair / sizeof *ts->pair);
    memcpy(ts->pair, aa_topic_compacted, sizeof aa_topic_compacted);
    ts->count = aa_topic_compacted_count;
    snprintf(ts->bytes, sizeof ts->bytes, "%" PRId64, need > USUAL_BYTES ? need : USUAL_BYTES);
    ts->pair[ts->count++] = "max.message.bytes";
    ts->pair[ts->count++] = ts->bytes;
}

/* ---- as they are ---- */

static aa_status
take_shape(rd_kafka_t *rk, const char *topic, aa_topic_facts *out, aa_err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t               *rkt = rd_kafka_topic_new(rk, topic, NULL);
    aa_status                       st = AA_OK;

    if (!rkt) return aa_fail(err, AA_ECONFIG, "topic %s: not a topic's name", topic);
    rd_kafka_resp_err_t ke = rd_kafka_metadata(rk, 0, rkt, &md, AA_KAFKA_ASK_MS);
    if (!ke && md->topic_cnt == 1) ke = md->topics[0].err;
    if (ke == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        *out = (aa_topic_facts){0};
    } else if (ke) {
        st = aa_fail(err, AA_EIO, "topic %s: %s", topic, rd_kafka_err2str(ke));
    } else if (md->topic_cnt == 1 && md->topics[0].partition_cnt > 0) {
        out->partitions = md->topics[0].partition_cnt;
        out->replication = md->topics[0].partitions[0].replica_cnt;
    }
    if (md) rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
    return st;
}

static void
take_settings(rd_kafka_event_t *ev, aa_topic_facts *out)
{
    size_t count = 0, entries = 0;

    if (!ev || rd_kafka_event_error(ev)) return;
    const rd_kafka_ConfigResource_t **res = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(ev), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(res[0])) return;
    const rd_kafka_ConfigEntry_t **ce = rd_kafka_ConfigResource_configs(res[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        const char *name = rd_kafka_ConfigEntry_name(ce[i]);
        const char *value = rd_kafka_ConfigEntry_value(ce[i]);
        if (!value) continue;
        if (strcmp(name, "cleanup.policy") == 0) out->compacted = strstr(value, "compact") != NULL;
        if (strcmp(name, "retention.ms") == 0) out->retention_ms = strtoll(value, NULL, 10);
        if (strcmp(name, "max.message.bytes") == 0)
            out->max_message_bytes = strtoll(value, NULL, 10);
        if (strcmp(name, "delete.retention.ms") == 0)
            out->delete_retention_ms = strtoll(value, NULL, 10);
    }
    out->settings_known = true;
}

/* Left as it is when nothing comes, or asking is not allowed. */
static void
ask_settings(rd_kafka_t *rk, const char *topic, int timeout_ms, aa_topic_facts *out)
{
    char                       why[200];
    rd_kafka_ConfigResource_t *res = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_queue_t          *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t   *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_event_t *ev;

    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, why, sizeof why);
    rd_kafka_DescribeConfigs(rk, &res, 1, options, queue);
    ev = rd_kafka_queue_poll(queue, timeout_ms);
    take_settings(ev, out);
    if (ev) rd_kafka_event_destroy(ev);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(res);
}

aa_status
aa_topic_describe(const aa_conf *cfg, const char *topic, aa_topic_facts *out, aa_err *err)
{
    rd_kafka_t *rk = NULL;
    aa_status   st = admin_new(&rk, cfg, err);

    *out = (aa_topic_facts){0};
    if (st != AA_OK) return st;
    st = take_shape(rk, topic, out, err);
    if (st == AA_OK && out->partitions > 0) ask_settings(rk, topic, AA_KAFKA_ASK_MS, out);
    rd_kafka_destroy(rk);
    return st;
}

int64_t
aa_topic_max_bytes(const aa_conf *cfg, const char *topic, int timeout_ms)
{
    aa_topic_facts facts = {0};
    rd_kafka_t    *rk = NULL;
    aa_err         err = AA_ERR_INIT;

    if (admin_new(&rk, cfg, &err) != AA_OK) return 0;
    ask_settings(rk, topic, timeout_ms, &facts);
    rd_kafka_destroy(rk);
    return facts.settings_known ? facts.max_message_bytes : 0;
}

int64_t
aa_kafka_delete_retention_ms(rd_kafka_t *rk, const char *topic, int timeout_ms)
{
    aa_topic_facts facts = {0};
    ask_settings(rk, topic, timeout_ms, &facts);
    return facts.settings_known ? facts.delete_retention_ms : -1;
}

aa_status
aa_topic_check_model(const aa_conf *cfg, int64_t max_bytes, aa_err *err)
{
    const int64_t need = aa_kafka_model_bytes(cfg);

    if (max_bytes == 0 || max_bytes >= need) return AA_OK;
    return aa_fail(err, AA_ECONFIG,
                   "max.message.bytes is %" PRId64
                   ", the dense weights (model.hidden) need %" PRId64
                   ": raise it (kafka-configs.sh --alter), and kafka.message.max.bytes if it is "
                   "set; topic %.60s",
                   max_bytes, need, cfg->topics.model);
}

/* Small weights fit where nobody has lowered the limit. */
static void
say_unchecked(const aa_conf *cfg)
{
    enum { USUAL_BYTES = 1048588 };
    const int64_t      need = aa_kafka_model_bytes(cfg);
    const aa_log_level level = need > USUAL_BYTES ? AA_WARN : AA_INFO;
    char               kv[64];

    snprintf(kv, sizeof kv, "need_bytes=%" PRId64, need);
    aa_log_write(level, "TOPIC-UNCHECKED", kv,
                 "topic %s: its settings may not be asked for (DescribeConfigs): its "
                 "max.message.bytes must be no less than the dense weights need",
                 cfg->topics.model);
}

aa_status
aa_topic_ensure_model(const aa_conf *cfg, aa_err *err)
{
    enum { ASK_MS = 5000 };
    aa_topic_model_settings ts;
    int                     existing = 0;
    aa_status               st;

    aa_topic_model_settings_of(&ts, cfg);
    st = aa_topic_create(cfg, cfg->topics.model, 0, ts.pair, ts.count, &existing, err);
    if (st != AA_OK || existing == 0) return st;
    const int64_t max_bytes = aa_topic_max_bytes(cfg, cfg->topics.model, ASK_MS);
    if (max_bytes == 0) say_unchecked(cfg);
    return aa_topic_check_model(cfg, max_bytes, err);
}

aa_status
aa_topic_try_read(const aa_conf *cfg, const char *topic, aa_err *err)
{
    aa_reader      *rd = NULL;
    aa_kafka_record rec[1];
    size_t          count = 0;
    int64_t         deadline_ms = aa_now_ms() + AA_KAFKA_ASK_MS;
    aa_status       st = aa_reader_open(&rd, cfg, &topic, 1, err);

    while (st == AA_OK && count == 0 && !aa_reader_caught_up(rd)) {
        st = aa_reader_poll(rd, rec, 1, 200, &count, err);
        if (st == AA_OK && aa_now_ms() > deadline_ms)
            st = aa_fail(err, AA_EIO, "topic %s: nothing was read within %d ms (Read not allowed?)",
                         topic, AA_KAFKA_ASK_MS);
    }
    aa_reader_free(&rd);
    return st;
}

aa_status
aa_topic_try_group(const aa_conf *cfg, const char *topic, aa_err *err)
{
    aa_consumer     *cs = NULL;
    aa_kafka_offset *po = NULL;
    size_t           n = 0;
    aa_status        st = aa_consumer_open(&cs, cfg, topic, false, err);

    if (st == AA_OK) {
        n = aa_consumer_partition_count(cs);
        po = calloc(n, sizeof *po);
        if (!po) st = aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    }
    for (size_t i = 0; st == AA_OK && i < n; i++)
        po[i].partition = (int32_t)i;
    if (st == AA_OK) st = aa_consumer_committed(cs, po, n, err);
    free(po);
    aa_consumer_free(&cs);
    return st;
}

aa_status
aa_topic_try_write(const aa_conf *cfg, const char *topic, const void *key, size_t key_len,
                   aa_err *err)
{
    aa_producer *pr = NULL;
    aa_status    st = aa_producer_open(&pr, cfg, err);
    if (st == AA_OK) st = aa_producer_send(pr, topic, -1, key, key_len, NULL, 0, 0, NULL, 0, err);
    if (st == AA_OK) st = aa_producer_flush(pr, AA_KAFKA_ASK_MS, err);
    aa_producer_free(&pr, 1000);
    return st;
}
