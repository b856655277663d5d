/* Reading whole topics: every partition from the beginning, no group, no commits. */
#include "common/kafka/kafka_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/kafka/kafka_internal.h"

enum { TOPICS_MAX = 8 };

typedef struct {
    size_t  topic;
    int32_t partition;
    int64_t next;  /* offset after the last one returned */
    int64_t until; /* end when the reader was opened */
    bool    there; /* next >= until was met */
} reader_part;

struct aa_reader {
    rd_kafka_t       *rk;                /* owned */
    rd_kafka_queue_t *queue;             /* owned */
    rd_kafka_topic_t *topic[TOPICS_MAX]; /* owned */
    size_t            topic_count;
    reader_part      *part; /* (part_count) owned */
    size_t            part_count, there_count;
    aa_kafka_batch    batch;     /* of the last poll */
    char              lost[200]; /* "": nothing */
};

static const aa_kafka_property reader_defaults[] = {
    {"group.id", "autoassign-reader", false}, /* the library wants one; nothing is ever committed */
    {"auto.offset.reset", "earliest", true},  /* compaction removes the oldest records for good */
};

/* The client takes some hundred bytes for each record that waits, so the queue is shorter than usual.
 * Shorter still is slow: a client whose queue is full looks again after up to a second, so that a
 * partition is read at about one queue per second. */
static const aa_kafka_property reader_ahead[] = {
    {"queued.min.messages", "100000", false},
    {"queued.max.messages.kbytes", "8192", false},
};
enum { READER_AHEAD = sizeof reader_ahead / sizeof *reader_ahead };

enum { USUAL_BYTES = 1000000 }; /* of the largest message, as clients and brokers have it */

/* A fetch is as large as the largest message may be: the client refuses a smaller one. */
static void
fetch_the_largest(rd_kafka_conf_t *conf, const aa_conf *cfg)
{
    char   largest[24] = "";
    size_t size = sizeof largest;

    if (aa_kafka_property_of(cfg, "fetch.max.bytes")) return;
    if (rd_kafka_conf_get(conf, "message.max.bytes", largest, &size) != RD_KAFKA_CONF_OK) return;
    if (strtol(largest, NULL, 10) < USUAL_BYTES)
        snprintf(largest, sizeof largest, "%d", USUAL_BYTES);
    rd_kafka_conf_set(conf, "fetch.max.bytes", largest, NULL, 0);
}

aa_status
aa_kafka_reader_conf(rd_kafka_conf_t **out, const aa_conf *cfg, aa_err *err)
{
    aa_kafka_property p[32];
    size_t            n = 0;
    char              largest[24];
    const int64_t     model_bytes = aa_kafka_model_bytes(cfg);

    AA_REQUIRE(aa_kafka_consumer_default_count + READER_AHEAD + 2 <= sizeof p / sizeof *p);
    for (size_t i = 0; i < aa_kafka_consumer_default_count; i++)
        p[n++] = aa_kafka_consumer_defaults[i];
    for (size_t i = 0; i < READER_AHEAD; i++)
        p[n++] = reader_ahead[i];
    p[n++] = reader_defaults[0];
    snprintf(largest, sizeof largest, "%" PRId64, model_bytes);
    if (cfg->publish.enabled && model_bytes > USUAL_BYTES)
        p[n++] = (aa_kafka_property){"message.max.bytes", largest, false};
    aa_status st = aa_kafka_conf_new(out, cfg, p, n, err);
    if (st != AA_OK) return st;
    fetch_the_largest(*out, cfg);
    /* set last: what the user says about resets is meant for the events,
     * and about members as well */
    rd_kafka_conf_set(*out, reader_defaults[1].key, reader_defaults[1].value, NULL, 0);
    rd_kafka_conf_set(*out, "group.instance.id", "", NULL, 0);
    return AA_OK;
}

static aa_status
client_open(aa_reader *rd, const aa_conf *cfg, aa_err *err)
{
    rd_kafka_conf_t *conf = NULL;
    aa_status        st = aa_kafka_reader_conf(&conf, cfg, err);

    if (st != AA_OK) return st;
    st = aa_kafka_client_new(&rd->rk, RD_KAFKA_CONSUMER, &conf, err);
    if (st != AA_OK) return st;
    rd_kafka_poll_set_consumer(rd->rk);
    rd->queue = rd_kafka_queue_get_consumer(rd->rk);
    return AA_OK;
}

static aa_status
add_topic(aa_reader *rd, const char *name, rd_kafka_topic_partition_list_t *list, aa_err *err)
{
    size_t       count = 0, topic = rd->topic_count;
    reader_part *part;
    aa_status    st = aa_kafka_partition_count(rd->rk, name, AA_KAFKA_ASK_MS, &count, err);

    if (st != AA_OK) return st;
    if (count == 0) return aa_fail(err, AA_EIO, "topic %s does not exist", name);
    rd->topic[topic] = rd_kafka_topic_new(rd->rk, name, NULL);
    if (!rd->topic[topic]) return aa_fail(err, AA_ECONFIG, "topic %s: not a topic's name", name);
    rd->topic_count++;
    part = realloc(rd->part, (rd->part_count + count) * sizeof *part);
    if (!part) return aa_fail(err, AA_ENOMEM, "%zu partitions", count);
    rd->part = part;
    for (size_t p = 0; p < count; p++) {
        rd->part[rd->part_count++] = (reader_part){.topic = topic, .partition = (int32_t)p};
        rd_kafka_topic_partition_list_add(list, name, (int32_t)p)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    }
    return AA_OK;
}

