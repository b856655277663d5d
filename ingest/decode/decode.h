/* ingest/decode/decode - a Kafka message becomes an event, or a reason why it is none.
 *
 * JSON, Avro and protobuf by the paths of the configuration, and schemas/event.proto. Any bytes may come:
 * nothing is trusted, and what is not a valid event as a whole is none at all. No I/O and no clock;
 * memory is bounded by the configuration, not by the message.
 */
#ifndef AA_INGEST_DECODE_DECODE_H
#define AA_INGEST_DECODE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/columns.h"
#include "ingest/formats/schema_source.h"

/* name, slug (metric label and dead-letter header), help */
#define DECODE_REASONS(X)                                                                          \
    X(DECODE_OK, "ok", "a valid event")                                                            \
    X(DECODE_EMPTY, "empty", "no value")                                                           \
    X(DECODE_MALFORMED, "malformed", "not of the configured format")                               \
    X(DECODE_SCHEMA_UNKNOWN, "schema-unknown", "no schema of the number that the message has")     \
    X(DECODE_SCHEMA_UNFIT, "schema-unfit", "its schema cannot be used, or is another's")           \
    X(DECODE_ID_MISSING, "id-missing", "an ID is missing or empty")                                \
    X(DECODE_ID_TYPE, "id-type", "an ID is of no type that IDs have")                              \
    X(DECODE_ID_TOO_LONG, "id-too-long", "an ID is longer than event.id_max_bytes")                \
    X(DECODE_LABEL_MISSING, "label-missing", "no label")                                           \
    X(DECODE_LABEL_TYPE, "label-type", "the label is of no type that labels have")                 \
    X(DECODE_LABEL_VALUE, "label-value", "event.label_map does not have the label")                \
    X(DECODE_LABEL_RANGE, "label-range", "the label is not finite, or not in 0..1 as it must be")  \
    X(DECODE_TIME_MISSING, "time-missing", "no event time, and none from Kafka")                   \
    X(DECODE_TIME_TYPE, "time-type", "the event time is of no type that times have")               \
    X(DECODE_TIME_RANGE, "time-range",                                                             \
      "the event time is outside event.time_min_ms..time_max_ms, or too far ahead")

typedef enum {
#define X(name, slug, help) name,
    DECODE_REASONS(X) DECODE_REASON_COUNT,
#undef X
    DECODE_SKIP, /* no event, and no dead letter either: the configuration passes it over */
    DECODE_WAIT  /* not known yet: its schema cannot be had now. Ask again later */
} decode_reason;

/* The ID of fields.<f>.missing: unknown. */
#define DECODE_UNKNOWN_ID "(unknown)"

/** "label-range" and the like. */
const char *decode_slug(decode_reason reason);

typedef struct decode decode;

/** cfg is kept (borrowed). @errors AA_ENOMEM */
aa_status decode_new(decode **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void decode_free(decode **dc_p);
/** Schemas that messages name by number come from there (borrowed); NULL (at first): none do. */
void decode_set_source(decode *dc, const schema_source *source);

/**
 * @param kafka_ms  the message's Kafka timestamp: the event time of JSON without one; -1: none
 * @param out       event i of it is written
 * @return DECODE_OK; DECODE_SKIP; DECODE_WAIT; or why the message is no event: then event i is not to be used
 */
decode_reason decode_message(decode *dc, const void *buf, size_t len, int64_t kafka_ms,
                             const aa_columns *out, size_t i);
/** Of the last DECODE_WAIT: the schema that is waited for. */
uint32_t decode_waits_for(const decode *dc);
/** A message of that schema would not have to wait any more. */
bool decode_schema_there(decode *dc, uint32_t id);
/** The ID of field f of the last event, as text; digits: where a number's are written. Valid as long
 *  as the message. */
const char *decode_id_text(const decode *dc, size_t f, char digits[24], size_t *len);
/** The last event's time is its own, not its Kafka message's. */
bool decode_has_time(const decode *dc);
/** The last failure in words, with the values in it (no bytes of the message). */
const char *decode_why(const decode *dc);

#endif
