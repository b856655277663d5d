/* Reading in a group, partition by partition.
 *
 * Each assigned partition has a queue of its own, so that a merge can take from the partition it
 * waits for and leave the others' messages where they are: the library fetches no further than its
 * own limits. Commits are the caller's: nothing is stored or committed behind its back.
 */
#include "common/kafka/kafka_consumer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/kafka/kafka_internal.h"

enum {
    COMMIT_MS = 3000,
    UNREADABLE_TRIES = 5, /* the library tries twice a second */
    SEEK_MS = 5000
};

typedef struct {
    int32_t           partition;
    rd_kafka_queue_t *queue; /* owned */
    int64_t           bad;   /* offset of what cannot be unpacked */
    int               tries; /* of that; 0: all is well */
    char              why[240];
} consumer_part;

struct aa_consumer {
    rd_kafka_t       *rk; /* owned */
    char              topic[AA_CONF_STR];
    size_t            partition_count; /* of the topic, when asked last */
    consumer_part    *part;            /* (part_count) owned; what is assigned */
    size_t            part_count;
    aa_kafka_batch    batch;   /* of the last batch */
    int               wake[2]; /* the library writes a byte when a queue gets something */
    aa_consumer_event event;   /* of the last rebalance, until polled */
    aa_kafka_offset  *offered; /* (offered_count) owned */
    size_t            offered_count;
    rd_kafka_queue_t *committing; /* owned; gets the answer to the commit under way, NULL: none */
    bool              closing;
};

