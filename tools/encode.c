#include "tools/encode.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "schemas/event.pb-c.h"

/* "42" but not "042", "-0" or "+42": a number whose decimal text is the ID. */
static bool
id_number(const char *text, size_t len, int64_t *number)
{
    bool   negative = len > 0 && text[0] == '-';
    size_t i = negative;

    *number = 0;
    if (len == i || len - i > 18 || (text[i] == '0' && len > 1)) return false;
    for (; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *number = *number * 10 + (text[i] - '0');
    }
    if (negative) *number = -*number;
    return true;
}

static ProtobufCBinaryData
bytes_of(const char *text, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)text};
}

aa_status
encode_protobuf(const encode_event *ev, void *out, size_t size, size_t *len, aa_err *err)
{
    Autoassign__Interaction ia;
    autoassign__interaction__init(&ia);
    int64_t number;
    if (id_number(ev->user, ev->user_len, &number)) {
        ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_NUMBER;
        ia.user_number = number;
    } else {
        ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_ID;
        ia.user_id = bytes_of(ev->user, ev->user_len);
    }
    if (id_number(ev->item, ev->item_len, &number)) {
        ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER;
        ia.item_number = number;
    } else {
        ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_ID;
        ia.item_id = bytes_of(ev->item, ev->item_len);
    }
    ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL_LABEL;
    ia.given_time_case = AUTOASSIGN__INTERACTION__GIVEN_TIME_TIMESTAMP_MS;
    ia.label = ev->label;
    ia.timestamp_ms = ev->time_ms;
    *len = autoassign__interaction__get_packed_size(&ia);
    if (*len > size) return aa_fail(err, AA_EFULL, "an event of %zu bytes", *len);
    autoassign__interaction__pack(&ia, out);
    return AA_OK;
}

static json_t *
json_id(const char *text, size_t len)
{
    int64_t number;
    return id_number(text, len, &number) ? json_integer(number) : json_stringn(text, len);
}

/* As event.time_unit has it; auto takes milliseconds for what they are from 1973 on. */
static json_t *
json_time(const aa_conf *cfg, int64_t time_ms)
{
    char   text[40];
    time_t seconds = (time_t)(time_ms / 1000 - (time_ms % 1000 < 0));
    switch (cfg->event.time_unit) {
    case AA_TIME_UNIT_S:
        return time_ms % 1000 ? json_real((double)time_ms / 1000) : json_integer(time_ms / 1000);
    case AA_TIME_UNIT_US: return json_integer(time_ms * 1000);
    case AA_TIME_UNIT_NS: return json_integer(time_ms * 1000000);
    case AA_TIME_UNIT_RFC3339:
    case AA_TIME_UNIT_AUTO: {
        struct tm tm = {0};
        gmtime_r(&seconds, &tm);
        const size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + len, sizeof text - len, ".%03dZ", (int)(time_ms - (int64_t)seconds * 1000));
        return json_string(text);
    }
    case AA_TIME_UNIT_MS: break;
    }
    return json_integer(time_ms);
}

static const char *
json_name(const aa_conf_field *fd)
{
    return fd->path[0] ? fd->path : fd->name;
}

aa_status
encode_json(const aa_conf *cfg, const encode_event *ev, void *out, size_t size, size_t *len,
            aa_err *err)
{
    aa_status   st = AA_OK;
    json_t     *root = json_object();
    const char *user = json_name(&cfg->fields[AA_USER_FIELD]);
    const char *item = json_name(&cfg->fields[AA_RANKED_FIELD]);
    json_t     *time = json_time(cfg, ev->time_ms);
    bool        whole = fabs(ev->label) < 1e15 && ev->label == (double)(int64_t)ev->label;

    if (json_object_set_new(root, user, json_id(ev->user, ev->user_len)) != 0 ||
        json_object_set_new(root, item, json_id(ev->item, ev->item_len)) != 0) {
        st = aa_fail(err, AA_EPARSE, "an ID is not UTF-8: JSON cannot carry it, protobuf can");
        json_decref(time);
        goto out;
    }
    json_object_set_new(root, cfg->event.label_field,
                        whole ? json_integer((int64_t)ev->label) : json_real(ev->label));
    json_object_set_new(root, cfg->event.time_field, time);
    *len = json_dumpb(root, out, size, JSON_COMPACT);
    if (*len == 0 || *len > size) st = aa_fail(err, AA_EFULL, "an event of %zu bytes", *len);
out:
    json_decref(root);
    return st;
}
