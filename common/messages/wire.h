/* common/messages/wire - batches and control messages to bytes and back; the only includer of
 * *.pb-c.h for them. Decoding validates everything: lengths agree, indices are in range, floats are
 * finite. A message that fails is AA_EPARSE and changes nothing. Encoding checks the same, so that
 * a value which no receiver would take (a NaN from a model that diverged) is an error where it
 * arises.
 *
 * Empty optional arrays of AssignedBatch mean their default for all: mix 0, alt_slot AA_NO_SLOT,
 * baseline NaN. They are left out when that is what they hold. */
#ifndef AA_COMMON_MESSAGES_WIRE_H
#define AA_COMMON_MESSAGES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf_kept.h"
#include "common/messages/batch.h"

#define AA_WIRE_MAX_BYTES  ((size_t)64 << 20) /* of any message */
#define AA_WIRE_MAX_EVENTS ((size_t)1 << 20)  /* of a batch */

/* Growable bytes, reused between messages. */
typedef struct {
    uint8_t *data;
    size_t   len, cap;
} aa_bytes;
void aa_bytes_fini(aa_bytes *by);

typedef struct {
    aa_header hd;
    uint64_t  epoch;
    bool      final;
    uint64_t  config_digest;
    uint64_t  to_seq;
    uint64_t  base_epoch;
    uint64_t  newest_run_id;
    bool      hold; /* from the learner: publish nothing for now */
    size_t    setting_count;
    uint32_t  setting[AA_CONF_KEPT_MAX]; /* open: aa_conf_kept_marks */
    char      pipeline[128];
    char      reason[256];
} aa_control;

aa_status aa_wire_pack_events(aa_bytes *out, const aa_event_batch *b, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_events(aa_event_batch *out, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_pack_assigned(aa_bytes *out, const aa_assigned_batch *b, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_assigned(aa_assigned_batch *out, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_pack_rewards(aa_bytes *out, const aa_reward_batch *b, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_rewards(aa_reward_batch *out, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_pack_control(aa_bytes *out, const aa_control *c, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_wire_unpack_control(aa_control *out, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));

#endif
