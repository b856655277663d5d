/* topic - puts raw messages into a topic and shows what is in one; for the end-to-end tests.
 *
 *   topic write BROKER TOPIC PARTITION           one message per line of standard input
 *   topic write-hex BROKER TOPIC PARTITION       the same, of lines of hexadecimal digits
 *   topic count BROKER TOPIC                     messages in it
 *   topic forget BROKER TOPIC PARTITION OFFSET   delete those before OFFSET, as retention does
 *   topic remove BROKER TOPIC                    delete the topic
 *   topic grow BROKER TOPIC COUNT                add partitions, so that it has COUNT
 *   topic transact BROKER TOPIC PARTITION commit|abort
 *                                                as write, in one transaction that ends like that
 *   topic leaders BROKER TOPIC                   a line per partition: its number, its leader (-1: none),
 *                                                how many replicas are in sync, all replicas (1,2)
 *   topic read BROKER TOPIC                      one JSON object per message, to the end seen at
 *                                                the start: partition, offset, key, value, headers
 *
 * Deliberately not built on common/kafka: a test that read through the code under test would share
 * its mistakes. Bytes that are not UTF-8 are shown as hex in {"hex": ...}.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <librdkafka/rdkafka.h>

enum { TIMEOUT_MS = 10000, MAX_LINE = 1 << 20 };

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "topic: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_t *
open_client(rd_kafka_type_t type, const char *broker, const char *transactional_id)
{
    char             why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", broker, why, sizeof why) ||
        (type == RD_KAFKA_CONSUMER &&
         rd_kafka_conf_set(conf, "group.id", "topic-tool", why, sizeof why)) ||
        (transactional_id &&
         rd_kafka_conf_set(conf, "transactional.id", transactional_id, why, sizeof why)))
        die(broker, why);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) die("client", why);
    return rk;
}

/* Hexadecimal digits become the bytes that they stand for. */
static size_t
bytes_of_hex(char *line, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        const char digits[3] = {line[i], line[i + 1], '\0'};
        line[i / 2] = (char)strtol(digits, NULL, 16);
    }
    return len / 2;
}

static void
send_lines(rd_kafka_t *rk, const char *topic, int32_t partition, bool hex)
{
    char *line = malloc(MAX_LINE);
    if (!line) die("line", "out of memory");
    while (fgets(line, MAX_LINE, stdin)) {
        size_t len = strcspn(line, "\n");
        if (hex) len = bytes_of_hex(line, len);
        rd_kafka_resp_err_t ke = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_VALUE(line, len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (ke) die(topic, rd_kafka_err2str(ke));
    }
    free(line);
    if (rd_kafka_flush(rk, TIMEOUT_MS)) die(topic, "not delivered within 10 s");
}

static int
write_lines(const char *broker, const char *topic, int32_t partition, bool hex)
{
    rd_kafka_t *rk = open_client(RD_KAFKA_PRODUCER, broker, NULL);
    send_lines(rk, topic, partition, hex);
    rd_kafka_destroy(rk);
    return 0;
}

static void
must(rd_kafka_error_t *error)
{
    if (error) die("transaction", rd_kafka_error_string(error));
}

static int
transact(const char *broker, const char *topic, int32_t partition, bool commit)
{
    rd_kafka_t *rk = open_client(RD_KAFKA_PRODUCER, broker, topic);
    must(rd_kafka_init_transactions(rk, TIMEOUT_MS));
    must(rd_kafka_begin_transaction(rk));
    send_lines(rk, topic, partition, false);
    must(commit ? rd_kafka_commit_transaction(rk, TIMEOUT_MS)
                : rd_kafka_abort_transaction(rk, TIMEOUT_MS));
    rd_kafka_destroy(rk);
    return 0;
}

static int
grow(const char *broker, const char *topic, size_t count)
{
    char                      why[512];
    rd_kafka_t               *rk = open_client(RD_KAFKA_PRODUCER, broker, NULL);
    rd_kafka_queue_t         *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewPartitions_t *request = rd_kafka_NewPartitions_new(topic, count, why, sizeof why);
    const rd_kafka_topic_result_t **done;
    size_t                          n;
    if (!request) die(topic, why);
    rd_kafka_CreatePartitions(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!ev) die(topic, "no answer within 10 s");
    if (rd_kafka_event_error(ev)) die(topic, rd_kafka_event_error_string(ev));
    done = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(ev), &n);
    if (n != 1 || rd_kafka_topic_result_error(done[0])) die(topic, "no partitions added");
    rd_kafka_event_destroy(ev);
    rd_kafka_NewPartitions_destroy(request);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

static int
forget(const char *broker, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_t                      *rk = open_client(RD_KAFKA_PRODUCER, broker, NULL);
    rd_kafka_queue_t                *queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_DeleteRecords_t        *request;
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!ev) die(topic, "no answer within 10 s");
    if (rd_kafka_event_error(ev)) die(topic, rd_kafka_event_error_string(ev));
    const rd_kafka_topic_partition_list_t *done =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(ev));
    if (done->elems[0].err) die(topic, rd_kafka_err2str(done->elems[0].err));
    rd_kafka_event_destroy(ev);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

