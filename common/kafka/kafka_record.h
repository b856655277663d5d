/* common/kafka/kafka_record - one message as it was read. */
#ifndef AA_COMMON_KAFKA_KAFKA_RECORD_H
#define AA_COMMON_KAFKA_KAFKA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;
    const void *value;
    size_t      len;
} aa_kafka_header;

typedef struct {
    int32_t     partition;
    int64_t     offset, timestamp_ms;
    bool        appended;    /* timestamp_ms is when the broker got it, not the producer's */
    const void *key, *value; /* value NULL: tombstone */
    size_t      key_len, len;
    void       *opaque; /* the library's message */

    const aa_kafka_header *headers; /* (header_count) none, unless somebody asked for them */
    size_t                 header_count;
} aa_kafka_record;

/** The value of a record's header (*len), which is the record's; NULL: it has none of that name. */
const void *aa_kafka_record_header(const aa_kafka_record *rec, const char *name, size_t *len);
/** The first max headers of a record, which live as long as it does; how many. Asking costs: do it
 *  for few records. */
size_t aa_kafka_record_headers(const aa_kafka_record *rec, aa_kafka_header *out, size_t max);

#endif
