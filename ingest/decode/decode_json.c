/* JSON events: one object per message. Names and the unit of time come from the config; names that
 * are not ours are ignored. A label may be a number or a boolean. */
#include "ingest/decode/decode_internal.h"

#include <math.h>

static decode_reason
take_id(decode *dc, const json_t *root, size_t f, decode_id *id)
{
    const aa_conf_field *field = &dc->cfg->fields[f];
    const char          *name = field->json[0] ? field->json : field->name;
    const json_t        *value = json_object_get(root, name);

    id->kind = DECODE_NO_ID;
    if (!value || json_is_null(value)) return DECODE_OK; /* missing: said by the validation */
    if (json_is_string(value)) {
        id->kind = DECODE_TEXT_ID;
        id->text = json_string_value(value);
        id->len = json_string_length(value);
    } else if (json_is_integer(value)) {
        id->kind = DECODE_NUMBER_ID;
        id->number = json_integer_value(value);
    } else {
        return decode_fail(dc, DECODE_ID_TYPE, "%s: neither a string nor a 64-bit integer", name);
    }
    return DECODE_OK;
}

static decode_reason
take_label(decode *dc, const json_t *root, double *label)
{
    const char   *name = dc->cfg->event.label_field;
    const json_t *value = json_object_get(root, name);

    if (!value || json_is_null(value))
        return decode_fail(dc, DECODE_LABEL_MISSING, "%s: no label", name);
    if (json_is_boolean(value))
        *label = json_is_true(value) ? 1 : 0;
    else if (json_is_number(value))
        *label = json_number_value(value);
    else
        return decode_fail(dc, DECODE_LABEL_TYPE, "%s: not a number", name);
    return DECODE_OK;
}

static decode_reason
take_time(decode *dc, const json_t *root, int64_t kafka_ms, int64_t *time_ms)
{
    const char   *name = dc->cfg->event.time_field;
    const json_t *value = json_object_get(root, name);
    int64_t       unit_ms = dc->cfg->event.time_unit == AA_TIME_UNIT_S ? 1000 : 1;

    if (!value || json_is_null(value)) {
        if (kafka_ms < 0) return decode_fail(dc, DECODE_TIME_MISSING, "%s: no event time", name);
        *time_ms = kafka_ms;
        return DECODE_OK;
    }
    if (json_is_integer(value)) {
        int64_t units = json_integer_value(value);
        if (units > INT64_MAX / unit_ms || units < INT64_MIN / unit_ms)
            return decode_fail(dc, DECODE_TIME_RANGE, "%s: %lld", name, (long long)units);
        *time_ms = units * unit_ms;
        return DECODE_OK;
    }
    if (json_is_real(value)) {
        double ms = json_real_value(value) * (double)unit_ms;
        if (!(fabs(ms) < 9e18)) return decode_fail(dc, DECODE_TIME_RANGE, "%s: %g ms", name, ms);
        *time_ms = (int64_t)llround(ms);
        return DECODE_OK;
    }
    return decode_fail(dc, DECODE_TIME_TYPE, "%s: not a number", name);
}

decode_reason
decode_json(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw,
            json_t **root)
{
    json_error_t  jerr;
    decode_reason why = DECODE_OK;

    *root = json_loadb(buf, len, JSON_REJECT_DUPLICATES, &jerr);
    if (!*root) return decode_fail(dc, DECODE_MALFORMED, "byte %d: not JSON", jerr.position);
    if (!json_is_object(*root)) return decode_fail(dc, DECODE_MALFORMED, "not a JSON object");
    for (size_t f = 0; f < dc->cfg->field_count && why == DECODE_OK; f++)
        why = take_id(dc, *root, f, &raw->id[f]);
    if (why == DECODE_OK) why = take_label(dc, *root, &raw->label);
    if (why == DECODE_OK) why = take_time(dc, *root, kafka_ms, &raw->time_ms);
    return why;
}
