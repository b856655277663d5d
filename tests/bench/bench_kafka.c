/* bench_kafka - how fast librdkafka reads a topic with nothing behind it: the limit of any
 * pipeline.
 *
 *   bench_kafka BROKER TOPIC
 *
 * Reads every partition from its beginning to the end seen at the start through the batch API,
 * looks at one byte of each message, and prints one JSON object. librdkafka is used directly here,
 * and not through common/kafka, so that nothing of ours is measured.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

/* A batch is returned when it is full or BATCH_WAIT_MS has passed: the last one is never full. */
enum { BATCH = 10000, BATCH_WAIT_MS = 10, MAX_PARTITIONS = 1024, TIMEOUT_MS = 10000 };

/* What is still to come, per partition. */
typedef struct {
    int64_t  end[MAX_PARTITIONS];
    int64_t  left;
    uint64_t bytes, checksum;
} progress;

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "bench_kafka: %s: %s\n", what, why);
    exit(1);
}

static double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static rd_kafka_t *
open_consumer(const char *broker)
{
    static const char *const settings[][2] = {
        {"group.id", "bench-kafka"},           {"enable.auto.commit", "false"},
        {"queued.min.messages", "1000000"},    {"fetch.message.max.bytes", "8388608"},
        {"enable.auto.offset.store", "false"}, {"check.crcs", "false"},
    };
    char             why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", broker, why, sizeof why)) die(broker, why);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why))
            die(settings[i][0], why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk) die("consumer", why);
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

/* A broker that has just started may not lead its partitions yet: asked again for 10 s. */
static rd_kafka_resp_err_t
query_ends(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t *low, int64_t *high)
{
    double              deadline_s = now_s() + TIMEOUT_MS / 1e3;
    struct timespec     pause = {.tv_nsec = 100000000};
    rd_kafka_resp_err_t ke;
    while ((ke = rd_kafka_query_watermark_offsets(rk, topic, partition, low, high, TIMEOUT_MS)) &&
           now_s() < deadline_s)
        nanosleep(&pause, NULL);
    return ke;
}

/* Every partition of the topic from its beginning; their ends into `pg`. */
static rd_kafka_topic_partition_list_t *
partitions_of(rd_kafka_t *rk, const char *topic, progress *pg)
{
    const struct rd_kafka_metadata  *md;
    rd_kafka_topic_t                *rkt = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t              ke = rd_kafka_metadata(rk, 0, rkt, &md, TIMEOUT_MS);
    rd_kafka_topic_partition_list_t *list;
    if (ke) die(topic, rd_kafka_err2str(ke));
    int count = md->topics[0].partition_cnt;
    if (count <= 0 || count > MAX_PARTITIONS) die(topic, "no such topic, or too many partitions");
    list = rd_kafka_topic_partition_list_new(count);
    for (int32_t p = 0; p < count; p++) {
        int64_t low, high;
        ke = query_ends(rk, topic, p, &low, &high);
        if (ke) die(topic, rd_kafka_err2str(ke));
        pg->end[p] = high;
        pg->left += high > low;
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = low;
    }
    rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
    return list;
}

static void
take(progress *pg, const rd_kafka_message_t *msg)
{
    if (msg->err) die("message", rd_kafka_message_errstr(msg));
    if (msg->offset >= pg->end[msg->partition]) return;
    pg->bytes += msg->len + msg->key_len;
    if (msg->len) pg->checksum += *(const unsigned char *)msg->payload;
    if (msg->offset == pg->end[msg->partition] - 1) pg->left--;
}

int
main(int argc, char **argv)
{
    static rd_kafka_message_t *msgs[BATCH];
    static progress            pg;
    if (argc != 3) die("usage", "bench_kafka BROKER TOPIC");

    rd_kafka_t                      *rk = open_consumer(argv[1]);
    rd_kafka_topic_partition_list_t *list = partitions_of(rk, argv[2], &pg);
    rd_kafka_queue_t                *queue = rd_kafka_queue_get_consumer(rk);
    uint64_t                         count = 0;
    double                           start_s = now_s(), last_s = start_s;
    rd_kafka_resp_err_t              ke = rd_kafka_assign(rk, list);
    if (ke) die("assign", rd_kafka_err2str(ke));
    while (pg.left > 0) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, BATCH_WAIT_MS, msgs, BATCH);
        if (n > 0) last_s = now_s();
        if (n < 0 || now_s() - last_s > TIMEOUT_MS / 1e3)
            die("consume", "nothing came within 10 s");
        for (ssize_t i = 0; i < n; i++) {
            take(&pg, msgs[i]);
            rd_kafka_message_destroy(msgs[i]);
        }
        count += (uint64_t)n;
    }
    double seconds = last_s - start_s;
    printf("{\"messages\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.3f, "
           "\"messages_per_s\": %.0f, \"checksum\": %" PRIu64 "}\n",
           count, pg.bytes, seconds, (double)count / seconds, pg.checksum);

    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return 0;
}
