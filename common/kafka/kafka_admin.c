/* Topics: make them unless they are there. */
#include "common/kafka/kafka_internal.h"

#include <string.h>

#include "common/base/log.h"

static const aa_kafka_property defaults[] = {
    {"client.id", "autoassign", false},
    {"allow.auto.create.topics", "false", true},
};

/* A consumer: asking a broker about a topic must not make it with the wrong settings. */
aa_status
aa_kafka_admin_new(rd_kafka_t **out, const aa_conf *cfg, aa_err *err)
{
    rd_kafka_conf_t *conf = NULL;
    aa_status st = aa_kafka_conf_new(&conf, cfg, defaults, sizeof defaults / sizeof *defaults, err);
    if (st != AA_OK) return st;
    return aa_kafka_client_new(out, RD_KAFKA_CONSUMER, &conf, err);
}

/* The outcome of one CreateTopics request. Another process may have been faster: that is fine. */
static aa_status
check_created(rd_kafka_event_t *ev, const char *topic, aa_err *err)
{
    size_t                          count = 0;
    const rd_kafka_topic_result_t **results;

    if (!ev) return aa_fail(err, AA_EIO, "creating topic %s: no answer", topic);
    if (rd_kafka_event_error(ev))
        return aa_fail(err, AA_EIO, "creating topic %s: %s", topic,
                       rd_kafka_event_error_string(ev));
    results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &count);
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
create(rd_kafka_t *rk, const aa_topic_spec *sp, aa_err *err)
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

/* Segments end early, since only ended ones are compacted,
 * and a scorer that starts reads them all. */
const char *const aa_topic_compacted[] = {
    "cleanup.policy", "compact", "segment.bytes", "67108864", "min.cleanable.dirty.ratio", "0.3"};
const size_t aa_topic_compacted_count = sizeof aa_topic_compacted / sizeof *aa_topic_compacted;

aa_status
aa_topic_make(const aa_conf *cfg, const aa_topic_spec *sp, int *existing, aa_err *err)
{
    aa_status   st;
    size_t      count = 0;
    rd_kafka_t *rk = NULL;

    st = aa_kafka_admin_new(&rk, cfg, err);
    if (st != AA_OK) return st;
    st = aa_kafka_partition_count(rk, sp->name, &count, err);
    if (st != AA_OK) goto out;
    if (existing) *existing = (int)count;
    if (count > 0) goto out;
    st = create(rk, sp, err);
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
