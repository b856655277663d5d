/* What picked values mean: IDs, the label, the time. The same for every format. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ingest/decode/decode_internal.h"
#include "ingest/decode/path.h"
#include "ingest/decode/rfc3339.h"

const char *
picked_words(picked_kind kind)
{
    switch (kind) {
    case PICKED_ABSENT: return "nothing";
    case PICKED_NULL: return "null";
    case PICKED_BOOL: return "a boolean";
    case PICKED_TEXT: return "text";
    case PICKED_NO_TEXT: return "text that is not Unicode";
    case PICKED_BYTES: return "bytes";
    case PICKED_INTEGER:
    case PICKED_REAL: return "a number";
    case PICKED_DECIMAL: return "a decimal";
    case PICKED_TIME: return "a time";
    case PICKED_NESTED: return "an object or an array";
    }
    return "?";
}

decode_reason
decode_missing(decode *dc, decode_reason reason, const char *path, const char *what,
               const picked *va)
{
    if (va && va->kind == PICKED_ABSENT && va->flaw)
        return decode_fail(dc, reason, "%s: no %s: %s", path, what, va->flaw);
    if (!va || va->kind != PICKED_ABSENT || !va->stop)
        return decode_fail(dc, reason, "%s: no %s%s", path, what,
                           va && va->kind == PICKED_NULL ? " (null)" : "");
    return decode_fail(dc, reason, "%s: no %s: %.*s is %s", path, what, (int)va->stop->text_len,
                       va->stop->text, picked_words(va->stop_kind));
}

/* ---- IDs ---- */

static decode_reason
take_id(decode *dc, size_t f, const picked *va, decode_id *id)
{
    const char *name = decode_path(dc, f);

    *id = (decode_id){.kind = DECODE_TEXT_ID, .text = va->text, .len = va->len, .from = va};
    switch (va->kind) {
    case PICKED_ABSENT:
    case PICKED_NULL: id->kind = DECODE_NO_ID; return DECODE_OK; /* said by the validation */
    case PICKED_NO_TEXT: return decode_fail(dc, DECODE_ID_TYPE, "%s: %s", name, va->flaw);
    case PICKED_TIME:
    case PICKED_INTEGER:
        if (!va->negative && va->magnitude > INT64_MAX) return DECODE_OK; /* its digits */
        id->kind = DECODE_NUMBER_ID;
        id->number = (int64_t)(va->negative ? 0 - va->magnitude : va->magnitude);
        return DECODE_OK;
    case PICKED_BOOL:
        id->text = va->truth ? "true" : "false";
        id->len = va->truth ? 4 : 5;
        return DECODE_OK;
    case PICKED_TEXT:
    case PICKED_BYTES:
    case PICKED_DECIMAL: return DECODE_OK;
    case PICKED_REAL:
    case PICKED_NESTED: break;
    }
    return decode_fail(dc, DECODE_ID_TYPE, "%s: neither a string nor a 64-bit integer, but %s",
                       name, va->kind == PICKED_REAL ? "another number" : picked_words(va->kind));
}

/* ---- the label ---- */

static bool
find_label(const aa_conf *cfg, const void *text, size_t len, double *label)
{
    for (size_t i = 0; i < cfg->label_count; i++) {
        if (strlen(cfg->labels[i].name) != len) continue;
        if (memcmp(cfg->labels[i].name, text, len) != 0) continue;
        *label = cfg->labels[i].value;
        return true;
    }
    return false;
}

