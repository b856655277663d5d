/* Where a batch that cannot be unpacked ends. The library names its first offset only, and a read
 * from within it returns the same batch again. So read from ever greater offsets until another
 * batch comes, then search between the two by halving. */
#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_internal.h"

enum { PROBE_MS = 5000, SEARCH_MS = 20000 };

static const aa_kafka_property probe_defaults[] = {
    {"group.id", "autoassign-reader", false}, /* the library wants one; nothing is ever committed */
    {"enable.auto.commit", "false", true},
    {"enable.partition.eof", "true", true},
    {"fetch.wait.max.ms", "10", false},
};

typedef struct {
    rd_kafka_t *rk;
    const char *topic;
    int32_t     partition;
    int64_t     bad;
    int64_t     deadline_ms;
} probe;

bool
aa_kafka_is_unreadable(rd_kafka_resp_err_t ke)
{
    switch ((int)ke) {
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED: /* a codec or format of later versions */
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return true;
    default: return false;
    }
}

static aa_status
open_probe(probe *pb, const aa_conf *cfg, aa_err *err)
{
    rd_kafka_conf_t *conf = NULL;
    aa_status        st = aa_kafka_conf_new(&conf, cfg, probe_defaults,
                                            sizeof probe_defaults / sizeof *probe_defaults, err);
    if (st != AA_OK) return st;
    rd_kafka_conf_set(conf, "group.instance.id", "", NULL, 0);
    rd_kafka_conf_set(conf, "auto.offset.reset", "error", NULL, 0);
    rd_kafka_conf_set(conf, "fetch.error.backoff.ms", "10", NULL, 0);
    st = aa_kafka_client_new(&pb->rk, RD_KAFKA_CONSUMER, &conf, err);
    if (st == AA_OK) rd_kafka_poll_set_consumer(pb->rk);
    return st;
}

static aa_status
read_from(probe *pb, int64_t offset, aa_err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, pb->topic, pb->partition)->offset = offset;
    rd_kafka_resp_err_t ke = rd_kafka_assign(pb->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (ke) return aa_fail(err, AA_EIO, "assigning %s: %s", pb->topic, rd_kafka_err2str(ke));
    return AA_OK;
}

/* Something that answers the question: a message, the end, or an error that lasts. */
static bool
is_answer(const rd_kafka_message_t *km)
{
    return !km->err || km->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
           aa_kafka_is_unreadable(km->err);
}

/* Is `offset` within the bad batch? Its error has the batch's first offset, or the one asked
 * for. */
static aa_status
is_within(probe *pb, int64_t offset, bool *within, aa_err *err)
{
    const int64_t deadline_ms = aa_now_ms() + PROBE_MS;
    aa_status     st = read_from(pb, offset, err);

    if (st != AA_OK) return st;
    while (aa_now_ms() < deadline_ms && aa_now_ms() < pb->deadline_ms) {
        rd_kafka_message_t *km = rd_kafka_consumer_poll(pb->rk, 200);
        const bool          answer = km && is_answer(km);
        if (answer)
            *within =
                aa_kafka_is_unreadable(km->err) && (km->offset <= pb->bad || km->offset == offset);
        if (km) rd_kafka_message_destroy(km);
        if (answer) return AA_OK;
    }
    return aa_fail(err, AA_EIO, "%s partition %" PRId32 ": nothing came from offset %" PRId64,
                   pb->topic, pb->partition, offset);
}

/* lo is within the batch, hi is not. */
static aa_status
search(probe *pb, int64_t high, int64_t *end, aa_err *err)
{
    int64_t   lo = pb->bad, hi = high, step = 1;
    bool      within = true;
    aa_status st;

    while (within && lo + step < high) {
        st = is_within(pb, lo + step, &within, err);
        if (st != AA_OK) return st;
        if (within)
            lo += step;
        else
            hi = lo + step;
        step *= 2;
    }
    while (hi - lo > 1) {
        const int64_t mid = lo + (hi - lo) / 2;
        st = is_within(pb, mid, &within, err);
        if (st != AA_OK) return st;
        if (within)
            lo = mid;
        else
            hi = mid;
    }
    *end = hi;
    return AA_OK;
}

aa_status
aa_kafka_batch_end(const aa_conf *cfg, const char *topic, int32_t partition, int64_t bad,
                   int64_t *end, aa_err *err)
{
    probe     pb = {.topic = topic, .partition = partition, .bad = bad};
    int64_t   low = 0, high = 0;
    aa_status st = open_probe(&pb, cfg, err);

    if (st != AA_OK) return st;
    pb.deadline_ms = aa_now_ms() + SEARCH_MS;
    rd_kafka_resp_err_t ke =
        rd_kafka_query_watermark_offsets(pb.rk, topic, partition, &low, &high, PROBE_MS);
    if (ke)
        st = aa_fail(err, AA_EIO, "offsets of %s partition %" PRId32 ": %s", topic, partition,
                     rd_kafka_err2str(ke));
    if (st == AA_OK) st = search(&pb, high > bad ? high : bad + 1, end, err);
    rd_kafka_consumer_close(pb.rk);
    rd_kafka_destroy(pb.rk);
    return st;
}