static int
remove_topic(const char *broker, const char *topic)
{
    rd_kafka_t                     *rk = open_client(RD_KAFKA_PRODUCER, broker, NULL);
    rd_kafka_queue_t               *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopic_t         *request = rd_kafka_DeleteTopic_new(topic);
    const rd_kafka_topic_result_t **done;
    size_t                          count;
    rd_kafka_DeleteTopics(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!ev) die(topic, "no answer within 10 s");
    if (rd_kafka_event_error(ev)) die(topic, rd_kafka_event_error_string(ev));
    done = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(ev), &count);
    if (count != 1 || rd_kafka_topic_result_error(done[0])) die(topic, "not deleted");
    rd_kafka_event_destroy(ev);
    rd_kafka_DeleteTopic_destroy(request);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

static json_t *
bytes_json(const void *buf, size_t len)
{
    if (!buf) return json_null();
    json_t *text = json_stringn(buf, len);
    if (text) return text;
    char *hex = malloc(2 * len + 1);
    if (!hex) die("hex", "out of memory");
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)buf)[i]);
    text = json_pack("{s:s}", "hex", hex);
    free(hex);
    return text;
}

static void
show(const rd_kafka_message_t *msg)
{
    json_t             *headers = json_object();
    rd_kafka_headers_t *hdrs;
    if (!rd_kafka_message_headers(msg, &hdrs)) {
        const char *name;
        const void *value;
        size_t      len;
        for (size_t i = 0; !rd_kafka_header_get_all(hdrs, i, &name, &value, &len); i++)
            json_object_set_new(headers, name, bytes_json(value, len));
    }
    json_t *shown = json_pack("{s:i, s:I, s:I, s:o, s:o, s:o}", "partition", (int)msg->partition,
                              "offset", (json_int_t)msg->offset, "timestamp_ms",
                              (json_int_t)rd_kafka_message_timestamp(msg, NULL), "key",
                              bytes_json(msg->key, msg->key_len), "value",
                              bytes_json(msg->payload, msg->len), "headers", headers);
    if (!shown) die("message", "cannot be shown");
    json_dumpf(shown, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(shown);
}

/* A broker that has just started may not lead its partitions yet: asked again for 10 s. */
static rd_kafka_resp_err_t
query_ends(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t *low, int64_t *high)
{
    struct timespec     pause = {.tv_nsec = 100000000};
    rd_kafka_resp_err_t ke = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int tries = 0; tries < 100; tries++) {
        ke = rd_kafka_query_watermark_offsets(rk, topic, partition, low, high, TIMEOUT_MS);
        if (!ke) break;
        nanosleep(&pause, NULL);
    }
    return ke;
}