static const char *
topic_name_of(const aa_reader *rd, const reader_part *pt)
{
    return rd_kafka_topic_name(rd->topic[pt->topic]);
}

/* Where all partitions begin and end (*ex, the caller's). */
static aa_status
ask_extents(aa_reader *rd, aa_kafka_extent **ex, int timeout_ms, aa_err *err)
{
    *ex = calloc(rd->part_count + 1, sizeof **ex);
    if (!*ex) return aa_fail(err, AA_ENOMEM, "%zu partitions", rd->part_count);
    for (size_t i = 0; i < rd->part_count; i++)
        (*ex)[i] = (aa_kafka_extent){.topic = topic_name_of(rd, &rd->part[i]),
                                     .partition = rd->part[i].partition};
    return aa_kafka_ask_extents(rd->rk, *ex, rd->part_count, timeout_ms, err);
}

static void
read_until(aa_reader *rd, reader_part *pt, int64_t low, int64_t high)
{
    pt->until = high;
    rd->there_count -= pt->there;
    pt->there = pt->next >= high || low >= high;
    rd->there_count += pt->there;
}

static aa_status
begin_at_first(aa_reader *rd, aa_err *err)
{
    aa_kafka_extent *ex = NULL;
    aa_status        st = ask_extents(rd, &ex, AA_KAFKA_ASK_MS, err);
    for (size_t i = 0; i < rd->part_count && st == AA_OK; i++) {
        rd->part[i].next = ex[i].low;
        read_until(rd, &rd->part[i], ex[i].low, ex[i].high);
    }
    free(ex);
    return st;
}

/* Begin with the first message of each partition that is not older than since_ms. */
static rd_kafka_resp_err_t
begin_at(aa_reader *rd, rd_kafka_topic_partition_list_t *list, int64_t since_ms)
{
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = since_ms;
    rd_kafka_resp_err_t ke = rd_kafka_offsets_for_times(rd->rk, list, AA_KAFKA_ASK_MS);
    for (size_t i = 0; !ke && i < rd->part_count; i++) { /* as they were added */
        reader_part  *pt = &rd->part[i];
        const int64_t offset = list->elems[i].offset;
        pt->next = offset < 0 || offset > pt->until ? pt->until : offset;
        read_until(rd, pt, pt->next, pt->until);
        list->elems[i].offset = pt->next;
    }
    return ke;
}

aa_status
aa_reader_open(aa_reader **out, const aa_conf *cfg, const char *const *topics, size_t topic_count,
               aa_err *err)
{
    return aa_reader_open_since(out, cfg, topics, topic_count, 0, err);
}

aa_status
aa_reader_open_since(aa_reader **out, const aa_conf *cfg, const char *const *topics,
                     size_t topic_count, int64_t since_ms, aa_err *err)
{
    rd_kafka_resp_err_t              ke;
    rd_kafka_topic_partition_list_t *list = NULL;
    aa_reader                       *rd = calloc(1, sizeof *rd);

    if (!rd) return aa_fail(err, AA_ENOMEM, "Kafka reader");
    AA_REQUIRE(topic_count <= TOPICS_MAX);
    aa_status st = client_open(rd, cfg, err);
    if (st != AA_OK) goto out;
    list = rd_kafka_topic_partition_list_new(16);
    for (size_t t = 0; t < topic_count; t++) {
        st = add_topic(rd, topics[t], list, err);
        if (st != AA_OK) goto out;
    }
    st = begin_at_first(rd, err);
    if (st != AA_OK) goto out;
    ke = since_ms > 0 ? begin_at(rd, list, since_ms) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!ke) ke = rd_kafka_assign(rd->rk, list);
    if (ke) {
        st = aa_fail(err, AA_EIO, "assign: %s", rd_kafka_err2str(ke));
        goto out;
    }
    *out = rd;
    rd = NULL;
out:
    if (list) rd_kafka_topic_partition_list_destroy(list);
    aa_reader_free(&rd);
    return st;
}

static size_t
topic_idx(const aa_reader *rd, const rd_kafka_topic_t *rkt)
{
    size_t t = 0;
    while (t < rd->topic_count && rd->topic[t] != rkt)
        t++;
    if (t < rd->topic_count) return t;
    for (t = 0; t < rd->topic_count; t++)
        if (strcmp(rd_kafka_topic_name(rd->topic[t]), rd_kafka_topic_name(rkt)) == 0) return t;
    return 0;
}

static void
note_lost(aa_reader *rd, const reader_part *pt, const char *what, int64_t offset)
{
    if (rd->lost[0]) return;
    snprintf(rd->lost, sizeof rd->lost,
             "%.90s partition %" PRId32 " %s %" PRId64 ", read to %" PRId64, topic_name_of(rd, pt),
             pt->partition, what, offset, pt->next);
}

