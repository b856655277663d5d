#include "ingest/decode/deadletter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

deadletter *
deadletter_new(const aa_kafka_record *rec, decode_reason reason, const char *why)
{
    size_t      key_len = rec->key ? rec->key_len : 0, len = rec->value ? rec->len : 0;
    size_t      full_key_len = key_len, full_len = len;
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
    dl->full_key_len = full_key_len;
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

void
deadletter_cut(deadletter *dl, size_t max_bytes)
{
    if (dl->key_len > max_bytes) dl->key_len = max_bytes;
    if (dl->len > max_bytes - dl->key_len) dl->len = max_bytes - dl->key_len;
}

enum { HEADERS = 9, NUMBER_BYTES = 24 };

/* All headers of a letter; the texts of their numbers are in `number`. */
static size_t
fill_headers(aa_kafka_header hd[HEADERS], char number[HEADERS][NUMBER_BYTES], const aa_conf *cfg,
             const deadletter *dl, int64_t now_wall_ms)
{
    size_t n = 0;

    hd[n++] = (aa_kafka_header){"autoassign.reason", decode_slug(dl->reason), 0};
    hd[n++] = (aa_kafka_header){"autoassign.detail", dl->why, 0};
    hd[n++] = (aa_kafka_header){"autoassign.topic", cfg->topics.interactions, 0};
    hd[n++] = (aa_kafka_header){"autoassign.pipeline", cfg->pipeline.name, 0};
    snprintf(number[n], NUMBER_BYTES, "%" PRId32, dl->partition);
    hd[n] = (aa_kafka_header){"autoassign.partition", number[n], 0};
    snprintf(number[++n], NUMBER_BYTES, "%" PRId64, dl->offset);
    hd[n] = (aa_kafka_header){"autoassign.offset", number[n], 0};
    snprintf(number[++n], NUMBER_BYTES, "%" PRId64, now_wall_ms);
    hd[n] = (aa_kafka_header){"autoassign.error_time_ms", number[n], 0};
    n++;
    if (dl->len < dl->full_len) {
        snprintf(number[n], NUMBER_BYTES, "%zu", dl->full_len);
        hd[n] = (aa_kafka_header){"autoassign.full_bytes", number[n], 0};
        n++;
    }
    if (dl->key_len < dl->full_key_len) {
        snprintf(number[n], NUMBER_BYTES, "%zu", dl->full_key_len);
        hd[n] = (aa_kafka_header){"autoassign.full_key_bytes", number[n], 0};
        n++;
    }
    for (size_t i = 0; i < n; i++)
        hd[i].len = strlen(hd[i].value);
    return n;
}

/* Of a batch's head and a record's; lengths of a header are at most five bytes each. */
enum { BATCH_HEAD = 61, RECORD_HEAD = 40, LENGTHS = 10, CUT_HEADERS = 2 * 50 };

size_t
deadletter_frame_bytes(const aa_conf *cfg, const deadletter *dl)
{
    aa_kafka_header hd[HEADERS];
    char            number[HEADERS][NUMBER_BYTES];
    const size_t    n = fill_headers(hd, number, cfg, dl, INT64_MAX);
    size_t          bytes = BATCH_HEAD + RECORD_HEAD + CUT_HEADERS;

    for (size_t i = 0; i < n; i++)
        bytes += strlen(hd[i].name) + hd[i].len + LENGTHS;
    return bytes;
}

aa_status
deadletter_send(aa_producer *pr, const aa_conf *cfg, const deadletter *dl, int64_t now_wall_ms,
                void *mark, aa_err *err)
{
    char            topic[AA_CONF_STR + 8];
    aa_kafka_header hd[HEADERS];
    char            number[HEADERS][NUMBER_BYTES];
    const size_t    n = fill_headers(hd, number, cfg, dl, now_wall_ms);
    aa_delivery     de = {.mark = mark, .key_len = dl->key_len, .len = dl->len};

    deadletter_topic(topic, cfg);
    if (dl->has_key) de.key = dl->bytes;
    if (dl->has_value) de.value = dl->bytes + dl->key_len;
    return aa_producer_send_marked(pr, topic, &de, hd, n, err);
}
