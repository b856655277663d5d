/* JSON events: one object per message. Names and the unit of time come from the config; what is not
 * ours is passed over (json_reader). A label may be a number or a boolean. */
#include <math.h>

#include "ingest/decode/decode_internal.h"

static decode_reason
take_json_id(decode *dc, size_t f, decode_id *id)
{
    const json_reader_value *va = json_reader_value_of(dc->jr, f);
    const char              *name = decode_json_name(dc, f);

    id->kind = DECODE_NO_ID;
    switch (va->kind) {
    case JSON_READER_ABSENT:
    case JSON_READER_NULL: return DECODE_OK; /* missing: said by the validation */
    case JSON_READER_NO_TEXT: return decode_fail(dc, DECODE_ID_TYPE, "%s: %s", name, va->flaw);
    case JSON_READER_INTEGER:
        if (va->negative || va->magnitude <= INT64_MAX) {
            id->kind = DECODE_NUMBER_ID;
            id->number = (int64_t)(va->negative ? 0 - va->magnitude : va->magnitude);
            return DECODE_OK;
        }
        break; /* its digits are its text, as with every number */
    case JSON_READER_TEXT: break;
    case JSON_READER_BOOL:
    case JSON_READER_REAL:
    case JSON_READER_NESTED:
        return decode_fail(dc, DECODE_ID_TYPE, "%s: neither a string nor a 64-bit integer", name);
    }
    id->kind = DECODE_TEXT_ID;
    id->text = va->text;
    id->len = va->len;
    return DECODE_OK;
}

static decode_reason
take_json_label(decode *dc, double *label)
{
    const json_reader_value *va = json_reader_value_of(dc->jr, dc->cfg->field_count);
    const char              *name = dc->cfg->event.label_field;

    switch (va->kind) {
    case JSON_READER_ABSENT:
    case JSON_READER_NULL: return decode_fail(dc, DECODE_LABEL_MISSING, "%s: no label", name);
    case JSON_READER_BOOL: *label = va->truth ? 1 : 0; return DECODE_OK;
    case JSON_READER_INTEGER:
    case JSON_READER_REAL: *label = va->real; return DECODE_OK;
    case JSON_READER_TEXT:
    case JSON_READER_NO_TEXT:
    case JSON_READER_NESTED: break;
    }
    return decode_fail(dc, DECODE_LABEL_TYPE, "%s: not a number", name);
}

static decode_reason
take_json_time(decode *dc, int64_t kafka_ms, decode_raw *raw)
{
    const json_reader_value *va = json_reader_value_of(dc->jr, dc->cfg->field_count + 1);
    const char              *name = dc->cfg->event.time_field;
    const int64_t            unit_ms = dc->cfg->event.time_unit == AA_TIME_UNIT_S ? 1000 : 1;

    switch (va->kind) {
    case JSON_READER_ABSENT:
    case JSON_READER_NULL: return decode_kafka_time(dc, name, kafka_ms, raw);
    case JSON_READER_INTEGER:
        if (va->magnitude > INT64_MAX / (uint64_t)unit_ms) break;
        raw->time_ms = (int64_t)va->magnitude * (va->negative ? -unit_ms : unit_ms);
        return DECODE_OK;
    case JSON_READER_REAL: {
        const double ms = va->real * (double)unit_ms;
        if (!(fabs(ms) < 9e18)) break;
        raw->time_ms = (int64_t)llround(ms);
        return DECODE_OK;
    }
    case JSON_READER_BOOL:
    case JSON_READER_TEXT:
    case JSON_READER_NO_TEXT:
    case JSON_READER_NESTED: return decode_fail(dc, DECODE_TIME_TYPE, "%s: not a number", name);
    }
    return decode_fail(dc, DECODE_TIME_RANGE, "%s: %g %s", name, va->real,
                       unit_ms == 1 ? "ms" : "s");
}

decode_reason
decode_json(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    size_t      at;
    const char *wrong = json_reader_read(dc->jr, buf, len, &at);

    if (wrong) return decode_fail(dc, DECODE_MALFORMED, "not JSON, byte %zu: %s", at, wrong);
    for (size_t f = 0; f < dc->cfg->field_count; f++) {
        const decode_reason why = take_json_id(dc, f, &raw->id[f]);
        if (why != DECODE_OK) return why;
    }
    const decode_reason why = take_json_label(dc, &raw->label);
    return why != DECODE_OK ? why : take_json_time(dc, kafka_ms, raw);
}