/* The answer to a rebalance may come later than the callback: the group waits for it. */
static void
on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t ke, rd_kafka_topic_partition_list_t *list,
             void *opaque)
{
    aa_consumer *cs = opaque;

    if (cs->closing) {
        rd_kafka_assign(rk, NULL);
        return;
    }
    if (ke != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        if (ke != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
            aa_warn("REBALANCE", "%s", rd_kafka_err2str(ke));
        cs->event = rd_kafka_assignment_lost(rk) ? AA_CONSUMER_LOST : AA_CONSUMER_REVOKED;
        return;
    }
    cs->event = AA_CONSUMER_ASSIGNED;
    free(cs->offered);
    cs->offered_count = (size_t)list->cnt;
    cs->offered = calloc(cs->offered_count + 1, sizeof *cs->offered);
    AA_REQUIRE(cs->offered); /* a callback has nobody to tell */
    for (int i = 0; i < list->cnt; i++) {
        cs->offered[i].partition = list->elems[i].partition;
        cs->offered[i].offset = AA_KAFKA_NO_OFFSET;
    }
}

aa_status
aa_kafka_consumer_conf(rd_kafka_conf_t **out, const aa_conf *cfg, bool subscribe, aa_err *err)
{
    aa_kafka_property p[32];
    size_t            n = 0;
    char              member[64], client[64], group[AA_CONF_STR + 16];
    const bool        fetcher = cfg->ingest.role == AA_ROLE_FETCHER;
    const char       *strategy = aa_kafka_property_of(cfg, "partition.assignment.strategy");

    if (strategy && strstr(strategy, "cooperative"))
        return aa_fail(err, AA_ECONFIG,
                       "kafka.partition.assignment.strategy: cooperative rebalances "
                       "are not supported: use range or roundrobin");
    snprintf(client, sizeof client, "autoassign-fetcher-%ld", (long)getpid());
    snprintf(group, sizeof group, "autoassign-%s", cfg->pipeline.name);
    snprintf(member, sizeof member, "ingest-%lld", (long long)cfg->pipeline.lane);
    AA_REQUIRE(aa_kafka_consumer_default_count + 7 <= sizeof p / sizeof *p);
    for (size_t i = 0; i < aa_kafka_consumer_default_count; i++)
        p[n++] = aa_kafka_consumer_defaults[i];
    p[n++] = (aa_kafka_property){"group.id", group, false};
    p[n++] = (aa_kafka_property){"auto.offset.reset", "error", false};
    p[n++] = (aa_kafka_property){"queued.max.messages.kbytes", "16384", false};
    p[n++] = (aa_kafka_property){"partition.assignment.strategy", "range,roundrobin", false};
    if (subscribe && !fetcher) p[n++] = (aa_kafka_property){"group.instance.id", member, false};
    if (subscribe && fetcher) p[n++] = (aa_kafka_property){"client.id", client, false};
    aa_status st = aa_kafka_conf_new(out, cfg, p, n, err);
    if (st != AA_OK) return st;
    /* what the user says of it holds where there is no commit (ingest/source); events that are
     * gone must show here as an error, not as a silent jump */
    if (rd_kafka_conf_set(*out, "auto.offset.reset", "error", NULL, 0) != RD_KAFKA_CONF_OK)
        return aa_fail(err, AA_EBUG, "auto.offset.reset");
    return AA_OK;
}

static aa_status
client_open(aa_consumer *cs, const aa_conf *cfg, bool subscribe, aa_err *err)
{
    rd_kafka_conf_t *conf = NULL;
    aa_status        st = aa_kafka_consumer_conf(&conf, cfg, subscribe, err);

    if (st != AA_OK) {
        if (conf) rd_kafka_conf_destroy(conf);
        return st;
    }
    rd_kafka_conf_set_opaque(conf, cs);
    if (subscribe) rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    st = aa_kafka_client_new(&cs->rk, RD_KAFKA_CONSUMER, &conf, err);
    if (st != AA_OK) return st;
    rd_kafka_poll_set_consumer(cs->rk);
    return AA_OK;
}

static aa_status
wake_open(aa_consumer *cs, aa_err *err)
{
    if (pipe(cs->wake) != 0) return aa_fail(err, AA_EIO, "pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        if (fcntl(cs->wake[i], F_SETFL, O_NONBLOCK) != 0 ||
            fcntl(cs->wake[i], F_SETFD, FD_CLOEXEC) != 0)
            return aa_fail(err, AA_EIO, "pipe: %s", strerror(errno));
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(cs->rk);
    rd_kafka_queue_io_event_enable(queue, cs->wake[1], "w", 1);
    rd_kafka_queue_destroy(queue);
    return AA_OK;
}

static aa_status
subscribe_topic(aa_consumer *cs, aa_err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, cs->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t ke = rd_kafka_subscribe(cs->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (ke) return aa_fail(err, AA_EIO, "subscribe to %s: %s", cs->topic, rd_kafka_err2str(ke));
    return AA_OK;
}

aa_status
aa_consumer_open(aa_consumer **out, const aa_conf *cfg, const char *topic, bool subscribe,
                 aa_err *err)
{
    aa_status    st;
    aa_consumer *cs = calloc(1, sizeof *cs);

    if (!cs) return aa_fail(err, AA_ENOMEM, "Kafka consumer");
    cs->wake[0] = cs->wake[1] = -1;
    snprintf(cs->topic, sizeof cs->topic, "%s", topic);
    st = client_open(cs, cfg, subscribe, err);
    if (st != AA_OK) goto out;
    st = aa_consumer_count_partitions(cs, err);
    if (st != AA_OK) goto out;
    st = wake_open(cs, err);
    if (st != AA_OK) goto out;
    if (subscribe) st = subscribe_topic(cs, err);
    if (st != AA_OK) goto out;
    *out = cs;
    cs = NULL;
out:
    aa_consumer_free(&cs);
    return st;
}

aa_status
aa_consumer_count_partitions(aa_consumer *cs, aa_err *err)
{
    size_t    count = 0;
    aa_status st = aa_kafka_partition_count(cs->rk, cs->topic, AA_KAFKA_ASK_MS, &count, err);

    if (st != AA_OK) return st;
    if (count == 0)
        return aa_fail(err, AA_ECONFIG,
                       "topic %s does not exist: autoassign-topics --create makes it", cs->topic);
    cs->partition_count = count;
    return AA_OK;
}

size_t
aa_consumer_partition_count(const aa_consumer *cs)
{
    return cs->partition_count;
}

aa_status
aa_consumer_watermarks(aa_consumer *cs, int32_t partition, int64_t *low, int64_t *high, aa_err *err)
{
    aa_kafka_extent ex = {.topic = cs->topic, .partition = partition};
    aa_status       st = aa_kafka_ask_extents(cs->rk, &ex, 1, AA_KAFKA_ASK_MS, err);
    if (st != AA_OK) return st;
    *low = ex.low;
    *high = ex.high;
    return AA_OK;
}

static rd_kafka_topic_partition_list_t *
list_of(const aa_consumer *cs, const aa_kafka_offset *po, size_t n)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, cs->topic, po[i].partition)->offset = po[i].offset;
    return list;
}

