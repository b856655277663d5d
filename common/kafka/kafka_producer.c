/* Producing. Idempotent and acknowledged by all replicas unless the user says otherwise, so that
 * the order within a partition is the order of the calls. */
#include "common/kafka/kafka_producer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/kafka/kafka_internal.h"

enum { SEND_WAIT_MS = 60000, TOPIC_SLOTS = 8 };

struct aa_producer {
    rd_kafka_t       *rk;                 /* owned */
    rd_kafka_topic_t *topic[TOPIC_SLOTS]; /* owned; handles of the topics in use */
    size_t            topic_count;
    uint64_t          failed, flush_failed; /* the latter: those that a flush has told of */
    char              failure[160];         /* the first one's words */
    int64_t           queued_bytes;         /* not delivered yet */
    int64_t           behind_messages, behind_bytes;
    int64_t           max_bytes; /* of one message */
    aa_producer_told  told;      /* NULL: nothing is marked */
    void             *told_arg;
};

/* compression and partitioner: lz4 costs little and batches compress well; murmur2 puts a key where
 * Java's producers put it. message.timeout.ms 0: a message waits for a broker that is away, however
 * long; who produces is slowed down by the queue's limits instead of losing it. */
static const aa_kafka_property defaults[] = {
    {"client.id", "autoassign", false},
    {"linger.ms", "20", false},
    {"enable.idempotence", "true", false},
    {"delivery.report.only.error", "false", true}, /* deliveries are counted */
    {"acks", "all", false},
    {"compression.type", "lz4", false},
    {"partitioner", "murmur2_random", false},
    {"message.timeout.ms", "0", false},
    {"queue.buffering.max.messages", "500000", false},
    {"queue.buffering.max.kbytes", "262144", false},
};

static aa_delivery_end
end_of(const rd_kafka_t *rk, rd_kafka_resp_err_t ke)
{
    if (!ke) return AA_DELIVERY_DONE;
    if (rd_kafka_fatal_error((rd_kafka_t *)(uintptr_t)rk, NULL, 0)) return AA_DELIVERY_UNUSABLE;
    return ke == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? AA_DELIVERY_TOO_LARGE : AA_DELIVERY_FAILED;
}

static void
tell_end(aa_producer *pr, const rd_kafka_message_t *km)
{
    const aa_delivery de = {.how = end_of(pr->rk, km->err),
                            .mark = km->_private,
                            .key = km->key,
                            .value = km->payload,
                            .key_len = km->key_len,
                            .len = km->len,
                            .why = rd_kafka_err2str(km->err)};
    pr->told(pr->told_arg, &de);
}

static void
say_lost(const rd_kafka_message_t *km)
{
    const char *topic = rd_kafka_topic_name(km->rkt), *why = rd_kafka_err2str(km->err);
    if (km->err != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        aa_warn("KAFKA-DELIVERY", "topic %s: %s", topic, why);
    else
        aa_error("KAFKA-DELIVERY",
                 "topic %s: %s: a message of %zu bytes; raise max.message.bytes of the topic "
                 "(kafka-configs.sh --alter), and kafka.message.max.bytes if it is set",
                 topic, why, km->key_len + km->len);
}

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *km, void *opaque)
{
    aa_producer *pr = opaque;
    (void)rk;
    pr->queued_bytes -= (int64_t)(km->key_len + km->len);
    if (km->_private) {
        tell_end(pr, km);
        return;
    }
    if (!km->err) return;
    if (pr->failed++ == 0)
        snprintf(pr->failure, sizeof pr->failure, "topic %s: %s", rd_kafka_topic_name(km->rkt),
                 rd_kafka_err2str(km->err));
    say_lost(km);
}

/* idempotence needs acks=all and few requests in flight: it gives way to what the user asks for */
static aa_status
yield_idempotence(rd_kafka_conf_t *conf, const aa_conf *cfg, aa_err *err)
{
    static const char *const contradicting[] = {"acks", "request.required.acks"};
    char                     why[200];

    if (aa_kafka_property_of(cfg, "enable.idempotence")) return AA_OK;
    for (size_t i = 0; i < sizeof contradicting / sizeof *contradicting; i++) {
        const char *acks = aa_kafka_property_of(cfg, contradicting[i]);
        if (!acks || strcmp(acks, "all") == 0 || strcmp(acks, "-1") == 0) continue;
        if (rd_kafka_conf_set(conf, "enable.idempotence", "false", why, sizeof why) !=
            RD_KAFKA_CONF_OK)
            return aa_fail(err, AA_ECONFIG, "kafka.enable.idempotence: %s", why);
    }
    return AA_OK;
}

