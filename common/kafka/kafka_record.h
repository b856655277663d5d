/* common/kafka/kafka_record - one message as it was read. */
#ifndef AA_COMMON_KAFKA_KAFKA_RECORD_H
#define AA_COMMON_KAFKA_KAFKA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int32_t     partition;
    int64_t     offset, timestamp_ms;
    bool        appended;    /* timestamp_ms is when the broker got it, not the producer's */
    const void *key, *value; /* value NULL: tombstone */
    size_t      key_len, len;
    void       *opaque; /* the library's message */
} aa_kafka_record;

#endif