/* The list's own error, or that of one of its partitions. */
static rd_kafka_resp_err_t
list_error(rd_kafka_resp_err_t ke, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt && !ke; i++)
        ke = list->elems[i].err;
    return ke;
}

/* The library answers in the order of its own list: find ours by partition. */
static aa_kafka_offset *
find_partition(aa_kafka_offset *po, size_t n, int32_t partition)
{
    for (size_t i = 0; i < n; i++)
        if (po[i].partition == partition) return &po[i];
    return NULL;
}

aa_status
aa_consumer_offsets_at(aa_consumer *cs, int64_t time_ms, aa_kafka_offset *po, size_t n, aa_err *err)
{
    aa_status                        st = AA_OK;
    rd_kafka_topic_partition_list_t *list = list_of(cs, po, n);

    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = time_ms;
    rd_kafka_resp_err_t ke =
        list_error(rd_kafka_offsets_for_times(cs->rk, list, AA_KAFKA_ASK_MS), list);
    if (ke) {
        st = aa_fail(err, AA_EIO, "offsets of %s by time: %s", cs->topic, rd_kafka_err2str(ke));
        goto out;
    }
    for (int i = 0; i < list->cnt; i++) {
        aa_kafka_offset *o = find_partition(po, n, list->elems[i].partition);
        int64_t          low = 0;
        AA_REQUIRE(o);
        o->offset = list->elems[i].offset;
        if (o->offset >= 0) continue;
        st = aa_consumer_watermarks(cs, o->partition, &low, &o->offset, err); /* nothing that new */
        if (st != AA_OK) goto out;
    }
out:
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

aa_status
aa_consumer_committed(aa_consumer *cs, aa_kafka_offset *po, size_t n, aa_err *err)
{
    rd_kafka_topic_partition_list_t *list = list_of(cs, po, n);
    rd_kafka_resp_err_t ke = list_error(rd_kafka_committed(cs->rk, list, AA_KAFKA_ASK_MS), list);

    if (ke) {
        rd_kafka_topic_partition_list_destroy(list);
        return aa_fail(err, AA_EIO, "committed offsets of %s: %s", cs->topic, rd_kafka_err2str(ke));
    }
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        aa_kafka_offset                  *o = find_partition(po, n, tp->partition);
        size_t                            len = tp->metadata ? tp->metadata_size : 0;
        AA_REQUIRE(o);
        o->offset = tp->offset >= 0 ? tp->offset : AA_KAFKA_NO_OFFSET;
        if (len >= sizeof o->metadata) len = sizeof o->metadata - 1;
        if (len > 0) memcpy(o->metadata, tp->metadata, len);
        o->metadata[len] = '\0';
    }
    rd_kafka_topic_partition_list_destroy(list);
    return AA_OK;
}

static void
release_parts(aa_consumer *cs)
{
    for (size_t i = 0; i < cs->part_count; i++) {
        rd_kafka_queue_io_event_enable(cs->part[i].queue, -1, NULL, 0);
        rd_kafka_queue_destroy(cs->part[i].queue);
    }
    free(cs->part);
    cs->part = NULL;
    cs->part_count = 0;
}

