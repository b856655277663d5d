#include "ingest/decode/decode_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

const char *
decode_slug(decode_reason reason)
{
    switch (reason) {
#define X(name, slug, help)                                                                        \
    case name: return slug;
        DECODE_REASONS(X)
#undef X
    case DECODE_SKIP: return "skip";
    case DECODE_WAIT: return "wait";
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

/* Only where messages may have a schema. */
static aa_status
open_schemas(decode *dc, const char *const *paths, size_t count, aa_err *err)
{
    const struct aa_conf_event *ev = &dc->cfg->event;
    if (!*ev->schema_file && !*ev->descriptor && !*ev->schema_registry &&
        ev->format != AA_EVENT_FORMAT_AVRO && ev->framing != AA_FRAMING_CONFLUENT)
        return AA_OK;
    aa_status st = path_tree_new(&dc->pt, paths, count, err);
    return st == AA_OK ? decode_schemas_new(&dc->ds, dc->cfg, dc->pt, err) : st;
}

static aa_status
open_readers(decode *dc, aa_err *err)
{
    const aa_conf *cfg = dc->cfg;
    const char    *paths[AA_MAX_FIELDS + 2];

    for (size_t f = 0; f < cfg->field_count; f++)
        paths[f] = decode_path(dc, f);
    paths[cfg->field_count] = cfg->event.label_field;
    paths[cfg->field_count + 1] = cfg->event.time_field;
    aa_err    what = AA_ERR_INIT;
    aa_status st = json_reader_new(&dc->jr, paths, cfg->field_count + 2,
                                   (size_t)cfg->event.id_max_bytes, &what);
    if (st != AA_OK)
        return aa_fail(err, st, "fields.<field>.path, event.label_field, event.time_field: %s",
                       what.text);
    return open_schemas(dc, paths, cfg->field_count + 2, err);
}

aa_status
decode_new(decode **out, const aa_conf *cfg, aa_err *err)
{
    decode *dc = calloc(1, sizeof *dc);

    if (!dc) return aa_fail(err, AA_ENOMEM, "decoder");
    dc->cfg = cfg;
    aa_status st = open_readers(dc, err);
    if (st != AA_OK) {
        decode_free(&dc);
        return st;
    }
    *out = dc;
    return AA_OK;
}

void
decode_free(decode **dc_p)
{
    decode *dc = *dc_p;
    if (!dc) return;
    json_reader_free(&dc->jr);
    decode_schemas_free(&dc->ds);
    path_tree_free(&dc->pt);
    free(dc);
    *dc_p = NULL;
}

/* @return DECODE_OK: the field takes another ID in its place */
static decode_reason
take_missing(decode *dc, size_t f, const decode_id *id, uint64_t *key)
{
    switch (dc->cfg->fields[f].missing) {
    case AA_MISSING_REJECT: break;
    case AA_MISSING_SKIP:
        return decode_missing(dc, DECODE_SKIP, decode_path(dc, f), "ID", id->from);
    case AA_MISSING_UNKNOWN:
        *key = aa_id_key(DECODE_UNKNOWN_ID, sizeof DECODE_UNKNOWN_ID - 1);
        return DECODE_OK;
    }
    return decode_missing(dc, DECODE_ID_MISSING, decode_path(dc, f), "ID", id->from);
}

static decode_reason
take_keys(decode *dc, const decode_raw *raw, uint64_t *key)
{
    const aa_conf *cfg = dc->cfg;
    for (size_t f = 0; f < cfg->field_count; f++) {
        const decode_id *id = &raw->id[f];
        if (id->kind == DECODE_NUMBER_ID) {
            key[f] = aa_id_key_number(id->number);
            continue;
        }
        if (id->kind == DECODE_NO_ID || id->len == 0) {
            const decode_reason why = take_missing(dc, f, id, &key[f]);
            if (why != DECODE_OK) return why;
            continue;
        }
        if (id->len > (size_t)cfg->event.id_max_bytes)
            return decode_fail(dc, DECODE_ID_TOO_LONG, "%s: ID of %zu bytes, at most %lld allowed",
                               decode_path(dc, f), id->len, (long long)cfg->event.id_max_bytes);
        key[f] = aa_id_key(id->text, id->len);
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

/* What a time out of range looks like: the sender may have written microseconds. */
static const char *
guess_unit(int64_t time_ms)
{
    if (time_ms > (int64_t)1e17) return ": is it in ns?";
    return time_ms > (int64_t)1e14 ? ": is it in us?" : "";
}

/* How far ahead is measured by the message's own time, not by a clock: read again it has to be the
 * same event. */
static decode_reason
take_time(decode *dc, int64_t time_ms, int64_t kafka_ms, int64_t *out)
{
    const aa_conf *cfg = dc->cfg;
    const int64_t  ahead_ms = cfg->event.time_max_ahead_ms;
    if (time_ms < cfg->event.time_min_ms || time_ms > cfg->event.time_max_ms)
        return decode_fail(dc, DECODE_TIME_RANGE, "event time %lld ms%s", (long long)time_ms,
                           guess_unit(time_ms));
    if (ahead_ms > 0 && kafka_ms >= 0 && time_ms > kafka_ms && time_ms - kafka_ms > ahead_ms)
        return decode_fail(dc, DECODE_TIME_RANGE,
                           "event time %lld ms is %lld ms after its message's", (long long)time_ms,
                           (long long)(time_ms - kafka_ms));
    *out = time_ms;
    return DECODE_OK;
}

static decode_reason
validate_event(decode *dc, const decode_raw *raw, int64_t kafka_ms, const aa_columns *out, size_t i)
{
    const size_t F = dc->cfg->field_count;

    aa_columns_default(out, i, F);
    decode_reason why = take_keys(dc, raw, &out->key[i * F]);
    if (why == DECODE_OK) why = take_label(dc, raw->label, &out->label[i]);
    return why != DECODE_OK ? why : take_time(dc, raw->time_ms, kafka_ms, &out->time_ms[i]);
}

decode_reason
decode_kafka_time(decode *dc, const char *name, int64_t kafka_ms, decode_raw *raw)
{
    if (kafka_ms < 0) return decode_fail(dc, DECODE_TIME_MISSING, "%s: no event time", name);
    raw->time_ms = kafka_ms;
    raw->kafka_time = true;
    return DECODE_OK;
}

/* Either format. `{` would open group 15 in protobuf, and a byte order mark is no tag of it: what
 * begins so is JSON. A blank before `{` can also be the tag of an ID, with 123 as its length or
 * value: then it is what it parses as, and JSON first. */
static decode_reason
decode_either(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    const size_t blanks = json_reader_blanks(buf, len);
    const char  *text = buf;

    if (blanks == len || text[blanks] != '{') return decode_protobuf(dc, buf, len, kafka_ms, raw);
    decode_reason why = decode_json(dc, buf, len, kafka_ms, raw);
    if (why != DECODE_MALFORMED || blanks == 0) return why;
    char words[sizeof dc->why];
    memcpy(words, dc->why, sizeof words);
    why = decode_protobuf(dc, buf, len, kafka_ms, raw);
    if (why == DECODE_MALFORMED) memcpy(dc->why, words, sizeof words);
    return why;
}

void
decode_set_source(decode *dc, const schema_source *source)
{
    if (dc->ds) decode_schemas_source(dc->ds, source);
}

uint32_t
decode_waits_for(const decode *dc)
{
    return dc->waits_for;
}

bool
decode_schema_there(decode *dc, uint32_t id)
{
    return !dc->ds || decode_schemas_there(dc->ds, id);
}

static decode_reason
decode_by_schema(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    decode_schema_result re;
    decode_schemas_read(dc->ds, buf, len, dc->value, &re);
    if (re.reason == DECODE_WAIT) dc->waits_for = re.id;
    if (re.reason != DECODE_OK) return decode_fail(dc, re.reason, "%s", re.why);
    return re.json ? decode_json(dc, re.json, re.json_len, kafka_ms, raw)
                   : decode_values(dc, dc->value, kafka_ms, raw);
}

static decode_reason
decode_any(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    if (dc->ds && decode_schemas_claims(dc->ds, buf, len))
        return decode_by_schema(dc, buf, len, kafka_ms, raw);
    switch (dc->cfg->event.format) {
    case AA_EVENT_FORMAT_JSON: return decode_json(dc, buf, len, kafka_ms, raw);
    case AA_EVENT_FORMAT_AVRO:
    case AA_EVENT_FORMAT_PROTOBUF: return decode_protobuf(dc, buf, len, kafka_ms, raw);
    case AA_EVENT_FORMAT_AUTO: break;
    }
    return decode_either(dc, buf, len, kafka_ms, raw);
}

decode_reason
decode_message(decode *dc, const void *buf, size_t len, int64_t kafka_ms, const aa_columns *out,
               size_t i)
{
    decode_raw *raw = &dc->raw;

    if (!buf || len == 0) return decode_fail(dc, DECODE_EMPTY, "no value");
    raw->kafka_time = false;
    const decode_reason why = decode_any(dc, buf, len, kafka_ms, raw);
    return why != DECODE_OK ? why : validate_event(dc, raw, kafka_ms, out, i);
}

const char *
decode_id_text(const decode *dc, size_t f, char digits[24], size_t *len)
{
    const decode_id *id = &dc->raw.id[f];
    if (id->kind == DECODE_NUMBER_ID) {
        *len = (size_t)snprintf(digits, 24, "%lld", (long long)id->number);
        return digits;
    }
    const bool unknown = id->kind == DECODE_NO_ID || id->len == 0;
    *len = unknown ? sizeof DECODE_UNKNOWN_ID - 1 : id->len;
    return unknown ? DECODE_UNKNOWN_ID : id->text;
}

bool
decode_has_time(const decode *dc)
{
    return !dc->raw.kafka_time;
}

const char *
decode_why(const decode *dc)
{
    return dc->why;
}
