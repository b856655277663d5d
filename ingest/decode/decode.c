#include "ingest/decode/decode_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

/* What protobuf-c needs beside the IDs: the message, and its table of scanned members. */
enum { ARENA_SLACK_BYTES = 65536 };

const char *
decode_slug(decode_reason reason)
{
    switch (reason) {
#define X(name, slug, help)                                                                        \
    case name: return slug;
        DECODE_REASONS(X)
#undef X
    case DECODE_REASON_COUNT: break;
    }
    return "?";
}

decode_reason
decode_fail(decode *dc, decode_reason reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(dc->why, sizeof dc->why, fmt, ap);
    va_end(ap);
    return reason;
}

aa_status
decode_new(decode **out, const aa_conf *cfg, aa_err *err)
{
    decode *dc = calloc(1, sizeof *dc);

    if (!dc) return aa_fail(err, AA_ENOMEM, "decoder");
    dc->cfg = cfg;
    dc->arena.cap = ARENA_SLACK_BYTES + cfg->field_count * ((size_t)cfg->event.id_max_bytes + 64);
    dc->arena.mem = aligned_alloc(64, (dc->arena.cap + 63) / 64 * 64);
    dc->item = malloc((size_t)cfg->event.id_max_bytes + 32); /* or a number's digits */
    if (!dc->arena.mem || !dc->item) {
        decode_free(&dc);
        return aa_fail(err, AA_ENOMEM, "decoder");
    }
    *out = dc;
    return AA_OK;
}

void
decode_free(decode **dc_p)
{
    decode *dc = *dc_p;
    if (!dc) return;
    free(dc->arena.mem);
    free(dc->item);
    free(dc);
    *dc_p = NULL;
}

/* The parsed object goes before the caller asks. */
static void
keep_item(decode *dc, const decode_id *id)
{
    if (id->kind == DECODE_NUMBER_ID) {
        dc->item_len = (size_t)snprintf(dc->item, 32, "%lld", (long long)id->number);
        return;
    }
    dc->item_len = id->len;
    memcpy(dc->item, id->text, id->len);
}

const char *
decode_item(const decode *dc, size_t *len)
{
    *len = dc->item_len;
    return dc->item;
}

static decode_reason
take_keys(decode *dc, const decode_raw *raw, uint64_t *key)
{
    const aa_conf *cfg = dc->cfg;
    for (size_t f = 0; f < cfg->field_count; f++) {
        const decode_id *id = &raw->id[f];
        if (id->kind == DECODE_NUMBER_ID) {
            key[f] = aa_id_key_number(id->number);
            if (f == AA_RANKED_FIELD) keep_item(dc, id);
            continue;
        }
        if (id->kind == DECODE_NO_ID || id->len == 0)
            return decode_fail(dc, DECODE_ID_MISSING, "%s: no ID", cfg->fields[f].name);
        if (id->len > (size_t)cfg->event.id_max_bytes)
            return decode_fail(dc, DECODE_ID_TOO_LONG, "%s: ID of %zu bytes, at most %lld allowed",
                               cfg->fields[f].name, id->len, (long long)cfg->event.id_max_bytes);
        key[f] = aa_id_key(id->text, id->len);
        if (f == AA_RANKED_FIELD) keep_item(dc, id);
    }
    return DECODE_OK;
}

static decode_reason
take_label(decode *dc, double label, float *out)
{
    const aa_conf *cfg = dc->cfg;
    if (!isfinite(label)) return decode_fail(dc, DECODE_LABEL_RANGE, "label is not finite");
    if (cfg->event.label == AA_LABEL_THRESHOLD) {
        *out = label > cfg->event.positive_above ? 1.0f : 0.0f;
        return DECODE_OK;
    }
    if (!(label >= 0 && label <= 1))
        return decode_fail(dc, DECODE_LABEL_RANGE,
                           "label %g is not in 0..1 (event.label: threshold makes it so)", label);
    *out = (float)label;
    return DECODE_OK;
}

static decode_reason
validate_event(decode *dc, const decode_raw *raw, const aa_columns *out, size_t i)
{
    const aa_conf *cfg = dc->cfg;
    const size_t   F = cfg->field_count;

    aa_columns_default(out, i, F);
    decode_reason why = take_keys(dc, raw, &out->key[i * F]);
    if (why == DECODE_OK) why = take_label(dc, raw->label, &out->label[i]);
    if (why != DECODE_OK) return why;
    if (raw->time_ms < cfg->event.time_min_ms || raw->time_ms > cfg->event.time_max_ms)
        return decode_fail(dc, DECODE_TIME_RANGE, "event time %lld ms", (long long)raw->time_ms);
    out->time_ms[i] = raw->time_ms;
    return DECODE_OK;
}

static bool
is_json(enum aa_event_format format, const void *message)
{
    switch (format) {
    case AA_EVENT_FORMAT_JSON: return true;
    case AA_EVENT_FORMAT_PROTOBUF: return false;
    case AA_EVENT_FORMAT_AUTO: break;
    }
    /* '{' would open group 15 in protobuf: no Interaction begins with it */
    return *(const char *)message == '{';
}

decode_reason
decode_message(decode *dc, const void *buf, size_t len, int64_t kafka_ms, const aa_columns *out,
               size_t i)
{
    decode_raw    raw;
    json_t       *root = NULL;
    decode_reason why;

    if (!buf || len == 0) return decode_fail(dc, DECODE_EMPTY, "no value");
    why = is_json(dc->cfg->event.format, buf) ? decode_json(dc, buf, len, kafka_ms, &raw, &root)
                                              : decode_protobuf(dc, buf, len, &raw);
    if (why == DECODE_OK) why = validate_event(dc, &raw, out, i);
    json_decref(root);
    return why;
}

const char *
decode_why(const decode *dc)
{
    return dc->why;
}
