/* Rate of the decoder, one thread: bench_decode [seconds per case] */
#include "ingest/decode/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schemas/event.pb-c.h"
#include "tests/one_event.h"

enum { MESSAGES = 4096, ROOM = 320 };

static unsigned char message[MESSAGES][ROOM];
static size_t        len_of[MESSAGES];

static void
fill_protobuf(int text_ids)
{
    for (int i = 0; i < MESSAGES; i++) {
        Autoassign__Interaction ia;
        char                    user[24], item[24];
        autoassign__interaction__init(&ia);
        ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_NUMBER;
        ia.user_number = i * 7919 % 100000;
        ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER;
        ia.item_number = i * 104729 % 10000;
        if (text_ids) {
            size_t ul = (size_t)snprintf(user, sizeof user, "%lld", (long long)ia.user_number);
            size_t il = (size_t)snprintf(item, sizeof item, "%lld", (long long)ia.item_number);
            ia.user_case = AUTOASSIGN__INTERACTION__USER_USER_ID;
            ia.user_id = (ProtobufCBinaryData){ul, (uint8_t *)user};
            ia.item_case = AUTOASSIGN__INTERACTION__ITEM_ITEM_ID;
            ia.item_id = (ProtobufCBinaryData){il, (uint8_t *)item};
        }
        ia.given_label_case = AUTOASSIGN__INTERACTION__GIVEN_LABEL_LABEL;
        ia.given_time_case = AUTOASSIGN__INTERACTION__GIVEN_TIME_TIMESTAMP_MS;
        ia.label = i % 2;
        ia.timestamp_ms = 1700000000000 + i;
        len_of[i] = autoassign__interaction__pack(&ia, message[i]);
    }
}

static void
fill_json(void)
{
    for (int i = 0; i < MESSAGES; i++)
        len_of[i] =
            (size_t)snprintf((char *)message[i], ROOM,
                             "{\"user\":\"%d\",\"item\":\"%d\",\"label\":%d,\"timestamp_ms\":%lld}",
                             i * 7919 % 100000, i * 104729 % 10000, i % 2, 1700000000000LL + i);
}

/* 200 bytes with nested names, most of which nobody asks for. */
static void
fill_nested_json(void)
{
    for (int i = 0; i < MESSAGES; i++)
        len_of[i] = (size_t)snprintf(
            (char *)message[i], ROOM,
            "{\"id\":\"6f1c-%08d\",\"source\":\"web\",\"payload\":{\"user\":{\"id\":%d,\"plan\":"
            "\"free\"},"
            "\"items\":[{\"sku\":\"i%05d\",\"price\":12.5}],\"clicked\":%s},"
            "\"context\":{\"tags\":[\"a\",\"b\"],\"v\":3},\"at\":%lld,\"etc\":null}",
            i, i * 7919 % 100000, i * 104729 % 10000, i % 2 ? "true" : "false",
            1700000000000LL + i);
}

/* ---- ten fields, of which four are wanted (ID, ID, label, time) ---- */

static size_t
put_varint(unsigned char *to, uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (unsigned char)(value | 0x80);
    to[n++] = (unsigned char)value;
    return n;
}

/* Its length first: times 2 in Avro. */
static size_t
put_text(unsigned char *to, const char *text, uint64_t factor)
{
    const size_t len = strlen(text), n = put_varint(to, factor * len);
    memcpy(to + n, text, len);
    return n + len;
}

static const char avro_schema_text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},"
    "{\"name\":\"source\",\"type\":[\"null\",\"string\"]},{\"name\":\"user\",\"type\":\"long\"},"
    "{\"name\":\"plan\",\"type\":{\"type\":\"enum\",\"name\":\"P\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"item\",\"type\":{\"type\":\"record\",\"name\":\"I\",\"fields\":["
    "{\"name\":\"sku\",\"type\":\"string\"},{\"name\":\"price\",\"type\":\"double\"}]}},"
    "{\"name\":\"label\",\"type\":[\"null\",\"int\"]},"
    "{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
    "{\"name\":\"mobile\",\"type\":\"boolean\"},"
    "{\"name\":\"timestamp_ms\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
    "{\"name\":\"score\",\"type\":\"float\"}]}";

static void
fill_avro(void)
{
    for (int i = 0; i < MESSAGES; i++) {
        char           text[32];
        unsigned char *at = message[i];
        snprintf(text, sizeof text, "6f1c-%08d", i);
        at += put_text(at, text, 2);
        at += put_varint(at, 2);
        at += put_text(at, "web", 2);
        at += put_varint(at, 2 * (uint64_t)(i * 7919 % 100000));
        at += put_varint(at, 2);
        snprintf(text, sizeof text, "i%05d", i * 104729 % 10000);
        at += put_text(at, text, 2);
        memset(at, 0, 8);
        at += 8;
        at += put_varint(at, 2);
        at += put_varint(at, 2 * (uint64_t)(i % 2));
        at += put_varint(at, 4);
        at += put_text(at, "a", 2);
        at += put_text(at, "b", 2);
        at += put_varint(at, 0);
        *at++ = 1;
        at += put_varint(at, 2 * (uint64_t)(1700000000000LL + i));
        memset(at, 0, 4);
        len_of[i] = (size_t)(at + 4 - message[i]);
    }
}

