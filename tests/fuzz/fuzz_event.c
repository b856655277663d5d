/* What producers put into the interactions topic. Any bytes are an event or a reason why not; an
 * event has keys that are not 0, a finite label and a time within the bounds. */
#include <math.h>

#include "common/config/conf.h"
#include "ingest/decode/decode.h"
#include "tests/fuzz/fuzz.h"
#include "tests/one_event.h"

enum { CONFIGS = 5 };
/* both formats; with a threshold and seconds; JSON only, three fields; paths, a label map, any
 * time; framed by a registry that has a schema for each number */
static aa_conf cfg[CONFIGS];
static decode *dc[CONFIGS];

/* By the number's last two bits: Avro, JSON, none, or not now. */
static schema_answer
get_schema(void *arg, uint32_t id, const schema_texts **out, aa_err *err)
{
    static char avro[] =
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"user\",\"type\":\"string\"},"
        "{\"name\":\"item\",\"type\":[\"null\",\"long\",\"boolean\",\"bytes\"]},"
        "{\"name\":\"label\",\"type\":\"double\"},{\"name\":\"timestamp_ms\",\"type\":"
        "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}]}";
    static schema_texts texts[] = {
        {.kind = SCHEMA_AVRO, .text = {{avro, sizeof avro - 1}}, .count = 1},
        {.kind = SCHEMA_JSON, .text = {{avro, 2}}, .count = 1}};
    (void)arg;
    (void)!aa_fail(err, AA_EAGAIN, "not now");
    *out = &texts[id & 1];
    return (id & 3) < 2 ? SCHEMA_FOUND : (id & 3) == 2 ? SCHEMA_UNKNOWN : SCHEMA_LATER;
}

static void
start(void)
{
    aa_err                   err = AA_ERR_INIT;
    static const char *const nested[] = {"fields.user.path=p.u[1].id",
                                         "fields.item.path=p.i",
                                         "fields.item.missing=unknown",
                                         "event.label_field=t",
                                         "event.label_map=click=1,view=0,true=1,5=0.5",
                                         "event.label_other=skip",
                                         "event.time_unit=auto"};
    for (size_t i = 0; i < CONFIGS; i++)
        aa_conf_defaults(&cfg[i]);
    AA_REQUIRE(aa_conf_load(&cfg[3], NULL, nested, sizeof nested / sizeof *nested, &err) == AA_OK);
    cfg[1].event.label = AA_LABEL_THRESHOLD;
    cfg[1].event.time_unit = AA_TIME_UNIT_S;
    cfg[2].event.format = AA_EVENT_FORMAT_JSON;
    cfg[2].model.loss = AA_LOSS_MSE;
    cfg[2].fields[2] = cfg[2].fields[1];
    strcpy(cfg[2].fields[2].name, "device");
    strcpy(cfg[2].fields[2].path, "device");
    cfg[2].field_count = 3;
    static const schema_source source = {get_schema, NULL};
    snprintf(cfg[4].event.schema_registry, AA_CONF_STR, "http://registry");
    for (size_t i = 0; i < CONFIGS; i++)
        AA_REQUIRE(decode_new(&dc[i], &cfg[i], &err) == AA_OK);
    decode_set_source(dc[4], &source);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!dc[0]) start();
    for (size_t i = 0; i < CONFIGS; i++) {
        one_event        ev = {.label = {NAN}, .time_ms = {INT64_MIN}};
        const aa_columns col = one_event_columns(&ev);
        int64_t          kafka_ms = size % 2 ? 1700000000000 : -1;
        if (decode_message(dc[i], data, size, kafka_ms, &col, 0) != DECODE_OK) {
            AA_REQUIRE(decode_why(dc[i])[0]);
            continue;
        }
        for (size_t f = 0; f < cfg[i].field_count; f++)
            AA_REQUIRE(ev.key[f] != 0);
        AA_REQUIRE(isfinite(ev.label[0]));
        AA_REQUIRE(ev.time_ms[0] >= cfg[i].event.time_min_ms);
        AA_REQUIRE(ev.time_ms[0] <= cfg[i].event.time_max_ms);
    }
    return 0;
}

/* Now and then begin anew from a valid event, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
#define EVENT(text)                                                                                \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    static const struct {
        const char *text;
        size_t      len;
    } events[] = {
        EVENT("{\"user\": \"u1\", \"item\": 42, \"label\": 1, \"timestamp_ms\": 1700000000000}"),
        EVENT("{\"user\": -7, \"item\": \"\\u00e9\", \"label\": 0.5, \"device\": \"tv\"}"),
        EVENT("{\"label\": 1e0, \"timestamp_ms\": 1.7e9, \"item\": \"i\", \"user\": \"\\\\\"}"),
        EVENT("{\"p\":{\"u\":[0,{\"id\":7}],\"i\":\"x\"},\"t\":\"click\",\"timestamp_ms\":\"2026-"
              "03-01T12:00:00.5Z\"}"),
        EVENT("{\"p.i\":true,\"p\":{\"u\":[{},{\"id\":\"\\u00e9\"}]},\"t\":5,\"timestamp_ms\":1."
              "7e18}"),
        EVENT("\0\0\0\0\0\x04u1\x02\x54\0\0\0\0\0\0\xf0\x3f\xc0\x84\x3d"),
        EVENT("\0\0\0\0\x01{\"user\":1,\"item\":2,\"label\":1}"),
        EVENT("\x0a\x02u1\x20\x2a\x29\0\0\0\0\0\0\xf0\x3f\x30\x80\xd0\x95\xff\xbc\x31"),
    };
    const size_t pick = seed / 16 % (sizeof events / sizeof *events);
    return fuzz_anew(data, size, max_size, seed, events[pick].text, events[pick].len);
}