/* A property's number; 0: it has none. */
static int64_t
number_of(const rd_kafka_conf_t *conf, const char *key)
{
    char   text[32] = "";
    size_t size = sizeof text;
    return rd_kafka_conf_get(conf, key, text, &size) == RD_KAFKA_CONF_OK ? strtoll(text, NULL, 10)
                                                                         : 0;
}

/* A quarter of the queue's limits. */
static void
set_limits(aa_producer *pr, const rd_kafka_conf_t *conf)
{
    pr->behind_messages = number_of(conf, "queue.buffering.max.messages") / 4;
    if (pr->behind_messages <= 0) pr->behind_messages = INT64_MAX; /* 0: the queue has no limit */
    pr->behind_bytes = number_of(conf, "queue.buffering.max.kbytes") * 1024 / 4;
    pr->max_bytes = number_of(conf, "message.max.bytes");
}

static aa_status
set_number(rd_kafka_conf_t *conf, const char *key, int64_t value, aa_err *err)
{
    char text[32], why[200] = "";

    snprintf(text, sizeof text, "%lld", (long long)value);
    if (rd_kafka_conf_set(conf, key, text, why, sizeof why) != RD_KAFKA_CONF_OK)
        return aa_fail(err, AA_ECONFIG, "kafka.%s: %s", key, why);
    return AA_OK;
}

static aa_status
keep_batches_small(rd_kafka_conf_t *conf, int64_t batch_bytes, aa_err *err)
{
    if (batch_bytes <= 0 || number_of(conf, "batch.size") <= batch_bytes) return AA_OK;
    return set_number(conf, "batch.size", batch_bytes, err);
}

/* The queue takes some of them: the next is there before the last is delivered. */
static aa_status
take_large_messages(rd_kafka_conf_t *conf, const aa_conf *cfg, int64_t message_bytes, aa_err *err)
{
    const struct {
        const char *key;
        int64_t     least;
    } limits[] = {{"message.max.bytes", message_bytes},
                  {"queue.buffering.max.kbytes", 2 * (message_bytes / 1024 + 1)}};
    aa_status st = AA_OK;

    for (size_t i = 0; st == AA_OK && i < sizeof limits / sizeof *limits; i++)
        if (!aa_kafka_property_of(cfg, limits[i].key) &&
            number_of(conf, limits[i].key) < limits[i].least)
            st = set_number(conf, limits[i].key, limits[i].least, err);
    return st;
}

aa_status
aa_kafka_producer_conf(rd_kafka_conf_t **out, const aa_conf *cfg, int64_t batch_bytes,
                       int64_t message_bytes, aa_err *err)
{
    aa_status st = aa_kafka_conf_new(out, cfg, defaults, sizeof defaults / sizeof *defaults, err);

    if (st == AA_OK) st = yield_idempotence(*out, cfg, err);
    if (st == AA_OK) st = keep_batches_small(*out, batch_bytes, err);
    if (st == AA_OK) st = take_large_messages(*out, cfg, message_bytes, err);
    return st;
}

/* batch_bytes, message_bytes: 0 is the client's usual. */
static aa_status
open_producer(aa_producer **out, const aa_conf *cfg, int64_t batch_bytes, int64_t message_bytes,
              aa_err *err)
{
    rd_kafka_conf_t *conf = NULL;
    aa_producer     *pr = calloc(1, sizeof *pr);

    if (!pr) return aa_fail(err, AA_ENOMEM, "Kafka producer");
    aa_status st = aa_kafka_producer_conf(&conf, cfg, batch_bytes, message_bytes, err);
    if (st != AA_OK) goto out;
    rd_kafka_conf_set_opaque(conf, pr);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    set_limits(pr, conf);
    st = aa_kafka_client_new(&pr->rk, RD_KAFKA_PRODUCER, &conf, err);
    if (st != AA_OK) goto out;
    *out = pr;
    pr = NULL;
out:
    if (conf) rd_kafka_conf_destroy(conf);
    aa_producer_free(&pr, 0);
    return st;
}