enum { TEXT = 2, FIXED = 1 };

static size_t
put_member(unsigned char *to, uint64_t number, const char *text)
{
    const size_t n = put_varint(to, number << 3 | TEXT);
    return n + put_text(to + n, text, 1);
}

static size_t
put_number(unsigned char *to, uint64_t number, uint64_t value)
{
    const size_t n = put_varint(to, number << 3);
    return n + put_varint(to + n, value);
}

/* shop.Click of tests/formats, with ten of its fields. */
static void
fill_own_protobuf(void)
{
    for (int i = 0; i < MESSAGES; i++) {
        char           text[32];
        unsigned char *at = message[i], *inner;
        snprintf(text, sizeof text, "u%05d", i * 7919 % 100000);
        at += put_varint(at, 1 << 3 | TEXT); /* user */
        inner = at++;
        at += put_member(at, 1, text);
        at += put_number(at, 2, 84);
        *inner = (unsigned char)(at - inner - 1);
        at += put_number(at, 2, (uint64_t)(i * 104729 % 10000)); /* item */
        at += put_number(at, 3, 2);                              /* kind */
        at += put_varint(at, 4 << 3 | TEXT);                     /* at */
        inner = at++;
        at += put_number(at, 1, 1700000000 + (uint64_t)i);
        at += put_number(at, 2, 123000000);
        *inner = (unsigned char)(at - inner - 1);
        at += put_member(at, 5, "\x01\x02\x03"); /* scores */
        at += put_member(at, 6, "first");        /* names */
        at += put_member(at, 6, "second");
        at += put_member(at, 7, "\x0a\x04page\x12\x04home"); /* tags */
        at += put_member(at, 8, "page");
        const double label = i % 2;
        at += put_varint(at, 10 << 3 | FIXED);
        memcpy(at, &label, sizeof label);
        at += sizeof label;
        at += put_number(at, 11, 3); /* rank */
        len_of[i] = (size_t)(at - message[i]);
    }
}

static decode *
open_decode(aa_conf *cfg, const char *const *over, size_t count)
{
    aa_err  err = AA_ERR_INIT;
    decode *dc = NULL;
    if (aa_conf_load(cfg, NULL, over, count, &err) == AA_OK && decode_new(&dc, cfg, &err) == AA_OK)
        return dc;
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

/* Of this process: the rate of a core, whatever else the machine does. */
static int64_t
cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Into a file; the setting that names it. */
static const char *
write_schema(void)
{
    static char setting[64] = "event.schema_file=/tmp/bench-avro-XXXXXX";
    char       *path = setting + sizeof "event.schema_file=" - 1;
    const int   fd = mkstemp(path);
    FILE       *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file || fputs(avro_schema_text, file) < 0 || fclose(file) != 0) exit(1);
    return setting;
}

static void
measure(decode *dc, const char *what, double seconds)
{
    one_event        ev;
    const aa_columns col = one_event_columns(&ev);
    uint64_t         events = 0, bad = 0;
    int64_t          started_us = cpu_us(), now_us = started_us;

    while ((double)(now_us - started_us) < seconds * 1e6) {
        for (int i = 0; i < MESSAGES; i++)
            bad += decode_message(dc, message[i], len_of[i], 0, &col, 0) != DECODE_OK;
        events += MESSAGES;
        now_us = cpu_us();
    }
    printf("decode %-20s %8.2f M events/s (%zu bytes each, %llu bad)\n", what,
           (double)events / (double)(now_us - started_us), len_of[0], (unsigned long long)bad);
}

int
main(int argc, char **argv)
{
    double         seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    static aa_conf cfg;
    decode        *dc = open_decode(&cfg, NULL, 0);

    fill_protobuf(0);
    measure(dc, "protobuf, numbers", seconds);
    fill_protobuf(1);
    measure(dc, "protobuf, text", seconds);
    fill_json();
    measure(dc, "json", seconds);
    decode_free(&dc);

    static const char *const nested[] = {
        "fields.user.path=payload.user.id", "fields.item.path=payload.items[0].sku",
        "event.label_field=payload.clicked", "event.time_field=at"};
    dc = open_decode(&cfg, nested, 4);
    fill_nested_json();
    measure(dc, "json, nested", seconds);
    decode_free(&dc);

    const char *const avro[] = {"event.format=avro", write_schema(), "fields.item.path=item.sku"};
    dc = open_decode(&cfg, avro, 3);
    fill_avro();
    remove(cfg.event.schema_file);
    measure(dc, "avro, 10 fields", seconds);
    decode_free(&dc);

    static const char *const own[] = {"event.format=protobuf", "event.message=shop.Click",
                                      "event.descriptor=tests/formats/fixtures/shop.pb",
                                      "fields.user.path=user.id", "event.time_field=at"};
    dc = open_decode(&cfg, own, 5);
    fill_own_protobuf();
    measure(dc, "own protobuf, 10", seconds);
    decode_free(&dc);
    return 0;
}
