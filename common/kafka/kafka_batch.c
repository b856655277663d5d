/* What everything that reads shares: properties, and messages in batches. */
#include "common/kafka/kafka_internal.h"

#include <stdlib.h>

const aa_kafka_property aa_kafka_consumer_defaults[] = {
    {"client.id", "autoassign", false},          {"enable.auto.commit", "false", true},
    {"enable.auto.offset.store", "false", true}, {"enable.partition.eof", "true", true},
    {"allow.auto.create.topics", "false", true}, {"fetch.wait.max.ms", "100", false},
    {"queued.min.messages", "50000", false},     {"queued.max.messages.kbytes", "32768", false},
};
const size_t aa_kafka_consumer_default_count =
    sizeof aa_kafka_consumer_defaults / sizeof *aa_kafka_consumer_defaults;

void
aa_kafka_record_of(aa_kafka_record *rec, rd_kafka_message_t *km)
{
    rd_kafka_timestamp_type_t type;
    int64_t                   ms = rd_kafka_message_timestamp(km, &type);

    rec->partition = km->partition;
    rec->offset = km->offset;
    rec->timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : ms;
    rec->appended = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    rec->key = km->key;
    rec->key_len = km->key_len;
    rec->value = km->payload;
    rec->len = km->len;
    rec->opaque = km;
    rec->headers = NULL;
    rec->header_count = 0;
}

size_t
aa_kafka_record_headers(const aa_kafka_record *rec, aa_kafka_header *out, size_t max)
{
    rd_kafka_headers_t *hs = NULL;
    size_t              n = 0;

    if (!rec->opaque || rd_kafka_message_headers(rec->opaque, &hs) || !hs) return 0;
    while (n < max && !rd_kafka_header_get_all(hs, n, &out[n].name, &out[n].value, &out[n].len))
        n++;
    return n;
}

const void *
aa_kafka_record_header(const aa_kafka_record *rec, const char *name, size_t *len)
{
    rd_kafka_headers_t *headers = NULL;
    const void         *value = NULL;
    *len = 0;
    if (rd_kafka_message_headers(rec->opaque, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return NULL;
    if (rd_kafka_header_get_last(headers, name, &value, len) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    return value;
}

void
aa_kafka_batch_release(aa_kafka_batch *ba)
{
    for (size_t i = 0; i < ba->count; i++)
        rd_kafka_message_destroy(ba->km[i]);
    ba->count = 0;
}

void
aa_kafka_batch_fini(aa_kafka_batch *ba)
{
    aa_kafka_batch_release(ba);
    free(ba->km);
    *ba = (aa_kafka_batch){0};
}

aa_status
aa_kafka_batch_take(aa_kafka_batch *ba, rd_kafka_queue_t *queue, size_t max, int timeout_ms,
                    aa_err *err)
{
    aa_kafka_batch_release(ba);
    if (max > ba->cap) {
        rd_kafka_message_t **km = realloc(ba->km, max * sizeof(rd_kafka_message_t *));
        if (!km) return aa_fail(err, AA_ENOMEM, "%zu messages", max);
        ba->km = km;
        ba->cap = max;
    }
    ssize_t n = rd_kafka_consume_batch_queue(queue, timeout_ms, ba->km, max);
    if (n < 0) return aa_fail(err, AA_EIO, "reading: %s", rd_kafka_err2str(rd_kafka_last_error()));
    ba->count = (size_t)n;
    return AA_OK;
}