aa_status
aa_producer_open(aa_producer **out, const aa_conf *cfg, aa_err *err)
{
    return open_producer(out, cfg, 0, 0, err);
}

aa_status
aa_producer_open_small(aa_producer **out, const aa_conf *cfg, int64_t batch_bytes, aa_err *err)
{
    return open_producer(out, cfg, batch_bytes, 0, err);
}

aa_status
aa_producer_open_large(aa_producer **out, const aa_conf *cfg, int64_t message_bytes, aa_err *err)
{
    return open_producer(out, cfg, 0, message_bytes, err);
}

int64_t
aa_producer_max_bytes(const aa_producer *pr)
{
    return pr->max_bytes;
}

void
aa_producer_tell(aa_producer *pr, aa_producer_told told, void *arg)
{
    pr->told = told;
    pr->told_arg = arg;
}

/* The handle of a topic, so that the library need not look its name up for every message; NULL when
 * there are too many topics or the name is not one. */
static rd_kafka_topic_t *
topic_of(aa_producer *pr, const char *topic)
{
    for (size_t i = 0; i < pr->topic_count; i++)
        if (strcmp(rd_kafka_topic_name(pr->topic[i]), topic) == 0) return pr->topic[i];
    if (pr->topic_count == TOPIC_SLOTS) return NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(pr->rk, topic, NULL);
    if (rkt) pr->topic[pr->topic_count++] = rkt;
    return rkt;
}

static void *
unconst(const void *p)
{
    return (void *)(uintptr_t)p; /* the library copies and does not write */
}

static rd_kafka_vu_t *
put_bytes(rd_kafka_vu_t *vu, rd_kafka_vtype_t type, const void *data, size_t len)
{
    vu->vtype = type;
    vu->u.mem.ptr = unconst(data);
    vu->u.mem.size = len;
    return vu + 1;
}

/* One attempt. */
static rd_kafka_resp_err_t
produce(aa_producer *pr, const rd_kafka_vu_t *vu, size_t count, char *why, size_t why_size)
{
    rd_kafka_error_t   *ke = rd_kafka_produceva(pr->rk, vu, count);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (ke) {
        code = rd_kafka_error_code(ke);
        snprintf(why, why_size, "%s", rd_kafka_error_string(ke));
        rd_kafka_error_destroy(ke);
    }
    return code;
}

/* Where, in what manner and with what headers; the bytes and what else follow. */
static rd_kafka_vu_t *
put_frame(aa_producer *pr, rd_kafka_vu_t *end, const char *topic, int32_t partition,
          const aa_kafka_header *headers, size_t header_count)
{
    rd_kafka_topic_t *rkt = topic_of(pr, topic);

    AA_REQUIRE(header_count <= AA_KAFKA_HEADERS_MAX);
    end->vtype = rkt ? RD_KAFKA_VTYPE_RKT : RD_KAFKA_VTYPE_TOPIC;
    if (rkt)
        end->u.rkt = rkt;
    else
        end->u.cstr = topic;
    end++;
    end->vtype = RD_KAFKA_VTYPE_PARTITION;
    end++->u.i32 = partition;
    end->vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    end++->u.i = RD_KAFKA_MSG_F_COPY;
    for (size_t i = 0; i < header_count; i++, end++) {
        end->vtype = RD_KAFKA_VTYPE_HEADER;
        end->u.header.name = headers[i].name;
        end->u.header.val = headers[i].value;
        end->u.header.size = headers[i].value ? (ssize_t)headers[i].len : 0;
    }
    return end;
}