/* Everything before `next` of the message's partition has been returned. */
static void
advance(aa_reader *rd, const rd_kafka_message_t *km, int64_t next)
{
    if (!km->rkt) return;
    size_t topic = topic_idx(rd, km->rkt);
    for (size_t i = 0; i < rd->part_count; i++) {
        reader_part *pt = &rd->part[i];
        if (pt->topic != topic || pt->partition != km->partition) continue;
        if (next < pt->next + !km->err) note_lost(rd, pt, "went back to", km->offset);
        pt->next = next;
        if (!pt->there && pt->next >= pt->until) {
            pt->there = true;
            rd->there_count++;
        }
        return;
    }
}

/* Errors that waiting does not cure; the library retries all others by itself. */
static aa_status
take_error(aa_reader *rd, const rd_kafka_message_t *km, aa_err *err)
{
    char why[200] = "";
    switch ((int)km->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: advance(rd, km, km->offset); return AA_OK;
    case RD_KAFKA_RESP_ERR__FATAL:
        rd_kafka_fatal_error(rd->rk, why, sizeof why);
        return aa_fail(err, AA_EIO, "%s", why);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return aa_fail(err, AA_EIO, "%s", rd_kafka_message_errstr(km));
    default: aa_warn("KAFKA-READ", "%s", rd_kafka_message_errstr(km)); return AA_OK;
    }
}

aa_status
aa_reader_poll(aa_reader *rd, aa_kafka_record *rec, size_t max, int timeout_ms, size_t *count,
               aa_err *err)
{
    aa_status st = aa_kafka_batch_take(&rd->batch, rd->queue, max, timeout_ms, err);

    *count = 0;
    if (st != AA_OK) return st;
    for (size_t i = 0; i < rd->batch.count; i++) {
        if (rd->batch.km[i]->err) {
            st = take_error(rd, rd->batch.km[i], err);
            if (st != AA_OK) return st;
            continue;
        }
        aa_kafka_record_of(&rec[(*count)++], rd->batch.km[i]);
        advance(rd, rd->batch.km[i], rd->batch.km[i]->offset + 1);
    }
    return AA_OK;
}

bool
aa_reader_caught_up(const aa_reader *rd)
{
    return rd->there_count == rd->part_count;
}

aa_status
aa_reader_refresh(aa_reader *rd, int timeout_ms, aa_err *err)
{
    aa_kafka_extent *ex = NULL;
    aa_status        st = ask_extents(rd, &ex, timeout_ms, err);
    for (size_t i = 0; i < rd->part_count && st == AA_OK; i++) {
        reader_part *pt = &rd->part[i];
        if (pt->next < ex[i].low) note_lost(rd, pt, "begins at", ex[i].low);
        if (pt->next > ex[i].high) note_lost(rd, pt, "ends at", ex[i].high);
        read_until(rd, pt, ex[i].low, ex[i].high);
    }
    free(ex);
    return st;
}

int64_t
aa_reader_position(const aa_reader *rd)
{
    int64_t sum = 0;
    for (size_t i = 0; i < rd->part_count; i++)
        sum += rd->part[i].next;
    return sum;
}

const char *
aa_reader_lost(const aa_reader *rd)
{
    return rd->lost[0] ? rd->lost : NULL;
}

int64_t
aa_reader_delete_retention_ms(aa_reader *rd, int timeout_ms)
{
    int64_t least = INT64_MAX;
    for (size_t t = 0; t < rd->topic_count; t++) {
        const int64_t ms =
            aa_kafka_delete_retention_ms(rd->rk, rd_kafka_topic_name(rd->topic[t]), timeout_ms);
        if (ms < least) least = ms;
    }
    return least;
}

size_t
aa_reader_topic(const aa_reader *rd, const aa_kafka_record *rec)
{
    const rd_kafka_message_t *km = rec->opaque;
    return topic_idx(rd, km->rkt);
}

int64_t
aa_reader_lag(aa_reader *rd)
{
    int64_t lag = 0;
    for (size_t i = 0; i < rd->part_count; i++) {
        const reader_part *pt = &rd->part[i];
        int64_t            low = 0, high = RD_KAFKA_OFFSET_INVALID;
        rd_kafka_get_watermark_offsets(rd->rk, rd_kafka_topic_name(rd->topic[pt->topic]),
                                       pt->partition, &low, &high);
        if (high < pt->until) high = pt->until; /* not heard of yet */
        if (high > pt->next) lag += high - pt->next;
    }
    return lag;
}

void
aa_reader_free(aa_reader **rd_p)
{
    aa_reader *rd = *rd_p;
    if (!rd) return;
    aa_kafka_batch_fini(&rd->batch);
    if (rd->queue) rd_kafka_queue_destroy(rd->queue);
    for (size_t t = 0; t < rd->topic_count; t++)
        rd_kafka_topic_destroy(rd->topic[t]);
    if (rd->rk) {
        rd_kafka_consumer_close(rd->rk);
        rd_kafka_destroy(rd->rk);
    }
    free(rd->part);
    free(rd);
    *rd_p = NULL;
}
