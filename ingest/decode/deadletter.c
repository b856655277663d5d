#include "ingest/decode/deadletter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- headers: name and NUL, 1 if there is a value, its length in 4 bytes, the value ---- */

enum { HEADER_FIXED = 1 + 1 + 4 };
static const char ours[] = "autoassign.";

static unsigned char *
put_header(unsigned char *to, const aa_kafka_header *hd)
{
    const size_t   name_len = strlen(hd->name) + 1;
    const uint32_t len = hd->value ? (uint32_t)hd->len : 0;

    memcpy(to, hd->name, name_len);
    to += name_len;
    *to++ = hd->value != NULL;
    memcpy(to, &len, sizeof len);
    if (len > 0) memcpy(to + sizeof len, hd->value, len);
    return to + sizeof len + len;
}

/* @return its packed bytes; 0: there is no whole one */
static size_t
get_header(const unsigned char *at, size_t len, aa_kafka_header *out)
{
    const unsigned char *nul = len > 0 ? memchr(at, '\0', len) : NULL;
    uint32_t             value_len;

    if (!nul || (size_t)(at + len - nul) < HEADER_FIXED) return 0;
    memcpy(&value_len, nul + 2, sizeof value_len);
    const unsigned char *value = nul + 2 + sizeof value_len;
    if (value_len > (size_t)(at + len - value)) return 0;
    *out = (aa_kafka_header){(const char *)at, nul[1] ? value : NULL, nul[1] ? value_len : 0};
    return (size_t)(value + value_len - at);
}

size_t
deadletter_headers(const void *packed, size_t len, aa_kafka_header out[DEADLETTER_HEADERS])
{
    const unsigned char *at = packed;
    size_t               n = 0, took = 0;

    while (n < DEADLETTER_HEADERS && (took = get_header(at, len, &out[n])) > 0) {
        at += took;
        len -= took;
        n++;
    }
    return n;
}

static size_t
header_bytes(const aa_kafka_header *hd)
{
    return strlen(hd->name) + HEADER_FIXED + (hd->value ? hd->len : 0);
}

/* Those of rec that the letter takes into out. */
static size_t
choose_headers(const aa_kafka_record *rec, aa_kafka_header out[DEADLETTER_HEADERS], size_t *bytes)
{
    size_t n = 0;

    *bytes = 0;
    for (size_t i = 0; i < rec->header_count && n < DEADLETTER_HEADERS; i++) {
        const aa_kafka_header *hd = &rec->headers[i];
        if (strncmp(hd->name, ours, sizeof ours - 1) == 0) continue;
        if (*bytes + header_bytes(hd) > DEADLETTER_HEADER_BYTES) continue;
        *bytes += header_bytes(hd);
        out[n++] = *hd;
    }
    return n;
}

deadletter *
deadletter_new(const aa_kafka_record *rec, decode_reason reason, const char *why)
{
    aa_kafka_header headers[DEADLETTER_HEADERS];
    size_t          headers_len = 0, room = DEADLETTER_MAX_BYTES;
    size_t          key_len = rec->key ? rec->key_len : 0, len = rec->value ? rec->len : 0;
    const size_t    full_key_len = key_len, full_len = len;
    const size_t    header_count = choose_headers(rec, headers, &headers_len);

    room -= headers_len;
    if (key_len > room) key_len = room;
    if (len > room - key_len) len = room - key_len;
    deadletter *dl = malloc(sizeof *dl + key_len + len + headers_len);
    if (!dl) return NULL;
    *dl = (deadletter){.partition = rec->partition,
                       .offset = rec->offset,
                       .reason = reason,
                       .has_key = rec->key != NULL,
                       .has_value = rec->value != NULL,
                       .time_ms = rec->timestamp_ms,
                       .key_len = key_len,
                       .len = len,
                       .full_key_len = full_key_len,
                       .full_len = full_len,
                       .headers_at = key_len + len,
                       .headers_len = headers_len};
    snprintf(dl->why, sizeof dl->why, "%s", why);
    if (key_len > 0) memcpy(dl->bytes, rec->key, key_len);
    if (len > 0) memcpy(dl->bytes + key_len, rec->value, len);
    unsigned char *to = dl->bytes + key_len + len;
    for (size_t i = 0; i < header_count; i++)
        to = put_header(to, &headers[i]);
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
    return sizeof *dl + dl->key_len + dl->len + dl->headers_len;
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

/* The message's own headers, then ours, with the texts of their numbers. */
typedef struct {
    char   partition[16], offset[24], time_ms[24], full[24], full_key[24];
    size_t count;

    aa_kafka_header at[DEADLETTER_HEADERS + 9];
} header_list;

static void
add_text(header_list *hl, const char *name, const char *value)
{
    hl->at[hl->count++] = (aa_kafka_header){name, value, strlen(value)};
}

static void
fill_headers(header_list *hl, const aa_conf *cfg, const deadletter *dl, int64_t now_wall_ms)
{
    hl->count = deadletter_headers(dl->bytes + dl->headers_at, dl->headers_len, hl->at);
    snprintf(hl->partition, sizeof hl->partition, "%" PRId32, dl->partition);
    snprintf(hl->offset, sizeof hl->offset, "%" PRId64, dl->offset);
    snprintf(hl->time_ms, sizeof hl->time_ms, "%" PRId64, now_wall_ms);
    add_text(hl, "autoassign.reason", decode_slug(dl->reason));
    add_text(hl, "autoassign.detail", dl->why);
    add_text(hl, "autoassign.topic", cfg->topics.interactions);
    add_text(hl, "autoassign.partition", hl->partition);
    add_text(hl, "autoassign.offset", hl->offset);
    add_text(hl, "autoassign.error_time_ms", hl->time_ms);
    add_text(hl, "autoassign.pipeline", cfg->pipeline.name);
    if (dl->len < dl->full_len) {
        snprintf(hl->full, sizeof hl->full, "%zu", dl->full_len);
        add_text(hl, "autoassign.full_bytes", hl->full);
    }
    if (dl->key_len < dl->full_key_len) {
        snprintf(hl->full_key, sizeof hl->full_key, "%zu", dl->full_key_len);
        add_text(hl, "autoassign.full_key_bytes", hl->full_key);
    }
}

/* Of a batch's head and a record's; lengths of a header are at most five bytes each. */
enum { BATCH_HEAD = 61, RECORD_HEAD = 40, LENGTHS = 10, CUT_HEADERS = 2 * 50 };

size_t
deadletter_frame_bytes(const aa_conf *cfg, const deadletter *dl)
{
    header_list hl;
    size_t      bytes = BATCH_HEAD + RECORD_HEAD + CUT_HEADERS;

    fill_headers(&hl, cfg, dl, INT64_MAX);
    for (size_t i = 0; i < hl.count; i++)
        bytes += strlen(hl.at[i].name) + hl.at[i].len + LENGTHS;
    return bytes;
}

aa_status
deadletter_send(aa_producer *pr, const aa_conf *cfg, const deadletter *dl, int64_t now_wall_ms,
                void *mark, aa_err *err)
{
    char        topic[AA_CONF_STR + 8];
    header_list hl;
    aa_delivery de = {.mark = mark,
                      .key_len = dl->key_len,
                      .len = dl->len,
                      .timestamp_ms = dl->time_ms > 0 ? dl->time_ms : 0};

    deadletter_topic(topic, cfg);
    fill_headers(&hl, cfg, dl, now_wall_ms);
    if (dl->has_key) de.key = dl->bytes;
    if (dl->has_value) de.value = dl->bytes + dl->key_len;
    return aa_producer_send_marked(pr, topic, &de, hl.at, hl.count, err);
}
