/* Topics: make them unless they are there. */
#include "common/kafka_internal.h"

#include <string.h>

#include "common/log.h"

static const aa_kafka_property defaults[] = {
    {"client.id", "autoassign", false},
    {"allow.auto.create.topics", "false", true},
};

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
create(rd_kafka_t *rk, const char *topic, int partitions, const char *const *settings,
       size_t setting_count, aa_err *err)
{
    aa_status                st;
    char                     why[200] = "";
    rd_kafka_AdminOptions_t *options = NULL;
    rd_kafka_queue_t        *queue = NULL;
    rd_kafka_event_t        *ev = NULL;
    rd_kafka_NewTopic_t     *nt =
        rd_kafka_NewTopic_new(topic, partitions > 0 ? partitions : -1, -1, why, sizeof why);

    if (!nt) return aa_fail(err, AA_ECONFIG, "topic %s: %s", topic, why);
    for (size_t i = 0; i + 1 < setting_count; i += 2)
        rd_kafka_NewTopic_set_config(nt, settings[i], settings[i + 1]);
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

aa_status
aa_topic_create(const aa_conf *cfg, const char *topic, int partitions, const char *const *settings,
                size_t setting_count, int *existing, aa_err *err)
{
    aa_status        st;
    size_t           count = 0;
    rd_kafka_t      *rk = NULL;
    rd_kafka_conf_t *conf = NULL;

    st = aa_kafka_conf_new(&conf, cfg, defaults, sizeof defaults / sizeof *defaults, err);
    if (st != AA_OK) return st;
    /* a consumer: asking a broker about a topic must not make it with the wrong settings */
    st = aa_kafka_client_new(&rk, RD_KAFKA_CONSUMER, &conf, err);
    if (st != AA_OK) return st;
    st = aa_kafka_partition_count(rk, topic, &count, err);
    if (st != AA_OK) goto out;
    if (existing) *existing = (int)count;
    if (count > 0) goto out;
    st = create(rk, topic, partitions, settings, setting_count, err);
    if (st == AA_OK) aa_info("TOPIC-CREATED", "topic %s", topic);
out:
    rd_kafka_destroy(rk);
    return st;
}

aa_status
aa_topic_ensure(const aa_conf *cfg, const char *topic, int partitions, bool compacted, aa_err *err)
{
    static const char *const compact[] = {"cleanup.policy", "compact"};
    return aa_topic_create(cfg, topic, partitions, compact, compacted ? 2 : 0, NULL, err);
}