/* By event.label_map. */
static decode_reason
take_mapped_label(decode *dc, const picked *va, double *label)
{
    char        digits[24];
    const char *name = dc->cfg->event.label_field, *text = va->text;
    size_t      len = va->len;

    if (va->kind == PICKED_BOOL) {
        text = va->truth ? "true" : "false";
        len = strlen(text);
    } else if (va->kind == PICKED_INTEGER) {
        snprintf(digits, sizeof digits, "%s%llu", va->negative ? "-" : "",
                 (unsigned long long)va->magnitude);
        text = digits;
        len = strlen(digits);
    } else if (va->kind != PICKED_TEXT && va->kind != PICKED_BYTES && va->kind != PICKED_DECIMAL &&
               !(va->kind == PICKED_REAL && text)) {
        return decode_fail(dc, DECODE_LABEL_TYPE, "%s: event.label_map cannot map %s", name,
                           picked_words(va->kind));
    }
    if (len <= (size_t)dc->cfg->event.id_max_bytes && find_label(dc->cfg, text, len, label))
        return DECODE_OK;
    const bool skip = dc->cfg->event.label_other == AA_LABEL_OTHER_SKIP;
    return decode_fail(dc, skip ? DECODE_SKIP : DECODE_LABEL_VALUE,
                       "%s: %zu bytes that event.label_map does not have", name, len);
}

static decode_reason
take_label_of(decode *dc, const picked *va, double *label)
{
    const char *name = dc->cfg->event.label_field;

    if (va->kind == PICKED_ABSENT || va->kind == PICKED_NULL)
        return decode_missing(dc, DECODE_LABEL_MISSING, name, "label", va);
    if (dc->cfg->label_count > 0) return take_mapped_label(dc, va, label);
    switch (va->kind) {
    case PICKED_BOOL: *label = va->truth ? 1 : 0; return DECODE_OK;
    case PICKED_INTEGER:
    case PICKED_REAL:
    case PICKED_DECIMAL: *label = va->real; return DECODE_OK;
    case PICKED_TEXT:
        return decode_fail(dc, DECODE_LABEL_TYPE,
                           "%s: not a number, but text (event.label_map gives texts a label)",
                           name);
    default: break;
    }
    return decode_fail(dc, DECODE_LABEL_TYPE, "%s: not a number, but %s", name,
                       picked_words(va->kind));
}

/* ---- the time ---- */

