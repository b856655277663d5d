#include "ingest/decode/deadletter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

deadletter *
deadletter_new(const aa_kafka_record *rec, decode_reason reason, const char *why)
{
    size_t      key_len = rec->key ? rec->key_len : 0, len = rec->value ? rec->len : 0;
    size_t      full_len = len;
    deadletter *dl;

    if (key_len > DEADLETTER_MAX_BYTES) key_len = DEADLETTER_MAX_BYTES;
    if (len > DEADLETTER_MAX_BYTES - key_len) len = DEADLETTER_MAX_BYTES - key_len;
    dl = malloc(sizeof *dl + key_len + len);
    if (!dl) return NULL;
    dl->next = NULL;
    dl->partition = rec->partition;
    dl->offset = rec->offset;
    dl->reason = reason;
    snprintf(dl->why, sizeof dl->why, "%s", why);
    dl->has_key = rec->key != NULL;
    dl->has_value = rec->value != NULL;
    dl->key_len = key_len;
    dl->len = len;
    dl->full_len = full_len;
    if (dl->key_len > 0) memcpy(dl->bytes, rec->key, dl->key_len);
    if (dl->len > 0) memcpy(dl->bytes + dl->key_len, rec->value, dl->len);
    return dl;
}

void
deadletter_free(deadletter **dl_p)
{
    free(*dl_p);
    *dl_p = NULL;
}

size_t
deadletter_bytes(const deadletter *dl)
{
    return sizeof *dl + dl->key_len + dl->len;
}

void
deadletter_topic(char out[AA_CONF_STR + 8], const aa_conf *cfg)
{
    if (cfg->topics.dead_letters[0])
        snprintf(out, AA_CONF_STR + 8, "%s", cfg->topics.dead_letters);
    else
        snprintf(out, AA_CONF_STR + 8, "%s.dlq", cfg->topics.interactions);
}

aa_status
deadletter_send(aa_producer *pr, const aa_conf *cfg, const deadletter *dl, int64_t now_wall_ms,
                aa_err *err)
{
    char            topic[AA_CONF_STR + 8], partition[16], offset[24], time_ms[24], full[24];
    const char     *slug = decode_slug(dl->reason);
    aa_kafka_header headers[] = {
        {"autoassign.reason", slug, strlen(slug)},
        {"autoassign.detail", dl->why, strlen(dl->why)},
        {"autoassign.topic", cfg->topics.interactions, strlen(cfg->topics.interactions)},
        {"autoassign.partition", partition, 0},
        {"autoassign.offset", offset, 0},
        {"autoassign.error_time_ms", time_ms, 0},
        {"autoassign.pipeline", cfg->pipeline.name, strlen(cfg->pipeline.name)},
        {"autoassign.full_bytes", full, 0},
    };

    deadletter_topic(topic, cfg);
    headers[3].len = (size_t)snprintf(partition, sizeof partition, "%" PRId32, dl->partition);
    headers[4].len = (size_t)snprintf(offset, sizeof offset, "%" PRId64, dl->offset);
    headers[5].len = (size_t)snprintf(time_ms, sizeof time_ms, "%" PRId64, now_wall_ms);
    headers[7].len = (size_t)snprintf(full, sizeof full, "%zu", dl->full_len);
    return aa_producer_send(pr, topic, -1, dl->has_key ? dl->bytes : NULL, dl->key_len,
                            dl->has_value ? dl->bytes + dl->key_len : NULL, dl->len, 0, headers,
                            dl->len < dl->full_len ? 8 : 7, err);
}