aa_status
aa_consumer_release(aa_consumer *cs, aa_err *err)
{
    rd_kafka_resp_err_t ke = rd_kafka_assign(cs->rk, NULL);
    aa_kafka_batch_release(&cs->batch);
    release_parts(cs);
    if (ke) return aa_fail(err, AA_EIO, "giving partitions back: %s", rd_kafka_err2str(ke));
    return AA_OK;
}

aa_status
aa_consumer_assign(aa_consumer *cs, const aa_kafka_offset *po, size_t n, aa_err *err)
{
    rd_kafka_resp_err_t ke;
    aa_status           st = AA_OK;

    if (cs->part_count > 0) { /* stop the fetchers first: their offsets are not ours any more */
        st = aa_consumer_release(cs, err);
        if (st != AA_OK) return st;
    }
    release_parts(cs); /* of an assignment of nothing */
    cs->part = calloc(n + 1, sizeof *cs->part);
    if (!cs->part) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    rd_kafka_topic_partition_list_t *list = list_of(cs, po, n);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(cs->rk, cs->topic, po[i].partition);
        if (!queue) {
            st = aa_fail(err, AA_EIO, "%s has no partition %d", cs->topic, (int)po[i].partition);
            goto out;
        }
        rd_kafka_queue_forward(queue, NULL); /* before fetching starts: into its own queue only */
        rd_kafka_queue_io_event_enable(queue, cs->wake[1], "w", 1);
        cs->part[cs->part_count++] = (consumer_part){.partition = po[i].partition, .queue = queue};
    }
    ke = rd_kafka_assign(cs->rk, list);
    if (ke) st = aa_fail(err, AA_EIO, "assigning %s: %s", cs->topic, rd_kafka_err2str(ke));
out:
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

/* Answers that mean: this member's view of the group is out of date. */
static bool
is_refusal(rd_kafka_resp_err_t ke)
{
    switch ((int)ke) {
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE: return true;
    default: return false;
    }
}

static void
forget_commit(aa_consumer *cs)
{
    if (!cs->committing) return;
    rd_kafka_queue_io_event_enable(cs->committing, -1, NULL, 0);
    rd_kafka_queue_destroy(cs->committing);
    cs->committing = NULL;
}

static aa_status
put_metadata(rd_kafka_topic_partition_list_t *list, const aa_kafka_offset *po, size_t n,
             aa_err *err)
{
    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_t *tp = &list->elems[i];
        tp->metadata_size = strlen(po[i].metadata);
        tp->metadata = malloc(tp->metadata_size + 1); /* the list frees it */
        if (!tp->metadata) return aa_fail(err, AA_ENOMEM, "commit");
        memcpy(tp->metadata, po[i].metadata, tp->metadata_size + 1);
    }
    return AA_OK;
}

static aa_status
commit_failed(rd_kafka_resp_err_t ke, aa_err *err)
{
    return aa_fail(err, is_refusal(ke) ? AA_EIO : AA_EAGAIN, "commit to group: %s",
                   rd_kafka_err2str(ke));
}