enum { NS_PER_US = 1000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

static int64_t
unit_ns(enum aa_time_unit unit)
{
    switch (unit) {
    case AA_TIME_UNIT_S: return NS_PER_S;
    case AA_TIME_UNIT_US: return NS_PER_US;
    case AA_TIME_UNIT_NS: return 1;
    default: return NS_PER_MS;
    }
}

static const char *
unit_words(int64_t ns)
{
    return ns == NS_PER_S ? "s" : ns == NS_PER_MS ? "ms" : ns == NS_PER_US ? "us" : "ns";
}

/* By its size, as if times were between 1973 and 5138: each unit's counts are 1000 times the
 * other's. */
static int64_t
guess_unit_ns(double count)
{
    const double size = fabs(count);
    return size < 1e11 ? NS_PER_S : size < 1e14 ? NS_PER_MS : size < 1e17 ? NS_PER_US : 1;
}

/* Of a whole number; what is finer than a millisecond is cut off. */
static bool
whole_ms(const picked *va, int64_t ns, int64_t *ms)
{
    if (va->magnitude > INT64_MAX) return false;
    int64_t count = (int64_t)va->magnitude;
    if (va->negative) count = -count;
    if (ns >= NS_PER_MS) {
        const int64_t factor = ns / NS_PER_MS;
        if (va->magnitude > (uint64_t)(INT64_MAX / factor)) return false;
        *ms = count * factor;
        return true;
    }
    const int64_t divisor = NS_PER_MS / ns;
    *ms = count / divisor - (count % divisor < 0);
    return true;
}

static bool
real_ms(double count, int64_t ns, int64_t *ms)
{
    const int64_t factor = ns >= NS_PER_MS ? ns / NS_PER_MS : 1;
    const int64_t divisor = ns >= NS_PER_MS ? 1 : NS_PER_MS / ns;
    const double  exact = count * (double)factor / (double)divisor;
    if (!(fabs(exact) < 9e18)) return false;
    *ms = (int64_t)llround(exact);
    return true;
}

/* Digits only, as some senders write numbers. */
static bool
number_in_text(const picked *va, picked *number)
{
    uint64_t magnitude = 0;
    if (va->len == 0 || va->len > 18) return false;
    for (size_t i = 0; i < va->len; i++) {
        if (va->text[i] < '0' || va->text[i] > '9') return false;
        magnitude = magnitude * 10 + (uint64_t)(va->text[i] - '0');
    }
    *number = picked_integer(false, magnitude);
    return true;
}

static decode_reason
take_time_number(decode *dc, const picked *va, int64_t *ms)
{
    const enum aa_time_unit unit = dc->cfg->event.time_unit;
    const int64_t           ns = va->kind == PICKED_TIME     ? va->unit_ns
                                 : unit == AA_TIME_UNIT_AUTO ? guess_unit_ns(va->real)
                                                             : unit_ns(unit);
    const bool              whole = va->kind == PICKED_INTEGER || va->kind == PICKED_TIME;

    if (whole ? whole_ms(va, ns, ms) : real_ms(va->real, ns, ms)) return DECODE_OK;
    return decode_fail(dc, DECODE_TIME_RANGE, "%s: %g %s", dc->cfg->event.time_field,
                       whole ? (double)va->magnitude : va->real, unit_words(ns));
}

static decode_reason
take_time_text(decode *dc, const picked *va, int64_t *ms)
{
    const char             *name = dc->cfg->event.time_field;
    const enum aa_time_unit unit = dc->cfg->event.time_unit;
    picked                  number;

    if (unit != AA_TIME_UNIT_AUTO && unit != AA_TIME_UNIT_RFC3339)
        return decode_fail(dc, DECODE_TIME_TYPE,
                           "%s: not a number, but text (event.time_unit: auto or rfc3339)", name);
    if (va->len <= (size_t)dc->cfg->event.id_max_bytes) {
        if (rfc3339_ms(va->text, va->len, ms)) return DECODE_OK;
        if (unit == AA_TIME_UNIT_AUTO && number_in_text(va, &number))
            return take_time_number(dc, &number, ms);
    }
    return decode_fail(dc, DECODE_TIME_TYPE,
                       "%s: %zu bytes that are no RFC 3339 time (2026-03-01T12:00:00Z)", name,
                       va->len);
}

static decode_reason
take_time_of(decode *dc, const picked *va, int64_t kafka_ms, decode_raw *raw)
{
    const char *name = dc->cfg->event.time_field;

    switch (va->kind) {
    case PICKED_ABSENT:
    case PICKED_NULL: return decode_kafka_time(dc, name, kafka_ms, raw);
    case PICKED_TIME: return take_time_number(dc, va, &raw->time_ms);
    case PICKED_INTEGER:
    case PICKED_REAL:
    case PICKED_DECIMAL:
        if (dc->cfg->event.time_unit == AA_TIME_UNIT_RFC3339) break;
        return take_time_number(dc, va, &raw->time_ms);
    case PICKED_TEXT: return take_time_text(dc, va, &raw->time_ms);
    case PICKED_BOOL:
    case PICKED_NO_TEXT:
    case PICKED_BYTES:
    case PICKED_NESTED:
        return decode_fail(dc, DECODE_TIME_TYPE, "%s: not a number, but %s", name,
                           picked_words(va->kind));
    }
    return decode_fail(dc, DECODE_TIME_TYPE, "%s: not an RFC 3339 text, but %s", name,
                       picked_words(va->kind));
}

decode_reason
decode_values(decode *dc, const picked *va, int64_t kafka_ms, decode_raw *raw)
{
    const size_t F = dc->cfg->field_count;

    for (size_t f = 0; f < F; f++) {
        const decode_reason why = take_id(dc, f, &va[f], &raw->id[f]);
        if (why != DECODE_OK) return why;
    }
    const decode_reason why = take_label_of(dc, &va[F], &raw->label);
    return why != DECODE_OK ? why : take_time_of(dc, &va[F + 1], kafka_ms, raw);
}
