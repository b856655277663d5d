#include "ingest/decode/arrived.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/log.h"

int64_t
arrived_ms(const aa_kafka_record *rec, int64_t now_ms)
{
    return rec->appended ? rec->timestamp_ms : now_ms;
}

aa_status
arrived_bad(deadletter **out, const aa_kafka_record *rec, decode_reason reason, const decode *dc,
            aa_err *err)
{
    aa_kafka_header headers[DEADLETTER_HEADERS];
    aa_kafka_record whole = *rec;

    whole.headers = headers;
    whole.header_count = aa_kafka_record_headers(rec, headers, DEADLETTER_HEADERS);
    *out = deadletter_new(&whole, reason, decode_why(dc));
    if (!*out) return aa_fail(err, AA_ENOMEM, "dead letter of %zu bytes", rec->len);
    if (!aa_log_on(AA_WARN)) return AA_OK;
    char kv[128];
    snprintf(kv, sizeof kv, "partition=%" PRId32 " offset=%" PRId64 " reason=%s len_bytes=%zu",
             rec->partition, rec->offset, decode_slug(reason), rec->len);
    aa_log_write(AA_WARN, "EVENT-BAD", kv, "%s", decode_why(dc));
    return AA_OK;
}

void
arrived_item(announce *an, const decode *dc, const uint64_t *key, size_t F)
{
    char   digits[24];
    size_t len;

    if (!an || F <= AA_RANKED_FIELD) return;
    const char *text = decode_id_text(dc, AA_RANKED_FIELD, digits, &len);
    announce_item(an, key[AA_RANKED_FIELD], text, len);
}