aa_status
aa_consumer_commit_send(aa_consumer *cs, const aa_kafka_offset *po, size_t n, aa_err *err)
{
    forget_commit(cs);
    if (n == 0) return AA_OK;
    rd_kafka_topic_partition_list_t *list = list_of(cs, po, n);
    aa_status                        st = put_metadata(list, po, n, err);
    if (st != AA_OK) goto out;
    cs->committing = rd_kafka_queue_new(cs->rk);
    rd_kafka_queue_io_event_enable(cs->committing, cs->wake[1], "w", 1);
    rd_kafka_resp_err_t ke = rd_kafka_commit_queue(cs->rk, list, cs->committing, NULL, NULL);
    if (ke) {
        forget_commit(cs);
        st = commit_failed(ke, err);
    }
out:
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

aa_status
aa_consumer_commit_answer(aa_consumer *cs, int timeout_ms, bool *answered, aa_err *err)
{
    *answered = true;
    if (!cs->committing) return AA_OK;
    rd_kafka_event_t *ev = rd_kafka_queue_poll(cs->committing, timeout_ms);
    *answered = ev != NULL;
    if (!ev) return AA_OK;
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(ev);
    rd_kafka_resp_err_t                    ke = rd_kafka_event_error(ev);
    if (list) ke = list_error(ke, list);
    rd_kafka_event_destroy(ev);
    forget_commit(cs);
    return ke ? commit_failed(ke, err) : AA_OK;
}

aa_status
aa_consumer_commit(aa_consumer *cs, const aa_kafka_offset *po, size_t n, aa_err *err)
{
    bool      answered = false;
    aa_status st = aa_consumer_commit_send(cs, po, n, err);

    if (st == AA_OK) st = aa_consumer_commit_answer(cs, COMMIT_MS, &answered, err);
    if (st != AA_OK || answered) return st;
    forget_commit(cs);
    return commit_failed(RD_KAFKA_RESP_ERR__TIMED_OUT, err);
}

/* Errors of the client as a whole. Most pass by themselves (the library reconnects). */
static aa_status
client_error(const aa_consumer *cs, const rd_kafka_message_t *km, aa_err *err)
{
    char why[200] = "";
    switch ((int)km->err) {
    case RD_KAFKA_RESP_ERR__FATAL:
        if (rd_kafka_fatal_error(cs->rk, why, sizeof why) == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
            return aa_fail(err, AA_EIO, "another ingest of this pipeline and lane took over");
        return aa_fail(err, AA_EIO, "%s", why);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return aa_fail(err, AA_EIO, "%s", rd_kafka_message_errstr(km));
    default: aa_warn("KAFKA-CLIENT", "%s", rd_kafka_message_errstr(km)); return AA_OK;
    }
}

aa_status
aa_consumer_poll(aa_consumer *cs, aa_consumer_event *event, const aa_kafka_offset **po, size_t *n,
                 aa_err *err)
{
    rd_kafka_message_t *km;
    aa_status           st = AA_OK;

    while (cs->event == AA_CONSUMER_NOTHING && (km = rd_kafka_consumer_poll(cs->rk, 0))) {
        AA_REQUIRE(km->err); /* messages go to their partition's queue */
        st = client_error(cs, km, err);
        rd_kafka_message_destroy(km);
        if (st != AA_OK) return st;
    }
    *event = cs->event;
    *po = cs->offered;
    *n = cs->event == AA_CONSUMER_ASSIGNED ? cs->offered_count : 0;
    cs->event = AA_CONSUMER_NOTHING;
    return AA_OK;
}

static aa_status
partition_error(const aa_consumer *cs, const rd_kafka_message_t *km, aa_err *err)
{
    switch ((int)km->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return aa_fail(err, AA_ECONFIG,
                       "%s partition %d: the events to go on from are gone (%s); "
                       "ingest.on_lost_offset=skip continues behind the gap",
                       cs->topic, (int)km->partition, rd_kafka_message_errstr(km));
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return aa_fail(err, AA_EIO, "%s partition %d: %s", cs->topic, (int)km->partition,
                       rd_kafka_message_errstr(km));
    default:
        aa_warn("KAFKA-READ", "%s partition %d: %s", cs->topic, (int)km->partition,
                rd_kafka_message_errstr(km));
        return AA_OK;
    }
}

/* The library tries again by itself, for ever and in vain: the bytes stay as they are. */
static aa_status
take_unreadable(const aa_consumer *cs, consumer_part *part, const rd_kafka_message_t *km,
                aa_err *err)
{
    if (part->tries == 0 || part->bad != km->offset) {
        part->bad = km->offset;
        part->tries = 0;
        snprintf(part->why, sizeof part->why,
                 "%.80s partition %d: the messages at offset %lld cannot be read: %.90s", cs->topic,
                 (int)part->partition, (long long)part->bad, rd_kafka_message_errstr(km));
        aa_warn("KAFKA-READ", "%s", part->why);
    }
    if (++part->tries < UNREADABLE_TRIES) return AA_OK;
    return aa_fail(err, AA_EPARSE, "%s", part->why);
}

aa_status
aa_consumer_skip(aa_consumer *cs, const aa_conf *cfg, size_t idx, int64_t *from, int64_t *to,
                 aa_err *err)
{
    consumer_part  *part = &cs->part[idx];
    aa_kafka_offset po = {.partition = part->partition};
    aa_status st = aa_kafka_batch_end(cfg, cs->topic, part->partition, part->bad, &po.offset, err);

    if (st != AA_OK) return st;
    rd_kafka_topic_partition_list_t *list = list_of(cs, &po, 1);
    rd_kafka_error_t                *error = rd_kafka_seek_partitions(cs->rk, list, SEEK_MS);
    if (error || list->elems[0].err)
        st = aa_fail(err, AA_EIO, "%s partition %d: continuing from offset %lld: %s", cs->topic,
                     (int)part->partition, (long long)po.offset,
                     error ? rd_kafka_error_string(error) : rd_kafka_err2str(list->elems[0].err));
    if (error) rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    if (st != AA_OK) return st;
    *from = part->bad;
    *to = po.offset;
    part->tries = 0;
    return AA_OK;
}

const char *
aa_consumer_trouble(const aa_consumer *cs)
{
    for (size_t i = 0; i < cs->part_count; i++)
        if (cs->part[i].tries > 0) return cs->part[i].why;
    return NULL;
}

aa_status
aa_consumer_batch(aa_consumer *cs, size_t idx, aa_kafka_record *rec, size_t max, size_t *count,
                  int64_t *end, aa_err *err)
{
    *count = 0;
    *end = AA_KAFKA_NO_OFFSET;
    AA_REQUIRE(idx < cs->part_count);
    aa_status st = aa_kafka_batch_take(&cs->batch, cs->part[idx].queue, max, 0, err);
    if (st != AA_OK) return st;
    for (size_t i = 0; i < cs->batch.count; i++) {
        rd_kafka_message_t *km = cs->batch.km[i];
        if (!km->err) {
            aa_kafka_record_of(&rec[(*count)++], km);
            *end = AA_KAFKA_NO_OFFSET;
            cs->part[idx].tries = 0;
        } else if (km->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            *end = km->offset;
            cs->part[idx].tries = 0;
        } else if (aa_kafka_is_unreadable(km->err)) {
            st = take_unreadable(cs, &cs->part[idx], km, err);
            if (st != AA_OK && *count == 0) return st; /* else those before it come first */
        } else {
            st = partition_error(cs, km, err);
            if (st != AA_OK) return st;
        }
    }
    return AA_OK;
}

int
aa_consumer_fd(const aa_consumer *cs)
{
    return cs->wake[0];
}

void
aa_consumer_clear_fd(aa_consumer *cs)
{
    char bytes[256];
    while (read(cs->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    }
}

int64_t
aa_consumer_lag(const aa_consumer *cs, int32_t partition, int64_t offset)
{
    int64_t low = RD_KAFKA_OFFSET_INVALID, high = RD_KAFKA_OFFSET_INVALID;

    rd_kafka_get_watermark_offsets(cs->rk, cs->topic, partition, &low, &high);
    if (high < 0 || offset < 0) return -1;
    return high > offset ? high - offset : 0;
}

void
aa_consumer_free(aa_consumer **cs_p)
{
    aa_consumer *cs = *cs_p;
    if (!cs) return;
    cs->closing = true;
    aa_kafka_batch_fini(&cs->batch);
    release_parts(cs);
    forget_commit(cs);
    if (cs->rk) {
        rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(cs->rk);
        rd_kafka_queue_io_event_enable(queue, -1, NULL, 0);
        rd_kafka_queue_destroy(queue);
        rd_kafka_consumer_close(cs->rk);
        rd_kafka_destroy(cs->rk);
    }
    for (int i = 0; i < 2; i++)
        if (cs->wake[i] >= 0) close(cs->wake[i]);
    free(cs->offered);
    free(cs);
    *cs_p = NULL;
}