/* One partition, to the end seen now. */
static void
read_partition(rd_kafka_t *rk, rd_kafka_topic_t *rkt, const char *topic, int32_t partition,
               bool count_only, int64_t *count)
{
    int64_t             low, high;
    rd_kafka_resp_err_t ke = query_ends(rk, topic, partition, &low, &high);
    if (ke) die(topic, rd_kafka_err2str(ke));
    *count += high - low;
    if (count_only || low == high) return;
    if (rd_kafka_consume_start(rkt, partition, low)) die(topic, "cannot be read");
    for (int64_t next = low; next < high;) {
        rd_kafka_message_t *msg = rd_kafka_consume(rkt, partition, TIMEOUT_MS);
        if (!msg) die(topic, "nothing came within 10 s");
        if (msg->err) die(topic, rd_kafka_message_errstr(msg));
        next = msg->offset + 1;
        show(msg);
        rd_kafka_message_destroy(msg);
    }
    rd_kafka_consume_stop(rkt, partition);
}

static int
read_topic(const char *broker, const char *topic, bool count_only)
{
    rd_kafka_t                     *rk = open_client(RD_KAFKA_CONSUMER, broker, NULL);
    rd_kafka_topic_t               *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t             ke = rd_kafka_metadata(rk, 0, rkt, &md, TIMEOUT_MS);
    int64_t                         count = 0;
    if (ke) die(topic, rd_kafka_err2str(ke));
    if (md->topics[0].err) die(topic, rd_kafka_err2str(md->topics[0].err));
    for (int32_t p = 0; p < md->topics[0].partition_cnt; p++)
        read_partition(rk, rkt, topic, p, count_only, &count);
    if (count_only) printf("%" PRId64 "\n", count);
    rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    return 0;
}

static int
show_leaders(const char *broker, const char *topic)
{
    rd_kafka_t                     *rk = open_client(RD_KAFKA_CONSUMER, broker, NULL);
    rd_kafka_topic_t               *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t             ke = rd_kafka_metadata(rk, 0, rkt, &md, TIMEOUT_MS);
    if (ke) die(topic, rd_kafka_err2str(ke));
    for (int p = 0; p < md->topics[0].partition_cnt; p++) {
        const struct rd_kafka_metadata_partition *pt = &md->topics[0].partitions[p];
        printf("%d %d %d ", (int)pt->id, (int)pt->leader, pt->isr_cnt);
        for (int r = 0; r < pt->replica_cnt; r++)
            printf("%s%d", r > 0 ? "," : "", (int)pt->replicas[r]);
        putchar('\n');
    }
    rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 5 && (!strcmp(argv[1], "write") || !strcmp(argv[1], "write-hex")))
        return write_lines(argv[2], argv[3], (int32_t)strtol(argv[4], NULL, 10),
                           !strcmp(argv[1], "write-hex"));
    if (argc == 6 && !strcmp(argv[1], "forget"))
        return forget(argv[2], argv[3], (int32_t)strtol(argv[4], NULL, 10),
                      strtoll(argv[5], NULL, 10));
    if (argc == 6 && !strcmp(argv[1], "transact"))
        return transact(argv[2], argv[3], (int32_t)strtol(argv[4], NULL, 10),
                        !strcmp(argv[5], "commit"));
    if (argc == 5 && !strcmp(argv[1], "grow"))
        return grow(argv[2], argv[3], (size_t)strtoul(argv[4], NULL, 10));
    if (argc == 4 && !strcmp(argv[1], "remove")) return remove_topic(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "leaders")) return show_leaders(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "read")) return read_topic(argv[2], argv[3], false);
    if (argc == 4 && !strcmp(argv[1], "count")) return read_topic(argv[2], argv[3], true);
    die("usage", "topic write|write-hex|transact|forget|grow|remove|count|leaders|read BROKER "
                 "TOPIC ...: see "
                 "its head");
    return 2;
}