aa_status /* NOLINTNEXTLINE(readability-function-size): the parts of a record */
aa_producer_send(aa_producer *pr, const char *topic, int32_t partition, const void *key,
                 size_t key_len, const void *value, size_t len, int64_t timestamp_ms,
                 const aa_kafka_header *headers, size_t header_count, aa_err *err)
{
    rd_kafka_vu_t  vu[8 + AA_KAFKA_HEADERS_MAX];
    rd_kafka_vu_t *end = put_frame(pr, vu, topic, partition, headers, header_count);
    char           why[160] = "";
    int64_t        started_ms = 0;

    end->vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    end++->u.i64 = timestamp_ms;
    end = put_bytes(end, RD_KAFKA_VTYPE_KEY, key, key_len);
    end = put_bytes(end, RD_KAFKA_VTYPE_VALUE, value, len);
    for (;;) {
        rd_kafka_resp_err_t code = produce(pr, vu, (size_t)(end - vu), why, sizeof why);
        if (!code) break;
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return aa_fail(err, AA_EIO, "topic %s: %s", topic, why);
        if (started_ms == 0) started_ms = aa_now_ms();
        if (aa_now_ms() - started_ms > SEND_WAIT_MS)
            return aa_fail(err, AA_EFULL, "topic %s: queue full for %d s", topic,
                           SEND_WAIT_MS / 1000);
        rd_kafka_poll(pr->rk, 50);
    }
    pr->queued_bytes += (int64_t)(key_len + len);
    return AA_OK;
}

aa_status
aa_producer_send_marked(aa_producer *pr, const char *topic, const aa_delivery *de,
                        const aa_kafka_header *headers, size_t header_count, aa_err *err)
{
    rd_kafka_vu_t  vu[8 + AA_KAFKA_HEADERS_MAX];
    rd_kafka_vu_t *end = put_frame(pr, vu, topic, -1, headers, header_count);
    char           why[160] = "";

    AA_REQUIRE(pr->told && de->mark);
    end->vtype = RD_KAFKA_VTYPE_OPAQUE;
    end++->u.ptr = de->mark;
    end->vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    end++->u.i64 = de->timestamp_ms;
    end = put_bytes(end, RD_KAFKA_VTYPE_KEY, de->key, de->key_len);
    end = put_bytes(end, RD_KAFKA_VTYPE_VALUE, de->value, de->len);
    rd_kafka_resp_err_t code = produce(pr, vu, (size_t)(end - vu), why, sizeof why);
    if (code)
        return aa_fail(err,
                       code == RD_KAFKA_RESP_ERR__QUEUE_FULL          ? AA_EFULL
                       : code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? AA_EPARSE
                                                                      : AA_EIO,
                       "topic %s: %s", topic, why);
    pr->queued_bytes += (int64_t)(de->key_len + de->len);
    return AA_OK;
}

void
aa_producer_poll(aa_producer *pr)
{
    rd_kafka_poll(pr->rk, 0);
}

bool
aa_producer_behind(aa_producer *pr)
{
    rd_kafka_poll(pr->rk, 0);
    return rd_kafka_outq_len(pr->rk) > pr->behind_messages || pr->queued_bytes > pr->behind_bytes;
}

uint64_t
aa_producer_failed(const aa_producer *pr)
{
    return pr->failed;
}

aa_status
aa_producer_flush(aa_producer *pr, int timeout_ms, aa_err *err)
{
    rd_kafka_resp_err_t ke = rd_kafka_flush(pr->rk, timeout_ms);

    if (ke)
        return aa_fail(err, AA_EIO, "flush: %d messages not delivered after %d ms: %s",
                       rd_kafka_outq_len(pr->rk), timeout_ms, rd_kafka_err2str(ke));
    uint64_t failed = pr->failed - pr->flush_failed;
    pr->flush_failed = pr->failed;
    if (failed > 0)
        return aa_fail(err, AA_EIO, "flush: %llu messages not delivered: %s",
                       (unsigned long long)failed, pr->failure);
    return AA_OK;
}

void
aa_producer_free(aa_producer **pr_p, int timeout_ms)
{
    aa_producer *pr = *pr_p;
    if (!pr) return;
    if (pr->rk) {
        if (rd_kafka_flush(pr->rk, timeout_ms)) {
            rd_kafka_purge(pr->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
            rd_kafka_flush(pr->rk, 100); /* serves the reports of what was purged */
        }
        for (size_t i = 0; i < pr->topic_count; i++)
            rd_kafka_topic_destroy(pr->topic[i]);
        rd_kafka_destroy(pr->rk);
    }
    free(pr);
    *pr_p = NULL;
}
