/* common/messages/wire_topic - keys and values of the two compacted topics, and of the topic of
 * predictions. As in common/messages/wire: decoding validates everything, a message that fails is
 * AA_EPARSE and changes nothing, and encoding checks the same. */
#ifndef AA_COMMON_MESSAGES_WIRE_TOPIC_H
#define AA_COMMON_MESSAGES_WIRE_TOPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/messages/wire.h"

/* Kinds of keys. A key is 13 bytes, big-endian: lane u16, kind u8, field u16, id u64. */
typedef enum {
    AA_KEY_ASSIGNMENT = 'a', /* assignments: one ID's */
    AA_KEY_NEW_ID = 'n',     /* assignments: what an ID never seen reads in this field (id 0) */
    AA_KEY_NAME = 't',       /* assignments: the text of one ID, for ranking */
    AA_KEY_ROW = 'r',        /* model: one row */
    AA_KEY_DENSE = 'd'       /* model: the dense weights (field 0, id 0) */
} aa_key_kind;
#define AA_TOPIC_KEY_BYTES 13
typedef struct {
    uint32_t lane;
    uint8_t  kind;
    uint32_t field;
    uint64_t id; /* assignment, name: ID key; row: slot; new ID, dense: 0 */
} aa_topic_key;
void      aa_topic_key_put(uint8_t out[AA_TOPIC_KEY_BYTES], const aa_topic_key *k);
aa_status aa_topic_key_get(aa_topic_key *k, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

/* slot AA_NO_SLOT reads as a row of zeros. modulo > 0 (new ID of hash mode): slot = ID key %
 * modulo. */
typedef struct {
    uint64_t run_id, version, born;
    uint32_t slot, alt_slot;
    float    mix, alt_mix;
    uint32_t position;
    uint32_t modulo;
    uint32_t signal; /* common/model/signal */
} aa_assignment;
aa_status aa_wire_pack_assignment(aa_bytes *out, const aa_assignment *a, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_assignment(aa_assignment *a, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

/** The record of a name. @errors AA_EPARSE empty */
aa_status aa_wire_pack_name(aa_bytes *out, const void *text, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
/** *text (*len) points into memory of *out, which is overwritten. @errors AA_EPARSE, AA_ENOMEM */
aa_status aa_wire_unpack_name(aa_bytes *out, const void **text, size_t *len_out, const void *buf,
                              size_t len, aa_err *err) __attribute__((warn_unused_result));

/* What comes with a row's values. born: sequence number of the batch whose op made a unique row
 * (equal to the born of its owner's assignment: that is how a scorer tells its own row from that of
 * a slot's former or next owner); 0: a shared row. */
typedef struct {
    uint64_t run_id, version, born;
    bool     bf16; /* the values are upper halves of floats, and 2 bytes each in the record */
} aa_row_head;
/** w (width) is read. rh->bf16 where a value is no bf16: the record has floats all the same.
 *  @pre width <= 1025 */
aa_status aa_wire_pack_row(aa_bytes *out, const aa_row_head *rh, const float *w, size_t width,
                           aa_err *err) __attribute__((warn_unused_result));
/** w (width) is written. @errors AA_EPARSE damaged, not exactly width values, or one not finite */
aa_status aa_wire_unpack_row(aa_row_head *rh, float *w, size_t width, const void *buf, size_t len,
                             aa_err *err) __attribute__((warn_unused_result));

typedef struct {
    uint64_t     run_id, version;
    char         model[32];
    size_t       F, K;
    size_t       hidden[8], hidden_count;
    const float *w;     /* (w_count) borrowed on packing; on unpacking points to `owned` */
    float       *owned; /* free with aa_dense_message_fini */
    size_t       w_count;
    uint64_t     events;
    bool         residual_rows;   /* own rows add to the alt reading */
    int64_t      newest_kafka_ms; /* arrival in Kafka of the newest batch's first event */
    int64_t      oldest_kafka_ms; /* of the oldest event that no earlier message reflected */
    char         pipeline[128];   /* pipeline.name; "": not known */
} aa_dense_message;
/** Most bytes that the packed dense weights of this configuration's model have. Nothing else in the
 *  pipeline's topics is larger. */
uint64_t  aa_wire_dense_bytes(const aa_conf *cfg);
aa_status aa_wire_pack_dense(aa_bytes *out, const aa_dense_message *d, aa_err *err)
    __attribute__((warn_unused_result));
/** d: zero, or unpacked before (its memory is used again) */
aa_status aa_wire_unpack_dense(aa_dense_message *d, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
void aa_dense_message_fini(aa_dense_message *d);

/* ---- the topic of predictions: one per event ---- */

typedef struct {
    uint64_t seq;
    uint32_t index;
    float    prediction, label;
} aa_prediction;
aa_status aa_wire_pack_prediction(aa_bytes *out, const aa_prediction *p, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_prediction(aa_prediction *p, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

#endif
