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
    return 0;
}
